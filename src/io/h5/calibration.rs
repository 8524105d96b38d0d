//! Steps and units of axes, where common programs leave them. Never an error: a scan without calibration is still a scan.

use crate::io::{Axis, ScanInfo};
use hdf5::types::{FixedAscii, FixedUnicode, VarLenAscii, VarLenUnicode};
use hdf5::{Dataset, File, Location};

/// Longest vector of coordinates that is read for its step.
const MAX_VECTOR: usize = 1 << 20;

/// Fills `info`'s axes from HyperSpy's `axis-N` groups or EMD's `dimN` vectors beside the dataset.
pub(super) fn read(file: &File, name: &str, dims: &[u64], info: &mut ScanInfo) {
    let Some((parent, _)) = name.rsplit_once('/') else { return };
    let exists = |member: &str| file.link_exists(&format!("{parent}/{member}"));
    // EMD 0.1 and old py4DSTEM count from dim1, newer py4DSTEM from dim0.
    let first = usize::from(!exists("dim0"));
    let axis = |i: usize| {
        let hyperspy = format!("{parent}/axis-{i}");
        if file.link_exists(&hyperspy) {
            from_group(file, &hyperspy)
        } else {
            from_vector(file, &format!("{parent}/dim{}", i + first))
        }
    };
    let axes: Vec<Axis> = (0..dims.len()).map(|i| axis(i).unwrap_or_default()).collect();
    match axes.as_slice() {
        // Under another scan shape the steps of the scan would be wrong.
        [y, x, sy, sx] => {
            if info.nav.map(|n| n as u64) == [dims[0], dims[1]] {
                info.nav_axes = [y.clone(), x.clone()];
            }
            info.sig_axes = [sy.clone(), sx.clone()];
        }
        [x, sy, sx] => {
            if info.nav[0] == 1 {
                info.nav_axes[1] = x.clone();
            }
            info.sig_axes = [sy.clone(), sx.clone()];
        }
        _ => {}
    }
}

fn from_group(file: &File, name: &str) -> Option<Axis> {
    let group = file.group(name).ok()?;
    Some(axis(group.attr("scale").ok()?.read_scalar().ok()?, text(&group, "units")))
}

fn from_vector(file: &File, name: &str) -> Option<Axis> {
    if !file.link_exists(name) {
        return None;
    }
    let vector: Dataset = file.dataset(name).ok()?;
    if vector.ndim() != 1 || !(2..=MAX_VECTOR).contains(&vector.size()) {
        return None;
    }
    let values = vector.read_slice_1d::<f64, _>(0..2).ok()?;
    Some(axis(values.get(1)? - values.get(0)?, text(&vector, "units")))
}

fn axis(scale: f64, unit: String) -> Axis {
    match scale {
        s if s.is_finite() && s > 0.0 => Axis { scale: Some(s), unit },
        _ => Axis::default(),
    }
}

/// A string attribute, in any of the ways in which programs write strings.
fn text(at: &Location, name: &str) -> String {
    let Ok(attr) = at.attr(name) else { return String::new() };
    let unit = attr
        .read_scalar::<VarLenUnicode>()
        .map(|s| s.as_str().to_owned())
        .or_else(|_| attr.read_scalar::<VarLenAscii>().map(|s| s.as_str().to_owned()))
        .or_else(|_| attr.read_scalar::<FixedAscii<64>>().map(|s| s.as_str().to_owned()))
        .or_else(|_| attr.read_scalar::<FixedUnicode<64>>().map(|s| s.as_str().to_owned()))
        .unwrap_or_default();
    // HyperSpy and py4DSTEM write these for an axis without unit.
    if matches!(
        unit.as_str(),
        "<undefined>" | "_ragged_undefined_string" | "unknown" | "pixels"
    ) {
        String::new()
    } else {
        unit
    }
}
