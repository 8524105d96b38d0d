//! How far one image is displaced from another: cross-correlation in Fourier space, and its maximum to a fraction of a pixel.

use super::fft2::{HalfSpectrum, forward, inverse};
use crate::error::{Error, Result};
use ndarray::{Array2, ArrayView2};
use std::f64::consts::{PI, TAU};

/// Fewer pixels in common along an axis tell no shift.
const LEAST: usize = 16;
/// How often the overlap is taken anew when the shift turns out to be nearer to other whole pixels.
const ROUNDS: usize = 3;

/// Fisher's z of a correlation coefficient, atanh r: its standard deviation is 1/√(n − 3) for n independent pixels, whatever r is. r = ±1 is
/// moved inwards by 10⁻⁹, as the reference does.
pub fn fisher_z(r: f64) -> f64 {
    let most = 1.0 - 1e-9;
    r.clamp(-most, most).atanh()
}

/// An image without its mean in a cell of zeros, and its energy.
fn in_cell(image: ArrayView2<'_, f64>, cell: [usize; 2]) -> (Array2<f64>, f64) {
    let mean = image.mean().unwrap_or(0.0);
    let (h, w) = image.dim();
    let mut out = Array2::zeros((cell[0], cell[1]));
    out.slice_mut(ndarray::s![..h, ..w]).assign(&image.mapv(|v| v - mean));
    let energy = out.iter().map(|v| v * v).sum();
    (out, energy)
}

/// The reference that images are compared with, transformed once.
pub struct Registration {
    cell: [usize; 2],
    shape: (usize, usize),
    image: Array2<f64>,
    spectrum: HalfSpectrum,
    energy: f64,
}

/// Where an image lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shift {
    /// (y, x) in pixels: the image is the reference moved by so much, positive downwards and to the right.
    pub shift: [f64; 2],
    /// Correlation there, 1 for the reference itself; what moves out of the image counts as lost.
    pub height: f64,
}

impl Shift {
    /// Of images without contrast.
    const NONE: Shift = Shift {
        shift: [f64::NAN; 2],
        height: f64::NAN,
    };
}

/// Weights sin² from one edge to the other, zero just beyond both.
fn hann(n: usize) -> Vec<f64> {
    let weight = |i: usize| (PI * (i as f64 + 1.0) / (n as f64 + 1.0)).sin().powi(2);
    (0..n).map(weight).collect()
}

/// What two such windows have in common at a displacement, the integral of their product, 1 at none. Windowed images are alike by so much
/// less, whatever is in them, and the maximum would be too near to zero.
fn shared(n: usize, displacement: f64) -> f64 {
    let part = (displacement.abs() / (n as f64 + 1.0)).min(1.0);
    (1.0 - part) * (2.0 + (TAU * part).cos()) / 3.0 + (TAU * part).sin() / TAU
}

impl Registration {
    /// For `reference`, in a cell of zeros of `cell` pixels (y, x): displacements beyond the rest of the cell wrap around.
    ///
    /// # Errors
    /// [`Error::Parameter`] for an empty image or a smaller cell.
    pub fn new(reference: ArrayView2<'_, f64>, cell: [usize; 2]) -> Result<Registration> {
        let (h, w) = reference.dim();
        if reference.is_empty() || cell[0] < h || cell[1] < w {
            let what = format!("a cell of {cell:?} for an image of {h} × {w}");
            return Err(Error::parameter("cell", what));
        }
        let (image, energy) = in_cell(reference, cell);
        Ok(Registration {
            cell,
            shape: (h, w),
            image: reference.to_owned(),
            spectrum: forward(image.view()),
            energy,
        })
    }

    /// F(image) · conj F(reference) and the energies' geometric mean.
    fn product(&self, image: ArrayView2<'_, f64>) -> Result<(HalfSpectrum, f64)> {
        if image.dim() != self.shape {
            let what = format!("{:?} pixels, the reference has {:?}", image.dim(), self.shape);
            return Err(Error::parameter("image", what));
        }
        let (image, energy) = in_cell(image, self.cell);
        let mut product = forward(image.view());
        product.values.zip_mut_with(&self.spectrum.values, |a, b| *a *= b.conj());
        Ok((product, (energy * self.energy).sqrt()))
    }

    /// Correlation at every displacement of the cell: element (y, x) says how alike the image is to the reference moved by (y, x); those of the
    /// second half are negative ones. Zero for images without contrast.
    ///
    /// # Errors
    /// [`Error::Parameter`] for an image of another shape.
    pub fn map(&self, image: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        let (product, norm) = self.product(image)?;
        let map = inverse(product, self.cell[1]);
        Ok(map.mapv(|v| if norm > 0.0 { v / norm } else { 0.0 }))
    }

    /// The displacement of `image` on a grid of 1/`upsample` pixels: the maximum of the map, which is a trigonometric polynomial and so can be
    /// computed anywhere (M. Guizar-Sicairos et al., *Opt. Lett.* 33 (2008) 156), first in tenths of a pixel around the largest element, then on
    /// the grid around the best of these. NaN for images without contrast.
    ///
    /// What moves out of the image weakens the correlation, so the maximum of images that have no empty rim lies some per cent too near to
    /// zero: [`Registration::find_in_common`] does not see it.
    ///
    /// # Errors
    /// [`Error::Parameter`] for an image of another shape or `upsample` of 0.
    pub fn find(&self, image: ArrayView2<'_, f64>, upsample: u32) -> Result<Shift> {
        if upsample == 0 {
            return Err(Error::parameter("--upsample", "must be at least 1"));
        }
        let (product, norm) = self.product(image)?;
        if norm <= 0.0 || !norm.is_finite() {
            return Ok(Shift::NONE);
        }
        let (shift, value) = self.near(&product, self.largest(&product), upsample, |_, _| 1.0);
        Ok(Shift {
            shift,
            height: value / norm,
        })
    }

    /// The displacement of `image` from what it has in common with the reference: whole pixels as [`Registration::find`], the rest from the
    /// parts that overlap then, under a window that falls to zero at their edges, so that nothing leaves them. The height is that of `find`.
    ///
    /// # Errors
    /// As [`Registration::find`].
    pub fn find_in_common(&self, image: ArrayView2<'_, f64>, upsample: u32) -> Result<Shift> {
        if upsample == 0 {
            return Err(Error::parameter("--upsample", "must be at least 1"));
        }
        let (product, norm) = self.product(image)?;
        if norm <= 0.0 || !norm.is_finite() {
            return Ok(Shift::NONE);
        }
        let mut whole = self.largest(&product);
        let mut shift = whole.map(|v| v as f64);
        for _ in 0..ROUNDS {
            let Some([own, other]) = self.common(image, whole) else {
                // Too little in common: what is to be said of all of both.
                shift = self.near(&product, whole, upsample, |_, _| 1.0).0;
                break;
            };
            // Windows need no zeros around them, as edges are zero already.
            let part = Registration::new(own.view(), [self.shape.0, self.shape.1])?;
            let (between, contrast) = part.product(other.view())?;
            if contrast > 0.0 {
                let sizes = [part.shape.0, part.shape.1];
                let (rest, _) = part.near(&between, [0, 0], upsample, |k, d| shared(sizes[k], d));
                shift = [0, 1].map(|k| whole[k] as f64 + rest[k]);
            }
            let nearest = shift.map(|v| v.round() as i64);
            if nearest == whole {
                break;
            }
            whole = nearest;
        }
        let height = self.values(&product, &shift[..1], &shift[1..])[[0, 0]] / norm;
        Ok(Shift { shift, height })
    }

    /// The reference and `image` where they overlap if the image is the reference moved by `whole` pixels, under a window; `None` if that is
    /// less than [`LEAST`] pixels along an axis.
    fn common(&self, image: ArrayView2<'_, f64>, whole: [i64; 2]) -> Option<[Array2<f64>; 2]> {
        let sizes = [self.shape.0, self.shape.1];
        let left = [0, 1].map(|k| sizes[k].saturating_sub(whole[k].unsigned_abs() as usize));
        if left.iter().any(|&n| n < LEAST) {
            return None;
        }
        let from = |moved: [i64; 2]| moved.map(|v| v.max(0) as usize);
        let (own, other) = (from(whole.map(|v| -v)), from(whole));
        let window = left.map(hann);
        let part = |of: ArrayView2<'_, f64>, [y, x]: [usize; 2]| {
            let seen = of.slice_move(ndarray::s![y..y + left[0], x..x + left[1]]);
            let weight = |at: (usize, usize)| window[0][at.0] * window[1][at.1];
            let all: f64 = window.iter().map(|w| w.iter().sum::<f64>()).product();
            let mean = seen.indexed_iter().map(|(at, v)| weight(at) * v).sum::<f64>() / all;
            Array2::from_shape_fn(seen.dim(), |at| weight(at) * (seen[at] - mean))
        };
        Some([part(self.image.view(), own), part(image, other)])
    }

    /// The displacement by whole pixels at which the map is largest.
    fn largest(&self, product: &HalfSpectrum) -> [i64; 2] {
        let values = product.values.clone();
        let map = inverse(HalfSpectrum { values }, self.cell[1]);
        let mut best = ([0; 2], f64::NEG_INFINITY);
        for ((y, x), &v) in map.indexed_iter() {
            if v > best.1 {
                let signed = |i: usize, n: usize| if 2 * i > n { i as i64 - n as i64 } else { i as i64 };
                best = ([signed(y, self.cell[0]), signed(x, self.cell[1])], v);
            }
        }
        best.0
    }

    /// The maximum of the map on a grid of 1/`upsample` pixels within a pixel of `start`, and the map there, divided by what windows have in
    /// common along each axis at a displacement.
    fn near(
        &self,
        product: &HalfSpectrum,
        start: [i64; 2],
        upsample: u32,
        overlap: impl Fn(usize, f64) -> f64,
    ) -> ([f64; 2], f64) {
        let mut best = (start.map(|v| v as f64), f64::NEG_INFINITY);
        let fine = 1.0 / f64::from(upsample);
        for (step, reach) in [(0.1f64.max(fine), 1.0), (fine, 0.1f64.max(fine))] {
            // Multiples of the step, so that the grid does not depend on where the search begins.
            let middle = best.0.map(|v| (v / step).round());
            let n = (reach / step).round() as i64;
            let points = |m: f64| (-n..=n).map(|i| (m + i as f64) * step).collect::<Vec<_>>();
            let (ys, xs) = (points(middle[0]), points(middle[1]));
            let mut values = self.values(product, &ys, &xs);
            let [along_y, along_x] = [(0, &ys), (1, &xs)].map(|(k, at)| at.iter().map(|&d| overlap(k, d)).collect::<Vec<_>>());
            for ((i, j), v) in values.indexed_iter_mut() {
                *v /= along_y[i] * along_x[j];
            }
            best.1 = f64::NEG_INFINITY;
            for ((i, j), &v) in values.indexed_iter() {
                if v > best.1 {
                    best = ([ys[i], xs[j]], v);
                }
            }
        }
        best
    }

    /// The map at the displacements `ys` × `xs`.
    fn values(&self, product: &HalfSpectrum, ys: &[f64], xs: &[f64]) -> Array2<f64> {
        let [h, w] = self.cell;
        let columns = product.values.ncols();
        let signed = |k: usize, n: usize| if 2 * k > n { k as f64 - n as f64 } else { k as f64 };
        // Sums along y first, for every column of the half spectrum.
        let mut along_y = vec![[0.0; 2]; ys.len() * columns];
        for (row, &y) in along_y.chunks_exact_mut(columns).zip(ys) {
            for (ky, line) in product.values.rows().into_iter().enumerate() {
                let (s, c) = (TAU * signed(ky, h) * y / h as f64).sin_cos();
                for (to, z) in row.iter_mut().zip(line) {
                    to[0] += z.re * c - z.im * s;
                    to[1] += z.re * s + z.im * c;
                }
            }
        }
        let turns: Vec<Vec<[f64; 2]>> = xs
            .iter()
            .map(|&x| {
                let turn = |kx: usize| (TAU * kx as f64 * x / w as f64).sin_cos();
                // Columns with an opposite count for it too.
                let count = |kx: usize| if kx == 0 || 2 * kx == w { 1.0 } else { 2.0 };
                (0..columns)
                    .map(|kx| {
                        let (s, c) = turn(kx);
                        [count(kx) * c, count(kx) * s]
                    })
                    .collect()
            })
            .collect();
        let scale = 1.0 / (h as f64 * w as f64);
        Array2::from_shape_fn((ys.len(), xs.len()), |(i, j)| {
            let row = &along_y[i * columns..(i + 1) * columns];
            scale * row.iter().zip(&turns[j]).map(|(z, t)| z[0] * t[0] - z[1] * t[1]).sum::<f64>()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Forty spots, three pixels wide, seen through a window that they leave and enter as they move.
    fn spots([dy, dx]: [f64; 2]) -> Array2<f64> {
        let places = (1..=40).map(|k| [0.618_034, 0.754_878].map(|g| (f64::from(k) * g).fract()));
        let places: Vec<_> = places.map(|[y, x]| [y * 120.0 - 15.0 + dy, x * 150.0 - 15.0 + dx]).collect();
        Array2::from_shape_fn((90, 120), |(y, x)| {
            let spot = |(n, [py, px]): (usize, &[f64; 2])| {
                let d2 = (y as f64 - py).powi(2) + (x as f64 - px).powi(2);
                (1.0 + (n % 5) as f64) * (-d2 / 18.0).exp()
            };
            7.0 + places.iter().enumerate().map(spot).sum::<f64>()
        })
    }

    #[test]
    fn shifts_are_as_large_as_they_are() {
        let reference = Registration::new(spots([0.0; 2]).view(), [120, 150]).unwrap();
        let mut furthest = 0f64;
        for wanted in [[0.0, 0.0], [0.3, -0.45], [2.37, -4.61], [-9.215, 3.3], [-0.5, 11.5]] {
            let image = spots(wanted);
            let (all, common) = (
                reference.find(image.view(), 200).unwrap(),
                reference.find_in_common(image.view(), 200).unwrap(),
            );
            for k in 0..2 {
                furthest = furthest.max((all.shift[k] - wanted[k]).abs());
                assert!((common.shift[k] - wanted[k]).abs() < 0.0051, "{common:?} {wanted:?}");
            }
            assert!(common.height <= all.height && common.height > all.height - 0.01);
        }
        assert!(furthest > 0.3, "{furthest}");
    }

    /// Sums over pixels differ from the integral by 5e-7.
    #[test]
    fn what_windows_share() {
        let window = [vec![0.0], hann(40), vec![0.0; 12]].concat();
        let sum = |d: usize| window.iter().zip(&window[d..]).map(|(a, b)| a * b).sum::<f64>();
        for d in 0..10 {
            let wanted = sum(d) / sum(0);
            assert!((shared(40, d as f64) - wanted).abs() < 1e-6, "{d}");
            assert!((shared(40, -(d as f64)) - wanted).abs() < 1e-6, "{d}");
        }
        assert!(shared(40, 41.0).abs() < 1e-12 && shared(40, 99.0).abs() < 1e-12);
    }

    #[test]
    fn what_has_nothing_in_common() {
        let reference = Registration::new(spots([0.0; 2]).view(), [120, 150]).unwrap();
        let flat = reference.find_in_common(Array2::ones((90, 120)).view(), 10).unwrap();
        assert!(flat.shift[0].is_nan() && flat.height.is_nan());
        assert!(reference.find_in_common(Array2::ones((3, 3)).view(), 10).is_err());
        assert!(reference.find_in_common(spots([1.0; 2]).view(), 0).is_err());
        // Too small for a window.
        let small = spots([0.0; 2]).slice_move(ndarray::s![30..40, ..]);
        let found = Registration::new(small.view(), [15, 150]).unwrap();
        assert_eq!(found.find_in_common(small.view(), 10).unwrap().shift, [0.0, 0.0]);
    }
}
