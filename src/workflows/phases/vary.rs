//! A small grid of parameters: what the answer is for each, and how alike the answers are.

use super::features::Run;
use super::params::{AutoOr, Params};
use super::signals::Signal;
use super::{Prepared, graph, runs};
use crate::analysis::agreement::Agreement;
use crate::engine::Selection;
use crate::error::{Error, Result};
use crate::workflows::Timings;

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

/// One run for every combination of the values of `--vary`.
pub(super) fn run(signals: &[Signal], selections: &[Selection], run: &Run<'_>, timings: &mut Timings) -> Result<Trials> {
    let names: Vec<String> = run.params.vary.keys().cloned().collect();
    let lists: Vec<&Vec<f64>> = run.params.vary.values().collect();
    let count = lists
        .iter()
        .try_fold(1usize, |n, l| n.checked_mul(l.len()))
        .unwrap_or(usize::MAX);
    if count == 0 || count > MOST {
        return Err(Error::parameter("--vary", format!("{count} combinations (want 1 to {MOST})")));
    }
    let mut trials = Vec::with_capacity(count);
    for i in 0..count {
        let mut rest = i;
        let mut values: Vec<f64> = lists
            .iter()
            .rev()
            .map(|l| {
                let value = l[rest % l.len()];
                rest /= l.len();
                value
            })
            .collect();
        values.reverse();
        let mut params = run.params.clone();
        for (name, &value) in names.iter().zip(&values) {
            set(&mut params, name, value, signals)?;
        }
        let found = timings.time(&format!("trial {} of {count}", i + 1), || {
            let run = Run { params: &params, ..*run };
            // Timings and warnings of the parts are those of the main run.
            let (mut inner, mut warnings) = (Timings::default(), Vec::new());
            let matrix = Prepared::default().matrix(signals, selections, &run, &mut inner, &mut warnings)?;
            let graph = graph(matrix, &run, &mut inner, &mut warnings)?;
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
        names,
        trials,
        agreement: runs::stability(&labels)?,
    })
}

/// Sets a parameter by its name; `weight` is that of the last signal, `weight-NAME` that of signal NAME.
fn set(params: &mut Params, name: &str, value: f64, signals: &[Signal]) -> Result<()> {
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
            let last = signals.last().map(|s| s.name.clone()).unwrap_or_default();
            params.weight.insert(last, value);
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
    params.vary.clear();
    let names: Vec<&str> = signals.iter().map(|s| s.name.as_str()).collect();
    params.check(&names)
}
