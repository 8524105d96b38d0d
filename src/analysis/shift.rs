//! How far one image is displaced from another: cross-correlation in Fourier space, and its maximum to a fraction of a pixel.

use super::fft2::{HalfSpectrum, forward, inverse};
use crate::error::{Error, Result};
use ndarray::{Array2, ArrayView2};
use std::f64::consts::TAU;

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
    /// # Errors
    /// [`Error::Parameter`] for an image of another shape or `upsample` of 0.
    pub fn find(&self, image: ArrayView2<'_, f64>, upsample: u32) -> Result<Shift> {
        if upsample == 0 {
            return Err(Error::parameter("--upsample", "must be at least 1"));
        }
        let (product, norm) = self.product(image)?;
        if norm <= 0.0 || !norm.is_finite() {
            return Ok(Shift {
                shift: [f64::NAN; 2],
                height: f64::NAN,
            });
        }
        let map = inverse(
            HalfSpectrum {
                values: product.values.clone(),
            },
            self.cell[1],
        );
        let mut best = ([0.0; 2], f64::NEG_INFINITY);
        for ((y, x), &v) in map.indexed_iter() {
            if v > best.1 {
                let signed = |i: usize, n: usize| if 2 * i > n { i as f64 - n as f64 } else { i as f64 };
                best = ([signed(y, self.cell[0]), signed(x, self.cell[1])], v);
            }
        }
        let fine = 1.0 / f64::from(upsample);
        for (step, reach) in [(0.1f64.max(fine), 1.0), (fine, 0.1f64.max(fine))] {
            // Multiples of the step, so that the grid does not depend on where the search begins.
            let middle = best.0.map(|v| (v / step).round());
            let n = (reach / step).round() as i64;
            let points = |m: f64| (-n..=n).map(|i| (m + i as f64) * step).collect::<Vec<_>>();
            let (ys, xs) = (points(middle[0]), points(middle[1]));
            let values = self.values(&product, &ys, &xs);
            best.1 = f64::NEG_INFINITY;
            for ((i, j), &v) in values.indexed_iter() {
                if v > best.1 {
                    best = ([ys[i], xs[j]], v);
                }
            }
        }
        Ok(Shift {
            shift: best.0,
            height: best.1 / norm,
        })
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
