// Mean and standard deviation of a pattern, one workgroup each (moments), and the transform along y of the pattern without its mean, a
// thread for each number (columns).
struct Params {
    first_frame: u32,  // number in the block
    count: u32,        // frames
    stride: u32,       // words of a frame
    height: u32,
    width: u32,
    rows: u32,         // of the half spectrum
    chunks: u32,       // workgroups of a frame (columns)
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> frames: array<u32>;
// cos and -sin of 2 pi j / h.
@group(0) @binding(2) var<storage, read> turns: array<vec2<f32>>;
// Of each frame: the value of its first pixel, the mean of the differences to it, the standard deviation.
@group(0) @binding(3) var<storage, read_write> moments: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> spectrum: array<vec2<f32>>;

@compute @workgroup_size(256)
fn moments_of(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let frame = group_number(id, groups);
    let live = frame < p.count;
    let pixels = p.height * p.width;
    // Groups beyond the last read frame 0 and write nothing: all threads must come to the barriers.
    let start = (p.first_frame + select(0u, frame, live)) * p.stride;
    var origin = 0.0;
    if !missing(frames[start]) {
        origin = value(frames[start], 0u);
    }
    var sum = 0.0;
    for (var i = local; i < pixels; i += 256u) {
        let word = frames[start + i / LANES];
        // As on the CPU a pixel that is not finite counts 0 for the mean.
        sum += select(0.0, value(word, i % LANES), !missing(word)) - origin;
    }
    let mean = total(local, sum) / f32(pixels);
    var squares = 0.0;
    for (var i = local; i < pixels; i += 256u) {
        let word = frames[start + i / LANES];
        if !missing(word) {
            let v = value(word, i % LANES) - origin - mean;
            squares += v * v;
        }
    }
    let deviation = sqrt(total(local, squares) / f32(pixels));
    if local == 0u && live {
        moments[frame] = vec4<f32>(origin, mean, deviation, 0.0);
    }
}

@compute @workgroup_size(256)
fn columns(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let group = group_number(id, groups);
    let frame = group / p.chunks;
    let i = group % p.chunks * 256u + local;
    if frame >= p.count || i >= p.rows * p.width {
        return;
    }
    let start = (p.first_frame + frame) * p.stride;
    let m = moments[frame];
    let ky = i / p.width;
    let x = i % p.width;
    var turn = 0u;
    var sum = vec2<f32>(0.0);
    for (var y = 0u; y < p.height; y++) {
        let pixel = y * p.width + x;
        let word = frames[start + pixel / LANES];
        if !missing(word) {
            sum += (value(word, pixel % LANES) - m.x - m.y) * turns[turn];
        }
        turn += ky;
        if turn >= p.height {
            turn -= p.height;
        }
    }
    spectrum[frame * p.rows * p.width + i] = sum;
}
