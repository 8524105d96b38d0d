//! Whether chance explains a lattice: peaks of noise lie on many.

use crate::analysis::lattice::{Lattice, Matcher, Vector};

/// A lattice that chance would produce more often than this is none: within `tolerance`, and within a pixel.
const CHANCE: [f64; 2] = [1e-6, 1e-3];

/// Whether peaks anywhere in the frame would lie on `lattice` as often as these do. `made` of them made the lattice: any three do; the rest
/// are counted within the tolerance and within a pixel, and compared with the share of the frame that is so near to a site.
/// `doubt`: how many times rarer than usual a chance must be.
pub(super) fn by_chance(
    (peaks, made): (&[Vector], usize),
    lattice: &Lattice,
    matcher: &Matcher,
    (h, w): (usize, usize),
    doubt: f64,
) -> bool {
    // Every such step of pixels tells the share well enough.
    let step = (h.max(w) / 128).max(1);
    !CHANCE.iter().enumerate().any(|(n, &rare)| {
        let near = Matcher {
            tolerance: if n == 0 {
                matcher.tolerance
            } else {
                matcher.tolerance.min(1.0)
            },
            ..*matcher
        };
        let grid = || {
            (0..h)
                .step_by(step)
                .flat_map(|y| (0..w).step_by(step).map(move |x| [y as f64, x as f64]))
        };
        let inside = grid().filter(|&p| near.site(lattice, p).is_some()).count() as f64;
        let share = inside / grid().count().max(1) as f64;
        let on = peaks.iter().filter(|&&p| near.site(lattice, p).is_some()).count();
        at_least(on.saturating_sub(made), peaks.len().saturating_sub(made), share) < rare / doubt
    })
}

/// Probability of at least `k` of `n` events of probability `p`.
fn at_least(k: usize, n: usize, p: f64) -> f64 {
    let mut sum = 0.0;
    for i in k..=n {
        let ways: f64 = (0..i).map(|j| (n - j) as f64 / (i - j) as f64).product();
        sum += ways * p.powi(i as i32) * (1.0 - p).powi((n - i) as i32);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::super::Params;
    use super::*;
    use crate::analysis::Recipe;
    use crate::analysis::lattice::basis::change_of_basis;

    #[test]
    fn binomial_tail() {
        assert!((at_least(0, 5, 0.3) - 1.0).abs() < 1e-12);
        assert!((at_least(5, 5, 0.5) - 1.0 / 32.0).abs() < 1e-15);
        assert!((at_least(2, 3, 0.5) - 0.5).abs() < 1e-15);
        assert_eq!(at_least(1, 0, 0.5), 0.0);
    }

    /// Lattices in peaks anywhere are refused; those of ten spots among ten such peaks are accepted where the search is right.
    #[test]
    fn chance_makes_no_lattices_and_hides_none() {
        let mut state = 3u64;
        let mut anywhere = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (4.0 + 136.0 * (state >> 11) as f64 / (1u64 << 53) as f64).round()
        };
        let truth = Lattice {
            zero: [70.0, 72.0],
            a: [4.0, 17.0],
            b: [-22.0, 5.0],
        };
        let search = Params::default().search(Recipe::Default);
        let accepts = |peaks: &[Vector], l: &Lattice| !by_chance((peaks, 3), l, &search.matcher(), (144, 144), 1.0);
        let (mut noise, mut right, mut accepted) = (0, 0, 0);
        for _ in 0..100 {
            let mut peaks: Vec<Vector> = (0..20).map(|_| [anywhere(), anywhere()]).collect();
            let best = |peaks: &[Vector]| Some(search.find(peaks, None, None).unwrap().matches.first()?.fit.lattice);
            noise += usize::from(best(&peaks).is_some_and(|l| accepts(&peaks, &l)));
            peaks.truncate(10);
            for i in [
                [0, 0],
                [1, 0],
                [-1, 0],
                [0, 1],
                [0, -1],
                [1, 1],
                [-1, -1],
                [1, -1],
                [-1, 1],
                [2, 0],
            ] {
                peaks.push(truth.position(i[0].into(), i[1].into()).map(f64::round));
            }
            if let Some(l) = best(&peaks)
                && change_of_basis(&l, &truth).is_some_and(|c| c.vectors_off < 0.5)
            {
                right += 1;
                accepted += usize::from(accepts(&peaks, &l));
            }
        }
        assert!(noise <= 1 && right >= 30 && accepted == right, "{noise} {right} {accepted}");
    }
}
