//! OME-XML in a TIFF file's first page.
//!
//! "The OME-TIFF specification" (<https://docs.openmicroscopy.org/ome-model/>): `Pixels` has the sizes of five dimensions, of which
//! `DimensionOrder` lists the fastest first; pages run in that order unless `TiffData` says otherwise.

use super::description::Description;
use crate::error::{Error, Result};
use crate::io::Axis;
use crate::io::reading::ShapeFrom;
use roxmltree::{Document, Node};
use std::path::Path;

/// Reads what the text says of `frames` pages.
///
/// # Errors
/// [`Error::Format`] for broken OME-XML, [`Error::Unsupported`] for pages in other files or in an order of their own.
pub(super) fn ome(path: &Path, text: &str, frames: u64) -> Result<Description> {
    let wrong = |what: String| Error::format(path, "OME-XML", what);
    let document = Document::parse(text).map_err(|e| wrong(e.to_string().replace('\n', " ")))?;
    let named = |n: &Node, name: &str| n.tag_name().name() == name;
    let pixels: Vec<Node> = document.descendants().filter(|n| named(n, "Pixels")).collect();
    let Some(first) = pixels.first() else {
        return Err(wrong("there is no Pixels element".to_owned()));
    };
    let mut found = Description::default();
    if pixels.len() > 1 {
        found
            .ignored
            .push(format!("{} further images of the OME-XML", pixels.len() - 1));
    }
    let size = |letter: char| -> Result<u64> {
        let value = first.attribute(format!("Size{letter}").as_str()).unwrap_or("");
        value.parse::<u64>().map_err(|_| wrong(format!("Size{letter} is '{value}'")))
    };
    let order = first.attribute("DimensionOrder").unwrap_or("");
    let mut letters: Vec<char> = order.chars().collect();
    letters.sort_unstable();
    if letters != ['C', 'T', 'X', 'Y', 'Z'] || !order.starts_with("XY") {
        return Err(wrong(format!("DimensionOrder '{order}'")));
    }
    // Slowest first.
    let slow: Vec<char> = order.chars().skip(2).collect::<Vec<_>>().into_iter().rev().collect();
    let sizes = slow.iter().map(|&l| size(l)).collect::<Result<Vec<u64>>>()?;
    let planes = sizes.iter().try_fold(1u64, |n, &s| n.checked_mul(s)).unwrap_or(u64::MAX);
    if pixels.len() == 1 && planes != frames {
        return Err(wrong(format!(
            "{sizes:?} planes of dimensions {slow:?} are claimed, but there are {frames} pages"
        )));
    }
    let file = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    for (i, data) in first.descendants().filter(|n| named(n, "TiffData")).enumerate() {
        let other = data
            .descendants()
            .filter(|n| named(n, "UUID"))
            .find_map(|n| n.attribute("FileName"));
        if other.is_some_and(|o| o != file) && frames < planes {
            return Err(Error::unsupported(
                path,
                format!("planes in other files, such as {}", other.unwrap_or("")),
            ));
        }
        let number = |name: &str| data.attribute(name).and_then(|v| v.parse::<u64>().ok());
        // One element for all planes, or one for each in the order of the pages.
        let plane = number("IFD").unwrap_or(i as u64);
        let at = slow.iter().zip(&sizes).fold(0, |n: u64, (l, s)| {
            n.saturating_mul(*s).saturating_add(number(&format!("First{l}")).unwrap_or(0))
        });
        if at != plane {
            return Err(Error::unsupported(
                path,
                format!("OME planes in another order than their pages (plane {at} on page {plane})"),
            ));
        }
    }
    let step = |name: &str, unit: &str, default: &str| {
        let scale = first
            .attribute(name)?
            .parse::<f64>()
            .ok()
            .filter(|s| s.is_finite() && *s > 0.0)?;
        let unit = first.attribute(unit).unwrap_or(default);
        // The default unit is µm; `pixel` and `reference frame` are none.
        let none = matches!(unit, "pixel" | "reference frame" | "");
        (!none).then(|| Axis {
            scale: Some(scale),
            unit: unit.to_owned(),
        })
    };
    let physical = |l: char| step(&format!("PhysicalSize{l}"), &format!("PhysicalSize{l}Unit"), "µm").unwrap_or_default();
    found.sig_axes = [physical('Y'), physical('X')];
    let axis = |l: char| match l {
        'Z' => physical('Z'),
        'T' => step("TimeIncrement", "TimeIncrementUnit", "s").unwrap_or_default(),
        _ => Axis::default(),
    };
    let more: Vec<(char, u64)> = slow.iter().copied().zip(sizes).filter(|(_, n)| *n > 1).collect();
    match more[..] {
        [(a, y), (b, x)] if pixels.len() == 1 => {
            found.nav = Some(([y, x], ShapeFrom::Stored(format!("Size{a}, Size{b} in OME-XML"))));
            found.nav_axes = [axis(a), axis(b)];
        }
        [(a, _)] => found.nav_axes = [Axis::default(), axis(a)],
        _ => {}
    }
    Ok(found)
}
