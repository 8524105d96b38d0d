//! What was selected as files: `.npy`, 16-bit `.tif`, `.png` in the colours of the screen.

use crate::error::{Error, Result};
use crate::io::array::{NpyValue, npy_header};
use crate::pixel::Pixel;
use crate::report::colour::{ColourMap, label_colour};
use crate::report::encode_png;
use std::io::Cursor;
use tiff::encoder::{TiffEncoder, colortype};
use tiff::tags::Tag;

/// Numbers of an image in their own type, C order.
pub struct Plane {
    /// Beginning of the file's name.
    pub name: String,
    pub shape: [usize; 2],
    pub pixel: Pixel,
    pub bytes: Vec<u8>,
}

impl Plane {
    /// A plane of float32.
    pub fn of(name: String, shape: [usize; 2], values: &[f32]) -> Plane {
        Plane {
            name,
            shape,
            pixel: Pixel::F32,
            bytes: bytemuck::cast_slice(values).to_vec(),
        }
    }
    /// The values as float64.
    pub fn values(&self) -> Vec<f64> {
        super::frame::floats(self.pixel, &self.bytes)
    }
}

/// NumPy's name of a pixel type without byte order.
pub fn npy_name(pixel: Pixel) -> &'static str {
    match pixel {
        Pixel::U8 => u8::NAME,
        Pixel::I8 => i8::NAME,
        Pixel::U16 => u16::NAME,
        Pixel::I16 => i16::NAME,
        Pixel::U32 => u32::NAME,
        Pixel::I32 => i32::NAME,
        Pixel::F32 => f32::NAME,
    }
}

/// A `.npy` file with the values as they are.
pub fn npy(plane: &Plane) -> Vec<u8> {
    let mut out = match plane.pixel {
        Pixel::U8 => npy_header::<u8>(&plane.shape),
        Pixel::I8 => npy_header::<i8>(&plane.shape),
        Pixel::U16 => npy_header::<u16>(&plane.shape),
        Pixel::I16 => npy_header::<i16>(&plane.shape),
        Pixel::U32 => npy_header::<u32>(&plane.shape),
        Pixel::I32 => npy_header::<i32>(&plane.shape),
        Pixel::F32 => npy_header::<f32>(&plane.shape),
    };
    out.extend_from_slice(&plane.bytes);
    out
}

/// A `.npy` file of a mask, as `--roi` takes it.
pub fn mask_npy(mask: &ndarray::Array2<bool>) -> Vec<u8> {
    let mut out = npy_header::<bool>(&[mask.nrows(), mask.ncols()]);
    out.extend(mask.iter().map(|&v| u8::from(v)));
    out
}

/// A 16-bit `.tif` file. Unsigned integers of up to 16 bits stay as they are, everything else is spread over 0 … 65535 between its extremes, and
/// the description says how: value = offset + step · pixel. NaN becomes 0.
///
/// # Errors
/// [`Error::Limit`] for what TIFF cannot hold.
pub fn tiff(plane: &Plane) -> Result<Vec<u8>> {
    let values = plane.values();
    let (offset, step) = match plane.pixel {
        Pixel::U8 | Pixel::U16 => (0.0, 1.0),
        _ => {
            let finite = || values.iter().copied().filter(|v| v.is_finite());
            let (low, high) = (
                finite().fold(f64::INFINITY, f64::min),
                finite().fold(f64::NEG_INFINITY, f64::max),
            );
            match high > low {
                true => (low, (high - low) / 65535.0),
                false => (if low.is_finite() { low } else { 0.0 }, 1.0),
            }
        }
    };
    let pixels: Vec<u16> = values
        .iter()
        .map(|v| {
            if v.is_nan() {
                0
            } else {
                ((v - offset) / step).round().clamp(0.0, 65535.0) as u16
            }
        })
        .collect();
    let failed = |e: tiff::TiffError| Error::limit(&plane.name, e.to_string());
    let [Ok(h), Ok(w)] = plane.shape.map(u32::try_from) else {
        return Err(Error::limit(&plane.name, "too large for TIFF"));
    };
    let mut out = Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut out).map_err(failed)?;
    let mut image = encoder.new_image::<colortype::Gray16>(w, h).map_err(failed)?;
    let text = format!("emstream: value = {offset} + {step} * pixel");
    image
        .encoder()
        .write_tag(Tag::ImageDescription, text.as_str())
        .map_err(failed)?;
    image.write_data(&pixels).map_err(failed)?;
    Ok(out.into_inner())
}

/// How values become colours.
pub struct Look {
    pub colours: ColourMap,
    /// Values are labels.
    pub labels: bool,
    pub low: f64,
    pub high: f64,
    pub log: bool,
    pub invert: bool,
}

impl Look {
    /// Reads what the page says: names of colour maps, limits, `log`, inversion.
    ///
    /// # Errors
    /// [`Error::Parameter`] for unknown names and numbers that are none.
    pub fn parse(get: impl Fn(&str) -> Option<String>) -> Result<Look> {
        let bad = |name: &str, text: &str| Error::parameter(name, format!("'{text}' is not known"));
        let number = |name: &str, default: f64| match get(name) {
            None => Ok(default),
            Some(t) => t.parse::<f64>().map_err(|_| bad(name, &t)),
        };
        let colours = get("colours").unwrap_or_else(|| "grey".into());
        let map = colour_maps().into_iter().find(|(name, _)| *name == colours).map(|(_, m)| m);
        let labels = colours == "labels";
        Ok(Look {
            colours: map
                .or(labels.then_some(ColourMap::Grey))
                .ok_or_else(|| bad("colours", &colours))?,
            labels,
            low: number("low", 0.0)?,
            high: number("high", 1.0)?,
            log: get("scale").is_some_and(|s| s == "log"),
            invert: get("invert").is_some_and(|s| s == "1"),
        })
    }

    /// The colour of a value: its place between the limits, on a logarithmic scale ln(1 + v − low), which is stretched where the
    /// limits are closer than 100.
    fn rgb(&self, v: f64) -> [u8; 3] {
        if self.labels {
            return label_colour(if v.is_nan() { -1 } else { v as i32 });
        }
        let span = self.high - self.low;
        let stretch = span.max(100.0);
        let t = match self.log {
            _ if span <= 0.0 => 0.5,
            true => (stretch * ((v - self.low) / span).max(0.0)).ln_1p() / stretch.ln_1p(),
            false => (v - self.low) / span,
        };
        let t = if v.is_nan() { v } else { t };
        self.colours.rgb(if self.invert { 1.0 - t } else { t })
    }
}

/// Colour maps by the names that pages and flags use.
pub fn colour_maps() -> [(&'static str, ColourMap); 5] {
    [
        ("grey", ColourMap::Grey),
        ("viridis", ColourMap::Viridis),
        ("inferno", ColourMap::Inferno),
        ("diverging", ColourMap::Diverging),
        ("cyclic", ColourMap::Cyclic),
    ]
}

/// A `.png` file with a pixel for each value.
///
/// # Errors
/// [`Error::Internal`] if the compressor refuses.
pub fn png(plane: &Plane, look: &Look) -> Result<Vec<u8>> {
    let rgb: Vec<u8> = plane.values().into_iter().flat_map(|v| look.rgb(v)).collect();
    encode_png(plane.shape[1], plane.shape[0], &rgb)
}
