//! How many principal components of each signal are used, without what single hits, single frames and single pixels make of them.

use super::features::Features;
use super::params::{AutoOr, Params, Reduce};
use super::signals::Kind;
use crate::analysis::outlying;
use crate::analysis::pca::{Components, principal};
use crate::control::Control;
use crate::error::Result;
use ndarray::Array2;
use std::collections::BTreeSet;

/// Most components of a signal when the data choose: more would only be shades of thickness and tilt.
pub(super) const MOST: usize = 12;
/// Fewest components of all signals together when the data choose, noise among them if fewer stand out. In a matrix of one column every position
/// has its neighbours on a line, and where a line is thin by chance the density term tears it; noise across it makes it as wide as it is long.
const LEAST: usize = 3;
/// Times that components of single frames and columns on their own are taken out: each time there may be as many as components.
const ROUNDS: usize = 4;
/// Columns that a warning names.
const NAMED: usize = 4;

/// What one signal gives to the matrix.
pub(super) struct Part {
    pub found: Components,
    /// Components that stand out of the noise, or as many as were asked for.
    pub real: usize,
    /// Components that are used.
    pub keep: usize,
}

/// Takes more components of the signals that count until there are [`LEAST`] of them together: all of these signals in step.
pub(super) fn widen(parts: &mut [Part], counts: &[bool]) {
    let used = |parts: &[Part]| -> usize { parts.iter().zip(counts).filter(|(_, s)| **s).map(|(p, _)| p.keep).sum() };
    while used(parts) < LEAST {
        let before = used(parts);
        for (part, _) in parts.iter_mut().zip(counts).filter(|(_, s)| **s) {
            part.keep = (part.keep + 1).min(part.found.variances.len());
        }
        if used(parts) == before {
            break;
        }
    }
}

/// Principal components and how many of them are used. Columns that are left out are no features any more.
pub(super) fn decompose(
    mut values: Array2<f32>,
    wanted: usize,
    of: &mut Features,
    params: &Params,
    warnings: &mut Vec<String>,
    control: &Control,
) -> Result<(Components, usize)> {
    let clipped = outlying::clip(&mut values);
    if clipped.values > 0 {
        warnings.push(format!(
            "'{}' has {} far from all others, as cosmic rays leave, in {}: each counts as the mean of the others",
            of.name,
            counted(clipped.values, "value"),
            counted(clipped.rows, "frame")
        ));
    }
    let (mut frames, mut columns) = (BTreeSet::new(), BTreeSet::new());
    let mut found = principal(values.view(), wanted, control)?;
    for _ in 0..ROUNDS {
        let real = found.significant();
        let alone = outlying::take_out(&mut values, &found, used(&found, params).min(real));
        if !alone.is_empty() {
            frames.extend(alone);
            found = principal(values.view(), wanted, control)?;
            continue;
        }
        let own = outlying::own_columns(values.view(), &found);
        if own.is_empty() {
            break;
        }
        for &c in &own {
            values.column_mut(c).fill(found.mean[c] as f32);
        }
        let without = principal(values.view(), wanted, control)?;
        // They count unless they hide something: most of the time nothing is below them.
        if without.significant() <= real {
            break;
        }
        columns.extend(own);
        found = without;
    }
    if !frames.is_empty() {
        warnings.push(format!(
            "'{}' has {} unlike all others: what is theirs alone is left out of its components",
            of.name,
            counted(frames.len(), "frame")
        ));
    }
    if !columns.is_empty() {
        warnings.push(leave_out(&columns, of, params));
    }
    let keep = used(&found, params);
    Ok((found, keep))
}

/// Takes columns out of the features, and says which.
fn leave_out(columns: &BTreeSet<usize>, of: &mut Features, params: &Params) -> String {
    let width = of.mask.ncols();
    let kept: Vec<usize> = of.mask.iter().enumerate().filter(|(_, m)| **m).map(|(i, _)| i).collect();
    let places: Vec<[usize; 2]> = columns.iter().map(|&c| [kept[c] / width, kept[c] % width]).collect();
    places.iter().for_each(|p| of.mask[*p] = false);
    let rebin = params.rebin;
    let what = match (of.kind, params.reduce) {
        (Kind::Spectrum, _) => "channel",
        (Kind::Pattern, Reduce::Radial | Reduce::Annular) => "ring",
        (Kind::Pattern, Reduce::Cepstrum) => "frequency",
        (Kind::Pattern, Reduce::Pixels) if rebin == 1 => "pixel",
        (Kind::Pattern, Reduce::Pixels) => "block of pixels",
    };
    let range = |k: usize| format!("{}–{}", k * rebin, (k + 1) * rebin - 1);
    let place = |[y, x]: &[usize; 2]| match what {
        "channel" | "ring" => x.to_string(),
        "block of pixels" => format!("({}, {})", range(*y), range(*x)),
        _ => format!("({y}, {x})"),
    };
    let mut names: Vec<String> = places.iter().take(NAMED).map(place).collect();
    if places.len() > NAMED {
        names.push(format!("and {} more", places.len() - NAMED));
    }
    let (many, verb) = if places.len() == 1 { ("", "varies") } else { ("s", "vary") };
    let which = what
        .split_once(' ')
        .map_or(format!("{what}{many}"), |(a, b)| format!("{a}{many} {b}"));
    format!(
        "'{}': {which} {} {verb} far more than all others and with none of them: left out",
        of.name,
        names.join(", ")
    )
}

/// `1 frame`, `2 frames`
pub(super) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// How many components are used.
fn used(found: &Components, params: &Params) -> usize {
    match params.principal {
        AutoOr::Auto => found.significant(),
        AutoOr::Value(_) => found.variances.len(),
    }
}
