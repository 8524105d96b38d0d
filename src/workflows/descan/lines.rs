//! What the beam does in whole lines of the scan, and no smooth surface follows: it flies back at their beginning, it jumps between two of them.

use crate::analysis::robust::median;
use std::collections::BTreeMap;

/// Fewest frames of a line whose median says something of it.
const LEAST: usize = 8;

/// A row or a column of the scan.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    /// Its frames among the selected.
    pub frames: Vec<usize>,
    /// What they share, in detector pixels (y, x).
    pub shift: [f64; 2],
}

/// The part of `residuals` (y, x) that all frames of a row or of a column of the scan share: one step of Tukey's median polish (J. W. Tukey,
/// *Exploratory Data Analysis*, 1977), rows first. Where another disk was taken for the beam in a smaller part of a line, the median stays.
pub(super) fn shared(at: &[[f64; 2]], residuals: &[[f64; 2]]) -> Vec<Line> {
    let mut left = residuals.to_vec();
    let mut all = Vec::new();
    for axis in [0, 1] {
        let mut lines: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (i, place) in at.iter().enumerate() {
            lines.entry(place[axis] as u64).or_default().push(i);
        }
        for frames in lines.into_values().filter(|f| f.len() >= LEAST) {
            let shift = [0, 1].map(|k| {
                let median = median(frames.iter().map(|&i| left[i][k]));
                frames.iter().for_each(|&i| left[i][k] -= median);
                median
            });
            all.push(Line { frames, shift });
        }
    }
    all
}

/// What the lines say of each of `count` frames.
pub(super) fn of_frames(lines: &[Line], count: usize) -> Vec<[f64; 2]> {
    let mut sums = vec![[0.0; 2]; count];
    for line in lines {
        for &i in &line.frames {
            (0..2).for_each(|k| sums[i][k] += line.shift[k]);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_move_together_and_parts_of_them_do_not() {
        let at: Vec<[f64; 2]> = (0..12)
            .flat_map(|y| (0..20).map(move |x| [f64::from(y), f64::from(x)]))
            .collect();
        // It flies back in x, and jumps in y behind row 8; a grain of 5 × 6 frames shows another disk.
        let beam = |p: &[f64; 2]| [if p[0] >= 8.0 { 4.0 } else { 0.0 }, 8.0 * (-p[1] / 2.5).exp()];
        let grain = |p: &[f64; 2]| (3.0..8.0).contains(&p[0]) && (10.0..16.0).contains(&p[1]);
        let seen = |p: &[f64; 2]| {
            let b = beam(p);
            if grain(p) { [b[0] + 5.0, b[1] - 3.0] } else { b }
        };
        let residuals: Vec<[f64; 2]> = at.iter().map(seen).collect();
        let lines = of_frames(&shared(&at, &residuals), at.len());
        // A row's median is another one of its values where a part of the row shows something else; along x, they all lie below this.
        let least = beam(&[0.0, 10.0])[1];
        for (p, line) in at.iter().zip(&lines) {
            let want = beam(p);
            assert!((line[0] - want[0]).abs() < 1e-12, "{p:?} {line:?}");
            assert!((line[1] - want[1]).abs() < least, "{p:?} {line:?}");
        }
        // Too few frames for a median.
        assert_eq!(shared(&at[..7], &residuals[..7]), []);
    }
}
