//! `emstream ebsd bands`

use super::{effective, open_map, params_file};
use crate::cli::scan::{ScanArgs, pair, report_warnings};
use crate::cli::session::Session;
use crate::cli::set;
use emstream::analysis::Recipe;
use emstream::engine::Backend;
use emstream::io::output::write_file;
use emstream::workflows::ebsd::Target;
use emstream::workflows::ebsd::bands::{self, Params};
use emstream::{Error, Result};
use std::path::PathBuf;

/// Bands of every pattern by Hough transform, and a band quality map; or with --at the bands of one pattern drawn
#[derive(clap::Args)]
pub struct Args {
    input: PathBuf,
    /// Result file (HDF5); with --at a figure (.png)
    #[arg(short, long, value_name = "OUT.h5|FILE.png", required_unless_present = "in_place")]
    output: Option<PathBuf>,
    /// Put the bands into the input
    #[arg(long, conflicts_with_all = ["output", "at"])]
    in_place: bool,
    /// Only the pattern at this point, drawn with its bands
    #[arg(long, value_name = "ROW,COL")]
    at: Option<String>,
    /// Parameters from a file, as an earlier run wrote them; flags win over it
    #[arg(long, value_name = "FILE.toml")]
    params: Option<PathBuf>,
    /// Number of angles [default: 150]
    #[arg(long, value_name = "N")]
    theta: Option<usize>,
    /// Most bands of a pattern [default: 12]
    #[arg(long, value_name = "N")]
    peaks: Option<usize>,
    /// Pixels brighter than this many times Otsu's threshold count [default: 1.15]
    #[arg(long, value_name = "F", allow_negative_numbers = true)]
    factor: Option<f64>,
    /// Grey values vote, without a threshold
    #[arg(long)]
    grey: bool,
    /// Least height of a peak in the range of the filtered transform [default: 0.5]
    #[arg(long, value_name = "H", allow_negative_numbers = true)]
    threshold: Option<f64>,
    /// `published` repeats the published notebook: both ends of the angles, no wrap-around of the filter [default: default]
    #[arg(long, value_name = "default|published")]
    recipe: Option<Recipe>,
    #[command(flatten)]
    how: ScanArgs,
}

pub fn run(args: Args, session: &Session) -> Result<()> {
    let (mut how, mut params) = params_file::<Params>(args.params.as_deref(), args.how, "bands")?;
    set(&mut params.theta, args.theta);
    set(&mut params.peaks, args.peaks);
    set(&mut params.factor, args.factor);
    set(&mut params.threshold, args.threshold);
    set(&mut params.recipe, args.recipe);
    params.grey |= args.grey;
    let at = args.at.as_deref().map(|t| pair("--at", t)).transpose()?;
    if let Some([row, column]) = at {
        how.roi = Some(format!("{row}:{},{column}:{}", row + 1, column + 1));
    }
    let target = match at {
        Some(_) => None,
        None => Some(Target::open(&args.input, args.output.as_deref(), session.overwrite)?),
    };
    // Bands show in processed patterns: those come first where the file has both.
    let given = how.dataset.clone();
    how.dataset = given.clone().or(Some("Patterns".into()));
    let opened = match open_map(&how, &args.input, session) {
        Err(_) if given.is_none() => {
            how.dataset = None;
            open_map(&how, &args.input, session)
        }
        other => other,
    };
    let (map, selection) = opened?;
    if map
        .scan
        .info()
        .dataset
        .as_deref()
        .is_some_and(|d| d.ends_with("/RawPatterns"))
    {
        log::warn!(
            "{}: these are raw patterns; bands show better after `ebsd process`",
            args.input.display()
        );
    }
    let found = bands::find(&map, &selection, &params, &Backend::Cpu, &session.control)?;
    let [_, columns] = map.scan.info().nav;
    let point = at.or_else(|| {
        let middle = selection.iter().nth(selection.len() as usize / 2)? as usize;
        Some([middle / columns, middle % columns])
    });
    let point = point.ok_or_else(|| Error::Internal("a selection without a middle".into()))?;
    let figure = bands::draw_at(&found, &map, &selection, point, &session.control)?;
    report_warnings(&args.input, &*map.scan);
    match (target, args.output) {
        (Some(target), _) => {
            let text = effective(&how, "bands", &params)?;
            let page = bands::write(&found, &map, &figure, target, &Backend::Cpu, text)?;
            println!("{} patterns; {}", selection.len(), page.display());
        }
        (None, Some(output)) => {
            write_file(&output, session.overwrite, &figure.to_png()?)?;
            println!("{}", output.display());
        }
        (None, None) => {}
    }
    Ok(())
}
