//! HDF5: 3-D and 4-D datasets of integers and floats, contiguous or chunked, compressed or not.
//!
//! Contiguous native datasets are read by offset, past the library and its global lock. Chunks whose filters are known are decoded here, by
//! all threads at once; everything else goes through the library.

mod calibration;
mod chunks;
mod eiger;
mod list;
mod nexus;
mod order;
mod raw;
mod read;
pub(crate) mod refused;
pub(crate) mod text;
mod velox;

pub use list::Candidate;
pub(crate) use list::candidates;
pub(crate) use order::navigation_other_than_two;
pub(crate) use raw::storage_size;

use self::refused::all_told;
use super::dtype::{Kind, Stored};
use super::flat::{Flat, Marker};
use super::limits::{self, Sizes};
use super::open::OpenOptions;
use super::readat::ReadAt;
use super::stack::{Stack, Stored as StoredFrames};
use super::{Reading, Scan, ScanInfo, ShapeFrom};
use crate::control::Control;
use crate::error::{Error, Result};
use hdf5::dataset::{Dataset, DatasetAccess, Layout};
use hdf5::types::{FloatSize, IntSize, TypeDescriptor};
use hdf5::{Datatype, File};
use order::Order;
use read::{Chunking, Library};
use std::path::Path;

const SIGNATURE: &[u8] = b"\x89HDF\r\n\x1a\n";

/// True when the file has HDF5's signature: at its beginning, or behind a user block at 512, 1024, 2048, … bytes.
pub(crate) fn has_signature(file: &ReadAt) -> Result<bool> {
    let mut at = 0;
    while at + SIGNATURE.len() as u64 <= file.len() && at <= 1 << 30 {
        let mut head = [0; 8];
        file.read(at, &mut head)?;
        if head == SIGNATURE {
            return Ok(true);
        }
        at = if at == 0 { 512 } else { at * 2 };
    }
    Ok(false)
}

/// Turns an error of the library into ours; `place` names the dataset or the step.
pub(crate) fn fault(path: &Path, place: impl Into<String>, e: &hdf5::Error) -> Error {
    Error::format(path, place, format!("HDF5: {}", e.to_string().replace('\n', " ")))
}

/// Opens an HDF5 file for reading.
pub(crate) fn open_file(path: &Path) -> Result<File> {
    File::open(path).map_err(|e| {
        let text = e.to_string();
        if text.contains("unable to lock") {
            let hint = "another program may be writing it; on a file system without locks set HDF5_USE_FILE_LOCKING=FALSE";
            let e = std::io::Error::new(
                std::io::ErrorKind::WouldBlock,
                format!("{} ({hint})", text.replace('\n', " ")),
            );
            return Error::io(path, "cannot open", e);
        }
        fault(path, "file", &e)
    })
}

/// The pixel type of a dataset; `None` for strings, compounds and other things that are no pixels.
pub(crate) fn kind_of(dtype: &Datatype) -> Option<Stored> {
    let kind = match dtype.to_descriptor().ok()? {
        TypeDescriptor::Unsigned(IntSize::U1) => Kind::U8,
        TypeDescriptor::Unsigned(IntSize::U2) => Kind::U16,
        TypeDescriptor::Unsigned(IntSize::U4) => Kind::U32,
        TypeDescriptor::Unsigned(IntSize::U8) => Kind::U64,
        TypeDescriptor::Integer(IntSize::U1) => Kind::I8,
        TypeDescriptor::Integer(IntSize::U2) => Kind::I16,
        TypeDescriptor::Integer(IntSize::U4) => Kind::I32,
        TypeDescriptor::Integer(IntSize::U8) => Kind::I64,
        TypeDescriptor::Float(FloatSize::U2) => Kind::F16,
        TypeDescriptor::Float(FloatSize::U4) => Kind::F32,
        TypeDescriptor::Float(FloatSize::U8) => Kind::F64,
        _ => return None,
    };
    let big_endian = dtype.byte_order() == hdf5::datatype::ByteOrder::BigEndian && kind.bytes() > 1;
    let stored = Stored { kind, big_endian };
    // bfloat16 has two bytes too, and numbers that half precision has not.
    (kind != Kind::F16 || raw::is_standard(dtype, stored).unwrap_or(false)).then_some(stored)
}

/// The library's type for `kind` in the byte order of this machine.
pub(crate) fn native_type(kind: Kind) -> hdf5::Result<Datatype> {
    match kind {
        Kind::Bool | Kind::U8 => Datatype::from_type::<u8>(),
        Kind::I8 => Datatype::from_type::<i8>(),
        Kind::U16 => Datatype::from_type::<u16>(),
        Kind::I16 => Datatype::from_type::<i16>(),
        Kind::U32 => Datatype::from_type::<u32>(),
        Kind::I32 => Datatype::from_type::<i32>(),
        Kind::U64 => Datatype::from_type::<u64>(),
        Kind::I64 => Datatype::from_type::<i64>(),
        Kind::F16 => Datatype::from_descriptor(&TypeDescriptor::Float(FloatSize::U2)),
        Kind::F32 => Datatype::from_type::<f32>(),
        Kind::F64 => Datatype::from_type::<f64>(),
    }
}

/// Opens a dataset as a scan.
///
/// # Errors
/// [`Error::Parameter`] listing the candidates when the dataset is missing or not the only one, [`Error::Unsupported`] and
/// [`Error::Format`] for what cannot be read.
pub(crate) fn open(file: ReadAt, options: &OpenOptions, control: &Control) -> Result<Box<dyn Scan>> {
    let path = file.path().to_owned();
    all_told(&path, || open_scan(file, &path, options, control))
}

fn open_scan(file: ReadAt, path: &Path, options: &OpenOptions, control: &Control) -> Result<Box<dyn Scan>> {
    let h5 = open_file(path)?;
    if options.dataset.is_none() {
        let parts = eiger::parts(&h5);
        if !parts.is_empty() {
            return eiger::open(file, &h5, &parts, options, control);
        }
    }
    let name = list::choose(path, &h5, options.dataset.as_deref())?;
    let place = format!("dataset {name}");
    let dataset = h5.dataset(&name).map_err(|e| fault(path, place.as_str(), &e))?;
    let opened = Opened::inspect(path, &h5, name, dataset, options)?;
    let Opened { order, stored, .. } = opened;
    let arranged: &[u64] = match order {
        Order::Scan | Order::Stack => &opened.dims,
        Order::Spectra | Order::FramesLast => &opened.four,
    };
    let sizes = limits::arrange(path, &place, arranged, options.nav_shape, options.sig_shape, stored.bytes())?;
    let pixel = stored.deliver(options.wanted_pixel()?)?;
    let from = match order {
        Order::Stack => ShapeFrom::Unknown,
        Order::FramesLast if sizes.frames > 1 => ShapeFrom::Unknown,
        _ => ShapeFrom::Stored("the dataset's shape".into()),
    };
    let mut info = ScanInfo {
        dataset: Some(opened.name.clone()),
        reading: Reading::shape(options, from),
        ..ScanInfo::new(&file, "hdf5", &sizes, stored, pixel)
    };
    if order == Order::FramesLast {
        velox::calibrate(&h5, &opened.name, &mut info);
    } else {
        calibration::read(&h5, &opened.name, order, &opened.dims, &mut info);
    }
    let frames = frames_of(&file, &h5, opened, &sizes, &mut info, control, 1)?;
    Ok(Box::new(Stack::new(info, frames, options.sync_offset)?))
}

/// A dataset and what its header says.
#[derive(Clone)]
struct Opened {
    name: String,
    dataset: Dataset,
    dims: Vec<u64>,
    dtype: Datatype,
    stored: Stored,
    order: Order,
    /// Its dimensions as (ny, nx, height, width).
    four: [u64; 4],
}

impl Opened {
    fn inspect(path: &Path, h5: &File, name: String, dataset: Dataset, options: &OpenOptions) -> Result<Opened> {
        let place = format!("dataset {name}");
        let err = |e: hdf5::Error| fault(path, place.as_str(), &e);
        let dims: Vec<u64> = dataset.space().map_err(err)?.shape().iter().map(|&n| n as u64).collect();
        let dtype = dataset.dtype().map_err(err)?;
        let Some(stored) = kind_of(&dtype) else {
            return Err(Error::unsupported(
                path,
                format!("{place} holds {dtype}, not integers or floats of 8 to 64 bits"),
            ));
        };
        if dims.len() == 4
            && options.sig_shape.is_none()
            && let Some(n) = order::navigation_of_no_scan(h5, &name)
        {
            return Err(Error::unsupported(path, limits::no_scan(&place, n)));
        }
        let order = match dims.len() {
            3 if options.spectra => Some(Order::Spectra),
            rank => Order::of(h5, &name, rank),
        };
        // For other numbers of dimensions `limits::arrange` says what is wrong.
        let order = order.unwrap_or(Order::Scan);
        let four = order.four(&dims).map(|n| n.unwrap_or(1));
        Ok(Opened {
            name,
            dataset,
            dims,
            dtype,
            stored,
            order,
            four,
        })
    }
}

/// The frames of a dataset, by the fastest way that can read them. `share`: how many datasets share the memory for decoded chunks.
fn frames_of(
    file: &ReadAt,
    h5: &File,
    opened: Opened,
    sizes: &Sizes,
    info: &mut ScanInfo,
    control: &Control,
    share: u64,
) -> Result<Box<dyn StoredFrames>> {
    let path = file.path();
    let Opened {
        name,
        dataset,
        dtype,
        stored,
        order,
        four,
        ..
    } = opened;
    let place = format!("dataset {name}");
    let err = |e: hdf5::Error| fault(path, place.as_str(), &e);
    let pixel = info.frame.pixel;
    let layout = check_storage(path, &place, &dataset)?;
    let together = order != Order::FramesLast || four[1] == 1;
    if layout == Layout::Contiguous
        && together
        && let Some(its) = own_file(&dataset, file)?
    {
        let native = native_type(stored.kind).map_err(err)?;
        if let (Some(start), true) = (dataset.offset(), dtype == native) {
            check_extent(&its, &place, start, sizes)?;
            return Ok(Box::new(Flat::new(its, start, Marker::None, sizes, stored, pixel)));
        }
    }
    let chunking = chunking(&place, &dataset, order, four, stored, control, share, info)?;
    if let Some(chunked) = chunks::open(&dataset, info, order, four, stored, chunking.cache, control).map_err(err)? {
        return Ok(Box::new(chunked));
    }
    check_filters(path, &place, &dataset)?;
    // The settings of the cache count when a dataset is opened first: close it before opening it with ours.
    drop(dataset);
    let dataset = reopen(h5, &name, &chunking).map_err(err)?;
    Ok(Box::new(
        Library::new(path, name, dataset, order, four, stored, pixel).map_err(err)?,
    ))
}

/// Refuses datasets whose pixels are elsewhere or were never written.
fn check_storage(path: &Path, place: &str, dataset: &Dataset) -> Result<Layout> {
    let err = |e: hdf5::Error| fault(path, place, &e);
    let plist = dataset.create_plist().map_err(err)?;
    let layout = plist.get_layout().map_err(err)?;
    if layout == Layout::Virtual {
        return Err(Error::unsupported(
            path,
            format!("{place} is virtual: open the files that hold its frames"),
        ));
    }
    if let Some(f) = plist.get_external().map_err(err)?.first() {
        return Err(Error::unsupported(
            path,
            format!("{place} keeps its pixels in another file, {}", f.name),
        ));
    }
    if storage_size(dataset) == 0 {
        return Err(Error::format(path, place, "no pixels were ever written to it"));
    }
    Ok(layout)
}

/// Refuses datasets that need a filter that neither emstream nor the library has.
fn check_filters(path: &Path, place: &str, dataset: &Dataset) -> Result<()> {
    let err = |e: hdf5::Error| fault(path, place, &e);
    let plist = dataset.create_plist().map_err(err)?;
    for filter in plist.get_filters().map_err(err)? {
        if !filter.decode_enabled() {
            let (id, known) = (filter.id(), filter_name(filter.id()));
            let hint = "install its HDF5 plugin and set HDF5_PLUGIN_PATH to the plugin's folder";
            return Err(Error::unsupported(
                path,
                format!("{place} is compressed by filter {id}{known}, which is not installed: {hint}"),
            ));
        }
    }
    Ok(())
}

/// The registered names of filters that detectors use.
fn filter_name(id: i32) -> &'static str {
    match id {
        307 => " (bzip2)",
        4 => " (szip)",
        32000 => " (lzf)",
        32001 => " (blosc)",
        32004 => " (lz4)",
        32008 => " (bitshuffle)",
        32013 => " (zfp)",
        32015 => " (zstd)",
        32026 => " (blosc2)",
        _ => "",
    }
}

/// The file in which a dataset lies: `file`, or another behind an external link, opened again for reading by offset; `None` for one that cannot
/// be told.
fn own_file(dataset: &Dataset, file: &ReadAt) -> Result<Option<ReadAt>> {
    let name = dataset.filename();
    match std::fs::canonicalize(&name) {
        Ok(path) if path.is_file() => {
            let same = std::fs::canonicalize(file.path()).is_ok_and(|p| p == path);
            ReadAt::open(if same { file.path() } else { &path }).map(Some)
        }
        _ => Ok(None),
    }
}

/// Contiguous pixels must lie inside the file.
fn check_extent(file: &ReadAt, place: &str, start: u64, sizes: &Sizes) -> Result<()> {
    if start.checked_add(sizes.total).is_none_or(|end| end > file.len()) {
        let what = format!(
            "its {} bytes from byte {start} on reach behind the end of the file ({} bytes)",
            sizes.total,
            file.len()
        );
        return Err(Error::format(file.path(), place, what));
    }
    Ok(())
}

/// Chooses the size of the chunk cache (of each of `share` datasets): all chunks that hold a band of the scan (a row of chunks), a few times, within a quarter of the memory.
#[expect(clippy::too_many_arguments, reason = "one caller; a struct would only repeat their names")]
fn chunking(
    place: &str,
    dataset: &Dataset,
    order: Order,
    dims: [u64; 4],
    stored: Stored,
    control: &Control,
    share: u64,
    info: &mut ScanInfo,
) -> Result<Chunking> {
    let path = info.path.clone();
    let path = path.as_path();
    let plist = dataset.create_plist().map_err(|e| fault(path, place, &e))?;
    let chunk = plist.get_chunk().map_err(|e| fault(path, place, &e))?;
    let Some(chunk) = chunk.filter(|c| !c.contains(&0)) else {
        return Ok(Chunking { cache: 0, slots: 0 });
    };
    let chunk = order.four(&chunk).map(|n| n.map_or(1, |n| n as u64));
    let product = |n: &[u64]| n.iter().try_fold(stored.bytes() as u64, |p, &d| p.checked_mul(d));
    let limit = control.memory / 4 / share.max(1);
    let bytes = product(&chunk).unwrap_or(u64::MAX);
    if bytes > control.memory / 2 {
        let what = format!(
            "{}: chunks {} of {place} take {bytes} bytes each, more than half of the memory",
            path.display(),
            limits::tuple(&order.stored(chunk))
        );
        return Err(Error::Memory { what });
    }
    // A band spans all chunks of the dataset but along its slowest axis; chunks of one scan row need only those of some frames.
    let along: [u64; 4] = std::array::from_fn(|i| dims[i].div_ceil(chunk[i]));
    let rows_together = chunk[0] > 1;
    let tiles = |axes: &[u64]| axes.iter().try_fold(1u64, |p, &n| p.checked_mul(n)).unwrap_or(u64::MAX);
    let group = tiles(&along[2..]);
    let band = if rows_together { tiles(&along[1..]) } else { group };
    // Threads at the seam of two groups should decode neither twice; bands are large, two of them must do.
    let parts = if rows_together { 2 } else { control.threads as u64 + 2 };
    let want = band.saturating_mul(parts).saturating_mul(bytes);
    if want > limit && band.saturating_mul(bytes) > limit {
        info.notes.push(format!(
            "chunks {} are decoded several times: the cache would take {want} bytes, a quarter of the memory is {limit}",
            limits::tuple(&order.stored(chunk))
        ));
    }
    info.together = usize::try_from(chunk[1].min(dims[1])).unwrap_or(1);
    info.costly = plist.get_filters().is_ok_and(|f| !f.is_empty());
    let cache = want.min(limit).max(bytes.min(limit));
    Ok(Chunking {
        cache,
        slots: (cache / bytes.max(1)).saturating_mul(100).clamp(521, 1 << 20) | 1,
    })
}

/// Opens `name` with its chunk cache.
fn reopen(file: &File, name: &str, chunking: &Chunking) -> hdf5::Result<Dataset> {
    let mut access = DatasetAccess::build();
    // 1.0: a chunk that was read completely leaves first, as befits streaming.
    access.chunk_cache(chunking.slots as usize, chunking.cache as usize, 1.0);
    let access = access.finish()?;
    let name = std::ffi::CString::new(name).map_err(|_| hdf5::Error::from("a dataset's path with a zero byte"))?;
    hdf5::sync::sync(|| {
        // SAFETY: all identifiers are open and the name ends with zero; the lock of the library is held; the new identifier is ours.
        unsafe { hdf5::from_id(hdf5::h5check(hdf5_sys::h5d::H5Dopen2(file.id(), name.as_ptr(), access.id()))?) }
    })
}
