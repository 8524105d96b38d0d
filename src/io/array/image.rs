//! PNG and TIFF images as arrays.

use super::npy::expected;
use super::raw_counts::RawCounts;
use super::{Element, checked_len, shaped, tiff_claims};
use crate::error::{Error, Result};
use crate::pixel::Pixel;
use ndarray::ArrayD;
use std::io::{BufRead, Read, Seek};
use std::path::Path;
use tiff::decoder::DecodingResult;

/// The value of one pixel of `channels` samples: the brightest colour, 0 where transparent.
fn brightest<V: Copy + PartialOrd + Default>(samples: &[V], alpha: bool) -> V {
    let zero = V::default();
    match samples.split_last() {
        Some((opacity, colours)) if alpha && !colours.is_empty() => {
            if *opacity == zero {
                zero
            } else {
                colours.iter().copied().fold(zero, |a, b| if b > a { b } else { a })
            }
        }
        // A single sample keeps its sign.
        Some((only, [])) => *only,
        _ => samples.iter().copied().fold(zero, |a, b| if b > a { b } else { a }),
    }
}

pub(crate) fn read_png<T: Element>(path: &Path, file: impl BufRead + Seek, max_bytes: u64) -> Result<ArrayD<T>> {
    let failed = |e: png::DecodingError| match e {
        png::DecodingError::IoError(e) if e.kind() != std::io::ErrorKind::UnexpectedEof => Error::io(path, "cannot read", e),
        png::DecodingError::LimitsExceeded => Error::limit(path, format!("a PNG image above {max_bytes} bytes")),
        e => Error::format(path, "PNG image", e.to_string()),
    };
    let bytes = usize::try_from(max_bytes).unwrap_or(usize::MAX);
    let mut decoder = png::Decoder::new_with_limits(file, png::Limits { bytes });
    // Palettes become colours, 1 to 4 bits become 8.
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().map_err(failed)?;
    let (width, height) = reader.info().size();
    checked_len(path, &[height as u64, width as u64], 8, max_bytes)?;
    let size = reader.output_buffer_size().filter(|&s| s as u64 <= max_bytes);
    let mut pixels = vec![0; size.ok_or_else(|| Error::limit(path, format!("a PNG image above {max_bytes} bytes")))?];
    let frame = reader.next_frame(&mut pixels).map_err(failed)?;
    let (channels, alpha) = match frame.color_type {
        png::ColorType::Grayscale => (1, false),
        png::ColorType::GrayscaleAlpha => (2, true),
        png::ColorType::Rgb | png::ColorType::Indexed => (3, false),
        png::ColorType::Rgba => (4, true),
    };
    let pixels = pixels.get(..frame.buffer_size()).unwrap_or(&pixels);
    let values: Option<Vec<T>> = if frame.bit_depth == png::BitDepth::Sixteen {
        let samples: Vec<u16> = pixels.chunks_exact(2).map(|b| u16::from_be_bytes([b[0], b[1]])).collect();
        samples
            .chunks_exact(channels)
            .map(|p| T::from_u64(brightest(p, alpha) as u64))
            .collect()
    } else {
        pixels
            .chunks_exact(channels)
            .map(|p| T::from_u64(brightest(p, alpha) as u64))
            .collect()
    };
    let values = values.ok_or_else(|| Error::format(path, "pixels", expected::<T>()))?;
    shaped(path, &[frame.height as usize, frame.width as usize], false, values)
}

/// The pixel type that holds a PNG image's values.
pub(crate) fn png_pixel(path: &Path, file: impl BufRead + Seek) -> Result<Pixel> {
    let reader = png::Decoder::new(file).read_info();
    let reader = reader.map_err(|e| Error::format(path, "PNG image", e.to_string()))?;
    Ok(match reader.info().bit_depth {
        png::BitDepth::Sixteen => Pixel::U16,
        _ => Pixel::U8,
    })
}

/// The pixel type that holds a TIFF image's values: 64-bit floats are rounded.
pub(crate) fn tiff_pixel(path: &Path, mut file: impl Read + Seek) -> Result<Pixel> {
    tiff_claims::check(path, &mut file)?;
    let failed = |e: tiff::TiffError| Error::format(path, "TIFF image", e.to_string());
    let mut decoder = tiff::decoder::Decoder::new(file).map_err(failed)?;
    let bits = decoder.colortype().map_err(failed)?.bit_depth();
    let format = decoder.find_tag(tiff::tags::Tag::SampleFormat).map_err(failed)?;
    // One number a channel: 1 unsigned (also when absent), 2 signed, 3 float.
    let format = format.and_then(|v| v.into_u16_vec().ok()).and_then(|v| v.first().copied());
    Ok(match (format.unwrap_or(1), bits) {
        (1, ..=8) => Pixel::U8,
        (1, ..=16) => Pixel::U16,
        (1, _) => Pixel::U32,
        (2, _) => Pixel::I32,
        _ => Pixel::F32,
    })
}

/// Numbers as they are stored, also where 0 is white.
pub(crate) fn read_tiff<T: Element>(path: &Path, mut file: impl Read + Seek, max_bytes: u64) -> Result<ArrayD<T>> {
    let white = tiff_claims::check(path, &mut file)?;
    let file = RawCounts::new(file, white);
    let failed = |e: tiff::TiffError| match e {
        tiff::TiffError::IoError(e) if e.kind() != std::io::ErrorKind::UnexpectedEof => Error::io(path, "cannot read", e),
        tiff::TiffError::LimitsExceeded => Error::limit(path, format!("a TIFF image above {max_bytes} bytes")),
        tiff::TiffError::UnsupportedError(e) => Error::unsupported(path, e.to_string()),
        e => Error::format(path, "TIFF image", e.to_string()),
    };
    let mut limits = tiff::decoder::Limits::default();
    limits.decoding_buffer_size = usize::try_from(max_bytes).unwrap_or(usize::MAX);
    limits.intermediate_buffer_size = limits.intermediate_buffer_size.min(limits.decoding_buffer_size);
    let mut decoder = tiff::decoder::Decoder::new(file).map_err(failed)?.with_limits(limits);
    let (width, height) = decoder.dimensions().map_err(failed)?;
    let mut values: Vec<T> = Vec::new();
    let mut pages = 0u64;
    loop {
        let (channels, alpha) = match decoder.colortype().map_err(failed)? {
            tiff::ColorType::Gray(_) => (1, false),
            tiff::ColorType::GrayA(_) => (2, true),
            tiff::ColorType::RGB(_) => (3, false),
            tiff::ColorType::RGBA(_) => (4, true),
            other => return Err(Error::unsupported(path, format!("TIFF pixels of type {other:?}"))),
        };
        let here = decoder.dimensions().map_err(failed)?;
        if here != (width, height) {
            let what = format!("{}×{} pixels, the first page has {height}×{width}", here.1, here.0);
            return Err(Error::format(path, format!("page {pages}"), what));
        }
        pages += 1;
        checked_len(path, &[pages, height as u64, width as u64], 8, max_bytes)?;
        let image = decoder.read_image().map_err(failed)?;
        let fits = append(&mut values, &image, channels, alpha);
        if !fits.ok_or_else(|| Error::unsupported(path, "TIFF pixels of this type"))? {
            return Err(Error::format(path, format!("pixels of page {}", pages - 1), expected::<T>()));
        }
        if !decoder.more_images() {
            break;
        }
        decoder.next_image().map_err(failed)?;
    }
    let (h, w) = (height as usize, width as usize);
    let shape = if pages == 1 { vec![h, w] } else { vec![pages as usize, h, w] };
    shaped(path, &shape, false, values)
}

/// Appends a page; `None`: a type that is not read; `Some(false)`: a value that `T` cannot express.
fn append<T: Element>(values: &mut Vec<T>, image: &DecodingResult, channels: usize, alpha: bool) -> Option<bool> {
    macro_rules! pixels {
        ($samples:expr, $from:ident as $wide:ty) => {{
            for pixel in $samples.chunks_exact(channels) {
                match T::$from(brightest(pixel, alpha) as $wide) {
                    Some(value) => values.push(value),
                    None => return Some(false),
                }
            }
            Some(true)
        }};
    }
    match image {
        DecodingResult::U8(s) => pixels!(s, from_u64 as u64),
        DecodingResult::U16(s) => pixels!(s, from_u64 as u64),
        DecodingResult::U32(s) => pixels!(s, from_u64 as u64),
        DecodingResult::U64(s) => pixels!(s, from_u64 as u64),
        DecodingResult::I8(s) => pixels!(s, from_i64 as i64),
        DecodingResult::I16(s) => pixels!(s, from_i64 as i64),
        DecodingResult::I32(s) => pixels!(s, from_i64 as i64),
        DecodingResult::I64(s) => pixels!(s, from_i64 as i64),
        DecodingResult::F32(s) => pixels!(s, from_f64 as f64),
        DecodingResult::F64(s) => pixels!(s, from_f64 as f64),
        _ => None,
    }
}
