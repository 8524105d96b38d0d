//! Results: plain HDF5 that any program opens, with unit, axes and meaning beside every dataset.

pub(super) use super::provenance::calibration;
pub use super::provenance::{Input, Provenance, Timing, iso_time};
use crate::error::{Error, Result};
pub use crate::io::fingerprint::fingerprint;
pub use crate::io::output::{AtomicFile, OutputDir, write_file};
use hdf5::types::VarLenUnicode;
use hdf5::{Group, H5Type};
use ndarray::{ArrayView, Dimension};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What a dataset holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Meta<'a> {
    /// `counts`, `px`, `rad`; empty for pure numbers.
    pub unit: &'a str,
    /// One name for each axis, slowest first: `["scan_y", "scan_x"]`, `["y", "x"]`.
    pub axes: &'a [&'a str],
    /// One sentence.
    pub meaning: &'a str,
}

impl<'a> Meta<'a> {
    /// Unit, axes and meaning in this order.
    pub fn new(unit: &'a str, axes: &'a [&'a str], meaning: &'a str) -> Self {
        Meta { unit, axes, meaning }
    }
}

/// A value that a dataset can hold.
pub trait Value: H5Type + Clone {
    /// What stands where there is no value: NaN, the largest unsigned number, −1, false.
    const MISSING: Self;
}
macro_rules! value {
    ($($t:ty: $missing:expr),*) => {$(
        impl Value for $t {
            const MISSING: Self = $missing;
        }
    )*};
}
value!(f32: f32::NAN, f64: f64::NAN, i8: -1, i16: -1, i32: -1, i64: -1);
value!(u8: u8::MAX, u16: u16::MAX, u32: u32::MAX, u64: u64::MAX, bool: false);

/// A result file in the making; dropped without [`ResultFile::finish`], it leaves nothing.
#[derive(Debug)]
pub struct ResultFile {
    // Closed before the temporary file is removed or renamed: fields are dropped in order.
    file: hdf5::File,
    temp: tempfile::TempPath,
    /// Where it goes now, and the name that people know.
    path: PathBuf,
    target: PathBuf,
    overwrite: bool,
}

/// Datasets above this many bytes are compressed.
const COMPRESS: usize = 64 << 10;
/// Bytes of a chunk, about.
const CHUNK: usize = 1 << 20;

impl ResultFile {
    /// Starts a file beside `path`.
    ///
    /// # Errors
    /// [`Error::Io`] if `path` exists and `overwrite` is false, or its folder is missing or not writable.
    pub fn create(path: impl AsRef<Path>, overwrite: bool) -> Result<Self> {
        let target = path.as_ref();
        Self::create_as(target, target, overwrite)
    }
    /// For a file inside a folder that will be renamed: errors name `shown`.
    pub(super) fn create_as(path: &Path, shown: &Path, overwrite: bool) -> Result<Self> {
        let (path, target) = (path.to_owned(), shown.to_owned());
        let temp = super::output::temp_file(&path, overwrite)?.into_temp_path();
        let file = hdf5::File::create(&temp).map_err(|e| hdf5_error(&target, "cannot create", &e))?;
        Ok(ResultFile {
            file,
            temp,
            path,
            target,
            overwrite,
        })
    }
    /// The file's final name.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Writes a dataset and the groups on the way to it, e.g. `stats/std`. Arrays above 64 KiB are compressed (shuffle and gzip 4).
    ///
    /// # Errors
    /// [`Error::Io`] if the disk refuses; [`Error::Internal`] if the number of axes is not that of the array or the path is taken.
    pub fn put<T: Value, D: Dimension>(&self, path: &str, array: ArrayView<'_, T, D>, meta: Meta<'_>) -> Result<()> {
        if self.file.link_exists(path) {
            return Err(Error::Internal(format!("{path} is written twice")));
        }
        dataset(&self.file, path, array, meta, &self.target)
    }

    /// Starts a dataset that grows: rows of shape `tail` are appended as they are found. Compressed (shuffle and gzip 4).
    ///
    /// # Errors
    /// As [`ResultFile::put`]; `meta` names the growing axis first.
    pub fn stream<T: Value>(&self, path: &str, tail: &[usize], meta: Meta<'_>) -> Result<Stream<T>> {
        if self.file.link_exists(path) {
            return Err(Error::Internal(format!("{path} is written twice")));
        }
        Stream::create(&self.file, path, tail, meta, &self.target)
    }

    /// Reads a dataset back that was written before, of at most `most` bytes; streams must have been flushed.
    ///
    /// # Errors
    /// [`Error::Io`] if it is not there or cannot be read, [`Error::Memory`] if it is larger.
    pub fn read<T: Value, D: Dimension>(&self, path: &str, most: u64) -> Result<ndarray::Array<T, D>> {
        let failed = |e: hdf5::Error| hdf5_error(&self.target, "cannot read back", &e);
        let dataset = self.file.dataset(path).map_err(failed)?;
        let bytes = (dataset.size() as u64).saturating_mul(size_of::<T>() as u64);
        if bytes > most {
            return Err(Error::Memory {
                what: format!("{path} takes {} MiB of the {} MiB that it may", bytes >> 20, most >> 20),
            });
        }
        dataset.read::<T, D>().map_err(failed)
    }

    /// Adds numbers as an attribute of a dataset or group that exists, e.g. the step of a calibrated axis.
    ///
    /// # Errors
    /// [`Error::Io`] if the object is missing, the attribute exists, or the disk refuses.
    pub fn attribute(&self, path: &str, name: &str, values: &[f64]) -> Result<()> {
        let failed = |e: hdf5::Error| hdf5_error(&self.target, "cannot write", &e);
        let builder = match self.file.dataset(path) {
            Ok(dataset) => dataset.new_attr_builder(),
            Err(_) => self.file.group(path).map_err(failed)?.new_attr_builder(),
        };
        builder.with_data(values).create(name).map(|_| ()).map_err(failed)
    }

    /// Writes `/provenance`; once for a file.
    ///
    /// # Errors
    /// [`Error::Io`] if the disk refuses, [`Error::Internal`] if it is there already.
    pub fn provenance(&self, provenance: &Provenance) -> Result<()> {
        if self.file.link_exists("provenance") {
            return Err(Error::Internal("provenance is written twice".into()));
        }
        let failed = |e: hdf5::Error| hdf5_error(&self.target, "cannot write", &e);
        let write = || -> hdf5::Result<()> {
            let group = self.file.create_group("provenance")?;
            put_text(&group, "program", "emstream")?;
            put_text(&group, "version", env!("CARGO_PKG_VERSION"))?;
            put_text(&group, "command", &provenance.command)?;
            put_text(&group, "backend", &provenance.backend)?;
            put_text(&group, "adapter", &provenance.adapter)?;
            put_text(&group, "written", &iso_time(SystemTime::now()))?;
            let parameters = group.new_dataset::<VarLenUnicode>().create("parameters")?;
            parameters.write_scalar(&text(&provenance.parameters)?)?;
            put_text(
                &parameters,
                "description",
                "effective parameters, TOML: write it to a file and pass it with --params",
            )?;

            if !provenance.calibration.is_empty() {
                let axes = self.file.create_group("calibration")?;
                put_text(&axes, "description", "step and unit of the axes that the input knows")?;
                for (name, axis) in &provenance.calibration {
                    let axis_group = axes.create_group(name)?;
                    let scale = axis.scale.unwrap_or(1.0);
                    axis_group.new_attr::<f64>().create("scale")?.write_scalar(&scale)?;
                    put_text(&axis_group, "unit", &axis.unit)?;
                }
            }

            let timings = group.create_group("timings")?;
            put_text(&timings, "description", "wall time of each step, one entry each")?;
            column_text(&timings, "step", provenance.timings.iter().map(|t| t.step.as_str()))?;
            column(
                &timings,
                "seconds",
                "s",
                provenance.timings.iter().map(|t| t.seconds).collect(),
            )?;
            column(&timings, "frames", "", provenance.timings.iter().map(|t| t.frames).collect())?;
            column(&timings, "bytes", "", provenance.timings.iter().map(|t| t.bytes).collect())?;
            for (n, part) in ["read", "upload", "device", "read_back", "host"].into_iter().enumerate() {
                column(&timings, part, "s", provenance.timings.iter().map(|t| t.split[n]).collect())?;
            }
            let uploaded = provenance.timings.iter().map(|t| t.uploaded).collect();
            column(&timings, "uploaded_bytes", "", uploaded)?;

            let input = group.create_group("input")?;
            put_text(&input, "description", "files that were read, one entry each")?;
            column_text(&input, "name", provenance.inputs.iter().map(|i| i.name.as_str()))?;
            column(&input, "bytes", "", provenance.inputs.iter().map(|i| i.bytes).collect())?;
            column_text(&input, "modified", provenance.inputs.iter().map(|i| i.modified.as_str()))?;
            column_text(
                &input,
                "fingerprint",
                provenance.inputs.iter().map(|i| i.fingerprint.as_str()),
            )
        };
        write().map_err(failed)
    }

    /// Closes the file, waits for the disk and renames.
    ///
    /// # Errors
    /// [`Error::Io`], after which nothing is left behind and an existing file is as it was.
    pub fn finish(self) -> Result<()> {
        let ResultFile {
            file,
            temp,
            path,
            target,
            overwrite,
        } = self;
        settle(file, &temp, &target)?;
        super::output::persist(temp, &path, overwrite)
    }
}

/// Closes a file at `path` and waits for the disk; `target` is its name for messages.
pub(crate) fn settle(file: hdf5::File, path: &Path, target: &Path) -> Result<()> {
    let failed = |e: hdf5::Error| hdf5_error(target, "cannot write", &e);
    file.flush().map_err(failed)?;
    file.close().map_err(failed)?;
    // Some file systems tell only now that they are full.
    let synced = std::fs::File::options().write(true).open(path).and_then(|f| f.sync_all());
    synced.map_err(|e| Error::io(target, "cannot write", e))
}

/// A dataset in the making whose number of rows is not known yet. Rows wait in memory until they fill about a mebibyte.
pub struct Stream<T> {
    dataset: hdf5::Dataset,
    tail: Vec<usize>,
    /// Rows written.
    rows: usize,
    waiting: Vec<T>,
    target: PathBuf,
}

impl<T: Value> Stream<T> {
    fn create(file: &hdf5::File, path: &str, tail: &[usize], meta: Meta<'_>, target: &Path) -> Result<Self> {
        if tail.len() > 3 || meta.axes.len() != tail.len() + 1 {
            return Err(Error::Internal(format!("{path}: rows of {} axes", tail.len())));
        }
        let row = tail.iter().product::<usize>().max(1) * size_of::<T>();
        let mut extents = vec![hdf5::Extent::resizable(0)];
        extents.extend(tail.iter().map(|&n| hdf5::Extent::fixed(n)));
        let mut chunk = vec![(CHUNK / row).clamp(1, 4096)];
        chunk.extend(chunk_shape(tail, size_of::<T>()));
        let create = || -> hdf5::Result<hdf5::Dataset> {
            let mut builder = file
                .new_dataset::<T>()
                .shape(hdf5::SimpleExtents::from_vec(extents))
                .chunk(chunk);
            if hdf5::filters::deflate_available() {
                builder = builder.shuffle().deflate(4);
            }
            let dataset = builder.create(path)?;
            put_text(&dataset, "unit", meta.unit)?;
            put_texts(&dataset, "axes", meta.axes)?;
            put_text(&dataset, "description", meta.meaning)?;
            Ok(dataset)
        };
        Ok(Stream {
            dataset: create().map_err(|e| hdf5_error(target, "cannot write", &e))?,
            tail: tail.to_vec(),
            rows: 0,
            waiting: Vec::new(),
            target: target.to_owned(),
        })
    }

    /// Appends whole rows.
    ///
    /// # Errors
    /// [`Error::Io`] if the disk refuses, [`Error::Internal`] for half a row.
    pub fn append(&mut self, values: impl IntoIterator<Item = T>) -> Result<()> {
        self.waiting.extend(values);
        match self.waiting.len() * size_of::<T>() >= CHUNK {
            true => self.flush(),
            false => Ok(()),
        }
    }

    /// Rows appended so far.
    pub fn rows(&self) -> usize {
        self.rows + self.waiting.len() / self.tail.iter().product::<usize>().max(1)
    }

    /// Writes what waits; call it at the end.
    ///
    /// # Errors
    /// As [`Stream::append`].
    pub fn flush(&mut self) -> Result<()> {
        let row = self.tail.iter().product::<usize>().max(1);
        if !self.waiting.len().is_multiple_of(row) {
            return Err(Error::Internal("half a row of a result".into()));
        }
        let (from, rows) = (self.rows, self.waiting.len() / row);
        if rows == 0 {
            return Ok(());
        }
        let to = from + rows;
        let mut shape = vec![rows];
        shape.extend(&self.tail);
        let values = ndarray::ArrayViewD::from_shape(shape, &self.waiting[..]);
        let values = values.map_err(|e| Error::Internal(format!("rows of a result: {e}")))?;
        let mut whole = vec![to];
        whole.extend(&self.tail);
        let write = || -> hdf5::Result<()> {
            self.dataset.resize(whole)?;
            match self.tail.len() {
                0 => self.dataset.write_slice(values, from..to),
                1 => self.dataset.write_slice(values, (from..to, ..)),
                2 => self.dataset.write_slice(values, (from..to, .., ..)),
                _ => self.dataset.write_slice(values, (from..to, .., .., ..)),
            }
        };
        write().map_err(|e| hdf5_error(&self.target, "cannot write", &e))?;
        self.waiting.clear();
        self.rows = to;
        Ok(())
    }
}

/// Writes a dataset with unit, axes and meaning as attributes; `target` is the file's name for messages.
pub(super) fn dataset<T: Value, D: Dimension>(
    group: &Group,
    path: &str,
    array: ArrayView<'_, T, D>,
    meta: Meta<'_>,
    target: &Path,
) -> Result<()> {
    if meta.axes.len() != array.ndim() {
        return Err(Error::Internal(format!(
            "{path}: {} axes named for {} dimensions",
            meta.axes.len(),
            array.ndim()
        )));
    }
    let write = || -> hdf5::Result<()> {
        let standard = array.as_standard_layout();
        let mut builder = group.new_dataset_builder();
        if standard.len() * size_of::<T>() > COMPRESS && hdf5::filters::deflate_available() {
            builder = builder
                .chunk(chunk_shape(standard.shape(), size_of::<T>()))
                .shuffle()
                .deflate(4);
        }
        let dataset = builder.with_data(standard.view()).create(path)?;
        put_text(&dataset, "unit", meta.unit)?;
        put_texts(&dataset, "axes", meta.axes)?;
        put_text(&dataset, "description", meta.meaning)
    };
    write().map_err(|e| hdf5_error(target, "cannot write", &e))
}

/// Whole trailing axes, as many as make about [`CHUNK`] bytes, and a run of the axis before.
pub(super) fn chunk_shape(shape: &[usize], bytes: usize) -> Vec<usize> {
    let mut chunk = vec![1; shape.len()];
    let mut size = bytes;
    for (c, &n) in chunk.iter_mut().zip(shape).rev() {
        *c = (CHUNK / size).clamp(1, n.max(1));
        size *= *c;
    }
    chunk
}

/// Text for HDF5, whose strings end at the first NUL.
pub(crate) fn text(value: &str) -> hdf5::Result<VarLenUnicode> {
    value
        .replace('\0', " ")
        .parse()
        .map_err(|e| hdf5::Error::from(format!("text for HDF5: {e}")))
}

pub(crate) fn put_text(at: &hdf5::Location, name: &str, value: &str) -> hdf5::Result<()> {
    at.new_attr::<VarLenUnicode>().create(name)?.write_scalar(&text(value)?)
}

pub(super) fn put_texts(at: &hdf5::Location, name: &str, values: &[&str]) -> hdf5::Result<()> {
    let values = values.iter().map(|v| text(v)).collect::<hdf5::Result<Vec<_>>>()?;
    at.new_attr_builder().with_data(&values).create(name).map(|_| ())
}

fn column<T: H5Type>(group: &Group, name: &str, unit: &str, values: Vec<T>) -> hdf5::Result<()> {
    let dataset = group.new_dataset_builder().with_data(&values).create(name)?;
    put_text(&dataset, "unit", unit)
}

fn column_text<'a>(group: &Group, name: &str, values: impl Iterator<Item = &'a str>) -> hdf5::Result<()> {
    let values = values.map(text).collect::<hdf5::Result<Vec<_>>>()?;
    group.new_dataset_builder().with_data(&values).create(name).map(|_| ())
}

/// An [`Error::Io`] with the cause that lies deepest in HDF5's error stack, the system's own where there is one.
pub(crate) fn hdf5_error(path: &Path, action: &'static str, error: &hdf5::Error) -> Error {
    let mut cause = error.to_string();
    if let hdf5::Error::HDF5(stack) = error
        && let Ok(stack) = stack.clone().expand()
    {
        // "file write failed: time = …, errno = 28, error message = 'No space left on device', buf = …"
        let system = stack.iter().filter_map(|frame| {
            let description = frame.description();
            let number: String = description
                .split_once("errno = ")?
                .1
                .chars()
                .take_while(char::is_ascii_digit)
                .collect();
            number.parse().ok()
        });
        if let Some(number) = system.reduce(|_, deeper| deeper) {
            return Error::io(path, action, std::io::Error::from_raw_os_error(number));
        }
        if let Some(frame) = stack.iter().last() {
            cause = format!("HDF5: {}", frame.description());
        }
    }
    Error::io(path, action, std::io::Error::other(cause))
}
