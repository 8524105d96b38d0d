// Binned, optionally log-scaled float32 frames. One workgroup a frame; a thread owns every 256th pixel of the output.
struct Params {
    first_frame: u32,  // number in the block
    count: u32,       // frames
    stride: u32,      // words of a frame
    width: u32,       // of the frame
    out_pixels: u32,
    out_width: u32,
    bin: u32,
    log: u32,         // 1: ln(f - min f + 1) of the binned frame
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> frames: array<u32>;
@group(0) @binding(2) var<storage, read_write> mapped: array<f32>;

var<workgroup> sh_least: array<f32, 256>;

@compute @workgroup_size(256)
fn map_frame(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let frame = group_number(id, groups);
    let live = frame < p.count;
    let start = (p.first_frame + frame) * p.stride;
    var least = 3.4028234e38;
    if live {
        for (var i = local; i < p.out_pixels; i += 256u) {
            let corner = i / p.out_width * p.bin * p.width + i % p.out_width * p.bin;
            var total = 0.0;
            for (var y = 0u; y < p.bin; y++) {
                var line = 0.0;
                for (var x = 0u; x < p.bin; x++) {
                    let pixel = corner + y * p.width + x;
                    line += value(frames[start + pixel / LANES], pixel % LANES);
                }
                total += line;
            }
            mapped[frame * p.out_pixels + i] = total;
            least = min(least, total);
        }
    }
    if p.log != 0u {
        sh_least[local] = least;
        workgroupBarrier();
        for (var half = 128u; half > 0u; half >>= 1u) {
            if local < half {
                sh_least[local] = min(sh_least[local], sh_least[local + half]);
            }
            workgroupBarrier();
        }
        least = sh_least[0];
        if live {
            for (var i = local; i < p.out_pixels; i += 256u) {
                mapped[frame * p.out_pixels + i] = ln(mapped[frame * p.out_pixels + i] - least + 1.0);
            }
        }
    }
}
