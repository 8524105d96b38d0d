// Products of frames with one stamp centred on many positions, clipped at the frame. A workgroup takes a frame, band by band: rows
// of it come to workgroup memory once, word by word, and every thread adds what its PER masks have in them; the
// pixels of a stamp's row, then the rows, whatever the bands.
struct Params {
    first_frame: u32,  // number in the block
    count: u32,        // frames
    stride: u32,       // words of a frame
    masks: u32,
    chunks: u32,       // workgroups of one frame
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> frames: array<u32>;
// Position (y, x) and number of each mask, by y: threads side by side have work in the same bands.
@group(0) @binding(2) var<storage, read> positions: array<vec4<i32>>;
@group(0) @binding(3) var<storage, read> stamp: array<f32>;
@group(0) @binding(4) var<storage, read_write> products: array<f32>;

// The host gives HEIGHT, WIDTH, STAMP_HEIGHT, STAMP_WIDTH, PER (at most 4), ROWS of a band, and BAND words and STAMP numbers of
// workgroup memory; STAGED or STAMP_STAGED is false where they do not fit.
var<workgroup> sh_band: array<u32, BAND>;
var<workgroup> sh_stamp: array<f32, STAMP>;
// First word of the frame, and of the band in the frame.
var<private> start: u32;
var<private> base: u32;

fn pixel(i: u32) -> f32 {
    let word = i / LANES;
    if STAGED {
        return value(sh_band[word - base], i % LANES);
    }
    return value(frames[start + word], i % LANES);
}
fn weight(i: u32) -> f32 {
    if STAMP_STAGED {
        return sh_stamp[i];
    }
    return stamp[i];
}

// `total` and what mask number `mask` has in the rows from `top` on.
fn add_band(mask: u32, top: u32, total: f32) -> f32 {
    if mask >= p.masks {
        return total;
    }
    let corner = positions[mask].xy - vec2<i32>(i32(STAMP_HEIGHT / 2u), i32(STAMP_WIDTH / 2u));
    let end = min(i32(top + ROWS), i32(HEIGHT));
    let y0 = u32(max(0, i32(top) - corner.x));
    let y1 = u32(clamp(end - corner.x, 0, i32(STAMP_HEIGHT)));
    let x0 = u32(max(0, -corner.y));
    let x1 = u32(min(i32(STAMP_WIDTH), i32(WIDTH) - corner.y));
    var sum = total;
    for (var y = y0; y < y1; y++) {
        let row = u32((corner.x + i32(y)) * i32(WIDTH) + corner.y + i32(x0));
        let weights = y * STAMP_WIDTH + x0;
        var line = 0.0;
        for (var x = 0u; x < x1 - x0; x++) {
            line += weight(weights + x) * pixel(row + x);
        }
        sum += line;
    }
    return sum;
}

fn put(frame: u32, mask: u32, total: f32) {
    if mask < p.masks {
        products[frame * p.masks + u32(positions[mask].z)] = total;
    }
}

@compute @workgroup_size(256)
fn multiply(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let group = group_number(id, groups);
    // Groups beyond the last frame repeat it and keep nothing, so that barriers stay uniform.
    let frame = min(group / p.chunks, p.count - 1u);
    let mask = (group % p.chunks) * 256u * PER + local;
    start = (p.first_frame + frame) * p.stride;
    if STAMP_STAGED {
        for (var i = local; i < STAMP; i += 256u) {
            sh_stamp[i] = stamp[i];
        }
    }
    var total = vec4<f32>(0.0);
    for (var top = 0u; top < HEIGHT; top += ROWS) {
        base = top * WIDTH / LANES;
        if STAGED {
            let words = (min(top + ROWS, HEIGHT) * WIDTH + LANES - 1u) / LANES - base;
            workgroupBarrier();
            for (var i = local; i < words; i += 256u) {
                sh_band[i] = frames[start + base + i];
            }
            workgroupBarrier();
        }
        total.x = add_band(mask, top, total.x);
        if PER > 1u {
            total.y = add_band(mask + 256u, top, total.y);
        }
        if PER > 2u {
            total.z = add_band(mask + 512u, top, total.z);
            total.w = add_band(mask + 768u, top, total.w);
        }
    }
    if group / p.chunks < p.count {
        put(frame, mask, total.x);
        if PER > 1u {
            put(frame, mask + 256u, total.y);
        }
        if PER > 2u {
            put(frame, mask + 512u, total.z);
            put(frame, mask + 768u, total.w);
        }
    }
}
