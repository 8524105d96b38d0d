// Steps that look at one pixel and its place: scaled background, circle, filling, squares, local normalisation.
struct Params {
    count: u32,   // patterns
    pixels: u32,
    fills: u32,   // pixels to fill in each pattern
    least: f32,   // range of the background
    most: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
// background: the static background, or the mean of the window around. table: pixels to fill, then starts, then sources.
@group(0) @binding(1) var<storage, read> background: array<f32>;
@group(0) @binding(2) var<storage, read> table: array<u32>;
@group(0) @binding(3) var<storage, read> ranges: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read_write> values: array<f32>;
@group(0) @binding(5) var<storage, read_write> other: array<f32>;

// The static background scaled to the range of each pattern and subtracted.
@compute @workgroup_size(256)
fn subtract_scaled(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = thread_number(id, groups, local);
    if at >= p.pixels * p.count {
        return;
    }
    let range = ranges[at / p.pixels];
    let width = p.most - p.least;
    let scale = select(0.0, (range.y - range.x) / width, width > 0.0);
    values[at] -= (background[at % p.pixels] - p.least) * scale + range.x;
}

// The static background in the middle of a chain: `least` 1 divides, else subtracts.
@compute @workgroup_size(256)
fn flatten(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = thread_number(id, groups, local);
    if at >= p.pixels * p.count {
        return;
    }
    if p.least == 1.0 {
        values[at] /= background[at % p.pixels];
    } else {
        values[at] -= background[at % p.pixels];
    }
}

// Zero where `table` is zero.
@compute @workgroup_size(256)
fn circle(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = thread_number(id, groups, local);
    if at < p.pixels * p.count && table[at % p.pixels] == 0u {
        values[at] = 0.0;
    }
}

// Pixels become the mean of others.
@compute @workgroup_size(256)
fn fill(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let n = thread_number(id, groups, local);
    if n >= p.fills * p.count {
        return;
    }
    let i = n % p.fills;
    let base = n / p.fills * p.pixels;
    let first = table[p.fills + i];
    let end = table[p.fills + i + 1u];
    var total = 0.0;
    for (var s = first; s < end; s++) {
        total += values[base + table[2u * p.fills + 1u + s]];
    }
    values[base + table[i]] = total / f32(end - first);
}

// other = values².
@compute @workgroup_size(256)
fn square(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = thread_number(id, groups, local);
    if at < p.pixels * p.count {
        other[at] = values[at] * values[at];
    }
}

// values = (values − background) / deviation, where other is the mean of the squares.
@compute @workgroup_size(256)
fn normalise(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = thread_number(id, groups, local);
    if at >= p.pixels * p.count {
        return;
    }
    let mean = background[at];
    let variance = other[at] - mean * mean;
    values[at] = select(0.0, (values[at] - mean) / sqrt(max(variance, 1e-16)), variance > 1e-16);
}

// Takes the mean out of each pattern: one workgroup a pattern.
@compute @workgroup_size(256)
fn centre(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let frame = group_number(id, groups);
    let live = frame < p.count;
    let base = frame * p.pixels;
    var sum = 0.0;
    if live {
        for (var i = local; i < p.pixels; i += 256u) {
            sum += values[base + i];
        }
    }
    let mean = total(local, sum) / f32(p.pixels);
    if live {
        for (var i = local; i < p.pixels; i += 256u) {
            values[base + i] -= mean;
        }
    }
}
