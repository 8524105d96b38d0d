//! `stats`, `masks` and `cluster` against LiberTEM's values and against truth, on both backends. Data and tolerances:
//! `tests/data/README.md`.

mod common;

use common::gpu;
use emstream::analysis::Recipe;
use emstream::analysis::compare::adjusted_rand_index;
use emstream::analysis::template::Template;
use emstream::control::Control;
use emstream::engine::{Backend, Pass, Resident, Selection};
use emstream::io::memory::MemoryScan;
use emstream::io::{self, OpenOptions, Scan, array};
use emstream::kernels::masks::MaskStack;
use emstream::ops::MaskProducts;
use emstream::pixel::{FrameShape, Pixel};
use emstream::rng::{Poisson, Source};
use emstream::workflows::cluster::{self, Clustering, Clusters, Given, Params};
use ndarray::Array2;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn asset(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets").join(name)
}

/// The bundled scan, unpacked.
fn polycrystal() -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("polycrystal.blo");
    let packed = std::fs::File::open(asset("polycrystal.blo.gz")).unwrap();
    let mut out = std::fs::File::create(&path).unwrap();
    std::io::copy(&mut flate2::read::GzDecoder::new(packed), &mut out).unwrap();
    (dir, path)
}

fn open(path: &Path) -> Box<dyn Scan> {
    io::open(path, &OpenOptions::default(), &control()).unwrap()
}

fn control() -> Control {
    Control {
        threads: 2,
        memory: 2 << 30,
        ..Control::new()
    }
}

fn matrix(name: &str) -> Array2<f64> {
    array::read_array::<f64>(data(name), 1 << 30)
        .unwrap()
        .into_dimensionality()
        .unwrap()
}

fn labels(name: &str) -> Vec<i32> {
    matrix(name).iter().map(|&v| v as i32).collect()
}

fn template(params: &Params) -> Template {
    params
        .template(|f| Ok(array::read_array::<f64>(f, 1 << 20)?.into_dimensionality().unwrap()))
        .unwrap()
}

fn run(scan: &dyn Scan, params: &Params, backend: &Backend) -> Clustering {
    let all = Selection::all(scan.info().nav);
    cluster::run(scan, all, template(params), Given::default(), params, backend, &control()).unwrap()
}

/// Largest difference as a share of the reference's largest magnitude.
fn of_maximum(got: &[f64], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    let scale = want.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / scale
}

fn flat(a: &Array2<f64>) -> Vec<f64> {
    a.iter().copied().collect()
}

/// Σ|stamp|·counts of every frame and peak: what the README's tolerance of features refers to.
fn feature_bounds(scan: &dyn Scan, stamp: &Array2<f64>, peaks: &[[i32; 2]]) -> Vec<f32> {
    let stack = MaskStack::Stamps {
        stamp: stamp.mapv(|v| v.abs() as f32),
        positions: peaks.to_vec(),
    };
    let all = Selection::all(scan.info().nav);
    let mut pass = Pass::new("bounds", scan, &all);
    let handle = pass.add(MaskProducts::new(&stack));
    pass.run(&Backend::Cpu, &Resident::none(), &control())
        .unwrap()
        .take(handle)
        .unwrap()
}

/// The steps that both references share: maps, peaks, features.
fn check_maps(scan: &dyn Scan, set: &str, npz: &str, r: &Clustering) {
    let named = |name: &str| format!("{set}/{name}.{}", if name == "sum" || name == "logsum" { "npy" } else { npz });
    assert_eq!(r.moments.sum(), flat(&matrix(&named("sum"))), "sums are exact");
    assert!(of_maximum(&r.moments.std(), &flat(&matrix(&named("stddev_std")))) < 1e-6);
    let reference = flat(&matrix(&named("logsum")));
    for (i, (got, want)) in r.logsum.iter().zip(&reference).enumerate() {
        assert!(
            (got - want).abs() <= 5e-5 * want.abs(),
            "log-sum of pixel {i}: {got}, LiberTEM {want}"
        );
    }
    assert!(of_maximum(&flat(&r.std_correlation), &flat(&matrix(&named("std_correlation")))) < 1e-5);
    let peaks: Vec<[i32; 2]> = matrix(&format!("{set}/std_peaks.npy"))
        .rows()
        .into_iter()
        .map(|p| [p[0] as i32, p[1] as i32])
        .collect();
    assert_eq!(r.peaks, peaks);

    // LiberTEM's normalised features times our scale, within 1e-5 of sum(|mask| counts); theirs are (features, frames).
    let normalised = matrix(&format!("{set}/feature_vectors_normalised.npz"));
    let bounds = feature_bounds(scan, &r.template.stamp(), &r.peaks);
    for ((frame, peak), got) in r.features.indexed_iter() {
        let want = normalised[[peak, frame]] * r.scale[peak];
        let bound = f64::from(bounds[frame * r.peaks.len() + peak]);
        // The reference's float32 normalisation adds its own rounding.
        let allowed = 1e-5 * bound + 2e-7 * want.abs();
        assert!(
            (f64::from(*got) - want).abs() <= allowed,
            "feature {peak} of frame {frame}: {got}, LiberTEM {want}"
        );
    }
}

fn polycrystal_follows_libertem(backend: &Backend) {
    let (_dir, path) = polycrystal();
    let scan = open(&path);
    let params = Params {
        clusters: Clusters::Number(8),
        recipe: Recipe::Published,
        ..Params::default()
    };
    let r = run(&*scan, &params, backend);
    check_maps(&*scan, "polycrystal", "npy", &r);
    assert_eq!(
        adjusted_rand_index(&r.labels, &labels("polycrystal/ward_labels.npy")).unwrap(),
        1.0
    );
    let distances: Vec<f64> = array::read_array(data("polycrystal/ward_distances.npy"), 1 << 20)
        .unwrap()
        .iter()
        .copied()
        .collect();
    assert!(of_maximum(r.tree.as_ref().unwrap().distances(), &distances) < 1e-5);

    let truth = labels("polycrystal/true_grain_id.npy");
    assert!(adjusted_rand_index(&r.labels, &truth).unwrap() >= 0.9209);
    let six = r.tree.as_ref().unwrap().cut_number(6).unwrap();
    assert_eq!(adjusted_rand_index(&six, &truth).unwrap(), 1.0);
}

#[test]
fn polycrystal_follows_libertem_on_the_cpu() {
    polycrystal_follows_libertem(&Backend::Cpu);
}

#[test]
fn polycrystal_follows_libertem_on_the_gpu() {
    polycrystal_follows_libertem(&gpu());
}

#[test]
fn polycrystal_by_default_finds_the_six_grains() {
    let (_dir, path) = polycrystal();
    let scan = open(&path);
    let r = run(&*scan, &Params::default(), &Backend::Cpu);
    assert_eq!(r.clusters, 6);
    assert_eq!(
        adjusted_rand_index(&r.labels, &labels("polycrystal/true_grain_id.npy")).unwrap(),
        1.0
    );
    let total: f64 = r.cluster_logsums.iter().map(|m| m.sum()).sum();
    assert!(
        (total / r.logsum.sum() - 1.0).abs() < 1e-6,
        "the clusters' log-sums add up to the scan's"
    );
}

/// Cosmic rays in a few frames do not make clusters of them.
#[test]
fn hits_in_single_frames_change_no_label() {
    let (_dir, path) = polycrystal();
    let scan = open(&path);
    let (frame, nav) = (scan.info().frame, scan.info().nav);
    let truth = labels("polycrystal/true_grain_id.npy");
    let (n, pixels) = (nav[0] * nav[1], frame.pixels());
    let mut counts: Vec<u16> = Vec::with_capacity(n * pixels);
    let mut bytes = vec![0; frame.stride()];
    for i in 0..n as u64 {
        scan.read(&[i], frame.stride(), &mut bytes, &control()).unwrap();
        counts.extend(bytes[..pixels].iter().map(|&b| u16::from(b)));
    }
    let shape = FrameShape::new(Pixel::U16, [frame.height, frame.width]);
    let of = |counts: Vec<u16>| {
        let scan = MemoryScan::new(nav, [shape.height, shape.width], counts).unwrap();
        run(&scan, &Params::default(), &Backend::Cpu)
    };
    let clean = of(counts.clone());
    assert!(clean.warnings.is_empty(), "{:?}", clean.warnings);
    for (frame, [y, x]) in [(3, [20, 100]), (777, [71, 30]), (1200, [130, 90]), (1999, [88, 61])] {
        counts[frame * pixels + y * shape.width + x] = 2000;
    }
    let hit = of(counts);
    assert_eq!(hit.clusters, 6);
    assert_eq!(adjusted_rand_index(&hit.labels, &truth).unwrap(), 1.0);
    // A median in the place of a pixel may change the order of two peaks.
    let sorted = |r: &Clustering| r.peaks.iter().copied().collect::<std::collections::BTreeSet<_>>();
    assert_eq!(sorted(&hit), sorted(&clean));
    let [warning] = &hit.warnings[..] else {
        panic!("{:?}", hit.warnings)
    };
    assert!(
        warning.starts_with("4 pixels, (20, 100) first, are bright in one frame alone"),
        "{warning}"
    );
}

/// Frames of 112 × 112 pixels with some 300 electrons each, in four crystals of 12 × 13 positions; hardly any background.
fn few_electrons() -> (MemoryScan<u16>, Vec<i32>) {
    let (nav, sig, dose, radius) = ([24usize, 26usize], 112usize, 300.0, 2.0);
    let mut numbers = Source::new(11, 0).sequence(0);
    let patterns: Vec<Vec<f32>> = (0..4)
        .map(|_| {
            let (length, turn) = (14.0 + 8.0 * numbers.unit(), std::f64::consts::TAU * numbers.unit());
            let (other, angle) = (length * (1.0 + 0.4 * numbers.unit()), turn + 1.1);
            let mut expected = vec![0.001; sig * sig];
            for (h, k) in (-5..=5).flat_map(|h| (-5..=5).map(move |k| (f64::from(h), f64::from(k)))) {
                let from = [
                    h * length * turn.sin() + k * other * angle.sin(),
                    h * length * turn.cos() + k * other * angle.cos(),
                ];
                let r = from[0].hypot(from[1]);
                let strength = -numbers.unit().max(1e-9).ln() - numbers.unit().max(1e-9).ln();
                let height = if r == 0.0 {
                    2.0
                } else {
                    strength * (-(r / 40.0).powi(2)).exp()
                };
                for (p, v) in expected.iter_mut().enumerate() {
                    let away = ((p / sig) as f64 - 55.4 - from[0]).hypot((p % sig) as f64 - 55.7 - from[1]);
                    *v += height * (radius + 0.5 - away).clamp(0.0, 1.0);
                }
            }
            let all: f64 = expected.iter().sum();
            expected.iter().map(|v| (v * dose / all) as f32).collect()
        })
        .collect();
    let truth: Vec<i32> = (0..nav[0] * nav[1])
        .map(|i| 2 * i32::from(i / nav[1] >= 12) + i32::from(i % nav[1] >= 13))
        .collect();
    let (poisson, source) = (Poisson::new(), Source::new(12, 1));
    let mut counts = vec![0u16; truth.len() * sig * sig];
    for ((n, frame), grain) in counts.chunks_exact_mut(sig * sig).enumerate().zip(&truth) {
        poisson.fill(&source, n as u64, 0, &patterns[*grain as usize], |p, count| {
            frame[p] = count as u16
        });
    }
    (MemoryScan::new(nav, [sig, sig], counts).unwrap(), truth)
}

/// Of 300 maxima of the standard deviation two thirds are noise; scaled to their mean size they would decide.
#[test]
fn maxima_of_noise_hide_no_crystal() {
    let (scan, truth) = few_electrons();
    let of = |recipe| {
        let params = Params {
            recipe,
            radius: 2.0,
            radius_outer: 3.2,
            ..Params::default()
        };
        run(&scan, &params, &Backend::Cpu)
    };
    let (found, published) = (of(Recipe::Default), of(Recipe::Published));
    assert_eq!((found.clusters, found.peaks.len()), (4, 300));
    assert_eq!(adjusted_rand_index(&found.labels, &truth).unwrap(), 1.0);
    assert!((60..150).contains(&found.shared.len()), "{}", found.shared.len());
    assert_eq!(published.shared, (0..300).collect::<Vec<_>>());
    let hidden = adjusted_rand_index(&published.labels, &truth).unwrap();
    assert!(hidden < 0.5, "{hidden}");
    // A distance is one over all features.
    let params = Params {
        distance_threshold: Some(100.0),
        ..Params::default()
    };
    assert_eq!(run(&scan, &params, &Backend::Cpu).shared.len(), 300);
    // With enough electrons everything is shared, and nothing changes.
    let (_dir, path) = polycrystal();
    assert_eq!(run(&*open(&path), &Params::default(), &Backend::Cpu).shared.len(), 300);
}

/// Whoever asks for clusters of nothing but noise gets them, and is told.
#[test]
fn clusters_of_noise_are_told() {
    let (nav, sig) = ([16usize, 18usize], 64usize);
    let (poisson, source) = (Poisson::new(), Source::new(13, 1));
    let mut counts = vec![0u16; nav[0] * nav[1] * sig * sig];
    let expected = vec![0.2f32; sig * sig];
    for (n, frame) in counts.chunks_exact_mut(sig * sig).enumerate() {
        poisson.fill(&source, n as u64, 0, &expected, |p, count| frame[p] = count as u16);
    }
    let scan = MemoryScan::new(nav, [sig, sig], counts).unwrap();
    let of = |clusters| {
        let params = Params {
            clusters,
            feature_peaks: 40,
            ..Params::default()
        };
        run(&scan, &params, &Backend::Cpu)
    };
    let (three, one) = (of(Clusters::Number(3)), of(Clusters::Number(1)));
    assert_eq!((three.clusters, three.shared.len()), (3, three.peaks.len()));
    let about_noise = |found: &Clustering| found.warnings.iter().filter(|w| w.contains("those of noise")).count();
    assert_eq!((about_noise(&three), about_noise(&one)), (1, 0), "{:?}", three.warnings);
}

fn bullseye_params(recipe: Recipe) -> Params {
    Params {
        template: Some(data("bullseye/template.npy").display().to_string()),
        log_std: true,
        feature_peaks: 500,
        position_weight: 0.0,
        distance_threshold: Some(140.0),
        recipe,
        ..Params::default()
    }
}

fn bullseye_follows_libertem(backend: &Backend) {
    let scan = open(&asset("bullseye.h5"));
    let r = run(&*scan, &bullseye_params(Recipe::Published), backend);
    check_maps(&*scan, "bullseye", "npz", &r);
    assert!(
        of_maximum(
            &flat(&r.logsum_correlation),
            &flat(&matrix("bullseye/logsum_correlation.npz"))
        ) < 1e-5
    );
    let zero = matrix("bullseye/zero_peak.npy");
    assert_eq!(r.zero_peak.unwrap(), [zero[[0, 0]], zero[[0, 1]]]);
    assert_eq!(r.clusters, 8);
    assert_eq!(
        adjusted_rand_index(&r.labels, &labels("bullseye/ward_labels.npy")).unwrap(),
        1.0
    );
    let coarse = r.tree.as_ref().unwrap().cut_distance(200.0).unwrap();
    assert_eq!(
        adjusted_rand_index(&coarse, &labels("bullseye/ward_labels_notebook_threshold.npy")).unwrap(),
        1.0
    );
}

#[test]
fn bullseye_follows_libertem_on_the_cpu() {
    bullseye_follows_libertem(&Backend::Cpu);
}

#[test]
fn bullseye_follows_libertem_on_the_gpu() {
    bullseye_follows_libertem(&gpu());
}

#[test]
fn bullseye_by_default_has_no_shift_and_eight_grains() {
    let scan = open(&asset("bullseye.h5"));
    let params = Params {
        distance_threshold: None,
        ..bullseye_params(Recipe::Default)
    };
    let r = run(&*scan, &params, &Backend::Cpu);
    // The mean direct beam lies at (124.2, 125.6): `tests/data/README.md`.
    let [y, x] = r.zero_peak.unwrap();
    assert!((y - 124.2).abs() <= 0.5 && (x - 125.6).abs() <= 0.5, "({y}, {x})");
    assert_eq!(r.clusters, 8);
    assert_eq!(
        adjusted_rand_index(&r.labels, &labels("bullseye/true_grain_id.npy")).unwrap(),
        1.0
    );
}

#[test]
fn given_peaks_and_labels_replace_their_steps() {
    let (_dir, path) = polycrystal();
    let scan = open(&path);
    let selection = Selection::from_rect(scan.info().nav, 0..20, 5..30).unwrap();
    let truth = Array2::from_shape_vec((40, 50), labels("polycrystal/true_grain_id.npy")).unwrap();
    let given = Given {
        peaks: Some(vec![[71, 72], [30, 40]]),
        labels: Some(truth.clone()),
    };
    let params = Params::default();
    let r = cluster::run(
        &*scan,
        selection.clone(),
        template(&params),
        given,
        &params,
        &Backend::Cpu,
        &control(),
    )
    .unwrap();
    assert_eq!(r.peaks, [[71, 72], [30, 40]]);
    assert_eq!(r.features.dim(), (500, 2));
    let wanted: Vec<i32> = selection.iter().map(|i| truth[[i as usize / 50, i as usize % 50]]).collect();
    assert_eq!(r.labels, wanted);
    assert!(r.tree.is_none() && r.choice.is_none());
}
