//! What is still common to all defects when the measured drift is taken out.

use super::super::detected::Detected;
use crate::analysis::common_motion::common_motion;
use crate::analysis::robust::median_of;
use crate::analysis::tracks::Linked;
use crate::control::Control;
use crate::error::Result;
use std::collections::BTreeMap;

/// Links between two frames from which their common displacement is taken.
pub(super) const COMMON: usize = 8;

/// Drift that is left, and the frames it could not be told for although enough was found in them. It starts from the median step of links from each frame to the
/// next, summed, and ends with the motion in which the steadiest tracks rest: errors of medians add up from frame to frame, and would let tracks seem to wander that rest.
///
/// Detections without a window do not vote: they lie at the edge of the frame, and edges that are taken for defects stay with the frame. Where none has one, all do.
///
/// Of an even number of steps the median is the mean of the middle two: either one alone lies off to the same side in every frame, and that adds up. Where too few links
/// come from the frame before, as behind one that shows nothing, those over a gap of up to `gap` frames tell it. Where detections are few and missed now and then,
/// so that those of no single gap suffice, all of them together do, if they are half of what is found.
///
/// # Errors
/// [`crate::Error::Cancelled`].
pub(super) fn common(
    found: &Detected,
    at: &[[f64; 2]],
    linked: &Linked,
    gap: u32,
    control: &Control,
) -> Result<(Vec<[f64; 2]>, Vec<u64>)> {
    let gap = gap as usize;
    let all = !found.kept.contains(&true);
    let votes = |i: usize| all || found.kept[i];
    // For each frame the steps to it from the frame before, from the one before that, and so on.
    let mut steps: Vec<BTreeMap<usize, Steps>> = vec![BTreeMap::new(); found.frames];
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
        let many = found_in[to] >= 2 * COMMON;
        let near = found_in[to.saturating_sub(gap + 1)..=to].iter().copied().max().unwrap_or(0);
        let told = match steps.iter_mut().find(|(_, step)| step[0].len() >= COMMON) {
            Some((back, step)) => {
                let from = to - *back;
                Some((part[from], middle(sums[from], step)))
            }
            None if near >= COMMON => together(steps, to, &sums, &part, near.div_ceil(2).min(COMMON)),
            None => None,
        };
        if told.is_none() && many && enough {
            unlinked.push(u64::from(found.first) + to as u64);
        }
        let (hangs, sum) = told.unwrap_or((to, sums.last().copied().unwrap_or_default()));
        part.push(hangs);
        sums.push(sum);
        enough |= many;
    }
    let tracks: Vec<Vec<(usize, [f64; 2])>> = linked
        .members
        .iter()
        .map(|m| m.iter().filter(|&&i| votes(i)).map(|&i| (found.index(i), at[i])).collect())
        .filter(|t: &Vec<_>| t.len() > 1)
        .collect();
    Ok((common_motion(&tracks, &sums, &part, control)?, unlinked))
}

/// Steps (y, x), each by itself.
type Steps = [Vec<f64>; 2];

/// `from`, displaced by the median step.
fn middle(from: [f64; 2], steps: &mut Steps) -> [f64; 2] {
    let [y, x] = steps;
    [from[0] + median_of(y), from[1] + median_of(x)]
}

/// The part and the sum of frame `to` from the steps over all gaps, if at least so many come from one part.
fn together(
    steps: &BTreeMap<usize, Steps>,
    to: usize,
    sums: &[[f64; 2]],
    part: &[usize],
    least: usize,
) -> Option<(usize, [f64; 2])> {
    let mut places: BTreeMap<usize, Steps> = BTreeMap::new();
    for (back, steps) in steps {
        let from = to - back;
        let places = places.entry(part[from]).or_default();
        for k in 0..2 {
            places[k].extend(steps[k].iter().map(|step| sums[from][k] + step));
        }
    }
    let (part, places) = places.iter_mut().max_by_key(|(_, places)| places[0].len())?;
    (places[0].len() >= least).then(|| (*part, middle([0.0; 2], places)))
}
