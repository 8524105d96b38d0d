//! NumPy's `.npy`, versions 1 to 3 of the header.

use super::{Element, checked_len, shaped};
use crate::error::{Error, Result};
use crate::io::dtype::half;
use crate::io::npy_header::Fields;
use ndarray::ArrayD;
use std::io::Read;
use std::path::Path;

/// Longest header that is read; NumPy refuses above 10 000 characters.
const MAX_HEADER: usize = 64 << 10;

/// What a header says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Header {
    /// NumPy's letter: `b`, `i`, `u`, `f`, `S`, `U`, ….
    pub kind: char,
    /// Bytes of an element.
    pub size: usize,
    pub big_endian: bool,
    pub fortran: bool,
    pub shape: Vec<u64>,
    /// Bytes before the data.
    pub start: u64,
}

/// Reads a whole `.npy` stream. `entry`: its name inside an archive, for messages; `length`: of the stream, if it is known.
pub(super) fn read<T: Element>(
    path: &Path,
    entry: &str,
    stream: &mut dyn Read,
    length: Option<u64>,
    max_bytes: u64,
) -> Result<ArrayD<T>> {
    let header = read_header(path, entry, stream)?;
    let decode = decoder::<T>(&header).ok_or_else(|| {
        let Header { kind, size, .. } = header;
        Error::unsupported(
            path,
            format!(
                "{entry}{}elements of NumPy type {kind}{size}",
                if entry.is_empty() { "" } else { ": " }
            ),
        )
    })?;
    let count = checked_len(path, &header.shape, header.size as u64, max_bytes)?;
    let bytes = count as u64 * header.size as u64;
    let place = |what: &str| {
        if entry.is_empty() {
            what.to_owned()
        } else {
            format!("{entry}, {what}")
        }
    };
    if let Some(have) = length.map(|l| l.saturating_sub(header.start))
        && have != bytes
    {
        let what = format!("shape {:?} needs {bytes} bytes, the file has {have}", header.shape);
        return Err(Error::format(path, place("data"), what));
    }
    // Grows with what is there, not with what the header claims.
    let mut values = Vec::new();
    let mut buffer = vec![0u8; (64 << 10) / header.size * header.size];
    let mut left = bytes as usize;
    while left > 0 {
        let part = left.min(buffer.len());
        let block = &mut buffer[..part];
        stream.read_exact(block).map_err(|e| match e.kind() {
            std::io::ErrorKind::UnexpectedEof => Error::format(
                path,
                place("data"),
                format!("ends {left} bytes early for shape {:?}", header.shape),
            ),
            _ => Error::io(path, "cannot read", e),
        })?;
        for item in block.chunks_exact(header.size) {
            let value =
                decode(item).ok_or_else(|| Error::format(path, place(&format!("element {}", values.len())), expected::<T>()))?;
            values.push(value);
        }
        left -= part;
    }
    let shape: Vec<usize> = header.shape.iter().map(|&s| s as usize).collect();
    shaped(path, &shape, header.fortran, values)
}

pub(super) fn expected<T: Element>() -> String {
    format!("expected {}", T::KIND)
}

type Decode<T> = fn(&[u8]) -> Option<T>;

/// A number of half precision: the standard library has no type of it.
struct Half;

impl Half {
    fn from_le_bytes(bytes: [u8; 2]) -> f32 {
        half(u16::from_le_bytes(bytes))
    }
    fn from_be_bytes(bytes: [u8; 2]) -> f32 {
        half(u16::from_be_bytes(bytes))
    }
}

/// Decodes one element, `None` if `T` cannot express it. The outer `None`: no such stored type here.
fn decoder<T: Element>(header: &Header) -> Option<Decode<T>> {
    macro_rules! pick {
        ($($kind:literal $size:literal $t:ty => $from:ident as $wide:ty),* $(,)?) => {
            match (header.kind, header.size, header.big_endian) {
                $(($kind, $size, false) => Some(|b: &[u8]| T::$from(<$t>::from_le_bytes(b.try_into().ok()?) as $wide)),
                  ($kind, $size, true) => Some(|b: &[u8]| T::$from(<$t>::from_be_bytes(b.try_into().ok()?) as $wide)),)*
                ('b', 1, _) => Some(|b: &[u8]| T::from_u64((*b.first()? != 0) as u64)),
                _ => None,
            }
        };
    }
    pick!(
        'i' 1 i8 => from_i64 as i64, 'i' 2 i16 => from_i64 as i64, 'i' 4 i32 => from_i64 as i64, 'i' 8 i64 => from_i64 as i64,
        'u' 1 u8 => from_u64 as u64, 'u' 2 u16 => from_u64 as u64, 'u' 4 u32 => from_u64 as u64, 'u' 8 u64 => from_u64 as u64,
        'f' 2 Half => from_f64 as f64, 'f' 4 f32 => from_f64 as f64, 'f' 8 f64 => from_f64 as f64,
    )
}

/// Reads the header and leaves the stream at the data.
pub(super) fn read_header(path: &Path, entry: &str, stream: &mut dyn Read) -> Result<Header> {
    let place = |what: &str| {
        if entry.is_empty() {
            what.to_owned()
        } else {
            format!("{entry}, {what}")
        }
    };
    let mut take = |bytes: usize| -> Result<Vec<u8>> {
        let mut buffer = vec![0; bytes];
        match stream.read_exact(&mut buffer) {
            Ok(()) => Ok(buffer),
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(Error::format(path, place("NumPy header"), "the file ends inside it"))
            }
            Err(e) => Err(Error::io(path, "cannot read", e)),
        }
    };
    let preamble = take(8)?;
    if !preamble.starts_with(b"\x93NUMPY") {
        return Err(Error::format(path, place("NumPy header"), "does not begin with \\x93NUMPY"));
    }
    let (length, before) = match preamble[6] {
        1 => (take(2)?.iter().rev().fold(0usize, |n, &b| n << 8 | b as usize), 10),
        2 | 3 => (take(4)?.iter().rev().fold(0usize, |n, &b| n << 8 | b as usize), 12),
        v => return Err(Error::unsupported(path, format!("version {v} of the NumPy header"))),
    };
    if length > MAX_HEADER {
        return Err(Error::limit(
            path,
            format!("a NumPy header of {length} bytes; at most {MAX_HEADER} are read"),
        ));
    }
    let text = take(length)?;
    let mut header = parse(&String::from_utf8_lossy(&text)).map_err(|e| match e {
        Refused::Damaged(what) => Error::format(path, place("NumPy header"), what),
        Refused::Unsupported(what) => Error::unsupported(path, what),
    })?;
    header.start = (before + length) as u64;
    Ok(header)
}

enum Refused {
    Damaged(String),
    Unsupported(String),
}

/// Parses the dictionary, e.g. `{'descr': '<f8', 'fortran_order': False, 'shape': (40, 50), }`.
fn parse(text: &str) -> std::result::Result<Header, Refused> {
    let damaged = |what: &str| Refused::Damaged(what.to_owned());
    let fields =
        Fields::parse(text).ok_or_else(|| Refused::Damaged(format!("cannot be understood: {}", Fields::excerpt(text))))?;
    let descr = fields.descr.ok_or_else(|| damaged("'descr' is missing"))?;
    if descr.starts_with(['[', '(']) {
        return Err(Refused::Unsupported("a NumPy array of records".into()));
    }
    let (order, kind) = match descr.chars().next() {
        Some(order @ ('<' | '>' | '|' | '=')) => (order, &descr[1..]),
        _ => ('|', descr.as_str()),
    };
    let mut letters = kind.chars();
    let (letter, size) = (letters.next(), letters.as_str().parse::<usize>());
    let (Some(kind), Ok(size)) = (letter, size) else {
        return Err(Refused::Unsupported(format!("NumPy type '{descr}'")));
    };
    if kind == 'O' || size == 0 || size > 1024 {
        return Err(Refused::Unsupported(format!("NumPy type '{descr}'")));
    }
    Ok(Header {
        kind,
        size,
        big_endian: order == '>' || (order == '=' && cfg!(target_endian = "big")),
        fortran: fields.fortran.ok_or_else(|| damaged("'fortran_order' is missing"))?,
        shape: fields.shape.ok_or_else(|| damaged("'shape' is missing"))?,
        start: 0,
    })
}
