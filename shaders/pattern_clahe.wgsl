// Contrast-limited adaptive histogram equalisation: grey-level maps of the tiles, then the maps applied.
struct Params {
    count: u32,   // patterns
    height: u32,
    width: u32,
    tiles_y: u32,
    tiles_x: u32,
    size_y: u32,  // pixels of a tile
    size_x: u32,
    limit: u32,   // largest count of a bin
    bins: u32,
    bin: u32,     // grey levels of a bin
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> ranges: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read_write> values: array<f32>;
@group(0) @binding(3) var<storage, read_write> levels: array<u32>;

const TOP = 16383.0;

// Mirrored without the border pixel.
fn reflect_at(i: u32, n: u32) -> u32 {
    let period = 2u * max(n - 1u, 1u);
    let j = i % period;
    return select(period - j, j, j < n);
}
fn bin_of(v: f32, range: vec2<f32>) -> u32 {
    let span = range.y - range.x;
    let scale = select(0.0, TOP / span, span > 0.0);
    return u32(round((v - range.x) * scale)) / p.bin;
}

var<workgroup> sh_counts: array<atomic<u32>, 256>;

// One workgroup a tile of a pattern. The spreading of the excess is sequential, as it is defined.
@compute @workgroup_size(256)
fn maps(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let tiles = p.tiles_y * p.tiles_x;
    let number = min(group_number(id, groups), tiles * p.count - 1u);
    let frame = number / tiles;
    let base = frame * p.height * p.width;
    let top = number % tiles / p.tiles_x * p.size_y;
    let left = number % p.tiles_x * p.size_x;
    atomicStore(&sh_counts[local], 0u);
    workgroupBarrier();
    for (var i = local; i < p.size_y * p.size_x; i += 256u) {
        let y = reflect_at(top + i / p.size_x, p.height);
        let x = reflect_at(left + i % p.size_x, p.width);
        atomicAdd(&sh_counts[bin_of(values[base + y * p.width + x], ranges[frame])], 1u);
    }
    workgroupBarrier();
    if local == 0u {
        var excess = 0i;
        let limit = i32(p.limit);
        for (var i = 0u; i < p.bins; i++) {
            let c = i32(atomicLoad(&sh_counts[i]));
            excess += max(c - limit, 0);
            atomicStore(&sh_counts[i], u32(min(c, limit)));
        }
        let each = excess / i32(p.bins);
        let upper = limit - each;
        for (var i = 0u; i < p.bins; i++) {
            var c = i32(atomicLoad(&sh_counts[i]));
            if c < upper {
                excess -= each;
                c += each;
            }
            if c >= upper && c < limit {
                excess -= limit - c;
                c = limit;
            }
            atomicStore(&sh_counts[i], u32(c));
        }
        var going = excess > 0;
        while going {
            let before = excess;
            for (var first = 0u; first < p.bins && excess > 0; first++) {
                var under = 0i;
                for (var i = 0u; i < p.bins; i++) {
                    under += select(0, 1, i32(atomicLoad(&sh_counts[i])) < limit);
                }
                let step = u32(max(under / excess, 1));
                for (var i = first; i < p.bins; i += step) {
                    let c = i32(atomicLoad(&sh_counts[i]));
                    if c < limit {
                        atomicStore(&sh_counts[i], u32(c + 1));
                        excess--;
                    }
                }
            }
            going = excess > 0 && excess != before;
        }
        // Running sums times 16383 over the pixels of a tile, in integers; the product is taken apart so that it fits.
        let area = p.size_y * p.size_x;
        var sum = 0u;
        for (var i = 0u; i < p.bins; i++) {
            sum += atomicLoad(&sh_counts[i]);
            levels[number * p.bins + i] = min(16383u / area * sum + 16383u % area * sum / area, 16383u);
        }
    }
}

fn level(frame: u32, row: i32, column: i32, bin: u32) -> f32 {
    let y = u32(clamp(row, 0, i32(p.tiles_y) - 1));
    let x = u32(clamp(column, 0, i32(p.tiles_x) - 1));
    return f32(levels[((frame * p.tiles_y + y) * p.tiles_x + x) * p.bins + bin]);
}

// One thread per pixel.
@compute @workgroup_size(256)
fn equalise(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let pixels = p.height * p.width;
    let at = thread_number(id, groups, local);
    if at >= pixels * p.count {
        return;
    }
    let frame = at / pixels;
    let pixel = at % pixels;
    // The pattern is padded by half a tile before.
    let py = pixel / p.width + p.size_y / 2u;
    let px = pixel % p.width + p.size_x / 2u;
    let row = i32(py / p.size_y) - 1;
    let column = i32(px / p.size_x) - 1;
    let fy = f32(py % p.size_y) / f32(p.size_y);
    let fx = f32(px % p.size_x) / f32(p.size_x);
    let bin = bin_of(values[at], ranges[frame]);
    values[at] = level(frame, row, column, bin) * ((1.0 - fy) * (1.0 - fx))
        + level(frame, row, column + 1, bin) * ((1.0 - fy) * fx)
        + level(frame, row + 1, column, bin) * (fy * (1.0 - fx))
        + level(frame, row + 1, column + 1, bin) * (fy * fx);
}
