//! The h5ebsd-like layout: one HDF5 file with the patterns of a map and everything computed from them.

use super::data::{Geometry, MapData};
use super::patterns::{Codec, PatternWriter, Place, part_name};
use crate::error::{Error, Result};
use crate::io::h5::open_file;
use crate::io::output;
use crate::io::results::{self, Meta, Value, hdf5_error, put_text};
use crate::pixel::FrameShape;
use hdf5::types::VarLenUnicode;
use hdf5::{File, Group, H5Type};
use ndarray::{Array1, Array2, ArrayView, Dimension};
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
            StoreLayout::H5Ebsd => write_layout(&file, what),
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
        let order = places.order();
        let in_order = order.iter().zip(0u32..).all(|(&place, i)| place == i);
        Ok(Store {
            file,
            temp: None,
            path: at.to_owned(),
            target: path.to_owned(),
            overwrite: true,
            group,
            count: order.len() as u64,
            places: stored as u64,
            order: (!in_order || stored != order.len()).then_some(order),
        })
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
        let order = match &self.order {
            Some(order) if self.places == self.count => order,
            None => return self.put(name, array, meta),
            Some(_) => {
                return Err(Error::Internal(format!(
                    "{name}: rows for a file that keeps a place for every point"
                )));
            }
        };
        // Row i of the file belongs to the present point whose place is i.
        let mut from = vec![0; order.len()];
        order
            .iter()
            .enumerate()
            .for_each(|(number, &place)| from[place as usize] = number);
        self.put(name, array.select(ndarray::Axis(0), &from).view(), meta)
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
        let failed = |e: hdf5::Error| hdf5_error(&target, "cannot write", &e);
        file.flush().map_err(failed)?;
        file.close().map_err(failed)?;
        let synced = std::fs::File::options().write(true).open(&path).and_then(|f| f.sync_all());
        synced.map_err(|e| Error::io(&target, "cannot write", e))?;
        match temp {
            Some(temp) => output::persist(temp, &target, overwrite),
            None if path != target => output::rename(&path, &target, overwrite),
            None => Ok(()),
        }
    }
}

/// All of the layout but patterns.
fn write_layout(file: &File, what: &Description<'_>) -> hdf5::Result<()> {
    string(file, "Manufacturer", "emstream")?;
    string(file, "Version", env!("CARGO_PKG_VERSION"))?;
    let data = file.create_group("Scan/EBSD/Data")?;
    let header = file.create_group("Scan/EBSD/Header")?;

    let (rows, columns) = what.present.dim();
    let at: Vec<[usize; 2]> = what
        .present
        .indexed_iter()
        .filter(|(_, p)| **p)
        .map(|((y, x), _)| [y, x])
        .collect();
    scalar(&header, "NCOLS", columns as i64)?;
    scalar(&header, "NROWS", rows as i64)?;
    scalar(&header, "PatternHeight", what.pattern[0] as i64)?;
    scalar(&header, "PatternWidth", what.pattern[1] as i64)?;
    let steps = [("Y Resolution", what.steps[0]), ("X Resolution", what.steps[1])];
    for (name, step) in steps {
        let dataset = scalar(&header, name, step.unwrap_or(1.0))?;
        put_text(&dataset, "unit", if step.is_some() { "µm" } else { "" })?;
    }
    let list = Array2::from_shape_fn((at.len(), 3), |(i, k)| match k {
        0 => i as i64,
        1 => at[i][1] as i64,
        _ => at[i][0] as i64,
    });
    let mut index = Array2::from_elem((rows, columns), -1i64);
    at.iter().enumerate().for_each(|(i, &[y, x])| index[[y, x]] = i as i64);
    header.new_dataset_builder().with_data(&list).create("maplist")?;
    header.new_dataset_builder().with_data(&index).create("indexmap")?;
    let angles = [
        ("SampleTilt", what.geometry.sample_tilt),
        ("CameraTilt", what.geometry.camera_tilt),
    ];
    for (name, angle) in angles {
        if let Some(angle) = angle {
            let dataset = scalar(&header, name, angle.to_degrees())?;
            put_text(&dataset, "unit", "deg")?;
        }
    }
    if let Some(kv) = what.geometry.voltage {
        let dataset = scalar(&header, "KV", kv)?;
        put_text(&dataset, "unit", "kV")?;
    }

    let beam = |k: usize| Array1::from_iter(at.iter().map(|p| p[k] as i32));
    data.new_dataset_builder().with_data(&beam(1)).create("X BEAM")?;
    data.new_dataset_builder().with_data(&beam(0)).create("Y BEAM")?;
    let column = |name: &str, unit: &str, value: &dyn Fn([usize; 2]) -> f64| -> hdf5::Result<hdf5::Dataset> {
        let values = Array1::from_iter(at.iter().map(|&p| value(p) as f32));
        let dataset = data.new_dataset_builder().with_data(&values).create(name)?;
        put_text(&dataset, "unit", unit)?;
        Ok(dataset)
    };
    let pc = |k: usize, dummy: f64| move |[y, x]: [usize; 2]| what.geometry.pc.as_ref().map_or(dummy, |pc| pc[[y, x, k]]);
    column("PCX", "pattern widths from the left", &pc(0, 0.5))?;
    column("PCY", "pattern heights from the top", &pc(1, 0.5))?;
    column("DD", "pattern heights", &pc(2, 1.0))?;
    let of = |name: &str, factor: f64| {
        let values = what.data.get(name);
        move |[y, x]: [usize; 2]| values.map_or(0.0, |v| v[[y, x]] * factor)
    };
    for (name, ours) in [("phi1", "euler1"), ("PHI", "euler2"), ("phi2", "euler3")] {
        let dataset = column(name, "deg", &of(ours, 180.0 / std::f64::consts::PI))?;
        if !what.data.orientation_frame.is_empty() {
            put_text(&dataset, "frame", &what.data.orientation_frame)?;
        }
    }
    column("X Position", "µm", &of("x", 1.0))?;
    column("Y Position", "µm", &of("y", 1.0))?;
    let others = what.data.columns().iter();
    for c in others.filter(|c| !["euler1", "euler2", "euler3", "x", "y"].contains(&c.name.as_str())) {
        let (name, whole) = match c.name.as_str() {
            "phase" => ("Phase", true),
            "bands" => ("Bands", true),
            "error" => ("Error", true),
            "mad" => ("MAD", false),
            "bc" => ("BC", false),
            "bs" => ("BS", false),
            "ci" => ("CI", false),
            "iq" => ("IQ", false),
            "fit" => ("Fit", false),
            "sem" => ("SEM Signal", false),
            other => (other, false),
        };
        if data.link_exists(name) || name.contains('/') {
            continue;
        }
        if whole {
            // A point without a row in the orientation file counts as not indexed.
            let values = Array1::from_iter(at.iter().map(|&[y, x]| c.values[[y, x]] as i32));
            data.new_dataset_builder().with_data(&values).create(name)?;
        } else {
            column(name, c.unit, &|[y, x]| c.values[[y, x]])?;
        }
    }
    for p in &what.data.phases {
        let group = header.create_group(&format!("Phases/{}", p.id))?;
        string(&group, "Phase Name", &p.name)?;
        let lengths = Array1::from_iter(p.lattice[..3].iter().copied());
        let angles = Array1::from_iter(p.lattice[3..].iter().copied());
        let dataset = group.new_dataset_builder().with_data(&lengths).create("Lattice Dimensions")?;
        put_text(&dataset, "unit", "Å")?;
        let dataset = group.new_dataset_builder().with_data(&angles).create("Lattice Angles")?;
        put_text(&dataset, "unit", "rad")?;
        scalar(&group, "Laue Group", i32::from(p.laue))?;
        scalar(&group, "Space Group", i32::from(p.space_group))?;
    }
    if let Some(background) = what.static_background {
        let whole = background.iter().all(|&v| v.fract() == 0.0 && (0.0..=65535.0).contains(&v));
        let name = "StaticBackground";
        if whole {
            data.new_dataset_builder()
                .with_data(&background.mapv(|v| v as u16))
                .create(name)?;
        } else {
            data.new_dataset_builder()
                .with_data(&background.mapv(|v| v as f32))
                .create(name)?;
        }
    }
    Ok(())
}

pub(super) fn scalar<T: H5Type>(group: &Group, name: &str, value: T) -> hdf5::Result<hdf5::Dataset> {
    let dataset = group.new_dataset::<T>().create(name)?;
    dataset.write_scalar(&value)?;
    Ok(dataset)
}

pub(super) fn string(group: &Group, name: &str, value: &str) -> hdf5::Result<()> {
    let value = results::text(value)?;
    group.new_dataset::<VarLenUnicode>().create(name)?.write_scalar(&value)
}
