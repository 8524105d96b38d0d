// The butterfly filter on the transforms, what the responses of each pattern are like, and where they have maxima.
// Constants from the host: THETAS, RHOS, PUBLISHED, REACH_THETA, REACH_RHO, THRESHOLD, MOST; the array BUTTERFLY.
struct Params {
    count: u32,   // patterns
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> counts: array<i32>;
@group(0) @binding(2) var<storage, read_write> responses: array<i32>;
// Eight words a pattern: least and largest response, Σ(v − least) in two words, Σ(v − least)² in three, number of maxima.
@group(0) @binding(3) var<storage, read_write> ranges: array<atomic<u32>>;
// MOST pairs of words a pattern: θ · 2¹⁶ + ρ, response.
@group(0) @binding(4) var<storage, read_write> maxima: array<u32>;

const BINS = THETAS * RHOS;

// Count at angle t, which may lie beyond the ends, where lines go on with ρ turned round.
fn count_at(base: u32, t: i32, r: u32) -> i32 {
    let n = i32(THETAS);
    if t >= 0 && t < n {
        return counts[base + u32(t) * RHOS + r];
    }
    if PUBLISHED {
        return counts[base + u32(clamp(t, 0, n - 1)) * RHOS + r];
    }
    return counts[base + u32((t + n) % n) * RHOS + (RHOS - 1u - r)];
}

@compute @workgroup_size(256)
fn sharpen(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = thread_number(id, groups, local);
    if at >= BINS * p.count {
        return;
    }
    let base = at / BINS * BINS;
    let t = i32(at % BINS / RHOS);
    let r = i32(at % RHOS);
    var sum = 0;
    for (var k = -4; k <= 4; k++) {
        let rho = u32(clamp(r + k, 0, i32(RHOS) - 1));
        for (var d = -4; d <= 4; d++) {
            sum += BUTTERFLY[abs(k) * 5 + abs(d)] * count_at(base, t + d, rho);
        }
    }
    responses[at] = sum;
}

var<workgroup> sh_low: array<i32, 256>;
var<workgroup> sh_high: array<i32, 256>;
var<workgroup> sh_sums: array<array<u32, 5>, 256>;

// a + b: a number of two words and one of three.
fn add_words(a: array<u32, 5>, b: array<u32, 5>) -> array<u32, 5> {
    var out = a;
    var x = a;
    var y = b;
    // Two words, then three.
    out[0] = x[0] + y[0];
    out[1] = x[1] + y[1] + select(0u, 1u, out[0] < x[0]);
    out[2] = x[2] + y[2];
    let carry = select(0u, 1u, out[2] < x[2]);
    let middle = x[3] + y[3];
    out[3] = middle + carry;
    out[4] = x[4] + y[4] + select(0u, 1u, middle < x[3] || out[3] < middle);
    return out;
}

// One workgroup a pattern.
@compute @workgroup_size(256)
fn sum_up(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let frame = min(group_number(id, groups), p.count - 1u);
    let base = frame * BINS;
    var low = 0x7fffffff;
    var high = -0x7fffffff;
    for (var i = local; i < BINS; i += 256u) {
        low = min(low, responses[base + i]);
        high = max(high, responses[base + i]);
    }
    sh_low[local] = low;
    sh_high[local] = high;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half >>= 1u) {
        if local < half {
            sh_low[local] = min(sh_low[local], sh_low[local + half]);
            sh_high[local] = max(sh_high[local], sh_high[local + half]);
        }
        workgroupBarrier();
    }
    low = sh_low[0];
    var sums = array<u32, 5>(0u, 0u, 0u, 0u, 0u);
    for (var i = local; i < BINS; i += 256u) {
        let v = u32(responses[base + i] - low);
        let l = v & 0xffffu;
        let h = v >> 16u;
        // v² = h²·2³² + 2·l·h·2¹⁶ + l²
        let cross = l * h;
        let shifted = cross << 17u;
        let least = l * l + shifted;
        let square = array<u32, 5>(v, 0u, least, h * h + (cross >> 15u) + select(0u, 1u, least < shifted), 0u);
        sums = add_words(sums, square);
    }
    sh_sums[local] = sums;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half >>= 1u) {
        if local < half {
            sh_sums[local] = add_words(sh_sums[local], sh_sums[local + half]);
        }
        workgroupBarrier();
    }
    if local == 0u {
        atomicStore(&ranges[frame * 8u], bitcast<u32>(sh_low[0]));
        atomicStore(&ranges[frame * 8u + 1u], bitcast<u32>(sh_high[0]));
        for (var i = 0u; i < 5u; i++) {
            atomicStore(&ranges[frame * 8u + 2u + i], sh_sums[0][i]);
        }
        atomicStore(&ranges[frame * 8u + 7u], 0u);
    }
}

// Maxima above a limit that lies a little too low: the host knows the exact one.
@compute @workgroup_size(256)
fn find_maxima(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = thread_number(id, groups, local);
    if at >= BINS * p.count {
        return;
    }
    let frame = at / BINS;
    let base = frame * BINS;
    let low = f32(bitcast<i32>(atomicLoad(&ranges[frame * 8u])));
    let span = f32(bitcast<i32>(atomicLoad(&ranges[frame * 8u + 1u]))) - low;
    let v = responses[at];
    // A pattern without contrast has no bands.
    if span <= 0.0 || f32(v) < low + THRESHOLD * span - (1e-5 * span + 2.0) {
        return;
    }
    let t = at % BINS / RHOS;
    let r = at % RHOS;
    for (var tt = max(t, REACH_THETA) - REACH_THETA; tt < min(t + REACH_THETA + 1u, THETAS); tt++) {
        for (var rr = max(r, REACH_RHO) - REACH_RHO; rr < min(r + REACH_RHO + 1u, RHOS); rr++) {
            if responses[base + tt * RHOS + rr] > v {
                return;
            }
        }
    }
    let place = atomicAdd(&ranges[frame * 8u + 7u], 1u);
    if place < MOST {
        maxima[(frame * MOST + place) * 2u] = (t << 16u) | r;
        maxima[(frame * MOST + place) * 2u + 1u] = bitcast<u32>(v);
    }
}
