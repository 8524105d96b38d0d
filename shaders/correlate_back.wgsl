// Transforms of rows back to correlations, LINES rows a workgroup, in place. Real and imaginary part are still exchanged:
// the first image of a pair is the imaginary one.
struct Params {
    groups: u32,
    chunks: u32,  // workgroups of one pair
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> roots: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read_write> planes: array<vec2<f32>>;

@compute @workgroup_size(THREADS)
fn back(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let group = group_number(id, groups);
    if group >= p.groups {
        return;
    }
    let first = group % p.chunks * LINES;
    let at = (group / p.chunks * HEIGHT + first) * LENGTH;
    let size = min(LINES, HEIGHT - first) * LENGTH;
    for (var i = local; i < LINES * LENGTH; i += THREADS) {
        var z = vec2<f32>(0.0);
        if i < size {
            z = planes[at + i];
        }
        sh_data[i] = z;
    }
    workgroupBarrier();
    transform(local);
    for (var i = local; i < size; i += THREADS) {
        planes[at + i] = sh_data[i];
    }
}
