//! Steps and units of axes, where common programs leave them: HyperSpy, EMD, py4DSTEM, NeXus. What is missing is no error: a scan without calibration is still a scan.

use super::nexus;
use super::order::Order;
use super::refused::{Told, there};
use super::text;
use crate::io::{Axis, ScanInfo};
use hdf5::{Dataset, File, Group};

/// Longest vector of coordinates that is read for its step.
const MAX_VECTOR: usize = 1 << 20;

/// Fills `info`'s axes from HyperSpy's `axis-N` groups or EMD's `dimN` vectors beside the dataset, and what these leave open from
/// py4DSTEM's pixel sizes. `dims` are those of the dataset as stored.
pub(super) fn read(file: &File, name: &str, order: Order, dims: &[u64], info: &mut ScanInfo) {
    let Some((parent, _)) = name.rsplit_once('/') else { return };
    let exists = |member: &str| there(file, &format!("{parent}/{member}"));
    // EMD 0.1 and old py4DSTEM count from dim1, newer py4DSTEM from dim0.
    let first = usize::from(!exists("dim0"));
    let axis = |i: usize| {
        let hyperspy = format!("{parent}/axis-{i}");
        if there(file, &hyperspy) {
            from_group(file, &hyperspy)
        } else {
            let emd = from_vector(file, &format!("{parent}/dim{}", i + first));
            emd.or_else(|| from_vector(file, &nexus::axis_name(file, name, i)?))
        }
    };
    let axes: Vec<Axis> = (0..dims.len()).map(|i| axis(i).unwrap_or_default()).collect();
    let [y, x, sy, sx] = order.four(&axes);
    let [rows, frames, ..] = order.four(dims).map(|n| n.unwrap_or(1));
    let mut nav = [y, x].map(Option::unwrap_or_default);
    let mut sig = [sy, sx].map(Option::unwrap_or_default);
    if order == Order::Scan {
        let sizes = PixelSizes::find(file, parent);
        nav.iter_mut().for_each(|a| complete(a, &sizes.scan));
        sig.iter_mut().for_each(|a| complete(a, &sizes.detector));
    }
    let reciprocal = |a: &Axis| a.unit.starts_with("1/") || a.unit.ends_with("^-1");
    if order == Order::Scan && nav.iter().all(reciprocal) && sig.iter().all(|a| !a.unit.is_empty() && !reciprocal(a)) {
        let what = "the first two dimensions have reciprocal units, the last two lengths: the detector's axes may stand first and turned \
                    around, as RosettaSciIO writes EMD; they are shown as they are stored";
        info.notes.push(what.to_owned());
    }
    // Under another scan shape the steps of the scan would be wrong.
    if info.nav.map(|n| n as u64) == [rows, frames] {
        info.nav_axes = nav;
    }
    info.sig_axes = sig;
}

fn complete(axis: &mut Axis, size: &Axis) {
    if axis.scale.is_none() {
        *axis = size.clone();
    }
}

fn from_group(file: &File, name: &str) -> Option<Axis> {
    let group = file.group(name).told()?;
    let unit = text::attribute_of(&group, "units");
    axis(group.attr("scale").told()?.read_scalar().told()?, &unit.unwrap_or_default())
}

fn from_vector(file: &File, name: &str) -> Option<Axis> {
    let vector: Dataset = file.dataset(name).told()?;
    if vector.ndim() != 1 || !(2..=MAX_VECTOR).contains(&vector.size()) {
        return None;
    }
    let values = vector.read_slice_1d::<f64, _>(0..2).told()?;
    let unit = text::attribute_of(&vector, "units");
    axis(values.get(1)? - values.get(0)?, &unit.unwrap_or_default())
}

/// An axis in proper units; `None` where the file counts pixels. An axis that runs backwards has steps of the same size.
fn axis(scale: f64, unit: &str) -> Option<Axis> {
    let (scale, unit) = (scale.abs(), text::unit(unit));
    let calibrated = scale.is_finite() && scale > 0.0 && !(unit.is_empty() && scale == 1.0);
    calibrated.then_some(Axis {
        scale: Some(scale),
        unit,
    })
}

/// py4DSTEM's pixel sizes in real and reciprocal space, the same along both axes.
#[derive(Default)]
struct PixelSizes {
    scan: Axis,
    detector: Axis,
}

impl PixelSizes {
    /// In EMD 1.0 they lie in the metadata of the array or of a group above it, before that in the file's own metadata.
    fn find(file: &File, parent: &str) -> PixelSizes {
        let ends = parent.match_indices('/').map(|(at, _)| at).chain([parent.len()]);
        let bundles = ends.map(|end| format!("{}/metadatabundle/calibration", &parent[..end]));
        let old = ["calibration", "microscope"].map(|g| format!("/4DSTEM_experiment/metadata/metadata_0/{g}"));
        let mut sizes = PixelSizes::default();
        // The nearest comes last among the bundles and counts first.
        for name in bundles.collect::<Vec<_>>().into_iter().rev().chain(old) {
            let Some(group) = file.group(&name).told() else { continue };
            for (axis, letter) in [(&mut sizes.scan, 'R'), (&mut sizes.detector, 'Q')] {
                if axis.scale.is_none() {
                    *axis = pixel_size(&group, letter).unwrap_or_default();
                }
            }
        }
        sizes
    }
}

/// `R_pixel_size` with `R_pixel_units` or, in older files, `R_pixel_size_units`: datasets or attributes.
fn pixel_size(group: &Group, letter: char) -> Option<Axis> {
    let name = format!("{letter}_pixel_size");
    let scale: f64 = match group.dataset(&name).told() {
        Some(size) => size.read_scalar().told()?,
        None => group.attr(&name).told()?.read_scalar().told()?,
    };
    let unit = [format!("{letter}_pixel_units"), format!("{letter}_pixel_size_units")];
    let unit = unit.iter().find_map(|n| text::member(group, n));
    axis(scale, &unit.unwrap_or_default())
}
