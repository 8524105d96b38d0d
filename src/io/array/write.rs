//! Small arrays to files that other programs open.

use crate::error::{Error, Result};
use crate::io::output::AtomicFile;
use ndarray::{ArrayView, ArrayView2, Dimension};
use std::io::{Seek, Write};
use std::path::Path;
use tiff::encoder::{TiffEncoder, TiffKind, colortype};

/// A type that `.npy` files store.
pub trait NpyValue: Copy {
    /// NumPy's name without byte order, e.g. `f4`.
    const NAME: &'static str;
    /// Appends the value, little-endian.
    fn append(self, bytes: &mut Vec<u8>);
}

macro_rules! npy_value {
    ($($t:ty => $name:literal),*) => {$(
        impl NpyValue for $t {
            const NAME: &'static str = $name;
            fn append(self, bytes: &mut Vec<u8>) { bytes.extend_from_slice(&self.to_le_bytes()) }
        }
    )*};
}
npy_value!(f32 => "f4", f64 => "f8", i8 => "i1", i16 => "i2", i32 => "i4", i64 => "i8", u8 => "u1", u16 => "u2", u32 => "u4", u64 => "u8");

impl NpyValue for bool {
    const NAME: &'static str = "b1";
    fn append(self, bytes: &mut Vec<u8>) {
        bytes.push(self as u8);
    }
}

/// The header of a `.npy` file (version 1) of values in C order; the data begin at a multiple of 64 bytes.
pub fn npy_header<T: NpyValue>(shape: &[usize]) -> Vec<u8> {
    let order = if matches!(T::NAME, "i1" | "u1" | "b1") { '|' } else { '<' };
    let sizes: String = shape.iter().map(|n| format!("{n}, ")).collect();
    // Python writes a tuple of one as (n,).
    let sizes = if shape.len() == 1 {
        sizes.trim_end()
    } else {
        sizes.trim_end_matches(", ")
    };
    let mut text = format!(
        "{{'descr': '{order}{}', 'fortran_order': False, 'shape': ({sizes}), }}",
        T::NAME
    );
    let padding = (64 - (10 + text.len() + 1) % 64) % 64;
    text.extend(std::iter::repeat_n(' ', padding));
    text.push('\n');
    // 32 dimensions of 20 digits stay far below 65 536 characters.
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend_from_slice(&(text.len() as u16).to_le_bytes());
    header.extend_from_slice(text.as_bytes());
    header
}

/// Writes the values, little-endian, in C order.
pub(crate) fn npy_values<T: NpyValue>(out: &mut impl Write, values: impl Iterator<Item = T>) -> std::io::Result<()> {
    let mut bytes = Vec::with_capacity(64 << 10);
    for value in values {
        value.append(&mut bytes);
        if bytes.len() >= (64 << 10) - 8 {
            out.write_all(&bytes)?;
            bytes.clear();
        }
    }
    out.write_all(&bytes)
}

/// Writes a `.npy` file.
///
/// # Errors
/// [`Error::Io`] if the file exists and `overwrite` is false, or the disk refuses.
pub fn save_npy<T: NpyValue, D: Dimension>(path: impl AsRef<Path>, array: ArrayView<'_, T, D>, overwrite: bool) -> Result<()> {
    let path = path.as_ref();
    let failed = |e| Error::io(path, "cannot write", e);
    let mut file = AtomicFile::create(path, overwrite)?;
    file.write_all(&npy_header::<T>(array.shape())).map_err(failed)?;
    npy_values(&mut file, array.iter().copied()).map_err(failed)?;
    file.finish()
}

/// A type that TIFF pages store.
pub trait TiffPixel: Copy {
    type Colour: colortype::ColorType<Inner = Self>;
}
impl TiffPixel for u8 {
    type Colour = colortype::Gray8;
}
impl TiffPixel for u16 {
    type Colour = colortype::Gray16;
}
impl TiffPixel for i32 {
    type Colour = colortype::GrayI32;
}
impl TiffPixel for f32 {
    type Colour = colortype::Gray32Float;
}
impl TiffPixel for f64 {
    type Colour = colortype::Gray64Float;
}

/// Writes pages to an encoder, one for each array.
///
/// # Errors
/// [`Error::Io`] if the disk refuses; [`Error::Limit`] for pages that TIFF cannot hold.
pub fn tiff_pages<'a, T, W, K>(
    path: &Path,
    encoder: &mut TiffEncoder<W, K>,
    pages: impl Iterator<Item = ArrayView2<'a, T>>,
) -> Result<()>
where
    T: TiffPixel + 'a,
    [T]: tiff::encoder::TiffValue,
    W: Write + Seek,
    K: TiffKind,
{
    for page in pages {
        let (height, width) = page.dim();
        let (Ok(h), Ok(w)) = (u32::try_from(height), u32::try_from(width)) else {
            return Err(Error::limit(path, format!("a TIFF page of {height}×{width}")));
        };
        let values: Vec<T> = page.iter().copied().collect();
        encoder
            .write_image::<T::Colour>(w, h, &values)
            .map_err(|e| tiff_error(path, e))?;
    }
    Ok(())
}

pub(crate) fn tiff_error(path: &Path, error: tiff::TiffError) -> Error {
    match error {
        tiff::TiffError::IoError(e) => Error::io(path, "cannot write", e),
        e => Error::limit(path, e.to_string()),
    }
}

/// Writes a `.tif` file of one or several pages.
///
/// # Errors
/// [`Error::Io`] if the file exists and `overwrite` is false, or the disk refuses; [`Error::Limit`] for what TIFF cannot hold.
pub fn save_tiff<T>(path: impl AsRef<Path>, pages: &[ArrayView2<'_, T>], overwrite: bool) -> Result<()>
where
    T: TiffPixel,
    [T]: tiff::encoder::TiffValue,
{
    let path = path.as_ref();
    let mut file = AtomicFile::create(path, overwrite)?;
    let bytes: usize = pages.iter().map(|p| p.len() * size_of::<T>()).sum();
    // Offsets of plain TIFF end at 4 GiB.
    if bytes < 0xF000_0000 {
        let mut encoder = TiffEncoder::new(&mut file).map_err(|e| tiff_error(path, e))?;
        tiff_pages(path, &mut encoder, pages.iter().copied())?;
    } else {
        let mut encoder = TiffEncoder::new_big(&mut file).map_err(|e| tiff_error(path, e))?;
        tiff_pages(path, &mut encoder, pages.iter().copied())?;
    }
    file.finish()
}

/// Writes a grey 8-bit `.png` file.
///
/// # Errors
/// [`Error::Io`] if the file exists and `overwrite` is false, or the disk refuses; [`Error::Limit`] for what PNG cannot hold.
pub fn save_png(path: impl AsRef<Path>, image: ArrayView2<'_, u8>, overwrite: bool) -> Result<()> {
    let path = path.as_ref();
    let failed = |e: png::EncodingError| match e {
        png::EncodingError::IoError(e) => Error::io(path, "cannot write", e),
        e => Error::limit(path, e.to_string()),
    };
    let (height, width) = image.dim();
    let (Ok(h), Ok(w)) = (u32::try_from(height), u32::try_from(width)) else {
        return Err(Error::limit(path, format!("a PNG image of {height}×{width}")));
    };
    let mut file = AtomicFile::create(path, overwrite)?;
    let mut encoder = png::Encoder::new(&mut file, w, h);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(failed)?;
    let pixels: Vec<u8> = image.iter().copied().collect();
    writer.write_image_data(&pixels).map_err(failed)?;
    writer.finish().map_err(failed)?;
    file.finish()
}

/// Writes a `.csv` file in long format: one line for each value, its indices first. `names`: of the axes and of the value.
///
/// # Errors
/// [`Error::Io`] if the file exists and `overwrite` is false, or the disk refuses.
pub fn save_csv<T: std::fmt::Display, D: Dimension>(
    path: impl AsRef<Path>,
    array: ArrayView<'_, T, D>,
    names: &[&str],
    overwrite: bool,
) -> Result<()> {
    let path = path.as_ref();
    let mut file = AtomicFile::create(path, overwrite)?;
    csv_lines(&mut file, array, 0, Some(names)).map_err(|e| Error::io(path, "cannot write", e))?;
    file.finish()
}

/// Lines of a `.csv` file. `first`: what the leading index of the array counts from; `names`: for a header line.
pub(crate) fn csv_lines<T: std::fmt::Display, D: Dimension>(
    out: &mut impl Write,
    array: ArrayView<'_, T, D>,
    first: usize,
    names: Option<&[&str]>,
) -> std::io::Result<()> {
    if let Some(names) = names {
        let quoted: Vec<String> = names
            .iter()
            .map(|n| {
                if n.contains([',', '"', '\n', '\r']) {
                    format!("\"{}\"", n.replace('"', "\"\""))
                } else {
                    n.to_string()
                }
            })
            .collect();
        writeln!(out, "{}", quoted.join(","))?;
    }
    for (index, value) in array.into_dyn().indexed_iter() {
        for (axis, i) in index.slice().iter().enumerate() {
            write!(out, "{},", if axis == 0 { first + i } else { *i })?;
        }
        writeln!(out, "{value}")?;
    }
    Ok(())
}
