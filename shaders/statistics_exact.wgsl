// Exact sums, sums of squares and extrema of integer pixels over the frames of a block, added to what the device holds.
// A workgroup takes 32 words of the frame by 8 rows, and one share of the frames: row r takes frames r, r + 8, … of it, row 0 adds
// the rows up and adds them to the state with atomics on integers, whose order does not matter.
struct Params {
    first_frame: u32,  // number in the block
    count: u32,        // frames
    stride: u32,       // words of a frame
    chunks: u32,       // workgroups of one share
    share: u32,        // frames of a share, at most 2^18: narrow partial sums stay below 2^32
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> frames: array<u32>;
// Planes of a number for each pixel of the padded frame: low and high words.
@group(0) @binding(2) var<storage, read_write> sums: array<atomic<u32>>;
// Low, high, and for 32-bit pixels top.
@group(0) @binding(3) var<storage, read_write> squares: array<atomic<u32>>;
// Greatest complement, that is the complement of the least, and greatest: both begin with zero.
@group(0) @binding(4) var<storage, read_write> extrema: array<atomic<u32>>;

override SQUARES: bool = true;
override EXTREMA: bool = true;
const COLUMNS = 32u;
const ROWS = 8u;

var<workgroup> sh_a: array<V, 256>;
var<workgroup> sh_b: array<V, 256>;
var<workgroup> sh_c: array<V, 256>;

// What a thread has seen: words of Σx and Σx², least, greatest.
struct Seen {
    s0: V,
    s1: V,
    q0: V,
    q1: V,
    q2: V,
    least: V,
    most: V,
}

fn carry(sum: V, added: V) -> V {
    return select(V(0u), V(1u), sum < added);
}

fn take(t: ptr<function, Seen>, v: V) {
    (*t).s0 += v;
    if BITS == 32u {
        (*t).s1 += carry((*t).s0, v);
    }
    if SQUARES {
        if BITS < 32u {
            let square = v * v;
            (*t).q0 += square;
            if BITS == 16u {
                (*t).q1 += carry((*t).q0, square);
            }
        } else {
            // v² from 16-bit halves: b²·2³² + ab·2¹⁷ + a².
            let a = v & V(0xffffu);
            let b = v >> V(16u);
            let ab = a * b;
            let a2 = a * a;
            let low = a2 + (ab << V(17u));
            let high = b * b + (ab >> V(15u)) + carry(low, a2);
            (*t).q0 += low;
            let c = carry((*t).q0, low);
            (*t).q1 += c;
            // A carry can ripple only out of a q1 that was all ones.
            (*t).q2 += carry((*t).q1, c);
            (*t).q1 += high;
            (*t).q2 += carry((*t).q1, high);
        }
    }
    if EXTREMA {
        (*t).least = min((*t).least, v);
        (*t).most = max((*t).most, v);
    }
}

// Adds to a word of `sums`: 1 if it overflows.
fn add_to_sums(at: u32, v: u32) -> u32 {
    return select(0u, 1u, v != 0u && atomicAdd(&sums[at], v) > 0xffffffffu - v);
}
fn add_to_squares(at: u32, v: u32) -> u32 {
    return select(0u, 1u, v != 0u && atomicAdd(&squares[at], v) > 0xffffffffu - v);
}

@compute @workgroup_size(256)
fn accumulate(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let group = group_number(id, groups);
    let word = group % p.chunks * COLUMNS + local % COLUMNS;
    let row = local / COLUMNS;
    let begin = group / p.chunks * p.share;
    let live = word < p.stride && begin < p.count;
    let end = min(begin + p.share, p.count);
    var t: Seen;
    t.least = V(0xffffffffu);
    if live {
        var at = (p.first_frame + begin + row) * p.stride + word;
        let step = ROWS * p.stride;
        var f = begin + row;
        // Four loads on their way at a time.
        for (; f + 3u * ROWS < end; f += 4u * ROWS) {
            let a = frames[at];
            let b = frames[at + step];
            let c = frames[at + 2u * step];
            let d = frames[at + 3u * step];
            take(&t, unpack(a));
            take(&t, unpack(b));
            take(&t, unpack(c));
            take(&t, unpack(d));
            at += 4u * step;
        }
        for (; f < end; f += ROWS) {
            take(&t, unpack(frames[at]));
            at += step;
        }
    }
    let owner = live && row == 0u;
    let plane = p.stride * LANES;
    sh_a[local] = t.s0;
    sh_b[local] = t.s1;
    workgroupBarrier();
    if owner {
        for (var r = 1u; r < ROWS; r++) {
            let added = sh_a[r * COLUMNS + local];
            t.s0 += added;
            t.s1 += sh_b[r * COLUMNS + local] + carry(t.s0, added);
        }
        for (var lane = 0u; lane < LANES; lane++) {
            let at = word * LANES + lane;
            let over = add_to_sums(at, lane_of(t.s0, lane));
            _ = add_to_sums(plane + at, lane_of(t.s1, lane) + over);
        }
    }
    if SQUARES {
        workgroupBarrier();
        sh_a[local] = t.q0;
        sh_b[local] = t.q1;
        sh_c[local] = t.q2;
        workgroupBarrier();
        if owner {
            for (var r = 1u; r < ROWS; r++) {
                let t0 = sh_a[r * COLUMNS + local];
                let t1 = sh_b[r * COLUMNS + local];
                t.q0 += t0;
                let c = carry(t.q0, t0);
                t.q1 += c;
                t.q2 += carry(t.q1, c);
                t.q1 += t1;
                t.q2 += carry(t.q1, t1) + sh_c[r * COLUMNS + local];
            }
            for (var lane = 0u; lane < LANES; lane++) {
                let at = word * LANES + lane;
                let over = add_to_squares(at, lane_of(t.q0, lane));
                let high = lane_of(t.q1, lane) + over;
                let ripple = select(0u, 1u, high < over) + add_to_squares(plane + at, high);
                if BITS == 32u {
                    _ = add_to_squares(2u * plane + at, lane_of(t.q2, lane) + ripple);
                }
            }
        }
    }
    if EXTREMA {
        workgroupBarrier();
        sh_a[local] = t.least;
        sh_b[local] = t.most;
        workgroupBarrier();
        if owner {
            for (var r = 1u; r < ROWS; r++) {
                t.least = min(t.least, sh_a[r * COLUMNS + local]);
                t.most = max(t.most, sh_b[r * COLUMNS + local]);
            }
            for (var lane = 0u; lane < LANES; lane++) {
                let at = word * LANES + lane;
                let least = ~lane_of(t.least, lane);
                let most = lane_of(t.most, lane);
                // A look is cheaper than an atomic, and after the first blocks hardly any extremum moves.
                if atomicLoad(&extrema[at]) < least {
                    atomicMax(&extrema[at], least);
                }
                if atomicLoad(&extrema[plane + at]) < most {
                    atomicMax(&extrema[plane + at], most);
                }
            }
        }
    }
}
