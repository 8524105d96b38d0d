//! Kinematic Kikuchi bands: every reflecting plane brightens the strip of directions within its Bragg angle.

use super::detector::Detector;
use super::{Kikuchi, Structure};
use crate::analysis::orientation::{Matrix, rotate};
use crate::backend::cpu::isa::{Isa, per_isa};

/// Pixels that are worked on together.
pub(super) const LANES: usize = 16;

/// A reflecting plane.
#[derive(Debug, Clone, Copy)]
struct Plane {
    /// Unit normal in the crystal.
    normal: [f64; 3],
    /// One over the sine of the Bragg angle.
    per_sine: f32,
    weight: f32,
}

/// All planes of a crystal.
pub(super) struct Bands {
    planes: Vec<Plane>,
}

impl Bands {
    pub fn new(p: &Kikuchi) -> Bands {
        // Electron wavelength in ångström, relativistic (L. Reimer, Scanning Electron Microscopy, 1998, eq. 2.10).
        let volts = p.voltage * 1e3;
        let wavelength = 12.2643 / (volts * (1.0 + 0.978_476e-6 * volts)).sqrt();
        let families: [([i32; 3], f32); 4] = match p.structure {
            Structure::Fcc => [([1, 1, 1], 1.0), ([2, 0, 0], 0.85), ([2, 2, 0], 0.5), ([3, 1, 1], 0.35)],
            Structure::Bcc => [([1, 1, 0], 1.0), ([2, 0, 0], 0.6), ([2, 1, 1], 0.5), ([3, 1, 0], 0.3)],
        };
        let mut planes = Vec::new();
        for (family, weight) in families {
            let length = family.iter().map(|v| f64::from(v * v)).sum::<f64>().sqrt();
            let sine = wavelength * length / (2.0 * p.lattice);
            for hkl in members(family) {
                planes.push(Plane {
                    normal: hkl.map(|v| f64::from(v) / length),
                    per_sine: (1.0 / sine) as f32,
                    weight,
                });
            }
        }
        Bands { planes }
    }

    /// Intensity of the bands for every pixel of a detector; 0 outside of all bands.
    pub fn fill(&self, crystal_from_sample: &Matrix, detector: &Detector, out: &mut [f32], isa: Isa) {
        // Normals in the detector's frame, so that pixels need only one product each.
        let detector_from_crystal = [0, 1, 2].map(|i| {
            let column = [0, 1, 2].map(|k| detector.sample_from_detector[k][i]);
            rotate(crystal_from_sample, column)
        });
        let planes: Vec<[f32; 4]> = self
            .planes
            .iter()
            .map(|p| {
                let n = rotate(&detector_from_crystal, p.normal);
                [
                    n[0] as f32 * p.per_sine,
                    n[1] as f32 * p.per_sine,
                    n[2] as f32 * p.per_sine,
                    p.weight,
                ]
            })
            .collect();
        let [x, y, z] = &detector.directions;
        for (((out, x), y), z) in out.chunks_mut(LANES).zip(x).zip(y).zip(z) {
            let mut sum = [0.0; LANES];
            lanes(isa, &planes, x, y, z, &mut sum);
            out.copy_from_slice(&sum[..out.len()]);
        }
    }
}

per_isa! {
    /// Adds the profile of every plane: bright inside the band, a little dark along its edges. Products and sums are not fused, so the
    /// bits are the same everywhere.
    fn lanes(planes: &[[f32; 4]], x: &[f32; LANES], y: &[f32; LANES], z: &[f32; LANES], sum: &mut [f32; LANES]) {
        for &[a, b, c, weight] in planes {
            for i in 0..LANES {
                let t = (a * x[i] + b * y[i] + c * z[i]).abs();
                let edge = (t - 1.25) * 2.5;
                let inside = (1.0 - t * t).max(0.0);
                let beside = (1.0 - edge * edge).max(0.0);
                sum[i] += weight * (inside - 0.3 * beside);
            }
        }
    }
}

/// All planes of a form, one of each pair hkl, -h-k-l.
fn members(family: [i32; 3]) -> Vec<[i32; 3]> {
    let [a, b, c] = family;
    let mut found: Vec<[i32; 3]> = Vec::new();
    for order in [[a, b, c], [a, c, b], [b, a, c], [b, c, a], [c, a, b], [c, b, a]] {
        for signs in 0..8 {
            let hkl = [0, 1, 2].map(|k| if signs >> k & 1 == 1 { -order[k] } else { order[k] });
            if !found.contains(&hkl) && !found.contains(&hkl.map(|v| -v)) {
                found.push(hkl);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_planes() {
        for (family, count) in [
            ([1, 1, 1], 4),
            ([2, 0, 0], 3),
            ([2, 2, 0], 6),
            ([3, 1, 1], 12),
            ([2, 1, 1], 12),
            ([1, 2, 3], 24),
        ] {
            assert_eq!(members(family).len(), count, "{family:?}");
        }
    }
}
