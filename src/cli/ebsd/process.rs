//! `emstream ebsd process`

use super::{DtypeFlag, Files, PatternArgs, Reads, effective, open_map, whole_map};
use crate::cli::scan::{pair, report_warnings};
use crate::cli::session::Session;
use crate::cli::{arrays, set};
use clap::ValueEnum;
use emstream::Result;
use emstream::io::output::write_file;
use emstream::workflows::ebsd::process::{self, Dtype, DynamicArg, Job, Method, Params, StaticArg};
use std::path::Path;

/// Processed patterns: static and dynamic background, stretch; or with --at every stage of one pattern
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    files: Files,
    /// Draw every stage of one pattern, and histograms, instead of processing all; -o is then a figure (.png)
    #[arg(long, value_name = "ROW,COL", conflicts_with = "in_place")]
    at: Option<String>,
    #[command(flatten)]
    how: PatternArgs,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Clone, Copy, ValueEnum)]
enum StaticFlag {
    Divide,
    Subtract,
    SubtractScaled,
    None,
}
#[derive(Clone, Copy, ValueEnum)]
enum DynamicFlag {
    Divide,
    Subtract,
    None,
}
#[derive(Clone, Copy, ValueEnum)]
enum MethodFlag {
    Aloe,
    Symmetric,
    KikuchipyFrequency,
    KikuchipySpatial,
}

/// Flags that replace values of [`Params`].
#[derive(clap::Args)]
#[command(next_help_heading = "Processing")]
struct Flags {
    /// Mean of blocks of N × N pixels first [default: 1]
    #[arg(long, value_name = "N")]
    bin: Option<usize>,
    /// What to do with the static background [default: divide]
    #[arg(long = "static", value_enum)]
    static_background: Option<StaticFlag>,
    /// Static background: an image, or `mean` for the mean pattern of the map [default: what the input holds]
    #[arg(long, value_name = "FILE|mean")]
    background: Option<String>,
    /// What to do with the dynamic background [default: divide]
    #[arg(long, value_enum)]
    dynamic: Option<DynamicFlag>,
    /// Window of the dynamic background: `symmetric` is the recommended one, `aloe` the published one [default: aloe]
    #[arg(long, value_enum)]
    method: Option<MethodFlag>,
    /// Standard deviation of the window in binned pixels [default: 15]
    #[arg(long, value_name = "PX", allow_negative_numbers = true)]
    sigma: Option<f64>,
    /// Part of the dynamic background that is subtracted [default: 1]
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    background_scale: Option<f32>,
    /// Percentile that becomes the smallest value [default: 1]
    #[arg(long, value_name = "%", allow_negative_numbers = true)]
    low: Option<f64>,
    /// Percentile that becomes the largest value [default: 99]
    #[arg(long, value_name = "%", allow_negative_numbers = true)]
    high: Option<f64>,
    /// Pixels of the result [default: u8]
    #[arg(long, value_enum)]
    dtype: Option<DtypeFlag>,
    /// Round to whole numbers instead of dropping the digits behind the point
    #[arg(long)]
    round: bool,
    /// Replace hot and dead pixels this many times the spread of their neighbours away, e.g. 5
    #[arg(long, value_name = "FACTOR", allow_negative_numbers = true)]
    hot: Option<f32>,
    /// Local normalisation with windows of 2N + 1 pixels
    #[arg(long, value_name = "N")]
    local: Option<usize>,
    /// Adaptive histogram equalisation with tiles of Y × X pixels
    #[arg(long, value_name = "Y,X")]
    clahe: Option<String>,
    /// Clip limit of the equalisation, 0 for none [default: 0.01]
    #[arg(long, value_name = "L", allow_negative_numbers = true)]
    clahe_limit: Option<f64>,
    /// Zero outside the circle with this radius in parts of the width, e.g. 0.47
    #[arg(long, value_name = "R", allow_negative_numbers = true)]
    circle: Option<f64>,
}

impl Flags {
    fn apply(self, p: &mut Params) -> Result<()> {
        set(&mut p.bin, self.bin);
        set(
            &mut p.static_background,
            self.static_background.map(|s| match s {
                StaticFlag::Divide => StaticArg::Divide,
                StaticFlag::Subtract => StaticArg::Subtract,
                StaticFlag::SubtractScaled => StaticArg::SubtractScaled,
                StaticFlag::None => StaticArg::None,
            }),
        );
        set(
            &mut p.dynamic,
            self.dynamic.map(|d| match d {
                DynamicFlag::Divide => DynamicArg::Divide,
                DynamicFlag::Subtract => DynamicArg::Subtract,
                DynamicFlag::None => DynamicArg::None,
            }),
        );
        set(
            &mut p.method,
            self.method.map(|m| match m {
                MethodFlag::Aloe => Method::Aloe,
                MethodFlag::Symmetric => Method::Symmetric,
                MethodFlag::KikuchipyFrequency => Method::KikuchipyFrequency,
                MethodFlag::KikuchipySpatial => Method::KikuchipySpatial,
            }),
        );
        set(&mut p.dtype, self.dtype.map(Dtype::from));
        set(&mut p.sigma, self.sigma);
        set(&mut p.background_scale, self.background_scale);
        set(&mut p.low, self.low);
        set(&mut p.high, self.high);
        set(&mut p.clahe_limit, self.clahe_limit);
        p.round |= self.round;
        p.background = self.background.or(p.background.take());
        p.hot = self.hot.or(p.hot);
        p.local = self.local.or(p.local);
        p.circle = self.circle.or(p.circle);
        if let Some(tile) = self.clahe {
            p.clahe = Some(pair("--clahe", &tile)?);
        }
        Ok(())
    }
}

pub fn run(args: Args, session: &Session) -> Result<()> {
    let (how, mut params) = args.files.parameters::<Params>(args.how.scan(), "process")?;
    args.flags.apply(&mut params)?;
    let at = args.at.as_deref().map(|t| pair("--at", t)).transpose()?;
    let (mut store, output) = args.files.store()?;
    let reads = match at {
        Some(at) if params.background.as_deref() != Some("mean") => Reads::Only(at),
        _ => Reads::Region,
    };
    let (map, selection) = open_map(&how, &args.files.input, session, reads)?;
    if let Some(store) = &mut store {
        store.only(&map.present);
    }
    let backend = session.backend()?;
    let read = |path: &Path| arrays::image(path);
    let background = process::background(&map, &selection, &params, read, &backend, &session.control)?;
    let job = Job {
        map: &map,
        selection: &selection,
        params: &params,
        background: background.as_ref(),
        effective: effective(&how, "process", &params)?,
    };
    if let Some(at) = at {
        let stages = job.stages(at, &session.control)?;
        write_file(output, session.overwrite, &stages.draw(at).to_png()?)?;
        let histograms = output.with_extension("histograms.png");
        write_file(&histograms, session.overwrite, &stages.histograms().to_png()?)?;
        said!(session, "{} and {}", output.display(), histograms.display());
        return Ok(());
    }
    whole_map(&how)?;
    let done = job.run(store, output, session.overwrite, &backend, &session.control)?;
    if done.bad_background > 0 {
        log::warn!(
            "{} pixels of the static background are no positive numbers; they were filled from their neighbours",
            done.bad_background
        );
    }
    let others = done.filled - done.bad_background as u64 * done.patterns;
    if others > 0 {
        log::warn!("{others} pixels that were not finite or had no background were filled");
    }
    if done.cropped != [0, 0] {
        let [y, x] = done.cropped;
        let centre = match args.files.in_place {
            true => "; the pattern centre in the file stays that of the raw patterns",
            false => "",
        };
        log::warn!("binning leaves out {y} rows at the bottom and {x} columns at the right of each pattern{centre}");
    }
    report_warnings(&args.files.input, &*map.scan);
    said!(session, "{} patterns; {}", done.patterns, done.report.display());
    Ok(())
}
