//! Binary stacks of patterns: EDAX `.up1`, `.up2` and NORDIF `.dat`.
//!
//! Layouts as PyEBSDIndex and kikuchipy read them.

use super::PatternMap;
use super::data::{Geometry, MapData};
use super::images::read_image;
use crate::error::{Error, Result};
use crate::io::dtype::{Kind, Stored};
use crate::io::flat::{Flat, Marker};
use crate::io::limits;
use crate::io::open::OpenOptions;
use crate::io::readat::ReadAt;
use crate::io::stack::Stack;
use crate::io::{Axis, Reading, ScanInfo, ShapeFrom};
use ndarray::Array2;
use std::path::{Path, PathBuf};

/// NORDIF's file of settings, beside the patterns.
const SETTINGS: &str = "Setting.txt";
/// NORDIF's static background.
const BACKGROUND: &str = "Background acquisition pattern.bmp";

/// What a binary file's header or its neighbour says.
struct Layout {
    format: &'static str,
    kind: Kind,
    start: u64,
    sig: [u64; 2],
    nav: Option<[u64; 2]>,
    steps: [Option<f64>; 2],
}

/// Opens EDAX's `.up1` (8 bits) or `.up2` (16 bits): version, width, height and the first byte of the patterns as u32; from version 3 on
/// a byte, columns and rows (u32), a byte that is 1 for hexagonal grids, and the steps x and y (f64, µm).
///
/// # Errors
/// [`Error::Format`] if the file does not hold the patterns it claims, [`Error::Unsupported`] for version 2 and hexagonal grids.
pub(super) fn open_up(file: ReadAt, options: &OpenOptions) -> Result<PatternMap> {
    let path = file.path().to_owned();
    let mut head = [0; 42];
    let n = head.len().min(file.len() as usize);
    file.read(0, &mut head[..n])?;
    let u32_at = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let f64_at = |at: usize| head[at..].first_chunk().map_or(0.0, |b: &[u8; 8]| f64::from_le_bytes(*b));
    let (version, start) = (u32_at(0), u64::from(u32_at(12)));
    if n < 16 || version == 0 || version == 2 || version > 100 {
        let what = format!("version {version}; files of version 1 and from 3 on are read");
        return Err(Error::unsupported(&path, what));
    }
    let sixteen = ending(&path) == "up2";
    let mut layout = Layout {
        format: if sixteen { "up2" } else { "up1" },
        kind: if sixteen { Kind::U16 } else { Kind::U8 },
        start,
        sig: [u64::from(u32_at(8)), u64::from(u32_at(4))],
        nav: None,
        steps: [None, None],
    };
    if version >= 3 {
        if n < head.len() || start < head.len() as u64 {
            let what = format!("the patterns cannot begin at byte {start}, inside the header");
            return Err(Error::format(&path, "byte 12", what));
        }
        if head[25] != 0 {
            return Err(Error::unsupported(&path, "a hexagonal grid; emstream reads square ones"));
        }
        layout.nav = Some([u64::from(u32_at(21)), u64::from(u32_at(17))]);
        layout.steps = [Some(f64_at(34)), Some(f64_at(26))];
    }
    build(file, layout, options, Geometry::default(), None)
}

/// Opens NORDIF's `.dat`: 8-bit patterns without header, described by `Setting.txt` in the same folder.
///
/// # Errors
/// [`Error::Format`] if the settings lack a size or the file has another number of bytes.
pub(super) fn open_nordif(file: ReadAt, options: &OpenOptions) -> Result<PatternMap> {
    let path = file.path().to_owned();
    let settings = settings_of(&path);
    let text = super::table::read(&settings)?;
    let value = |section: &str, key: &str| find(&text, section, key);
    // "60x80" and "60×80 #" alike.
    let pair = |section: &str, key: &str| -> Result<[u64; 2]> {
        let missing = || Error::format(&settings, section, format!("{key} is missing or no size"));
        let numbers: Vec<u64> = value(section, key)
            .ok_or_else(missing)?
            .split(|c: char| !c.is_ascii_digit())
            .filter(|t| !t.is_empty())
            .map_while(|t| t.parse().ok())
            .collect();
        match numbers[..] {
            [a, b, ..] => Ok([a, b]),
            _ => Err(missing()),
        }
    };
    let [width, height] = pair("[Acquisition settings]", "Resolution")?;
    let samples = pair("[Area]", "Number of samples")?;
    let decimal = |section: &str, key: &str| value(section, key).and_then(super::table::number);
    let step = decimal("[Area]", "Step size").filter(|&s| s > 0.0);
    let geometry = Geometry {
        pc: None,
        sample_tilt: decimal("[Microscope]", "Tilt angle").map(f64::to_radians),
        camera_tilt: decimal("[Detector angles]", "Elevation").map(|e| (-e).to_radians()),
        voltage: decimal("[Microscope]", "Accelerating voltage"),
    };
    let layout = Layout {
        format: "nordif",
        kind: Kind::U8,
        start: 0,
        sig: [height, width],
        nav: Some(samples),
        steps: [step, step],
    };
    let background = path.with_file_name(BACKGROUND);
    let background = if background.is_file() {
        Some(read_image(&background)?)
    } else {
        None
    };
    build(file, layout, options, geometry, background)
}

/// True for a `.dat` with NORDIF's settings beside it.
pub(super) fn is_nordif(path: &Path) -> bool {
    ending(path) == "dat" && settings_of(path).is_file()
}

/// True for EDAX's names.
pub(super) fn is_up(path: &Path) -> bool {
    matches!(ending(path).as_str(), "up1" | "up2")
}

fn settings_of(path: &Path) -> PathBuf {
    path.with_file_name(SETTINGS)
}

fn ending(path: &Path) -> String {
    path.extension().and_then(|e| e.to_str()).unwrap_or("").to_ascii_lowercase()
}

/// The value of `key` in a section: the field after it, without its unit.
fn find<'a>(text: &'a str, section: &str, key: &str) -> Option<&'a str> {
    let mut lines = text.lines().skip_while(|l| !l.contains(section)).skip(1);
    let line = lines
        .by_ref()
        .take_while(|l| !l.trim_start().starts_with('['))
        .find(|l| l.trim_start().starts_with(key))?;
    line.split('\t').nth(1).map(str::trim).filter(|v| !v.is_empty())
}

fn build(
    file: ReadAt,
    layout: Layout,
    options: &OpenOptions,
    geometry: Geometry,
    static_background: Option<Array2<f64>>,
) -> Result<PatternMap> {
    let path = file.path().to_owned();
    let stored = Stored {
        kind: layout.kind,
        big_endian: false,
    };
    let pixel = stored.deliver(options.wanted_pixel()?)?;
    let one = limits::check(&path, [1, 1], layout.sig, stored.bytes())?;
    let bytes = file.len().saturating_sub(layout.start);
    let held = bytes / one.frame_bytes;
    let nav = match (options.nav_shape, layout.nav) {
        (Some(given), _) => given.map(|n| n as u64),
        (None, Some(claimed)) => claimed,
        (None, None) => [1, held],
    };
    let sizes = limits::check(&path, nav, layout.sig, stored.bytes())?;
    if sizes.frames > limits::MAX_POINTS as u64 {
        return Err(Error::limit(
            &path,
            format!("a map may have at most {} points", limits::MAX_POINTS),
        ));
    }
    if sizes.frames != held || sizes.total != bytes {
        let what = format!(
            "a map of {} × {} patterns of {} × {} makes {} bytes, but the file has {bytes} from byte {} on ({held} whole patterns)",
            nav[0], nav[1], layout.sig[0], layout.sig[1], sizes.total, layout.start
        );
        return Err(Error::format(&path, "size of the file", what));
    }
    limits::check_sig(options.sig_shape, &sizes)?;
    let from = match layout.nav {
        Some(_) => ShapeFrom::Stored("the header or settings".into()),
        None => ShapeFrom::Unknown,
    };
    let info = ScanInfo {
        path: path.clone(),
        format: layout.format,
        dataset: None,
        nav: sizes.nav,
        frame: sizes.frame(pixel),
        stored: stored.to_string(),
        nav_axes: layout.steps.map(|s| match s {
            Some(s) if s.is_finite() && s > 0.0 => Axis {
                scale: Some(s),
                unit: "µm".into(),
            },
            _ => Axis::default(),
        }),
        sig_axes: [Axis::default(), Axis::default()],
        together: 1,
        costly: false,
        file_bytes: file.len(),
        notes: Vec::new(),
        reading: Reading::shape(options, from),
    };
    let flat = Flat::new(file, layout.start, Marker::None, &sizes, stored, pixel);
    Ok(PatternMap {
        scan: Box::new(Stack::new(info, flat, options.sync_offset)?),
        present: Array2::from_elem((sizes.nav[0], sizes.nav[1]), true),
        static_background,
        data: MapData::new(sizes.nav),
        geometry,
        dialect: layout.format.into(),
        group: None,
    })
}
