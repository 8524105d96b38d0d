//! Simulated scans: the same bits in any order, electrons counted correctly, spots where the truth says.

use emstream::Control;
use emstream::io::Scan;
use emstream::pixel::Pixel;
use emstream::rng::{Poisson, Source};
use emstream::simulate::{Grain, Grains, Parameters, Polycrystal, Simulated};
use rayon::prelude::*;

fn small(pixel: Pixel) -> Polycrystal {
    Polycrystal {
        nav: [9, 11],
        sig: [48, 52],
        pixel,
        seed: 42,
        ..Default::default()
    }
}

fn frames_of(scan: &Simulated, order: &[u64]) -> Vec<Vec<u8>> {
    let (bytes, stride) = (scan.info().frame.bytes(), scan.info().frame.stride());
    let mut out = vec![0xa5; order.len() * stride];
    scan.read(order, stride, &mut out, &Control::new()).unwrap();
    let mut sorted: Vec<(u64, Vec<u8>)> = order
        .iter()
        .enumerate()
        .map(|(i, &n)| (n, out[i * stride..i * stride + bytes].to_vec()))
        .collect();
    sorted.sort();
    sorted.into_iter().map(|(_, f)| f).collect()
}

#[test]
fn any_order_threads_and_blocks_give_the_same_bits() {
    for pixel in [Pixel::U8, Pixel::U16, Pixel::F32] {
        let scan = Simulated::new(&small(pixel)).unwrap();
        let forward: Vec<u64> = (0..99).collect();
        let mut scattered: Vec<u64> = (0..99).map(|i| i * 37 % 99).collect();
        scattered.sort_by_key(|i| i * 50 % 99);
        let want = frames_of(&scan, &forward);
        assert_eq!(want, frames_of(&scan, &scattered));
        let twin = Simulated::new(&small(pixel)).unwrap();
        let parallel: Vec<Vec<u8>> = forward.par_iter().map(|&n| frames_of(&twin, &[n]).remove(0)).collect();
        assert_eq!(want, parallel);
        for (threads, memory) in [(1, 1), (2, 1 << 16), (3, 1 << 30)] {
            let mut control = Control::new();
            (control.threads, control.memory) = (threads, memory);
            let mut all = Vec::new();
            scan.stream(&control, |bytes| {
                all.extend_from_slice(bytes);
                Ok(())
            })
            .unwrap();
            assert_eq!(all, want.concat(), "{threads} threads, {memory} bytes");
        }
    }
}

#[test]
fn the_bits_do_not_change_from_version_to_version() {
    let scan = Simulated::new(&small(Pixel::U8)).unwrap();
    let sums: Vec<u64> = [0u64, 50, 98]
        .iter()
        .map(|&n| frames_of(&scan, &[n])[0].iter().map(|&b| b as u64).sum())
        .collect();
    let hash = frames_of(&scan, &[50])[0]
        .iter()
        .fold(0xcbf2_9ce4_8422_2325u64, |h, &b| (h ^ b as u64).wrapping_mul(0x100_0000_01b3));
    assert_eq!((sums, hash), (vec![5457, 4407, 4702], 2_423_012_466_289_756_020));
}

#[test]
fn pixel_types_hold_the_same_electrons() {
    let [a, b, c] = [Pixel::U8, Pixel::U16, Pixel::F32].map(|p| frames_of(&Simulated::new(&small(p)).unwrap(), &[17]).remove(0));
    let b: Vec<u16> = b.chunks(2).map(|c| u16::from_ne_bytes([c[0], c[1]])).collect();
    let c: Vec<f32> = c.chunks(4).map(|c| f32::from_ne_bytes([c[0], c[1], c[2], c[3]])).collect();
    assert!(a.iter().zip(&b).all(|(&a, &b)| a as u16 == b.min(255)));
    assert!(b.iter().zip(&c).all(|(&b, &c)| b as f32 == c));
}

#[test]
fn counts_have_the_mean_and_variance_of_the_expectation() {
    let scan = Simulated::new(&Polycrystal {
        sig: [64, 64],
        ..small(Pixel::U16)
    })
    .unwrap();
    let mut means = vec![0.0; 64 * 64];
    scan.expectation(40, &mut means).unwrap();
    let (poisson, source, repeats) = (Poisson::new(), Source::new(1234, 200), 4000u64);
    let (mut first, mut second) = (vec![0f64; means.len()], vec![0f64; means.len()]);
    for repeat in 0..repeats {
        poisson.fill(&source, repeat, 0, &means, |i, k| {
            let d = k as f64 - means[i] as f64;
            first[i] += d;
            second[i] += d * d;
        });
    }
    // Sums over all pixels of normalised deviations, and the worst pixel (4096 pixels: 5.5 sigma).
    let n = repeats as f64;
    let z: Vec<f64> = first.iter().zip(&means).map(|(s, &m)| s / (n * m as f64).sqrt()).collect();
    let v: Vec<f64> = second
        .iter()
        .zip(&means)
        .map(|(s, &m)| (s / n - m as f64) / ((m as f64 + 2.0 * (m as f64).powi(2)) / n).sqrt())
        .collect();
    let pixels = means.len() as f64;
    for (name, values, worst) in [("mean", &z, 5.5), ("variance", &v, 8.0)] {
        let total = values.iter().sum::<f64>() / pixels.sqrt();
        assert!(total.abs() < 5.0, "{name}: {total} sigma over all pixels");
        assert!(
            values.iter().all(|v| v.abs() < worst),
            "{name}: {:?}",
            values.iter().fold(0f64, |a, b| a.max(b.abs()))
        );
    }
    // The counts of the scan itself: total of each frame against its expectation.
    for n in 0..99 {
        scan.expectation(n, &mut means).unwrap();
        let total: f64 = means.iter().map(|&m| m as f64).sum();
        let counted: f64 = frames_of(&scan, &[n])[0]
            .chunks(2)
            .map(|c| u16::from_ne_bytes([c[0], c[1]]) as f64)
            .sum();
        assert!(
            (counted - total).abs() < 5.0 * total.sqrt(),
            "frame {n}: {counted} of {total}"
        );
    }
}

#[test]
fn spots_lie_where_the_truth_says() {
    // Well separated disks on nothing, so that the centre of mass of a window is the centre of a disk.
    let parameters = Polycrystal {
        sig: [160, 150],
        background: 0.0,
        background_constant: 0.0,
        spacing: Some([20.0, 24.0]),
        superlattice_fraction: 0.0,
        ..small(Pixel::U16)
    };
    let scan = Simulated::new(&parameters).unwrap();
    let mut frame = vec![0f32; 160 * 150];
    let (mut tested, mut worst) = (0, 0f64);
    for n in (0..99).step_by(7) {
        let l = scan.lattice(n);
        scan.expectation(n, &mut frame).unwrap();
        for (h, k) in (-4i32..=4).flat_map(|h| (-4i32..=4).map(move |k| (h, k))) {
            let [y, x] = [0, 1].map(|i| l.zero[i] + h as f64 * l.a[i] + k as f64 * l.b[i]);
            if !(6.0..154.0).contains(&y) || !(6.0..144.0).contains(&x) {
                continue;
            }
            let (cy, cx) = (y.round() as usize, x.round() as usize);
            let (mut mass, mut my, mut mx) = (0.0, 0.0, 0.0);
            for (i, j) in (cy - 4..=cy + 4).flat_map(|i| (cx - 4..=cx + 4).map(move |j| (i, j))) {
                let v = frame[i * 150 + j] as f64;
                mass += v;
                my += v * i as f64;
                mx += v * j as f64;
            }
            assert!(mass > 0.0);
            worst = worst.max((my / mass - y).abs()).max((mx / mass - x).abs());
            tested += 1;
        }
    }
    assert!(tested > 300, "{tested}");
    assert!(worst < 0.02, "{worst}");
}

#[test]
fn truth_is_consistent() {
    let scan = Simulated::new(&Polycrystal {
        nav: [40, 50],
        ..small(Pixel::U8)
    })
    .unwrap();
    let t = scan.truth();
    let lattices = scan.lattices();
    let mut mean = [0f64; 2];
    let (mut largest, mut farthest) = (0f32, 0f32);
    for y in 0..40 {
        for x in 0..50 {
            let [a0, b0] = lattices[t.grain_id[[y, x]] as usize];
            for i in 0..2 {
                let e = |j: usize| t.strain[[y, x, i, j]] as f64;
                assert!((t.a[[y, x, i]] as f64 - (a0[i] + e(0) * a0[0] + e(1) * a0[1])).abs() < 1e-5);
                assert!((t.b[[y, x, i]] as f64 - (b0[i] + e(0) * b0[0] + e(1) * b0[1])).abs() < 1e-5);
                mean[i] += t.descan[[y, x, i]] as f64;
                largest = largest.max(e(0).abs() as f32).max(e(1).abs() as f32);
                assert!((t.zero[[y, x, i]] - t.descan[[y, x, i]] - scan.parameters().zero.unwrap()[i] as f32).abs() < 1e-4);
            }
            farthest = farthest.max(t.descan[[y, x, 0]].hypot(t.descan[[y, x, 1]]));
        }
    }
    assert!(mean.iter().all(|m| m.abs() < 1e-3), "{mean:?}");
    assert!(largest < 0.015 && largest > 0.005, "{largest}");
    assert!((farthest as f64 - scan.parameters().descan_max.unwrap()).abs() < 1e-4);
    let grains = lattices.len();
    assert!((0..grains as i32).all(|g| t.grain_id.iter().any(|&i| i == g)));
}

#[test]
fn grains_can_be_given_one_by_one() {
    let grain = |at, rotation, superlattice| Grain {
        at,
        a: 12.0,
        b: 15.0,
        rotation,
        gamma: 90.0,
        superlattice,
        spots: Some(0),
    };
    let list = vec![grain([0.5, 0.2], 10.0, 0.0), grain([0.5, 0.8], 10.0, 0.5)];
    let p = Polycrystal {
        grains: Some(Grains::List(list)),
        strain_max: 0.0,
        ..small(Pixel::F32)
    };
    let scan = Simulated::new(&p).unwrap();
    assert_eq!((scan.lattice(44).grain, scan.lattice(54).grain), (0, 1));
    // Only the second has spots half-way.
    let mut frame = vec![0f32; 48 * 52];
    let mut half_way = |n: u64| {
        scan.expectation(n, &mut frame).unwrap();
        let l = scan.lattice(n);
        let at = [0, 1].map(|i| (l.zero[i] + 0.5 * (l.a[i] + l.b[i])).round() as usize);
        frame[at[0] * 52 + at[1]]
    };
    assert!(half_way(54) > 4.0 * half_way(44));
    let text = scan.parameters().to_toml().unwrap();
    assert_eq!(&Polycrystal::from_toml(&text).unwrap(), scan.parameters());
    assert_eq!(
        Polycrystal::from_toml("grains = 7\npixel = \"u16\"").unwrap().grains,
        Some(Grains::Count(7))
    );
}

#[test]
fn bad_pixels_are_bad() {
    let p = Polycrystal {
        dead: 5,
        hot: 4,
        nan: 3,
        ..small(Pixel::F32)
    };
    let scan = Simulated::new(&p).unwrap();
    let bad = scan.bad_pixels();
    assert_eq!(bad.len(), 12);
    let mut sums = [0f32; 12];
    for frame in frames_of(&scan, &[0, 30, 60]) {
        let frame: Vec<f32> = frame
            .chunks(4)
            .map(|c| f32::from_ne_bytes([c[0], c[1], c[2], c[3]]))
            .collect();
        bad.iter().zip(&mut sums).for_each(|(b, s)| *s += frame[b[0] * 52 + b[1]]);
        assert_eq!(frame.iter().filter(|v| v.is_nan()).count(), 3);
    }
    assert!(sums[..5].iter().all(|&s| s == 0.0));
    assert!(
        sums[5..9].iter().all(|&s| (s - 600.0).abs() < 5.0 * 600f32.sqrt()),
        "{sums:?}"
    );
}

#[test]
fn senseless_parameters_are_refused() {
    let refuse = |p: Polycrystal, name: &str| {
        let error = Simulated::new(&p).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(error.starts_with(name), "{name}: {error}");
    };
    refuse(
        Polycrystal {
            nav: [0, 5],
            ..Default::default()
        },
        "nav",
    );
    refuse(
        Polycrystal {
            nav: [usize::MAX, 5],
            ..Default::default()
        },
        "nav",
    );
    refuse(
        Polycrystal {
            sig: [4, 100],
            ..Default::default()
        },
        "sig",
    );
    refuse(
        Polycrystal {
            dose: f64::NAN,
            ..Default::default()
        },
        "dose",
    );
    refuse(
        Polycrystal {
            strain_max: 2.0,
            ..Default::default()
        },
        "strain_max",
    );
    refuse(
        Polycrystal {
            spacing: Some([20.0, 10.0]),
            ..Default::default()
        },
        "spacing",
    );
    refuse(
        Polycrystal {
            nan: 1,
            ..Default::default()
        },
        "nan",
    );
    refuse(
        Polycrystal {
            grains: Some(Grains::Count(0)),
            ..Default::default()
        },
        "grains",
    );
    refuse(
        Polycrystal {
            grains: Some(Grains::List(Vec::new())),
            ..Default::default()
        },
        "grains",
    );
    refuse(
        Polycrystal {
            pixel: Pixel::I32,
            ..Default::default()
        },
        "pixel",
    );
    assert!(Polycrystal::from_toml("colour = 3").is_err());
    let scan = Simulated::new(&small(Pixel::U8)).unwrap();
    assert!(scan.counts(99, &mut Vec::new(), &mut [0; 48 * 52]).is_err());
}

#[test]
fn cancelling_stops_between_frames() {
    let scan = Simulated::new(&small(Pixel::U8)).unwrap();
    let mut control = Control::new();
    control.memory = 1;
    let mut blocks = 0;
    let result = scan.stream(&control, |_| {
        blocks += 1;
        control.cancel();
        Ok(())
    });
    assert!(matches!(result, Err(emstream::Error::Cancelled)));
    assert_eq!(blocks, 1);
}

#[test]
fn truth_file_holds_arrays_and_parameters() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scan.truth.h5");
    let scan = Simulated::new(&Polycrystal {
        dead: 2,
        ..small(Pixel::U8)
    })
    .unwrap();
    scan.write_truth(&path, false, &Control::new()).unwrap();
    assert!(scan.write_truth(&path, false, &Control::new()).is_err());
    scan.write_truth(&path, true, &Control::new()).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let file = hdf5::File::open(&path).unwrap();
    let t = scan.truth();
    assert_eq!(file.dataset("grain_id").unwrap().read_2d::<i32>().unwrap(), t.grain_id);
    assert_eq!(file.dataset("strain").unwrap().read::<f32, ndarray::Ix4>().unwrap(), t.strain);
    assert_eq!(file.dataset("zero").unwrap().shape(), [9, 11, 2]);
    assert_eq!(file.dataset("bad_pixels").unwrap().shape(), [2, 2]);
    assert_eq!(file.attr("seed").unwrap().read_scalar::<i64>().unwrap(), 42);
    let text: hdf5::types::VarLenUnicode = file.attr("parameters").unwrap().read_scalar().unwrap();
    assert_eq!(&Polycrystal::from_toml(&text).unwrap(), scan.parameters());
}

#[test]
fn written_scans_hold_the_frames_and_stand_beside_their_truth() {
    let folder = tempfile::tempdir().unwrap();
    let scan = Simulated::new(&Polycrystal {
        sig: [48, 48],
        ..small(Pixel::U8)
    })
    .unwrap();
    let all: Vec<u64> = (0..99).collect();
    let want = frames_of(&scan, &all);
    for name in ["a.blo", "a.npy", "a.h5"] {
        let path = folder.path().join(name);
        let truth = scan.write(&path, false, &Control::new()).unwrap();
        assert_eq!(truth, folder.path().join(format!("{name}.truth.h5")));
        assert!(hdf5::File::open(&truth).unwrap().dataset("grain_id").is_ok());
        let back = emstream::io::open(&path, &Default::default(), &Control::new()).unwrap();
        assert_eq!(back.info().nav, [9, 11]);
        let stride = back.info().frame.stride();
        let mut bytes = vec![0; 99 * stride];
        back.read(&all, stride, &mut bytes, &Control::new()).unwrap();
        assert!(
            want.iter().zip(bytes.chunks(stride)).all(|(w, b)| w == &b[..w.len()]),
            "{name}"
        );
        assert!(scan.write(&path, false, &Control::new()).is_err());
    }
    // Cancelled: nothing is left behind.
    let control = Control::new();
    control.cancel();
    assert!(scan.write(&folder.path().join("b.npy"), false, &control).is_err());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 6);
}

#[test]
fn a_truth_that_a_killed_run_left_is_no_obstacle() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.h5");
    let scan = |seed| {
        Simulated::new(&Polycrystal {
            seed,
            ..small(Pixel::U8)
        })
        .unwrap()
    };
    let truth = scan(42).write(&path, false, &Control::new()).unwrap();
    let grains = || {
        hdf5::File::open(&truth)
            .unwrap()
            .dataset("grain_id")
            .unwrap()
            .read_raw::<i32>()
            .unwrap()
    };
    let want = grains();
    std::fs::remove_file(&path).unwrap();
    // The truth of another scan stays.
    let refused = scan(43).write(&path, false, &Control::new()).unwrap_err().to_string();
    assert!(
        refused.contains("a.h5.truth.h5") && refused.contains("--overwrite"),
        "{refused}"
    );
    assert!(!path.exists());
    scan(42).write(&path, false, &Control::new()).unwrap();
    assert!(path.exists());
    assert_eq!(grains(), want);
}
