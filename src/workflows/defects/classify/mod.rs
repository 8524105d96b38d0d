//! `defects classify`: windows around defects, sorted by what they show.

mod figures;
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

    let sample = some(n, p.seed);
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

/// All of `n`, or [`SAMPLE`] of them in order.
fn some(n: usize, seed: u64) -> Vec<usize> {
    if n <= SAMPLE {
        return (0..n).collect();
    }
    // The smallest of random numbers.
    let source = Source::new(seed, PURPOSE);
    let mut order: Vec<(u64, usize)> = (0..n).map(|i| (source.uniform2(i as u64, 0, 0)[0].to_bits(), i)).collect();
    order.sort_unstable();
    let mut chosen: Vec<usize> = order[..SAMPLE].iter().map(|o| o.1).collect();
    chosen.sort_unstable();
    chosen
}

fn means(windows: &Array3<f32>, labels: &[i32], classes: usize) -> Array3<f64> {
    let (_, h, w) = windows.dim();
    let mut sums = Array3::<f64>::zeros((classes, h, w));
    let mut sizes = vec![0usize; classes];
    for (window, &label) in windows.outer_iter().zip(labels) {
        let mut sum = sums.index_axis_mut(Axis(0), label as usize);
        sum.zip_mut_with(&window, |s, v| *s += f64::from(*v));
        sizes[label as usize] += 1;
    }
    for (mut sum, size) in sums.outer_iter_mut().zip(sizes) {
        sum.mapv_inplace(|v| v / size as f64);
    }
    sums
}

fn counts(found: &Detected, labels: &[i32], classes: usize) -> Array2<i32> {
    let mut counts = Array2::zeros((classes, found.frames));
    for (&i, &label) in found.with_window().iter().zip(labels) {
        counts[[label as usize, found.index(i)]] += 1;
    }
    counts
}

/// Moving averages over `over` frames, about each frame with fewer at the ends; published: frames k … k + over − 1 for each k, so that there are `over` − 1 fewer.
fn averages(counts: &Array2<i32>, over: usize, recipe: Recipe) -> Array2<f64> {
    let (classes, frames) = counts.dim();
    let row = |r: usize| -> Vec<f64> {
        match r {
            r if r < classes => counts.row(r).iter().map(|&c| f64::from(c)).collect(),
            _ => counts.columns().into_iter().map(|c| f64::from(c.sum())).collect(),
        }
    };
    let over = over.min(frames);
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let rows: Vec<Vec<f64>> = (0..=classes)
        .map(|r| {
            let row = row(r);
            match recipe {
                Recipe::Published => row.windows(over).map(mean).collect(),
                Recipe::Default => {
                    let (before, after) = (over / 2, (over - 1) / 2);
                    let part = |f: usize| &row[f.saturating_sub(before)..(f + after + 1).min(frames)];
                    (0..frames).map(|f| mean(part(f))).collect()
                }
            }
        })
        .collect();
    Array2::from_shape_fn((classes + 1, rows[0].len()), |(r, f)| rows[r][f])
}

/// Where each class was seen. Default: each window adds a Gaussian of sum 1 and standard deviation [`blur`] about its centre, the drift taken out, divided by the number of frames.
/// Published: one in all pixels of the window, divided by the number of frames, the drift left in and rows and columns exchanged as the notebook stores it.
fn density(found: &Detected, labels: &[i32], classes: usize, recipe: Recipe) -> Array3<f32> {
    let [h, w] = found.size;
    let side = found.windows.dim().1 as i64;
    let published = recipe == Recipe::Published;
    let mut density = Array3::<f32>::zeros(if published { (classes, w, h) } else { (classes, h, w) });
    let clip = |v: i64, n: usize| v.clamp(0, n as i64) as usize;
    let sigma = blur(found);
    let reach = (3.0 * sigma).ceil();
    for (&i, &label) in found.with_window().iter().zip(labels) {
        let mut map = density.index_axis_mut(Axis(0), label as usize);
        let (rows, columns) = map.dim();
        if published {
            let [y, x] = [found.x[i], found.y[i]].map(|v| (v - side as f64 / 2.0).round_ties_even() as i64);
            map.slice_mut(s![
                clip(y, rows)..clip(y + side, rows),
                clip(x, columns)..clip(x + side, columns)
            ])
            .mapv_inplace(|v| v + 1.0);
            continue;
        }
        let at = found.still(i);
        let range = |v: f64, n: usize| clip((v - reach).floor() as i64, n)..clip((v + reach).ceil() as i64 + 1, n);
        for y in range(at[0], rows) {
            for x in range(at[1], columns) {
                let d2 = (y as f64 - at[0]).powi(2) + (x as f64 - at[1]).powi(2);
                map[[y, x]] += ((-0.5 * d2 / (sigma * sigma)).exp() / (std::f64::consts::TAU * sigma * sigma)) as f32;
            }
        }
    }
    density.mapv_inplace(|v| v / found.frames as f32);
    density
}

/// Standard deviation in pixels of the spot that a window makes in a density.
pub fn blur(found: &Detected) -> f64 {
    (found.windows.dim().1 as f64 / 16.0).max(1.0)
}
