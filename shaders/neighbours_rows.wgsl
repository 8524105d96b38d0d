// Frames as a measure takes them: times the root of the weights of pixels, and for correlations (CENTRED) without their mean, for all but
// differences (UNIT) of unit length. One workgroup a frame.
struct Params {
    count: u32,   // frames
    stride: u32,  // words of a frame
    pixels: u32,
    weight: f32,  // 1 / sum of all weights
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> frames: array<u32>;
@group(0) @binding(2) var<storage, read> roots: array<f32>;
@group(0) @binding(3) var<storage, read_write> rows: array<f32>;

@compute @workgroup_size(256)
fn row(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let frame = group_number(id, groups);
    let live = frame < p.count;
    // Groups beyond the last read frame 0 and write nothing: all threads must come to the barriers.
    let start = select(0u, frame, live) * p.stride;
    let to = frame * p.pixels;
    // About the first pixel, so that large means cost no digits.
    let first = frames[start];
    var origin = value(first, 0u);
    if missing(first) {
        origin = 0.0;
    }
    var mean = 0.0;
    if CENTRED {
        var sum = 0.0;
        for (var i = local; i < p.pixels; i += 256u) {
            let word = frames[start + i / LANES];
            let weight = roots[i] * roots[i];
            if !missing(word) {
                sum += weight * (value(word, i % LANES) - origin);
            } else {
                // As on the CPU the value counts as 0.
                sum -= weight * origin;
            }
        }
        mean = total(local, sum) * p.weight;
    } else {
        origin = 0.0;
    }
    var squares = 0.0;
    for (var i = local; i < p.pixels; i += 256u) {
        let word = frames[start + i / LANES];
        if !missing(word) {
            let v = roots[i] * (value(word, i % LANES) - origin - mean);
            squares += v * v;
        }
    }
    var scale = 1.0;
    if UNIT {
        let all = total(local, squares);
        scale = 0.0;
        if all > 0.0 {
            scale = inverseSqrt(all);
        }
    }
    if live {
        for (var i = local; i < p.pixels; i += 256u) {
            let word = frames[start + i / LANES];
            var v = 0.0;
            if !missing(word) {
                v = roots[i] * (value(word, i % LANES) - origin - mean) * scale;
            }
            rows[to + i] = v;
        }
    }
}
