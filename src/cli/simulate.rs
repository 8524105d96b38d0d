//! `emstream simulate`

use super::scan::pair;
use super::session::Session;
use clap::Subcommand;
use emstream::io::Scan;
use emstream::pixel::Pixel;
use emstream::simulate::{
    Bullseye, Grains, Kikuchi, Polycrystal, Simulated, SimulatedBullseye, SimulatedKikuchi, SimulatedWs2, Structure, Ws2,
};
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
    /// A polycrystal: grains with their own lattices, strain, descan, noise; the truth goes to FILE.truth.h5
    Polycrystal(PolycrystalArgs),
    /// A gold polycrystal in convergent-beam diffraction through a bullseye aperture; the truth goes to FILE.truth.h5
    Bullseye(BullseyeArgs),
    Ebsd(KikuchiArgs),
    Ws2(Ws2Args),
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

/// A HAADF-STEM movie of a WS2 monolayer with vacancies, hopping dopants, adatoms and holes; the truth goes to FILE.truth.h5
#[derive(clap::Args)]
struct Ws2Args {
    /// Output: .npy or .h5
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// All parameters from a file
    #[arg(long, value_name = "FILE.toml")]
    params: Option<PathBuf>,
    /// Number of frames [default: 20]
    #[arg(long, value_name = "N")]
    frames: Option<usize>,
    /// Frame shape [default: 512,512]
    #[arg(long, value_name = "H,W")]
    sig_shape: Option<String>,
    /// Pixel type: u16, i16 or f32 [default: u16]
    #[arg(long, value_name = "T")]
    dtype: Option<String>,
    /// Mean electrons per pixel [default: 160]
    #[arg(long, value_name = "N")]
    dose: Option<f64>,
    /// Seed of all random numbers [default: 1]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

impl Ws2Args {
    fn parameters(&self) -> Result<Ws2> {
        let mut p = match &self.params {
            None => Ws2::default(),
            Some(file) => {
                let text = std::fs::read_to_string(file).map_err(|e| Error::io(file, "cannot read", e))?;
                Ws2::from_toml(&text)?
            }
        };
        if let Some(t) = &self.sig_shape {
            p.sig = pair("--sig-shape", t)?;
        }
        match self.dtype.as_deref() {
            None => {}
            Some("u16") => p.pixel = Pixel::U16,
            Some("i16") => p.pixel = Pixel::I16,
            Some("f32") => p.pixel = Pixel::F32,
            Some(other) => return Err(Error::parameter("--dtype", format!("'{other}' is none of u16, i16, f32"))),
        }
        p.frames = self.frames.unwrap_or(p.frames);
        p.dose = self.dose.unwrap_or(p.dose);
        p.seed = self.seed.unwrap_or(p.seed);
        Ok(p)
    }
}

/// Flags of all simulated scans.
#[derive(clap::Args)]
struct Common {
    /// Output: .blo (u8), .npy or .h5
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// All parameters from a file
    #[arg(long, value_name = "FILE.toml")]
    params: Option<PathBuf>,
    /// Scan shape [default: 40,50; bullseye: 24,28]
    #[arg(long, value_name = "Y,X")]
    nav_shape: Option<String>,
    /// Frame shape [default: 144,144; bullseye: 250,250]
    #[arg(long, value_name = "H,W")]
    sig_shape: Option<String>,
    /// Pixel type: u8, u16 or f32 [default: u8; bullseye: u16]
    #[arg(long, value_name = "T")]
    dtype: Option<String>,
    /// Number of grains [default: by the size of the scan]
    #[arg(long, value_name = "N")]
    grains: Option<usize>,
    /// Seed of all random numbers [default: 1]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Largest descan in pixels [default: by the size of the frame]
    #[arg(long, value_name = "PX")]
    descan: Option<f64>,
}

impl Common {
    /// The text of the parameter file.
    fn text(&self) -> Result<Option<String>> {
        let read = |file: &PathBuf| std::fs::read_to_string(file).map_err(|e| Error::io(file, "cannot read", e));
        self.params.as_ref().map(read).transpose()
    }
    /// Replaces what was typed.
    fn apply(
        &self,
        nav: &mut [usize; 2],
        sig: &mut [usize; 2],
        pixel: &mut Pixel,
        seed: &mut u64,
        descan: &mut Option<f64>,
    ) -> Result<()> {
        if let Some(t) = &self.nav_shape {
            *nav = pair("--nav-shape", t)?;
        }
        if let Some(t) = &self.sig_shape {
            *sig = pair("--sig-shape", t)?;
        }
        match self.dtype.as_deref() {
            None => {}
            Some("u8") => *pixel = Pixel::U8,
            Some("u16") => *pixel = Pixel::U16,
            Some("f32") => *pixel = Pixel::F32,
            Some(other) => return Err(Error::parameter("--dtype", format!("'{other}' is none of u8, u16, f32"))),
        }
        *seed = self.seed.unwrap_or(*seed);
        *descan = self.descan.or(*descan);
        Ok(())
    }
}

#[derive(clap::Args)]
struct PolycrystalArgs {
    #[command(flatten)]
    common: Common,
    /// Multiplies the expectation of every pixel [default: 1]
    #[arg(long, value_name = "X")]
    dose: Option<f64>,
}

impl PolycrystalArgs {
    fn parameters(&self) -> Result<Polycrystal> {
        let mut p = self
            .common
            .text()?
            .map_or_else(|| Ok(Polycrystal::default()), |t| Polycrystal::from_toml(&t))?;
        self.common
            .apply(&mut p.nav, &mut p.sig, &mut p.pixel, &mut p.seed, &mut p.descan_max)?;
        p.grains = self.common.grains.map(Grains::Count).or(p.grains);
        p.dose = self.dose.unwrap_or(p.dose);
        Ok(p)
    }
}

#[derive(clap::Args)]
struct BullseyeArgs {
    #[command(flatten)]
    common: Common,
    /// Electrons expected in a frame [default: 7000]
    #[arg(long, value_name = "N")]
    electrons: Option<f64>,
}

impl BullseyeArgs {
    fn parameters(&self) -> Result<Bullseye> {
        let mut p = self
            .common
            .text()?
            .map_or_else(|| Ok(Bullseye::default()), |t| Bullseye::from_toml(&t))?;
        self.common
            .apply(&mut p.nav, &mut p.sig, &mut p.pixel, &mut p.seed, &mut p.descan_max)?;
        p.grains = self.common.grains.or(p.grains);
        p.electrons = self.electrons.unwrap_or(p.electrons);
        Ok(p)
    }
}

pub fn run(args: Args, session: &Session) -> Result<()> {
    let (info, truth) = match &args.what {
        What::Polycrystal(args) => {
            let scan = Simulated::new(&args.parameters()?)?;
            let truth = scan.write(&args.common.output, session.overwrite, &session.control)?;
            (scan.info().clone(), truth)
        }
        What::Bullseye(args) => {
            let scan = SimulatedBullseye::new(&args.parameters()?)?;
            let truth = scan.write(&args.common.output, session.overwrite, &session.control)?;
            (scan.info().clone(), truth)
        }
        What::Ebsd(args) => return kikuchi(args, session),
        What::Ws2(args) => {
            let movie = SimulatedWs2::new(&args.parameters()?)?;
            let truth = movie.write(&args.output, session.overwrite, &session.control)?;
            (movie.info().clone(), truth)
        }
    };
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

fn kikuchi(args: &KikuchiArgs, session: &Session) -> Result<()> {
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
