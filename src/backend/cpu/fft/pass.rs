//! One pass of a transform: butterflies of one radix over all data.

use crate::backend::cpu::isa::Isa;
use crate::backend::cpu::lanes::{Complex, Register, Vector, per_vector};

/// One pass over the data.
#[derive(Debug)]
pub(super) struct Step {
    radix: usize,
    /// Butterflies of one sub-transform, and sub-transforms side by side.
    m: usize,
    stride: usize,
    /// For each of `m` values of k, e^(−2πi·k·r/(m·radix)) for r from 1 to radix − 1.
    twiddles: Vec<Twiddles>,
    /// cos and sin of 2πjk/radix for j and k from 1 to radix/2 (odd radices).
    roots: Roots,
}

/// Largest radix.
const MOST: usize = 13;
// Arrays of a fixed length need no check when they are read, which lets the compiler order multiplications and additions freely.
type Twiddles = [[f32; 2]; MOST - 1];
type Roots = [[f32; 2]; (MOST / 2) * (MOST / 2)];

/// e^(2πia/n) as (sin, cos) in float64.
fn turn(a: usize, n: usize) -> (f64, f64) {
    (std::f64::consts::TAU * (a % n) as f64 / n as f64).sin_cos()
}

impl Step {
    /// The pass of `radix` over sub-transforms of `length`, `stride` of them side by side.
    pub(super) fn new(radix: usize, length: usize, stride: usize) -> Self {
        let m = length / radix;
        let mut twiddles = vec![[[1.0, 0.0]; MOST - 1]; m];
        for (k, twiddles) in twiddles.iter_mut().enumerate() {
            for (r, twiddle) in (1..radix).zip(twiddles) {
                let (s, c) = turn(k * r, length);
                *twiddle = [c as f32, -s as f32];
            }
        }
        let mut roots = [[0.0; 2]; (MOST / 2) * (MOST / 2)];
        let products = (1..=radix / 2).flat_map(|j| (1..=radix / 2).map(move |k| j * k));
        for (root, product) in roots.iter_mut().zip(products) {
            let (s, c) = turn(product, radix);
            *root = [c as f32, s as f32];
        }
        Step {
            radix,
            m,
            stride,
            twiddles,
            roots,
        }
    }

    pub(super) fn radix(&self) -> usize {
        self.radix
    }

    /// Takes numbers `xs` apart in `x` to places `ys` apart in `y`. `factors` (last pass only): see [`super::Fft::between`].
    pub(super) fn run(
        &self,
        isa: Isa,
        (x, xs): (&[Complex], usize),
        (y, ys): (&mut [Complex], usize),
        factors: Option<&[[f32; 2]]>,
    ) {
        let (p, m, s) = (self.radix, self.m, self.stride);
        for k in 0..m {
            let row = Row {
                count: s,
                x: &x[s * k * xs..],
                x_step: xs,
                x_radix: s * m * xs,
                y: &mut y[s * p * k * ys..],
                y_step: ys,
                y_radix: s * ys,
                // Those of k = 0 are 1: leaving them out changes no bit.
                twiddles: (k > 0).then(|| &self.twiddles[k]),
                factors: factors.unwrap_or(&[]),
                roots: &self.roots,
            };
            match p {
                2 => radix2(isa, row),
                3 => radix3(isa, row),
                4 => radix4(isa, row),
                5 => radix5(isa, row),
                7 => radix7(isa, row),
                11 => radix11(isa, row),
                _ => radix13(isa, row),
            }
        }
    }
}

/// Butterflies with the same twiddles.
struct Row<'a> {
    count: usize,
    /// From one butterfly's input to the next one's, and from one input of a butterfly to the next; the same for outputs.
    x: &'a [Complex],
    x_step: usize,
    x_radix: usize,
    y: &'a mut [Complex],
    y_step: usize,
    y_radix: usize,
    /// For outputs 1 to radix − 1.
    twiddles: Option<&'a Twiddles>,
    /// For all outputs of all butterflies, or empty.
    factors: &'a [[f32; 2]],
    roots: &'a Roots,
}

per_vector! { fn radix2 = butterflies[2](row: Row<'_>) }
per_vector! { fn radix3 = butterflies[3](row: Row<'_>) }
per_vector! { fn radix4 = butterflies[4](row: Row<'_>) }
per_vector! { fn radix5 = butterflies[5](row: Row<'_>) }
per_vector! { fn radix7 = butterflies[7](row: Row<'_>) }
per_vector! { fn radix11 = butterflies[11](row: Row<'_>) }
per_vector! { fn radix13 = butterflies[13](row: Row<'_>) }

/// Repeats a block with `r` = 0, 1, … below a constant (at most 13), so that arrays indexed with `r` can stay in registers.
macro_rules! unroll {
    ($r:ident < $n:expr => $body:block) => {
        unroll!(@ $r, $n, $body, 0 1 2 3 4 5 6 7 8 9 10 11 12)
    };
    (@ $r:ident, $n:expr, $body:block, $($i:literal)*) => {
        $(if $i < $n {
            let $r: usize = $i;
            $body
        })*
    };
}

/// Complex numbers in two registers.
#[derive(Clone, Copy)]
struct Numbers<R> {
    re: R,
    im: R,
}

impl<R: Register> Numbers<R> {
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
    /// Product with cos + i·sin.
    #[inline(always)]
    fn turned(self, [c, s]: [f32; 2]) -> Self {
        let (c, s) = (R::all(c), R::all(s));
        Numbers {
            re: self.re.times(c).minus(self.im.times(s)),
            im: self.re.times(s).plus(self.im.times(c)),
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
}

#[inline(always)]
fn butterflies<V: Vector, const P: usize>(row: Row<'_>) {
    let Some(last) = row.count.checked_sub(1) else { return };
    assert!(row.x.len() > last * row.x_step + (P - 1) * row.x_radix);
    assert!(row.y.len() > last * row.y_step + (P - 1) * row.y_radix);
    assert!(row.factors.is_empty() || row.factors.len() >= P * row.count);
    for q in 0..row.count {
        for part in 0..V::PARTS {
            let x = Inputs {
                x: row.x,
                start: q * row.x_step,
                step: row.x_radix,
                part,
            };
            // Safety: the place of the last output of the last butterfly was checked.
            let mut t = [unsafe { x.load::<V::Register>(0) }; P];
            if P == 2 || P == 4 {
                unroll!(r < P => {
                    t[r] = unsafe { x.load(r) };
                });
                even(&mut t);
            } else {
                unsafe { odd(&mut t, x, row.roots) };
            }
            if let Some(twiddles) = row.twiddles {
                unroll!(r < P => {
                    if r > 0 {
                        t[r] = t[r].turned(twiddles[r - 1]);
                    }
                });
            }
            if !row.factors.is_empty() {
                unroll!(r < P => {
                    let v = t[r].turned(unsafe { *row.factors.get_unchecked(q + r * row.count) });
                    t[r] = Numbers { re: v.im, im: v.re };
                });
            }
            unroll!(r < P => {
                let y = unsafe { row.y.get_unchecked_mut(q * row.y_step + r * row.y_radix) };
                t[r].re.store(&mut y.re, part);
                t[r].im.store(&mut y.im, part);
            });
        }
    }
}

/// The inputs of one butterfly: one part of the lanes.
#[derive(Clone, Copy)]
struct Inputs<'a> {
    x: &'a [Complex],
    start: usize,
    step: usize,
    part: usize,
}

impl Inputs<'_> {
    /// Safety: input `r` lies inside `x`.
    #[inline(always)]
    unsafe fn load<R: Register>(&self, r: usize) -> Numbers<R> {
        let x = unsafe { self.x.get_unchecked(self.start + r * self.step) };
        Numbers {
            re: R::load(&x.re, self.part),
            im: R::load(&x.im, self.part),
        }
    }
}

/// Lengths 2 and 4.
#[inline(always)]
fn even<R: Register, const P: usize>(t: &mut [Numbers<R>; P]) {
    if P == 2 {
        (t[0], t[1]) = (t[0].plus(t[1]), t[0].minus(t[1]));
    } else {
        let (a, b) = (t[0].plus(t[2]), t[0].minus(t[2]));
        let (c, d) = (t[1].plus(t[3]), t[1].minus(t[3]));
        (t[0], t[1], t[2], t[3]) = (a.plus(c), b.minus_i(d), a.minus(c), b.plus_i(d));
    }
}

/// Prime lengths: outputs j and P − j share their products with cosines and sines. Their real parts need the real parts of the
/// inputs' sums and the imaginary parts of the differences, the imaginary parts the others: one after the other, so that all
/// fits registers.
///
/// Safety: all inputs lie inside `x.x`.
#[inline(always)]
unsafe fn odd<R: Register, const P: usize>(t: &mut [Numbers<R>; P], x: Inputs<'_>, roots: &Roots) {
    let first = t[0];
    let re = unsafe { odd_half::<R, P>(x, roots, first.re, true) };
    // Hidden from the compiler, which would keep what it loaded, but has no registers for it.
    let x = if P > 5 { std::hint::black_box(x) } else { x };
    let im = unsafe { odd_half::<R, P>(x, roots, first.im, false) };
    unroll!(r < P => {
        t[r] = Numbers { re: re[r], im: im[r] };
    });
}

/// The real or imaginary parts of the outputs.
///
/// Safety: as [`odd`].
#[inline(always)]
unsafe fn odd_half<R: Register, const P: usize>(x: Inputs<'_>, roots: &Roots, first: R, real: bool) -> [R; P] {
    let half = P / 2;
    let mut out = [first; P];
    let (mut sums, mut differences) = ([first; P], [first; P]);
    unroll!(i < half => {
        let (a, b) = unsafe { (x.load::<R>(i + 1), x.load::<R>(P - 1 - i)) };
        (sums[i + 1], differences[i + 1]) = if real {
            (a.re.plus(b.re), a.im.minus(b.im))
        } else {
            (a.im.plus(b.im), a.re.minus(b.re))
        };
        out[0] = out[0].plus(sums[i + 1]);
    });
    unroll!(j < half => {
        let (mut even, mut odd) = (first, R::all(0.0));
        unroll!(i < half => {
            let [c, s] = roots[j * half + i];
            even = even.plus(sums[i + 1].times(R::all(c)));
            odd = odd.plus(differences[i + 1].times(R::all(s)));
        });
        let (more, less) = (even.plus(odd), even.minus(odd));
        (out[j + 1], out[P - 1 - j]) = if real { (more, less) } else { (less, more) };
    });
    out
}

/// One number of every lane times `factor`, real and imaginary part exchanged.
pub(super) fn multiplied(z: Complex, [c, s]: [f32; 2]) -> Complex {
    let mut out = Complex::ZERO;
    for (l, (&re, &im)) in z.re.0.iter().zip(&z.im.0).enumerate() {
        out.re.0[l] = re * s + im * c;
        out.im.0[l] = re * c - im * s;
    }
    out
}
