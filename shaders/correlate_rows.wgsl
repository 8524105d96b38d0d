// Logarithms of pairs of images and the transforms of their rows, LINES rows a workgroup.
struct Params {
    groups: u32,
    chunks: u32,  // workgroups of one pair
    stride: u32,  // words of a frame
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> frames: array<u32>;
// Frame in the block (negative: none), position (y, x) of the first pixel.
@group(0) @binding(2) var<storage, read> images: array<vec4<i32>>;
@group(0) @binding(3) var<storage, read> minima: array<u32>;
// Column of the image at each place of the transform.
@group(0) @binding(4) var<storage, read> source: array<u32>;
@group(0) @binding(5) var<storage, read> roots: array<vec2<f32>>;
// HEIGHT rows of LENGTH for each pair.
@group(0) @binding(6) var<storage, read_write> planes: array<vec2<f32>>;

const NONE = 0xffffffffu;

fn pixel_log(number: u32, y: u32, x: u32) -> f32 {
    let image = images[number];
    if image.x < 0 {
        return 0.0;
    }
    return log_at(u32(image.x) * p.stride, image.yz + vec2<i32>(vec2<u32>(y, x)), minima[number]);
}

@compute @workgroup_size(THREADS)
fn rows(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let group = group_number(id, groups);
    if group >= p.groups {
        return;
    }
    let pair = group / p.chunks;
    let first = group % p.chunks * LINES;
    for (var i = local; i < LINES * LENGTH; i += THREADS) {
        let y = first + i / LENGTH;
        let x = source[i % LENGTH];
        var z = vec2<f32>(0.0);
        if y < HEIGHT && x != NONE {
            z = vec2<f32>(pixel_log(2u * pair, y, x), pixel_log(2u * pair + 1u, y, x));
        }
        sh_data[i] = z;
    }
    workgroupBarrier();
    transform(local);
    let to = (pair * HEIGHT + first) * LENGTH;
    for (var i = local; i < min(LINES, HEIGHT - first) * LENGTH; i += THREADS) {
        planes[to + i] = sh_data[i];
    }
}
