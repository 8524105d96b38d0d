//! Mask stacks and regions of interest from files.

use super::{Element, Format, npz, open, read_array};
use crate::error::{Error, Result};
use crate::mask::MaskStack;
use ndarray::{Array2, ArrayD, Ix2};
use std::path::Path;

/// Reads a region of interest over a scan of `nav` (y, x) positions: true, or not 0, inside.
///
/// # Errors
/// As [`read_array`]; [`Error::Format`] if the shape is not that of the scan.
pub fn read_region(path: impl AsRef<Path>, nav: [usize; 2]) -> Result<Array2<bool>> {
    let path = path.as_ref();
    // A mask costs a byte a position as NumPy and eight as an image in memory.
    let most = (nav[0] as u64)
        .saturating_mul(nav[1] as u64)
        .saturating_mul(8)
        .saturating_add(1 << 20);
    let array: ArrayD<bool> = read_array(path, most)?;
    if array.shape() != nav {
        let what = format!("{:?} for a scan of {} × {} positions", array.shape(), nav[0], nav[1]);
        return Err(Error::format(path, "shape", what));
    }
    array
        .into_dimensionality::<Ix2>()
        .map_err(|e| Error::format(path, "shape", e.to_string()))
}

/// Reads masks for frames of `height` × `width`: a SciPy CSR matrix (`.npz` of `scipy.sparse.save_npz`, one mask a row, pixels in
/// C order), or a dense array or image of shape (h, w), (n, h, w) or (n, h·w).
///
/// # Errors
/// As [`read_array`]; [`Error::Format`] if the masks do not fit the frames or hold NaN or infinity.
pub fn read_masks(path: impl AsRef<Path>, height: usize, width: usize, max_bytes: u64) -> Result<MaskStack> {
    let path = path.as_ref();
    let stack = match open(path)? {
        (Format::Npz, file) => {
            let mut archive = npz::archive(path, file)?;
            if npz::is_sparse(&npz::names(&archive)) {
                read_csr(path, &mut archive, height * width, max_bytes)?
            } else {
                dense(path, read_array(path, max_bytes)?, height, width)?
            }
        }
        _ => dense(path, read_array(path, max_bytes)?, height, width)?,
    };
    stack.check(height, width).map_err(|e| match e {
        Error::Parameter { what, .. } => Error::format(path, "masks", what),
        other => other,
    })?;
    Ok(stack)
}

fn dense(path: &Path, array: ArrayD<f32>, height: usize, width: usize) -> Result<MaskStack> {
    let masks = match *array.shape() {
        [h, w] if (h, w) == (height, width) => 1,
        [n, h, w] if (h, w) == (height, width) => n,
        [n, pixels] if pixels == height * width => n,
        ref shape => {
            let what = format!("{shape:?} for frames of {height}×{width}: expected (h, w), (n, h, w) or (n, h·w)");
            return Err(Error::format(path, "shape", what));
        }
    };
    let values: Vec<f32> = array.iter().copied().collect();
    let rows =
        Array2::from_shape_vec((masks, height * width), values).map_err(|e| Error::format(path, "shape", e.to_string()))?;
    Ok(MaskStack::Dense { rows })
}

fn read_csr(path: &Path, archive: &mut npz::Archive, pixels: usize, max_bytes: u64) -> Result<MaskStack> {
    if npz::names(archive).iter().any(|n| n == "format") {
        let format = npz::read_text(path, archive, "format")?;
        if format != "csr" {
            return Err(Error::unsupported(
                path,
                format!("a sparse matrix of format '{format}': save it with .tocsr()"),
            ));
        }
    }
    let shape = vector::<i64>(path, archive, "shape", max_bytes)?;
    let &[rows, columns] = shape.as_slice() else {
        return Err(Error::format(path, "shape", format!("{shape:?} is not a matrix")));
    };
    if usize::try_from(columns) != Ok(pixels) {
        return Err(Error::format(
            path,
            "shape",
            format!("masks of {columns} pixels for frames of {pixels}"),
        ));
    }
    let starts = vector::<i64>(path, archive, "indptr", max_bytes)?;
    let columns = vector::<u32>(path, archive, "indices", max_bytes)?;
    let values = vector::<f64>(path, archive, "data", max_bytes)?;
    let expected = usize::try_from(rows).ok().and_then(|r| r.checked_add(1));
    if expected != Some(starts.len()) || columns.len() != values.len() {
        let what = format!(
            "{} starts, {} indices and {} values for {rows} rows",
            starts.len(),
            columns.len(),
            values.len()
        );
        return Err(Error::format(path, "CSR matrix", what));
    }
    let mut stack = (
        vec![0u32],
        Vec::with_capacity(columns.len()),
        Vec::with_capacity(values.len()),
    );
    for (row, ends) in starts.windows(2).enumerate() {
        let range = usize::try_from(ends[0])
            .ok()
            .zip(usize::try_from(ends[1]).ok())
            .map(|(a, b)| a..b);
        let entries = range.and_then(|r| Some(columns.get(r.clone())?.iter().copied().zip(values.get(r)?.iter().copied())));
        let entries = entries.ok_or_else(|| Error::format(path, format!("indptr of row {row}"), "outside the indices"))?;
        // SciPy allows any order and repeated indices, which add up.
        let mut sorted: Vec<(u32, f64)> = entries.collect();
        sorted.sort_by_key(|e| e.0);
        sorted.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 += next.1;
            }
            same
        });
        stack.1.extend(sorted.iter().map(|e| e.0));
        stack.2.extend(sorted.iter().map(|e| e.1 as f32));
        let end = u32::try_from(stack.1.len());
        stack
            .0
            .push(end.map_err(|_| Error::limit(path, "more than 2³² − 1 mask pixels"))?);
    }
    Ok(MaskStack::Csr {
        indptr: stack.0,
        indices: stack.1,
        values: stack.2,
    })
}

fn vector<T: Element>(path: &Path, archive: &mut npz::Archive, name: &str, max_bytes: u64) -> Result<Vec<T>> {
    Ok(npz::read_entry::<T>(path, archive, name, max_bytes)?.into_iter().collect())
}
