// Correlation of crops with a template by direct sums, and what is found in the window. One workgroup takes one crop: pixels → minimum
// → logarithms → the crop continued periodically (WRAPPED) → sums → peak. All that lies in workgroup memory, or, when too
// large (STAGED false), in `store`.
@group(0) @binding(1) var<storage, read> frames: array<u32>;
// First workgroup, frame in the block, first position, first peak.
@group(0) @binding(2) var<storage, read> rows: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> positions: array<vec2<i32>>;
// Pixel of the crop at each place of the region that sums run over.
@group(0) @binding(4) var<storage, read> source: array<u32>;
// Offset in the region, bits of the value.
@group(0) @binding(5) var<storage, read> taps: array<vec2<u32>>;
// Least pixel of every frame (WHOLE).
@group(0) @binding(6) var<storage, read> minima: array<u32>;
@group(0) @binding(7) var<storage, read_write> peaks: array<u32>;
// WORDS of each window, or (STAGED and FINER) its map.
@group(0) @binding(8) var<storage, read_write> store: array<f32>;

const CROP = EDGE * EDGE;
var<workgroup> sh_window: array<f32, SHARED>;
var<private> base: u32;

fn load(i: u32) -> f32 {
    if STAGED {
        return sh_window[i];
    }
    return store[base + i];
}
fn save(i: u32, v: f32) {
    if STAGED {
        sh_window[i] = v;
    } else {
        store[base + i] = v;
    }
}
fn wait() {
    workgroupBarrier();
    if !STAGED {
        storageBarrier();
    }
}
fn map_at(team: u32, y: u32, x: u32) -> f32 {
    return load(MAP + y * N + x);
}
fn pixel_of(i: u32) -> vec2<i32> {
    return vec2<i32>(vec2<u32>(i / EDGE, i % EDGE));
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
    let row = rows[row_of(group)];
    let peak = row.w + group - row.x;
    let corner = positions[row.z + group - row.x] - vec2<i32>(BEFORE);
    let start = row.y * p.stride;
    base = group * WORDS;
    var least = NONE;
    if WHOLE {
        least = minima[row.y];
    } else {
        for (var i = local; i < CROP; i += THREADS) {
            least = min(least, least_at(start, corner + pixel_of(i)));
        }
        least = team_least(local, least);
    }
    for (var i = local; i < CROP; i += THREADS) {
        save(i, log_at(start, corner + pixel_of(i), least));
    }
    wait();
    if WRAPPED {
        for (var i = local; i < arrayLength(&source); i += THREADS) {
            save(CROP + i, load(source[i]));
        }
        wait();
    }
    let count = arrayLength(&taps);
    for (var i = local; i < N * N; i += THREADS) {
        let begin = REGION + i / N * REGION_WIDTH + i % N;
        var sum = 0.0;
        for (var t = 0u; t < count; t++) {
            let tap = taps[t];
            sum += load(begin + tap.x) * bitcast<f32>(tap.y);
        }
        save(MAP + i, sum);
    }
    wait();
    evaluate(local, corner + MARGIN, vec2<i32>(0), peak, peak, true);
    if STAGED && FINER {
        for (var i = local; i < N * N; i += THREADS) {
            store[peak * N * N + i] = load(MAP + i);
        }
    }
}
