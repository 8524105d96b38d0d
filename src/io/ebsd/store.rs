//! The h5ebsd-like layout: one HDF5 file with the patterns of a map and everything computed from them.

use super::data::{Geometry, MapData};
use super::mapped::Places;
use super::patterns::{Codec, PatternWriter, Place, part_name};
use crate::error::{Error, Result};
use crate::io::h5::open_file;
use crate::io::output;
use crate::io::results::{self, Meta, Value, hdf5_error};
use crate::pixel::FrameShape;
use hdf5::{File, Group};
use ndarray::{Array, Array2, ArrayView, Axis, Dimension};
use std::path::{Path, PathBuf};
use tempfile::TempPath;

/// What a new store holds besides patterns.
#[derive(Debug, Clone, Copy)]
pub struct Description<'a> {
    /// Where there are patterns (rows, columns).
    pub present: &'a Array2<bool>,
    /// Height and width of the patterns.
    pub pattern: [usize; 2],
    /// Steps of the map (y, x) in µm; unknown ones are written as 1.
    pub steps: [Option<f64>; 2],
    pub data: &'a MapData,
    pub geometry: &'a Geometry,
    /// (h, w), binned like the patterns.
    pub static_background: Option<&'a Array2<f64>>,
}

/// Layouts of new files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StoreLayout {
    /// h5ebsd-like: the points that have patterns, in map order.
    #[default]
    H5Ebsd,
    /// kikuchipy's: all points, row by row; zeros where there is no pattern.
    Kikuchipy,
}

/// An EBSD file that is being made or changed.
///
/// A new file appears under its name with [`Store::finish`]. In an existing file every dataset appears complete or not at all: it is written
/// under another name and then takes its own; what has not got so far is left as it was.
pub struct Store {
    // Closed before the temporary file is renamed or removed: fields are dropped in order.
    file: File,
    temp: Option<TempPath>,
    /// Where the bytes go now, and the name that people know.
    path: PathBuf,
    target: PathBuf,
    overwrite: bool,
    group: String,
    /// Number of patterns, of places for them in the file, and the place of each in map order where that differs.
    count: u64,
    places: u64,
    order: Option<Vec<u32>>,
    /// Which place belongs to which point, in a file that was there before.
    found: Option<Places>,
}

/// Gives `part` the name `name`, in place of an older object.
pub(super) fn replace(group: &Group, part: &str, name: &str) -> hdf5::Result<()> {
    if group.link_exists(name) {
        group.unlink(name)?;
    }
    group.relink(part, name)
}

impl Store {
    /// Starts a new file beside `path`.
    ///
    /// # Errors
    /// [`Error::Io`] if `path` exists and `overwrite` is false, or its folder is missing or not writable.
    pub fn create(path: &Path, what: &Description<'_>, overwrite: bool) -> Result<Store> {
        Store::create_as(path, StoreLayout::H5Ebsd, what, overwrite)
    }

    /// [`Store::create`] for any layout.
    ///
    /// # Errors
    /// As [`Store::create`].
    pub fn create_as(path: &Path, layout: StoreLayout, what: &Description<'_>, overwrite: bool) -> Result<Store> {
        let temp = output::temp_file(path, overwrite)?.into_temp_path();
        let at = temp.to_path_buf();
        let mut store = Store::create_part(&at, path, layout, what, overwrite)?;
        store.temp = Some(temp);
        Ok(store)
    }

    /// Starts a new file at `part`, which stays if the work is interrupted; [`Store::finish`] renames it to `path`.
    ///
    /// # Errors
    /// [`Error::Io`] if the disk refuses.
    pub fn create_part(part: &Path, path: &Path, layout: StoreLayout, what: &Description<'_>, overwrite: bool) -> Result<Store> {
        let failed = |e: hdf5::Error| hdf5_error(path, "cannot write", &e);
        let file = File::create(part).map_err(|e| hdf5_error(path, "cannot create", &e))?;
        match layout {
            StoreLayout::H5Ebsd => super::layout::write_layout(&file, what),
            StoreLayout::Kikuchipy => super::kikuchipy::write_layout(&file, what),
        }
        .map_err(failed)?;
        file.flush().map_err(failed)?;
        Ok(Store::made(file, part, path, layout, what, overwrite))
    }

    /// Goes on with a file that [`Store::create_part`] began with the same description.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be opened.
    pub fn resume_part(part: &Path, path: &Path, layout: StoreLayout, what: &Description<'_>, overwrite: bool) -> Result<Store> {
        let file = File::open_rw(part).map_err(|e| hdf5_error(part, "cannot open for writing", &e))?;
        Ok(Store::made(file, part, path, layout, what, overwrite))
    }

    fn made(file: File, at: &Path, path: &Path, layout: StoreLayout, what: &Description<'_>, overwrite: bool) -> Store {
        let filled: Vec<u32> = (0u32..).zip(what.present).filter(|(_, p)| **p).map(|(i, _)| i).collect();
        let (count, all) = (filled.len() as u64, what.present.len() as u64);
        let (group, places) = match layout {
            StoreLayout::H5Ebsd => ("/Scan/EBSD", count),
            StoreLayout::Kikuchipy => (super::kikuchipy::GROUP, all),
        };
        Store {
            file,
            temp: None,
            path: at.to_owned(),
            target: path.to_owned(),
            overwrite,
            group: group.to_owned(),
            count,
            places,
            order: (places != count).then_some(filled),
            found: None,
        }
    }

    /// Opens an existing file to add to it. Open it before the scan of the same file: HDF5 refuses writers once a file is open for reading.
    ///
    /// # Errors
    /// [`Error::Format`] if it holds no EBSD map; [`Error::Io`] if it may not be written.
    pub fn open(path: &Path) -> Result<Store> {
        drop(open_file(path)?);
        let file = File::open_rw(path).map_err(|e| hdf5_error(path, "cannot open for writing", &e))?;
        Store::of(file, path, path)
    }

    fn of(file: File, at: &Path, path: &Path) -> Result<Store> {
        let (group, places, stored) = super::hdf5::layout_of(&file, path)?;
        let mut store = Store {
            file,
            temp: None,
            path: at.to_owned(),
            target: path.to_owned(),
            overwrite: true,
            group,
            count: 0,
            places: stored as u64,
            order: None,
            found: None,
        };
        store.patterns_at(places.order());
        store.found = Some(places);
        Ok(store)
    }

    /// The patterns have these places in the file, in map order.
    fn patterns_at(&mut self, order: Vec<u32>) {
        self.count = order.len() as u64;
        let in_order = order.iter().zip(0u32..).all(|(&place, i)| place == i);
        self.order = (!in_order || self.places != self.count).then_some(order);
    }

    /// Leaves out points of a file that was there before whose pattern turned out to hold nothing: patterns and rows that are written to it are
    /// those of the points that are `present`. At the others floats are NaN, whole numbers of patterns 0, and those of rows [`Value::MISSING`].
    pub fn only(&mut self, present: &Array2<bool>) {
        let Some(places) = self.found.as_ref().filter(|p| present.dim() == (p.nav[0], p.nav[1])) else {
            return;
        };
        let kept = (0u64..).zip(present).filter(|(_, p)| **p);
        let order = kept.filter_map(|(position, _)| places.stored(position)).collect();
        self.patterns_at(order);
    }

    /// Number of patterns of the map.
    pub fn patterns(&self) -> u64 {
        self.count
    }
    /// The name of the file.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Starts a stack of patterns, e.g. `Patterns`.
    ///
    /// # Errors
    /// [`Error::Io`] if the disk refuses.
    pub fn pattern_writer(&self, name: &str, frame: FrameShape, codec: Codec) -> Result<PatternWriter> {
        PatternWriter::new(self.place()?, name, frame, codec)
    }

    /// Goes on with an uncompressed stack that was not finished; `None` if there is none of this shape and type.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be opened.
    pub fn resume_writer(&self, name: &str, frame: FrameShape) -> Result<Option<PatternWriter>> {
        PatternWriter::resume(self.place()?, name, frame)
    }

    fn place(&self) -> Result<Place<'_>> {
        let failed = |e: hdf5::Error| hdf5_error(&self.target, "cannot write", &e);
        Ok(Place {
            group: self.file.group(&format!("{}/Data", self.group)).map_err(failed)?,
            file: &self.path,
            path: &self.target,
            count: self.count,
            places: self.places,
            order: self.order.clone(),
            marked: self.found.is_some(),
        })
    }

    /// Writes or replaces an array below the map's group, e.g. `Data/bse_map` (rows, columns), `Bands/theta`, `VirtualBSE/values`.
    ///
    /// # Errors
    /// [`Error::Io`] if the disk refuses; [`Error::Internal`] if the number of axes is not that of the array.
    pub fn put<T: Value, D: Dimension>(&self, name: &str, array: ArrayView<'_, T, D>, meta: Meta<'_>) -> Result<()> {
        let failed = |e: hdf5::Error| hdf5_error(&self.target, "cannot write", &e);
        let (parent, last) = name.rsplit_once('/').unwrap_or(("", name));
        let parent = format!("{}/{parent}", self.group);
        let parent = parent.trim_end_matches('/');
        let group = match self.file.group(parent) {
            Ok(group) => group,
            Err(_) => self.file.create_group(parent).map_err(failed)?,
        };
        let part = part_name(last);
        if group.link_exists(&part) {
            group.unlink(&part).map_err(failed)?;
        }
        results::dataset(&group, &part, array, meta, &self.target)?;
        replace(&group, &part, last).map_err(failed)
    }

    /// Writes or replaces one value for each pattern, given for the present points in map order, e.g. `Bands/theta` (N, …) rows.
    ///
    /// # Errors
    /// As [`Store::put`]; [`Error::Internal`] if there are not as many rows as patterns.
    pub fn put_rows<T: Value, D: Dimension + ndarray::RemoveAxis>(
        &self,
        name: &str,
        array: ArrayView<'_, T, D>,
        meta: Meta<'_>,
    ) -> Result<()> {
        if array.shape().first().copied() != usize::try_from(self.count).ok() {
            let what = format!("{name}: shape {:?} for {} patterns", array.shape(), self.count);
            return Err(Error::Internal(what));
        }
        let Some(order) = &self.order else {
            return self.put(name, array, meta);
        };
        // Row i of the file belongs to the pattern whose place is i.
        let mut shape = array.raw_dim();
        shape[0] = self.places as usize;
        let mut rows = Array::from_elem(shape, T::MISSING);
        for (row, &place) in array.outer_iter().zip(order) {
            rows.index_axis_mut(Axis(0), place as usize).assign(&row);
        }
        self.put(name, rows.view(), meta)
    }

    /// Completes the file; a new one gets its name.
    ///
    /// # Errors
    /// [`Error::Io`]; an existing file keeps what it had.
    pub fn finish(self) -> Result<()> {
        let Store {
            file,
            temp,
            path,
            target,
            overwrite,
            ..
        } = self;
        results::settle(file, &path, &target)?;
        match temp {
            Some(temp) => output::persist(temp, &target, overwrite),
            None if path != target => output::rename(&path, &target, overwrite),
            None => Ok(()),
        }
    }
}
