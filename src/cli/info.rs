//! `emstream info`

use super::scan::ScanArgs;
use super::session::Session;
use emstream::Result;
use emstream::io::{self, Axis};
use serde_json::json;
use std::path::PathBuf;

/// Show what a file holds: scan shape, pixel type, calibration, datasets; reads the header only
#[derive(clap::Args)]
pub struct Args {
    /// File or folder to look into
    file: PathBuf,
    /// Machine-readable output
    #[arg(long)]
    json: bool,
    /// List the tags of a DigitalMicrograph file
    #[arg(long)]
    tags: bool,
    #[command(flatten)]
    scan: ScanArgs,
}

pub fn run(args: Args, session: &Session) -> Result<()> {
    if args.tags {
        return tags(&args);
    }
    let datasets = io::candidates(&args.file)?;
    let opened = io::open(&args.file, &args.scan.options()?, &session.control);
    let scan = match opened {
        Ok(scan) => scan,
        // Several datasets to choose from are information here, not a failure.
        Err(_) if datasets.len() > 1 && args.scan.dataset.is_none() => {
            if args.json {
                let list: Vec<_> = datasets
                    .iter()
                    .map(|d| json!({"path": d.path, "shape": d.shape, "dtype": d.dtype}))
                    .collect();
                println!("{}", json!({"file": args.file, "datasets": list}));
            } else {
                println!(
                    "{}: {} datasets, choose one with --dataset",
                    args.file.display(),
                    datasets.len()
                );
                datasets
                    .iter()
                    .for_each(|d| println!("  {}  {:?}  {}", d.path, d.shape, d.dtype));
            }
            return Ok(());
        }
        Err(e) => return Err(e),
    };
    let i = scan.info();
    let otherwise = io::otherwise(i, &datasets);
    let on_disk = i.bytes_on_disk()?;
    if args.json {
        let axis = |a: &Axis| json!({"scale": a.scale, "unit": a.unit});
        let list: Vec<_> = datasets
            .iter()
            .map(|d| json!({"path": d.path, "shape": d.shape, "dtype": d.dtype}))
            .collect();
        let out = json!({
            "file": i.path, "format": i.format, "dataset": i.dataset, "nav_shape": i.nav,
            "sig_shape": [i.frame.height, i.frame.width], "dtype": i.frame.pixel.name(), "stored": i.stored,
            "nav_axes": i.nav_axes.iter().map(axis).collect::<Vec<_>>(),
            "sig_axes": i.sig_axes.iter().map(axis).collect::<Vec<_>>(),
            "frames": i.frames(), "file_bytes": on_disk, "datasets": list, "notes": i.notes,
            "shape_from": i.reading.shape.word(), "shape_reason": i.reading.shape.to_string(), "ignored": i.reading.ignored,
            "otherwise": otherwise.iter().map(|(flags, what)| json!({"flags": flags, "what": what})).collect::<Vec<_>>(),
        });
        println!("{out}");
        return Ok(());
    }
    println!("{}", i.path.display());
    println!(
        "  format      {}{}",
        i.format,
        i.dataset.as_ref().map(|d| format!(", dataset {d}")).unwrap_or_default()
    );
    println!(
        "  scan        {} × {} positions (y, x){}",
        i.nav[0],
        i.nav[1],
        steps(&i.nav_axes)
    );
    println!("  scan shape  {}", i.reading.shape);
    println!(
        "  frames      {} × {} pixels, {}{}",
        i.frame.height,
        i.frame.width,
        i.stored,
        steps(&i.sig_axes)
    );
    println!(
        "  pixels      {:.3} GB decoded, {:.3} GB on disk",
        gb(i.frames() * i.frame.bytes() as u64),
        gb(on_disk)
    );
    for d in &datasets {
        println!("  dataset     {}  {:?}  {}", d.path, d.shape, d.dtype);
    }
    i.notes.iter().for_each(|n| println!("  note        {n}"));
    i.reading.ignored.iter().for_each(|n| println!("  ignored     {n}"));
    otherwise
        .iter()
        .for_each(|(flags, what)| println!("  otherwise   {flags}  ({what})"));
    Ok(())
}

/// Lists tags, one a line.
fn tags(args: &Args) -> Result<()> {
    let tags = io::tags(&args.file)?;
    if args.json {
        let map: serde_json::Map<_, _> = tags.into_iter().map(|(path, value)| (path, json!(value))).collect();
        println!("{}", json!({"file": args.file, "tags": map}));
    } else {
        tags.iter().for_each(|(path, value)| println!("{path} = {value}"));
    }
    Ok(())
}

fn gb(bytes: u64) -> f64 {
    bytes as f64 / 1e9
}

/// `, step 1.5 nm`, or nothing where the file does not say.
fn steps(axes: &[Axis; 2]) -> String {
    match (axes[0].scale, axes[1].scale) {
        (Some(y), Some(x)) if y == x && axes[0].unit == axes[1].unit => format!(", step {y:.4} {}", axes[0].unit),
        (Some(y), Some(x)) => format!(", step {y:.4} {} × {x:.4} {}", axes[0].unit, axes[1].unit),
        _ => String::new(),
    }
}
