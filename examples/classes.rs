//! A Gaussian mixture or ward's tree of points in a .npy file, with the time it takes: what `scripts/bench_classes.py` measures.
//!
//!     cargo run --release --example classes -- points.npy mixture 5 [labels.npy]
//!     cargo run --release --example classes -- points.npy ward

use emstream::analysis::linkage;
use emstream::analysis::mixture::{Options, Start, best_of, fit};
use emstream::io::array::{MAX_BYTES, read_array};
use emstream::{Control, Error, Result};
use ndarray::{ArrayD, Ix2};
use std::path::Path;
use std::time::Instant;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let usage = || Error::parameter("usage", "points.npy mixture K [labels.npy], or points.npy ward");
    let path = Path::new(args.first().ok_or_else(usage)?);
    let points: ArrayD<f64> = read_array(path, MAX_BYTES)?;
    let points = points
        .into_dimensionality::<Ix2>()
        .map_err(|_| Error::format(path, "shape", "two dimensions are needed"))?;
    let begun = Instant::now();
    match args.get(1).map(String::as_str) {
        Some("mixture") => {
            let classes: usize = args.get(2).and_then(|k| k.parse().ok()).ok_or_else(usage)?;
            let found = match args.get(3) {
                Some(labels) => {
                    let labels: ArrayD<i64> = read_array(Path::new(labels), MAX_BYTES)?;
                    let labels: Vec<usize> = labels.iter().map(|&l| l.max(0) as usize).collect();
                    fit(points.view(), Start::Labels(&labels, classes), Options::default())?
                }
                None => best_of(points.view(), classes, 1, 0, Options::default())?,
            };
            println!("seconds {:.4}", begun.elapsed().as_secs_f64());
            println!("rounds {}", found.trace.len());
            println!("likelihood {:.9}", found.mean_log_likelihood);
        }
        Some("ward") => {
            let tree = linkage::ward(points.view(), &Control::new())?;
            println!("seconds {:.4}", begun.elapsed().as_secs_f64());
            println!("last {:.9}", tree.distances().last().copied().unwrap_or_default());
        }
        _ => return Err(usage()),
    }
    Ok(())
}
