//! Strain and rotation from lattice vectors.
//!
//! The deformation gradient F maps the reference vectors to the measured ones: F·a₀ = a, F·b₀ = b, so F = [a b][a₀ b₀]⁻¹.
//! Subscripts name axes: F_xy is the x component that comes from y; x points right, y down.
//!
//! * [`Measure::Polar`] (default): F = R·U, R a rotation by φ = atan2(F_yx − F_xy, F_xx + F_yy), U symmetric; Biot's
//!   strain U − 1. Right however far the lattice is rotated; the strain is in the axes of the reference.
//! * [`Measure::Infinitesimal`]: E = F − 1; strain = (E + Eᵀ)/2, rotation = (E_yx − E_xy)/2. The same to first order.
//!
//! xy is the tensor's shear, half the change of the right angle between x and y (half the engineering shear). Rotation is
//! positive from +x towards +y (clockwise on a screen), in rad.
//!
//! Spots are reciprocal: where the crystal is stretched, they move together. [`Deformation::real_space`] = F⁻ᵀ is the
//! deformation of the crystal.

use super::{Vector, angle, cross};
use serde::{Deserialize, Serialize};

/// How strain is separated from rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Measure {
    /// F = R·U; strain U − 1.
    #[default]
    Polar,
    /// Symmetric and antisymmetric part of F − 1.
    Infinitesimal,
}

/// Axes in which strain is given.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Axes {
    /// x along detector rows, y down.
    #[default]
    Detector,
    /// x' at this angle (rad) from +x towards +y, y' a quarter turn further.
    Angle(f64),
    /// x' along the reference vector a₀.
    AlongA,
}

impl Axes {
    /// Angle of x' for the reference vector `a0`, rad.
    pub fn angle(&self, a0: Vector) -> f64 {
        match self {
            Axes::Detector => 0.0,
            Axes::Angle(angle) => *angle,
            Axes::AlongA => angle(a0),
        }
    }
}

/// A deformation gradient.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Deformation {
    /// x from x.
    pub xx: f64,
    /// x from y.
    pub xy: f64,
    /// y from x.
    pub yx: f64,
    /// y from y.
    pub yy: f64,
}

/// Strain (symmetric) and rotation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Strain {
    /// Elongation along x.
    pub xx: f64,
    /// Elongation along y.
    pub yy: f64,
    /// Shear (tensor component).
    pub xy: f64,
    /// Rotation from +x towards +y, rad.
    pub rotation: f64,
}

impl Deformation {
    /// F of (a, b) relative to (a₀, b₀). `None` if the reference vectors are parallel or a number is not finite.
    pub fn between(a: Vector, b: Vector, a0: Vector, b0: Vector) -> Option<Self> {
        let area = cross(a0, b0);
        let f = Deformation {
            xx: (a[1] * b0[0] - b[1] * a0[0]) / area,
            xy: (b[1] * a0[1] - a[1] * b0[1]) / area,
            yx: (a[0] * b0[0] - b[0] * a0[0]) / area,
            yy: (b[0] * a0[1] - a[0] * b0[1]) / area,
        };
        [f.xx, f.xy, f.yx, f.yy].iter().all(|v| v.is_finite()).then_some(f)
    }

    /// F⁻ᵀ: the deformation of the crystal from that of its diffraction spots, and the other way round. `None` if F is
    /// singular.
    pub fn real_space(&self) -> Option<Self> {
        let det = self.determinant();
        let f = Deformation {
            xx: self.yy / det,
            xy: -self.yx / det,
            yx: -self.xy / det,
            yy: self.xx / det,
        };
        (det != 0.0 && [f.xx, f.xy, f.yx, f.yy].iter().all(|v| v.is_finite())).then_some(f)
    }

    /// Ratio of areas; negative if the handedness changes.
    pub fn determinant(&self) -> f64 {
        self.xx * self.yy - self.xy * self.yx
    }

    /// Strain and rotation in detector axes. `None` if F turns the lattice over (determinant ≤ 0): a and b do not
    /// correspond to a₀ and b₀.
    pub fn strain(&self, measure: Measure) -> Option<Strain> {
        if self.determinant() <= 0.0 {
            return None;
        }
        Some(match measure {
            Measure::Infinitesimal => Strain {
                xx: self.xx - 1.0,
                yy: self.yy - 1.0,
                xy: (self.xy + self.yx) / 2.0,
                rotation: (self.yx - self.xy) / 2.0,
            },
            Measure::Polar => {
                let rotation = (self.yx - self.xy).atan2(self.xx + self.yy);
                let (sin, cos) = rotation.sin_cos();
                // U = Rᵀ F with R = [[cos, −sin], [sin, cos]] in (x, y).
                Strain {
                    xx: cos * self.xx + sin * self.yx - 1.0,
                    yy: cos * self.yy - sin * self.xy - 1.0,
                    xy: cos * self.xy + sin * self.yy,
                    rotation,
                }
            }
        })
    }
}

impl Strain {
    /// Every component NaN: no strain known.
    pub const NAN: Strain = Strain {
        xx: f64::NAN,
        yy: f64::NAN,
        xy: f64::NAN,
        rotation: f64::NAN,
    };

    /// The same strain in axes turned by `angle` from +x towards +y. The rotation is the same in all axes.
    pub fn in_axes(&self, angle: f64) -> Strain {
        let (s, c) = angle.sin_cos();
        let shear = 2.0 * s * c * self.xy;
        Strain {
            xx: c * c * self.xx + s * s * self.yy + shear,
            yy: s * s * self.xx + c * c * self.yy - shear,
            xy: s * c * (self.yy - self.xx) + (c * c - s * s) * self.xy,
            rotation: self.rotation,
        }
    }
}

/// Median of each component, those that are not finite left out: a reference from many frames. `None` if nothing is left.
/// For an even count the mean of the middle two.
pub fn median(vectors: impl IntoIterator<Item = Vector>) -> Option<Vector> {
    let (mut y, mut x): (Vec<f64>, Vec<f64>) = vectors
        .into_iter()
        .filter(|v| v[0].is_finite() && v[1].is_finite())
        .map(|v| (v[0], v[1]))
        .unzip();
    let middle = |values: &mut Vec<f64>| {
        values.sort_by(f64::total_cmp);
        let n = values.len();
        if n == 0 {
            None
        } else {
            Some((values[(n - 1) / 2] + values[n / 2]) / 2.0)
        }
    };
    Some([middle(&mut y)?, middle(&mut x)?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::lattice::from_polar;

    const A: Vector = [3.0, 16.0];
    const B: Vector = [21.0, -4.0];

    fn apply(f: &Deformation, v: Vector) -> Vector {
        [f.yx * v[1] + f.yy * v[0], f.xx * v[1] + f.xy * v[0]]
    }

    fn close(s: Strain, t: Strain) {
        for (p, q) in [(s.xx, t.xx), (s.yy, t.yy), (s.xy, t.xy), (s.rotation, t.rotation)] {
            assert!((p - q).abs() < 1e-13, "{s:?} {t:?}");
        }
    }

    #[test]
    fn gradient_strain_and_rotation_are_recovered() {
        for turn in [0.0_f64, 0.02, -1.2, 3.0] {
            let truth = Strain {
                xx: 0.011,
                yy: -0.007,
                xy: 0.004,
                rotation: turn,
            };
            let (s, c) = turn.sin_cos();
            let (ux, uy, uxy) = (1.0 + truth.xx, 1.0 + truth.yy, truth.xy);
            let f = Deformation {
                xx: c * ux - s * uxy,
                xy: c * uxy - s * uy,
                yx: s * ux + c * uxy,
                yy: s * uxy + c * uy,
            };
            let found = Deformation::between(apply(&f, A), apply(&f, B), A, B).unwrap();
            assert!(
                (found.xx - f.xx).abs() + (found.xy - f.xy).abs() + (found.yx - f.yx).abs() + (found.yy - f.yy).abs() < 1e-13
            );
            close(found.strain(Measure::Polar).unwrap(), truth);
            // The crystal stretches where the spots move together; it turns with them.
            let crystal = found.real_space().unwrap();
            let back = crystal.real_space().unwrap();
            close(back.strain(Measure::Polar).unwrap(), truth);
            assert!((crystal.strain(Measure::Polar).unwrap().rotation - turn).abs() < 1e-13);
        }
        let f = Deformation {
            xx: 1.01,
            xy: 0.003,
            yx: -0.005,
            yy: 0.98,
        };
        let found = Deformation::between(apply(&f, A), apply(&f, B), A, B).unwrap();
        close(
            found.strain(Measure::Infinitesimal).unwrap(),
            Strain {
                xx: 0.01,
                yy: -0.02,
                xy: -0.001,
                rotation: -0.004,
            },
        );
    }

    #[test]
    fn a_clockwise_turn_is_positive() {
        // x towards y: spots at angle 0.1 that were at 0.
        let f = Deformation::between(
            from_polar(10.0, 0.1),
            from_polar(10.0, 1.67),
            from_polar(10.0, 0.0),
            from_polar(10.0, 1.57),
        )
        .unwrap();
        close(
            f.strain(Measure::Polar).unwrap(),
            Strain {
                xx: 0.0,
                yy: 0.0,
                xy: 0.0,
                rotation: 0.1,
            },
        );
    }

    #[test]
    fn axes_along_the_stretch_show_it_alone() {
        // 1 % along 30°.
        let (s, c) = 30f64.to_radians().sin_cos();
        let strain = Strain {
            xx: 0.01 * c * c,
            yy: 0.01 * s * s,
            xy: 0.01 * s * c,
            rotation: 0.3,
        };
        close(
            strain.in_axes(30f64.to_radians()),
            Strain {
                xx: 0.01,
                yy: 0.0,
                xy: 0.0,
                rotation: 0.3,
            },
        );
        close(
            strain.in_axes(120f64.to_radians()),
            Strain {
                xx: 0.0,
                yy: 0.01,
                xy: 0.0,
                rotation: 0.3,
            },
        );
        assert_eq!(Axes::AlongA.angle([1.0, 1.0]), std::f64::consts::FRAC_PI_4);
        // Uniaxial along a₀: only xx there.
        let a = A.map(|v| 1.02 * v);
        let across = [A[1], -A[0]];
        let f = Deformation::between(a, across, A, across).unwrap();
        close(
            f.strain(Measure::Polar).unwrap().in_axes(Axes::AlongA.angle(A)),
            Strain {
                xx: 0.02,
                yy: 0.0,
                xy: 0.0,
                rotation: 0.0,
            },
        );
    }

    #[test]
    fn no_strain_without_a_lattice() {
        assert!(Deformation::between(A, B, A, A).is_none());
        assert!(Deformation::between([f64::NAN, 1.0], B, A, B).is_none());
        assert!(Deformation::between(B, A, A, B).unwrap().strain(Measure::Polar).is_none());
        assert_eq!(
            median([[3.0, 1.0], [f64::NAN, 0.0], [1.0, 2.0], [2.0, 9.0]]),
            Some([2.0, 2.0])
        );
        assert_eq!(median([[1.0, 1.0], [2.0, 3.0]]), Some([1.5, 2.0]));
        assert_eq!(median([]), None);
    }
}
