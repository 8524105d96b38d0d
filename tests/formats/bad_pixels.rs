//! Bad pixels are replaced, whoever names them.

use super::{all, control, open, values, with};
use emstream::io::{self, BadPixels, OpenOptions, write};
use emstream::pixel::{FrameShape, Pixel};
use std::path::Path;

/// A scan of `n` frames of 12×10 pixels, smooth and changing from frame to frame.
fn smooth<T: From<u8> + bytemuck::Pod>(n: usize) -> Vec<T> {
    (0..n * 120)
        .map(|k| T::from((40 + (k / 120 * 7 + k % 120 / 10 * 3 + k % 10 * 5) % 23) as u8))
        .collect()
}

fn write_npy<T: bytemuck::Pod>(path: &Path, n: usize, pixel: Pixel, values: &[T]) {
    let mut w = write::create(
        path,
        [1, n],
        FrameShape {
            pixel,
            height: 12,
            width: 10,
        },
        true,
    )
    .unwrap();
    w.write(bytemuck::cast_slice(values)).unwrap();
    w.finish().unwrap();
}

fn median(mut v: Vec<f64>) -> f64 {
    v.sort_by(f64::total_cmp);
    let n = v.len();
    if n % 2 == 1 {
        v[n / 2]
    } else {
        (v[n / 2 - 1] + v[n / 2]) / 2.0
    }
}

#[test]
fn bad_pixels_from_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("scan.npy");
    let values_u16 = smooth::<u16>(4);
    write_npy(&path, 4, Pixel::U16, &values_u16);
    let bad = [(0usize, 0usize), (5, 4), (5, 5)];
    // (y, x) list, mask and image of the same pixels.
    let header = |descr: &str, shape: &str| {
        let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}}}\n");
        [
            b"\x93NUMPY\x01\x00".to_vec(),
            (text.len() as u16).to_le_bytes().to_vec(),
            text.into_bytes(),
        ]
        .concat()
    };
    let list: Vec<u8> = bad
        .iter()
        .flat_map(|p| [p.0 as i64, p.1 as i64])
        .flat_map(i64::to_le_bytes)
        .collect();
    let mut mask = vec![0u8; 120];
    bad.iter().for_each(|p| mask[p.0 * 10 + p.1] = 1);
    std::fs::write(dir.path().join("list.npy"), [header("<i8", "(3, 2)"), list].concat()).unwrap();
    std::fs::write(
        dir.path().join("mask.npy"),
        [header("|b1", "(12, 10)"), mask.clone()].concat(),
    )
    .unwrap();
    let file = std::fs::File::create(dir.path().join("mask.png")).unwrap();
    let mut encoder = png::Encoder::new(file, 10, 12);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&mask).unwrap();
    let h5 = hdf5::File::create(dir.path().join("masks.h5")).unwrap();
    let numbers: Vec<u32> = mask.iter().map(|&m| u32::from(m) << 31).collect();
    let flags: Vec<bool> = mask.iter().map(|&m| m == 1).collect();
    let group = h5.create_group("detector").unwrap();
    let of_frame = |name: &str| format!("detector/{name}");
    h5.new_dataset_builder()
        .with_data(&ndarray::Array2::from_shape_vec((12, 10), numbers).unwrap())
        .create(&*of_frame("pixel_mask"))
        .unwrap();
    h5.new_dataset_builder()
        .with_data(&ndarray::Array2::from_shape_vec((12, 10), flags).unwrap())
        .create(&*of_frame("flags"))
        .unwrap();
    h5.new_dataset_builder()
        .with_data(&ndarray::arr2(&bad.map(|(y, x)| [y as i16, x as i16])))
        .create(&*of_frame("list"))
        .unwrap();
    h5.new_dataset_builder()
        .with_data(&ndarray::Array2::<f32>::zeros((12, 10)))
        .create(&*of_frame("gain"))
        .unwrap();
    drop((group, h5));
    let in_hdf5 = ["pixel_mask", "flags", "list"].map(|name| format!("masks.h5:/detector/{name}"));
    for name in ["list.npy", "mask.npy", "mask.png"]
        .into_iter()
        .chain(in_hdf5.iter().map(String::as_str))
    {
        let o = with(|o| o.bad_pixels = BadPixels::File(dir.path().join(name)));
        let scan = open(&path, &o);
        assert!(
            scan.info().notes[0].starts_with("3 bad pixels from"),
            "{:?}",
            scan.info().notes
        );
        assert_eq!(scan.replaced(), [0, 54, 55]);
        let got = all(scan.as_ref());
        for (k, (&g, &v)) in got.iter().zip(&values_u16).enumerate() {
            let (f, y, x) = (k / 120, k % 120 / 10, k % 10);
            let want = if bad.contains(&(y, x)) {
                let mut around = Vec::new();
                for yy in y.saturating_sub(1)..=(y + 1).min(11) {
                    for xx in x.saturating_sub(1)..=(x + 1).min(9) {
                        if !bad.contains(&(yy, xx)) {
                            around.push(f64::from(values_u16[f * 120 + yy * 10 + xx]));
                        }
                    }
                }
                median(around).floor()
            } else {
                f64::from(v)
            };
            assert_eq!(g, want, "{name}: frame {f}, pixel ({y}, {x})");
        }
    }
    std::fs::write(
        dir.path().join("bad.npy"),
        [
            header("<i8", "(1, 2)"),
            [12i64, 0].iter().flat_map(|v| v.to_le_bytes()).collect(),
        ]
        .concat(),
    )
    .unwrap();
    std::fs::write(
        dir.path().join("shape.npy"),
        [header("|u1", "(10, 12)"), mask.clone()].concat(),
    )
    .unwrap();
    std::fs::write(dir.path().join("all.npy"), [header("|u1", "(12, 10)"), vec![1; 120]].concat()).unwrap();
    for (name, want) in [
        ("bad.npy", "row 0: pixel (12, 0) lies outside the frame of (12, 10)"),
        ("shape.npy", "has shape (10, 12); a mask has the frame's (12, 10)"),
        ("all.npy", "every pixel of the frame is marked bad"),
        ("none.npy", "cannot open"),
        ("none.h5:/detector/list", "cannot open"),
        ("masks.h5", "in an HDF5 file FILE:/DATASET"),
        ("masks.h5:/detector/none", "none"),
        ("masks.h5:/detector/gain", "a mask of float32; use bool or integers"),
    ] {
        let o = with(|o| o.bad_pixels = BadPixels::File(dir.path().join(name)));
        let e = io::open(&path, &o, &control()).err().unwrap().to_string();
        assert!(e.contains(want), "{e}");
    }
}

#[test]
fn bad_pixels_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("scan.npy");
    let n = 100;
    let mut v = smooth::<u16>(n);
    for frame in v.chunks_mut(120) {
        frame[33] = 0;
        frame[88] = 5000;
        frame[89] = 6000;
        // A sharp but real spot.
        frame[54] += 3000;
        frame[53] += 500;
        frame[55] += 500;
        frame[44] += 500;
        frame[64] += 500;
    }
    write_npy(&path, n, Pixel::U16, &v);
    let scan = open(&path, &with(|o| o.bad_pixels = BadPixels::Auto));
    assert_eq!(
        scan.info().notes,
        ["3 bad pixels (1 dead, 2 hot) were found in 64 frames and are replaced by the local median"]
    );
    let got = all(scan.as_ref());
    for (k, (&g, &v)) in got.iter().zip(&v).enumerate() {
        match k % 120 {
            33 | 88 | 89 => assert!((40.0..63.0).contains(&g), "pixel {} of frame {}: {g}", k % 120, k / 120),
            _ => assert_eq!(g, f64::from(v)),
        }
    }
    // Clean data stay as they are, sparse zeros are no dead pixels.
    let mut v = smooth::<u16>(n);
    v.iter_mut()
        .enumerate()
        .for_each(|(k, v)| *v = u16::from(k * 7919 % 1000 < 3));
    write_npy(&path, n, Pixel::U16, &v);
    let scan = open(&path, &with(|o| o.bad_pixels = BadPixels::Auto));
    assert_eq!(scan.info().notes, ["no bad pixels were found in 64 frames"]);
    assert_eq!(all(scan.as_ref()), v.iter().map(|&v| f64::from(v)).collect::<Vec<_>>());
}

#[test]
fn non_finite_pixels_are_replaced_and_counted_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("scan.npy");
    let good = smooth::<f32>(5);
    let mut v = good.clone();
    v[120 + 33] = f32::NAN;
    v[120 + 34] = f32::INFINITY;
    v[360] = f32::NEG_INFINITY;
    v[480..600].fill(f32::NAN);
    write_npy(&path, 5, Pixel::F32, &v);
    let scan = open(&path, &OpenOptions::default());
    assert!(scan.warnings().is_empty());
    let got = all(scan.as_ref());
    assert_eq!(values(scan.as_ref(), &[1, 3, 3]).len(), 360);
    // Frame 0 has every pixel.
    assert!(scan.replaced().is_empty());
    let some = open(&path, &with(|o| o.bad_pixels = BadPixels::None));
    assert_eq!(values(some.as_ref(), &[1, 4]).len(), 240);
    assert_eq!(some.replaced(), [33, 34]);
    assert_eq!(
        scan.warnings(),
        [
            "3 non-finite pixels in 2 frames were replaced by the local median",
            "the frame at row 0, column 4 has no finite pixel and reads as zeros"
        ]
    );
    let at = |f: usize, p: &[usize]| median(p.iter().map(|&p| f64::from(good[f * 120 + p])).collect());
    for (k, &g) in got.iter().enumerate() {
        let want = match (k / 120, k % 120) {
            (1, 33) => at(1, &[22, 23, 24, 32, 42, 43, 44]),
            (1, 34) => at(1, &[23, 24, 25, 35, 43, 44, 45]),
            (3, 0) => at(3, &[1, 10, 11]),
            // Nothing to go by: blank.
            (4, _) => 0.0,
            _ => f64::from(good[k]),
        };
        assert_eq!(g, want, "frame {}, pixel {}", k / 120, k % 120);
    }
}

#[test]
fn large_bad_regions_take_bounded_work() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("scan.npy");
    let edge = 1500;
    let mut v = vec![f32::NAN; 2 * edge * edge];
    v[edge * edge..edge * edge + edge].fill(3.0);
    let mut w = write::create(
        &path,
        [1, 2],
        FrameShape {
            pixel: Pixel::F32,
            height: edge,
            width: edge,
        },
        true,
    )
    .unwrap();
    w.write(bytemuck::cast_slice(&v)).unwrap();
    w.finish().unwrap();
    let scan = open(&path, &OpenOptions::default());
    assert!(values(scan.as_ref(), &[0]).iter().all(|&v| v == 0.0));
    assert!(values(scan.as_ref(), &[1]).iter().all(|&v| v == 3.0));
}
