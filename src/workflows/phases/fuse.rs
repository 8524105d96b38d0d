//! Features of all signals become one matrix.

use super::features::Features;
use super::params::{AutoOr, Params};
use super::signals::Kind;
use crate::analysis::Recipe;
use crate::analysis::outlying;
use crate::analysis::pca::{Components, principal};
use crate::analysis::robust::Robust;
use crate::control::Control;
use crate::error::{Error, Result};
use ndarray::{Array2, s};
use std::collections::BTreeSet;

/// Most components of a signal when the data choose: more would only be shades of thickness and tilt.
const MOST: usize = 12;
/// Times that components of single frames are taken out: each time there may be as many as components.
const ROUNDS: usize = 4;
/// Exponent of the published analysis.
const PUBLISHED_EXPONENT: f64 = 2.4;

/// The matrix whose neighbours are searched.
pub struct Fused {
    /// (positions, features)
    pub matrix: Array2<f32>,
    /// Columns of each signal, in their order.
    pub columns: Vec<usize>,
    /// Share of the variance that the components of each signal hold; empty in the published recipe.
    pub explained: Vec<f64>,
    /// Exponent s of the weight exp(s) of spectra, in the published recipe.
    pub exponent: Option<f64>,
    /// Things the user should know.
    pub warnings: Vec<String>,
}

/// Fuses features by recipe.
///
/// * Default: principal components of each signal, scaled so that every signal has the same total variance, then its weight.
/// * Published: spectra times exp(s), all columns side by side, each about its median in units of its interquartile range; then weights.
///
/// # Errors
/// [`Error::Parameter`] if a signal has no variance; [`Error::Cancelled`].
pub fn fuse(features: &mut [Features], params: &Params, control: &Control) -> Result<Fused> {
    let n = features.first().map_or(0, |f| f.values.nrows());
    match params.recipe {
        Recipe::Default => components(features, n, params, control),
        Recipe::Published => published(features, n, params),
    }
}

fn components(features: &mut [Features], n: usize, params: &Params, control: &Control) -> Result<Fused> {
    let mut blocks = Vec::with_capacity(features.len());
    let (mut explained, mut warnings) = (Vec::new(), Vec::new());
    for f in features {
        let wanted = match params.principal {
            AutoOr::Auto => MOST,
            AutoOr::Value(k) => k,
        };
        // The raw features have done their work.
        let values = std::mem::take(&mut f.values);
        let (found, keep) = decompose(values, wanted, &f.name, params, &mut warnings, control)?;
        if found.variances.is_empty() {
            return Err(Error::parameter(
                "features",
                format!("all features of '{}' are constant", f.name),
            ));
        }
        if keep == 0 {
            warnings.push(format!("no component of '{}' stands out of its noise; one is used", f.name));
        }
        let keep = keep.max(1);
        let variance: f64 = found.variances[..keep].iter().sum();
        explained.push(variance / found.total);
        let factor = params.weight_of(&f.name) / variance.sqrt();
        blocks.push(found.scores.slice(s![.., ..keep]).mapv(|v| (v * factor) as f32));
    }
    Ok(Fused {
        columns: blocks.iter().map(Array2::ncols).collect(),
        matrix: side_by_side(n, &blocks)?,
        explained,
        exponent: None,
        warnings,
    })
}

/// Principal components and how many of them are used, without what single hits and single frames make of them.
fn decompose(
    mut values: Array2<f32>,
    wanted: usize,
    name: &str,
    params: &Params,
    warnings: &mut Vec<String>,
    control: &Control,
) -> Result<(Components, usize)> {
    let clipped = outlying::clip(&mut values);
    if clipped.values > 0 {
        warnings.push(format!(
            "{} values of '{name}' in {} frames are far from those of all other frames, as cosmic rays are: they count as the largest of \
             the others (--bad-pixels, if they are a detector's)",
            clipped.values, clipped.rows
        ));
    }
    let mut frames = BTreeSet::new();
    let mut round = 0;
    let found = loop {
        let found = principal(values.view(), wanted, control)?;
        let keep = used(&found, params);
        let alone = match round {
            ROUNDS => BTreeSet::new(),
            _ => outlying::take_out(&mut values, &found, keep.min(found.significant())),
        };
        if alone.is_empty() {
            break (found, keep);
        }
        frames.extend(alone);
        round += 1;
    };
    if !frames.is_empty() {
        warnings.push(format!(
            "{} frames of '{name}' are unlike all others: what only they have is left out of its components",
            frames.len()
        ));
    }
    Ok(found)
}

/// How many components are used.
fn used(found: &Components, params: &Params) -> usize {
    match params.principal {
        AutoOr::Auto => found.significant(),
        AutoOr::Value(_) => found.variances.len(),
    }
}

fn side_by_side(n: usize, blocks: &[Array2<f32>]) -> Result<Array2<f32>> {
    let mut matrix = Array2::zeros((n, blocks.iter().map(Array2::ncols).sum()));
    let mut from = 0;
    for block in blocks {
        if block.nrows() != n {
            return Err(Error::Internal("signals with different numbers of positions".into()));
        }
        matrix.slice_mut(s![.., from..from + block.ncols()]).assign(block);
        from += block.ncols();
    }
    Ok(matrix)
}

fn published(features: &mut [Features], n: usize, params: &Params) -> Result<Fused> {
    let mut warnings = Vec::new();
    let exponent = match params.scale_exponent {
        Some(AutoOr::Value(s)) => s,
        Some(AutoOr::Auto) => balanced(features, &mut warnings),
        None => PUBLISHED_EXPONENT,
    };
    let columns: Vec<usize> = features.iter().map(|f| f.values.ncols()).collect();
    let weight: Vec<f64> = features
        .iter()
        .zip(&columns)
        .flat_map(|(f, &count)| {
            let w = if f.kind == Kind::Spectrum { exponent.exp() } else { 1.0 };
            std::iter::repeat_n(w, count)
        })
        .collect();
    let mut matrix = Array2::zeros((n, weight.len()));
    let mut from = 0;
    for f in features.iter_mut() {
        // Moved, not copied: only one signal exists twice at a time.
        let values = std::mem::take(&mut f.values);
        matrix.slice_mut(s![.., from..from + values.ncols()]).assign(&values);
        from += values.ncols();
    }
    let robust = Robust::of(matrix.view(), &weight);
    robust.apply(matrix.view_mut(), &weight);
    let mut from = 0;
    for (f, &count) in features.iter().zip(&columns) {
        let w = params.weight_of(&f.name) as f32;
        if w != 1.0 {
            matrix.slice_mut(s![.., from..from + count]).mapv_inplace(|v| v * w);
        }
        from += count;
    }
    Ok(Fused {
        matrix,
        columns,
        explained: Vec::new(),
        exponent: Some(exponent),
        warnings,
    })
}

/// The exponent at which the largest scaled value of the spectra is that of the patterns: the factor exp(s) acts on columns without an
/// interquartile range alone, in all others it cancels.
fn balanced(features: &[Features], warnings: &mut Vec<String>) -> f64 {
    // Largest scaled value of columns with and without a range.
    let largest = |kind: Kind| {
        let (mut with, mut without) = (0.0f64, 0.0f64);
        for f in features.iter().filter(|f| f.kind == kind) {
            let robust = Robust::of(f.values.view(), &[]);
            for (k, column) in f.values.columns().into_iter().enumerate() {
                let top = column.iter().fold(f64::NEG_INFINITY, |m, v| m.max(f64::from(*v)));
                let scaled = (top - robust.centre[k]) / robust.scale[k];
                // A range of exactly 1 scales by 1 as none does: the factor then cancels, but its columns are no larger for it.
                if robust.scale[k] == 1.0 {
                    without = without.max(scaled)
                } else {
                    with = with.max(scaled)
                }
            }
        }
        (with, without)
    };
    let (with, without) = largest(Kind::Pattern);
    let (patterns, (spectra, empty)) = (with.max(without), largest(Kind::Spectrum));
    if !(empty > 0.0 && patterns > 0.0) {
        warnings.push("the scale exponent has no effect here: no channel is empty in three quarters of the positions".into());
        return 0.0;
    }
    if spectra >= patterns {
        warnings.push("spectra exceed patterns at any scale exponent".into());
    }
    (patterns / empty).ln()
}
