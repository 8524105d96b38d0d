//! What files say of the points of a map and how it reaches what is written: points without a pattern, shapes, positions, geometry, frames.

mod ebsd_support;

use ebsd_support::{alone, data, open, program, small_map};
use emstream::io::array::{save_npy, save_tiff};
use ndarray::{Array1, Array2, Array4, ArrayD, s};
use std::fs;
use tempfile::TempDir;

fn read(dir: &TempDir, file: &str, name: &str) -> ArrayD<f64> {
    let file = hdf5::File::open(dir.path().join(file)).unwrap();
    let dataset = file.dataset(name).unwrap_or_else(|e| panic!("{name}: {e}"));
    dataset.read_dyn::<f64>().unwrap()
}

/// Runs an `ebsd` command that must succeed; returns its warnings.
fn ebsd(dir: &TempDir, args: &[&str]) -> String {
    let (code, stderr) = program(dir, &[&["--backend", "cpu", "--overwrite", "ebsd"], args].concat());
    assert_eq!(code, Some(0), "{args:?}: {stderr}");
    stderr
}

/// Runs an `ebsd` command that must fail; returns the one line that says why.
fn refused(dir: &TempDir, args: &[&str]) -> String {
    let (code, stderr) = program(dir, &[&["--backend", "cpu", "--overwrite", "ebsd"], args].concat());
    assert_eq!(code, Some(1), "{args:?}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    stderr
}

/// A map (3, 4) of patterns of 12 × 16 in which every pixel has a value of its own.
fn patterns() -> Array4<f32> {
    Array4::from_shape_fn((3, 4, 12, 16), |(y, x, v, u)| (1000 * (4 * y + x) + 16 * v + u + 1) as f32)
}

/// Orientations of a map of 3 × 4 points.
fn orientations(dir: &TempDir) {
    let mut text = "Channel Text File\nPrj\tsome\nAuthor\t\nJobMode\tGrid\nXCells\t4\nYCells\t3\nXStep\t0.5\nYStep\t0.25\n\
                    AcqE1\t0\nAcqE2\t0\nAcqE3\t0\nEuler angles refer to Sample Coordinate system (CS0)!\tMag\t2000\tKV\t20\n\
                    Phases\t1\n2.95;2.95;4.68\t90;90;120\tTitanium\t9\t194\t\t\n\
                    Phase\tX\tY\tBands\tError\tEuler1\tEuler2\tEuler3\tMAD\tBC\tBS\n"
        .to_owned();
    for i in 0..12 {
        let (x, y) = (0.5 * f64::from(i % 4), 0.25 * f64::from(i / 4));
        text += &format!("1\t{x}\t{y}\t8\t0\t{}\t30\t{}\t0.3\t{}\t200\n", 10 * i + 5, 5 * i, 100 + i);
    }
    fs::write(dir.path().join("map.ctf"), text).unwrap();
}

#[test]
fn patterns_of_nan_are_points_without_one() {
    let _alone = alone();
    let dir = TempDir::new().unwrap();
    let mut stack = patterns();
    stack.slice_mut(s![1, 1, .., ..]).fill(f32::NAN);
    stack[[2, 3, 5, 5]] = f32::NAN;
    save_npy(&dir.path().join("map.npy"), stack.view(), false).unwrap();

    let told = ebsd(&dir, &["average", "map.npy", "-o", "average.h5"]);
    assert_eq!(
        told,
        "warning: map.npy: 1 non-finite pixel in 1 frame was replaced by the local median\n\
         warning: map.npy: the frame at row 1, column 1 has no finite pixel and reads as zeros\n"
    );
    let means = read(&dir, "average.h5", "Scan/EBSD/Data/AveragedPatterns");
    assert_eq!(means.shape(), [11, 12, 16]);
    // Points 0, 1 and 4 are around the corner: 1000 (0 + 1 + 4) / 3 above the pixel's own part.
    for ((v, u), &mean) in means
        .index_axis(ndarray::Axis(0), 0)
        .into_dimensionality::<ndarray::Ix2>()
        .unwrap()
        .indexed_iter()
    {
        let want = 5000.0 / 3.0 + (16 * v + u + 1) as f64;
        assert!((mean - want).abs() < 1e-3, "{v} {u}: {mean} {want}");
    }

    ebsd(&dir, &["convert", "map.npy", "-o", "map.h5"]);
    let index = read(&dir, "map.h5", "Scan/EBSD/Header/indexmap");
    assert_eq!((index[[1, 0]], index[[1, 1]], index[[1, 2]]), (4.0, -1.0, 5.0));
    assert_eq!(read(&dir, "map.h5", "Scan/EBSD/Data/RawPatterns").shape(), [11, 12, 16]);
    assert!(read(&dir, "map.h5", "Scan/EBSD/Data/bse_map")[[1, 1]].is_nan());
    ebsd(&dir, &["bse", "map.npy", "-o", "bse.h5", "--grid", "2x2"]);
    let total = read(&dir, "bse.h5", "Scan/EBSD/VirtualBSE/total");
    assert_eq!(total.iter().filter(|v| v.is_nan()).count(), 1);
    assert!(total[[1, 1]].is_nan());
}

#[test]
fn orientations_give_a_shape_only_to_patterns_without_one() {
    let _alone = alone();
    let dir = TempDir::new().unwrap();
    orientations(&dir);
    let turned = patterns().into_shape_with_order((4, 3, 12, 16)).unwrap();
    save_npy(&dir.path().join("turned.npy"), turned.view(), false).unwrap();
    let row = patterns().into_shape_with_order((12, 12, 16)).unwrap();
    save_npy(&dir.path().join("row.npy"), row.view(), false).unwrap();
    let told = refused(&dir, &["convert", "turned.npy", "--ctf", "map.ctf", "-o", "map.h5"]);
    assert!(told.contains("3 × 4 points, but the patterns make a map of 4 × 3"), "{told}");
    ebsd(&dir, &["convert", "row.npy", "--ctf", "map.ctf", "-o", "map.h5"]);
    assert_eq!(read(&dir, "map.h5", "Scan/EBSD/Data/bse_map").shape(), [3, 4]);
    // Who knows better says so.
    ebsd(
        &dir,
        &[
            "convert",
            "turned.npy",
            "--ctf",
            "map.ctf",
            "--nav-shape",
            "3,4",
            "-o",
            "map.h5",
        ],
    );
    assert_eq!(read(&dir, "map.h5", "Scan/EBSD/Data/bse_map").shape(), [3, 4]);
}

#[test]
fn parameters_repeat_a_conversion_with_all_its_files() {
    let _alone = alone();
    let dir = TempDir::new().unwrap();
    orientations(&dir);
    save_npy(&dir.path().join("map.npy"), patterns().view(), false).unwrap();
    let background = Array2::from_shape_fn((12, 16), |(y, x)| (100 + 16 * y + x) as u16);
    save_tiff(dir.path().join("background.tif"), &[background.view()], false).unwrap();
    let flags = ["--ctf", "map.ctf", "--background", "background.tif", "--step", "0.25,0.5"];
    ebsd(&dir, &[&["convert", "map.npy", "-o", "one.h5"], &flags[..]].concat());
    ebsd(&dir, &["convert", "map.npy", "-o", "two.h5", "--params", "one.params.toml"]);
    for name in [
        "phi1",
        "PHI",
        "phi2",
        "Phase",
        "BC",
        "StaticBackground",
        "X Position",
        "RawPatterns",
    ] {
        let name = format!("Scan/EBSD/Data/{name}");
        let one = read(&dir, "one.h5", &name);
        assert!(one.iter().any(|&v| v != 0.0), "{name}");
        assert_eq!(one, read(&dir, "two.h5", &name), "{name}");
    }
}

#[test]
fn positions_follow_from_steps() {
    let _alone = alone();
    let dir = TempDir::new().unwrap();
    save_npy(&dir.path().join("map.npy"), patterns().view(), false).unwrap();
    ebsd(&dir, &["convert", "map.npy", "-o", "map.h5", "--step", "0.25,0.5"]);
    let x = read(&dir, "map.h5", "Scan/EBSD/Data/X Position");
    let y = read(&dir, "map.h5", "Scan/EBSD/Data/Y Position");
    for i in 0..12 {
        assert_eq!((x[[i]], y[[i]]), (0.5 * (i % 4) as f64, 0.25 * (i / 4) as f64));
    }
    let told = refused(&dir, &["convert", "map.npy", "-o", "map.h5", "--step", "0,0.5"]);
    assert!(told.contains("--step"), "{told}");
}

#[test]
fn pattern_centres_of_emsoft_count_pixels() {
    let _alone = alone();
    let dir = TempDir::new().unwrap();
    save_npy(&dir.path().join("map.npy"), patterns().view(), false).unwrap();
    let with = |pc: &str| format!("--pc={pc}");
    let tell = ["convert", "map.npy", "-o", "map.h5", "--pc-convention", "emsoft"];
    ebsd(&dir, &[&tell[..], &[&with("1.6,-2.4,9")]].concat());
    // 0.5 − 1.6 / 16, 0.5 + 2.4 / 12, 9 / 12.
    for (name, want) in [("PCX", 0.4), ("PCY", 0.7), ("DD", 0.75)] {
        let got = read(&dir, "map.h5", &format!("Scan/EBSD/Data/{name}"))[[0]];
        assert!((got - want).abs() < 1e-6, "{name} {got}");
    }
    let told = refused(&dir, &[&tell[..], &[&with("1.6,-2.4,15000")]].concat());
    assert!(
        told.contains("1250 pattern heights") && told.contains("EMsoft's L is divided"),
        "{told}"
    );
}

#[test]
fn kikuchipys_layout_keeps_centres_and_frames() {
    let _alone = alone();
    let dir = TempDir::new().unwrap();
    small_map(&dir);
    {
        let file = hdf5::File::open_rw(dir.path().join("map.h5")).unwrap();
        let values = [0.40f32, 0.42, 0.44, 0.46, 0.48, 0.50];
        file.dataset("Scan/EBSD/Data/PCX")
            .unwrap()
            .write(&Array1::from_iter(values))
            .unwrap();
    }
    ebsd(&dir, &["convert", "map.h5", "-o", "k.h5", "--to", "kikuchipy"]);
    let x = read(&dir, "k.h5", "Scan 1/EBSD/Header/pcx");
    assert!(
        (x.mean().unwrap() - 0.45).abs() < 1e-7 && (x[[0, 2]] - 0.45).abs() < 1e-7,
        "{x}"
    );

    orientations(&dir);
    save_npy(&dir.path().join("map.npy"), patterns().view(), false).unwrap();
    ebsd(
        &dir,
        &["convert", "map.npy", "--ctf", "map.ctf", "-o", "t.h5", "--to", "kikuchipy"],
    );
    let map = open(&dir.path().join("t.h5"), None);
    assert_eq!(map.data.orientation_frame, "Bunge ZXZ, Oxford sample coordinate system CS0");
    drop(map);
    let mut colours = Vec::new();
    for file in ["map.ctf", "t.h5"] {
        ebsd(&dir, &["maps", file, "-o", "maps"]);
        colours.push(read(&dir, "maps/result.h5", "colours/ipf_x"));
    }
    assert_eq!(colours[0], colours[1]);
}

/// kikuchipy saves the whole crystal map beside the patterns of a part of it.
#[test]
fn a_part_of_a_kikuchipy_map() {
    let _alone = alone();
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("part.h5");
    fs::copy(data("kikuchipy.h5"), &path).unwrap();
    let whole = open(&data("kikuchipy.h5"), None);
    let angles = whole.data.get("euler1").unwrap().clone();
    drop(whole);
    {
        let file = hdf5::File::open_rw(&path).unwrap();
        let all = file.dataset("Scan 1/EBSD/Data/patterns").unwrap().read_dyn::<u8>().unwrap();
        // Rows 1 to 3, columns 2 to 4 of 4 × 5.
        let inside = Array1::from_shape_fn(20, |i| i / 5 >= 1 && i % 5 >= 2);
        let kept: Vec<usize> = (0..20).filter(|&i| inside[i]).collect();
        let part = all.select(ndarray::Axis(0), &kept);
        let put = |name: &str, value: i64| {
            file.unlink(name).unwrap();
            file.new_dataset::<i64>().create(name).unwrap().write_scalar(&value).unwrap();
        };
        put("Scan 1/EBSD/Header/n_rows", 3);
        put("Scan 1/EBSD/Header/n_columns", 3);
        for name in [
            "Scan 1/EBSD/Data/patterns",
            "Scan 1/EBSD/CrystalMap/crystal_map/data/is_in_data",
        ] {
            file.unlink(name).unwrap();
        }
        file.new_dataset_builder()
            .with_data(&part)
            .create("Scan 1/EBSD/Data/patterns")
            .unwrap();
        let name = "Scan 1/EBSD/CrystalMap/crystal_map/data/is_in_data";
        file.new_dataset_builder().with_data(&inside).create(name).unwrap();
    }
    let map = open(&path, None);
    assert_eq!(map.scan.info().nav, [3, 3]);
    assert_eq!(map.data.get("euler1").unwrap(), &angles.slice(s![1.., 2..]));
}

#[test]
fn oxfords_camera_tilt_is_beyond_a_right_angle() {
    let _alone = alone();
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("map.h5oina");
    fs::copy(data("oxford.h5oina"), &path).unwrap();
    assert_eq!(open(&path, None).geometry.camera_tilt, None);
    {
        let file = hdf5::File::open_rw(&path).unwrap();
        let angles = ndarray::arr2(&[[0.0f32, 93f32.to_radians(), 0.0]]);
        let name = "1/EBSD/Header/Detector Orientation Euler";
        file.new_dataset_builder().with_data(&angles).create(name).unwrap();
    }
    let tilt = open(&path, None).geometry.camera_tilt.unwrap();
    assert!((tilt.to_degrees() - 3.0).abs() < 1e-5, "{tilt}");
}

#[test]
fn flags_that_do_not_fit_are_named() {
    let _alone = alone();
    let dir = TempDir::new().unwrap();
    save_npy(&dir.path().join("map.npy"), patterns().view(), false).unwrap();
    let bse = ["bse", "map.npy", "-o", "out.h5", "--grid", "2x3"];
    for (args, words) in [
        (
            [&bse[..], &["--columns", "0,1,3"]].concat(),
            "--columns: 3 is not among the columns 0 to 2",
        ),
        ([&bse[..], &["--contrast", "nan"]].concat(), "--contrast: NaN is not finite"),
        (
            vec!["bands", "map.npy", "-o", "out.h5", "--factor", "0"],
            "--factor: 0 is not above 0",
        ),
        (
            vec!["background", "map.npy", "-o", "out.h5", "--save-mask", "out.h5"],
            "out.h5 would replace what -o writes",
        ),
    ] {
        let told = refused(&dir, &args);
        assert!(told.contains(words), "{told}");
        assert!(!dir.path().join("out.h5").exists(), "{args:?}");
    }
}
