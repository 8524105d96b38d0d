//! A scan that is already in memory.

use super::{Axis, Scan, ScanInfo};
use crate::control::Control;
use crate::error::{Error, Result};
use crate::pixel::{FrameShape, Sample};
use std::path::PathBuf;

/// Frames in memory, in scan order without padding.
pub struct MemoryScan<T> {
    info: ScanInfo,
    pixels: Vec<T>,
}

impl<T: Sample> MemoryScan<T> {
    /// A scan of shape `nav` = (ny, nx) with frames of shape `sig` = (h, w).
    ///
    /// # Errors
    /// [`Error::Parameter`] if there are not ny·nx·h·w pixels, or none.
    pub fn new(nav: [usize; 2], sig: [usize; 2], pixels: Vec<T>) -> Result<Self> {
        let wanted = nav.iter().chain(&sig).try_fold(1usize, |n, &d| n.checked_mul(d));
        if wanted != Some(pixels.len()) || pixels.is_empty() {
            return Err(Error::parameter(
                "scan",
                format!("{} pixels for a scan of {nav:?} × {sig:?}", pixels.len()),
            ));
        }
        let frame = FrameShape::new(T::PIXEL, sig);
        let info = ScanInfo {
            path: PathBuf::from("memory"),
            format: "memory",
            dataset: None,
            nav,
            frame,
            stored: T::PIXEL.name().to_owned(),
            nav_axes: [Axis::default(), Axis::default()],
            sig_axes: [Axis::default(), Axis::default()],
            together: 1,
            costly: false,
            file_bytes: size_of_val(pixels.as_slice()) as u64,
            notes: Vec::new(),
            reading: Default::default(),
        };
        Ok(MemoryScan { info, pixels })
    }
}

impl<T: Sample> Scan for MemoryScan<T> {
    fn info(&self) -> &ScanInfo {
        &self.info
    }
    fn read(&self, frames: &[u64], stride: usize, out: &mut [u8], control: &Control) -> Result<()> {
        control.check()?;
        let n = self.info.frame.pixels();
        let bytes = self.info.frame.bytes();
        for (i, &f) in frames.iter().enumerate() {
            let from = self.pixels.get(f as usize * n..(f as usize + 1) * n);
            let to = out.get_mut(i * stride..i * stride + bytes);
            match (from, to) {
                (Some(from), Some(to)) => to.copy_from_slice(bytemuck::cast_slice(from)),
                _ => {
                    return Err(Error::Internal(format!(
                        "frame {f} of a scan of {} frames",
                        self.info.frames()
                    )));
                }
            }
        }
        Ok(())
    }
}
