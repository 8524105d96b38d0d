// Joint fit of a frame: zero, a and b from the pixels of all its disks by Fisher scoring. One workgroup takes a frame, each of its threads
// every THREADS-th spot; the six equations are solved by one thread. Positions are relative to the pixel nearest to where a spot is
// expected, steps relative to the start, so that float32 keeps them to 1e-7 px.
struct Params {
    groups: u32,
    first_frame: u32,  // of the round, in the block
    stride: u32,       // words of a frame
    height: u32,
    width: u32,
    radius: f32,
    edge: f32,
    smooth_edge: u32,  // 1: the mean over a pixel's width
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> frames: array<u32>;
// Of each frame: first spot, number of spots, radius of the windows squared, pixels enough for a window (floats).
@group(0) @binding(2) var<storage, read> heads: array<vec4<u32>>;
// Of each spot: pixel (y in the low half), indices (h in the low half), position relative to the pixel (floats).
@group(0) @binding(3) var<storage, read> spots: array<vec4<u32>>;
// A bit for each pixel of a frame: it holds no data in any. Read if MASKED.
@group(0) @binding(4) var<storage, read> masked: array<u32>;
// Of each spot: amplitude (negative: not used), background, their change in this step, and what the step changes of that (2 × 2).
@group(0) @binding(5) var<storage, read_write> own: array<vec4<f32>>;
// Of each frame: 6 steps, 18 sums of the Fisher matrix, χ², pixels, spots, steps, status, scatter of spots and its number.
@group(0) @binding(6) var<storage, read_write> fits: array<f32>;

const THREADS = 64u;
const VALUES = 27u;
const CHI2 = 24u;
// Of the spots' own positions: what they disagree with the lattice, and how many numbers do.
const SCATTER = 25u;
const SCATTERED = 26u;

var<workgroup> sh_sums: array<f32, VALUES * THREADS>;
// The step, its length squared, the factor it is taken with.
var<workgroup> sh_step: array<f32, 8>;
var<workgroup> sh_reach: atomic<u32>;
var<workgroup> sh_gone: atomic<u32>;
var<workgroup> sh_state: u32;

var<private> sums: array<f32, VALUES>;
var<private> moved: array<f32, 6>;

// Adds what all threads have; the result is in `sum_of`.
fn total(local: u32) {
    workgroupBarrier();
    for (var k = 0u; k < VALUES; k++) {
        sh_sums[k * THREADS + local] = sums[k];
    }
    workgroupBarrier();
    for (var half = THREADS / 2u; half > 0u; half >>= 1u) {
        if local < half {
            for (var k = 0u; k < VALUES; k++) {
                sh_sums[k * THREADS + local] += sh_sums[k * THREADS + local + half];
            }
        }
        workgroupBarrier();
    }
}
fn sum_of(k: u32) -> f32 {
    return sh_sums[k * THREADS];
}

// Profile of a disk and its derivative by the radius, at a distance from the centre.
fn profile(distance: f32) -> vec2<f32> {
    let u = p.radius - distance;
    let half = 0.5 * (p.edge + f32(p.smooth_edge));
    if u >= half {
        return vec2<f32>(1.0, 0.0);
    }
    if u <= -half {
        return vec2<f32>(0.0);
    }
    if p.smooth_edge == 0u {
        return vec2<f32>(u / p.edge + 0.5, 1.0 / p.edge);
    }
    let inner = 0.5 * (p.edge - 1.0);
    let t = max(vec4<f32>(u) + vec4<f32>(half, inner, -inner, -half), vec4<f32>(0.0));
    let signs = vec4<f32>(1.0, -1.0, -1.0, 1.0);
    return vec2<f32>(dot(signs, t * t) / (2.0 * p.edge), dot(signs, t) / p.edge);
}

fn indices_of(spot: vec4<u32>) -> vec2<f32> {
    let packed = bitcast<i32>(spot.y);
    return vec2<f32>(f32((packed << 16u) >> 16u), f32(packed >> 16u));
}
// Where a step moves a spot with these indices.
fn shift(s: ptr<private, array<f32, 6>>, index: vec2<f32>) -> vec2<f32> {
    return vec2<f32>((*s)[0] + index.x * (*s)[2] + index.y * (*s)[4], (*s)[1] + index.x * (*s)[3] + index.y * (*s)[5]);
}
fn step_of(index: vec2<f32>) -> vec2<f32> {
    return vec2<f32>(
        sh_step[0] + index.x * sh_step[2] + index.y * sh_step[4],
        sh_step[1] + index.x * sh_step[3] + index.y * sh_step[5],
    );
}
fn place(spot: vec4<u32>) -> vec2<f32> {
    return vec2<f32>(bitcast<f32>(spot.z), bitcast<f32>(spot.w)) + shift(&moved, indices_of(spot));
}

// A pixel of a window: its value above the pedestal, and 1 if it counts.
fn pixel(start: u32, spot: vec4<u32>, at: vec2<i32>, window2: f32) -> vec2<f32> {
    let y = i32(spot.x & 0xffffu) + at.x;
    let x = i32(spot.x >> 16u) + at.y;
    let away = vec2<f32>(at);
    if y < 0 || x < 0 || y >= i32(p.height) || x >= i32(p.width) || dot(away, away) > window2 {
        return vec2<f32>(0.0);
    }
    let i = u32(y) * p.width + u32(x);
    if MASKED && ((masked[i / 32u] >> (i % 32u)) & 1u) != 0u {
        return vec2<f32>(0.0);
    }
    let word = frames[start + i / LANES];
    if missing(word) {
        return vec2<f32>(0.0);
    }
    return vec2<f32>(value(word, i % LANES) - PEDESTAL, 1.0);
}

// First amplitudes and backgrounds, as far as one spot tells: mean of the pixels beyond the disk, sums of the profile squared, of profile
// times pixel, and of the profile; of all: pixels, their sum, spots.
fn gather(local: u32, head: vec4<u32>, start: u32) {
    let window2 = bitcast<f32>(head.z);
    let reach = i32(ceil(sqrt(window2)));
    let slope = 1.0 / (p.edge + f32(p.smooth_edge));
    let rim = p.radius + 0.5 * (p.edge + f32(p.smooth_edge));
    for (var k = 0u; k < VALUES; k++) {
        sums[k] = 0.0;
    }
    for (var n = local; n < head.y; n += THREADS) {
        let spot = spots[head.x + n];
        let centre = place(spot);
        var count = 0.0;
        var all = 0.0;
        var beyond = vec2<f32>(0.0);
        var disk = vec3<f32>(0.0);
        for (var y = -reach; y <= reach; y++) {
            for (var x = -reach; x <= reach; x++) {
                let v = pixel(start, spot, vec2<i32>(y, x), window2);
                if v.y > 0.0 {
                    // A ramp is near enough to either profile for a start.
                    let s = clamp((rim - length(vec2<f32>(f32(y), f32(x)) - centre)) * slope, 0.0, 1.0);
                    count += 1.0;
                    all += v.x;
                    disk += vec3<f32>(s * s, s * v.x, s);
                    if s == 0.0 {
                        beyond += v;
                    }
                }
            }
        }
        let used = count >= bitcast<f32>(head.w);
        if used {
            sums[0] += count;
            sums[1] += all;
            sums[2] += 1.0;
        }
        own[2u * (head.x + n)] = vec4<f32>(select(-1.0, disk.x, used), select(0.0, beyond.x / beyond.y, beyond.y > 0.0), disk.yz);
    }
    total(local);
}

// Score, Fisher matrix and χ² at the present lattice; leaves in `own` how amplitudes and backgrounds follow a step.
fn accumulate(local: u32, head: vec4<u32>, start: u32, least: f32) {
    let window2 = bitcast<f32>(head.z);
    let reach = i32(ceil(sqrt(window2)));
    for (var k = 0u; k < VALUES; k++) {
        sums[k] = 0.0;
    }
    for (var n = local; n < head.y; n += THREADS) {
        let at = 2u * (head.x + n);
        let amplitude = own[at].x;
        let background = own[at].y;
        if amplitude < 0.0 {
            continue;
        }
        let spot = spots[head.x + n];
        let centre = place(spot);
        var score = vec2<f32>(0.0);
        // (s s, s, 1) / λ; the position's part; and both mixed.
        var block = vec3<f32>(0.0);
        var push = vec2<f32>(0.0);
        var curve = vec3<f32>(0.0);
        var mixed = vec4<f32>(0.0);
        var chi2 = 0.0;
        for (var y = -reach; y <= reach; y++) {
            for (var x = -reach; x <= reach; x++) {
                let v = pixel(start, spot, vec2<i32>(y, x), window2);
                if v.y == 0.0 {
                    continue;
                }
                let d = vec2<f32>(f32(y), f32(x)) - centre;
                let away = length(d);
                let s = profile(away);
                let expected = max(background + amplitude * s.x, least);
                let weight = 1.0 / expected;
                let rest = v.x - expected;
                chi2 += rest * rest * weight;
                score += vec2<f32>(s.x, 1.0) * (rest * weight);
                block += vec3<f32>(s.x * s.x, s.x, 1.0) * weight;
                if s.y > 0.0 && away > 0.0 {
                    let g = d * (amplitude * s.y / away);
                    push += g * (rest * weight);
                    curve += vec3<f32>(g.x * g.x, g.x * g.y, g.y * g.y) * weight;
                    mixed += vec4<f32>(s.x * g, g) * weight;
                }
            }
        }
        let determinant = block.x * block.z - block.y * block.y;
        var inverse = vec3<f32>(0.0);
        if determinant > 1e-6 * block.x * block.z {
            inverse = vec3<f32>(block.z, -block.y, block.x) / determinant;
        }
        let first = inverse.x * mixed.xy + inverse.y * mixed.zw;
        let second = inverse.y * mixed.xy + inverse.z * mixed.zw;
        own[at] = vec4<f32>(
            amplitude,
            background,
            inverse.x * score.x + inverse.y * score.y,
            inverse.y * score.x + inverse.z * score.y,
        );
        own[at + 1u] = vec4<f32>(first, second);
        let force = push - first * score.x - second * score.y;
        let matrix = vec3<f32>(
            curve.x - mixed.x * first.x - mixed.z * second.x,
            curve.y - mixed.x * first.y - mixed.z * second.y,
            curve.z - mixed.y * first.y - mixed.w * second.y,
        );
        let index = indices_of(spot);
        var factors = array<f32, 3>(1.0, index.x, index.y);
        var k = 6u;
        for (var i = 0u; i < 3u; i++) {
            sums[2u * i] += factors[i] * force.x;
            sums[2u * i + 1u] += factors[i] * force.y;
            for (var j = i; j < 3u; j++) {
                let f = factors[i] * factors[j];
                sums[k] += f * matrix.x;
                sums[k + 1u] += f * matrix.y;
                sums[k + 2u] += f * matrix.z;
                k += 3u;
            }
        }
        sums[CHI2] += chi2;
        let own_position = matrix.x * matrix.z - matrix.y * matrix.y;
        if own_position > 1e-4 * matrix.x * matrix.z {
            let apart = force.x * force.x * matrix.z - 2.0 * force.x * force.y * matrix.y + force.y * force.y * matrix.x;
            sums[SCATTER] += apart / own_position;
            sums[SCATTERED] += 2.0;
        }
    }
    total(local);
}

// Element (i, j) of the Fisher matrix.
fn element(i: u32, j: u32) -> f32 {
    let one = min(i / 2u, j / 2u);
    let two = max(i / 2u, j / 2u);
    return sum_of(6u + 3u * (one * (5u - one) / 2u + two) + i % 2u + j % 2u);
}

// Solves for the step and its length squared by Cholesky's decomposition; false if the unknowns are not determined.
fn solve() -> bool {
    var l: array<f32, 36>;
    for (var i = 0u; i < 6u; i++) {
        for (var j = 0u; j <= i; j++) {
            var rest = element(i, j);
            for (var k = 0u; k < j; k++) {
                rest -= l[6u * i + k] * l[6u * j + k];
            }
            if i == j {
                if !(rest > 1e-5 * element(i, i)) {
                    return false;
                }
                l[6u * i + i] = sqrt(rest);
            } else {
                l[6u * i + j] = rest / l[6u * j + j];
            }
        }
    }
    var x: array<f32, 6>;
    for (var i = 0u; i < 6u; i++) {
        var rest = sum_of(i);
        for (var k = 0u; k < i; k++) {
            rest -= l[6u * i + k] * x[k];
        }
        x[i] = rest / l[6u * i + i];
    }
    for (var n = 0u; n < 6u; n++) {
        let i = 5u - n;
        for (var k = i + 1u; k < 6u; k++) {
            x[i] -= l[6u * k + i] * x[k];
        }
        x[i] /= l[6u * i + i];
    }
    var length2 = 0.0;
    for (var i = 0u; i < 6u; i++) {
        sh_step[i] = x[i];
        length2 += x[i] * sum_of(i);
    }
    sh_step[6] = max(length2, 0.0);
    return true;
}

const CONVERGED = 0u;
const SLOW = 1u;
const LOST = 2u;
const UNDETERMINED = 3u;
const GOES_ON = 4u;

@compute @workgroup_size(64)
fn fit(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let group = group_number(id, groups);
    if group >= p.groups {
        return;
    }
    let head = heads[group];
    let start = (p.first_frame + group) * p.stride;
    for (var i = 0u; i < 6u; i++) {
        moved[i] = 0.0;
    }
    gather(local, head, start);
    let pixels = sum_of(0u);
    let used = sum_of(2u);
    let least = FLOOR * sum_of(1u) / max(pixels, 1.0);
    let freedom = max(pixels - 2.0 * used - 6.0, 1.0);
    for (var n = local; n < head.y; n += THREADS) {
        let at = 2u * (head.x + n);
        let sum = own[at];
        if sum.x >= 0.0 {
            let background = max(sum.y, least);
            let amplitude = select(0.0, (sum.z - background * sum.w) / sum.x, sum.x > 0.0);
            own[at] = vec4<f32>(max(amplitude, least), background, 0.0, 0.0);
        }
    }
    if local == 0u {
        sh_state = select(UNDETERMINED, GOES_ON, used >= 3.0 && least > 0.0);
    }
    var state = workgroupUniformLoad(&sh_state);
    var steps = 0u;
    // What only the first thread keeps.
    var damping = 1.0;
    var before = FAR;
    var arrived = false;
    loop {
        if state != GOES_ON {
            break;
        }
        steps += 1u;
        accumulate(local, head, start, least);
        if local == 0u {
            sh_state = select(UNDETERMINED, GOES_ON, solve());
            atomicStore(&sh_reach, 0u);
            atomicStore(&sh_gone, 0u);
        }
        state = workgroupUniformLoad(&sh_state);
        if state != GOES_ON {
            break;
        }
        // Floats that are not negative have the order of their bits.
        for (var n = local; n < head.y; n += THREADS) {
            if own[2u * (head.x + n)].x >= 0.0 {
                atomicMax(&sh_reach, bitcast<u32>(length(step_of(indices_of(spots[head.x + n])))));
            }
        }
        workgroupBarrier();
        if local == 0u {
            let reach = bitcast<f32>(atomicLoad(&sh_reach));
            let far = sqrt(sh_step[6]) / max(sqrt(sum_of(CHI2) / freedom), 1e-9);
            let whole = min(0.5 / reach, 1.0);
            let settling = far < 1.0 || steps > 10u;
            if settling && far > 0.7 * before {
                damping *= 0.5;
            }
            before = far;
            arrived = whole == 1.0 && ((settling && damping * far < ENOUGH) || damping * reach < NOTHING);
            sh_step[7] = whole * damping;
        }
        workgroupBarrier();
        let scale = sh_step[7];
        for (var i = 0u; i < 6u; i++) {
            moved[i] += scale * sh_step[i];
        }
        for (var n = local; n < head.y; n += THREADS) {
            let at = 2u * (head.x + n);
            let now = own[at];
            if now.x >= 0.0 {
                let spot = spots[head.x + n];
                let seen = scale * step_of(indices_of(spot));
                let follows = own[at + 1u];
                let change = now.zw - vec2<f32>(dot(follows.xy, seen), dot(follows.zw, seen));
                own[at] = vec4<f32>(max(now.xy + change, vec2<f32>(least)), now.zw);
                let away = length(place(spot));
                if !(away <= p.radius + 0.5 * (p.edge + f32(p.smooth_edge)) + 0.75) {
                    atomicMax(&sh_gone, 1u);
                }
            }
        }
        workgroupBarrier();
        if local == 0u {
            if atomicLoad(&sh_gone) != 0u {
                sh_state = LOST;
            } else if arrived {
                sh_state = CONVERGED;
            } else if steps >= STEPS {
                sh_state = SLOW;
            }
        }
        state = workgroupUniformLoad(&sh_state);
    }
    accumulate(local, head, start, least);
    if local == 0u {
        let to = 32u * group;
        for (var i = 0u; i < 6u; i++) {
            fits[to + i] = moved[i];
        }
        for (var k = 6u; k <= CHI2; k++) {
            fits[to + k] = sum_of(k);
        }
        fits[to + 25u] = pixels;
        fits[to + 26u] = used;
        fits[to + 27u] = f32(steps);
        fits[to + 28u] = f32(state);
        fits[to + 29u] = sum_of(SCATTER);
        fits[to + 30u] = sum_of(SCATTERED);
    }
}
