// Number of this workgroup in the linear range that is laid over a 2-D dispatch.
fn group_number(id: vec3<u32>, count: vec3<u32>) -> u32 {
    return id.x + id.y * count.x;
}
