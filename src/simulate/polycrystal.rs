//! What a simulated polycrystal is made of.

use super::parameters::{Parameters, check_ranges, check_shapes, pixel_name};
use crate::error::{Error, Result};
use crate::pixel::{FrameShape, Pixel};
use serde::{Deserialize, Serialize};

/// Parameters of a simulated scan of a polycrystal; each has a default, lengths on the detector scale with the frame.
///
/// Every grain has its own lattice; its diffraction disks have random but fixed intensities under an envelope that moves slowly
/// with the local tilt. Smooth strain changes the lattice inside a grain, descan moves the whole pattern, and electrons are counted.
/// Vectors and positions are (y, x). Without explicit values, detector lengths are those of a 144-pixel frame times
/// max(shorter side / 144, 1/2).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Polycrystal {
    /// Scan shape (ny, nx).
    pub nav: [usize; 2],
    /// Frame shape (height, width).
    pub sig: [usize; 2],
    /// Pixel type: `u8`, `u16` or `f32`; counts above the type's range are cut off.
    #[serde(with = "pixel_name")]
    pub pixel: Pixel,
    /// Seed of all random numbers.
    pub seed: u64,
    /// Multiplies the expectation of every pixel.
    pub dose: f64,
    /// Number of electrons expected in the brightest pixels of the direct beam.
    pub centre_amplitude: f64,
    /// The same for a typical diffracted disk.
    pub spot_amplitude: f64,
    /// Standard deviation of the logarithm of a spot's intensity from frame to frame.
    pub spot_scatter: f64,
    /// Diffuse background: amplitude at the direct beam; decays exponentially with `background_length`.
    pub background: f64,
    /// Constant background.
    pub background_constant: f64,
    /// Largest component of the strain tensor, a = (1 + E) a0.
    pub strain_max: f64,
    /// Fraction of random grains that have weak superlattice spots at (h+½, k+½).
    pub superlattice_fraction: f64,
    /// Dead pixels, always 0.
    pub dead: usize,
    /// Hot pixels, with an expectation of `hot_level`.
    pub hot: usize,
    pub hot_level: f64,
    /// Pixels that are not a number; only for `f32`.
    pub nan: usize,
    /// Position of the direct beam without descan; default: a little off the centre.
    pub zero: Option<[f64; 2]>,
    /// Radius of the disks in pixels (1.7 for 144-pixel frames).
    pub disk_radius: Option<f64>,
    /// Shortest and longest lattice vector of random grains in pixels (15, 22).
    pub spacing: Option<[f64; 2]>,
    /// Largest descan in pixels (1.5).
    pub descan_max: Option<f64>,
    /// Standard deviation of the Gaussian envelope of spot intensities in pixels (40).
    pub spot_falloff: Option<f64>,
    /// Largest movement of that envelope in pixels (9).
    pub tilt_max: Option<f64>,
    /// Decay length of the diffuse background in pixels (20).
    pub background_length: Option<f64>,
    /// Number of grains, or a list of them; default: about √positions / 7.5, between 3 and 40.
    pub grains: Option<Grains>,
}

/// How many grains, or which.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Grains {
    /// So many, with random places and lattices.
    Count(usize),
    /// Exactly these.
    List(Vec<Grain>),
}

/// One grain. Angles in degrees, counted from +x towards +y.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grain {
    /// Seed point as a fraction of the scan (y, x).
    pub at: [f64; 2],
    /// Lengths of the lattice vectors in pixels.
    pub a: f64,
    pub b: f64,
    /// Direction of a.
    pub rotation: f64,
    /// Angle from a to b.
    #[serde(default = "right_angle")]
    pub gamma: f64,
    /// Amplitude of spots at (h+½, k+½) relative to the others.
    #[serde(default)]
    pub superlattice: f64,
    /// Grains with the same number have the same spot intensities; default: its place in the list.
    #[serde(default)]
    pub spots: Option<u32>,
}

fn right_angle() -> f64 {
    90.0
}

impl Default for Polycrystal {
    fn default() -> Self {
        Polycrystal {
            nav: [40, 50],
            sig: [144, 144],
            pixel: Pixel::U8,
            seed: 1,
            dose: 1.0,
            centre_amplitude: 170.0,
            spot_amplitude: 52.0,
            spot_scatter: 0.12,
            background: 1.6,
            background_constant: 0.3,
            strain_max: 0.015,
            superlattice_fraction: 0.2,
            dead: 0,
            hot: 0,
            hot_level: 200.0,
            nan: 0,
            zero: None,
            disk_radius: None,
            spacing: None,
            descan_max: None,
            spot_falloff: None,
            tilt_max: None,
            background_length: None,
            grains: None,
        }
    }
}

impl Parameters for Polycrystal {}

impl Polycrystal {
    /// Shape and pixel type of the frames.
    pub fn frame(&self) -> FrameShape {
        FrameShape::new(self.pixel, self.sig)
    }

    /// Checks all values and fills in every default, so that the result describes the scan completely, except that random
    /// grains stay a number (the seed makes them).
    ///
    /// # Errors
    /// [`Error::Parameter`] names the first value that makes no sense.
    pub fn resolved(&self) -> Result<Self> {
        let mut p = self.clone();
        let bad = |name: &str, what: String| Err(Error::parameter(name, what));
        let positions = check_shapes(p.nav, p.frame(), 8..=16_384)?;
        let scale = (p.sig[0].min(p.sig[1]) as f64 / 144.0).max(0.5);
        p.zero.get_or_insert([p.sig[0] as f64 * 0.495, p.sig[1] as f64 * 0.503]);
        p.disk_radius.get_or_insert(1.7 * scale);
        let spacing = *p.spacing.get_or_insert([15.0 * scale, 22.0 * scale]);
        p.descan_max.get_or_insert(1.5 * scale);
        p.spot_falloff.get_or_insert(40.0 * scale);
        p.tilt_max.get_or_insert(9.0 * scale);
        p.background_length.get_or_insert(20.0 * scale);
        let automatic = ((positions as f64).sqrt() / 7.5).round().clamp(3.0, 40.0) as usize;
        p.grains.get_or_insert(Grains::Count(automatic.min(positions)));

        let pixels = p.sig[0] * p.sig[1];
        check_ranges(&[
            ("dose", p.dose, 0.0, 1e9),
            ("centre_amplitude", p.centre_amplitude, 0.0, 1e9),
            ("spot_amplitude", p.spot_amplitude, 0.0, 1e9),
            ("spot_scatter", p.spot_scatter, 0.0, 5.0),
            ("background", p.background, 0.0, 1e9),
            ("background_constant", p.background_constant, 0.0, 1e9),
            ("strain_max", p.strain_max, 0.0, 0.3),
            ("superlattice_fraction", p.superlattice_fraction, 0.0, 1.0),
            ("hot_level", p.hot_level, 0.0, 1e9),
            ("zero", p.zero.map_or(0.0, |z| z[0]), 0.0, p.sig[0] as f64 - 1.0),
            ("zero", p.zero.map_or(0.0, |z| z[1]), 0.0, p.sig[1] as f64 - 1.0),
            ("disk_radius", p.disk_radius.unwrap_or(1.0), 0.1, 1000.0),
            ("spacing", spacing[0], 2.0, 1e5),
            ("spacing", spacing[1], spacing[0], 1e5),
            ("descan_max", p.descan_max.unwrap_or(0.0), 0.0, 1e4),
            ("spot_falloff", p.spot_falloff.unwrap_or(1.0), 0.1, 1e6),
            ("tilt_max", p.tilt_max.unwrap_or(0.0), 0.0, 1e5),
            ("background_length", p.background_length.unwrap_or(1.0), 0.1, 1e6),
            (
                "dead + hot + nan",
                (p.dead as f64) + p.hot as f64 + p.nan as f64,
                0.0,
                pixels as f64 / 2.0,
            ),
        ])?;
        if p.nan > 0 && p.pixel != Pixel::F32 {
            return bad("nan", format!("{} pixels are always numbers", p.pixel));
        }
        match p.grains.as_ref() {
            Some(Grains::Count(n)) if !(1..=20_000.min(positions)).contains(n) => {
                return bad(
                    "grains",
                    format!("{n} grains in a scan of {positions} positions (at most 20000)"),
                );
            }
            Some(Grains::List(list)) => {
                if list.is_empty() || list.len() > 20_000 {
                    return bad("grains", format!("a list of {} grains (1 to 20000)", list.len()));
                }
                for (i, g) in list.iter().enumerate() {
                    let ok = g.at.iter().all(|v| (0.0..=1.0).contains(v))
                        && [g.a, g.b].iter().all(|v| (2.0..=1e5).contains(v))
                        && g.rotation.abs() <= 3600.0
                        && (15.0..=165.0).contains(&g.gamma)
                        && (0.0..=100.0).contains(&g.superlattice);
                    if !ok {
                        return bad(
                            "grains",
                            format!("grain {i}: at within 0..1, a and b from 2 px, gamma 15 to 165 degrees, superlattice ≥ 0"),
                        );
                    }
                }
            }
            _ => {}
        }
        Ok(p)
    }
}
