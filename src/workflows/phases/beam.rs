//! Where the direct beam is in a mean pattern, and how far it reaches.

use crate::analysis::nearby::square;
use crate::analysis::robust::median;
use crate::error::{Error, Result};
use ndarray::Array2;

/// Refuses a disk that meets none of the patterns of these shapes (rebinned by `rebin`): it would mask nothing. Among `pixels` it must hold the centre
/// of one, as they are masked by their centres; rings have their centre anywhere on a pattern.
///
/// # Errors
/// [`Error::Parameter`]
pub(super) fn inside([y, x, r]: [f64; 3], shapes: &[(usize, usize)], rebin: usize, pixels: bool) -> Result<()> {
    let nearest = |c: f64, n: usize| c.round().clamp(0.0, n as f64 - 1.0) - c;
    // Pixels reach half a pixel about their centres.
    let reach = if pixels { r } else { r + 0.5f64.hypot(0.5) };
    let meets = |&(h, w): &(usize, usize)| nearest(y, h).hypot(nearest(x, w)) <= reach;
    let Some((h, w)) = shapes.first().filter(|_| !shapes.iter().any(meets)) else {
        return Ok(());
    };
    let after = match rebin {
        1 => String::new(),
        n => format!(" (after rebinning by {n})"),
    };
    let what = format!("the disk {y},{x},{r} holds no pixel of the patterns of {h} × {w} pixels{after}");
    Err(Error::parameter("--beam-mask", what))
}

/// Share of the beam's height below which it has ended.
const FOOT: f64 = 0.05;

/// What remains of the pattern without lone pixels must be this many times as high as its pixels differ from their neighbours.
const CLEAR: f64 = 10.0;

/// Centre (y, x) and radius of a disk that covers the direct beam of a mean pattern; `None` where the pattern has no maximum.
///
/// The centre is the centre of mass of the pixels about the maximum that are above half of its height over the median. The radius is
/// where the mean over rings of one pixel has fallen to 5 % of that height, or where it begins to rise, and one pixel more;
/// at most a quarter of the pattern.
///
/// A hot pixel is no beam: where the maximum is a lone pixel, and medians over 3×3 pixels have a clear maximum elsewhere, these are
/// searched instead.
pub(super) fn find(mean: &Array2<f64>) -> Option<[f64; 3]> {
    match without_lone_pixels(mean) {
        Some(filtered) => disk(&filtered),
        None => disk(mean),
    }
}

/// Values of the square of 2·`reach` + 1 pixels about a pixel, those at least `from` pixels away.
fn around(mean: &Array2<f64>, (y, x): (usize, usize), from: usize, reach: usize) -> impl Iterator<Item = f64> {
    let far = move |(v, u): &(usize, usize)| v.abs_diff(y).max(u.abs_diff(x)) >= from;
    square((y, x), reach, mean.dim()).filter(far).map(|at| mean[at])
}

/// First pixel of the largest value.
fn highest(mean: &Array2<f64>) -> Option<((usize, usize), f64)> {
    let largest = mean.iter().copied().max_by(f64::total_cmp)?;
    mean.indexed_iter().find(|(_, v)| **v == largest).map(|(at, v)| (at, *v))
}

/// Medians over 3×3 pixels if the maximum of the pattern is a hot pixel and the beam is elsewhere.
///
/// A beam that is as narrow as a pixel looks nearly the same. It differs by what surrounds it, as no beam is without tails; and without it
/// there is no other maximum, as all disks of a pattern are equally narrow.
fn without_lone_pixels(mean: &Array2<f64>) -> Option<Array2<f64>> {
    let (peak, value) = highest(mean)?;
    let level = median(mean.iter().copied());
    let height = value - level;
    let narrow = median(around(mean, peak, 0, 1)) - level < 0.5 * height;
    let tails = median(around(mean, peak, 1, 1)) - median(around(mean, peak, 2, 2));
    if !(narrow && tails < FOOT * height) {
        return None;
    }
    let filtered = Array2::from_shape_fn(mean.dim(), |at| median(around(mean, at, 0, 1)));
    let (other, top) = highest(&filtered)?;
    let differences = mean.iter().zip(&filtered).map(|(a, b)| (a - b).abs());
    let clear = top - median(filtered.iter().copied()) > CLEAR * median(differences);
    let elsewhere = other.0.abs_diff(peak.0).max(other.1.abs_diff(peak.1)) > 2;
    (clear && elsewhere).then_some(filtered)
}

/// The beam about the maximum.
fn disk(mean: &Array2<f64>) -> Option<[f64; 3]> {
    let (h, w) = mean.dim();
    let mut sorted: Vec<f64> = mean.iter().copied().collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let (median, highest) = (*sorted.get(sorted.len() / 2)?, *sorted.last()?);
    let height = highest - median;
    if !(height > 0.0 && height.is_finite()) {
        return None;
    }
    let peak = mean.indexed_iter().find(|(_, v)| **v == highest)?.0;
    // Pixels above half of the height that hang together with the maximum.
    let mut seen = Array2::from_elem((h, w), false);
    let (mut todo, mut sums) = (vec![peak], [0.0; 3]);
    seen[peak] = true;
    while let Some((y, x)) = todo.pop() {
        let weight = mean[[y, x]] - median;
        sums[0] += weight;
        sums[1] += weight * y as f64;
        sums[2] += weight * x as f64;
        let around = [(y.wrapping_sub(1), x), (y + 1, x), (y, x.wrapping_sub(1)), (y, x + 1)];
        for next in around.into_iter().filter(|&(y, x)| y < h && x < w) {
            if !seen[next] && mean[next] - median > 0.5 * height {
                seen[next] = true;
                todo.push(next);
            }
        }
    }
    let (cy, cx) = (sums[1] / sums[0], sums[2] / sums[0]);
    let most = (h.min(w) / 4).max(1);
    let mut rings = vec![(0.0, 0usize); most + 1];
    for ((y, x), v) in mean.indexed_iter() {
        let r = (y as f64 - cy).hypot(x as f64 - cx).round() as usize;
        if let Some((sum, count)) = rings.get_mut(r) {
            *sum += v - median;
            *count += 1;
        }
    }
    let profile: Vec<f64> = rings
        .iter()
        .map(|(s, n)| if *n > 0 { s / *n as f64 } else { f64::NAN })
        .collect();
    let ends = |r: usize| {
        let here = profile[r];
        here < FOOT * height || profile.get(r + 1).is_some_and(|next| *next > here && here < 0.5 * height)
    };
    let last = (1..=most).find(|&r| ends(r)).unwrap_or(most);
    Some([cy, cx, (last as f64 + 1.0).min(most as f64)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_beside_all_patterns_is_refused() {
        let said = |disk, shapes: &[_], rebin| inside(disk, shapes, rebin, true).map_err(|e| e.to_string());
        let small = [(16, 20)];
        assert_eq!(said([500.0, 500.0, 700.0], &small, 2), Ok(()));
        assert_eq!(said([8.0, 20.5, 1.5], &small, 2), Ok(()));
        let e = said([8.0, 20.5, 1.4], &small, 2).unwrap_err();
        assert!(
            e.ends_with("the disk 8,20.5,1.4 holds no pixel of the patterns of 16 × 20 pixels (after rebinning by 2)"),
            "{e}"
        );
        assert!(said([-9.0, 3.0, 2.0], &small, 1).unwrap_err().ends_with("16 × 20 pixels"));
        // Between four centres.
        assert!(said([8.5, 8.5, 0.7], &small, 1).is_err());
        assert_eq!(said([8.5, 8.5, 0.71], &small, 1), Ok(()));
        assert!(inside([8.5, 8.5, 0.0], &small, 1, false).is_ok() && inside([8.0, 21.0, 1.0], &small, 1, false).is_err());
        // Another signal may be smaller.
        assert_eq!(said([30.0, 30.0, 2.0], &[(1, 1), (64, 64)], 1), Ok(()));
    }
    use crate::rng::Source;

    /// A beam of width `sigma` at (20, 17), background and noise.
    fn pattern(sigma: f64) -> Array2<f64> {
        let mut numbers = Source::new(1, 0).sequence(0);
        Array2::from_shape_fn((40, 36), |(y, x)| {
            let r = (y as f64 - 20.0).hypot(x as f64 - 17.0);
            300.0 * (-0.5 * (r / sigma).powi(2)).exp() + 5.0 * (-r / 12.0).exp() + 0.1 * numbers.normal()
        })
    }

    #[test]
    fn a_hot_pixel_is_no_beam() {
        for sigma in [1.0, 2.0, 4.0] {
            let clean = find(&pattern(sigma)).unwrap();
            assert_eq!(Some(clean), disk(&pattern(sigma)));
            assert!((clean[0] - 20.0).hypot(clean[1] - 17.0) < 0.2, "{clean:?}");
            // In a corner, far from the beam, on its slope; one pixel and two.
            for (at, and) in [((0, 0), None), ((33, 6), Some((33, 7))), ((23, 21), None)] {
                let mut hot = pattern(sigma);
                hot[at] = 9e4;
                if let Some(at) = and {
                    hot[at] = 7e4;
                }
                let [y, x, r] = find(&hot).unwrap();
                assert!((y - 20.0).hypot(x - 17.0) < 0.7, "σ {sigma}, {at:?}: {y} {x}");
                assert!((r - clean[2]).abs() <= 1.0, "σ {sigma}, {at:?}: {r} instead of {}", clean[2]);
            }
        }
    }

    #[test]
    fn a_beam_of_one_pixel_is_found() {
        for sigma in [0.2, 0.35, 0.5] {
            let [y, x, r] = find(&pattern(sigma)).unwrap();
            assert!((y - 20.0).hypot(x - 17.0) < 0.1, "σ {sigma}: {y} {x}");
            assert!(r <= 4.0, "{r}");
        }
        // Nothing but a pixel.
        let mut lone = Array2::from_elem((12, 12), 1.0);
        lone[[3, 8]] = 50.0;
        assert_eq!(find(&lone), disk(&lone));
        assert_eq!(find(&Array2::zeros((5, 5))), None);
    }
}
