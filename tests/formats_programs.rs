//! Files that other programs and detectors write: the same pixels, shapes and calibration as an independent reader finds in them, and one clear
//! error for damaged ones. `tests/data/make_formats.py` writes the files and keeps what the other readers see.

#[path = "common/watched.rs"]
mod watched;

#[path = "formats_support/bad.rs"]
mod bad;
#[path = "formats_support/mutations.rs"]
mod mutations;

#[path = "formats_support/speed.rs"]
mod speed;

use emstream::Control;
use emstream::io::{self, Axis, OpenOptions, Scan};
use emstream::pixel::Pixel;
use std::path::{Path, PathBuf};

/// The folder of these files.
pub fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/formats").join(name)
}

pub fn control() -> Control {
    let mut c = Control::new();
    c.memory = 64 << 20;
    c
}

/// Frames as values, whatever their type.
fn values(scan: &dyn Scan, frames: &[u64]) -> Vec<f64> {
    let frame = scan.info().frame;
    // A stride that is no multiple of the frame, and bytes between frames that must stay.
    let stride = frame.bytes() + 12;
    let mut out = vec![0xa5; frames.len() * stride];
    scan.read(frames, stride, &mut out, &control()).unwrap();
    let mut values = Vec::new();
    for block in out.chunks(stride) {
        let (pixels, rest) = block.split_at(frame.bytes());
        assert!(rest.iter().all(|&b| b == 0xa5), "bytes between frames changed");
        values.extend(pixels.chunks(frame.pixel.bytes()).map(|b| match (frame.pixel, b) {
            (Pixel::U8, &[a]) => f64::from(a),
            (Pixel::I8, &[a]) => f64::from(a as i8),
            (Pixel::U16, &[a, b]) => f64::from(u16::from_ne_bytes([a, b])),
            (Pixel::I16, &[a, b]) => f64::from(i16::from_ne_bytes([a, b])),
            (Pixel::U32, &[a, b, c, d]) => f64::from(u32::from_ne_bytes([a, b, c, d])),
            (Pixel::I32, &[a, b, c, d]) => f64::from(i32::from_ne_bytes([a, b, c, d])),
            (_, &[a, b, c, d]) => f64::from(f32::from_ne_bytes([a, b, c, d])),
            _ => unreachable!("pixels have whole bytes"),
        }));
    }
    values
}

/// A file of the manifest.
#[derive(serde::Deserialize, Debug)]
struct Entry {
    file: String,
    array: String,
    format: Option<String>,
    nav: [usize; 2],
    sig: [usize; 2],
    /// The type in which the other reader delivers pixels.
    dtype: String,
    /// Steps and units of scan y, x and detector y, x.
    axes: [Option<(f64, String)>; 4],
    /// How sure the scan shape is.
    shape: String,
    options: std::collections::BTreeMap<String, String>,
}

fn entries(folder: &str) -> Vec<Entry> {
    let text = std::fs::read_to_string(data("formats.json")).unwrap();
    let all: Vec<Entry> = serde_json::from_str(&text).unwrap();
    let part: Vec<Entry> = all
        .into_iter()
        .filter(|e| e.file.starts_with(&format!("{folder}/")))
        .collect();
    assert!(part.len() >= 3, "{folder}: at least three files");
    part
}

fn reference(name: &str) -> Vec<f64> {
    let file = std::fs::File::open(data(name)).unwrap();
    let mut archive = npyz::npz::NpzArchive::new(file).unwrap();
    archive.by_name("a").unwrap().unwrap().into_vec::<f64>().unwrap()
}

fn check(folder: &str) {
    for e in entries(folder) {
        let options = OpenOptions {
            dataset: e.options.get("dataset").cloned(),
            nav_shape: e.options.get("nav_shape").map(|shape| {
                let (y, x) = shape.split_once(',').expect("Y,X");
                [y, x].map(|n| n.parse().expect("a number"))
            }),
            ..OpenOptions::default()
        };
        let scan = io::open(&data(&e.file), &options, &control()).unwrap_or_else(|error| panic!("{}: {error}", e.file));
        let info = scan.info();
        if let Some(format) = &e.format {
            assert_eq!(info.format, format, "{}", e.file);
        }
        assert_eq!(
            (info.nav, [info.frame.height, info.frame.width]),
            (e.nav, e.sig),
            "{}",
            e.file
        );
        let pixel = match e.dtype.as_str() {
            "bool" => "u8".to_owned(),
            "float16" | "float64" => "f32".to_owned(),
            "uint64" => "u32".to_owned(),
            "int64" => "i32".to_owned(),
            name => name.replace("uint", "u").replace("int", "i").replace("float", "f"),
        };
        assert_eq!(info.frame.pixel.name(), pixel, "{}", e.file);
        assert_eq!(info.reading.shape.word(), e.shape, "{}: {}", e.file, info.reading.shape);
        let axes: Vec<&Axis> = info.nav_axes.iter().chain(&info.sig_axes).collect();
        for (i, (axis, want)) in axes.iter().zip(&e.axes).enumerate() {
            let same = match (axis.scale, want) {
                (None, None) => true,
                (Some(scale), Some((step, unit))) => (scale / step - 1.0).abs() < 1e-6 && axis.unit == *unit,
                _ => false,
            };
            assert!(same, "{}, axis {i}: {axis:?}, the other reader says {want:?}", e.file);
        }
        // Floats of 64 bits are rounded; everything else is exact.
        let want: Vec<f64> = reference(&e.array);
        let want: Vec<f64> = if pixel == "f32" {
            want.iter().map(|&v| f64::from(v as f32)).collect()
        } else {
            want
        };
        let frames: Vec<u64> = (0..info.frames()).collect();
        assert!(values(scan.as_ref(), &frames) == want, "{}: other pixels", e.file);
        // Backwards, one by one, and as floats.
        let n = e.sig[0] * e.sig[1];
        let back: Vec<u64> = frames.iter().rev().copied().collect();
        let turned: Vec<f64> = want.chunks(n).rev().flatten().copied().collect();
        assert!(values(scan.as_ref(), &back) == turned, "{}: other pixels backwards", e.file);
        let floats = OpenOptions {
            dtype: Some("f32".into()),
            ..options
        };
        let scan = io::open(&data(&e.file), &floats, &control()).unwrap();
        let rounded: Vec<f64> = want.iter().map(|&v| f64::from(v as f32)).collect();
        assert!(
            values(scan.as_ref(), &frames) == rounded,
            "{}: other pixels as floats",
            e.file
        );
    }
}

#[test]
fn digital_micrograph_in_both_orders() {
    check("../dm");
}

#[test]
fn merlin() {
    check("mib");
    // The .hdr file opens its frames as well.
    for name in ["mib/counts12.hdr", "mib/parts.hdr"] {
        let scan = io::open(&data(name), &OpenOptions::default(), &control()).unwrap();
        assert_eq!((scan.info().format, scan.info().nav[0]), ("mib", 2), "{name}");
    }
}

#[test]
fn empad() {
    check("empad");
}

#[test]
fn mrc() {
    check("mrc");
}

#[test]
fn tia() {
    check("ser");
}

#[test]
fn tvips() {
    check("tvips");
}

#[test]
fn zarr() {
    check("zspy");
}

#[test]
fn dectris() {
    check("eiger");
}

#[test]
fn velox() {
    check("velox");
}

#[test]
fn nexus() {
    check("nexus");
}

#[test]
fn emd() {
    check("emd");
    let scan = io::open(&data("emd/rosettasciio.emd"), &OpenOptions::default(), &control()).unwrap();
    assert!(
        scan.info()
            .notes
            .iter()
            .any(|n| n.contains("the detector's axes may stand first"))
    );
}

#[test]
fn tiff_stacks() {
    check("tiff");
}

#[test]
fn names_do_not_matter() {
    let dir = tempfile::tempdir().unwrap();
    let files = [
        ("mib/counts6.mib", "mib"),
        ("mrc/big2.mrc", "mrc"),
        ("ser/stack_1.ser", "ser"),
        ("tvips/one_000.tvips", "tvips"),
        ("zspy/scan_zip.zspy", "zarr"),
        ("velox/stack.emd", "hdf5"),
        ("tiff/shaped.tif", "tiff"),
    ];
    for (file, format) in files {
        for name in ["scan.xyz", "scan", "scan.raw", "scan.h5"] {
            let path = dir.path().join(name);
            std::fs::copy(data(file), &path).unwrap();
            let scan = io::open(&path, &OpenOptions::default(), &control()).unwrap_or_else(|e| panic!("{file} as {name}: {e}"));
            assert_eq!(scan.info().format, format, "{file} as {name}");
        }
    }
    // Who says all that a raw file needs gets it raw.
    let raw = OpenOptions {
        sig_shape: Some([7, 9]),
        dtype: Some("u8".into()),
        offset: Some(1024),
        ..OpenOptions::default()
    };
    let scan = io::open(&data("mrc/mode0.mrc"), &raw, &control()).unwrap();
    assert_eq!((scan.info().format, scan.info().nav), ("raw", [1, 5]));
    let want: Vec<f64> = reference("arrays/mrc-mode0.mrc.npz")
        .iter()
        .map(|v| v.rem_euclid(256.0))
        .collect();
    assert!(values(scan.as_ref(), &[0, 1, 2, 3, 4]) == want);
}

#[test]
fn what_else_a_file_could_be() {
    let about = |name: &str| {
        let scan = io::open(&data(name), &OpenOptions::default(), &control()).unwrap();
        let datasets = io::candidates(&data(name)).unwrap();
        let flags = io::otherwise(scan.info(), &datasets)
            .into_iter()
            .map(|f| f.0)
            .collect::<Vec<_>>()
            .join("; ");
        (
            scan.info().reading.shape.to_string(),
            scan.info().reading.ignored.join("; "),
            flags,
        )
    };
    let (shape, ignored, flags) = about("mib/parts_9.mib");
    assert_eq!(shape, "stored in the file: ScanY, ScanX in parts.hdr");
    assert!(ignored.starts_with("times, thresholds and settings"), "{ignored}");
    assert_eq!(flags, "--sync-offset N; --dtype f32");
    let (shape, _, flags) = about("mib/raw1.mib");
    assert_eq!(shape, "not known: all frames make one row");
    assert_eq!(flags, "--nav-shape 2,2; --sync-offset N; --dtype f32");
    let (_, _, flags) = about("mrc/mode0.mrc");
    assert!(
        flags.starts_with("--sig-shape 7,9 --dtype u8 --offset 1024; --nav-shape Y,X; "),
        "{flags}"
    );
    let (shape, _, flags) = about("tvips/late_000.tvips");
    assert_eq!(shape, "derived: the scan positions in the frame headers");
    assert!(flags.starts_with("--nav-shape 1,12; "), "{flags}");
    let (_, ignored, _) = about("mrc/fei1.mrc");
    assert!(ignored.contains("tilts and times of the extended header"), "{ignored}");
    let (shape, _, flags) = about("nexus/default.nxs");
    assert_eq!(shape, "stored in the file: the dataset's shape");
    assert!(
        flags.contains("--dataset /entry/merlin/mask") && !flags.contains("merlin/data"),
        "{flags}"
    );
}
