// One frame that a whole workgroup reads. STAGE words of it fit into workgroup memory, or none (STAGED false).
var<workgroup> sh_frame: array<u32, STAGE>;

// Brings the frame at `start` near. All threads of the workgroup must come here.
fn stage_frame(start: u32, words: u32, local: u32) {
    if STAGED {
        for (var i = local; i < words; i += 256u) {
            sh_frame[i] = frames[start + i];
        }
        workgroupBarrier();
    }
}
// Value of pixel `i` of the frame at `start`.
fn pixel_at(start: u32, i: u32) -> f32 {
    let word = i / LANES;
    if STAGED {
        return value(sh_frame[word], i % LANES);
    }
    return value(frames[start + word], i % LANES);
}
