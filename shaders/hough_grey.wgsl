// Votes of the pixels of each pattern: grey values over 0 … 255, Otsu's threshold, one byte a pixel. One workgroup a pattern.
// Constants from the host: PIXELS, VOTE_WORDS, SPREAD (grey values are made first), GREY (pixels vote with their value), FLOATS.
struct Params {
    first: u32,   // first frame of the round in the block
    count: u32,
    stride: u32,  // words of a frame
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> frames: array<u32>;
// For each threshold the brightest grey value that does not count.
@group(0) @binding(2) var<storage, read> limits: array<u32>;
@group(0) @binding(3) var<storage, read_write> votes: array<u32>;

var<workgroup> sh_low: array<f32, 256>;
var<workgroup> sh_high: array<f32, 256>;
var<workgroup> sh_bins: array<atomic<u32>, 256>;
var<workgroup> sh_limit: u32;

// 255 / d, correctly rounded as the CPU does it: division may be off by some bits here. d is a positive normal number.
fn scale_of(d: f32) -> f32 {
    let bits = bitcast<u32>(d);
    let divisor = (bits & 0x7fffffu) | 0x800000u;
    var exponent = 134 - i32(bits >> 23u);
    var rest = 255u << 16u;
    var steps = 23u;
    var quotient = 0u;
    if rest >= divisor {
        rest -= divisor;
        quotient = 1u;
    } else {
        steps = 24u;
        exponent -= 1;
    }
    for (var i = 0u; i < steps; i++) {
        rest <<= 1u;
        quotient <<= 1u;
        if rest >= divisor {
            rest -= divisor;
            quotient |= 1u;
        }
    }
    let twice = rest << 1u;
    if twice > divisor || (twice == divisor && (quotient & 1u) == 1u) {
        quotient++;
    }
    if quotient == 0x1000000u {
        quotient >>= 1u;
        exponent++;
    }
    if exponent <= -127 || exponent > 127 {
        return 0.0;
    }
    return bitcast<f32>((u32(exponent + 127) << 23u) | (quotient & 0x7fffffu));
}

// Numbers of up to 128 bits, lowest word first.
fn product(a: u32, b: u32) -> vec2<u32> {
    let al = a & 0xffffu;
    let ah = a >> 16u;
    let bl = b & 0xffffu;
    let bh = b >> 16u;
    let low = al * bl;
    let middle = ah * bl + (low >> 16u);
    let other = al * bh + (middle & 0xffffu);
    return vec2<u32>((other << 16u) | (low & 0xffffu), ah * bh + (middle >> 16u) + (other >> 16u));
}
fn times(a: vec4<u32>, b: u32) -> vec4<u32> {
    var out = vec4<u32>(0u);
    var carry = 0u;
    for (var i = 0u; i < 4u; i++) {
        let part = product(a[i], b);
        out[i] = part.x + carry;
        carry = part.y + select(0u, 1u, out[i] < carry);
    }
    return out;
}
fn plus(a: vec4<u32>, b: vec4<u32>) -> vec4<u32> {
    var out = vec4<u32>(0u);
    var carry = 0u;
    for (var i = 0u; i < 4u; i++) {
        let sum = a[i] + b[i];
        out[i] = sum + carry;
        carry = select(0u, 1u, sum < a[i] || out[i] < sum);
    }
    return out;
}
fn times_wide(a: vec4<u32>, b: vec2<u32>) -> vec4<u32> {
    let high = times(a, b.y);
    return plus(times(a, b.x), vec4<u32>(0u, high.x, high.y, high.z));
}
fn greater(a: vec4<u32>, b: vec4<u32>) -> bool {
    for (var i = 3i; i >= 0i; i--) {
        if a[i] != b[i] {
            return a[i] > b[i];
        }
    }
    return false;
}
// |a − b|
fn distance_of(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let less = a.y < b.y || (a.y == b.y && a.x < b.x);
    let most = select(a, b, less);
    let least = select(b, a, less);
    return vec2<u32>(most.x - least.x, most.y - least.y - select(0u, 1u, most.x < least.x));
}

// Otsu's threshold of the counts: (m·T − n·M)² / (n·(T − n)) is largest, compared as fractions of whole numbers.
fn otsu() -> u32 {
    var moment = 0u;
    var first = 256u;
    var last = 0u;
    for (var v = 0u; v < 256u; v++) {
        let c = atomicLoad(&sh_bins[v]);
        moment += v * c;
        if c > 0u {
            first = min(first, v);
            last = v;
        }
    }
    var best = first;
    var best_above = vec4<u32>(0u);
    var best_below = vec2<u32>(1u, 0u);
    var n = 0u;
    var m = 0u;
    for (var v = first; v < last; v++) {
        n += atomicLoad(&sh_bins[v]);
        m += v * atomicLoad(&sh_bins[v]);
        let gap = distance_of(product(m, PIXELS), product(n, moment));
        let above = times_wide(vec4<u32>(gap, 0u, 0u), gap);
        let below = product(n, PIXELS - n);
        if greater(times_wide(above, best_below), times_wide(best_above, below)) {
            best = v;
            best_above = above;
            best_below = below;
        }
    }
    return best;
}

fn grey(start: u32, pixel: u32, low: f32, scale: f32) -> u32 {
    let word = frames[start + pixel / LANES];
    if missing(word) {
        return 0u;
    }
    let v = value(word, pixel % LANES);
    if !SPREAD {
        return u32(v);
    }
    return u32(clamp((v - low) * scale, 0.0, 255.0));
}

@compute @workgroup_size(256)
fn cast_votes(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    // Workgroups beyond the last pattern repeat it: barriers must be met by all.
    let frame = min(group_number(id, groups), p.count - 1u);
    let start = (p.first + frame) * p.stride;
    var low = 3.4028235e38;
    var high = -3.4028235e38;
    if SPREAD {
        for (var i = local; i < PIXELS; i += 256u) {
            let word = frames[start + i / LANES];
            if !missing(word) {
                let v = value(word, i % LANES);
                low = min(low, v);
                high = max(high, v);
            }
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
        high = sh_high[0];
    }
    var scale = 0.0;
    if high > low {
        scale = scale_of(high - low);
    }
    atomicStore(&sh_bins[local], 0u);
    workgroupBarrier();
    if !GREY {
        for (var i = local; i < PIXELS; i += 256u) {
            atomicAdd(&sh_bins[grey(start, i, low, scale)], 1u);
        }
    }
    workgroupBarrier();
    if local == 0u {
        sh_limit = 0u;
        if !GREY {
            sh_limit = limits[otsu()];
        }
    }
    workgroupBarrier();
    for (var w = local; w < VOTE_WORDS; w += 256u) {
        var word = 0u;
        for (var k = 0u; k < 4u; k++) {
            if 4u * w + k < PIXELS {
                let v = grey(start, 4u * w + k, low, scale);
                word |= select(select(0u, 1u, v > sh_limit), v, GREY) << (8u * k);
            }
        }
        votes[frame * VOTE_WORDS + w] = word;
    }
}
