// Single hot or dead pixels: replaced by the median of their eight neighbours.
struct Params {
    count: u32,   // patterns
    height: u32,
    width: u32,
    factor: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> values: array<f32>;
@group(0) @binding(2) var<storage, read_write> other: array<f32>;

// Beyond the border: mirrored without the border pixel.
fn mirror(i: i32, n: i32) -> u32 {
    if i < 0 {
        return u32(min(1, n - 1));
    }
    return u32(select(i, max(n - 2, 0), i >= n));
}

@compute @workgroup_size(256)
fn remove_hot(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let pixels = p.height * p.width;
    let at = thread_number(id, groups, local);
    if at >= pixels * p.count {
        return;
    }
    let pixel = at % pixels;
    let base = at - pixel;
    let y = i32(pixel / p.width);
    let x = i32(pixel % p.width);
    var around: array<f32, 8>;
    var n = 0u;
    for (var dy = -1; dy <= 1; dy++) {
        for (var dx = -1; dx <= 1; dx++) {
            if dy != 0 || dx != 0 {
                // Insertion sort.
                let v = values[base + mirror(y + dy, i32(p.height)) * p.width + mirror(x + dx, i32(p.width))];
                var to = n;
                while to > 0u {
                    if around[to - 1u] <= v {
                        break;
                    }
                    around[to] = around[to - 1u];
                    to--;
                }
                around[to] = v;
                n++;
            }
        }
    }
    let v = values[at];
    let median = 0.5 * (around[3] + around[4]);
    other[at] = select(v, median, abs(v - median) > p.factor * (around[6] - around[1]));
}
