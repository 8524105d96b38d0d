// What a network does to one pixel at a time: begin (frames become groups of four channels), standalone pooling, upsampling and ReLU, and the end
// (softmax, sigmoid or nothing over classes).
struct Params {
    height: u32,     // of the output
    width: u32,
    channels: u32,   // of the frame (begin), of the output (end); groups elsewhere
    mode: u32,       // pool 0, upsample 1, relu 2; end: nothing 0, softmax 1, sigmoid 2
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> numbers: array<f32>;
@group(0) @binding(2) var<storage, read> source: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> made: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> result: array<f32>;

const THREADS = 256u;

// One thread a pixel and group; numbers are rows of channels (height, channels, width).
@compute @workgroup_size(256)
fn begin(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = group_number(id, groups) * THREADS + local;
    let pixels = p.height * p.width;
    let group = at / pixels;
    if group >= (p.channels + 3u) / 4u {
        return;
    }
    let y = at % pixels / p.width;
    let x = at % p.width;
    var v = vec4<f32>();
    for (var c = 0u; c < 4u; c++) {
        let channel = 4u * group + c;
        if channel < p.channels {
            v[c] = numbers[(y * p.channels + channel) * p.width + x];
        }
    }
    made[at] = v;
}

@compute @workgroup_size(256)
fn point(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = group_number(id, groups) * THREADS + local;
    let pixels = p.height * p.width;
    let group = at / pixels;
    if group >= p.channels {
        return;
    }
    let y = at % pixels / p.width;
    let x = at % p.width;
    switch p.mode {
        case 0u: {
            let width = 2u * p.width;
            let i = (group * 2u * p.height + 2u * y) * width + 2u * x;
            made[at] = max(max(source[i], source[i + 1u]), max(source[i + width], source[i + width + 1u]));
        }
        case 1u: {
            made[at] = source[(group * (p.height / 2u) + y / 2u) * (p.width / 2u) + x / 2u];
        }
        default: {
            made[at] = max(source[at], vec4<f32>());
        }
    }
}

// One thread a pixel; the result is rows of channels.
@compute @workgroup_size(256)
fn end(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = group_number(id, groups) * THREADS + local;
    let pixels = p.height * p.width;
    if at >= pixels {
        return;
    }
    let base = at / p.width * p.channels * p.width + at % p.width;
    var high = source[at].x;
    for (var c = 1u; c < p.channels; c++) {
        high = max(high, source[c / 4u * pixels + at][c % 4u]);
    }
    var sum = 0.0;
    for (var c = 0u; c < p.channels; c++) {
        sum += exp(source[c / 4u * pixels + at][c % 4u] - high);
    }
    for (var c = 0u; c < p.channels; c++) {
        let v = source[c / 4u * pixels + at][c % 4u];
        var out = v;
        if p.mode == 1u {
            out = exp(v - high) / sum;
        } else if p.mode == 2u {
            out = 1.0 / (1.0 + exp(-v));
        }
        result[base + c * p.width] = out;
    }
}
