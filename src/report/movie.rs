//! Animated pictures: frames of a movie with marks, as an animated PNG, which browsers and most viewers play.

use super::canvas::{Align, Figure, TEXT, WHITE};
use super::colour::ColourMap;
use super::geometry::Geometry;
use super::heatmap::{Limits, Marker, marks, paint, position};
use crate::error::{Error, Result};
use ndarray::ArrayView2;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Longer side of a frame of the movie, about, in pixels.
const SIDE: usize = 512;
/// Height of the line of text below the picture.
const FOOT: usize = 30;

/// One picture of a movie.
#[derive(Debug, Clone)]
pub struct MovieFrame<'a> {
    /// (y, x); NaN is grey.
    pub data: ArrayView2<'a, f64>,
    /// The same for all frames, so that brightness can be compared.
    pub limits: Limits,
    pub markers: &'a [Marker],
    /// Written below.
    pub caption: String,
}

impl MovieFrame<'_> {
    /// Draws the picture in grey, about 512 pixels on its longer side, with its marks and the caption.
    pub fn draw(&self) -> Figure {
        let (rows, cols) = self.data.dim();
        let geometry = Geometry::new(rows, cols, SIDE);
        let limits = self.limits.resolve(self.data, false);
        let mut figure = Figure::new(geometry.width(), geometry.height() + FOOT);
        paint(&mut figure, (0, 0), &geometry, self.data, |v| {
            ColourMap::Grey.rgb(position(v, limits, false))
        });
        marks(&mut figure, (0, 0), &geometry, self.markers, &[], WHITE);
        let middle = (geometry.height() + FOOT / 2) as f64;
        figure.text(6.0, middle, TEXT * 0.8, Align::Left, super::canvas::INK, &self.caption);
        figure
    }
}

/// An animated PNG that is written frame by frame.
pub struct Movie<W: Write> {
    writer: png::Writer<W>,
    /// For messages.
    path: PathBuf,
    size: [usize; 2],
    left: u32,
}

fn failed(path: &Path, e: png::EncodingError) -> Error {
    match e {
        png::EncodingError::IoError(e) => Error::io(path, "cannot write", e),
        e => Error::Internal(format!("{} as PNG: {e}", path.display())),
    }
}

impl<W: Write> Movie<W> {
    /// Begins a movie of `frames` pictures of the size of `first`, shown for `seconds` each, again and again; `path` is
    /// where `to` writes.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Internal`] for a movie without frames.
    pub fn begin(to: W, path: &Path, first: &Figure, frames: u32, seconds: f64) -> Result<Self> {
        let failed = |e| failed(path, e);
        let mut encoder = png::Encoder::new(to, first.width() as u32, first.height() as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_animated(frames, 0).map_err(failed)?;
        let thousandths = (seconds * 1000.0).clamp(10.0, 60_000.0) as u16;
        encoder.set_frame_delay(thousandths, 1000).map_err(failed)?;
        Ok(Movie {
            writer: encoder.write_header().map_err(failed)?,
            path: path.to_owned(),
            size: [first.height(), first.width()],
            left: frames,
        })
    }

    /// Adds a picture.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Internal`] for one of another size or one too many.
    pub fn add(&mut self, picture: &Figure) -> Result<()> {
        if [picture.height(), picture.width()] != self.size || self.left == 0 {
            return Err(Error::Internal("a picture that does not fit the movie".into()));
        }
        self.left -= 1;
        self.writer.write_image_data(picture.rgb()).map_err(|e| failed(&self.path, e))
    }

    /// Ends the movie; all pictures must have been added.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Internal`].
    pub fn finish(self) -> Result<()> {
        let path = self.path;
        self.writer.finish().map_err(|e| failed(&path, e))
    }
}
