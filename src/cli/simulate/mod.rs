//! `emstream simulate`

mod phases;
mod shape;
mod ws2;

use super::session::Session;
use clap::Subcommand;
use emstream::io::Scan;
use emstream::pixel::Pixel;
use emstream::simulate::{
    Bullseye, Grains, Kikuchi, Polycrystal, Simulated, SimulatedBullseye, SimulatedKikuchi, SimulatedPhases, SimulatedWs2,
    Structure,
};
use emstream::{Error, Result};
use shape::Common;

/// Write test scans of any size with known truth
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// A polycrystal: grains with their own lattices, strain, descan, noise; .blo (u8), .npy or .h5, the truth goes to FILE.truth.h5
    Polycrystal(PolycrystalArgs),
    /// A gold polycrystal in convergent-beam diffraction through a bullseye aperture; the truth goes to FILE.truth.h5
    Bullseye(BullseyeArgs),
    Ebsd(KikuchiArgs),
    Phases(phases::Args),
    Ws2(ws2::Args),
}

/// A map of Kikuchi patterns of a cubic polycrystal; orientations are in the file and in a .ctf beside it
#[derive(clap::Args)]
struct KikuchiArgs {
    #[command(flatten)]
    common: Common,
    /// Crystal: fcc or bcc [default: fcc]
    #[arg(long, value_name = "NAME")]
    structure: Option<String>,
}

impl KikuchiArgs {
    fn parameters(&self) -> Result<Kikuchi> {
        let mut p: Kikuchi = self.common.parameters()?;
        let mut pixel = if p.sixteen { Pixel::U16 } else { Pixel::U8 };
        self.common.apply(&mut p.nav, &mut p.sig, &mut pixel, &mut p.seed)?;
        p.sixteen = match pixel {
            Pixel::U8 => false,
            Pixel::U16 => true,
            other => return Err(Error::parameter("--dtype", format!("'{other}' is none of u8, u16"))),
        };
        match self.structure.as_deref() {
            None => {}
            Some("fcc") => p.structure = Structure::Fcc,
            Some("bcc") => p.structure = Structure::Bcc,
            Some(other) => return Err(Error::parameter("--structure", format!("'{other}' is none of fcc, bcc"))),
        }
        p.grains = self.common.grains.unwrap_or(p.grains);
        Ok(p)
    }
}

#[derive(clap::Args)]
struct PolycrystalArgs {
    #[command(flatten)]
    common: Common,
    /// Largest descan in pixels [default: by the size of the frame]
    #[arg(long, value_name = "PX")]
    descan: Option<f64>,
    /// Multiplies the expectation of every pixel [default: 1]
    #[arg(long, value_name = "X")]
    dose: Option<f64>,
}

impl PolycrystalArgs {
    fn parameters(&self) -> Result<Polycrystal> {
        let mut p: Polycrystal = self.common.parameters()?;
        self.common.apply(&mut p.nav, &mut p.sig, &mut p.pixel, &mut p.seed)?;
        p.descan_max = self.descan.or(p.descan_max);
        p.grains = self.common.grains.map(Grains::Count).or(p.grains);
        p.dose = self.dose.unwrap_or(p.dose);
        Ok(p)
    }
}

#[derive(clap::Args)]
struct BullseyeArgs {
    #[command(flatten)]
    common: Common,
    /// Largest descan in pixels [default: by the size of the frame]
    #[arg(long, value_name = "PX")]
    descan: Option<f64>,
    /// Electrons expected in a frame [default: 7000]
    #[arg(long, value_name = "N")]
    electrons: Option<f64>,
}

impl BullseyeArgs {
    fn parameters(&self) -> Result<Bullseye> {
        let mut p: Bullseye = self.common.parameters()?;
        self.common.apply(&mut p.nav, &mut p.sig, &mut p.pixel, &mut p.seed)?;
        p.descan_max = self.descan.or(p.descan_max);
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
        What::Phases(args) => {
            let scan = SimulatedPhases::new(&args.parameters()?)?;
            let files = scan.write(&args.common.output, session.overwrite, &session.control)?;
            said!(
                session,
                "{} and {}; truth in {}",
                files.patterns.display(),
                files.spectra.display(),
                files.truth.display()
            );
            return Ok(());
        }
        What::Ws2(args) => {
            let movie = SimulatedWs2::new(&args.parameters()?)?;
            let truth = movie.write(&args.output, session.overwrite, &session.control)?;
            (movie.info().clone(), truth)
        }
    };
    let [ny, nx] = info.nav;
    said!(
        session,
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
    let ctf = map.write(&args.common.output, session.overwrite, &session.control)?;
    let ([rows, columns], frame) = (parameters.nav, map.frame());
    said!(
        session,
        "{rows} × {columns} patterns of {} × {} {}; orientations also in {}",
        frame.height,
        frame.width,
        frame.pixel,
        ctf.display()
    );
    Ok(())
}
