//! A small grid of parameters: what the answer is for each, and how alike the answers are.

use super::beam;
use super::features::Run;
use super::params::{AutoOr, BeamMask, Params, Reduce};
use super::signals::{Kind, Signal};
use super::{Given, Prepared, enough, runs};
use crate::analysis::agreement::Agreement;
use crate::engine::Selection;
use crate::error::{Error, Result};
use crate::kernels::rebin;
use crate::workflows::Timings;
use ndarray::{CowArray, Ix2};
use std::collections::BTreeMap;

/// Most combinations that are tried.
const MOST: usize = 256;

/// One combination.
pub struct Trial {
    /// Values of the varied parameters, in the order of their names.
    pub values: Vec<f64>,
    pub clusters: usize,
    /// Label of each selected position.
    pub labels: Vec<i32>,
}

/// All combinations.
pub struct Trials {
    /// Names of the varied parameters.
    pub names: Vec<String>,
    pub trials: Vec<Trial>,
    /// Between their labels.
    pub agreement: Agreement,
}

/// Where the analysis starts: parameters of what lies before change nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    Signals,
    /// Feature vectors were given.
    Features,
    /// An embedding was given.
    Embedding,
}

impl Start {
    /// By what is given; an embedding makes feature vectors needless.
    pub(super) fn of(features: bool, embedding: bool) -> Start {
        match (features, embedding) {
            (_, true) => Start::Embedding,
            (true, false) => Start::Features,
            (false, false) => Start::Signals,
        }
    }

    /// Refuses a parameter of a step that is not taken: all its trials would be the same.
    fn takes(self, name: &str) -> Result<()> {
        let of_features = matches!(
            name,
            "keep" | "eds-keep" | "eds-variance" | "scale-exponent" | "rebin" | "principal" | "weight"
        ) || name.starts_with("weight-");
        let of_embedding = matches!(name, "min-dist" | "neighbors" | "components" | "seed");
        let given = match self {
            Start::Features if of_features => "--features",
            Start::Embedding if of_features || of_embedding => "--embedding",
            _ => return Ok(()),
        };
        Err(Error::parameter("--vary", format!("'{name}' has no effect with {given}")))
    }
}

/// Parameters of one trial, and the values that were varied in the order of their names.
pub(super) type Combination = (Vec<f64>, Params);

/// Every combination of the values of `--vary`, each one checked; none if nothing is varied. `signals`: their names.
pub(super) fn combinations(params: &Params, signals: &[&str], start: Start) -> Result<Vec<Combination>> {
    if params.vary.is_empty() {
        return Ok(Vec::new());
    }
    params.vary.keys().try_for_each(|name| start.takes(name))?;
    let count = params
        .vary
        .values()
        .try_fold(1usize, |n, l| n.checked_mul(l.len()))
        .unwrap_or(usize::MAX);
    if count == 0 || count > MOST {
        return Err(Error::parameter("--vary", format!("{count} combinations (want 1 to {MOST})")));
    }
    let base = Params {
        vary: BTreeMap::new(),
        ..params.clone()
    };
    // The last name runs fastest.
    let mut all = vec![(Vec::new(), base)];
    for (name, values) in &params.vary {
        let mut next = Vec::with_capacity(all.len() * values.len());
        for (before, params) in &all {
            for &value in values {
                let (mut chosen, mut params) = (before.clone(), params.clone());
                chosen.push(value);
                set(&mut params, name, value, signals)?;
                next.push((chosen, params));
            }
        }
        all = next;
    }
    all.iter().try_for_each(|(_, params)| params.check(signals))?;
    Ok(all)
}

/// Refuses parameters, or trials of them, that these signals do not allow, before anything is read.
pub(super) fn possible(
    params: &Params,
    trials: &[Combination],
    signals: &[Signal],
    positions: usize,
    start: Start,
) -> Result<()> {
    let reads = |s: &&Signal| s.kind == Kind::Pattern && start == Start::Signals;
    for params in std::iter::once(params).chain(trials.iter().map(|(_, p)| p)) {
        let shape = |s: &Signal| rebin::Params::sums(params.rebin).binned(s.scan.info().frame);
        let shapes: Vec<_> = signals.iter().filter(reads).map(shape).collect::<Result<_>>()?;
        if let BeamMask::Disk(disk) = params.beam_mask {
            beam::inside(disk, &shapes, params.rebin, params.reduce == Reduce::Pixels)?;
        }
    }
    for (_, params) in trials {
        if start != Start::Embedding {
            enough(positions, params)?;
        }
    }
    Ok(())
}

/// One run for every combination.
pub(super) fn run(
    combinations: Vec<Combination>,
    signals: &[Signal],
    selections: &[Selection],
    given: &Given,
    run: &Run<'_>,
    timings: &mut Timings,
) -> Result<Trials> {
    let count = combinations.len();
    let mut trials = Vec::with_capacity(count);
    for (i, (values, params)) in combinations.into_iter().enumerate() {
        let found = timings.time(&format!("trial {} of {count}", i + 1), || {
            let run = Run { params: &params, ..*run };
            if let Some(embedding) = &given.embedding {
                return runs::cluster(embedding.clone(), None, &params);
            }
            // Timings and warnings of the parts are those of the main run.
            let (mut inner, mut warnings) = (Timings::default(), Vec::new());
            let matrix: CowArray<'_, f32, Ix2> = match &given.features {
                Some(matrix) => matrix.view().into(),
                None => Prepared::default()
                    .matrix(signals, selections, &run, &mut inner, &mut warnings)?
                    .into(),
            };
            let graph = runs::graph(matrix.view(), &run, &mut inner, &mut warnings)?;
            drop(matrix);
            runs::embed(&graph, 0, &params, run.control)
        })?;
        trials.push(Trial {
            values,
            clusters: found.clustering.len(),
            labels: found.soft,
        });
    }
    let labels: Vec<Vec<i32>> = trials.iter().map(|t| t.labels.clone()).collect();
    Ok(Trials {
        names: run.params.vary.keys().cloned().collect(),
        trials,
        agreement: runs::stability(&labels)?,
    })
}

/// Sets a parameter by its name; `weight` is that of the last signal, `weight-NAME` that of signal NAME.
fn set(params: &mut Params, name: &str, value: f64, signals: &[&str]) -> Result<()> {
    let whole = || {
        let fits = value.fract() == 0.0 && (0.0..1e9).contains(&value);
        fits.then_some(value as usize)
            .ok_or_else(|| Error::parameter("--vary", format!("{name}={value} is not a whole number")))
    };
    match name {
        "keep" => params.keep = value,
        "eds-keep" => params.eds_keep = Some(value),
        "eds-variance" => params.eds_variance = Some(value),
        "scale-exponent" => params.scale_exponent = Some(AutoOr::Value(value)),
        "min-dist" => params.min_dist = value,
        "rebin" => params.rebin = whole()?,
        "principal" => params.principal = AutoOr::Value(whole()?),
        "neighbors" => params.neighbors = whole()?,
        "components" => params.components = whole()?,
        "min-cluster-size" => params.min_cluster_size = whole()?,
        "min-samples" => params.min_samples = whole()?,
        "seed" => params.seed = whole()? as u64,
        "weight" => {
            let last = signals.last().copied().unwrap_or_default();
            params.weight.insert(last.to_owned(), value);
        }
        other => match other.strip_prefix("weight-") {
            Some(signal) => {
                params.weight.insert(signal.to_owned(), value);
            }
            None => {
                let known = "keep eds-keep eds-variance scale-exponent weight weight-NAME min-dist rebin principal neighbors components \
                             min-cluster-size min-samples seed";
                return Err(Error::parameter("--vary", format!("'{other}' is none of {known}")));
            }
        },
    }
    Ok(())
}
