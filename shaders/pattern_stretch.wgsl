// Clips to a range and maps it; the last step packs pixels of the output type into words.
struct Params {
    count: u32,   // patterns
    pixels: u32,
    words: u32,   // words of a packed pattern
    flags: u32,   // 1: stretch, 2: whole numbers, 4: round
    low: f32,     // what the range is mapped to
    high: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> ranges: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read_write> values: array<f32>;
@group(0) @binding(3) var<storage, read_write> packed: array<u32>;

fn mapped(v: f32, range: vec2<f32>) -> f32 {
    if (p.flags & 1u) == 0u {
        return v;
    }
    let width = range.y - range.x;
    if !(width > 0.0) {
        return p.low;
    }
    // Where division is not exact, a / a may be less than 1 and the brightest pixels one level too dark.
    let part = select((clamp(v, range.x, range.y) - range.x) / width, 1.0, v >= range.y);
    let x = part * (p.high - p.low) + p.low;
    return select(x, trunc(x), (p.flags & 2u) != 0u);
}

@compute @workgroup_size(256)
fn stretch(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = thread_number(id, groups, local);
    if at < p.pixels * p.count {
        values[at] = mapped(values[at], ranges[at / p.pixels]);
    }
}

// PACK pixels of 32 / PACK bits, at most TOP, in each word; one pixel is a float.
@compute @workgroup_size(256)
fn pack(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = thread_number(id, groups, local);
    if at >= p.words * p.count {
        return;
    }
    let frame = at / p.words;
    let first = at % p.words * PACK;
    let range = ranges[frame];
    if PACK == 1u {
        packed[at] = bitcast<u32>(mapped(values[frame * p.pixels + first], range));
        return;
    }
    let bits = 32u / PACK;
    let half = select(0.0, 0.5, (p.flags & 4u) != 0u);
    var word = 0u;
    for (var i = 0u; i < PACK; i++) {
        if first + i < p.pixels {
            let v = mapped(values[frame * p.pixels + first + i], range) + half;
            word |= u32(clamp(v, 0.0, TOP)) << (bits * i);
        }
    }
    packed[at] = word;
}
