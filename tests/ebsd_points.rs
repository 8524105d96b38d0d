//! What files say of the points of a map and how it reaches what is written: points without a pattern, shapes, positions, geometry, frames.

mod ebsd_support;

use ebsd_support::{alone, data, open, program, small_map};
use emstream::io::array::{save_npy, save_png, save_tiff};
use hdf5::types::VarLenUnicode;
use ndarray::{Array1, Array2, Array4, ArrayD, Axis, s};
use std::fs;
use std::process::Command;
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

/// The same with nothing at row 1, column 1, and a pixel that is missing.
fn patterns_but_one(dir: &TempDir) {
    let mut stack = patterns();
    stack.slice_mut(s![1, 1, .., ..]).fill(f32::NAN);
    stack[[2, 3, 5, 5]] = f32::NAN;
    save_npy(&dir.path().join("map.npy"), stack.view(), false).unwrap();
}

/// Checks the first of averaged patterns of such a map: points 0, 1 and 4 are around the corner, 1000 (0 + 1 + 4) / 3 above the pixel's own
/// part.
fn corner_mean(means: &ArrayD<f64>) {
    for ((v, u), &mean) in means
        .index_axis(Axis(0), 0)
        .into_dimensionality::<ndarray::Ix2>()
        .unwrap()
        .indexed_iter()
    {
        let want = 5000.0 / 3.0 + (16 * v + u + 1) as f64;
        assert!((mean - want).abs() < 1e-3, "{v} {u}: {mean} {want}");
    }
}

/// The same from EDAX.
fn scan_of_edax(dir: &TempDir) {
    let mut text = "# x-star 0.5\n# y-star 0.6\n# z-star 0.7\n# Phase 1\n# MaterialName Ni\n# Symmetry 43\n\
                    # LatticeConstants 3.5 3.5 3.5 90 90 90\n# GRID: SqrGrid\n# XSTEP: 0.5\n# YSTEP: 0.25\n\
                    # NCOLS_ODD: 4\n# NCOLS_EVEN: 4\n# NROWS: 3\n"
        .to_owned();
    for i in 0..12 {
        let (x, y) = (0.5 * f64::from(i % 4), 0.25 * f64::from(i / 4));
        text += &format!(" 1.0 0.5 0.2 {x} {y} 50.0 0.9 1 1 0.5\n");
    }
    fs::write(dir.path().join("map.ang"), text).unwrap();
}

#[test]
fn patterns_of_nan_are_points_without_one() {
    let _alone = alone();
    let dir = TempDir::new().unwrap();
    patterns_but_one(&dir);

    let told = ebsd(&dir, &["average", "map.npy", "-o", "average.h5"]);
    assert_eq!(
        told,
        "warning: map.npy: 1 non-finite pixel in 1 frame was replaced by the local median\n\
         warning: map.npy: the frame at row 1, column 1 has no finite pixel and counts as a point without a pattern\n"
    );
    let means = read(&dir, "average.h5", "Scan/EBSD/Data/AveragedPatterns");
    assert_eq!(means.shape(), [11, 12, 16]);
    corner_mean(&means);

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

/// A place of the file that holds nothing, among others that do.
fn one_is_missing(rows: &ArrayD<f64>, at: usize) {
    assert_eq!(rows.shape()[0], 12);
    for (i, row) in rows.outer_iter().enumerate() {
        assert_eq!(row.iter().all(|v| v.is_nan()), i == at, "{i}: {row}");
    }
}

#[test]
fn kikuchipys_layout_knows_points_without_a_pattern() {
    let _alone = alone();
    let dir = TempDir::new().unwrap();
    patterns_but_one(&dir);
    let told = ebsd(&dir, &["convert", "map.npy", "--to", "kikuchipy", "-o", "k.h5"]);
    assert!(told.contains("points without a pattern: 1; kikuchipy's layout"), "{told}");
    // Other programs find the layout as it always was.
    let stored = read(&dir, "k.h5", "Scan 1/EBSD/Data/patterns");
    assert_eq!(stored.shape(), [12, 12, 16]);
    assert!(stored.index_axis(Axis(0), 5).iter().all(|&v| v == 0.0));
    let ours = read(&dir, "k.h5", "Scan 1/EBSD/Header/emstream_has_pattern");
    assert_eq!((ours.sum(), ours[[1, 1]]), (11.0, 0.0));

    ebsd(&dir, &["average", "k.h5", "-o", "average.h5"]);
    let means = read(&dir, "average.h5", "Scan/EBSD/Data/AveragedPatterns");
    assert_eq!(means.shape(), [11, 12, 16]);
    corner_mean(&means);
    let map = open(&dir.path().join("k.h5"), None);
    assert_eq!((map.present[[1, 1]], map.present[[1, 2]]), (false, true));
    drop(map);
    ebsd(&dir, &["convert", "k.h5", "-o", "back.h5"]);
    assert_eq!(read(&dir, "back.h5", "Scan/EBSD/Header/indexmap")[[1, 1]], -1.0);
    // Results in the file itself keep its places.
    ebsd(&dir, &["average", "k.h5", "--in-place"]);
    let means = read(&dir, "k.h5", "Scan 1/EBSD/Data/AveragedPatterns");
    corner_mean(&means);
    one_is_missing(&means, 5);
    ebsd(&dir, &["bands", "k.h5", "--in-place"]);
    let quality = read(&dir, "k.h5", "Scan 1/EBSD/Data/band_quality");
    assert!(quality[[1, 1]].is_nan() && quality[[1, 2]].is_finite());
    let value = read(&dir, "k.h5", "Scan 1/EBSD/Bands/value");
    assert_eq!(value.shape()[0], 12);
    assert!(value.index_axis(Axis(0), 5).iter().all(|v| v.is_nan()));

    save_npy(&dir.path().join("map.npy"), patterns().view(), true).unwrap();
    let told = ebsd(&dir, &["convert", "map.npy", "--to", "kikuchipy", "-o", "k.h5"]);
    assert_eq!(told, "");
    let file = hdf5::File::open(dir.path().join("k.h5")).unwrap();
    assert!(!file.link_exists("Scan 1/EBSD/Header/emstream_has_pattern"));
}

#[test]
fn patterns_of_nan_in_hdf5_files() {
    let _alone = alone();
    let dir = TempDir::new().unwrap();
    save_npy(&dir.path().join("map.npy"), patterns().view(), false).unwrap();
    for (layout, group, stack) in [
        ("emstream", "Scan/EBSD", "RawPatterns"),
        ("kikuchipy", "Scan 1/EBSD", "patterns"),
    ] {
        ebsd(&dir, &["convert", "map.npy", "--to", layout, "-o", "map.h5"]);
        {
            let file = hdf5::File::open_rw(dir.path().join("map.h5")).unwrap();
            let dataset = file.dataset(&format!("{group}/Data/{stack}")).unwrap();
            let nothing = Array2::from_elem((12, 16), f32::NAN);
            dataset.write_slice(&nothing, s![5, .., ..]).unwrap();
        }
        ebsd(&dir, &["average", "map.h5", "-o", "average.h5"]);
        let means = read(&dir, "average.h5", "Scan/EBSD/Data/AveragedPatterns");
        assert_eq!(means.shape(), [11, 12, 16], "{layout}");
        corner_mean(&means);
        ebsd(&dir, &["quality", "map.h5", "-o", "quality.h5"]);
        assert!(read(&dir, "quality.h5", "Scan/EBSD/Data/mean")[[1, 1]].is_nan(), "{layout}");
        ebsd(&dir, &["convert", "map.h5", "-o", "again.h5"]);
        assert_eq!(read(&dir, "again.h5", "Scan/EBSD/Data/RawPatterns").shape(), [11, 12, 16]);

        ebsd(
            &dir,
            &["compare", "map.h5", "--in-place", "--templates", "map.npy", "--keep", "2"],
        );
        one_is_missing(&read(&dir, "map.h5", &format!("{group}/Matches/score")), 5);
        let index = read(&dir, "map.h5", &format!("{group}/Matches/index"));
        assert_eq!(index[[5, 0]], f64::from(u32::MAX));
        ebsd(&dir, &["process", "map.h5", "--in-place", "--static", "none", "--sigma", "3"]);
        let processed = read(&dir, "map.h5", &format!("{group}/Data/Patterns"));
        assert_eq!(processed.shape(), [12, 12, 16]);
        let brightest = |i: usize| processed.index_axis(Axis(0), i).fold(0.0f64, |m, &v| m.max(v));
        assert_eq!((brightest(4), brightest(5), brightest(6)), (255.0, 0.0, 255.0), "{layout}");
        ebsd(&dir, &["average", "map.h5", "--in-place"]);
        let means = read(&dir, "map.h5", &format!("{group}/Data/AveragedPatterns"));
        corner_mean(&means);
        one_is_missing(&means, 5);
    }
}

/// Nobody reads a whole map of floats for one pattern.
#[test]
fn only_what_is_wanted_is_looked_at() {
    let _alone = alone();
    let dir = TempDir::new().unwrap();
    patterns_but_one(&dir);
    let empty = "row 1, column 1 has no finite pixel";
    let one = ["process", "map.npy", "--static", "none", "--at", "0,0", "-o", "one.png"];
    for args in [
        &one[..],
        &["bands", "map.npy", "--at", "2,2", "-o", "one.png"],
        &["bse", "map.npy", "--grid", "2x2", "--roi", "0:1,0:2", "-o", "bse.h5"],
    ] {
        let told = ebsd(&dir, args);
        assert!(!told.contains(empty), "{told}");
    }
    // Neighbours count: that of row 0, column 1 is missing, and row 0, column 0 has one to the right and one below.
    let told = ebsd(&dir, &["compare", "map.npy", "--roi", "0:1,0:2", "-o", "compare.h5"]);
    assert!(told.contains(empty), "{told}");
    let each = read(&dir, "compare.h5", "Scan/EBSD/Data/neighbour_similarity");
    assert!(each[[0, 1, 2, 1]].is_nan() && (each[[0, 0, 2, 1]] - 1.0).abs() < 1e-5);

    let none = save_npy(
        &dir.path().join("none.npy"),
        Array4::from_elem((2, 3, 12, 16), f32::NAN).view(),
        false,
    );
    none.unwrap();
    for (args, words) in [
        (
            vec!["bands", "map.npy", "--at", "1,1", "-o", "out.png"],
            "--at: no pattern at row 1, column 1 of 3 rows and 4 columns",
        ),
        (
            vec!["process", "map.npy", "--at", "3,1", "-o", "out.png"],
            "--at: no pattern at row 3, column 1 of 3 rows and 4 columns",
        ),
        (
            vec!["average", "none.npy", "-o", "out.h5"],
            "none.npy: patterns: no point of the map has a pattern",
        ),
        (
            vec!["bse", "map.npy", "--roi", "1:2,1:2", "-o", "out.h5"],
            "--roi: no point of the region of interest has a pattern",
        ),
    ] {
        let told = refused(&dir, &args);
        assert!(told.contains(words), "{told}");
    }
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
    // One row that says so is a shape, too, and so is what images lie beyond.
    let line = patterns().into_shape_with_order((1, 12, 12, 16)).unwrap();
    save_npy(&dir.path().join("line.npy"), line.view(), false).unwrap();
    ebsd(&dir, &["convert", "line.npy", "--to", "kikuchipy", "-o", "line-k.h5"]);
    ebsd(&dir, &["convert", "line.npy", "-o", "line.h5"]);
    fs::create_dir(dir.path().join("images")).unwrap();
    for i in 0..15 {
        let name = format!("images/{}_{}.png", i / 3, i % 3);
        save_png(dir.path().join(name), Array2::from_elem((12, 16), i as u8).view(), false).unwrap();
    }
    for (input, shape) in [
        ("line.npy", "1 × 12"),
        ("line.h5", "1 × 12"),
        ("line-k.h5", "1 × 12"),
        ("images", "5 × 3"),
    ] {
        let told = refused(&dir, &["convert", input, "--ctf", "map.ctf", "-o", "map.h5"]);
        let words = format!("--ctf: 3 × 4 points, but the patterns make a map of {shape}");
        assert!(told.contains(&words), "{told}");
    }
    scan_of_edax(&dir);
    let told = refused(&dir, &["convert", "turned.npy", "--ang", "map.ang", "-o", "map.h5"]);
    assert!(
        told.contains("--ang: 3 × 4 points, but the patterns make a map of 4 × 3"),
        "{told}"
    );
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
    // Files that nobody typed are named, and not replaced either.
    let again = [
        "--backend",
        "cpu",
        "ebsd",
        "convert",
        "map.npy",
        "-o",
        "three.h5",
        "--params",
        "one.params.toml",
    ];
    let told = Command::new(env!("CARGO_BIN_EXE_emstream"))
        .current_dir(dir.path())
        .args(again)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    for (what, file) in [("orientations", "map.ctf"), ("background", "background.tif")] {
        let file = dir.path().canonicalize().unwrap().join(file);
        let words = format!("{what} from {}, which --params names\n", file.display());
        assert!(told.contains(&words), "{told}");
    }
    for file in ["map.ctf", "./background.tif"] {
        let kept = fs::read(dir.path().join(file)).unwrap();
        let told = refused(&dir, &["convert", "map.npy", "-o", file, "--params", "one.params.toml"]);
        assert!(told.contains("is read, since the parameter file names it"), "{told}");
        assert_eq!(fs::read(dir.path().join(file)).unwrap(), kept);
    }
}

#[test]
fn positions_of_orix_have_units() {
    let _alone = alone();
    let dir = TempDir::new().unwrap();
    orientations(&dir);
    save_npy(&dir.path().join("map.npy"), patterns().view(), false).unwrap();
    for (unit, factor) in [("um", Some(1.0)), ("nm", Some(1e-3)), ("mm", Some(1e3)), ("px", None)] {
        ebsd(
            &dir,
            &["convert", "map.npy", "--ctf", "map.ctf", "-o", "k.h5", "--to", "kikuchipy"],
        );
        {
            let file = hdf5::File::open_rw(dir.path().join("k.h5")).unwrap();
            let name = "Scan 1/EBSD/CrystalMap/crystal_map/header/scan_unit";
            file.unlink(name).unwrap();
            let dataset = file.new_dataset::<VarLenUnicode>().create(name).unwrap();
            dataset.write_scalar(&unit.parse::<VarLenUnicode>().unwrap()).unwrap();
        }
        let map = open(&dir.path().join("k.h5"), None);
        let found = ["x", "y"].map(|name| map.data.get(name).map(|v| v[[2, 3]]));
        match factor {
            None => assert_eq!(found, [None, None]),
            Some(f) => {
                let [Some(x), Some(y)] = found else {
                    panic!("{unit}: no positions")
                };
                assert!((x - 1.5 * f).abs() < 1e-12 && (y - 0.5 * f).abs() < 1e-12, "{unit}: {x} {y}");
            }
        }
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
    // Over positions that other files give.
    orientations(&dir);
    for (input, more) in [("map.npy", &["--ctf", "map.ctf"][..]), ("map.h5", &[])] {
        let args = [&["convert", input, "-o", "wide.h5", "--step", "1,2"], more].concat();
        ebsd(&dir, &args);
        let x = read(&dir, "wide.h5", "Scan/EBSD/Data/X Position");
        let y = read(&dir, "wide.h5", "Scan/EBSD/Data/Y Position");
        assert_eq!((x[[3]], x[[5]], y[[3]], y[[11]]), (6.0, 2.0, 0.0, 2.0), "{input}");
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
    let told = refused(&dir, &[&tell[..], &[&with("1.6,-2.4,150")]].concat());
    assert!(
        told.contains("12.5 pattern heights") && told.contains("EMsoft's L is divided"),
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
    const INSIDE: &str = "Scan 1/EBSD/CrystalMap/crystal_map/data/is_in_data";
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
        let part = all.select(Axis(0), &kept);
        let put = |name: &str, value: i64| {
            file.unlink(name).unwrap();
            file.new_dataset::<i64>().create(name).unwrap().write_scalar(&value).unwrap();
        };
        put("Scan 1/EBSD/Header/n_rows", 3);
        put("Scan 1/EBSD/Header/n_columns", 3);
        for name in ["Scan 1/EBSD/Data/patterns", INSIDE] {
            file.unlink(name).unwrap();
        }
        file.new_dataset_builder()
            .with_data(&part)
            .create("Scan 1/EBSD/Data/patterns")
            .unwrap();
        file.new_dataset_builder().with_data(&inside).create(INSIDE).unwrap();
    }
    for kind in ["bool", "u8", "i64"] {
        if kind != "bool" {
            let file = hdf5::File::open_rw(&path).unwrap();
            let inside = file.dataset(INSIDE).unwrap().read_1d::<bool>();
            let inside = inside.unwrap_or_else(|_| file.dataset(INSIDE).unwrap().read_1d::<u8>().unwrap().mapv(|v| v != 0));
            file.unlink(INSIDE).unwrap();
            let builder = file.new_dataset_builder();
            match kind {
                "u8" => builder.with_data(&inside.mapv(u8::from)).create(INSIDE),
                _ => builder.with_data(&inside.mapv(i64::from)).create(INSIDE),
            }
            .unwrap();
        }
        let map = open(&path, None);
        assert_eq!(map.scan.info().nav, [3, 3], "{kind}");
        assert_eq!(map.data.get("euler1").unwrap(), &angles.slice(s![1.., 2..]), "{kind}");
    }
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
        (
            vec!["background", "map.npy", "-o", "out.h5", "--save-mask", "./out.h5"],
            "out.h5 would replace what -o writes",
        ),
    ] {
        let told = refused(&dir, &args);
        assert!(told.contains(words), "{told}");
        assert!(!dir.path().join("out.h5").exists(), "{args:?}");
    }
}
