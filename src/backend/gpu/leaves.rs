//! Where the leaves of a pass begin and end in a block.

use crate::pixel::LEAF;

/// The frames that one leaf has in one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LeafRun {
    /// Number of the leaf.
    pub leaf: u64,
    /// First frame in the block.
    pub from: u32,
    pub count: u32,
    /// The leaf has frames in an earlier block.
    pub goes_on: bool,
    /// The leaf's last frame is here.
    pub ends: bool,
}

/// Cuts the frames `first .. first + count` of the selection at leaves.
pub(crate) fn leaf_runs(first: u64, count: usize) -> impl Iterator<Item = LeafRun> {
    let end = first + count as u64;
    (first / LEAF..end.div_ceil(LEAF)).map(move |leaf| {
        let (from, to) = ((leaf * LEAF).max(first), ((leaf + 1) * LEAF).min(end));
        LeafRun {
            leaf,
            from: (from - first) as u32,
            count: (to - from) as u32,
            goes_on: from > leaf * LEAF,
            ends: to == (leaf + 1) * LEAF,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_fall_inside_and_between_leaves() {
        let runs: Vec<_> = leaf_runs(56, 80)
            .map(|r| (r.leaf, r.from, r.count, r.goes_on, r.ends))
            .collect();
        assert_eq!(
            runs,
            [(0, 0, 8, true, true), (1, 8, 64, false, true), (2, 72, 8, false, false)]
        );
        let inside: Vec<_> = leaf_runs(72, 16)
            .map(|r| (r.leaf, r.from, r.count, r.goes_on, r.ends))
            .collect();
        assert_eq!(inside, [(1, 0, 16, true, false)]);
        assert_eq!(leaf_runs(64, 0).count(), 0);
    }
}
