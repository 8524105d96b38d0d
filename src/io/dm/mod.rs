//! DigitalMicrograph files (`.dm3`, `.dm4`): image stacks, spectrum images, 4-D scans, single images; read in place.
//!
//! A file is a tree of tags ([`tags`]); images are entries of `ImageList`. Their dimensions run fastest first. Which of them belong to the scan
//! follows from the tags `Meta Data/Format` and `Meta Data/Data Order Swapped`: see [`layout`].

mod across;
mod layout;
mod tags;

use self::across::Across;
use self::layout::{Layout, layout};
use self::tags::{Tags, Value};
use super::dtype::{Kind, Stored};
use super::flat::{Flat, Marker};
use super::limits;
use super::open::OpenOptions;
use super::readat::ReadAt;
use super::stack::Stack;
use super::{Axis, Reading, Scan, ScanInfo, ShapeFrom};
use crate::error::{Error, Result};
use std::collections::BTreeSet;
use std::path::Path;

/// Most images of a file that are looked at.
const MAX_IMAGES: usize = 10_000;

/// True for files that begin like DigitalMicrograph's.
pub(crate) fn has_signature(head: &[u8; 8], name_says: bool) -> bool {
    // Three small numbers are a weak signature: a raw file may begin like this, so the name must agree.
    name_says && matches!(head[..4], [0, 0, 0, 3 | 4])
}

/// All tags as (path, value) texts, in the order of the file.
///
/// # Errors
/// Those of reading the tree.
pub(crate) fn list_tags(file: &ReadAt) -> Result<Vec<(String, String)>> {
    let tags = Tags::read(file)?;
    Ok(tags.list.into_iter().map(|(path, value)| (path, value.to_string())).collect())
}

/// The last tag that is a number and whose path contains `part`.
///
/// # Errors
/// Those of reading the tree.
pub(crate) fn number_tag(file: &ReadAt, part: &str) -> Result<Option<(String, f64)>> {
    let tags = Tags::read(file)?;
    let found = tags.list.iter().rev().filter(|(path, _)| path.contains(part));
    Ok(found.filter_map(|(path, v)| Some((path.clone(), v.number()?))).next())
}

/// One image of the list, as far as it can be read.
struct Image {
    /// `ImageList/1`.
    path: String,
    /// Sizes, fastest first.
    dims: Vec<u64>,
    data_type: u64,
    /// Where the values are, and their bytes.
    at: u64,
    bytes: u64,
}

/// The images that are no thumbnails.
fn images(tags: &Tags) -> Vec<Image> {
    let mut numbers = BTreeSet::new();
    for (path, _) in &tags.list {
        let mut parts = path.split('/');
        if parts.next() == Some("ImageList")
            && let Some(Ok(n)) = parts.next().map(str::parse::<usize>)
            && numbers.len() < MAX_IMAGES
        {
            numbers.insert(n);
        }
    }
    let thumbnails: BTreeSet<u64> = tags
        .list
        .iter()
        .filter(|(path, _)| path.starts_with("Thumbnails/") && path.ends_with("/ImageIndex"))
        .filter_map(|(_, v)| match v {
            Value::Integer(i) => u64::try_from(*i).ok(),
            _ => None,
        })
        .collect();
    numbers
        .into_iter()
        .filter(|&n| !thumbnails.contains(&(n as u64)))
        .filter_map(|n| image(tags, format!("ImageList/{n}")))
        .filter(|image| !matches!(image.data_type, 8 | 23))
        .collect()
}

fn image(tags: &Tags, path: String) -> Option<Image> {
    let data = format!("{path}/ImageData");
    let Some(&Value::Array { count, bytes, at }) = tags.get(&format!("{data}/Data")) else {
        return None;
    };
    let dims: Vec<u64> = (0..8).map_while(|k| tags.count(&format!("{data}/Dimensions/{k}"))).collect();
    Some(Image {
        data_type: tags.count(&format!("{data}/DataType"))?,
        bytes: count.checked_mul(bytes)?,
        path,
        dims,
        at,
    })
}

/// The number type of an image.
fn stored(path: &Path, image: &Image, little: bool) -> Result<Stored> {
    let kind = match image.data_type {
        1 => Kind::I16,
        2 => Kind::F32,
        6 => Kind::U8,
        7 => Kind::I32,
        9 => Kind::I8,
        10 => Kind::U16,
        11 => Kind::U32,
        12 => Kind::F64,
        14 => Kind::Bool,
        other => {
            let what = match other {
                3 | 13 => "complex numbers".to_owned(),
                5 => "packed complex numbers".to_owned(),
                n => format!("pixels of type {n}"),
            };
            return Err(Error::unsupported(path, format!("{}: {what}", image.path)));
        }
    };
    Ok(Stored {
        kind,
        big_endian: !little && kind.bytes() > 1,
    })
}

/// The image that `--dataset` names (`1` or `ImageList/1`), or the first.
fn choose(path: &Path, images: Vec<Image>, dataset: Option<&str>) -> Result<(Image, usize)> {
    let others = images.len().saturating_sub(1);
    let Some(wanted) = dataset else {
        let first = images.into_iter().next();
        return first
            .map(|image| (image, others))
            .ok_or_else(|| Error::unsupported(path, "there is no image but thumbnails and colour pictures"));
    };
    let names: Vec<String> = images.iter().map(|i| i.path.clone()).collect();
    let mut images = images.into_iter();
    let found = images.find(|i| i.path == wanted || i.path.strip_prefix("ImageList/") == Some(wanted));
    let what = || format!("{wanted} is none of the images {}", names.join(", "));
    found.map(|i| (i, 0)).ok_or_else(|| Error::parameter("--dataset", what()))
}

/// Opens a DigitalMicrograph file; only its tags are read.
///
/// # Errors
/// [`Error::Format`] with the byte where the tree is broken, [`Error::Unsupported`] for complex and colour images, [`Error::Limit`].
pub(crate) fn open(file: ReadAt, options: &OpenOptions) -> Result<Box<dyn Scan>> {
    let tags = Tags::read(&file)?;
    let path = file.path().to_owned();
    let path = path.as_path();
    let (image, others) = choose(path, images(&tags), options.dataset.as_deref())?;
    let stored = stored(path, &image, tags.little)?;
    let pixel = stored.deliver(options.wanted_pixel()?)?;
    let Layout {
        nav,
        sig,
        axes,
        contiguous,
    } = layout(path, &tags, &image.path, &image.dims)?;
    let mut sizes = limits::check(path, nav, sig, stored.bytes())?;
    if image.bytes < sizes.total {
        let what = format!(
            "{} values of {stored} need {} bytes, but the array has {}",
            limits::tuple(&image.dims),
            sizes.total,
            image.bytes
        );
        return Err(Error::format(path, format!("{}/ImageData/Data", image.path), what));
    }
    limits::check_sig(options.sig_shape, &sizes)?;
    if let Some(nav) = options.nav_shape {
        sizes = limits::with_nav(path, &sizes, nav, stored.bytes())?;
    }
    let mut notes: Vec<String> = stored.note(pixel).into_iter().collect();
    if others > 0 {
        notes.push(format!(
            "{others} further images; {} is shown, --dataset N chooses another",
            image.path
        ));
    }
    if !contiguous {
        notes.push("the scan runs fastest in this file, so every frame is gathered from all over it".to_owned());
    }
    let axis = |k: Option<usize>| k.map_or_else(Axis::default, |k| calibration(&tags, &image.path, k));
    let from = match nav {
        [1, n] if n > 1 => ShapeFrom::Unknown,
        _ => ShapeFrom::Stored("the image's dimensions".into()),
    };
    let info = ScanInfo {
        path: path.to_owned(),
        format: if tags.version == 3 { "dm3" } else { "dm4" },
        dataset: Some(image.path.clone()),
        nav: sizes.nav,
        frame: sizes.frame(pixel),
        stored: stored.to_string(),
        nav_axes: [axis(axes[0]), axis(axes[1])],
        sig_axes: [axis(axes[2]), axis(axes[3])],
        together: if contiguous { 1 } else { 64 },
        costly: !contiguous,
        file_bytes: file.len(),
        notes,
        reading: Reading::shape(options, from),
    };
    if contiguous {
        let flat = Flat::new(file, image.at, Marker::None, &sizes, stored, pixel);
        Ok(Box::new(Stack::new(info, flat, options.sync_offset)?))
    } else {
        let across = Across::new(file, image.at, &sizes, stored, pixel);
        Ok(Box::new(Stack::new(info, across, options.sync_offset)?))
    }
}

/// Step and unit of dimension `k`; nothing where the file has only the defaults.
fn calibration(tags: &Tags, image: &str, k: usize) -> Axis {
    let place = format!("{image}/ImageData/Calibrations/Dimension/{k}");
    let unit = tags
        .text(&format!("{place}/Units"))
        .unwrap_or("")
        .trim_end_matches('\0')
        .trim();
    let scale = tags
        .number(&format!("{place}/Scale"))
        .filter(|s| s.is_finite() && *s > 0.0 && !unit.is_empty());
    Axis {
        unit: if scale.is_some() { unit.to_owned() } else { String::new() },
        scale,
    }
}
