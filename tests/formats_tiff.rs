//! TIFF: calibration that is written and read, counts of WhiteIsZero pages, images behind a single directory. `tests/data/make_formats.py`
//! (`tiff_known`) writes the files with tifffile.

use emstream::Control;
use emstream::io::write::{Compression, Format, FrameWriter, NewScan};
use emstream::io::{self, Axis, OpenOptions, Scan};
use emstream::pixel::{FrameShape, Pixel};
use std::path::{Path, PathBuf};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/formats/tiff")
        .join(name)
}

fn open(path: &Path) -> Box<dyn Scan> {
    io::open(path, &OpenOptions::default(), &Control::new()).unwrap_or_else(|e| panic!("{e}"))
}

fn error_of(path: &Path) -> String {
    let opened = io::open(path, &OpenOptions::default(), &Control::new());
    opened.err().expect("an error").to_string()
}

fn values(scan: &dyn Scan) -> Vec<f64> {
    let shape = scan.info().frame;
    let order: Vec<u64> = (0..scan.info().frames()).collect();
    let mut out = vec![0; shape.bytes() * order.len()];
    scan.read(&order, shape.bytes(), &mut out, &Control::new()).unwrap();
    emstream::with_pixel!(shape.pixel, T => bytemuck::pod_collect_to_vec::<u8, T>(&out).iter().map(|v| f64::from(*v)).collect())
}

/// What `make_formats.py` writes for a type.
fn known(dtype: &str) -> Vec<f64> {
    let counted = (0..6 * 35).map(|i| f64::from((i * 31 + i / 35 * 7) % 101));
    match &dtype[..1] {
        "u" => counted.collect(),
        "i" => counted.map(|v| v - 50.0).collect(),
        _ => counted.map(|v| v / 8.0 - 3.0).collect(),
    }
}

fn axis(scale: f64, unit: &str) -> Axis {
    Axis {
        scale: Some(scale),
        unit: unit.into(),
    }
}

const FRAME: FrameShape = FrameShape {
    pixel: Pixel::U8,
    height: 3,
    width: 4,
};

/// Writes a scan with these steps (scan y, x, detector y, x) and returns its description.
fn write(path: &Path, nav: [usize; 2], [sy, sx, dy, dx]: [Axis; 4]) -> String {
    let mut scan = NewScan::new(nav, FRAME);
    (scan.nav_axes, scan.sig_axes) = ([sy, sx], [dy, dx]);
    let mut writer = FrameWriter::create(Format::Tiff, path, scan, Compression::None, true).unwrap();
    writer.write(&vec![7; nav[0] * nav[1] * FRAME.bytes()]).unwrap();
    writer.finish().unwrap();
    let bytes = std::fs::read(path).unwrap();
    let begin = bytes.windows(7).position(|w| w == b"ImageJ=").unwrap();
    let end = bytes[begin..].iter().position(|&b| b == 0).unwrap();
    String::from_utf8(bytes[begin..begin + end].to_vec()).unwrap()
}

#[test]
fn steps_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.tif");
    let none = Axis::default;
    let cases: [[Axis; 4]; 9] = [
        [axis(2.0, "nm"), axis(3.0, "nm"), axis(0.02, "1/Å"), axis(0.01, "1/Å")],
        // No short fraction is its own inverse.
        [axis(0.017, "Å"), axis(1e-9, "m"), axis(0.017, "mrad"), axis(0.0123, "mrad")],
        [axis(0.125, "s"), axis(0.5, "um"), axis(3.0, "um"), axis(2.0, "nm")],
        [none(), axis(0.25, "s"), axis(0.5, "1/nm"), none()],
        [axis(0.25, "nm"), none(), none(), axis(0.5, "1/nm")],
        [axis(0.25, ""), axis(4.0, ""), none(), none()],
        [none(), none(), axis(0.5, "nm\n\\u00C5"), axis(0.5, "𝑥⁻¹ of \u{212b}")],
        [axis(1.0, "°"), axis(1.0, "deg C"), axis(2.0, "nm"), axis(4.0, "1/nm")],
        [none(), none(), none(), none()],
    ];
    for axes in cases {
        for nav in [[3, 2], [1, 6], [6, 1]] {
            let text = write(&path, nav, axes.clone());
            assert!(text.is_ascii(), "{text}");
            let scan = open(&path);
            let info = scan.info();
            let mut want = axes.clone();
            for axis in &mut want {
                // Lines cannot be broken.
                axis.unit = axis.unit.replace('\n', "");
            }
            if nav == [6, 1] {
                // A column is a row for ImageJ: its step stays with its frames.
                want.swap(0, 1);
                assert_eq!(info.nav, [1, 6]);
            } else {
                assert_eq!(info.nav, nav);
            }
            assert_eq!([&info.nav_axes[..], &info.sig_axes[..]].concat(), want, "{nav:?}: {text}");
        }
    }
    let text = write(&path, [3, 2], [axis(0.5, "s"), none(), none(), axis(2.0, "1/Å")]);
    for line in ["frames=3", "slices=2", "finterval=0.5", "unit=1/\\u00C5", "yunit=pixel"] {
        assert!(text.lines().any(|l| l == line), "{line} in {text}");
    }
    // Another shape has other steps.
    let options = OpenOptions {
        nav_shape: Some([2, 3]),
        ..OpenOptions::default()
    };
    let scan = io::open(&path, &options, &Control::new()).unwrap();
    assert_eq!(scan.info().nav_axes, [none(), none()]);
    assert_eq!(scan.info().sig_axes[1], axis(2.0, "1/Å"));
}

#[test]
fn time_belongs_to_frames() {
    let none = Axis::default;
    for (name, want) in [
        ("interval-tz.tif", [axis(0.5, "s"), none()]),
        ("interval-zc.tif", [none(), none()]),
        ("interval-tc.tif", [axis(0.5, "ms"), none()]),
    ] {
        let scan = open(&data(name));
        let info = scan.info();
        assert_eq!((info.nav, &info.nav_axes), ([2, 3], &want), "{name}");
        // tifffile's resolution is x, y.
        assert_eq!(info.sig_axes, [axis(0.02, "1/Å"), axis(0.01, "1/Å")], "{name}");
        assert_eq!(values(&*scan), known("u2"), "{name}");
    }
    // One dimension: a movie has time between its images, a focal series has not. Places of the letters stay.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.tif");
    write(&path, [1, 6], [none(), axis(0.5, "s"), none(), none()]);
    assert_eq!(open(&path).info().nav_axes[1], axis(0.5, "s"));
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(7).position(|w| w == b"frames=").unwrap();
    bytes[at..at + 7].copy_from_slice(b"slices=");
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(open(&path).info().nav_axes, [none(), none()]);
}

#[test]
fn white_is_zero_is_raw_counts() {
    let names = [
        "u1-zlib",
        "u2-plain",
        "u2-zlib",
        "u2-predictor",
        "u2-tiled",
        "u4-zlib",
        "i1-zlib",
        "i2-zlib",
        "i4-zlib",
        "f4-plain",
        "f4-zlib",
        "f4-tiled",
        "f8-zlib",
    ];
    for name in names {
        let scan = open(&data(&format!("white-{name}.tif")));
        assert_eq!(scan.info().costly, !name.ends_with("plain"), "{name}");
        assert_eq!(values(&*scan), known(name), "{name}");
        // Again, backwards: the decoder goes back to directories that it has seen.
        let shape = scan.info().frame;
        let mut out = vec![0; 2 * shape.bytes()];
        scan.read(&[5, 0], shape.bytes(), &mut out, &Control::new()).unwrap();
        let last: Vec<f64> = emstream::with_pixel!(shape.pixel, T => bytemuck::pod_collect_to_vec::<u8, T>(&out[..shape.bytes()])
            .iter()
            .map(|v| f64::from(*v))
            .collect());
        assert_eq!(last, known(name)[5 * 35..], "{name}");
        // As an array, which single patterns, masks and templates are.
        let array = io::array::read_array::<f64>(data(&format!("white-{name}.tif")), 1 << 20).unwrap();
        assert_eq!(array.as_slice().unwrap(), known(name), "{name}");
    }
}

#[test]
fn images_behind_one_directory() {
    for (name, dtype, nav) in [
        ("truncated.tif", "u2", [1, 6]),
        ("truncated-4d.tif", "f4", [2, 3]),
        // Two series of four and two images.
        ("truncated-twice.tif", "u2", [1, 6]),
    ] {
        let scan = open(&data(name));
        assert_eq!(scan.info().nav, nav, "{name}");
        assert!(scan.info().notes.is_empty() && !scan.info().costly, "{name}");
        assert_eq!(values(&*scan), known(dtype), "{name}");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.tif");
    let whole = std::fs::read(data("truncated.tif")).unwrap();
    let claims = |shape: &str| {
        let old = b"\"shape\": [6, 7, 5]";
        let at = whole.windows(old.len()).position(|w| w == old).unwrap();
        let mut bytes = whole.clone();
        // The same length, without the space.
        let new = format!("{:<width$}", format!("\"shape\":[{shape}]"), width = old.len());
        bytes[at..at + old.len()].copy_from_slice(new.as_bytes());
        std::fs::write(&path, bytes).unwrap();
    };
    for shape in ["7, 7, 5", "9,9,7,5", "99999,35"] {
        claims(shape);
        let e = error_of(&path);
        assert!(
            e.contains("a.tif") && e.contains("shape in tifffile's description") && e.contains("do not fit the file"),
            "{e}"
        );
        assert!(e.contains("from byte 272 on") && e.lines().count() == 1, "{e}");
    }
    claims("3, 7, 5");
    assert_eq!(open(&path).info().nav, [1, 3]);
    // Not made of such pages: the page itself can be read.
    claims("6, 7, 6");
    assert_eq!(open(&path).info().nav, [1, 1]);
    std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    assert!(error_of(&path).contains("6 images of 70 bytes do not fit the file"));
    // The same description over a compressed page: one image, and a word about the others.
    let mut bytes = whole.clone();
    let entry = [3u8, 1, 3, 0, 1, 0, 0, 0, 1, 0];
    let at = bytes.windows(10).position(|w| w == entry).unwrap();
    bytes[at + 8..at + 10].copy_from_slice(&8u16.to_le_bytes());
    std::fs::write(&path, bytes).unwrap();
    let scan = open(&path);
    assert_eq!(scan.info().nav, [1, 1]);
    assert!(
        scan.info().notes[0].contains("6 images are claimed"),
        "{:?}",
        scan.info().notes
    );
}
