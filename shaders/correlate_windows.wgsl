// What is found in windows of images whose correlations lie in `planes`. One workgroup a window.
// First window, image of the first window, first position, first peak.
@group(0) @binding(1) var<storage, read> rows: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> positions: array<vec2<i32>>;
// HEIGHT rows of LENGTH for each pair of images.
@group(0) @binding(3) var<storage, read> planes: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read_write> peaks: array<u32>;

var<private> image: u32;
// Place of the window in its image.
var<private> within: vec2<i32>;

fn map_at(team: u32, y: u32, x: u32) -> f32 {
    let at = within + vec2<i32>(vec2<u32>(y, x));
    if at.x < 0 || at.y < 0 || at.x >= i32(HEIGHT) || at.y >= i32(WIDTH) {
        return 0.0;
    }
    let z = planes[(image / 2u * HEIGHT + u32(at.x)) * LENGTH + u32(at.y)];
    return select(z.x, z.y, image % 2u == 0u);
}

@compute @workgroup_size(THREADS)
fn windows(
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
    let origin = positions[row.z + number] - vec2<i32>(BEFORE);
    // All windows of a whole frame, or each its own image.
    image = row.y + select(number, 0u, WHOLE);
    within = select(vec2<i32>(0), origin, WHOLE);
    evaluate(local, origin, within, image, row.w + number, true);
}
