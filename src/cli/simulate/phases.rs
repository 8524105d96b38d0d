//! `emstream simulate phases`

use super::shape::Common;
use emstream::Result;
use emstream::simulate::Phases;

/// Diffraction patterns and X-ray spectra of the same positions, with known phases; -o DIR, or FILE.hspy for the patterns
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub common: Common,
    /// Channels of the spectra [default: 1024]
    #[arg(long, value_name = "N")]
    channels: Option<usize>,
    /// Width of the zone about boundaries in which both grains count, in scan positions [default: 0.6]
    #[arg(long, value_name = "N")]
    overlap: Option<f64>,
    /// Multiplies all expected electrons and X-rays [default: 1]
    #[arg(long, value_name = "X")]
    dose: Option<f64>,
}

impl Args {
    pub fn parameters(&self) -> Result<Phases> {
        let mut p: Phases = self.common.parameters()?;
        self.common.apply(&mut p.nav, &mut p.sig, &mut p.pixel, &mut p.seed)?;
        p.grains = self.common.grains.or(p.grains);
        p.channels = self.channels.unwrap_or(p.channels);
        p.overlap = self.overlap.unwrap_or(p.overlap);
        p.dose = self.dose.unwrap_or(p.dose);
        Ok(p)
    }
}
