//! Where the optimisation starts: the smooth vectors of the neighbour graph.
//!
//! Eigenvectors 2 … of the normalised Laplacian I − S W S, S = diag(1/√Σ W) (M. Belkin, P. Niyogi, *Neural Comput.* 15 (2003) 1373), that is
//! of S W S for its largest eigenvalues but the first, which is 1 with the known vector √Σ W. They are found by subspace iteration
//! with a Chebyshev filter (Y. Saad, *Numerical Methods for Large Eigenvalue Problems*, 2nd ed., section 5.3 and chapter 7).

use super::graph::Graph;
use crate::analysis::symmetric::eigen;
use crate::error::{Error, Result};
use crate::rng::Source;
use ndarray::Array2;
use rayon::prelude::*;

/// Vectors beyond the wanted ones that the iteration carries.
const GUARD: usize = 8;
/// Largest degree of the filter.
const DEGREE: usize = 32;
/// Largest residual |M x − θ x| of a wanted vector.
const TOLERANCE: f64 = 1e-6;
/// Rounds after which vectors are taken as they are: a starting point need not be exact.
const ROUNDS: usize = 100;

/// Smallest eigenvalues of the normalised Laplacian of a connected graph, ascending from 0, and their vectors.
#[derive(Debug, Clone, PartialEq)]
pub struct Spectrum {
    /// Eigenvalues.
    pub values: Vec<f64>,
    /// Vectors of unit length as columns (vertices, values).
    pub vectors: Array2<f64>,
}

/// S W S of a graph.
struct Normalised<'a> {
    graph: &'a Graph,
    /// 1/√Σ W of each vertex.
    scale: Vec<f64>,
}

impl Normalised<'_> {
    fn of(graph: &Graph) -> Normalised<'_> {
        let scale = |i| {
            let degree: f64 = graph.row(i).map(|(_, v)| v).sum();
            if degree > 0.0 { 1.0 / degree.sqrt() } else { 0.0 }
        };
        Normalised {
            graph,
            scale: (0..graph.len()).map(scale).collect(),
        }
    }

    /// `to` = factor (M x + shift x) − minus · to, for `width` vectors side by side.
    fn apply(&self, x: &[f64], width: usize, (factor, shift, minus): (f64, f64, f64), to: &mut [f64]) {
        to.par_chunks_mut(width).with_min_len(256).enumerate().for_each(|(i, row)| {
            let own = &x[i * width..][..width];
            row.iter_mut()
                .zip(own)
                .for_each(|(r, v)| *r = factor * shift * v - minus * *r);
            for (j, w) in self.graph.row(i) {
                let w = factor * w * self.scale[i] * self.scale[j];
                row.iter_mut().zip(&x[j * width..][..width]).for_each(|(r, v)| *r += w * v);
            }
        });
    }
}

/// A block of vectors side by side: row i holds entry i of all.
struct Block {
    width: usize,
    values: Vec<f64>,
}

impl Block {
    /// Σ over the rows of a[k] b[l], in the order of the rows.
    fn dot(a: &Block, k: usize, b: &Block, l: usize) -> f64 {
        let rows = a.values.chunks_exact(a.width).zip(b.values.chunks_exact(b.width));
        rows.map(|(x, y)| x[k] * y[l]).sum()
    }

    /// Makes the columns orthonormal, twice for accuracy; a column that vanishes is set to zero.
    fn orthonormalise(&mut self) {
        for k in 0..self.width {
            for _ in 0..2 {
                let overlaps: Vec<f64> = (0..k).into_par_iter().map(|l| Block::dot(self, l, self, k)).collect();
                self.values
                    .par_chunks_exact_mut(self.width)
                    .with_min_len(1024)
                    .for_each(|row| {
                        let take: f64 = overlaps.iter().zip(row.iter()).map(|(o, v)| o * v).sum();
                        row[k] -= take;
                    });
            }
            let norm = Block::dot(self, k, self, k).sqrt();
            let scale = if norm > 0.0 { 1.0 / norm } else { 0.0 };
            self.values.chunks_exact_mut(self.width).for_each(|row| row[k] *= scale);
        }
    }

    /// Replaces the columns by their combinations, `by` (width, width).
    fn combine(&mut self, by: &Array2<f64>) {
        let width = self.width;
        self.values.par_chunks_exact_mut(width).with_min_len(1024).for_each(|row| {
            let old = row.to_vec();
            for (c, r) in row.iter_mut().enumerate() {
                *r = old.iter().enumerate().map(|(k, v)| v * by[[k, c]]).sum();
            }
        });
    }
}

/// The `count` smallest eigenvalues of the normalised Laplacian of a connected graph with more than `count` + 8 vertices, and
/// their vectors. The first is 0.
///
/// # Errors
/// [`Error::Parameter`] if the graph has too few vertices.
pub fn smallest(graph: &Graph, count: usize, source: Source) -> Result<Spectrum> {
    let (n, width) = (graph.len(), count + GUARD);
    if n < width {
        return Err(Error::parameter(
            "points",
            format!("{n} are too few for {count} eigenvectors"),
        ));
    }
    let matrix = Normalised::of(graph);
    let mut block = Block {
        width,
        values: vec![0.0; n * width],
    };
    for (i, row) in block.values.chunks_exact_mut(width).enumerate() {
        let mut numbers = source.sequence(i as u64);
        row.iter_mut().for_each(|v| *v = numbers.normal());
        // The first vector is known.
        row[0] = if matrix.scale[i] > 0.0 { 1.0 / matrix.scale[i] } else { 0.0 };
    }
    block.orthonormalise();
    let mut image = vec![0.0; n * width];
    let mut ritz = vec![0.0; width];
    for _ in 0..ROUNDS {
        matrix.apply(&block.values, width, (1.0, 0.0, 0.0), &mut image);
        let images = Block {
            width,
            values: std::mem::take(&mut image),
        };
        let pairs: Vec<(usize, usize)> = (0..width).flat_map(|r| (r..width).map(move |c| (r, c))).collect();
        let products: Vec<f64> = pairs.par_iter().map(|&(r, c)| Block::dot(&block, r, &images, c)).collect();
        let mut small = Array2::zeros((width, width));
        for (&(r, c), v) in pairs.iter().zip(products) {
            small[[r, c]] = v;
        }
        let (values, vectors) = eigen(&small);
        block.combine(&vectors);
        let mut images = images;
        images.combine(&vectors);
        let residual = |k: usize| {
            let rows = block.values.chunks_exact(width).zip(images.values.chunks_exact(width));
            rows.map(|(x, m)| (m[k] - values[k] * x[k]).powi(2)).sum::<f64>().sqrt()
        };
        let worst = (0..count).map(residual).fold(0.0, f64::max);
        image = images.values;
        ritz = values;
        if worst < TOLERANCE {
            break;
        }
        filter(&matrix, &mut block, &mut image, ritz[width - 1]);
        block.orthonormalise();
    }
    Ok(Spectrum {
        values: ritz[..count].iter().map(|v| 1.0 - v).collect(),
        vectors: Array2::from_shape_fn((n, count), |(i, k)| block.values[i * width + k]),
    })
}

/// Damps what belongs to eigenvalues between −1 and `cut`: T_m((M − c)/e) with c, e the centre and half width of that interval.
fn filter(matrix: &Normalised, block: &mut Block, scratch: &mut [f64], cut: f64) {
    // Not so near to the wanted ones that the filter stops telling them apart.
    let cut = cut.clamp(-0.5, 0.9999);
    let (centre, half) = ((cut - 1.0) / 2.0, (cut + 1.0) / 2.0);
    // Vectors near eigenvalue 1 grow most; beyond 10⁸ the others would drown in rounding.
    let growth = ((1.0 - centre) / half).acosh();
    let degree = ((18.0 / growth) as usize).clamp(4, DEGREE);
    scratch.fill(0.0);
    // T_1 = (M − c)/e · T_0, then T_{k+1} = 2 (M − c)/e · T_k − T_{k−1}.
    matrix.apply(&block.values, block.width, (1.0 / half, -centre, 0.0), scratch);
    for _ in 1..degree {
        matrix.apply(scratch, block.width, (2.0 / half, -centre, 1.0), &mut block.values);
        // The newest is in `block`, the one before it in `scratch`.
        block.values.swap_with_slice(scratch);
    }
    block.values.copy_from_slice(scratch);
}
