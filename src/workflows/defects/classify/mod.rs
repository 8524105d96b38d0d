//! `defects classify`: windows around defects, sorted by what they show.

mod figures;
mod maps;
mod params;
mod place;
mod scene;
mod write;

pub use params::{Align, Effective, Params, Pca, Range, Register};
pub use place::Placement;
pub use scene::{Pictures, pictures};
pub use write::{Results, figures, put, write};

use super::detected::Detected;
use crate::analysis::mixture::{self, Fit, Options, Start};
use crate::analysis::silhouette::silhouettes;
use crate::analysis::tree::Tree;
use crate::analysis::{Recipe, dimension, linkage, pca, pca_full};
use crate::control::Control;
use crate::error::{Error, Result};
use crate::rng::Source;
use crate::workflows::Timings;
use maps::{averages, counts, density, means};
use ndarray::{Array2, Array3, ArrayView2, Axis, s};
use place::place;

/// Windows that the dendrogram and silhouettes are taken of, at most.
pub const SAMPLE: usize = 20_000;
/// What random numbers are for.
const PURPOSE: u8 = 66;

/// Windows sorted into classes. `n` windows, `K` classes.
pub struct Classified {
    pub effective: Effective,
    pub placement: Placement,
    /// (n) 0 … K−1; by the default recipe the class with most windows is 0.
    pub labels: Vec<i32>,
    /// How many windows each class has.
    pub sizes: Vec<usize>,
    /// Probability of the class of each window.
    pub probability: Vec<f64>,
    /// Mean windows (K, s, s), NaN for classes without windows.
    pub means: Array3<f64>,
    /// The features (n, m) that the classes come from: scores, or pixels.
    pub features: Array2<f64>,
    /// Principal components (k, pixels) with the share of all components in the whole variance.
    pub components: Array2<f64>,
    pub ratios: Vec<f64>,
    /// Number of components of largest probability.
    pub likeliest: Option<usize>,
    /// Mixture parameters and log-likelihood; nothing if all windows are alike.
    pub fit: Option<Fit>,
    pub regularisation: f64,
    /// Number of classes and Schwarz's criterion.
    pub bic: Vec<(usize, f64)>,
    /// The windows behind tree and silhouettes, all unless there are more than [`SAMPLE`].
    pub sample: Vec<usize>,
    pub tree: Tree,
    pub silhouette: Vec<f64>,
    /// Windows of each class in each frame (K, frames), and moving averages (K + 1, …), the last row that of all windows.
    pub counts: Array2<i32>,
    pub averages: Array2<f64>,
    /// Density of each class (K, h, w).
    pub density: Array3<f32>,
    pub warnings: Vec<String>,
    pub timings: Timings,
}

/// Sorts the windows of `found` into classes. `start` gives the class of each window to start from. Takes the windows three times over and 8 bytes for each pair of windows (at most
/// [`SAMPLE`] of them).
///
/// # Errors
/// [`Error::Parameter`] for fewer windows than classes and parameters that make no sense; [`Error::Memory`]; [`Error::Cancelled`].
pub fn run(found: &Detected, params: &Params, start: Option<&[usize]>, control: &Control) -> Result<Classified> {
    let p = params.effective()?;
    let (n, side, _) = found.windows.dim();
    let k = p.classes;
    if n < k {
        let what = format!("{k} classes of {n} windows: there must be as many windows at least");
        return Err(Error::parameter("--classes", what));
    }
    if found.windows.iter().any(|v| !v.is_finite()) {
        return Err(Error::format(
            &found.path,
            "detections/windows",
            "holds values that are not finite",
        ));
    }
    let density_bytes = 4 * (k * found.size[0] * found.size[1]) as u64;
    if density_bytes > control.memory / 4 {
        let what = format!("densities of {k} classes take {} MiB", density_bytes >> 20);
        return Err(Error::Memory { what });
    }
    let (mut warnings, mut timings) = (Vec::new(), Timings::default());
    if side < 4 {
        return Err(Error::parameter("--window", format!("windows of {side} pixels show nothing")));
    }
    let placement = timings.time("register", || place(found, &p, &mut warnings, control))?;
    let windows = placement.windows(found);
    let pixels = placement.features(&windows);
    let reduced = timings.time("principal components", || reduce(pixels.view(), &p, &mut warnings, control))?;
    let features = reduced.features;
    let regularisation = p.regularisation.unwrap_or(reduced.noise.max(1e-12));
    let options = Options {
        regularisation,
        ..Options::default()
    };
    let first = features.row(0).to_owned();
    let alike = features.rows().into_iter().all(|row| row == first);
    let fit = if alike && k > 1 {
        warnings.push(format!("all {n} windows are alike: one class holds them all"));
        None
    } else {
        let made = timings.time("mixture", || match start {
            Some(labels) => mixture::fit(features.view(), Start::Labels(labels, k), options),
            None => mixture::best_of(features.view(), k, p.starts, p.seed, options),
        })?;
        if !made.converged {
            warnings.push(format!("the mixture has not settled after {} rounds", made.trace.len()));
        }
        Some(made)
    };
    let (fit, labels, probability) = number(fit, n, p.recipe);
    let bic = timings.time("bic", || bic(features.view(), &p, alike, options, control))?;

    // The tree's distances may take a quarter of the memory.
    let bearable = ((control.memory / 16) as f64).sqrt() as usize;
    let sample = some(n, SAMPLE.min(bearable.max(2)), p.seed);
    if sample.len() < n {
        warnings.push(format!(
            "dendrogram and silhouettes are those of {} of {n} windows, drawn with seed {}",
            sample.len(),
            p.seed
        ));
    }
    let whole = p.recipe == Recipe::Published;
    let tree = timings.time("dendrogram", || {
        let points = match whole {
            true => pixels.select(Axis(0), &sample).mapv(f64::from),
            false => features.select(Axis(0), &sample),
        };
        linkage::ward(points.view(), control)
    })?;
    let sampled: Vec<i32> = sample.iter().map(|&i| labels[i]).collect();
    let silhouette = timings.time("silhouettes", || {
        Ok(silhouettes(features.select(Axis(0), &sample).view(), &sampled))
    })?;
    let mut sizes = vec![0; k];
    labels.iter().for_each(|&l| sizes[l as usize] += 1);
    let empty = sizes.iter().filter(|&&s| s == 0).count();
    if empty > 0 && !alike {
        warnings.push(format!(
            "{empty} of {k} classes are empty: fewer classes describe these windows"
        ));
    }
    let counts = counts(found, &labels, k);
    let averages = averages(&counts, p.average, p.recipe);
    let density = timings.time("density", || Ok(density(found, &labels, k, p.recipe)))?;
    Ok(Classified {
        effective: p,
        means: means(&windows, &labels, k),
        placement,
        labels,
        sizes,
        probability,
        features,
        components: reduced.components,
        ratios: reduced.ratios,
        likeliest: reduced.likeliest,
        fit,
        regularisation,
        bic,
        sample,
        tree,
        silhouette,
        counts,
        averages,
        density,
        warnings,
        timings,
    })
}

/// What principal components give.
struct Reduced {
    features: Array2<f64>,
    components: Array2<f64>,
    ratios: Vec<f64>,
    likeliest: Option<usize>,
    /// Mean variance of the components that are left out.
    noise: f64,
}

fn reduce(pixels: ArrayView2<'_, f32>, p: &Effective, warnings: &mut Vec<String>, control: &Control) -> Result<Reduced> {
    let (n, d) = pixels.dim();
    // A class needs about as many windows as values to have a covariance.
    let bearable = (n / (2 * p.classes)).clamp(1, 64).min(d);
    let full = n.min(d) <= pca_full::MOST;
    let asked = match p.pca {
        Pca::Components(k) => k,
        Pca::Likeliest => 64,
        Pca::None => 16,
    };
    let (mut scores, mut components, variances, ratios) = if full {
        let s = pca_full::spectrum(pixels, asked.min(d), control)?;
        (s.scores.clone(), s.components.clone(), s.variances.clone(), s.ratios())
    } else {
        let c = pca::principal(pixels, asked.min(d), control)?;
        let scale = n as f64 / (n - 1) as f64;
        let variances: Vec<f64> = c.variances.iter().map(|v| v * scale).collect();
        let ratios = c.variances.iter().map(|v| v / c.total.max(f64::MIN_POSITIVE)).collect();
        warnings.push(format!(
            "{n} windows of {d} pixels: the spectrum and its likeliest dimension take too long; {} components are computed",
            variances.len()
        ));
        (c.scores, c.vectors.reversed_axes(), variances, ratios)
    };
    let likeliest = (full && n >= d).then(|| dimension::likeliest(&variances, n)).flatten();
    let mut take = match p.pca {
        Pca::Components(k) => k,
        Pca::None if d > n => {
            warnings.push(format!(
                "windows of {d} pixels but only {n} of them: classes come from {} principal components",
                16.min(bearable)
            ));
            16.min(bearable)
        }
        Pca::None => 0,
        Pca::Likeliest => match likeliest {
            Some(k) => k,
            None => {
                warnings.push(format!(
                    "{n} windows of {d} pixels have no likeliest dimension (there must be as many windows): 16 is taken"
                ));
                16
            }
        },
    };
    if p.recipe == Recipe::Default && take > bearable {
        if n / (2 * p.classes) < take.min(d) {
            warnings.push(format!(
                "{bearable} components instead of {take}: {n} windows in {} classes bear no more",
                p.classes
            ));
        }
        take = bearable;
    }
    take = take.min(scores.ncols());
    let features = if take == 0 {
        pixels.mapv(f64::from)
    } else {
        scores = scores.slice(s![.., ..take]).to_owned();
        components = components.slice(s![..take.max(1), ..]).to_owned();
        scores.clone()
    };
    let noise = match (take, full) {
        (0, _) => 1e-6,
        (_, true) => {
            let rest = variances.len().max(d.min(n)) - take;
            variances.iter().skip(take).sum::<f64>() / rest.max(1) as f64
        }
        (_, false) => {
            let whole: f64 = variances
                .first()
                .map_or(0.0, |v| v / ratios.first().copied().unwrap_or(1.0).max(1e-300));
            (whole - variances.iter().take(take).sum::<f64>()).max(0.0) / (d - take).max(1) as f64
        }
    };
    Ok(Reduced {
        features,
        components,
        ratios,
        likeliest,
        noise,
    })
}

/// Labels and their probabilities; by the default recipe classes are numbered by their size.
fn number(fit: Option<Fit>, n: usize, recipe: Recipe) -> (Option<Fit>, Vec<i32>, Vec<f64>) {
    let Some(mut fit) = fit else {
        return (None, vec![0; n], vec![1.0; n]);
    };
    let k = fit.mixture.weights.len();
    let mut order: Vec<usize> = (0..k).collect();
    if recipe == Recipe::Default {
        let mut sizes = vec![0usize; k];
        fit.labels.iter().for_each(|&l| sizes[l] += 1);
        order.sort_by_key(|&c| std::cmp::Reverse(sizes[c]));
    }
    let mut rank = vec![0; k];
    order.iter().enumerate().for_each(|(new, &old)| rank[old] = new);
    fit.labels.iter_mut().for_each(|l| *l = rank[*l]);
    fit.responsibilities = fit.responsibilities.select(Axis(1), &order);
    fit.mixture.means = fit.mixture.means.select(Axis(0), &order);
    fit.mixture.weights = order.iter().map(|&c| fit.mixture.weights[c]).collect();
    fit.mixture.covariances = order.iter().map(|&c| fit.mixture.covariances[c].clone()).collect();
    let labels: Vec<i32> = fit.labels.iter().map(|&l| l as i32).collect();
    let probability = fit
        .labels
        .iter()
        .enumerate()
        .map(|(i, &l)| fit.responsibilities[[i, l]])
        .collect();
    (Some(fit), labels, probability)
}

fn bic(
    features: ArrayView2<'_, f64>,
    p: &Effective,
    alike: bool,
    options: Options,
    control: &Control,
) -> Result<Vec<(usize, f64)>> {
    let Range(from, to) = p.bic;
    if from == 0 || alike {
        return Ok(Vec::new());
    }
    let mut out = Vec::new();
    for k in (from..=to).filter(|&k| k <= features.nrows()) {
        control.check()?;
        out.push((k, mixture::best_of(features, k, p.starts, p.seed, options)?.bic()));
    }
    Ok(out)
}

/// All of `n`, or `most` of them in order, drawn by `seed`.
fn some(n: usize, most: usize, seed: u64) -> Vec<usize> {
    if n <= most {
        return (0..n).collect();
    }
    // The smallest of random numbers.
    let source = Source::new(seed, PURPOSE);
    let mut order: Vec<(u64, usize)> = (0..n).map(|i| (source.uniform2(i as u64, 0, 0)[0].to_bits(), i)).collect();
    order.sort_unstable();
    let mut chosen: Vec<usize> = order[..most].iter().map(|o| o.1).collect();
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_drawn_by_seed() {
        assert_eq!(some(5, SAMPLE, 0), [0, 1, 2, 3, 4]);
        let few = some(30_000, SAMPLE, 7);
        assert_eq!(few.len(), SAMPLE);
        assert!(few.windows(2).all(|w| w[0] < w[1]) && few.iter().all(|&i| i < 30_000));
        assert_eq!(few, some(30_000, SAMPLE, 7));
        assert_ne!(few, some(30_000, SAMPLE, 8));
        // Evenly: half of them lie in the first half.
        let low = few.iter().filter(|&&i| i < 15_000).count();
        assert!((9_700..10_300).contains(&low), "{low}");
    }
}
