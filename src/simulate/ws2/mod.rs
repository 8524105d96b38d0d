//! What a simulated movie of a WS₂ monolayer is made of.

mod frames;
mod history;
mod labels;

pub use frames::SimulatedWs2;
pub use history::{Kind, Point};

use super::parameters::{Parameters, check_ranges, pixel_name};
use crate::error::{Error, Result};
use crate::pixel::{FrameShape, Pixel};
use serde::{Deserialize, Serialize};

/// Parameters of a simulated HAADF-STEM movie of a WS₂ monolayer with point defects; each has a default.
///
/// A hexagonal lattice, seen along the layer's normal: tungsten columns, and columns of two sulphur atoms. Intensities go with Z^1.7, columns are
/// Gaussians. Defects: one or both sulphur atoms of a column missing, molybdenum on a tungsten site (hops to neighbouring sites and may gain or
/// lose a sulphur vacancy beside it), a molybdenum atom on top of a tungsten column, holes that open later and grow. The beam removes sulphur. Drift with a random part,
/// correlated jitter of rows, a slowly changing background, counting of electrons, gain, offset and read noise. Numbers of defects that are not
/// given go with the area: those of 512 × 512 pixels times area / 512².
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Ws2 {
    /// Number of frames.
    pub frames: usize,
    /// Frame shape (height, width).
    pub sig: [usize; 2],
    /// Pixel type: `u16`, `i16` or `f32`; values beyond the type's range are cut off.
    #[serde(with = "pixel_name")]
    pub pixel: Pixel,
    /// Seed of all random numbers.
    pub seed: u64,
    /// nm per pixel.
    pub pixel_size: f64,
    /// Seconds per frame.
    pub frame_time: f64,
    /// Lattice constant in nm.
    pub lattice: f64,
    /// Rotation of the lattice in degrees.
    pub angle: f64,
    /// Standard deviation of a column in pixels.
    pub sigma: f64,
    /// Mean electrons per pixel.
    pub dose: f64,
    /// Molybdenum dopants (24), sulphur columns with one (30) and both (14) atoms missing, molybdenum on tungsten columns (10).
    pub dopants: Option<usize>,
    pub single_vacancies: Option<usize>,
    pub double_vacancies: Option<usize>,
    pub adatoms: Option<usize>,
    /// Holes, from `hole_start` (share of the movie) on.
    pub holes: usize,
    pub hole_start: f64,
    /// Probability that a dopant hops to a neighbouring site from one frame to the next.
    pub hop: f64,
    /// Share of the dopants that change between two states, with this probability from one frame to the next.
    pub switching: f64,
    pub switch: f64,
    /// New sulphur vacancies per frame (0.8).
    pub damage: Option<f64>,
    /// Least distance of defects at the start in pixels.
    pub separation: f64,
    /// Mean drift in pixels per frame, along y and x alike, and the standard deviation of its random part.
    pub drift: f64,
    pub wander: f64,
    /// Standard deviation of the jitter of rows in pixels.
    pub jitter: f64,
    /// Value = gain · (electrons + read noise) + offset.
    pub gain: f64,
    pub offset: f64,
    pub read_noise: f64,
}

impl Default for Ws2 {
    fn default() -> Self {
        Ws2 {
            frames: 20,
            sig: [512, 512],
            pixel: Pixel::U16,
            seed: 1,
            pixel_size: 0.03,
            frame_time: 2.25,
            lattice: 0.3153,
            angle: 7.0,
            sigma: 1.8,
            dose: 160.0,
            dopants: None,
            single_vacancies: None,
            double_vacancies: None,
            adatoms: None,
            holes: 3,
            hole_start: 0.55,
            hop: 0.22,
            switching: 0.6,
            switch: 0.2,
            damage: None,
            separation: 32.0,
            drift: 0.15,
            wander: 0.12,
            jitter: 0.15,
            gain: 20.0,
            offset: 300.0,
            read_noise: 1.0,
        }
    }
}

impl Ws2 {
    /// Shape and pixel type of the frames.
    pub fn frame(&self) -> FrameShape {
        FrameShape::new(self.pixel, self.sig)
    }

    /// Checks all values and fills in every default, so that the result describes the movie completely.
    ///
    /// # Errors
    /// [`Error::Parameter`] names the first value that makes no sense.
    pub fn resolved(&self) -> Result<Self> {
        let mut p = self.clone();
        let bad = |name: &str, what: String| Err(Error::parameter(name, what));
        if p.sig.iter().any(|&n| !(32..=8192).contains(&n)) {
            return bad("sig", format!("{:?}: frames must have 32 to 8192 pixels on a side", p.sig));
        }
        if !matches!(p.pixel, Pixel::U16 | Pixel::I16 | Pixel::F32) {
            return bad("pixel", format!("{} is not one of u16, i16, f32", p.pixel));
        }
        let area = (p.sig[0] * p.sig[1]) as f64 / (512.0 * 512.0);
        let by_area = |n: f64| (n * area).round() as usize;
        let counts = [
            *p.dopants.get_or_insert(by_area(24.0)),
            *p.single_vacancies.get_or_insert(by_area(30.0)),
            *p.double_vacancies.get_or_insert(by_area(14.0)),
            *p.adatoms.get_or_insert(by_area(10.0)),
            p.holes,
        ];
        let damage = *p.damage.get_or_insert(0.8 * area);
        let spacing = p.lattice / p.pixel_size;
        check_ranges(&[
            ("frames", p.frames as f64, 1.0, 1e6),
            ("pixel-size", p.pixel_size, 1e-4, 10.0),
            ("frame-time", p.frame_time, 1e-9, 1e6),
            ("lattice", spacing, 3.0, 200.0),
            ("angle", p.angle, -360.0, 360.0),
            ("sigma", p.sigma, 0.2, 50.0),
            ("dose", p.dose, 0.0, 1e6),
            ("number of defects", counts.iter().sum::<usize>() as f64, 0.0, 1e5),
            ("hole-start", p.hole_start, 0.0, 1.0),
            ("hop", p.hop, 0.0, 1.0),
            ("switching", p.switching, 0.0, 1.0),
            ("switch", p.switch, 0.0, 1.0),
            ("damage", damage, 0.0, 1e3),
            ("separation", p.separation, 0.0, 1e4),
            ("drift", p.drift, -100.0, 100.0),
            ("wander", p.wander, 0.0, 100.0),
            ("jitter", p.jitter, 0.0, 5.0),
            ("gain", p.gain, 1e-6, 1e6),
            ("offset", p.offset, -1e6, 1e6),
            ("read-noise", p.read_noise, 0.0, 1e4),
        ])?;
        Ok(p)
    }
}

impl Parameters for Ws2 {}
