//! DigitalMicrograph files against two independent readers' view of them, and what is wrong with files and models.

use emstream::Control;
use emstream::io::{self, FuzzFormat, OpenOptions, fuzz_bytes, keras};
use emstream::pixel::Pixel;
use std::path::{Path, PathBuf};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// All pixels of a scan as numbers, frame after frame.
fn values(path: &Path) -> Vec<f64> {
    let scan = io::open(path, &OpenOptions::default(), &Control::new()).unwrap();
    let (frame, n) = (scan.info().frame, scan.info().frames());
    let frames: Vec<u64> = (0..n).collect();
    let mut words = vec![0u32; n as usize * frame.stride() / 4];
    scan.read(&frames, frame.stride(), bytemuck::cast_slice_mut(&mut words), &Control::new())
        .unwrap();
    let bytes: &[u8] = bytemuck::cast_slice(&words);
    let mut out = Vec::new();
    for f in bytes.chunks(frame.stride()) {
        let f = &f[..frame.bytes()];
        emstream::with_pixel!(frame.pixel, T => out.extend(f.chunks(size_of::<T>()).map(|b| {
            emstream::pixel::Sample::to_f64(bytemuck::pod_read_unaligned::<T>(b))
        })));
    }
    out
}

/// 1, 2, 3, …
fn counting(n: usize) -> Vec<f64> {
    (1..=n).map(|v| v as f64).collect()
}

#[test]
fn stacks_of_every_type_order_and_version() {
    let mut n = 0;
    for entry in std::fs::read_dir(data("dm")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !name.starts_with("stack_") {
            continue;
        }
        n += 1;
        let scan = io::open(&path, &OpenOptions::default(), &Control::new()).unwrap();
        let i = scan.info();
        assert_eq!((i.nav, [i.frame.height, i.frame.width]), ([1, 3], [4, 5]), "{name}");
        assert_eq!((i.nav_axes[1].scale, &*i.nav_axes[1].unit), (Some(2.25), "s"), "{name}");
        assert_eq!((i.sig_axes[0].scale, &*i.sig_axes[1].unit), (Some(0.25), "nm"), "{name}");
        assert_eq!(i.format, if name.ends_with('3') { "dm3" } else { "dm4" });
        assert_eq!(
            i.stored.contains("big-endian"),
            name.contains("_be") && !name.contains("1_"),
            "{name}: {}",
            i.stored
        );
        assert_eq!(values(&path), counting(60), "{name}");
        let gain = io::number_tag(&path, "PMTDF").unwrap().unwrap();
        assert_eq!(gain, ("ImageList/1/ImageTags/Detectors/PMTDF_gain".into(), 48000.0));
    }
    assert_eq!(n, 20);
}

#[test]
fn scans_and_spectra_in_both_orders() {
    for name in ["dm/scan.dm4", "dm/scan_swapped.dm4"] {
        let scan = io::open(&data(name), &OpenOptions::default(), &Control::new()).unwrap();
        let i = scan.info();
        assert_eq!((i.nav, [i.frame.height, i.frame.width]), ([2, 3], [4, 5]), "{name}");
        assert_eq!((&*i.nav_axes[0].unit, &*i.sig_axes[0].unit), ("nm", "1/nm"));
        assert_eq!(values(&data(name)), counting(120), "{name}");
        // Any frames in any order.
        let mut out = vec![0u8; 3 * 48];
        scan.read(&[5, 0, 1], 48, &mut out, &Control::new()).unwrap();
        let first = |i: usize| u16::from_ne_bytes([out[48 * i], out[48 * i + 1]]);
        assert_eq!([first(0), first(1), first(2)], [101, 1, 21], "{name}");
    }
    for name in ["dm/spectra.dm3", "dm/spectra_swapped.dm3"] {
        let scan = io::open(&data(name), &OpenOptions::default(), &Control::new()).unwrap();
        let i = scan.info();
        assert_eq!(
            (i.nav, [i.frame.height, i.frame.width], i.frame.pixel),
            ([2, 3], [1, 7], Pixel::F32),
            "{name}"
        );
        assert_eq!((&*i.nav_axes[1].unit, &*i.sig_axes[1].unit), ("nm", "eV"));
        assert_eq!(values(&data(name)), counting(42), "{name}");
    }
    let image = io::open(&data("dm/image.dm3"), &OpenOptions::default(), &Control::new()).unwrap();
    assert_eq!(image.info().nav, [1, 1]);
    assert_eq!(values(&data("dm/image.dm3")), counting(20));
    let tags = io::tags(&data("dm/scan.dm4")).unwrap();
    let of = |path: &str| tags.iter().find(|t| t.0 == path).map(|t| &*t.1);
    assert_eq!(of("ImageList/1/ImageTags/Meta Data/Format"), Some("\"Diffraction image\""));
    assert_eq!(of("ApplicationBounds"), Some("(0, 0, 1050, 1680)"));
    assert_eq!(of("Points"), Some("2 values of 4 bytes"));
}

/// The error of opening a changed copy of a file.
fn refused(dir: &Path, from: &str, change: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut bytes = std::fs::read(data(from)).unwrap();
    change(&mut bytes);
    let path = dir.join(Path::new(from).file_name().unwrap());
    std::fs::write(&path, bytes).unwrap();
    let Err(e) = io::open(&path, &OpenOptions::default(), &Control::new()) else {
        panic!("{from} should be refused");
    };
    assert!(!e.to_string().contains('\n'));
    e.to_string()
}

#[test]
fn bad_digitalmicrograph_files() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let file = "dm/stack_u2_le.dm3";
    let find = |bytes: &[u8], part: &[u8]| bytes.windows(part.len()).position(|w| w == part).unwrap();
    for cut in [0, 3, 11, 20, 300, 700] {
        let e = refused(dir, file, |b| b.truncate(cut));
        assert!(e.contains("stack_u2_le.dm3"), "{cut}: {e}");
    }
    let e = refused(dir, file, |b| b[3] = 7);
    assert!(e.contains("the file does not begin like one"), "{e}");
    let e = refused(dir, file, |b| b[11] = 5);
    assert!(e.contains("byte 8: byte order 5"), "{e}");
    let e = refused(dir, file, |b| b[18] = 33);
    assert!(e.contains("an entry of kind 33"), "{e}");
    let e = refused(dir, file, |b| {
        let at = find(b, b"%%%%");
        b[at] = b'x';
    });
    assert!(e.contains("should begin with %%%%"), "{e}");
    // An array far larger than the file.
    let e = refused(dir, file, |b| {
        let at = find(b, &[0, 0, 0, 20, 0, 0, 0, 4, 0, 0, 0, 60]);
        b[at + 8] = 0x7f;
    });
    assert!(e.contains("but the file has only"), "{e}");
    // Dimensions that the array does not hold.
    let e = refused(dir, file, |b| {
        let at = b.windows(10).rposition(|w| w == b"Dimensions").unwrap();
        let at = at + find(&b[at..], b"%%%%") + 12;
        b[at] = 50;
    });
    assert!(
        e.contains("ImageList/1/ImageData/Data") && e.contains("but the array has 120"),
        "{e}"
    );
    // Groups inside groups without end.
    let mut bytes = vec![0, 0, 0, 3, 0, 0, 0, 9, 0, 0, 0, 1];
    for _ in 0..100_000 {
        bytes.extend([1, 0, 0, 0, 0, 1, 20, 0, 0]);
    }
    let e = refused(dir, file, |b| *b = bytes);
    assert!(e.contains("tags nest more than 64 levels deep"), "{e}");
    // Complex numbers.
    let e = refused(dir, file, |b| {
        let at = b.windows(8).rposition(|w| w == b"DataType").unwrap();
        b[at + 8 + 12] = 3;
    });
    assert!(e.contains("not supported: ImageList/1: complex numbers"), "{e}");
}

fn mutate(format: FuzzFormat, seed: &[u8], rounds: u64) {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move |n: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % n.max(1)
    };
    for round in 0..rounds {
        let mut b = seed.to_vec();
        for _ in 0..=next(3) {
            let at = next(b.len());
            b[at] = if next(2) == 0 {
                [0, 1, 0x7f, 0x80, 0xff][next(5)]
            } else {
                b[at] ^ (1 << next(8))
            };
        }
        if next(4) == 0 {
            b.truncate(next(b.len()) + 1);
        }
        let result = std::panic::catch_unwind(|| fuzz_bytes(format, &b));
        assert!(result.is_ok(), "{format:?}, round {round}: {:?}", result.err());
    }
}

#[test]
fn mutated_digitalmicrograph_files() {
    for name in ["dm/stack_u2_le.dm3", "dm/stack_u2_be.dm4", "dm/scan.dm4", "dm/spectra.dm3"] {
        mutate(FuzzFormat::Dm, &std::fs::read(data(name)).unwrap(), 400);
    }
}

/// A model file whose configuration was changed.
fn changed_model(dir: &Path, change: impl Fn(&str) -> String) -> emstream::Result<keras::Model> {
    let path = dir.join("model.h5");
    std::fs::write(&path, std::fs::read(data("defects/defect_model_keras21.h5")).unwrap()).unwrap();
    {
        let file = hdf5::File::open_rw(&path).unwrap();
        let old: hdf5::types::VarLenAscii = file.attr("model_config").unwrap().read_scalar().unwrap();
        file.delete_attr("model_config").unwrap();
        let new = hdf5::types::VarLenAscii::from_ascii(&change(old.as_str())).unwrap();
        let attribute = file.new_attr::<hdf5::types::VarLenAscii>().create("model_config").unwrap();
        attribute.write_scalar(&new).unwrap();
    }
    keras::read_model(&path)
}

/// What reading it says: `read`, or the error.
fn model_with(dir: &Path, change: impl Fn(&str) -> String) -> String {
    let e = changed_model(dir, change)
        .map(|_| String::from("read"))
        .unwrap_or_else(|e| e.to_string());
    assert!(!e.contains('\n'), "{e}");
    e
}

#[test]
fn models_that_are_not_known() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let case = |from: &str, to: &str, parts: &[&str]| {
        let e = model_with(dir, |c| {
            assert!(c.contains(from), "{from}");
            c.replacen(from, to, 1)
        });
        for part in parts {
            assert!(e.contains(part), "{part:?} is not in: {e}");
        }
    };
    case(
        "\"UpSampling2D\"",
        "\"Conv2DTranspose\"",
        &["layer up_sampling2d_1", "the class Conv2DTranspose is not known"],
    );
    case("\"relu\"", "\"tanh\"", &["layer conv2d_1", "the activation tanh"]);
    case("\"same\"", "\"valid\"", &["padding other than `same`"]);
    case("\"filters\": 40", "\"filters\": 41", &["layer conv2d_2", "has 41 filters"]);
    case(
        "\"class_name\": \"Model\"",
        "\"class_name\": \"Forest\"",
        &["a model of class \"Forest\""],
    );
    case("{", "", &["model configuration"]);
    case("[[[\"conv2d_1\"", "[[[\"input_1\"", &["the model branches"]);
    case(
        "\"pool_size\": [2, 2]",
        "\"pool_size\": [3, 3]",
        &["pooling of other than 2 × 2"],
    );
    case("\"max_pooling2d_2\"", "\"max_pooling2d_2\"", &["read"]);

    let refused = |name: &str, bytes: &[u8]| {
        let path = dir.join(name);
        std::fs::write(&path, bytes).unwrap();
        keras::read_model(&path).unwrap_err().to_string()
    };
    let whole = std::fs::read(data("defects/defect_model.keras")).unwrap();
    assert!(refused("cut.keras", &whole[..whole.len() / 2]).contains("archive"));
    assert!(refused("empty.h5", b"").contains("a model is an HDF5 file"));
    let other = std::fs::read(data("defects/defect_weights.h5")).unwrap();
    let e = refused("cut.h5", &other[..other.len() / 3]);
    assert!(e.contains("cut.h5"), "{e}");
}

#[test]
fn activations_stored_as_objects() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let whole = changed_model(dir, str::to_owned).unwrap();
    let with = |activation: &str| {
        let put = |c: &str| {
            assert!(c.contains("\"relu\""));
            c.replacen("\"relu\"", activation, 1)
        };
        changed_model(dir, put)
    };
    for plain in [
        r#"{"class_name": "ReLU", "config": {"name": "re_lu", "max_value": null, "negative_slope": 0.0, "threshold": 0.0}}"#,
        r#"{"class_name": "ReLU", "config": {"name": "anything"}}"#,
        r#"{"class_name": "Activation", "config": {"activation": "relu"}}"#,
        r#"{"module": "builtins", "class_name": "function", "config": "relu", "registered_name": "function"}"#,
        r#"{"config": {"name": "re_lu_2"}}"#,
        r#"{"registered_name": "relu"}"#,
    ] {
        let model = with(plain).unwrap_or_else(|e| panic!("{plain}: {e}"));
        assert_eq!(model, whole, "{plain}");
    }
    for linear in ["null", r#""linear""#] {
        let model = with(linear).unwrap();
        assert_eq!(model.network.layers().len() + 1, whole.network.layers().len());
    }
    for (other, part) in [
        (
            r#"{"class_name": "LeakyReLU", "config": {"name": "relu", "negative_slope": 0.3}}"#,
            "the activation LeakyReLU",
        ),
        (r#"{"class_name": "function", "config": "gelu"}"#, "the activation gelu"),
        (
            r#"{"class_name": "ReLU", "config": {"negative_slope": 0.1}}"#,
            "another slope or threshold than 0",
        ),
        (r#"{"class_name": "ReLU", "config": {"max_value": 6.0}}"#, "a ReLU with"),
        (
            r#"{"class_name": "Softmax", "config": {"axis": 1}}"#,
            "a softmax over another axis",
        ),
        (
            r#"{"class_name": "Softmax", "config": {"axis": -1}}"#,
            "supported at the end only",
        ),
        ("{}", "an activation without a name"),
        ("[1]", "neither a name nor a layer"),
    ] {
        let e = with(other).unwrap_err().to_string();
        assert!(e.contains(part) && !e.contains('\n'), "{other}: {e}");
    }
}

/// Pages of 7 × 5 pixels with values 1, 2, 3, …, written by another crate.
fn tiff_stack(path: &Path, big: bool, compression: tiff::encoder::Compression) {
    use tiff::encoder::{TiffEncoder, colortype::Gray16};
    let file = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    macro_rules! pages {
        ($encoder:expr) => {{
            let mut encoder = $encoder.unwrap().with_compression(compression);
            for page in 0..3u16 {
                let values: Vec<u16> = (0..35).map(|i| 1 + 35 * page + i).collect();
                encoder.write_image::<Gray16>(5, 7, &values).unwrap();
            }
        }};
    }
    if big {
        pages!(TiffEncoder::new_big(file));
    } else {
        pages!(TiffEncoder::new(file));
    }
}

#[test]
fn tiff_stacks_in_place_and_compressed() {
    use tiff::encoder::{Compression, DeflateLevel};
    let dir = tempfile::tempdir().unwrap();
    for big in [false, true] {
        for compression in [
            Compression::Uncompressed,
            Compression::Lzw,
            Compression::Deflate(DeflateLevel::Fast),
        ] {
            let path = dir.path().join("stack.tif");
            tiff_stack(&path, big, compression);
            let scan = io::open(&path, &OpenOptions::default(), &Control::new()).unwrap();
            let i = scan.info();
            assert_eq!((i.nav, [i.frame.height, i.frame.width], i.format), ([1, 3], [7, 5], "tiff"));
            assert_eq!(values(&path), counting(105), "BigTIFF: {big}");
            let mut out = vec![0u8; 3 * 70];
            scan.read(&[2, 0, 1], 70, &mut out, &Control::new()).unwrap();
            assert_eq!([out[0], out[70], out[140]], [71, 1, 36]);
        }
    }
    let path = dir.path().join("stack.tif");
    tiff_stack(&path, false, Compression::Uncompressed);
    let whole = std::fs::read(&path).unwrap();
    mutate(FuzzFormat::Tiff, &whole, 400);
    tiff_stack(&path, true, Compression::Lzw);
    mutate(FuzzFormat::Tiff, &std::fs::read(&path).unwrap(), 400);
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let e = io::open(&path, &OpenOptions::default(), &Control::new())
        .err()
        .unwrap()
        .to_string();
    assert!(e.contains("stack.tif"), "{e}");
}

/// A big-endian file of one directory, as ImageJ writes large stacks: the frames follow the first one.
fn imagej(images: u32, next: u32) -> Vec<u8> {
    let text = format!("ImageJ=1.53t\nimages={images}\nunit=nm\nfinterval=2.25\n\0");
    let mut b = b"MM\0*\0\0\0\x08".to_vec();
    let entries = 9u32;
    let behind = 8 + 2 + 12 * entries + 4;
    let pixels = behind + text.len() as u32 + 8;
    b.extend((entries as u16).to_be_bytes());
    let mut entry = |tag: u16, kind: u16, count: u32, value: u32| {
        b.extend(tag.to_be_bytes());
        b.extend(kind.to_be_bytes());
        b.extend(count.to_be_bytes());
        b.extend(if kind == 3 { value << 16 } else { value }.to_be_bytes());
    };
    entry(256, 4, 1, 3);
    entry(257, 4, 1, 2);
    entry(258, 3, 1, 16);
    entry(259, 3, 1, 1);
    entry(270, 2, text.len() as u32, behind);
    entry(273, 4, 1, pixels);
    entry(277, 3, 1, 1);
    entry(279, 4, 1, 12);
    entry(282, 5, 1, behind + text.len() as u32);
    b.extend(next.to_be_bytes());
    b.extend(text.as_bytes());
    b.extend(4u32.to_be_bytes());
    b.extend(1u32.to_be_bytes());
    (1..=24u16).for_each(|v| b.extend(v.to_be_bytes()));
    b
}

#[test]
fn stacks_of_imagej_and_circles() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("large.tif");
    std::fs::write(&path, imagej(4, 0)).unwrap();
    let scan = io::open(&path, &OpenOptions::default(), &Control::new()).unwrap();
    let i = scan.info();
    assert_eq!((i.nav, i.sig_axes[0].scale, &*i.sig_axes[0].unit), ([1, 4], Some(0.25), "nm"));
    assert_eq!((i.nav_axes[1].scale, &*i.nav_axes[1].unit), (Some(2.25), "s"));
    assert_eq!(values(&path), counting(24));
    let error = |bytes: Vec<u8>| {
        std::fs::write(&path, bytes).unwrap();
        io::open(&path, &OpenOptions::default(), &Control::new())
            .err()
            .unwrap()
            .to_string()
    };
    let e = error(imagej(5, 0));
    assert!(e.contains("5 images of 12 bytes do not fit"), "{e}");
    let e = error(imagej(1, 8));
    assert!(e.contains("in a circle"), "{e}");
}
