// Exact percentiles of each pattern: order statistics found digit by digit, one workgroup a pattern.
struct Params {
    count: u32,   // patterns
    pixels: u32,
    low: u32,     // rank of the order statistic below the lower percentile, and the part of the way to the next one
    high: u32,
    low_part: f32,
    high_part: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> values: array<f32>;
@group(0) @binding(2) var<storage, read_write> ranges: array<vec2<f32>>;

var<workgroup> sh_bins: array<atomic<u32>, 256>;
var<workgroup> sh_prefix: u32;
var<workgroup> sh_rank: u32;
var<workgroup> sh_below: atomic<u32>;
var<workgroup> sh_next: atomic<u32>;

// The order statistics `rank` and `rank` + 1. All threads of the workgroup must come here.
fn pair(base: u32, rank: u32, local: u32) -> vec2<f32> {
    if local == 0u {
        sh_prefix = 0u;
        sh_rank = rank;
    }
    for (var shift = 24u; ; shift -= 8u) {
        atomicStore(&sh_bins[local], 0u);
        workgroupBarrier();
        let prefix = workgroupUniformLoad(&sh_prefix);
        // Numbers that agree in the digits found so far.
        let mask = select(0xffffffffu << (shift + 8u), 0u, shift == 24u);
        for (var i = local; i < p.pixels; i += 256u) {
            let u = ordered(values[base + i]);
            if (u & mask) == prefix {
                atomicAdd(&sh_bins[(u >> shift) & 255u], 1u);
            }
        }
        workgroupBarrier();
        if local == 0u {
            var left = sh_rank;
            var digit = 0u;
            loop {
                let n = atomicLoad(&sh_bins[digit]);
                if left < n || digit == 255u {
                    break;
                }
                left -= n;
                digit++;
            }
            sh_rank = left;
            sh_prefix = prefix | (digit << shift);
        }
        workgroupBarrier();
        if shift == 0u {
            break;
        }
    }
    let found = workgroupUniformLoad(&sh_prefix);
    // The next one is the same again, or the least of the larger ones.
    if local == 0u {
        atomicStore(&sh_below, 0u);
        atomicStore(&sh_next, 0xffffffffu);
    }
    workgroupBarrier();
    var upto = 0u;
    var next = 0xffffffffu;
    for (var i = local; i < p.pixels; i += 256u) {
        let u = ordered(values[base + i]);
        if u <= found {
            upto++;
        } else {
            next = min(next, u);
        }
    }
    atomicAdd(&sh_below, upto);
    atomicMin(&sh_next, next);
    workgroupBarrier();
    let same = atomicLoad(&sh_below) > rank + 1u || atomicLoad(&sh_next) == 0xffffffffu;
    let second = select(atomicLoad(&sh_next), found, same);
    workgroupBarrier();
    return vec2<f32>(from_ordered(found), from_ordered(second));
}

@compute @workgroup_size(256)
fn percentiles(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    // Workgroups beyond the last pattern repeat it: barriers must be met by all.
    let frame = min(group_number(id, groups), p.count - 1u);
    let base = frame * p.pixels;
    let a = pair(base, p.low, local);
    let b = pair(base, p.high, local);
    if local == 0u {
        ranges[frame] = vec2<f32>(a.x + (a.y - a.x) * p.low_part, b.x + (b.y - b.x) * p.high_part);
    }
}
