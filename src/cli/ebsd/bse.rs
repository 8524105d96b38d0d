//! `emstream ebsd bse`

use super::{Files, Reads, effective, numbers, open_map};
use crate::cli::scan::{ScanArgs, report_warnings};
use crate::cli::session::Session;
use crate::cli::set;
use emstream::Result;
use emstream::workflows::ebsd::bse::{self, Params};

/// Images of backscattered electrons: the signal of a grid of cells, or of rectangles, in every pattern
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    files: Files,
    /// Cells of the grid, rows × columns [default: 7x7]
    #[arg(long, value_name = "RxC")]
    grid: Option<String>,
    /// Rectangle in pixels instead of the grid; may be given several times
    #[arg(long, value_name = "TOP,LEFT,H,W", conflicts_with = "grid")]
    region: Vec<String>,
    /// Sums instead of means
    #[arg(long)]
    sum: bool,
    /// Contrast of the colour images [default: 0.8]
    #[arg(long, value_name = "C", allow_negative_numbers = true)]
    contrast: Option<f64>,
    /// Columns of the grid that become red, green and blue [default: first, middle, last]
    #[arg(long, value_name = "R,G,B")]
    columns: Option<String>,
    /// Azimuth of the light of the shaded image in degrees [default: -60]
    #[arg(long, value_name = "DEG", allow_negative_numbers = true)]
    azimuth: Option<f64>,
    /// Altitude of the light in degrees [default: 20]
    #[arg(long, value_name = "DEG", allow_negative_numbers = true)]
    altitude: Option<f64>,
    #[command(flatten)]
    how: ScanArgs,
}

pub fn run(args: Args, session: &Session) -> Result<()> {
    let (how, mut params) = args.files.parameters::<Params>(args.how, "bse")?;
    if let Some(grid) = &args.grid {
        params.grid = numbers("--grid", grid, &['x', '×'], "7x7")?;
        params.region.clear();
    }
    if !args.region.is_empty() {
        let parse = |t: &String| numbers("--region", t, &[','], "5,10,25,30");
        params.region = args.region.iter().map(parse).collect::<Result<_>>()?;
    }
    if let Some(columns) = &args.columns {
        params.columns = Some(numbers("--columns", columns, &[','], "0,3,6")?);
    }
    params.sum |= args.sum;
    set(&mut params.contrast, args.contrast);
    set(&mut params.azimuth, args.azimuth);
    set(&mut params.altitude, args.altitude);

    let target = args.files.target(session)?;
    let (map, selection) = open_map(&how, &args.files.input, session, Reads::Region)?;
    let backend = session.backend()?;
    let signals = bse::signals(&map, &selection, &params, &backend, &session.control)?;
    let text = effective(&how, "bse", &params)?;
    let page = bse::write(&signals, &map, &params, target, &backend, text)?;
    report_warnings(&args.files.input, &*map.scan);
    said!(session, "{} patterns; {}", selection.len(), page.display());
    Ok(())
}
