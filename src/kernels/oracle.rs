//! Slow, obvious float64 versions of every kernel: what the fast ones are compared with. Frames come one after another,
//! without padding; pixels in C order.

use super::masks::MaskStack;
use crate::pixel::Sample;

/// What [`super::statistics`] computes, per pixel.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    pub sum: Vec<f64>,
    /// Population variance.
    pub variance: Vec<f64>,
    pub min: Vec<f64>,
    pub max: Vec<f64>,
}

/// Moments of float pixels: two passes in float64. Exact in all but the last bits for integers too; see [`exact_moments`].
pub fn moments<T: Sample>(frames: &[T], pixels: usize) -> Moments {
    let n = (frames.len() / pixels) as f64;
    let column = |p: usize| frames.iter().skip(p).step_by(pixels).map(|v| v.to_f64());
    let sum: Vec<f64> = (0..pixels).map(|p| column(p).sum()).collect();
    let variance = (0..pixels)
        .map(|p| column(p).map(|v| (v - sum[p] / n).powi(2)).sum::<f64>() / n)
        .collect();
    let min = (0..pixels).map(|p| column(p).fold(f64::INFINITY, f64::min)).collect();
    let max = (0..pixels).map(|p| column(p).fold(f64::NEG_INFINITY, f64::max)).collect();
    Moments { sum, variance, min, max }
}

/// Moments of integer pixels, exact: n·Σx² − (Σx)² in 128 bits, rounded once, then divided by n twice.
pub fn exact_moments<T: Sample>(frames: &[T], pixels: usize) -> Moments {
    let n = (frames.len() / pixels) as i128;
    let column = |p: usize| frames.iter().skip(p).step_by(pixels).map(|v| v.to_f64() as i128);
    let sum: Vec<i128> = (0..pixels).map(|p| column(p).sum()).collect();
    let numerator = |p: usize| n * column(p).map(|v| v * v).sum::<i128>() - sum[p] * sum[p];
    Moments {
        variance: (0..pixels).map(|p| numerator(p) as f64 / n as f64 / n as f64).collect(),
        min: (0..pixels).map(|p| column(p).min().unwrap_or(0) as f64).collect(),
        max: (0..pixels).map(|p| column(p).max().unwrap_or(0) as f64).collect(),
        sum: sum.into_iter().map(|s| s as f64).collect(),
    }
}

/// Σ ln(f − min f + 1) over the frames for which `take` holds.
pub fn logsum<T: Sample>(frames: &[T], pixels: usize, take: impl Fn(usize) -> bool) -> Vec<f64> {
    let mut sum = vec![0.0; pixels];
    for (_, frame) in frames.chunks_exact(pixels).enumerate().filter(|(i, _)| take(*i)) {
        let min = frame.iter().map(|v| v.to_f64()).fold(f64::INFINITY, f64::min);
        sum.iter_mut()
            .zip(frame)
            .for_each(|(s, v)| *s += (v.to_f64() - min + 1.0).ln());
    }
    sum
}

/// The masks as dense rows over frames of `height` × `width`.
pub fn dense(stack: &MaskStack, height: usize, width: usize) -> Vec<Vec<f64>> {
    let mut rows = vec![vec![0.0; height * width]; stack.len()];
    match stack {
        MaskStack::Stamps { stamp, positions } => {
            let (ry, rx) = (stamp.nrows() as i64 / 2, stamp.ncols() as i64 / 2);
            for (row, p) in rows.iter_mut().zip(positions) {
                for ((sy, sx), &v) in stamp.indexed_iter() {
                    let (y, x) = (i64::from(p[0]) + sy as i64 - ry, i64::from(p[1]) + sx as i64 - rx);
                    if (0..height as i64).contains(&y) && (0..width as i64).contains(&x) {
                        row[y as usize * width + x as usize] = f64::from(v);
                    }
                }
            }
        }
        MaskStack::Csr { indptr, indices, values } => {
            for (row, w) in rows.iter_mut().zip(indptr.windows(2)) {
                for k in w[0] as usize..w[1] as usize {
                    row[indices[k] as usize] = f64::from(values[k]);
                }
            }
        }
        MaskStack::Dense { rows: given } => {
            for (row, g) in rows.iter_mut().zip(given.rows()) {
                row.iter_mut().zip(g).for_each(|(a, b)| *a = f64::from(*b));
            }
        }
    }
    rows
}

/// Products, frames × masks, and for each Σ|mask|·|counts|, to which errors are related.
pub fn masks<T: Sample>(frames: &[T], stack: &MaskStack, height: usize, width: usize) -> (Vec<f64>, Vec<f64>) {
    let rows = dense(stack, height, width);
    let mut values = Vec::new();
    let mut scales = Vec::new();
    for frame in frames.chunks_exact(height * width) {
        for row in &rows {
            values.push(row.iter().zip(frame).map(|(m, v)| m * v.to_f64()).sum());
            scales.push(row.iter().zip(frame).map(|(m, v)| (m * v.to_f64()).abs()).sum());
        }
    }
    (values, scales)
}

/// Binned and optionally log-scaled frames, see [`super::framemap`].
pub fn framemap<T: Sample>(frames: &[T], height: usize, width: usize, bin: usize, log: bool) -> Vec<f64> {
    let mut all = Vec::new();
    for frame in frames.chunks_exact(height * width) {
        let mut out = Vec::new();
        for y in 0..height / bin {
            for x in 0..width / bin {
                let block = (0..bin * bin).map(|k| frame[(y * bin + k / bin) * width + x * bin + k % bin].to_f64());
                out.push(block.sum::<f64>());
            }
        }
        if log {
            let min = out.iter().copied().fold(f64::INFINITY, f64::min);
            out.iter_mut().for_each(|v| *v = (*v - min + 1.0).ln());
        }
        all.extend(out);
    }
    all
}

/// Frames moved by −s, see [`super::displace`], one shift (y, x) for each; and for each pixel Σ |w f|, to which errors are related.
pub fn displace<T: Sample>(frames: &[T], height: usize, width: usize, shifts: &[[f64; 2]]) -> (Vec<f64>, Vec<f64>) {
    // Cubic convolution as a function of the distance: R. G. Keys, 1981, eq. 15.
    let weight = |d: f64| match d.abs() {
        d if d < 1.0 => 1.5 * d.powi(3) - 2.5 * d.powi(2) + 1.0,
        d if d < 2.0 => -0.5 * d.powi(3) + 2.5 * d.powi(2) - 4.0 * d + 2.0,
        _ => 0.0,
    };
    let (mut values, mut scales) = (Vec::new(), Vec::new());
    for (frame, [sy, sx]) in frames.chunks_exact(height * width).zip(shifts) {
        for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y as f64 + sy, x as f64 + sx))) {
            let (mut value, mut scale) = (0.0, 0.0);
            for (i, v) in frame.iter().enumerate() {
                let product = weight((i / width) as f64 - y) * weight((i % width) as f64 - x) * v.to_f64();
                value += product;
                scale += product.abs();
            }
            values.push(value);
            scales.push(scale);
        }
    }
    (values, scales)
}
