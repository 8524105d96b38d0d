//! `phases`: a scan segmented into phases by several signals of it, diffraction patterns and spectra first of all.
//!
//! 1. For each signal one pass for what varies and one for the features ([`features`]).
//! 2. All signals become one matrix ([`fuse`]).
//! 3. Nearest neighbours, exact ones up to a number of positions ([`crate::kernels::nearest`]).
//! 4. For each of several seeds: densMAP or UMAP ([`crate::analysis::umap`]), HDBSCAN with memberships
//!    ([`crate::analysis::hdbscan`]).
//! 5. Labels of the runs matched; the run that is most like the others gives the answer (the published recipe: the first run).
//! 6. For each phase and signal one pass over its frames: mean and standard deviation.
//!
//! Memory for each scan position, beyond what passes use under `--memory`: 4 bytes a feature (the published recipe: twice that), 12·k for
//! k neighbours and at most 4 KiB while they are searched, and for each run 4 bytes a component, some 400·k for graph and layout, and
//! 32 bytes a cluster.
//!
//! Source: the notebook "phase mapping" described in `docs/workflows.md`, with formulas.

mod beam;
mod cepstrum;
mod components;
mod features;
mod figures;
mod fuse;
mod means;
mod output;
mod params;
mod reduced;
mod report;
mod runs;
mod signals;
mod vary;

pub use features::Features;
pub use fuse::{Fused, fuse};
pub use means::Mean;
pub use output::write;
pub use params::{AutoOr, BeamMask, BinMode, Params, Reduce, StdOf};
pub use runs::{Found, Graph, cluster, embed, place, stability};
pub use signals::{Energy, Kind, Signal, align};
pub use vary::{Trial, Trials};

use super::Timings;
use crate::analysis::Recipe;
use crate::analysis::agreement::Agreement;
use crate::control::Control;
use crate::engine::{Backend, Selection};
use crate::error::{Error, Result};
use features::Run;
use ndarray::{Array2, ArrayView2, CowArray, Ix2};

/// What `phases` found.
pub struct Phases {
    /// Selected positions of the first signal.
    pub selection: Selection,
    /// Empty where feature vectors or an embedding were given.
    pub features: Vec<Features>,
    /// Features of each signal in the fused matrix, and what was said about them.
    pub columns: Vec<usize>,
    pub explained: Vec<f64>,
    pub exponent: Option<f64>,
    /// The fused feature vectors (positions, features) if they are to be saved.
    pub matrix: Option<Array2<f32>>,
    /// The run that gives the answer.
    pub found: Found,
    /// Its number.
    pub reference: usize,
    /// Seeds of all runs.
    pub seeds: Vec<u64>,
    /// Over the soft labels of all runs.
    pub agreement: Agreement,
    /// Of each phase and signal.
    pub means: Vec<Vec<Mean>>,
    /// Positions of each phase.
    pub sizes: Vec<usize>,
    /// `None` unless parameters were varied.
    pub trials: Option<Trials>,
    pub timings: Timings,
    /// Things the user should know.
    pub warnings: Vec<String>,
}

/// Arrays that replace steps of the recipe, one row for each selected position.
#[derive(Default)]
pub struct Given {
    pub features: Option<Array2<f32>>,
    pub embedding: Option<Array2<f32>>,
}

/// Runs the recipe on aligned signals.
///
/// # Errors
/// Parameters that make no sense for these signals, whatever passes report, [`Error::Cancelled`].
pub fn run(
    signals: &[Signal],
    selections: &[Selection],
    mut given: Given,
    params: &Params,
    backend: &Backend,
    control: &Control,
) -> Result<Phases> {
    let names: Vec<&str> = signals.iter().map(|s| s.name.as_str()).collect();
    params.check(&names)?;
    let selection = selections
        .first()
        .cloned()
        .ok_or_else(|| Error::Internal("no signal".into()))?;
    let positions = selection.len() as usize;
    let run = Run {
        backend,
        control,
        params,
    };
    let (mut timings, mut warnings) = (Timings::default(), Vec::new());
    let start = vary::Start::of(given.features.is_some(), given.embedding.is_some());
    let trials = vary::combinations(params, &names, start)?;
    vary::possible(params, &trials, signals, positions, start)?;
    if params.eds_axis.is_some() && !signals.iter().any(|s| s.kind == Kind::Spectrum && s.energy.is_none()) {
        warnings.push("--eds-axis has no effect: no spectrum lacks energies of its own".into());
    }
    let mut result = Prepared::default();
    let found = match &given.embedding {
        Some(embedding) => {
            check_rows("--embedding", embedding.view(), positions)?;
            vec![timings.time("clusters", || cluster(embedding.clone(), None, params))?]
        }
        None => {
            enough(positions, params)?;
            let matrix: CowArray<'_, f32, Ix2> = match &given.features {
                Some(matrix) => {
                    check_rows("--features", matrix.view(), positions)?;
                    matrix.view().into()
                }
                None => result.matrix(signals, selections, &run, &mut timings, &mut warnings)?.into(),
            };
            if params.save_features {
                result.saved = Some(matrix.to_owned());
            }
            let graph = runs::graph(matrix.view(), &run, &mut timings, &mut warnings)?;
            // The matrix is large; of a given one only trials have further need.
            drop(matrix);
            if trials.is_empty() {
                given.features = None;
            }
            runs::all_runs(&graph, &run, &mut timings)?
        }
    };
    let runs = found.len();
    let empty = found.iter().filter(|f| f.clustering.is_empty()).count();
    if empty > 0 && runs > 1 {
        warnings.push(format!("{empty} of {runs} runs found no cluster (--min-cluster-size)"));
    }
    let soft: Vec<Vec<i32>> = found.iter().map(|f| f.soft.clone()).collect();
    let agreement = timings.time("stability", || stability(&soft))?;
    let reference = match params.recipe {
        Recipe::Default => agreement.reference,
        Recipe::Published => 0,
    };
    let seeds = found.iter().filter_map(|f| f.seed).collect();
    let found = found
        .into_iter()
        .nth(reference)
        .ok_or_else(|| Error::Internal("no run".into()))?;
    if found.clustering.is_empty() {
        warnings.push(match params.min_samples < positions {
            true => format!(
                "no cluster was found: fewer than two groups of {} positions stand apart (--min-cluster-size)",
                params.min_cluster_size
            ),
            false => format!(
                "no cluster was found: {positions} positions have fewer neighbours than {} (--min-samples)",
                params.min_samples
            ),
        });
    }
    let (means, sizes) = means::phase_means(signals, selections, &found, &run, &mut timings)?;
    let trials = match trials.is_empty() {
        true => None,
        false => Some(vary::run(trials, signals, selections, &given, &run, &mut timings)?),
    };
    if let Some(trials) = &trials {
        let empty = trials.trials.iter().filter(|t| t.clusters == 0).count();
        if empty > 0 {
            let all = trials.trials.len();
            warnings.push(format!("{empty} of {all} trials of --vary found no cluster"));
        }
    }
    for signal in signals {
        warnings.extend(signal.scan.warnings().into_iter().map(|w| format!("{}: {w}", signal.name)));
    }
    Ok(Phases {
        selection,
        features: result.features,
        columns: result.columns,
        explained: result.explained,
        exponent: result.exponent,
        matrix: result.saved,
        found,
        reference,
        seeds,
        agreement,
        means,
        sizes,
        trials,
        timings,
        warnings,
    })
}

/// Features of all signals at the aligned positions, as [`fuse`] takes them.
///
/// # Errors
/// Parameters that make no sense for these signals, whatever passes report.
pub fn features(
    signals: &[Signal],
    selections: &[Selection],
    params: &Params,
    backend: &Backend,
    control: &Control,
) -> Result<Vec<Features>> {
    let run = Run {
        backend,
        control,
        params,
    };
    features::windows(signals, params)?;
    let both = signals.iter().zip(selections);
    both.map(|(s, selection)| features::extract(s, selection, &run, &mut Timings::default()))
        .collect()
}

/// What is known of features once they are fused.
#[derive(Default)]
struct Prepared {
    features: Vec<Features>,
    columns: Vec<usize>,
    explained: Vec<f64>,
    exponent: Option<f64>,
    saved: Option<Array2<f32>>,
}

impl Prepared {
    fn matrix(
        &mut self,
        signals: &[Signal],
        selections: &[Selection],
        run: &Run<'_>,
        timings: &mut Timings,
        warnings: &mut Vec<String>,
    ) -> Result<Array2<f32>> {
        warnings.extend(features::windows(signals, run.params)?);
        for (signal, selection) in signals.iter().zip(selections) {
            self.features.push(features::extract(signal, selection, run, timings)?);
        }
        let fused = timings.time("scaling", || fuse(&mut self.features, run.params, run.control))?;
        warnings.extend(fused.warnings);
        (self.columns, self.explained, self.exponent) = (fused.columns, fused.explained, fused.exponent);
        Ok(fused.matrix)
    }
}

fn check_rows(flag: &str, rows: ArrayView2<'_, f32>, positions: usize) -> Result<()> {
    if rows.nrows() != positions || rows.ncols() == 0 {
        let what = format!("{} rows of {} values for {positions} positions", rows.nrows(), rows.ncols());
        return Err(Error::parameter(flag, what));
    }
    match rows.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(at) => Err(Error::parameter(
            flag,
            format!("row {} has a value that is not a finite number", at / rows.ncols()),
        )),
    }
}

/// Too few positions are told before anything is read.
fn enough(positions: usize, params: &Params) -> Result<()> {
    if positions <= params.neighbors {
        let what = format!(
            "{} neighbours of {positions} positions: there must be more positions",
            params.neighbors
        );
        return Err(Error::parameter("--neighbors", what));
    }
    if positions < params.components + 2 {
        let what = format!(
            "{} dimensions of {positions} positions: there must be {} positions",
            params.components,
            params.components + 2
        );
        return Err(Error::parameter("--components", what));
    }
    Ok(())
}
