//! What is still common to all defects when the measured drift is taken out.

use super::super::detected::Detected;
use crate::analysis::common_motion::common_motion;
use crate::analysis::tracks::Linked;
use std::collections::BTreeMap;

/// Links between two frames from which their common displacement is taken.
pub(super) const COMMON: usize = 8;

/// Drift that is left, and the frames it could not be told for although enough was found in them. It starts from the median step of links from each frame to the
/// next, summed, and ends with the motion in which the steadiest tracks rest: errors of medians add up from frame to frame, and would let tracks seem to wander that rest.
///
/// Detections without a window do not vote: they lie at the edge of the frame, and edges that are taken for defects stay with the frame. Where none has one, all do.
///
/// Of an even number of steps the median is the mean of the middle two: either one alone lies off to the same side in every frame, and that adds up. Where too few links
/// come from the frame before, as behind one that shows nothing, those over a gap of up to `gap` frames tell it.
pub(super) fn common(found: &Detected, at: &[[f64; 2]], linked: &Linked, gap: u32) -> (Vec<[f64; 2]>, Vec<u64>) {
    let gap = gap as usize;
    let all = !found.kept.contains(&true);
    let votes = |i: usize| all || found.kept[i];
    // For each frame the steps to it from the frame before, from the one before that, and so on.
    let mut steps: Vec<BTreeMap<usize, [Vec<f64>; 2]>> = vec![BTreeMap::new(); found.frames];
    for pair in linked.members.iter().flat_map(|m| m.windows(2)) {
        let (from, to) = (found.index(pair[0]), found.index(pair[1]));
        if (1..=gap + 1).contains(&(to - from)) && votes(pair[0]) && votes(pair[1]) {
            let step = steps[to].entry(to - from).or_default();
            for k in 0..2 {
                step[k].push(at[pair[1]][k] - at[pair[0]][k]);
            }
        }
    }
    let mut found_in = vec![0usize; found.frames];
    (0..found.frame.len())
        .filter(|&i| votes(i))
        .for_each(|i| found_in[found.index(i)] += 1);
    let mut sums: Vec<[f64; 2]> = Vec::with_capacity(found.frames);
    // Frames whose steps are told hang together.
    let mut part: Vec<usize> = Vec::with_capacity(found.frames);
    let (mut unlinked, mut enough) = (Vec::new(), false);
    for (to, steps) in steps.iter_mut().enumerate() {
        let most = steps.iter_mut().find(|(_, step)| step[0].len() >= COMMON);
        let mut sum = match &most {
            Some((back, _)) => sums[to - **back],
            None => sums.last().copied().unwrap_or_default(),
        };
        part.push(most.as_ref().map_or(to, |(back, _)| part[to - **back]));
        let many = found_in[to] >= 2 * COMMON;
        if let Some((_, step)) = most {
            for (sum, step) in sum.iter_mut().zip(step) {
                let n = step.len();
                let (below, middle, _) = step.select_nth_unstable_by(n / 2, f64::total_cmp);
                let lower = below.iter().copied().max_by(f64::total_cmp);
                let lower = lower.filter(|_| n.is_multiple_of(2)).unwrap_or(*middle);
                *sum += (lower + *middle) / 2.0;
            }
        } else if many && enough {
            unlinked.push(u64::from(found.first) + to as u64);
        }
        enough |= many;
        sums.push(sum);
    }
    let tracks: Vec<Vec<(usize, [f64; 2])>> = linked
        .members
        .iter()
        .map(|m| m.iter().filter(|&&i| votes(i)).map(|&i| (found.index(i), at[i])).collect())
        .filter(|t: &Vec<_>| t.len() > 1)
        .collect();
    (common_motion(&tracks, &sums, &part), unlinked)
}
