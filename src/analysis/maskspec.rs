//! Virtual detectors as a user writes them: `disk:Y,X,R`, `ring:Y,X,R1,R2`, `rect:Y,X,H,W`.
//!
//! Positions are (y, x) in detector pixels with the origin at the centre of the first pixel; they need not be whole numbers.

use crate::error::{Error, Result};
use ndarray::Array2;

/// A virtual detector. Edges are antialiased: a pixel at the edge counts partly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Detector {
    /// 1 within `radius` of the centre; clip(radius + 1/2 − r, 0, 1) at distance r.
    Disk { centre: [f64; 2], radius: f64 },
    /// 1 between the radii; the smaller of clip(outer + 1/2 − r, 0, 1) and clip(r − inner + 1/2, 0, 1).
    Ring { centre: [f64; 2], inner: f64, outer: f64 },
    /// 1 on `size` = (height, width) pixels from pixel `start` = (y, x) on. A pixel counts with the share of its area that is
    /// covered; it reaches from half before to half behind its centre.
    Rectangle { start: [f64; 2], size: [f64; 2] },
}

impl Detector {
    /// Reads one of the three forms.
    ///
    /// # Errors
    /// [`Error::Parameter`] for an unknown form, a wrong count of numbers, numbers that are not finite, radii and sizes that
    /// are not positive, an inner radius not below the outer one.
    pub fn parse(spec: &str) -> Result<Self> {
        let bad = |what: String| Error::parameter("--masks", format!("`{spec}`: {what}"));
        let forms = "want disk:Y,X,R or ring:Y,X,R1,R2 or rect:Y,X,H,W";
        let (name, rest) = spec.split_once(':').ok_or_else(|| bad(forms.into()))?;
        let numbers = rest
            .split(',')
            .map(|t| match t.trim().parse::<f64>() {
                Ok(v) if v.is_finite() => Ok(v),
                _ => Err(bad(format!("`{t}` is not a number"))),
            })
            .collect::<Result<Vec<f64>>>()?;
        let positive = |name: &str, v: f64| {
            if v > 0.0 {
                Ok(())
            } else {
                Err(bad(format!("a {name} of {v} is not positive")))
            }
        };
        match (name, numbers[..].len()) {
            ("disk", 3) => {
                positive("radius", numbers[2])?;
                Ok(Detector::Disk {
                    centre: [numbers[0], numbers[1]],
                    radius: numbers[2],
                })
            }
            ("ring", 4) => {
                let (inner, outer) = (numbers[2], numbers[3]);
                positive("outer radius", outer)?;
                if inner < 0.0 || inner >= outer {
                    return Err(bad(format!(
                        "the inner radius {inner} is not between 0 and the outer radius {outer}"
                    )));
                }
                Ok(Detector::Ring {
                    centre: [numbers[0], numbers[1]],
                    inner,
                    outer,
                })
            }
            ("rect", 4) => {
                positive("height", numbers[2])?;
                positive("width", numbers[3])?;
                Ok(Detector::Rectangle {
                    start: [numbers[0], numbers[1]],
                    size: [numbers[2], numbers[3]],
                })
            }
            ("disk" | "ring" | "rect", n) => Err(bad(format!("has {n} numbers; {forms}"))),
            _ => Err(bad(forms.into())),
        }
    }

    /// The detector's weights on frames of `h` × `w` pixels.
    ///
    /// # Errors
    /// [`Error::Parameter`] if no pixel of the frame is inside.
    pub fn mask(&self, h: usize, w: usize) -> Result<Array2<f64>> {
        let edge = |outside: f64| (0.5 - outside).clamp(0.0, 1.0);
        let distance = |y: usize, x: usize, c: [f64; 2]| (y as f64 - c[0]).hypot(x as f64 - c[1]);
        let mask = Array2::from_shape_fn((h, w), |(y, x)| match *self {
            Detector::Disk { centre, radius } => edge(distance(y, x, centre) - radius),
            Detector::Ring { centre, inner, outer } => {
                let r = distance(y, x, centre);
                // Without a hole there is no inner edge.
                if inner == 0.0 {
                    edge(r - outer)
                } else {
                    edge(r - outer).min(edge(inner - r))
                }
            }
            Detector::Rectangle { start, size } => {
                let covered = |i: usize, start: f64, size: f64| {
                    let i = i as f64;
                    ((i + 1.0).min(start + size) - i.max(start)).clamp(0.0, 1.0)
                };
                covered(y, start[0], size[0]) * covered(x, start[1], size[1])
            }
        });
        if mask.iter().all(|&v| v == 0.0) {
            return Err(Error::parameter(
                "--masks",
                format!("`{self}` covers no pixel of frames of {h}×{w}"),
            ));
        }
        Ok(mask)
    }
}

/// The detector as [`Detector::parse`] reads it.
impl std::fmt::Display for Detector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Detector::Disk { centre: [y, x], radius } => write!(f, "disk:{y},{x},{radius}"),
            Detector::Ring {
                centre: [y, x],
                inner,
                outer,
            } => write!(f, "ring:{y},{x},{inner},{outer}"),
            Detector::Rectangle {
                start: [y, x],
                size: [h, w],
            } => write!(f, "rect:{y},{x},{h},{w}"),
        }
    }
}

/// Reads several detectors separated by white space.
///
/// # Errors
/// As [`Detector::parse`], and if there are none.
pub fn parse_detectors(specs: &str) -> Result<Vec<Detector>> {
    let all = specs.split_whitespace().map(Detector::parse).collect::<Result<Vec<_>>>()?;
    if all.is_empty() {
        Err(Error::parameter("--masks", "names no detector"))
    } else {
        Ok(all)
    }
}
