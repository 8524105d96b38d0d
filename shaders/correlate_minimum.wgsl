// Least pixel of images: HEIGHT × WIDTH pixels of frames. One workgroup an image.
struct Params {
    images: u32,
    stride: u32,  // words of a frame
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> frames: array<u32>;
// Frame in the block (negative: none), position (y, x) of the first pixel.
@group(0) @binding(2) var<storage, read> images: array<vec4<i32>>;
@group(0) @binding(3) var<storage, read_write> minima: array<u32>;

@compute @workgroup_size(THREADS)
fn minimum(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let number = group_number(id, groups);
    if number >= p.images {
        return;
    }
    let image = images[number];
    var least = NONE;
    if image.x >= 0 {
        let start = u32(image.x) * p.stride;
        for (var i = local; i < HEIGHT * WIDTH; i += THREADS) {
            least = min(least, least_at(start, image.yz + vec2<i32>(vec2<u32>(i / WIDTH, i % WIDTH))));
        }
    }
    least = team_least(local, least);
    if local == 0u {
        minima[number] = least;
    }
}
