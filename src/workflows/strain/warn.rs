//! What a user should know about lattices and fits, in a sentence with what to try.

use super::refine::Refined;
use super::{ClusterLattice, joint};
use crate::analysis::lattice::basis::reduce;
use crate::analysis::lattice::{Lattice, Vector, length};

/// Disks may be this much larger or smaller than the template before it is said.
const OTHER_SIZE: f64 = 0.25;

/// Numbers with commas between them, the first few of many.
fn list(clusters: &[usize]) -> String {
    const MOST: usize = 10;
    let text: Vec<String> = clusters.iter().take(MOST).map(usize::to_string).collect();
    let more = if clusters.len() > MOST { ", …" } else { "" };
    text.join(", ") + more
}

/// Clusters in which no lattice was found.
pub(super) fn clusters(clusters: &[ClusterLattice]) -> Vec<String> {
    let without = |(_, c): &(usize, &ClusterLattice)| c.matches.is_empty() && c.frames > 0;
    let say = |(n, c): (usize, &ClusterLattice)| {
        let peaks = c.peaks.len();
        format!("cluster {n}: no lattice in the {peaks} peaks of its log-sum; its frames stay without")
    };
    clusters.iter().enumerate().filter(without).map(say).collect()
}

/// Clusters whose zero is another site of their lattice than the one nearest to the highest maximum of the whole scan, `brightest`, and
/// that have no peak there, within `tolerance`: where they have one, it was weighed against the others when the direct beam was chosen.
pub(super) fn zero(clusters: &[ClusterLattice], brightest: Option<Vector>, tolerance: f64) -> Option<String> {
    let peak = brightest?;
    let away = |l: &Lattice| {
        let shortest = reduce(l.a, l.b).map_or(f64::INFINITY, |[a, b]| length(a).min(length(b)));
        length([l.zero[0] - peak[0], l.zero[1] - peak[1]]) > shortest / 2.0
    };
    let unseen = |c: &ClusterLattice| {
        let mut distances = c.peaks.iter().map(|p| length([p[0] - peak[0], p[1] - peak[1]]));
        distances.all(|d| d > tolerance)
    };
    let other: Vec<usize> = (0..)
        .zip(clusters)
        .filter(|(_, c)| c.lattice().is_some_and(|l| away(&l)) && unseen(c))
        .map(|(n, _)| n)
        .collect();
    (!other.is_empty()).then(|| {
        format!(
            "zero of cluster {} is far from the highest maximum of the whole scan at ({:.1}, {:.1}): if that is the direct beam, or it is \
             elsewhere, say so with --zero Y,X",
            list(&other),
            peak[0],
            peak[1]
        )
    })
}

/// Clusters with a lattice in which most frames got no fit; `largest`: the largest pixel of the scan.
pub(super) fn unfitted(
    refined: &Refined,
    labels: &[i32],
    lattices: &[Option<Lattice>],
    min_weight: f64,
    largest: f64,
) -> Option<String> {
    let mut counts = vec![[0usize; 2]; lattices.len()];
    for (fit, &label) in refined.fits.iter().zip(labels) {
        if let Some([all, without]) = usize::try_from(label).ok().and_then(|l| counts.get_mut(l)) {
            *all += 1;
            *without += usize::from(fit.is_none());
        }
    }
    let most = |c: &usize| {
        let [all, without] = counts.get(*c).copied().unwrap_or_default();
        lattices.get(*c).is_some_and(Option::is_some) && 2 * without > all
    };
    let clusters: Vec<usize> = (0..lattices.len()).filter(most).collect();
    // The elevation is that of ln(f − min f + 1), nearly f itself for small f.
    let small = if largest.is_finite() && largest < 10.0 {
        format!(
            "; pixels are at most {largest:.3}, and such small ones make small weights: scale the frames to counts, or try a smaller one"
        )
    } else {
        String::from("; if spots are weak, try a smaller one")
    };
    (!clusters.is_empty()).then(|| {
        format!(
            "most frames of cluster {} get no fit: too few of their spots have a weight of --min-weight {min_weight}{small}",
            list(&clusters)
        )
    })
}

/// Disks of another radius than that of the template, or at the limit of the fit that found it.
pub(super) fn radius(seen: f64, template: f64) -> Option<String> {
    let other = (seen / template - 1.0).abs() > OTHER_SIZE;
    other.then(|| {
        let beyond = if seen > joint::LARGEST * template { "at least " } else { "" };
        format!(
            "disks look {beyond}{seen:.1} px in radius, not {template}: try --radius {seen:.1} --radius-outer {outer:.1} \
             --lattice-radius {seen:.1} --lattice-radius-outer {outer:.1}",
            outer = 1.5 * seen + 1.0
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflows::strain::Match;

    #[test]
    fn another_radius_is_said() {
        assert!(radius(1.7, 1.5).is_none() && radius(1.2, 1.5).is_none());
        let text = radius(4.0, 2.0).unwrap();
        assert!(
            text.contains("at least 4.0 px") && text.contains("--lattice-radius 4.0"),
            "{text}"
        );
        assert!(radius(2.6, 2.0).unwrap().starts_with("disks look 2.6 px"));
        assert!(radius(1.0, 2.0).is_some());
    }

    #[test]
    fn another_site_as_zero_is_said() {
        let at = |zero| ClusterLattice {
            frames: 3,
            matches: vec![Match {
                lattice: Lattice {
                    zero,
                    a: [0.0, 18.0],
                    b: [20.0, 40.0],
                },
                error: 0.1,
                indices: Vec::new(),
                refined: Vec::new(),
            }],
            ..ClusterLattice::default()
        };
        let mut all = [at([70.0, 72.0]), ClusterLattice::default(), at([70.5, 53.8])];
        let text = zero(&all, Some([70.0, 72.0]), 3.0).unwrap();
        assert!(text.starts_with("zero of cluster 2 is") && text.contains("--zero"), "{text}");
        assert_eq!(zero(&all[..2], Some([70.0, 72.0]), 3.0), None);
        assert_eq!(zero(&all, None, 3.0), None);
        all[2].peaks = vec![[71.0, 73.0]];
        assert_eq!(zero(&all, Some([70.0, 72.0]), 3.0), None);
        assert!(clusters(&all).is_empty());
        let many: Vec<usize> = (0..12).collect();
        assert_eq!(list(&many), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, …");
    }
}
