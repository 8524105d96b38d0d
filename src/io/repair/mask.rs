//! Bad pixels from a file.

use crate::error::{Error, Result};
use crate::io::dtype::{Kind, Stored};
use crate::io::npy;
use crate::io::readat::ReadAt;
use crate::pixel::FrameShape;
use std::path::Path;

/// Bytes of a mask file that are read at most: a list or mask of the largest frame.
const MAX_BYTES: u64 = 1 << 30;

/// Reads a mask or list; returns the bad pixels' numbers in C order, without repetition.
///
/// # Errors
/// [`Error::Unsupported`], [`Error::Format`] with file and place; [`Error::Parameter`] where the shape is not the frame's.
pub(super) fn read(path: &Path, frame: FrameShape) -> Result<Vec<u32>> {
    let file = ReadAt::open(path)?;
    let mut head = [0; 8];
    let n = file.len().min(8) as usize;
    file.read(0, &mut head[..n])?;
    let mut bad = if head.starts_with(npy::MAGIC) {
        from_npy(&file, frame)?
    } else if head.starts_with(b"\x89PNG") {
        from_png(path, frame)?
    } else {
        return Err(Error::unsupported(path, "a mask of bad pixels is a .npy or .png file"));
    };
    bad.sort_unstable();
    bad.dedup();
    Ok(bad)
}

fn wrong_shape(path: &Path, shape: &str, frame: FrameShape) -> Error {
    let want = format!("({}, {})", frame.height, frame.width);
    let what = format!(
        "{} has shape {shape}; a mask has the frame's {want}, a list of (y, x) has (n, 2)",
        path.display()
    );
    Error::parameter("--bad-pixels", what)
}

fn from_npy(file: &ReadAt, frame: FrameShape) -> Result<Vec<u32>> {
    let path = file.path();
    let h = npy::header(file)?;
    if matches!(h.stored.kind, Kind::F32 | Kind::F64) {
        return Err(Error::unsupported(
            path,
            format!("a mask of {}; use bool or integers", h.stored),
        ));
    }
    let bytes = file.len() - h.start;
    if bytes > MAX_BYTES {
        return Err(Error::limit(
            path,
            format!("a mask of {bytes} bytes; at most {MAX_BYTES} are read"),
        ));
    }
    let mut data = vec![0; bytes as usize];
    file.read(h.start, &mut data)?;
    let values = data.chunks_exact(h.stored.bytes()).map(|b| integer(h.stored, b));
    let is_mask = h.shape == [frame.height as u64, frame.width as u64];
    if is_mask {
        return Ok(values.enumerate().filter(|(_, v)| *v != 0).map(|(p, _)| p as u32).collect());
    }
    let &[_, 2] = h.shape.as_slice() else {
        return Err(wrong_shape(path, &crate::io::limits::tuple(&h.shape), frame));
    };
    let values: Vec<i128> = values.collect();
    let inside = |v: i128, n: usize| usize::try_from(v).ok().filter(|&v| v < n);
    let pixel = |(i, &[y, x]): (usize, &[i128; 2])| match (inside(y, frame.height), inside(x, frame.width)) {
        (Some(y), Some(x)) => Ok((y * frame.width + x) as u32),
        _ => {
            let what = format!(
                "pixel ({y}, {x}) lies outside the frame of ({}, {})",
                frame.height, frame.width
            );
            Err(Error::format(path, format!("row {i}"), what))
        }
    };
    values.as_chunks::<2>().0.iter().enumerate().map(pixel).collect()
}

/// One stored integer.
fn integer(stored: Stored, bytes: &[u8]) -> i128 {
    let fold = |v: u128, &b: &u8| v << 8 | u128::from(b);
    let v = if stored.big_endian {
        bytes.iter().fold(0, fold)
    } else {
        bytes.iter().rev().fold(0, fold)
    };
    let bits = 8 * bytes.len();
    let signed = matches!(stored.kind, Kind::I8 | Kind::I16 | Kind::I32 | Kind::I64);
    if signed && v >> (bits - 1) & 1 == 1 {
        v as i128 - (1 << bits)
    } else {
        v as i128
    }
}

fn from_png(path: &Path, frame: FrameShape) -> Result<Vec<u32>> {
    let file = std::fs::File::open(path).map_err(|e| Error::io(path, "cannot open", e))?;
    let err = |e: png::DecodingError| Error::format(path, "image", e.to_string());
    let limits = png::Limits { bytes: 256 << 20 };
    let mut decoder = png::Decoder::new_with_limits(std::io::BufReader::new(file), limits);
    decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::STRIP_16);
    let mut reader = decoder.read_info().map_err(err)?;
    let (w, h) = (reader.info().width, reader.info().height);
    if [h as usize, w as usize] != [frame.height, frame.width] {
        return Err(wrong_shape(path, &format!("({h}, {w})"), frame));
    }
    let size = reader.output_buffer_size().filter(|&n| n as u64 <= MAX_BYTES);
    let size = size.ok_or_else(|| Error::limit(path, "an image too large for a mask"))?;
    let mut data = vec![0; size];
    let out = reader.next_frame(&mut data).map_err(err)?;
    let samples = out.color_type.samples();
    // Transparency says nothing about the detector.
    let colours = samples
        - usize::from(matches!(
            out.color_type,
            png::ColorType::GrayscaleAlpha | png::ColorType::Rgba
        ));
    let rows = data.chunks(out.line_size.max(1)).take(frame.height);
    let mut bad = Vec::new();
    for (y, row) in rows.enumerate() {
        for (x, pixel) in row.chunks_exact(samples).take(frame.width).enumerate() {
            if pixel[..colours].iter().any(|&v| v != 0) {
                bad.push((y * frame.width + x) as u32);
            }
        }
    }
    Ok(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_any_type() {
        assert_eq!(integer(Stored::parse(">i2").unwrap(), &[0xff, 0xfe]), -2);
        assert_eq!(integer(Stored::parse("<i8").unwrap(), &[3, 1, 0, 0, 0, 0, 0, 0]), 259);
        assert_eq!(integer(Stored::parse("<u8").unwrap(), &[0xff; 8]), i128::from(u64::MAX));
        assert_eq!(integer(Stored::parse("|b1").unwrap(), &[1]), 1);
    }
}
