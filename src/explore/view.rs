//! What a page shows first, and whether the open files can show it.

use super::frame::MAX_RADIUS;
use super::maps::{Role, Shown};
use super::{Inner, overlay, save, summary};
use crate::analysis::maskspec::Detector;
use crate::error::{Error, Result};
use serde::Serialize;

/// Names that an error lists at most.
const LISTED: usize = 12;

/// What a page shows when it is opened.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct View {
    /// Scan position.
    pub at: Option<[usize; 2]>,
    /// Name of a map: a dataset of a result (`strain/xx`, `features/values[3]`) or a column.
    pub map: Option<String>,
    /// Virtual detector.
    pub detector: Option<String>,
    /// Region of the scan whose frames are summed up.
    pub region: Option<String>,
    /// `frame`, `mean`, `std`, `logsum`, or the name of an image.
    pub pattern: Option<String>,
    /// `linear`, `log` or `LOW..HIGH` percentiles, of the pattern and of the map.
    pub scale: Option<String>,
    pub map_scale: Option<String>,
    /// Colour maps of the pattern and of the map, `-` in front inverts.
    pub colours: Option<String>,
    pub map_colours: Option<String>,
    /// Radius of the average of neighbours, at most [`super::frame::MAX_RADIUS`].
    pub neighbours: usize,
    /// Shows the processed pattern beside the raw one.
    pub process: bool,
    pub overlays: Vec<String>,
}

impl View {
    /// # Errors
    /// [`Error::Parameter`] with the flag for what is not there or makes no sense.
    pub(super) fn check(&self, inner: &Inner) -> Result<()> {
        let [ny, nx] = inner.sources.nav;
        if let Some([y, x]) = self.at
            && (y >= ny || x >= nx)
        {
            let what = format!("({y}, {x}) lies outside the scan of {ny}×{nx}");
            return Err(Error::parameter("--at", what));
        }
        if self.neighbours > MAX_RADIUS {
            let what = format!("{} is more than {MAX_RADIUS}", self.neighbours);
            return Err(Error::parameter("--neighbours", what));
        }
        self.map.as_deref().map_or(Ok(()), |m| map(m, &inner.shown))?;
        self.detector.as_deref().map_or(Ok(()), |d| detector(d, inner))?;
        if let Some(region) = &self.region {
            scanned("--region", inner)?;
            inner.select(region).map_err(|e| under("--region", e))?;
        }
        self.pattern.as_deref().map_or(Ok(()), |p| self.pattern(p, inner))?;
        for (flag, text) in [("--scale", &self.scale), ("--map-scale", &self.map_scale)] {
            text.as_deref().map_or(Ok(()), |t| scale(flag, t))?;
        }
        for (flag, text) in [("--colours", &self.colours), ("--map-colours", &self.map_colours)] {
            text.as_deref().map_or(Ok(()), |t| colours(flag, t))?;
        }
        let available = overlay::available(&inner.sources);
        match self.overlays.iter().find(|o| !available.contains(&o.as_str())) {
            Some(other) => Err(unknown("--overlay", other, &available)),
            None => Ok(()),
        }
    }

    fn pattern(&self, name: &str, inner: &Inner) -> Result<()> {
        let images: Vec<&Shown> = inner.shown.iter().filter(|s| s.role == Role::Image).collect();
        if images.iter().any(|s| s.name == name || s.id == name) {
            return Ok(());
        }
        if name == "frame" {
            return scanned("--pattern", inner);
        }
        if summary::PLANES.contains(&name) {
            scanned("--pattern", inner)?;
            return match self.region {
                Some(_) => Ok(()),
                None => Err(Error::parameter("--pattern", format!("{name} is that of a --region"))),
            };
        }
        let known = ["frame"].into_iter().chain(summary::PLANES);
        let names: Vec<&str> = known.chain(images.iter().map(|s| s.name.as_str())).collect();
        Err(unknown("--pattern", name, &names))
    }
}

/// `name` or `name[index]`.
fn map(text: &str, shown: &[Shown]) -> Result<()> {
    let maps = || shown.iter().filter(|s| matches!(s.role, Role::Map { .. }));
    let find = |name: &str| maps().find(|s| s.name == name || s.id == name);
    let indexed = || {
        let (name, index) = text.strip_suffix(']')?.rsplit_once('[')?;
        Some((find(name)?, index))
    };
    match (find(text), indexed()) {
        (Some(_), _) => Ok(()),
        (None, Some((shown, index))) => match index.parse::<usize>() {
            Ok(i) if i < shown.count => Ok(()),
            _ => {
                let what = format!("{} has {} maps, from 0 on; there is no {index}", shown.name, shown.count);
                Err(Error::parameter("--map", what))
            }
        },
        (None, None) => Err(unknown("--map", text, &maps().map(|s| s.name.as_str()).collect::<Vec<_>>())),
    }
}

fn detector(text: &str, inner: &Inner) -> Result<()> {
    scanned("--detector", inner)?;
    let frame = inner.sources.scan(0)?.scan().info().frame;
    let mask = Detector::parse(text).and_then(|d| d.mask(frame.height, frame.width));
    mask.map(drop).map_err(|e| under("--detector", e))
}

fn scale(flag: &str, text: &str) -> Result<()> {
    let percentiles = || {
        let (low, high) = text.split_once("..")?;
        Some((low.parse::<f64>().ok()?, high.parse::<f64>().ok()?))
    };
    match percentiles() {
        Some((low, high)) if 0.0 <= low && low < high && high <= 100.0 => Ok(()),
        None if ["linear", "log"].contains(&text) => Ok(()),
        _ => {
            let what = format!("'{text}' is none of linear, log and two percentiles like 1..99");
            Err(Error::parameter(flag, what))
        }
    }
}

fn colours(flag: &str, text: &str) -> Result<()> {
    let maps = save::colour_maps();
    let names: Vec<&str> = maps.iter().map(|(name, _)| *name).chain(["labels"]).collect();
    if names.contains(&text.strip_prefix('-').unwrap_or(text)) {
        Ok(())
    } else {
        Err(unknown(flag, text, &names))
    }
}

/// Refuses what only frames have if results alone are open.
fn scanned(flag: &str, inner: &Inner) -> Result<()> {
    match inner.sources.scans.is_empty() {
        true => Err(Error::parameter(flag, "no scan is open")),
        false => Ok(()),
    }
}

/// The same error under the name of the flag that the user gave.
fn under(flag: &str, e: Error) -> Error {
    match e {
        Error::Parameter { what, .. } => Error::parameter(flag, what),
        e => e,
    }
}

fn unknown(flag: &str, text: &str, names: &[&str]) -> Error {
    let listed = names.iter().take(LISTED).copied().collect::<Vec<_>>().join(", ");
    let what = match names.len() {
        0 => format!("'{text}' is not there: the open files have none"),
        n if n > LISTED => format!("'{text}' is not there; there are {listed} and {} more", n - LISTED),
        _ => format!("'{text}' is not there; there are {listed}"),
    };
    Error::parameter(flag, what)
}
