//! One array of a zarr hierarchy: its description, and its chunks.

use super::store::Store;
use crate::error::{Error, Result};
use crate::io::chunked::{Chunks, shrink};
use crate::io::codecs::{Compressor, decode_shuffled};
use crate::io::dtype::Stored;
use crate::io::limits::{self, tuple};
use serde_json::Value;
use std::cell::RefCell;
use std::sync::Arc;

thread_local! {
    static PACKED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Longest chunk as decoded.
const MAX_CHUNK: u64 = 1 << 31;

/// What `.zarray` says.
#[derive(Debug, Clone)]
pub(super) struct Description {
    pub shape: Vec<u64>,
    pub chunks: Vec<u64>,
    pub stored: Stored,
    pub compressor: Compressor,
    /// Bytes of an element whose bytes numcodecs' Shuffle has parted.
    pub shuffled: Option<usize>,
    /// Bytes of the value of pixels that were never written.
    pub fill: Vec<u8>,
    pub separator: char,
}

impl Description {
    /// Reads a `.zarray` of version 2.
    ///
    /// # Errors
    /// [`Error::Format`] for contradictions, [`Error::Unsupported`] for other versions, types, orders, filters and compressors.
    pub fn read(store: &Store, key: &str) -> Result<Description> {
        let file = if key.is_empty() {
            ".zarray".to_owned()
        } else {
            format!("{key}/.zarray")
        };
        let shown = store.shown(&file);
        let json = store.json(&file)?;
        let json = json.ok_or_else(|| Error::format(&shown, "array", "the description is missing"))?;
        let wrong = |field: &str, what: String| Error::format(&shown, field.to_owned(), what);
        let unsupported = |what: String| Error::unsupported(&shown, what);
        let get = |field: &str| json.get(field).unwrap_or(&Value::Null);
        if get("zarr_format").as_u64() != Some(2) {
            return Err(unsupported(format!("zarr version {}; version 2 is read", get("zarr_format"))));
        }
        let numbers = |field: &str| -> Result<Vec<u64>> {
            let list = get(field).as_array().filter(|l| l.len() <= 64);
            let list = list.and_then(|l| l.iter().map(Value::as_u64).collect::<Option<Vec<_>>>());
            list.ok_or_else(|| wrong(field, format!("{} is no list of sizes", get(field))))
        };
        let (shape, chunks) = (numbers("shape")?, numbers("chunks")?);
        if shape.len() != chunks.len() || chunks.contains(&0) {
            return Err(wrong(
                "chunks",
                format!("{} for an array of shape {}", tuple(&chunks), tuple(&shape)),
            ));
        }
        let name = get("dtype").as_str().unwrap_or("");
        let stored = Stored::parse(name).ok_or_else(|| unsupported(format!("values of type {}", get("dtype"))))?;
        if get("order").as_str() == Some("F") && shape.iter().filter(|&&n| n > 1).count() > 1 {
            return Err(unsupported("chunks in Fortran order".to_owned()));
        }
        let shuffled = match get("filters").as_array().map(Vec::as_slice) {
            None | Some([]) => None,
            Some([filter]) if filter.get("id").and_then(Value::as_str) == Some("shuffle") => {
                let size = filter.get("elementsize").and_then(Value::as_u64).unwrap_or(4);
                let size = usize::try_from(size).ok().filter(|n| (1..=256).contains(n));
                Some(size.ok_or_else(|| wrong("filters", format!("{filter} has no element size")))?)
            }
            Some(_) => return Err(unsupported(format!("filters {}; shuffle alone is read", get("filters")))),
        };
        let compressor = match get("compressor") {
            Value::Null => Compressor::None,
            c => {
                let id = c.get("id").and_then(Value::as_str).unwrap_or("");
                Compressor::named(id)
                    .ok_or_else(|| unsupported(format!("compressor '{id}'; blosc, zstd, gzip, zlib and lz4 are read")))?
            }
        };
        let bytes = chunks.iter().try_fold(stored.bytes() as u64, |n, &d| n.checked_mul(d));
        if bytes.is_none_or(|n| n > MAX_CHUNK) {
            return Err(Error::limit(
                &shown,
                format!("chunks {} of {stored} take more than {MAX_CHUNK} bytes", tuple(&chunks)),
            ));
        }
        let separator = match get("dimension_separator").as_str() {
            None | Some(".") => '.',
            Some("/") => '/',
            Some(other) => return Err(wrong("dimension_separator", format!("'{other}' is neither . nor /"))),
        };
        let fill = fill_value(stored, get("fill_value")).ok_or_else(|| wrong("fill_value", get("fill_value").to_string()))?;
        Ok(Description {
            shape,
            chunks,
            stored,
            compressor,
            shuffled,
            fill,
            separator,
        })
    }
}

/// The bytes of a value, zero where none is defined.
fn fill_value(stored: Stored, value: &Value) -> Option<Vec<u8>> {
    use crate::io::dtype::Kind;
    let float = match value {
        Value::Null => Some(0.0),
        Value::Bool(b) => Some(f64::from(u8::from(*b))),
        Value::String(s) => match s.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        other => other.as_f64(),
    }?;
    let integer = || {
        value
            .as_i64()
            .or_else(|| value.as_u64().map(|n| n as i64))
            .unwrap_or(float as i64)
    };
    let n = stored.bytes();
    let mut bytes = match stored.kind {
        Kind::F32 => (float as f32).to_le_bytes().to_vec(),
        Kind::F64 => float.to_le_bytes().to_vec(),
        Kind::F16 if float == 0.0 => vec![0; 2],
        Kind::F16 if float.is_nan() => vec![0, 0x7e],
        Kind::F16 => return None,
        _ => integer().to_le_bytes()[..n].to_vec(),
    };
    if stored.big_endian {
        bytes.reverse();
    }
    Some(bytes)
}

/// How dimensions of the array stand for those of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dimensions {
    Scan,
    Stack,
    /// (ny, nx, channels)
    Spectra,
}

impl Dimensions {
    /// (ny, nx, height, width) of one value for each dimension.
    pub fn four(self, v: &[u64]) -> Option<[u64; 4]> {
        match (self, v) {
            (Dimensions::Scan, &[a, b, c, d]) => Some([a, b, c, d]),
            (Dimensions::Stack, &[n, h, w]) => Some([1, n, h, w]),
            (Dimensions::Spectra, &[y, x, n]) => Some([y, x, 1, n]),
            _ => None,
        }
    }
    fn stored(self, [a, b, c, d]: [u64; 4]) -> Vec<u64> {
        match self {
            Dimensions::Scan => vec![a, b, c, d],
            Dimensions::Stack => vec![b, c, d],
            Dimensions::Spectra => vec![a, b, d],
        }
    }
}

/// The chunks of an array.
pub(super) struct ZarrChunks {
    pub store: Arc<Store>,
    pub key: String,
    pub description: Description,
    pub dimensions: Dimensions,
}

impl Chunks for ZarrChunks {
    fn decode(&self, offset: [u64; 4], out: &mut [u8]) -> Result<()> {
        let d = &self.description;
        let offset = self.dimensions.stored(offset);
        let grid: Vec<String> = offset.iter().zip(&d.chunks).map(|(o, c)| (o / c).to_string()).collect();
        let name = grid.join(&d.separator.to_string());
        let key = if self.key.is_empty() {
            name
        } else {
            format!("{}/{name}", self.key)
        };
        PACKED.with_borrow_mut(|packed| {
            // No compressor makes data longer than this.
            let most = 2 * out.len() as u64 + (64 << 10);
            let found = self.store.read(&key, most, packed)?;
            if !found {
                out.chunks_exact_mut(d.fill.len()).for_each(|p| p.copy_from_slice(&d.fill));
                return Ok(());
            }
            let outcome = match d.shuffled {
                None => d.compressor.decode(packed, out),
                Some(size) => decode_shuffled(d.compressor, size, packed, out),
            };
            shrink(packed);
            outcome.map_err(|what| Error::format(self.store.shown(&key), format!("chunk at {}", limits::tuple(&offset)), what))
        })
    }
}
