// The transform of each pattern: one workgroup counts the votes of one pattern for one angle in workgroup memory.
// Constants from the host: VOTE_WORDS, BIN_WORDS (two bins a word), THETAS, RHOS.
struct Params {
    count: u32,   // patterns
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> votes: array<u32>;
@group(0) @binding(2) var<storage, read> bins: array<u32>;
@group(0) @binding(3) var<storage, read_write> counts: array<i32>;

var<workgroup> sh_counts: array<atomic<i32>, RHOS>;

@compute @workgroup_size(256)
fn count_lines(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    // Workgroups beyond the last one repeat it: barriers must be met by all.
    let group = min(group_number(id, groups), p.count * THETAS - 1u);
    let frame = group / THETAS;
    let theta = group % THETAS;
    for (var r = local; r < RHOS; r += 256u) {
        atomicStore(&sh_counts[r], 0);
    }
    workgroupBarrier();
    for (var w = local; w < VOTE_WORDS; w += 256u) {
        let word = votes[frame * VOTE_WORDS + w];
        if word != 0u {
            let pair = theta * BIN_WORDS + 2u * w;
            for (var k = 0u; k < 4u; k++) {
                let vote = (word >> (8u * k)) & 255u;
                if vote != 0u {
                    let bin = (bins[pair + k / 2u] >> (16u * (k & 1u))) & 0xffffu;
                    atomicAdd(&sh_counts[bin], i32(vote));
                }
            }
        }
    }
    workgroupBarrier();
    for (var r = local; r < RHOS; r += 256u) {
        counts[group * RHOS + r] = atomicLoad(&sh_counts[r]);
    }
}
