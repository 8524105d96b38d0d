//! Zarr of version 2 and HyperSpy's `.zspy` in it: a folder or a zip archive with one file for each chunk.
//!
//! Specifications: "Zarr storage specification version 2" (<https://zarr-specs.readthedocs.io/en/latest/v2/v2.0.html>), numcodecs' compressors, and
//! RosettaSciIO's hierarchical format, whose groups `axis-N` give steps, units and which axes navigate.

mod array;
mod store;

use self::array::{Description, Dimensions, ZarrChunks};
use self::store::Store;
use super::chunked::{Chunked, Plan, Shape};
use super::h5::{Candidate, navigation_other_than_two, text};
use super::limits;
use super::open::OpenOptions;
use super::reading::{Reading, ShapeFrom};
use super::stack::Stack;
use super::{Axis, Scan, ScanInfo, folder};
use crate::control::Control;
use crate::error::{Error, Result};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;

/// True for a folder with a zarr hierarchy, or a zip archive whose first file belongs to one.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; one that is not there is no store.
pub(crate) fn is_store(path: &Path) -> Result<bool> {
    if path.is_dir() {
        let names = [".zgroup", ".zarray", ".zmetadata", "zarr.json"];
        return Ok(names.iter().any(|n| path.join(n).is_file()));
    }
    // A local header of a zip archive: 30 bytes, then the name.
    let mut head = [0; 30 + 4096];
    let Ok(file) = super::readat::ReadAt::open(path) else {
        return Ok(false);
    };
    let n = head.len().min(usize::try_from(file.len()).unwrap_or(usize::MAX));
    if n < 40 {
        return Ok(false);
    }
    file.read(0, &mut head[..n])?;
    if !head.starts_with(b"PK\x03\x04") {
        return Ok(false);
    }
    let length = usize::from(u16::from_le_bytes([head[26], head[27]]));
    let name = String::from_utf8_lossy(&head[30..(30 + length).min(n)]).into_owned();
    let last = name.rsplit('/').next().unwrap_or("");
    Ok(matches!(last, ".zgroup" | ".zarray" | ".zattrs" | ".zmetadata" | "zarr.json"))
}

/// Arrays of 3 and 4 dimensions, for `info` and `--dataset`.
///
/// # Errors
/// Those of listing, and [`Error::Io`] where the disk refuses; arrays that are damaged or of unknown kinds are left out.
pub(crate) fn candidates(path: &Path) -> Result<Vec<Candidate>> {
    candidates_in(&Store::open(path)?)
}

fn candidates_in(store: &Store) -> Result<Vec<Candidate>> {
    let mut found = Vec::new();
    for key in store.arrays()? {
        match Description::read(store, &key) {
            Ok(d) if matches!(d.shape.len(), 3 | 4) => found.push(Candidate {
                path: format!("/{key}"),
                shape: d.shape,
                dtype: d.stored.to_string(),
            }),
            Err(refused @ Error::Io { .. }) => return Err(refused),
            _ => {}
        }
    }
    Ok(found)
}

/// The array that was named, or the only one.
fn choose(path: &Path, store: &Store, given: Option<&str>) -> Result<String> {
    let list = |c: &[Candidate]| c.iter().take(20).map(Candidate::to_string).collect::<Vec<_>>().join("; ");
    if let Some(name) = given {
        let key = name.trim_matches('/').to_owned();
        let file = if key.is_empty() {
            ".zarray".to_owned()
        } else {
            format!("{key}/.zarray")
        };
        if store.json(&file)?.is_some() {
            return Ok(key);
        }
        let found = candidates_in(store)?;
        let what = format!("{} has no array /{key}; candidates: {}", path.display(), list(&found));
        return Err(Error::parameter("--dataset", what));
    }
    let mut found = candidates_in(store)?;
    match (found.len(), found.pop()) {
        (1, Some(only)) => Ok(only.path.trim_matches('/').to_owned()),
        (_, None) => {
            // Why the only array cannot be read is worth more than that there is none.
            if let [only] = store.arrays()?.as_slice() {
                let d = Description::read(store, only)?;
                let what = format!(
                    "the array /{only} has {} dimensions {}: a scan has 3 or 4",
                    d.shape.len(),
                    limits::tuple(&d.shape)
                );
                return Err(Error::unsupported(path, what));
            }
            let version = store.json("zarr.json")?.is_some();
            let what = if version {
                "zarr version 3; version 2 is read"
            } else {
                "there is no array of 3 or 4 dimensions in it"
            };
            Err(Error::unsupported(path, what))
        }
        (n, Some(last)) => {
            found.push(last);
            let what = format!(
                "{} has {n} arrays to choose from; candidates: {}",
                path.display(),
                list(&found)
            );
            Err(Error::parameter("--dataset", what))
        }
    }
}

/// One of HyperSpy's axes, as far as it concerns a scan.
struct SignalAxis {
    axis: Axis,
    navigates: Option<bool>,
}

fn signal_axis(store: &Store, parent: &str, i: usize) -> Result<SignalAxis> {
    let key = if parent.is_empty() {
        format!("axis-{i}/.zattrs")
    } else {
        format!("{parent}/axis-{i}/.zattrs")
    };
    let json = store.json(&key)?.unwrap_or(Value::Null);
    let unit = text::unit(json.get("units").and_then(Value::as_str).unwrap_or(""));
    let scale = json
        .get("scale")
        .and_then(Value::as_f64)
        // An axis that runs backwards has steps of the same size.
        .map(f64::abs)
        .filter(|s| s.is_finite() && *s > 0.0);
    let scale = scale.filter(|&s| !(unit.is_empty() && s == 1.0));
    let unit = if scale.is_some() { unit } else { String::new() };
    Ok(SignalAxis {
        axis: Axis { scale, unit },
        navigates: json.get("navigate").and_then(Value::as_bool),
    })
}

/// Opens an array as a scan.
///
/// # Errors
/// [`Error::Parameter`] listing the arrays when none or several could be meant, else as the description's.
pub(crate) fn open(path: &Path, options: &OpenOptions, control: &Control) -> Result<Box<dyn Scan>> {
    let store = Arc::new(Store::open(path)?);
    let key = choose(path, &store, options.dataset.as_deref())?;
    let d = Description::read(&store, &key)?;
    let parent = key.rsplit_once('/').map_or("", |(p, _)| p);
    let axes = (0..d.shape.len().min(4)).map(|i| signal_axis(&store, parent, i));
    let axes: Vec<SignalAxis> = axes.collect::<Result<_>>()?;
    let navigates: Vec<Option<bool>> = axes.iter().map(|a| a.navigates).collect();
    let what = format!("the array /{key}");
    if options.sig_shape.is_none()
        && let Some(n) = navigation_other_than_two(&navigates)
    {
        return Err(Error::unsupported(path, limits::no_scan(&what, n)));
    }
    let dimensions = match d.shape.len() {
        4 => Dimensions::Scan,
        3 if options.spectra || navigates == [Some(true), Some(true), Some(false)] => Dimensions::Spectra,
        _ => Dimensions::Stack,
    };
    let four = dimensions.four(&d.shape);
    let arranged = match (dimensions, four) {
        (Dimensions::Spectra, Some(four)) => four.to_vec(),
        _ => d.shape.clone(),
    };
    let sizes = limits::arrange(path, &what, &arranged, options.nav_shape, options.sig_shape, d.stored.bytes())?;
    let (Some(four), Some(chunk)) = (four, dimensions.four(&d.chunks)) else {
        return Err(Error::Internal(format!("{what} of other than 3 or 4 dimensions")));
    };
    let pixel = d.stored.deliver(options.wanted_pixel()?)?;
    let from = match dimensions {
        Dimensions::Stack => ShapeFrom::Unknown,
        _ => ShapeFrom::Stored("the array's shape".into()),
    };
    let at = |i: usize| axes.get(i).map(|a| a.axis.clone()).unwrap_or_default();
    let (nav_axes, sig_axes) = match dimensions {
        Dimensions::Scan => ([at(0), at(1)], [at(2), at(3)]),
        Dimensions::Stack => ([Axis::default(), at(0)], [at(1), at(2)]),
        Dimensions::Spectra => ([at(0), at(1)], [Axis::default(), at(2)]),
    };
    let mut info = ScanInfo {
        path: path.to_owned(),
        format: "zarr",
        dataset: Some(format!("/{key}")),
        nav: sizes.nav,
        frame: sizes.frame(pixel),
        stored: d.stored.to_string(),
        nav_axes: Default::default(),
        sig_axes,
        together: usize::try_from(chunk[1].min(four[1])).unwrap_or(1),
        costly: !d.compressor.is_none(),
        file_bytes: folder::bytes_of_file(path),
        notes: d.stored.note(pixel).into_iter().collect(),
        reading: Reading::shape(options, from),
    };
    // Under another scan shape the steps of the scan would be wrong.
    if sizes.nav.map(|n| n as u64) == four[..2] {
        info.nav_axes = nav_axes;
    }
    let band: u64 = (0..4)
        .skip(if chunk[0] > 1 { 1 } else { 2 })
        .map(|i| four[i].div_ceil(chunk[i]))
        .fold(1, u64::saturating_mul);
    let bytes = chunk.iter().fold(d.stored.bytes() as u64, |n, &c| n.saturating_mul(c));
    if bytes > control.memory / 2 {
        let what = format!(
            "{}: chunks {} take {bytes} bytes each, more than half of the memory",
            path.display(),
            limits::tuple(&d.chunks)
        );
        return Err(Error::Memory { what });
    }
    let want = band
        .saturating_mul(if chunk[0] > 1 { 2 } else { control.threads as u64 + 2 })
        .saturating_mul(bytes);
    let too_large = || Error::limit(path, "chunks of more bytes than this machine counts");
    let (Some(dims), Some(shape)) = (Shape::of(four), Shape::of(chunk)) else {
        return Err(too_large());
    };
    let plan = Plan {
        path: path.to_owned(),
        dims,
        chunk: shape,
        frames_last: false,
        stored: d.stored,
        pixel,
    };
    let chunks = ZarrChunks {
        store,
        key,
        description: d,
        dimensions,
    };
    let cache = want.min(control.memory / 4);
    let chunked = Chunked::new(plan, chunks, cache, control).ok_or_else(too_large)?;
    Ok(Box::new(Stack::new(info, chunked, options.sync_offset)?))
}
