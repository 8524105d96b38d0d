//! `emstream ebsd bands`

use super::{Files, Reads, effective, open_map};
use crate::cli::scan::{ScanArgs, pair, report_warnings};
use crate::cli::session::Session;
use crate::cli::set;
use emstream::analysis::Recipe;
use emstream::engine::Selection;
use emstream::io::ebsd::PatternMap;
use emstream::io::output::write_file;
use emstream::workflows::ebsd::bands::{self, Params};
use emstream::{Error, Result};
use std::path::Path;

/// Stacks of processed patterns, ours first, and of patterns as the camera gave them.
const PROCESSED: [&str; 2] = ["Patterns", "Processed Patterns"];
const RAW: [&str; 2] = ["RawPatterns", "Unprocessed Patterns"];

/// Bands of every pattern by Hough transform, and a band quality map; or with --at the bands of one pattern drawn
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    files: Files,
    /// Only the pattern at this point, drawn with its bands; -o is then a figure (.png)
    #[arg(long, value_name = "ROW,COL", conflicts_with = "in_place")]
    at: Option<String>,
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
    let (mut how, mut params) = args.files.parameters::<Params>(args.how, "bands")?;
    set(&mut params.theta, args.theta);
    set(&mut params.peaks, args.peaks);
    set(&mut params.factor, args.factor);
    set(&mut params.threshold, args.threshold);
    set(&mut params.recipe, args.recipe);
    params.grey |= args.grey;
    let at = args.at.as_deref().map(|t| pair("--at", t)).transpose()?;
    let mut target = match at {
        Some(_) => None,
        None => Some(args.files.target(session)?),
    };
    let backend = session.backend()?;
    let reads = at.map_or(Reads::Region, Reads::Only);
    let (map, selection) = patterns(&mut how, &args.files.input, session, reads)?;
    if let Some(target) = &mut target {
        target.only(&map.present);
        target.locate(&selection)?;
    }
    let stack = map.scan.info().dataset.as_deref().unwrap_or("");
    if stack.rsplit('/').next().is_some_and(|name| RAW.contains(&name)) {
        log::warn!(
            "{}: these are raw patterns; bands show better after `ebsd process`",
            args.files.input.display()
        );
    }
    let found = bands::find(&map, &selection, &params, &backend, &session.control)?;
    let [_, columns] = map.scan.info().nav;
    let point = at.or_else(|| {
        let middle = selection.iter().nth(selection.len() as usize / 2)? as usize;
        Some([middle / columns, middle % columns])
    });
    let point = point.ok_or_else(|| Error::Internal("a selection without a middle".into()))?;
    let figure = bands::draw_at(&found, &map, &selection, point, &session.control)?;
    report_warnings(&args.files.input, &*map.scan);
    match (target, args.files.output) {
        (Some(target), _) => {
            let text = effective(&how, "bands", &params)?;
            let page = bands::write(&found, &map, &figure, target, &backend, text)?;
            said!(session, "{} patterns; {}", selection.len(), page.display());
        }
        (None, Some(output)) => {
            write_file(&output, session.overwrite, &figure.to_png()?)?;
            said!(session, "{}", output.display());
        }
        (None, None) => {}
    }
    Ok(())
}

/// Bands show in processed patterns: those come first where the file has both and the user names none. `how` says in the end what was read.
fn patterns(how: &mut ScanArgs, input: &Path, session: &Session, reads: Reads) -> Result<(PatternMap, Selection)> {
    if how.dataset.is_some() {
        return open_map(how, input, session, reads);
    }
    for name in PROCESSED {
        how.dataset = Some(name.into());
        if let Ok(opened) = open_map(how, input, session, reads) {
            return Ok(opened);
        }
    }
    how.dataset = None;
    open_map(how, input, session, reads)
}
