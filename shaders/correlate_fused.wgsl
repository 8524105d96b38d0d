// Circular correlation of two crops with a template by one complex transform in workgroup memory, and what is found in the windows.
// One workgroup takes a pair of crops, real and imaginary part; half of its threads evaluate each window. Transforms are
// written by the host for the lengths at hand.
@group(0) @binding(1) var<storage, read> frames: array<u32>;
// First workgroup, frame in the block, first position, first peak; a last row ends the list.
@group(0) @binding(2) var<storage, read> rows: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> positions: array<vec2<i32>>;
// Row (MY entries), then column (MX) of the crop at each place of the transform, NONE for zero.
@group(0) @binding(4) var<storage, read> source: array<u32>;
@group(0) @binding(5) var<storage, read> roots: array<vec2<f32>>;
// Conjugate spectrum of the template, MY × MX.
@group(0) @binding(6) var<storage, read> spectrum: array<vec2<f32>>;
@group(0) @binding(7) var<storage, read_write> peaks: array<u32>;
// Maps of all windows (FINER).
@group(0) @binding(8) var<storage, read_write> store: array<f32>;

var<workgroup> sh_least: array<u32, 2>;

fn map_at(team: u32, y: u32, x: u32) -> f32 {
    // Real and imaginary part are still exchanged.
    let z = sh_data[y * MX + x];
    return select(z.x, z.y, team == 0u);
}

@compute @workgroup_size(THREADS)
fn correlate(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let group = group_number(id, groups);
    if group >= p.groups {
        return;
    }
    let number = row_of(group);
    let row = rows[number];
    let count = rows[number + 1u].w - row.w;
    let one = 2u * (group - row.x);
    let two = min(one + 1u, count - 1u);
    let corner_one = positions[row.z + one] - vec2<i32>(BEFORE);
    let corner_two = positions[row.z + two] - vec2<i32>(BEFORE);
    let team = local / TEAM;
    let corner = select(corner_two, corner_one, team == 0u);
    let peak = row.w + one + team;
    let live = one + team < count;
    let start = row.y * p.stride;
    var least = NONE;
    for (var i = local % TEAM; i < N * N; i += TEAM) {
        least = min(least, least_at(start, corner + vec2<i32>(vec2<u32>(i / N, i % N))));
    }
    least = team_least(local, least);
    if local % TEAM == 0u {
        sh_least[team] = least;
    }
    workgroupBarrier();
    for (var i = local; i < MY * MX; i += THREADS) {
        let y = source[i / MX];
        let x = source[MY + i % MX];
        var z = vec2<f32>(0.0);
        if y != NONE && x != NONE {
            let at = vec2<i32>(vec2<u32>(y, x));
            z.x = log_at(start, corner_one + at, sh_least[0]);
            if two != one {
                z.y = log_at(start, corner_two + at, sh_least[1]);
            }
        }
        sh_data[i] = z;
    }
    workgroupBarrier();
    transform_rows(local);
    transform_columns(local);
    for (var i = local; i < MY * MX; i += THREADS) {
        // Exchanged parts turn the next forward transforms into inverse ones.
        sh_data[i] = times(sh_data[i], spectrum[i]).yx;
    }
    workgroupBarrier();
    transform_columns(local);
    transform_rows(local);
    evaluate(local, corner, vec2<i32>(0), peak, peak, live);
    if FINER && live {
        for (var i = local % TEAM; i < N * N; i += TEAM) {
            store[peak * N * N + i] = map_at(team, i / N, i % N);
        }
    }
}
