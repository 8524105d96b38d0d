//! HyperSpy signals (`.hspy`): axes, signal type, and what the metadata say about an EDS measurement. The pixels themselves are read as a
//! [`Scan`](super::Scan), whose shape these axes decide.
//!
//! Layout: RosettaSciIO's hierarchical format, version 3: `/Experiments/NAME/{data, axis-N, metadata, …}`.

use super::h5::refused::{Told, all_told, there};
use super::h5::{self, text};
use crate::error::{Error, Result};
use hdf5::{File, Group};
use std::path::Path;

/// Most axes of a signal; NumPy allows no more.
const MAX_AXES: usize = 64;
/// Most signals of a file that are looked at.
const MAX_SIGNALS: usize = 1000;

/// One axis of a signal, in the order of the stored array.
#[derive(Debug, Clone, PartialEq)]
pub struct SignalAxis {
    /// Empty where the file gives none.
    pub name: String,
    pub size: u64,
    /// Step from one index to the next, in `unit`; `None` for an axis that is not uniform.
    pub scale: Option<f64>,
    /// Coordinate of index 0, in `unit`.
    pub offset: f64,
    pub unit: String,
    /// True for an axis of the scan, false for one of the frame or spectrum.
    pub navigate: bool,
}

impl SignalAxis {
    /// Coordinate of an index, in `unit`; `None` for an axis that is not uniform.
    pub fn at(&self, index: f64) -> Option<f64> {
        self.scale.map(|s| self.offset + s * index)
    }
}

/// A signal and what is known about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    /// Path of its pixels, as `--dataset` takes it.
    pub dataset: String,
    pub title: String,
    /// `electron_diffraction`, `EDS_TEM`, …; empty for a signal of no special kind.
    pub signal_type: String,
    pub axes: Vec<SignalAxis>,
    /// Chemical elements of the sample: `Al`.
    pub elements: Vec<String>,
    /// X-ray lines: `Al_Ka`.
    pub xray_lines: Vec<String>,
    /// Energy of the beam in keV.
    pub beam_energy: Option<f64>,
}

impl Signal {
    /// The axis of a spectrum: the only axis that does not navigate.
    pub fn spectral_axis(&self) -> Option<&SignalAxis> {
        let mut axes = self.axes.iter().filter(|a| !a.navigate);
        axes.next().filter(|_| axes.next().is_none())
    }
}

/// All signals of a file, in the order of their names; empty if it is no HyperSpy file.
///
/// # Errors
/// [`Error::Io`] and [`Error::Format`] if the file cannot be opened as HDF5 or an axis says nothing about itself.
pub fn signals(path: &Path) -> Result<Vec<Signal>> {
    std::fs::File::open(path).map_err(|e| Error::io(path, "cannot open", e))?;
    all_told(path, || all(path))
}

fn all(path: &Path) -> Result<Vec<Signal>> {
    let file = h5::open_file(path)?;
    if !there(&file, "/Experiments") {
        return Ok(Vec::new());
    }
    let failed = |e: hdf5::Error| h5::fault(path, "/Experiments", &e);
    let experiments = file.group("/Experiments").map_err(failed)?;
    let mut names = experiments.member_names().map_err(failed)?;
    names.sort();
    let names = names.into_iter().take(MAX_SIGNALS).map(|n| format!("/Experiments/{n}"));
    names
        .filter(|n| there(&file, &format!("{n}/data")))
        .map(|n| read(path, &file, &n))
        .collect()
}

/// The signal whose pixels are `dataset`, e.g. what [`ScanInfo::dataset`](super::ScanInfo) says.
///
/// # Errors
/// As [`signals`]; [`Error::Unsupported`] if the dataset is no HyperSpy signal.
pub fn signal(path: &Path, dataset: &str) -> Result<Signal> {
    let dataset = format!("/{}", dataset.trim_matches('/'));
    let found = signals(path)?.into_iter().find(|s| s.dataset == dataset);
    found.ok_or_else(|| Error::unsupported(path, format!("{dataset} is no HyperSpy signal")))
}

fn read(path: &Path, file: &File, name: &str) -> Result<Signal> {
    let failed = |e: hdf5::Error| h5::fault(path, name, &e);
    let dataset = format!("{name}/data");
    let shape = file.dataset(&dataset).map_err(failed)?.shape();
    if shape.len() > MAX_AXES {
        return Err(Error::limit(path, format!("{dataset} has more than {MAX_AXES} axes")));
    }
    let axes = shape.iter().enumerate().map(|(i, &size)| {
        let place = format!("{name}/axis-{i}");
        let group = file
            .group(&place)
            .told()
            .ok_or_else(|| Error::format(path, &place, "the axis is missing"))?;
        axis(&group, size as u64).ok_or_else(|| Error::format(path, &place, "it does not say whether it navigates"))
    });
    let inner = |path: &str| file.group(&format!("{name}/metadata/{path}")).told();
    let word = |path: &str, name: &str| inner(path).and_then(|g| text::attribute_of(&g, name)).unwrap_or_default();
    let words = |name: &str| {
        // Lists stand as `_list_NAME`, tuples as `_tuple_NAME`; an empty one has `_empty` in its name and no text.
        let sample = inner("Sample")?;
        text::list(&sample, &format!("_list_{name}")).or_else(|| text::list(&sample, &format!("_tuple_{name}")))
    };
    let instruments = ["TEM", "SEM"].map(|i| inner(&format!("Acquisition_instrument/{i}")));
    Ok(Signal {
        axes: axes.collect::<Result<_>>()?,
        title: word("General", "title"),
        signal_type: word("Signal", "signal_type"),
        elements: words("elements").unwrap_or_default(),
        xray_lines: words("xray_lines").unwrap_or_default(),
        beam_energy: instruments.iter().flatten().find_map(|g| number(g, "beam_energy")),
        dataset,
    })
}

fn axis(group: &Group, size: u64) -> Option<SignalAxis> {
    let named = |name: &str| text::unit(&text::attribute_of(group, name).unwrap_or_default());
    Some(SignalAxis {
        name: named("name"),
        size,
        scale: number(group, "scale").filter(|&s| s != 0.0),
        offset: number(group, "offset").unwrap_or(0.0),
        unit: named("units"),
        navigate: group.attr("navigate").told()?.read_scalar().told()?,
    })
}

fn number(group: &Group, name: &str) -> Option<f64> {
    let value: f64 = group.attr(name).told()?.read_scalar().told()?;
    value.is_finite().then_some(value)
}
