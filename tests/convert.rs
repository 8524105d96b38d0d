//! `emstream convert`: every format it writes, read back; interruptions; refusals.

mod common;

use emstream::Control;
use emstream::engine::Selection;
use emstream::io::write::{Compression, Format};
use emstream::io::{Axis, OpenOptions, Scan, ScanInfo, open};
use emstream::pixel::{FrameShape, Frames, Pixel, Sample};
use emstream::workflows::convert::{self, Converted, Params};
use emstream::workflows::ebsd::convert::BinMode;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

fn control() -> Control {
    let mut c = Control::new();
    c.threads = 2;
    c
}

/// Frames in memory with a file to name, counted as they are read; reading may be stopped by a number of frames.
struct Made {
    info: ScanInfo,
    bytes: Vec<u8>,
    read: AtomicU64,
    cancel_after: u64,
}

impl Made {
    fn new(path: &Path, nav: [usize; 2], frame: FrameShape) -> Made {
        std::fs::write(path, "the input").unwrap();
        let n = nav[0] * nav[1] * frame.pixels();
        // Values that differ between frames, rows and columns, small enough for any type.
        let value = |i: usize| (i * 31 + i / frame.pixels() * 7) % 101;
        let bytes = match frame.pixel {
            Pixel::U8 | Pixel::I8 => (0..n).map(|i| value(i) as u8).collect(),
            Pixel::U16 | Pixel::I16 => (0..n).flat_map(|i| (value(i) as u16 * 300).to_ne_bytes()).collect(),
            Pixel::U32 | Pixel::I32 => (0..n).flat_map(|i| (value(i) as u32 * 70_000).to_ne_bytes()).collect(),
            Pixel::F32 => (0..n).flat_map(|i| (value(i) as f32 / 8.0 - 3.0).to_ne_bytes()).collect(),
        };
        let axis = |scale: f64, unit: &str| Axis {
            scale: Some(scale),
            unit: unit.into(),
        };
        Made {
            info: ScanInfo {
                path: path.to_owned(),
                format: "memory",
                dataset: None,
                nav,
                frame,
                stored: frame.pixel.to_string(),
                nav_axes: [axis(0.5, "nm"), axis(0.25, "nm")],
                sig_axes: [axis(0.02, "1/nm"), axis(0.02, "1/nm")],
                together: 1,
                costly: false,
                file_bytes: bytes_len(nav, frame),
                notes: Vec::new(),
                reading: Default::default(),
            },
            bytes,
            read: AtomicU64::new(0),
            cancel_after: u64::MAX,
        }
    }
}

fn bytes_len(nav: [usize; 2], frame: FrameShape) -> u64 {
    (nav[0] * nav[1] * frame.bytes()) as u64
}

impl Scan for Made {
    fn info(&self) -> &ScanInfo {
        &self.info
    }
    fn read(&self, frames: &[u64], stride: usize, out: &mut [u8], control: &Control) -> emstream::Result<()> {
        let size = self.info.frame.bytes();
        for (i, &f) in frames.iter().enumerate() {
            out[i * stride..][..size].copy_from_slice(&self.bytes[f as usize * size..][..size]);
        }
        if self.read.fetch_add(frames.len() as u64, Ordering::Relaxed) >= self.cancel_after {
            control.cancel();
        }
        Ok(())
    }
}

/// All pixels of a scan in float64, frame by frame.
fn pixels(scan: &dyn Scan) -> Vec<f64> {
    let frame = scan.info().frame;
    let n = scan.info().frames() as usize;
    let mut words = vec![0u32; n * frame.stride() / 4];
    let bytes = bytemuck::cast_slice_mut(&mut words);
    let all: Vec<u64> = (0..n as u64).collect();
    scan.read(&all, frame.stride(), bytes, &control()).unwrap();
    let frames = Frames::new(frame, 0, n, bytes).unwrap();
    emstream::with_pixel!(frame.pixel, T => {
        (0..n).flat_map(|i| frames.frame::<T>(i).iter().map(|v| v.to_f64()).collect::<Vec<_>>()).collect()
    })
}

fn params(format: Format) -> Params {
    Params {
        format,
        compression: Compression::None,
        bin: 1,
        mode: BinMode::Sum,
        log: false,
        input: String::new(),
    }
}

fn run(scan: &dyn Scan, params: &Params, path: &Path) -> emstream::Result<Converted> {
    let selection = Selection::all(scan.info().nav);
    convert::run(scan, &selection, params, path, false, &control())
}

fn read(path: &Path) -> Box<dyn Scan> {
    open(path, &OpenOptions::default(), &control()).unwrap()
}

/// Names of what lies in a folder.
fn names(folder: &Path) -> Vec<String> {
    let all = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = all.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

const FILES: [(&str, Format); 7] = [
    ("a.h5", Format::Hdf5),
    ("a.hspy", Format::Hspy),
    ("a.emd", Format::Emd),
    ("a.zspy", Format::Zspy),
    ("a.npy", Format::Npy),
    ("a.tif", Format::Tiff),
    ("a.blo", Format::Blo),
];

#[test]
fn every_format_holds_the_same_pixels_and_steps() {
    let dir = tempfile::tempdir().unwrap();
    let types = [
        Pixel::U8,
        Pixel::I8,
        Pixel::U16,
        Pixel::I16,
        Pixel::U32,
        Pixel::I32,
        Pixel::F32,
    ];
    for (k, pixel) in types.into_iter().enumerate() {
        // Rows that are no multiple of a chunk of frames, frames whose bytes are no multiple of four.
        let (nav, edge) = ([3, 5], [17, 64][k % 2]);
        let frame = FrameShape {
            pixel,
            height: edge,
            width: if pixel == Pixel::U8 { edge } else { edge + 3 },
        };
        let scan = Made::new(&dir.path().join("input"), nav, frame);
        let want = pixels(&scan);
        for (name, format) in FILES {
            if format == Format::Blo && pixel != Pixel::U8 {
                continue;
            }
            let packed = [Compression::None, Compression::Gzip(4), Compression::Zstd(3)];
            let ways = match format {
                Format::Hdf5 | Format::Hspy | Format::Emd => 2,
                Format::Zspy => 3,
                _ => 1,
            };
            for compression in &packed[..ways] {
                let path = dir.path().join(format!("{pixel}-{compression:?}-{name}"));
                let p = Params {
                    compression: *compression,
                    ..params(format)
                };
                let done = run(&scan, &p, &path).unwrap();
                assert_eq!((done.nav, done.frame, done.resumed), (nav, frame, 0));
                let back = read(&path);
                let info = back.info();
                assert_eq!(info.frame, frame, "{name}");
                assert_eq!(pixels(&*back), want, "{name} {pixel} {compression:?}");
                assert_eq!(info.frames(), 15);
                if format != Format::Tiff {
                    assert_eq!(info.nav, nav, "{name}");
                }
                match format {
                    Format::Npy => {}
                    Format::Blo => assert_eq!(info.nav_axes, scan.info.nav_axes),
                    Format::Tiff => assert_eq!(info.sig_axes, scan.info.sig_axes),
                    _ => {
                        assert_eq!(info.nav_axes, scan.info.nav_axes, "{name}");
                        assert_eq!(info.sig_axes, scan.info.sig_axes, "{name}");
                    }
                }
                match format {
                    Format::Zspy => std::fs::remove_dir_all(&path).unwrap(),
                    _ => std::fs::remove_file(&path).unwrap(),
                }
            }
        }
        assert_eq!(names(dir.path()), ["input"], "nothing else is left");
    }
}

#[test]
fn block_files_tell_what_they_do_not_know() {
    let dir = tempfile::tempdir().unwrap();
    let frame = FrameShape::new(Pixel::U8, [16, 16]);
    let mut scan = Made::new(&dir.path().join("input"), [2, 3], frame);
    let none = Axis {
        scale: None,
        unit: String::new(),
    };
    let reciprocal = Axis {
        scale: Some(0.01),
        unit: "1/Å".into(),
    };
    for (sig, note) in [
        (&none, None),
        (
            &reciprocal,
            Some("block files keep no scale of the detector that is not a length"),
        ),
    ] {
        scan.info.nav_axes = [none.clone(), none.clone()];
        scan.info.sig_axes = [sig.clone(), sig.clone()];
        let path = dir.path().join(format!("{}.blo", note.is_some()));
        let done = run(&scan, &params(Format::Blo), &path).unwrap();
        assert_eq!(done.notes, note.into_iter().collect::<Vec<_>>());
        let back = read(&path);
        let info = back.info();
        assert_eq!(info.nav_axes, [none.clone(), none.clone()]);
        assert_eq!(info.sig_axes, [none.clone(), none.clone()]);
    }
}

#[test]
fn what_is_not_ours_stays() {
    let dir = tempfile::tempdir().unwrap();
    let scan = Made::new(&dir.path().join("input"), [2, 3], FrameShape::new(Pixel::U8, [16, 16]));
    let path = dir.path().join("a.npy");
    let convert = || run(&scan, &params(Format::Npy), &path).unwrap_err().to_string();
    for name in ["a.npy.part", "a.npy.part.done"] {
        let thesis = dir.path().join(name);
        std::fs::create_dir(&thesis).unwrap();
        std::fs::write(thesis.join("thesis.txt"), "years of work").unwrap();
        let e = convert();
        assert!(e.contains("something else has the name of an unfinished conversion"), "{e}");
        assert_eq!(std::fs::read_to_string(thesis.join("thesis.txt")).unwrap(), "years of work");
        std::fs::remove_dir_all(&thesis).unwrap();
        std::fs::write(&thesis, "a file").unwrap();
        let e = convert();
        assert!(e.contains("something else has the name of an unfinished conversion"), "{e}");
        std::fs::remove_file(&thesis).unwrap();
    }
    std::fs::write(dir.path().join("a.npy.part.toml"), "mine = true").unwrap();
    assert!(convert().contains("something else has the name"));
    assert_eq!(names(dir.path()), ["a.npy.part.toml", "input"]);
}

#[test]
fn two_conversions_to_one_file_do_not_mix() {
    let dir = tempfile::tempdir().unwrap();
    let scan = Made::new(&dir.path().join("input"), [2, 3], FrameShape::new(Pixel::U8, [16, 16]));
    let path = dir.path().join("a.npy");
    let other = std::fs::File::create(dir.path().join("a.npy.part.toml")).unwrap();
    other.lock().unwrap();
    let e = run(&scan, &params(Format::Npy), &path).unwrap_err().to_string();
    assert!(e.contains("another conversion to it is running"), "{e}");
    drop(other);
    run(&scan, &params(Format::Npy), &path).unwrap();
    assert_eq!(names(dir.path()), ["a.npy", "input"]);
}

/// Commands say of a folder what they say of a file: name, bytes, time and fingerprint.
#[test]
fn commands_read_what_convert_writes() {
    let dir = tempfile::tempdir().unwrap();
    let scan = Made::new(&dir.path().join("input"), [4, 5], FrameShape::new(Pixel::U16, [16, 16]));
    let mut means = Vec::new();
    for (name, format) in FILES.into_iter().filter(|f| f.1 != Format::Blo) {
        let path = dir.path().join(name);
        run(&scan, &params(format), &path).unwrap();
        let out = dir.path().join(format!("{name}.stats.h5"));
        let done = std::process::Command::new(env!("CARGO_BIN_EXE_emstream"))
            .args(["stats", "--backend", "cpu", "--ops", "mean", "-o"])
            .args([&out, &path])
            .output()
            .unwrap();
        assert!(done.status.success(), "{name}: {}", String::from_utf8_lossy(&done.stderr));
        let file = hdf5::File::open(&out).unwrap();
        means.push((name, file.dataset("stats/mean").unwrap().read_raw::<f64>().unwrap()));
    }
    for (name, mean) in &means {
        assert_eq!(mean, &means[0].1, "{name}");
    }
    let folder = dir.path().join("a.zspy");
    let on_disk = read(&folder).info().bytes_on_disk().unwrap();
    let looked_at = emstream::io::results::Input::of(&folder).unwrap();
    assert!(on_disk > 20 * 512 && on_disk == looked_at.bytes, "{on_disk}, {looked_at:?}");
    let print = |p: &Path| emstream::io::fingerprint::fingerprint(p).unwrap();
    let before = print(&folder);
    let chunk = folder.join("Experiments/a/data/0/0/0/0");
    let mut bytes = std::fs::read(&chunk).unwrap();
    bytes[0] ^= 1;
    std::fs::write(&chunk, &bytes).unwrap();
    assert_ne!(print(&folder), before, "another pixel");
    bytes[0] ^= 1;
    std::fs::write(&chunk, &bytes).unwrap();
    assert_eq!(print(&folder), before, "its time does not count");
    std::fs::write(folder.join("Experiments/a/note"), "").unwrap();
    assert_ne!(print(&folder), before, "another file");
}

/// The chunk files of a `.zspy`, undone by hand.
fn zarr_pixels(folder: &Path, nav: [usize; 2], frame: FrameShape) -> Vec<u8> {
    let data = folder.join("Experiments/a/data");
    let text = std::fs::read_to_string(data.join(".zarray")).unwrap();
    let array: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(array["zarr_format"], 2);
    assert_eq!(array["shape"], serde_json::json!([nav[0], nav[1], frame.height, frame.width]));
    let together = array["chunks"][1].as_u64().unwrap() as usize;
    let full = together * frame.bytes();
    let size = frame.pixel.bytes();
    let mut out = Vec::new();
    for y in 0..nav[0] {
        for x in (0..nav[1]).step_by(together) {
            let raw = std::fs::read(data.join(format!("{y}/{}/0/0", x / together))).unwrap();
            let shuffled = match array["compressor"]["id"].as_str() {
                None => raw,
                Some("zlib") => {
                    let mut bytes = vec![0; full];
                    let n = libdeflater::Decompressor::new().zlib_decompress(&raw, &mut bytes).unwrap();
                    assert_eq!(n, full);
                    bytes
                }
                Some("zstd") => zstd::bulk::decompress(&raw, full).unwrap(),
                Some(other) => panic!("{other}"),
            };
            assert_eq!(shuffled.len(), full);
            let chunk: Vec<u8> = match array["filters"].is_null() {
                true => shuffled,
                false => (0..full).map(|i| shuffled[i % size * (full / size) + i / size]).collect(),
            };
            out.extend_from_slice(&chunk[..together.min(nav[1] - x) * frame.bytes()]);
        }
    }
    out
}

#[test]
fn zspy_folders() {
    let dir = tempfile::tempdir().unwrap();
    let frame = FrameShape {
        pixel: Pixel::U16,
        height: 256,
        width: 300,
    };
    let scan = Made::new(&dir.path().join("input"), [2, 8], frame);
    let path = dir.path().join("a.zspy");
    for (i, compression) in [Compression::None, Compression::Gzip(1), Compression::Zstd(3)]
        .into_iter()
        .enumerate()
    {
        let p = Params {
            compression,
            ..params(Format::Zspy)
        };
        if i > 0 {
            let e = run(&scan, &p, &path).unwrap_err().to_string();
            assert!(e.ends_with("exists already (--overwrite replaces it)"), "{e}");
        }
        let all = Selection::all([2, 8]);
        convert::run(&scan, &all, &p, &path, true, &control()).unwrap();
        assert_eq!(zarr_pixels(&path, [2, 8], frame), scan.bytes, "{compression:?}");
    }
    let attributes = std::fs::read_to_string(path.join("Experiments/a/axis-1/.zattrs")).unwrap();
    let axis: serde_json::Value = serde_json::from_str(&attributes).unwrap();
    assert_eq!(axis["name"], "scan_x");
    assert_eq!((axis["scale"].as_f64(), axis["units"].as_str()), (Some(0.25), Some("nm")));
    assert_eq!((axis["size"].as_u64(), axis["navigate"].as_bool()), (Some(8), Some(true)));
    assert_eq!(names(dir.path()), ["a.zspy", "input"]);
    // A folder with anything else is not replaced.
    let mine = dir.path().join("mine.zspy");
    std::fs::create_dir(&mine).unwrap();
    std::fs::write(mine.join("notes.txt"), "mine").unwrap();
    let all = Selection::all([2, 8]);
    let e = convert::run(&scan, &all, &params(Format::Zspy), &mine, true, &control()).unwrap_err();
    assert!(e.to_string().contains("a folder that --overwrite does not replace"), "{e}");
    assert!(mine.join("notes.txt").exists());
}

#[test]
fn binned_and_cut_out() {
    let dir = tempfile::tempdir().unwrap();
    let frame = FrameShape {
        pixel: Pixel::U16,
        height: 9,
        width: 8,
    };
    let scan = Made::new(&dir.path().join("input"), [4, 6], frame);
    let all = pixels(&scan);
    let region = Selection::from_rect([4, 6], 1..3, 2..5).unwrap();
    let block = |f: usize, y: usize, x: usize| -> Vec<f64> {
        let at = |dy: usize, dx: usize| all[f * 72 + (2 * y + dy) * 8 + 2 * x + dx];
        vec![at(0, 0), at(0, 1), at(1, 0), at(1, 1)]
    };
    let frames: Vec<usize> = region.iter().map(|f| f as usize).collect();
    let over = |value: &dyn Fn(&[f64]) -> f64| -> Vec<f64> {
        let mut out = Vec::new();
        for &f in &frames {
            for y in 0..4 {
                out.extend((0..4).map(|x| value(&block(f, y, x))));
            }
        }
        out
    };
    let sum = over(&|b| b.iter().sum());
    let path = dir.path().join("sum.h5");
    let p = Params {
        bin: 2,
        ..params(Format::Hdf5)
    };
    let done = convert::run(&scan, &region, &p, &path, false, &control()).unwrap();
    assert_eq!(
        done.notes,
        ["binning by 2 crops 1 rows and 0 columns at the bottom and the right"]
    );
    let back = read(&path);
    assert_eq!((back.info().nav, back.info().frame.pixel), ([2, 3], Pixel::U32));
    assert_eq!(
        back.info().nav_axes,
        scan.info.nav_axes,
        "a rectangle keeps the steps of the scan"
    );
    assert_eq!(back.info().sig_axes[0].scale, Some(0.04));
    assert_eq!(pixels(&*back), sum);

    let mean = Params {
        mode: BinMode::Mean,
        ..p.clone()
    };
    let path = dir.path().join("mean.npy");
    let npy = Params {
        format: Format::Npy,
        ..mean.clone()
    };
    convert::run(&scan, &region, &npy, &path, false, &control()).unwrap();
    let back = read(&path);
    assert_eq!(back.info().frame.pixel, Pixel::U16);
    assert_eq!(pixels(&*back), over(&|b| (b.iter().sum::<f64>() / 4.0).round_ties_even()));

    let path = dir.path().join("log.npy");
    let log = Params {
        log: true,
        format: Format::Npy,
        ..p.clone()
    };
    convert::run(&scan, &region, &log, &path, false, &control()).unwrap();
    let back = read(&path);
    assert_eq!(back.info().frame.pixel, Pixel::F32);
    for (got, want) in pixels(&*back).chunks(16).zip(sum.chunks(16)) {
        let low = want.iter().copied().fold(f64::INFINITY, f64::min);
        for (g, w) in got.iter().zip(want) {
            assert!((g - (w - low + 1.0).ln()).abs() < 1e-6, "{g} for {w}");
        }
    }
    let e = convert::run(&scan, &region, &Params { log: true, ..mean }, &path, true, &control()).unwrap_err();
    assert!(e.to_string().contains("leave --bin-mode mean out"), "{e}");

    // Frames from anywhere have no steps.
    let mask = ndarray::Array2::from_shape_fn((4, 6), |(y, x)| (y + x) % 2 == 0);
    let some = Selection::from_mask([4, 6], mask.view()).unwrap();
    let path = dir.path().join("some.hspy");
    convert::run(&scan, &some, &params(Format::Hspy), &path, false, &control()).unwrap();
    let back = read(&path);
    assert_eq!((back.info().nav, back.info().nav_axes[1].scale), ([1, 12], None));
    assert_eq!(back.info().sig_axes, scan.info.sig_axes);
}

#[test]
fn interrupted_conversions_go_on() {
    let dir = tempfile::tempdir().unwrap();
    // 96 frames of 1 MiB: three blocks.
    let frame = FrameShape {
        pixel: Pixel::U16,
        height: 1024,
        width: 512,
    };
    let mut scan = Made::new(&dir.path().join("input"), [8, 12], frame);
    let all = Selection::all([8, 12]);
    let cases: [(&str, Format, Compression); 5] = [
        ("a.npy", Format::Npy, Compression::None),
        ("a.tif", Format::Tiff, Compression::None),
        ("a.h5", Format::Hdf5, Compression::None),
        ("a.emd", Format::Emd, Compression::Gzip(1)),
        ("a.zspy", Format::Zspy, Compression::Zstd(1)),
    ];
    for (name, format, compression) in cases {
        let path = dir.path().join(name);
        let p = Params {
            compression,
            ..params(format)
        };
        scan.cancel_after = 40;
        scan.read.store(0, Ordering::Relaxed);
        let stopped = convert::run(&scan, &all, &p, &path, false, &control());
        assert!(matches!(stopped, Err(emstream::Error::Cancelled)), "{stopped:?}");
        assert!(!path.exists());
        let part = |ending: &str| PathBuf::from(format!("{}{ending}", path.display()));
        assert!(part(".part").exists() && part(".part.toml").exists());
        let done: u64 = std::fs::read_to_string(part(".part.done")).unwrap().trim().parse().unwrap();
        assert!((1..96).contains(&done), "{done}");
        // Another task does not take it up.
        scan.cancel_after = u64::MAX;
        scan.read.store(0, Ordering::Relaxed);
        let before = std::fs::read_to_string(part(".part.toml")).unwrap();
        assert!(before.contains(&format!("format = \"{}\"", format.name())), "{before}");
        let again = convert::run(&scan, &all, &p, &path, false, &control()).unwrap();
        assert_eq!(again.resumed, done, "{name}");
        assert_eq!(scan.read.load(Ordering::Relaxed), 96 - done, "only the rest is read");
        let got = match format {
            Format::Zspy => zarr_pixels(&path, [8, 12], frame),
            _ => {
                let back = read(&path);
                let values = pixels(&*back);
                values.iter().flat_map(|&v| (v as u16).to_ne_bytes()).collect()
            }
        };
        assert!(got == scan.bytes, "{name}");
        match format {
            Format::Zspy => std::fs::remove_dir_all(&path).unwrap(),
            _ => std::fs::remove_file(&path).unwrap(),
        }
        assert_eq!(names(dir.path()), ["input"]);
    }
    // A part of another task is begun anew.
    let path = dir.path().join("b.npy");
    scan.cancel_after = 40;
    scan.read.store(0, Ordering::Relaxed);
    convert::run(&scan, &all, &params(Format::Npy), &path, false, &control()).unwrap_err();
    scan.cancel_after = u64::MAX;
    let p = Params {
        input: "opened in another way".into(),
        ..params(Format::Npy)
    };
    assert_eq!(convert::run(&scan, &all, &p, &path, false, &control()).unwrap().resumed, 0);
    assert_eq!(names(dir.path()), ["b.npy", "input"]);
    // A scan in a folder is another one once a file in it is: its own time need not tell.
    let chunks = dir.path().join("chunks");
    std::fs::create_dir_all(chunks.join("data")).unwrap();
    std::fs::write(chunks.join("data/0"), "0").unwrap();
    scan.info.path = chunks.clone();
    for (changed, path) in [(false, "c.npy"), (true, "d.npy")].map(|(c, p)| (c, dir.path().join(p))) {
        scan.cancel_after = 40;
        scan.read.store(0, Ordering::Relaxed);
        convert::run(&scan, &all, &params(Format::Npy), &path, false, &control()).unwrap_err();
        scan.cancel_after = u64::MAX;
        if changed {
            std::fs::write(chunks.join("data/0"), "another").unwrap();
        }
        let again = convert::run(&scan, &all, &params(Format::Npy), &path, false, &control()).unwrap();
        assert_eq!(again.resumed == 0, changed);
    }
}

#[test]
fn refusals_are_one_clear_line() {
    let dir = tempfile::tempdir().unwrap();
    let frame = FrameShape {
        pixel: Pixel::U16,
        height: 4,
        width: 4,
    };
    let scan = Made::new(&dir.path().join("input"), [2, 2], frame);
    let refused = |p: &Params, name: &str| run(&scan, p, &dir.path().join(name)).unwrap_err().to_string();
    let gzip = |format| Params {
        compression: Compression::Gzip(1),
        ..params(format)
    };
    assert_eq!(
        refused(&gzip(Format::Npy), "a.npy"),
        "--compression: npy files are not compressed; .h5, .hspy, .emd and .zspy are"
    );
    let zstd = Params {
        compression: Compression::Zstd(3),
        ..params(Format::Hdf5)
    };
    assert!(refused(&zstd, "a.h5").contains("zstd is for .zspy"));
    assert!(refused(&params(Format::Blo), "a.blo").contains("a block file holds square u8 frames, not 4x4 u16"));
    let wide = Params {
        bin: 5,
        ..params(Format::Npy)
    };
    assert_eq!(
        refused(&wide, "a.npy"),
        "--bin: 5 for frames of 4 × 4: 1 to 256 and at most the frame"
    );
    assert!(refused(&params(Format::Npy), "no/such/folder/a.npy").contains("a.npy: cannot create"));
    std::fs::write(dir.path().join("there.npy"), "mine").unwrap();
    assert!(refused(&params(Format::Npy), "there.npy").ends_with("exists already (--overwrite replaces it)"));
    assert_eq!(std::fs::read(dir.path().join("there.npy")).unwrap(), b"mine");
    assert_eq!(names(dir.path()), ["input", "there.npy"]);
    for (text, good) in [
        ("gzip", true),
        ("gzip:9", true),
        ("gzip:0", false),
        ("zstd:19", true),
        ("lz4", false),
        ("none:1", false),
    ] {
        assert_eq!(text.parse::<Compression>().is_ok(), good, "{text}");
    }
    let more = Params {
        mode: BinMode::Sum,
        bin: 2,
        ..params(Format::Hdf5)
    };
    assert!(run(&scan, &more, &dir.path().join("sum.h5")).is_ok());
}
