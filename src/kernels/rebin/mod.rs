//! Frames rebinned, scaled and reduced to chosen pixels before another kernel sees them: from diffraction patterns and spectra to features.
//!
//! Blocks of `bin` × `bin` pixels are summed (incomplete blocks at the far edges are dropped). Sums of 8- and 16-bit pixels are exact
//! integers; as long as they are neither scaled nor divided they stay integers, so that statistics of them are exact on every
//! backend. Other pixels are summed in float32, each row of a block in ascending x, then the rows in ascending y. Then each value x
//! becomes, with v = max(x, 0) · factor:
//!
//! | [`Scale`] | value |
//! |---|---|
//! | `Linear` | x · factor |
//! | `Log` | ln v, 0 where v = 0 |
//! | `Log1p` | ln(1 + v) |
//! | `Root` | √v + √(v + 1) |
//!
//! The last one has a standard deviation near 1 for Poisson counts of any mean above 1 (M. F. Freeman, J. W. Tukey, *Ann. Math.
//! Statist.* 21 (1950) 607). Tolerance against float64: 4e-7 of the value, or of 1 for logarithms.

pub mod cpu;
pub mod gpu;

use crate::backend::cpu::ln;
use crate::backend::stage::Work;
use crate::error::{Error, Result};
use crate::pixel::{FrameShape, Pixel};
use std::sync::Arc;

/// What becomes of each (rebinned) value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scale {
    #[default]
    Linear,
    /// Natural logarithm; zero stays zero.
    Log,
    /// ln(1 + v)
    Log1p,
    /// √v + √(v + 1)
    Root,
}

/// What is done with each frame.
#[derive(Debug, Clone)]
pub struct Params {
    /// Edge of the blocks of pixels that are summed; 1: none.
    pub bin: usize,
    /// Multiplies every value before it is scaled, e.g. 1/bin² for means.
    pub factor: f32,
    pub scale: Scale,
    /// Numbers of the pixels that are kept, in C order of the rebinned frame; `None`: all of them, as a frame of their own.
    pub pixels: Option<Arc<[u32]>>,
}

impl Params {
    /// Sums of blocks, all of them.
    pub fn sums(bin: usize) -> Self {
        Params {
            bin,
            factor: 1.0,
            scale: Scale::Linear,
            pixels: None,
        }
    }

    /// Rows and columns of the rebinned frame.
    ///
    /// # Errors
    /// [`Error::Parameter`] if `bin` is 0 or larger than the frame (frames of one row are binned along x only).
    pub fn binned(&self, shape: FrameShape) -> Result<(usize, usize)> {
        let rows = if shape.height == 1 { 1 } else { self.bin };
        if self.bin == 0 || rows > shape.height || self.bin > shape.width {
            let what = format!("{} does not fit frames of {}×{}", self.bin, shape.height, shape.width);
            return Err(Error::parameter("--rebin", what));
        }
        Ok((shape.height / rows, shape.width / self.bin))
    }

    /// The frames that the next kernel sees: those of the chosen pixels have one row.
    ///
    /// # Errors
    /// As [`Params::binned`]; [`Error::Parameter`] for pixels outside the rebinned frame or none.
    pub fn output(&self, shape: FrameShape) -> Result<FrameShape> {
        let (h, w) = self.binned(shape)?;
        let (height, width) = match &self.pixels {
            None => (h, w),
            Some(list) => {
                if list.is_empty() || list.iter().any(|&p| p as usize >= h * w) {
                    let what = format!("{} chosen pixels do not fit rebinned frames of {h}×{w}", list.len());
                    return Err(Error::parameter("pixels", what));
                }
                (1, list.len())
            }
        };
        let pixel = match self.exact(shape) {
            Some(pixel) if self.scale == Scale::Linear && self.factor == 1.0 => pixel,
            _ => Pixel::F32,
        };
        Ok(FrameShape { pixel, height, width })
    }

    /// The integer that holds every sum of a block, where there is one.
    fn exact(&self, shape: FrameShape) -> Option<Pixel> {
        let (largest, pixel) = match shape.pixel {
            Pixel::U8 => (u64::from(u8::MAX), Pixel::U32),
            Pixel::U16 => (u64::from(u16::MAX), Pixel::U32),
            Pixel::I8 => (1 << 7, Pixel::I32),
            Pixel::I16 => (1 << 15, Pixel::I32),
            _ => return None,
        };
        let rows = if shape.height == 1 { 1 } else { self.bin };
        let most = largest.checked_mul((rows * self.bin) as u64)?;
        let room = if pixel == Pixel::U32 { u64::from(u32::MAX) } else { 1 << 31 };
        (most < room).then_some(pixel)
    }

    /// Work on one frame: an addition for each pixel that is binned, and the scale of each value that is kept. The result stays
    /// inside the kernel that looks at it.
    ///
    /// # Errors
    /// As [`Params::output`].
    pub fn work(&self, shape: FrameShape) -> Result<Work> {
        let values = self.output(shape)?.pixels() as u64;
        let each = match self.scale {
            Scale::Linear => 1,
            Scale::Log => ln::OPERATIONS + 2,
            Scale::Log1p => ln::OPERATIONS + 3,
            Scale::Root => 5,
        };
        let binned = if self.bin > 1 { shape.pixels() as u64 } else { 0 };
        Ok(Work {
            read: shape.bytes() as u64,
            written: 0,
            operations: binned + each * values,
        })
    }
}
