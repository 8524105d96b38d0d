//! The movie of results: every so many frames one picture with what was found in it.

use crate::error::Result;
use crate::report::{self, Limits, Marker, MovieFrame};
use ndarray::ArrayView2;
use std::ops::Range;
use std::path::Path;

/// Pictures at most.
const MOST: u64 = 120;

/// Which frames become pictures, and how they look.
pub struct Animation {
    frames: Range<u64>,
    step: u64,
    /// Of the first frame, for all.
    limits: Limits,
    /// Duration of a frame and its unit.
    time: Option<(f64, String)>,
}

impl Animation {
    /// A movie of `frames`, as bright as the `first` of them, with `time` as the duration of a frame and its unit.
    pub fn new(frames: Range<u64>, first: ArrayView2<'_, f64>, time: Option<(f64, String)>) -> Self {
        let (low, high) = Limits::Auto.resolve(first, false);
        Animation {
            step: (frames.end - frames.start).div_ceil(MOST).max(1),
            frames,
            limits: Limits::Fixed(low, high),
            time,
        }
    }

    /// Begins the movie.
    ///
    /// # Errors
    /// [`crate::Error::Io`].
    pub fn create(&self, path: &Path) -> Result<report::Movie> {
        let pictures = (self.frames.end - self.frames.start).div_ceil(self.step);
        let seconds = if pictures > 40 { 0.1 } else { 0.25 };
        report::Movie::create(path, pictures as u32, seconds)
    }

    /// Whether the frame becomes a picture.
    pub fn shows(&self, frame: u64) -> bool {
        self.frames.contains(&frame) && (frame - self.frames.start).is_multiple_of(self.step)
    }

    /// The picture of a frame in which so many defects were `found`.
    ///
    /// # Errors
    /// [`crate::Error::Internal`] if the compressor refuses.
    pub fn draw(&self, frame: u64, image: ArrayView2<'_, f64>, markers: &[Marker], found: usize) -> Result<report::Picture> {
        let time = self.time.as_ref();
        let time = time.map_or(String::new(), |(step, unit)| format!(", {:.1} {unit}", frame as f64 * step));
        let picture = MovieFrame {
            data: image,
            limits: self.limits,
            markers,
            caption: format!("frame {frame}{time}: {found} defects"),
        };
        report::Picture::new(&picture.draw())
    }
}
