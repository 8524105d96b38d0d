// First step of a chain on patterns: raw pixels to float32, mean of blocks, non-finite pixels filled, static background.
// One thread per pixel of the result. Bound to the prelude of the pixel type.
struct Params {
    first: u32,       // first frame of the round in the block
    count: u32,
    stride: u32,      // words of a frame
    height: u32,      // of the raw frame
    width: u32,
    out_height: u32,
    out_width: u32,
    bin: u32,
    mode: u32,        // 0: no static background, 1: divide, 2: subtract
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> frames: array<u32>;
@group(0) @binding(2) var<storage, read> background: array<f32>;
@group(0) @binding(3) var<storage, read_write> values: array<f32>;
@group(0) @binding(4) var<storage, read_write> filled: array<atomic<u32>>;

// Mean of the finite pixels of a rectangle, and their number.
fn mean_of(start: u32, top: u32, left: u32, bottom: u32, right: u32) -> vec2<f32> {
    var total = 0.0;
    var n = 0u;
    for (var y = top; y < bottom; y++) {
        var line = 0.0;
        for (var x = left; x < right; x++) {
            let pixel = y * p.width + x;
            let word = frames[start + pixel / LANES];
            if !missing(word) {
                line += value(word, pixel % LANES);
                n++;
            }
        }
        total += line;
    }
    return vec2<f32>(total / f32(max(n, 1u)), f32(n));
}

@compute @workgroup_size(256)
fn begin(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let pixels = p.out_height * p.out_width;
    let at = thread_number(id, groups, local);
    if at >= pixels * p.count {
        return;
    }
    let frame = at / pixels;
    let pixel = at % pixels;
    let start = (p.first + frame) * p.stride;
    let y = pixel / p.out_width * p.bin;
    let x = pixel % p.out_width * p.bin;
    var found = mean_of(start, y, x, y + p.bin, x + p.bin);
    let area = p.bin * p.bin;
    if u32(found.y) < area {
        atomicAdd(&filled[frame], area - u32(found.y));
        // A block with a missing pixel is filled as a whole from the smallest square around it that has a finite one.
        for (var r = 0u; r < max(p.height, p.width); r++) {
            found = mean_of(
                start,
                max(y, r) - r,
                max(x, r) - r,
                min(y + p.bin + r, p.height),
                min(x + p.bin + r, p.width),
            );
            if found.y > 0.0 {
                break;
            }
        }
    }
    var v = found.x;
    if p.mode == 1u {
        v /= background[pixel];
    } else if p.mode == 2u {
        v -= background[pixel];
    }
    values[at] = v;
}
