// The way back through what has no weights, on channels in groups of four; planes of all images and groups follow one another.
//
// cross_entropy: one thread a pixel of all images; the others: one thread a pixel of a plane of the layer's output (stop, unpool) or input (unrepeat).
struct Params {
    height: u32,     // of the planes that the threads stand for
    width: u32,
    planes: u32,     // groups of all images; cross_entropy: images
    classes: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
// What entered the layer, and what left it. cross_entropy: what enters the softmax, nothing.
@group(0) @binding(1) var<storage, read> before: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> after: array<vec4<f32>>;
// Errors of what left the layer. cross_entropy: weights of the classes in vectors.
@group(0) @binding(3) var<storage, read> error: array<vec4<f32>>;
// Four labels a word; 255 counts for nothing.
@group(0) @binding(4) var<storage, read> labels: array<u32>;
// Errors of what entered.
@group(0) @binding(5) var<storage, read_write> made: array<vec4<f32>>;
// Loss and number of right pixels of each workgroup.
@group(0) @binding(6) var<storage, read_write> found: array<vec2<f32>>;

const THREADS = 256u;

var<workgroup> sh_found: array<vec2<f32>, THREADS>;

// Loss Σ w(label) · −ln p(label) and its derivatives by what enters the softmax.
@compute @workgroup_size(256)
fn cross_entropy(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let number = group_number(id, count);
    let at = number * THREADS + local;
    let pixels = p.height * p.width;
    let groups = (p.classes + 3u) / 4u;
    var here = vec2<f32>();
    if at < pixels * p.planes {
        let first = at / pixels * groups * pixels + at % pixels;
        let label = (labels[at / 4u] >> (8u * (at % 4u))) & 255u;
        if label < p.classes {
            var high = before[first].x;
            var top = 0u;
            for (var c = 1u; c < p.classes; c++) {
                let v = before[first + c / 4u * pixels][c % 4u];
                if v > high {
                    high = v;
                    top = c;
                }
            }
            var sum = 0.0;
            for (var c = 0u; c < p.classes; c++) {
                sum += exp(before[first + c / 4u * pixels][c % 4u] - high);
            }
            let weight = error[label / 4u][label % 4u];
            let own = before[first + label / 4u * pixels][label % 4u] - high;
            here = vec2(weight * (log(sum) - own), select(0.0, 1.0, top == label));
            for (var g = 0u; g < groups; g++) {
                let e = exp(before[first + g * pixels] - vec4(high)) / sum;
                var out = vec4<f32>();
                for (var c = 0u; c < 4u; c++) {
                    let class_number = 4u * g + c;
                    if class_number < p.classes {
                        out[c] = weight * (e[c] - select(0.0, 1.0, class_number == label));
                    }
                }
                made[first + g * pixels] = out;
            }
        } else {
            for (var g = 0u; g < groups; g++) {
                made[first + g * pixels] = vec4<f32>();
            }
        }
    }
    sh_found[local] = here;
    workgroupBarrier();
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        if local < half {
            sh_found[local] += sh_found[local + half];
        }
        workgroupBarrier();
    }
    if local == 0u {
        found[number] = sh_found[0];
    }
}

// ReLU: what it has cut off has no error.
@compute @workgroup_size(256)
fn stop(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = group_number(id, count) * THREADS + local;
    if at < p.height * p.width * p.planes {
        made[at] = select(vec4<f32>(), error[at], after[at] > vec4<f32>());
    }
}

// First of the four numbers, in planes of twice the height and width, that belong to number `at`.
fn corner(at: u32) -> u32 {
    let pixels = p.height * p.width;
    return at / pixels * 4u * pixels + at % pixels / p.width * 4u * p.width + at % p.width * 2u;
}

// Pooling: the first of equal pixels gets it all, row by row.
@compute @workgroup_size(256)
fn unpool(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = group_number(id, count) * THREADS + local;
    if at >= p.height * p.width * p.planes {
        return;
    }
    let width = 2u * p.width;
    let base = corner(at);
    let top = after[at];
    let whole = error[at];
    let a = before[base] == top;
    let b = (before[base + 1u] == top) & !a;
    let c = (before[base + width] == top) & !(a | b);
    made[base] = select(vec4<f32>(), whole, a);
    made[base + 1u] = select(vec4<f32>(), whole, b);
    made[base + width] = select(vec4<f32>(), whole, c);
    made[base + width + 1u] = select(whole, vec4<f32>(), a | b | c);
}

// Upsampling: the sum of the four.
@compute @workgroup_size(256)
fn unrepeat(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = group_number(id, count) * THREADS + local;
    if at >= p.height * p.width * p.planes {
        return;
    }
    let width = 2u * p.width;
    let base = corner(at);
    made[at] = error[base] + error[base + 1u] + error[base + width] + error[base + width + 1u];
}
