//! `emstream phases`

use super::place::Place;
use super::scan::ScanArgs;
use super::session::Session;
use super::set;
use clap::ValueEnum;
use emstream::analysis::Recipe;
use emstream::analysis::hdbscan::Selection as Choice;
use emstream::engine::Selection;
use emstream::io::OpenOptions;
use emstream::io::array::{self, MAX_BYTES};
use emstream::kernels::nearest::Metric;
use emstream::workflows::phases::{self, AutoOr, BeamMask, BinMode, Given, Params, Reduce, Signal, StdOf};
use emstream::{Error, Result, workflows};
use ndarray::{Array2, ArrayD};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Segment a scan into phases by diffraction patterns and spectra: features, embedding, soft clustering, stability
#[derive(clap::Args)]
pub struct Args {
    /// Diffraction patterns
    dp: PathBuf,
    /// Spectra of the same scan
    #[arg(long, value_name = "FILE")]
    eds: Option<PathBuf>,
    /// Further signals of the same scan
    #[arg(long, value_name = "NAME=FILE")]
    signal: Vec<String>,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    how: ScanArgs,
    #[command(flatten)]
    flags: Flags,
}

/// Flags that replace values of [`Params`].
#[derive(clap::Args)]
#[command(next_help_heading = "Phases")]
struct Flags {
    /// Edge of the blocks of detector pixels that become one [default: 2]
    #[arg(long, value_name = "N")]
    rebin: Option<usize>,
    /// Blocks are summed or averaged [default: sum]
    #[arg(long, value_enum)]
    rebin_mode: Option<BinModeArg>,
    /// The standard deviation is that of counts or of their logarithm [default: raw]
    #[arg(long, value_enum)]
    std: Option<StdArg>,
    /// Masked disk about the direct beam, in rebinned pixels [default: auto]
    #[arg(long, value_name = "Y,X,R|auto|none")]
    beam_mask: Option<BeamMask>,
    /// What of a pattern becomes features [default: pixels]
    #[arg(long, value_enum)]
    reduce: Option<ReduceArg>,
    /// Rings of --reduce annular [default: 16]
    #[arg(long, value_name = "N")]
    rings: Option<usize>,
    /// Share of the detector pixels that become features, those that vary most [default: 0.4]
    #[arg(long, value_name = "SHARE")]
    keep: Option<f64>,
    /// Channels are kept above this variance [default: 0; published: 0.25]
    #[arg(long, value_name = "V", conflicts_with = "eds_keep")]
    eds_variance: Option<f64>,
    /// Share of the channels that are kept, those that vary most
    #[arg(long, value_name = "SHARE")]
    eds_keep: Option<f64>,
    /// Energies in keV that are left out of spectra; may be given several times
    #[arg(long, value_name = "LO-HI")]
    exclude: Vec<String>,
    /// Energy of the first channel and step in keV, for files that do not say
    #[arg(long, value_name = "OFFSET,STEP", allow_hyphen_values = true)]
    eds_axis: Option<String>,
    /// `published` repeats the published analysis step by step, faults included [default: default]
    #[arg(long, value_enum)]
    recipe: Option<RecipeArg>,
    /// Exponent of the weight of spectra in the published recipe [default: 2.4]
    #[arg(long, value_name = "S|auto", allow_hyphen_values = true)]
    scale_exponent: Option<AutoOr<f64>>,
    /// Principal components of each signal in the default recipe [default: auto]
    #[arg(long, value_name = "N|auto")]
    principal: Option<AutoOr<usize>>,
    /// Weight of a signal (dp, eds, NAME) [default: 1]
    #[arg(long, value_name = "NAME=W")]
    weight: Vec<String>,
    /// Distance between feature vectors [default: euclidean; published: chebyshev]
    #[arg(long, value_enum)]
    metric: Option<MetricArg>,
    /// Neighbours of a position in the graph, itself included [default: 10]
    #[arg(long, value_name = "N")]
    neighbors: Option<usize>,
    /// Positions up to which neighbours are exact; for more they are nearly so, and found faster [default: 200000]
    #[arg(long, value_name = "N")]
    exact_up_to: Option<usize>,
    /// Dimensions of the embedding [default: 3]
    #[arg(long, value_name = "N")]
    components: Option<usize>,
    /// Distance within which positions of the embedding are equally close [default: 0]
    #[arg(long, value_name = "D")]
    min_dist: Option<f64>,
    /// Embedding that preserves densities [default]
    #[arg(long, conflicts_with = "no_densmap")]
    densmap: bool,
    /// Plain UMAP
    #[arg(long)]
    no_densmap: bool,
    /// Seed of the first run [default: 10]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Smallest phase in positions [default: 100]
    #[arg(long, value_name = "N")]
    min_cluster_size: Option<usize>,
    /// Neighbours that define a density [default: 10]
    #[arg(long, value_name = "N")]
    min_samples: Option<usize>,
    /// Clusters by excess of mass, or all leaves of the tree [default: eom]
    #[arg(long, value_enum)]
    selection: Option<SelectionArg>,
    /// Runs with seeds one after the other; their agreement says what to trust [default: 5]
    #[arg(long, value_name = "N")]
    runs: Option<usize>,
    /// Part of the scan, or of that of one signal
    #[arg(long, value_name = "[NAME=]Y0:Y1,X0:X1")]
    crop: Vec<String>,
    /// Position (y, x) of the patterns is (y + DY, x + DX) of this signal
    #[arg(long, value_name = "NAME=DY,DX", allow_hyphen_values = true)]
    shift: Vec<String>,
    /// Feature vectors from a file, (positions, features) or (ny, nx, features), instead of making them
    #[arg(long, value_name = "FILE.npy", conflicts_with = "embedding")]
    features: Option<PathBuf>,
    /// Write the fused feature vectors as /phases/features, in the form that --features takes
    #[arg(long, conflicts_with_all = ["features", "embedding"])]
    save_features: bool,
    /// Embedding from a file, (positions, axes) or (ny, nx, axes), instead of making it
    #[arg(long, value_name = "FILE.npy")]
    embedding: Option<PathBuf>,
    /// Tries all combinations of values of parameters and compares the answers
    #[arg(long, value_name = "NAME=A,B,…", num_args = 1..)]
    vary: Vec<String>,
}

/// An argument with the names of an enum of the library.
macro_rules! choices {
    ($arg:ident => $of:ty { $($name:ident),+ }) => {
        #[derive(Clone, Copy, ValueEnum)]
        enum $arg {
            $($name),+
        }
        impl From<$arg> for $of {
            fn from(a: $arg) -> $of {
                match a {
                    $($arg::$name => <$of>::$name),+
                }
            }
        }
    };
}
choices!(BinModeArg => BinMode { Sum, Mean });
choices!(StdArg => StdOf { Raw, Log });
choices!(ReduceArg => Reduce { Pixels, Radial, Annular, Cepstrum });
choices!(RecipeArg => Recipe { Default, Published });
choices!(MetricArg => Metric { Euclidean, Chebyshev, Manhattan, Cosine });
choices!(SelectionArg => Choice { Eom, Leaf });

impl Flags {
    fn apply(self, p: &mut Params) -> Result<()> {
        set(&mut p.rebin, self.rebin);
        set(&mut p.rebin_mode, self.rebin_mode.map(Into::into));
        set(&mut p.std, self.std.map(Into::into));
        set(&mut p.beam_mask, self.beam_mask);
        set(&mut p.reduce, self.reduce.map(Into::into));
        set(&mut p.rings, self.rings);
        set(&mut p.keep, self.keep);
        if self.eds_keep.is_some() || self.eds_variance.is_some() {
            (p.eds_keep, p.eds_variance) = (self.eds_keep, self.eds_variance);
        }
        if !self.exclude.is_empty() {
            p.exclude = self.exclude.iter().map(|t| window(t)).collect::<Result<_>>()?;
        }
        if let Some(text) = &self.eds_axis {
            p.eds_axis = Some(two("--eds-axis", text, "OFFSET,STEP like -0.1,0.01")?);
        }
        set(&mut p.recipe, self.recipe.map(Into::into));
        p.scale_exponent = self.scale_exponent.or(p.scale_exponent);
        set(&mut p.principal, self.principal);
        for text in &self.weight {
            let (name, value) = named("--weight", text, "NAME=W")?;
            let wrong = || Error::parameter("--weight", format!("'{text}' is not NAME=W with a number W"));
            p.weight.insert(name.into(), value.parse().map_err(|_| wrong())?);
        }
        p.metric = self.metric.map(Into::into).or(p.metric);
        set(&mut p.neighbors, self.neighbors);
        set(&mut p.exact_up_to, self.exact_up_to);
        set(&mut p.components, self.components);
        set(&mut p.min_dist, self.min_dist);
        p.densmap = self.densmap || (p.densmap && !self.no_densmap);
        set(&mut p.seed, self.seed);
        set(&mut p.min_cluster_size, self.min_cluster_size);
        set(&mut p.min_samples, self.min_samples);
        set(&mut p.selection, self.selection.map(Into::into));
        set(&mut p.runs, self.runs);
        for text in &self.crop {
            let (name, area) = text.split_once('=').unwrap_or(("all", text));
            p.crop.insert(name.into(), area.into());
        }
        for text in &self.shift {
            let (name, by) = named("--shift", text, "NAME=DY,DX")?;
            let [y, x] = two("--shift", by, "NAME=DY,DX with whole numbers")?;
            if y.fract() != 0.0 || x.fract() != 0.0 {
                return Err(Error::parameter(
                    "--shift",
                    format!("'{text}' is not a whole number of positions"),
                ));
            }
            p.shift.insert(name.into(), [y as i64, x as i64]);
        }
        p.features = self.features.or(p.features.take());
        p.save_features |= self.save_features;
        p.embedding = self.embedding.or(p.embedding.take());
        let given = [("--features", &p.features), ("--embedding", &p.embedding)];
        if let (Some(_), Some((flag, _))) = (self.keep, given.iter().find(|(_, f)| f.is_some())) {
            return Err(Error::parameter("--keep", format!("has no effect beside {flag}")));
        }
        for text in &self.vary {
            let (name, list) = named("--vary", text, "NAME=A,B,…")?;
            let wrong = || Error::parameter("--vary", format!("'{text}' is not NAME=A,B,… with numbers"));
            let values = list
                .split(',')
                .map(|v| v.trim().parse().map_err(|_| wrong()))
                .collect::<Result<_>>()?;
            p.vary.insert(name.into(), values);
        }
        Ok(())
    }
}

/// `NAME=REST`
fn named<'t>(flag: &str, text: &'t str, want: &str) -> Result<(&'t str, &'t str)> {
    let parts = text.split_once('=').filter(|(n, r)| !n.is_empty() && !r.is_empty());
    parts.ok_or_else(|| Error::parameter(flag, format!("'{text}' is not {want}")))
}

fn two(flag: &str, text: &str, want: &str) -> Result<[f64; 2]> {
    let wrong = || Error::parameter(flag, format!("'{text}' is not {want}"));
    let (a, b) = text.split_once(',').ok_or_else(wrong)?;
    let number = |t: &str| t.trim().parse::<f64>().ok().filter(|v| v.is_finite()).ok_or_else(wrong);
    Ok([number(a)?, number(b)?])
}

/// `LO-HI` in keV.
fn window(text: &str) -> Result<[f64; 2]> {
    let wrong = || Error::parameter("--exclude", format!("'{text}' is not LO-HI like 7.85-8.24"));
    // A minus at the beginning belongs to the number.
    let at = text
        .char_indices()
        .skip(1)
        .find(|(_, c)| *c == '-')
        .map(|(i, _)| i)
        .ok_or_else(wrong)?;
    let number = |t: &str| t.trim().parse::<f64>().map_err(|_| wrong());
    Ok([number(&text[..at])?, number(&text[at + 1..])?])
}

/// A parameter file: how the scan was read, and what was done.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ParamsFile {
    scan: ScanArgs,
    phases: Params,
}

pub fn run(args: Args, session: &Session) -> Result<()> {
    let file: ParamsFile = args.place.parameters()?;
    let how = args.how.or(file.scan);
    let mut params = file.phases;
    args.flags.apply(&mut params)?;
    let dir = args.place.folder(session)?;
    let (scan, roi) = how.open(&args.dp, session)?;
    let mut signals = vec![Signal::of("dp", &args.dp, scan)];
    if let Some(path) = &args.eds {
        signals.push(Signal::open("eds", path, true, &OpenOptions::default(), &session.control)?);
    }
    for text in &args.signal {
        let (name, path) = named("--signal", text, "NAME=FILE")?;
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        if !plain || signals.iter().any(|s| s.name == name) {
            let what = format!("'{name}' is taken, or no plain name of letters, digits, - and _");
            return Err(Error::parameter("--signal", what));
        }
        signals.push(Signal::open(
            name,
            Path::new(path),
            true,
            &OpenOptions::default(),
            &session.control,
        )?);
    }
    for signal in &signals[1..] {
        for note in &signal.scan.info().notes {
            log::warn!("{}: {note}", signal.path.display());
        }
    }
    let names: Vec<&str> = signals.iter().map(|s| s.name.as_str()).collect();
    params.check(&names)?;
    let selections = phases::align(&signals, &roi, &params)?;
    let given = Given {
        features: params.features.as_deref().map(|f| rows(f, &selections[0])).transpose()?,
        embedding: params.embedding.as_deref().map(|f| rows(f, &selections[0])).transpose()?,
    };
    let backend = session.backend()?;
    let result = phases::run(&signals, &selections, given, &params, &backend, &session.control)?;
    for w in &result.warnings {
        log::warn!("{}: {w}", args.dp.display());
    }
    let text = workflows::to_toml(&ParamsFile {
        scan: how,
        phases: params.clone(),
    })?;
    let folder = phases::write(&result, &signals, &params, &backend, &text, dir)?;
    let report = folder.join("report.html");
    said!(
        session,
        "{}; {}",
        outcome(result.sizes.len(), &result.agreement.ari),
        report.display()
    );
    Ok(())
}

/// What was found, in a line. `ari`: between runs, which says nothing where none found a cluster: that they agree in.
fn outcome(phases: usize, ari: &Array2<f64>) -> String {
    match (phases, ari.nrows()) {
        (0, 1) => "no phases: no cluster was found".to_owned(),
        (0, runs) => format!("no phases: no cluster was found in any of {runs} runs"),
        (_, 1) => format!("{phases} phases"),
        (_, runs) => {
            let total: f64 = ari.iter().sum::<f64>() - runs as f64;
            let mean = total / (runs * (runs - 1)) as f64;
            format!("{phases} phases; {runs} runs agree with a mean Rand index of {mean:.3}")
        }
    }
}

/// One row for each selected position, from (positions, n), or from (ny, nx, n) or (ny·nx, n), of which the selected ones are taken.
fn rows(path: &Path, selection: &Selection) -> Result<Array2<f32>> {
    let array: ArrayD<f32> = array::read_array(path, MAX_BYTES)?;
    let [ny, nx] = selection.nav();
    let shape = array.shape().to_vec();
    let wrong = || {
        let what = format!("{shape:?}, expected ({}, n) or ({ny}, {nx}, n)", selection.len());
        Error::format(path, "shape", what)
    };
    let (count, width) = match shape[..] {
        [count, width] => (count, width),
        [y, x, width] if [y, x] == [ny, nx] => (y * x, width),
        _ => return Err(wrong()),
    };
    let values: Vec<f32> = array.iter().copied().collect();
    let table = Array2::from_shape_vec((count, width), values).map_err(|_| wrong())?;
    if count as u64 == selection.len() {
        return Ok(table);
    }
    if count != ny * nx {
        return Err(wrong());
    }
    let chosen: Vec<usize> = selection.iter().map(|i| i as usize).collect();
    Ok(table.select(ndarray::Axis(0), &chosen))
}
