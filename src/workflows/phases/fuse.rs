//! Features of all signals become one matrix.

use super::components::{MOST, Part, decompose, widen};
use super::features::Features;
use super::params::{AutoOr, Params};
use super::signals::Kind;
use crate::analysis::Recipe;
use crate::analysis::robust::Robust;
use crate::control::Control;
use crate::error::{Error, Result};
use ndarray::{Array2, s};

/// What is said if that is so of every signal.
const NOTHING: &str = "nothing stands out of the noise in any signal: these phases may be groups of noise";
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
    let (mut parts, mut warnings) = (Vec::with_capacity(features.len()), Vec::new());
    for f in features.iter_mut() {
        let wanted = match params.principal {
            AutoOr::Auto => MOST,
            AutoOr::Value(k) => k,
        };
        // The raw features have done their work.
        let values = std::mem::take(&mut f.values);
        let (found, real) = decompose(values, wanted, f, params, &mut warnings, control)?;
        if found.variances.is_empty() {
            return Err(Error::parameter(
                "features",
                format!("all features of '{}' are constant", f.name),
            ));
        }
        parts.push(Part { found, real, keep: real });
    }
    let weight = |f: &Features| params.weight_of(&f.name);
    // A weight of 0 is a signal that says nothing either.
    let says: Vec<bool> = parts
        .iter()
        .zip(features.iter())
        .map(|(p, f)| p.real > 0 && weight(f) > 0.0)
        .collect();
    let any = says.contains(&true);
    if params.principal == AutoOr::Auto {
        // Where nothing is said, every signal that counts is as good as the others.
        let used: Vec<bool> = if any {
            says
        } else {
            features.iter().map(|f| weight(f) > 0.0).collect()
        };
        widen(&mut parts, &used);
    }
    let (mut blocks, mut explained) = (Vec::with_capacity(parts.len()), Vec::new());
    for (part, f) in parts.into_iter().zip(features.iter()) {
        if part.real == 0 {
            // Noise of the same variance as a signal would blur what that says.
            let how = match any {
                true => "it is left out",
                false => "some of its noise is used, and clusters may be noise",
            };
            warnings.push(format!("no component of '{}' stands out of its noise: {how}", f.name));
        }
        let keep = if any { part.keep } else { part.keep.max(1) };
        let variance = |count: usize| part.found.variances[..count].iter().sum::<f64>();
        explained.push(variance(keep) / part.found.total);
        // Of what a signal says, not of the noise beside it.
        let said = if part.real > 0 { part.real } else { keep };
        let factor = if keep > 0 { weight(f) / variance(said).sqrt() } else { 0.0 };
        blocks.push(part.found.scores.slice(s![.., ..keep]).mapv(|v| (v * factor) as f32));
    }
    if !any {
        warnings.push(NOTHING.into());
    }
    Ok(Fused {
        columns: blocks.iter().map(Array2::ncols).collect(),
        matrix: side_by_side(n, &blocks)?,
        explained,
        exponent: None,
        warnings,
    })
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

#[cfg(test)]
mod tests {
    use super::super::components::counted;
    use super::*;
    use crate::rng::Source;

    const FRAMES: usize = 600;

    /// Counts of three regions in 80 pixels, as the default recipe holds them: `level` of 40 pixels differs by region. `hits`: frame, pixel, counts.
    fn signal(name: &str, level: f64, hits: &[(usize, usize, f64)]) -> Features {
        let source = Source::new(5, 0);
        let mut counts = Array2::from_shape_fn((FRAMES, 80), |(i, p)| {
            let region = (3 * i) / FRAMES;
            let mean = 30.0 + if p % 3 == region && p < 40 { level } else { 0.0 };
            let noise = source.normal2((i * 80 + p) as u64, name.len() as u32)[0];
            (mean + mean.sqrt() * noise).round().max(0.0)
        });
        hits.iter().for_each(|&(i, p, more)| counts[[i, p]] += more);
        let nothing = Array2::zeros((1, 1));
        Features {
            name: name.into(),
            kind: Kind::Pattern,
            mean: nothing.clone(),
            std: nothing,
            mask: Array2::from_elem((1, 1), true),
            beam: None,
            values: counts.mapv(|x| (x.sqrt() + (x + 1.0).sqrt()) as f32),
        }
    }

    fn fused(signals: Vec<Features>) -> Fused {
        let mut signals = signals;
        fuse(&mut signals, &Params::default(), &Control::new()).unwrap()
    }

    #[test]
    fn hits_do_not_hide_components() {
        let clean = fused(vec![signal("dp", 8.0, &[])]);
        assert_eq!((clean.columns.as_slice(), clean.warnings.len()), ([3].as_slice(), 0));
        let twelve: Vec<_> = (0..12).map(|k| (47 * k + 3, 6 * k + 1, 1000.0 + 600.0 * k as f64)).collect();
        for hits in [&[(133, 50, 20_000.0)][..], &twelve] {
            let found = fused(vec![signal("dp", 8.0, hits)]);
            assert_eq!(found.columns, [3]);
            assert_eq!(found.warnings.len(), 1, "{:?}", found.warnings);
            let (values, frames) = (counted(hits.len(), "value"), counted(hits.len(), "frame"));
            assert!(
                found.warnings[0].contains(&values) && found.warnings[0].contains(&frames),
                "{:?}",
                found.warnings
            );
            // Two components of nearly equal variance may turn; lengths stay, but for the frames of the hits, which lack a value. The third is noise.
            let two = |f: &Fused| f.matrix.slice(s![.., ..2]).to_owned();
            for (i, (a, b)) in two(&found).rows().into_iter().zip(two(&clean).rows()).enumerate() {
                let change = (a.dot(&a).sqrt() - b.dot(&b).sqrt()).abs();
                let most = if hits.iter().any(|h| h.0 == i) { 0.2 } else { 0.06 };
                assert!(change < most, "frame {i}: {change}");
            }
        }
        // A whole frame that is saturated: neither a component nor the measure of the others.
        let saturated: Vec<_> = (0..80).map(|p| (211, p, 60_000.0)).collect();
        let found = fused(vec![signal("dp", 8.0, &saturated)]);
        assert_eq!(found.columns, [3]);
        assert!(
            (found.explained[0] - clean.explained[0]).abs() < 0.01,
            "{:?}",
            found.explained
        );
    }

    #[test]
    fn noise_is_left_out_beside_a_signal() {
        let alone = fused(vec![signal("dp", 8.0, &[])]);
        let both = fused(vec![signal("dp", 8.0, &[]), signal("noise", 0.0, &[])]);
        assert_eq!((both.columns.as_slice(), both.explained[1]), ([3, 0].as_slice(), 0.0));
        assert_eq!(both.matrix, alone.matrix);
        assert_eq!(
            both.warnings,
            ["no component of 'noise' stands out of its noise: it is left out"]
        );
        // As many of each where no signal has any, and a signal of weight 0 is as good as none.
        let none = fused(vec![signal("noise", 0.0, &[]), signal("other", 0.0, &[])]);
        assert_eq!(none.columns, [2, 2]);
        assert!(none.warnings.len() == 3 && none.warnings[2] == NOTHING, "{:?}", none.warnings);
        let weight = [("dp".to_owned(), 0.0)].into();
        let params = Params {
            weight,
            ..Params::default()
        };
        let mut signals = [signal("dp", 8.0, &[]), signal("noise", 0.0, &[])];
        assert_eq!(fuse(&mut signals, &params, &Control::new()).unwrap().columns, [2, 3]);
    }

    /// Two regions: `level` of half of the pixels differs. `unstable`: a pixel that is bright in one frame of twelve, where that is no region.
    fn halves(name: &str, level: f64, unstable: Option<usize>) -> Features {
        let mut signal = signal(name, 0.0, &[]);
        let source = Source::new(6, 0);
        for ((i, p), v) in signal.values.indexed_iter_mut() {
            let mean = 30.0 + if p % 2 == 0 && i < FRAMES / 2 { level } else { 0.0 };
            let noise = source.normal2((i * 80 + p) as u64, name.len() as u32)[0];
            let lit = unstable == Some(p) && i * 7 % 12 == 0;
            let count = (mean + mean.sqrt() * noise).round().max(0.0) + if lit { 60_000.0 } else { 0.0 };
            *v = (count.sqrt() + (count + 1.0).sqrt()) as f32;
        }
        signal.mask = Array2::from_elem((8, 10), true);
        signal
    }

    #[test]
    fn one_component_gets_noise_beside_it_and_keeps_its_scale() {
        let found = fused(vec![halves("dp", 8.0, None)]);
        assert_eq!((found.columns.as_slice(), found.warnings.len()), ([3].as_slice(), 0));
        let variance = |c: usize| found.matrix.column(c).iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / FRAMES as f64;
        assert!((variance(0) - 1.0).abs() < 1e-5, "{}", variance(0));
        assert!(variance(1) < 0.1 && variance(2) < 0.1);
        // Two signals of one component each get one more each.
        assert_eq!(
            fused(vec![halves("dp", 8.0, None), halves("haadf", 6.0, None)]).columns,
            [2, 2]
        );
        // Who asks for one gets one, and three are enough.
        let asked = |count| {
            let params = Params {
                principal: AutoOr::Value(count),
                ..Params::default()
            };
            fuse(&mut [halves("dp", 8.0, None)], &params, &Control::new())
                .unwrap()
                .columns
        };
        assert_eq!((asked(1), asked(5)), (vec![1], vec![5]));
        let three = vec![signal("dp", 8.0, &[]), halves("haadf", 6.0, None)];
        assert_eq!(fused(three).columns, [2, 1]);
    }

    #[test]
    fn an_unstable_pixel_is_left_out_and_named() {
        let mut signals = [halves("dp", 8.0, Some(37))];
        let found = fuse(&mut signals, &Params::default(), &Control::new()).unwrap();
        let clean = fused(vec![halves("dp", 8.0, None)]);
        assert_eq!(
            found.warnings,
            ["'dp': block of pixels (6–7, 14–15) varies far more than all others and with none of them: left out"]
        );
        assert_eq!(found.columns, [3]);
        assert!(!signals[0].mask[[3, 7]] && signals[0].mask.iter().filter(|m| **m).count() == 79);
        // The component is that of the others.
        for (a, b) in found.matrix.column(0).iter().zip(clean.matrix.column(0)) {
            assert!((a - b).abs() < 0.05, "{a} instead of {b}");
        }
        // Where it hides nothing it stays.
        let alone = fused(vec![halves("dp", 0.0, Some(37))]);
        assert_eq!(alone.warnings.len(), 2, "{:?}", alone.warnings);
        assert!(alone.warnings[0].starts_with("no component of 'dp' stands out"));
    }
}
