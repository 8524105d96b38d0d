// Blocks of pixels summed, scaled, and the chosen ones kept. A thread makes one value. EXACT: sums are integers, SIGNED ones if so.
struct Params {
    first_frame: u32,  // number in the block
    count: u32,        // frames
    stride: u32,       // words of a frame
    out_stride: u32,   // words of a rebinned frame
    width: u32,        // of the frame
    values: u32,       // chosen pixels of a rebinned frame
    out_width: u32,    // of the whole rebinned frame
    bin_rows: u32,
    bin: u32,
    mode: u32,         // 0: integers, 1: linear, 2: ln, 3: ln(1 + v), 4: roots
    factor: f32,
    chunks: u32,       // workgroups of one frame
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> frames: array<u32>;
@group(0) @binding(2) var<storage, read> chosen: array<u32>;
@group(0) @binding(3) var<storage, read_write> rebinned: array<u32>;

fn scaled(x: f32) -> f32 {
    if p.mode == 1u {
        return x * p.factor;
    }
    let v = max(x * p.factor, 0.0);
    switch p.mode {
        case 2u: {
            return select(0.0, ln(v), v > 0.0);
        }
        case 3u: {
            return ln(v + 1.0);
        }
        default: {
            return sqrt(v) + sqrt(v + 1.0);
        }
    }
}

@compute @workgroup_size(256)
fn rebin(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let group = group_number(id, groups);
    let frame = group / p.chunks;
    let i = (group % p.chunks) * 256u + local;
    if frame >= p.count || i >= p.values {
        return;
    }
    let pixel = chosen[i];
    let start = (p.first_frame + frame) * p.stride;
    let corner = pixel / p.out_width * p.bin_rows * p.width + pixel % p.out_width * p.bin;
    let to = frame * p.out_stride + i;
    if EXACT {
        var total = 0;
        for (var y = 0u; y < p.bin_rows; y++) {
            for (var x = 0u; x < p.bin; x++) {
                let at = corner + y * p.width + x;
                total += i32(value(frames[start + at / LANES], at % LANES));
            }
        }
        if p.mode == 0u {
            rebinned[to] = bitcast<u32>(total);
            return;
        }
        let x = select(f32(bitcast<u32>(total)), f32(total), SIGNED);
        rebinned[to] = bitcast<u32>(scaled(x));
        return;
    }
    var total = 0.0;
    for (var y = 0u; y < p.bin_rows; y++) {
        var line = 0.0;
        for (var x = 0u; x < p.bin; x++) {
            let at = corner + y * p.width + x;
            line += value(frames[start + at / LANES], at % LANES);
        }
        total += line;
    }
    rebinned[to] = bitcast<u32>(scaled(total));
}
