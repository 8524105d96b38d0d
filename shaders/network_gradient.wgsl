// Gradients of a convolution's weights and biases: sums over all pixels of all images of input times error.
//
// Constants set on the host: TAPS (odd), HALF = TAPS / 2, ROOM. Sums are made in `chunks` parts that do not depend on the device, each in a fixed order.
struct Params {
    height: u32,
    width: u32,
    in_groups: u32,
    out_groups: u32,
    tiles_x: u32,
    tiles: u32,      // of one image
    images: u32,
    chunks: u32,
    first: u32,      // number of the first workgroup of this dispatch
    count: u32,      // workgroups of this dispatch
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> error: array<vec4<f32>>;
// products: for each chunk, output group, input group and tap four vectors over output channels, one for each input channel. totals: for each chunk and
// output group a vector.
@group(0) @binding(3) var<storage, read_write> parts: array<vec4<f32>>;

const ROWS = 8u;
const COLUMNS = 32u;
const TILE_COLUMNS = COLUMNS + TAPS - 1u;
const TILE = (ROWS + TAPS - 1u) * TILE_COLUMNS;
const PIXELS = ROWS * COLUMNS;
const SQUARE = TAPS * TAPS;
const THREADS = 128u;
const SLICES = THREADS / SQUARE;

// The tile of the input, then of the errors; at the end the sums of all threads.
var<workgroup> sh: array<vec4<f32>, ROOM>;

// A workgroup sums one pair of groups over every `chunks`-th tile; a thread has a tap and every `SLICES`-th pixel.
@compute @workgroup_size(128)
fn products(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let number = group_number(id, groups);
    if number >= p.count {
        return;
    }
    let chunk = (number + p.first) % p.chunks;
    let pair = (number + p.first) / p.chunks;
    let gi = pair % p.in_groups;
    let go = pair / p.in_groups;
    let tap = local % SQUARE;
    let slice = local / SQUARE;
    let shift = tap / TAPS * TILE_COLUMNS + tap % TAPS;
    var s0 = vec4<f32>();
    var s1 = vec4<f32>();
    var s2 = vec4<f32>();
    var s3 = vec4<f32>();
    for (var t = chunk; t < p.tiles * p.images; t += p.chunks) {
        let image = t / p.tiles;
        let top = t % p.tiles / p.tiles_x * ROWS;
        let left = t % p.tiles % p.tiles_x * COLUMNS;
        workgroupBarrier();
        for (var i = local; i < TILE; i += THREADS) {
            let y = i32(top + i / TILE_COLUMNS) - i32(HALF);
            let x = i32(left + i % TILE_COLUMNS) - i32(HALF);
            var v = vec4<f32>();
            if y >= 0 && x >= 0 && y < i32(p.height) && x < i32(p.width) {
                v = input[((image * p.in_groups + gi) * p.height + u32(y)) * p.width + u32(x)];
            }
            sh[i] = v;
        }
        for (var i = local; i < PIXELS; i += THREADS) {
            let y = top + i / COLUMNS;
            let x = left + i % COLUMNS;
            var v = vec4<f32>();
            if y < p.height && x < p.width {
                v = error[((image * p.out_groups + go) * p.height + y) * p.width + x];
            }
            sh[TILE + i] = v;
        }
        workgroupBarrier();
        if slice < SLICES {
            for (var i = slice; i < PIXELS; i += SLICES) {
                let e = sh[TILE + i];
                let v = sh[i / COLUMNS * TILE_COLUMNS + i % COLUMNS + shift];
                s0 += v.x * e;
                s1 += v.y * e;
                s2 += v.z * e;
                s3 += v.w * e;
            }
        }
    }
    workgroupBarrier();
    let mine = (slice * SQUARE + tap) * 4u;
    sh[mine] = s0;
    sh[mine + 1u] = s1;
    sh[mine + 2u] = s2;
    sh[mine + 3u] = s3;
    workgroupBarrier();
    let to = ((chunk * p.out_groups + go) * p.in_groups + gi) * 4u * SQUARE;
    for (var i = local; i < 4u * SQUARE; i += THREADS) {
        var sum = sh[i];
        for (var s = 1u; s < SLICES; s++) {
            sum += sh[s * 4u * SQUARE + i];
        }
        parts[to + i] = sum;
    }
}

// A workgroup sums the errors of one group over every `chunks`-th run of pixels.
@compute @workgroup_size(128)
fn totals(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let number = group_number(id, groups);
    if number >= p.count {
        return;
    }
    let chunk = (number + p.first) % p.chunks;
    let go = (number + p.first) / p.chunks;
    let pixels = p.height * p.width;
    var sum = vec4<f32>();
    for (var i = chunk * THREADS + local; i < pixels * p.images; i += p.chunks * THREADS) {
        sum += error[(i / pixels * p.out_groups + go) * pixels + i % pixels];
    }
    sh[local] = sum;
    workgroupBarrier();
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        if local < half {
            sh[local] += sh[local + half];
        }
        workgroupBarrier();
    }
    if local == 0u {
        parts[chunk * p.out_groups + go] = sh[0];
    }
}
