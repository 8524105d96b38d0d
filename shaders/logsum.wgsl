// Sum of ln(f - min f + 1) over the frames of one label in one leaf. A thread takes one word of the frame; shifted pixels
// of a group of frames are multiplied before one logarithm.
struct Params {
    stride: u32,  // words of a frame
    chunks: u32,  // workgroups of one sum
    first: u32,   // first row of `sums` in this dispatch
    rows: u32,    // rows of `sums` that hold something
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> frames: array<u32>;
@group(0) @binding(2) var<storage, read> minima: array<u32>;
// Frame in the block and number of its group, sorted by leaf, label, frame.
@group(0) @binding(3) var<storage, read> order: array<vec2<u32>>;
// First and end in `order`, slot to go on from or NONE, slot to leave the sum in.
@group(0) @binding(4) var<storage, read> sums: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read_write> slots: array<F>;

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
    if word >= p.stride || row >= p.rows {
        return;
    }
    let s = sums[row];
    var total = F(0.0);
    if s.z != NONE {
        total = slots[s.z * p.stride + word];
    }
    if s.x < s.y {
        var product = F(1.0);
        var current = order[s.x].y;
        for (var i = s.x; i < s.y; i++) {
            let frame = order[i];
            if frame.y != current {
                total += ln(product);
                product = F(1.0);
                current = frame.y;
            }
            product *= shifted(unpack(frames[frame.x * p.stride + word]), minima[frame.x]);
        }
        total += ln(product);
    }
    slots[s.w * p.stride + word] = total;
}
