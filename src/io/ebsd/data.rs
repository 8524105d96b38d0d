//! What is known of the points of a map besides their patterns.

use crate::error::{Error, Result};
use ndarray::{Array2, Array3};

/// One value for each point of a map.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// `phase bands error euler1 euler2 euler3 mad bc bs x y ci iq fit sem`, or the file's own name.
    pub name: String,
    /// `rad`, `µm`, or empty.
    pub unit: &'static str,
    /// (rows, columns); NaN where the file has no row for a point.
    pub values: Array2<f64>,
}

/// Lengths in ångström and angles in radians of a unit cell: a, b, c, α, β, γ.
pub type Lattice = [f64; 6];

/// A crystal phase as a file describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Phase {
    /// The number by which points refer to it, from 1.
    pub id: i32,
    pub name: String,
    pub lattice: Lattice,
    /// Oxford's number of the Laue group, 1 (triclinic) to 11 (cubic, m-3m); 0 when unknown.
    pub laue: u8,
    /// Number of the space group; 0 when unknown.
    pub space_group: u16,
}

impl Phase {
    /// [`Phase::laue`], or the one that follows from the space group (International Tables for Crystallography, volume A).
    pub fn laue_number(&self) -> Option<u8> {
        const LAST: [u16; 11] = [2, 15, 74, 88, 142, 148, 167, 176, 194, 206, 230];
        match (self.laue, self.space_group) {
            (laue @ 1..=11, _) => Some(laue),
            (_, 0) => None,
            (_, group) => (1..).zip(LAST).find(|(_, last)| group <= *last).map(|(laue, _)| laue),
        }
    }
}

/// Columns of a map and its phases.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MapData {
    /// Map shape (rows, columns).
    pub nav: [usize; 2],
    columns: Vec<Column>,
    pub phases: Vec<Phase>,
    /// What the orientations refer to, in the words of the file, e.g. `Bunge ZXZ, Oxford CS0`.
    pub orientation_frame: String,
}

impl MapData {
    /// A map of which nothing is known.
    pub fn new(nav: [usize; 2]) -> Self {
        MapData {
            nav,
            ..MapData::default()
        }
    }
    /// All columns in the order of the file.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }
    /// The column of that name.
    pub fn get(&self, name: &str) -> Option<&Array2<f64>> {
        self.columns.iter().find(|c| c.name == name).map(|c| &c.values)
    }
    /// Adds a column or replaces the one of the same name.
    ///
    /// # Errors
    /// [`Error::Internal`] if its shape is not the map's.
    pub fn put(&mut self, name: &str, unit: &'static str, values: Array2<f64>) -> Result<()> {
        if values.dim() != (self.nav[0], self.nav[1]) {
            let shape = values.dim();
            return Err(Error::Internal(format!(
                "column {name} of shape {shape:?} for a map of {:?}",
                self.nav
            )));
        }
        self.remove(name);
        self.columns.push(Column {
            name: name.to_owned(),
            unit,
            values,
        });
        Ok(())
    }
    /// Takes the column of that name away, if there is one.
    pub fn remove(&mut self, name: &str) {
        self.columns.retain(|c| c.name != name);
    }
    /// Bunge's Euler angles φ1, Φ, φ2 in radians (rows, columns, 3), if the file has them.
    pub fn euler(&self) -> Option<Array3<f64>> {
        let [a, b, c] = ["euler1", "euler2", "euler3"].map(|n| self.get(n));
        let (a, b, c) = (a?, b?, c?);
        let (rows, columns) = a.dim();
        Some(Array3::from_shape_fn((rows, columns, 3), |(y, x, k)| match k {
            0 => a[[y, x]],
            1 => b[[y, x]],
            _ => c[[y, x]],
        }))
    }
}

/// Micrometres in one `unit` of length; `None` for anything else (`px`).
pub(super) fn micrometres(unit: &str) -> Option<f64> {
    match unit {
        "m" => Some(1e6),
        "mm" => Some(1e3),
        "µm" | "μm" | "um" | "micron" => Some(1.0),
        "nm" => Some(1e-3),
        "Å" | "A" => Some(1e-4),
        "pm" => Some(1e-6),
        _ => None,
    }
}

/// Where the detector stands.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Geometry {
    /// Projection centre of every point (rows, columns, 3) in Bruker's convention: x from the left in widths, y from the top in
    /// heights, distance in heights of the detector.
    pub pc: Option<Array3<f64>>,
    /// Tilt of the sample and elevation of the camera in radians.
    pub sample_tilt: Option<f64>,
    pub camera_tilt: Option<f64>,
    /// Acceleration voltage in kV.
    pub voltage: Option<f64>,
}
