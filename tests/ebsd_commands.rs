//! What EBSD commands must not do to their input, and what they must not mistake: interrupted conversions, positions, pattern centres.

mod ebsd_support;

use ebsd_support::{alone, data, open, pixels, program, small_map};
use emstream::Control;
use emstream::io::array::{save_npy, save_png};
use emstream::io::ebsd::{self, Codec, Description, Geometry, MapData, PatternMap, Store, read_ctf, write_ctf};
use emstream::io::{BadPixels, OpenOptions, Scan, ScanInfo};
use emstream::pixel::{FrameShape, Pixel};
use emstream::workflows::ebsd::convert::{self, Converted, Given, Params};
use ndarray::{Array2, Array3};
use std::path::Path;
use tempfile::TempDir;

/// Runs an EBSD command in `dir`: exit code and stderr.
fn command(dir: &TempDir, args: &[&str]) -> (Option<i32>, String) {
    program(dir, &[&["--overwrite", "--backend", "cpu", "ebsd"], args].concat())
}

fn succeed(dir: &TempDir, args: &[&str]) -> String {
    let (code, stderr) = command(dir, args);
    assert_eq!(code, Some(0), "{args:?}: {stderr}");
    stderr
}

/// The one line that says what is wrong.
fn fails(dir: &TempDir, args: &[&str], words: &str) {
    let (code, stderr) = command(dir, args);
    assert!(
        code == Some(1) && stderr.lines().count() == 1 && stderr.contains(words),
        "{args:?}: {code:?} {stderr}"
    );
}

#[test]
fn no_output_takes_the_place_of_its_input() {
    let _alone = alone();
    let dir = TempDir::new().unwrap();
    let path = small_map(&dir);
    let before = std::fs::read(&path).unwrap();
    std::os::unix::fs::symlink("map.h5", dir.path().join("link.h5")).unwrap();
    for command in ["quality", "bands", "bse", "compare", "background", "process", "average"] {
        for output in ["map.h5", "./map.h5", "link.h5"] {
            fails(
                &dir,
                &[command, "map.h5", "-o", output],
                "-o: the output is the input: use --in-place",
            );
        }
    }
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn rows_of_a_part_of_the_map() {
    let _alone = alone();
    let dir = TempDir::new().unwrap();
    let path = small_map(&dir);
    let before = std::fs::read(&path).unwrap();
    let templates = ["--templates", "map.h5/Scan/EBSD/Data/RawPatterns"];
    let part = ["--roi", "0:2,1:4"];
    // Before any pattern is read: the rows have no places in the file.
    let says = "--roi: --in-place writes a row for every pattern of the file";
    fails(&dir, &[&["bands", "map.h5", "--in-place"], &part[..]].concat(), says);
    let args = [&["compare", "map.h5", "--in-place"], &part[..], &templates].concat();
    fails(&dir, &args, says);
    assert_eq!(std::fs::read(&path).unwrap(), before);
    // Maps have a place for every point.
    succeed(&dir, &[&["quality", "map.h5", "--in-place"], &part[..]].concat());

    // In a file of their own the rows say where they belong.
    succeed(&dir, &[&["compare", "map.h5", "-o", "c.h5"], &part[..], &templates].concat());
    succeed(&dir, &[&["bands", "map.h5", "-o", "b.h5"], &part[..]].concat());
    for name in ["c.h5", "b.h5"] {
        let file = hdf5::File::open(dir.path().join(name)).unwrap();
        let at = |name: &str| {
            let dataset = file.dataset(&format!("Scan/EBSD/Data/{name}")).unwrap();
            assert!(dataset.dtype().unwrap().is::<i32>(), "as in EBSD files");
            dataset.read_1d::<i32>().unwrap().to_vec()
        };
        // Of these six points (0, 2) and (1, 3) have no pattern.
        assert_eq!(at("X BEAM"), [1, 3, 1, 2], "{name}");
        assert_eq!(at("Y BEAM"), [0, 0, 1, 1], "{name}");
    }
    let file = hdf5::File::open(dir.path().join("c.h5")).unwrap();
    let index = file.dataset("Scan/EBSD/Matches/index").unwrap().read_2d::<i32>().unwrap();
    assert_eq!(index.column(0).to_vec(), [1, 3, 5, 6], "each is most like itself");
}

/// The scan of a map that fails at one pattern, as a full disk or Ctrl-C does.
struct Failing(Box<dyn Scan>);

impl Scan for Failing {
    fn info(&self) -> &ScanInfo {
        self.0.info()
    }
    fn read(&self, frames: &[u64], stride: usize, out: &mut [u8], control: &Control) -> emstream::Result<()> {
        if frames.contains(&13) {
            return Err(emstream::Error::Cancelled);
        }
        self.0.read(frames, stride, out, control)
    }
}

fn read(path: &Path, options: &OpenOptions) -> PatternMap {
    ebsd::open(path, options, &Control::new()).unwrap()
}

fn given(ctf: &Path) -> Given {
    Given {
        orientations: Some(read_ctf(ctf).unwrap()),
        ..Given::default()
    }
}

/// A conversion of `map` to `path` that ends at pattern 13.
fn interrupted(mut map: PatternMap, given: Given, path: &Path) {
    let mut control = Control::new();
    // Memory for one pattern at a time, so that there are blocks to keep.
    control.memory = 1;
    control.block = Some(1);
    map.scan = Box::new(Failing(map.scan));
    let e = convert::run(map, given, &Params::default(), path, true, &control).unwrap_err();
    assert_eq!(e.to_string(), "cancelled");
}

fn convert(map: PatternMap, given: Given, path: &Path) -> Converted {
    convert::run(map, given, &Params::default(), path, true, &Control::new()).unwrap()
}

#[test]
fn other_orientations_begin_anew() {
    let _alone = alone();
    let dir = TempDir::new().unwrap();
    let (path, zip, usual) = (dir.path().join("out.h5"), data("patterns.zip"), OpenOptions::default());
    let old = data("map.ctf");
    let mut changed = read_ctf(&old).unwrap();
    let turned = changed.data.get("euler1").unwrap() + 0.1;
    changed.data.put("euler1", "rad", turned).unwrap();
    let new = dir.path().join("new.ctf");
    write_ctf(&new, &changed, false).unwrap();
    let turned = read_ctf(&new).unwrap();
    let turned = turned.data.get("euler1").unwrap();

    interrupted(read(&zip, &usual), given(&old), &path);
    assert!(
        convert(read(&zip, &usual), given(&old), &path).resumed > 0,
        "the same goes on"
    );
    interrupted(read(&zip, &usual), given(&old), &path);
    assert_eq!(convert(read(&zip, &usual), given(&new), &path).resumed, 0);
    let map = open(&path, None);
    let angles = map.data.get("euler1").unwrap();
    assert!(angles.iter().zip(turned).all(|(a, b)| (a - b).abs() < 1e-6));

    // So do another background, and other pixels out of the same file.
    interrupted(read(&zip, &usual), Given::default(), &path);
    let background = Array2::from_elem((48, 60), 7.0);
    let light = Given {
        static_background: Some(background.clone()),
        ..Given::default()
    };
    assert_eq!(convert(read(&zip, &usual), light, &path).resumed, 0);
    assert_eq!(open(&path, None).static_background, Some(background));
    let mask = dir.path().join("bad.npy");
    save_npy(&mask, Array2::from_shape_fn((48, 60), |at| at == (20, 30)).view(), false).unwrap();
    let repaired = OpenOptions {
        bad_pixels: BadPixels::File(mask),
        ..OpenOptions::default()
    };
    interrupted(read(&zip, &usual), Given::default(), &path);
    assert_eq!(convert(read(&zip, &repaired), Given::default(), &path).resumed, 0);
    assert_eq!(pixels(&open(&path, None)), pixels(&read(&zip, &repaired)));
}

#[test]
fn changed_images_begin_anew() {
    let _alone = alone();
    let dir = TempDir::new().unwrap();
    let image = |number: u8| Array2::from_shape_fn((6, 8), |(y, x)| number + (8 * y + x) as u8);
    let put = |y: usize, x: usize, number: u8| {
        let name = dir.path().join(format!("{y}_{x}.png"));
        save_png(name, image(number).view(), true).unwrap();
    };
    for y in 0..4 {
        (0..5).for_each(|x| put(y, x, (5 * y + x) as u8));
    }
    // The output lies among the images, where the unfinished file changes the folder.
    let (path, usual) = (dir.path().join("out.h5"), OpenOptions::default());
    interrupted(read(dir.path(), &usual), Given::default(), &path);
    assert!(convert(read(dir.path(), &usual), Given::default(), &path).resumed > 0);
    interrupted(read(dir.path(), &usual), Given::default(), &path);
    // A pattern that was not converted yet, then one that was.
    for (y, x) in [(3, 4), (0, 2)] {
        interrupted(read(dir.path(), &usual), Given::default(), &path);
        put(y, x, 100);
        let done = convert(read(dir.path(), &usual), Given::default(), &path);
        assert_eq!(done.resumed, 0, "{y} {x}");
        assert_eq!(pixels(&open(&path, None)), pixels(&read(dir.path(), &usual)));
    }
}

#[test]
fn points_without_pattern_keep_their_place_in_a_ctf() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("written.ctf");
    let mut map = read_ctf(&data("map.ctf")).unwrap();
    // The map begins somewhere on the sample, and two points are unknown, the first among them.
    let names: Vec<String> = map.data.columns().iter().map(|c| c.name.clone()).collect();
    for name in names {
        let unit = map.data.columns().iter().find(|c| c.name == name).unwrap().unit;
        let mut values = map.data.get(&name).unwrap().clone();
        match name.as_str() {
            "x" => values += 10.0,
            "y" => values += 3.0,
            _ => {}
        }
        values[[0, 0]] = f64::NAN;
        values[[2, 3]] = f64::NAN;
        map.data.put(&name, unit, values).unwrap();
    }
    write_ctf(&path, &map, false).unwrap();
    let again = read_ctf(&path).unwrap();
    let (x, y) = (again.data.get("x").unwrap(), again.data.get("y").unwrap());
    for (at, x) in x.indexed_iter() {
        let (want_y, want_x) = (3.0 + 0.25 * at.0 as f64, 10.0 + 0.25 * at.1 as f64);
        assert!(
            (x - want_x).abs() < 1e-9 && (y[at] - want_y).abs() < 1e-9,
            "{at:?}: {x} {}",
            y[at]
        );
    }
    let (bc, before) = (again.data.get("bc").unwrap(), map.data.get("bc").unwrap());
    for (at, &value) in before.indexed_iter() {
        assert_eq!(bc[at], if value.is_nan() { 0.0 } else { value }, "{at:?}");
    }
    assert_eq!(again.data.get("phase").unwrap()[[2, 3]], 0.0, "not indexed");
}

#[test]
fn wide_maps_with_rounded_steps() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("wide.ctf");
    let (rows, columns) = (2, 1200);
    let text = |step: &str, x: &dyn Fn(usize) -> f64| {
        let mut text = format!(
            "Channel Text File\nXCells\t{columns}\nYCells\t{rows}\nXStep\t{step}\nYStep\t0.0333\nPhases\t0\nPhase\tX\tY\tEuler1\tBC\n"
        );
        for i in 0..rows * columns {
            let (y, c) = (i / columns, i % columns);
            text += &format!("0\t{:.4}\t{:.4}\t0\t{i}\n", x(c), y as f64 / 30.0);
        }
        text
    };
    let read = |text: String| {
        std::fs::write(&path, text).unwrap();
        read_ctf(&path)
    };
    for step in ["0.0333", "0.033", "0.0333333"] {
        let map = read(text(step, &|c| c as f64 / 30.0)).unwrap();
        let places = map.data.get("bc").unwrap();
        assert!(places.iter().enumerate().all(|(i, &v)| v == i as f64), "{step}");
        assert!((map.steps[1] - 1.0 / 30.0).abs() < 1e-6, "{:?}", map.steps);
        assert_eq!(map.steps[0], 0.0333, "the header's where it fits");
    }
    // What is no rounding stays an error.
    let e = read(text("0.03", &|c| c as f64 / 30.0)).unwrap_err().to_string();
    assert!(e.contains("lies outside the map of 2 × 1200 points"), "{e}");
    let e = read(text("0.0333", &|c| if c == 7 { 0.2 } else { c as f64 / 30.0 }));
    let e = e.unwrap_err().to_string();
    assert!(e.contains("has a row already"), "{e}");
}

#[test]
fn the_pattern_centre_follows_the_crop() {
    let _alone = alone();
    let dir = TempDir::new().unwrap();
    let pc = [0.4, 0.3, 0.6];
    let what = Description {
        present: &Array2::from_elem((1, 2), true),
        pattern: [24, 32],
        steps: [Some(0.5); 2],
        data: &MapData::new([1, 2]),
        geometry: &Geometry {
            pc: Some(Array3::from_shape_fn((1, 2, 3), |(_, _, k)| pc[k])),
            ..Geometry::default()
        },
        static_background: None,
    };
    let store = Store::create(&dir.path().join("map.h5"), &what, false).unwrap();
    let frame = FrameShape {
        pixel: Pixel::U8,
        height: 24,
        width: 32,
    };
    let writer = store.pattern_writer("RawPatterns", frame, Codec::None).unwrap();
    let patterns: Vec<u8> = (0..2 * 24 * 32).map(|i| (i * 7 % 251) as u8).collect();
    writer.put(0, &patterns).unwrap();
    writer.finish("counts", "raw patterns").unwrap();
    store.finish().unwrap();

    let centre = |file: &str| open(&dir.path().join(file), None).geometry.pc.unwrap();
    let process = |bin: &str, file: &str| succeed(&dir, &["process", "map.h5", "-o", file, "--static", "none", "--bin", bin]);
    let stderr = process("7", "seven.h5");
    assert!(stderr.contains("leaves out 3 rows at the bottom and 4 columns"), "{stderr}");
    // 21 of 24 rows and 28 of 32 columns are left; distances count in heights.
    let want = [0.4 * 32.0 / 28.0, 0.3 * 24.0 / 21.0, 0.6 * 24.0 / 21.0];
    process("8", "eight.h5");
    for (file, want) in [("seven.h5", want), ("eight.h5", pc)] {
        let got = centre(file);
        for (at, v) in got.indexed_iter() {
            assert!((v - want[at.2]).abs() < 1e-6, "{file} {at:?}: {v}");
        }
    }
}

/// A folder of images of 2 × 2 pixels, each with a value of its own in the order of `names`, from 1.
fn folder(names: &[&str]) -> TempDir {
    let dir = TempDir::new().unwrap();
    for (name, value) in names.iter().zip(1..) {
        save_png(dir.path().join(name), Array2::from_elem((2, 2), value).view(), false).unwrap();
    }
    dir
}

/// The value of every point, 0 where there is no image; value of the background; notes.
fn images(dir: &TempDir, nav_shape: Option<[usize; 2]>, names: Option<&str>) -> (Array2<f64>, Option<f64>, String) {
    let options = OpenOptions {
        nav_shape,
        names: names.map(str::to_owned),
        ..OpenOptions::default()
    };
    let map = read(dir.path(), &options);
    let nav = map.scan.info().nav;
    let values = Array2::from_shape_fn((nav[0], nav[1]), |(y, x)| {
        let number = (y * nav[1] + x) as u64;
        emstream::workflows::read_frame(&*map.scan, number, &Control::new()).unwrap()[[0, 0]]
    });
    let background = map.static_background.map(|b| b[[0, 0]]);
    (values, background, map.scan.info().notes.join("; "))
}

#[test]
fn a_part_of_a_map_counts_from_zero() {
    let part = folder(&["1_1.png", "1_2.png", "2_1.png", "2_2.png"]);
    // Nothing else known: the smallest map.
    let (values, _, notes) = images(&part, None, None);
    assert_eq!(values, ndarray::array![[1.0, 2.0], [3.0, 4.0]]);
    assert!(!notes.contains("count from"), "{notes}");
    // In a larger map they are in its middle.
    let (values, _, notes) = images(&part, Some([4, 4]), None);
    let mut want = Array2::zeros((4, 4));
    want.slice_mut(ndarray::s![1..3, 1..3])
        .assign(&ndarray::array![[1.0, 2.0], [3.0, 4.0]]);
    assert_eq!(values, want);
    assert!(notes.contains("are taken to count from 0, in a map of 4 × 4"), "{notes}");
    // A name that lies outside a map counted from 0.
    for shape in [[2, 2], [2, 5], [5, 2]] {
        let (values, _, notes) = images(&part, Some(shape), None);
        assert_eq!((values[[0, 0]], values[[1, 1]]), (1.0, 4.0), "{shape:?}");
        assert!(notes.contains("are taken to count from 1"), "{notes}");
    }
}

#[test]
fn names_with_positions_are_patterns() {
    let corrected = ["Ni_background_corrected_0_0.png", "Ni_background_corrected_0_1.png"];
    let (values, background, _) = images(&folder(&corrected), None, None);
    assert_eq!((values, background), (ndarray::array![[1.0, 2.0]], None));
    // The same with a template, and with a background beside them.
    let names = [corrected[0], corrected[1], "static.png"];
    for template in [None, Some("*_{row}_{col}")] {
        let (values, background, _) = images(&folder(&names), None, template);
        assert_eq!((values, background), (ndarray::array![[1.0, 2.0]], Some(3.0)));
    }
    // The only background may have numbers in its name.
    let dated = folder(&["0_0.png", "0_1.png", "background_2024_01.png"]);
    let (values, background, _) = images(&dated, None, None);
    assert_eq!((values, background), (ndarray::array![[1.0, 2.0]], Some(3.0)));
}
