//! TIA series (`.ser`): images or spectra with a header each, found by a list of their places.
//!
//! Layout: C. Boothroyd's description of the format (<https://personal.ntu.edu.sg/cbb/info/TIAformat/>), also followed by ncempy and RosettaSciIO.
//! Little-endian. The first row of an image is its lowest; frames are delivered upright, as those programs do.

use super::dtype::{Kind, Stored as StoredType};
use super::fields::Fields;
use super::flat::{Flat, Marker, overflow};
use super::flips::Flipped;
use super::limits;
use super::open::OpenOptions;
use super::readat::ReadAt;
use super::reading::{Reading, ShapeFrom};
use super::stack::{Stack, Stored};
use super::{Axis, Scan, ScanInfo, siblings};
use crate::control::Control;
use crate::error::{Error, Result};
use crate::pixel::Pixel;
use std::path::Path;

/// Most dimensions, and longest texts in their descriptions.
const MAX_DIMENSIONS: u64 = 16;
const MAX_TEXT: u64 = 1 << 12;
/// Types of elements: spectra and images.
const SPECTRA: u32 = 0x4120;
const IMAGES: u32 = 0x4122;
/// Bytes before the values of a spectrum and of an image.
const SPECTRUM_HEADER: u64 = 26;
const IMAGE_HEADER: u64 = 50;

/// True for series of both versions.
pub(crate) fn has_signature(head: &[u8]) -> bool {
    head.starts_with(&[0x49, 0x49, 0x97, 0x01])
}

/// One dimension of a series.
struct Dimension {
    size: u64,
    step: f64,
    unit: String,
}

/// What the header says.
struct Header {
    images: bool,
    /// Elements that were asked for, and those that were taken.
    total: u64,
    valid: u64,
    dimensions: Vec<Dimension>,
    /// Where the elements begin, and their tags.
    places: Vec<u64>,
    tags: Vec<u64>,
    /// Tags with positions.
    positions: bool,
}

impl Header {
    fn read(file: &ReadAt) -> Result<Header> {
        let path = file.path();
        let mut bytes = [0; 34];
        let n = bytes.len().min(usize::try_from(file.len()).unwrap_or(34));
        file.read(0, &mut bytes[..n])?;
        let h = Fields::little(&bytes);
        let wrong = |place: &str, what: String| Error::format(path, place, what);
        match (h.u16(0), h.u16(2)) {
            (0x4949, 0x0197) => {}
            (0x4d4d, _) => return Err(Error::unsupported(path, "a big-endian series")),
            (order, id) => return Err(wrong("byte 0", format!("{order:04x} {id:04x} instead of 4949 0197"))),
        }
        let wide = match h.u16(4) {
            0x0200 | 0x0210 => false,
            0x0220 => true,
            v => return Err(wrong("byte 4", format!("version {v:#06x} instead of 0x0210 or 0x0220"))),
        };
        let images = match h.u32(6) {
            SPECTRA => false,
            IMAGES => true,
            t => return Err(wrong("byte 6", format!("elements of type {t:#06x}"))),
        };
        let (total, valid) = (u64::from(h.u32(14)), u64::from(h.u32(18)));
        if valid == 0 {
            return Err(wrong(
                "byte 18",
                "no element was written (a single spectrum may lie in the .emi file)".into(),
            ));
        }
        if valid > total {
            return Err(wrong("byte 18", format!("{valid} valid elements of {total}")));
        }
        let word = if wide { 8 } else { 4 };
        let (list, count, mut at) = if wide {
            (h.u64(22), u64::from(h.u32(30)), 34)
        } else {
            (u64::from(h.u32(22)), u64::from(h.u32(26)), 30)
        };
        if count > MAX_DIMENSIONS {
            return Err(Error::limit(path, format!("a series of {count} dimensions")));
        }
        let mut dimensions = Vec::new();
        for _ in 0..count {
            let (dimension, next) = dimension(file, at)?;
            dimensions.push(dimension);
            at = next;
        }
        // The places of all elements, then those of all tags, must lie inside the file.
        let end = total.checked_mul(2 * word).and_then(|n| n.checked_add(list));
        if end.is_none_or(|end| end > file.len()) {
            let what = format!("the places of {total} elements from byte {list} on reach behind the end of the file");
            return Err(wrong("byte 22", what));
        }
        let numbers = |from: u64| -> Result<Vec<u64>> {
            let mut bytes = vec![0; (valid * word) as usize];
            file.read(from, &mut bytes)?;
            let f = Fields::little(&bytes);
            Ok((0..valid as usize)
                .map(|i| if wide { f.u64(8 * i) } else { u64::from(f.u32(4 * i)) })
                .collect())
        };
        Ok(Header {
            images,
            total,
            valid,
            dimensions,
            places: numbers(list)?,
            tags: numbers(list + total * word)?,
            positions: h.u32(10) == 0x4142,
        })
    }

    /// True if x runs faster than y: the first two tags have the same y.
    fn x_first(&self, file: &ReadAt) -> Result<bool> {
        let (Some(&a), Some(&b), true) = (self.tags.first(), self.tags.get(1), self.positions) else {
            return Ok(false);
        };
        let y = |at: u64| -> Result<Option<f64>> {
            let mut bytes = [0; 24];
            if at.checked_add(24).is_none_or(|end| end > file.len()) {
                return Ok(None);
            }
            file.read(at, &mut bytes)?;
            Ok(Some(Fields::little(&bytes).f64(16)))
        };
        Ok(y(a)?.is_some_and(|v| !v.is_nan()) && y(a)? == y(b)?)
    }
}

/// A dimension and the byte behind it.
fn dimension(file: &ReadAt, at: u64) -> Result<(Dimension, u64)> {
    let number = |at: u64| -> Result<u64> {
        let mut bytes = [0; 4];
        file.read(at, &mut bytes)?;
        Ok(u64::from(u32::from_le_bytes(bytes)))
    };
    let short = |n: u64| match n <= MAX_TEXT {
        true => Ok(n),
        false => Err(Error::limit(file.path(), format!("a dimension's text of {n} bytes"))),
    };
    let mut bytes = [0; 24];
    file.read(at, &mut bytes)?;
    let f = Fields::little(&bytes);
    let description = short(number(at + 24)?)?;
    let units_at = at + 28 + description;
    let length = short(number(units_at)?)?;
    let mut unit = vec![0; length as usize];
    file.read(units_at + 4, &mut unit)?;
    let unit = String::from_utf8_lossy(&unit).trim_matches(['\0', ' ']).to_owned();
    let dimension = Dimension {
        size: u64::from(f.u32(0)),
        step: f.f64(12),
        unit,
    };
    Ok((dimension, units_at + 4 + length))
}

/// Shape, type and steps of one element.
#[derive(PartialEq)]
struct Element {
    sig: [u64; 2],
    code: u16,
    /// Steps (y, x), of a spectrum (0, energy).
    steps: [f64; 2],
}

impl Element {
    fn read(file: &ReadAt, images: bool, at: u64) -> Result<Element> {
        let mut bytes = [0; IMAGE_HEADER as usize];
        let length = if images { IMAGE_HEADER } else { SPECTRUM_HEADER };
        file.read(at, &mut bytes[..length as usize])?;
        let f = Fields::little(&bytes);
        Ok(if images {
            Element {
                sig: [f.size(46), f.size(42)],
                code: f.u16(40),
                steps: [f.f64(28), f.f64(8)],
            }
        } else {
            Element {
                sig: [1, f.size(22)],
                code: f.u16(20),
                steps: [0.0, f.f64(8)],
            }
        })
    }
}

fn type_of(path: &Path, code: u16) -> Result<StoredType> {
    let kind = match code {
        1 => Kind::U8,
        2 => Kind::U16,
        3 => Kind::U32,
        4 => Kind::I8,
        5 => Kind::I16,
        6 => Kind::I32,
        7 => Kind::F32,
        8 => Kind::F64,
        9 | 10 => return Err(Error::unsupported(path, "complex numbers")),
        n => {
            return Err(Error::format(
                path,
                "type of the first element",
                format!("{n} is none of 1 to 10"),
            ));
        }
    };
    Ok(StoredType { kind, big_endian: false })
}

/// Opens a series.
///
/// # Errors
/// [`Error::Format`] where a place lies outside the file or elements differ in shape or type.
pub(crate) fn open(file: ReadAt, options: &OpenOptions) -> Result<Box<dyn Scan>> {
    let path = file.path().to_owned();
    let path = path.as_path();
    let h = Header::read(&file)?;
    let before = if h.images { IMAGE_HEADER } else { SPECTRUM_HEADER };
    let Some(&first) = h.places.first() else {
        return Err(Error::Internal("a series without elements".into()));
    };
    let element = Element::read(&file, h.images, first)?;
    let stored = type_of(path, element.code)?;
    let one = limits::check(path, [1, 1], element.sig, stored.bytes())?;
    for (i, &at) in h.places.iter().enumerate() {
        if at.checked_add(before + one.frame_bytes).is_none_or(|end| end > file.len()) {
            let what = format!(
                "{} bytes from byte {at} on, but the file has {}",
                before + one.frame_bytes,
                file.len()
            );
            return Err(Error::format(path, format!("element {i} (truncated)"), what));
        }
    }
    let (nav, from, order) = shape(&h, h.x_first(&file)?);
    let mut sizes = limits::check(path, nav, element.sig, stored.bytes())?;
    limits::check_sig(options.sig_shape, &sizes)?;
    if let Some(nav) = options.nav_shape {
        sizes = limits::with_nav(path, &sizes, nav, stored.bytes())?;
    }
    let pixel = stored.deliver(options.wanted_pixel()?)?;
    let mut info = ScanInfo::new(&file, "ser", &sizes, stored, pixel);
    info.reading = Reading::shape(options, from);
    info.reading
        .ignored
        .push("the time (and position) of every element".to_owned());
    if h.valid < h.total {
        info.notes.push(format!("{} of {} elements were taken", h.valid, h.total));
    }
    let emi = siblings::beside(path, "emi").or_else(|| {
        let begin = siblings::before_number(path).trim_end_matches('_');
        siblings::beside(&path.with_file_name(format!("{begin}.ser")), "emi")
    });
    if let Some(emi) = emi {
        let name = emi.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        info.reading.ignored.push(format!("the settings of the microscope in {name}"));
    }
    if sizes.nav.map(|n| n as u64) == nav {
        info.nav_axes = order.map(|k| k.and_then(|k| h.dimensions.get(k)).map(axis_of).unwrap_or_default());
    }
    let unit = if h.images { "meters" } else { "eV" };
    info.sig_axes = element.steps.map(|s| axis(s, unit));
    let step = h.places.get(1).map_or(before + one.frame_bytes, |n| n.wrapping_sub(first));
    let even = h
        .places
        .iter()
        .zip(0..)
        .all(|(&at, i)| step.checked_mul(i).and_then(|n| n.checked_add(first)) == Some(at));
    let after = step
        .checked_sub(before + one.frame_bytes)
        .and_then(|n| usize::try_from(n).ok());
    let elements = Elements {
        file,
        images: h.images,
        places: h.places,
        before,
        stored,
        pixel,
        width: sizes.sig[1],
    };
    elements.check_ends(&element)?;
    let frames: Box<dyn Stored> = match after {
        Some(after) if even && first + sizes.frames * step <= elements.file.len() => {
            let marker = Marker::Skip {
                before: before as usize,
                after,
            };
            Box::new(Flat::new(elements.file, first, marker, &sizes, stored, pixel))
        }
        _ => Box::new(Listed {
            elements,
            frame_bytes: one.frame_bytes as usize,
        }),
    };
    if h.images {
        let (height, row) = (sizes.sig[0], sizes.sig[1] * pixel.bytes());
        let frames = Flipped {
            stored: frames,
            height,
            row,
        };
        return Ok(Box::new(Stack::new(info, frames, options.sync_offset)?));
    }
    Ok(Box::new(Stack::new(info, frames, options.sync_offset)?))
}

/// The scan shape and which dimensions are its rows and columns.
fn shape(h: &Header, x_first: bool) -> ([u64; 2], ShapeFrom, [Option<usize>; 2]) {
    let scanned: Vec<usize> = (0..h.dimensions.len()).filter(|&i| h.dimensions[i].size > 1).collect();
    let row = ([1, h.valid], [None, scanned.first().copied()]);
    match scanned[..] {
        [a, b] => {
            // The first dimension runs fastest where the positions say so.
            let (y, x) = if x_first { (b, a) } else { (a, b) };
            let nav = [h.dimensions[y].size, h.dimensions[x].size];
            match nav[0].checked_mul(nav[1]) == Some(h.valid) {
                true => (nav, ShapeFrom::Stored("dimensions of the series".into()), [Some(y), Some(x)]),
                false if nav[1] > 0 && h.valid.is_multiple_of(nav[1]) => {
                    let how = format!("{} of {} rows were taken", h.valid / nav[1], nav[0]);
                    ([h.valid / nav[1], nav[1]], ShapeFrom::Derived(how), [Some(y), Some(x)])
                }
                false => (row.0, ShapeFrom::Unknown, [None; 2]),
            }
        }
        _ => {
            let known = scanned.len() == 1 && h.dimensions[scanned[0]].size == h.valid;
            let from = match known || h.valid == 1 {
                true => ShapeFrom::Stored("dimension of the series".into()),
                false => ShapeFrom::Unknown,
            };
            (row.0, from, if scanned.len() == 1 { row.1 } else { [None; 2] })
        }
    }
}

fn axis_of(d: &Dimension) -> Axis {
    axis(d.step, &d.unit)
}

/// Metres become nanometres; zero, negative and nameless steps are none.
fn axis(step: f64, unit: &str) -> Axis {
    let (scale, unit) = match unit {
        "meters" => (step * 1e9, "nm"),
        "1/meters" => (step / 1e9, "1/nm"),
        other => (step, other),
    };
    match scale.is_finite() && scale > 0.0 && !unit.is_empty() {
        true => Axis {
            scale: Some(scale),
            unit: unit.to_owned(),
        },
        false => Axis::default(),
    }
}

/// The elements of a series.
struct Elements {
    file: ReadAt,
    images: bool,
    places: Vec<u64>,
    before: u64,
    stored: StoredType,
    pixel: Pixel,
    width: usize,
}

impl Elements {
    /// The last and the middle element must be like the first; the others are read as these say.
    fn check_ends(&self, first: &Element) -> Result<()> {
        for i in [self.places.len() / 2, self.places.len() - 1] {
            let Some(&at) = self.places.get(i) else { continue };
            let other = Element::read(&self.file, self.images, at)?;
            if (other.sig, other.code) != (first.sig, first.code) {
                let what = format!(
                    "shape {} of type {}, the first is {} of type {}",
                    limits::tuple(&other.sig),
                    other.code,
                    limits::tuple(&first.sig),
                    first.code
                );
                return Err(Error::format(self.file.path(), format!("element {i}, byte {at}"), what));
            }
        }
        Ok(())
    }
}

/// Elements that do not lie at a fixed step.
struct Listed {
    elements: Elements,
    frame_bytes: usize,
}

impl Stored for Listed {
    fn read_run(&self, first: u64, count: usize, stride: usize, out: &mut [u8], control: &Control) -> Result<()> {
        let e = &self.elements;
        let target = self.frame_bytes / e.stored.bytes() * e.pixel.bytes();
        let mut raw = vec![0; if e.stored.is_plain(e.pixel) { 0 } else { self.frame_bytes }];
        for (frame, out) in (first..).zip(out.chunks_mut(stride)).take(count) {
            control.check()?;
            let at = e
                .places
                .get(frame as usize)
                .ok_or_else(|| Error::Internal(format!("element {frame} of a series")))?;
            let at = at + e.before;
            if raw.is_empty() {
                e.file.read(at, &mut out[..target])?;
                continue;
            }
            e.file.read(at, &mut raw)?;
            e.stored.decode(e.pixel, &raw, &mut out[..target]).map_err(|o| {
                let hint = "--dtype f32 reads such values rounded";
                overflow(e.file.path(), frame, o.index, e.width, &o.value, e.pixel, hint)
            })?;
        }
        Ok(())
    }
}
