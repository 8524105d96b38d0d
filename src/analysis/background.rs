//! What is in a background image: bad pixels, its smooth and fine parts, lines left over from bands, asymmetry.

use super::robust::median_of;
use ndarray::{Array1, Array2, ArrayView2, s};

/// Spread of a normal distribution over the median of absolute deviations.
const NORMAL: f64 = 1.4826;
/// Half width of the neighbourhood that a pixel is compared with.
const AROUND: isize = 2;
/// Pixels nearer to their neighbourhood than this share are never bad.
const LEAST: f64 = 1e-3;

/// Pixels that stand out, and the image without them.
#[derive(Debug, Clone, PartialEq)]
pub struct BadPixels {
    /// (y, x) in C order.
    pub at: Vec<[usize; 2]>,
    /// Bad pixels replaced by the median of their neighbourhood.
    pub filled: Array2<f64>,
    /// Relative difference to the neighbourhood that is the limit.
    pub limit: f64,
}

/// Pixels that are not positive numbers or whose relative difference to the median of the 24 pixels around them is above `factor` times the
/// spread of these differences over the image.
pub fn bad_pixels(image: ArrayView2<'_, f64>, factor: f64) -> BadPixels {
    let (h, w) = image.dim();
    let usable = |v: f64| v.is_finite() && v > 0.0;
    let mut around = Vec::with_capacity(24);
    let local = Array2::from_shape_fn((h, w), |(y, x)| {
        around.clear();
        for dy in -AROUND..=AROUND {
            for dx in -AROUND..=AROUND {
                let at = (y.checked_add_signed(dy), x.checked_add_signed(dx));
                if let ((Some(y), Some(x)), false) = (at, dy == 0 && dx == 0) {
                    around.extend(image.get([y, x]).copied().filter(|&v| usable(v)));
                }
            }
        }
        median_of(&mut around)
    });
    let all = || image.iter().copied().filter(|&v| usable(v)).collect::<Vec<_>>();
    let whole = median_of(&mut all());
    // A bad pixel among bad ones takes what the whole image has.
    let local = local.mapv(|m| if m.is_finite() { m } else { whole });
    let difference = |y: usize, x: usize| image[[y, x]] / local[[y, x]] - 1.0;
    let mut sizes: Vec<f64> = (image.indexed_iter())
        .filter(|(_, v)| usable(**v))
        .map(|((y, x), _)| difference(y, x).abs())
        .collect();
    let limit = factor * (NORMAL * median_of(&mut sizes)).max(LEAST);
    let bad = |y: usize, x: usize| !usable(image[[y, x]]) || difference(y, x).abs() > limit;
    let at: Vec<[usize; 2]> = (0..h)
        .flat_map(|y| (0..w).map(move |x| [y, x]))
        .filter(|&[y, x]| bad(y, x))
        .collect();
    let mut filled = image.to_owned();
    at.iter().for_each(|&p| filled[p] = local[p]);
    BadPixels { at, filled, limit }
}

/// Counts of finite values in `bins` equal bins between the smallest and the largest: the edges (bins + 1) and the counts.
pub fn histogram(values: ArrayView2<'_, f64>, bins: usize) -> (Array1<f64>, Array1<u64>) {
    let finite = || values.iter().copied().filter(|v| v.is_finite());
    let (low, high) = finite().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    let (low, high) = if low < high { (low, high) } else { (low - 0.5, low + 0.5) };
    let mut counts = Array1::zeros(bins);
    for v in finite() {
        let bin = ((v - low) / (high - low) * bins as f64) as usize;
        counts[bin.min(bins - 1)] += 1;
    }
    (Array1::linspace(low, high, bins + 1), counts)
}

/// A line along which an image differs from its mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// Angle of the normal from the x axis in radians, y upwards; distance from the centre of the lowest left pixel.
    pub theta: f64,
    pub rho: f64,
    /// Mean along the line less the mean of the image.
    pub contrast: f64,
    /// The same in standard errors of a line of independent pixels.
    pub significance: f64,
}

/// Angles that lines are looked for at.
const ANGLES: usize = 180;

/// The up to `most` straight lines, a pixel wide, along which the mean differs most from that of the image, at least a quarter of the shorter
/// edge long. Lines within 5° and 10 px of a stronger one are left out. Bands that a mean over too few orientations left in a background show
/// here; noise alone stays below about 5 standard errors.
pub fn lines(image: ArrayView2<'_, f64>, most: usize) -> Vec<Line> {
    let (h, w) = image.dim();
    let n = (h * w) as f64;
    let mean = image.sum() / n;
    let deviation = (image.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
    let reach = (h as f64).hypot(w as f64).ceil() as usize;
    let least = (h.min(w) / 4).max(2) as f64;
    let mut found = Vec::new();
    for k in 0..ANGLES {
        let theta = (k as f64 / ANGLES as f64 - 0.5) * std::f64::consts::PI;
        let (sin, cos) = theta.sin_cos();
        let mut sums = vec![[0.0; 2]; 2 * reach + 1];
        for ((row, x), v) in image.indexed_iter() {
            let rho = (x as f64 * cos + (h - 1 - row) as f64 * sin).round() + reach as f64;
            let [sum, count] = &mut sums[rho as usize];
            *sum += v - mean;
            *count += 1.0;
        }
        found.extend(
            sums.iter()
                .enumerate()
                .filter(|(_, s)| s[1] >= least)
                .map(|(i, [sum, count])| Line {
                    theta,
                    rho: i as f64 - reach as f64,
                    contrast: sum / count,
                    significance: if deviation > 0.0 {
                        sum / count.sqrt() / deviation
                    } else {
                        0.0
                    },
                }),
        );
    }
    found.sort_by(|a, b| b.significance.abs().total_cmp(&a.significance.abs()));
    let mut kept: Vec<Line> = Vec::new();
    for line in found {
        let near = |o: &Line| {
            let turn = (line.theta - o.theta).abs();
            let (turn, rho) = match turn > std::f64::consts::FRAC_PI_2 {
                // −90° and +90° are the same direction with the other sign of ρ.
                true => (std::f64::consts::PI - turn, -line.rho),
                false => (turn, line.rho),
            };
            turn < 5f64.to_radians() && (rho - o.rho).abs() < 10.0
        };
        if kept.len() == most {
            break;
        }
        if !kept.iter().any(near) {
            kept.push(line);
        }
    }
    kept
}

/// (left − right) / (left + right) and (top − bottom) / (top + bottom) of the sums of halves; a middle row or column counts on neither side.
pub fn asymmetry(image: ArrayView2<'_, f64>) -> [f64; 2] {
    let (h, w) = image.dim();
    let ratio = |a: f64, b: f64| (a - b) / (a + b);
    [
        ratio(image.slice(s![.., ..w / 2]).sum(), image.slice(s![.., w - w / 2..]).sum()),
        ratio(image.slice(s![..h / 2, ..]).sum(), image.slice(s![h - h / 2.., ..]).sum()),
    ]
}

/// Step between the halves of a camera that is read out from two sides: mean of up to 8 columns right of the middle less that of as many left of
/// it.
pub fn middle_step(image: ArrayView2<'_, f64>) -> f64 {
    let w = image.ncols();
    let n = 8.min(w / 2);
    let mean = |from: usize| image.slice(s![.., from..from + n]).mean().unwrap_or(f64::NAN);
    mean(w - w / 2) - mean(w / 2 - n)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A smooth image with noise of 0.2 %.
    fn image() -> Array2<f64> {
        Array2::from_shape_fn((60, 80), |(y, x)| {
            let hash = ((y * 80 + x) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let noise = ((hash ^ (hash >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40) as f64 / (1u64 << 24) as f64;
            1000.0 * (1.0 - 0.3 * ((y as f64 - 30.0) / 60.0).powi(2)) * (1.0 + 0.007 * (noise - 0.5))
        })
    }

    #[test]
    fn pixels_that_stand_out_are_found_and_filled() {
        let clean = image();
        assert!(bad_pixels(clean.view(), 6.0).at.is_empty());
        let mut image = clean.clone();
        let bad = [[0, 0], [10, 11], [10, 12], [30, 79], [59, 40]];
        for (i, &p) in bad.iter().enumerate() {
            image[p] = [0.0, 1100.0, f64::NAN, -5.0, 900.0][i];
        }
        let found = bad_pixels(image.view(), 6.0);
        assert_eq!(found.at, bad);
        assert!(found.limit > 0.005 && found.limit < 0.03);
        for p in bad {
            assert!((found.filled[p] / clean[p] - 1.0).abs() < 0.01);
        }
    }

    #[test]
    fn a_faint_line_is_found_where_it_is() {
        let mut fine = image() / 1000.0;
        fine.zip_mut_with(
            &Array2::from_shape_fn((60, 80), |(y, _)| 1.0 - 0.3 * ((y as f64 - 30.0) / 60.0).powi(2)),
            |v, s| *v /= s,
        );
        assert!(lines(fine.view(), 3).iter().all(|l| l.significance.abs() < 5.0));
        let (theta, rho) = (30f64.to_radians(), 60.0);
        for ((row, x), v) in fine.indexed_iter_mut() {
            let at = x as f64 * theta.cos() + (59 - row) as f64 * theta.sin();
            *v += if (at - rho).abs() <= 0.5 { 0.004 } else { 0.0 };
        }
        let found = lines(fine.view(), 2);
        assert!((found[0].theta - theta).abs() < 0.02 && (found[0].rho - rho).abs() <= 1.0);
        assert!(found[0].significance > 8.0 && (found[0].contrast - 0.004).abs() < 0.001);
        assert!(found[1].significance.abs() < 0.7 * found[0].significance);
    }

    #[test]
    fn halves_and_histograms() {
        let image = Array2::from_shape_fn((4, 7), |(y, x)| if x < 4 { 1.0 } else { 3.0 } + if y < 2 { 1.0 } else { 0.0 });
        let [lr, tb] = asymmetry(image.view());
        assert!((lr - (18.0 - 42.0) / 60.0).abs() < 1e-12 && tb > 0.0);
        assert_eq!(middle_step(image.view()), 2.0);
        let (edges, counts) = histogram(image.view(), 3);
        assert_eq!((edges[0], edges[3], counts.to_vec()), (1.0, 4.0, vec![8, 8, 12]));
        assert_eq!(histogram(Array2::from_elem((2, 2), 5.0).view(), 2).1.sum(), 4);
    }
}
