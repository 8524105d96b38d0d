//! Neighbours, embedding and clustering, once or for several seeds.

use super::features::Run;
use super::params::Params;
use crate::analysis::agreement::{Agreement, agreement};
use crate::analysis::hdbscan::{Clustering, Memberships};
use crate::analysis::umap::Neighbours;
use crate::control::Control;
use crate::engine::Backend;
use crate::error::{Error, Result};
use crate::kernels::nearest::{self, Neighbors};
use crate::workflows::Timings;
use ndarray::{Array2, ArrayView2};

/// One embedding and what was found in it.
pub struct Found {
    /// `None` for positions that were given.
    pub seed: Option<u64>,
    /// (positions, components)
    pub embedding: Array2<f32>,
    pub clustering: Clustering,
    pub memberships: Memberships,
    /// Cluster of largest membership; −1 everywhere if there is no cluster.
    pub soft: Vec<i32>,
}

/// The graph's neighbours: every point itself first.
pub struct Graph {
    index: Array2<u32>,
    distance: Array2<f64>,
    /// Where parts that are not connected start.
    places: Option<Array2<f64>>,
}

impl Graph {
    /// Puts each point in front of its neighbours.
    pub fn of(neighbors: &Neighbors) -> Graph {
        let (n, k) = neighbors.index.dim();
        let mut index = Array2::zeros((n, k + 1));
        let mut distance = Array2::zeros((n, k + 1));
        index.column_mut(0).iter_mut().enumerate().for_each(|(i, v)| *v = i as u32);
        index.slice_mut(ndarray::s![.., 1..]).assign(&neighbors.index);
        distance.slice_mut(ndarray::s![.., 1..]).assign(&neighbors.distance);
        Graph {
            index,
            distance,
            places: None,
        }
    }

    fn lists(&self) -> Result<Neighbours<'_>> {
        Neighbours::new(self.index.view(), self.distance.view(), self.index.nrows())
    }

    /// Parts that are not connected start where the mean feature vectors of their positions are.
    ///
    /// # Errors
    /// Those of [`crate::analysis::umap::Umap::places`].
    pub fn placed(mut self, matrix: ArrayView2<'_, f32>, params: &Params, control: &Control) -> Result<Graph> {
        self.places = params.umap(0).places(&self.lists()?, matrix, control)?;
        Ok(self)
    }
}

/// The nearest neighbours of every position. The matrix is not needed any more afterwards.
pub(super) fn graph(
    matrix: ArrayView2<'_, f32>,
    run: &Run<'_>,
    timings: &mut Timings,
    warnings: &mut Vec<String>,
) -> Result<Graph> {
    let first = matrix.row(0).to_owned();
    if matrix.rows().into_iter().all(|r| r == first) {
        return Err(Error::parameter(
            "features",
            "all positions have the same features: there is nothing to tell them apart",
        ));
    }
    let (k, metric) = (run.params.neighbors - 1, run.params.metric());
    let many = matrix.nrows() > run.params.exact_up_to;
    if many {
        warnings.push(format!(
            "neighbours of {} positions are approximate (--exact-up-to {})",
            matrix.nrows(),
            run.params.exact_up_to
        ));
    }
    let found = timings.time("neighbours", || match run.backend {
        _ if many => nearest::approximate(matrix, k, metric, run.params.seed, run.control),
        Backend::Cpu => nearest::neighbors(matrix, k, metric, run.control),
        Backend::Gpu(device) => match nearest::gpu::neighbors(&device.current(), matrix, k, metric, run.control) {
            Err(
                e @ (Error::Kernel(_)
                | Error::DeviceMemory(_)
                | Error::DeviceLost(_)
                | Error::TooLargeForDevice(_)
                | Error::Device(_)),
            ) => {
                log::warn!("{e}: neighbours are searched on the CPU");
                nearest::neighbors(matrix, k, metric, run.control)
            }
            result => result,
        },
    })?;
    let identical = duplicates(&found);
    if identical * 2 > matrix.nrows() {
        warnings.push(format!(
            "{identical} of {} positions have features equal to those of another",
            matrix.nrows()
        ));
    }
    Graph::of(&found).placed(matrix, run.params, run.control)
}

/// Points whose nearest neighbour is at distance 0.
fn duplicates(found: &Neighbors) -> usize {
    found.distance.column(0).iter().filter(|d| **d == 0.0).count()
}

/// Positions (points, components) by the seed of `run`.
///
/// # Errors
/// Those of the embedding.
pub fn place(graph: &Graph, run: usize, params: &Params, control: &Control) -> Result<Array2<f32>> {
    let places = graph.places.as_ref().map(|p| p.view());
    Ok(params.umap(run).fit_from(&graph.lists()?, places, control)?.positions)
}

/// Embeds with the seed of `run` and clusters.
///
/// # Errors
/// Those of [`place`] and of [`cluster`].
pub fn embed(graph: &Graph, run: usize, params: &Params, control: &Control) -> Result<Found> {
    let positions = place(graph, run, params, control)?;
    cluster(positions, Some(params.umap(run).seed), params)
}

/// Clusters positions.
///
/// # Errors
/// [`Error::Parameter`] for positions that are not finite numbers.
pub fn cluster(embedding: Array2<f32>, seed: Option<u64>, params: &Params) -> Result<Found> {
    let points = embedding.mapv(f64::from);
    let clustering = params.hdbscan().fit(points.view())?;
    let memberships = clustering.memberships(points.view())?;
    let soft = memberships.labels();
    Ok(Found {
        seed,
        embedding,
        clustering,
        memberships,
        soft,
    })
}

/// All runs, one seed after another.
pub(super) fn all_runs(graph: &Graph, run: &Run<'_>, timings: &mut Timings) -> Result<Vec<Found>> {
    (0..run.params.runs)
        .map(|i| {
            let seed = run.params.umap(i).seed;
            let positions = timings.time(&format!("embedding, seed {seed}"), || {
                place(graph, i, run.params, run.control)
            })?;
            timings.time(&format!("clusters, seed {seed}"), || {
                cluster(positions, Some(seed), run.params)
            })
        })
        .collect()
}

/// Whether runs agree.
///
/// # Errors
/// Those of [`agreement`].
pub fn stability(soft: &[Vec<i32>]) -> Result<Agreement> {
    let width = soft.first().map_or(0, Vec::len);
    let flat: Vec<i32> = soft.iter().flatten().copied().collect();
    let labels = ArrayView2::from_shape((soft.len(), width), &flat).map_err(|e| Error::Internal(format!("labels: {e}")))?;
    agreement(labels)
}
