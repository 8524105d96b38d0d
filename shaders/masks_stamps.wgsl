// Products of frames with one stamp centred on many positions, clipped at the frame. A thread takes one mask of one frame;
// it adds the pixels of a stamp's row, then the rows.
struct Params {
    first_frame: u32,  // number in the block
    count: u32,         // frames
    stride: u32,        // words of a frame
    masks: u32,
    height: u32,        // of the frame
    width: u32,
    stamp_height: u32,
    stamp_width: u32,
    chunks: u32,        // workgroups of one frame
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> frames: array<u32>;
@group(0) @binding(2) var<storage, read> positions: array<vec2<i32>>;
@group(0) @binding(3) var<storage, read> stamp: array<f32>;
@group(0) @binding(4) var<storage, read_write> products: array<f32>;

@compute @workgroup_size(256)
fn multiply(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let group = group_number(id, groups);
    // Groups beyond the last frame repeat it and keep nothing, so that barriers stay uniform.
    let frame = min(group / p.chunks, p.count - 1u);
    let mask = (group % p.chunks) * 256u + local;
    let start = (p.first_frame + frame) * p.stride;
    stage_frame(start, p.stride, local);
    if mask >= p.masks || group / p.chunks >= p.count {
        return;
    }
    let corner = positions[mask] - vec2<i32>(i32(p.stamp_height / 2u), i32(p.stamp_width / 2u));
    let y0 = u32(max(0, -corner.x));
    let y1 = u32(min(i32(p.stamp_height), i32(p.height) - corner.x));
    let x0 = u32(max(0, -corner.y));
    let x1 = u32(min(i32(p.stamp_width), i32(p.width) - corner.y));
    var total = 0.0;
    for (var y = y0; y < y1; y++) {
        let pixels = u32(corner.x + i32(y)) * p.width;
        var line = 0.0;
        for (var x = x0; x < x1; x++) {
            line += stamp[y * p.stamp_width + x] * pixel_at(start, pixels + u32(corner.y + i32(x)));
        }
        total += line;
    }
    products[frame * p.masks + mask] = total;
}
