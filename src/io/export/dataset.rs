//! One dataset of a result file to one file.

use super::{Format, read_error};
use crate::error::{Error, Result};
use crate::io::array::{NpyValue, TiffPixel, npy_header, tiff_pages};
use crate::io::array::{csv_lines, npy_values, tiff_error};
use crate::io::h5::refused::Told;
use crate::io::output::AtomicFile;
use hdf5::types::{FloatSize, IntSize, TypeDescriptor};
use hdf5::{H5Type, Hyperslab, SliceOrIndex};
use ndarray::{ArrayD, Axis};
use std::io::Write;
use std::path::Path;
use tiff::encoder::TiffEncoder;

/// Bytes that are read at once, about.
const PART: usize = 64 << 20;
/// Groups and datasets in a file.
const MAX_OBJECTS: usize = 100_000;
/// Groups inside groups.
const MAX_DEPTH: usize = 32;

/// What a dataset holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    F32,
    F64,
    Text,
    Other,
}

impl Kind {
    fn of(dataset: &hdf5::Dataset) -> Kind {
        match dataset.dtype().and_then(|t| t.to_descriptor()) {
            Ok(TypeDescriptor::Boolean) => Kind::Bool,
            Ok(TypeDescriptor::Integer(IntSize::U1)) => Kind::I8,
            Ok(TypeDescriptor::Integer(IntSize::U2)) => Kind::I16,
            Ok(TypeDescriptor::Integer(IntSize::U4)) => Kind::I32,
            Ok(TypeDescriptor::Integer(IntSize::U8)) => Kind::I64,
            Ok(TypeDescriptor::Unsigned(IntSize::U1)) => Kind::U8,
            Ok(TypeDescriptor::Unsigned(IntSize::U2)) => Kind::U16,
            Ok(TypeDescriptor::Unsigned(IntSize::U4)) => Kind::U32,
            Ok(TypeDescriptor::Unsigned(IntSize::U8)) => Kind::U64,
            Ok(TypeDescriptor::Float(FloatSize::U4)) => Kind::F32,
            Ok(TypeDescriptor::Float(FloatSize::U8)) => Kind::F64,
            Ok(TypeDescriptor::VarLenUnicode | TypeDescriptor::VarLenAscii) => Kind::Text,
            _ => Kind::Other,
        }
    }
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Bool => "bool",
            Kind::I8 => "int8",
            Kind::I16 => "int16",
            Kind::I32 => "int32",
            Kind::I64 => "int64",
            Kind::U8 => "uint8",
            Kind::U16 => "uint16",
            Kind::U32 => "uint32",
            Kind::U64 => "uint64",
            Kind::F32 => "float32",
            Kind::F64 => "float64",
            Kind::Text => "text",
            Kind::Other => "other",
        }
    }
}

/// A dataset that was found.
pub(super) struct Source {
    /// Without the leading slash.
    pub path: String,
    pub dataset: hdf5::Dataset,
    pub kind: Kind,
    pub shape: Vec<usize>,
    /// Names of the axes, if the file gives one for each.
    pub axes: Vec<String>,
}

/// Finds all datasets, in the order of their names.
pub(super) fn walk(file: &Path, group: &hdf5::Group, prefix: &str, visits: &mut usize, found: &mut Vec<Source>) -> Result<()> {
    let depth = prefix.matches('/').count();
    if depth > MAX_DEPTH {
        return Err(Error::limit(file, format!("groups nested more than {MAX_DEPTH} deep")));
    }
    let mut names = group.member_names().map_err(|e| read_error(file, &e))?;
    names.sort();
    for name in names {
        // Links may lead in circles.
        *visits += 1;
        if *visits > MAX_OBJECTS {
            return Err(Error::limit(file, format!("more than {MAX_OBJECTS} groups and datasets")));
        }
        let path = if prefix.is_empty() {
            name.clone()
        } else {
            format!("{prefix}/{name}")
        };
        if let Some(dataset) = group.dataset(&name).told() {
            let shape = dataset.shape();
            let axes = super::sidecar::texts(&dataset, "axes").filter(|a| a.len() == shape.len());
            let axes = axes.unwrap_or_else(|| (0..shape.len()).map(|i| format!("index{i}")).collect());
            found.push(Source {
                path,
                kind: Kind::of(&dataset),
                shape,
                axes,
                dataset,
            });
        } else if let Some(inner) = group.group(&name).told() {
            walk(file, &inner, &path, visits, found)?;
        }
    }
    Ok(())
}

/// Writes a dataset, or its part at leading index `part`, to `target`, which does not exist yet.
pub(super) fn write(file: &Path, source: &Source, part: Option<usize>, target: &Path, format: Format) -> Result<()> {
    macro_rules! by_kind {
        ($($kind:ident $t:ty),*) => {
            match source.kind {
                $(Kind::$kind => match format {
                    Format::Npy => npy::<$t>(file, source, target),
                    Format::Hspy => super::hspy::write::<$t>(file, source, target),
                    _ => csv::<$t>(file, source, part, target),
                },)*
                Kind::Text | Kind::Other => Err(Error::Internal(format!("{} has no numbers", source.path))),
            }
        };
    }
    match (format, source.kind) {
        (Format::Tiff, Kind::U8) => tiff::<u8>(file, source, target),
        (Format::Tiff, Kind::U16) => tiff::<u16>(file, source, target),
        // HDF5 converts everything else to float32 as it reads; booleans come as bytes.
        (Format::Tiff, Kind::Bool) => tiff_bool(file, source, target),
        (Format::Tiff, _) => tiff::<f32>(file, source, target),
        _ => by_kind!(Bool bool, I8 i8, I16 i16, I32 i32, I64 i64, U8 u8, U16 u16, U32 u32, U64 u64, F32 f32, F64 f64),
    }
}

/// Everything along all axes but `axis`, and `range` along that.
pub(super) fn slab(dimensions: usize, axis: usize, range: std::ops::Range<usize>) -> Hyperslab {
    let all: Vec<SliceOrIndex> = (0..dimensions)
        .map(|d| if d == axis { range.clone().into() } else { (..).into() })
        .collect();
    Hyperslab::from(all)
}

pub(super) fn read<T: H5Type>(file: &Path, source: &Source, axis: usize, range: std::ops::Range<usize>) -> Result<ArrayD<T>> {
    let failed = |e: hdf5::Error| read_error(file, &e);
    if source.shape.is_empty() || source.shape.contains(&0) || range == (0..source.shape[axis]) {
        return source.dataset.read_dyn::<T>().map_err(failed);
    }
    source
        .dataset
        .read_slice(slab(source.shape.len(), axis, range))
        .map_err(failed)
}

/// Ranges of the leading axis whose values take about [`PART`] bytes; one empty range for no values.
pub(super) fn parts(shape: &[usize], bytes: usize) -> impl Iterator<Item = std::ops::Range<usize>> + use<> {
    let n = shape.first().copied().unwrap_or(1);
    let row = shape.iter().skip(1).product::<usize>().saturating_mul(bytes).max(1);
    let step = if shape.contains(&0) { n.max(1) } else { (PART / row).max(1) };
    (0..n.max(1)).step_by(step).map(move |i| i..i.saturating_add(step).min(n))
}

fn npy<T: H5Type + NpyValue>(file: &Path, source: &Source, target: &Path) -> Result<()> {
    let failed = |e| Error::io(target, "cannot write", e);
    let mut out = AtomicFile::create(target, false)?;
    out.write_all(&npy_header::<T>(&source.shape)).map_err(failed)?;
    for range in parts(&source.shape, size_of::<T>()) {
        npy_values(&mut out, read::<T>(file, source, 0, range)?.iter().copied()).map_err(failed)?;
    }
    out.finish()
}

fn csv<T: H5Type + std::fmt::Display>(file: &Path, source: &Source, part: Option<usize>, target: &Path) -> Result<()> {
    let failed = |e| Error::io(target, "cannot write", e);
    let name = source.path.rsplit('/').next().unwrap_or(&source.path);
    let mut names: Vec<&str> = source.axes.iter().map(String::as_str).chain([name]).collect();
    let mut out = AtomicFile::create(target, false)?;
    if let Some(i) = part {
        let values = read::<T>(file, source, 0, i..i + 1)?;
        names.remove(0);
        csv_lines(
            &mut out,
            values.index_axis(Axis(0), if values.len_of(Axis(0)) == 1 { 0 } else { i }),
            0,
            Some(&names),
        )
        .map_err(failed)?;
    } else {
        let mut first = 0;
        for range in parts(&source.shape, size_of::<T>()) {
            let values = read::<T>(file, source, 0, range)?;
            let header = (first == 0).then_some(names.as_slice());
            csv_lines(&mut out, values.view(), first, header).map_err(failed)?;
            first += values.shape().first().copied().unwrap_or(1);
        }
    }
    out.finish()
}

/// Rows and columns of an EBSD map are the axes of a scan by another name.
pub(super) fn of_scan(axis: &str) -> &str {
    match axis {
        "row" | "map_y" => "scan_y",
        "column" | "map_x" => "scan_x",
        other => other,
    }
}

/// The axes of the images in a dataset: where `y` and `x` follow each other, else the last two.
fn image_axes(source: &Source) -> (usize, usize) {
    let n = source.shape.len();
    let is = |i: usize, letter: &str| {
        let name = source.axes.get(i).map(|a| of_scan(a));
        name.is_some_and(|a| a == letter || a.ends_with(&format!("_{letter}")))
    };
    // From the end: in (scan_y, scan_x, y, x) the frames are the images.
    let found = (0..n.saturating_sub(1)).rev().find(|&i| is(i, "y") && is(i + 1, "x"));
    let y = found.unwrap_or(n.saturating_sub(2));
    (y, y + 1)
}

fn tiff<T>(file: &Path, source: &Source, target: &Path) -> Result<()>
where
    T: H5Type + TiffPixel,
    [T]: ::tiff::encoder::TiffValue,
{
    tiff_of(file, source, target, |array: ArrayD<T>| array)
}

fn tiff_bool(file: &Path, source: &Source, target: &Path) -> Result<()> {
    tiff_of(file, source, target, |array: ArrayD<bool>| {
        array.mapv(|v| if v { 255u8 } else { 0 })
    })
}

fn tiff_of<S, T>(file: &Path, source: &Source, target: &Path, convert: impl Fn(ArrayD<S>) -> ArrayD<T>) -> Result<()>
where
    S: H5Type,
    T: TiffPixel,
    [T]: ::tiff::encoder::TiffValue,
{
    let failed = |e| tiff_error(target, e);
    let mut out = AtomicFile::create(target, false)?;
    let bytes = source.shape.iter().fold(size_of::<T>(), |n, &s| n.saturating_mul(s));
    // Offsets of plain TIFF end at 4 GiB.
    if bytes < 0xF000_0000 {
        let mut encoder = TiffEncoder::new(&mut out).map_err(failed)?;
        all_pages(file, source, target, &mut encoder, convert)?;
    } else {
        let mut encoder = TiffEncoder::new_big(&mut out).map_err(failed)?;
        all_pages(file, source, target, &mut encoder, convert)?;
    }
    out.finish()
}

fn all_pages<S, T, W, K>(
    file: &Path,
    source: &Source,
    target: &Path,
    encoder: &mut TiffEncoder<W, K>,
    convert: impl Fn(ArrayD<S>) -> ArrayD<T>,
) -> Result<()>
where
    S: H5Type,
    T: TiffPixel,
    [T]: ::tiff::encoder::TiffValue,
    W: Write + std::io::Seek,
    K: ::tiff::encoder::TiffKind,
{
    let n = source.shape.len();
    let mut write = |array: ArrayD<T>, (y, x): (usize, usize)| -> Result<()> {
        // Images last, pages in C order of the other axes.
        let order: Vec<usize> = (0..array.ndim()).filter(|d| *d != y && *d != x).chain([y, x]).collect();
        let array = array.permuted_axes(order);
        let pages = array.as_standard_layout();
        let (height, width) = (pages.shape()[n.max(2) - 2], pages.shape()[n.max(2) - 1]);
        let count = pages.len() / (height * width).max(1);
        let pages = pages
            .to_shape((count, height, width))
            .map_err(|e| Error::Internal(format!("pages of {}: {e}", source.path)))?;
        tiff_pages(target, encoder, pages.outer_iter())
    };
    if n == 1 {
        // A row.
        return write(
            convert(read(file, source, 0, 0..source.shape[0])?).insert_axis(Axis(0)),
            (0, 1),
        );
    }
    let images = image_axes(source);
    if images.0 == 0 {
        // The pages lie along later axes: parts along the last keep their order only if there is one such axis.
        let step = if n == 3 {
            (PART / (source.shape[0] * source.shape[1] * size_of::<S>()).max(1)).max(1)
        } else {
            usize::MAX
        };
        let end = source.shape[n - 1];
        if n == 2 || step >= end {
            return write(convert(read(file, source, 0, 0..source.shape[0])?), images);
        }
        for start in (0..end).step_by(step) {
            write(convert(read(file, source, 2, start..(start + step).min(end))?), images)?;
        }
        return Ok(());
    }
    for range in parts(&source.shape, size_of::<S>()) {
        write(convert(read(file, source, 0, range)?), images)?;
    }
    Ok(())
}
