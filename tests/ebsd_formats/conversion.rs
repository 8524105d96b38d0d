//! Archives of patterns become one file.

use super::{DEG, check_column, control, data, open, patterns};
use emstream::Control;
use emstream::io::ebsd;
use emstream::io::{OpenOptions, Scan};
use emstream::pixel::Pixel;
use emstream::workflows::ebsd::convert::{self, BinMode, Converted, Given, Params, Target};
use ndarray::Array2;
use std::path::Path;

fn convert(input: &Path, params: &Params, given: Given, output: &Path) -> emstream::Result<Converted> {
    let map = ebsd::open(input, &OpenOptions::default(), &control())?;
    convert::run(map, given, params, output, false, &control())
}

fn params(bin: usize, mode: BinMode) -> Params {
    Params {
        bin,
        mode,
        ..Params::default()
    }
}

#[test]
fn conversion_of_an_archive_gives_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let reference = open(&data("store.h5"));
    let want = patterns(&*reference.scan);
    let raw = patterns(&*open(&data("patterns.zip")).scan);
    for gzip in [0, 3] {
        let path = dir.path().join(format!("out{gzip}.h5"));
        let given = Given {
            orientations: Some(ebsd::read_ctf(&data("map.ctf")).unwrap()),
            ..Given::default()
        };
        let p = Params {
            gzip,
            ..params(2, BinMode::Mean)
        };
        let done = convert(&data("patterns.zip"), &p, given, &path).unwrap();
        assert_eq!((done.patterns, done.nav, done.resumed), (20, [4, 5], 0));
        let map = open(&path);
        assert_eq!(patterns(&*map.scan), want);
        assert_eq!(map.static_background, reference.static_background);
        assert_eq!(map.steps(), [Some(0.25); 2]);
        check_column(&map.data, "euler2", 6, DEG, 3e-7);
        check_column(&map.data, "bs", 10, 1.0, 0.0);
        let file = hdf5::File::open(&path).unwrap();
        let bse = file.dataset("Scan/EBSD/Data/bse_map").unwrap().read_2d::<f64>().unwrap();
        for (got, pattern) in bse.iter().zip(raw.rows()) {
            assert_eq!(*got, pattern.sum() / 2880.0);
        }
        drop(file);
        let left: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert!(left.iter().all(|n| n.to_string_lossy().ends_with(".h5")), "{left:?}");
    }
    // Sums take the next larger type; the remainder is cropped.
    let path = dir.path().join("sum.h5");
    let done = convert(&data("patterns.zip"), &params(7, BinMode::Sum), Given::default(), &path).unwrap();
    assert_eq!((done.frame.height, done.frame.width, done.frame.pixel), (6, 8, Pixel::U32));
    assert!(
        done.warnings.iter().any(|w| w.contains("crops 6 rows and 4 columns")),
        "{:?}",
        done.warnings
    );
    let sums = patterns(&*open(&path).scan);
    for (got, pattern) in sums.rows().into_iter().zip(raw.rows()) {
        let image = pattern.to_shape((48, 60)).unwrap();
        for y in 0..6 {
            for x in 0..8 {
                let block = image.slice(ndarray::s![7 * y..7 * y + 7, 7 * x..7 * x + 7]);
                assert_eq!(got[8 * y + x], block.sum());
            }
        }
    }
    let e = convert(&data("patterns.zip"), &params(2, BinMode::Mean), Given::default(), &path).unwrap_err();
    assert!(e.to_string().contains("exists already"), "{e}");
    let e = convert(
        &data("patterns.zip"),
        &params(49, BinMode::Mean),
        Given::default(),
        &dir.path().join("no.h5"),
    )
    .unwrap_err();
    assert!(e.to_string().starts_with("--bin: 49 for frames of 48 × 60"), "{e}");
    let given = Given {
        static_background: Some(Array2::zeros((3, 3))),
        ..Given::default()
    };
    let e = convert(
        &data("patterns.zip"),
        &params(2, BinMode::Mean),
        given,
        &dir.path().join("no.h5"),
    )
    .unwrap_err();
    assert!(e.to_string().contains("the patterns have 48 × 60"), "{e}");
}

/// The scan of a map that fails at one pattern, as a full disk or a damaged file does.
struct Failing {
    inner: Box<dyn Scan>,
    at: u64,
}

impl Scan for Failing {
    fn info(&self) -> &emstream::io::ScanInfo {
        self.inner.info()
    }
    fn read(&self, frames: &[u64], stride: usize, out: &mut [u8], control: &Control) -> emstream::Result<()> {
        if frames.contains(&self.at) {
            return Err(emstream::Error::Cancelled);
        }
        self.inner.read(frames, stride, out, control)
    }
}

#[test]
fn interrupted_conversions_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.h5");
    let p = params(1, BinMode::Mean);
    // Memory for one pattern at a time, so that there are blocks to lose.
    let mut small_memory = control();
    small_memory.memory = 1;
    small_memory.block = Some(1);
    let mut map = open(&data("patterns.zip"));
    let want = patterns(&*map.scan);
    map.scan = Box::new(Failing { inner: map.scan, at: 13 });
    let e = convert::run(map, Given::default(), &p, &path, false, &small_memory).unwrap_err();
    assert_eq!(e.to_string(), "cancelled");
    assert!(!path.exists() && dir.path().join("out.h5.part").exists());
    // Half a number at the end of the log is what a killed process may leave.
    let log = dir.path().join("out.h5.part.means");
    let mut bytes = std::fs::read(&log).unwrap();
    assert!(bytes.len() >= 8, "nothing was kept");
    let kept = bytes.len() / 8;
    bytes.extend([1, 2, 3]);
    std::fs::write(&log, bytes).unwrap();
    let done = convert(&data("patterns.zip"), &p, Given::default(), &path).unwrap();
    assert_eq!(done.resumed, kept as u64);
    assert_eq!(patterns(&*open(&path).scan), want);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);

    // Another task begins anew.
    let path = dir.path().join("other.h5");
    let mut map = open(&data("patterns.zip"));
    map.scan = Box::new(Failing { inner: map.scan, at: 13 });
    convert::run(map, Given::default(), &p, &path, false, &small_memory).unwrap_err();
    let done = convert(&data("patterns.zip"), &params(2, BinMode::Mean), Given::default(), &path).unwrap();
    assert_eq!((done.resumed, done.frame.height), (0, 24));
}

#[test]
fn unfinished_files_of_others_stay() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.h5");
    let once = || convert(&data("patterns.zip"), &params(1, BinMode::Mean), Given::default(), &path);
    for name in ["out.h5.part", "out.h5.part.means", "out.h5.part.toml"] {
        let thesis = dir.path().join(name);
        std::fs::write(&thesis, "years of work").unwrap();
        let e = once().unwrap_err().to_string();
        assert!(e.contains("something else has the name of an unfinished conversion"), "{e}");
        assert_eq!(std::fs::read_to_string(&thesis).unwrap(), "years of work");
        std::fs::remove_file(&thesis).unwrap();
    }
    let other = std::fs::File::create(dir.path().join("out.h5.part.toml")).unwrap();
    other.lock().unwrap();
    let e = once().unwrap_err().to_string();
    assert!(e.contains("another conversion to it is running"), "{e}");
    drop(other);
    assert_eq!(once().unwrap().resumed, 0);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn kikuchipy_files_have_every_point() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kp.h5");
    let p = Params {
        target: Target::Kikuchipy,
        pc: Some([0.421, 0.7794, 0.6049]),
        pc_convention: "edax".into(),
        ..params(1, BinMode::Mean)
    };
    let given = Given {
        orientations: Some(ebsd::read_ctf(&data("map.ctf")).unwrap()),
        ..Given::default()
    };
    convert(&data("store_zip.h5"), &p, given, &path).unwrap();
    let map = open(&path);
    assert_eq!(map.dialect, "kikuchipy");
    assert_eq!(patterns(&*map.scan), patterns(&*open(&data("store_zip.h5")).scan));
    assert_eq!(map.steps(), [Some(0.25); 2]);
    for (k, angle) in ["euler1", "euler2", "euler3"].into_iter().enumerate() {
        check_column(&map.data, angle, 5 + k, DEG, 1e-12);
    }
    let pc = map.geometry.pc.unwrap();
    assert!((pc[[0, 0, 1]] - 0.2206).abs() < 1e-12);
    assert_eq!(map.data.phases[0].space_group, 225);
    let file = hdf5::File::open(&path).unwrap();
    assert_eq!(file.dataset("Scan 1/EBSD/Data/patterns").unwrap().shape(), [20, 24, 30]);
}
