//! Animated pictures: frames of a movie with marks, as an animated PNG, which browsers and most viewers play.

use super::canvas::{Align, Figure, TEXT, WHITE};
use super::colour::ColourMap;
use super::geometry::Geometry;
use super::heatmap::paint;
use super::limits::{Limits, position};
use super::marks::{Marker, marks};
use super::png;
use crate::error::{Error, Result};
use ndarray::ArrayView2;
use std::fs::File;
use std::io::{BufWriter, Write};
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
        let greys: [_; 256] = std::array::from_fn(|i| ColourMap::Grey.rgb(i as f64 / 255.0));
        paint(&mut figure, (0, 0), &geometry, self.data, |v| {
            match position(v, limits, false) {
                t if t.is_nan() => ColourMap::Grey.rgb(t),
                t => greys[(t.clamp(0.0, 1.0) * 255.0 + 0.5) as usize],
            }
        });
        marks(&mut figure, (0, 0), &geometry, self.markers, &[], WHITE);
        let middle = (geometry.height() + FOOT / 2) as f64;
        figure.text(6.0, middle, TEXT * 0.8, Align::Left, super::canvas::INK, &self.caption);
        figure
    }
}

/// A picture drawn and compressed: the slow part of a movie, which threads can share.
#[derive(Debug)]
pub struct Picture {
    size: [usize; 2],
    data: Vec<u8>,
}

impl Picture {
    /// Compresses a figure.
    ///
    /// # Errors
    /// [`Error::Internal`] if the compressor refuses, which it has no reason to.
    pub fn new(figure: &Figure) -> Result<Picture> {
        Ok(Picture {
            size: [figure.height(), figure.width()],
            data: png::compress(figure.width(), figure.height(), figure.rgb())?,
        })
    }
}

/// An animated PNG (W3C, Portable Network Graphics, third edition, section 11.3.6) that is written picture by picture.
pub struct Movie {
    to: BufWriter<File>,
    path: PathBuf,
    pictures: u32,
    /// Seconds that a picture is shown.
    seconds: f64,
    /// Of the first picture, once it is written.
    size: Option<[usize; 2]>,
    written: u32,
    /// Number of the next chunk that belongs to the animation.
    sequence: u32,
}

impl Movie {
    /// Begins a movie of so many pictures, shown for `seconds` each, again and again.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(path: &Path, pictures: u32, seconds: f64) -> Result<Self> {
        let failed = |e| Error::io(path, "cannot write", e);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        Ok(Movie {
            to: BufWriter::new(File::create(path).map_err(failed)?),
            path: path.to_owned(),
            pictures,
            seconds,
            size: None,
            written: 0,
            sequence: 0,
        })
    }

    /// Adds a picture.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Internal`] for one of another size or one too many.
    pub fn add(&mut self, picture: &Picture) -> Result<()> {
        let mut out = Vec::with_capacity(picture.data.len() + 128);
        let [height, width] = picture.size;
        if self.size.is_none() {
            out.extend_from_slice(png::SIGNATURE);
            png::chunk(&mut out, b"IHDR", &png::header(width, height));
            // So many pictures, again and again.
            png::chunk(&mut out, b"acTL", &[self.pictures.to_be_bytes(), [0; 4]].concat());
        }
        if *self.size.get_or_insert(picture.size) != picture.size || self.written == self.pictures {
            return Err(Error::Internal("a picture that does not fit the movie".into()));
        }
        let thousandths = (self.seconds * 1000.0).clamp(10.0, 60_000.0) as u16;
        let mut control = Vec::with_capacity(26);
        for number in [self.next(), width as u32, height as u32, 0, 0] {
            control.extend_from_slice(&number.to_be_bytes());
        }
        control.extend_from_slice(&thousandths.to_be_bytes());
        control.extend_from_slice(&1000u16.to_be_bytes());
        // It stays until the next one replaces all of it.
        control.extend_from_slice(&[0, 0]);
        png::chunk(&mut out, b"fcTL", &control);
        if self.written == 0 {
            png::chunk(&mut out, b"IDAT", &picture.data);
        } else {
            let number = self.next().to_be_bytes();
            png::chunk(&mut out, b"fdAT", &[&number, picture.data.as_slice()].concat());
        }
        self.written += 1;
        self.write(&out)
    }

    /// Ends the movie; all pictures must have been added.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Internal`].
    pub fn finish(mut self) -> Result<()> {
        if self.written != self.pictures {
            let what = format!(
                "{} has {} pictures instead of {}",
                self.path.display(),
                self.written,
                self.pictures
            );
            return Err(Error::Internal(what));
        }
        let mut out = Vec::new();
        png::chunk(&mut out, b"IEND", &[]);
        self.write(&out)?;
        self.to.flush().map_err(|e| Error::io(&self.path, "cannot write", e))
    }

    fn next(&mut self) -> u32 {
        self.sequence += 1;
        self.sequence - 1
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.to.write_all(bytes).map_err(|e| Error::io(&self.path, "cannot write", e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_png_crate_plays_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("figures/movie.png");
        let mut movie = Movie::create(&path, 3, 0.25).unwrap();
        let data = ndarray::Array2::from_shape_fn((20, 30), |(y, x)| (y * x) as f64);
        let figures: Vec<Figure> = (0..3)
            .map(|i| {
                let frame = MovieFrame {
                    data: data.view(),
                    limits: Limits::Fixed(0.0, 100.0 * f64::from(i + 1)),
                    markers: &[],
                    caption: format!("frame {i}"),
                };
                frame.draw()
            })
            .collect();
        for figure in &figures {
            movie.add(&Picture::new(figure).unwrap()).unwrap();
        }
        assert!(movie.add(&Picture::new(&figures[0]).unwrap()).is_err(), "one too many");
        movie.finish().unwrap();
        let file = std::io::BufReader::new(File::open(&path).unwrap());
        let mut reader = ::png::Decoder::new(file).read_info().unwrap();
        assert_eq!(reader.info().animation_control().unwrap().num_frames, 3);
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        for figure in &figures {
            let shown = reader.next_frame(&mut pixels).unwrap();
            assert_eq!(
                [shown.height as usize, shown.width as usize],
                [figure.height(), figure.width()]
            );
            assert!(pixels == figure.rgb());
            let control = reader.info().frame_control().unwrap();
            assert_eq!((control.delay_num, control.delay_den), (250, 1000));
        }
        let mut short = Movie::create(&path, 2, 0.25).unwrap();
        short.add(&Picture::new(&figures[0]).unwrap()).unwrap();
        assert!(short.finish().is_err());
    }
}
