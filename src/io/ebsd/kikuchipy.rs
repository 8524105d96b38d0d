//! kikuchipy's h5ebsd files, written: all points row by row, the header that its reader asks for, and an orix crystal map.

use super::data::Phase;
use super::layout::{scalar, string};
use super::store::Description;
use crate::io::results::put_text;
use hdf5::{File, Group, H5Type};
use ndarray::{Array1, Array2};

/// Group of the map.
pub(super) const GROUP: &str = "/Scan 1/EBSD";
/// Map (rows, columns) in the header of 1 where a point has a pattern and 0 where not. Ours alone: the layout itself has a place for every
/// point. It is there only where points have none.
pub(super) const MEASURED: &str = "emstream_has_pattern";
/// Versions whose layout this is.
const KIKUCHIPY: &str = "0.13.1";
const ORIX: &str = "0.15.0";
/// Point groups by Oxford's numbers of Laue groups, as orix writes them.
const POINT_GROUPS: [&str; 12] = [
    "None", "-1", "2/m", "mmm", "4/m", "4/mmm", "-3", "-3m", "6/m", "6/mmm", "m-3", "m-3m",
];
/// Colours that orix gives to phases in turn.
const COLOURS: [&str; 6] = ["tab:blue", "tab:orange", "tab:green", "tab:red", "tab:purple", "tab:brown"];

/// All of the layout but patterns.
pub(super) fn write_layout(file: &File, what: &Description<'_>) -> hdf5::Result<()> {
    string(file, "manufacturer", "kikuchipy")?;
    string(file, "version", KIKUCHIPY)?;
    file.create_group("Scan 1/EBSD/Data")?;
    let header = file.create_group("Scan 1/EBSD/Header")?;
    let (rows, columns) = what.present.dim();
    let [dy, dx] = what.steps.map(|s| s.unwrap_or(1.0));
    let geometry = what.geometry;
    for (name, value) in [
        ("n_columns", columns),
        ("n_rows", rows),
        ("pattern_height", what.pattern[0]),
        ("pattern_width", what.pattern[1]),
        ("binning", 1),
    ] {
        scalar(&header, name, value as i64)?;
    }
    for (name, value, step) in [("step_x", dx, what.steps[1]), ("step_y", dy, what.steps[0])] {
        // Its reader wants a number. Without a unit it stands for nothing when we read the file again.
        let dataset = scalar(&header, name, value)?;
        put_text(&dataset, "unit", if step.is_some() { "um" } else { "" })?;
    }
    if what.present.iter().any(|p| !p) {
        array(&header, MEASURED, &what.present.mapv(u8::from))?;
        let meaning = "1 where a point of the map has a pattern; the zeros of the others stand for nothing";
        let dataset = header.dataset(MEASURED)?;
        put_text(&dataset, "description", meaning)?;
    }
    for (name, value) in [
        ("azimuth_angle", 0.0),
        ("twist_angle", 0.0),
        ("elevation_angle", geometry.camera_tilt.unwrap_or(0.0).to_degrees()),
        ("sample_tilt", geometry.sample_tilt.map_or(70.0, f64::to_degrees)),
        ("detector_pixel_size", 1.0),
    ] {
        scalar(&header, name, value)?;
    }
    for (k, name) in ["pcx", "pcy", "pcz"].into_iter().enumerate() {
        match &geometry.pc {
            None => drop(scalar(&header, name, 0.5)?),
            Some(pc) => {
                // Its reader wants a number for points without a pattern too; their mean leaves that of the map as it is.
                let values = Array2::from_shape_fn((rows, columns), |(y, x)| pc[[y, x, k]]);
                let known: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
                let mean = if known.is_empty() {
                    0.5
                } else {
                    known.iter().sum::<f64>() / known.len() as f64
                };
                let values = values.mapv(|v| if v.is_finite() { v } else { mean });
                header.new_dataset_builder().with_data(&values).create(name)?;
            }
        }
    }
    match what.static_background {
        None => drop(scalar(&header, "static_background", -1i64)?),
        Some(b) if b.iter().all(|&v| v.fract() == 0.0 && (0.0..=65535.0).contains(&v)) => {
            array(&header, "static_background", &b.mapv(|v| v as u16))?;
        }
        Some(b) => array(&header, "static_background", &b.mapv(|v| v as f32))?,
    }
    let sem = file.create_group("Scan 1/SEM/Header")?;
    scalar(&sem, "beam_energy", geometry.voltage.unwrap_or(0.0))?;
    scalar(&sem, "magnification", 0i64)?;
    scalar(&sem, "working_distance", 0i64)?;
    string(&sem, "microscope", "")?;
    if what.data.euler().is_some() {
        crystal_map(&file.create_group("Scan 1/EBSD/CrystalMap")?, what, [dy, dx])?;
    }
    Ok(())
}

fn crystal_map(group: &Group, what: &Description<'_>, [dy, dx]: [f64; 2]) -> hdf5::Result<()> {
    string(group, "manufacturer", "orix")?;
    string(group, "version", ORIX)?;
    let (rows, columns) = what.present.dim();
    let data = group.create_group("crystal_map/data")?;
    let header = group.create_group("crystal_map/header")?;
    let put = |name: &str, value: &dyn Fn(usize, usize) -> f64| -> hdf5::Result<()> {
        let values = (0..rows * columns).map(|i| value(i / columns, i % columns));
        column(&data, name, Array1::from_iter(values))
    };
    // Points that are not indexed keep angles of zero.
    let of = |name: &str| {
        let map = what.data.get(name);
        move |y: usize, x: usize| map.map_or(0.0, |m| m[[y, x]]).max(-f64::MAX)
    };
    for (theirs, ours) in [("phi1", "euler1"), ("Phi", "euler2"), ("phi2", "euler3")] {
        let value = of(ours);
        put(theirs, &|y, x| Some(value(y, x)).filter(|v| v.is_finite()).unwrap_or(0.0))?;
    }
    for name in ["mad", "bc", "bs", "bands", "error", "iq", "ci", "fit"] {
        if let Some(map) = what.data.get(name) {
            put(name, &|y, x| map[[y, x]])?;
        }
    }
    if !what.data.orientation_frame.is_empty() {
        // orix leaves it alone; without it nobody knows how hexagonal axes lie in the sample.
        let angles = data.dataset("phi1")?;
        put_text(&angles, "frame", &what.data.orientation_frame)?;
    }
    put("x", &|_, x| x as f64 * dx)?;
    put("y", &|y, _| y as f64 * dy)?;
    let all = rows * columns;
    column(&data, "id", Array1::from_iter(0..all as i64))?;
    column(&data, "is_in_data", Array1::from_elem(all, true))?;
    let phase = what.data.get("phase");
    let id = |i: usize| match phase.map_or(1.0, |p| p[[i / columns, i % columns]]) {
        p if p >= 1.0 => p as i64,
        _ => -1,
    };
    column(&data, "phase_id", Array1::from_iter((0..all).map(id)))?;

    string(&header, "grid_type", "square")?;
    scalar(&header, "nx", all as i64)?;
    scalar(&header, "ny", all as i64)?;
    scalar(&header, "rotations_per_point", 1i64)?;
    let known = what.steps.iter().all(Option::is_some);
    string(&header, "scan_unit", if known { "um" } else { "px" })?;
    scalar(&header, "x_step", dx)?;
    scalar(&header, "y_step", dy)?;
    let phases = header.create_group("phases")?;
    let unknown = |id: i32, name: &str| Phase {
        id,
        name: name.into(),
        lattice: [1.0, 1.0, 1.0, 90f64.to_radians(), 90f64.to_radians(), 90f64.to_radians()],
        laue: 0,
        space_group: 0,
    };
    let mut list = what.data.phases.clone();
    if list.is_empty() {
        list.push(unknown(1, "phase 1"));
    }
    if (0..all).any(|i| id(i) == -1) {
        list.push(unknown(-1, "not_indexed"));
    }
    for (i, p) in list.iter().enumerate() {
        let group = phases.create_group(&p.id.to_string())?;
        string(&group, "name", &p.name)?;
        string(&group, "color", if p.id < 0 { "white" } else { COLOURS[i % COLOURS.len()] })?;
        string(
            &group,
            "point_group",
            POINT_GROUPS.get(usize::from(p.laue)).unwrap_or(&"None"),
        )?;
        match p.space_group {
            0 => string(&group, "space_group", "None")?,
            n => drop(scalar(&group, "space_group", i64::from(n))?),
        }
        group.create_group("structure/atoms")?;
        let lattice = group.create_group("structure/lattice")?;
        let mut cell = p.lattice;
        cell[3..].iter_mut().for_each(|a| *a = a.to_degrees());
        column(&lattice, "abcABG", Array1::from_iter(cell))?;
        array(&lattice, "baserot", &Array2::<f64>::eye(3))?;
    }
    Ok(())
}

fn column<T: H5Type>(group: &Group, name: &str, values: Array1<T>) -> hdf5::Result<()> {
    group.new_dataset_builder().with_data(&values).create(name).map(|_| ())
}

fn array<T: H5Type>(group: &Group, name: &str, values: &Array2<T>) -> hdf5::Result<()> {
    group.new_dataset_builder().with_data(values).create(name).map(|_| ())
}
