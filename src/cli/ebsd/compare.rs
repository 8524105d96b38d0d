//! `emstream ebsd compare`

use super::{Files, Reads, effective, open_map};
use crate::cli::arrays;
use crate::cli::scan::{ScanArgs, pair, report_warnings};
use crate::cli::session::Session;
use crate::cli::set;
use emstream::analysis::maskspec::Detector;
use emstream::io::{self, OpenOptions};
use emstream::pixel::FrameShape;
use emstream::workflows::Timings;
use emstream::workflows::ebsd::compare::{self, Compared, Job, Likeness, Params, gaussian_weights};
use emstream::{Error, Result};
use ndarray::Array2;
use std::path::{Path, PathBuf};

/// Similarity of patterns with their neighbours, with one pattern (and the shift against it), or with a set of templates
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    files: Files,
    /// Templates of the patterns' size, any scan or HDF5 file/dataset: the best few of each pattern
    #[arg(long, value_name = "FILE", conflicts_with = "reference")]
    templates: Option<PathBuf>,
    /// Templates that are kept for each pattern [default: 5]
    #[arg(long, value_name = "K")]
    keep: Option<usize>,
    /// Compare with the pattern at this point, and find the shift against it
    #[arg(long, value_name = "ROW,COL")]
    reference: Option<String>,
    /// Find shifts to 1/N pixels [default: 200]
    #[arg(long, value_name = "N")]
    upsample: Option<u32>,
    /// `ncc` (correlation coefficient) or `nip` (inner product) [default: ncc]
    #[arg(long, value_name = "ncc|nip")]
    metric: Option<Likeness>,
    /// Pixels that count: disk:Y,X,R ring:Y,X,R1,R2 rect:Y,X,H,W, or an image of 0 and 1
    #[arg(long, value_name = "SPEC|FILE")]
    mask: Option<String>,
    /// Weights of pixels: gauss:SIGMA around the middle, or an image
    #[arg(long, value_name = "gauss:SIGMA|FILE")]
    weights: Option<String>,
    #[command(flatten)]
    how: ScanArgs,
}

/// Product of mask and weights.
fn weights(params: &Params, frame: FrameShape) -> Result<Option<Array2<f64>>> {
    let (h, w) = (frame.height, frame.width);
    let file = |name: &str, path: &str| -> Result<Array2<f64>> {
        let image = arrays::image(Path::new(path))?;
        if image.dim() != (h, w) {
            let what = format!("{path}: {:?} pixels, the patterns have {h} × {w}", image.dim());
            return Err(Error::parameter(name, what));
        }
        Ok(image)
    };
    let mask = match params.mask.as_deref() {
        None => None,
        Some(spec) if ["disk:", "ring:", "rect:"].iter().any(|f| spec.starts_with(f)) => Some(Detector::parse(spec)?.mask(h, w)?),
        Some(path) => Some(file("--mask", path)?),
    };
    let weights = match params.weights.as_deref() {
        None => None,
        Some(spec) => match spec.strip_prefix("gauss:") {
            None => Some(file("--weights", spec)?),
            Some(sigma) => {
                let sigma: f64 = (sigma.parse().ok())
                    .filter(|s: &f64| s.is_finite() && *s > 0.0)
                    .ok_or_else(|| Error::parameter("--weights", format!("`{spec}` is not gauss:SIGMA with SIGMA above 0")))?;
                Some(gaussian_weights(h, w, sigma))
            }
        },
    };
    Ok(match (mask, weights) {
        (Some(m), Some(w)) => Some(m * w),
        (m, w) => m.or(w),
    })
}

pub fn run(args: Args, session: &Session) -> Result<()> {
    let (how, mut params) = args.files.parameters::<Params>(args.how, "compare")?;
    if let Some(path) = args.templates {
        params.templates = Some(path.to_string_lossy().into_owned());
        params.reference = None;
    }
    if let Some(at) = &args.reference {
        params.reference = Some(pair("--reference", at)?);
        params.templates = None;
    }
    set(&mut params.keep, args.keep);
    set(&mut params.upsample, args.upsample);
    set(&mut params.metric, args.metric);
    params.mask = args.mask.or(params.mask);
    params.weights = args.weights.or(params.weights);
    for (flag, needs, without) in [
        ("--keep", "--templates", args.keep.is_some() && params.templates.is_none()),
        (
            "--upsample",
            "--reference",
            args.upsample.is_some() && params.reference.is_none(),
        ),
    ] {
        if without {
            return Err(Error::parameter(flag, format!("it belongs to {needs}")));
        }
    }
    if params.upsample == 0 {
        return Err(Error::parameter("--upsample", "must be at least 1"));
    }
    if params.templates.is_some() {
        args.files.rows_of_all(&how)?;
    }
    let mut target = args.files.target(session)?;
    let reads = match (&params.templates, params.reference) {
        (Some(_), _) => Reads::Region,
        (None, Some(at)) => Reads::Besides(at),
        (None, None) => Reads::Around,
    };
    let (map, selection) = open_map(&how, &args.files.input, session, reads)?;
    target.only(&map.present);
    if params.templates.is_some() {
        target.locate(&selection)?;
    }
    let backend = session.backend()?;
    let job = Job {
        map: &map,
        selection: &selection,
        params: &params,
        weights: weights(&params, map.scan.info().frame)?,
    };
    let (control, mut timings) = (&session.control, Timings::default());
    let found = match (&params.templates, params.reference) {
        (Some(path), _) => {
            let (file, dataset) = arrays::split_dataset(Path::new(path));
            let options = OpenOptions {
                dataset,
                ..OpenOptions::default()
            };
            let templates = io::open(file, &options, control)?;
            Compared::Templates {
                matches: job.templates(&*templates, &mut timings, &backend, control)?,
                templates: templates.info().frames(),
            }
        }
        (None, Some(at)) => {
            if job.weights.is_some() {
                log::warn!("--mask and --weights count for the similarity, not for the shift");
            }
            Compared::Reference(job.reference(at, &mut timings, control)?)
        }
        (None, None) => Compared::Neighbours(job.neighbours(&mut timings, &backend, control)?),
    };
    let text = effective(&how, "compare", &params)?;
    let page = compare::write(&found, &job, &timings, target, &backend, text)?;
    report_warnings(&args.files.input, &*map.scan);
    said!(session, "{} patterns; {}", selection.len(), page.display());
    Ok(())
}
