//! Separable windows: what a low-pass averages over, and what stands in for pixels beyond the border.

use crate::error::{Error, Result};

/// What continues a pattern beyond its border.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Border {
    /// The value of the nearest border pixel.
    Nearest,
    /// Mirrored, the border pixel twice: `c b a | a b c`.
    Symmetric,
    /// Mirrored without the border pixel at the top and left, with it at the bottom and right, as aloe's local normalisation does.
    Mixed,
}

impl Border {
    /// The pixel that stands for number `i` of an axis of `n` pixels.
    pub fn source(self, i: isize, n: usize) -> usize {
        let last = n as isize - 1;
        let fold = |i: isize| {
            // A period of 2n: forward, then backward with the border pixel twice.
            let i = i.rem_euclid(2 * n as isize);
            if i > last { 2 * last + 1 - i } else { i }
        };
        let at = match self {
            Border::Nearest => i.clamp(0, last),
            Border::Symmetric => fold(i),
            Border::Mixed if i < 0 => (-i).min(last),
            Border::Mixed => fold(i),
        };
        at as usize
    }
}

/// Weights along one axis, the same for both, with the number of the weight that lies on the pixel itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// Sum 1.
    pub weights: Vec<f64>,
    /// b\[i\] = Σ weights\[m\] · x\[i + m − centre\].
    pub centre: usize,
    pub border: Border,
}

/// Longest window: four times the largest pattern edge that detectors have.
const LONGEST: f64 = 32768.0;

impl Window {
    /// The window of aloe (xcdskd): real length s = 3 sigma, cut at ±1.5 sigma, samples at −(s−1)/2 + m. Even lengths shift the
    /// background by half a pixel, fractional ones by (s − M)/2 more.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a sigma that gives no window.
    pub fn aloe(sigma: f64) -> Result<Self> {
        check(sigma)?;
        let s = 3.0 * sigma;
        let half = (s - 1.0) / 2.0;
        // NumPy's arange: all positions below the half-open end.
        let samples = ((2.0 * half + 1e-8).ceil() as usize).max(1);
        Ok(Window::gaussian(sigma, samples, -half, samples / 2, Border::Nearest))
    }

    /// An odd window of ±4 sigma, centred on the pixel: the recommended one.
    ///
    /// # Errors
    /// As [`Window::aloe`].
    pub fn symmetric(sigma: f64) -> Result<Self> {
        check(sigma)?;
        let radius = (4.0 * sigma).ceil() as usize;
        Ok(Window::gaussian(
            sigma,
            2 * radius + 1,
            -(radius as f64),
            radius,
            Border::Nearest,
        ))
    }

    /// kikuchipy's filter in the frequency domain: int(4 sigma) samples, so cut at ±2 sigma.
    ///
    /// # Errors
    /// As [`Window::aloe`].
    pub fn kikuchipy_frequency(sigma: f64) -> Result<Self> {
        check(sigma)?;
        let samples = ((4.0 * sigma) as usize).max(1);
        Ok(Window::gaussian(
            sigma,
            samples,
            -((samples - 1) as f64) / 2.0,
            samples / 2,
            Border::Nearest,
        ))
    }

    /// kikuchipy's filter in the spatial domain, which is SciPy's `gaussian_filter`: radius int(4 sigma + 0.5), mirrored border.
    ///
    /// # Errors
    /// As [`Window::aloe`].
    pub fn kikuchipy_spatial(sigma: f64) -> Result<Self> {
        check(sigma)?;
        let radius = (4.0 * sigma + 0.5) as usize;
        Ok(Window::gaussian(
            sigma,
            2 * radius + 1,
            -(radius as f64),
            radius,
            Border::Symmetric,
        ))
    }

    /// The mean of 2·`half` + 1 pixels.
    pub fn mean(half: usize, border: Border) -> Self {
        let n = 2 * half + 1;
        Window {
            weights: vec![1.0 / n as f64; n],
            centre: half,
            border,
        }
    }

    fn gaussian(sigma: f64, samples: usize, first: f64, centre: usize, border: Border) -> Self {
        let at = |m: usize| first + m as f64;
        let mut weights: Vec<f64> = (0..samples).map(|m| (-at(m).powi(2) / (2.0 * sigma * sigma)).exp()).collect();
        let sum: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|w| *w /= sum);
        Window { weights, centre, border }
    }

    /// For an axis of `n` pixels: the pixel that each of the n + len − 1 numbers i + m stands for.
    pub fn sources(&self, n: usize) -> Vec<u32> {
        (0..n + self.weights.len() - 1)
            .map(|j| self.border.source(j as isize - self.centre as isize, n) as u32)
            .collect()
    }
}

fn check(sigma: f64) -> Result<()> {
    // aloe's window has no sample below a length of 1, and windows must stay within memory.
    if sigma.is_finite() && sigma >= 1.0 / 3.0 && 8.0 * sigma < LONGEST {
        return Ok(());
    }
    Err(Error::parameter(
        "--sigma",
        format!("{sigma} is outside 0.34 to {} pixels", LONGEST / 8.0),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders() {
        let of = |b: Border| (-3..7).map(|i| b.source(i, 4)).collect::<Vec<_>>();
        assert_eq!(of(Border::Nearest), [0, 0, 0, 0, 1, 2, 3, 3, 3, 3]);
        assert_eq!(of(Border::Symmetric), [2, 1, 0, 0, 1, 2, 3, 3, 2, 1]);
        assert_eq!(of(Border::Mixed), [3, 2, 1, 0, 1, 2, 3, 3, 2, 1]);
        assert!((-20..20).all(|i| Border::Symmetric.source(i, 1) == 0 && Border::Mixed.source(i, 1) == 0));
    }

    #[test]
    fn lengths_and_centres() {
        let of = |w: Window| (w.weights.len(), w.centre);
        assert_eq!(of(Window::aloe(20.0).unwrap()), (60, 30));
        assert_eq!(of(Window::aloe(7.5).unwrap()), (22, 11));
        assert_eq!(of(Window::aloe(15.0).unwrap()), (45, 22));
        assert_eq!(of(Window::symmetric(1.5).unwrap()), (13, 6));
        assert_eq!(of(Window::kikuchipy_frequency(15.0).unwrap()), (60, 30));
        assert_eq!(of(Window::kikuchipy_spatial(15.0).unwrap()), (121, 60));
        assert!(Window::aloe(0.0).is_err() && Window::symmetric(f64::NAN).is_err() && Window::aloe(1e9).is_err());
    }
}
