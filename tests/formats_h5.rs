//! HDF5 chunks that emstream decodes itself: every filter and layout of chunks against known pixels, damage, and sharing between threads.

use emstream::Control;
use emstream::io::{self, FuzzFormat, OpenOptions, Scan, fuzz_bytes};
use emstream::pixel::Pixel;
use std::path::{Path, PathBuf};

fn control() -> Control {
    let mut c = Control::new();
    c.threads = 2;
    c.memory = 256 << 20;
    c
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/h5").join(name)
}

fn open(path: &Path, dataset: &str) -> Box<dyn Scan> {
    let o = OpenOptions {
        dataset: Some(dataset.into()),
        ..OpenOptions::default()
    };
    io::open(path, &o, &control()).unwrap()
}

/// Reads frames without padding, as values.
fn values(scan: &dyn Scan, frames: &[u64]) -> Vec<f64> {
    let shape = scan.info().frame;
    let mut out = vec![0; shape.bytes() * frames.len()];
    scan.read(frames, shape.bytes(), &mut out, &control()).unwrap();
    emstream::with_pixel!(shape.pixel, T => bytemuck::pod_collect_to_vec::<u8, T>(&out).iter().map(|v| f64::from(*v)).collect())
}

fn all(scan: &dyn Scan) -> Vec<f64> {
    values(scan, &(0..scan.info().frames()).collect::<Vec<_>>())
}

/// Frame `n` of the test files' scan of 3 × 5 frames of 4 × 6.
fn frame(n: u64) -> Vec<f64> {
    let first = (1000 * (n / 5) + 100 * (n % 5)) as usize;
    (0..24).map(|p| (first + 10 * (p / 6) + p % 6) as f64).collect()
}

fn pattern() -> Vec<f64> {
    (0..15).flat_map(frame).collect()
}

/// The frame of `large/*`.
fn large() -> Vec<f64> {
    let pixel = |i: usize, j: usize| if i.is_multiple_of(3) { (37 * i + 11 * j) % 256 + i } else { i };
    (0..64 * 96).map(|p| pixel(p / 96, p % 96) as f64).collect()
}

/// Paths of all datasets of a group.
fn members(file: &str, group: &str) -> Vec<String> {
    let names = hdf5::File::open(data(file))
        .unwrap()
        .group(group)
        .unwrap()
        .member_names()
        .unwrap();
    names.iter().map(|n| format!("{group}/{n}")).collect()
}

/// Half precision in both byte orders, in one piece and in chunks; what has two bytes and another exponent is no pixel.
#[test]
fn half_precision() {
    let path = data("half.h5");
    let mut want: Vec<f64> = pattern().iter().map(|v| (v % 128.0 - 60.0) / 8.0).collect();
    want[..4].copy_from_slice(&[65504.0, -(2f64.powi(-24)), -65504.0, 0.333_251_953_125]);
    let listed = io::candidates(&path).unwrap();
    assert_eq!(listed.len(), 4, "{listed:?}");
    for found in listed {
        let scan = open(&path, &found.path);
        assert_eq!(scan.info().frame.pixel, Pixel::F32);
        assert_eq!(all(&*scan), want, "{}", found.path);
        assert_eq!(
            values(&*scan, &[14, 0]),
            [&want[14 * 24..], &want[..24]].concat(),
            "{}",
            found.path
        );
    }
    let options = OpenOptions {
        dataset: Some("bfloat16".into()),
        ..OpenOptions::default()
    };
    let refused = io::open(&path, &options, &control()).err().unwrap().to_string();
    assert!(refused.contains("bfloat16"), "{refused}");
}

#[test]
fn every_filter_gives_the_pixels() {
    let (parts, whole) = (members("filters.h5", "parts"), members("filters.h5", "large"));
    assert_eq!((parts.len(), whole.len()), (29, 29));
    for name in &parts {
        let scan = open(&data("filters.h5"), name);
        assert_eq!(all(scan.as_ref()), pattern(), "{name}");
        assert!(scan.info().notes.is_empty() && scan.info().costly);
    }
    for name in &whole {
        assert!(all(open(&data("filters.h5"), name).as_ref()) == large(), "{name}");
    }
}

#[test]
fn chunks_of_any_shape_in_any_order_and_stride() {
    let names = [members("filters.h5", "chunks"), members("filters.h5", "types")].concat();
    assert_eq!(names.len(), 16);
    let orders: [&[u64]; 5] = [
        &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14],
        &[14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
        &[3, 10, 3, 0, 7, 14, 6, 11],
        &[4, 5, 6],
        &[13],
    ];
    for name in &names {
        let scan = open(&data("filters.h5"), name);
        let shape = scan.info().frame;
        for order in orders {
            let want: Vec<f64> = order.iter().flat_map(|&n| frame(n)).collect();
            assert_eq!(values(scan.as_ref(), order), want, "{name}");
            let stride = shape.stride() + 16;
            let mut out = vec![0xA5; order.len() * stride];
            scan.read(order, stride, &mut out, &control()).unwrap();
            for (place, tight) in out
                .chunks(stride)
                .zip(values_bytes(scan.as_ref(), order).chunks(shape.bytes()))
            {
                assert_eq!(&place[..shape.bytes()], tight, "{name}");
                assert!(place[shape.bytes()..].iter().all(|&b| b == 0xA5), "{name}: padding");
            }
        }
    }
}

fn values_bytes(scan: &dyn Scan, frames: &[u64]) -> Vec<u8> {
    let mut out = vec![0; scan.info().frame.bytes() * frames.len()];
    scan.read(frames, scan.info().frame.bytes(), &mut out, &control()).unwrap();
    out
}

#[test]
fn unwritten_chunks_and_skipped_filters() {
    let scan = open(&data("filters.h5"), "partly");
    assert_eq!(values(scan.as_ref(), &[0, 14]), [7.0; 48]);
    assert_eq!(values(scan.as_ref(), &[5, 9]), [frame(5), frame(9)].concat());
    assert_eq!(all(open(&data("filters.h5"), "skipped").as_ref()), pattern());
}

#[test]
fn every_index_of_chunks() {
    for name in ["fixed", "single", "extensible", "btree"] {
        assert_eq!(all(open(&data("filters_v110.h5"), name).as_ref()), pattern(), "{name}");
    }
}

#[test]
fn spectra_and_axes_of_hyperspy() {
    let path = data("spectra.hspy");
    let scan = io::open(&path, &OpenOptions::default(), &control()).unwrap();
    let info = scan.info();
    assert_eq!(info.dataset.as_deref(), Some("/Experiments/scan/data"));
    assert_eq!((info.nav, [info.frame.height, info.frame.width]), ([3, 5], [1, 24]));
    assert_eq!(all(scan.as_ref()), pattern());
    assert_eq!(values(scan.as_ref(), &[14, 3]), [frame(14), frame(3)].concat());
    let step = |a: &io::Axis| (a.scale, a.unit.clone());
    assert_eq!(
        info.nav_axes.each_ref().map(step),
        [(Some(2.0), "nm".into()), (Some(2.5), "nm".into())]
    );
    assert_eq!(step(&info.sig_axes[1]), (Some(0.01), "keV".into()));

    let signal = io::hspy::signal(&path, "/Experiments/scan/data").unwrap();
    assert_eq!((signal.signal_type.as_str(), signal.title.as_str()), ("EDS_TEM", "a line"));
    assert_eq!(
        signal.axes.iter().map(|a| a.navigate).collect::<Vec<_>>(),
        [true, true, false]
    );
    assert_eq!(signal.axes.iter().map(|a| a.size).collect::<Vec<_>>(), [3, 5, 24]);
    let energy = signal.spectral_axis().unwrap();
    assert_eq!(
        (energy.name.as_str(), energy.offset, energy.at(10.0)),
        ("Energy", -0.1, Some(0.0))
    );
    assert_eq!((signal.axes[0].name.as_str(), signal.axes[0].unit.as_str()), ("y", "nm"));
    assert_eq!(signal.axes[1].name, "");
    assert_eq!(signal.elements, ["Al", "Cu"]);
    assert_eq!(signal.xray_lines, ["Al_Ka", "Cu_Ka"]);
    assert_eq!(signal.beam_energy, Some(200.0));
    // A second signal in the metadata is no candidate, other datasets are no signals.
    assert_eq!(io::candidates(&path).unwrap().len(), 1);
    assert_eq!(io::hspy::signals(&path).unwrap().len(), 1);
    assert!(io::hspy::signals(&data("filters_v110.h5")).unwrap().is_empty());
    let e = io::hspy::signal(&path, "/other").unwrap_err().to_string();
    assert!(e.contains("/other is no HyperSpy signal"), "{e}");
    assert!(io::hspy::signals(&data("missing.hspy")).is_err());
    // The older file of the tests says nothing about navigation.
    let e = io::hspy::signals(&data("hyperspy.hspy")).unwrap_err().to_string();
    assert!(
        e.contains("/Experiments/scan/axis-0: it does not say whether it navigates"),
        "{e}"
    );
}

#[test]
fn spectra_behind_the_library() {
    // A number that uses 12 bits of 16 is decoded by the library.
    let scan = open(&data("spectra.hspy"), "/Experiments/scan/metadata/twelve/data");
    assert_eq!((scan.info().nav, scan.info().frame.width), ([3, 5], 24));
    assert_eq!(values(scan.as_ref(), &[7, 8, 0]), [frame(7), frame(8), frame(0)].concat());
}

#[test]
fn calibration_in_metadata() {
    for name in ["emd1.h5", "emd0.h5"] {
        let scan = io::open(&data(name), &OpenOptions::default(), &control()).unwrap();
        let info = scan.info();
        assert_eq!(all(scan.as_ref()), pattern(), "{name}");
        for axis in &info.nav_axes {
            assert_eq!((axis.scale, axis.unit.as_str()), (Some(2.5), "nm"), "{name}");
        }
        // The vector of one axis says more than the common pixel size.
        assert_eq!(
            (info.sig_axes[0].scale, info.sig_axes[0].unit.as_str()),
            (Some(0.02), "A^-1"),
            "{name}"
        );
        let last = if name == "emd1.h5" { 0.03 } else { 0.02 };
        assert_eq!(
            (info.sig_axes[1].scale, info.sig_axes[1].unit.as_str()),
            (Some(last), "A^-1"),
            "{name}"
        );
    }
}

#[test]
fn threads_share_chunks() {
    for name in ["parts/bitshuffle_lz4", "chunks/whole", "chunks/frames", "types/parts_f8"] {
        let scan = open(&data("filters.h5"), name);
        std::thread::scope(|s| {
            for t in 0..4u64 {
                let scan = &scan;
                s.spawn(move || {
                    for round in 0..20 {
                        let order: Vec<u64> = (0..15).map(|i| (i * 4 + t * 7 + round) % 15).collect();
                        let want: Vec<f64> = order.iter().flat_map(|&n| frame(n)).collect();
                        assert_eq!(values(scan.as_ref(), &order), want, "{name}");
                    }
                });
            }
        });
    }
}

#[test]
fn little_memory_changes_nothing() {
    let mut little = control();
    little.memory = 1500;
    for name in ["chunks/frames", "chunks/parts", "parts/blosc_lz4_shuffle"] {
        let o = OpenOptions {
            dataset: Some(name.into()),
            ..OpenOptions::default()
        };
        let scan = io::open(&data("filters.h5"), &o, &little).unwrap();
        assert_eq!(all(scan.as_ref()), pattern(), "{name}");
    }
}

/// Address and bytes of the first chunk of a dataset.
fn first_chunk(file: &str, name: &str) -> (usize, usize) {
    let file = hdf5::File::open(data(file)).unwrap();
    let chunk = file.dataset(name).unwrap().chunk_info(0).unwrap();
    (chunk.addr as usize, chunk.size as usize)
}

#[test]
fn damaged_chunks_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("damaged.h5");
    let good = std::fs::read(data("filters.h5")).unwrap();
    for name in members("filters.h5", "large") {
        // Plain shuffles have nothing to notice damage by.
        if ["large/shuffle", "large/bitshuffle"].contains(&name.as_str()) {
            continue;
        }
        let (at, size) = first_chunk("filters.h5", &name);
        let mut bytes = good.clone();
        // Sizes, headers and first codes all become nonsense.
        bytes[at..at + size.min(40)].fill(0xFF);
        std::fs::write(&path, &bytes).unwrap();
        let scan = open(&path, &name);
        let mut out = vec![0; scan.info().frame.bytes()];
        let e = scan.read(&[0], out.len(), &mut out, &control()).unwrap_err().to_string();
        assert!(e.contains(&format!("dataset /{name}, chunk at (0, 0, 0): ")), "{e}");
        assert!(!e.contains('\n'), "one line: {e}");
    }
}

#[test]
fn mutated_chunks_do_no_harm() {
    let good = std::fs::read(data("filters.h5")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mutated.h5");
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut next = |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % n as u64) as usize
    };
    let names = members("filters.h5", "large");
    for round in 0..12 {
        // All datasets of one file are damaged at once: opening is what takes the time.
        let mut bytes = good.clone();
        for name in &names {
            let (at, size) = first_chunk("filters.h5", name);
            for _ in 0..1 + next(3) {
                // The beginning holds headers and sizes.
                let k = at + next(if round % 2 == 0 { size.min(24) } else { size });
                bytes[k] = [0, 1, 0x7f, 0x80, 0xff, bytes[k] ^ 1 << next(8)][next(6)];
            }
        }
        std::fs::write(&path, &bytes).unwrap();
        for name in &names {
            let scan = open(&path, name);
            let mut out = vec![0; scan.info().frame.bytes()];
            // Any pixels or an error that names the chunk; never a panic.
            if let Err(e) = scan.read(&[0], out.len(), &mut out, &control()) {
                assert!(e.to_string().contains("chunk at (0, 0, 0)"), "{e}");
            }
        }
    }
}

#[test]
fn mutated_files_with_filters() {
    let good = std::fs::read(data("filters_v110.h5")).unwrap();
    for round in 0..100u64 {
        let mut bytes = good.clone();
        let at = (round * 7919 + 13) as usize % bytes.len();
        bytes[at] ^= 1 << (round % 8);
        let _ = fuzz_bytes(FuzzFormat::Hdf5, &bytes);
    }
}

#[test]
fn results_become_signals_with_axes_and_units() {
    use emstream::io::export::{Format, export};
    use emstream::io::results::{Meta, Provenance, ResultFile};
    let dir = tempfile::tempdir().unwrap();
    let result = dir.path().join("result.h5");
    let file = ResultFile::create(&result, false).unwrap();
    let map = ndarray::Array2::from_shape_fn((3, 5), |(y, x)| (10 * y + x) as i32);
    let scan = ["scan_y", "scan_x"];
    file.put("clusters/labels", map.view(), Meta::new("", &scan, "cluster of each frame"))
        .unwrap();
    let per = ndarray::Array3::from_shape_fn((3, 5, 2), |(y, x, p)| (100 * y + 10 * x + p) as f32);
    let axes = ["scan_y", "scan_x", "peak"];
    file.put("features/values", per.view(), Meta::new("counts", &axes, "products"))
        .unwrap();
    file.put("flags", ndarray::arr1(&[true, false]).view(), Meta::new("", &["n"], "flags"))
        .unwrap();
    let axis = |scale, unit: &str| io::Axis {
        scale: Some(scale),
        unit: unit.into(),
    };
    file.provenance(&Provenance {
        calibration: vec![
            ("scan_y".into(), axis(2.0, "nm")),
            ("scan_x".into(), axis(2.5, "nm")),
            ("y".into(), axis(0.1, "1/nm")),
        ],
        ..Provenance::default()
    })
    .unwrap();
    file.finish().unwrap();
    let out = dir.path().join("out");
    export(&result, &out, Format::Hspy, false).unwrap();

    let only = |name: &str| {
        let mut all = io::hspy::signals(&out.join(name)).unwrap();
        assert_eq!(all.len(), 1);
        all.pop().unwrap()
    };
    let labels = only("clusters_labels.hspy");
    assert_eq!(
        (labels.dataset.as_str(), labels.title.as_str()),
        ("/Experiments/clusters labels/data", "clusters labels")
    );
    let steps = |s: &io::hspy::Signal| -> Vec<_> {
        s.axes
            .iter()
            .map(|a| (a.name.clone(), a.size, a.scale, a.unit.clone(), a.navigate))
            .collect()
    };
    // A map of the scan is a picture.
    let scan_axis = |name: &str, size, scale, navigate| (name.to_owned(), size, Some(scale), "nm".to_owned(), navigate);
    assert_eq!(
        steps(&labels),
        [scan_axis("scan_y", 3, 2.0, false), scan_axis("scan_x", 5, 2.5, false)]
    );
    let values = only("features_values.hspy");
    let peak = ("peak".to_owned(), 2, Some(1.0), String::new(), false);
    assert_eq!(
        steps(&values),
        [scan_axis("scan_y", 3, 2.0, true), scan_axis("scan_x", 5, 2.5, true), peak]
    );
    // Read back as a scan of spectra.
    let back = io::open(&out.join("features_values.hspy"), &OpenOptions::default(), &control()).unwrap();
    assert_eq!((back.info().nav, back.info().frame.width), ([3, 5], 2));
    assert_eq!(all(back.as_ref()), per.iter().map(|&v| f64::from(v)).collect::<Vec<_>>());
    let file = hdf5::File::open(out.join("clusters_labels.hspy")).unwrap();
    assert_eq!(
        file.dataset("Experiments/clusters labels/data")
            .unwrap()
            .read_2d::<i32>()
            .unwrap(),
        map
    );
    let file = hdf5::File::open(out.join("flags.hspy")).unwrap();
    assert_eq!(
        file.dataset("Experiments/flags/data")
            .unwrap()
            .read_1d::<bool>()
            .unwrap()
            .to_vec(),
        [true, false]
    );

    // A scan keeps shape and calibration.
    let out = dir.path().join("scan");
    export(data("emd1.h5"), &out, Format::Hspy, false).unwrap();
    let mut found = std::fs::read_dir(&out).unwrap().map(|e| e.unwrap().path());
    let path = found.find(|p| p.to_string_lossy().ends_with("data.hspy")).unwrap();
    let back = io::open(&path, &OpenOptions::default(), &control()).unwrap();
    assert_eq!(all(back.as_ref()), pattern());
    assert_eq!(back.info().nav_axes[1], axis(2.5, "nm"));
    assert_eq!(back.info().sig_axes, [axis(0.02, "A^-1"), axis(0.03, "A^-1")]);
}
