//! Result files, output folders, small arrays and export: round trips, atomic behaviour, bad input.

use emstream::Error;
use emstream::io::array::{
    MAX_BYTES, npy_header, read_array, read_masks, read_npz, read_region, save_csv, save_npy, save_png, save_tiff,
};
use emstream::io::export::{Format, export};
use emstream::io::results::{
    AtomicFile, Input, Meta, OutputDir, Provenance, ResultFile, Timing, fingerprint, iso_time, write_file,
};
use emstream::kernels::masks::MaskStack;
use hdf5::types::VarLenUnicode;
use ndarray::{Array1, Array2, Array3, ArrayD, arr0, arr1, arr2};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}
fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/report").join(name)
}
/// Names in a folder, hidden ones included.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
fn text(container: &hdf5::Container) -> String {
    container.read_scalar::<VarLenUnicode>().unwrap().to_string()
}
const MAP: Meta<'_> = Meta {
    unit: "counts",
    axes: &["y", "x"],
    meaning: "Standard deviation.",
};

fn sample(path: &Path) {
    let file = ResultFile::create(path, false).unwrap();
    let map = Array2::from_shape_fn((3, 4), |(y, x)| y as f64 + x as f64 / 10.0);
    file.put("stats/std", map.view(), MAP).unwrap();
    let labels = arr2(&[[0, 1], [-1, 2]]);
    let meta = Meta {
        unit: "",
        axes: &["scan_y", "scan_x"],
        meaning: "Labels.",
    };
    file.put("clusters/labels", labels.view(), meta).unwrap();
    let values = Array3::from_shape_fn((2, 3, 4), |(y, x, m)| (100 * y + 10 * x + m) as f32);
    let meta = Meta {
        unit: "counts",
        axes: &["scan_y", "scan_x", "mask"],
        meaning: "Masks.",
    };
    file.put("masks/values", values.view(), meta).unwrap();
    file.put(
        "stats/frames",
        arr0(12u64).view(),
        Meta {
            unit: "",
            axes: &[],
            meaning: "Frames.",
        },
    )
    .unwrap();
    file.put(
        "flags",
        arr1(&[true, false, true]).view(),
        Meta {
            unit: "",
            axes: &["peak"],
            meaning: "Kept.",
        },
    )
    .unwrap();
    file.attribute("stats/std", "scale", &[0.5, 0.25]).unwrap();
    file.provenance(&provenance()).unwrap();
    file.finish().unwrap();
}
fn provenance() -> Provenance {
    Provenance {
        command: "cluster".into(),
        backend: "cpu".into(),
        adapter: "x86-64-v3".into(),
        parameters: "radius = 1.5\nname = \"Prüfung\"\n".into(),
        timings: vec![
            Timing {
                step: "statistics".into(),
                seconds: 0.25,
                frames: 2000,
                bytes: 41_472_000,
                ..Timing::default()
            },
            Timing {
                step: "ward".into(),
                seconds: 0.5,
                frames: 0,
                bytes: 0,
                ..Timing::default()
            },
        ],
        inputs: vec![Input {
            name: "scan.blo".into(),
            bytes: 41_490_096,
            modified: "2026-11-21T03:30:00Z".into(),
            fingerprint: "xxh3-128:00".into(),
        }],
        calibration: Vec::new(),
    }
}

#[test]
fn result_file_round_trip() {
    let folder = folder();
    let path = folder.path().join("result.h5");
    sample(&path);
    assert_eq!(names(folder.path()), ["result.h5"]);
    let file = hdf5::File::open(&path).unwrap();
    let std = file.dataset("stats/std").unwrap();
    assert_eq!(std.read_2d::<f64>().unwrap()[[2, 3]], 2.3);
    assert_eq!(text(&std.attr("unit").unwrap()), "counts");
    assert_eq!(text(&std.attr("description").unwrap()), "Standard deviation.");
    let axes = std.attr("axes").unwrap().read_1d::<VarLenUnicode>().unwrap();
    assert_eq!(axes.iter().map(|a| a.as_str()).collect::<Vec<_>>(), ["y", "x"]);
    assert_eq!(std.attr("scale").unwrap().read_raw::<f64>().unwrap(), [0.5, 0.25]);
    assert_eq!(
        file.dataset("clusters/labels").unwrap().read_2d::<i32>().unwrap(),
        arr2(&[[0, 1], [-1, 2]])
    );
    assert!(file.dataset("clusters/labels").unwrap().dtype().unwrap().is::<i32>());
    assert_eq!(file.dataset("stats/frames").unwrap().read_scalar::<u64>().unwrap(), 12);
    assert_eq!(
        file.dataset("flags").unwrap().read_raw::<bool>().unwrap(),
        [true, false, true]
    );
    let provenance = file.group("provenance").unwrap();
    assert_eq!(text(&provenance.attr("version").unwrap()), env!("CARGO_PKG_VERSION"));
    assert_eq!(text(&provenance.attr("adapter").unwrap()), "x86-64-v3");
    assert_eq!(
        text(&provenance.dataset("parameters").unwrap()),
        "radius = 1.5\nname = \"Prüfung\"\n"
    );
    assert_eq!(
        provenance.dataset("timings/seconds").unwrap().read_raw::<f64>().unwrap(),
        [0.25, 0.5]
    );
    assert_eq!(
        provenance
            .dataset("timings/step")
            .unwrap()
            .read_raw::<VarLenUnicode>()
            .unwrap()[1]
            .as_str(),
        "ward"
    );
    assert_eq!(
        provenance.dataset("input/bytes").unwrap().read_raw::<u64>().unwrap(),
        [41_490_096]
    );
}

#[test]
fn large_maps_are_compressed_and_small_ones_are_not() {
    let folder = folder();
    let path = folder.path().join("r.h5");
    let file = ResultFile::create(&path, false).unwrap();
    let large = Array2::from_shape_fn((600, 700), |(y, x)| (y * x % 100) as f32);
    // A view in another order arrives in the order of its axes.
    let turned = large.t();
    file.put("large", turned, MAP).unwrap();
    file.put("small", large.slice(ndarray::s![..10, ..10]), MAP).unwrap();
    let empty = Array2::<f64>::zeros((0, 2));
    file.put("clusters/00/peaks", empty.view(), MAP).unwrap();
    file.finish().unwrap();
    let file = hdf5::File::open(&path).unwrap();
    assert_eq!(file.dataset("large").unwrap().filters().len(), 2);
    assert_eq!(file.dataset("large").unwrap().read_2d::<f32>().unwrap(), turned);
    assert!(file.dataset("large").unwrap().storage_size() < 600 * 700 * 4 / 4);
    assert!(file.dataset("small").unwrap().filters().is_empty());
    assert_eq!(file.dataset("clusters/00/peaks").unwrap().shape(), [0, 2]);
}

#[test]
fn misuse_of_a_result_file_is_an_error() {
    let folder = folder();
    let file = ResultFile::create(folder.path().join("r.h5"), false).unwrap();
    let map = Array2::<f64>::zeros((2, 2));
    file.put("a/b", map.view(), MAP).unwrap();
    assert!(matches!(file.put("a/b", map.view(), MAP), Err(Error::Internal(_))));
    assert!(matches!(file.put("c", map.row(0), MAP), Err(Error::Internal(_))));
    assert!(file.put("a/b/c", map.view(), MAP).is_err());
    assert!(file.attribute("nowhere", "x", &[1.0]).is_err());
}

#[test]
fn an_unfinished_result_leaves_nothing_and_keeps_the_old_one() {
    let folder = folder();
    let path = folder.path().join("result.h5");
    let file = ResultFile::create(&path, false).unwrap();
    let during = names(folder.path());
    assert!(during.len() == 1 && during[0].starts_with(".result.h5.part-"), "{during:?}");
    file.put("x", Array2::<f64>::zeros((200, 200)).view(), MAP).unwrap();
    drop(file);
    assert!(names(folder.path()).is_empty());

    sample(&path);
    let before = fs::read(&path).unwrap();
    let error = ResultFile::create(&path, false).unwrap_err().to_string();
    assert!(
        error.contains("result.h5") && error.contains("--overwrite") && error.contains("exists"),
        "{error}"
    );
    let file = ResultFile::create(&path, true).unwrap();
    file.put("x", Array2::<f64>::zeros((2, 2)).view(), MAP).unwrap();
    drop(file);
    assert_eq!(fs::read(&path).unwrap(), before);
    let file = ResultFile::create(&path, true).unwrap();
    file.put("x", Array2::<f64>::zeros((2, 2)).view(), MAP).unwrap();
    file.finish().unwrap();
    assert!(hdf5::File::open(&path).unwrap().dataset("x").is_ok());
    assert_eq!(names(folder.path()), ["result.h5"]);
}

#[test]
fn a_file_that_appears_meanwhile_is_not_replaced() {
    let folder = folder();
    let path = folder.path().join("a.bin");
    let mut file = AtomicFile::create(&path, false).unwrap();
    file.write_all(b"ours").unwrap();
    fs::write(&path, b"theirs").unwrap();
    assert!(file.finish().unwrap_err().to_string().contains("--overwrite"));
    assert_eq!(fs::read(&path).unwrap(), b"theirs");
    assert_eq!(names(folder.path()), ["a.bin"]);
}

#[test]
fn impossible_places_are_named_before_any_work() {
    let folder = folder();
    let error = ResultFile::create(folder.path().join("no/such/r.h5"), false)
        .unwrap_err()
        .to_string();
    assert!(error.contains("does not exist"), "{error}");
    let error = OutputDir::create(folder.path().join("no/out"), false)
        .unwrap_err()
        .to_string();
    assert!(error.contains("does not exist"), "{error}");
    fs::create_dir(folder.path().join("dir.h5")).unwrap();
    assert!(
        ResultFile::create(folder.path().join("dir.h5"), true)
            .unwrap_err()
            .to_string()
            .contains("folder")
    );
    fs::write(folder.path().join("file"), b"x").unwrap();
    assert!(
        OutputDir::create(folder.path().join("file"), true)
            .unwrap_err()
            .to_string()
            .contains("not a folder")
    );
    assert!(OutputDir::create(folder.path().join("file/out"), false).is_err());
    assert!(write_file("/", false, b"").is_err());
    assert_eq!(names(folder.path()), ["dir.h5", "file"]);
}

#[test]
fn an_output_folder_appears_whole() {
    let folder = folder();
    let target = folder.path().join("out");
    let build = |value: &str, overwrite: bool| {
        let out = OutputDir::create(folder.path().join("out/"), overwrite)?;
        let result = out.result()?;
        // Messages name the place that the user knows.
        assert_eq!(result.target(), folder.path().join("out/result.h5"));
        result.put("stats/std", Array2::<f64>::zeros((2, 2)).view(), MAP)?;
        result.finish()?;
        out.write("params.toml", value.as_bytes())?;
        out.write("figures/labels.png", b"png")?;
        out.write("report.html", b"html")?;
        assert!(names(folder.path()).iter().any(|n| n.starts_with(".out.part-")));
        out.finish()
    };
    assert_eq!(build("a", false).unwrap(), target);
    assert_eq!(names(folder.path()), ["out"]);
    assert_eq!(names(&target), ["figures", "params.toml", "report.html", "result.h5"]);
    let error = build("b", false).unwrap_err().to_string();
    assert!(error.contains("--overwrite"), "{error}");
    assert_eq!(fs::read(target.join("params.toml")).unwrap(), b"a");
    build("c", true).unwrap();
    assert_eq!(fs::read(target.join("params.toml")).unwrap(), b"c");
    assert_eq!(names(folder.path()), ["out"]);
    // Dropped in the middle: the old one stays, nothing else does.
    let out = OutputDir::create(&target, true).unwrap();
    out.write("params.toml", b"d").unwrap();
    assert!(out.write("../params.toml", b"d").is_err());
    drop(out);
    assert_eq!(fs::read(target.join("params.toml")).unwrap(), b"c");
    assert_eq!(names(folder.path()), ["out"]);
    // What the user put there is not deleted.
    for foreign in ["notes.txt", "figures/raw.dm4"] {
        fs::write(target.join(foreign), b"mine").unwrap();
        let error = OutputDir::create(&target, true).unwrap_err().to_string();
        assert!(
            error.contains(foreign.rsplit('/').next().unwrap()) && error.contains("would delete"),
            "{error}"
        );
        fs::remove_file(target.join(foreign)).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn new_outputs_have_the_permissions_of_any_new_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    fs::write(folder.path().join("plain"), b"x").unwrap();
    fs::create_dir(folder.path().join("plain_dir")).unwrap();
    sample(&folder.path().join("r.h5"));
    OutputDir::create(folder.path().join("out"), false).unwrap().finish().unwrap();
    let mode = |name: &str| fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
    assert_eq!(mode("r.h5"), mode("plain"));
    assert_eq!(mode("out"), mode("plain_dir"));
}

#[test]
fn fingerprints_tell_files_apart() {
    let folder = folder();
    let path = folder.path().join("scan.raw");
    let mut bytes = vec![7u8; 1 << 20];
    let mut seen = Vec::new();
    fs::write(&path, &bytes).unwrap();
    seen.push(fingerprint(&path).unwrap());
    assert_eq!(seen[0], fingerprint(&path).unwrap());
    assert!(seen[0].starts_with("xxh3-128:") && seen[0].len() == 9 + 32);
    // Head, first block between, last byte, length.
    for at in [0, 65_536, (1 << 20) - 1] {
        bytes[at] = 8;
        fs::write(&path, &bytes).unwrap();
        seen.push(fingerprint(&path).unwrap());
    }
    bytes.push(8);
    fs::write(&path, &bytes).unwrap();
    seen.push(fingerprint(&path).unwrap());
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 5);
    let input = Input::of(&path).unwrap();
    assert_eq!((input.name.as_str(), input.bytes), ("scan.raw", (1 << 20) + 1));
    assert!(matches!(Input::of(folder.path().join("missing")), Err(Error::Io { .. })));
}

#[test]
fn times_are_written_as_dates() {
    assert_eq!(iso_time(UNIX_EPOCH), "1970-01-01T00:00:00Z");
    assert_eq!(
        iso_time(UNIX_EPOCH + Duration::from_secs(951_827_696)),
        "2000-02-29T12:34:56Z"
    );
    assert_eq!(
        iso_time(UNIX_EPOCH + Duration::from_secs(4_102_444_799)),
        "2099-12-31T23:59:59Z"
    );
    assert_eq!(iso_time(UNIX_EPOCH - Duration::from_secs(1)), "1969-12-31T23:59:59Z");
}

#[test]
fn arrays_round_trip() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let map = arr2(&[[1.5f32, -2.0, f32::NAN], [0.0, 3e30, -0.25]]);
    save_npy(at("a.npy"), map.view(), false).unwrap();
    let back: ArrayD<f64> = read_array(at("a.npy"), MAX_BYTES).unwrap();
    assert_eq!(back.shape(), [2, 3]);
    assert!(
        back.iter()
            .zip(&map)
            .all(|(a, b)| *a == *b as f64 || a.is_nan() && b.is_nan())
    );
    // Fortran order on the way in, C order in the file.
    save_npy(at("t.npy"), map.t(), false).unwrap();
    assert_eq!(read_array::<f32>(at("t.npy"), MAX_BYTES).unwrap()[[1, 0]], -2.0);
    for (name, shape) in [("scalar.npy", vec![]), ("one.npy", vec![3]), ("four.npy", vec![2, 1, 2, 3])] {
        let array = ArrayD::from_elem(shape.clone(), 7i64);
        save_npy(at(name), array.view(), false).unwrap();
        assert_eq!(read_array::<i64>(at(name), MAX_BYTES).unwrap(), array);
        assert_eq!(fs::metadata(at(name)).unwrap().len() as usize, 128 + 8 * array.len());
    }
    save_npy(at("b.npy"), arr1(&[true, false]).view(), false).unwrap();
    assert_eq!(
        read_array::<bool>(at("b.npy"), MAX_BYTES)
            .unwrap()
            .into_raw_vec_and_offset()
            .0,
        [true, false]
    );
    save_tiff(at("a.tif"), &[map.view(), map.view()], false).unwrap();
    let back: ArrayD<f32> = read_array(at("a.tif"), MAX_BYTES).unwrap();
    assert_eq!((back.shape(), back[[1, 1, 1]]), ([2, 2, 3].as_slice(), 3e30));
    save_tiff(at("b.tif"), &[arr2(&[[-1i32, 70_000]]).view()], false).unwrap();
    assert_eq!(
        read_array::<i64>(at("b.tif"), MAX_BYTES).unwrap(),
        arr2(&[[-1, 70_000]]).into_dyn()
    );
    save_png(at("a.png"), arr2(&[[0u8, 255], [7, 0]]).view(), false).unwrap();
    assert_eq!(
        read_region(at("a.png"), [2, 2]).unwrap(),
        arr2(&[[false, true], [true, false]])
    );
    save_csv(
        at("a.csv"),
        arr2(&[[1.5, 2.0], [f64::NAN, -1.0]]).view(),
        &["y", "x", "std, \"counts\""],
        false,
    )
    .unwrap();
    let csv = fs::read_to_string(at("a.csv")).unwrap();
    assert_eq!(csv, "y,x,\"std, \"\"counts\"\"\"\n0,0,1.5\n0,1,2\n1,0,NaN\n1,1,-1\n");
    assert!(
        save_npy(at("a.npy"), map.view(), false)
            .unwrap_err()
            .to_string()
            .contains("--overwrite")
    );
}

#[test]
fn arrays_of_other_programs() {
    let std: ArrayD<f64> = read_array(data("stddev_std.npy"), MAX_BYTES).unwrap();
    assert_eq!(std.shape(), [144, 144]);
    let peaks: ArrayD<i32> = read_array(data("std_peaks.npy"), MAX_BYTES).unwrap();
    assert_eq!(peaks.shape(), [300, 2]);
    assert!(peaks.iter().all(|p| (1..143).contains(p)));
    // Big-endian and Fortran order, written by hand.
    let folder = folder();
    let path = folder.path().join("be.npy");
    let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    bytes.extend(format!("{:<117}\n", "{'descr': '>i2', 'fortran_order': True, 'shape': (2, 3), }").bytes());
    bytes.extend([1i16, 2, 3, 4, 5, -6].iter().flat_map(|v| v.to_be_bytes()));
    fs::write(&path, &bytes).unwrap();
    let array: ArrayD<i64> = read_array(&path, MAX_BYTES).unwrap();
    assert_eq!(array, arr2(&[[1, 3, 5], [2, 4, -6]]).into_dyn());
    let masks = read_masks(data("feature_masks.npz"), 144, 144, MAX_BYTES).unwrap();
    let MaskStack::Csr { indptr, indices, values } = masks else {
        panic!("expected CSR")
    };
    assert_eq!(indptr.len(), 301);
    assert_eq!(indices.len(), values.len());
    // Most stamps lie inside the frame and look alike: the first mask's pixels are around the first peak.
    let first: Vec<u32> = indices[..indptr[1] as usize].to_vec();
    assert!(
        first
            .iter()
            .all(|i| (*i as i32 / 144 - peaks[[0, 0]]).abs() <= 3 && (*i as i32 % 144 - peaks[[0, 1]]).abs() <= 3)
    );
    assert!(
        read_npz::<f32>(data("feature_masks.npz"), "nothing", MAX_BYTES)
            .unwrap_err()
            .to_string()
            .contains("indptr")
    );
}

#[test]
fn dense_masks_in_every_shape() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    for (name, shape, masks) in [("2", vec![4, 5], 1), ("3", vec![3, 4, 5], 3), ("flat", vec![6, 20], 6)] {
        save_npy(at(name), ArrayD::from_elem(shape, 0.5f64).view(), false).unwrap();
        let stack = read_masks(at(name), 4, 5, MAX_BYTES).unwrap();
        assert_eq!(stack.len(), masks);
        assert!(matches!(stack, MaskStack::Dense { rows } if rows.dim() == (masks, 20)));
    }
    for (name, array) in [
        ("nan", ArrayD::from_elem(vec![4, 5], f64::NAN)),
        ("none", ArrayD::zeros(vec![0, 4, 5])),
        ("shape", ArrayD::zeros(vec![5, 4])),
    ] {
        save_npy(at(name), array.view(), false).unwrap();
        let error = read_masks(at(name), 4, 5, MAX_BYTES).unwrap_err();
        assert!(matches!(&error, Error::Format { path, .. } if *path == at(name)), "{error}");
    }
}

#[test]
fn damaged_and_hostile_arrays_are_errors() {
    let folder = folder();
    let path = folder.path().join("bad");
    let header = |text: &str| {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((text.len() as u16).to_le_bytes());
        bytes.extend(text.bytes());
        bytes
    };
    let check = |bytes: &[u8], wanted: &str| {
        fs::write(&path, bytes).unwrap();
        let error = read_array::<f64>(&path, 1 << 20).unwrap_err().to_string();
        assert!(
            error.contains(wanted) && error.contains("bad") && !error.contains('\n'),
            "{error}"
        );
    };
    check(b"", "first bytes");
    check(b"GIF89a", "first bytes");
    check(b"\x93NUMPY", "ends inside");
    check(b"\x93NUMPY\x09\x00\x10\x00", "version 9");
    check(b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "header of");
    check(
        &header("{'descr': '<f8', 'fortran_order': False, 'shape': (1152921504606846976,), }"),
        "claims",
    );
    check(
        &header("{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296, 2), }"),
        "claims",
    );
    check(
        &header("{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }"),
        "needs 24 bytes, the file has 0",
    );
    check(&header("{'descr': '<f8', 'fortran_order': False, 'shape': (-3,), }"), "shape");
    check(&header("{'descr': '<f8', 'fortran_order': False, }"), "'shape' is missing");
    check(
        &header("{'descr': '<f8', 'fortran_order': Maybe, 'shape': (3,), }"),
        "fortran_order",
    );
    check(
        &header("{'descr': '|O', 'fortran_order': False, 'shape': (3,), }"),
        "not supported",
    );
    check(
        &header("{'descr': '<c16', 'fortran_order': False, 'shape': (3,), }"),
        "not supported",
    );
    check(
        &header("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (3,), }"),
        "records",
    );
    check(
        &header("{'descr': 'é9', 'fortran_order': False, 'shape': (3,), }"),
        "not supported",
    );
    check(&header(&"(".repeat(60_000)), "cannot be understood");
    check(&header("{'descr"), "cannot be understood");
    let mut long = npy_header::<f64>(&[2]);
    long.extend([0; 24]);
    check(&long, "needs 16 bytes, the file has 24");
    check(b"PK\x03\x04 not a zip", "zip");
    check(b"\x89PNG\r\n\x1a\n", "PNG");
    check(b"II*\0\x08\0\0\0", "TIFF");
    // Every prefix of real files: an error each, and no panic.
    save_tiff(folder.path().join("t"), &[Array2::<f32>::ones((9, 9)).view()], false).unwrap();
    save_png(folder.path().join("p"), Array2::<u8>::ones((9, 9)).view(), false).unwrap();
    save_npy(folder.path().join("n"), Array1::<f32>::ones(9).view(), false).unwrap();
    for name in ["t", "p", "n"] {
        let whole = fs::read(folder.path().join(name)).unwrap();
        for end in 0..whole.len() {
            fs::write(&path, &whole[..end]).unwrap();
            // A PNG is complete before its last chunk.
            assert!(
                read_array::<f64>(&path, 1 << 20).is_err() || name == "p" && end > whole.len() - 13,
                "{name} {end}"
            );
        }
    }
    // Values that do not fit the type that was asked for.
    save_npy(folder.path().join("h.npy"), arr1(&[1.0, 2.5]).view(), false).unwrap();
    let error = read_array::<i64>(folder.path().join("h.npy"), MAX_BYTES)
        .unwrap_err()
        .to_string();
    assert!(error.contains("element 1") && error.contains("whole number"), "{error}");
    save_npy(folder.path().join("n.npy"), arr2(&[[f64::NAN, 1.0]]).view(), false).unwrap();
    assert!(
        read_region(folder.path().join("n.npy"), [1, 2])
            .unwrap_err()
            .to_string()
            .contains("true or false")
    );
    assert!(
        read_region(folder.path().join("p"), [9, 8])
            .unwrap_err()
            .to_string()
            .contains("9 × 8")
    );
}

#[test]
fn archives_unpack_no_more_than_allowed() {
    // 64 MiB of zeros in 64 KiB.
    assert_eq!(read_array::<f64>(data("zeros.npz"), 64 << 20).unwrap().len(), 8 << 20);
    let error = read_array::<f64>(data("zeros.npz"), 1 << 20).unwrap_err();
    assert!(matches!(error, Error::Limit { .. }), "{error}");
    let error = read_masks(data("csc.npz"), 2, 3, MAX_BYTES).unwrap_err();
    assert!(
        matches!(error, Error::Unsupported { .. }) && error.to_string().contains("csc"),
        "{error}"
    );
    let error = read_masks(data("feature_masks.npz"), 100, 100, MAX_BYTES)
        .unwrap_err()
        .to_string();
    assert!(error.contains("20736") && error.contains("10000"), "{error}");
    let MaskStack::Csr { indptr, indices, values } = read_masks(data("unsorted.npz"), 2, 3, MAX_BYTES).unwrap() else {
        panic!("expected CSR")
    };
    assert_eq!(
        (indptr, indices, values),
        (vec![0, 2, 2, 3], vec![1, 5, 3], vec![2.5, 1.0, 4.0])
    );
    // Any single wrong byte: an error or an array, never a panic.
    let folder = folder();
    let whole = fs::read(data("csc.npz")).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        let path = folder.path().join("flipped.npz");
        fs::write(&path, &bytes).unwrap();
        let _ = read_masks(&path, 2, 3, 1 << 20);
        let _ = read_array::<f64>(&path, 1 << 20);
    }
}

#[test]
fn export_npy() {
    let folder = folder();
    let (result, out) = (folder.path().join("result.h5"), folder.path().join("out"));
    sample(&result);
    let exported = export(&result, &out, Format::Npy, false).unwrap();
    assert!(exported.skipped.is_empty(), "{:?}", exported.skipped);
    let std: ArrayD<f64> = read_array(out.join("stats_std.npy"), MAX_BYTES).unwrap();
    assert_eq!((std.shape(), std[[2, 3]]), ([3, 4].as_slice(), 2.3));
    assert_eq!(
        read_array::<i32>(out.join("clusters_labels.npy"), MAX_BYTES).unwrap(),
        arr2(&[[0, 1], [-1, 2]]).into_dyn()
    );
    assert_eq!(
        read_array::<f32>(out.join("masks_values.npy"), MAX_BYTES).unwrap()[[1, 2, 3]],
        123.0
    );
    assert_eq!(read_array::<i64>(out.join("stats_frames.npy"), MAX_BYTES).unwrap()[[]], 12);
    let side: serde_json::Value = serde_json::from_slice(&fs::read(out.join("attributes.json")).unwrap()).unwrap();
    let std = &side["datasets"]["stats/std"];
    assert_eq!(std["file"], "stats_std.npy");
    assert_eq!(std["unit"], "counts");
    assert_eq!(std["axes"], serde_json::json!(["y", "x"]));
    assert_eq!(std["scale"], serde_json::json!([0.5, 0.25]));
    assert_eq!(side["groups"]["provenance"]["backend"], "cpu");
    assert_eq!(
        side["datasets"]["provenance/parameters"]["value"],
        "radius = 1.5\nname = \"Prüfung\"\n"
    );
    assert_eq!(
        side["datasets"]["provenance/timings/step"]["value"],
        serde_json::json!(["statistics", "ward"])
    );
    assert_eq!(exported.files.len(), names(&out).len());
    // Again: refused, then replaced; the user's own files stay.
    fs::write(out.join("mine.txt"), b"x").unwrap();
    let error = export(&result, &out, Format::Npy, false).unwrap_err().to_string();
    assert!(error.contains("--overwrite"), "{error}");
    export(&result, &out, Format::Npy, true).unwrap();
    assert!(out.join("mine.txt").exists());
    assert_eq!(names(folder.path()), ["out", "result.h5"]);
    assert_eq!(names(&out).len(), exported.files.len() + 1);
}

#[test]
fn export_csv_and_tiff() {
    let folder = folder();
    let (result, out) = (folder.path().join("result.h5"), folder.path().join("out"));
    sample(&result);
    export(&result, &out, Format::Csv, false).unwrap();
    assert_eq!(
        fs::read_to_string(out.join("clusters_labels.csv")).unwrap(),
        "scan_y,scan_x,labels\n0,0,0\n0,1,1\n1,0,-1\n1,1,2\n"
    );
    assert_eq!(fs::read_to_string(out.join("stats_frames.csv")).unwrap(), "frames\n12\n");
    assert_eq!(
        fs::read_to_string(out.join("flags.csv")).unwrap(),
        "peak,flags\n0,true\n1,false\n2,true\n"
    );
    let second = fs::read_to_string(out.join("masks_values_01.csv")).unwrap();
    assert!(
        second.starts_with("scan_x,mask,values\n0,0,100\n0,1,101\n") && second.lines().count() == 13,
        "{second}"
    );

    let out = folder.path().join("tiff");
    let exported = export(&result, &out, Format::Tiff, false).unwrap();
    assert_eq!(exported.skipped.len(), 1);
    assert_eq!(exported.skipped[0].0, "stats/frames");
    assert_eq!(read_array::<f32>(out.join("stats_std.tif"), MAX_BYTES).unwrap()[[2, 3]], 2.3);
    assert_eq!(
        read_array::<i32>(out.join("clusters_labels.tif"), MAX_BYTES).unwrap(),
        arr2(&[[0, 1], [-1, 2]]).into_dyn()
    );
    // (scan_y, scan_x, mask) becomes a page for each mask.
    let pages = read_array::<f32>(out.join("masks_values.tif"), MAX_BYTES).unwrap();
    assert_eq!(pages.shape(), [4, 2, 3]);
    assert_eq!(pages[[3, 1, 2]], 123.0);
    assert_eq!(
        read_array::<u8>(out.join("flags.tif"), MAX_BYTES).unwrap(),
        arr2(&[[255, 0, 255]]).into_dyn()
    );
}

#[test]
fn export_of_what_cannot_be_exported() {
    let folder = folder();
    let result = folder.path().join("result.h5");
    sample(&result);
    let out = folder.path().join("out");
    assert!(matches!(
        export(folder.path().join("missing.h5"), &out, Format::Npy, false),
        Err(Error::Io { .. })
    ));
    fs::write(folder.path().join("text.h5"), b"no hdf5 at all").unwrap();
    assert!(matches!(
        export(folder.path().join("text.h5"), &out, Format::Npy, false),
        Err(Error::Format { .. })
    ));
    fs::write(folder.path().join("short.h5"), &fs::read(&result).unwrap()[..3000]).unwrap();
    assert!(export(folder.path().join("short.h5"), &out, Format::Npy, false).is_err());
    assert!("bmp".parse::<Format>().unwrap_err().to_string().contains("npy, csv, tiff"));
    // Groups that contain each other.
    let loops = folder.path().join("loop.h5");
    let file = hdf5::File::create(&loops).unwrap();
    file.create_group("a").unwrap();
    file.link_hard("/", "a/up").unwrap();
    file.link_hard("/a", "again").unwrap();
    drop(file);
    assert!(matches!(export(&loops, &out, Format::Npy, false), Err(Error::Limit { .. })));
    assert!(!out.exists());
    assert!(!names(folder.path()).iter().any(|n| n.contains(".part-")));
}
