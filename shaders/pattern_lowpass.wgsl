// Separable low-pass: rows, then columns together with what is done with the result.
struct Params {
    count: u32,   // patterns
    height: u32,
    width: u32,
    taps: u32,    // weights along the axis of this pass
    mode: u32,    // columns only: 0 divide by the low-pass, 1 subtract it, 2 keep it
    scale: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read> sources: array<u32>;
@group(0) @binding(3) var<storage, read_write> values: array<f32>;
@group(0) @binding(4) var<storage, read_write> other: array<f32>;
@group(0) @binding(5) var<storage, read_write> filled: array<atomic<u32>>;

// other = values averaged along x.
@compute @workgroup_size(256)
fn rows(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = thread_number(id, groups, local);
    if at >= p.height * p.width * p.count {
        return;
    }
    let x = at % p.width;
    let line = at - x;
    var sum = 0.0;
    for (var m = 0u; m < p.taps; m++) {
        sum += weights[m] * values[line + sources[x + m]];
    }
    other[at] = sum;
}

// values = values with the low-pass that is other averaged along y.
@compute @workgroup_size(256)
fn columns(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let pixels = p.height * p.width;
    let at = thread_number(id, groups, local);
    if at >= pixels * p.count {
        return;
    }
    let pixel = at % pixels;
    let column = at - pixel + pixel % p.width;
    let y = pixel / p.width;
    var sum = 0.0;
    for (var m = 0u; m < p.taps; m++) {
        sum += weights[m] * other[column + sources[y + m] * p.width];
    }
    if p.mode == 0u {
        if sum == 0.0 {
            atomicAdd(&filled[at / pixels], 1u);
            values[at] = 0.0;
        } else {
            values[at] /= sum;
        }
    } else if p.mode == 1u {
        values[at] -= p.scale * sum;
    } else {
        values[at] = sum;
    }
}
