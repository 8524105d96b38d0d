//! HyperSpy's `.zspy`: a folder in Zarr's format, version 2, with a file for each chunk. Layout: the Zarr storage specification, version 2, with
//! `/` between the numbers of a chunk, and RosettaSciIO's hierarchical format.

use super::codec::{Chunks, pack};
use super::flat::numpy_code;
use super::hyperspy::{Attribute, SignalAxis, group_name, tree};
use super::{Compression, NewScan, Place, ScanWriter};
use crate::error::{Error, Result};
use serde_json::{Map, Value, json};
use std::fs;
use std::path::{Path, PathBuf};

struct ZarrWriter {
    at: PathBuf,
    name: PathBuf,
    /// Folder of the chunks.
    data: PathBuf,
    scan: NewScan,
    chunks: Chunks,
    compression: Compression,
}

impl ZarrWriter {
    fn new(place: Place<'_>, scan: &NewScan, compression: Compression) -> ZarrWriter {
        ZarrWriter {
            at: place.at.to_owned(),
            name: place.name(),
            data: place.at.join("Experiments").join(group_name(&scan.title)).join("data"),
            scan: scan.clone(),
            chunks: Chunks::of(scan),
            compression,
        }
    }

    /// The description of the array.
    fn zarray(&self) -> Value {
        let pixel = self.scan.frame.pixel;
        let order = match pixel.bytes() {
            1 => '|',
            _ if cfg!(target_endian = "big") => '>',
            _ => '<',
        };
        let (h, w) = (self.scan.frame.height, self.scan.frame.width);
        let compressor = match self.compression {
            Compression::None => Value::Null,
            Compression::Gzip(level) => json!({"id": "zlib", "level": level}),
            Compression::Zstd(level) => json!({"id": "zstd", "level": level}),
        };
        let filters = match self.compression {
            Compression::None => Value::Null,
            _ => json!([{"id": "shuffle", "elementsize": pixel.bytes()}]),
        };
        json!({
            "zarr_format": 2,
            "shape": [self.scan.nav[0], self.scan.nav[1], h, w],
            "chunks": [1, self.chunks.frames, h, w],
            "dtype": format!("{order}{}", numpy_code(pixel)),
            "compressor": compressor,
            "filters": filters,
            "fill_value": 0,
            "order": "C",
            "dimension_separator": "/",
        })
    }

    fn failed(&self, e: std::io::Error) -> Error {
        Error::io(&self.name, "cannot write", e)
    }

    fn write_json(&self, path: &Path, value: &Value) -> Result<()> {
        fs::write(path, format!("{value:#}\n")).map_err(|e| self.failed(e))
    }
}

/// Begins a folder; one that is there is removed.
pub(super) fn begin(place: Place<'_>, scan: &NewScan, compression: Compression) -> Result<Box<dyn ScanWriter>> {
    let writer = ZarrWriter::new(place, scan, compression);
    if place.at.is_dir() {
        fs::remove_dir_all(place.at).map_err(|e| writer.failed(e))?;
    }
    let axes = scan.axes();
    let axes: Vec<SignalAxis<'_>> = axes
        .iter()
        .enumerate()
        .map(|(i, (name, size, step))| SignalAxis {
            name,
            size: *size,
            step,
            navigate: i < 2,
        })
        .collect();
    for (path, attributes) in tree(&scan.title, &axes) {
        let folder = place.at.join(path);
        fs::create_dir_all(&folder).map_err(|e| writer.failed(e))?;
        writer.write_json(&folder.join(".zgroup"), &json!({"zarr_format": 2}))?;
        let values = attributes.into_iter().map(|(name, value)| {
            let value = match value {
                Attribute::Text(text) => Value::from(text),
                Attribute::Float(v) => Value::from(v),
                Attribute::Integer(v) => Value::from(v),
                Attribute::Bool(v) => Value::from(v),
            };
            (name.to_owned(), value)
        });
        let values: Map<String, Value> = values.collect();
        if !values.is_empty() {
            writer.write_json(&folder.join(".zattrs"), &Value::Object(values))?;
        }
    }
    fs::create_dir_all(&writer.data).map_err(|e| writer.failed(e))?;
    writer.write_json(&writer.data.join(".zarray"), &writer.zarray())?;
    Ok(Box::new(writer))
}

pub(super) fn resume(place: Place<'_>, scan: &NewScan, compression: Compression) -> Option<Box<dyn ScanWriter>> {
    let writer = ZarrWriter::new(place, scan, compression);
    let text = fs::read_to_string(writer.data.join(".zarray")).ok()?;
    let found: Value = serde_json::from_str(&text).ok()?;
    (found == writer.zarray()).then(|| Box::new(writer) as Box<dyn ScanWriter>)
}

/// True for a folder that holds Zarr data and may therefore be replaced as one.
pub(crate) fn is_zarr(folder: &Path) -> bool {
    [".zgroup", ".zarray", "zarr.json"].iter().any(|n| folder.join(n).is_file())
}

impl ScanWriter for ZarrWriter {
    fn boundary(&self, at: u64) -> u64 {
        self.chunks.boundary(at)
    }
    fn put(&self, first: u64, frames: &[u8]) -> Result<()> {
        self.scan.check(&self.name, first, frames.len())?;
        for ([y, x], bytes) in self.chunks.cut(first, frames)? {
            let packed = pack(self.chunks.full(bytes), self.scan.frame.pixel.bytes(), self.compression)?;
            let folder = self.data.join(format!("{y}/{}/0", x / self.chunks.frames as u64));
            fs::create_dir_all(&folder).map_err(|e| self.failed(e))?;
            fs::write(folder.join("0"), packed).map_err(|e| self.failed(e))?;
        }
        Ok(())
    }
    fn sync(&self) -> Result<()> {
        // A file for each chunk: one call for all of them.
        #[cfg(target_os = "linux")]
        {
            use std::os::fd::AsRawFd;
            let folder = fs::File::open(&self.at).map_err(|e| self.failed(e))?;
            // SAFETY: the descriptor is open for the call.
            if unsafe { libc::syncfs(folder.as_raw_fd()) } != 0 {
                return Err(self.failed(std::io::Error::last_os_error()));
            }
        }
        Ok(())
    }
    fn suspend(self: Box<Self>) -> Result<()> {
        self.sync()
    }
    fn finish(self: Box<Self>) -> Result<()> {
        self.sync()
    }
}
