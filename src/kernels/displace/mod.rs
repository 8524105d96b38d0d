//! Frames moved by a vector of their own before another kernel sees them: what takes descan out of a scan.
//!
//! The frame f moved by −s is
//!
//! g(y, x) = Σ_j Σ_i w_j(s_y) w_i(s_x) f(y + ⌊s_y⌋ + j, x + ⌊s_x⌋ + i),   i, j from −1 to 2,
//!
//! with f = 0 outside the frame and the weights of cubic convolution at the fraction t of the shift (R. G. Keys, *IEEE Trans.
//! Acoust. Speech Signal Process.* 29 (1981) 1153, a = −1/2):
//!
//! w = (−t + 2t² − t³, 2 − 5t² + 3t³, t + 4t² − 3t³, −t² + t³) / 2.
//!
//! They keep the sum, the centre and the width of a disk whatever the fraction is; linear interpolation would widen a disk
//! by an amount that changes from frame to frame. A shift by whole pixels moves values unchanged, and no shift leaves the frame
//! as it is. Multiplying a moved frame with a mask is multiplying the frame with the mask moved by +s.
//!
//! Moved frames are float32 whatever the pixels are. Weights are made on the host in float64, so both backends use the same bits; a row's
//! four products are added first, then four rows, in ascending order. Tolerance against float64: 1e-6 of Σ w |f|.

pub mod cpu;
pub mod gpu;

use crate::backend::stage::Work;
use crate::cubic;
use crate::error::{Error, Result};
use crate::pixel::{FrameShape, Pixel};
use std::sync::Arc;

/// Pixels that a moved pixel is made of, along each axis.
const TAPS: usize = 4;

/// How far each selected frame's pattern is displaced.
#[derive(Debug, Clone)]
pub struct Params {
    /// Shift s = (y, x) in pixels of each frame, by its number in the selection: what lies at p + s comes to p.
    pub shifts: Arc<[[f64; 2]]>,
}

impl Params {
    /// Checks the shifts against `frames` selected frames.
    ///
    /// # Errors
    /// [`Error::Parameter`] for another number of shifts, and for shifts that are not finite.
    pub fn check(&self, frames: u64) -> Result<()> {
        let given = self.shifts.len() as u64;
        if given != frames {
            return Err(Error::parameter("shifts", format!("{given} shifts for {frames} frames")));
        }
        match self.shifts.iter().position(|s| s.iter().any(|v| !v.is_finite())) {
            Some(n) => Err(Error::parameter("shifts", format!("the shift of frame {n} is not a number"))),
            None => Ok(()),
        }
    }

    /// The move of selected frame `n` with pixels of `shape`.
    fn of(&self, n: u64, shape: FrameShape) -> Result<Move> {
        let shift = usize::try_from(n).ok().and_then(|n| self.shifts.get(n));
        match shift {
            Some(&[y, x]) => Ok(Move {
                y: Along::new(y, shape.height),
                x: Along::new(x, shape.width),
            }),
            None => Err(Error::Internal(format!("no shift for frame {n}"))),
        }
    }
}

/// The shape of moved frames.
pub fn moved(shape: FrameShape) -> FrameShape {
    FrameShape {
        pixel: Pixel::F32,
        ..shape
    }
}

/// Work on one frame: four products and three additions for each pixel along each axis. The moved frame stays inside the kernel that
/// looks at it.
pub fn work(shape: FrameShape) -> Work {
    Work {
        read: shape.bytes() as u64,
        written: 0,
        operations: 14 * shape.pixels() as u64,
    }
}

/// A shift as first pixel and weights along both axes.
#[derive(Debug, Clone, Copy, bytemuck::Zeroable, bytemuck::Pod)]
#[repr(C)]
struct Move {
    y: Along,
    x: Along,
}

/// A shift along one axis.
#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Zeroable, bytemuck::Pod)]
#[repr(C)]
struct Along {
    /// Distance from a pixel to the first of those that it is made of.
    first: i32,
    weights: [f32; TAPS],
}

impl Along {
    /// The shift `s` of an axis of `n` pixels.
    fn new(s: f64, n: usize) -> Self {
        // Farther out nothing of the frame is left; the number stays small.
        let far = n as f64 + TAPS as f64;
        let s = s.clamp(-far, far);
        Along {
            first: s.floor() as i32 - 1,
            weights: cubic::weights(s - s.floor()).map(|w| w as f32),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_keep_sum_centre_and_width() {
        for i in -40..40 {
            let s = f64::from(i) / 16.0;
            let a = Along::new(s, 100);
            let moment = |k: i32| {
                let at = |j: usize| f64::from(a.first + j as i32) - s;
                (0..TAPS).map(|j| f64::from(a.weights[j]) * at(j).powi(k)).sum::<f64>()
            };
            assert!(
                (moment(0) - 1.0).abs() < 1e-7 && moment(1).abs() < 1e-6 && moment(2).abs() < 1e-6,
                "{s}"
            );
        }
        assert_eq!(
            Along::new(-3.0, 100),
            Along {
                first: -4,
                weights: [0.0, 1.0, 0.0, 0.0]
            }
        );
        assert_eq!(Along::new(1e300, 10).first, 13);
    }

    #[test]
    fn shifts_are_checked() {
        let params = |s: &[[f64; 2]]| Params { shifts: Arc::from(s) };
        assert!(params(&[[0.0; 2]; 3]).check(3).is_ok());
        assert!(
            params(&[[0.0; 2]; 3])
                .check(4)
                .unwrap_err()
                .to_string()
                .contains("3 shifts for 4 frames")
        );
        assert!(params(&[[0.0, f64::NAN]]).check(1).is_err());
    }
}
