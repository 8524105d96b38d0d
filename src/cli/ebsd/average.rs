//! `emstream ebsd average`

use super::{DtypeFlag, Files, PatternArgs, Reads, effective, open_map, whole_map};
use crate::cli::scan::report_warnings;
use crate::cli::session::Session;
use crate::cli::set;
use emstream::workflows::ebsd::average::{Dtype, Job, Params, Shape};
use emstream::{Error, Result};

/// Every pattern averaged with its neighbours on the map, or non-locally with those that are like it (NLPAR)
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    how: PatternArgs,
    /// Rows and columns around a point that count [default: 1, with --nlpar 3]
    #[arg(long, value_name = "N")]
    radius: Option<usize>,
    /// `square`, or `circle` for points within so many steps [default: square]
    #[arg(long, value_name = "square|circle")]
    shape: Option<Shape>,
    /// Gaussian weights with this standard deviation in steps [default: equal weights]
    #[arg(long, value_name = "STEPS", allow_negative_numbers = true)]
    std: Option<f64>,
    /// Weights from the similarity of patterns: boundaries stay sharp
    #[arg(long)]
    nlpar: bool,
    /// How different patterns may be that --nlpar still averages [default: 0.7]
    #[arg(long, value_name = "L", allow_negative_numbers = true)]
    lambda: Option<f64>,
    /// Pixels of the result [default: f32]
    #[arg(long, value_enum)]
    dtype: Option<DtypeFlag>,
    /// Spread each pattern over the range of --dtype u8 or u16
    #[arg(long)]
    rescale: bool,
}

pub fn run(args: Args, session: &Session) -> Result<()> {
    let (how, mut params) = args.files.parameters::<Params>(args.how.scan(), "average")?;
    if args.nlpar && !params.nlpar {
        params.nlpar = true;
        params.radius = 3;
    }
    set(&mut params.radius, args.radius);
    set(&mut params.shape, args.shape);
    set(&mut params.lambda, args.lambda);
    set(&mut params.dtype, args.dtype.map(Dtype::from));
    params.std = args.std.or(params.std);
    params.rescale |= args.rescale;
    if args.lambda.is_some() && !params.nlpar {
        return Err(Error::parameter("--lambda", "it belongs to --nlpar"));
    }
    whole_map(&how)?;
    // What is wrong with numbers comes before any file is touched.
    params.offsets()?;
    let (mut store, output) = args.files.store()?;
    let (map, selection) = open_map(&how, &args.files.input, session, Reads::Region)?;
    if let Some(store) = &mut store {
        store.only(&map.present);
    }
    let job = Job {
        map: &map,
        selection: &selection,
        params: &params,
        effective: effective(&how, "average", &params)?,
    };
    let backend = session.backend()?;
    let done = job.run(store, output, session.overwrite, &backend, &session.control)?;
    report_warnings(&args.files.input, &*map.scan);
    said!(
        session,
        "{} patterns, {:.2} in an average; {}",
        done.patterns,
        done.together,
        done.report.display()
    );
    Ok(())
}
