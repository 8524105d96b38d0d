//! Small complex FFTs in float32, sixteen side by side in lanes: mixed radix 2, 3, 4, 5, 7, 11, 13.
//!
//! Stockham's self-sorting form (decimation in frequency): no bit reversal, one twiddle per output, data go back and forth
//! between two buffers. Twiddles are computed in float64 and rounded once. There are no fused multiply-adds and the order of
//! additions is fixed, so results have the same bits on every instruction set. Relative error against float64 below 4e-7
//! for lengths up to 4096.

mod chirp;
mod pass;

pub use chirp::AnyFft;

use super::isa::Isa;
use super::lanes::Complex;
use crate::error::{Error, Result};
use pass::Step;

/// Prime factors that transforms are built from (4 is used for pairs of 2).
pub const PRIMES: [usize; 6] = [2, 3, 5, 7, 11, 13];

/// True if `n` > 0 has no prime factor above 13.
pub fn is_smooth(n: usize) -> bool {
    n > 0
        && PRIMES.iter().fold(n, |mut n, p| {
            while n.is_multiple_of(*p) {
                n /= p;
            }
            n
        }) == 1
}

/// The smallest length from `n` on that a transform exists for.
pub fn smooth_from(n: usize) -> usize {
    let mut n = n.max(1);
    while !is_smooth(n) {
        n += 1;
    }
    n
}

/// A forward transform of one length: X_k = Σ_j x_j e^(−2πijk/n), unscaled.
///
/// The inverse is the forward transform of the numbers with real and imaginary part exchanged, exchanged again.
#[derive(Debug)]
pub struct Fft {
    n: usize,
    steps: Vec<Step>,
}

impl Fft {
    /// Plans a transform of length `n`.
    ///
    /// # Errors
    /// [`Error::Internal`] if `n` is not smooth; see [`smooth_from`].
    pub fn new(n: usize) -> Result<Self> {
        if !is_smooth(n) {
            return Err(Error::Internal(format!("no transform of length {n}")));
        }
        let mut radices = Vec::new();
        let mut rest = n;
        for p in [13, 11, 7, 5, 4, 3, 2] {
            while rest.is_multiple_of(p) {
                radices.push(p);
                rest /= p;
            }
        }
        let (mut length, mut stride) = (n, 1);
        let mut steps = Vec::new();
        for radix in radices {
            steps.push(Step::new(radix, length, stride));
            (length, stride) = (length / radix, stride * radix);
        }
        Ok(Fft { n, steps })
    }

    /// Length.
    pub fn len(&self) -> usize {
        self.n
    }
    /// False: lengths are positive.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Additions and multiplications per lane of one transform, for choosing between methods.
    pub fn operations(&self) -> usize {
        let butterfly = |p: usize| match p {
            2 => 4,
            4 => 16,
            p => 4 * (p - 1) + 2 * (p - 1) * (p - 1) / 2 * 2,
        };
        self.steps
            .iter()
            .map(|s| self.n / s.radix() * (butterfly(s.radix()) + 6 * (s.radix() - 1)))
            .sum()
    }

    /// Transforms the first `len()` numbers of `x` in place; `scratch` is at least as long.
    pub fn forward(&self, isa: Isa, x: &mut [Complex], scratch: &mut [Complex]) {
        let (x, scratch) = (&mut x[..self.n], &mut scratch[..self.n]);
        let mut in_x = true;
        for step in &self.steps {
            if in_x {
                step.run(isa, (x, 1), (scratch, 1), None);
            } else {
                step.run(isa, (scratch, 1), (x, 1), None);
            }
            in_x = !in_x;
        }
        if !in_x {
            x.copy_from_slice(scratch);
        }
    }

    /// Transforms numbers that lie `from.1` apart in `from.0` to places `to.1` apart in `to.0`. With `factors`, result k is multiplied with
    /// `factors[k]` and its real and imaginary part exchanged, so that the next forward transform is an inverse one.
    /// `scratch` has room for twice the length.
    pub(crate) fn between(
        &self,
        isa: Isa,
        from: (&[Complex], usize),
        to: (&mut [Complex], usize),
        factors: Option<&[[f32; 2]]>,
        scratch: &mut [Complex],
    ) {
        let (mut a, mut b) = scratch.split_at_mut(self.n);
        match &self.steps[..] {
            [only] => only.run(isa, from, to, factors),
            [first, middle @ .., last] => {
                first.run(isa, from, (a, 1), None);
                for step in middle {
                    step.run(isa, (a, 1), (b, 1), None);
                    std::mem::swap(&mut a, &mut b);
                }
                last.run(isa, (a, 1), to, factors);
            }
            [] => {
                // Length 1.
                let z = from.0[0];
                to.0[0] = match factors {
                    Some(f) => pass::multiplied(z, f[0]),
                    None => z,
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::lanes::Lanes;

    fn data(n: usize) -> Vec<Complex> {
        let value = |i: usize| ((i * 7919 + 13) % 1009) as f32 / 1009.0 - 0.4;
        (0..n)
            .map(|j| Complex {
                re: Lanes(std::array::from_fn(|l| value(j * 16 + l))),
                im: Lanes(std::array::from_fn(|l| value(j * 31 + l * 17 + 5))),
            })
            .collect()
    }

    #[test]
    fn every_length_against_the_definition() {
        for n in (1..=132).chain([143, 144, 169, 256, 1001]).filter(|&n| is_smooth(n)) {
            let fft = Fft::new(n).unwrap();
            let x = data(n);
            let mut results = Vec::new();
            for isa in Isa::available() {
                let (mut y, mut scratch) = (x.clone(), vec![Complex::ZERO; n]);
                fft.forward(isa, &mut y, &mut scratch);
                results.push(y);
            }
            assert!(
                results.windows(2).all(|w| w[0] == w[1]),
                "length {n}: instruction sets differ"
            );
            let (mut error, mut scale) = (0f64, 0f64);
            for lane in [0, 7, 15] {
                for (k, got) in results[0].iter().enumerate() {
                    let (mut re, mut im) = (0f64, 0f64);
                    for (j, v) in x.iter().enumerate() {
                        let (s, c) = (-std::f64::consts::TAU * (j * k % n) as f64 / n as f64).sin_cos();
                        let (a, b) = (f64::from(v.re.0[lane]), f64::from(v.im.0[lane]));
                        re += a * c - b * s;
                        im += a * s + b * c;
                    }
                    error += (f64::from(got.re.0[lane]) - re).powi(2) + (f64::from(got.im.0[lane]) - im).powi(2);
                    scale += re * re + im * im;
                }
            }
            assert!((error / scale).sqrt() < 4e-7, "length {n}: {}", (error / scale).sqrt());
        }
    }

    #[test]
    fn lengths() {
        assert_eq!([17, 44, 251, 509].map(smooth_from), [18, 44, 252, 512]);
        assert!(!is_smooth(0) && !is_smooth(34) && is_smooth(1001));
        assert!(matches!(Fft::new(34), Err(Error::Internal(_))));
    }
}
