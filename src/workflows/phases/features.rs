//! From signals to feature vectors: which pixels and channels vary, and what they are at every position.

use super::beam;
use super::params::{BeamMask, BinMode, Params, Reduce, StdOf};
use super::signals::{Energy, Kind, Signal};
use crate::analysis::Recipe;
use crate::control::Control;
use crate::engine::{Backend, Pass, Resident, Selection};
use crate::error::{Error, Result};
use crate::kernels::rebin::{self, Scale};
use crate::kernels::statistics::{self, Part as Moments};
use crate::ops::{FrameRows, Rebinned, Statistics};
use crate::pixel::FrameShape;
use crate::workflows::Timings;
use ndarray::Array2;
use std::sync::Arc;

/// What was taken from one signal.
pub struct Features {
    pub name: String,
    pub kind: Kind,
    /// Mean over the selected positions of the rebinned frame (h', w'), or of what it was reduced to (1, n).
    pub mean: Array2<f64>,
    /// Population standard deviation, of counts or of their logarithm as asked; the same shape.
    pub std: Array2<f64>,
    /// Which of these became features.
    pub mask: Array2<bool>,
    /// Masked disk about the direct beam: centre (y, x) and radius in rebinned pixels.
    pub beam: Option<[f64; 3]>,
    /// (positions, features): scaled as the recipe wants them.
    pub values: Array2<f32>,
}

/// What every step needs.
pub(super) struct Run<'a> {
    pub backend: &'a Backend,
    pub control: &'a Control,
    pub params: &'a Params,
}

/// Features of one signal at the selected positions: one pass for what varies, one for the values.
pub(super) fn extract(signal: &Signal, selection: &Selection, run: &Run<'_>, timings: &mut Timings) -> Result<Features> {
    let resident = Resident::new(run.control.memory / 4);
    let chosen = match (signal.kind, run.params.reduce) {
        (Kind::Spectrum, _) => channels(signal, selection, run, &resident, timings)?,
        (Kind::Pattern, Reduce::Pixels) => pixels(signal, selection, run, &resident, timings)?,
        (Kind::Pattern, Reduce::Cepstrum) => return super::cepstrum::extract(signal, selection, run, &resident, timings),
        (Kind::Pattern, _) => return super::reduced::extract(signal, selection, run, &resident, timings),
    };
    let params = rebin::Params {
        pixels: Some(indices(&chosen.mask)),
        ..chosen.rebin
    };
    let values = rows(signal, selection, params, run, &resident, timings)?;
    Ok(Features {
        name: signal.name.clone(),
        kind: signal.kind,
        mean: chosen.mean,
        std: chosen.std,
        mask: chosen.mask,
        beam: chosen.beam,
        values,
    })
}

/// What varies, and how its values are read.
struct Chosen {
    mean: Array2<f64>,
    std: Array2<f64>,
    mask: Array2<bool>,
    beam: Option<[f64; 3]>,
    rebin: rebin::Params,
}

/// Numbers of the true entries in C order.
fn indices(mask: &Array2<bool>) -> Arc<[u32]> {
    mask.iter().enumerate().filter(|(_, m)| **m).map(|(i, _)| i as u32).collect()
}

/// Memory that a pass may use beside what stays.
pub(super) fn budget(run: &Run<'_>) -> Control {
    Control {
        memory: run.control.memory / 2,
        ..run.control.clone()
    }
}

fn rows(
    signal: &Signal,
    selection: &Selection,
    params: rebin::Params,
    run: &Run<'_>,
    resident: &Resident,
    timings: &mut Timings,
) -> Result<Array2<f32>> {
    let scan = &*signal.scan;
    let width = params.output(scan.info().frame)?.pixels();
    let positions = selection.len() as usize;
    let bytes = positions as u64 * width as u64 * 4;
    if bytes > run.control.memory {
        let what = format!(
            "{positions} positions with {width} features of '{}' take {} MiB",
            signal.name,
            bytes >> 20
        );
        return Err(Error::Memory { what });
    }
    let title = format!("features of {}", signal.name);
    let mut pass = Pass::new(&title, scan, selection);
    let values = pass.add(Rebinned::new(FrameRows, params));
    // The matrix is part of what the pass accounts for.
    let control = Control {
        memory: run.control.memory.max(bytes),
        ..run.control.clone()
    };
    let mut done = timings.pass(&title, scan, selection, || pass.run(run.backend, resident, &control))?;
    Array2::from_shape_vec((positions, width), done.take(values)?).map_err(|e| Error::Internal(format!("features: {e}")))
}

const SQUARES: statistics::Params = statistics::Params {
    squares: true,
    extrema: false,
};

/// Statistics of rebinned frames, and of their logarithms if wanted.
fn moments(
    signal: &Signal,
    selection: &Selection,
    params: &rebin::Params,
    log: bool,
    run: &Run<'_>,
    resident: &Resident,
    timings: &mut Timings,
) -> Result<(Moments, Option<Moments>)> {
    let scan = &*signal.scan;
    let title = format!("statistics of {}", signal.name);
    let mut pass = Pass::new(&title, scan, selection);
    let counts = pass.add(Rebinned::new(Statistics(SQUARES), rebin::Params::sums(params.bin)));
    let logs = log.then(|| {
        let params = rebin::Params {
            scale: Scale::Log,
            ..params.clone()
        };
        pass.add(Rebinned::new(Statistics(SQUARES), params))
    });
    let control = budget(run);
    let mut done = timings.pass(&title, scan, selection, || pass.run(run.backend, resident, &control))?;
    let logs = logs.map(|l| done.take(l)).transpose()?;
    Ok((done.take(counts)?, logs))
}

fn shaped(shape: (usize, usize), values: Vec<f64>) -> Result<Array2<f64>> {
    Array2::from_shape_vec(shape, values).map_err(|e| Error::Internal(format!("statistics: {e}")))
}

/// What counts become, by recipe.
pub(super) fn scale(kind: Kind, recipe: Recipe) -> Scale {
    match (recipe, kind) {
        (Recipe::Default, _) => Scale::Root,
        (Recipe::Published, Kind::Pattern) => Scale::Log,
        (Recipe::Published, Kind::Spectrum) => Scale::Log1p,
    }
}

fn pixels(signal: &Signal, selection: &Selection, run: &Run<'_>, resident: &Resident, timings: &mut Timings) -> Result<Chosen> {
    let params = run.params;
    let frame: FrameShape = signal.scan.info().frame;
    let factor = match params.rebin_mode {
        BinMode::Sum => 1.0,
        BinMode::Mean => 1.0 / (params.rebin * params.rebin) as f32,
    };
    let rebin = rebin::Params {
        factor,
        scale: scale(signal.kind, params.recipe),
        ..rebin::Params::sums(params.rebin)
    };
    let shape = rebin.binned(frame)?;
    let log = params.std == StdOf::Log;
    let (counts, logs) = moments(signal, selection, &rebin, log, run, resident, timings)?;
    let mean = shaped(shape, counts.mean())? * f64::from(factor);
    let mut std = match &logs {
        Some(logs) => shaped(shape, logs.std())?,
        None => shaped(shape, counts.std())? * f64::from(factor),
    };
    let beam = match params.beam_mask {
        BeamMask::None => None,
        BeamMask::Disk(disk) => Some(disk),
        BeamMask::Auto => beam::find(&mean),
    };
    if let Some([cy, cx, r]) = beam {
        for ((y, x), s) in std.indexed_iter_mut() {
            let (dy, dx) = (y as f64 - cy, x as f64 - cx);
            if (dy * dy + dx * dx).sqrt() <= r {
                *s = 0.0;
            }
        }
    }
    let mask = top(&std, params.keep, params.recipe);
    if std.iter().all(|s| *s == 0.0) || !mask.iter().any(|m| *m) {
        let what = format!("no pixel of '{}' varies over the scan outside the beam mask", signal.name);
        return Err(Error::parameter(signal.path.display().to_string(), what));
    }
    Ok(Chosen {
        mean,
        std,
        mask,
        beam,
        rebin,
    })
}

/// The share `keep` of the pixels that varies most: every pixel at or above the ⌈keep · n⌉-th largest value. Where that reaches
/// zero, the published rule takes all pixels of zero as well; otherwise they never count.
pub(super) fn top(std: &Array2<f64>, keep: f64, recipe: Recipe) -> Array2<bool> {
    let mut sorted: Vec<f64> = std.iter().copied().collect();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let wanted = ((keep * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len().max(1));
    let least = sorted.get(wanted - 1).copied().unwrap_or(f64::INFINITY);
    std.mapv(|s| s >= least && (s > 0.0 || recipe == Recipe::Published))
}

fn channels(signal: &Signal, selection: &Selection, run: &Run<'_>, resident: &Resident, timings: &mut Timings) -> Result<Chosen> {
    let params = run.params;
    let rebin = rebin::Params {
        scale: scale(signal.kind, params.recipe),
        ..rebin::Params::sums(1)
    };
    let shape = rebin.binned(signal.scan.info().frame)?;
    let (counts, _) = moments(signal, selection, &rebin, false, run, resident, timings)?;
    let (mean, variance) = (shaped(shape, counts.mean())?, counts.variance());
    let mut kept: Vec<bool> = match params.eds_keep {
        Some(share) => top(&shaped(shape, variance.clone())?, share, Recipe::Default)
            .into_iter()
            .collect(),
        None => variance.iter().map(|v| *v > params.eds_variance()).collect(),
    };
    // What a signal without energies means for these windows was told beforehand.
    if let Some(energy) = energy(signal, params) {
        for (channel, keep) in kept.iter_mut().enumerate() {
            *keep &= !params.exclude.iter().any(|w| within(w, energy.at(channel)));
        }
    }
    if !kept.iter().any(|k| *k) {
        let what = format!("no channel of '{}' varies enough over the scan", signal.name);
        return Err(Error::parameter(signal.path.display().to_string(), what));
    }
    let mask = Array2::from_shape_vec(shape, kept).map_err(|e| Error::Internal(format!("channels: {e}")))?;
    Ok(Chosen {
        mean,
        std: shaped(shape, variance)?.mapv(f64::sqrt),
        mask,
        beam: None,
        rebin,
    })
}

fn within([lo, hi]: &[f64; 2], energy: f64) -> bool {
    (*lo..=*hi).contains(&energy)
}

/// What the user should know of the windows `--exclude`: those that leave nothing out, and spectra they cannot be applied to. Told
/// before anything is read.
///
/// # Errors
/// [`Error::Parameter`] if there are spectra, but none has energies.
pub(super) fn windows(signals: &[Signal], params: &Params) -> Result<Vec<String>> {
    if params.exclude.is_empty() {
        return Ok(Vec::new());
    }
    let spectra = || signals.iter().filter(|s| s.kind == Kind::Spectrum);
    let known: Vec<(Energy, usize)> = spectra()
        .filter_map(|s| Some((energy(s, params)?, s.scan.info().frame.width)))
        .collect();
    let mute: Vec<&str> = spectra()
        .filter(|s| energy(s, params).is_none())
        .map(|s| s.name.as_str())
        .collect();
    let mut warnings = Vec::new();
    if let Some(first) = mute.first() {
        let hint = "give them with --eds-axis OFFSET,STEP";
        if known.is_empty() {
            let what = format!("'{first}' does not say its energies; {hint}");
            return Err(Error::parameter("--exclude", what));
        }
        warnings.extend(
            mute.iter()
                .map(|name| format!("--exclude leaves '{name}' as it is, which does not say its energies; {hint}")),
        );
    }
    let hits = |w: &[f64; 2]| known.iter().any(|(e, channels)| (0..*channels).any(|c| within(w, e.at(c))));
    for [lo, hi] in params.exclude.iter().filter(|w| !hits(w)) {
        warnings.push(format!(
            "--exclude {lo}-{hi} leaves nothing out: no spectrum has a channel there"
        ));
    }
    Ok(warnings)
}

/// Energies of a spectrum: as the file says, or else as the user does.
pub(super) fn energy(signal: &Signal, params: &Params) -> Option<Energy> {
    let given = |[offset, step]: [f64; 2]| Energy {
        offset,
        step,
        unit: "keV".into(),
    };
    signal.energy.clone().or_else(|| params.eds_axis.map(given))
}
