//! EBSD files: every reader against the same patterns, the store, conversion.

mod common;
#[path = "ebsd_formats/conversion.rs"]
mod conversion;

use emstream::Control;
use emstream::io::ebsd::{self, Codec, Geometry, MapData, PatternMap, Phase, Store};
use emstream::io::results::Meta;
use emstream::io::{OpenOptions, Scan};
use emstream::pixel::{FrameShape, Frames, Pixel, Sample};
use ndarray::{Array2, Array3};
use std::path::{Path, PathBuf};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/ebsd").join(name)
}

fn control() -> Control {
    let mut c = Control::new();
    c.threads = 2;
    c
}

fn open(path: &Path) -> PatternMap {
    ebsd::open(path, &OpenOptions::default(), &control()).unwrap()
}

/// All patterns of a scan in float64, (points, pixels).
fn patterns(scan: &dyn Scan) -> Array2<f64> {
    let frame = scan.info().frame;
    let n = scan.info().frames() as usize;
    let mut words = vec![0u32; n * frame.stride() / 4];
    let bytes = bytemuck::cast_slice_mut(&mut words);
    let all: Vec<u64> = (0..n as u64).collect();
    scan.read(&all, frame.stride(), bytes, &control()).unwrap();
    let frames = Frames::new(frame, 0, n, bytes).unwrap();
    emstream::with_pixel!(frame.pixel, T => {
        let values = (0..n).flat_map(|i| frames.frame::<T>(i).iter().map(|v| v.to_f64()).collect::<Vec<_>>()).collect();
        Array2::from_shape_vec((n, frame.pixels()), values).unwrap()
    })
}

/// Sum of every pattern of the map from which the fixtures were cut (4, 5).
fn sums() -> Array2<f64> {
    emstream::io::array::read_array::<f64>(data("store.npy"), 1 << 20)
        .unwrap()
        .into_dimensionality()
        .unwrap()
}

fn error(path: &Path) -> String {
    match ebsd::open(path, &OpenOptions::default(), &control()) {
        Ok(_) => panic!("{} was read", path.display()),
        Err(e) => e.to_string(),
    }
}

#[test]
fn both_dialects_come_in_map_order() {
    for (name, missing) in [("store.h5", vec![]), ("store_zip.h5", vec![(1, 2), (3, 4)])] {
        let map = open(&data(name));
        let info = map.scan.info();
        assert_eq!((info.nav, info.frame.height, info.frame.width), ([4, 5], 24, 30));
        let sums = sums();
        for ((y, x), &want) in sums.indexed_iter() {
            let gone = missing.contains(&(y, x));
            assert_eq!(map.present[[y, x]], !gone);
            let got = patterns(&*map.scan).row(y * 5 + x).sum();
            assert_eq!(got, if gone { 0.0 } else { want }, "{name} at ({y}, {x})");
        }
        assert_eq!(map.static_background.as_ref().unwrap().dim(), (24, 30));
        // Dummies stand for nothing.
        assert!(map.data.euler().is_none() && map.geometry.pc.is_none());
        assert_eq!(map.steps(), if missing.is_empty() { [Some(0.25); 2] } else { [None; 2] });
        // The same through the general door.
        let scan = emstream::io::open(&data(name), &OpenOptions::default(), &control()).unwrap();
        assert_eq!(patterns(&*scan), patterns(&*map.scan));
    }
}

/// A map of 3 × 4 with two points missing and everything known.
fn known() -> (Array2<bool>, MapData, Geometry, Array2<f64>) {
    let mut present = Array2::from_elem((3, 4), true);
    present[[0, 2]] = false;
    present[[2, 3]] = false;
    let mut points = MapData::new([3, 4]);
    let at = |k: f64| Array2::from_shape_fn((3, 4), |(y, x)| k + y as f64 * 0.25 + x as f64 * 0.5);
    points.put("euler1", "rad", at(0.5)).unwrap();
    points.put("euler2", "rad", at(0.25)).unwrap();
    points.put("euler3", "rad", at(1.0)).unwrap();
    points.put("phase", "", at(1.0).mapv(f64::floor)).unwrap();
    points.put("bc", "", at(100.0)).unwrap();
    points.orientation_frame = "Bunge ZXZ, somewhere".into();
    points.phases.push(Phase {
        id: 1,
        name: "Nickel".into(),
        lattice: [3.524, 3.524, 3.524, 1.5, 1.5, 1.5],
        laue: 11,
        space_group: 225,
    });
    let geometry = Geometry {
        pc: Some(Array3::from_shape_fn((3, 4, 3), |(y, x, k)| {
            0.25 + 0.125 * (y + x + k) as f64
        })),
        sample_tilt: Some(70f64.to_radians()),
        camera_tilt: None,
        voltage: Some(20.0),
    };
    (
        present,
        points,
        geometry,
        Array2::from_shape_fn((5, 6), |(y, x)| (10 * y + x) as f64),
    )
}

#[test]
fn a_store_keeps_what_it_was_given() {
    let dir = tempfile::tempdir().unwrap();
    let (present, points, geometry, background) = known();
    let frame = FrameShape {
        pixel: Pixel::U16,
        height: 5,
        width: 6,
    };
    let values: Vec<u16> = (0..10 * 30).map(|i| (i * 7919 % 65_521) as u16).collect();
    for (name, codec) in [("plain.h5", Codec::None), ("gzip.h5", Codec::Gzip(4))] {
        let path = dir.path().join(name);
        let what = ebsd::Description {
            present: &present,
            pattern: [5, 6],
            steps: [Some(0.5), Some(0.25)],
            data: &points,
            geometry: &geometry,
            static_background: Some(&background),
        };
        let store = Store::create(&path, &what, false).unwrap();
        let writer = store.pattern_writer("RawPatterns", frame, codec).unwrap();
        writer.put(4, bytemuck::cast_slice(&values[120..])).unwrap();
        writer.put(0, bytemuck::cast_slice(&values[..120])).unwrap();
        assert!(writer.put(9, bytemuck::cast_slice(&values[..60])).is_err());
        writer.finish("counts", "patterns").unwrap();
        assert!(!path.exists());
        store.finish().unwrap();

        let map = open(&path);
        assert_eq!(map.present, present);
        let all = patterns(&*map.scan);
        let filled: Vec<usize> = (0..12).filter(|i| ![2, 11].contains(i)).collect();
        for (number, &i) in filled.iter().enumerate() {
            let want: Vec<f64> = values[30 * number..][..30].iter().map(|&v| f64::from(v)).collect();
            assert_eq!(all.row(i).to_vec(), want, "{name}, point {i}");
        }
        assert_eq!(map.static_background.as_ref(), Some(&background));
        assert_eq!(map.steps(), [Some(0.5), Some(0.25)]);
        assert_eq!(map.data.phases, points.phases);
        assert_eq!(map.data.orientation_frame, points.orientation_frame);
        assert_eq!(map.geometry.voltage, Some(20.0));
        assert!((map.geometry.sample_tilt.unwrap() - 70f64.to_radians()).abs() < 1e-12);
        let close = |a: f64, b: f64| (a - b).abs() < 2e-7 * (1.0 + b.abs());
        for ((y, x), _) in present.indexed_iter().filter(|(_, p)| **p) {
            for name in ["euler1", "euler2", "euler3", "phase", "bc"] {
                assert!(close(map.data.get(name).unwrap()[[y, x]], points.get(name).unwrap()[[y, x]]));
            }
            for k in 0..3 {
                let pc = |g: &Geometry| g.pc.as_ref().unwrap()[[y, x, k]];
                assert!(close(pc(&map.geometry), pc(&geometry)));
            }
        }
        assert!(map.data.get("bc").unwrap()[[0, 2]].is_nan());
    }
}

#[test]
fn arrays_are_added_in_place_and_in_the_files_order() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("map.h5");
    // Patterns of this file stand column by column.
    std::fs::copy(data("store.h5"), &path).unwrap();
    let before = patterns(&*open(&path).scan);

    let store = Store::open(&path).unwrap();
    let map = open(&path);
    assert_eq!(store.patterns(), 20);
    let frame = FrameShape {
        pixel: Pixel::U8,
        height: 2,
        width: 3,
    };
    for round in 0..2u8 {
        for codec in [Codec::None, Codec::Gzip(1)] {
            let writer = store.pattern_writer("Patterns", frame, codec).unwrap();
            let values: Vec<u8> = (0..120).map(|i| i + round).collect();
            writer.put(0, &values).unwrap();
            writer.finish("", "numbers").unwrap();
        }
        let map = Array2::from_shape_fn((4, 5), |(y, x)| (10 * y + x) as f64 + f64::from(round));
        store
            .put("Data/bse_map", map.view(), Meta::new("counts", &["map_y", "map_x"], "mean"))
            .unwrap();
        let rows = Array2::from_shape_fn((20, 2), |(i, k)| (i + 100 * k) as f32);
        store
            .put_rows("Bands/theta", rows.view(), Meta::new("rad", &["pattern", "band"], "angle"))
            .unwrap();
    }
    assert_eq!(patterns(&*map.scan), before);
    drop(map);
    store.finish().unwrap();

    let options = OpenOptions {
        dataset: Some("Patterns".into()),
        ..OpenOptions::default()
    };
    let map = ebsd::open(&path, &options, &control()).unwrap();
    let all = patterns(&*map.scan);
    assert_eq!(all.row(7).to_vec(), [43.0, 44.0, 45.0, 46.0, 47.0, 48.0]);
    assert_eq!(patterns(&*open(&path).scan), before);
    let file = hdf5::File::open(&path).unwrap();
    let bse = file.dataset("Scan/EBSD/Data/bse_map").unwrap().read_2d::<f64>().unwrap();
    assert_eq!(bse[[3, 4]], 35.0);
    // Point (1, 2) is pattern 7 of the map and pattern 2 · 4 + 1 of the file.
    let theta = file.dataset("Scan/EBSD/Bands/theta").unwrap().read_2d::<f32>().unwrap();
    assert_eq!((theta[[9, 0]], theta[[9, 1]]), (7.0, 107.0));
    let names = file.group("Scan/EBSD/Data").unwrap().member_names().unwrap();
    assert!(names.iter().all(|n| !n.starts_with('.')), "{names:?}");
}

#[test]
fn maps_without_shape_or_with_contradictions_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("map.h5");
    let change = |edit: &dyn Fn(&hdf5::File)| {
        std::fs::copy(data("store.h5"), &path).unwrap();
        edit(&hdf5::File::open_rw(&path).unwrap());
        let e = error(&path);
        assert!(!e.contains('\n') && e.contains("map.h5"), "{e}");
        e
    };
    let e = change(&|f| f.group("Scan/EBSD/Header").unwrap().unlink("NROWS").unwrap());
    assert!(
        e.contains("/Scan/EBSD/Header/NROWS: missing: an EBSD map needs its shape"),
        "{e}"
    );
    let e = change(&|f| f.unlink("Scan/EBSD/Header").unwrap());
    assert!(e.contains("missing: an EBSD map needs its shape"), "{e}");
    let e = change(&|f| f.dataset("Scan/EBSD/Header/NROWS").unwrap().write_scalar(&3i64).unwrap());
    assert!(e.contains("row 3, column 0 lies outside the map of 3 × 5"), "{e}");
    let e = change(&|f| {
        let x = f.dataset("Scan/EBSD/Data/X BEAM").unwrap();
        x.write(&ndarray::Array1::<i32>::zeros(20)).unwrap();
    });
    assert!(e.contains("belongs to pattern 0 already"), "{e}");
    let e = change(&|f| {
        f.dataset("Scan/EBSD/Header/NCOLS")
            .unwrap()
            .write_scalar(&(1i64 << 40))
            .unwrap()
    });
    assert!(e.contains("is no size of a map"), "{e}");
}

/// Patterns (4, 5, 12, 15) u8 that every small fixture holds.
fn small() -> Array2<f64> {
    let all = emstream::io::array::read_array::<f64>(data("small.npy"), 1 << 20).unwrap();
    all.to_shape((20, 180)).unwrap().to_owned()
}

/// The rows of `map.ctf` (20, 11).
fn table() -> Array2<f64> {
    emstream::io::array::read_array::<f64>(data("ctf_table.npy"), 1 << 20)
        .unwrap()
        .into_dimensionality()
        .unwrap()
}

fn check_column(points: &MapData, name: &str, column: usize, factor: f64, tolerance: f64) {
    let map = points.get(name).unwrap_or_else(|| panic!("no column {name}"));
    for (got, row) in map.iter().zip(table().rows()) {
        let want = row[column] * factor;
        assert!((got - want).abs() <= tolerance, "{name}: {got} instead of {want}");
    }
}

const DEG: f64 = std::f64::consts::PI / 180.0;

#[test]
fn stores_of_every_maker_hold_the_same_patterns() {
    let pc = [0.421, 0.2206, 0.6049];
    for (name, dialect, step, euler) in [
        ("kikuchipy.h5", "kikuchipy", [0.25, 0.25], true),
        ("edax.h5", "EDAX", [0.25, 0.25], true),
        ("oxford.h5oina", "Oxford Instruments", [0.25, 0.25], true),
        ("map.up1", "up1", [0.5, 0.25], false),
        ("map.up2", "up2", [0.0, 0.0], false),
        ("nordif/Pattern.dat", "nordif", [0.25, 0.25], false),
    ] {
        let map = open(&data(name));
        assert_eq!(map.dialect, dialect);
        assert_eq!(patterns(&*map.scan), small(), "{name}");
        let nav = if name == "map.up2" { [1, 20] } else { [4, 5] };
        assert_eq!(map.scan.info().nav, nav, "{name}");
        let steps = map.steps().map(|s| s.unwrap_or(0.0));
        assert!(steps.iter().zip(step).all(|(a, b)| (a - b).abs() < 1e-7), "{name}: {steps:?}");
        let tilt = map.geometry.sample_tilt;
        assert!(name.starts_with("map.up") || (tilt.unwrap() - 70.0 * DEG).abs() < 1e-6);
        if !euler {
            continue;
        }
        for (k, angle) in ["euler1", "euler2", "euler3"].into_iter().enumerate() {
            check_column(&map.data, angle, 5 + k, DEG, 1e-6);
        }
        check_column(&map.data, "phase", 0, 1.0, 0.0);
        assert_eq!(map.data.phases.len(), 1);
        assert_eq!(map.data.phases[0].name, "Nickel");
        for (k, want) in pc.into_iter().enumerate() {
            let got = map.geometry.pc.as_ref().unwrap()[[3, 4, k]];
            assert!((got - want).abs() < 1e-6, "{name}: {got} {want}");
        }
        if name != "edax.h5" {
            check_column(&map.data, "bc", 9, 1.0, 0.0);
            assert_eq!(map.static_background.unwrap().dim(), (12, 15));
        }
    }
    let nordif = open(&data("nordif/Pattern.dat"));
    assert_eq!(nordif.static_background.unwrap().dim(), (12, 15));
    assert!((nordif.geometry.camera_tilt.unwrap() - 5.0 * DEG).abs() < 1e-12);
    assert_eq!(nordif.geometry.voltage, Some(20.0));
    let up2 = OpenOptions {
        nav_shape: Some([4, 5]),
        ..OpenOptions::default()
    };
    assert_eq!(
        ebsd::open(&data("map.up2"), &up2, &control()).unwrap().scan.info().nav,
        [4, 5]
    );
}

#[test]
fn bruker_and_emsoft() {
    let pc = [0.421, 0.2206, 0.6049];
    for name in ["bruker.h5", "bruker_region.h5"] {
        let map = open(&data(name));
        assert_eq!(map.dialect, "Bruker Nano");
        // A region of the SEM image, in any order.
        assert_eq!(map.scan.info().nav, [4, 5]);
        assert_eq!(patterns(&*map.scan), small(), "{name}");
        assert_eq!(map.steps(), [Some(0.25); 2]);
        for (k, angle) in ["euler1", "euler2", "euler3"].into_iter().enumerate() {
            check_column(&map.data, angle, 5 + k, DEG, 1e-12);
        }
        for (column, k) in [("phase", 0), ("bands", 3), ("mad", 8), ("bc", 9)] {
            check_column(&map.data, column, k, 1.0, 1e-12);
        }
        let nickel = &map.data.phases[0];
        assert_eq!((nickel.name.as_str(), nickel.space_group), ("Nickel", 225));
        assert_eq!(nickel.laue_number(), Some(11));
        assert!((nickel.lattice[0] - 3.524).abs() < 1e-6 && (nickel.lattice[3] - 90.0 * DEG).abs() < 1e-6);
        let g = &map.geometry;
        assert_eq!(
            (g.voltage, g.sample_tilt, g.camera_tilt),
            (Some(20.0), Some(70.0 * DEG), Some(5.0 * DEG))
        );
        assert!((0..3).all(|k| g.pc.as_ref().unwrap()[[2, 1, k]] == pc[k]));
        assert_eq!(map.static_background.as_ref().unwrap().dim(), (12, 15));
    }
    let map = open(&data("emsoft.h5"));
    assert_eq!((map.dialect.as_str(), map.scan.info().nav), ("EMEBSD.f90", [1, 20]));
    assert_eq!(patterns(&*map.scan), small());
    let shaped = OpenOptions {
        nav_shape: Some([4, 5]),
        ..OpenOptions::default()
    };
    let map = ebsd::open(&data("emsoft.h5"), &shaped, &control()).unwrap();
    assert_eq!(map.scan.info().nav, [4, 5]);
    assert_eq!(
        emstream::io::open(&data("emsoft.h5"), &shaped, &control())
            .unwrap()
            .info()
            .nav,
        [4, 5]
    );
    for (k, angle) in ["euler1", "euler2", "euler3"].into_iter().enumerate() {
        check_column(&map.data, angle, 5 + k, DEG, 1e-6);
    }
    let nickel = &map.data.phases[0];
    assert_eq!((nickel.name.as_str(), nickel.space_group, nickel.id), ("ni", 225, 1));
    assert!((nickel.lattice[0] - 3.524).abs() < 1e-9, "ångström");
    for (k, want) in pc.into_iter().enumerate() {
        let got = map.geometry.pc.as_ref().unwrap()[[3, 4, k]];
        assert!((got - want).abs() < 1e-12, "{got} {want}");
    }
    assert_eq!(
        (map.geometry.voltage, map.geometry.sample_tilt),
        (Some(20.0), Some(70.0 * DEG))
    );

    // A hexagonal grid is refused.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hexagonal.h5");
    std::fs::copy(data("bruker.h5"), &path).unwrap();
    let file = hdf5::File::open_rw(&path).unwrap();
    let header = file.group("Scan 0/EBSD/Header").unwrap();
    header.unlink("Grid Type").unwrap();
    let kind: hdf5::types::VarLenUnicode = "hexagonal".parse().unwrap();
    let dataset = header
        .new_dataset::<hdf5::types::VarLenUnicode>()
        .create("Grid Type")
        .unwrap();
    dataset.write_scalar(&kind).unwrap();
    drop((dataset, header));
    file.close().unwrap();
    assert!(error(&path).ends_with("a grid of type 'hexagonal'; emstream reads square ones"));
}

#[test]
fn oxford_ebsp_of_every_version() {
    for (name, nav, steps) in [
        ("v0.ebsp", [1, 20], None),
        ("v1.ebsp", [4, 5], Some(0.25)),
        ("v2.ebsp", [4, 5], Some(0.25)),
        ("v5.ebsp", [4, 5], Some(0.25)),
    ] {
        let map = open(&data(name));
        assert_eq!((map.scan.info().nav, map.steps()), (nav, [steps; 2]), "{name}");
        assert_eq!(patterns(&*map.scan), small(), "{name}");
        let pixel = if name == "v2.ebsp" { Pixel::U16 } else { Pixel::U8 };
        assert_eq!(map.scan.info().frame.pixel, pixel);
        assert_eq!(map.scan.info().notes.is_empty(), name != "v0.ebsp");
    }
    let as_f32 = OpenOptions {
        nav_shape: Some([4, 5]),
        dtype: Some("f32".into()),
        ..OpenOptions::default()
    };
    let map = ebsd::open(&data("v0.ebsp"), &as_f32, &control()).unwrap();
    assert_eq!((map.scan.info().nav, map.scan.info().frame.pixel), ([4, 5], Pixel::F32));
    assert_eq!(patterns(&*map.scan), small());

    // Points 3, 11 and 12 have no pattern.
    let map = open(&data("v4.ebsp"));
    assert_eq!((map.scan.info().nav, map.steps()), ([4, 5], [Some(0.25); 2]));
    let got = patterns(&*map.scan);
    for (i, (row, want)) in got.rows().into_iter().zip(small().rows()).enumerate() {
        let there = ![3, 11, 12].contains(&i);
        assert_eq!(map.present[[i / 5, i % 5]], there);
        assert_eq!(row.sum(), if there { want.sum() } else { 0.0 });
    }

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bad.ebsp");
    let good = std::fs::read(data("v2.ebsp")).unwrap();
    let changed = |at: usize, value: &[u8]| {
        let mut bytes = good.clone();
        bytes[at..at + value.len()].copy_from_slice(value);
        std::fs::write(&path, bytes).unwrap();
        let map = ebsd::open(&path, &OpenOptions::default(), &control());
        let outcome = map.and_then(|m| {
            let info = m.scan.info();
            let (n, stride) = (info.frames(), info.frame.stride());
            let all: Vec<u64> = (0..n).collect();
            m.scan.read(&all, stride, &mut vec![0; n as usize * stride], &control())
        });
        outcome.unwrap_err().to_string()
    };
    // The first pattern in the file and in the table.
    let first = 8 + 8 * 20;
    assert!(
        changed(first, &1i32.to_le_bytes()).ends_with("compressed patterns; export them uncompressed") || {
            // Patterns of a row lie in any order: this one may not be the first of the table.
            changed(first, &1i32.to_le_bytes()).contains("compressed, the first pattern has 12 × 15 in 360")
        }
    );
    assert!(changed(first + 4, &11i32.to_le_bytes()).contains("11"));
    assert!(changed(0, &(-6i64).to_le_bytes()).ends_with("version 6; files up to version 5 are read"));
    let beyond = (good.len() as u64).to_le_bytes();
    assert!(changed(8, &beyond).contains(&format!("a pattern at byte {}", good.len())));
    assert!(changed(8, &12u64.to_le_bytes()).contains("a pattern begins inside the table of patterns"));
    std::fs::write(&path, &good[..good.len() - 30]).unwrap();
    let short = open(&path);
    let stride = short.scan.info().frame.stride();
    let all: Vec<u64> = (0..20).collect();
    let e = short
        .scan
        .read(&all, stride, &mut vec![0; 20 * stride], &control())
        .unwrap_err();
    assert!(e.to_string().contains("the file ends here"), "{e}");
    for n in [0, 4, 8, 100, 170] {
        std::fs::write(&path, &good[..n]).unwrap();
        assert!(error(&path).starts_with(&path.display().to_string()));
    }
}

#[test]
fn written_ang_reads_back() {
    let mut ctf = ebsd::read_ctf(&data("map.ctf")).unwrap();
    let mut phase = ctf.data.get("phase").unwrap().clone();
    phase[[1, 2]] = 0.0;
    ctf.data.put("phase", "", phase).unwrap();
    ctf.data.phases[0].laue = 0;
    ctf.geometry.pc = Some(Array3::from_shape_fn((4, 5, 3), |(_, _, k)| [0.421, 0.2206, 0.6049][k]));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("map.ang");
    ebsd::write_ang(&path, &ctf, false).unwrap();
    assert!(ebsd::write_ang(&path, &ctf, false).is_err());
    let ang = ebsd::read_ang(&path).unwrap();
    assert_eq!((ang.data.nav, ang.steps), ([4, 5], [0.25, 0.25]));
    assert_eq!(ang.data.orientation_frame, ctf.data.orientation_frame);
    assert_eq!((ang.data.phases[0].laue, ang.data.phases[0].name.as_str()), (11, "Nickel"));
    assert_eq!(ang.data.phases[0].lattice[..3], [3.524; 3]);
    for (name, of, tolerance) in [
        ("euler1", "euler1", 6e-6),
        ("euler2", "euler2", 6e-6),
        ("euler3", "euler3", 6e-6),
        ("x", "x", 1e-9),
        ("y", "y", 1e-9),
        ("phase", "phase", 0.0),
        ("iq", "bc", 1e-9),
        ("fit", "mad", 6e-4),
    ] {
        let (a, b) = (ang.data.get(name).unwrap(), ctf.data.get(of).unwrap());
        for (at, (a, b)) in a.iter().zip(b).enumerate() {
            assert!(
                (a - b).abs() <= tolerance || at == 7 && (name.starts_with("euler") || name == "fit"),
                "{name} {at}: {a} {b}"
            );
        }
    }
    assert_eq!(ang.data.get("ci").unwrap()[[1, 2]], -1.0);
    let pc = ang.geometry.pc.unwrap();
    assert!((pc[[0, 0, 1]] - 0.2206).abs() < 1e-6 && (pc[[0, 0, 2]] - 0.6049).abs() < 1e-6);
    assert!((ang.geometry.sample_tilt.unwrap() - ctf.geometry.sample_tilt.unwrap()).abs() < 1e-6);
}

/// OIM marks points without solution by their confidence index and angles of 4π, whatever their phase.
#[test]
fn points_that_were_not_indexed() {
    let text = std::fs::read_to_string(data("map.ang")).unwrap();
    let (header, table): (Vec<&str>, Vec<&str>) = text.lines().partition(|l| l.starts_with('#'));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("marked.ang");
    for phase in ["0", "1"] {
        let row = |(n, line): (usize, &&str)| match n {
            3 => format!("12.56637 12.56637 12.56637 0.75 0.0 0.0 -1.000 0 {phase} 180.000"),
            11 => line.replace(" 0.790 ", " -1.000 "),
            _ => line.replace("0      1   0.500", &format!("0      {phase}   0.500")),
        };
        let rows: Vec<String> = table.iter().enumerate().map(row).collect();
        // A line of notes that begins like a phase.
        let notes = "# Phase of interest 7";
        std::fs::write(&path, format!("{}\n{notes}\n{}\n", header.join("\n"), rows.join("\n"))).unwrap();
        let ang = ebsd::read_ang(&path).unwrap();
        assert_eq!(ang.data.phases.len(), 1);
        for (n, &id) in ang.data.get("phase").unwrap().iter().enumerate() {
            assert_eq!(id, f64::from(u8::from(n != 3 && n != 11)), "point {n}");
        }
        // As Windows' editors save text.
        let marked = std::fs::read_to_string(&path).unwrap();
        let wide: Vec<u8> = "\u{feff}"
            .encode_utf16()
            .chain(marked.encode_utf16())
            .flat_map(u16::to_le_bytes)
            .collect();
        std::fs::write(&path, wide).unwrap();
        assert_eq!(ebsd::read_ang(&path).unwrap().data, ang.data);
    }
}

#[test]
fn ctf_and_ang_columns() {
    let ctf = ebsd::read_ctf(&data("map.ctf")).unwrap();
    assert_eq!((ctf.data.nav, ctf.steps), ([4, 5], [0.25, 0.25]));
    let names = [
        "phase", "x", "y", "bands", "error", "euler1", "euler2", "euler3", "mad", "bc", "bs",
    ];
    for (k, name) in names.into_iter().enumerate() {
        let angle = name.starts_with("euler");
        // The conversion to radians rounds once more than the product here.
        check_column(
            &ctf.data,
            name,
            k,
            if angle { DEG } else { 1.0 },
            if angle { 1e-15 * 10.0 } else { 0.0 },
        );
    }
    assert_eq!(ctf.data.phases[0].space_group, 225);
    assert_eq!(ctf.data.phases[0].lattice[..3], [3.524; 3]);
    assert_eq!(ctf.geometry.voltage, Some(20.0));

    let ang = ebsd::read_ang(&data("map.ang")).unwrap();
    assert_eq!((ang.data.nav, ang.steps), ([4, 5], [0.25, 0.25]));
    for (k, name) in ["euler1", "euler2", "euler3"].into_iter().enumerate() {
        check_column(&ang.data, name, 5 + k, DEG, 6e-6);
    }
    check_column(&ang.data, "iq", 9, 1.0, 0.0);
    assert!(ang.data.get("phase").unwrap().iter().all(|&p| p == 1.0));
    assert_eq!((ang.data.phases[0].name.as_str(), ang.data.phases[0].laue), ("Nickel", 11));

    // Written, read: the same numbers.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("again.ctf");
    ebsd::write_ctf(&path, &ctf, false).unwrap();
    let again = ebsd::read_ctf(&path).unwrap();
    for name in names {
        let (a, b) = (again.data.get(name).unwrap(), ctf.data.get(name).unwrap());
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12), "{name}");
    }
    assert_eq!(again.data.phases[0].laue, 11);
}

#[test]
fn ctf_in_other_hands() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("map.ctf");
    let text = std::fs::read_to_string(data("map.ctf")).unwrap();
    let read = |text: &str| {
        std::fs::write(&path, text).unwrap();
        ebsd::read_ctf(&path)
    };
    let plain = ebsd::read_ctf(&data("map.ctf")).unwrap();
    // Decimal commas, CRLF, another order of columns, one column more, rows in another order.
    let swap = |line: &str| {
        let f: Vec<&str> = line.split('\t').collect();
        [&[f[9], f[0]], &f[1..9], &[f[10], "7"]].concat().join("\t").replace('.', ",")
    };
    let (head, rows): (Vec<&str>, Vec<&str>) = (text.lines().take(14).collect(), text.lines().skip(15).collect());
    let mut other = head.join("\r\n") + "\r\nBC\tPhase\tX\tY\tBands\tError\tEuler1\tEuler2\tEuler3\tMAD\tBS\tExtra\r\n";
    rows.iter().rev().for_each(|r| other += &(swap(r) + "\r\n"));
    let read_again = read(&other.replace("0.2500", "0,2500")).unwrap();
    for c in plain.data.columns() {
        assert_eq!(read_again.data.get(&c.name), Some(&c.values), "{}", c.name);
    }
    assert!(read_again.data.get("extra").unwrap().iter().all(|&v| v == 7.0));
    // Optional keys may be missing or empty.
    assert!(read(&text.replace("Author\t\n", "").replace("AcqE1\t0.0000\n", "\n")).is_ok());

    let fails = |text: &str| {
        let e = read(text).unwrap_err().to_string();
        assert!(!e.contains('\n') && e.contains("map.ctf"), "{e}");
        e
    };
    let short: Vec<&str> = text.lines().take(15 + 18).collect();
    assert!(fails(&short.join("\n")).contains("table: 18 rows for the 4 × 5 = 20 points of the header"));
    assert!(fails(&text.replace("XCells\t5\n", "")).contains("header: XCells is missing"));
    assert!(fails(&text.replace("XCells\t5", "XCells\t4000000000")).contains("is no shape of a map"));
    assert!(fails(&text.replace("217\t", "two\t")).contains("line 16: 'two' in column BC is no number"));
    assert!(fails(&text.replacen("\t0.2500\t0.0000\t", "\t0.0000\t0.0000\t", 1)).contains("position (0, 0) has a row already"));
    assert!(fails("something").contains("begins with these words"));
    assert!(fails("Channel Text File\n").contains("there is no table"));
}

/// The images of `patterns.zip` in a folder, as `make` writes them.
fn folder(make: impl Fn(&Path, usize, usize, &Array2<u16>)) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let map = open(&data("patterns.zip"));
    for (i, pattern) in patterns(&*map.scan).rows().into_iter().enumerate() {
        let image = pattern.to_shape((48, 60)).unwrap().mapv(|v| v as u16);
        make(dir.path(), i / 5, i % 5, &image);
    }
    dir
}

/// A grey TIFF of 16 bits.
fn tiff16(path: &Path, image: &Array2<u16>) {
    let file = std::fs::File::create(path).unwrap();
    let (h, w) = image.dim();
    let mut encoder = tiff::encoder::TiffEncoder::new(file).unwrap();
    let pixels: Vec<u16> = image.iter().copied().collect();
    encoder
        .write_image::<tiff::encoder::colortype::Gray16>(w as u32, h as u32, &pixels)
        .unwrap();
}

#[test]
fn images_in_archives_and_folders() {
    let zip = open(&data("patterns.zip"));
    let info = zip.scan.info();
    assert_eq!(
        (info.nav, info.frame.height, info.frame.width, info.frame.pixel),
        ([4, 5], 48, 60, Pixel::U16)
    );
    assert_eq!(zip.static_background.as_ref().unwrap().dim(), (48, 60));
    let want = patterns(&*zip.scan);

    let tiffs = folder(|dir, r, c, image| tiff16(&dir.join(format!("{r}_{c}.tiff")), image));
    assert_eq!(patterns(&*open(tiffs.path()).scan), want);
    // Text, named by x and y, counted from 1.
    let texts = folder(|dir, r, c, image| {
        let rows = image
            .rows()
            .into_iter()
            .map(|r| r.iter().map(u16::to_string).collect::<Vec<_>>().join(" "));
        let text = rows.collect::<Vec<_>>().join("\n");
        std::fs::write(dir.join(format!("map_x{}y{}.txt", c + 1, r + 1)), text).unwrap();
    });
    let map = open(texts.path());
    assert_eq!(map.scan.info().frame.pixel, Pixel::F32);
    assert_eq!(patterns(&*map.scan), want);
    // PNG and BMP of 8 bits, with names of the user's choice.
    let options = OpenOptions {
        names: Some("p{col} in row {row}".into()),
        ..OpenOptions::default()
    };
    let eight = folder(|dir, r, c, image| {
        let image = image.mapv(|v| (v >> 8) as u8);
        emstream::io::array::save_png(dir.join(format!("p{c} in row {r}.png")), image.view(), false).unwrap();
    });
    let map = ebsd::open(eight.path(), &options, &control()).unwrap();
    assert_eq!(map.scan.info().frame.pixel, Pixel::U8);
    assert_eq!(patterns(&*map.scan), want.mapv(|v| (v / 256.0).floor()));
}

#[test]
fn bad_folders_and_archives_say_what_is_wrong() {
    let good = || folder(|dir, r, c, image| tiff16(&dir.join(format!("{r}_{c}.tiff")), image));
    let read_all = |path: &Path| -> String {
        let map = match ebsd::open(path, &OpenOptions::default(), &control()) {
            Ok(map) => map,
            Err(e) => return e.to_string(),
        };
        let frame = map.scan.info().frame;
        let mut out = vec![0; frame.stride() * 20];
        let all: Vec<u64> = (0..map.scan.info().frames()).collect();
        match map.scan.read(&all, frame.stride(), &mut out, &control()) {
            Ok(()) => panic!("{} was read", path.display()),
            Err(e) => e.to_string(),
        }
    };
    // A missing image is a point without pattern.
    let dir = good();
    std::fs::remove_file(dir.path().join("1_2.tiff")).unwrap();
    let map = open(dir.path());
    assert!(!map.present[[1, 2]] && map.present.iter().filter(|p| **p).count() == 19);
    let notes = map.scan.info().notes.join("; ");
    assert!(
        notes.contains("the first point without an image is row 1, column 2"),
        "{notes}"
    );
    // Two sizes.
    let dir = good();
    tiff16(&dir.path().join("2_3.tiff"), &Array2::zeros((20, 30)));
    let e = read_all(dir.path());
    assert!(
        e.contains("2_3.tiff: size of the image: 20 × 30 pixels, the first image has 48 × 60"),
        "{e}"
    );
    // A damaged image.
    let dir = good();
    let bytes = std::fs::read(dir.path().join("3_0.tiff")).unwrap();
    std::fs::write(dir.path().join("3_0.tiff"), &bytes[..bytes.len() / 2]).unwrap();
    let e = read_all(dir.path());
    assert!(e.contains("3_0.tiff") && !e.contains('\n'), "{e}");
    std::fs::write(dir.path().join("3_0.tiff"), b"nothing").unwrap();
    let e = read_all(dir.path());
    assert!(e.contains("the name says .tiff, but the file does not begin like one"), "{e}");
    // Nothing that is named, nothing at all.
    let dir = tempfile::tempdir().unwrap();
    assert!(read_all(dir.path()).contains("there are no images"));
    tiff16(&dir.path().join("first.tiff"), &Array2::zeros((4, 4)));
    assert!(read_all(dir.path()).contains("no image is named ROW_COL (there is first.tiff, for example)"));
    tiff16(&dir.path().join("0_0.tiff"), &Array2::zeros((4, 4)));
    tiff16(&dir.path().join("a0_0.tiff"), &Array2::zeros((4, 4)));
    assert!(read_all(dir.path()).contains("row 0, column 0 belongs to pattern 0 already"));

    // Archives: cut, changed, and claiming more than deflate can make.
    let path = dir.path().join("bad.zip");
    let bytes = std::fs::read(data("patterns.zip")).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 100]).unwrap();
    assert!(read_all(&path).contains("directory of the zip archive"));
    let mut changed = bytes.clone();
    changed[2000] ^= 255;
    std::fs::write(&path, &changed).unwrap();
    let e = read_all(&path);
    assert!(e.contains("zip archive: ") && e.contains("Images/0_"), "{e}");
    // The sizes stand in the directory: a claim of 200 MB for a few kB, then of 3 GB.
    let entry = bytes.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    for (claim, says) in [
        (200u32 << 20, "do not make the size that is claimed"),
        (3 << 30, "may have at most"),
    ] {
        let mut bomb = bytes.clone();
        bomb[entry + 24..entry + 28].copy_from_slice(&claim.to_le_bytes());
        std::fs::write(&path, &bomb).unwrap();
        let e = read_all(&path);
        assert!(e.contains(says), "{e}");
    }
}

#[test]
fn binary_stacks_of_another_size_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("map.up1");
    let bytes = std::fs::read(data("map.up1")).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 10]).unwrap();
    assert!(error(&path).contains("(19 whole patterns)"));
    let mut other = bytes.clone();
    other[0] = 2;
    std::fs::write(&path, &other).unwrap();
    assert!(error(&path).contains("version 2; files of version 1 and from 3 on are read"));
    let mut other = bytes.clone();
    other[25] = 1;
    std::fs::write(&path, &other).unwrap();
    assert!(error(&path).contains("hexagonal"));
    other[17..25].fill(255);
    other[25] = 0;
    std::fs::write(&path, &other).unwrap();
    assert!(!error(&path).is_empty());
    std::fs::write(&path, &bytes[..20]).unwrap();
    assert!(error(&path).contains("inside the header"));
    std::fs::write(&path, b"").unwrap();
    assert!(!error(&path).is_empty());
}
