//! Corrupt and forged files: one clear error that names file and place, never a panic, never the memory that a header claims.

#[path = "common/watched.rs"]
mod watched;

use emstream::Control;
use emstream::io::{self, FuzzFormat, OpenOptions, fuzz_bytes, write};
use emstream::pixel::{FrameShape, Pixel};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use watched::{BOUND, LARGEST};

fn control() -> Control {
    let mut c = Control::new();
    c.memory = 64 << 20;
    c
}

fn with(f: impl FnOnce(&mut OpenOptions)) -> OpenOptions {
    let mut o = OpenOptions::default();
    f(&mut o);
    o
}

/// The error of opening, or of reading every frame.
fn error_of(path: &Path, options: &OpenOptions) -> String {
    let result = io::open(path, options, &control()).and_then(|scan| {
        let stride = scan.info().frame.stride();
        let mut out = vec![0; stride];
        (0..scan.info().frames()).try_for_each(|f| scan.read(&[f], stride, &mut out, &control()))
    });
    let e = result
        .expect_err(&format!("{} should be refused", path.display()))
        .to_string();
    assert!(!e.contains('\n'), "one line: {e}");
    e
}

fn valid(dir: &Path, ending: &str) -> Vec<u8> {
    let path = dir.join(format!("valid.{ending}"));
    let mut w = write::create(
        &path,
        [3, 4],
        FrameShape {
            pixel: Pixel::U8,
            height: 8,
            width: 8,
        },
        true,
    )
    .unwrap();
    w.write(&(0..768).map(|v| (v % 251) as u8).collect::<Vec<_>>()).unwrap();
    w.finish().unwrap();
    std::fs::read(&path).unwrap()
}

/// The valid file with changes, under a name of its own.
fn changed(dir: &Path, ending: &str, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> PathBuf {
    let mut bytes = valid(dir, ending);
    change(&mut bytes);
    let path = dir.join(format!("{name}.{ending}"));
    std::fs::write(&path, bytes).unwrap();
    path
}

fn expect(path: &Path, options: &OpenOptions, parts: &[&str]) {
    let e = error_of(path, options);
    let file = path.file_name().unwrap().to_str().unwrap();
    for part in parts.iter().chain([&file]) {
        assert!(e.contains(part), "{part:?} is not in: {e}");
    }
}

#[test]
fn bad_block_files() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let none = OpenOptions::default();
    let cut = |n: usize| move |b: &mut Vec<u8>| b.truncate(n);
    let put = |at: usize, v: Vec<u8>| move |b: &mut Vec<u8>| b[at..at + v.len()].copy_from_slice(&v);
    let frames_at = 0x1010;
    let whole = frames_at + 12 * 70;
    expect(
        &changed(dir, "blo", "cut", cut(whole - 1)),
        &none,
        &["end of file (truncated)", "3x4 frames of 8x8", "4952", "4951"],
    );
    expect(
        &changed(dir, "blo", "header", cut(100)),
        &none,
        &["byte 100", "the file ends here"],
    );
    expect(
        &changed(dir, "blo", "long", |b| b.push(0)),
        &none,
        &["end of file (too long)"],
    );
    expect(
        &changed(dir, "blo", "magic", put(0, b"IMAGES".to_vec())),
        &none,
        &["byte 0", "does not begin like one"],
    );
    expect(
        &changed(dir, "blo", "version", put(6, vec![9, 9])),
        &none,
        &["byte 6", "0x0909"],
    );
    expect(
        &changed(dir, "blo", "order", put(6, vec![1, 2])),
        &none,
        &["not supported", "big-endian"],
    );
    expect(
        &changed(dir, "blo", "zero", put(24, vec![0, 0])),
        &none,
        &["shape (3, 0, 8, 8)", "a dimension is zero"],
    );
    expect(
        &changed(dir, "blo", "many", put(24, vec![0xff; 4])),
        &none,
        &["at most 2147483648 frames"],
    );
    expect(
        &changed(dir, "blo", "large", put(20, vec![0xff; 2])),
        &none,
        &["at most 1073741824 bytes"],
    );
    expect(
        &changed(dir, "blo", "wide", put(24, vec![0, 0x80, 0, 0x40])),
        &none,
        &["Data_offset_2"],
    );
    expect(
        &changed(dir, "blo", "offset", put(12, vec![9, 0, 0, 0])),
        &none,
        &["byte 12 (Data_offset_2)", "cannot begin at byte 9"],
    );
    let at = frames_at + 5 * 70;
    let place = format!("frame 5, byte {at}");
    expect(
        &changed(dir, "blo", "marker", put(at, vec![0xAB])),
        &none,
        &[&place, "should be AA 55 and is AB 55"],
    );
    expect(
        &changed(dir, "blo", "number", put(at + 2, vec![6])),
        &none,
        &[&place, "should be 5 and is 6"],
    );
    expect(
        &changed(dir, "blo", "shape", |_| {}),
        &with(|o| o.nav_shape = Some([3, 5])),
        &["--nav-shape: 3,5", "12 frames"],
    );
    let e = error_of(&dir.join("shape.blo"), &with(|o| o.sig_shape = Some([3, 5])));
    assert_eq!(e, "--sig-shape: 3,5 contradicts the file's frames of 8,8");
}

fn npy(dir: &Path, name: &str, header: &str, bytes: usize) -> PathBuf {
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.as_bytes());
    file.extend(vec![1; bytes]);
    let path = dir.join(format!("{name}.npy"));
    std::fs::write(&path, file).unwrap();
    path
}

#[test]
fn bad_npy_files() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let none = OpenOptions::default();
    let h = |descr: &str, order: &str, shape: &str| format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}");
    let cases = [
        (
            "short",
            h("'<u2'", "False", "(2, 3, 4, 5)"),
            239,
            "shape (2, 3, 4, 5) of uint16 makes 240 bytes, but the file has 239",
        ),
        (
            "long",
            h("'<u2'", "False", "(2, 3, 4, 5)"),
            241,
            "makes 240 bytes, but the file has 241",
        ),
        (
            "claims",
            h("'<u2'", "False", "(1152921504606846976, 4, 5)"),
            8,
            "makes more bytes than a file can hold",
        ),
        (
            "claims2",
            h("'<u2'", "False", "(1073741824, 1073741824, 1, 1)"),
            8,
            "but the file has 8",
        ),
        ("fortran", h("'<u2'", "True", "(2, 3, 4, 5)"), 240, "Fortran order"),
        (
            "image",
            h("'<u2'", "False", "(4, 5)"),
            40,
            "the array has 2 dimensions (4, 5)",
        ),
        ("zero", h("'<u2'", "False", "(2, 0, 4, 5)"), 0, "a dimension is zero"),
        ("complex", h("'<c8'", "False", "(2, 3, 4, 5)"), 960, "pixels of type <c8"),
        (
            "record",
            h("[('a', '<u2')]", "False", "(2, 3, 4, 5)"),
            240,
            "pixels of type [('a', '<u2')]",
        ),
        ("text", "hello".into(), 10, "header: cannot be understood: hello"),
        (
            "missing",
            "{'descr': '<u2', 'shape': (2, 3, 4), }".into(),
            48,
            "descr, fortran_order and shape are needed",
        ),
        (
            "edge",
            h("'|u1'", "False", "(1, 70000, 2)"),
            140_000,
            "at most 65536 rows and columns",
        ),
    ];
    for (name, header, bytes, want) in cases {
        expect(&npy(dir, name, &header, bytes), &none, &[want]);
    }
    expect(
        &changed(dir, "npy", "version", |b| b[6] = 7),
        &none,
        &["version 7 of the .npy format"],
    );
    expect(
        &changed(dir, "npy", "length", |b| {
            b[6..12].copy_from_slice(&[2, 0, 255, 255, 255, 255])
        }),
        &none,
        &["a header of 4294967295 bytes"],
    );
    expect(&changed(dir, "npy", "cut", |b| b.truncate(20)), &none, &["byte 20"]);
    expect(
        &changed(dir, "npy", "magic", |b| b[0] = 0),
        &none,
        &["byte 0", "does not begin like one"],
    );
    let e = error_of(&changed(dir, "npy", "dtype", |_| {}), &with(|o| o.dtype = Some("u32".into())));
    assert_eq!(e, "--dtype: u32: the file stores uint8, which can be read as u8 or f32");
}

#[test]
fn bad_raw_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("frames.raw");
    std::fs::write(&path, [1; 100]).unwrap();
    let full = |nav: Option<[usize; 2]>, sig: [usize; 2], t: &str, offset: u64| {
        let t = t.to_owned();
        with(|o| (o.nav_shape, o.sig_shape, o.dtype, o.offset) = (nav, Some(sig), Some(t), Some(offset)))
    };
    let e = |o: &OpenOptions| error_of(&path, o);
    assert!(e(&OpenOptions::default()).starts_with("--sig-shape: "));
    assert!(e(&with(|o| o.sig_shape = Some([2, 2]))).starts_with("--dtype: "));
    assert!(e(&full(None, [5, 5], "u7", 0)).contains("u7 is no pixel type"));
    assert!(e(&full(None, [5, 5], "u8:i16", 0)).contains("--dtype: i16: the file stores uint8"));
    assert!(e(&full(None, [5, 4], "u16", 30)).contains("the file has 70 from byte 30 on (1 whole frames and 30 bytes)"));
    assert!(
        e(&full(Some([2, 3]), [5, 5], "u8", 0))
            .contains("scan (2, 3) of frames (5, 5) of uint8 makes 150 bytes, but the file has 100")
    );
    assert!(e(&full(Some([usize::MAX, usize::MAX]), [5, 5], "u8", 0)).contains("at most 2147483648 frames"));
    assert!(e(&full(None, [0, 5], "u8", 0)).contains("a dimension is zero"));
    assert!(e(&full(None, [usize::MAX, 5], "u8", 0)).contains("at most 65536 rows"));
    assert!(e(&full(None, [5, 5], "u8", 100)).starts_with("--offset: 100 lies behind the end"));
    assert!(e(&with(|o| o.dataset = Some("d".into()))).contains("is no HDF5 file"));
    let wide: Vec<u8> = [1u64, 2, 3, 1 << 40].iter().flat_map(|v| v.to_le_bytes()).collect();
    std::fs::write(&path, wide).unwrap();
    let want = "frames.raw: frame 1, pixel (0, 1): the value 1099511627776 does not fit u32: --dtype STORED:f32";
    assert!(e(&full(None, [1, 2], "u64", 0)).contains(want));
    let other = dir.path().join("picture.jpg");
    std::fs::write(&other, [1; 50]).unwrap();
    expect(
        &other,
        &OpenOptions::default(),
        &["not supported", "for raw binary give --sig-shape and --dtype"],
    );
    std::fs::write(&other, []).unwrap();
    expect(&other, &OpenOptions::default(), &["not supported"]);
    expect(dir.path(), &OpenOptions::default(), &["there are no images"]);
}

#[test]
fn bad_hdf5_files() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/h5/layouts.h5");
    let of = |name: &str| with(|o| o.dataset = Some(name.into()));
    for (name, want) in [
        (
            "image",
            "not supported: dataset /image has 2 dimensions (4, 6): a scan has 4 (ny, nx, height, width) or 3",
        ),
        ("five", "has 5 dimensions (1, 3, 5, 4, 6)"),
        ("text", "dataset /text holds"),
        ("complex", "dataset /complex holds"),
        ("empty", "shape (3, 0, 4, 6): a dimension is zero"),
        ("unwritten", "dataset /unwritten: no pixels were ever written to it"),
        ("huge", "at most 2147483648 frames"),
        ("external", "keeps its pixels in another file, elsewhere.raw"),
        ("virtual", "dataset /virtual is virtual"),
        (
            "bitshuffle",
            "filter 32008 (bitshuffle), which is not installed: install its HDF5 plugin and set HDF5_PLUGIN_PATH",
        ),
        (
            "too_wide",
            "frame 3, pixel (0, 0): the value 5033164800 does not fit u32: --dtype f32",
        ),
        ("missing", "--dataset: "),
    ] {
        expect(&path, &of(name), &[want]);
    }
    let e = error_of(&path, &of("missing"));
    assert!(
        e.contains("has no dataset /missing; candidates: /bitshuffle (3, 5, 4, 6) uint16; /checked"),
        "{e}"
    );
    let e = error_of(&path, &OpenOptions::default());
    assert!(e.contains("datasets to choose from; candidates: /bitshuffle"), "{e}");
    assert!(!e.contains("/image"), "{e}");
    let signed = with(|o| (o.dataset, o.dtype) = (Some("signed_wide".into()), Some("u32".into())));
    expect(&path, &signed, &["frame 0, pixel (0, 1): the value -1 does not fit u32"]);
    let nothing = path.with_file_name("nothing.h5");
    expect(&nothing, &OpenOptions::default(), &["there is no dataset of numbers in it"]);
    assert_eq!(io::candidates(&nothing).unwrap(), []);

    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let none = OpenOptions::default();
    expect(&changed(dir, "h5", "cut", |b| b.truncate(b.len() / 2)), &none, &["HDF5: "]);
    expect(&changed(dir, "h5", "head", |b| b.truncate(8)), &none, &["HDF5: "]);
    expect(
        &changed(dir, "h5", "magic", |b| b[1] = b'X'),
        &none,
        &["byte 0", "does not begin like one"],
    );
    // The compressed pixels of the last chunk, damaged: the error names dataset and frames.
    let damaged = changed(dir, "h5", "damaged", |b| {
        let n = b.len();
        b[n - 60..n - 10].fill(0x55);
    });
    expect(&damaged, &none, &["dataset /data, chunk at (", "gzip: "]);
    assert!(LARGEST.load(Ordering::Relaxed) < BOUND);
}

/// Runs mutations of a valid file through the fuzzers' entry.
fn mutate(format: FuzzFormat, bytes: &[u8], rounds: u64) {
    for round in 0..rounds {
        let mut state = round.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut next = |n: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % n.max(1) as u64) as usize
        };
        let mut b = bytes.to_vec();
        if round % 5 == 0 {
            b.truncate(next(b.len()));
        } else {
            for _ in 0..1 + next(4) {
                // Half of the changes hit the header.
                let within = if next(2) == 0 { b.len().min(256) } else { b.len() };
                let at = next(within);
                b[at] = if next(2) == 0 {
                    [0, 1, 0x7f, 0x80, 0xff][next(5)]
                } else {
                    b[at] ^ (1 << next(8))
                };
            }
        }
        let result = std::panic::catch_unwind(|| fuzz_bytes(format, &b));
        assert!(result.is_ok(), "{format:?}, round {round}: {:?}", result.err());
    }
    let largest = LARGEST.load(Ordering::Relaxed);
    assert!(largest < BOUND, "{format:?}: {largest} bytes at once");
}

/// What fuzzing has found: names begin with the format.
#[test]
fn findings_of_fuzzing_are_errors() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/fuzzed");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let format = match name.split('-').next() {
            Some("dm") => FuzzFormat::Dm,
            _ => panic!("{name} is of no format"),
        };
        assert!(fuzz_bytes(format, &std::fs::read(&path).unwrap()).is_err(), "{name}");
        seen += 1;
    }
    assert!(seen > 0);
}

#[test]
fn mutated_block_files() {
    let dir = tempfile::tempdir().unwrap();
    mutate(FuzzFormat::Blo, &valid(dir.path(), "blo"), 400);
}

#[test]
fn mutated_npy_files() {
    let dir = tempfile::tempdir().unwrap();
    mutate(FuzzFormat::Npy, &valid(dir.path(), "npy"), 400);
}

#[test]
fn mutated_raw_files() {
    mutate(FuzzFormat::Raw, &[[6, 5, 0, 0, 129].as_slice(), &[7; 235]].concat(), 400);
}

#[test]
fn mutated_hdf5_files() {
    let dir = tempfile::tempdir().unwrap();
    mutate(FuzzFormat::Hdf5, &valid(dir.path(), "h5"), 300);
}

/// A file of the EBSD set.
fn ebsd(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/ebsd").join(name);
    std::fs::read(path).unwrap()
}

#[test]
fn mutated_orientation_tables() {
    mutate(FuzzFormat::Ctf, &ebsd("map.ctf"), 400);
    mutate(FuzzFormat::Ang, &ebsd("map.ang"), 400);
}

#[test]
fn mutated_archives_and_images() {
    let zip = ebsd("patterns.zip");
    mutate(FuzzFormat::Zip, &zip, 100);
    // Its directory, where names and sizes stand, with little before it: most entries then point nowhere.
    let directory = zip.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    mutate(FuzzFormat::Zip, &zip[directory.saturating_sub(5000)..], 200);
    let dir = tempfile::tempdir().unwrap();
    let image = ndarray::Array2::from_shape_fn((9, 13), |(y, x)| (20 * y + x) as u8);
    emstream::io::array::save_png(dir.path().join("a.png"), image.view(), false).unwrap();
    emstream::io::array::save_tiff(dir.path().join("a.tiff"), &[image.view()], false).unwrap();
    for (kind, name) in [(0, "a.tiff"), (1, "a.png")] {
        let bytes = std::fs::read(dir.path().join(name)).unwrap();
        mutate(FuzzFormat::Image, &[&[kind], &bytes[..]].concat(), 300);
    }
    mutate(
        FuzzFormat::Image,
        &[&[2], &ebsd("nordif/Background acquisition pattern.bmp")[..]].concat(),
        300,
    );
    mutate(FuzzFormat::Image, b"\x031 2 3\n4 5e3 6\n-7 8,5 9\n", 300);
}

#[test]
fn mutated_binary_patterns() {
    mutate(FuzzFormat::Up1, &ebsd("map.up1"), 300);
    mutate(FuzzFormat::Up2, &ebsd("map.up2"), 300);
    for name in ["v0.ebsp", "v1.ebsp", "v2.ebsp", "v4.ebsp", "v5.ebsp"] {
        mutate(FuzzFormat::Ebsp, &ebsd(name), 200);
    }
    for name in ["bruker_region.h5", "emsoft.h5"] {
        mutate(FuzzFormat::EbsdHdf5, &ebsd(name), 60);
    }
    let settings = ebsd("nordif/Setting.txt");
    let length = (settings.len() as u16).to_be_bytes();
    mutate(
        FuzzFormat::Nordif,
        &[&length, &settings[..], &ebsd("nordif/Pattern.dat")].concat(),
        400,
    );
}
