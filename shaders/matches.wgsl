// The best templates of each pattern: a matrix product by tiles of 64 patterns, 64 templates and 16 pixels in workgroup memory; a thread takes 4 × 4
// products. Scores stay in workgroup memory until they were compared with the lists of the best.
// Constants from the host: KEEP, entries of a list.
struct Params {
    patterns: u32,     // of this dispatch
    first: u32,        // first template of this dispatch in `templates`
    end: u32,          // one after the last
    number: u32,       // of the template at place 0 among all
    pixels: u32,
    segments: u32,     // lists of a pattern: the templates are dealt out among them
    fresh: u32,        // 1: lists are empty
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> patterns: array<f32>;
@group(0) @binding(2) var<storage, read> templates: array<f32>;
// KEEP scores of each list, and the numbers of their templates.
@group(0) @binding(3) var<storage, read_write> scores: array<f32>;
@group(0) @binding(4) var<storage, read_write> numbers: array<u32>;

const TILE = 64u;
const DEPTH = 16u;
// One more than the depth, so that threads of different rows read from different banks.
const PITCH = 17u;
// No score is as small.
const NONE = -3.0;
var<workgroup> sh_patterns: array<f32, TILE * PITCH>;
var<workgroup> sh_templates: array<f32, TILE * PITCH>;

// The place of the least score of a list, of equal ones that of the largest number.
fn worst_of(list: u32) -> u32 {
    var worst = list;
    for (var i = list + 1u; i < list + KEEP; i++) {
        if scores[i] < scores[worst] || (scores[i] == scores[worst] && numbers[i] > numbers[worst]) {
            worst = i;
        }
    }
    return worst;
}

@compute @workgroup_size(256)
fn compare(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    // Workgroups beyond the last one repeat nothing: they have no patterns, but meet all barriers.
    let group = group_number(id, groups);
    let first_pattern = group / p.segments * TILE;
    let segment = group % p.segments;
    let mine = first_pattern + local;
    let keeps = local < TILE && mine < p.patterns;
    let list = (mine * p.segments + segment) * KEEP;
    var worst = list;
    if keeps {
        if p.fresh == 1u {
            for (var i = list; i < list + KEEP; i++) {
                scores[i] = NONE;
                numbers[i] = 0xffffffffu;
            }
        }
        worst = worst_of(list);
    }
    let row = local / 16u;
    let column = local % 16u;
    let tiles = (p.end - p.first + TILE - 1u) / TILE;
    for (var tile = segment; tile < tiles; tile += p.segments) {
        let first_template = p.first + tile * TILE;
        // 4 × 4 sums: rows of patterns, columns of templates.
        var sum: array<vec4<f32>, 4>;
        for (var i = 0u; i < 4u; i++) {
            sum[i] = vec4<f32>(0.0);
        }
        for (var base = 0u; base < p.pixels; base += DEPTH) {
            for (var i = local; i < TILE * DEPTH; i += 256u) {
                let r = i / DEPTH;
                let pixel = base + i % DEPTH;
                var a = 0.0;
                var b = 0.0;
                if pixel < p.pixels {
                    if first_pattern + r < p.patterns {
                        a = patterns[(first_pattern + r) * p.pixels + pixel];
                    }
                    if first_template + r < p.end {
                        b = templates[(first_template + r) * p.pixels + pixel];
                    }
                }
                sh_patterns[r * PITCH + i % DEPTH] = a;
                sh_templates[r * PITCH + i % DEPTH] = b;
            }
            workgroupBarrier();
            for (var k = 0u; k < DEPTH; k++) {
                let b = vec4<f32>(
                    sh_templates[column * PITCH + k],
                    sh_templates[(column + 16u) * PITCH + k],
                    sh_templates[(column + 32u) * PITCH + k],
                    sh_templates[(column + 48u) * PITCH + k],
                );
                for (var i = 0u; i < 4u; i++) {
                    sum[i] += sh_patterns[(row + 16u * i) * PITCH + k] * b;
                }
            }
            workgroupBarrier();
        }
        // Sixteen templates at a time, in ascending order, so that of equal ones the first stay.
        for (var part = 0u; part < 4u; part++) {
            for (var i = 0u; i < 4u; i++) {
                sh_patterns[(row + 16u * i) * PITCH + column] = sum[i][part];
            }
            workgroupBarrier();
            if keeps {
                for (var c = 0u; c < 16u; c++) {
                    let entry_id = first_template + 16u * part + c;
                    let score = sh_patterns[local * PITCH + c];
                    if entry_id < p.end && score > scores[worst] {
                        scores[worst] = score;
                        numbers[worst] = p.number + entry_id;
                        worst = worst_of(list);
                    }
                }
            }
            workgroupBarrier();
        }
    }
}
