//! EBSD files of EDAX, Oxford and kikuchipy: what they say, before and after the program has put its own results into them. In a file of its
//! own, one test at a time: a child started while another test of the same process holds an HDF5 file open inherits its lock.

mod ebsd_support;

use ebsd_support::{alone, open, pixels, program};
use emstream::io::ebsd::{Codec, Description, Geometry, MapData, PatternMap, Store, StoreLayout};
use emstream::pixel::{FrameShape, Pixel};
use hdf5::types::VarLenUnicode;
use hdf5::{File, Group, H5Type};
use ndarray::{Array1, Array2, Array3};
use std::path::PathBuf;
use tempfile::TempDir;

const NAV: [usize; 2] = [3, 4];
const N: usize = 12;
const FRAME: [usize; 2] = [24, 32];

/// Counts with a gradient and a few bright lines, another offset in every pattern.
fn raw() -> Array3<u16> {
    Array3::from_shape_fn((N, FRAME[0], FRAME[1]), |(i, y, x)| {
        let noise = (i * 7919 + y * 104_729 + x * 1_299_709) % 97;
        let band = if (x + 2 * y + 5 * i) % 19 < 3 { 400 } else { 0 };
        (2000 + 10 * i + 8 * y + 3 * x + band + noise) as u16
    })
}

fn one<T: H5Type>(group: &Group, name: &str, value: T) {
    group.new_dataset_builder().with_data(&[value]).create(name).unwrap();
}
fn word(group: &Group, name: &str, value: &str) {
    let value: VarLenUnicode = value.parse().unwrap();
    group
        .new_dataset::<VarLenUnicode>()
        .create(name)
        .unwrap()
        .write_scalar(&value)
        .unwrap();
}
fn all<T: H5Type + Copy>(group: &Group, name: &str, value: T) {
    let values = Array1::from_elem(N, value);
    group.new_dataset_builder().with_data(&values).create(name).unwrap();
}
fn image<T: H5Type>(group: &Group, name: &str, value: impl Fn(u16) -> T) {
    let values = Array2::from_shape_fn((FRAME[0], FRAME[1]), |(y, x)| value((2000 + 8 * y + 3 * x) as u16));
    group.new_dataset_builder().with_data(&values).create(name).unwrap();
}

/// A file as EDAX writes it, with phases of these numbers.
fn edax(dir: &TempDir, phases: &[u32]) -> PathBuf {
    let path = dir.path().join("edax.h5");
    let file = File::create(&path).unwrap();
    word(&file, "Manufacturer", "EDAX");
    let data = file.create_group("Scan 1/EBSD/Data").unwrap();
    let header = file.create_group("Scan 1/EBSD/Header").unwrap();
    data.new_dataset_builder().with_data(&raw()).create("Pattern").unwrap();
    for (name, value) in [
        ("Phi1", 1f32),
        ("Phi", 0.5),
        ("Phi2", 2.0),
        ("CI", 0.9),
        ("IQ", 900.0),
        ("Fit", 0.5),
    ] {
        all(&data, name, value);
    }
    all(&data, "Phase", 0i8);
    for (name, value) in [("nRows", NAV[0]), ("nColumns", NAV[1])] {
        one(&header, name, value as i32);
    }
    for (name, value) in [
        ("Step X", 0.2f32),
        ("Step Y", 0.4),
        ("Sample Tilt", 70.0),
        ("Camera Elevation Angle", 5.0),
    ] {
        one(&header, name, value);
    }
    word(&header, "Grid Type", "SqrGrid");
    let centre = header.create_group("Pattern Center Calibration").unwrap();
    for (name, value) in [("x-star", 0.48f32), ("y-star", 0.7), ("z-star", 0.6)] {
        one(&centre, name, value);
    }
    for id in phases {
        let phase = header.create_group(&format!("Phase/{id}")).unwrap();
        word(&phase, "MaterialName", "Nickel");
        one(&phase, "Symmetry", 43i32);
    }
    path
}

/// A file as AZtec writes it, with patterns of one kind or both; columns have the shape that the specification gives.
fn oxford(dir: &TempDir, unprocessed: bool, processed: bool) -> PathBuf {
    let path = dir.path().join("ox.h5oina");
    let file = File::create(&path).unwrap();
    word(&file, "Manufacturer", "Oxford Instruments");
    let data = file.create_group("1/EBSD/Data").unwrap();
    let header = file.create_group("1/EBSD/Header").unwrap();
    if unprocessed {
        let patterns = raw().mapv(|v| v as i16);
        data.new_dataset_builder()
            .with_data(&patterns)
            .create("Unprocessed Patterns")
            .unwrap();
    }
    if processed {
        let patterns = raw().mapv(|v| (v / 16) as u8);
        data.new_dataset_builder()
            .with_data(&patterns)
            .create("Processed Patterns")
            .unwrap();
    }
    let euler = Array2::from_shape_fn((N, 3), |(_, k)| [1f32, 0.5, 2.0][k]);
    data.new_dataset_builder().with_data(&euler).create("Euler").unwrap();
    let phase = Array2::from_elem((N, 1), 1u8);
    data.new_dataset_builder().with_data(&phase).create("Phase").unwrap();
    all(&data, "Mean Angular Deviation", 0.6f32.to_radians());
    all(&data, "Band Contrast", 120u8);
    for (name, value) in [
        ("Pattern Center X", 0.5f32),
        ("Pattern Center Y", 0.55),
        ("Detector Distance", 0.5),
    ] {
        all(&data, name, value);
    }
    one(&header, "X Cells", NAV[1] as i32);
    one(&header, "Y Cells", NAV[0] as i32);
    for (name, value) in [
        ("X Step", 0.2f32),
        ("Y Step", 0.4),
        ("Tilt Angle", 70f32.to_radians()),
        ("Beam Voltage", 20.0),
    ] {
        one(&header, name, value);
    }
    image(&header, "Processed Static Background", |_| 100u8);
    image(&header, "Unprocessed Static Background", |v| v as i16);
    let phase = header.create_group("Phases/1").unwrap();
    word(&phase, "Phase Name", "Nickel");
    one(&phase, "Laue Group", 11i32);
    path
}

/// A file as kikuchipy and orix write it.
fn kikuchipy(dir: &TempDir) -> PathBuf {
    let path = dir.path().join("kp.h5");
    let file = File::create(&path).unwrap();
    word(&file, "manufacturer", "kikuchipy");
    let data = file.create_group("Scan 1/EBSD/Data").unwrap();
    let header = file.create_group("Scan 1/EBSD/Header").unwrap();
    data.new_dataset_builder().with_data(&raw()).create("patterns").unwrap();
    one(&header, "n_rows", NAV[0] as i64);
    one(&header, "n_columns", NAV[1] as i64);
    for (name, value) in [
        ("step_x", 0.2),
        ("step_y", 0.4),
        ("sample_tilt", 70.0),
        ("pcx", 0.42),
        ("pcy", 0.22),
        ("pcz", 0.6),
    ] {
        one(&header, name, value);
    }
    image(&header, "static_background", |v| v);
    let points = file.create_group("Scan 1/EBSD/CrystalMap/crystal_map/data").unwrap();
    for (name, value) in [("phi1", 1.0), ("Phi", 0.5), ("phi2", 2.0), ("iq", 0.25)] {
        all(&points, name, value);
    }
    path
}

fn succeed(dir: &TempDir, args: &[&str]) -> String {
    let (code, stderr) = program(dir, &[&["--backend", "cpu", "ebsd"], args].concat());
    assert_eq!(code, Some(0), "{args:?}: {stderr}");
    stderr
}

fn stack(map: &PatternMap) -> &str {
    map.scan
        .info()
        .dataset
        .as_deref()
        .unwrap_or("")
        .rsplit('/')
        .next()
        .unwrap_or("")
}

/// All that a file says besides patterns and background.
fn said(map: &PatternMap) -> (&MapData, &Geometry, [Option<f64>; 2], &str) {
    (&map.data, &map.geometry, map.steps(), &map.dialect)
}

#[test]
fn results_in_place_leave_the_meaning_of_the_file() {
    let _alone = alone();
    type Make = fn(&TempDir) -> PathBuf;
    let makes: [(Make, &str); 4] = [
        (|d| edax(d, &[1]), "Pattern"),
        (|d| oxford(d, true, true), "Unprocessed Patterns"),
        (|d| oxford(d, false, true), "Processed Patterns"),
        (kikuchipy, "patterns"),
    ];
    for (make, original) in makes {
        let dir = TempDir::new().unwrap();
        let path = make(&dir);
        let name = path.file_name().unwrap().to_str().unwrap();
        let before = open(&path, None);
        assert_eq!(stack(&before), original);
        let tilt = before.geometry.sample_tilt.unwrap().to_degrees();
        assert!((tilt - 70.0).abs() < 1e-4, "{name}: {tilt}");
        assert!((before.data.get("euler1").unwrap()[[2, 3]] - 1.0).abs() < 1e-6);
        let counts = pixels(&before);
        drop(before.scan);
        let (data, geometry, background) = (before.data, before.geometry, before.static_background);

        let process: &[&str] = &["process", name, "--in-place", "--sigma", "4", "--background", "mean"];
        succeed(&dir, process);
        let once = pixels(&open(&path, Some("Patterns")));
        succeed(&dir, process);
        assert_eq!(
            pixels(&open(&path, Some("Patterns"))),
            once,
            "{name}: nothing is processed twice"
        );
        succeed(&dir, &["average", name, "--in-place"]);
        let mean = pixels(&open(&path, Some("AveragedPatterns")));
        succeed(&dir, process);
        succeed(&dir, &["average", name, "--in-place"]);
        assert_eq!(pixels(&open(&path, Some("AveragedPatterns"))), mean, "{name}: nor averaged");
        succeed(&dir, &["quality", name, "--in-place"]);
        succeed(&dir, &["bands", name, "--in-place"]);

        for chosen in [None, Some(original), Some("Patterns"), Some("AveragedPatterns")] {
            let after = open(&path, chosen);
            assert_eq!(stack(&after), chosen.unwrap_or(original));
            let steps = after.steps().map(|s| (s.unwrap() * 1e6).round());
            assert_eq!(steps, [4e5, 2e5]);
            assert_eq!(
                said(&after),
                (&data, &geometry, after.steps(), &*before.dialect),
                "{name}, {chosen:?}"
            );
            assert_eq!(after.static_background, background, "{name}, {chosen:?}");
        }
        assert_eq!(pixels(&open(&path, None)), counts);
        succeed(&dir, &["convert", name, "-o", "copy.h5"]);
        let copy = open(&dir.path().join("copy.h5"), None);
        assert_eq!((stack(&copy), pixels(&copy)), ("RawPatterns", counts), "{name}");
        let tilt = copy.geometry.sample_tilt.unwrap().to_degrees();
        assert!((tilt - 70.0).abs() < 1e-4, "{name}: {tilt}");
        let (want, got) = (geometry.pc.unwrap(), copy.geometry.pc.unwrap());
        assert!(got.iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-6), "{name}");
        for (column, want) in [("euler1", 1.0), ("euler2", 0.5), ("euler3", 2.0)] {
            let got = copy.data.get(column).unwrap();
            assert!(got.iter().all(|v| (v - want).abs() < 1e-6), "{name}: {column} {got}");
        }
    }
}

#[test]
fn a_file_without_its_original_patterns_is_still_its_makers() {
    let _alone = alone();
    let dir = TempDir::new().unwrap();
    for (path, original, said_so) in [
        (edax(&dir, &[1]), "Scan 1/EBSD/Data/Pattern", "Manufacturer"),
        (oxford(&dir, true, false), "1/EBSD/Data/Unprocessed Patterns", "Manufacturer"),
        (kikuchipy(&dir), "Scan 1/EBSD/Data/patterns", "manufacturer"),
    ] {
        let before = open(&path, None);
        drop(before.scan);
        let name = path.file_name().unwrap().to_str().unwrap();
        succeed(&dir, &["average", name, "--in-place"]);
        // Next to averages, processed patterns are no source.
        succeed(&dir, &["process", name, "--in-place", "--static", "none", "--sigma", "4"]);
        for gone in [original, said_so] {
            File::open_rw(&path).unwrap().unlink(gone).unwrap();
            let after = open(&path, None);
            assert_eq!(stack(&after), "AveragedPatterns");
            assert_eq!((&after.data, &after.geometry), (&before.data, &before.geometry), "{name}");
        }
    }
}

#[test]
fn oxford_angles_and_backgrounds() {
    let _alone = alone();
    let dir = TempDir::new().unwrap();
    let path = oxford(&dir, true, true);
    let corner = |dataset: Option<&str>| {
        let map = open(&path, dataset);
        let mad = map.data.get("mad").unwrap();
        assert!(mad.iter().all(|v| (v - 0.6).abs() < 1e-6), "degrees: {mad}");
        assert_eq!(map.data.get("phase").unwrap()[[1, 1]], 1.0);
        map.static_background.unwrap()[[0, 0]]
    };
    assert_eq!(corner(None), 2000.0);
    assert_eq!(corner(Some("Unprocessed Patterns")), 2000.0);
    assert_eq!(corner(Some("Processed Patterns")), 100.0);

    // Bands come from processed patterns of either kind; from others with a warning.
    let used = |dir: &TempDir| std::fs::read_to_string(dir.path().join("b.params.toml")).unwrap();
    let bands = ["bands", "ox.h5oina", "-o", "b.h5", "--overwrite"];
    assert!(!succeed(&dir, &bands).contains("raw patterns"));
    assert!(used(&dir).contains("dataset = \"Processed Patterns\""), "{}", used(&dir));
    succeed(&dir, &["process", "ox.h5oina", "--in-place", "--sigma", "4"]);
    assert!(!succeed(&dir, &bands).contains("raw patterns"));
    assert!(used(&dir).contains("dataset = \"Patterns\""), "{}", used(&dir));
    oxford(&dir, true, false);
    assert!(succeed(&dir, &bands).contains("raw patterns"));
    assert!(!used(&dir).contains("dataset"), "{}", used(&dir));
}

#[test]
fn the_only_phase_of_edax_may_have_no_number() {
    let _alone = alone();
    let dir = TempDir::new().unwrap();
    let map = open(&edax(&dir, &[1]), None);
    assert!(map.data.get("phase").unwrap().iter().all(|&p| p == 1.0));
    assert_eq!((map.data.phases.len(), map.data.phases[0].laue), (1, 11), "m-3m");
    drop(map);
    let map = open(&edax(&dir, &[1, 2]), None);
    assert!(map.data.get("phase").unwrap().iter().all(|&p| p == 0.0), "not indexed");
    drop(map);
    // Nor are points with a confidence index of -1.
    let path = edax(&dir, &[1]);
    let file = File::open_rw(&path).unwrap();
    let ci = file.dataset("Scan 1/EBSD/Data/CI").unwrap();
    let mut values = ci.read_1d::<f64>().unwrap();
    values[4] = -1.0;
    ci.write(&values).unwrap();
    file.close().unwrap();
    let map = open(&path, None);
    let phase = map.data.get("phase").unwrap();
    assert!(
        phase.iter().enumerate().all(|(n, &p)| p == f64::from(u8::from(n != 4))),
        "{phase}"
    );
}

#[test]
fn unknown_steps_stay_unknown() {
    let _alone = alone();
    let dir = TempDir::new().unwrap();
    let present = Array2::from_elem((NAV[0], NAV[1]), true);
    let frame = FrameShape {
        pixel: Pixel::U16,
        height: FRAME[0],
        width: FRAME[1],
    };
    let mut data = MapData::new(NAV);
    for name in ["euler1", "euler2", "euler3"] {
        data.put(name, "rad", Array2::from_elem((NAV[0], NAV[1]), 0.5)).unwrap();
    }
    for (layout, stack) in [(StoreLayout::H5Ebsd, "RawPatterns"), (StoreLayout::Kikuchipy, "patterns")] {
        for steps in [[None, None], [Some(0.25), Some(0.5)], [Some(1.0), None]] {
            let path = dir.path().join("map.h5");
            let what = Description {
                present: &present,
                pattern: FRAME,
                steps,
                data: &data,
                geometry: &Geometry::default(),
                static_background: None,
            };
            let store = Store::create_as(&path, layout, &what, true).unwrap();
            let writer = store.pattern_writer(stack, frame, Codec::None).unwrap();
            writer.put(0, bytemuck::cast_slice(raw().as_slice().unwrap())).unwrap();
            writer.finish("counts", "raw patterns").unwrap();
            store.finish().unwrap();
            assert_eq!(open(&path, None).steps(), steps, "{layout:?}");
        }
    }
}

#[test]
fn bands_run_on_the_backend_that_is_asked_for() {
    let _alone = alone();
    let dir = TempDir::new().unwrap();
    edax(&dir, &[1]);
    let bands = |backend: &[&str], output: &str| {
        let args = ["ebsd", "bands", "edax.h5", "-o", output];
        program(&dir, &[backend, &args].concat())
    };
    let (code, stderr) = bands(&["--backend", "gpu", "--gpu", "no such adapter"], "none.h5");
    assert!(code == Some(1) && stderr.contains("no such adapter"), "{stderr}");
    assert!(!dir.path().join("none.h5").exists());
    for (backend, output) in [("cpu", "cpu.h5"), ("gpu", "gpu.h5")] {
        let (code, stderr) = bands(&["--backend", backend], output);
        assert_eq!(code, Some(0), "{stderr}");
        let file = File::open(dir.path().join(output)).unwrap();
        let said = file.group("provenance").unwrap().attr("backend").unwrap();
        let said: VarLenUnicode = said.read_scalar().unwrap();
        assert!(said.starts_with(backend), "{said}");
    }
    let read = |file: &str, name: &str| -> Vec<f32> {
        let file = File::open(dir.path().join(file)).unwrap();
        let dataset = file.dataset(&format!("Scan/EBSD/Bands/{name}")).unwrap();
        dataset.read_raw().unwrap()
    };
    for name in ["theta", "rho", "value"] {
        let bits = |file| read(file, name).iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits("cpu.h5"), bits("gpu.h5"), "{name}");
    }
}
