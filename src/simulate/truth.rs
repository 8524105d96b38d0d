//! What is known about a simulated scan, as arrays and as an HDF5 file.

use super::frames::Simulated;
use super::stream;
use crate::control::Control;
use crate::error::Result;
use hdf5::types::VarLenUnicode;
use ndarray::{Array1, Array2, Array3, Array4, ArrayBase, Data, Dimension};
use rayon::prelude::*;
use std::path::Path;

/// The truth about all frames: 52 bytes a scan position. Vectors are (y, x) in pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth {
    /// Grain of each position, (ny, nx).
    pub grain_id: Array2<i32>,
    /// Spot (h, k) lies at zero + h a + k b, each (ny, nx, 2).
    pub zero: Array3<f32>,
    pub a: Array3<f32>,
    pub b: Array3<f32>,
    /// E in a = (1 + E) a0, (ny, nx, 2, 2).
    pub strain: Array4<f32>,
    /// zero minus its mean position, (ny, nx, 2).
    pub descan: Array3<f32>,
}

impl Simulated {
    /// The truth about all frames.
    pub fn truth(&self) -> Truth {
        let [ny, nx] = self.parameters.nav;
        let all: Vec<_> = (0..(ny * nx) as u64).into_par_iter().map(|n| self.lattice(n)).collect();
        let vectors = |get: fn(&super::Lattice) -> [f64; 2]| {
            Array3::from_shape_fn((ny, nx, 2), |(y, x, k)| get(&all[y * nx + x])[k] as f32)
        };
        Truth {
            grain_id: Array2::from_shape_fn((ny, nx), |(y, x)| all[y * nx + x].grain as i32),
            zero: vectors(|l| l.zero),
            a: vectors(|l| l.a),
            b: vectors(|l| l.b),
            strain: Array4::from_shape_fn((ny, nx, 2, 2), |(y, x, i, j)| all[y * nx + x].strain[i][j] as f32),
            descan: vectors(|l| l.descan),
        }
    }

    /// Writes the truth and all parameters to an HDF5 file: datasets `grain_id`, `zero`, `a`, `b`, `strain`, `descan` as in
    /// [`Truth`], `grains/{a0, b0, seed, superlattice}` per grain, `bad_pixels` (n, 2); the parameters as attributes of the root, and
    /// together as TOML in the attribute `parameters`. The file appears complete or not at all.
    ///
    /// # Errors
    /// [`crate::Error::Io`] if the file exists and `overwrite` is false, or cannot be written.
    pub fn write_truth(&self, path: &Path, overwrite: bool, control: &Control) -> Result<()> {
        stream::write_truth(self, path, overwrite, control)
    }

    pub(super) fn put_truth(&self, file: &hdf5::File) -> hdf5::Result<()> {
        let t = self.truth();
        put(file, "grain_id", &t.grain_id, "grain of each scan position")?;
        put(
            file,
            "zero",
            &t.zero,
            "direct beam (y, x) in px: spot (h, k) lies at zero + h a + k b",
        )?;
        put(file, "a", &t.a, "lattice vector (y, x) in px")?;
        put(file, "b", &t.b, "lattice vector (y, x) in px")?;
        put(file, "strain", &t.strain, "E in a = (1 + E) a0, rows and columns (y, x)")?;
        put(file, "descan", &t.descan, "zero minus its mean position (y, x) in px")?;
        let crystals = &self.texture.crystals;
        let rows = |get: fn(&super::grains::Crystal) -> [f64; 2]| {
            Array2::from_shape_fn((crystals.len(), 2), |(i, k)| get(&crystals[i])[k])
        };
        let group = file.create_group("grains")?;
        put(&group, "a0", &rows(|c| c.a), "lattice vector without strain (y, x) in px")?;
        put(&group, "b0", &rows(|c| c.b), "lattice vector without strain (y, x) in px")?;
        put(&group, "seed", &rows(|c| c.seed), "seed point (y, x) in scan positions")?;
        let superlattice: Array1<f64> = crystals.iter().map(|c| c.superlattice).collect();
        put(
            &group,
            "superlattice",
            &superlattice,
            "relative amplitude of spots at (h+1/2, k+1/2)",
        )?;
        let bad = self.bad_pixels();
        if !bad.is_empty() {
            let bad = Array2::from_shape_fn((bad.len(), 2), |(i, k)| bad[i][k] as i32);
            put(file, "bad_pixels", &bad, "dead, hot, then not-a-number pixels (y, x)")?;
        }
        Ok(())
    }
}

/// The attribute with all parameters as TOML.
const PARAMETERS: &str = "parameters";

/// What [`put_parameters`] wrote to a file, if that is such a file.
pub(super) fn parameters_in(path: &Path) -> Option<String> {
    let text: VarLenUnicode = hdf5::File::open(path).ok()?.attr(PARAMETERS).ok()?.read_scalar().ok()?;
    Some(text.as_str().to_owned())
}

/// Parameters as attributes of the root, and together as TOML in the attribute [`PARAMETERS`].
pub(super) fn put_parameters(file: &hdf5::File, text: &str) -> hdf5::Result<()> {
    write_text(file, PARAMETERS, text)?;
    let table: toml::Table = toml::from_str(text).map_err(|e| hdf5::Error::from(e.to_string()))?;
    for (name, value) in &table {
        match value {
            toml::Value::Integer(v) => file.new_attr::<i64>().create(name.as_str())?.write_scalar(v)?,
            toml::Value::Float(v) => file.new_attr::<f64>().create(name.as_str())?.write_scalar(v)?,
            toml::Value::String(v) => write_text(file, name, v)?,
            toml::Value::Array(v) => {
                let numbers: Option<Vec<f64>> = v.iter().map(|v| v.as_float().or(v.as_integer().map(|i| i as f64))).collect();
                if let Some(numbers) = numbers {
                    file.new_attr_builder().with_data(&numbers).create(name.as_str())?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// A dataset with its meaning.
pub(super) fn put<T: hdf5::H5Type, S: Data<Elem = T>, D: Dimension>(
    group: &hdf5::Group,
    name: &str,
    data: &ArrayBase<S, D>,
    meaning: &str,
) -> hdf5::Result<()> {
    let dataset = group.new_dataset_builder().with_data(data).create(name)?;
    write_text(&dataset, "meaning", meaning)
}

pub(super) fn write_text(place: &hdf5::Location, name: &str, text: &str) -> hdf5::Result<()> {
    let text: VarLenUnicode = text
        .parse()
        .map_err(|_| hdf5::Error::from(format!("attribute {name} holds a NUL")))?;
    place.new_attr::<VarLenUnicode>().create(name)?.write_scalar(&text)
}
