//! `emstream simulate ws2`

use super::super::scan::pair;
use emstream::pixel::Pixel;
use emstream::simulate::{Parameters, Ws2};
use emstream::{Error, Result};
use std::path::PathBuf;

/// A HAADF-STEM movie of a WS2 monolayer with vacancies, hopping dopants, adatoms and holes; the truth goes to FILE.truth.h5
#[derive(clap::Args)]
pub(super) struct Args {
    /// Output: .npy or .h5
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
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

impl Args {
    pub fn parameters(&self) -> Result<Ws2> {
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
