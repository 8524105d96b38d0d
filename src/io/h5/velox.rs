//! Velox (`.emd` of Thermo Fisher): images and stacks in `/Data/Image/ID/Data`, (height, width, frames), with JSON beside them.
//!
//! Layout: the files that Velox writes, as RosettaSciIO documents them. `Metadata` holds one column of UTF-8 JSON, padded with zeros, for each frame.

use super::refused::{Told, there};
use crate::io::{Axis, ScanInfo};
use hdf5::{File, Hyperslab, SliceOrIndex};
use serde_json::Value;

/// Longest description of a frame.
const MAX_JSON: usize = 1 << 20;

/// True for the pixels of a Velox image.
pub(super) fn is_image(file: &File, name: &str) -> bool {
    let Some(parent) = name.strip_suffix("/Data") else {
        return false;
    };
    parent.starts_with("/Data/Image/") && there(file, &format!("{parent}/Metadata"))
}

/// The description of the first frame.
fn description(file: &File, name: &str) -> Option<Value> {
    let parent = name.strip_suffix("/Data")?;
    let dataset = file.dataset(&format!("{parent}/Metadata")).told()?;
    let &[length, columns] = dataset.shape().as_slice() else {
        return None;
    };
    if columns == 0 || length > MAX_JSON {
        return None;
    }
    let rows = SliceOrIndex::SliceCount {
        start: 0,
        step: 1,
        count: length,
        block: 1,
    };
    let column = Hyperslab::from(vec![rows, SliceOrIndex::Index(0)]);
    let bytes = dataset.read_slice_1d::<u8, _>(column).told()?.to_vec();
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    serde_json::from_slice(&bytes[..end]).ok()
}

/// A number that stands as text or as a number.
fn number(value: &Value) -> Option<f64> {
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    (number.is_finite() && number > 0.0).then_some(number)
}

/// An axis in nm, 1/nm or the unit as it is.
fn axis(step: Option<f64>, unit: &str) -> Axis {
    let Some(step) = step else { return Axis::default() };
    let (scale, unit) = match unit {
        "m" => (step * 1e9, "nm"),
        "1/m" => (step * 1e-9, "1/nm"),
        "" => return Axis::default(),
        other => (step, other),
    };
    Axis {
        scale: Some(scale),
        unit: unit.to_owned(),
    }
}

/// Fills in pixel sizes and the time between frames, and says which detector it is.
pub(super) fn calibrate(file: &File, name: &str, info: &mut ScanInfo) {
    let Some(json) = description(file, name) else {
        info.notes.push("the description of this image cannot be read".to_owned());
        return;
    };
    let at = |path: &str| json.pointer(path);
    let unit = |letter: &str| {
        at(&format!("/BinaryResult/PixelUnit{letter}"))
            .and_then(Value::as_str)
            .unwrap_or("")
    };
    let size = |name: &str| at(&format!("/BinaryResult/PixelSize/{name}")).and_then(number);
    info.sig_axes = [axis(size("height"), unit("Y")), axis(size("width"), unit("X"))];
    if info.nav[0] == 1 && info.nav[1] > 1 {
        info.nav_axes[1] = axis(at("/Scan/FrameTime").and_then(number), "s");
    }
    let detector = at("/BinaryResult/Detector").and_then(Value::as_str);
    if let Some(detector) = detector.filter(|d| !d.is_empty()) {
        info.notes.push(format!("detector {detector}"));
    }
    info.reading
        .ignored
        .push("settings of microscope and stage in the description of every frame".to_owned());
}
