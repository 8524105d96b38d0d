//! Bands: the transform, its filter and the peaks against scikit-image's, against truth, and against slow versions.

#[allow(dead_code, unused_macros, unused_imports)]
#[path = "parity/data.rs"]
mod data;
#[path = "common/disorder.rs"]
mod disorder;
#[allow(dead_code)]
#[path = "parity/driver.rs"]
mod driver;
mod ebsd_support;

use driver::{Case, open, open_small, run};
use ebsd_support::{array, plane};
use emstream::backend::cpu::isa::Isa;
use emstream::kernels::hough::cpu::Worker;
use emstream::kernels::hough::{self, Params, Peak, Plan, find_peaks, otsu};
use emstream::pixel::{FrameShape, Frames, Pixel};
use std::sync::Arc;

const FRAME: FrameShape = FrameShape {
    pixel: Pixel::U8,
    height: 60,
    width: 80,
};

fn published() -> Arc<Plan> {
    let params = Params {
        published: true,
        ..Params::default()
    };
    Plan::new(FRAME, &params).unwrap()
}
fn input(i: usize) -> Vec<u8> {
    array::<u8>("bands.npz", &format!("input{i}")).into_iter().collect()
}

#[test]
fn thresholds_of_the_reference() {
    for i in 0..4 {
        let mut counts = [0u32; 256];
        input(i).iter().for_each(|&v| counts[usize::from(v)] += 1);
        let wanted = array::<f64>("bands.npz", &format!("otsu{i}"));
        assert_eq!(otsu(&counts) as f64, wanted.iter().copied().next().unwrap(), "pattern {i}");
    }
    assert_eq!(otsu(&[0; 256]), 0);
    let mut one = [0; 256];
    one[7] = 9;
    assert_eq!(otsu(&one), 7);
}

#[test]
fn transform_filter_and_peaks_of_the_reference() {
    let plan = published();
    let theta = array::<f64>("bands.npz", "theta");
    assert!(plan.theta.iter().zip(&theta).all(|(a, b)| (a - b).abs() < 1e-12));
    assert_eq!((plan.rhos, plan.offset), (201, 100));
    for isa in Isa::available() {
        let mut worker = Worker::new(isa, plan.clone());
        (0..4).for_each(|i| {
            worker.set(i, &input(i));
        });
        worker.transform();
        for i in 0..4 {
            if i < 2 {
                let counts = worker.counts(i);
                let wanted = plane("bands.npz", &format!("accumulator{i}"));
                for ((r, t), &w) in wanted.indexed_iter() {
                    assert_eq!(f64::from(counts[t * 201 + r]), w, "pattern {i}, rho {r}, theta {t}");
                }
                let response = worker.response(i);
                let low = *response.iter().min().unwrap();
                let span = f64::from(response.iter().max().unwrap() - low);
                let wanted = plane("bands.npz", &format!("butterfly{i}"));
                for ((r, t), &w) in wanted.indexed_iter() {
                    let found = f64::from(response[5 * t * 201 + 5 * r] - low) / span;
                    assert!((found - w).abs() < 1e-12, "pattern {i}: {found} {w}");
                }
            }
            let wanted = plane("bands.npz", &format!("peaks{i}"));
            let (peaks, quality) = worker.peaks(i);
            assert_eq!(peaks.len(), wanted.nrows(), "pattern {i}");
            assert!(quality > 1.0);
            let mut left: Vec<_> = wanted.rows().into_iter().map(|r| [r[0], r[1], r[2]]).collect();
            for p in &peaks {
                let found = [p.value, plan.theta[p.theta], p.rho as f64 - 100.0];
                let same = |w: &[f64; 3]| (0..3).all(|k| (w[k] - found[k]).abs() < if k == 2 { 1e-9 } else { 1e-6 });
                let at = left.iter().position(same);
                left.remove(at.unwrap_or_else(|| panic!("pattern {i}: {found:?} is not among {left:?}")));
            }
        }
    }
}

#[test]
fn strongest_bands_are_true_ones() {
    // The default: half-open angles, a filter that goes on around the end.
    let plan = Plan::new(FRAME, &Params::default()).unwrap();
    let mut worker = Worker::new(Isa::active(), plan.clone());
    for i in 1..4 {
        worker.set(i, &input(i));
    }
    worker.transform();
    for i in 1..4 {
        let truth = plane("bands.npz", &format!("theta_rho{i}"));
        for p in worker.peaks(i).0.iter().take(4) {
            let (theta, rho) = (plan.theta[p.theta], p.rho as f64 - plan.offset as f64);
            let near = truth.rows().into_iter().any(|line| {
                let turn = (theta - line[0]) / std::f64::consts::PI;
                let other = turn.round();
                let rho = if other as i64 % 2 == 0 { rho } else { -rho };
                (turn - other).abs() * 180.0 <= 2.0 && (rho - line[1]).abs() <= 2.0
            });
            assert!(near, "pattern {i}: {:.1}°, {rho} is no band", theta.to_degrees());
        }
    }
}

#[test]
fn one_line_is_found_where_it_is() {
    let (h, w) = (61, 47);
    let frame = FrameShape {
        pixel: Pixel::U16,
        height: h,
        width: w,
    };
    let plan = Plan::new(
        frame,
        &Params {
            theta: 180,
            peaks: 1,
            ..Params::default()
        },
    )
    .unwrap();
    let mut worker = Worker::new(Isa::active(), plan.clone());
    let lines = [
        (-90.0, -30.0),
        (0.0, 20.0),
        (30.0, 35.0),
        (-45.0, -5.0),
        (88.0, 30.0),
        (-60.0, 4.0),
    ];
    for (lane, (degrees, rho)) in lines.iter().enumerate() {
        let (s, c) = f64::to_radians(*degrees).sin_cos();
        let distance = |i: usize| c * (i % w) as f64 + s * (h - 1 - i / w) as f64 - rho;
        let pattern: Vec<u16> = (0..h * w)
            .map(|i| if distance(i).abs() < 2.0 { 900 } else { 100 + (i % 7) as u16 })
            .collect();
        worker.set(lane, &pattern);
    }
    worker.transform();
    for (lane, (degrees, rho)) in lines.iter().enumerate() {
        let p = worker.peaks(lane).0[0];
        let (t, r) = (plan.theta[p.theta].to_degrees(), p.rho as f64 - plan.offset as f64);
        assert!(
            (t - degrees).abs() <= 2.0 && (r - rho).abs() <= 1.5,
            "{t} {r}, expected {degrees} {rho}"
        );
    }
}

#[test]
fn lanes_do_not_mix_and_the_slow_sum_agrees() {
    // Grey values and sizes for counts of 8, 16 and 32 bits.
    for (h, w, grey, group) in [
        (60, 80, false, 64),
        (60, 80, true, 32),
        (21, 400, false, 32),
        (9, 300, true, 16),
    ] {
        let frame = FrameShape {
            pixel: Pixel::U8,
            height: h,
            width: w,
        };
        let params = Params {
            theta: 45,
            grey,
            ..Params::default()
        };
        let plan = Plan::new(frame, &params).unwrap();
        assert_eq!(plan.group(), group);
        let patterns: Vec<Vec<u8>> = (0..group)
            .map(|l| (0..h * w).map(|i| (i * (7 + l) % 251) as u8).collect())
            .collect();
        for isa in Isa::available() {
            let mut worker = Worker::new(isa, plan.clone());
            let thresholds: Vec<usize> = patterns.iter().enumerate().map(|(l, p)| worker.set(l, p)).collect();
            worker.transform();
            for l in [0, 7, group / 2, group - 1] {
                let vote = |v: u8| match grey {
                    true => i32::from(v),
                    false => i32::from(f64::from(v) > params.factor * thresholds[l] as f64),
                };
                let mut slow = vec![0i32; 45 * plan.rhos];
                for (t, theta) in plan.theta.iter().enumerate() {
                    for (i, &v) in patterns[l].iter().enumerate() {
                        let rho = (theta.cos() * (i % w) as f64 + theta.sin() * (h - 1 - i / w) as f64).round();
                        slow[t * plan.rhos + (rho + plan.offset as f64) as usize] += vote(v);
                    }
                }
                assert_eq!(worker.counts(l), slow, "{isa}, {h}×{w}, grey {grey}, lane {l}");
                // Peaks are those of the plain search in the filtered transform.
                let response = worker.response(l);
                let [low, high] = [response.iter().min().unwrap(), response.iter().max().unwrap()];
                assert!(high > low);
                let plain = find_peaks(&response, plan.rhos, params.distance, params.threshold, params.peaks);
                assert_eq!(worker.peaks(l).0, plain, "{isa}, {h}×{w}, grey {grey}, lane {l}");
            }
        }
    }
}

/// Bands of all patterns of a case from a stage of each backend.
fn on_both<T: data::Random>(case: &Case<T>, params: &Params) -> [Vec<f32>; 2] {
    let plan = Plan::new(case.shape, params).unwrap();
    let mut stage = hough::cpu::stage(plan.clone());
    let mut words = vec![0u32; case.shape.stride() / 4 * case.frames];
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
    for (n, to) in bytes.chunks_exact_mut(case.shape.stride()).enumerate() {
        to[..case.shape.bytes()].copy_from_slice(bytemuck::cast_slice(case.frame(n)));
    }
    stage.frames(Frames::new(case.shape, 0, case.frames, bytes).unwrap()).unwrap();
    let cpu = stage.end_leaf().unwrap().unwrap().values;
    let mut gpu = Vec::new();
    for (device, cut) in [(open(), vec![case.frames]), (open_small(), vec![8, case.frames - 8])] {
        let mut stage = hough::gpu::stage(&device, plan.clone()).unwrap();
        let parts = run(&device, case, stage.as_mut(), &cut).leaves;
        let values: Vec<f32> = parts.into_iter().flat_map(|(_, p)| p.values).collect();
        let bits = |v: &[f32]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert!(gpu.is_empty() || bits(&gpu) == bits(&values), "cuts and limits do not matter");
        gpu = values;
    }
    [cpu, gpu]
}

#[test]
fn backends_find_the_same_bands() {
    let inputs: Vec<u8> = (0..4).cycle().take(11).flat_map(input).collect();
    let bytes = Case::of((60, 80), 11, inputs.clone());
    // The darkest and the brightest pixel are one each, in another place of every pattern.
    let word = |(i, &v): (usize, &u8)| match (i / 4800, i % 4800) {
        (n, at) if at == 977 * n % 4800 => 5,
        (n, at) if at == (1409 * n + 13) % 4800 => 60_000,
        _ => 311 + 173 * u16::from(v),
    };
    let words = Case::of((60, 80), 11, inputs.iter().enumerate().map(word).collect());
    let floats: Vec<f32> = inputs
        .iter()
        .enumerate()
        .map(|(i, &v)| match i % 4801 {
            7 => f32::NAN,
            99 => f32::INFINITY,
            100 => f32::NEG_INFINITY,
            _ => 0.1 * f32::from(v) - 3.7 + (i / 4800) as f32,
        })
        .collect();
    let floats = Case::of((60, 80), 11, floats);
    let mut flat = inputs;
    flat[..4800].fill(9);
    let flat = Case::of((60, 80), 11, flat);
    for change in [
        (|_| ()) as fn(&mut Params),
        |p| p.published = true,
        |p| p.grey = true,
        |p| (p.theta, p.peaks, p.threshold, p.factor) = (37, 40, 0.1, 0.8),
    ] {
        let mut params = Params::default();
        change(&mut params);
        let all = [
            on_both(&bytes, &params),
            on_both(&words, &params),
            on_both(&floats, &params),
            on_both(&flat, &params),
        ];
        for (case, [cpu, gpu]) in all.into_iter().enumerate() {
            assert_eq!(cpu.len(), gpu.len());
            let row = 3 * params.peaks + 1;
            for (i, (a, b)) in cpu.iter().zip(&gpu).enumerate() {
                // Bands agree in every bit; the quality's sums of squares are exact on the device only.
                let near = i % row == row - 1 && (a - b).abs() <= 1e-6 * a.abs();
                assert!(
                    near || a.to_bits() == b.to_bits(),
                    "case {case}, {params:?}, number {i}: {a} {b}"
                );
            }
            assert!(
                cpu.iter().filter(|v| v.is_finite()).count() > 11 * 9,
                "case {case}: bands are there"
            );
        }
    }
}

#[test]
fn patterns_beyond_the_device_are_left_to_the_cpu() {
    let wide = FrameShape {
        pixel: Pixel::U8,
        height: 1,
        width: 3000,
    };
    let plan = Plan::new(wide, &Params::default()).unwrap();
    let refused = hough::gpu::stage(&open(), plan).err().map(|e| e.to_string());
    assert!(refused.is_some_and(|e| e.contains("1×3000")));
}

#[test]
fn peaks_of_small_fields() {
    let field = |at: &[(usize, usize, i32)]| {
        let mut f = vec![0; 40 * 61];
        at.iter().for_each(|&(t, r, v)| f[t * 61 + r] = v);
        f
    };
    let found = |f: Vec<i32>| {
        find_peaks(&f, 61, [3, 4], 0.5, 9)
            .iter()
            .map(|p: &Peak| (p.theta, p.rho))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        found(field(&[(10, 30, 9), (12, 31, 8), (10, 40, 7), (30, 5, 4)])),
        [(10, 30), (10, 40)]
    );
    // Two equal neighbours are one peak; the weaker of two on both sides of the end of θ goes, with ρ turned round.
    assert_eq!(found(field(&[(10, 30, 9), (10, 31, 9)])), [(10, 30)]);
    assert_eq!(found(field(&[(39, 20, 9), (1, 41, 8), (1, 20, 7)])), [(39, 20), (1, 20)]);
    assert!(found(vec![5; 40 * 61]).is_empty());
}

#[test]
fn parameters_out_of_range_are_refused() {
    let refused = |change: &dyn Fn(&mut Params), word: &str| {
        let mut p = Params::default();
        change(&mut p);
        let message = Plan::new(FRAME, &p).unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    };
    refused(&|p| p.theta = 3, "--theta");
    refused(&|p| p.peaks = 0, "--peaks");
    refused(&|p| p.factor = f64::NAN, "--factor");
    refused(&|p| p.threshold = 1.0, "--threshold");
    let large = FrameShape {
        pixel: Pixel::U8,
        height: 4000,
        width: 4000,
    };
    assert!(Plan::new(large, &Params::default()).is_err());
}
