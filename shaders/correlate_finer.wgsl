// Highest point of the trigonometric interpolation of periodic correlation maps around their maxima, on POINTS × POINTS points
// 1/FACTOR apart. One workgroup a peak: for ROWS lines of the grid at a time, sums along y for every column, then along x.
struct Params {
    first: u32,  // first peak of this dispatch
    peaks: u32,  // peaks of the round
}
@group(0) @binding(0) var<uniform> p: Params;
// Image i: words from i/2·2·PLANE + (i odd or even: 0 or 1) on, if INTERLEAVED; from i·PLANE + OFFSET on otherwise.
@group(0) @binding(1) var<storage, read> maps: array<f32>;
// Real kernels of y (HEIGHT × POINTS) and x (WIDTH × POINTS), then (PUBLISHED) imaginary ones.
@group(0) @binding(2) var<storage, read> kernels: array<f32>;
@group(0) @binding(3) var<storage, read_write> peaks: array<u32>;

const IMAGINARY = (HEIGHT + WIDTH) * POINTS;
const KX = HEIGHT * POINTS;
var<workgroup> sh_columns: array<vec2<f32>, ROWS * WIDTH>;

@compute @workgroup_size(THREADS)
fn finer(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let peak = p.first + group_number(id, groups);
    if peak >= p.peaks {
        return;
    }
    let image = peaks[5u * peak + 1u];
    let place = peaks[5u * peak + 2u];
    let at = vec2<u32>(place & 0xffffu, place >> 16u);
    let begin = select(image * PLANE + OFFSET, image / 2u * 2u * PLANE + 1u - image % 2u, INTERLEAVED);
    let step = select(1u, 2u, INTERLEAVED);
    var best = 0.0;
    var index = NONE;
    for (var top = 0u; top < POINTS; top += ROWS) {
        for (var i = local; i < ROWS * WIDTH; i += THREADS) {
            let point = min(top + i / WIDTH, POINTS - 1u);
            let column = begin + i % WIDTH * step;
            var sum = vec2<f32>(0.0);
            for (var y = 0u; y < HEIGHT; y++) {
                let v = maps[column + y * PITCH];
                let k = (at.x + HEIGHT - y) % HEIGHT * POINTS + point;
                sum.x += v * kernels[k];
                if PUBLISHED {
                    sum.y += v * kernels[IMAGINARY + k];
                }
            }
            sh_columns[i] = sum;
        }
        workgroupBarrier();
        for (var i = local; i < min(ROWS, POINTS - top) * POINTS; i += THREADS) {
            let columns = i / POINTS * WIDTH;
            var sum = vec2<f32>(0.0);
            for (var x = 0u; x < WIDTH; x++) {
                let k = KX + (at.y + WIDTH - x) % WIDTH * POINTS + i % POINTS;
                let c = sh_columns[columns + x];
                if PUBLISHED {
                    sum += times(c, vec2<f32>(kernels[k], kernels[IMAGINARY + k]));
                } else {
                    sum.x += c.x * kernels[k];
                }
            }
            let v = select(sum.x, sum.x * sum.x + sum.y * sum.y, PUBLISHED);
            if index == NONE || v > best {
                best = v;
                index = top * POINTS + i;
            }
        }
        workgroupBarrier();
    }
    let key = select(descending(best), NONE, index == NONE);
    let highest = team_least(local, key);
    let first = min(team_least(local, select(NONE, index, key == highest)), POINTS * POINTS - 1u);
    if local == 0u {
        let packed = peaks[5u * peak];
        let center = vec2<i32>(i32(packed << 16u) >> 16u, i32(packed) >> 16u);
        let points = vec2<i32>(vec2<u32>(first / POINTS, first % POINTS)) - vec2<i32>(i32(POINTS / 2u));
        let refined = vec2<f32>(center) + vec2<f32>(points) / f32(FACTOR);
        peaks[5u * peak + 1u] = bitcast<u32>(refined.x);
        peaks[5u * peak + 2u] = bitcast<u32>(refined.y);
    }
}
