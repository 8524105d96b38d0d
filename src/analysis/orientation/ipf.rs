//! Colours of inverse pole figures: which crystal direction lies along a direction of the sample.
//!
//! Groups with enough mirrors have a triangle of distinct directions; its corners are red, green and blue, and between them the colour
//! follows the barycentric coordinates, brightest channel at full (as the maps of EDAX do). The others colour by the angle about the main axis (hue)
//! and to it (saturation: white at the axis), so that equivalent edges have equal colours.

use super::{Laue, Matrix, Setting, rotate, rotation};
use ndarray::Array2;

/// A drawn colour key.
#[derive(Debug, Clone)]
pub struct Picture {
    /// Pixels (y, x), `None` outside of the key.
    pub colours: Array2<Option<[u8; 3]>>,
    /// Names of corners with their places (x, y) in the picture.
    pub names: Vec<([f64; 2], &'static str)>,
}

/// The colour key of a Laue group.
#[derive(Debug, Clone)]
pub struct Key {
    laue: Laue,
    rotations: Vec<Matrix>,
    kind: Kind,
    /// Turns Oxford's setting into that of EDAX, in which corners are named.
    to_a: Matrix,
}

#[derive(Debug, Clone)]
enum Kind {
    /// Corners with their names, and the matrix that gives a direction's weights for them.
    Triangle {
        corners: [([f64; 3], &'static str); 3],
        weights: Matrix,
    },
    /// Directions repeat `fold` times about the axis.
    Hue { fold: f64 },
}

impl Key {
    /// The key of a group.
    pub fn new(laue: Laue, setting: Setting) -> Key {
        let flat = |degrees: f64| {
            let (y, x) = degrees.to_radians().sin_cos();
            [x, y, 0.0]
        };
        let z = [0.0, 0.0, 1.0];
        let kind = match laue {
            Laue::Triclinic | Laue::Monoclinic => Kind::Hue {
                fold: if laue == Laue::Triclinic { 1.0 } else { 2.0 },
            },
            Laue::TrigonalLow => Kind::Hue { fold: 3.0 },
            Laue::TetragonalLow => Kind::Hue { fold: 4.0 },
            Laue::HexagonalLow => Kind::Hue { fold: 6.0 },
            Laue::Orthorhombic => triangle([(z, "001"), (flat(0.0), "100"), (flat(90.0), "010")]),
            Laue::Tetragonal => triangle([(z, "001"), (flat(0.0), "100"), (flat(45.0), "110")]),
            // The axes along a are two-fold: distinct directions lie between their perpendiculars.
            Laue::Trigonal => triangle([(z, "0001"), (flat(-30.0), "10-10"), (flat(30.0), "01-10")]),
            Laue::Hexagonal => triangle([(z, "0001"), (flat(0.0), "2-1-10"), (flat(30.0), "10-10")]),
            Laue::CubicLow | Laue::Cubic => triangle([(z, "001"), ([1.0, 0.0, 1.0], "101"), ([1.0, 1.0, 1.0], "111")]),
        };
        let turn = matches!(
            laue,
            Laue::TrigonalLow | Laue::Trigonal | Laue::HexagonalLow | Laue::Hexagonal
        ) && setting == Setting::AlongB;
        let to_a = rotation(z, if turn { 30f64.to_radians() } else { 0.0 });
        Key {
            laue,
            rotations: laue.rotations(Setting::AlongA),
            kind,
            to_a,
        }
    }

    /// The colour of an orientation: the crystal direction along `direction` of the sample.
    pub fn colour(&self, crystal_from_sample: &Matrix, direction: [f64; 3]) -> [u8; 3] {
        self.colour_of(rotate(&self.to_a, rotate(crystal_from_sample, direction)))
    }

    /// The colour of a direction in the crystal, in the setting with x along a.
    pub fn colour_of(&self, direction: [f64; 3]) -> [u8; 3] {
        match &self.kind {
            Kind::Triangle { weights, .. } => {
                let (inside, mirrored) = self.within_triangle(direction, weights);
                let full = inside.iter().copied().fold(1e-300, f64::max);
                // m-3 has no mirror through 001–111: the other half is darker.
                let level = if mirrored { 140.0 } else { 255.0 };
                inside.map(|w| (level * (w.max(0.0) / full).sqrt()).round() as u8)
            }
            Kind::Hue { fold } => {
                // The axis of monoclinic crystals is y.
                let [x, y, z] = match self.laue {
                    Laue::Monoclinic => [direction[2], direction[0], direction[1]],
                    _ => direction,
                };
                // The inversion brings everything to the upper half; there it turns the angle by half a turn.
                let (x, y, z) = if z < 0.0 { (-x, -y, -z) } else { (x, y, z) };
                let hue = (fold * y.atan2(x) / std::f64::consts::TAU).rem_euclid(1.0);
                let saturation = x.hypot(y).atan2(z) / std::f64::consts::FRAC_PI_2;
                hsv(hue, saturation)
            }
        }
    }

    /// Weights of the corners for the equivalent direction that lies in the triangle, and whether it had to be mirrored there.
    fn within_triangle(&self, direction: [f64; 3], weights: &Matrix) -> ([f64; 3], bool) {
        let mut best = ([-1.0; 3], f64::NEG_INFINITY, false);
        let mirrors: &[bool] = if self.laue == Laue::CubicLow {
            &[false, true]
        } else {
            &[false]
        };
        for op in &self.rotations {
            let turned = rotate(op, direction);
            for (sign, &mirror) in [1.0, -1.0].iter().flat_map(|s| mirrors.iter().map(move |m| (s, m))) {
                let [x, y, z] = turned.map(|v| v * sign);
                let w = rotate(weights, if mirror { [y, x, z] } else { [x, y, z] });
                let least = w.iter().copied().fold(f64::INFINITY, f64::min);
                // A direction on the mirror itself counts as not mirrored.
                if least > best.1 + 1e-9 {
                    best = (w, least, mirror);
                }
            }
        }
        (best.0, best.2)
    }

    /// A picture of the key, `size` pixels wide, stereographic.
    pub fn picture(&self, size: usize) -> Picture {
        let project = |[x, y, z]: [f64; 3]| {
            let length = (x * x + y * y + z * z).sqrt();
            [x / (length + z), y / (length + z)]
        };
        let fold = match self.kind {
            Kind::Hue { fold } => fold,
            Kind::Triangle { .. } => 0.0,
        };
        let wedge = std::f64::consts::TAU / fold;
        // Limits of the picture: left, right, bottom, top in the projection.
        let limits = match &self.kind {
            Kind::Triangle { corners, .. } => {
                let at = corners.map(|(c, _)| project(c));
                let low = |k: usize| at.iter().map(|p| p[k]).fold(0.0, f64::min);
                let high = |k: usize| at.iter().map(|p| p[k]).fold(0.0, f64::max);
                // Edges bulge outwards: the last corner's circle, and the equator.
                let right = if self.laue == Laue::Cubic || self.laue == Laue::CubicLow {
                    high(0)
                } else {
                    1.0
                };
                let top = if self.laue == Laue::CubicLow { right } else { high(1) };
                [low(0), right, low(1), top]
            }
            Kind::Hue { .. } if fold <= 1.0 => [-1.0, 1.0, -1.0, 1.0],
            Kind::Hue { .. } if fold <= 2.0 => [-1.0, 1.0, 0.0, 1.0],
            Kind::Hue { .. } => [wedge.cos().min(0.0), 1.0, 0.0, 1.0],
        };
        let scale = size as f64 / (limits[1] - limits[0]);
        let height = ((limits[3] - limits[2]) * scale).ceil() as usize;
        let place = |p: [f64; 2]| [(p[0] - limits[0]) * scale, (limits[3] - p[1]) * scale];
        let picture = Array2::from_shape_fn((height.max(1), size), |(row, column)| {
            let x = limits[0] + (column as f64 + 0.5) / scale;
            let y = limits[3] - (row as f64 + 0.5) / scale;
            let r = x * x + y * y;
            let direction = [2.0 * x, 2.0 * y, 1.0 - r].map(|v| v / (1.0 + r));
            let inside = match &self.kind {
                Kind::Triangle { weights, .. } => {
                    let within = |d| rotate(weights, d).iter().all(|w| *w >= 0.0);
                    let [a, b, c] = direction;
                    within(direction) || self.laue == Laue::CubicLow && within([b, a, c])
                }
                Kind::Hue { .. } => r <= 1.0 && y.atan2(x).rem_euclid(std::f64::consts::TAU) <= wedge,
            };
            inside.then(|| match self.laue {
                // Here the picture's axis is the crystal's y.
                Laue::Monoclinic => self.colour_of([direction[1], direction[2], direction[0]]),
                _ => self.colour_of(direction),
            })
        });
        let names = match &self.kind {
            Kind::Triangle { corners, .. } => corners.iter().map(|(c, name)| (place(project(*c)), *name)).collect(),
            Kind::Hue { .. } => {
                let axis = match self.laue {
                    Laue::Monoclinic => "010",
                    Laue::TrigonalLow | Laue::HexagonalLow => "0001",
                    _ => "001",
                };
                vec![(place([0.0, 0.0]), axis)]
            }
        };
        Picture { colours: picture, names }
    }
}

fn triangle(corners: [([f64; 3], &'static str); 3]) -> Kind {
    let unit = corners.map(|(c, _)| {
        let length = c.iter().map(|v| v * v).sum::<f64>().sqrt();
        c.map(|v| v / length)
    });
    // A direction is a sum of corners: the weights are products with the reciprocal vectors.
    let cross = |a: [f64; 3], b: [f64; 3]| {
        [
            a[1] * b[2] - a[2] * b[1],
            a[2] * b[0] - a[0] * b[2],
            a[0] * b[1] - a[1] * b[0],
        ]
    };
    let volume: f64 = cross(unit[0], unit[1]).iter().zip(unit[2]).map(|(a, b)| a * b).sum();
    let weights = [0, 1, 2].map(|i| cross(unit[(i + 1) % 3], unit[(i + 2) % 3]).map(|v| v / volume));
    Kind::Triangle { corners, weights }
}

/// Hue, saturation (0 … 1) at full value.
fn hsv(hue: f64, saturation: f64) -> [u8; 3] {
    let s = saturation.clamp(0.0, 1.0);
    [5.0, 3.0, 1.0].map(|n| {
        let k = (n + 6.0 * hue) % 6.0;
        (255.0 * (1.0 - s * k.min(4.0 - k).clamp(0.0, 1.0))).round() as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::orientation::crystal_from_sample;

    #[test]
    fn corners_have_pure_colours() {
        for laue in (1..=11).map(|n| Laue::numbered(n).unwrap()) {
            let key = Key::new(laue, Setting::AlongA);
            if let Kind::Triangle { corners, .. } = &key.kind {
                let colours = corners.map(|(c, _)| key.colour_of(c));
                assert_eq!(colours, [[255, 0, 0], [0, 255, 0], [0, 0, 255]], "{}", laue.symbol());
            } else {
                let axis = if laue == Laue::Monoclinic {
                    [0.0, -1.0, 0.0]
                } else {
                    [0.0, 0.0, -1.0]
                };
                assert_eq!(key.colour_of(axis), [255; 3]);
            }
        }
    }

    #[test]
    fn equivalent_orientations_have_one_colour() {
        let g = crystal_from_sample([0.7, 0.9, 2.3]);
        for laue in (1..=11).map(|n| Laue::numbered(n).unwrap()) {
            for setting in [Setting::AlongA, Setting::AlongB] {
                let key = Key::new(laue, setting);
                for direction in [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.3, -0.4, 0.866]] {
                    let want = key.colour(&g, direction);
                    for op in laue.rotations(setting) {
                        let other = super::super::product(&op, &g);
                        let got = key.colour(&other, direction);
                        let near = got.iter().zip(want).all(|(a, b)| a.abs_diff(b) <= 1);
                        assert!(near, "{} {setting:?}: {got:?} {want:?}", laue.symbol());
                        let inverted = key.colour(&other, direction.map(|v| -v));
                        assert!(inverted.iter().zip(want).all(|(a, b)| a.abs_diff(b) <= 1));
                    }
                }
            }
        }
    }

    #[test]
    fn different_directions_have_different_colours() {
        // Along the equator of a crystal without mirrors no colour comes twice.
        let key = Key::new(Laue::Triclinic, Setting::AlongA);
        let at = |d: f64| key.colour_of([d.to_radians().cos(), d.to_radians().sin(), 0.2]);
        assert_ne!(at(10.0), at(190.0));
        let key = Key::new(Laue::CubicLow, Setting::AlongA);
        assert_ne!(key.colour_of([0.3, 0.1, 1.0]), key.colour_of([0.1, 0.3, 1.0]));
        let key = Key::new(Laue::Cubic, Setting::AlongA);
        assert_eq!(key.colour_of([0.3, 0.1, 1.0]), key.colour_of([0.1, 0.3, 1.0]));
        let picture = key.picture(80);
        assert_eq!(picture.names.len(), 3);
        assert!(picture.colours.iter().filter(|p| p.is_some()).count() > 1000);
    }
}
