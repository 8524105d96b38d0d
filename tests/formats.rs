//! Every format, pixel type and layout: what is written is what is read, in any order and at any stride.

#[path = "formats/bad_pixels.rs"]
mod bad_pixels;

use emstream::Control;
use emstream::io::{self, OpenOptions, Scan, write};
use emstream::pixel::{FrameShape, Pixel};
use std::io::Read;
use std::path::{Path, PathBuf};

fn control() -> Control {
    let mut c = Control::new();
    c.threads = 2;
    c.memory = 256 << 20;
    c
}

fn open(path: &Path, options: &OpenOptions) -> Box<dyn Scan> {
    io::open(path, options, &control()).unwrap()
}

fn with(f: impl FnOnce(&mut OpenOptions)) -> OpenOptions {
    let mut o = OpenOptions::default();
    f(&mut o);
    o
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// Reads frames one after the other, without padding, as values.
fn values(scan: &dyn Scan, frames: &[u64]) -> Vec<f64> {
    let shape = scan.info().frame;
    let mut out = vec![0; shape.bytes() * frames.len()];
    scan.read(frames, shape.bytes(), &mut out, &control()).unwrap();
    emstream::with_pixel!(shape.pixel, T => bytemuck::pod_collect_to_vec::<u8, T>(&out).iter().map(|v| f64::from(*v)).collect())
}

fn all(scan: &dyn Scan) -> Vec<f64> {
    values(scan, &(0..scan.info().frames()).collect::<Vec<_>>())
}

/// Pseudo-random bytes; for floats, finite values.
fn frames(nav: [usize; 2], frame: FrameShape, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let n = nav[0] * nav[1] * frame.pixels();
    match frame.pixel {
        Pixel::F32 => (0..n)
            .flat_map(|_| ((next() % 100_000) as f32 / 7.0 - 300.0).to_ne_bytes())
            .collect(),
        p => (0..n * p.bytes()).map(|_| (next() >> 20) as u8).collect(),
    }
}

const TYPES: [Pixel; 7] = [
    Pixel::U8,
    Pixel::I8,
    Pixel::U16,
    Pixel::I16,
    Pixel::U32,
    Pixel::I32,
    Pixel::F32,
];

/// Reads in several orders and strides and compares with `want`, tightly packed; bytes between frames must stay.
fn check_reads(scan: &dyn Scan, want: &[u8]) {
    let shape = scan.info().frame;
    let n = scan.info().frames();
    let forward: Vec<u64> = (0..n).collect();
    let backward: Vec<u64> = (0..n).rev().collect();
    let jumps: Vec<u64> = (0..n).map(|i| i * 7 % n).chain([3, 3, 4, 5, 0, 1]).collect();
    for order in [&forward, &backward, &jumps, &forward[2..9].to_vec(), &vec![n - 1], &vec![]] {
        for stride in [shape.bytes(), shape.stride(), shape.stride() + 16, shape.bytes() + 3] {
            let mut out = vec![0xA5; order.len().max(1) * stride];
            scan.read(order, stride, &mut out, &control()).unwrap();
            for (&f, place) in order.iter().zip(out.chunks(stride)) {
                let (pixels, padding) = place.split_at(shape.bytes());
                let at = f as usize * shape.bytes();
                assert!(
                    pixels == &want[at..at + shape.bytes()],
                    "frame {f} at stride {stride} of {:?}",
                    scan.info().path
                );
                assert!(padding.iter().all(|&b| b == 0xA5), "padding of frame {f}");
            }
            // The last frame needs no padding behind it.
            if !order.is_empty() {
                let short = (order.len() - 1) * stride + shape.bytes();
                scan.read(order, stride, &mut out[..short], &control()).unwrap();
                assert!(scan.read(order, stride, &mut out[..short - 1], &control()).is_err());
            }
        }
    }
    assert!(
        scan.read(&[n], shape.stride(), &mut vec![0; shape.stride()], &control())
            .is_err()
    );
    scan.prefetch(0..n);
}

#[test]
fn written_scans_read_back_in_any_order_and_stride() {
    let dir = tempfile::tempdir().unwrap();
    let nav = [5, 7];
    for pixel in TYPES {
        for (height, width) in [(6, 9), (16, 16)] {
            let frame = FrameShape { pixel, height, width };
            let want = frames(nav, frame, 42);
            for ending in ["npy", "h5", "blo"] {
                if ending == "blo" && (pixel != Pixel::U8 || height != width) {
                    continue;
                }
                let path = dir.path().join(format!("{pixel}-{height}.{ending}"));
                let mut w = write::create(&path, nav, frame, false).unwrap();
                // Pieces that end anywhere but inside a frame.
                for piece in want.chunks(frame.bytes() * 3) {
                    w.write(piece).unwrap();
                }
                w.finish().unwrap();
                let scan = open(&path, &OpenOptions::default());
                assert_eq!(scan.info().nav, nav);
                assert_eq!(scan.info().frame, frame);
                assert!(scan.info().notes.is_empty(), "{:?}", scan.info().notes);
                check_reads(scan.as_ref(), &want);
            }
            let raw = dir.path().join("frames.raw");
            std::fs::write(&raw, [&[9; 13][..], &want].concat()).unwrap();
            let o = with(|o| {
                (o.nav_shape, o.sig_shape, o.offset) = (Some(nav), Some([height, width]), Some(13));
                o.dtype = Some(pixel.name().into());
            });
            check_reads(open(&raw, &o).as_ref(), &want);
        }
    }
    assert_eq!(
        std::fs::read_dir(dir.path()).unwrap().count(),
        7 * 2 * 2 + 1 + 1,
        "no file but the scans is left"
    );
}

#[test]
fn writers_are_careful() {
    let dir = tempfile::tempdir().unwrap();
    let frame = FrameShape {
        pixel: Pixel::U8,
        height: 4,
        width: 4,
    };
    for ending in ["npy", "h5", "blo"] {
        let path = dir.path().join(format!("a.{ending}"));
        let mut w = write::create(&path, [1, 2], frame, false).unwrap();
        assert!(w.write(&[0; 17]).unwrap_err().to_string().contains("17 bytes"));
        w.write(&[1; 16]).unwrap();
        assert!(w.finish().unwrap_err().to_string().contains("only 1 of 2 frames"));
        let mut w = write::create(&path, [1, 2], frame, false).unwrap();
        assert!(w.write(&[1; 48]).is_err());
        drop(w);
        assert_eq!(
            std::fs::read_dir(dir.path()).unwrap().count(),
            0,
            "nothing half-written stays"
        );
        std::fs::write(&path, "mine").unwrap();
        let e = write::create(&path, [1, 2], frame, false).err().unwrap().to_string();
        assert!(e.contains("exists already (--overwrite replaces it)"), "{e}");
        let mut w = write::create(&path, [1, 2], frame, true).unwrap();
        w.write(&[1; 32]).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"mine");
        w.finish().unwrap();
        assert_eq!(all(open(&path, &OpenOptions::default()).as_ref()), [1.0; 32]);
        std::fs::remove_file(&path).unwrap();
    }
    let wrong = FrameShape {
        pixel: Pixel::U16,
        height: 4,
        width: 4,
    };
    let e = write::create(&dir.path().join("b.blo"), [1, 2], wrong, false)
        .err()
        .unwrap()
        .to_string();
    assert!(e.contains("holds square u8 frames, not 4x4 u16"), "{e}");
    assert!(write::create(&dir.path().join("b.xyz"), [1, 2], wrong, false).is_err());
    let e = write::create(&dir.path().join("no/such/folder.npy"), [1, 2], wrong, false)
        .err()
        .unwrap()
        .to_string();
    assert!(e.contains("folder.npy: cannot create"), "{e}");
}

#[test]
fn raw_types_and_byte_orders() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.bin");
    let n = [1i64, 2, 300, -4, 5, 6, 70000, 8];
    let options = |t: &str| {
        let t = t.to_owned();
        with(|o| (o.nav_shape, o.sig_shape, o.dtype) = (Some([1, 2]), Some([2, 2]), Some(t)))
    };
    let cases: [(&str, Vec<u8>, Pixel); 6] = [
        (">i4", n.iter().flat_map(|v| (*v as i32).to_be_bytes()).collect(), Pixel::I32),
        ("i64", n.iter().flat_map(|v| v.to_le_bytes()).collect(), Pixel::I32),
        (">i8:f32", n.iter().flat_map(|v| v.to_be_bytes()).collect(), Pixel::F32),
        (
            "float64",
            n.iter().flat_map(|v| (*v as f64).to_le_bytes()).collect(),
            Pixel::F32,
        ),
        (">f4", n.iter().flat_map(|v| (*v as f32).to_be_bytes()).collect(), Pixel::F32),
        (
            "i32:f32",
            n.iter().flat_map(|v| (*v as i32).to_le_bytes()).collect(),
            Pixel::F32,
        ),
    ];
    for (name, bytes, pixel) in cases {
        std::fs::write(&path, bytes).unwrap();
        let scan = open(&path, &options(name));
        assert_eq!(scan.info().frame.pixel, pixel, "{name}");
        assert_eq!(all(scan.as_ref()), n.map(|v| v as f64), "{name}");
    }
    // A frame larger than the decoding buffer, whole and in order.
    let big: Vec<u8> = (0..700 * 300).flat_map(|v: u32| u64::from(v).to_be_bytes()).collect();
    std::fs::write(&path, big).unwrap();
    let scan = open(
        &path,
        &with(|o| (o.sig_shape, o.dtype) = (Some([350, 300]), Some(">u8".into()))),
    );
    assert_eq!(scan.info().nav, [1, 2]);
    assert_eq!(all(scan.as_ref()), (0..700 * 300).map(f64::from).collect::<Vec<_>>());
}

/// The test pattern of `make_h5.py`.
fn pattern(nav: [usize; 2]) -> Vec<f64> {
    let mut out = Vec::new();
    for y in 0..nav[0] {
        for x in 0..nav[1] {
            out.extend((0..4).flat_map(|i| (0..6).map(move |j| (1000 * y + 100 * x + 10 * i + j) as f64)));
        }
    }
    out
}

#[test]
fn hdf5_types_contiguous_and_chunked() {
    let path = data("h5/types.h5");
    let listed = io::candidates(&path).unwrap();
    assert_eq!(listed.len(), 36);
    assert_eq!(listed[0].to_string(), "/chunked/be_f4 (3, 5, 4, 6) float32 big-endian");
    for c in listed {
        let scan = open(&path, &with(|o| o.dataset = Some(c.path.clone())));
        let info = scan.info();
        assert_eq!((info.nav, info.frame.height, info.frame.width), ([3, 5], 4, 6));
        assert_eq!(info.stored, c.dtype);
        assert_eq!(
            (info.together, info.costly),
            if c.path.starts_with("/chunked") {
                (2, true)
            } else {
                (1, false)
            },
            "{}",
            c.path
        );
        let mut want = pattern([3, 5]);
        if c.dtype.ends_with("int8") {
            want.iter_mut().for_each(|v| *v %= 128.0);
        }
        assert_eq!(all(scan.as_ref()), want, "{}", c.path);
        assert_eq!(
            values(scan.as_ref(), &[14, 3, 4, 5]),
            [14, 3, 4, 5].map(|f| &want[f * 24..][..24]).concat(),
            "{}",
            c.path
        );
        let shape = info.frame;
        let packed: Vec<u8> =
            emstream::with_pixel!(shape.pixel, T => want.iter().flat_map(|&v| bytemuck::bytes_of(&(v as T)).to_vec()).collect());
        check_reads(scan.as_ref(), &packed);
        let floats = open(
            &path,
            &with(|o| (o.dataset, o.dtype) = (Some(c.path.clone()), Some("f32".into()))),
        );
        assert_eq!(all(floats.as_ref()), want, "{}", c.path);
        assert_eq!(
            scan.info().notes.is_empty(),
            !(c.dtype.contains("64")),
            "{}: {:?}",
            c.path,
            scan.info().notes
        );
    }
}

#[test]
fn hdf5_layouts() {
    let path = data("h5/layouts.h5");
    for name in ["lzf", "plain", "checked"] {
        let scan = open(&path, &with(|o| o.dataset = Some(name.into())));
        assert_eq!(all(scan.as_ref()), pattern([3, 5]), "{name}");
        assert_eq!(scan.info().dataset.as_deref(), Some(format!("/{name}").as_str()));
    }
    let stack = open(&path, &with(|o| o.dataset = Some("/stack".into())));
    assert_eq!((stack.info().nav, stack.info().together), ([1, 5], 2));
    assert_eq!(all(stack.as_ref()), pattern([1, 5]));
    let stack = open(
        &path,
        &with(|o| (o.dataset, o.nav_shape) = (Some("/stack".into()), Some([5, 1]))),
    );
    assert_eq!(stack.info().nav, [5, 1]);
    let partly = open(&path, &with(|o| o.dataset = Some("/partly".into())));
    assert_eq!(values(partly.as_ref(), &[0, 14]), [7.0; 48]);
    assert_eq!(values(partly.as_ref(), &[5, 6]), pattern([3, 5])[5 * 24..7 * 24]);
    let block = open(&data("h5/userblock.h5"), &OpenOptions::default());
    assert_eq!(all(block.as_ref()), pattern([3, 5]));
    // Too little memory for the cache of a chunk: slower, the same values.
    let mut little = control();
    little.memory = 2048;
    let o = with(|o| o.dataset = Some("checked".into()));
    let scan = io::open(&path, &o, &little).unwrap();
    assert!(
        scan.info().notes[0].contains("decoded several times"),
        "{:?}",
        scan.info().notes
    );
    assert_eq!(all(scan.as_ref()), pattern([3, 5]));
    little.memory = 256;
    assert!(
        io::open(&path, &o, &little)
            .err()
            .unwrap()
            .to_string()
            .contains("more than half of the memory")
    );
}

#[test]
fn hdf5_large_frames_decode_in_pieces() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("large.h5");
    let (n, h, w) = (3, 700, 1100);
    let values = ndarray::Array3::from_shape_fn((n, h, w), |(n, i, j)| (n * h * w + i * w + j) as f64);
    let file = hdf5::File::create(&path).unwrap();
    file.new_dataset_builder()
        .with_data(&values)
        .chunk((1, 100, 1100))
        .deflate(1)
        .create("d")
        .unwrap();
    file.close().unwrap();
    let scan = open(&path, &OpenOptions::default());
    let got = self::values(scan.as_ref(), &[2, 0, 1]);
    let (first, rest) = got.split_at(h * w);
    let want: Vec<f64> = values.iter().map(|&v| f64::from(v as f32)).collect();
    assert!(first == &want[2 * h * w..] && rest == &want[..2 * h * w]);
}

#[test]
fn calibration_of_other_programs() {
    for name in ["emd.h5", "py4dstem.h5", "hyperspy.hspy"] {
        let scan = open(&data("h5").join(name), &OpenOptions::default());
        let info = scan.info();
        assert_eq!(all(scan.as_ref()), pattern([3, 5]), "{name}");
        let scales = [&info.nav_axes[0], &info.nav_axes[1], &info.sig_axes[0], &info.sig_axes[1]].map(|a| a.scale.unwrap());
        assert_eq!(scales, [2.0, 2.5, 0.01, 0.02], "{name}");
        assert_eq!(info.nav_axes[1].unit, "nm", "{name}");
        let reciprocal = if name == "hyperspy.hspy" { "1/A" } else { "A^-1" };
        assert_eq!(info.sig_axes[0].unit, reciprocal, "{name}");
    }
}

fn stack(dir: &Path) -> PathBuf {
    let path = dir.join("stack.npy");
    let mut w = write::create(
        &path,
        [2, 3],
        FrameShape {
            pixel: Pixel::U16,
            height: 2,
            width: 2,
        },
        true,
    )
    .unwrap();
    let v: Vec<u16> = (0..24).map(|v| 10 * (v / 4 + 1) + v % 4).collect();
    w.write(bytemuck::cast_slice(&v)).unwrap();
    w.finish().unwrap();
    path
}

#[test]
fn sync_offset_and_scan_shape() {
    let dir = tempfile::tempdir().unwrap();
    let path = stack(dir.path());
    let first = |o: &OpenOptions| all(open(&path, o).as_ref()).chunks(4).map(|f| f[0]).collect::<Vec<_>>();
    assert_eq!(first(&OpenOptions::default()), [10.0, 20.0, 30.0, 40.0, 50.0, 60.0]);
    assert_eq!(first(&with(|o| o.sync_offset = 2)), [30.0, 40.0, 50.0, 60.0, 0.0, 0.0]);
    assert_eq!(first(&with(|o| o.sync_offset = -1)), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]);
    let scan = open(&path, &with(|o| (o.sync_offset, o.nav_shape) = (2, Some([3, 2]))));
    assert_eq!(scan.info().nav, [3, 2]);
    assert_eq!(
        scan.info().notes,
        ["sync offset 2 skips the first 2 stored frames; the last 2 scan positions are blank (zero)"]
    );
    assert_eq!(
        values(scan.as_ref(), &[5, 3, 4, 0])
            .chunks(4)
            .map(|f| f[0])
            .collect::<Vec<_>>(),
        [0.0, 60.0, 0.0, 30.0]
    );
    scan.prefetch(0..6);
    for bad in [6, -6, i64::MIN, i64::MAX] {
        let e = io::open(&path, &with(|o| o.sync_offset = bad), &control())
            .err()
            .unwrap()
            .to_string();
        assert!(
            e.starts_with(&format!("--sync-offset: {bad} leaves none of the 6 frames")),
            "{e}"
        );
    }
}

fn asset(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets").join(name)
}

/// A `.npy` of `f32` as values.
fn reference(name: &str) -> Vec<f64> {
    let bytes = std::fs::read(data(name)).unwrap();
    let npy = npyz::NpyFile::new(&bytes[..]).unwrap();
    npy.into_vec::<f32>().unwrap().into_iter().map(f64::from).collect()
}

fn check_sum(scan: &dyn Scan, want: &[f64]) {
    let mut sum = vec![0.0; want.len()];
    for part in (0..scan.info().frames()).collect::<Vec<_>>().chunks(61) {
        for frame in values(scan, part).chunks(want.len()) {
            sum.iter_mut().zip(frame).for_each(|(s, v)| *s += v);
        }
    }
    assert_eq!(sum, want);
}

#[test]
fn reference_scans_have_the_reference_sums() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("polycrystal.blo");
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(std::fs::File::open(asset("polycrystal.blo.gz")).unwrap())
        .read_to_end(&mut bytes)
        .unwrap();
    std::fs::write(&path, &bytes).unwrap();
    let scan = open(&path, &OpenOptions::default());
    let info = scan.info();
    assert_eq!(
        (info.format, info.nav, info.frame),
        (
            "blo",
            [40, 50],
            FrameShape {
                pixel: Pixel::U8,
                height: 144,
                width: 144
            }
        )
    );
    assert_eq!((info.nav_axes[0].scale, info.nav_axes[0].unit.as_str()), (Some(1.0), "nm"));
    assert_eq!((info.sig_axes[1].scale, info.sig_axes[1].unit.as_str()), (Some(1.0), "cm"));
    check_sum(scan.as_ref(), &reference("polycrystal/sum.npy"));
    // The same frames as floats go through the decoder.
    let floats = open(&path, &with(|o| o.dtype = Some("f32".into())));
    assert_eq!(values(floats.as_ref(), &[7, 1999]), values(scan.as_ref(), &[7, 1999]));

    let scan = open(&asset("bullseye.h5"), &OpenOptions::default());
    let info = scan.info();
    assert_eq!(
        (info.nav, info.frame),
        (
            [24, 28],
            FrameShape {
                pixel: Pixel::U16,
                height: 250,
                width: 250
            }
        )
    );
    assert_eq!(
        info.dataset.as_deref(),
        Some("/4DSTEM_experiment/data/datacubes/polyAu_4DSTEM/data")
    );
    assert_eq!((info.together, info.costly), (4, true));
    check_sum(scan.as_ref(), &reference("bullseye/sum.npy"));
}

#[test]
fn several_threads_read_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let frame = FrameShape {
        pixel: Pixel::U16,
        height: 20,
        width: 30,
    };
    let want = frames([8, 16], frame, 7);
    for ending in ["npy", "h5"] {
        let path = dir.path().join(format!("a.{ending}"));
        let mut w = write::create(&path, [8, 16], frame, false).unwrap();
        w.write(&want).unwrap();
        w.finish().unwrap();
        let scan = open(&path, &OpenOptions::default());
        std::thread::scope(|s| {
            for t in 0..4u64 {
                let (scan, want) = (&scan, &want);
                s.spawn(move || {
                    let order: Vec<u64> = (0..128).map(|i| (i * 5 + t * 31) % 128).collect();
                    let mut out = vec![0; 128 * frame.stride()];
                    scan.read(&order, frame.stride(), &mut out, &control()).unwrap();
                    for (&f, got) in order.iter().zip(out.chunks(frame.stride())) {
                        assert!(got[..frame.bytes()] == want[f as usize * frame.bytes()..][..frame.bytes()]);
                    }
                });
            }
        });
    }
}

#[test]
fn cancelled_reads_stop() {
    let dir = tempfile::tempdir().unwrap();
    let scan = open(&stack(dir.path()), &OpenOptions::default());
    let c = control();
    c.cancel();
    let e = scan.read(&[0], 16, &mut [0; 16], &c).unwrap_err();
    assert!(matches!(e, emstream::Error::Cancelled));
}
