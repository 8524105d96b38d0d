// Maximum, centre of mass and elevation of a window of N × N correlations, one team each; map_at(team, y, x) gives them.
// Peaks are five words: centre (two 16-bit numbers), refined (2), height, elevation. For a finer grid (FINER) the refined
// position is left to another kernel, which finds there the image and the maximum's place (y in the low half) in it.
const FAR = 0x7f7fffffu;

// `origin`: position of the window's first value in the frame, and `within`, in the image of HEIGHT × WIDTH.
fn evaluate(local: u32, origin: vec2<i32>, within: vec2<i32>, image: u32, peak: u32, live: bool) {
    let team = local / TEAM;
    let lane = local % TEAM;
    var best = 0.0;
    var index = NONE;
    for (var i = lane; i < N * N; i += TEAM) {
        let v = map_at(team, i / N, i % N);
        if index == NONE || v > best {
            best = v;
            index = i;
        }
    }
    let key = select(descending(best), NONE, index == NONE);
    let top = team_least(local, key);
    // Of equal maxima the first in C order.
    let first = min(team_least(local, select(NONE, index, key == top)), N * N - 1u);
    let at = vec2<u32>(first / N, first % N);
    let height = map_at(team, at.x, at.y);

    // Every thread of the team does the same few sums.
    let r = min(2u, min(min(at.x, at.y), N - 1u - max(at.x, at.y)));
    var shift = vec2<f32>(0.0);
    if r > 0u {
        var least = height;
        for (var y = 0u; y <= 2u * r; y++) {
            for (var x = 0u; x <= 2u * r; x++) {
                least = min(least, map_at(team, at.x - r + y, at.y - r + x));
            }
        }
        var mass = 0.0;
        var sum = vec2<f32>(0.0);
        for (var y = 0u; y <= 2u * r; y++) {
            for (var x = 0u; x <= 2u * r; x++) {
                let v = map_at(team, at.x - r + y, at.y - r + x) - least;
                mass += v;
                sum += v * (vec2<f32>(vec2<u32>(y, x)) - f32(r));
            }
        }
        if mass > 0.0 {
            shift = sum / mass;
        }
    }

    // Squares of slopes; floats above 0 have the order of their bits.
    let refined = vec2<f32>(at) + shift;
    var slope = FAR;
    for (var i = lane; i < N * N; i += TEAM) {
        let d = vec2<f32>(vec2<u32>(i / N, i % N)) - refined;
        let distance = d.x * d.x + d.y * d.y;
        if distance >= 2.25 {
            let drop = height - map_at(team, i / N, i % N);
            slope = min(slope, bitcast<u32>(drop * drop / distance));
        }
    }
    slope = team_least(local, slope);

    if lane == 0u && live {
        let center = origin + vec2<i32>(at);
        let to = 5u * peak;
        peaks[to] = (u32(center.x) & 0xffffu) | (u32(center.y) << 16u);
        if FINER {
            let size = vec2<i32>(i32(HEIGHT), i32(WIDTH));
            let place = vec2<u32>(((within + vec2<i32>(at)) % size + size) % size);
            peaks[to + 1u] = image;
            peaks[to + 2u] = place.x | (place.y << 16u);
        } else {
            let position = vec2<f32>(center) + shift;
            peaks[to + 1u] = bitcast<u32>(position.x);
            peaks[to + 2u] = bitcast<u32>(position.y);
        }
        peaks[to + 3u] = bitcast<u32>(height);
        peaks[to + 4u] = bitcast<u32>(select(sqrt(bitcast<f32>(slope)), 0.0, slope == FAR));
    }
}
