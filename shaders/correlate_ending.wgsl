// Transforms back of the rows that a window needs, and what is found in the window: no map of correlations is written. One
// workgroup a window: LINES rows at a time are transformed in workgroup memory, and the window's columns of them are kept.
// First window, image of the first window, first position, first peak.
@group(0) @binding(1) var<storage, read> rows: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> positions: array<vec2<i32>>;
@group(0) @binding(3) var<storage, read> roots: array<vec2<f32>>;
// HEIGHT rows of LENGTH for each pair of images, columns transformed back, real and imaginary part exchanged.
@group(0) @binding(4) var<storage, read> planes: array<vec2<f32>>;
@group(0) @binding(5) var<storage, read_write> peaks: array<u32>;

var<workgroup> sh_map: array<f32, N * N>;

fn map_at(team: u32, y: u32, x: u32) -> f32 {
    return sh_map[y * N + x];
}

@compute @workgroup_size(THREADS)
fn ending(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let group = group_number(id, groups);
    if group >= p.groups {
        return;
    }
    let row = rows[row_of(group)];
    let number = group - row.x;
    let image = row.y;
    let origin = positions[row.z + number] - vec2<i32>(BEFORE);
    let plane = image / 2u * HEIGHT * LENGTH;
    for (var top = 0u; top < N; top += LINES) {
        for (var i = local; i < LINES * LENGTH; i += THREADS) {
            let y = origin.x + i32(top + i / LENGTH);
            var z = vec2<f32>(0.0);
            if top + i / LENGTH < N && y >= 0 && y < i32(HEIGHT) {
                z = planes[plane + u32(y) * LENGTH + i % LENGTH];
            }
            sh_data[i] = z;
        }
        workgroupBarrier();
        transform(local);
        for (var i = local; i < min(LINES, N - top) * N; i += THREADS) {
            let at = vec2<i32>(origin.x + i32(top + i / N), origin.y + i32(i % N));
            var v = 0.0;
            if at.x >= 0 && at.y >= 0 && at.x < i32(HEIGHT) && at.y < i32(WIDTH) {
                let z = sh_data[i / N * LENGTH + u32(at.y)];
                v = select(z.x, z.y, image % 2u == 0u);
            }
            sh_map[top * N + i] = v;
        }
        workgroupBarrier();
    }
    evaluate(local, origin, origin, image, row.w + number, true);
}
