// As little as a dispatch can do: what launching costs.
struct Params {
    number: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<u32>;

@compute @workgroup_size(64)
fn nothing(@builtin(local_invocation_index) local: u32) {
    if local == 0u {
        out[0] = p.number;
    }
}
