//! TIFF stacks: pages one after the other behind the first directory, the other directories at the end. Baseline TIFF 6.0 (Adobe, 1992) with
//! SampleFormat; BigTIFF where offsets of 32 bits do not reach. The description is ImageJ's, which Fiji, tifffile and RosettaSciIO understand: a
//! scan is a hyperstack whose frames are scan rows and whose slices are scan columns.

use super::NewScan;
use crate::error::{Error, Result};
use crate::pixel::Pixel;
use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

/// What a classic file may have, a little below 4 GiB.
const CLASSIC: u64 = 0xFFFF_0000;

/// Where everything stands.
pub(super) struct Layout {
    big: bool,
    width: u32,
    height: u32,
    bits: u16,
    sample_format: u16,
    description: Vec<u8>,
    /// Pixels per unit along x and y.
    resolution: [[u32; 2]; 2],
    pages: u64,
    page_bytes: u64,
    /// Bytes of the description and, in classic files, of the resolutions.
    description_at: u64,
    resolution_at: u64,
    pixels_at: u64,
}

impl Layout {
    /// # Errors
    /// [`Error::Limit`] for frames that no page holds.
    pub fn new(name: &Path, scan: &NewScan) -> Result<Layout> {
        let edge = |n: usize| u32::try_from(n).map_err(|_| Error::limit(name, format!("a TIFF page of {n} pixels")));
        let frame = scan.frame;
        let (pages, page_bytes) = (scan.frames(), frame.bytes() as u64);
        if page_bytes > u64::from(u32::MAX) {
            return Err(Error::limit(name, format!("a TIFF page of {page_bytes} bytes")));
        }
        let mut layout = Layout {
            big: false,
            width: edge(frame.width)?,
            height: edge(frame.height)?,
            bits: 8 * frame.pixel.bytes() as u16,
            sample_format: match frame.pixel {
                Pixel::U8 | Pixel::U16 | Pixel::U32 => 1,
                Pixel::I8 | Pixel::I16 | Pixel::I32 => 2,
                Pixel::F32 => 3,
            },
            description: describe(scan),
            // Turned round after it is a fraction: 17/1000 is exact, 1/0.017 is not.
            resolution: [&scan.sig_axes[1], &scan.sig_axes[0]].map(|a| {
                let [n, d] = ratio(a.scale.unwrap_or(1.0));
                [d, n]
            }),
            pages,
            page_bytes,
            description_at: 0,
            resolution_at: 0,
            pixels_at: 0,
        };
        let classic = 4096 + layout.description.len() as u64 + pages * (page_bytes + 200);
        layout.big = classic > CLASSIC;
        let head = if layout.big { 16 } else { 8 };
        layout.resolution_at = head + layout.directory_bytes(true);
        layout.description_at = layout.resolution_at + 16;
        let end = layout.description_at + layout.description.len() as u64;
        layout.pixels_at = end.next_multiple_of(64);
        Ok(layout)
    }

    /// All that stands before the pixels.
    pub fn head(&self) -> Vec<u8> {
        let mut out = Vec::new();
        // The byte order of this machine, in which pixels come.
        out.extend(if cfg!(target_endian = "big") { b"MM" } else { b"II" });
        if self.big {
            out.extend(43u16.to_ne_bytes());
            out.extend(8u16.to_ne_bytes());
            out.extend(0u16.to_ne_bytes());
            out.extend(16u64.to_ne_bytes());
        } else {
            out.extend(42u16.to_ne_bytes());
            out.extend(8u32.to_ne_bytes());
        }
        self.directory(0, &mut out);
        for [n, d] in self.resolution {
            out.extend(n.to_ne_bytes());
            out.extend(d.to_ne_bytes());
        }
        out.extend_from_slice(&self.description);
        out.resize(self.pixels_at as usize, 0);
        out
    }

    /// The directories of all pages but the first, behind the pixels.
    pub fn write_directories(&self, file: &File) -> std::io::Result<()> {
        let mut out = BufWriter::with_capacity(1 << 20, file);
        out.seek(SeekFrom::Start(self.pixels_at + self.pages * self.page_bytes))?;
        let mut one = Vec::new();
        // Directories begin at even bytes.
        if (self.pixels_at + self.pages * self.page_bytes) % 2 == 1 {
            out.write_all(&[0])?;
        }
        for page in 1..self.pages {
            one.clear();
            self.directory(page, &mut one);
            out.write_all(&one)?;
        }
        out.flush()
    }

    const fn entries(first: bool) -> u64 {
        if first { 14 } else { 13 }
    }
    fn directory_bytes(&self, first: bool) -> u64 {
        match self.big {
            true => 8 + 20 * Self::entries(first) + 8,
            false => 2 + 12 * Self::entries(first) + 4,
        }
    }
    /// Byte of a page's directory; 0 behind the last.
    fn directory_at(&self, page: u64) -> u64 {
        match page {
            p if p >= self.pages => 0,
            0 => {
                if self.big {
                    16
                } else {
                    8
                }
            }
            p => (self.pixels_at + self.pages * self.page_bytes).next_multiple_of(2) + (p - 1) * self.directory_bytes(false),
        }
    }

    fn directory(&self, page: u64, out: &mut Vec<u8>) {
        const SHORT: u16 = 3;
        const LONG: u16 = 4;
        const RATIONAL: u16 = 5;
        const LONG8: u16 = 16;
        let count = Self::entries(page == 0);
        if self.big {
            out.extend(count.to_ne_bytes());
        } else {
            out.extend((count as u16).to_ne_bytes());
        }
        let mut entry = |tag: u16, kind: u16, count: u64, value: u64| {
            out.extend(tag.to_ne_bytes());
            out.extend(kind.to_ne_bytes());
            let room = if self.big {
                out.extend(count.to_ne_bytes());
                8
            } else {
                out.extend((count as u32).to_ne_bytes());
                4
            };
            // Values stand at the beginning of their room, whatever the byte order.
            let mut bytes = match kind {
                SHORT => (value as u16).to_ne_bytes().to_vec(),
                LONG => (value as u32).to_ne_bytes().to_vec(),
                LONG8 => value.to_ne_bytes().to_vec(),
                _ if self.big => value.to_ne_bytes().to_vec(),
                _ => (value as u32).to_ne_bytes().to_vec(),
            };
            bytes.resize(room, 0);
            out.extend(bytes);
        };
        let place = if self.big { LONG8 } else { LONG };
        entry(256, LONG, 1, u64::from(self.width));
        entry(257, LONG, 1, u64::from(self.height));
        entry(258, SHORT, 1, u64::from(self.bits));
        entry(259, SHORT, 1, 1);
        entry(262, SHORT, 1, 1);
        if page == 0 {
            entry(270, 2, self.description.len() as u64, self.description_at);
        }
        entry(273, place, 1, self.pixels_at + page * self.page_bytes);
        entry(277, SHORT, 1, 1);
        entry(278, LONG, 1, u64::from(self.height));
        entry(279, place, 1, self.page_bytes);
        for (i, tag) in [(0, 282), (1, 283)] {
            match self.big {
                // Eight bytes fit the entry itself.
                true => {
                    let [n, d] = self.resolution[i];
                    let bytes = [n.to_ne_bytes(), d.to_ne_bytes()].concat();
                    let value = bytes.first_chunk().map_or(0, |b| u64::from_ne_bytes(*b));
                    entry(tag, RATIONAL, 1, value);
                }
                false => entry(tag, RATIONAL, 1, self.resolution_at + 8 * i as u64),
            }
        }
        // No absolute unit: the description names it.
        entry(296, SHORT, 1, 1);
        entry(339, SHORT, 1, u64::from(self.sample_format));
        let next = self.directory_at(page + 1);
        if self.big {
            out.extend(next.to_ne_bytes());
        } else {
            out.extend((next as u32).to_ne_bytes());
        }
    }
}

/// ImageJ's description, ended by a zero byte.
fn describe(scan: &NewScan) -> Vec<u8> {
    let [ny, nx] = scan.nav;
    let mut text = format!("ImageJ=1.53k\nimages={}\n", ny * nx);
    if ny == 1 || nx == 1 {
        text += &format!("frames={}\n", ny * nx);
    } else {
        text += &format!("slices={nx}\nframes={ny}\nhyperstack=true\n");
    }
    let [y, x] = &scan.sig_axes;
    let unit = if x.scale.is_some() { x.unit.as_str() } else { "" };
    if !unit.is_empty() {
        text += &format!("unit={}\n", plain(unit));
    }
    match y.scale {
        Some(_) if y.unit != unit => text += &format!("yunit={}\n", plain(&y.unit)),
        // Else the unit along x would make a step of the resolution 1.
        None if !unit.is_empty() => text += "yunit=pixel\n",
        _ => {}
    }
    let [y, x] = &scan.nav_axes;
    // A column is read as the row of its frames, since ImageJ has one dimension for both.
    let (steps, frames) = match [ny, nx] {
        [1, _] => ([("y", y), ("x", x)], "x"),
        [_, 1] => ([("y", x), ("x", y)], "x"),
        _ => ([("y", y), ("x", x)], "y"),
    };
    // What ImageJ has no words for is left to those who look for it.
    for (name, axis) in steps {
        match (axis.scale, axis.unit.as_str()) {
            (Some(step), "s") if name == frames => text += &format!("finterval={step}\n"),
            (Some(step), "") => text += &format!("scan_step_{name}={step}\n"),
            (Some(step), unit) => text += &format!("scan_step_{name}={step} {}\n", plain(unit)),
            (None, _) => {}
        }
    }
    text += "loop=false\n";
    let mut bytes = text.into_bytes();
    bytes.push(0);
    bytes
}

/// A unit in ASCII, as ImageJ writes it: characters that would end the line or begin an escape are escaped, too.
fn plain(unit: &str) -> String {
    match unit {
        "µm" | "μm" | "um" => return "micron".to_owned(),
        _ => {}
    }
    let mut text = String::new();
    for c in unit.chars() {
        if c.is_ascii() && !c.is_ascii_control() && c != '\\' {
            text.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                text += &format!("\\u{unit:04X}");
            }
        }
    }
    text
}

/// The fraction of two 32-bit numbers that is nearest to `value`, by continued fractions.
fn ratio(value: f64) -> [u32; 2] {
    if !(value.is_finite() && value > 0.0) {
        return [1, 1];
    }
    let most = f64::from(u32::MAX);
    let (mut before, mut now) = ([0.0, 1.0], [1.0, 0.0]);
    let mut rest = value;
    for _ in 0..64 {
        let whole = rest.floor();
        let next = [whole * now[0] + before[0], whole * now[1] + before[1]];
        if next[0] > most || next[1] > most {
            break;
        }
        (before, now) = (now, next);
        if rest == whole || now[0] / now[1] == value {
            break;
        }
        rest = 1.0 / (rest - whole);
    }
    match now {
        [n, d] if n >= 1.0 && d >= 1.0 => [n as u32, d as u32],
        // Beyond what a fraction can say.
        _ if value > 1.0 => [u32::MAX, 1],
        _ => [1, u32::MAX],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions() {
        assert_eq!(ratio(0.5), [1, 2]);
        assert_eq!(ratio(1.0 / 3.0), [1, 3]);
        assert_eq!(ratio(4.0), [4, 1]);
        for value in [0.0123456789, 1.0 / 0.017, 12345.678, 3e8, 1e-9] {
            let [n, d] = ratio(value);
            assert!((f64::from(n) / f64::from(d) / value - 1.0).abs() < 1e-9, "{value}: {n}/{d}");
        }
        assert_eq!(ratio(f64::NAN), [1, 1]);
        assert_eq!(ratio(1e12), [u32::MAX, 1]);
        assert_eq!(ratio(1e-12), [1, u32::MAX]);
    }
}
