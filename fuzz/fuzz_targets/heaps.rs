//! Global heaps of HDF5 files. The library does not survive damaged ones: it crashes on them or reads them without end
//! (`H5HG__cache_heap_deserialize`), so files that have such are of no use for finding faults of emstream.

/// Whether every global heap in `bytes` holds objects that follow each other up to its end, as the HDF5 File Format
/// Specification 3.0, III.E, wants it; lengths of 8 bytes, which all seeds have.
pub fn are_whole(bytes: &[u8]) -> bool {
    let mut places = bytes.windows(4).enumerate().filter(|(_, four)| four == b"GCOL");
    places.all(|(at, _)| is_whole(&bytes[at..]).is_some())
}

fn is_whole(heap: &[u8]) -> Option<()> {
    let length = |at: usize| usize::try_from(u64::from_le_bytes(heap.get(at..at + 8)?.try_into().ok()?)).ok();
    let end = length(8).filter(|end| (16..=heap.len()).contains(end))?;
    let mut at = 16;
    while at + 16 <= end {
        let index = u16::from_le_bytes([heap[at], heap[at + 1]]);
        let size = length(at + 8)?;
        // Object 0 is the free space, its header included.
        let step = if index == 0 { size } else { size.checked_next_multiple_of(8)?.checked_add(16)? };
        at = at.checked_add(step).filter(|next| step >= 16 && *next <= end)?;
    }
    Some(())
}
