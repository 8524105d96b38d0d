// The multiply-add rate of a device: sixteen independent chains in every thread, and nothing else.
struct Params {
    steps: u32,
    a: f32,
    b: f32,
    groups: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(256)
fn chains(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let group = id.x + id.y * count.x;
    var x = vec4<f32>(f32(local));
    var y = x + 1.0;
    var z = x + 2.0;
    var w = x + 3.0;
    for (var i = 0u; i < p.steps; i++) {
        x = fma(x, vec4<f32>(p.a), vec4<f32>(p.b));
        y = fma(y, vec4<f32>(p.a), vec4<f32>(p.b));
        z = fma(z, vec4<f32>(p.a), vec4<f32>(p.b));
        w = fma(w, vec4<f32>(p.a), vec4<f32>(p.b));
    }
    let all = x + y + z + w;
    if group < p.groups {
        out[group * 256u + local] = all.x + all.y + all.z + all.w;
    }
}
