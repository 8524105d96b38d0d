// Number of this thread among all of a dispatch of workgroups of 256. Needs group.wgsl.
fn thread_number(id: vec3<u32>, count: vec3<u32>, local: u32) -> u32 {
    return group_number(id, count) * 256u + local;
}
