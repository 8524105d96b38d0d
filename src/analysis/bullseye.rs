//! The match image of a bullseye aperture: a disk inside a ring, with a cross of holders.

use super::template::{balance, ring};
use crate::error::{Error, Result};
use ndarray::Array2;

/// Largest edge of the image in pixels.
const LARGEST: usize = 2049;
/// Value of closed pixels before balancing.
const CLOSED: f64 = -0.01;

/// A bullseye, with radii in detector pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bullseye {
    /// Radius of the disk in the middle.
    pub disk: f64,
    /// Inner and outer radius of the open ring.
    pub inner: f64,
    pub outer: f64,
    /// Beyond this radius the image is zero.
    pub rim: f64,
    /// Half the width of the bars of the cross that holds the ring: pixels with |dy| or |dx| up to this are closed from the
    /// inner radius on.
    pub cross: Option<f64>,
    /// Rows and columns of the image.
    pub size: usize,
}

impl Bullseye {
    /// Reads what follows the colon of `bullseye:RII,RI,RO,ROO[,cross=W][,size=N]`. Without `size` the image reaches to the rim.
    ///
    /// # Errors
    /// [`Error::Parameter`] for anything else, radii that do not ascend, a size that is even, 0, or above 2049.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |what: String| Err(Error::parameter("template", format!("`bullseye:{text}`: {what}")));
        let (mut radii, mut cross, mut size) = (Vec::new(), None, None);
        for part in text.split(',').map(str::trim) {
            let (key, value) = part.split_once('=').unwrap_or(("", part));
            let Ok(number) = value.trim().parse::<f64>() else {
                return bad(format!("`{value}` is not a number"));
            };
            match key.trim() {
                "" if cross.is_none() && size.is_none() => radii.push(number),
                "" => return bad(format!("the radius {number} stands after an option")),
                "cross" if number >= 0.0 && number.is_finite() => cross = Some(number),
                "cross" => return bad(format!("a cross of {number} px is not a width")),
                "size" if number % 2.0 == 1.0 && number <= LARGEST as f64 => size = Some(number as usize),
                "size" => return bad(format!("a size of {number} is not an odd number up to {LARGEST}")),
                other => return bad(format!("unknown option `{other}` (known: cross, size)")),
            }
        }
        let &[disk, inner, outer, rim] = radii.as_slice() else {
            return bad(format!("{} radii, want four: disk, inner and outer ring, rim", radii.len()));
        };
        if !(0.0 < disk && disk < inner && inner < outer && outer < rim && rim <= (LARGEST / 2) as f64) {
            return bad(format!("the radii must ascend from above 0 to at most {}", LARGEST / 2));
        }
        let size = size.unwrap_or(2 * rim as usize + 1);
        Ok(Bullseye {
            disk,
            inner,
            outer,
            rim,
            cross,
            size,
        })
    }

    /// The image: open pixels up to 1, closed ones equally negative, so that the sum is zero.
    pub fn image(&self) -> Array2<f64> {
        let half = (self.size / 2) as f64;
        let mut image = Array2::from_shape_fn((self.size, self.size), |(y, x)| {
            let (dy, dx) = (y as f64 - half, x as f64 - half);
            let r = (dy * dy + dx * dx).sqrt();
            let open = ring(r, 0.0, self.disk) + ring(r, self.inner, self.outer);
            let held = self
                .cross
                .is_some_and(|w| r >= self.inner && (dy.abs() <= w || dx.abs() <= w));
            match () {
                _ if r > self.rim => 0.0,
                _ if held || open == 0.0 => CLOSED,
                _ => open,
            }
        });
        balance(&mut image);
        image
    }
}

impl std::fmt::Display for Bullseye {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "bullseye:{},{},{},{}", self.disk, self.inner, self.outer, self.rim)?;
        if let Some(w) = self.cross {
            write!(f, ",cross={w}")?;
        }
        write!(f, ",size={}", self.size)
    }
}
