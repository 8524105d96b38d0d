// What is done with the numbers of a network itself, one thread each: sums of gradients, Adam's step, and the orders in which convolutions read weights.
struct Params {
    at: u32,         // first number of the layer
    taps: u32,
    inputs: u32,
    outputs: u32,
    chunks: u32,
    add: u32,        // 1: to what is there
    count: u32,      // numbers: of the layer (gather, gather_biases, pack), of the network (adam)
    rate: f32,       // with the corrections of the first steps
    size: f32,       // gradients are divided by this
    first: f32,
    second: f32,
    epsilon: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> parts: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> gradient: array<f32>;
@group(0) @binding(3) var<storage, read_write> weights: array<f32>;
@group(0) @binding(4) var<storage, read_write> mean: array<f32>;
@group(0) @binding(5) var<storage, read_write> square: array<f32>;
// Weights of convolutions in the order of network.wgsl: forwards, biases, backwards (turned by half a circle, channels exchanged).
@group(0) @binding(6) var<storage, read_write> forward: array<f32>;
@group(0) @binding(7) var<storage, read_write> bias: array<f32>;
@group(0) @binding(8) var<storage, read_write> backward: array<f32>;

fn put(number: u32, sum: f32) {
    let before = select(0.0, gradient[number], p.add == 1u);
    gradient[number] = before + sum;
}

// Kernels are (row, column, input, output).
@compute @workgroup_size(256)
fn gather(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let n = thread_number(id, groups, local);
    if n >= p.count {
        return;
    }
    let o = n % p.outputs;
    let i = n / p.outputs % p.inputs;
    let tap = n / p.outputs / p.inputs;
    let in_groups = (p.inputs + 3u) / 4u;
    let out_groups = (p.outputs + 3u) / 4u;
    let square = p.taps * p.taps;
    var sum = 0.0;
    for (var c = 0u; c < p.chunks; c++) {
        sum += parts[(((c * out_groups + o / 4u) * in_groups + i / 4u) * square + tap) * 4u + i % 4u][o % 4u];
    }
    put(p.at + n, sum);
}

@compute @workgroup_size(256)
fn gather_biases(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let o = thread_number(id, groups, local);
    if o >= p.count {
        return;
    }
    let out_groups = (p.outputs + 3u) / 4u;
    var sum = 0.0;
    for (var c = 0u; c < p.chunks; c++) {
        sum += parts[c * out_groups + o / 4u][o % 4u];
    }
    put(p.at + o, sum);
}

// D. Kingma, J. Ba, arXiv:1412.6980, with ε added to √v as in Keras.
@compute @workgroup_size(256)
fn adam(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let n = thread_number(id, groups, local);
    if n >= p.count {
        return;
    }
    let g = gradient[n] / p.size;
    let m = mean[n] + (1.0 - p.first) * (g - mean[n]);
    let v = square[n] + (1.0 - p.second) * (g * g - square[n]);
    mean[n] = m;
    square[n] = v;
    weights[n] -= p.rate * m / (sqrt(v) + p.epsilon);
}

fn place(y: u32, x: u32, i: u32, o: u32, inputs: u32) -> u32 {
    let vector = (((o / 8u * ((inputs + 3u) / 4u) + i / 4u) * p.taps + y) * p.taps + x) * 8u + o / 4u % 2u * 4u + i % 4u;
    return 4u * vector + o % 4u;
}

@compute @workgroup_size(256)
fn pack(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let n = thread_number(id, groups, local);
    if n >= p.count {
        return;
    }
    let w = weights[p.at + n];
    let kernel = p.taps * p.taps * p.inputs * p.outputs;
    if n >= kernel {
        bias[n - kernel] = w;
        return;
    }
    let o = n % p.outputs;
    let i = n / p.outputs % p.inputs;
    let tap = n / p.outputs / p.inputs;
    let y = tap / p.taps;
    let x = tap % p.taps;
    forward[place(y, x, i, o, p.inputs)] = w;
    backward[place(p.taps - 1u - y, p.taps - 1u - x, o, i, p.outputs)] = w;
}
