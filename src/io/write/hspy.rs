//! What surrounds the values of a HyperSpy signal (`.hspy`): axes and metadata.
//!
//! Layout: RosettaSciIO's hierarchical format, version 3.3; `scripts/check_hspy.py` opens what is written in HyperSpy.

use crate::io::Axis;
use crate::io::results::put_text;
use hdf5::Group;
use hdf5::types::VarLenUnicode;

/// An axis of a signal: value of index i = offset + step · i.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Described {
    pub name: String,
    pub step: Axis,
    pub offset: f64,
}

impl Described {
    /// An axis with a known step.
    pub fn new(name: &str, scale: f64, offset: f64, unit: &str) -> Described {
        Described {
            name: name.to_owned(),
            step: Axis {
                scale: Some(scale),
                unit: unit.to_owned(),
            },
            offset,
        }
    }
}

/// How X-ray spectra were measured, or pretend to have been.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct XRays {
    /// Chemical elements: `Al`.
    pub elements: Vec<String>,
    /// Lines: `Al_Ka`.
    pub lines: Vec<String>,
    /// Full width of Mn Kα at half maximum in eV.
    pub resolution: f64,
    /// Seconds per position.
    pub live_time: f64,
}

/// A signal without its values.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Description {
    pub title: String,
    /// `electron_diffraction`, `EDS_TEM`, … as HyperSpy calls it; empty: nothing special.
    pub signal_type: String,
    /// In the order of the stored array: scan y, scan x, then those of a frame or spectrum.
    pub axes: Vec<Described>,
    /// How many of the axes, from the first, are those of the scan.
    pub navigated: usize,
    /// Energy of the beam in keV.
    pub beam_energy: Option<f64>,
    pub xrays: Option<XRays>,
}

/// Everything but the values of an array of this `shape`, in an empty file; the values belong into `data` of the group.
///
/// # Errors
/// Those of the library.
pub(crate) fn put(file: &hdf5::File, shape: &[usize], what: &Description) -> hdf5::Result<Group> {
    put_text(file, "file_format", "HyperSpy")?;
    put_text(file, "file_format_version", "3.3")?;
    let name = what.title.replace('/', "-").replace('.', "_");
    let name = if name.is_empty() { "__unnamed__" } else { &name };
    let group = file.create_group(&format!("Experiments/{name}"))?;
    for (i, (axis, &size)) in what.axes.iter().zip(shape).enumerate() {
        let at = group.create_group(&format!("axis-{i}"))?;
        put_text(&at, "_type", "UniformDataAxis")?;
        put_text(&at, "name", &axis.name)?;
        let unit = if axis.step.unit.is_empty() {
            "_None_"
        } else {
            &axis.step.unit
        };
        put_text(&at, "units", unit)?;
        number(&at, "scale", axis.step.scale.unwrap_or(1.0))?;
        number(&at, "offset", axis.offset)?;
        at.new_attr::<i64>().create("size")?.write_scalar(&(size as i64))?;
        at.new_attr::<bool>()
            .create("navigate")?
            .write_scalar(&(i < what.navigated))?;
        at.new_attr::<bool>().create("is_binned")?.write_scalar(&false)?;
    }
    let metadata = group.create_group("metadata")?;
    let general = metadata.create_group("General")?;
    put_text(&general, "title", &what.title)?;
    let signal = metadata.create_group("Signal")?;
    put_text(&signal, "signal_type", &what.signal_type)?;
    if what.beam_energy.is_some() || what.xrays.is_some() {
        let microscope = metadata.create_group("Acquisition_instrument/TEM")?;
        if let Some(energy) = what.beam_energy {
            number(&microscope, "beam_energy", energy)?;
        }
        if let Some(x) = &what.xrays {
            let detector = microscope.create_group("Detector/EDS")?;
            number(&detector, "energy_resolution_MnKa", x.resolution)?;
            number(&detector, "live_time", x.live_time)?;
            let sample = metadata.create_group("Sample")?;
            texts(&sample, "_list_elements", &x.elements)?;
            texts(&sample, "_list_xray_lines", &x.lines)?;
        }
    }
    group.create_group("original_metadata")?;
    group.create_group("learning_results")?;
    let attributes = group.create_group("attributes")?;
    attributes.new_attr::<bool>().create("_lazy")?.write_scalar(&false)?;
    attributes.new_attr::<bool>().create("ragged")?.write_scalar(&false)?;
    put_text(&group, "package", "")?;
    put_text(&group, "package_version", "")?;
    Ok(group)
}

fn number(at: &Group, name: &str, value: f64) -> hdf5::Result<()> {
    at.new_attr::<f64>().create(name)?.write_scalar(&value)
}

fn texts(at: &Group, name: &str, values: &[String]) -> hdf5::Result<()> {
    let parsed: Result<Vec<VarLenUnicode>, _> = values.iter().map(|v| v.parse()).collect();
    let parsed = parsed.map_err(|_| hdf5::Error::from(format!("{name} holds a NUL")))?;
    at.new_dataset_builder().with_data(&parsed).create(name).map(|_| ())
}
