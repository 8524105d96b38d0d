//! `emstream cluster`

use super::place::Place;
use super::scan::ScanArgs;
use super::session::Session;
use super::{arrays, set};
use clap::ValueEnum;
use emstream::analysis::Recipe;
use emstream::workflows::cluster::{self, Clusters, Given, Params, PatternName};
use emstream::workflows::descan::Descan;
use emstream::{Result, workflows};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Segment a scan into crystallites: feature vectors and connected ward clusters
#[derive(clap::Args)]
pub struct Args {
    /// A scan of any format
    scan: PathBuf,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    how: ScanArgs,
    #[command(flatten)]
    flags: Flags,
}

/// Flags that replace values of [`Params`].
#[derive(clap::Args)]
#[command(next_help_heading = "Crystallites")]
pub(super) struct Flags {
    /// Radius of the disks in pixels [default: 1.5]
    #[arg(long, value_name = "PX", allow_negative_numbers = true)]
    radius: Option<f64>,
    /// Outer radius of the subtracted ring [default: 2.5]
    #[arg(long, value_name = "PX", allow_negative_numbers = true)]
    radius_outer: Option<f64>,
    /// Built-in template [default: background]
    #[arg(long, value_enum)]
    pattern: Option<PatternArg>,
    /// Template instead of a built-in pattern: bullseye:RII,RI,RO,ROO, probe:FILE@Y,X,N, ring:R1,R2 … or an image (.npy, .tif, .png);
    /// see `emstream template`
    #[arg(long, value_name = "SPEC|FILE")]
    template: Option<String>,
    /// Search range in pixels [default: by the template]
    #[arg(long, value_name = "PX", allow_negative_numbers = true)]
    search: Option<f64>,
    /// Number of feature peaks [default: 300]
    #[arg(long, value_name = "N")]
    feature_peaks: Option<usize>,
    /// Find peaks on the logarithm of the standard-deviation map
    #[arg(long)]
    log_std: bool,
    /// Number of clusters [default: auto]
    #[arg(long, value_name = "N|auto", conflicts_with = "distance_threshold")]
    clusters: Option<Clusters>,
    /// Cut the merge tree at this ward distance
    #[arg(long, value_name = "D", allow_negative_numbers = true)]
    distance_threshold: Option<f64>,
    /// Weight of the scan coordinates in the features [default: 0.2]
    #[arg(long, value_name = "W", allow_negative_numbers = true)]
    position_weight: Option<f64>,
    /// Take out the wandering of the direct beam: a smooth surface through its positions, or the positions [default: none]
    #[arg(long, value_enum)]
    descan: Option<DescanArg>,
    /// Feature peaks (n, 2) from a file instead of finding them
    #[arg(long, value_name = "FILE.npy")]
    peaks: Option<PathBuf>,
    /// Labels (ny, nx) from a file instead of clustering
    #[arg(long, value_name = "FILE.npy")]
    labels: Option<PathBuf>,
    /// `published` repeats the published analysis step by step, faults included [default: default]
    #[arg(long, value_enum)]
    recipe: Option<RecipeArg>,
}

#[derive(Clone, Copy, ValueEnum)]
enum PatternArg {
    Background,
    Gradient,
    GradientBackground,
    Disk,
}

#[derive(Clone, Copy, ValueEnum)]
enum DescanArg {
    None,
    Fit,
    Measured,
}

#[derive(Clone, Copy, ValueEnum)]
enum RecipeArg {
    Default,
    Published,
}

impl Flags {
    pub(super) fn apply(self, p: &mut Params) {
        set(&mut p.radius, self.radius);
        set(&mut p.radius_outer, self.radius_outer);
        set(
            &mut p.pattern,
            self.pattern.map(|a| match a {
                PatternArg::Background => PatternName::Background,
                PatternArg::Gradient => PatternName::Gradient,
                PatternArg::GradientBackground => PatternName::GradientBackground,
                PatternArg::Disk => PatternName::Disk,
            }),
        );
        set(&mut p.feature_peaks, self.feature_peaks);
        set(&mut p.position_weight, self.position_weight);
        set(
            &mut p.recipe,
            self.recipe.map(|r| match r {
                RecipeArg::Default => Recipe::Default,
                RecipeArg::Published => Recipe::Published,
            }),
        );
        set(
            &mut p.descan,
            self.descan.map(|d| match d {
                DescanArg::None => Descan::None,
                DescanArg::Fit => Descan::Fit,
                DescanArg::Measured => Descan::Measured,
            }),
        );
        p.log_std |= self.log_std;
        if let Some(clusters) = self.clusters {
            p.clusters = clusters;
            p.distance_threshold = None;
        }
        p.distance_threshold = self.distance_threshold.or(p.distance_threshold);
        p.template = self.template.or(p.template.take());
        p.search = self.search.or(p.search);
        p.peaks = self.peaks.or(p.peaks.take());
        p.labels = self.labels.or(p.labels.take());
    }
}

/// A parameter file: how the scan was read, and what was done.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ParamsFile {
    scan: ScanArgs,
    cluster: Params,
}

pub fn run(args: Args, session: &Session) -> Result<()> {
    let file: ParamsFile = args.place.parameters()?;
    let how = args.how.or(file.scan);
    let mut params = file.cluster;
    args.flags.apply(&mut params);

    let dir = args.place.folder(session)?;
    let template = params.template(arrays::image)?;
    let given = Given {
        peaks: params.peaks.as_deref().map(arrays::positions).transpose()?,
        labels: params.labels.as_deref().map(arrays::labels).transpose()?,
    };
    let (scan, selection) = how.open(&args.scan, session)?;
    let backend = session.backend()?;
    let result = cluster::run(&*scan, selection, template, given, &params, &backend, &session.control)?;
    for w in &result.warnings {
        log::warn!("{}: {w}", args.scan.display());
    }
    let effective = workflows::to_toml(&ParamsFile {
        scan: how,
        cluster: params,
    })?;
    let folder = cluster::write(&result, &*scan, &backend, &effective, dir)?;
    let second = result.choice.as_ref().and_then(|c| c.runner_up);
    let chosen = second.map_or_else(String::new, |k| format!(" (chosen by the data; runner-up {k})"));
    said!(
        session,
        "{} clusters{chosen}; {}",
        result.clusters,
        folder.join("report.html").display()
    );
    Ok(())
}
