// The transform along x of a row of the half spectrum; of its magnitudes only their sum and their sum weighted with k^2 remain. One workgroup
// a row.
struct Params {
    count: u32,   // frames
    rows: u32,
    width: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> spectrum: array<vec2<f32>>;
// cos and -sin of 2 pi j / w.
@group(0) @binding(2) var<storage, read> turns: array<vec2<f32>>;
// k^2 of each coefficient and its opposite.
@group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read_write> sums: array<vec2<f32>>;

@compute @workgroup_size(256)
fn rows(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let group = group_number(id, groups);
    let live = group < p.count * p.rows;
    let row = select(0u, group, live);
    let start = row * p.width;
    let weight = row % p.rows * p.width;
    var sum = vec2<f32>(0.0);
    for (var kx = local; kx < p.width; kx += 256u) {
        var turn = 0u;
        var z = vec2<f32>(0.0);
        for (var x = 0u; x < p.width; x++) {
            let v = spectrum[start + x];
            let t = turns[turn];
            z += vec2<f32>(v.x * t.x - v.y * t.y, v.x * t.y + v.y * t.x);
            turn += kx;
            if turn >= p.width {
                turn -= p.width;
            }
        }
        let magnitude = length(z);
        sum += vec2<f32>(magnitude, magnitude * weights[weight + kx]);
    }
    let all = total(local, sum);
    if local == 0u && live {
        sums[row] = all;
    }
}
