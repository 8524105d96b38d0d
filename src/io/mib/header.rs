//! The text before each frame of a `.mib` file, and the `.hdr` file beside it.

use crate::error::{Error, Result};
use crate::io::readat::ReadAt;
use crate::io::{limits, siblings};
use std::path::{Path, PathBuf};

/// Bytes of a header that hold the first eight fields and its length.
const FIRST: usize = 64;
/// Longest header: 384 bytes for one chip, 768 for four.
const MAX_HEADER: usize = 1 << 16;

/// How pixels lie in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Big-endian unsigned integers of so many bytes.
    Plain(usize),
    /// As the chips deliver them, with a counter of so many bits; four chips side by side where `quad`.
    Raw { bits: u32, quad: bool },
}

/// What the header of a file's first frame says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Header {
    /// Number of the frame in its acquisition.
    pub number: u64,
    /// Bytes before the pixels.
    pub bytes: usize,
    pub layout: Layout,
    /// Rows and columns as delivered.
    pub sig: [u64; 2],
    /// Bytes of the pixels as stored.
    pub frame_bytes: u64,
    /// Exposure in s.
    pub exposure: Option<f64>,
}

impl std::fmt::Display for Layout {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Layout::Plain(bytes) => write!(f, "{} bits", 8 * bytes),
            Layout::Raw { bits, quad: false } => write!(f, "raw {bits} bits, one chip"),
            Layout::Raw { bits, quad: true } => write!(f, "raw {bits} bits, four chips"),
        }
    }
}

/// The number of a file's first frame, however damaged the rest of the file is; `None` if it does not begin with a frame's header.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read.
pub(super) fn number(file: &ReadAt) -> Result<Option<u64>> {
    let mut head = [0; FIRST];
    let n = FIRST.min(usize::try_from(file.len()).unwrap_or(FIRST));
    file.read(0, &mut head[..n])?;
    let text = String::from_utf8_lossy(&head[..n]);
    let mut fields = text.split(',');
    if fields.next() != Some("MQ1") {
        return Ok(None);
    }
    // A number that is cut off is another number.
    let number = fields.next().filter(|_| fields.next().is_some());
    Ok(number.and_then(|t| t.trim().parse().ok()))
}

impl Header {
    /// Reads and checks the header of the first frame.
    ///
    /// # Errors
    /// [`Error::Format`] with the field, [`Error::Unsupported`] for arrangements of chips that are not read, [`Error::Limit`].
    pub fn read(file: &ReadAt) -> Result<Header> {
        let path = file.path();
        let mut head = [0; FIRST];
        let n = FIRST.min(usize::try_from(file.len()).unwrap_or(FIRST));
        file.read(0, &mut head[..n])?;
        if !head.starts_with(b"MQ1,") {
            return Err(Error::format(path, "byte 0", "a frame of a .mib file begins with MQ1"));
        }
        let start = String::from_utf8_lossy(&head[..n]).into_owned();
        let length = start.split(',').nth(2).and_then(|t| t.trim().parse::<usize>().ok());
        let bytes = length.filter(|l| (FIRST..=MAX_HEADER).contains(l));
        let wrong = |field: &str, what: String| Error::format(path, format!("header, {field}"), what);
        let bytes = bytes.ok_or_else(|| wrong("field 3 (length)", format!("{length:?} bytes")))?;
        let mut text = vec![0; bytes];
        file.read(0, &mut text)?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let fields: Vec<&str> = text.split(',').map(|f| f.trim_matches(['\0', ' ', '\r', '\n'])).collect();
        let field = |i: usize| fields.get(i).copied().unwrap_or("");
        let number = |i: usize, name: &str| {
            let value = field(i).parse::<u64>();
            value.map_err(|_| wrong(name, format!("'{}' is no number", field(i))))
        };
        let (chips, width) = (number(3, "field 4 (chips)")?, number(4, "field 5 (columns)")?);
        let height = number(5, "field 6 (rows)")?;
        if width == 0 || height == 0 || width > limits::MAX_EDGE || height > limits::MAX_EDGE {
            return Err(wrong("fields 5 and 6", format!("{height} rows and {width} columns")));
        }
        // The counter's depth is the last field that says anything.
        let depth = fields
            .iter()
            .rev()
            .find(|f| !f.is_empty())
            .and_then(|f| f.parse::<u32>().ok());
        let (layout, sig, frame_bytes) = arrangement(path, field(6), field(7), chips, [height, width], depth)?;
        let exposure = field(10).parse::<f64>().ok().filter(|v| v.is_finite() && *v > 0.0);
        Ok(Header {
            number: number(1, "field 2 (number)")?,
            bytes,
            layout,
            sig,
            frame_bytes,
            exposure,
        })
    }
}

/// Layout, shape and bytes of frames of the given type.
fn arrangement(
    path: &Path,
    kind: &str,
    chips_layout: &str,
    chips: u64,
    [height, width]: [u64; 2],
    depth: Option<u32>,
) -> Result<(Layout, [u64; 2], u64)> {
    if let Some(bytes) = ["U08", "U16", "U32", "U64"].iter().position(|k| k.eq_ignore_ascii_case(kind)) {
        let bytes = 1 << bytes;
        return Ok((Layout::Plain(bytes), [height, width], height * width * bytes as u64));
    }
    if !kind.eq_ignore_ascii_case("R64") {
        return Err(Error::unsupported(
            path,
            format!("pixels of type '{kind}'; U08, U16, U32, U64 and R64 are read"),
        ));
    }
    let bits = depth.filter(|d| matches!(d, 1 | 6 | 12 | 24));
    let bits = bits.ok_or_else(|| {
        let last = depth.map_or("no number".to_owned(), |d| d.to_string());
        Error::format(
            path,
            "header, last field (counter depth)",
            format!("{last} instead of 1, 6, 12 or 24 bits"),
        )
    })?;
    let grid = chips_layout.trim_end_matches(['G', 'g']);
    let quad = match (chips, grid) {
        (1, _) => false,
        (4, "2x2") if bits != 24 && height * 4 == width => true,
        _ => {
            let what =
                format!("raw frames of {bits} bits from {chips} chips arranged as {chips_layout}, {height}×{width} values");
            return Err(Error::unsupported(path, what));
        }
    };
    // Two images of 12 bits stand for one of 24; most files count their columns twice.
    let width = if bits == 24 && width == 2 * height { height } else { width };
    let stored_bits = match bits {
        1 => 1,
        6 => 8,
        12 => 16,
        _ => 32,
    };
    let group = if quad { width / 4 } else { width };
    if !(group * stored_bits.min(16)).is_multiple_of(64) {
        return Err(Error::format(
            path,
            "header, field 5 (columns)",
            format!("{width} values of {bits} bits are not whole words of 64"),
        ));
    }
    let sig = if quad { [2 * height, width / 2] } else { [height, width] };
    Ok((Layout::Raw { bits, quad }, sig, height * width * stored_bits / 8))
}

/// What an `.hdr` file says about the scan.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Scan {
    pub name: String,
    /// `ScanY`, `ScanX`.
    pub shape: Option<[u64; 2]>,
    pub frames: Option<u64>,
    pub per_trigger: Option<u64>,
}

/// The `.hdr` file of a `.mib` file: of the same name, or of the name without the number.
pub(super) fn find_hdr(mib: &Path) -> Option<PathBuf> {
    let begin = siblings::before_number(mib).trim_end_matches(['_', '-', ' ']);
    let general = (!begin.is_empty()).then(|| siblings::beside(&mib.with_file_name(format!("{begin}.mib")), "hdr"));
    siblings::beside(mib, "hdr").or(general.flatten())
}

/// True for the text of an `.hdr` file.
pub(crate) fn is_hdr(head: &[u8]) -> bool {
    head.starts_with(b"HDR,")
}

impl Scan {
    /// Reads an `.hdr` file; lines that say nothing are left out.
    pub fn read(path: &Path) -> Result<Scan> {
        let text = siblings::text(path)?;
        if !is_hdr(text.as_bytes()) {
            return Err(Error::format(
                path,
                "byte 0",
                "an .hdr file of a Merlin detector begins with HDR",
            ));
        }
        let value = |key: &str| {
            let mut lines = text.lines().filter_map(|l| l.split_once('\t'));
            let line = lines.find(|(k, _)| k.trim().trim_end_matches(':') == key)?;
            line.1.trim().parse::<u64>().ok().filter(|&n| n > 0)
        };
        Ok(Scan {
            name: path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default(),
            shape: value("ScanY").zip(value("ScanX")).map(|(y, x)| [y, x]),
            frames: value("Frames in Acquisition (Number)"),
            per_trigger: value("Frames per Trigger (Number)"),
        })
    }
}
