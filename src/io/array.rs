//! Small arrays in files: peaks, labels, masks, regions of interest, templates; `.npy`, `.npz`, `.png`, `.tif`, `.csv`.
//!
//! Files are told apart by their first bytes, not by their names. Nothing is allocated that a header merely claims:
//! every reader takes the largest number of bytes that the array may have.

pub(crate) mod image;
mod masks;
mod npy;
mod npz;
pub(crate) mod raw_counts;
pub(crate) mod tiff_claims;
mod write;

pub use masks::{read_masks, read_region};
pub use npz::read_npz;
pub use write::{NpyValue, TiffPixel, npy_header, save_csv, save_npy, save_png, save_tiff, tiff_pages};
pub(crate) use write::{csv_lines, npy_values, tiff_error};

use crate::error::{Error, Result};
use ndarray::ArrayD;
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

/// Bytes that a small array may take unpacked, unless the caller says otherwise: 1 GiB.
pub const MAX_BYTES: u64 = 1 << 30;

/// A type that stored numbers are converted to.
pub trait Element: Copy + Send + Sync + 'static {
    /// For error messages: `an integer`.
    const KIND: &'static str;
    /// `None` if the value cannot be expressed.
    fn from_f64(value: f64) -> Option<Self>;
    fn from_i64(value: i64) -> Option<Self>;
    fn from_u64(value: u64) -> Option<Self>;
}

macro_rules! float_element {
    ($($t:ty),*) => {$(
        /// Rounded to nearest.
        impl Element for $t {
            const KIND: &'static str = "a number";
            fn from_f64(value: f64) -> Option<Self> { Some(value as $t) }
            fn from_i64(value: i64) -> Option<Self> { Some(value as $t) }
            fn from_u64(value: u64) -> Option<Self> { Some(value as $t) }
        }
    )*};
}
float_element!(f32, f64);

/// 2⁶³ is an exact float.
const TWO_63: f64 = (1u64 << 63) as f64;

macro_rules! integer_element {
    ($($t:ty),*) => {$(
        /// Exact; floats must be whole numbers.
        impl Element for $t {
            const KIND: &'static str = concat!("a whole number that fits ", stringify!($t));
            fn from_f64(value: f64) -> Option<Self> {
                // The cast is exact for whole numbers in this range.
                (value.trunc() == value && (-TWO_63..TWO_63).contains(&value))
                    .then(|| <$t>::try_from(value as i64).ok())
                    .flatten()
            }
            fn from_i64(value: i64) -> Option<Self> { <$t>::try_from(value).ok() }
            fn from_u64(value: u64) -> Option<Self> { <$t>::try_from(value).ok() }
        }
    )*};
}
integer_element!(u8, u16, u32, i32, i64);

/// True for everything but 0.
impl Element for bool {
    const KIND: &'static str = "true or false";
    fn from_f64(value: f64) -> Option<Self> {
        (!value.is_nan()).then_some(value != 0.0)
    }
    fn from_i64(value: i64) -> Option<Self> {
        Some(value != 0)
    }
    fn from_u64(value: u64) -> Option<Self> {
        Some(value != 0)
    }
}

/// What the first bytes of a file say.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Format {
    Npy,
    Npz,
    Png,
    Tiff,
}

fn open(path: &Path) -> Result<(Format, BufReader<File>)> {
    let failed = |e| Error::io(path, "cannot read", e);
    let mut file = File::open(path).map_err(failed)?;
    let mut magic = Vec::with_capacity(8);
    (&mut file).take(8).read_to_end(&mut magic).map_err(failed)?;
    file.rewind().map_err(failed)?;
    let format = match magic.as_slice() {
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => Format::Npy,
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Format::Npz,
        [0x89, b'P', b'N', b'G', ..] => Format::Png,
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Format::Tiff,
        _ => return Err(Error::format(path, "first bytes", "expected a .npy, .npz, .png or .tif file")),
    };
    Ok((format, BufReader::new(file)))
}

/// True if the first bytes are those of a format that [`read_array`] reads.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read.
pub fn is_array(path: impl AsRef<Path>) -> Result<bool> {
    match open(path.as_ref()) {
        Ok(_) => Ok(true),
        Err(Error::Format { .. }) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Reads an array of any supported format and stored type. A `.npz` must hold one array, or one called `data`;
/// images come as (y, x), stacks of images as (n, y, x). Of colour pixels the brightest channel counts; transparent ones are 0.
///
/// # Errors
/// [`Error::Io`]; [`Error::Format`] for damaged files and values that `T` cannot express; [`Error::Limit`] above `max_bytes`;
/// [`Error::Unsupported`] for stored types such as complex numbers or Python objects.
pub fn read_array<T: Element>(path: impl AsRef<Path>, max_bytes: u64) -> Result<ArrayD<T>> {
    let path = path.as_ref();
    match open(path)? {
        (Format::Npy, mut file) => {
            let length = file
                .get_ref()
                .metadata()
                .map_err(|e| Error::io(path, "cannot read", e))?
                .len();
            npy::read(path, "", &mut file, Some(length), max_bytes)
        }
        (Format::Npz, file) => npz::read_single(path, file, max_bytes),
        (Format::Png, file) => image::read_png(path, file, max_bytes),
        (Format::Tiff, file) => image::read_tiff(path, file, max_bytes),
    }
}

/// An [`ArrayD`] of values in C order, or in Fortran order.
fn shaped<T: Element>(path: &Path, shape: &[usize], fortran: bool, values: Vec<T>) -> Result<ArrayD<T>> {
    use ndarray::ShapeBuilder;
    let dim = ndarray::IxDyn(shape);
    let array = ArrayD::from_shape_vec(dim.set_f(fortran), values);
    array.map_err(|e| Error::format(path, "shape", format!("{shape:?}: {e}")))
}

/// The number of values of a shape if they are allowed: `item` bytes each, at most `max_bytes`.
fn checked_len(path: &Path, shape: &[u64], item: u64, max_bytes: u64) -> Result<usize> {
    let count = shape.iter().try_fold(1u64, |n, &s| n.checked_mul(s));
    let bytes = count.and_then(|n| n.checked_mul(item.max(1)));
    match (count, bytes) {
        (Some(count), Some(bytes)) if bytes <= max_bytes => Ok(count as usize),
        _ => Err(Error::limit(
            path,
            format!("the header claims an array of shape {shape:?}; at most {max_bytes} bytes are read here"),
        )),
    }
}
