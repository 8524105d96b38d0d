// Products of frames with dense masks: a matrix product by tiles of FRAMES frames, MASKS masks and 64 pixels in workgroup
// memory. A thread takes one product; tiles add up in runs of 32.
struct Params {
    first_frame: u32,  // number in the block
    count: u32,   // frames
    stride: u32,  // words of a frame
    pixels: u32,
    masks: u32,
    chunks: u32,  // mask tiles
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> frames: array<u32>;
@group(0) @binding(2) var<storage, read> rows: array<f32>;
@group(0) @binding(3) var<storage, read_write> products: array<f32>;

const TILE = 64u;
// One more than the tile, so that threads of different masks read from different banks.
const PITCH = 65u;
var<workgroup> sh_frames: array<f32, FRAMES * 65u>;
var<workgroup> sh_rows: array<f32, MASKS * 65u>;

@compute @workgroup_size(256)
fn multiply(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let group = group_number(id, groups);
    let tile_frame = group / p.chunks * FRAMES;
    let first_mask = group % p.chunks * MASKS;
    let f = local / MASKS;
    let m = local % MASKS;
    var total = 0.0;
    var run = 0.0;
    var tiles = 0u;
    for (var pixel = 0u; pixel < p.pixels; pixel += TILE) {
        for (var i = local; i < FRAMES * TILE / LANES; i += 256u) {
            let row = i / (TILE / LANES);
            let column = i % (TILE / LANES) * LANES;
            let frame = tile_frame + row;
            var word = 0u;
            let inside = frame < p.count && pixel + column < p.pixels;
            if inside {
                word = frames[(p.first_frame + frame) * p.stride + (pixel + column) / LANES];
            }
            for (var lane = 0u; lane < LANES; lane++) {
                let here = inside && pixel + column + lane < p.pixels;
                sh_frames[row * PITCH + column + lane] = select(0.0, value(word, lane), here);
            }
        }
        for (var i = local; i < MASKS * TILE; i += 256u) {
            let mask = first_mask + i / TILE;
            let column = i % TILE;
            var weight = 0.0;
            if mask < p.masks && pixel + column < p.pixels {
                weight = rows[mask * p.pixels + pixel + column];
            }
            sh_rows[i / TILE * PITCH + column] = weight;
        }
        workgroupBarrier();
        var sum = 0.0;
        for (var k = 0u; k < TILE; k++) {
            sum += sh_frames[f * PITCH + k] * sh_rows[m * PITCH + k];
        }
        run += sum;
        tiles++;
        if tiles == 32u {
            total += run;
            run = 0.0;
            tiles = 0u;
        }
        workgroupBarrier();
    }
    if tile_frame + f < p.count && first_mask + m < p.masks {
        products[(tile_frame + f) * p.masks + first_mask + m] = total + run;
    }
}
