//! One pattern out of the bytes of an image file.

use crate::error::{Error, Result};
use crate::io::array::{Element, image};
use crate::pixel::{FrameShape, Pixel};
use ndarray::{Array2, Ix2};
use std::io::Cursor;
use std::path::Path;

/// Bytes that a decoded image may take.
const MAX_IMAGE: u64 = 1 << 30;

/// Bytes that an image of `bytes` may take when it is decoded to float64: no compression makes more of them.
fn most(bytes: &[u8]) -> u64 {
    (16_384 * bytes.len() as u64 + (1 << 20)).min(MAX_IMAGE)
}

/// Image formats that hold patterns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tiff,
    Png,
    Bmp,
    Text,
}

/// The format by the first bytes; text is what the name says is text.
fn kind(path: &Path, bytes: &[u8]) -> Result<Kind> {
    match bytes {
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => return Ok(Kind::Tiff),
        [0x89, b'P', b'N', b'G', ..] => return Ok(Kind::Png),
        [b'B', b'M', ..] => return Ok(Kind::Bmp),
        _ => {}
    }
    let ending = ending(&path.to_string_lossy());
    match ending.as_str() {
        "txt" | "csv" | "asc" => Ok(Kind::Text),
        _ => Err(Error::format(
            path,
            "byte 0",
            format!("the name says .{ending}, but the file does not begin like one"),
        )),
    }
}

/// The ending of a name, in small letters.
fn ending(name: &str) -> String {
    name.rsplit_once('.').map_or(String::new(), |(_, e)| e.to_ascii_lowercase())
}

/// True for names of files that may hold a pattern.
pub(super) fn is_image(name: &str) -> bool {
    matches!(ending(name).as_str(), "tif" | "tiff" | "png" | "bmp" | "txt" | "csv" | "asc")
}

/// Shape and pixel type of an image; it is decoded to see that it can be.
pub(super) fn probe(path: &Path, bytes: &[u8]) -> Result<FrameShape> {
    let pixel = match kind(path, bytes)? {
        Kind::Tiff => image::tiff_pixel(path, Cursor::new(bytes))?,
        Kind::Png => image::png_pixel(path, Cursor::new(bytes))?,
        Kind::Bmp => Pixel::U8,
        Kind::Text => Pixel::F32,
    };
    let (height, width) = decode::<f64>(path, bytes)?.dim();
    Ok(FrameShape { pixel, height, width })
}

/// The pixels of an image; of colours the brightest counts.
///
/// # Errors
/// [`Error::Format`] for damaged files and values that `T` cannot express.
pub(super) fn decode<T: Element>(path: &Path, bytes: &[u8]) -> Result<Array2<T>> {
    let array = match kind(path, bytes)? {
        Kind::Tiff => image::read_tiff(path, Cursor::new(bytes), most(bytes))?,
        Kind::Png => image::read_png(path, Cursor::new(bytes), most(bytes))?,
        Kind::Bmp => return bmp(path, bytes),
        Kind::Text => return text(path, bytes),
    };
    let shape = format!("{:?}", array.shape());
    array
        .into_dimensionality::<Ix2>()
        .map_err(|_| Error::format(path, "pages", format!("a pattern is one image, this is {shape}")))
}

/// Rows of numbers with blanks, commas or semicolons between them.
fn text<T: Element>(path: &Path, bytes: &[u8]) -> Result<Array2<T>> {
    let content =
        std::str::from_utf8(bytes).map_err(|e| Error::format(path, format!("byte {}", e.valid_up_to()), "this is no text"))?;
    let (mut values, mut width, mut height) = (Vec::new(), 0, 0);
    for (at, line) in content.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
        let before = values.len();
        let fields = line.split([' ', '\t', ',', ';']).filter(|f| !f.is_empty());
        for field in fields {
            let value = field.parse::<f64>().ok().and_then(T::from_f64);
            let wrong = || Error::format(path, format!("line {}", at + 1), format!("'{field}' is not {}", T::KIND));
            values.push(value.ok_or_else(wrong)?);
        }
        let here = values.len() - before;
        if height > 0 && here != width {
            let what = format!("{here} numbers, the lines before have {width}");
            return Err(Error::format(path, format!("line {}", at + 1), what));
        }
        (width, height) = (here, height + 1);
    }
    Array2::from_shape_vec((height, width), values).map_err(|e| Error::format(path, "text", e.to_string()))
}

/// Uncompressed Windows bitmaps of 8 (palette), 24 and 32 bits.
fn bmp<T: Element>(path: &Path, bytes: &[u8]) -> Result<Array2<T>> {
    let wrong = |at: usize, what: String| Error::format(path, format!("byte {at}"), what);
    let four = |at: usize| -> Result<u32> {
        let b = bytes
            .get(at..at + 4)
            .ok_or_else(|| wrong(at, "the bitmap ends here".into()))?;
        Ok(u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    };
    let start = four(10)? as usize;
    let header = four(14)?;
    if header < 40 {
        return Err(Error::unsupported(path, "a bitmap of OS/2"));
    }
    let (width, height) = (four(18)? as i32, four(22)? as i32);
    let (bits, compression) = (four(26)? >> 16, four(30)?);
    if compression != 0 || !matches!(bits, 8 | 24 | 32) {
        let what =
            format!("a bitmap of {bits} bits and compression {compression}; uncompressed ones of 8, 24 and 32 bits are read");
        return Err(Error::unsupported(path, what));
    }
    let (w, h) = (width as usize, height.unsigned_abs() as usize);
    let (step, row) = (
        bits as usize / 8,
        (w.saturating_mul(bits as usize / 8)).div_ceil(4).saturating_mul(4),
    );
    let need = row.checked_mul(h).and_then(|n| n.checked_add(start));
    if width <= 0 || height == 0 || need.is_none_or(|n| n > bytes.len()) {
        let what = format!(
            "{height} × {width} pixels from byte {start} on do not fit the {} bytes of the file",
            bytes.len()
        );
        return Err(wrong(18, what));
    }
    let palette = 14 + header as usize;
    let brightest = |at: usize| bytes.get(at..at + 3).map_or(0, |c| c.iter().copied().max().unwrap_or(0));
    let value = |y: usize, x: usize| {
        // Rows go from the bottom up unless the height is negative.
        let y = if height > 0 { h - 1 - y } else { y };
        let at = start + y * row + x * step;
        let level = if bits == 8 {
            brightest(palette + 4 * usize::from(bytes[at]))
        } else {
            brightest(at)
        };
        T::from_u64(u64::from(level))
    };
    let values: Option<Vec<T>> = (0..h)
        .flat_map(|y| (0..w).map(move |x| (y, x)))
        .map(|(y, x)| value(y, x))
        .collect();
    let values = values.ok_or_else(|| Error::format(path, "pixels", T::KIND))?;
    Array2::from_shape_vec((h, w), values).map_err(|e| Error::format(path, "bitmap", e.to_string()))
}
