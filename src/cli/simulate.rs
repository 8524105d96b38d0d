//! `emstream simulate`

use super::scan::pair;
use super::session::Session;
use clap::Subcommand;
use emstream::io::Scan;
use emstream::pixel::Pixel;
use emstream::simulate::{Grains, Polycrystal, Simulated};
use emstream::{Error, Result};
use std::path::PathBuf;

/// Write test scans of any size with known truth
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Polycrystal(PolycrystalArgs),
}

/// A polycrystal: grains with their own lattices, strain, descan, noise; the truth goes to FILE.truth.h5
#[derive(clap::Args)]
struct PolycrystalArgs {
    /// Output: .blo (u8), .npy or .h5
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// All parameters from a file
    #[arg(long, value_name = "FILE.toml")]
    params: Option<PathBuf>,
    /// Scan shape [default: 40,50]
    #[arg(long, value_name = "Y,X")]
    nav_shape: Option<String>,
    /// Frame shape [default: 144,144]
    #[arg(long, value_name = "H,W")]
    sig_shape: Option<String>,
    /// Pixel type: u8, u16 or f32 [default: u8]
    #[arg(long, value_name = "T")]
    dtype: Option<String>,
    /// Number of grains [default: by the size of the scan]
    #[arg(long, value_name = "N")]
    grains: Option<usize>,
    /// Seed of all random numbers [default: 1]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Multiplies the expectation of every pixel [default: 1]
    #[arg(long, value_name = "X")]
    dose: Option<f64>,
}

impl PolycrystalArgs {
    fn parameters(&self) -> Result<Polycrystal> {
        let mut p = match &self.params {
            None => Polycrystal::default(),
            Some(file) => {
                let text = std::fs::read_to_string(file).map_err(|e| Error::io(file, "cannot read", e))?;
                Polycrystal::from_toml(&text)?
            }
        };
        if let Some(t) = &self.nav_shape {
            p.nav = pair("--nav-shape", t)?;
        }
        if let Some(t) = &self.sig_shape {
            p.sig = pair("--sig-shape", t)?;
        }
        match self.dtype.as_deref() {
            None => {}
            Some("u8") => p.pixel = Pixel::U8,
            Some("u16") => p.pixel = Pixel::U16,
            Some("f32") => p.pixel = Pixel::F32,
            Some(other) => return Err(Error::parameter("--dtype", format!("'{other}' is none of u8, u16, f32"))),
        }
        p.grains = self.grains.map(Grains::Count).or(p.grains);
        p.seed = self.seed.unwrap_or(p.seed);
        p.dose = self.dose.unwrap_or(p.dose);
        Ok(p)
    }
}

pub fn run(args: Args, session: &Session) -> Result<()> {
    let What::Polycrystal(args) = args.what;
    let scan = Simulated::new(&args.parameters()?)?;
    let info = scan.info();
    let truth = scan.write(&args.output, session.overwrite, &session.control)?;
    let [ny, nx] = info.nav;
    println!(
        "{ny} × {nx} frames of {} × {} {}; truth in {}",
        info.frame.height,
        info.frame.width,
        info.frame.pixel,
        truth.display()
    );
    Ok(())
}
