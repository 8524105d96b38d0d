//! UMAP and densMAP: positions in few dimensions whose neighbourhoods, and with densMAP densities, are those of the data.
//!
//! L. McInnes, J. Healy, J. Melville, *UMAP: Uniform Manifold Approximation and Projection*, arXiv:1802.03426; A. Narayan, B. Berger, H. Cho,
//! *Assessing single-cell transcriptomic variability through density-preserving data visualization*, Nat. Biotechnol. 39
//! (2021) 765. Constants and details are those of the package umap-learn 0.5; where this differs (the order of updates, so that the result
//! does not depend on threads) `layout` says how and why.
//!
//! 1. local scales and the fuzzy union of all neighbourhoods ([`graph`]);
//! 2. the curve of closeness in the embedding ([`Curve`]);
//! 3. a start from the smoothest vectors of the graph ([`spectral`]);
//! 4. attraction, repulsion and the density term until the positions have settled (`layout`, [`density`]).

mod curve;
pub mod density;
pub mod graph;
mod layout;
mod parts;
pub mod spectral;
mod start;

pub use curve::Curve;
pub use density::Density;
pub use graph::{Graph, Scales};

use crate::control::Control;
use crate::error::{Error, Result};
use crate::rng::Source;
use layout::Layout;
pub use layout::MOST_COMPONENTS;
use ndarray::{Array2, ArrayView2};

/// Each use of random numbers.
const START: u8 = 40;
const NEGATIVES: u8 = 41;
const PLACE: u8 = 42;

/// Nearest neighbours of every point by any metric, nearest first. In the lists of [`Umap::fit`] the first entry is the point itself.
#[derive(Debug, Clone, Copy)]
pub struct Neighbours<'a> {
    index: ArrayView2<'a, u32>,
    distance: ArrayView2<'a, f64>,
}

impl<'a> Neighbours<'a> {
    /// `index` and `distance` (n, k), k at least 2; entries of `index` number `points` points.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the shapes differ, there are too few neighbours, an index is out of range, or a distance is negative or
    /// not finite.
    pub fn new(index: ArrayView2<'a, u32>, distance: ArrayView2<'a, f64>, points: usize) -> Result<Self> {
        if index.dim() != distance.dim() {
            return Err(Error::parameter(
                "neighbours",
                format!(
                    "indices {:?} and distances {:?} have different shapes",
                    index.dim(),
                    distance.dim()
                ),
            ));
        }
        if index.ncols() < 2 {
            return Err(Error::parameter("--neighbors", "at least 2 are needed"));
        }
        if !index.is_standard_layout() || !distance.is_standard_layout() {
            return Err(Error::Internal("neighbour lists that are not in C order".into()));
        }
        if index.iter().any(|&i| i as usize >= points) {
            return Err(Error::parameter("neighbours", "an index is out of range"));
        }
        if distance.iter().any(|d| !(d.is_finite() && *d >= 0.0)) {
            return Err(Error::parameter("neighbours", "a distance is not a finite number"));
        }
        Ok(Neighbours { index, distance })
    }
    /// Number of lists.
    pub fn len(&self) -> usize {
        self.index.nrows()
    }
    /// True without lists.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Entries of each list.
    pub fn k(&self) -> usize {
        self.index.ncols()
    }
    /// Distances (n, k).
    pub fn distance(&self) -> ArrayView2<'a, f64> {
        self.distance
    }
    /// Indices and distances of one list.
    pub fn row(&self, i: usize) -> (&'a [u32], &'a [f64]) {
        let k = self.k();
        let at = i * k..(i + 1) * k;
        // Both are in C order, as `new` made sure.
        let index = self.index.to_slice().and_then(|s| s.get(at.clone())).unwrap_or(&[]);
        let distance = self.distance.to_slice().and_then(|s| s.get(at)).unwrap_or(&[]);
        (index, distance)
    }
    /// All lists.
    pub fn rows(&self) -> impl Iterator<Item = (&'a [u32], &'a [f64])> + '_ {
        (0..self.len()).map(|i| self.row(i))
    }
}

/// Parameters.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Umap {
    /// Dimensions of the embedding.
    pub components: usize,
    /// Distance within which points of the embedding count as equally close.
    pub min_dist: f64,
    /// Scale of the embedding.
    pub spread: f64,
    /// Epochs; `None`: 500 for up to 10 000 points, 200 for more, and 200 more with a density term.
    pub epochs: Option<usize>,
    /// The density term of densMAP; `None`: plain UMAP.
    pub density: Option<Density>,
    /// Seed of all random numbers.
    pub seed: u64,
}

impl Default for Umap {
    fn default() -> Self {
        Umap {
            components: 3,
            min_dist: 0.0,
            spread: 1.0,
            epochs: None,
            density: Some(Density::default()),
            seed: 10,
        }
    }
}

/// Result of [`Umap::fit`].
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// Positions (points, components).
    pub positions: Array2<f32>,
    /// The fuzzy graph, unpruned.
    pub graph: Graph,
    /// Local scales.
    pub scales: Scales,
    /// The curve of closeness.
    pub curve: Curve,
    /// Logarithm of the local radius of each point in the data, over the edges that took part.
    pub data_radii: Vec<f64>,
}

impl Umap {
    /// Epochs for `n` points.
    pub fn epochs_for(&self, n: usize) -> usize {
        let plain = if n <= 10_000 { 500 } else { 200 };
        let more = if self.density.is_some() { 200 } else { 0 };
        self.epochs.unwrap_or(plain + more)
    }

    fn check(&self, n: usize) -> Result<Curve> {
        if self.components == 0 || self.components > layout::MOST_COMPONENTS {
            return Err(Error::parameter(
                "--components",
                format!("{} is not between 1 and {}", self.components, layout::MOST_COMPONENTS),
            ));
        }
        if n < self.components + 2 {
            return Err(Error::parameter(
                "points",
                format!("{n} points are too few for {} components", self.components),
            ));
        }
        if self.epochs == Some(0) {
            return Err(Error::parameter("epochs", "at least 1 is needed"));
        }
        Curve::fit(self.min_dist, self.spread)
    }

    /// The fuzzy graph without the edges that the optimisation would never draw.
    fn pruned(&self, fuzzy: &Graph) -> Graph {
        let strongest = fuzzy.value.iter().copied().fold(0.0, f64::max);
        fuzzy.pruned(strongest / self.epochs_for(fuzzy.len()) as f64)
    }

    /// Where the parts of a graph that is not connected belong, by the means of their points' `features` (points, features): for
    /// [`Umap::fit_from`]. `None` for a graph in one piece.
    ///
    /// # Errors
    /// [`Error::Parameter`] for features of another number of points; [`Error::Cancelled`].
    pub fn places(&self, neighbours: &Neighbours, features: ArrayView2<f32>, control: &Control) -> Result<Option<Array2<f64>>> {
        let scales = graph::scales(neighbours);
        let graph = self.pruned(&graph::fuzzy_union(neighbours, &scales));
        parts::places(&graph, features, self.components, control)
    }

    /// As [`Umap::fit_from`] without places.
    ///
    /// # Errors
    /// Those of [`Umap::fit_from`].
    pub fn fit(&self, neighbours: &Neighbours, control: &Control) -> Result<Embedding> {
        self.fit_from(neighbours, None, control)
    }

    /// Positions of the points whose neighbours are given. The bits depend on the input and the parameters alone, not on threads. Parts of
    /// the graph that are not connected start from their `places`; without, along the axes, in the order of their first points.
    ///
    /// # Errors
    /// [`Error::Parameter`] for parameters out of range or too few points; [`Error::Cancelled`].
    pub fn fit_from(&self, neighbours: &Neighbours, places: Option<ArrayView2<f64>>, control: &Control) -> Result<Embedding> {
        let curve = self.check(neighbours.len())?;
        let scales = graph::scales(neighbours);
        let fuzzy = graph::fuzzy_union(neighbours, &scales);
        let epochs = self.epochs_for(neighbours.len());
        let pruned = self.pruned(&fuzzy);
        let distances = graph::entry_distances(&pruned, neighbours)?;
        let first = start::positions(&pruned, self.components, places, Source::new(self.seed, START))?;
        let layout = Layout::new(&pruned, 0, curve, epochs, Source::new(self.seed, NEGATIVES));
        let density = self.density.as_ref().map(|d| (d, &pruned, distances.as_slice()));
        let positions = layout.optimise(first, density, control)?;
        Ok(Embedding {
            positions,
            data_radii: density::data_radii(&pruned, &distances),
            graph: fuzzy,
            scales,
            curve,
        })
    }

    /// Positions of new points in an embedding: the weighted mean of their neighbours among the embedded points, then attraction and
    /// repulsion with the embedded points held. `neighbours` lists embedded points, the nearest first, without a point itself. The
    /// density term takes no part.
    ///
    /// # Errors
    /// As [`Umap::fit`]; [`Error::Parameter`] if the embedding has another number of components.
    pub fn place(&self, embedding: &Embedding, neighbours: &Neighbours, control: &Control) -> Result<Array2<f32>> {
        let old = embedding.positions.nrows();
        self.check(old)?;
        if embedding.positions.ncols() != self.components {
            return Err(Error::parameter(
                "--components",
                format!("the embedding has {}", embedding.positions.ncols()),
            ));
        }
        let graph = graph::towards(neighbours);
        let mut all = Array2::zeros((old + neighbours.len(), self.components));
        all.slice_mut(ndarray::s![..old, ..]).assign(&embedding.positions);
        for i in 0..graph.len() {
            let sum: f64 = graph.row(i).map(|(_, w)| w).sum();
            for (j, w) in graph.row(i) {
                for d in 0..self.components {
                    all[[old + i, d]] += (w / sum) as f32 * embedding.positions[[j, d]];
                }
            }
        }
        let epochs = self.epochs.map_or(if old <= 10_000 { 100 } else { 30 }, |e| (e / 3).max(1));
        let strongest = graph.value.iter().copied().fold(0.0, f64::max);
        let pruned = graph.pruned(strongest / epochs as f64);
        let layout = Layout::new(&pruned, old, embedding.curve, epochs, Source::new(self.seed, PLACE));
        let all = layout.optimise(all, None, control)?;
        Ok(all.slice(ndarray::s![old.., ..]).to_owned())
    }
}
