//! Patterns and their neighbours: averages, similarity, comparison with templates, shifts, image quality; against the reference arrays, slow
//! float64 versions, and between the backends.

mod common;
#[allow(dead_code)]
#[path = "parity/data.rs"]
mod data;
#[allow(dead_code)]
#[path = "parity/driver.rs"]
mod driver;
mod ebsd_support;

use common::disorder;
use common::{Mix, gpu};
use data::{Random, for_all_pixels};
use driver::{Case, open_small, run};
use ebsd_support::{array, plane, stack};
use emstream::Control;
use emstream::analysis::shift::{Registration, fisher_z};
use emstream::analysis::spectrum::radial_power;
use emstream::backend::cpu::isa::Isa;
use emstream::backend::gpu::{Fault, FaultPoint, Gpu};
use emstream::backend::stage::CpuStage;
use emstream::engine::Backend;
use emstream::io::ebsd::{Geometry, MapData, PatternMap};
use emstream::io::memory::MemoryScan;
use emstream::kernels::neighbours::{self, Lists, Measure, noise, similarity_weight};
use emstream::kernels::quality;
use emstream::pixel::{Frames, Sample};
use emstream::workflows::Timings;
use emstream::workflows::ebsd::average::{self, Dtype, Shape};
use emstream::workflows::ebsd::compare::{self, Likeness, gaussian_weights};
use emstream::workflows::ebsd::points;
use emstream::workflows::ebsd::process::{self, StaticArg};
use emstream::workflows::ebsd::quality as quality_maps;
use ndarray::{Array2, Array4, ArrayD, Axis, Ix4, s};
use std::sync::Arc;
use tempfile::TempDir;

/// Patterns (rows, columns, h, w) as a map.
fn map<T: Sample>(patterns: &ArrayD<T>) -> PatternMap {
    let &[rows, columns, h, w] = patterns.shape() else {
        panic!("four axes")
    };
    let pixels = patterns.iter().copied().collect();
    PatternMap {
        scan: Box::new(MemoryScan::new([rows, columns], [h, w], pixels).unwrap()),
        present: Array2::from_elem((rows, columns), true),
        static_background: None,
        data: MapData::new([rows, columns]),
        geometry: Geometry::default(),
        dialect: String::new(),
        group: None,
    }
}

/// Averaged patterns of a map (rows, columns, h, w), zeros where there is none.
fn averaged(map: &PatternMap, params: &average::Params, backend: &Backend, control: &Control) -> Array4<f64> {
    let dir = TempDir::new().unwrap();
    let output = dir.path().join("averaged.h5");
    let selection = points(map).unwrap();
    let job = average::Job {
        map,
        selection: &selection,
        params,
        effective: "x = 1\n".into(),
    };
    let done = job.run(None, &output, false, backend, control).unwrap();
    assert_eq!(done.patterns, selection.len());
    let page = std::fs::read_to_string(done.report).unwrap();
    assert!(page.contains("data:image/png") && dir.path().join("averaged.params.toml").exists());
    let found = ebsd_support::open(&output, Some("AveragedPatterns"));
    assert_eq!(found.present, map.present);
    let info = found.scan.info();
    let ([rows, columns], frame) = (info.nav, info.frame);
    let mut out = Array4::zeros((rows, columns, frame.height, frame.width));
    for ((y, x), _) in map.present.indexed_iter().filter(|(_, p)| **p) {
        let one = emstream::workflows::read_frame(&*found.scan, (y * columns + x) as u64, control).unwrap();
        out.slice_mut(s![y, x, .., ..]).assign(&one);
    }
    out
}

fn backends() -> [(&'static str, Backend); 2] {
    [("cpu", Backend::Cpu), ("gpu", gpu())]
}

#[test]
fn sums_of_the_reference() {
    let patterns = array::<u16>("neighbours.npz", "map_thin");
    for (name, backend) in backends() {
        for (radius, at) in [(1, vec![[0, 0], [21, 5], [10, 7]]), (3, vec![[10, 7]]), (2, vec![[21, 15]])] {
            let params = average::Params {
                radius,
                ..average::Params::default()
            };
            let found = averaged(&map(&patterns), &params, &backend, &Control::new());
            for [x, y] in at {
                let key = format!("x{x}_y{y}_n{radius}");
                let sum = plane("neighbours.npz", &format!("sum_{key}"));
                let count = array::<f64>("neighbours.npz", &format!("count_{key}")).sum();
                for (f, s) in found.slice(s![y, x, .., ..]).iter().zip(&sum) {
                    assert!((f * count - s).abs() <= 2e-7 * s, "{name} {key}: {f} {}", s / count);
                }
            }
        }
        // The pattern to the right is missing.
        let mut holed = map(&patterns);
        holed.present[[7, 11]] = false;
        let found = averaged(&holed, &average::Params::default(), &backend, &Control::new());
        let (sum, count) = (
            plane("neighbours.npz", "hole_sum"),
            array::<f64>("neighbours.npz", "hole_count").sum(),
        );
        for (f, s) in found.slice(s![7, 10, .., ..]).iter().zip(&sum) {
            assert!((f * count - s).abs() <= 2e-7 * s, "{name}: {f} {}", s / count);
        }
    }
}

#[test]
fn averages_of_processed_patterns_and_of_kikuchipy() {
    for (name, backend) in backends() {
        let dir = TempDir::new().unwrap();
        let raw = map(&array::<u16>("neighbours.npz", "around"));
        let background = plane("neighbours.npz", "static_binned");
        let selection = points(&raw).unwrap();
        let params = process::Params {
            static_background: StaticArg::Divide,
            sigma: 2.4,
            low: 0.5,
            high: 99.5,
            ..process::Params::default()
        };
        let job = process::Job {
            map: &raw,
            selection: &selection,
            params: &params,
            background: Some(&background),
            effective: String::new(),
        };
        let path = dir.path().join("processed.h5");
        job.run(None, &path, false, &backend, &Control::new()).unwrap();
        let processed = ebsd_support::open(&path, None);
        let found = averaged(&processed, &average::Params::default(), &backend, &Control::new());
        let wanted = plane("neighbours.npz", "processed_mean");
        let found = ebsd_support::thin(&found.slice(s![1, 1, .., ..]).to_owned());
        let apart: Vec<f64> = found.iter().zip(&wanted).map(|(f, w)| (f - w).abs()).collect();
        // Nine patterns, each within 1 and in 99.5 % of its pixels the same.
        let same = apart.iter().filter(|d| **d < 1e-4).count() as f64 / apart.len() as f64;
        let worst = apart.iter().copied().fold(0.0, f64::max);
        assert!(same >= 0.95 && worst <= 2.0 / 9.0 + 1e-4, "{name}: {same} {worst}");

        let patterns = map(&array::<u16>("kikuchipy.npz", "map_raw"));
        let kikuchipy = |shape, std| average::Params {
            shape,
            std,
            dtype: Dtype::U16,
            rescale: true,
            ..average::Params::default()
        };
        let circle = averaged(&patterns, &kikuchipy(Shape::Circle, None), &backend, &Control::new());
        let gauss = averaged(&patterns, &kikuchipy(Shape::Square, Some(1.0)), &backend, &Control::new());
        let of_circle = array::<f64>("kikuchipy.npz", "average_circular3_u16");
        let of_gauss = array::<f64>("neighbours.npz", "average_gauss3_std1_u16");
        let sets = [
            ("circle", circle.slice(s![..2, ..3, .., ..]), of_circle),
            ("gauss", gauss.slice(s![1..2, 1..3, .., ..]), of_gauss),
        ];
        for (what, found, wanted) in sets {
            assert_eq!(found.len(), wanted.len());
            let (same, worst) = ebsd_support::agreement(found.iter().copied(), wanted.iter().copied());
            assert!(same >= 0.99 && worst <= 1.0, "{name} {what}: {same} {worst}");
        }
    }
}

#[test]
fn similarity_with_neighbours_of_the_reference() {
    let near = |name: &str, found: f64, wanted: f64| assert!((found - wanted).abs() < 2e-6, "{name}: {found} {wanted}");
    for (name, backend) in backends() {
        let compared = |patterns: &PatternMap| {
            let selection = points(patterns).unwrap();
            let params = compare::Params::default();
            let job = compare::Job {
                map: patterns,
                selection: &selection,
                params: &params,
                weights: None,
            };
            job.neighbours(&mut Timings::default(), &backend, &Control::new()).unwrap()
        };
        let processed = compared(&map(&array::<u8>("kikuchipy.npz", "map_processed")));
        let adp = plane("kikuchipy.npz", "adp_processed");
        let matrices = array::<f64>("kikuchipy.npz", "ndp_matrices_processed");
        // The last row and column have neighbours in the whole map that are missing here.
        for y in 0..2 {
            for x in 0..3 {
                near(name, processed.mean[[y, x]], adp[[y, x]]);
                for (i, j) in (0..3).flat_map(|i| (0..3).map(move |j| (i, j))) {
                    let (f, w) = (f64::from(processed.each[[y, x, i, j]]), matrices[[y, x, i, j]]);
                    assert!(
                        f.is_nan() == w.is_nan() && (f.is_nan() || (f - w).abs() < 2e-6),
                        "{name}: {f} {w}"
                    );
                }
            }
        }
        let raw = compared(&map(&array::<u16>("neighbours.npz", "raw_corner")));
        let adp = plane("neighbours.npz", "adp_raw");
        adp.indexed_iter().for_each(|(at, &w)| near(name, raw.mean[at], w));
        let (right, down) = (plane("neighbours.npz", "ncc_right"), plane("neighbours.npz", "ncc_down"));
        for ((y, x), &w) in right.indexed_iter() {
            near(name, f64::from(raw.each[[y, x, 1, 2]]), w);
            near(name, f64::from(raw.each[[y, x + 1, 1, 0]]), w);
        }
        down.indexed_iter()
            .for_each(|((y, x), &w)| near(name, f64::from(raw.each[[y, x, 2, 1]]), w));
    }
}

/// Patterns (n, h, w) of the reference as templates, and as a map of one row.
fn templates<T: emstream::io::array::Element + Sample>(file: &str, name: &str) -> PatternMap {
    let patterns = array::<T>(file, name);
    let patterns = if patterns.ndim() == 2 {
        patterns.insert_axis(Axis(0))
    } else {
        patterns
    };
    map(&patterns.insert_axis(Axis(0)))
}

#[test]
fn masked_and_weighted_comparison_of_the_reference() {
    let (raw, processed) = (
        templates::<u16>("patterns.npz", "raw"),
        templates::<u8>("patterns.npz", "processed"),
    );
    let disk = Array2::from_shape_fn((120, 160), |(y, x)| {
        f64::from(u8::from((x as f64 - 80.0).hypot(y as f64 - 60.0) <= 64.0))
    });
    let noise = templates::<u8>("neighbours.npz", "noise");
    let (small, dictionary) = (
        templates::<u8>("similarity.npz", "experimental"),
        templates::<u8>("similarity.npz", "patterns"),
    );
    type Set<'a> = (&'a str, &'a PatternMap, &'a PatternMap, Likeness, Option<Array2<f64>>);
    let sets: [Set<'_>; 9] = [
        ("ncc_raw", &raw, &raw, Likeness::Ncc, None),
        ("nip_raw", &raw, &raw, Likeness::Nip, None),
        ("ncc_processed", &processed, &processed, Likeness::Ncc, None),
        ("nip_processed", &processed, &processed, Likeness::Nip, None),
        ("ncc_disk04", &processed, &processed, Likeness::Ncc, Some(disk)),
        (
            "ncc_gauss",
            &processed,
            &processed,
            Likeness::Ncc,
            Some(gaussian_weights(120, 160, 30.0)),
        ),
        ("ncc_noise", &processed, &noise, Likeness::Ncc, None),
        ("nip_noise", &processed, &noise, Likeness::Nip, None),
        ("ncc", &small, &dictionary, Likeness::Ncc, None),
    ];
    for (name, patterns, templates, metric, weights) in sets {
        let templates = &*templates.scan;
        let n = templates.info().frames() as usize;
        let params = compare::Params {
            metric,
            keep: n,
            ..compare::Params::default()
        };
        let selection = points(patterns).unwrap();
        let job = compare::Job {
            map: patterns,
            selection: &selection,
            params: &params,
            weights,
        };
        let found = job
            .templates(templates, &mut Timings::default(), &Backend::Cpu, &Control::new())
            .unwrap();
        let wanted = array::<f64>("similarity.npz", name);
        let wanted = wanted.into_shape_with_order((6, n)).unwrap();
        for ((i, j), &t) in found.index.indexed_iter() {
            let (f, w) = (found.score[[i, j]], wanted[[i, t as usize]]);
            assert!((f - w).abs() < 2e-6, "{name} {i} {t}: {f} {w}");
        }
        // Little memory: templates and patterns come in parts, with the same result.
        let few = compare::Params {
            keep: 2.min(n),
            ..params.clone()
        };
        let job = compare::Job { params: &few, ..job };
        let results = (6 * n.min(2) * 24) as u64;
        let control = Control {
            memory: results + 2 * 40 * 8 * templates.info().frame.pixels() as u64,
            ..Control::new()
        };
        let parts = job
            .templates(templates, &mut Timings::default(), &Backend::Cpu, &control)
            .unwrap();
        assert_eq!(parts.index, found.index.slice(s![.., ..n.min(2)]), "{name}");
        if name == "ncc" {
            let top = array::<i64>("similarity.npz", "top5");
            assert!((0..6).all(|i| i64::from(found.index[[i, 0]]) == top[[i, 0]]));
        }
        if name == "ncc_processed" {
            let z = plane("similarity.npz", "fisher_z");
            for ((i, j), &t) in found.index.indexed_iter().filter(|(_, t)| **t < 6) {
                if i != t as usize {
                    assert!((fisher_z(found.score[[i, j]]) - z[[i, t as usize]]).abs() < 1e-5);
                }
            }
            (0..6).for_each(|i| assert!((fisher_z(1.0) - z[[i, i]]).abs() < 1e-6));
        }
    }
}

#[test]
fn shifts_of_the_reference() {
    let scalar = |name: &str| array::<f64>("similarity.npz", name).sum();
    let pair = |name: &str| array::<f64>("similarity.npz", name).iter().copied().collect::<Vec<f64>>();
    let processed = stack("patterns.npz", "processed");
    let (a, b) = (processed.index_axis(Axis(0), 0), processed.index_axis(Axis(0), 4));
    let cell = scalar("fft_cell") as usize;
    let registration = Registration::new(a, [cell, cell]).unwrap();
    let map = registration.map(b).unwrap();
    assert!((map[[0, 0]] - scalar("ncc_direct")).abs() < 1e-12);
    // The reference rolls the second pattern: so does the map.
    let shift = pair("fft_shift");
    let rolled = |y: usize, x: usize| map[[(y + cell - shift[0] as usize) % cell, (x + cell - shift[1] as usize) % cell]];
    assert!((rolled(shift[0] as usize, shift[1] as usize) - scalar("ncc_at_fft_shift")).abs() < 1e-12);
    let peak = pair("fft_peak_index");
    assert!((rolled(peak[0] as usize, peak[1] as usize) - scalar("fft_peak_value")).abs() < 1e-12);
    assert!(map.iter().all(|&v| v <= scalar("fft_peak_value") + 1e-12));

    // A cell with the pattern, moved by a Fourier shift: a trigonometric polynomial, evaluated elsewhere.
    let [dy, dx] = [12.4, 3.32];
    let mut image = Array2::<f64>::zeros((cell, cell));
    let mean = a.mean().unwrap();
    image.slice_mut(s![..120, ..160]).assign(&a.mapv(|v| v - mean));
    let moved = |image: &Array2<f64>, d: f64| {
        // Along the last axis, by its definition.
        let n = image.ncols();
        let kernel: Vec<f64> = (0..n)
            .map(|j| {
                let t = j as f64 - d;
                let half = (n / 2) as i64;
                let term = |k: i64| (std::f64::consts::TAU * k as f64 * t / n as f64).cos();
                ((1 - half)..half).map(term).sum::<f64>() / n as f64 + term(half) / n as f64
            })
            .collect();
        Array2::from_shape_fn(image.dim(), |(y, x)| {
            (0..n).map(|i| image[[y, i]] * kernel[(x + n - i) % n]).sum::<f64>()
        })
    };
    let along_x = moved(&image, dx);
    let both = moved(&along_x.t().to_owned(), dy).t().to_owned();
    let found = Registration::new(image.view(), [cell, cell])
        .unwrap()
        .find(both.view(), 200)
        .unwrap();
    let wanted = pair("subpixel_found");
    for k in 0..2 {
        // The reference gives the shift that moves the image back.
        assert!((found.shift[k] + wanted[k]).abs() <= 0.005 + 1e-9, "{found:?} {wanted:?}");
        assert!((found.shift[k] + pair("subpixel_true")[k]).abs() <= 0.005 + 1e-9);
    }
    assert!(found.height > 0.99);
    let same = Registration::new(a, [135, 180]).unwrap().find(a, 100).unwrap();
    assert!(same.shift == [0.0, 0.0] && (same.height - 1.0).abs() < 1e-9);
    let flat = Registration::new(a, [135, 180])
        .unwrap()
        .find(Array2::ones((120, 160)).view(), 10)
        .unwrap();
    assert!(flat.shift[0].is_nan() && flat.height.is_nan());
    assert!(Registration::new(a, [100, 180]).is_err());
    assert!(registration.find(Array2::ones((3, 3)).view(), 10).is_err());

    let wanted = array::<f64>("neighbours.npz", "radial_power");
    let power = radial_power(a);
    assert_eq!(power.len(), wanted.len());
    for (f, w) in power.iter().zip(&wanted) {
        // The mean is gone: the first ring holds nothing but rounding.
        assert!((f - w).abs() < 1e-9 * w + 1e-20, "{f} {w}");
    }
}

#[test]
fn qualities_of_the_reference() {
    let sets: [(&str, PatternMap, bool, Array2<f64>); 4] = [
        (
            "iq_raw_full",
            templates::<u16>("patterns.npz", "raw"),
            false,
            row("kikuchipy.npz", "iq_raw_full"),
        ),
        (
            "iq_raw_not_normalized",
            templates::<u16>("patterns.npz", "raw"),
            true,
            row("kikuchipy.npz", "iq_raw_not_normalized"),
        ),
        (
            "iq_raw_corner",
            map(&array::<u16>("neighbours.npz", "raw_corner")),
            false,
            plane("neighbours.npz", "iq_raw_corner"),
        ),
        (
            "iq_processed_binned",
            map(&array::<u8>("kikuchipy.npz", "map_processed")),
            false,
            plane("kikuchipy.npz", "iq_processed_binned"),
        ),
    ];
    for (which, patterns, keep_mean, wanted) in sets {
        let selection = points(&patterns).unwrap();
        for (name, backend) in backends() {
            let params = quality_maps::Params { keep_mean };
            let found = quality_maps::maps(&patterns, &selection, &params, &backend, &Control::new()).unwrap();
            for (at, w) in wanted.indexed_iter() {
                assert!((found.iq[at] - w).abs() < 2e-6, "{name} {which} {at:?}: {} {w}", found.iq[at]);
            }
            let first = emstream::workflows::read_frame(&*patterns.scan, 0, &Control::new()).unwrap();
            let near = |f: f64, w: f64| assert!((f / w - 1.0).abs() < 2e-6, "{name} {which}: {f} {w}");
            near(found.mean[[0, 0]], first.mean().unwrap());
            near(found.std[[0, 0]], first.std(0.0));
        }
    }
}

/// One number a pattern as a map of one row.
fn row(file: &str, name: &str) -> Array2<f64> {
    let values = array::<f64>(file, name);
    let n = values.len();
    values.into_shape_with_order((1, n)).unwrap()
}

/// Pixels of every frame of a case as float64.
fn pixels<T: Random>(case: &Case<T>) -> Vec<Vec<f64>> {
    (0..case.frames)
        .map(|f| case.frame(f).iter().map(|v| v.to_f64()).collect())
        .collect()
}

fn bytes<T: Random>(case: &Case<T>) -> Vec<u32> {
    let stride = case.shape.stride();
    let mut words = vec![0u32; stride / 4 * case.frames];
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
    for (n, to) in bytes.chunks_exact_mut(stride).enumerate() {
        to[..case.shape.bytes()].copy_from_slice(bytemuck::cast_slice(case.frame(n)));
    }
    words
}

/// Σ w … of two patterns, slowly.
fn measure(measure: Measure, a: &[f64], b: &[f64], w: &[f64]) -> f64 {
    let sum = |f: &dyn Fn(usize) -> f64| (0..a.len()).map(|i| w[i] * f(i)).sum::<f64>();
    let all: f64 = w.iter().sum();
    let (ma, mb) = match measure {
        Measure::Correlation => (sum(&|i| a[i]) / all, sum(&|i| b[i]) / all),
        _ => (0.0, 0.0),
    };
    if measure == Measure::Difference {
        return sum(&|i| (a[i] - b[i]).powi(2));
    }
    let norm = (sum(&|i| (a[i] - ma).powi(2)) * sum(&|i| (b[i] - mb).powi(2))).sqrt();
    if norm > 0.0 {
        sum(&|i| (a[i] - ma) * (b[i] - mb)) / norm
    } else {
        0.0
    }
}

fn check_neighbours<T: Random>(gpu: &Arc<Gpu>, shape: (usize, usize), weighted: bool) {
    let case = Case::<T>::new(shape, 11, 5);
    let words = bytes(&case);
    let frames = Frames::new(case.shape, 0, case.frames, bytemuck::cast_slice(&words)).unwrap();
    let values = pixels(&case);
    let n = case.shape.pixels();
    let weights: Vec<f64> = (0..n).map(|i| if weighted { (i % 3) as f64 + 0.25 } else { 1.0 }).collect();
    let mut lists = Lists::default();
    for i in 0..case.frames as u32 {
        lists.push((0..=i % 5).map(|k| ((i + k) % 11, 1.0 + k as f32 / 2.0)));
    }
    lists.push([]);
    let pairs: Vec<[u32; 2]> = (0..11).flat_map(|i| [[i, (i + 1) % 11], [i, i]]).collect();
    for kind in [Measure::Difference, Measure::Correlation, Measure::InnerProduct] {
        let params = neighbours::Params {
            frame: case.shape,
            measure: kind,
            weights: weighted.then(|| weights.iter().map(|&w| w as f32).collect()),
        };
        let mut stages = vec![("gpu", neighbours::gpu::stage(gpu, &params, case.frames).unwrap())];
        stages.extend(
            Isa::available()
                .into_iter()
                .map(|isa| (isa.name(), neighbours::cpu::stage_with(isa, &params).unwrap())),
        );
        let mut first: Option<(Vec<f32>, Vec<f32>)> = None;
        for (name, mut stage) in stages {
            let means = stage.means(frames, &lists).unwrap();
            assert_eq!(means.len(), 12 * n);
            assert!(
                means[11 * n..].iter().all(|v| v.is_nan()),
                "{name}: an empty list has no mean"
            );
            for (i, mean) in means.chunks_exact(n).take(11).enumerate() {
                let total: f64 = lists.of(i).iter().map(|m| f64::from(m.1)).sum();
                for (p, &found) in mean.iter().enumerate() {
                    let term = |m: &(u32, f32)| f64::from(m.1) * values[m.0 as usize][p];
                    let wanted = lists.of(i).iter().map(term).sum::<f64>() / total;
                    let scale = lists.of(i).iter().map(|m| term(m).abs()).sum::<f64>() / total;
                    assert!(
                        (f64::from(found) - wanted).abs() <= 1e-6 * scale,
                        "{name} {case:?}: {found} {wanted}"
                    );
                }
            }
            let measures = stage.pairs(frames, &pairs).unwrap();
            for (&[a, b], &found) in pairs.iter().zip(&measures) {
                let (a, b) = (&values[a as usize], &values[b as usize]);
                let wanted = measure(kind, a, b, &weights);
                let scale = match kind {
                    Measure::Difference => (0..n).map(|i| weights[i] * (a[i].abs() + b[i].abs()).powi(2)).sum(),
                    _ => 1.0,
                };
                assert!(
                    (f64::from(found) - wanted).abs() <= 2e-6 * scale,
                    "{name} {kind:?} {case:?}: {found} {wanted}"
                );
            }
            if name != "gpu" {
                let bits = (means[..11 * n].to_vec(), measures);
                assert_eq!(&bits, first.get_or_insert_with(|| bits.clone()), "{name}: other bits");
            }
        }
    }
}

#[test]
fn neighbours_on_all_backends() {
    let gpu = Arc::new(open_small());
    for (shape, weighted) in [((1, 1), false), ((3, 5), true), ((17, 13), false), ((33, 47), true)] {
        for_all_pixels!(T => check_neighbours::<T>(&gpu, shape, weighted));
    }
}

#[test]
fn pixels_without_a_number_are_left_out() {
    let mut values = vec![1.0f32, 2.0, 3.0, 5.0, f32::NAN, 4.0, 2.0, 8.0, f32::INFINITY, 1.0, 7.0, 1.0];
    values.extend([f32::NAN; 4]);
    let case = Case::of((1, 4), 4, values);
    let words = bytes(&case);
    let frames = Frames::new(case.shape, 0, 4, bytemuck::cast_slice(&words)).unwrap();
    let mut lists = Lists::default();
    lists.push([(0, 1.0), (1, 1.0), (2, 2.0)]);
    lists.push([(3, 1.0)]);
    let params = neighbours::Params {
        frame: case.shape,
        measure: Measure::Difference,
        weights: None,
    };
    let gpu = Arc::new(open_small());
    for mut stage in [
        neighbours::cpu::stage(&params).unwrap(),
        neighbours::gpu::stage(&gpu, &params, 4).unwrap(),
    ] {
        let means = stage.means(frames, &lists).unwrap();
        assert_eq!(means[..4], [1.0, 2.0, 4.75, 3.75]);
        assert!(means[4..].iter().all(|v| v.is_nan()));
        assert_eq!(stage.pairs(frames, &[[0, 1]]).unwrap(), [1.0 + 4.0 + 1.0 + 9.0]);
        let mut far = Lists::default();
        far.push([(4, 1.0)]);
        assert!(stage.means(frames, &far).is_err() && stage.pairs(frames, &[[0, 4]]).is_err());
    }
    let wrong = |w: Vec<f32>| neighbours::Params {
        weights: Some(w.into()),
        ..params.clone()
    };
    for w in [vec![1.0; 3], vec![0.0; 4], vec![1.0, 1.0, -1.0, 1.0], vec![f32::NAN; 4]] {
        assert!(neighbours::cpu::stage(&wrong(w)).is_err());
    }
}

/// Σ|F| k² / Σ|F| against its largest value, by the definition.
fn slow_quality(pattern: &[f64], h: usize, w: usize) -> f64 {
    let mean = pattern.iter().sum::<f64>() / pattern.len() as f64;
    let frequency = |i: usize, n: usize| if i < n / 2 { (i + 1) as f64 } else { i as f64 - n as f64 };
    let (mut power, mut weighted, mut squares) = (0.0, 0.0, 0.0);
    for ky in 0..h {
        for kx in 0..w {
            let (mut re, mut im) = (0.0, 0.0);
            for (i, v) in pattern.iter().enumerate() {
                let (y, x) = (i / w, i % w);
                let turn = (ky * y % h) as f64 / h as f64 + (kx * x % w) as f64 / w as f64;
                let (s, c) = (std::f64::consts::TAU * turn).sin_cos();
                re += (v - mean) * c;
                im -= (v - mean) * s;
            }
            let k2 = frequency(ky, h).powi(2) + frequency(kx, w).powi(2) - 1.0;
            let f = re.hypot(im);
            power += f;
            weighted += f * k2;
            squares += k2;
        }
    }
    1.0 - weighted / power / (squares / (h * w) as f64)
}

fn check_quality<T: Random>(gpu: &Gpu, shape: (usize, usize)) {
    let frames = 20;
    let case = Case::<T>::new(shape, frames, 3);
    let values = pixels(&case);
    let plan = quality::Plan::new(case.shape, true).unwrap();
    let words = bytes(&case);
    let mut all: Vec<(&str, Vec<f32>)> = Vec::new();
    for isa in Isa::available() {
        let mut stage: Box<dyn CpuStage<Part = quality::Part>> = quality::cpu::stage_with(isa, plan.clone()).unwrap();
        let frames = Frames::new(case.shape, 0, frames, bytemuck::cast_slice(&words)).unwrap();
        stage.frames(frames).unwrap();
        all.push((isa.name(), stage.end_leaf().unwrap().unwrap().values));
    }
    let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    let same = all.windows(2).all(|w| bits(&w[0].1) == bits(&w[1].1));
    assert!(same, "{case:?}: instruction sets differ");
    let mut stage = quality::gpu::stage(gpu, plan).unwrap();
    let parts = run(gpu, &case, stage.as_mut(), &[8, 12]).leaves;
    all.push(("gpu", parts.into_iter().flat_map(|(_, p)| p.values).collect()));
    for (name, found) in [&all[0], &all[all.len() - 1]] {
        assert_eq!(found.len(), 3 * frames);
        for (pattern, found) in values.iter().zip(found.chunks_exact(3)) {
            let n = pattern.len() as f64;
            let mean = pattern.iter().sum::<f64>() / n;
            let std = (pattern.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
            let largest = pattern.iter().map(|v| v.abs()).fold(0.0, f64::max);
            assert!((f64::from(found[1]) - mean).abs() <= 2e-6 * largest, "{name} {case:?}");
            assert!((f64::from(found[2]) - std).abs() <= 2e-6 * largest, "{name} {case:?}");
            if std > 0.0 {
                let wanted = slow_quality(pattern, shape.0, shape.1);
                assert!(
                    (f64::from(found[0]) - wanted).abs() <= 5e-6,
                    "{name} {case:?}: {} {wanted}",
                    found[0]
                );
            } else {
                assert!(found[0].is_nan());
            }
        }
    }
}

#[test]
fn quality_on_all_backends() {
    let gpu = open_small();
    for shape in [(1, 1), (1, 6), (7, 1), (5, 8), (17, 34), (20, 19)] {
        check_quality::<u16>(&gpu, shape);
        check_quality::<f32>(&gpu, shape);
    }
    for_all_pixels!(T => check_quality::<T>(&gpu, (6, 9)));
    assert!(quality::Plan::new(Case::<u8>::new((2, 20000), 1, 1).shape, true).is_err());
}

/// Two grains side by side with a clear pattern each and noise; and the patterns without noise.
fn grains(noise: f64) -> (ArrayD<f32>, Array4<f64>) {
    let shape = (9, 12, 16, 18);
    let clean = Array4::from_shape_fn(shape, |(_, c, y, x)| match c < 6 {
        true => 100.0 + 20.0 * (0.6 * x as f64).sin(),
        false => 100.0 + 20.0 * (0.5 * y as f64 + 0.3 * x as f64).cos(),
    });
    let mut mix = Mix(5);
    let noisy = clean.mapv(|v| {
        // A sum of twelve uniform numbers: nearly normal, variance 1.
        let sum: f64 = (0..12).map(|_| mix.next() as f64 / u64::MAX as f64).sum();
        (v + noise * (sum - 6.0)) as f32
    });
    (noisy.into_dyn(), clean)
}

/// The same by the definition.
fn slow_nlpar(patterns: &ArrayD<f32>, radius: isize, lambda: f64) -> Array4<f64> {
    let patterns = patterns.mapv(f64::from).into_dimensionality::<Ix4>().unwrap();
    let (rows, columns, h, w) = patterns.dim();
    let pixels = h * w;
    let of = |y: usize, x: usize| patterns.slice(s![y, x, .., ..]);
    let difference = |a: [usize; 2], b: [usize; 2]| {
        let d = &of(a[0], a[1]) - &of(b[0], b[1]);
        d.iter().map(|v| v * v).sum::<f64>()
    };
    let around = |y: usize, x: usize, r: isize| {
        let all = (-r..=r).flat_map(move |dy| (-r..=r).map(move |dx| (dy, dx)));
        all.filter_map(move |(dy, dx)| Some([y.checked_add_signed(dy)?, x.checked_add_signed(dx)?]))
            .filter(move |p| p[0] < rows && p[1] < columns)
    };
    let variance = Array2::from_shape_fn((rows, columns), |(y, x)| {
        let others = around(y, x, 1).filter(|p| *p != [y, x]);
        noise(others.map(|p| difference([y, x], p)), pixels).unwrap()
    });
    let mut out = Array4::zeros((rows, columns, h, w));
    for (y, x) in (0..rows).flat_map(|y| (0..columns).map(move |x| (y, x))) {
        let (mut sum, mut total) = (Array2::<f64>::zeros((h, w)), 0.0);
        for p in around(y, x, radius) {
            let weight = match p == [y, x] {
                true => 1.0,
                false => similarity_weight(difference([y, x], p), pixels, [variance[[y, x]], variance[p]], lambda),
            };
            sum.scaled_add(weight, &of(p[0], p[1]));
            total += weight;
        }
        out.slice_mut(s![y, x, .., ..]).assign(&(sum / total));
    }
    out
}

#[test]
fn non_local_averages_keep_boundaries() {
    let (noisy, clean) = grains(10.0);
    let patterns = map(&noisy);
    let params = average::Params {
        radius: 2,
        nlpar: true,
        ..average::Params::default()
    };
    let wanted = slow_nlpar(&noisy, 2, 0.7);
    let error = |a: &Array4<f64>, columns: std::ops::Range<usize>| {
        let d = &a.slice(s![.., columns.clone(), .., ..]) - &clean.slice(s![.., columns, .., ..]);
        (d.iter().map(|v| v * v).sum::<f64>() / d.len() as f64).sqrt()
    };
    for (name, backend) in backends() {
        let found = averaged(&patterns, &params, &backend, &Control::new());
        let worst = found.iter().zip(&wanted).map(|(f, w)| (f - w).abs()).fold(0.0, f64::max);
        // Weights are exponentials of differences: float32 rounding of these comes through.
        assert!(worst < 5e-3, "{name}: {worst}");
        let equal = average::Params {
            nlpar: false,
            ..params.clone()
        };
        let plain = averaged(&patterns, &equal, &backend, &Control::new());
        let inside = error(&found, 2..4);
        assert!(inside < 5.0, "{name}: {inside} is left of a noise of 10 in the grains");
        let (sharp, blurred) = (error(&found, 5..7), error(&plain, 5..7));
        assert!(sharp < 5.5 && blurred > 7.0, "{name}: {sharp} {blurred} at the boundary");
    }
}

#[test]
fn tiles_threads_and_lost_devices_do_not_change_a_bit() {
    let (noisy, _) = grains(10.0);
    let mut patterns = map(&noisy);
    patterns.present[[4, 5]] = false;
    patterns.present[[0, 0]] = false;
    let params = average::Params {
        radius: 2,
        nlpar: true,
        ..average::Params::default()
    };
    let stride = patterns.scan.info().frame.stride() as u64;
    let each = 2 * stride + 8 * 16 * 18;
    let controls = [
        Control::new(),
        // A few rows at a time; rectangles of three points with their margin.
        Control {
            block: Some(8 * 12 * stride),
            ..Control::new()
        },
        Control {
            memory: 2 * each * 49,
            ..Control::new()
        },
    ];
    for (name, backend) in backends() {
        let mut first = None;
        for control in &controls {
            let found = averaged(&patterns, &params, &backend, control);
            assert_eq!(&found, first.get_or_insert_with(|| found.clone()), "{name}");
        }
        if let Backend::Gpu(device) = &backend {
            for fault in [Fault::OutOfMemory, Fault::Lost] {
                device.current().faults.inject(FaultPoint::Submit, 1, fault);
                let found = averaged(&patterns, &params, &backend, &Control::new());
                assert_eq!(Some(&found), first.as_ref(), "{fault:?}");
            }
        }
        let selection = points(&patterns).unwrap();
        let job = average::Job {
            map: &patterns,
            selection: &selection,
            params: &params,
            effective: String::new(),
        };
        let dir = TempDir::new().unwrap();
        let output = dir.path().join("x.h5");
        let little = Control {
            memory: 2 * each * 20,
            ..Control::new()
        };
        let error = job.run(None, &output, false, &backend, &little).err().unwrap();
        assert!(error.to_string().contains("rows and columns of neighbours"), "{error}");
        let cancelled = Control::new();
        cancelled.cancel();
        assert!(job.run(None, &output, false, &backend, &cancelled).is_err());
        assert!(!output.exists(), "nothing half-written");
    }
}

#[test]
fn parameters_out_of_range_are_refused() {
    let patterns = map(&array::<u16>("neighbours.npz", "around"));
    let selection = points(&patterns).unwrap();
    let refused = |params: average::Params, word: &str| {
        let dir = TempDir::new().unwrap();
        let job = average::Job {
            map: &patterns,
            selection: &selection,
            params: &params,
            effective: String::new(),
        };
        let result = job.run(None, &dir.path().join("x.h5"), false, &Backend::Cpu, &Control::new());
        assert!(result.err().unwrap().to_string().contains(word));
    };
    let default = average::Params::default;
    refused(average::Params { radius: 0, ..default() }, "--radius");
    refused(average::Params { radius: 17, ..default() }, "--radius");
    refused(
        average::Params {
            lambda: 0.0,
            ..default()
        },
        "--lambda",
    );
    refused(
        average::Params {
            std: Some(-1.0),
            ..default()
        },
        "--std",
    );
    refused(
        average::Params {
            dtype: Dtype::U8,
            ..default()
        },
        "--dtype",
    );
    refused(
        average::Params {
            rescale: true,
            ..default()
        },
        "--rescale",
    );
    let params = compare::Params::default();
    let job = compare::Job {
        map: &patterns,
        selection: &selection,
        params: &params,
        weights: None,
    };
    let (mut timings, control) = (Timings::default(), Control::new());
    let others = templates::<u8>("similarity.npz", "patterns");
    let error = job
        .templates(&*others.scan, &mut timings, &Backend::Cpu, &control)
        .err()
        .unwrap();
    assert!(error.to_string().contains("30 × 40"), "{error}");
    assert!(job.reference([3, 0], &mut timings, &control).is_err());
    let ten = compare::Params {
        keep: 10,
        ..params.clone()
    };
    assert!(
        compare::Job { params: &ten, ..job }
            .templates(&*patterns.scan, &mut timings, &Backend::Cpu, &control)
            .is_err()
    );
}

#[test]
fn shifts_over_a_map() {
    // The same pattern, moved by whole pixels from point to point.
    let raw = stack("patterns.npz", "processed");
    let one = raw.index_axis(Axis(0), 1);
    let patterns = Array4::from_shape_fn((2, 3, 90, 120), |(r, c, y, x)| one[[y + 10 - 2 * r, x + 10 + 3 * c]] as f32);
    let patterns = map(&patterns.into_dyn());
    let selection = points(&patterns).unwrap();
    let params = compare::Params::default();
    let job = compare::Job {
        map: &patterns,
        selection: &selection,
        params: &params,
        weights: None,
    };
    let found = job.reference([0, 0], &mut Timings::default(), &Control::new()).unwrap();
    assert!((found.similarity[[0, 0]] - 1.0).abs() < 1e-6 && found.similarity[[1, 2]] < 0.9);
    for r in 0..2 {
        for c in 0..3 {
            // Rows of the pattern seen through a window that moves up: the pattern moves down.
            let wanted = [2.0 * r as f64, -3.0 * c as f64];
            for (found, wanted) in found.shift.slice(s![r, c, ..]).iter().zip(wanted) {
                assert!((found - wanted).abs() < 0.0051, "row {r}, column {c}: {found} {wanted}");
            }
            assert!(found.height[[r, c]] > 0.8);
        }
    }
}
