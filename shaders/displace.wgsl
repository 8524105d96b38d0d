// Frames moved by a vector of their own, interpolated by cubic convolution, as float32. A thread makes one pixel.
struct Params {
    first_frame: u32,  // number in the block
    count: u32,        // frames
    stride: u32,       // words of a frame
    out_stride: u32,   // words of a moved frame
    height: u32,
    width: u32,
    chunks: u32,       // workgroups of one frame
}
struct Along {
    first: i32,        // distance to the first of the four pixels
    w0: f32,
    w1: f32,
    w2: f32,
    w3: f32,
}
struct Move {
    y: Along,
    x: Along,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> frames: array<u32>;
@group(0) @binding(2) var<storage, read> moves: array<Move>;
@group(0) @binding(3) var<storage, read_write> moved: array<f32>;

fn pixel_or_zero(start: u32, row: u32, x: i32) -> f32 {
    if x < 0 || x >= i32(p.width) {
        return 0.0;
    }
    let i = row + u32(x);
    return value(frames[start + i / LANES], i % LANES);
}

// Four neighbours in row `y`, weighted; rows outside the frame are zero.
fn along_row(start: u32, y: i32, x: i32, a: Along) -> f32 {
    if y < 0 || y >= i32(p.height) {
        return 0.0;
    }
    let row = u32(y) * p.width;
    let v0 = a.w0 * pixel_or_zero(start, row, x);
    let v1 = a.w1 * pixel_or_zero(start, row, x + 1);
    let v2 = a.w2 * pixel_or_zero(start, row, x + 2);
    let v3 = a.w3 * pixel_or_zero(start, row, x + 3);
    return ((v0 + v1) + v2) + v3;
}

@compute @workgroup_size(256)
fn displace(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let group = group_number(id, groups);
    let frame = group / p.chunks;
    let pixel = (group % p.chunks) * 256u + local;
    if frame >= p.count || pixel >= p.height * p.width {
        return;
    }
    let start = (p.first_frame + frame) * p.stride;
    let by = moves[frame];
    let y = i32(pixel / p.width) + by.y.first;
    let x = i32(pixel % p.width) + by.x.first;
    let r0 = by.y.w0 * along_row(start, y, x, by.x);
    let r1 = by.y.w1 * along_row(start, y + 1, x, by.x);
    let r2 = by.y.w2 * along_row(start, y + 2, x, by.x);
    let r3 = by.y.w3 * along_row(start, y + 3, x, by.x);
    moved[frame * p.out_stride + pixel] = ((r0 + r1) + r2) + r3;
}
