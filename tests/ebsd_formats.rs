//! EBSD files: every reader against the same patterns, the store, conversion.

mod common;

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
