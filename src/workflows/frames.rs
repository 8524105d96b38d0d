//! Frames in, frames out: a scan binned or log-scaled into a new file.

use crate::control::Control;
use crate::engine::{Backend, FrameSink, Pass, Resident, Selection};
use crate::error::{Error, Result};
use crate::io::Scan;
use crate::io::write::{self, FrameWriter};
use crate::kernels::framemap::Params;
use crate::ops::FrameMap;
use crate::pixel::{FrameShape, Pixel};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Writes every selected frame, mapped as `params` say, as float32 to `path` (`.npy` or HDF5, by its ending). The new scan keeps
/// the scan's shape where the selection is a rectangle, else it is (1, frames). Nothing appears under `path` before all is written.
///
/// # Errors
/// Whatever reading, the device or the disk reports; [`Error::Parameter`] for a binning that does not fit.
pub fn map_frames(
    scan: &dyn Scan,
    selection: &Selection,
    params: Params,
    path: &Path,
    overwrite: bool,
    backend: &Backend,
    control: &Control,
) -> Result<()> {
    let frame = scan.info().frame;
    let (height, width) = params.output(frame.height, frame.width)?;
    let target = Target {
        path: path.to_owned(),
        nav: selection.shape(),
        frame: FrameShape {
            pixel: Pixel::F32,
            height,
            width,
        },
        overwrite,
    };
    // Opened before any work, so that a place that cannot be written to is known at once.
    let slot = Arc::new(Mutex::new(Some(target.create()?)));
    let sink: Box<dyn FrameSink> = Box::new(ToFile {
        target,
        slot: slot.clone(),
        fresh: true,
    });
    let mut pass = Pass::new("frames", scan, selection);
    pass.add(FrameMap::new(params, Arc::new(Mutex::new(sink))));
    pass.run(backend, &Resident::none(), control)?;
    let writer = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
    writer
        .ok_or_else(|| Error::Internal("the file was closed early".into()))?
        .finish()
}

struct Target {
    path: PathBuf,
    nav: [usize; 2],
    frame: FrameShape,
    overwrite: bool,
}

impl Target {
    fn create(&self) -> Result<Box<dyn FrameWriter>> {
        write::create(&self.path, self.nav, self.frame, self.overwrite)
    }
}

/// A file that takes frames; begun again when the pass starts over.
struct ToFile {
    target: Target,
    slot: Arc<Mutex<Option<Box<dyn FrameWriter>>>>,
    /// Nothing was written yet.
    fresh: bool,
}

impl FrameSink for ToFile {
    fn put(&mut self, _: u64, _: usize, values: &[f32]) -> Result<()> {
        self.fresh = false;
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        let writer = slot
            .as_mut()
            .ok_or_else(|| Error::Internal("the file was closed early".into()))?;
        writer.write(bytemuck::cast_slice(values))
    }
    fn restart(&mut self) -> Result<()> {
        if !self.fresh {
            let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
            // The unfinished file goes first: both would use the same target.
            slot.take();
            *slot = Some(self.target.create()?);
            self.fresh = true;
        }
        Ok(())
    }
}
