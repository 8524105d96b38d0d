//! HDF5 files: plain, HyperSpy's, EMD 1.0. Uncompressed pixels go past the library to their places; chunks are packed by the threads that bring
//! them and handed to the library whole.

use super::codec::{Chunks, pack, write_chunk};
use super::flat::write_all_at;
use super::hspy::{self, Described, Description};
use super::hyperspy::group_name;
use super::{Compression, Format, NewScan, Place, ScanWriter};
use crate::error::{Error, Result};
use crate::io::Axis;
use crate::io::dtype::Stored;
use crate::io::h5::{kind_of, native_type};
use crate::io::results::{hdf5_error, put_text};
use hdf5::dataset::{Dataset, Layout};
use hdf5::plist::dataset_create::{AllocTime, FillTime};
use hdf5::types::VarLenUnicode;
use hdf5::{File, Group};
use std::path::PathBuf;

struct Hdf5Writer {
    // Dropped in this order: the dataset is closed before its file.
    dataset: Dataset,
    file: File,
    at: PathBuf,
    name: PathBuf,
    scan: NewScan,
    pixels: Pixels,
}

/// How pixels get to their places.
enum Pixels {
    /// The file itself and the byte of the first frame.
    Plain(std::fs::File, u64),
    Chunked(Chunks, Compression),
}

/// Path of the pixels.
fn dataset_path(format: Format, scan: &NewScan) -> String {
    match format {
        Format::Hspy => {
            let title = scan.signal.as_ref().map_or(&scan.title, |s| &s.title);
            format!("Experiments/{}/data", group_name(title))
        }
        Format::Emd => format!("{EMD_ROOT}/{EMD_ARRAY}/data"),
        _ => "data".into(),
    }
}

pub(super) fn begin(format: Format, place: Place<'_>, scan: &NewScan, compression: Compression) -> Result<Box<dyn ScanWriter>> {
    if compression != Compression::None && !hdf5::filters::deflate_available() {
        return Err(Error::parameter("--compression", "this HDF5 library was built without gzip"));
    }
    // The library's own message would name the temporary file.
    std::fs::File::create(place.at).map_err(|e| Error::io(place.name, "cannot create", e))?;
    let make = || -> hdf5::Result<(File, Dataset)> {
        let file = File::create(place.at)?;
        match format {
            Format::Hspy => describe_hspy(&file, scan)?,
            Format::Emd => describe_emd(&file, scan)?,
            // Pixels that are only counted need no coordinates.
            _ if scan.axes().iter().any(|(_, _, axis)| axis.scale.is_some()) => put_dims(&file, scan, 1)?,
            _ => {}
        }
        let kind = Stored::parse(scan.frame.pixel.name()).map(|s| s.kind);
        let dtype = native_type(kind.ok_or("no stored type for these pixels")?)?;
        let shape = dims(scan, scan.nav[1]);
        let mut chunk = dims(scan, Chunks::of(scan).frames);
        chunk[0] = 1;
        let builder = file.new_dataset_builder().obj_track_times(false);
        let builder = match compression {
            // All space is taken now and nothing of it is written by the library, so that frames can go past it.
            Compression::None => builder
                .layout(Layout::Contiguous)
                .alloc_time(Some(AllocTime::Early))
                .fill_time(FillTime::Never),
            Compression::Gzip(level) | Compression::Zstd(level) => builder.chunk(chunk).shuffle().deflate(level.clamp(1, 9)),
        };
        let dataset = builder
            .empty_as(&dtype)
            .shape(shape)
            .create(dataset_path(format, scan).as_str())?;
        if format == Format::Emd {
            put_text(&dataset, "units", "counts")?;
        }
        file.flush()?;
        Ok((file, dataset))
    };
    let (file, dataset) = make().map_err(|e| hdf5_error(place.name, "cannot write", &e))?;
    let writer = Hdf5Writer::open(file, dataset, place, scan, compression)?;
    Ok(Box::new(writer))
}

pub(super) fn resume(format: Format, place: Place<'_>, scan: &NewScan, compression: Compression) -> Option<Box<dyn ScanWriter>> {
    let file = File::open_rw(place.at).ok()?;
    let dataset = file.dataset(&dataset_path(format, scan)).ok()?;
    let kind = kind_of(&dataset.dtype().ok()?)?;
    let shape = dims(scan, scan.nav[1]);
    let plain = compression == Compression::None;
    let same = dataset.shape() == shape
        && kind.kind.default_pixel() == scan.frame.pixel
        && (dataset.layout() == Layout::Contiguous) == plain;
    let writer = Hdf5Writer::open(file, dataset, place, scan, compression);
    writer.ok().filter(|_| same).map(|w| Box::new(w) as Box<dyn ScanWriter>)
}

impl Hdf5Writer {
    fn open(file: File, dataset: Dataset, place: Place<'_>, scan: &NewScan, compression: Compression) -> Result<Self> {
        let pixels = match compression {
            Compression::None => {
                let start = dataset
                    .offset()
                    .ok_or_else(|| Error::Internal("no space was taken for frames".into()))?;
                let file = std::fs::File::options().write(true).open(place.at);
                Pixels::Plain(file.map_err(|e| Error::io(place.name, "cannot write", e))?, start)
            }
            packed => Pixels::Chunked(Chunks::of(scan), packed),
        };
        Ok(Hdf5Writer {
            dataset,
            file,
            at: place.at.to_owned(),
            name: place.name(),
            scan: scan.clone(),
            pixels,
        })
    }
}

impl ScanWriter for Hdf5Writer {
    fn boundary(&self, at: u64) -> u64 {
        match &self.pixels {
            Pixels::Plain(..) => at,
            Pixels::Chunked(chunks, _) => chunks.boundary(at),
        }
    }
    fn put(&self, first: u64, frames: &[u8]) -> Result<()> {
        self.scan.check(&self.name, first, frames.len())?;
        match &self.pixels {
            Pixels::Plain(file, start) => {
                let at = start + first * self.scan.frame.bytes() as u64;
                write_all_at(file, frames, at).map_err(|e| Error::io(&self.name, "cannot write", e))
            }
            Pixels::Chunked(chunks, compression) => {
                for (position, bytes) in chunks.cut(first, frames)? {
                    let packed = pack(chunks.full(bytes), self.scan.frame.pixel.bytes(), *compression)?;
                    let offset = [position[0], position[1], 0, 0];
                    let offset = &offset[..self.dataset.ndim().clamp(2, 4)];
                    write_chunk(&self.dataset, &self.name, offset, &packed)?;
                }
                Ok(())
            }
        }
    }
    fn sync(&self) -> Result<()> {
        match &self.pixels {
            Pixels::Plain(file, _) => file.sync_data().map_err(|e| Error::io(&self.name, "cannot write", e)),
            Pixels::Chunked(..) => self.file.flush().map_err(|e| hdf5_error(&self.name, "cannot write", &e)),
        }
    }
    fn survives(&self) -> bool {
        // The library changes its index of chunks in place: a process that ends in between leaves a file without some of them.
        matches!(self.pixels, Pixels::Plain(..))
    }
    fn suspend(self: Box<Self>) -> Result<()> {
        self.finish()
    }
    fn finish(self: Box<Self>) -> Result<()> {
        self.sync()?;
        let Hdf5Writer {
            dataset,
            file,
            at,
            name,
            pixels,
            ..
        } = *self;
        drop((dataset, pixels));
        crate::io::results::settle(file, &at, &name)
    }
}

/// Most coordinates of an axis that are written one by one.
const LONGEST: usize = 1 << 20;

/// Coordinates of the four axes, counted from `first`: `dim1` … beside plain data, `dim0` … in EMD 1.0, where the first two of an axis tell all.
fn put_dims(group: &Group, scan: &NewScan, first: usize) -> hdf5::Result<()> {
    for (i, (name, size, axis)) in scan.axes().into_iter().enumerate() {
        let count = if first == 0 || size > LONGEST { 2 } else { size };
        let step = axis.scale.unwrap_or(1.0);
        let values: Vec<f64> = (0..count).map(|k| k as f64 * step).collect();
        let dataset = group
            .new_dataset_builder()
            .obj_track_times(false)
            .with_data(&values)
            .create(format!("dim{}", i + first).as_str())?;
        put_text(&dataset, "name", name)?;
        let unit = match axis {
            Axis { scale: None, .. } => "pixels",
            axis => &axis.unit,
        };
        put_text(&dataset, "units", unit)?;
    }
    Ok(())
}

/// Sizes of the array with `columns` columns of the scan: spectra have no axis for their only row.
fn dims(scan: &NewScan, columns: usize) -> Vec<usize> {
    match &scan.signal {
        Some(signal) if signal.axes.len() == 3 => vec![scan.nav[0], columns, scan.frame.width],
        _ => vec![scan.nav[0], columns, scan.frame.height, scan.frame.width],
    }
}

fn describe_hspy(file: &File, scan: &NewScan) -> hdf5::Result<()> {
    let shape = dims(scan, scan.nav[1]);
    if let Some(signal) = &scan.signal {
        return hspy::put(file, &shape, signal).map(|_| ());
    }
    let axes = scan.axes().map(|(name, _, step)| Described {
        name: name.into(),
        step: step.clone(),
        offset: 0.0,
    });
    let what = Description {
        title: scan.title.clone(),
        axes: axes.to_vec(),
        navigated: 2,
        ..Description::default()
    };
    hspy::put(file, &shape, &what).map(|_| ())
}

const EMD_ROOT: &str = "datacube_root";
const EMD_ARRAY: &str = "datacube";

/// EMD 1.0 as emdfile writes it: a root with an array and, in its metadata, py4DSTEM's calibration.
fn describe_emd(file: &File, scan: &NewScan) -> hdf5::Result<()> {
    let text = |at: &Group, name: &str, value: &str| put_text(at, name, value);
    text(file, "emd_group_type", "file")?;
    for (name, value) in [("version_major", 1i64), ("version_minor", 0)] {
        file.new_attr::<i64>().create(name)?.write_scalar(&value)?;
    }
    text(file, "authoring_program", "emstream")?;
    let root = file.create_group(EMD_ROOT)?;
    text(&root, "emd_group_type", "root")?;
    text(&root, "python_class", "Root")?;
    let bundle = root.create_group("metadatabundle")?;
    text(&bundle, "emd_group_type", "metadatabundle")?;
    let calibration = bundle.create_group("calibration")?;
    text(&calibration, "emd_group_type", "metadata")?;
    text(&calibration, "python_class", "Calibration")?;
    for (letter, axes) in [("R", &scan.nav_axes), ("Q", &scan.sig_axes)] {
        // py4DSTEM knows one size for both directions.
        let axis = if axes[0] == axes[1] {
            axes[0].clone()
        } else {
            Axis::default()
        };
        let size = calibration
            .new_dataset::<f64>()
            .create(format!("{letter}_pixel_size").as_str())?;
        size.write_scalar(&axis.scale.unwrap_or(1.0))?;
        put_text(&size, "type", "number")?;
        let unit = match (axis.scale, axis.unit.as_str()) {
            (None, _) => "pixels",
            // py4DSTEM's own words.
            (_, "1/Å" | "1/A") => "A^-1",
            (_, "Å") => "A",
            (_, unit) => unit,
        };
        let units = calibration
            .new_dataset::<VarLenUnicode>()
            .create(format!("{letter}_pixel_units").as_str())?;
        let value: VarLenUnicode = crate::io::results::text(unit)?;
        units.write_scalar(&value)?;
        put_text(&units, "type", "string")?;
    }
    let array = root.create_group(EMD_ARRAY)?;
    text(&array, "emd_group_type", "array")?;
    text(&array, "python_class", "DataCube")?;
    put_dims(&array, scan, 0)
}
