//! What TIFF files say about scans in the descriptions of their pages: OME-XML, tifffile's JSON, ImageJ's lines.
//!
//! ImageJ writes lines `key=value`, read again as Java's properties: characters beyond ASCII are `\uXXXX`. Calibration of a frame is the
//! page's resolution in `unit` (`yunit` along y if it differs), the time from one of the `frames` to the next is `finterval` in `tunit`.

use super::ome::ome;
use crate::error::Result;
use crate::io::Axis;
use crate::io::reading::ShapeFrom;
use std::path::Path;

/// What a description says.
#[derive(Debug, Default)]
pub(super) struct Description {
    /// Scan shape, if two dimensions beside the frame's have more than one page.
    pub nav: Option<([u64; 2], ShapeFrom)>,
    pub nav_axes: [Axis; 2],
    pub sig_axes: [Axis; 2],
    pub ignored: Vec<String>,
}

/// Images that follow each other behind a single directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claim {
    pub images: u64,
    /// Where it says so.
    pub place: &'static str,
    /// Said of this page alone; else of the file, if it has no other page.
    pub of_page: bool,
}

/// Reads what the first page says of `frames` pages whose pixels have these steps along y and x; nothing for other texts.
///
/// # Errors
/// [`crate::Error::Format`] for broken OME-XML, [`crate::Error::Unsupported`] for pages in other files or in an order of their own.
pub(super) fn read(path: &Path, text: &str, frames: u64, steps: [Option<f64>; 2]) -> Result<Description> {
    let text = begin(text);
    if text.starts_with('<') && text.contains("<OME") {
        return ome(path, text, frames);
    }
    if let Some(lines) = Lines::of(text) {
        return Ok(imagej(&lines, frames, steps));
    }
    let nav = shaped(text).and_then(|(shape, _)| match shape[..] {
        [y, x, _, _] => scan_shape([y, x], frames, "shape in tifffile's description"),
        _ => None,
    });
    Ok(Description {
        nav,
        ..Description::default()
    })
}

/// What a page of so many pixels says of images behind it that have no directories: ImageJ does so for stacks above 4 GiB, tifffile on demand.
pub(super) fn claim(text: &str, pixels: u64) -> Option<Claim> {
    let text = begin(text);
    let claim = match Lines::of(text) {
        Some(lines) => Claim {
            images: lines.number("images")?,
            place: "ImageJ description",
            of_page: false,
        },
        None => {
            let (shape, truncated) = shaped(text)?;
            let images = match shape.iter().try_fold(1u64, |n, &s| n.checked_mul(s)) {
                // Else another program has cropped the page since, and the shape is not about it any more.
                Some(all) => all.checked_div(pixels).filter(|n| n * pixels == all)?,
                None => u64::MAX,
            };
            Claim {
                images: Some(images).filter(|_| truncated)?,
                place: "shape in tifffile's description",
                of_page: true,
            }
        }
    };
    (claim.images > 1).then_some(claim)
}

fn begin(text: &str) -> &str {
    text.trim_start_matches('\u{feff}').trim_start()
}

fn scan_shape(nav: [u64; 2], frames: u64, from: &str) -> Option<([u64; 2], ShapeFrom)> {
    let fits = nav[0].checked_mul(nav[1]) == Some(frames) && nav[0] > 1;
    fits.then(|| (nav, ShapeFrom::Stored(from.to_owned())))
}

/// The shape in tifffile's JSON, and whether there is a directory for the first image alone.
fn shaped(text: &str) -> Option<(Vec<u64>, bool)> {
    if !text.starts_with('{') {
        return None;
    }
    let json: serde_json::Value = serde_json::from_str(text).ok()?;
    let shape = json.get("shape")?.as_array()?.iter().map(|n| n.as_u64());
    let truncated = json.get("truncated").and_then(|t| t.as_bool()).unwrap_or(false);
    Some((shape.collect::<Option<_>>()?, truncated))
}

/// ImageJ's lines.
struct Lines<'a>(&'a str);

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Option<Self> {
        text.starts_with("ImageJ=").then_some(Lines(text))
    }
    fn get(&self, key: &str) -> Option<&'a str> {
        let mut pairs = self.0.lines().filter_map(|l| l.split_once('='));
        pairs.find(|(k, _)| *k == key).map(|(_, v)| v.trim())
    }
    fn number(&self, key: &str) -> Option<u64> {
        self.get(key)?.parse().ok()
    }
    /// The step of the scan that our own writer leaves, which ImageJ has no words for.
    fn scan_step(&self, key: &str) -> Option<Axis> {
        let text = self.get(key)?;
        let (step, unit) = text.split_once(' ').unwrap_or((text, ""));
        Some(Axis {
            scale: Some(step.parse().ok().filter(|s| is_step(*s))?),
            unit: unit_of(unit),
        })
    }
}

/// Hyperstacks: channels run fastest, then slices, then frames.
fn imagej(lines: &Lines, frames: u64, steps: [Option<f64>; 2]) -> Description {
    let mut found = Description::default();
    let unit = lines.get("unit").map(unit_of).unwrap_or_default();
    let y_unit = lines.get("yunit").map_or_else(|| unit.clone(), unit_of);
    found.sig_axes = [axis(steps[0], y_unit), axis(steps[1], unit)];
    let dimensions = ["frames", "slices", "channels"].map(|k| (k, lines.number(k).unwrap_or(1)));
    let more: Vec<(&str, u64)> = dimensions.into_iter().filter(|(_, n)| *n > 1).collect();
    // What the axes of the scan are for ImageJ.
    let names = match more[..] {
        [(a, y), (b, x)] => {
            found.nav = scan_shape([y, x], frames, "frames, slices and channels in ImageJ's description");
            found.nav.is_some().then_some([a, b])
        }
        [(a, _)] => Some(["", a]),
        // Images without dimensions, but with time between them, are a movie.
        [] => Some(["", "frames"]),
        _ => None,
    };
    let Some(names) = names else {
        // The steps are those of another shape.
        return found;
    };
    let interval = || {
        let step = lines.get("finterval")?.parse().ok();
        let unit = match lines.get("tunit").map(unit_of) {
            Some(unit) if unit != "sec" && !unit.is_empty() => unit,
            _ => "s".to_owned(),
        };
        Some(axis(step, unit))
    };
    for ((axis, name), key) in found.nav_axes.iter_mut().zip(names).zip(["scan_step_y", "scan_step_x"]) {
        let step = lines.scan_step(key).or_else(|| interval().filter(|_| name == "frames"));
        *axis = step.unwrap_or_default();
    }
    found
}

fn is_step(step: f64) -> bool {
    step.is_finite() && step > 0.0
}

/// A resolution without unit is one for printers.
fn axis(step: Option<f64>, unit: String) -> Axis {
    match step.filter(|s| is_step(*s) && !unit.is_empty()) {
        Some(step) => Axis { scale: Some(step), unit },
        None => Axis::default(),
    }
}

/// A unit as other formats name it; empty for none.
fn unit_of(text: &str) -> String {
    match unescape(text).trim() {
        "micron" | "µm" | "μm" => "um".to_owned(),
        "pixel" | "pixels" => String::new(),
        unit => unit.to_owned(),
    }
}

/// Puts characters for `\uXXXX`, units of UTF-16. What is none stays as it is; control characters have no place in a unit.
fn unescape(text: &str) -> String {
    let mut units: Vec<u16> = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\u") {
        units.extend(before.encode_utf16());
        let digits = after.get(..4).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        match digits.and_then(|d| u16::from_str_radix(d, 16).ok()) {
            Some(unit) => {
                units.push(unit);
                rest = after.get(4..).unwrap_or("");
            }
            None => {
                units.extend("\\u".encode_utf16());
                rest = after;
            }
        }
    }
    units.extend(rest.encode_utf16());
    String::from_utf16_lossy(&units).chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        for (text, want) in [
            ("1/\\u00C5", "1/Å"),
            ("\\u00B5m", "µm"),
            ("\\u212b\\u207b\\u00b9", "\u{212b}⁻¹"),
            ("\\uD835\\uDC65", "𝑥"),
            ("\\uD835", "\u{fffd}"),
            ("\\u+0C5 \\u12", "\\u+0C5 \\u12"),
            ("\\u00Å5", "\\u00Å5"),
            ("n\\u000am\\u001b", "nm"),
            ("nm", "nm"),
        ] {
            assert_eq!(unescape(text), want, "{text}");
        }
        assert_eq!(unit_of("\\u00B5m"), "um");
        assert_eq!(unit_of(" pixel"), "");
    }

    #[test]
    fn claims() {
        let images = |text: &str| claim(text, 35).map(|c| c.images);
        assert_eq!(images("{\"shape\": [6, 7, 5], \"truncated\": true}"), Some(6));
        assert_eq!(images("{\"shape\": [2, 3, 7, 5, 1], \"truncated\": true}"), Some(6));
        assert_eq!(images("{\"shape\": [6, 7, 5]}"), None);
        assert_eq!(images("{\"shape\": [7, 5], \"truncated\": true}"), None);
        assert_eq!(images("{\"shape\": [6, 7, 6], \"truncated\": true}"), None);
        let huge = images("{\"shape\": [4294967296, 4294967296, 7, 5], \"truncated\": true}");
        assert_eq!(huge, Some(u64::MAX));
        assert_eq!(images("ImageJ=1.53k\nimages=9\n"), Some(9));
        assert_eq!(claim("{\"shape\": [7, 5], \"truncated\": true}", 0), None);
    }
}
