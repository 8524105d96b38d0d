//! The h5ebsd-like layout, written: all of it but patterns.

use super::store::Description;
use crate::io::results::{self, put_text};
use hdf5::types::VarLenUnicode;
use hdf5::{File, Group, H5Type};
use ndarray::{Array1, Array2};

/// All of the layout but patterns.
pub(super) fn write_layout(file: &File, what: &Description<'_>) -> hdf5::Result<()> {
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
    for (name, ours, axis) in [("X Position", "x", 1), ("Y Position", "y", 0)] {
        let by_steps = |at: [usize; 2]| at[axis] as f64 * what.steps[axis].unwrap_or(0.0);
        match what.data.get(ours) {
            Some(_) => column(name, "µm", &of(ours, 1.0))?,
            None => column(name, "µm", &by_steps)?,
        };
    }
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
