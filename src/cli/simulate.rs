//! `emstream simulate`

use super::scan::pair;
use super::session::Session;
use clap::Subcommand;
use emstream::io::Scan;
use emstream::pixel::Pixel;
use emstream::simulate::{Grains, Kikuchi, Polycrystal, Simulated, SimulatedKikuchi, Structure};
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
    Ebsd(KikuchiArgs),
}

/// A map of Kikuchi patterns of a cubic polycrystal; orientations are in the file and in a .ctf beside it
#[derive(clap::Args)]
struct KikuchiArgs {
    /// Output, in the layout of `ebsd convert`
    #[arg(short, long, value_name = "FILE.h5")]
    output: PathBuf,
    /// All parameters from a file
    #[arg(long, value_name = "FILE.toml")]
    params: Option<PathBuf>,
    /// Map shape [default: 60,80]
    #[arg(long, value_name = "Y,X")]
    nav_shape: Option<String>,
    /// Pattern shape [default: 120,160]
    #[arg(long, value_name = "H,W")]
    sig_shape: Option<String>,
    /// Pixel type: u8 or u16 [default: u16]
    #[arg(long, value_name = "T")]
    dtype: Option<String>,
    /// Number of grains [default: one for every 60 points]
    #[arg(long, value_name = "N")]
    grains: Option<usize>,
    /// Crystal: fcc or bcc [default: fcc]
    #[arg(long, value_name = "NAME")]
    structure: Option<String>,
    /// Seed of all random numbers [default: 1]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

impl KikuchiArgs {
    fn parameters(&self) -> Result<Kikuchi> {
        let mut p = match &self.params {
            None => Kikuchi::default(),
            Some(file) => {
                let text = std::fs::read_to_string(file).map_err(|e| Error::io(file, "cannot read", e))?;
                Kikuchi::from_toml(&text)?
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
            Some("u8") => p.sixteen = false,
            Some("u16") => p.sixteen = true,
            Some(other) => return Err(Error::parameter("--dtype", format!("'{other}' is none of u8, u16"))),
        }
        match self.structure.as_deref() {
            None => {}
            Some("fcc") => p.structure = Structure::Fcc,
            Some("bcc") => p.structure = Structure::Bcc,
            Some(other) => return Err(Error::parameter("--structure", format!("'{other}' is none of fcc, bcc"))),
        }
        p.grains = self.grains.unwrap_or(p.grains);
        p.seed = self.seed.unwrap_or(p.seed);
        Ok(p)
    }
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
    match args.what {
        What::Polycrystal(args) => polycrystal(args, session),
        What::Ebsd(args) => kikuchi(args, session),
    }
}

fn kikuchi(args: KikuchiArgs, session: &Session) -> Result<()> {
    let parameters = args.parameters()?;
    let map = SimulatedKikuchi::new(&parameters)?;
    let ctf = map.write(&args.output, session.overwrite, &session.control)?;
    let ([rows, columns], frame) = (parameters.nav, map.frame());
    println!(
        "{rows} × {columns} patterns of {} × {} {}; orientations also in {}",
        frame.height,
        frame.width,
        frame.pixel,
        ctf.display()
    );
    Ok(())
}

fn polycrystal(args: PolycrystalArgs, session: &Session) -> Result<()> {
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
