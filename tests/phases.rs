//! `phases`: features, scaling and neighbours against NumPy, SciPy and scikit-learn on a part of the reference scan
//! (tests/data/README.md), on both backends; whole runs on simulated scans; bad input.

mod common;
mod lattice_data;

use emstream::analysis::Recipe;
use emstream::engine::{Backend, Selection};
use emstream::io::OpenOptions;
use emstream::io::memory::MemoryScan;
use emstream::kernels::nearest::{self, Metric, Neighbors};
use emstream::workflows::phases::{self, AutoOr, BeamMask, Energy, Given, Params, Phases, Signal, StdOf};
use emstream::{Control, Error, Result};
use lattice_data::{Npz, Random};
use ndarray::{Array2, ArrayView2};
use std::path::{Path, PathBuf};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/phases").join(name)
}

fn signals() -> Vec<Signal> {
    let open = |name: &str, file: &str| {
        Signal::open(name, &data(file), name == "eds", &OpenOptions::default(), &Control::new()).unwrap()
    };
    vec![open("dp", "dp.hspy"), open("eds", "eds.hspy")]
}

fn published() -> Params {
    Params {
        recipe: Recipe::Published,
        beam_mask: BeamMask::Disk([14.75, 15.25, 2.5]),
        exclude: vec![[7.85, 8.24], [8.72, 9.08]],
        min_cluster_size: 30,
        runs: 1,
        ..Params::default()
    }
}

fn selections(signals: &[Signal], params: &Params) -> Result<Vec<Selection>> {
    phases::align(signals, &Selection::all(signals[0].scan.info().nav), params)
}

fn run(signals: &[Signal], params: &Params, backend: &Backend) -> Result<Phases> {
    let selections = selections(signals, params)?;
    phases::run(signals, &selections, Given::default(), params, backend, &Control::new())
}

fn numbers(mask: &Array2<bool>) -> Vec<i32> {
    mask.iter().enumerate().filter(|(_, m)| **m).map(|(i, _)| i as i32).collect()
}

fn close(found: f64, expected: f64, relative: f64) -> bool {
    (found - expected).abs() <= relative * expected.abs().max(1e-300)
}

#[test]
fn features_and_scaling_are_those_of_numpy_and_scikit_learn() {
    let mut file = Npz::open("phases/scan.npz");
    for backend in [Backend::Cpu, common::gpu()] {
        let signals = signals();
        for (std, name) in [(StdOf::Log, "log"), (StdOf::Raw, "raw")] {
            let params = Params { std, ..published() };
            let selections = selections(&signals, &params).unwrap();
            let mut features = phases::features(&signals, &selections, &params, &backend, &Control::new()).unwrap();
            let expected = file.matrix(&format!("std_{name}"));
            // Sums of counts are exact; logarithms are float32.
            let tolerance = if std == StdOf::Raw { 1e-12 } else { 2e-6 };
            let worst = features[0]
                .std
                .iter()
                .zip(&expected)
                .map(|(a, b)| (a - b).abs() / b.max(1e-3))
                .fold(0.0, f64::max);
            assert!(worst < tolerance, "{name} on {}: {worst}", backend.name());
            let pixels: Vec<i32> = file.i32(&format!("pixels_{name}")).into_iter().collect();
            assert_eq!(numbers(&features[0].mask), pixels, "{name}");
            if std == StdOf::Log {
                continue;
            }
            let variance = file.f64("variance");
            assert!(features[1].std.iter().zip(&variance).all(|(s, v)| close(s * s, *v, 1e-12)));
            let channels: Vec<i32> = file.i32("channels").into_iter().collect();
            assert_eq!(numbers(&features[1].mask), channels);
            let fused = phases::fuse(&mut features, &params, &Control::new()).unwrap();
            assert_eq!(
                (fused.columns.clone(), fused.exponent),
                (vec![410, channels.len()], Some(2.4))
            );
            let expected = file.f32("scaled").into_dimensionality::<ndarray::Ix2>().unwrap();
            for (row, values) in expected.rows().into_iter().enumerate() {
                for (a, b) in fused.matrix.row(12 * row).iter().zip(values) {
                    // The logarithm is off by a unit in the last place, which a narrow range magnifies.
                    assert!((f64::from(*a) - b).abs() < 2e-5 * b.abs().max(1.0), "{a} instead of {b}");
                }
            }
            neighbours_of(&mut file, fused.matrix.view(), &backend);
        }
    }
}

/// Distances within float32 rounding of the features, and indices where no two distances are near each other.
fn neighbours_of(file: &mut Npz, matrix: ArrayView2<f32>, backend: &Backend) {
    for metric in [Metric::Euclidean, Metric::Chebyshev, Metric::Manhattan, Metric::Cosine] {
        let expected = file.matrix(&format!("distance_{}", metric.name()));
        let index = file.i32(&format!("index_{}", metric.name()));
        let found = search(matrix, 9, metric, backend);
        for ((i, k), d) in expected.indexed_iter() {
            assert!(
                close(found.distance[[i, k]], *d, 3e-6),
                "{metric:?} {i} {k}: {} instead of {d}",
                found.distance[[i, k]]
            );
            let alone = |k: usize| k == 0 || expected[[i, k]] - expected[[i, k - 1]] > 1e-5 * d;
            if alone(k) && k + 1 < 9 && alone(k + 1) {
                assert_eq!(found.index[[i, k]] as i32, index[[i, k]], "{metric:?} {i} {k}");
            }
        }
    }
}

fn search(matrix: ArrayView2<f32>, k: usize, metric: Metric, backend: &Backend) -> Neighbors {
    match backend {
        Backend::Cpu => nearest::neighbors(matrix, k, metric, &Control::new()),
        Backend::Gpu(device) => nearest::gpu::neighbors(&device.current(), matrix, k, metric, &Control::new()),
    }
    .unwrap()
}

/// Every distance in float64.
fn brute(points: ArrayView2<f32>, k: usize, metric: Metric) -> Neighbors {
    let n = points.nrows();
    let distance = |i: usize, j: usize| -> f64 {
        let pairs = || {
            points
                .row(i)
                .into_iter()
                .zip(points.row(j))
                .map(|(a, b)| (f64::from(*a), f64::from(*b)))
        };
        match metric {
            Metric::Euclidean => pairs().map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt(),
            Metric::Manhattan => pairs().map(|(a, b)| (a - b).abs()).sum(),
            Metric::Chebyshev => pairs().map(|(a, b)| (a - b).abs()).fold(0.0, f64::max),
            Metric::Cosine => {
                let (ab, aa, bb) = pairs().fold((0.0, 0.0, 0.0), |s, (a, b)| (s.0 + a * b, s.1 + a * a, s.2 + b * b));
                match (aa > 0.0, bb > 0.0) {
                    (true, true) => 1.0 - ab / (aa.sqrt() * bb.sqrt()),
                    (false, false) => 0.0,
                    _ => 1.0,
                }
            }
        }
    };
    let (mut index, mut distances) = (Array2::zeros((n, k)), Array2::zeros((n, k)));
    for i in 0..n {
        let mut all: Vec<(f64, usize)> = (0..n).filter(|&j| j != i).map(|j| (distance(i, j), j)).collect();
        all.sort_by(|a, b| a.partial_cmp(b).unwrap());
        for c in 0..k {
            (distances[[i, c]], index[[i, c]]) = (all[c].0, all[c].1 as u32);
        }
    }
    Neighbors {
        index,
        distance: distances,
    }
}

#[test]
fn neighbours_are_exact_on_both_backends_also_with_ties_and_duplicates() {
    let gpu = common::gpu();
    let mut random = Random(3);
    let mut cases: Vec<(&str, Array2<f32>)> = Vec::new();
    // Blocks, their edges, and more than one run of coordinates.
    cases.push((
        "noise",
        Array2::from_shape_simple_fn((700, 37), || random.uniform(-1.0, 1.0) as f32),
    ));
    cases.push((
        "wide",
        Array2::from_shape_simple_fn((90, 1111), || random.uniform(-1.0, 1.0) as f32),
    ));
    // Far from the origin, where products cancel.
    cases.push((
        "far",
        Array2::from_shape_simple_fn((150, 5), || (1e4 + random.uniform(-1.0, 1.0)) as f32),
    ));
    // Groups in several runs of coordinates: pairs of different groups are given up early.
    cases.push((
        "groups",
        Array2::from_shape_fn((1090, 300), |(i, k)| {
            let own = if i / 200 == k % 6 { 5.0 } else { 0.0 };
            (own + random.uniform(-1.0, 1.0)) as f32
        }),
    ));
    // Few values: nearly every distance occurs many times.
    cases.push((
        "ties",
        Array2::from_shape_simple_fn((600, 9), || random.uniform(0.0, 3.0).floor() as f32),
    ));
    cases.push(("one place", Array2::from_elem((130, 4), 2.5)));
    cases.push(("two", Array2::from_shape_fn((2, 3), |(i, k)| (i + k) as f32)));
    for (name, points) in &cases {
        let k = 9.min(points.nrows() - 1);
        for metric in [Metric::Euclidean, Metric::Chebyshev, Metric::Manhattan, Metric::Cosine] {
            let expected = brute(points.view(), k, metric);
            let found = search(points.view(), k, metric, &Backend::Cpu);
            for (a, b) in found.distance.iter().zip(&expected.distance) {
                assert!((a - b).abs() <= 1e-12 * b.max(1.0), "{name} {metric:?}: {a} instead of {b}");
            }
            // Distances that are equal up to their rounding may change places in the brute search, but not between backends.
            if matches!(metric, Metric::Chebyshev) || !matches!(*name, "ties" | "far") {
                assert_eq!(found.index, expected.index, "{name} {metric:?}");
            }
            assert_eq!(found, search(points.view(), k, metric, &gpu), "{name} {metric:?}");
        }
    }
}

#[test]
fn crowds_of_equal_points_are_settled_by_number() {
    // Thousands of points at one place, and a few elsewhere: ties go to the smaller index.
    let points = Array2::from_shape_fn((4300, 2), |(i, k)| if i % 1000 == 999 { (i + k) as f32 } else { 7.0 });
    let found = search(points.view(), 3, Metric::Euclidean, &Backend::Cpu);
    assert_eq!(found.index.row(0).to_vec(), [1, 2, 3]);
    assert_eq!(found.index.row(2).to_vec(), [0, 1, 3]);
    assert_eq!(found.index.row(4299).to_vec(), [0, 1, 2]);
    assert_eq!(found.distance.row(4299).to_vec(), [0.0; 3]);
    assert!(close(found.distance[[999, 0]], 992.0_f64.hypot(993.0), 1e-15));
}

#[test]
fn threads_do_not_change_neighbours() {
    let mut random = Random(8);
    let points = Array2::from_shape_simple_fn((1500, 20), || random.uniform(0.0, 4.0).floor() as f32);
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| search(points.view(), 7, Metric::Manhattan, &Backend::Cpu))
    };
    let one = with(1);
    assert!([2, 3].into_iter().all(|t| with(t) == one));
}

#[test]
fn approximate_neighbours_are_nearly_the_nearest_and_the_same_for_any_threads() {
    let mut random = Random(11);
    // Groups of a few dimensions, and noise in the others.
    let points = Array2::from_shape_fn((3000, 12), |(i, k)| {
        let spread = if k < 5 { 1.0 } else { 0.15 };
        (if k == i % 4 { 2.0 } else { 0.0 } + random.uniform(-spread, spread)) as f32
    });
    for metric in [Metric::Euclidean, Metric::Chebyshev] {
        let exact = search(points.view(), 9, metric, &Backend::Cpu);
        let with = |threads: usize, seed: u64| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| nearest::approximate(points.view(), 9, metric, seed, &Control::new()).unwrap())
        };
        let found = with(2, 10);
        let shared = exact.index.rows().into_iter().zip(found.index.rows());
        let right: usize = shared
            .map(|(a, b)| b.iter().filter(|i| a.iter().any(|j| j == *i)).count())
            .sum();
        let recall = right as f64 / (9 * 3000) as f64;
        eprintln!("{metric:?}: recall {recall:.4}");
        assert!(recall >= 0.97, "{metric:?}: {recall}");
        for (i, (index, distance)) in found.index.rows().into_iter().zip(found.distance.rows()).enumerate() {
            for (&j, &d) in index.iter().zip(distance) {
                assert!(j as usize != i && d == metric.distance(&points.row(i).to_vec(), &points.row(j as usize).to_vec()));
            }
            assert!(distance.windows(2).into_iter().all(|p| p[0] <= p[1]));
        }
        assert_eq!(found, with(1, 10), "{metric:?}");
        assert_eq!(found, with(3, 10), "{metric:?}");
    }
    // Few points, and many at one place.
    let same = Array2::<f32>::zeros((40, 3));
    let found = nearest::approximate(same.view(), 5, Metric::Euclidean, 1, &Control::new()).unwrap();
    assert!(found.distance.iter().all(|d| *d == 0.0));
    let two = Array2::<f32>::from_shape_fn((2, 3), |(i, _)| i as f32);
    let found = nearest::approximate(two.view(), 1, Metric::Manhattan, 1, &Control::new()).unwrap();
    assert_eq!((found.index[[0, 0]], found.distance[[1, 0]]), (1, 3.0));
    assert!(nearest::approximate(two.view(), 2, Metric::Manhattan, 1, &Control::new()).is_err());
}

#[test]
fn bad_input_of_neighbours_is_an_error() {
    let control = Control::new();
    let points = Array2::<f32>::zeros((5, 2));
    for k in [0, 5] {
        assert!(matches!(
            nearest::neighbors(points.view(), k, Metric::Euclidean, &control),
            Err(Error::Parameter { .. })
        ));
    }
    let mut nan = points.clone();
    nan[[3, 1]] = f32::NAN;
    let e = nearest::neighbors(nan.view(), 2, Metric::Cosine, &control)
        .unwrap_err()
        .to_string();
    assert!(e.contains("point 3"), "{e}");
    control.cancel();
    assert!(matches!(
        nearest::neighbors(points.view(), 2, Metric::Euclidean, &control),
        Err(Error::Cancelled)
    ));
}

#[test]
fn the_scale_exponent_balances_patterns_and_spectra() {
    let mut file = Npz::open("phases/scan.npz");
    let signals = signals();
    let params = Params {
        scale_exponent: Some(AutoOr::Auto),
        ..published()
    };
    let selections = selections(&signals, &params).unwrap();
    let mut features = phases::features(&signals, &selections, &params, &Backend::Cpu, &Control::new()).unwrap();
    let fused = phases::fuse(&mut features, &params, &Control::new()).unwrap();
    // Empty channels grow with exp(s): at 2.4 the largest value is that of the reference.
    let (at, largest) = (fused.exponent.unwrap(), file.f32("largest_spectrum")[[0]]);
    let expected = 2.4 + (file.f64("largest_pattern")[[0]] / largest).ln();
    assert!((at - expected).abs() < 1e-5, "{at} instead of {expected}");
}

#[test]
fn a_part_of_the_reference_scan_falls_into_its_phases() {
    let truth: Vec<i32> = Npz::open("phases/scan.npz").i32("truth").into_iter().collect();
    let params = Params {
        min_cluster_size: 40,
        runs: 3,
        ..Params::default()
    };
    let mut answers = Vec::new();
    for backend in [Backend::Cpu, common::gpu()] {
        let found = run(&signals(), &params, &backend).unwrap();
        let right = pure(&found.found.soft, &truth);
        assert!(right > 0.95, "{right} on {}", backend.name());
        assert_eq!(found.agreement.ari.dim(), (3, 3));
        assert_eq!(found.sizes.iter().sum::<usize>(), truth.len());
        // Means over the phases, weighted by their sizes, make the mean of the scan.
        let total: f64 = found.means.iter().map(|m| m[0].mean.sum() * m[0].frames as f64).sum();
        let whole = phases_mean(&signals()[0]);
        assert!(close(total / truth.len() as f64, whole, 1e-12));
        answers.push(found.found.soft);
    }
    assert_eq!(answers[0], answers[1], "both backends");
}

/// Share of the points whose cluster is mostly of their own region.
fn pure(labels: &[i32], truth: &[i32]) -> f64 {
    let clusters = labels.iter().max().map_or(0, |m| m + 1);
    let most = |c: i32| {
        let members: Vec<i32> = labels.iter().zip(truth).filter(|(l, _)| **l == c).map(|(_, t)| *t).collect();
        members
            .iter()
            .map(|t| members.iter().filter(|u| *u == t).count())
            .max()
            .unwrap_or(0)
    };
    (0..clusters).map(most).sum::<usize>() as f64 / truth.len() as f64
}

fn phases_mean(signal: &Signal) -> f64 {
    emstream::workflows::mean_frame(&*signal.scan, &Control::new()).unwrap().sum()
}

/// A signal in memory: what `value` says of position and pixel.
fn made(name: &str, nav: [usize; 2], sig: [usize; 2], value: impl Fn(usize, usize) -> u16) -> Signal {
    let pixels = (0..nav[0] * nav[1]).flat_map(|i| (0..sig[0] * sig[1]).map(move |p| (i, p)));
    let scan = MemoryScan::new(nav, sig, pixels.map(|(i, p)| value(i, p)).collect()).unwrap();
    Signal::of(name, Path::new(name), Box::new(scan))
}

fn message(result: Result<Phases>) -> String {
    match result {
        Ok(_) => panic!("this is bad input"),
        Err(e) => e.to_string(),
    }
}

fn small() -> Params {
    Params {
        min_cluster_size: 10,
        min_samples: 3,
        runs: 1,
        beam_mask: BeamMask::None,
        rebin: 1,
        ..Params::default()
    }
}

#[test]
fn two_phases_are_two_whatever_scan_and_noise() {
    for (seed, nav, level) in [(1u64, [20, 30], 16.0), (2, [20, 30], 6.0), (3, [30, 36], 16.0)] {
        let right = |i: usize| i % nav[1] >= nav[1] / 2;
        let signal = made("dp", nav, [12, 12], |i, p| {
            let mut random = Random(seed * 1_000_000 + (i * 144 + p) as u64);
            let mean: f64 = if right(i) == p.is_multiple_of(2) { 1.3 * level } else { level };
            (mean + (3.0 * mean).sqrt() * random.uniform(-1.0, 1.0)).round().max(0.0) as u16
        });
        let params = Params {
            runs: 3,
            rebin: 1,
            beam_mask: BeamMask::None,
            ..Params::default()
        };
        let found = run(&[signal], &params, &Backend::Cpu).unwrap();
        let truth: Vec<i32> = (0..nav[0] * nav[1]).map(|i| i32::from(right(i))).collect();
        // One component stands out; the others are noise.
        assert_eq!(
            (found.columns.as_slice(), found.sizes.len()),
            ([3].as_slice(), 2),
            "scan {seed}"
        );
        let right = pure(&found.found.soft, &truth);
        assert!(right > 0.99, "scan {seed}: {right}");
        assert!(found.warnings.is_empty(), "{:?}", found.warnings);
    }
}

/// Counts of two regions, left and right, with noise.
fn two_regions(i: usize, p: usize) -> u16 {
    let mut random = Random((i * 1000 + p) as u64);
    let level = if (i % 12 < 6) == p.is_multiple_of(2) { 60.0 } else { 20.0 };
    (level + random.uniform(0.0, 9.0)) as u16
}

#[test]
fn bad_signals_are_clear_errors() {
    let cpu = Backend::Cpu;
    // Shapes that differ: both are named.
    let e = message(run(
        &[
            made("dp", [4, 6], [4, 4], two_regions),
            made("eds", [4, 5], [1, 9], two_regions),
        ],
        &small(),
        &cpu,
    ));
    assert!(e.contains("4×5") && e.contains("4×6") && e.contains("--crop"), "{e}");
    // A signal that does not vary.
    let e = message(run(&[made("dp", [5, 12], [4, 4], |_, _| 7)], &small(), &cpu));
    assert!(e.contains("no pixel of 'dp' varies"), "{e}");
    let e = message(run(
        &[
            made("dp", [5, 12], [4, 4], two_regions),
            made("eds", [5, 12], [1, 9], |_, _| 0),
        ],
        &small(),
        &cpu,
    ));
    assert!(e.contains("no channel of 'eds' varies"), "{e}");
    // Fewer positions than neighbours.
    let e = message(run(&[made("dp", [2, 4], [4, 4], two_regions)], &small(), &cpu));
    assert!(e.contains("10 neighbours of 8 positions"), "{e}");
    let with = |params: Params| message(run(&[made("dp", [6, 12], [4, 4], two_regions)], &params, &cpu));
    let e = with(Params { keep: 0.0, ..small() });
    assert!(e.starts_with("--keep"), "{e}");
    let e = with(Params {
        weight: [("edx".to_owned(), 2.0)].into(),
        ..small()
    });
    assert!(e.contains("no signal 'edx'") && e.contains("dp"), "{e}");
    let e = with(Params {
        crop: [("dp".to_owned(), "0:9,0:3".to_owned())].into(),
        ..small()
    });
    assert!(e.contains("leaves the scan of 'dp', which is 6×12"), "{e}");
    let e = with(Params {
        shift: [("dp".to_owned(), [9, 0])].into(),
        ..small()
    });
    assert!(e.contains("no position is left"), "{e}");
    let e = with(Params { rebin: 9, ..small() });
    assert!(e.starts_with("--rebin"), "{e}");
    let e = with(Params {
        beam_mask: BeamMask::Disk([500.0, 500.0, 3.0]),
        rebin: 2,
        ..small()
    });
    assert_eq!(
        e,
        "--beam-mask: the disk 500,500,3 holds no pixel of the patterns of 2 × 2 pixels (after rebinning by 2)"
    );
    let e = with(Params {
        components: 70,
        ..small()
    });
    assert!(e.starts_with("--components"), "{e}");
    let e = with(Params {
        vary: [("kep".to_owned(), vec![0.1])].into(),
        ..small()
    });
    assert!(e.contains("'kep' is none of"), "{e}");
}

#[test]
fn one_region_duplicates_and_noise_have_sensible_answers() {
    let cpu = Backend::Cpu;
    // Only a few different frames: whole groups coincide.
    let found = run(
        &[made("dp", [8, 12], [4, 4], |i, p| ((i % 12 / 4) * 50 * (p % 3) + p) as u16)],
        &small(),
        &cpu,
    )
    .unwrap();
    assert!(
        found
            .warnings
            .iter()
            .any(|w| w.contains("features equal to those of another")),
        "{:?}",
        found.warnings
    );
    assert!(found.found.memberships.values.iter().all(|m| m.is_finite()));
    // Larger clusters than there are positions: no cluster at all.
    let params = Params {
        min_cluster_size: 200,
        ..small()
    };
    let found = run(&[made("dp", [8, 12], [4, 4], two_regions)], &params, &cpu).unwrap();
    assert!(found.found.clustering.is_empty() && found.means.is_empty());
    assert!(found.found.soft.iter().all(|l| *l == -1));
    assert!(found.warnings.iter().any(|w| w.contains("no cluster was found")));
    // Two regions that anybody can see; so few positions need many neighbours to hang together.
    let params = Params {
        neighbors: 30,
        ..small()
    };
    let found = run(&[made("dp", [10, 12], [4, 4], two_regions)], &params, &cpu).unwrap();
    let truth: Vec<i32> = (0..120).map(|i| i32::from(i % 12 < 6)).collect();
    assert!(found.sizes.len() >= 2 && pure(&found.found.soft, &truth) == 1.0);
}

#[test]
fn given_features_and_embeddings_replace_steps() {
    let signals = [made("dp", [10, 12], [4, 4], two_regions)];
    let selections = selections(&signals, &small()).unwrap();
    let points = Array2::from_shape_fn((120, 2), |(i, k)| {
        let mut random = Random((7 * i + k) as u64);
        (if i % 12 < 6 { 0.0 } else { 10.0 }) + random.uniform(0.0, 1.0) as f32
    });
    let with = |given: Given| phases::run(&signals, &selections, given, &small(), &Backend::Cpu, &Control::new());
    let truth: Vec<i32> = (0..120).map(|i| i32::from(i % 12 < 6)).collect();
    for given in [
        Given {
            features: Some(points.clone()),
            embedding: None,
        },
        Given {
            features: None,
            embedding: Some(points.clone()),
        },
    ] {
        let found = with(given).unwrap();
        assert!(found.sizes.len() >= 2 && pure(&found.found.soft, &truth) == 1.0);
    }
    let e = message(with(Given {
        features: Some(points.slice(ndarray::s![..119, ..]).to_owned()),
        embedding: None,
    }));
    assert!(e.contains("119 rows of 2 values for 120 positions"), "{e}");
    let mut nan = points;
    nan[[5, 0]] = f32::INFINITY;
    let e = message(with(Given {
        features: None,
        embedding: Some(nan),
    }));
    assert!(e.contains("row 5"), "{e}");
}

/// Two groups by columns of the scan.
fn groups(width: usize) -> Array2<f32> {
    Array2::from_shape_fn((120, width), |(i, k)| {
        let mut random = Random((7 * i + k) as u64);
        (if i % 12 < 6 { 0.0 } else { 10.0 }) + random.uniform(0.0, 1.0) as f32
    })
}

fn vary(names: &[(&str, &[f64])]) -> Params {
    Params {
        neighbors: 30,
        vary: names.iter().map(|(n, v)| ((*n).to_owned(), v.to_vec())).collect(),
        ..small()
    }
}

#[test]
fn trials_begin_with_what_is_given() {
    // Signals that say nothing: a trial that asked them would fail.
    let signals = [
        made("dp", [10, 12], [4, 4], |_, _| 7),
        made("eds", [10, 12], [1, 9], |_, _| 7),
    ];
    let selections = selections(&signals, &small()).unwrap();
    let given = |embedding: bool| Given {
        features: (!embedding).then(|| groups(5)),
        embedding: embedding.then(|| groups(2)),
    };
    let with = |embedding: bool, params: &Params| {
        phases::run(
            &signals,
            &selections,
            given(embedding),
            params,
            &Backend::Cpu,
            &Control::new(),
        )
    };
    for embedding in [false, true] {
        let found = with(embedding, &vary(&[("min-cluster-size", &[10.0, 200.0, 20.0])])).unwrap();
        let trials = found.trials.as_ref().unwrap();
        assert_eq!(trials.trials[0].labels, found.found.soft);
        let clusters: Vec<usize> = trials.trials.iter().map(|t| t.clusters).collect();
        assert!(clusters[0] >= 2 && clusters[1] == 0 && clusters[2] >= 2, "{clusters:?}");
        // The trial without clusters is unlike the others, and none is matched to it.
        let ari = &trials.agreement.ari;
        assert_eq!([ari[[0, 1]], ari[[2, 1]], ari[[1, 1]]], [0.0, 0.0, 1.0]);
        assert!(trials.agreement.reference != 1);
        assert!(
            found.warnings.iter().any(|w| w.contains("1 of 3 trials")),
            "{:?}",
            found.warnings
        );
        // Steps that are not taken.
        for name in ["keep", "eds-keep", "rebin", "principal", "weight", "weight-eds"] {
            let e = message(with(embedding, &vary(&[(name, &[1.0])])));
            let flag = ["--features", "--embedding"][usize::from(embedding)];
            assert!(e.contains(&format!("'{name}' has no effect with {flag}")), "{e}");
        }
        let e = message(with(embedding, &vary(&[("scale-exponent", &[1.0])])));
        assert!(e.contains("--scale-exponent: has no effect beside --recipe default"), "{e}");
        for name in ["neighbors", "components", "min-dist", "seed"] {
            let value = if name == "neighbors" { 25.0 } else { 1.0 };
            let found = with(embedding, &vary(&[(name, &[value])]));
            match embedding {
                false => assert_eq!(found.unwrap().trials.unwrap().trials.len(), 1),
                true => assert!(message(found).contains("has no effect with --embedding")),
            }
        }
    }
    // The files that flags name say the same, before they are read.
    let params = Params {
        features: Some("features.npy".into()),
        ..vary(&[("keep", &[0.1])])
    };
    let e = params.check(&["dp"]).unwrap_err().to_string();
    assert!(e.contains("'keep' has no effect with --features"), "{e}");
    // Runs without a cluster are counted; one alone is told in other words.
    let runs = Params {
        runs: 2,
        min_cluster_size: 200,
        ..vary(&[])
    };
    let found = with(false, &runs).unwrap();
    assert!(found.warnings.iter().any(|w| w.contains("2 of 2 runs found no cluster")));
    assert!(found.agreement.ari.iter().all(|a| *a == 1.0));
}

#[test]
fn wrong_trials_are_refused_before_anything_is_read() {
    // Reading these would end with another error: no pixel varies.
    let signals = [
        made("dp", [10, 12], [4, 4], |_, _| 7),
        made("eds", [10, 12], [1, 9], |_, _| 7),
    ];
    let many: Vec<f64> = (0..17).map(f64::from).collect();
    /// Names and their values, and what is said of them.
    type Case<'a> = (&'a [(&'a str, &'a [f64])], &'a str);
    let cases: &[Case<'_>] = &[
        (&[("kep", &[0.1])], "'kep' is none of"),
        (&[("keep", &[0.1, 1.5])], "1.5 is not a share"),
        (&[("rebin", &[1.0, 1.5])], "rebin=1.5 is not a whole number"),
        (&[("rebin", &[1.0, 9.0])], "9 does not fit frames of 4×4"),
        (&[("weight-edx", &[1.0])], "no signal 'edx'"),
        (&[("min-dist", &[0.0, f64::NAN])], "--min-dist"),
        (&[("components", &[3.0, 70.0])], "70 is not between 1 and 64"),
        (&[("neighbors", &[10.0, 120.0])], "120 neighbours of 120 positions"),
        (&[("seed", &[])], "0 combinations"),
        (&[("seed", &many), ("principal", &many)], "289 combinations"),
        (&[("keep", &[0.2]), ("min-samples", &[3.0, 0.0])], "--min-samples"),
    ];
    for (names, wanted) in cases {
        let e = message(run(&signals, &vary(names), &Backend::Cpu));
        assert!(e.contains(wanted), "{names:?}: {e}");
    }
    let e = message(run(
        &signals,
        &vary(&[("keep", &[0.1, 0.2]), ("weight", &[1.0])]),
        &Backend::Cpu,
    ));
    assert!(e.contains("no pixel of 'dp' varies"), "{e}");
}

#[test]
fn energies_of_files_come_before_those_of_the_user() {
    let spectrum = |name: &str, energy: Option<[f64; 2]>| {
        let mut signal = made(name, [10, 12], [1, 40], two_regions);
        let unit = "keV".to_owned();
        signal.energy = energy.map(|[offset, step]| Energy { offset, step, unit });
        signal
    };
    let signals = [
        made("dp", [10, 12], [4, 4], two_regions),
        spectrum("eds", Some([-0.1, 0.1])),
        spectrum("other", None),
    ];
    let params = |exclude: &[[f64; 2]], eds_axis: Option<[f64; 2]>| Params {
        exclude: exclude.to_vec(),
        eds_axis,
        neighbors: 30,
        ..small()
    };
    let left_out = |signals: &[Signal], params: &Params| -> Result<Vec<Vec<usize>>> {
        let chosen = selections(signals, params)?;
        let features = phases::features(signals, &chosen, params, &Backend::Cpu, &Control::new())?;
        let without = |mask: &Array2<bool>| mask.iter().enumerate().filter(|(_, m)| !**m).map(|(i, _)| i).collect();
        Ok(features.iter().skip(1).map(|f| without(&f.mask)).collect())
    };
    // 0.95 to 1.15 keV are channels 11 and 12 of the file's axis, and channel 1 of the user's.
    let window = [[0.95, 1.15]];
    let found = left_out(&signals, &params(&window, Some([0.0, 1.0]))).unwrap();
    assert_eq!(found, [vec![11, 12], vec![1]]);
    // Signals that say nothing are left alone as long as one says something, with a word about it.
    let silent = params(&[window[0], [7.0, 8.0]], None);
    assert_eq!(left_out(&signals, &silent).unwrap(), [vec![11, 12], vec![]]);
    let warnings = run(&signals, &silent, &Backend::Cpu).unwrap().warnings;
    let told = |text: &str| warnings.iter().filter(|w| w.contains(text)).count();
    assert_eq!(
        [told("'other'"), told("7-8 leaves nothing out"), told("leaves nothing out")],
        [1, 1, 1]
    );
    let e = message(run(&[spectrum("dp", None)], &silent, &Backend::Cpu));
    assert!(
        e.contains("'dp' does not say its energies") && e.contains("--eds-axis"),
        "{e}"
    );
    // An axis of the user that nothing needs.
    let found = run(&signals[..2], &params(&[], Some([0.0, 1.0])), &Backend::Cpu).unwrap();
    assert!(found.warnings.iter().any(|w| w.contains("--eds-axis has no effect")));
    // Numbered channels are no energies.
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("plain.hspy");
    std::fs::copy(data("eds.hspy"), &path).unwrap();
    let energy = || {
        Signal::open("eds", &path, true, &OpenOptions::default(), &Control::new())
            .unwrap()
            .energy
    };
    assert!(energy().is_some());
    let file = hdf5::File::open_rw(&path).unwrap();
    let signal = file.group("Experiments").unwrap().groups().unwrap().remove(0);
    let axis = signal.group("axis-2").unwrap();
    axis.attr("scale").unwrap().write_scalar(&1.0).unwrap();
    axis.attr("offset").unwrap().write_scalar(&0.0).unwrap();
    axis.delete_attr("units").unwrap();
    drop((axis, signal, file));
    assert_eq!(energy(), None);
}

#[test]
fn shifts_and_crops_bring_signals_together() {
    // The second signal begins one row lower and two columns further left.
    let nav = [9, 14];
    let place = |y: usize, x: usize| (y * 31 + x * 7) as u16;
    let dp = made("dp", nav, [2, 2], |i, p| place(i / 14, i % 14) + p as u16);
    let eds = made("eds", nav, [1, 3], |i, p| {
        place(i / 14 + 1, (i % 14).saturating_sub(2)) + p as u16
    });
    let params = Params {
        shift: [("eds".to_owned(), [-1, 2])].into(),
        crop: [("all".to_owned(), "1:9,:".to_owned())].into(),
        ..small()
    };
    let signals = [dp, eds];
    let chosen = selections(&signals, &params).unwrap();
    assert_eq!((chosen[0].len(), chosen[1].len()), (8 * 12, 8 * 12));
    let frames = |k: usize| -> Vec<[usize; 2]> { chosen[k].iter().map(|i| [i as usize / 14, i as usize % 14]).collect() };
    for (a, b) in frames(0).iter().zip(frames(1)) {
        assert_eq!([b[0] + 1, b[1]], [a[0], a[1] + 2]);
        assert_eq!(place(a[0], a[1]), place(b[0] + 1, b[1] - 2));
    }
}
