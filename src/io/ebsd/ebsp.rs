//! Oxford Instruments' `.ebsp`: uncompressed patterns, found by a table of their places.
//!
//! Layout as kikuchipy describes it: in version 0 the file begins with the table, later versions write the negative version number (i64)
//! before it, from version 4 on followed by one more byte. The table has the byte of every point's pattern (i64), row by row, 0 where there is
//! none; it ends where the first pattern begins. A pattern is a header (i32: from version 5 on map x and y; then compressed, rows, columns,
//! bytes), its pixels (u8 or u16), and the beam's position in µm: nothing in version 0, x and y (f64) in version 1, each behind a byte that tells
//! whether it is there in later ones. All little-endian.

use super::PatternMap;
use super::data::{Geometry, MapData};
use super::mapped::{Mapped, Places};
use crate::control::Control;
use crate::error::{Error, Result};
use crate::io::ScanInfo;
use crate::io::dtype::{Kind, Stored as StoredType};
use crate::io::flat::overflow;
use crate::io::limits;
use crate::io::open::OpenOptions;
use crate::io::readat::ReadAt;
use crate::io::stack::{Stack, Stored};
use crate::pixel::Pixel;
use std::path::Path;

/// The newest version whose layout is known.
const NEWEST: u64 = 5;
/// Most bytes of a header.
const HEAD: usize = 24;
/// Entries of the table that are read at once.
const ENTRIES: usize = 4096;

/// True for files of this name; the content tells the rest.
pub(super) fn is_ebsp(path: &Path) -> bool {
    let ending = path.extension().and_then(|e| e.to_str()).unwrap_or("");
    ending.eq_ignore_ascii_case("ebsp")
}

/// What stands before a pattern.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Head {
    compressed: bool,
    sig: [u64; 2],
    bytes: u64,
}

/// Shape of the map and steps (y, x) in µm.
type Grid = ([usize; 2], [Option<f64>; 2]);

/// Where patterns are and what they look like.
struct Ebsp {
    file: ReadAt,
    version: u64,
    head: Head,
    stored: StoredType,
    pixel: Pixel,
    /// Bytes of the present patterns' headers, in the order of the table.
    starts: Vec<u64>,
}

/// Opens a file. The map's shape follows from the beam's positions of its points; where these do not tell, the map is one row, which
/// `--nav-shape` changes.
///
/// # Errors
/// [`Error::Format`] with the byte that contradicts the others, [`Error::Unsupported`] for compressed patterns and newer versions.
pub(super) fn open(file: ReadAt, options: &OpenOptions) -> Result<PatternMap> {
    let path = file.path().to_owned();
    if options.sync_offset != 0 {
        let what = "the patterns of an EBSD map know their positions";
        return Err(Error::parameter("--sync-offset", what));
    }
    let version = version(&file)?;
    let table = table(&file, version)?;
    let indices: Vec<u32> = (0u32..).zip(&table).filter(|(_, at)| **at != 0).map(|(i, _)| i).collect();
    let starts: Vec<u64> = table.iter().copied().filter(|&at| at != 0).collect();
    let points = table.len();
    drop(table);
    let Some(&first) = starts.first() else {
        return Err(Error::format(&path, "table of patterns", "there is no pattern"));
    };
    let head = read_head(&file, version, first)?;
    if head.compressed {
        return Err(Error::unsupported(&path, "compressed patterns; export them uncompressed"));
    }
    let one = limits::check(&path, [1, 1], head.sig, 1)?;
    let kind = match head.bytes.checked_div(one.frame_bytes) {
        Some(1) if head.bytes == one.frame_bytes => Kind::U8,
        Some(2) if head.bytes == 2 * one.frame_bytes => Kind::U16,
        _ => {
            let [h, w] = head.sig;
            let what = format!("{} bytes for a pattern of {h} × {w} pixels of 8 or 16 bits", head.bytes);
            return Err(Error::format(&path, format!("byte {first}"), what));
        }
    };
    let stored = StoredType { kind, big_endian: false };
    let pixel = stored.deliver(options.wanted_pixel()?)?;
    let sizes = limits::check(&path, [1, starts.len() as u64], head.sig, stored.bytes())?;
    limits::check_sig(options.sig_shape, &sizes)?;
    let ebsp = Ebsp {
        file,
        version,
        head,
        stored,
        pixel,
        starts,
    };
    let mut notes = Vec::new();
    let (nav, steps) = match (options.nav_shape, ebsp.grid(&indices, points)?) {
        (Some(nav), _) if nav[0].checked_mul(nav[1]) != Some(points) => {
            let what = format!("{} × {} for {points} points", nav[0], nav[1]);
            return Err(Error::parameter("--nav-shape", what));
        }
        (Some(nav), Some((found, steps))) if nav == found => (nav, steps),
        (Some(nav), _) => (nav, [None, None]),
        (None, Some((nav, steps))) => (nav, steps),
        (None, None) => {
            notes.push("the beam's positions do not tell the shape of the map; --nav-shape gives it".to_owned());
            ([1, points], [None, None])
        }
    };
    limits::check_points(&path, nav, ebsp.starts.len())?;
    let at = indices.iter().map(|&i| [i as usize / nav[1], i as usize % nav[1]]);
    let places = Places::new(&path, "table of patterns", nav, at)?;
    let present = places.present();
    let info = ScanInfo {
        notes,
        ..ScanInfo::new(&ebsp.file, "ebsp", &sizes, stored, pixel)
    };
    Ok(PatternMap {
        scan: Box::new(Mapped::new(Box::new(Stack::new(info, ebsp, 0)?), places, steps)?),
        present,
        static_background: None,
        data: MapData::new(nav),
        geometry: Geometry::default(),
        dialect: "Oxford Instruments".into(),
        group: None,
    })
}

fn version(file: &ReadAt) -> Result<u64> {
    let mut bytes = [0; 8];
    file.read(0, &mut bytes)?;
    let number = i64::from_le_bytes(bytes);
    match number {
        0.. => Ok(0),
        n if n.unsigned_abs() <= NEWEST => Ok(n.unsigned_abs()),
        n => {
            let what = format!("version {}; files up to version {NEWEST} are read", n.unsigned_abs());
            Err(Error::unsupported(file.path(), what))
        }
    }
}

/// The byte of every point's pattern.
fn table(file: &ReadAt, version: u64) -> Result<Vec<u64>> {
    let begin: u64 = match version {
        0 => 0,
        1..=3 => 8,
        _ => 9,
    };
    let wrong = |at: u64, what: String| Err(Error::format(file.path(), format!("byte {at}"), what));
    let (mut entries, mut end) = (Vec::new(), file.len());
    let mut bytes = vec![0; 8 * ENTRIES];
    loop {
        let at = begin + 8 * entries.len() as u64;
        let room = (end.saturating_sub(at) / 8).min(ENTRIES as u64) as usize;
        if room == 0 {
            break;
        }
        let part = &mut bytes[..8 * room];
        file.read(at, part)?;
        for (i, entry) in part.as_chunks::<8>().0.iter().enumerate() {
            let here = at + 8 * i as u64;
            if here >= end {
                break;
            }
            let start = u64::from_le_bytes(*entry);
            if start >= file.len() {
                return wrong(here, format!("a pattern at byte {start}, but the file has {}", file.len()));
            }
            // The table ends where the first pattern begins.
            if start != 0 {
                end = end.min(start);
            }
            entries.push(start);
            if entries.len() > limits::MAX_POINTS {
                return Err(Error::limit(
                    file.path(),
                    format!("a map may have at most {} points", limits::MAX_POINTS),
                ));
            }
        }
    }
    if end != begin + 8 * entries.len() as u64 {
        return wrong(end, "a pattern begins inside the table of patterns".into());
    }
    Ok(entries)
}

fn head_bytes(version: u64) -> usize {
    if version >= 5 { HEAD } else { HEAD - 8 }
}

fn read_head(file: &ReadAt, version: u64, at: u64) -> Result<Head> {
    let mut bytes = [0; HEAD];
    let bytes = &mut bytes[HEAD - head_bytes(version)..];
    file.read(at, bytes)?;
    parse_head(file.path(), bytes, at)
}

/// The last four numbers of a header.
fn parse_head(path: &Path, bytes: &[u8], at: u64) -> Result<Head> {
    let numbers: Vec<i32> = bytes.as_chunks::<4>().0.iter().map(|b| i32::from_le_bytes(*b)).collect();
    let wrong = |what: String| Err(Error::format(path, format!("byte {at}"), what));
    match numbers.last_chunk::<4>() {
        Some(&[compressed, rows, columns, n]) if rows > 0 && columns > 0 && n > 0 => Ok(Head {
            compressed: compressed != 0,
            sig: [rows as u64, columns as u64],
            bytes: n as u64,
        }),
        Some(&[_, rows, columns, n]) => wrong(format!("no pattern: {rows} × {columns} pixels in {n} bytes")),
        None => wrong("no pattern".into()),
    }
}

impl Ebsp {
    /// Position (x, y) of the beam for a present pattern, where it is written.
    fn beam(&self, number: usize) -> Result<Option<[f64; 2]>> {
        let Some(start) = self.starts.get(number) else {
            return Ok(None);
        };
        let at = start + (head_bytes(self.version) as u64) + self.head.bytes;
        // Numbers follow each other in version 1; later ones have a byte before each that tells whether it is there.
        let flag = match self.version {
            0 => return Ok(None),
            1 => 0,
            _ => 1,
        };
        let mut position = [0.0; 2];
        let mut both = [0; 18];
        let both = &mut both[..2 * (8 + flag)];
        // A file may end behind its last pixel.
        if at.saturating_add(both.len() as u64) > self.file.len() {
            return Ok(None);
        }
        self.file.read(at, both)?;
        for (value, bytes) in position.iter_mut().zip(both.chunks_exact(8 + flag)) {
            let (flags, number) = bytes.split_at(flag);
            let number = number.first_chunk().map(|b| f64::from_le_bytes(*b));
            let Some(number) = number.filter(|v| v.is_finite() && flags.iter().all(|f| *f != 0)) else {
                return Ok(None);
            };
            *value = number;
        }
        Ok(Some(position))
    }

    /// Map shape and steps (y, x) that the positions of the beam make of `points` points; `indices` are those of the present patterns.
    fn grid(&self, indices: &[u32], points: usize) -> Result<Option<Grid>> {
        // The corners and the second point are enough for a full map.
        if indices.len() == points && points > 1 {
            let mut few = Vec::new();
            for i in [0, 1, points - 1] {
                let Some(position) = self.beam(i)? else { return Ok(None) };
                few.push((i, position));
            }
            if let Some(found) = shape_of(&few, points) {
                return Ok(Some(found));
            }
        }
        let mut all = Vec::with_capacity(indices.len());
        for (number, &i) in indices.iter().enumerate() {
            let Some(position) = self.beam(number)? else { return Ok(None) };
            all.push((i as usize, position));
        }
        Ok(shape_of(&all, points))
    }
}

/// The grid of `points` points, row by row, of which some have the given numbers and positions (x, y).
fn shape_of(known: &[(usize, [f64; 2])], points: usize) -> Option<Grid> {
    let (low, high) = known.iter().fold(([f64::MAX; 2], [f64::MIN; 2]), |(l, h), (_, p)| {
        ([0, 1].map(|k| f64::min(l[k], p[k])), [0, 1].map(|k| f64::max(h[k], p[k])))
    });
    let extent = [0, 1].map(|k| high[k] - low[k]);
    let tiny = 1e-6 * extent[0].max(extent[1]);
    // The smallest distance between neighbours in the list is the step, if any two points of a row follow each other.
    let step = |k: usize| {
        let gaps = known.windows(2).map(|w| (w[1].1[k] - w[0].1[k]).abs());
        gaps.filter(|g| *g > tiny).fold(f64::INFINITY, f64::min)
    };
    let columns = match extent[0] > tiny {
        true => (extent[0] / step(0)).round() as usize + 1,
        false => 1,
    };
    if columns == 0 || !points.is_multiple_of(columns) {
        return None;
    }
    let rows = points / columns;
    let steps = [
        (rows > 1 && extent[1] > tiny).then(|| extent[1] / (rows - 1) as f64),
        (columns > 1).then(|| extent[0] / (columns - 1) as f64),
    ];
    // Every known point must lie where its number says; either axis may run backwards.
    let fits = |k: usize, index: &dyn Fn(usize) -> usize, count: usize| {
        let of = |p: &[f64; 2]| steps[1 - k].map_or(0, |s| ((p[k] - low[k]) / s).round() as usize);
        [false, true].into_iter().any(|back| {
            known.iter().all(|(i, p)| {
                let place = of(p).min(count - 1);
                index(*i) == if back { count - 1 - place } else { place }
            })
        })
    };
    (fits(0, &|i| i % columns, columns) && fits(1, &|i| i / columns, rows)).then_some(([rows, columns], steps))
}

impl Stored for Ebsp {
    fn read_run(&self, first: u64, count: usize, stride: usize, out: &mut [u8], control: &Control) -> Result<()> {
        let path = self.file.path();
        let target = self.head.sig[0] as usize * self.head.sig[1] as usize * self.pixel.bytes();
        let head = head_bytes(self.version);
        let mut raw = Vec::new();
        for (frame, out) in (first..).zip(out.chunks_mut(stride)).take(count) {
            control.check()?;
            let out = &mut out[..target];
            let start = self.starts.get(frame as usize).copied();
            let start = start.ok_or_else(|| Error::Internal(format!("pattern {frame} of a stack")))?;
            let mut bytes = [0; HEAD];
            let bytes = &mut bytes[..head];
            if self.stored.is_plain(self.pixel) {
                self.file.read_scattered(start, &mut [bytes, out])?;
            } else {
                raw.resize(self.head.bytes as usize, 0);
                self.file.read_scattered(start, &mut [bytes, &mut raw])?;
            }
            let found = parse_head(path, bytes, start)?;
            if found != self.head {
                let what = format!(
                    "{} × {} pixels in {} bytes{}, the first pattern has {} × {} in {}",
                    found.sig[0],
                    found.sig[1],
                    found.bytes,
                    if found.compressed { ", compressed" } else { "" },
                    self.head.sig[0],
                    self.head.sig[1],
                    self.head.bytes
                );
                return Err(Error::format(path, format!("byte {start}"), what));
            }
            if !self.stored.is_plain(self.pixel) {
                self.stored.decode(self.pixel, &raw, out).map_err(|o| {
                    let hint = "--dtype f32 reads such values rounded";
                    overflow(path, frame, o.index, self.head.sig[1] as usize, &o.value, self.pixel, hint)
                })?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_from_positions() {
        let at = |i: usize| (i, [5.0 + 0.5 * (i % 4) as f64, 9.0 - 0.25 * (i / 4) as f64]);
        let full: Vec<_> = (0..12).map(at).collect();
        let want = Some(([3, 4], [Some(0.25), Some(0.5)]));
        assert_eq!(shape_of(&full, 12), want);
        assert_eq!(shape_of(&[at(0), at(1), at(11)], 12), want);
        // A corner is missing, then a whole column.
        assert_eq!(shape_of(&full[1..], 12), want);
        let few: Vec<_> = full.iter().copied().filter(|(i, _)| i % 4 != 3).collect();
        assert_eq!(shape_of(&few, 12), None);
        let row: Vec<_> = (0..3).map(|i| (i, [i as f64, 0.0])).collect();
        assert_eq!(shape_of(&row, 3), Some(([1, 3], [None, Some(1.0)])));
        let column: Vec<_> = (0..3).map(|i| (i, [0.0, i as f64])).collect();
        assert_eq!(shape_of(&column, 3), Some(([3, 1], [Some(1.0), None])));
    }
}
