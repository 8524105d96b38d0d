//! Small complex FFTs in float32, sixteen side by side in lanes: mixed radix 2, 3, 4, 5, 7, 11, 13.
//!
//! Stockham's self-sorting form (decimation in frequency): no bit reversal, one twiddle per output, data go back and forth
//! between two buffers. Twiddles are computed in float64 and rounded once. There are no fused multiply-adds and the order of
//! additions is fixed, so results have the same bits on every instruction set. Relative error against float64 below 4e-7
//! for lengths up to 4096.

mod lanes;

#[cfg(target_arch = "x86_64")]
pub(crate) use lanes::{Avx2, Avx512};
pub use lanes::{Complex, LANES, Lanes};
pub(crate) use lanes::{Plain, Vector, per_vector};

use crate::backend::cpu::isa::Isa;
use crate::error::{Error, Result};

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

/// One pass over the data.
#[derive(Debug)]
struct Step {
    radix: usize,
    /// Butterflies of one sub-transform, and sub-transforms side by side.
    m: usize,
    stride: usize,
    /// `m` rows of radix − 1 factors e^(−2πi·k·r/(m·radix)).
    twiddles: Vec<[f32; 2]>,
    /// cos and sin of 2πjk/radix for j and k from 1 to radix/2 (odd radices).
    roots: Vec<[f32; 2]>,
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
        let turn = |a: usize, n: usize| (std::f64::consts::TAU * (a % n) as f64 / n as f64).sin_cos();
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
            let m = length / radix;
            let twiddle = |k: usize, r: usize| {
                let (s, c) = turn(k * r, length);
                [c as f32, -s as f32]
            };
            steps.push(Step {
                radix,
                m,
                stride,
                twiddles: (0..m)
                    .flat_map(|k| (1..radix).map(move |r| (k, r)))
                    .map(|(k, r)| twiddle(k, r))
                    .collect(),
                roots: (1..=radix / 2)
                    .flat_map(|j| (1..=radix / 2).map(move |k| j * k))
                    .map(|j| turn(j, radix))
                    .map(|(s, c)| [c as f32, s as f32])
                    .collect(),
            });
            (length, stride) = (m, stride * radix);
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
            .map(|s| self.n / s.radix * (butterfly(s.radix) + 6 * (s.radix - 1)))
            .sum()
    }

    /// Transforms the first `len()` numbers of `x` in place; `scratch` is at least as long.
    pub fn forward(&self, isa: Isa, x: &mut [Complex], scratch: &mut [Complex]) {
        transform(isa, self, x, scratch);
    }
}

per_vector! {
    fn transform = all_steps(fft: &Fft, x: &mut [Complex], scratch: &mut [Complex])
}

#[inline(always)]
fn all_steps<V: Vector>(fft: &Fft, x: &mut [Complex], scratch: &mut [Complex]) {
    let (x, scratch) = (&mut x[..fft.n], &mut scratch[..fft.n]);
    let mut in_x = true;
    for step in &fft.steps {
        if in_x {
            step.run::<V>(x, scratch);
        } else {
            step.run::<V>(scratch, x);
        }
        in_x = !in_x;
    }
    if !in_x {
        x.copy_from_slice(scratch);
    }
}

/// Repeats a block with `r` = 0, 1, … below a constant (at most 13), so that arrays indexed with `r` can stay in registers.
macro_rules! unroll {
    ($r:ident < $n:expr => $body:block) => {
        $crate::kernels::fft::unroll!(@ $r, $n, $body, 0 1 2 3 4 5 6 7 8 9 10 11 12)
    };
    (@ $r:ident, $n:expr, $body:block, $($i:literal)*) => {
        $(if $i < $n {
            let $r: usize = $i;
            $body
        })*
    };
}

pub(crate) use unroll;

/// Sixteen complex numbers in registers.
#[derive(Clone, Copy)]
struct Numbers<V> {
    re: V,
    im: V,
}

impl<V: Vector> Numbers<V> {
    #[inline(always)]
    fn zero() -> Self {
        let v = V::all(0.0);
        Numbers { re: v, im: v }
    }
    #[inline(always)]
    fn plus(self, o: Self) -> Self {
        Numbers {
            re: self.re.plus(o.re),
            im: self.im.plus(o.im),
        }
    }
    #[inline(always)]
    fn minus(self, o: Self) -> Self {
        Numbers {
            re: self.re.minus(o.re),
            im: self.im.minus(o.im),
        }
    }
    /// self + i·o
    #[inline(always)]
    fn plus_i(self, o: Self) -> Self {
        Numbers {
            re: self.re.minus(o.im),
            im: self.im.plus(o.re),
        }
    }
    /// self − i·o
    #[inline(always)]
    fn minus_i(self, o: Self) -> Self {
        Numbers {
            re: self.re.plus(o.im),
            im: self.im.minus(o.re),
        }
    }
    /// Product with a real number.
    #[inline(always)]
    fn scaled(self, v: V) -> Self {
        Numbers {
            re: self.re.times(v),
            im: self.im.times(v),
        }
    }
}

impl Step {
    #[inline(always)]
    fn run<V: Vector>(&self, x: &[Complex], y: &mut [Complex]) {
        match self.radix {
            2 => self.pass::<V, 2>(x, y),
            3 => self.pass::<V, 3>(x, y),
            4 => self.pass::<V, 4>(x, y),
            5 => self.pass::<V, 5>(x, y),
            7 => self.pass::<V, 7>(x, y),
            11 => self.pass::<V, 11>(x, y),
            _ => self.pass::<V, 13>(x, y),
        }
    }

    #[inline(always)]
    fn pass<V: Vector, const P: usize>(&self, x: &[Complex], y: &mut [Complex]) {
        let (m, s) = (self.m, self.stride);
        for k in 0..m {
            let twiddles = &self.twiddles[k * (P - 1)..(k + 1) * (P - 1)];
            let out = &mut y[s * P * k..s * P * (k + 1)];
            for q in 0..s {
                let mut t = [Numbers::<V>::zero(); P];
                unroll!(r < P => {
                    let x = &x[q + s * (k + m * r)];
                    t[r].re = V::load(&x.re);
                    t[r].im = V::load(&x.im);
                });
                match P {
                    2 => (t[0], t[1]) = (t[0].plus(t[1]), t[0].minus(t[1])),
                    4 => {
                        let (a, b) = (t[0].plus(t[2]), t[0].minus(t[2]));
                        let (c, d) = (t[1].plus(t[3]), t[1].minus(t[3]));
                        (t[0], t[1], t[2], t[3]) = (a.plus(c), b.minus_i(d), a.minus(c), b.plus_i(d));
                    }
                    _ => odd(&mut t, &self.roots),
                }
                unroll!(r < P => {
                    let y = &mut out[q + s * r];
                    let Numbers { mut re, mut im } = t[r];
                    // The other factors are 1: leaving them out changes no bit.
                    if r > 0 && k > 0 {
                        let [c, s] = twiddles[r - 1].map(V::all);
                        (re, im) = (re.times(c).minus(im.times(s)), re.times(s).plus(im.times(c)));
                    }
                    re.store(&mut y.re);
                    im.store(&mut y.im);
                });
            }
        }
    }
}

/// Prime lengths: outputs j and P − j share their products with cosines and sines.
#[inline(always)]
fn odd<V: Vector, const P: usize>(t: &mut [Numbers<V>; P], roots: &[[f32; 2]]) {
    let half = P / 2;
    let first = t[0];
    let (mut sums, mut differences) = ([first; P], [first; P]);
    unroll!(i < half => {
        let k = i + 1;
        sums[k] = t[k].plus(t[P - k]);
        differences[k] = t[k].minus(t[P - k]);
        t[0] = t[0].plus(sums[k]);
    });
    unroll!(j < half => {
        let roots = &roots[j * half..(j + 1) * half];
        let (mut even, mut odd) = (first, Numbers::zero());
        unroll!(i < half => {
            let [c, s] = roots[i];
            even = even.plus(sums[i + 1].scaled(V::all(c)));
            odd = odd.plus(differences[i + 1].scaled(V::all(s)));
        });
        t[j + 1] = even.minus_i(odd);
        t[P - 1 - j] = even.plus_i(odd);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

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
