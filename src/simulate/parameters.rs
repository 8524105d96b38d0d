//! What the parameters of all simulated scans share: their TOML form and the checks of their values.

use crate::error::{Error, Result};
use crate::io::{Axis, Reading, ScanInfo, ShapeFrom};
use crate::pixel::{FrameShape, Pixel};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::PathBuf;

/// What parameters are called in error messages.
const WHAT: &str = "simulation parameters";

/// Parameters of a simulated scan as a TOML document.
pub trait Parameters: Serialize + DeserializeOwned {
    /// Parameters from a TOML document; what it does not name keeps its default.
    ///
    /// # Errors
    /// [`Error::Parameter`] with the parser's message.
    fn from_toml(text: &str) -> Result<Self> {
        toml::from_str(text).map_err(|e| Error::parameter(WHAT, e.to_string().trim().replace('\n', " ")))
    }

    /// The same parameters as a TOML document.
    ///
    /// # Errors
    /// [`Error::Parameter`] if a value has no TOML form (a seed above 2⁶³−1).
    fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|e| Error::parameter(WHAT, e.to_string()))
    }
}

/// Checks the shape of scan and frames and the pixel type; returns the number of scan positions.
pub(super) fn check_shapes(nav: [usize; 2], frame: FrameShape, sides: std::ops::RangeInclusive<usize>) -> Result<usize> {
    let positions = nav[0].checked_mul(nav[1]).filter(|n| (1..1 << 40).contains(n));
    let positions = positions.ok_or_else(|| Error::parameter("nav", format!("{nav:?} is not a scan shape")))?;
    let sig = [frame.height, frame.width];
    if sig.iter().any(|n| !sides.contains(n)) {
        let (low, high) = (sides.start(), sides.end());
        return Err(Error::parameter(
            "sig",
            format!("{sig:?}: frames must have {low} to {high} pixels on a side"),
        ));
    }
    if !matches!(frame.pixel, Pixel::U8 | Pixel::U16 | Pixel::F32) {
        return Err(Error::parameter(
            "pixel",
            format!("{} is not one of u8, u16, f32", frame.pixel),
        ));
    }
    Ok(positions)
}

/// Checks that each value lies between its limits.
pub(super) fn check_ranges(values: &[(&str, f64, f64, f64)]) -> Result<()> {
    for &(name, v, low, high) in values {
        // Written so that NaN fails too.
        if !(low..=high).contains(&v) {
            return Err(Error::parameter(name, format!("{v} is not between {low} and {high}")));
        }
    }
    Ok(())
}

/// What a scan without a file says about itself.
pub(super) fn info(name: &str, nav: [usize; 2], frame: FrameShape) -> ScanInfo {
    let frames = nav[0] as u64 * nav[1] as u64;
    ScanInfo {
        path: PathBuf::from(name),
        format: "simulated",
        dataset: None,
        nav,
        frame,
        stored: frame.pixel.name().to_owned(),
        nav_axes: [Axis::default(), Axis::default()],
        sig_axes: [Axis::default(), Axis::default()],
        together: 1,
        costly: true,
        file_bytes: frames.saturating_mul(frame.bytes() as u64),
        notes: Vec::new(),
        reading: Reading {
            shape: ShapeFrom::Given,
            ..Reading::default()
        },
    }
}

/// `Pixel` in parameter files.
pub(super) mod pixel_name {
    use crate::pixel::Pixel;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(p: &Pixel, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(p.name())
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Pixel, D::Error> {
        let name = String::deserialize(d)?;
        [Pixel::U8, Pixel::U16, Pixel::I16, Pixel::F32]
            .into_iter()
            .find(|p| p.name() == name)
            .ok_or_else(|| D::Error::custom(format!("pixel `{name}` is not one of u8, u16, i16, f32")))
    }
}
