//! What a simulated scan with a bullseye aperture is made of.

mod frames;
mod gold;

pub use frames::{Pose, SimulatedBullseye};

use super::parameters::{Parameters, check_ranges, check_shapes, pixel_name};
use crate::error::{Error, Result};
use crate::pixel::{FrameShape, Pixel};
use serde::{Deserialize, Serialize};

/// Parameters of a simulated convergent-beam scan of a gold polycrystal through a bullseye aperture; each has a default.
///
/// Grains lie near low-index zone axes and bend a little inside. Intensities are kinematical: fcc structure factors from the
/// electron scattering factors of L.-M. Peng et al., *Acta Cryst.* A52 (1996) 257, a Debye-Waller factor with B = 0.6 Å², and
/// |F|² sinc²(t s) with the excitation error s at every pixel of a disk, for 200 kV. Disks overlap (111 at 20 pixels). A diffuse
/// background, descan and counting of electrons follow. Vectors and positions are (y, x). Lengths on the detector that are not
/// given scale with the frame: those of a 250-pixel frame times shorter side / 250.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bullseye {
    /// Scan shape (ny, nx).
    pub nav: [usize; 2],
    /// Frame shape (height, width).
    pub sig: [usize; 2],
    /// Pixel type: `u8`, `u16` or `f32`; counts above the type's range are cut off.
    #[serde(with = "pixel_name")]
    pub pixel: Pixel,
    /// Seed of all random numbers.
    pub seed: u64,
    /// Electrons expected in a frame.
    pub electrons: f64,
    /// Share of the electrons that are diffracted, on average over the scan.
    pub diffracted: f64,
    /// Share of the electrons in the diffuse background, which decays exponentially with `diffuse_length` pixels.
    pub diffuse: f64,
    pub diffuse_length: Option<f64>,
    /// Thickness of the foil in Å.
    pub thickness: f64,
    /// Number of grains; default: √positions / 3.2, between 3 and 60.
    pub grains: Option<usize>,
    /// Largest angle between a grain's zone axis and the beam in degrees.
    pub tilt_max: f64,
    /// Largest bending inside a grain, about each axis, in degrees.
    pub bending: f64,
    /// Largest descan in pixels (3).
    pub descan_max: Option<f64>,
    /// Position of the direct beam without descan; default: a little off the centre.
    pub zero: Option<[f64; 2]>,
    /// Camera constant in pixels per 1/Å (47).
    pub camera: Option<f64>,
    /// Radii of the aperture's image in pixels: disk, inner and outer radius of the ring (2.8, 8, 11.5).
    pub radii: Option<[f64; 3]>,
    /// Half the width of the cross that holds the ring (1.5).
    pub cross: Option<f64>,
}

impl Default for Bullseye {
    fn default() -> Self {
        Bullseye {
            nav: [24, 28],
            sig: [250, 250],
            pixel: Pixel::U16,
            seed: 1,
            electrons: 7000.0,
            diffracted: 0.5,
            diffuse: 0.12,
            diffuse_length: None,
            thickness: 80.0,
            grains: None,
            tilt_max: 2.0,
            bending: 0.25,
            descan_max: None,
            zero: None,
            camera: None,
            radii: None,
            cross: None,
        }
    }
}

impl Parameters for Bullseye {}

impl Bullseye {
    /// Shape and pixel type of the frames.
    pub fn frame(&self) -> FrameShape {
        FrameShape::new(self.pixel, self.sig)
    }

    /// Checks all values and fills in every default, so that the result describes the scan completely.
    ///
    /// # Errors
    /// [`Error::Parameter`] names the first value that makes no sense.
    pub fn resolved(&self) -> Result<Self> {
        let mut p = self.clone();
        let bad = |name: &str, what: String| Err(Error::parameter(name, what));
        let positions = check_shapes(p.nav, p.frame(), 16..=4096)?;
        let scale = p.sig[0].min(p.sig[1]) as f64 / 250.0;
        let zero = *p.zero.get_or_insert([p.sig[0] as f64 * 0.4968, p.sig[1] as f64 * 0.5024]);
        let camera = *p.camera.get_or_insert(47.0 * scale);
        let descan = *p.descan_max.get_or_insert(3.0 * scale);
        let radii = *p.radii.get_or_insert([2.8, 8.0, 11.5].map(|r| r * scale));
        let cross = *p.cross.get_or_insert(1.5 * scale);
        let diffuse_length = *p.diffuse_length.get_or_insert(40.0 * scale);
        let automatic = ((positions as f64).sqrt() / 3.2).round().clamp(3.0, 60.0) as usize;
        let grains = *p.grains.get_or_insert(automatic.min(positions));
        check_ranges(&[
            ("electrons", p.electrons, 0.0, 1e12),
            ("diffracted", p.diffracted, 0.0, 1.0),
            ("diffuse", p.diffuse, 0.0, 1.0),
            ("diffuse_length", diffuse_length, 0.1, 1e6),
            ("thickness", p.thickness, 1.0, 1e4),
            ("grains", grains as f64, 1.0, 20_000.min(positions) as f64),
            ("tilt_max", p.tilt_max, 0.0, 45.0),
            ("bending", p.bending, 0.0, 10.0),
            ("descan_max", descan, 0.0, 1e4),
            ("zero", zero[0], 0.0, p.sig[0] as f64 - 1.0),
            ("zero", zero[1], 0.0, p.sig[1] as f64 - 1.0),
            ("camera", camera, 0.5, 1e4),
            ("radii", radii[0], 0.1, 1000.0),
            ("radii", radii[1], radii[0], 1000.0),
            ("radii", radii[2], radii[1], 1000.0),
            ("cross", cross, 0.0, radii[1]),
        ])?;
        // A reflection takes 40 bytes and its share of a frame's time.
        if 0.5 * (p.sig[0] as f64).hypot(p.sig[1] as f64) / camera > 12.0 {
            return bad("camera", format!("{camera} px per 1/Å: the frame reaches beyond 12 1/Å"));
        }
        Ok(p)
    }
}
