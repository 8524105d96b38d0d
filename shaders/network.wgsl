// Convolution with bias, ReLU and pooling on channels in groups of four: pixel (y, x) of group g is vec4 number (g * height + y) * width + x; several images
// (training) follow one another.
//
// Constants set on the host: TAPS (odd), HALF = TAPS / 2, SINGLE (the input has one channel), UP (the input is upsampled first), POOL, RELU.
//
// A workgroup of 16 × 8 threads makes a tile of 16 rows × 32 columns of two groups of output channels; a thread 2 × 2 pixels of them, so that it can pool
// by itself. The input tile of one group and its weights lie in workgroup memory.
struct Params {
    height: u32,      // of the output before pooling
    width: u32,
    in_groups: u32,
    out_groups: u32,
    tiles_x: u32,
    tiles: u32,
    first: u32,       // number of the first workgroup of this dispatch
    count: u32,       // workgroups of this dispatch
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;
// For each pair of output groups, input group and tap (rows slow): for each output group four vectors of weights, one for each input channel.
@group(0) @binding(2) var<storage, read> weights: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> output: array<vec4<f32>>;

const ROWS = 16u;
const COLUMNS = 32u;
const TILE_ROWS = ROWS + TAPS - 1u;
const TILE_COLUMNS = COLUMNS + TAPS - 1u;
const TILE = TILE_ROWS * TILE_COLUMNS;
const WEIGHTS = TAPS * TAPS * 8u;
const THREADS = 128u;

var<workgroup> sh_pixels: array<vec4<f32>, TILE>;
var<workgroup> sh_weights: array<vec4<f32>, WEIGHTS>;

fn input_at(group: u32, y: i32, x: i32) -> vec4<f32> {
    if y < 0 || x < 0 || y >= i32(p.height) || x >= i32(p.width) {
        return vec4<f32>();
    }
    if UP {
        let width = p.width / 2u;
        return input[(group * (p.height / 2u) + u32(y) / 2u) * width + u32(x) / 2u];
    }
    return input[(group * p.height + u32(y)) * p.width + u32(x)];
}

fn weighed(at: u32, v: vec4<f32>) -> vec4<f32> {
    if SINGLE {
        return sh_weights[at] * v.x;
    }
    return sh_weights[at] * v.x + sh_weights[at + 1u] * v.y + sh_weights[at + 2u] * v.z + sh_weights[at + 3u] * v.w;
}

fn activated(v: vec4<f32>) -> vec4<f32> {
    if RELU {
        return max(v, vec4<f32>());
    }
    return v;
}

fn put(image: u32, number: u32, y: u32, x: u32, a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>) {
    if number >= p.out_groups || y >= p.height || x >= p.width {
        return;
    }
    let group = image * p.out_groups + number;
    if POOL {
        let width = p.width / 2u;
        if y / 2u < p.height / 2u && x / 2u < width {
            output[(group * (p.height / 2u) + y / 2u) * width + x / 2u] = max(max(activated(a), activated(b)), max(activated(c), activated(d)));
        }
        return;
    }
    let at = (group * p.height + y) * p.width + x;
    let right = x + 1u < p.width;
    output[at] = activated(a);
    if right {
        output[at + 1u] = activated(b);
    }
    if y + 1u < p.height {
        output[at + p.width] = activated(c);
        if right {
            output[at + p.width + 1u] = activated(d);
        }
    }
}

@compute @workgroup_size(128)
fn convolve(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let number = group_number(id, groups);
    if number >= p.count {
        return;
    }
    let pairs = (p.out_groups + 1u) / 2u;
    let image = (number + p.first) / (p.tiles * pairs);
    let pair = (number + p.first) / p.tiles % pairs;
    let tile = (number + p.first) % p.tiles;
    let top = tile / p.tiles_x * ROWS;
    let left = tile % p.tiles_x * COLUMNS;
    let y = local / 16u * 2u;
    let x = local % 16u * 2u;
    let first = bias[2u * pair];
    let second = bias[2u * pair + 1u];
    var a0 = first;
    var b0 = first;
    var c0 = first;
    var d0 = first;
    var a1 = second;
    var b1 = second;
    var c1 = second;
    var d1 = second;
    for (var g = 0u; g < p.in_groups; g++) {
        workgroupBarrier();
        for (var i = local; i < TILE; i += THREADS) {
            let ty = i32(top + i / TILE_COLUMNS) - i32(HALF);
            let tx = i32(left + i % TILE_COLUMNS) - i32(HALF);
            sh_pixels[i] = input_at(image * p.in_groups + g, ty, tx);
        }
        let start = (pair * p.in_groups + g) * WEIGHTS;
        for (var i = local; i < WEIGHTS; i += THREADS) {
            sh_weights[i] = weights[start + i];
        }
        workgroupBarrier();
        for (var ky = 0u; ky < TAPS; ky++) {
            for (var kx = 0u; kx < TAPS; kx++) {
                let at = (y + ky) * TILE_COLUMNS + x + kx;
                let a = sh_pixels[at];
                let b = sh_pixels[at + 1u];
                let c = sh_pixels[at + TILE_COLUMNS];
                let d = sh_pixels[at + TILE_COLUMNS + 1u];
                let w = (ky * TAPS + kx) * 8u;
                a0 += weighed(w, a);
                b0 += weighed(w, b);
                c0 += weighed(w, c);
                d0 += weighed(w, d);
                a1 += weighed(w + 4u, a);
                b1 += weighed(w + 4u, b);
                c1 += weighed(w + 4u, c);
                d1 += weighed(w + 4u, d);
            }
        }
    }
    put(image, 2u * pair, top + y, left + x, a0, b0, c0, d0);
    put(image, 2u * pair + 1u, top + y, left + x, a1, b1, c1, d1);
}
