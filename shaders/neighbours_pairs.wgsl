// Sums of products (or squared differences) of pairs of rows. One workgroup a pair.
struct Params {
    count: u32,   // pairs
    first: u32,   // of them in this dispatch
    pixels: u32,
    squares: u32, // 1: squared differences
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> rows: array<f32>;
@group(0) @binding(2) var<storage, read> pairs: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read_write> measures: array<f32>;

@compute @workgroup_size(256)
fn pair(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let number = p.first + group_number(id, groups);
    let live = number < p.count;
    let both = pairs[select(0u, number, live)] * p.pixels;
    var sum = 0.0;
    for (var i = local; i < p.pixels; i += 256u) {
        let a = rows[both.x + i];
        let b = rows[both.y + i];
        if p.squares != 0u {
            sum += (a - b) * (a - b);
        } else {
            sum += a * b;
        }
    }
    let measure = total(local, sum);
    if local == 0u && live {
        measures[number] = measure;
    }
}
