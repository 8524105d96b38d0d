//! EMPAD: raw frames of 130 rows, the last two of which are not pixels, described by an XML file.
//!
//! Layout: M. W. Tate et al., Microscopy and Microanalysis 22 (2016) 237; the elements of the XML file as LiberTEM (MIT) and RosettaSciIO
//! document them. Frames are 128×128 little-endian float32, each followed by 2×128 values of the detector itself.

use super::dtype::{Kind, Stored};
use super::flat::{Flat, Marker};
use super::limits;
use super::open::OpenOptions;
use super::readat::ReadAt;
use super::reading::{Reading, ShapeFrom};
use super::stack::Stack;
use super::{Axis, Scan, ScanInfo, siblings};
use crate::error::{Error, Result};
use roxmltree::{Document, Node};
use std::path::{Path, PathBuf};

const EDGE: u64 = 128;
/// Bytes of the rows behind a frame.
const FOOTER: usize = 2 * 128 * 4;
/// Bytes of a frame with these rows.
const STEP: u64 = 130 * 128 * 4;

/// What the XML file says.
#[derive(Default)]
struct Description {
    raw: Option<String>,
    /// Shapes (ny, nx) that it mentions, each with the elements that say so; the first that fits the file counts.
    shapes: Vec<([u64; 2], String)>,
    /// Field of view (y, x) in m.
    view: Option<[f64; 2]>,
    /// The field of view is that of the larger edge.
    larger: bool,
    /// Detector pixel in 1/nm.
    pixel: Option<f64>,
}

/// The description in an XML file, `None` if it is no EMPAD's.
fn describe(path: &Path) -> Result<Option<Description>> {
    let text = siblings::text(path)?;
    if !text.trim_start_matches('\u{feff}').trim_start().starts_with('<') {
        return Ok(None);
    }
    let document = Document::parse(&text).map_err(|e| Error::format(path, "XML", e.to_string().replace('\n', " ")))?;
    let root = document.root_element();
    let Some(raw) = child(root, "raw_file") else { return Ok(None) };
    let number = |node: Node, name: &str| child(node, name)?.text()?.trim().parse::<u64>().ok();
    let mut d = Description {
        raw: raw.attribute("filename").map(str::to_owned),
        ..Description::default()
    };
    let series = child(root, "type").and_then(|t| t.text()) == Some("series");
    if series && let Some(n) = number(root, "count") {
        d.shapes.push(([1, n], "count".to_owned()));
    }
    let scans = || root.children().filter(|n| n.has_tag_name("scan_parameters"));
    for node in scans() {
        if let Some(n) = number(node, "series_count") {
            d.shapes.push(([1, n], "series_count".to_owned()));
        }
    }
    // Files of some versions hold the frames of the search mode.
    for mode in ["acquire", "search"] {
        for node in scans().filter(|n| n.attribute("mode") == Some(mode)) {
            if let (Some(y), Some(x)) = (number(node, "scan_resolution_y"), number(node, "scan_resolution_x")) {
                d.shapes.push(([y, x], format!("scan_parameters, mode {mode}")));
            }
        }
    }
    if let (Some(y), Some(x)) = (number(root, "pix_y"), number(root, "pix_x")) {
        d.shapes.push(([y, x], "pix_y, pix_x".to_owned()));
    }
    if let Some(measured) = child(root, "iom_measurements") {
        let value = |names: &[&str]| {
            let node = names.iter().try_fold(measured, |n, name| child(n, name))?;
            Some(node.text()?.trim().to_owned())
        };
        let float = |names: &[&str]| value(names)?.parse::<f64>().ok().filter(|v| v.is_finite() && *v > 0.0);
        let pair = value(&["optics.get_full_scan_field_of_view"]).or_else(|| value(&["optics", "get_full_scan_field_of_view"]));
        let pair = pair.and_then(|t| {
            let (y, x) = t.trim_matches(['(', ')', '[', ']']).split_once(',')?;
            Some([y.trim().parse().ok()?, x.trim().parse().ok()?])
        });
        let one = float(&["full_scan_field_of_view", "x"]).zip(float(&["full_scan_field_of_view", "scale_factor"]));
        d.larger = pair.is_none();
        d.view = pair.or(one.map(|(view, factor)| [view / factor; 2]));
        d.pixel = float(&["calibrated_pixelsize"]).map(|p| p * 1e9);
    }
    Ok(Some(d))
}

fn child<'a>(node: Node<'a, 'a>, name: &str) -> Option<Node<'a, 'a>> {
    node.children().find(|n| n.has_tag_name(name))
}

/// True if the file is an EMPAD description.
pub(crate) fn is_description(file: &ReadAt) -> Result<bool> {
    let mut head = [0; 64];
    let n = head.len().min(usize::try_from(file.len()).unwrap_or(64));
    file.read(0, &mut head[..n])?;
    let text = String::from_utf8_lossy(&head[..n]);
    if !text.trim_start_matches('\u{feff}').trim_start().starts_with('<') {
        return Ok(false);
    }
    Ok(matches!(describe(file.path()), Ok(Some(_))))
}

/// The shape in a name like `scan_x64_y32.raw`.
fn shape_in_name(path: &Path) -> Option<[u64; 2]> {
    let stem = path.file_stem()?.to_str()?;
    let mut parts = stem.rsplit('_');
    let mut number = |letter: char| parts.next()?.strip_prefix(letter)?.parse::<u64>().ok();
    let y = number('y')?;
    Some([y, number('x')?])
}

/// The frames of a `.raw` file that EMPAD wrote: one that a description beside it names or whose name gives a shape that fits exactly.
pub(crate) fn owns(file: &ReadAt) -> Result<bool> {
    let by_name = shape_in_name(file.path()).is_some_and(|[y, x]| {
        let bytes = y.checked_mul(x).and_then(|n| n.checked_mul(STEP));
        y > 0 && x > 0 && bytes == Some(file.len())
    });
    Ok(by_name || (file.len() > 0 && file.len().is_multiple_of(STEP) && beside(file.path())?.is_some()))
}

/// The description with the name of a `.raw` file.
fn beside(raw: &Path) -> Result<Option<Description>> {
    let Some(xml) = siblings::beside(raw, "xml") else {
        return Ok(None);
    };
    describe(&xml)
}

/// The file with the frames: named by the description, in its folder, or with its name.
fn raw_file(xml: &Path, d: &Description) -> Result<PathBuf> {
    // Paths of the acquisition's computer: what stands behind the last slash of either kind.
    let name = d.raw.as_deref().and_then(|r| r.rsplit(['/', '\\']).next()).unwrap_or("");
    let named = xml.with_file_name(if name.is_empty() { "none" } else { name });
    if !name.is_empty() && named.is_file() {
        return Ok(named);
    }
    let found = siblings::beside(xml, "raw");
    found.ok_or_else(|| Error::format(xml, "raw_file", format!("there is no file {name} beside it")))
}

/// Opens the frames that an XML file describes, or a `.raw` file.
///
/// # Errors
/// [`Error::Format`] where the description is broken or no shape in it makes the file's size.
pub(crate) fn open(file: ReadAt, options: &OpenOptions) -> Result<Box<dyn Scan>> {
    let given = file.path().to_owned();
    let (file, d) = match describe_if_xml(&file)? {
        Some(d) => (ReadAt::open(&raw_file(&given, &d)?)?, Some(d)),
        None => {
            let d = beside(&given)?;
            (file, d)
        }
    };
    let described = d.is_some();
    let d = d.unwrap_or_default();
    let path = file.path().to_owned();
    let path = path.as_path();
    let frames = file.len() / STEP;
    if frames == 0 || !file.len().is_multiple_of(STEP) {
        let what = format!("{} bytes are not whole frames of 130×128 float32 ({STEP} bytes)", file.len());
        return Err(Error::format(path, "size of the file", what));
    }
    let fits = |shape: &[u64; 2]| shape[0].checked_mul(shape[1]) == Some(frames);
    let told = d.shapes.iter().find(|(s, _)| fits(s));
    let named = shape_in_name(path).filter(fits);
    let (nav, from) = match (told, named, options.nav_shape) {
        (Some((shape, from)), ..) => (*shape, ShapeFrom::Stored(from.clone())),
        (_, Some(shape), _) => (shape, ShapeFrom::Derived("the name of the file".into())),
        (_, _, Some(_)) => ([1, frames], ShapeFrom::Given),
        _ if described => {
            let said: Vec<String> = d
                .shapes
                .iter()
                .map(|(s, from)| format!("{} ({from})", limits::tuple(s)))
                .collect();
            let said = if said.is_empty() {
                "nothing".to_owned()
            } else {
                said.join(", ")
            };
            let what = format!("the file holds {frames} frames, its description says {said}; --nav-shape Y,X sets the shape");
            return Err(Error::format(path, "scan shape", what));
        }
        _ => ([1, frames], ShapeFrom::Unknown),
    };
    let stored = Stored {
        kind: Kind::F32,
        big_endian: false,
    };
    let mut sizes = limits::check(path, nav, [EDGE, EDGE], stored.bytes())?;
    limits::check_sig(options.sig_shape, &sizes)?;
    if let Some(nav) = options.nav_shape {
        sizes = limits::with_nav(path, &sizes, nav, stored.bytes())?;
    }
    let pixel = stored.deliver(options.wanted_pixel()?)?;
    let mut info = ScanInfo::new(&file, "empad", &sizes, stored, pixel);
    info.reading = Reading::shape(options, from);
    info.reading
        .ignored
        .push("two rows behind every frame, which hold no pixels".to_owned());
    let flags = format!(
        "--sig-shape 130,128 --dtype f32 --offset 0 --nav-shape {},{}",
        sizes.nav[0], sizes.nav[1]
    );
    info.reading.otherwise.push((flags, "with these rows".to_owned()));
    let axis = |scale: f64, unit: &str| Axis {
        scale: Some(scale),
        unit: unit.to_owned(),
    };
    if let Some(view) = d.view.filter(|_| sizes.nav == nav.map(|n| n as usize) && nav[0] > 1) {
        let larger = nav[0].max(nav[1]);
        let count = if d.larger { [larger; 2] } else { nav };
        info.nav_axes = [0, 1].map(|i| axis(view[i] / count[i] as f64 * 1e9, "nm"));
    }
    if let Some(p) = d.pixel {
        info.sig_axes = [axis(p, "1/nm"), axis(p, "1/nm")];
    }
    let marker = Marker::Skip {
        before: 0,
        after: FOOTER,
    };
    let flat = Flat::new(file, 0, marker, &sizes, stored, pixel);
    Ok(Box::new(Stack::new(info, flat, options.sync_offset)?))
}

/// The description, if `file` is one rather than frames.
fn describe_if_xml(file: &ReadAt) -> Result<Option<Description>> {
    let named = file.path().extension().is_some_and(|e| e.eq_ignore_ascii_case("xml"));
    if !named && !is_description(file)? {
        return Ok(None);
    }
    let d = describe(file.path())?;
    let none = || Error::unsupported(file.path(), "an XML file that describes no EMPAD frames");
    d.map(Some).ok_or_else(none)
}
