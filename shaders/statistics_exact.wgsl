// Exact sums, sums of squares and extrema of integer pixels over the frames of a block, added to what the device holds.
// A workgroup takes 32 words of the frame by 8 rows; row r takes frames r, r + 8, …, and row 0 adds the rows up.
struct Params {
    first_frame: u32,  // number in the block
    count: u32,   // frames, at most 2^18: narrow partial sums stay below 2^32
    stride: u32,  // words of a frame
    fresh: u32,   // 1: the state holds nothing yet
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> frames: array<u32>;
// Planes of `stride` words: low and high.
@group(0) @binding(2) var<storage, read_write> sums: array<V>;
// Low, high, and for 32-bit pixels top.
@group(0) @binding(3) var<storage, read_write> squares: array<V>;
// Least, greatest.
@group(0) @binding(4) var<storage, read_write> extrema: array<V>;

override SQUARES: bool = true;
override EXTREMA: bool = true;
const COLUMNS = 32u;
const ROWS = 8u;

var<workgroup> sh_a: array<V, 256>;
var<workgroup> sh_b: array<V, 256>;
var<workgroup> sh_c: array<V, 256>;

fn carry(sum: V, added: V) -> V {
    return select(V(0u), V(1u), sum < added);
}

@compute @workgroup_size(256)
fn accumulate(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let word = group_number(id, groups) * COLUMNS + local % COLUMNS;
    let row = local / COLUMNS;
    let live = word < p.stride;
    var s0 = V(0u);
    var s1 = V(0u);
    var q0 = V(0u);
    var q1 = V(0u);
    var q2 = V(0u);
    var least = V(0xffffffffu);
    var most = V(0u);
    if live {
        for (var f = row; f < p.count; f += ROWS) {
            let v = unpack(frames[(p.first_frame + f) * p.stride + word]);
            s0 += v;
            if BITS == 32u {
                s1 += carry(s0, v);
            }
            if SQUARES {
                if BITS < 32u {
                    let square = v * v;
                    q0 += square;
                    if BITS == 16u {
                        q1 += carry(q0, square);
                    }
                } else {
                    // v² from 16-bit halves: b²·2³² + ab·2¹⁷ + a².
                    let a = v & V(0xffffu);
                    let b = v >> V(16u);
                    let ab = a * b;
                    let a2 = a * a;
                    let low = a2 + (ab << V(17u));
                    let high = b * b + (ab >> V(15u)) + carry(low, a2);
                    q0 += low;
                    let c = carry(q0, low);
                    q1 += c;
                    // A carry can ripple only out of a q1 that was all ones.
                    q2 += carry(q1, c);
                    q1 += high;
                    q2 += carry(q1, high);
                }
            }
            if EXTREMA {
                least = min(least, v);
                most = max(most, v);
            }
        }
    }
    sh_a[local] = s0;
    sh_b[local] = s1;
    workgroupBarrier();
    let owner = live && row == 0u;
    if owner {
        if p.fresh == 0u {
            let t = sums[word];
            s0 += t;
            s1 += sums[p.stride + word] + carry(s0, t);
        }
        for (var r = 1u; r < ROWS; r++) {
            let t = sh_a[r * COLUMNS + local];
            s0 += t;
            s1 += sh_b[r * COLUMNS + local] + carry(s0, t);
        }
        sums[word] = s0;
        sums[p.stride + word] = s1;
    }
    if SQUARES {
        workgroupBarrier();
        sh_a[local] = q0;
        sh_b[local] = q1;
        sh_c[local] = q2;
        workgroupBarrier();
        if owner {
            for (var r = select(1u, 0u, p.fresh == 0u); r < ROWS; r++) {
                var t0 = sh_a[r * COLUMNS + local];
                var t1 = sh_b[r * COLUMNS + local];
                var t2 = sh_c[r * COLUMNS + local];
                if r == 0u {
                    // This row's own sums are in registers: row 0 stands for the state.
                    t0 = squares[word];
                    t1 = squares[p.stride + word];
                    if BITS == 32u {
                        t2 = squares[2u * p.stride + word];
                    }
                }
                q0 += t0;
                let c = carry(q0, t0);
                q1 += c;
                q2 += carry(q1, c);
                q1 += t1;
                q2 += carry(q1, t1) + t2;
            }
            squares[word] = q0;
            squares[p.stride + word] = q1;
            if BITS == 32u {
                squares[2u * p.stride + word] = q2;
            }
        }
    }
    if EXTREMA {
        workgroupBarrier();
        sh_a[local] = least;
        sh_b[local] = most;
        workgroupBarrier();
        if owner {
            if p.fresh == 0u {
                least = min(least, extrema[word]);
                most = max(most, extrema[p.stride + word]);
            }
            for (var r = 1u; r < ROWS; r++) {
                least = min(least, sh_a[r * COLUMNS + local]);
                most = max(most, sh_b[r * COLUMNS + local]);
            }
            extrema[word] = least;
            extrema[p.stride + word] = most;
        }
    }
}
