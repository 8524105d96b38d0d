//! Small arrays that flags name: templates, peaks, labels.

use emstream::io::array::{self, MAX_BYTES};
use emstream::io::{self, OpenOptions};
use emstream::{Control, Error, Result, workflows};
use ndarray::{Array2, ArrayD, Axis, Ix2};
use std::path::Path;

fn two_dimensional<T>(path: &Path, array: ArrayD<T>) -> Result<Array2<T>> {
    let what = format!("{:?}, expected two dimensions", array.shape());
    array
        .into_dimensionality::<Ix2>()
        .map_err(|_| Error::format(path, "shape", what))
}

/// A template image (h, w), or the mean of the frames of a stack or scan. In HDF5 files the dataset may follow the file's name
/// as if it were a folder.
pub fn image(path: &Path) -> Result<Array2<f64>> {
    let (file, dataset) = split_dataset(path);
    if dataset.is_none() && array::is_array(file)? {
        let array: ArrayD<f64> = array::read_array(file, MAX_BYTES)?;
        return match array.ndim() {
            0..=2 => two_dimensional(file, array),
            n => two_dimensional(file, (2..n).fold(array, |a, _| a.mean_axis(Axis(0)).unwrap_or_default())),
        };
    }
    let options = OpenOptions {
        dataset,
        ..OpenOptions::default()
    };
    let control = Control::new();
    workflows::mean_frame(&*io::open(file, &options, &control)?, &control)
}

/// Splits `FILE/DATASET` where a part of the path is a file.
pub fn split_dataset(path: &Path) -> (&Path, Option<String>) {
    let file = path.ancestors().skip(1).find(|a| a.is_file());
    match file.and_then(|f| Some((f, path.strip_prefix(f).ok()?.to_str()?))) {
        Some((file, dataset)) => (file, Some(dataset.replace('\\', "/"))),
        None => (path, None),
    }
}

/// Positions (n, 2) as (y, x).
pub fn positions(path: &Path) -> Result<Vec<[i32; 2]>> {
    let list: Array2<i32> = two_dimensional(path, array::read_array(path, MAX_BYTES)?)?;
    if list.ncols() != 2 || list.nrows() == 0 {
        let what = format!("{:?}, expected (n, 2) with n above 0", list.shape());
        return Err(Error::format(path, "shape", what));
    }
    Ok(list.rows().into_iter().map(|p| [p[0], p[1]]).collect())
}

/// Labels (ny, nx).
pub fn labels(path: &Path) -> Result<Array2<i32>> {
    two_dimensional(path, array::read_array(path, MAX_BYTES)?)
}

/// Class of each pixel (h, w) of some frames: `defects/label_map` of a result file or of the truth of a simulated movie, or images of small whole numbers
/// (h, w) or (frames, h, w); where they are 0 and 255 alone, 255 is 1. One map (h, w) is that of a single frame.
pub fn class_maps(path: &Path, frames: &[u64]) -> Result<Vec<Array2<u8>>> {
    let one = |what: &str| {
        let what = format!("{} holds one map of classes{what}", path.display());
        Error::parameter("--frame", format!("{} frames, but {what}", frames.len()))
    };
    if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("h5")) {
        let name = "defects/label_map";
        if frames.len() > 1 && io::stored_rank(path, name)? < 3 {
            return Err(one(" in defects/label_map"));
        }
        return frames
            .iter()
            .map(|&f| io::read_stored_map(path, name, f, MAX_BYTES))
            .collect();
    }
    let values: ArrayD<f64> = array::read_array(path, MAX_BYTES)?;
    let mask = values.iter().all(|v| *v == 0.0 || *v == 255.0);
    if let Some(v) = values
        .iter()
        .find(|v| v.fract() != 0.0 || !(0.0..=255.0).contains(*v) || (**v == 255.0 && !mask))
    {
        return Err(Error::format(
            path,
            "pixels",
            format!("{v} is no class: whole numbers from 0 to 254 are"),
        ));
    }
    let classes = values.mapv(|v| if mask { u8::from(v > 0.0) } else { v as u8 });
    if classes.ndim() < 3 {
        let map = two_dimensional(path, classes)?;
        return if frames.len() > 1 { Err(one("")) } else { Ok(vec![map]) };
    }
    let count = classes.shape()[0];
    let map = |&f: &u64| {
        let at = usize::try_from(f).ok().filter(|i| *i < count);
        let at = at.ok_or_else(|| Error::format(path, "shape", format!("{count} maps: there is no number {f}")))?;
        two_dimensional(path, classes.index_axis(Axis(0), at).to_owned())
    };
    frames.iter().map(map).collect()
}
