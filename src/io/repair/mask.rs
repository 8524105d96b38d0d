//! Bad pixels from a file.

use crate::error::{Error, Result};
use crate::io::dtype::{Kind, Stored};
use crate::io::readat::ReadAt;
use crate::io::{h5, npy};
use crate::pixel::FrameShape;
use hdf5::types::TypeDescriptor;
use std::path::Path;

/// Bytes of an unpacked image that are taken at most: four samples of every pixel of the largest frame.
const MAX_BYTES: u64 = 1 << 30;

/// Reads a mask or list; returns the bad pixels' numbers in C order, without repetition.
///
/// # Errors
/// [`Error::Unsupported`], [`Error::Format`] with file and place; [`Error::Parameter`] where the shape is not the frame's.
pub(super) fn read(path: &Path, frame: FrameShape) -> Result<Vec<u32>> {
    let mut bad = match dataset_of(path) {
        Some((file, dataset)) => from_hdf5(file, dataset, frame)?,
        None => from_file(path, frame)?,
    };
    bad.sort_unstable();
    bad.dedup();
    Ok(bad)
}

/// `FILE:/DATASET` in its two parts.
fn dataset_of(path: &Path) -> Option<(&Path, &str)> {
    let text = path.to_str()?;
    let at = text.rfind(":/")?;
    let file = Path::new(&text[..at]);
    (!path.exists() && file.is_file()).then_some((file, &text[at + 1..]))
}

fn from_file(path: &Path, frame: FrameShape) -> Result<Vec<u32>> {
    let file = ReadAt::open(path)?;
    let mut head = [0; 8];
    let n = file.len().min(8) as usize;
    file.read(0, &mut head[..n])?;
    if head.starts_with(npy::MAGIC) {
        from_npy(&file, frame)
    } else if head.starts_with(b"\x89PNG") {
        from_png(path, frame)
    } else {
        let what = "a mask of bad pixels is a .npy or .png file, or in an HDF5 file FILE:/DATASET";
        Err(Error::unsupported(path, what))
    }
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
    if matches!(h.stored.kind, Kind::F16 | Kind::F32 | Kind::F64) {
        return Err(no_integers(path, &h.stored.to_string()));
    }
    let wanted = Wanted::of(path, &h.shape, frame)?;
    // A list may name every pixel once; what is longer is no list of bad pixels.
    let bytes = file.len() - h.start;
    let most = (frame.pixels() * 2 * h.stored.bytes()) as u64;
    if bytes > most {
        return Err(Error::limit(
            path,
            format!("a list of {bytes} bytes for frames of {} pixels", frame.pixels()),
        ));
    }
    let mut data = vec![0; bytes as usize];
    file.read(h.start, &mut data)?;
    let values = data.chunks_exact(h.stored.bytes());
    wanted.pixels(path, values.map(|b| integer(h.stored, b)), frame)
}

fn from_hdf5(path: &Path, name: &str, frame: FrameShape) -> Result<Vec<u32>> {
    let failed = |e: hdf5::Error| h5::fault(path, name, &e);
    let dataset = h5::open_file(path)?.dataset(name).map_err(failed)?;
    let shape: Vec<u64> = dataset.shape().into_iter().map(|n| n as u64).collect();
    let wanted = Wanted::of(path, &shape, frame)?;
    if dataset.size() > 2 * frame.pixels() {
        return Err(Error::limit(
            path,
            format!("a list of {} numbers for frames of {} pixels", dataset.size(), frame.pixels()),
        ));
    }
    let kind = dataset.dtype().and_then(|t| t.to_descriptor()).map_err(failed)?;
    match kind {
        TypeDescriptor::Boolean => {
            let values = dataset.read_raw::<bool>().map_err(failed)?;
            wanted.pixels(path, values.into_iter().map(i128::from), frame)
        }
        TypeDescriptor::Integer(_) => {
            let values = dataset.read_raw::<i64>().map_err(failed)?;
            wanted.pixels(path, values.into_iter().map(i128::from), frame)
        }
        TypeDescriptor::Unsigned(_) => {
            let values = dataset.read_raw::<u64>().map_err(failed)?;
            wanted.pixels(path, values.into_iter().map(i128::from), frame)
        }
        other => Err(no_integers(path, &other.to_string())),
    }
}

fn no_integers(path: &Path, kind: &str) -> Error {
    Error::unsupported(path, format!("a mask of {kind}; use bool or integers"))
}

/// What numbers say about pixels.
enum Wanted {
    /// One for each pixel, not zero where it is bad.
    Mask,
    /// y and x of each bad one.
    List,
}

impl Wanted {
    fn of(path: &Path, shape: &[u64], frame: FrameShape) -> Result<Wanted> {
        if shape == [frame.height as u64, frame.width as u64] {
            Ok(Wanted::Mask)
        } else if matches!(shape, [_, 2]) {
            Ok(Wanted::List)
        } else {
            Err(wrong_shape(path, &crate::io::limits::tuple(shape), frame))
        }
    }

    /// Numbers of the bad pixels in C order.
    fn pixels(&self, path: &Path, mut values: impl Iterator<Item = i128>, frame: FrameShape) -> Result<Vec<u32>> {
        let mut bad = Vec::new();
        match self {
            Wanted::Mask => bad.extend((0u32..).zip(values).filter(|(_, v)| *v != 0).map(|(p, _)| p)),
            Wanted::List => {
                let inside = |v: i128, n: usize| usize::try_from(v).ok().filter(|&v| v < n);
                while let (Some(y), Some(x)) = (values.next(), values.next()) {
                    let (Some(y), Some(x)) = (inside(y, frame.height), inside(x, frame.width)) else {
                        let size = format!("({}, {})", frame.height, frame.width);
                        let what = format!("pixel ({y}, {x}) lies outside the frame of {size}");
                        return Err(Error::format(path, format!("row {}", bad.len()), what));
                    };
                    bad.push((y * frame.width + x) as u32);
                }
            }
        }
        Ok(bad)
    }
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
