// Transforms of columns, product with the template's spectrum, transforms back; LINES columns a workgroup, in place.
struct Params {
    groups: u32,
    chunks: u32,  // workgroups of one pair
}
@group(0) @binding(0) var<uniform> p: Params;
// Row of the image at each place of the transform.
@group(0) @binding(1) var<storage, read> source: array<u32>;
@group(0) @binding(2) var<storage, read> roots: array<vec2<f32>>;
// Conjugate spectrum, LENGTH rows of COLUMNS.
@group(0) @binding(3) var<storage, read> spectrum: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read_write> planes: array<vec2<f32>>;

const NONE = 0xffffffffu;

@compute @workgroup_size(THREADS)
fn columns(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let group = group_number(id, groups);
    if group >= p.groups {
        return;
    }
    let plane = group / p.chunks * HEIGHT * COLUMNS;
    let first = group % p.chunks * LINES;
    for (var i = local; i < LINES * LENGTH; i += THREADS) {
        let x = first + i % LINES;
        let y = source[i / LINES];
        var z = vec2<f32>(0.0);
        if x < COLUMNS && y != NONE {
            z = planes[plane + y * COLUMNS + x];
        }
        sh_data[i] = z;
    }
    workgroupBarrier();
    transform(local);
    for (var i = local; i < LINES * LENGTH; i += THREADS) {
        let x = min(first + i % LINES, COLUMNS - 1u);
        // Exchanged parts turn the next forward transforms into inverse ones.
        sh_data[i] = times(sh_data[i], spectrum[i / LINES * COLUMNS + x]).yx;
    }
    workgroupBarrier();
    transform(local);
    for (var i = local; i < LINES * HEIGHT; i += THREADS) {
        let x = first + i % LINES;
        if x < COLUMNS {
            planes[plane + i / LINES * COLUMNS + x] = sh_data[i];
        }
    }
}
