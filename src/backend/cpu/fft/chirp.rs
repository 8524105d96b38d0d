//! Transforms of any length: where a length has a large prime factor, as a convolution with a chirp (L. Bluestein, *IEEE Trans. Audio
//! Electroacoust.* 18 (1970) 451).

use super::{Fft, smooth_from};
use crate::backend::cpu::isa::{Isa, per_isa};
use crate::backend::cpu::lanes::{Complex, LANES};
use crate::error::Result;
use std::f64::consts::PI;

/// A forward transform of any length, as [`Fft`]; relative errors are twice as large where the length is not smooth.
#[derive(Debug)]
pub struct AnyFft {
    n: usize,
    fft: Fft,
    /// e^(−πik²/n), and the transform of its conjugate divided by the length; none for smooth lengths.
    chirp: Option<[Vec<[f32; 2]>; 2]>,
}

per_isa! {
    /// Multiplies number i of every lane with factor i.
    fn multiply(x: &mut [Complex], factors: &[[f32; 2]]) {
        for (z, &[re, im]) in x.iter_mut().zip(factors) {
            for l in 0..LANES {
                let (a, b) = (z.re.0[l], z.im.0[l]);
                z.re.0[l] = a * re - b * im;
                z.im.0[l] = a * im + b * re;
            }
        }
    }
}

impl AnyFft {
    /// Plans a transform of length `n` > 0.
    ///
    /// # Errors
    /// None for positive lengths.
    pub fn new(n: usize) -> Result<AnyFft> {
        if super::is_smooth(n) {
            let fft = Fft::new(n)?;
            return Ok(AnyFft { n, fft, chirp: None });
        }
        let m = smooth_from(2 * n - 1);
        // k² modulo 2n: the angle of large k keeps its digits.
        let angle = |k: usize| PI * ((k as u128 * k as u128) % (2 * n as u128)) as f64 / n as f64;
        let chirp = (0..n).map(|k| angle(k).sin_cos()).map(|(s, c)| [c as f32, -s as f32]);
        let mut planner = rustfft::FftPlanner::new();
        let mut kernel = vec![rustfft::num_complex::Complex::default(); m];
        for k in 0..n {
            let (s, c) = angle(k).sin_cos();
            let value = rustfft::num_complex::Complex::new(c, s) / m as f64;
            kernel[k] = value;
            kernel[(m - k) % m] = value;
        }
        planner.plan_fft_forward(m).process(&mut kernel);
        let kernel = kernel.iter().map(|z| [z.re as f32, z.im as f32]);
        Ok(AnyFft {
            n,
            fft: Fft::new(m)?,
            chirp: Some([chirp.collect(), kernel.collect()]),
        })
    }

    /// Numbers that the arrays of [`AnyFft::forward`] hold: the length, or more.
    pub fn room(&self) -> usize {
        self.fft.len()
    }

    /// Transforms the first numbers of `x`, as many as the length, in place. Both arrays have [`AnyFft::room`] numbers.
    pub fn forward(&self, isa: Isa, x: &mut [Complex], scratch: &mut [Complex]) {
        let Some([chirp, kernel]) = &self.chirp else {
            return self.fft.forward(isa, x, scratch);
        };
        multiply(isa, x, chirp);
        x[self.n..].fill(Complex::ZERO);
        self.fft.forward(isa, x, scratch);
        multiply(isa, x, kernel);
        // The inverse transform is the forward one with real and imaginary parts exchanged.
        let exchange = |x: &mut [Complex]| x.iter_mut().for_each(|z| std::mem::swap(&mut z.re, &mut z.im));
        exchange(x);
        self.fft.forward(isa, x, scratch);
        exchange(x);
        multiply(isa, x, chirp);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn awkward_lengths_against_the_definition() {
        for n in [1, 17, 34, 97, 239, 251] {
            let fft = AnyFft::new(n).unwrap();
            let value = |j: usize| ((j * 7919 + 13) % 1009) as f32 / 1009.0 - 0.4;
            let mut x = vec![Complex::ZERO; fft.room()];
            for (j, z) in x[..n].iter_mut().enumerate() {
                z.re.0[3] = value(j);
                z.im.0[3] = value(j + n);
            }
            let before = x.clone();
            fft.forward(Isa::active(), &mut x, &mut vec![Complex::ZERO; fft.room()]);
            let (mut error, mut scale) = (0f64, 0f64);
            for (k, got) in x[..n].iter().enumerate() {
                let (mut re, mut im) = (0f64, 0f64);
                for (j, v) in before[..n].iter().enumerate() {
                    let (s, c) = (-std::f64::consts::TAU * (j * k % n) as f64 / n as f64).sin_cos();
                    let (a, b) = (f64::from(v.re.0[3]), f64::from(v.im.0[3]));
                    re += a * c - b * s;
                    im += a * s + b * c;
                }
                error += (f64::from(got.re.0[3]) - re).powi(2) + (f64::from(got.im.0[3]) - im).powi(2);
                scale += re * re + im * im;
            }
            assert!((error / scale).sqrt() < 1e-6, "length {n}: {}", (error / scale).sqrt());
        }
    }
}
