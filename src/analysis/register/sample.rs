//! Values of an image between its pixels.

use ndarray::{Array2, ArrayView2};

/// Pole of the cubic B-spline's prefilter, √3 − 2.
const POLE: f64 = -0.267_949_192_431_122_7;

/// An image as cubic B-splines that pass through its pixels, continued by its mirror image about the centres of the outermost ones (M. Unser, *IEEE Signal Process. Mag.* 16 (6) (1999) 22).
#[derive(Debug, Clone)]
pub struct Spline {
    coefficients: Array2<f64>,
}

impl Spline {
    /// The splines of an image (h, w); pixels that are not finite count as 0.
    pub fn new(image: ArrayView2<'_, f32>) -> Self {
        let mut coefficients = image.mapv(|v| if v.is_finite() { f64::from(v) } else { 0.0 });
        let mut line = Vec::new();
        for mut row in coefficients.rows_mut() {
            line.clear();
            line.extend(row.iter());
            filter(&mut line);
            row.iter_mut().zip(&line).for_each(|(c, v)| *c = *v);
        }
        for mut column in coefficients.columns_mut() {
            line.clear();
            line.extend(column.iter());
            filter(&mut line);
            column.iter_mut().zip(&line).for_each(|(c, v)| *c = *v);
        }
        Spline { coefficients }
    }

    /// The value at (y, x) in pixels; 0 for places that are not finite or an empty image.
    pub fn at(&self, y: f64, x: f64) -> f64 {
        let (h, w) = self.coefficients.dim();
        if h == 0 || w == 0 || !(y.abs() < 1e9 && x.abs() < 1e9) {
            return 0.0;
        }
        let (fy, fx) = (y.floor(), x.floor());
        let (wy, wx) = (weights(y - fy), weights(x - fx));
        let columns: [usize; 4] = std::array::from_fn(|j| mirror(fx as i64 - 1 + j as i64, w));
        let mut sum = 0.0;
        for (i, wy) in wy.iter().enumerate() {
            let row = self.coefficients.row(mirror(fy as i64 - 1 + i as i64, h));
            let inner: f64 = columns.iter().zip(wx).map(|(&c, wx)| wx * row[c]).sum();
            sum += wy * inner;
        }
        sum
    }
}

/// Weights of the four splines about a place that lies `t` behind the second.
fn weights(t: f64) -> [f64; 4] {
    let (t2, t3) = (t * t, t * t * t);
    [
        (1.0 - t).powi(3) / 6.0,
        (4.0 - 6.0 * t2 + 3.0 * t3) / 6.0,
        (1.0 + 3.0 * t + 3.0 * t2 - 3.0 * t3) / 6.0,
        t3 / 6.0,
    ]
}

fn mirror(i: i64, n: usize) -> usize {
    if n == 1 {
        return 0;
    }
    let period = 2 * (n as i64 - 1);
    let i = i.rem_euclid(period);
    i.min(period - i) as usize
}

/// Coefficients of the splines through the values of a line: a causal and an anticausal recursion.
fn filter(line: &mut [f64]) {
    let n = line.len();
    if n < 2 {
        return;
    }
    // The causal start sums the mirrored line exactly.
    let (mut power, mut back) = (POLE, POLE.powi(n as i32 - 1));
    let mut sum = line[0] + back * line[n - 1];
    back = back * back / POLE;
    for &v in &line[1..n - 1] {
        sum += (power + back) * v;
        power *= POLE;
        back /= POLE;
    }
    line[0] = sum / (1.0 - POLE.powi(2 * (n as i32 - 1)));
    for i in 1..n {
        line[i] += POLE * line[i - 1];
    }
    line[n - 1] = POLE / (POLE * POLE - 1.0) * (line[n - 1] + POLE * line[n - 2]);
    for i in (0..n - 1).rev() {
        line[i] = POLE * (line[i + 1] - line[i]);
    }
    line.iter_mut().for_each(|v| *v *= 6.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splines_pass_through_pixels_and_follow_smooth_images() {
        let value = |y: f64, x: f64| (0.35 * y).sin() * (0.3 * x + 0.2).cos() + 0.01 * y;
        let image = Array2::from_shape_fn((30, 27), |(y, x)| value(y as f64, x as f64) as f32);
        let spline = Spline::new(image.view());
        for ((y, x), &v) in image.indexed_iter() {
            assert!((spline.at(y as f64, x as f64) - f64::from(v)).abs() < 1e-6);
        }
        for k in 0..100 {
            let (y, x) = (8.0 + 0.13 * f64::from(k), 7.0 + 0.11 * f64::from(k));
            assert!((spline.at(y, x) - value(y, x)).abs() < 2e-3, "at ({y}, {x})");
        }
        // Beyond the edge the mirror image goes on.
        assert!((spline.at(-3.0, 4.0) - f64::from(image[[3, 4]])).abs() < 1e-6);
        assert_eq!(spline.at(f64::NAN, 0.0), 0.0);
        let point = Spline::new(Array2::from_elem((1, 1), 2.5f32).view());
        assert!((point.at(0.3, 7.0) - 2.5).abs() < 1e-12);
    }
}
