//! Tiles the bundled scans to the sizes that the benches use: `tile DIR` writes polycrystal-240x250.npy (1.2 GB) and
//! bullseye-72x112.npy (1.0 GB), unless they are there; `tile DIR N` writes polycrystal-N-gib.npy of about N GiB instead.

use emstream::io::{self, OpenOptions, write};
use emstream::{Control, Result};
use std::path::Path;

fn main() -> Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "target/bench".into());
    let folder = Path::new(&folder);
    let control = Control::new();
    let small = folder.join("polycrystal.blo");
    let packed = std::fs::File::open("assets/polycrystal.blo.gz");
    let unpack = || -> std::io::Result<()> {
        let mut out = std::fs::File::create(&small)?;
        std::io::copy(&mut flate2::read::GzDecoder::new(packed?), &mut out).map(|_| ())
    };
    unpack().map_err(|e| emstream::Error::io(&small, "cannot unpack", e))?;
    if let Some(gib) = std::env::args().nth(2) {
        // 40 × 50 frames of 144² pixels are 41.5 MB.
        let times = gib.parse::<f64>().unwrap_or(1.0) * 25.9;
        let along = times.sqrt().ceil().max(1.0) as usize;
        let big = folder.join(format!("polycrystal-{gib}-gib.npy"));
        return tile(&small, &big, [(times / along as f64).ceil() as usize, along], &control);
    }
    tile(&small, &folder.join("polycrystal-240x250.npy"), [6, 5], &control)?;
    tile(
        Path::new("assets/bullseye.h5"),
        &folder.join("bullseye-72x112.npy"),
        [3, 4],
        &control,
    )
}

/// Repeats a scan `times` along (y, x).
fn tile(from: &Path, to: &Path, times: [usize; 2], control: &Control) -> Result<()> {
    if to.exists() {
        return Ok(());
    }
    let scan = io::open(from, &OpenOptions::default(), control)?;
    let info = scan.info();
    let ([ny, nx], bytes) = (info.nav, info.frame.bytes());
    let mut row = vec![0; nx * bytes];
    let mut out = write::create(to, [ny * times[0], nx * times[1]], info.frame, false)?;
    for y in 0..ny * times[0] {
        let numbers: Vec<u64> = (0..nx).map(|x| (y % ny * nx + x) as u64).collect();
        scan.read(&numbers, bytes, &mut row, control)?;
        for _ in 0..times[1] {
            out.write(&row)?;
        }
    }
    out.finish()
}
