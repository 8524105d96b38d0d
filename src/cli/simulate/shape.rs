//! Flags that all simulated scans know.

use super::super::scan::pair;
use emstream::pixel::Pixel;
use emstream::simulate::Parameters;
use emstream::{Error, Result};
use std::path::PathBuf;

#[derive(clap::Args)]
pub(super) struct Common {
    /// Output file; phases: a folder, or FILE.hspy
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// All parameters from a file
    #[arg(long, value_name = "FILE.toml")]
    params: Option<PathBuf>,
    /// Scan shape [default: 40,50; bullseye: 24,28; ebsd: 60,80; phases: 40,60]
    #[arg(long, value_name = "Y,X")]
    nav_shape: Option<String>,
    /// Frame shape [default: 144,144; bullseye: 250,250; ebsd: 120,160; phases: 64,64]
    #[arg(long, value_name = "H,W")]
    sig_shape: Option<String>,
    /// Pixel type: u8, u16 or f32 [default: u8; bullseye, ebsd, phases: u16]
    #[arg(long, value_name = "T")]
    dtype: Option<String>,
    /// Number of grains [default: by the size of the scan; phases: two of each]
    #[arg(long, value_name = "N")]
    pub grains: Option<usize>,
    /// Seed of all random numbers [default: 1]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

impl Common {
    /// Parameters from the file, or defaults.
    pub fn parameters<P: Parameters + Default>(&self) -> Result<P> {
        let Some(file) = &self.params else {
            return Ok(P::default());
        };
        let text = std::fs::read_to_string(file).map_err(|e| Error::io(file, "cannot read", e))?;
        P::from_toml(&text)
    }

    /// Replaces what was typed.
    pub fn apply(&self, nav: &mut [usize; 2], sig: &mut [usize; 2], pixel: &mut Pixel, seed: &mut u64) -> Result<()> {
        if let Some(t) = &self.nav_shape {
            *nav = pair("--nav-shape", t)?;
        }
        if let Some(t) = &self.sig_shape {
            *sig = pair("--sig-shape", t)?;
        }
        if let Some(t) = &self.dtype {
            let known = [Pixel::U8, Pixel::U16, Pixel::F32].into_iter().find(|p| p.name() == t);
            *pixel = known.ok_or_else(|| Error::parameter("--dtype", format!("'{t}' is none of u8, u16, f32")))?;
        }
        *seed = self.seed.unwrap_or(*seed);
        Ok(())
    }
}
