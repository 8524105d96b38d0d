//! `emstream masks`

use super::scan::{ScanArgs, report_warnings};
use super::session::Session;
use emstream::analysis::maskspec::Detector;
use emstream::engine::{Pass, Resident};
use emstream::io::array;
use emstream::io::results::{Meta, ResultFile};
use emstream::kernels::masks::MaskStack;
use emstream::ops::MaskProducts;
use emstream::pixel::FrameShape;
use emstream::workflows::{self, Timings};
use emstream::{Error, Result};
use ndarray::Array2;
use std::path::PathBuf;

/// Virtual detectors and mask stacks: the product of every frame with every mask
#[derive(clap::Args)]
pub struct Args {
    /// A scan of any format
    scan: PathBuf,
    /// FILE.npy (dense), FILE.npz (CSR), disk:Y,X,R ring:Y,X,R1,R2 rect:Y,X,H,W; may be given several times
    #[arg(long, required = true, num_args = 1.., value_name = "SPEC")]
    masks: Vec<String>,
    /// Result file (HDF5)
    #[arg(short, long, value_name = "OUT.h5")]
    output: PathBuf,
    #[command(flatten)]
    how: ScanArgs,
}

pub fn run(args: Args, session: &Session) -> Result<()> {
    let out = ResultFile::create(&args.output, session.overwrite)?;
    let (scan, selection) = args.how.open(&args.scan, session)?;
    let stack = load(&args.masks, scan.info().frame, session.control.memory)?;
    stack.check(scan.info().frame.height, scan.info().frame.width)?;
    let backend = session.backend()?;
    let mut timings = Timings::default();

    let mut pass = Pass::new("masks", &*scan, &selection);
    let handle = pass.add(MaskProducts::new(&stack));
    let mut done = timings.pass("masks", &*scan, &selection, || {
        pass.run(&backend, &Resident::none(), &session.control)
    })?;
    let values = workflows::scatter_rows(&selection, stack.len(), done.take(handle)?, f32::NAN)?;

    let meta = Meta::new(
        "counts",
        &["scan_y", "scan_x", "mask"],
        "sum of mask times pixels of each frame",
    );
    out.put("masks/values", values.view(), meta)?;
    report_warnings(&args.scan, &*scan);
    let parameters = format!(
        "[scan]\n{}\n[masks]\nmasks = {:?}\n",
        workflows::to_toml(&args.how)?,
        args.masks
    );
    out.provenance(&workflows::provenance("masks", &*scan, &backend, parameters, &timings)?)?;
    out.finish()
}

/// One stack from all specs: a single file stays as it is, everything else is joined as dense rows.
fn load(specs: &[String], frame: FrameShape, max_bytes: u64) -> Result<MaskStack> {
    let (h, w) = (frame.height, frame.width);
    if let [one] = specs
        && !one.contains(':')
    {
        return array::read_masks(one, h, w, max_bytes);
    }
    let mut rows: Vec<f32> = Vec::new();
    for spec in specs {
        if spec.contains(':') {
            rows.extend(Detector::parse(spec)?.mask(h, w)?.iter().map(|&v| v as f32));
        } else {
            match array::read_masks(spec, h, w, max_bytes)? {
                MaskStack::Dense { rows: more } => rows.extend(more.iter()),
                _ => {
                    return Err(Error::parameter(
                        "--masks",
                        format!("{spec}: a sparse stack cannot be combined with other masks"),
                    ));
                }
            }
        }
    }
    let rows = Array2::from_shape_vec((rows.len() / (h * w), h * w), rows);
    Ok(MaskStack::Dense {
        rows: rows.map_err(|e| Error::Internal(format!("masks: {e}")))?,
    })
}
