//! Spots of a correlation map: its maxima without the side lobes of higher ones, and which of them stand out of the noise.

use super::correlate::correlation_map;
use super::lattice::length;
use super::peaks::{Peak, find_peaks};
use super::{Recipe, template::Template};
use crate::error::Result;
use ndarray::{Array2, ArrayView2};

/// A maximum counts if it is higher than this many times what the side lobes of higher ones explain: in logarithms of frames, lobes
/// are up to twice as high, relative to their maximum, as in the frames.
const DOUBT: f64 = 2.0;
/// Maxima this many standard deviations above the typical one are no noise.
const OUTSTANDING: f64 = 6.0;

/// What the correlation with a template shows around a spot that looks like the template's positive part, relative to its height: 1
/// in the middle, and further maxima if the template is patterned. Negative values count as 0; each value is the largest of its
/// 3 × 3 neighbours, since spots are found to the pixel.
#[derive(Debug, Clone)]
pub struct SideLobes {
    values: Array2<f64>,
    reach: f64,
}

impl SideLobes {
    /// Side lobes of `template`.
    ///
    /// # Errors
    /// Those of [`correlation_map`].
    pub fn of(template: &Template) -> Result<Self> {
        // Twice the template's extent: no displacement wraps around.
        let [h, w] = template.extent().map(|n| 2 * n + 3);
        let spot = template.window(h, w).mapv(|v| v.max(0.0));
        let map = correlation_map(spot.view(), template, Recipe::Default)?;
        let height = map[[h / 2, w / 2]].max(f64::MIN_POSITIVE);
        let around = |n: usize, size: usize| n.saturating_sub(1)..(n + 2).min(size);
        let largest = |(y, x)| {
            let near = map.slice(ndarray::s![around(y, h), around(x, w)]);
            near.iter().copied().fold(0.0, f64::max) / height
        };
        let highest = spot.iter().copied().fold(0.0, f64::max);
        let distance = |(y, x): (usize, usize)| (y as f64 - (h / 2) as f64).hypot(x as f64 - (w / 2) as f64);
        let bright = spot.indexed_iter().filter(|(_, v)| **v > highest / 2.0);
        Ok(SideLobes {
            values: Array2::from_shape_fn((h, w), largest),
            reach: bright.map(|(at, _)| distance(at)).fold(0.0, f64::max),
        })
    }

    /// Radius of the template's bright part, px: spots nearer to each other cannot be told apart.
    pub fn reach(&self) -> f64 {
        self.reach
    }

    /// Height of the lobe at `q` of a spot at `p` of height 1.
    fn at(&self, p: &Peak, q: &Peak) -> f64 {
        let (h, w) = self.values.dim();
        let place = |p: usize, q: usize, n: usize| (q + n / 2).checked_sub(p);
        match (place(p.y, q.y, h), place(p.x, q.x, w)) {
            (Some(y), Some(x)) => self.values.get((y, x)).copied().unwrap_or(0.0),
            _ => 0.0,
        }
    }

    /// Maxima of `map`, highest first, without those that are not above the side lobes of higher ones, or nearer to one than
    /// [`SideLobes::reach`]; the first `n`.
    pub fn spots(&self, map: ArrayView2<f64>, n: usize) -> Vec<Peak> {
        let mut spots: Vec<Peak> = Vec::new();
        for peak in find_peaks(map, usize::MAX) {
            if spots.len() == n {
                break;
            }
            let distance = |p: &Peak| length([p.y as f64 - peak.y as f64, p.x as f64 - peak.x as f64]);
            if spots.iter().any(|p| distance(p) <= self.reach) {
                continue;
            }
            let lobes: f64 = spots.iter().map(|p| p.value.max(0.0) * self.at(p, &peak)).sum();
            if peak.value > DOUBT * lobes || lobes == 0.0 {
                spots.push(peak);
            }
        }
        spots
    }
}

/// Height above which a maximum of `map` is no noise: the median of the heights of all maxima plus six standard deviations, which
/// are taken from the median distance to it, so that spots, being few, do not matter. Where spots fill the frame the typical maximum
/// is a spot, and the level may lie above all of them. Infinite for a map without maxima.
pub fn noise_level(map: ArrayView2<f64>) -> f64 {
    let median = |mut v: Vec<f64>| {
        v.sort_by(f64::total_cmp);
        v.get(v.len() / 2).copied().unwrap_or(f64::INFINITY)
    };
    let heights: Vec<f64> = find_peaks(map, usize::MAX).iter().map(|p| p.value).collect();
    let typical = median(heights.clone());
    // 1.4826: of a normal distribution the median distance is 1/1.4826 of the standard deviation.
    typical + OUTSTANDING * 1.4826 * median(heights.iter().map(|v| (v - typical).abs()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peak(y: usize, x: usize) -> Peak {
        Peak { y, x, value: 1.0 }
    }

    #[test]
    fn a_plain_disk_has_no_side_lobes_and_a_ring_has() {
        let disk = SideLobes::of(&Template::parse("background:1.5,4", |_| unreachable!()).unwrap()).unwrap();
        assert_eq!(disk.at(&peak(50, 50), &peak(50, 50)), 1.0);
        assert!((6..12).all(|d| disk.at(&peak(50, 50), &peak(50 + d, 50)) < 0.01));
        // Far away there is nothing, on either side.
        assert_eq!(disk.at(&peak(50, 50), &peak(10, 99)), 0.0);
        let ring = SideLobes::of(&Template::parse("ring:8,10", |_| unreachable!()).unwrap()).unwrap();
        // Where two such rings touch, from the inside out: 0.146 by a direct sum.
        assert!((ring.at(&peak(50, 50), &peak(50, 68)) - 0.146).abs() < 0.01);
    }

    #[test]
    fn lobes_are_left_out_and_other_spots_kept() {
        let template = Template::parse("ring:8,10", |_| unreachable!()).unwrap();
        let mut image = Array2::<f64>::zeros((100, 100));
        for (p, height) in [([40, 40], 2.0), ([60, 72], 1.5)] {
            let disk = template.window(41, 41);
            for ((y, x), v) in disk.indexed_iter() {
                image[[p[0] + y - 20, p[1] + x - 20]] += height * v;
            }
        }
        let map = correlation_map(image.view(), &template, Recipe::Default).unwrap();
        let maxima = find_peaks(map.view(), 10);
        assert!(maxima.len() == 10);
        let spots = SideLobes::of(&template).unwrap().spots(map.view(), 10);
        assert_eq!((spots[0].y, spots[0].x, spots[1].y, spots[1].x), (40, 40, 60, 72));
        assert!(spots.iter().skip(2).all(|s| s.value < 0.05 * spots[0].value), "{spots:?}");
    }

    #[test]
    fn noise_is_below_its_level_and_spots_are_above() {
        let mut state = 5u64;
        let mut noise = || {
            (0..12)
                .map(|_| {
                    state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    (state >> 11) as f64 / (1u64 << 53) as f64
                })
                .sum::<f64>()
        };
        let mut map = Array2::from_shape_fn((120, 110), |_| noise());
        let level = noise_level(map.view());
        assert!(find_peaks(map.view(), 1)[0].value < level);
        (0..40).for_each(|n| map[[10 + 2 * n, 11 + 2 * n]] += 20.0);
        assert!((noise_level(map.view()) - level).abs() < 2.0);
        assert_eq!(noise_level(Array2::zeros((9, 9)).view()), f64::INFINITY);
    }
}
