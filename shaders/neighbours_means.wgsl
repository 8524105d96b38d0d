// Weighted means of frames, pixel by pixel. A workgroup takes 256 pixels of one output.
struct Params {
    first: u32,   // output of the lists
    count: u32,   // outputs
    stride: u32,  // words of a frame
    pixels: u32,
    chunks: u32,  // workgroups of an output
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> frames: array<u32>;
// End of each list in `members`, after a leading 0.
@group(0) @binding(2) var<storage, read> ends: array<u32>;
// Frame and weight (bits).
@group(0) @binding(3) var<storage, read> members: array<vec2<u32>>;
@group(0) @binding(4) var<storage, read_write> means: array<u32>;

@compute @workgroup_size(256)
fn mean(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let group = group_number(id, groups);
    let output = group / p.chunks;
    let pixel = group % p.chunks * 256u + local;
    if output >= p.count || pixel >= p.pixels {
        return;
    }
    var sum = 0.0;
    var total = 0.0;
    for (var i = ends[p.first + output]; i < ends[p.first + output + 1u]; i++) {
        let member = members[i];
        let word = frames[member.x * p.stride + pixel / LANES];
        if !missing(word) {
            let weight = bitcast<f32>(member.y);
            sum += weight * value(word, pixel % LANES);
            total += weight;
        }
    }
    // Not a number where nothing was summed.
    means[output * p.pixels + pixel] = select(0x7fc00000u, bitcast<u32>(sum / total), total > 0.0);
}
