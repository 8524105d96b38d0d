// Products of frames with sparse masks. THREADS threads share one mask: each adds every THREADS-th entry, in runs of 32, and a
// fixed tree adds the threads.
struct Params {
    first_frame: u32,  // number in the block
    count: u32,   // frames
    stride: u32,  // words of a frame
    masks: u32,
    chunks: u32,  // workgroups of one frame
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> frames: array<u32>;
@group(0) @binding(2) var<storage, read> indptr: array<u32>;
@group(0) @binding(3) var<storage, read> indices: array<u32>;
@group(0) @binding(4) var<storage, read> values: array<f32>;
@group(0) @binding(5) var<storage, read_write> products: array<f32>;

var<workgroup> sh_sum: array<f32, 256>;

@compute @workgroup_size(256)
fn multiply(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let group = group_number(id, groups);
    // Groups beyond the last frame repeat it and keep nothing, so that barriers stay uniform.
    let frame = min(group / p.chunks, p.count - 1u);
    let mask = (group % p.chunks) * (256u / THREADS) + local / THREADS;
    let lane = local % THREADS;
    let start = (p.first_frame + frame) * p.stride;
    stage_frame(start, p.stride, local);
    var total = 0.0;
    if mask < p.masks {
        let end = indptr[mask + 1u];
        var i = indptr[mask] + lane;
        while i < end {
            var run = 0.0;
            for (var n = 0u; n < 32u && i < end; n++) {
                run += values[i] * pixel_at(start, indices[i]);
                i += THREADS;
            }
            total += run;
        }
    }
    sh_sum[local] = total;
    workgroupBarrier();
    for (var half = THREADS / 2u; half > 0u; half >>= 1u) {
        if lane < half {
            sh_sum[local] += sh_sum[local + half];
        }
        workgroupBarrier();
    }
    if lane == 0u && mask < p.masks && group / p.chunks < p.count {
        products[frame * p.masks + mask] = sh_sum[local];
    }
}
