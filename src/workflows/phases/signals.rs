//! Signals of one scan: diffraction patterns, spectra and whatever else was measured at the same positions.

use super::params::Params;
use crate::control::Control;
use crate::engine::Selection;
use crate::error::{Error, Result};
use crate::io::{self, OpenOptions, Scan, hspy};
use ndarray::Array2;
use std::path::{Path, PathBuf};

/// What the frames of a signal are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Frames of rows and columns.
    Pattern,
    /// Spectra: frames of one row.
    Spectrum,
}

/// Energies of the channels of a spectrum.
#[derive(Debug, Clone, PartialEq)]
pub struct Energy {
    /// Of the first channel, in `unit`.
    pub offset: f64,
    /// From one channel to the next.
    pub step: f64,
    pub unit: String,
}

impl Energy {
    /// Energy of a channel.
    pub fn at(&self, channel: usize) -> f64 {
        self.offset + self.step * channel as f64
    }
}

/// A signal.
pub struct Signal {
    /// `dp`, `eds`, or as the user calls it: the beginning of the names of its results.
    pub name: String,
    pub path: PathBuf,
    pub scan: Box<dyn Scan>,
    pub kind: Kind,
    /// `None` where the file says nothing about it.
    pub energy: Option<Energy>,
    /// X-ray lines that the file names: `Ni_Ka`.
    pub lines: Vec<String>,
}

impl Signal {
    /// Opens a signal. `spectra`: arrays of three dimensions are (ny, nx, channels).
    ///
    /// # Errors
    /// Those of [`io::open`].
    pub fn open(name: &str, path: &Path, spectra: bool, options: &OpenOptions, control: &Control) -> Result<Signal> {
        let options = OpenOptions {
            spectra,
            ..options.clone()
        };
        let scan = io::open(path, &options, control)?;
        Ok(Signal::of(name, path, scan))
    }

    /// A signal that is open already.
    pub fn of(name: &str, path: &Path, scan: Box<dyn Scan>) -> Signal {
        let info = scan.info();
        let kind = if info.frame.height == 1 {
            Kind::Spectrum
        } else {
            Kind::Pattern
        };
        let described = match (kind, &info.dataset) {
            (Kind::Spectrum, Some(dataset)) => hspy::signal(path, dataset).ok(),
            _ => None,
        };
        let energy = described.as_ref().and_then(|s| {
            let axis = s.spectral_axis()?;
            // What HyperSpy writes for an axis that nobody calibrated: its channels are only numbered.
            if axis.unit.is_empty() && axis.offset == 0.0 && axis.scale == Some(1.0) {
                return None;
            }
            // Energies are in keV here, whatever the file counts in.
            let factor = if axis.unit.eq_ignore_ascii_case("ev") { 1e-3 } else { 1.0 };
            let unit = if factor == 1.0 { axis.unit.clone() } else { "keV".into() };
            Some(Energy {
                offset: axis.offset * factor,
                step: axis.scale? * factor,
                unit,
            })
        });
        Signal {
            name: name.to_owned(),
            path: path.to_owned(),
            kind,
            energy,
            lines: described.map(|s| s.xray_lines).unwrap_or_default(),
            scan,
        }
    }
}

/// Which frames of each signal belong together: selections of equal length, in the order of the first signal's positions.
///
/// # Errors
/// [`Error::Parameter`] with both shapes where scans do not match, for regions outside of them, and if nothing is left.
pub fn align(signals: &[Signal], roi: &Selection, params: &Params) -> Result<Vec<Selection>> {
    let Some(first) = signals.first() else {
        return Err(Error::parameter("signals", "there is none"));
    };
    let areas = signals.iter().map(|s| area(s, params)).collect::<Result<Vec<_>>>()?;
    let shape = |a: &[usize; 4]| [a[1] - a[0], a[3] - a[2]];
    let [rows, columns] = shape(&areas[0]);
    for (signal, a) in signals.iter().zip(&areas) {
        let [h, w] = shape(a);
        if [h, w] != [rows, columns] {
            let what = format!(
                "the scan of '{}' is {h}×{w}, that of '{}' is {rows}×{columns}; --crop NAME=Y0:Y1,X0:X1 takes a part of one",
                signal.name, first.name
            );
            return Err(Error::parameter(signal.path.display().to_string(), what));
        }
    }
    // Position (y, x) of the common area in a signal, if it lies in its scan.
    let at = |k: usize, y: usize, x: usize| -> Option<[usize; 2]> {
        let [dy, dx] = params.shift.get(&signals[k].name).copied().unwrap_or([0, 0]);
        let y = (areas[k][0] + y) as i64 + dy;
        let x = (areas[k][2] + x) as i64 + dx;
        let [ny, nx] = signals[k].scan.info().nav;
        let inside = (0..ny as i64).contains(&y) && (0..nx as i64).contains(&x);
        inside.then_some([y as usize, x as usize])
    };
    let in_roi = roi.mask();
    let mut masks: Vec<Array2<bool>> = signals
        .iter()
        .map(|s| Array2::from_elem((s.scan.info().nav[0], s.scan.info().nav[1]), false))
        .collect();
    for y in 0..rows {
        for x in 0..columns {
            let places: Option<Vec<[usize; 2]>> = (0..signals.len()).map(|k| at(k, y, x)).collect();
            let Some(places) = places.filter(|p| in_roi.get(p[0]).copied().unwrap_or(false)) else {
                continue;
            };
            for (mask, place) in masks.iter_mut().zip(places) {
                mask[place] = true;
            }
        }
    }
    let nothing = || Error::parameter("--shift", "no position is left that every signal has");
    if masks[0].iter().all(|m| !m) {
        return Err(nothing());
    }
    signals
        .iter()
        .zip(&masks)
        .map(|(s, m)| Selection::from_mask(s.scan.info().nav, m.view()))
        .collect()
}

/// The part of a signal's scan that `--crop` leaves: rows and columns from, to.
fn area(signal: &Signal, params: &Params) -> Result<[usize; 4]> {
    let [ny, nx] = signal.scan.info().nav;
    let text = params.crop.get(&signal.name).or_else(|| params.crop.get("all"));
    let Some(text) = text else { return Ok([0, ny, 0, nx]) };
    let wrong = || Error::parameter("--crop", format!("'{text}' is not rows and columns like 2:40,0:60"));
    let range = |t: &str, end: usize| -> Result<[usize; 2]> {
        let (from, to) = t.split_once(':').ok_or_else(wrong)?;
        let number = |t: &str, empty: usize| match t.trim() {
            "" => Ok(empty),
            t => t.parse::<usize>().map_err(|_| wrong()),
        };
        Ok([number(from, 0)?, number(to, end)?])
    };
    let (y, x) = text.split_once(',').ok_or_else(wrong)?;
    let ([y0, y1], [x0, x1]) = (range(y, ny)?, range(x, nx)?);
    if y0 >= y1 || x0 >= x1 || y1 > ny || x1 > nx {
        let what = format!("{text} is empty or leaves the scan of '{}', which is {ny}×{nx}", signal.name);
        return Err(Error::parameter("--crop", what));
    }
    Ok([y0, y1, x0, x1])
}
