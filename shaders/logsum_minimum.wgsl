// Smallest pixel of every frame, as an unsigned number. One workgroup a frame.
struct Params {
    count: u32,   // frames
    stride: u32,  // words of a frame
    pixels: u32,  // pixels of a frame; what follows them in the last words is padding
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> frames: array<u32>;
@group(0) @binding(2) var<storage, read_write> minima: array<u32>;

var<workgroup> sh_least: array<u32, 256>;

@compute @workgroup_size(256)
fn minimum(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let frame = group_number(id, groups);
    var least = V(0xffffffffu);
    if frame < p.count {
        let words = (p.pixels + LANES - 1u) / LANES;
        for (var word = local; word < words; word += 256u) {
            let v = unpack(frames[frame * p.stride + word]);
            let inside = V(word * LANES) + lanes() < V(p.pixels);
            least = min(least, select(V(0xffffffffu), v, inside));
        }
    }
    sh_least[local] = smallest(least);
    workgroupBarrier();
    for (var half = 128u; half > 0u; half >>= 1u) {
        if local < half {
            sh_least[local] = min(sh_least[local], sh_least[local + half]);
        }
        workgroupBarrier();
    }
    if local == 0u && frame < p.count {
        minima[frame] = sh_least[0];
    }
}
