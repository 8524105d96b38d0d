// Distances of two blocks of points. A workgroup makes 64 x 64 of them, a thread 4 x 4; coordinates come through workgroup memory in
// pieces of 16. Terms are added in runs of 64, then the runs. MODE 0: sum of squares, 1: sum, 2: maximum of absolute differences.
struct Params {
    rows: u32,         // points of the first block
    columns: u32,      // points of the second one
    coordinates: u32,
    first_band: u32,   // bands of 64 rows before this dispatch
    across: u32,       // squares in a band
    squares: u32,      // of this dispatch
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> distances: array<f32>;

// Coordinate c of point i is at c * 64 + i.
var<workgroup> sh_a: array<vec4<f32>, 256>;
var<workgroup> sh_b: array<vec4<f32>, 256>;

fn added(sum: vec4<f32>, d: vec4<f32>) -> vec4<f32> {
    if MODE == 0u {
        return sum + d * d;
    }
    if MODE == 1u {
        return sum + abs(d);
    }
    return max(sum, abs(d));
}

fn joined(total: vec4<f32>, run: vec4<f32>) -> vec4<f32> {
    if MODE == 2u {
        return max(total, run);
    }
    return total + run;
}

// Coordinate of a point of the first block; zero outside.
fn of_rows(i: u32, c: u32) -> f32 {
    return select(0.0, a[min(i, p.rows - 1u) * p.coordinates + min(c, p.coordinates - 1u)], i < p.rows && c < p.coordinates);
}
fn of_columns(i: u32, c: u32) -> f32 {
    return select(0.0, b[min(i, p.columns - 1u) * p.coordinates + min(c, p.coordinates - 1u)], i < p.columns && c < p.coordinates);
}

fn store(row: u32, column: u32, values: vec4<f32>) {
    if row < p.rows {
        for (var l = 0u; l < 4u; l++) {
            if column + l < p.columns {
                distances[row * p.columns + column + l] = values[l];
            }
        }
    }
}

@compute @workgroup_size(256)
fn between(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let group = group_number(id, groups);
    // All threads stay for the barriers; what lies outside is not stored.
    let square = min(group, p.squares - 1u);
    let row = (p.first_band + square / p.across) * 64u;
    let column = square % p.across * 64u;
    let ty = local / 16u;
    let tx = local % 16u;
    var total0 = vec4<f32>();
    var total1 = vec4<f32>();
    var total2 = vec4<f32>();
    var total3 = vec4<f32>();
    for (var begin = 0u; begin < p.coordinates; begin += 64u) {
        var run0 = vec4<f32>();
        var run1 = vec4<f32>();
        var run2 = vec4<f32>();
        var run3 = vec4<f32>();
        for (var piece = begin; piece < min(begin + 64u, p.coordinates); piece += 16u) {
            // Thread `local` brings four points of one coordinate.
            let c = piece + local / 16u;
            let i = local % 16u * 4u;
            sh_a[local] = vec4<f32>(of_rows(row + i, c), of_rows(row + i + 1u, c), of_rows(row + i + 2u, c), of_rows(row + i + 3u, c));
            sh_b[local] = vec4<f32>(
                of_columns(column + i, c),
                of_columns(column + i + 1u, c),
                of_columns(column + i + 2u, c),
                of_columns(column + i + 3u, c),
            );
            workgroupBarrier();
            for (var k = 0u; k < 16u; k++) {
                let of_a = sh_a[k * 16u + ty];
                let of_b = sh_b[k * 16u + tx];
                run0 = added(run0, of_a.x - of_b);
                run1 = added(run1, of_a.y - of_b);
                run2 = added(run2, of_a.z - of_b);
                run3 = added(run3, of_a.w - of_b);
            }
            workgroupBarrier();
        }
        total0 = joined(total0, run0);
        total1 = joined(total1, run1);
        total2 = joined(total2, run2);
        total3 = joined(total3, run3);
    }
    if group < p.squares {
        let y = row + ty * 4u;
        let x = column + tx * 4u;
        store(y, x, total0);
        store(y + 1u, x, total1);
        store(y + 2u, x, total2);
        store(y + 3u, x, total3);
    }
}
