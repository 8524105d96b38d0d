// Moments of float32 pixels over the frames of each leaf, about the leaf's first frame, in frame order.
// A thread takes one pixel of one leaf.
struct Params {
    stride: u32,   // words of a frame
    chunks: u32,   // workgroups of one leaf
    planes: u32,   // planes of a slot
    first: u32,    // first row of `leaves` in this dispatch
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> frames: array<f32>;
// First frame in the block, frames, slot to go on from or NONE, slot to leave the state in.
@group(0) @binding(2) var<storage, read> leaves: array<vec4<u32>>;
// Slots of `planes` planes: shift, Σ(x−shift) [, Σ(x−shift)²] [, least, greatest].
@group(0) @binding(3) var<storage, read_write> slots: array<f32>;

override SQUARES: bool = true;
override EXTREMA: bool = true;
const NONE = 0xffffffffu;

@compute @workgroup_size(256)
fn accumulate(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let group = group_number(id, groups);
    let row = p.first + group / p.chunks;
    let word = (group % p.chunks) * 256u + local;
    if word >= p.stride || row >= arrayLength(&leaves) {
        return;
    }
    let leaf = leaves[row];
    let extrema = select(2u, 3u, SQUARES);
    var shift: f32;
    var s1 = 0.0;
    var s2 = 0.0;
    var least: f32;
    var most: f32;
    if leaf.z != NONE {
        let at = leaf.z * p.planes * p.stride + word;
        shift = slots[at];
        s1 = slots[at + p.stride];
        if SQUARES {
            s2 = slots[at + 2u * p.stride];
        }
        if EXTREMA {
            least = slots[at + extrema * p.stride];
            most = slots[at + (extrema + 1u) * p.stride];
        }
    } else {
        shift = frames[leaf.x * p.stride + word];
        least = shift;
        most = shift;
    }
    for (var f = 0u; f < leaf.y; f++) {
        let x = frames[(leaf.x + f) * p.stride + word];
        let d = x - shift;
        s1 += d;
        if SQUARES {
            s2 += d * d;
        }
        if EXTREMA {
            least = min(least, x);
            most = max(most, x);
        }
    }
    let at = leaf.w * p.planes * p.stride + word;
    slots[at] = shift;
    slots[at + p.stride] = s1;
    if SQUARES {
        slots[at + 2u * p.stride] = s2;
    }
    if EXTREMA {
        slots[at + extrema * p.stride] = least;
        slots[at + (extrema + 1u) * p.stride] = most;
    }
}
