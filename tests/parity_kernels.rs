//! Every GPU kernel against a slow float64 version, for all pixel types, awkward shapes and cuts into blocks.
//! Needs an adapter; a software one will do. Without any, these tests fail.

#[path = "parity/data.rs"]
mod data;
#[path = "common/disorder.rs"]
mod disorder;
#[path = "parity/driver.rs"]
mod driver;

use data::{Random, for_all_pixels};
use driver::{Case, cuts, leaf_tree, open, run};
use emstream::backend::gpu::Gpu;
use emstream::kernels::masks::MaskStack;
use emstream::kernels::statistics::Squares;
use emstream::kernels::{framemap, logsum, masks, statistics};
use emstream::pixel::{FrameShape, Pixel, Sample};
use ndarray::Array2;
use std::sync::Arc;

const SHAPES: [(usize, usize); 4] = [(1, 1), (3, 5), (17, 13), (33, 47)];

fn statistics_of<T: Random>(gpu: &Gpu, case: &Case<T>, cut: &[usize], params: statistics::Params) -> statistics::Part {
    let mut stage = statistics::gpu::stage(gpu, case.shape, &params).unwrap();
    leaf_tree(run(gpu, case, stage.as_mut(), cut)).expect("some frames")
}

fn check_statistics<T: Random>(gpu: &Gpu, shape: (usize, usize), frames: usize) {
    let case = Case::<T>::new(shape, frames, 7);
    let all = statistics::Params {
        squares: true,
        extrema: true,
    };
    let mut first = None;
    for cut in cuts(frames) {
        let part = statistics_of(gpu, &case, &cut, all);
        check_part(&case, &part);
        assert_eq!(
            &part,
            first.get_or_insert_with(|| part.clone()),
            "{case:?} {cut:?}: other bits"
        );
    }
    let bare = statistics_of(
        gpu,
        &case,
        &[frames],
        statistics::Params {
            squares: false,
            extrema: false,
        },
    );
    assert_eq!(bare.sum(), first.unwrap().sum());
    assert!(bare.variance().is_empty() && bare.extrema().0.is_empty());
}

fn check_part<T: Random>(case: &Case<T>, part: &statistics::Part) {
    let n = case.frames as f64;
    let (mean, variance, extrema) = (part.mean(), part.variance(), part.extrema());
    for p in 0..case.shape.pixels() {
        let column: Vec<T> = (0..case.frames).map(|f| case.frame(f)[p]).collect();
        let values = || column.iter().map(|v| v.to_f64());
        let (low, high) = (
            values().fold(f64::INFINITY, f64::min),
            values().fold(f64::NEG_INFINITY, f64::max),
        );
        assert_eq!((extrema.0[p], extrema.1[p]), (low, high), "{case:?} pixel {p}");
        let true_mean = values().sum::<f64>() / n;
        match part {
            statistics::Part::Exact {
                frames, sum, squares, ..
            } => {
                let biased = || values().map(|v| (v as i64 + statistics::bias(T::PIXEL)) as u128);
                assert_eq!(*frames, case.frames as u64);
                assert_eq!(u128::from(sum[p]), biased().sum::<u128>(), "{case:?} pixel {p}");
                let square: u128 = biased().map(|v| v * v).sum();
                match squares {
                    Squares::Narrow(q) => assert_eq!(u128::from(q[p]), square, "{case:?} pixel {p}"),
                    Squares::Wide(q) => assert_eq!(q[p], square, "{case:?} pixel {p}"),
                    Squares::None => panic!("no squares"),
                }
            }
            statistics::Part::Float { frames, .. } => {
                assert_eq!(*frames, case.frames as u64);
                let spread = values().map(|v| (v - true_mean).abs()).fold(0.0, f64::max);
                assert!(
                    (mean[p] - true_mean).abs() <= 1e-6 * spread + 1e-12,
                    "{case:?} pixel {p}: {} {true_mean}",
                    mean[p]
                );
                let true_variance = values().map(|v| (v - true_mean).powi(2)).sum::<f64>() / n;
                let scale = values().map(|v| (v - column[0].to_f64()).powi(2)).sum::<f64>() / n;
                assert!(
                    (variance[p] - true_variance).abs() <= 2e-6 * scale.max(true_variance),
                    "{case:?} pixel {p}"
                );
            }
        }
    }
}

#[test]
fn statistics_match_exactly_for_integers() {
    let gpu = open();
    for shape in SHAPES {
        for_all_pixels!(T => check_statistics::<T>(&gpu, shape, 130));
    }
    for frames in [1, 7, 64, 200] {
        for_all_pixels!(T => check_statistics::<T>(&gpu, (3, 5), frames));
    }
}

#[test]
fn statistics_of_extreme_integers() {
    let gpu = open();
    let all = statistics::Params {
        squares: true,
        extrema: true,
    };
    for_all_pixels!(T => {
        if T::PIXEL.is_integer() {
            for value in [T::LOWEST, T::HIGHEST] {
                let case = Case::<T>::filled((3, 5), 96, value);
                check_part(&case, &statistics_of(&gpu, &case, &[40, 56], all));
            }
        }
    });
}

/// Labels for every frame: -1 for some, runs of equal ones, up to `kinds` of them.
fn labels(frames: usize, kinds: i32) -> Arc<[i32]> {
    (0..frames).map(|f| (f as i32 * 7 + f as i32 / 5) % (kinds + 1) - 1).collect()
}

fn check_logsum<T: Random>(gpu: &Gpu, shape: (usize, usize), frames: usize, params: &logsum::Params) {
    let case = Case::<T>::new(shape, frames, 3);
    let mut first = None;
    for cut in cuts(frames) {
        let mut stage = logsum::gpu::stage(gpu, case.shape, params).unwrap();
        let part = leaf_tree(run(gpu, &case, stage.as_mut(), &cut)).unwrap_or_default();
        let used: std::collections::BTreeSet<i32> = (0..frames as u64).map(|n| params.label(n)).filter(|l| *l >= 0).collect();
        assert_eq!(
            part.sums.keys().copied().collect::<Vec<_>>(),
            used.iter().copied().collect::<Vec<_>>(),
            "{case:?} {cut:?}"
        );
        for (&label, sum) in &part.sums {
            let mine = || (0..frames).filter(|&f| params.label(f as u64) == label);
            assert_eq!(sum.frames, mine().count() as u64);
            for p in 0..case.shape.pixels() {
                let log = |f: usize| {
                    let least = case.frame(f).iter().map(|v| v.to_f64()).fold(f64::INFINITY, f64::min);
                    (case.frame(f)[p].to_f64() - least + 1.0).ln()
                };
                let truth: f64 = mine().map(log).sum();
                let error = (sum.values[p] - truth).abs();
                assert!(
                    error <= 5e-6 * truth.abs() + 1e-30,
                    "{case:?} label {label} pixel {p}: {} {truth}",
                    sum.values[p]
                );
            }
        }
        assert_eq!(
            &part,
            first.get_or_insert_with(|| part.clone()),
            "{case:?} {cut:?}: other bits"
        );
    }
}

#[test]
fn log_sums_match() {
    let gpu = open();
    for shape in SHAPES {
        for_all_pixels!(T => check_logsum::<T>(&gpu, shape, 130, &logsum::Params { labels: None }));
    }
    for frames in [1, 7, 64, 200] {
        for_all_pixels!(T => check_logsum::<T>(&gpu, (3, 5), frames, &logsum::Params { labels: None }));
    }
}

#[test]
fn log_sums_per_label_match() {
    let gpu = open();
    for kinds in [0, 1, 3, 40] {
        let params = logsum::Params {
            labels: Some(labels(200, kinds)),
        };
        for_all_pixels!(T => check_logsum::<T>(&gpu, (3, 5), 200, &params));
    }
    // Labels for fewer frames than there are, and a leaf in which one label appears only in its first block.
    let few = logsum::Params {
        labels: Some(labels(70, 3)),
    };
    check_logsum::<u16>(&gpu, (17, 13), 100, &few);
    let front: Arc<[i32]> = (0..96).map(|f| i32::from(f >= 8) + i32::from(f >= 72)).collect();
    check_logsum::<u8>(&gpu, (17, 13), 96, &logsum::Params { labels: Some(front) });
}

/// Masks as dense float64 rows.
fn rows_of(stack: &MaskStack, shape: FrameShape) -> Vec<Vec<f64>> {
    let (height, width) = (shape.height as i32, shape.width as i32);
    let mut rows = vec![vec![0.0; shape.pixels()]; stack.len()];
    for (mask, row) in rows.iter_mut().enumerate() {
        match stack {
            MaskStack::Stamps { stamp, positions } => {
                for ((y, x), v) in stamp.indexed_iter() {
                    let y = positions[mask][0] + y as i32 - stamp.nrows() as i32 / 2;
                    let x = positions[mask][1] + x as i32 - stamp.ncols() as i32 / 2;
                    if (0..height).contains(&y) && (0..width).contains(&x) {
                        row[(y * width + x) as usize] = f64::from(*v);
                    }
                }
            }
            MaskStack::Csr { indptr, indices, values } => {
                for i in indptr[mask] as usize..indptr[mask + 1] as usize {
                    row[indices[i] as usize] = f64::from(values[i]);
                }
            }
            MaskStack::Dense { rows } => row.iter_mut().zip(rows.row(mask)).for_each(|(a, b)| *a = f64::from(*b)),
        }
    }
    rows
}

fn weight(n: usize) -> f32 {
    ((n * 37 % 101) as f32 - 41.0) / 17.0
}

/// Stamps, sparse and dense stacks for a shape.
fn stacks(shape: FrameShape) -> Vec<MaskStack> {
    let (height, width, pixels) = (shape.height, shape.width, shape.pixels());
    let positions = |n: usize| (0..n).map(|i| [(i * 5 % height) as i32, (i * 3 % width) as i32]).collect();
    let sparse = |masks: usize, step: usize| {
        let mut indptr = vec![0];
        let (mut indices, mut values) = (Vec::new(), Vec::new());
        for m in 0..masks {
            // One mask is empty.
            if m != 1 {
                indices.extend((m % step..pixels).step_by(step).map(|i| i as u32));
            }
            values.resize_with(indices.len(), || weight(m));
            indptr.push(indices.len() as u32);
        }
        values.iter_mut().enumerate().for_each(|(i, v)| *v = weight(i));
        MaskStack::Csr { indptr, indices, values }
    };
    let dense = |masks: usize| MaskStack::Dense {
        rows: Array2::from_shape_fn((masks, pixels), |(m, p)| weight(m * 13 + p)),
    };
    vec![
        MaskStack::Stamps {
            stamp: Array2::from_shape_fn((5, 7), |(y, x)| weight(y * 7 + x)),
            positions: positions(300),
        },
        MaskStack::Stamps {
            stamp: Array2::from_elem((1, 1), 2.5),
            positions: positions(3),
        },
        sparse(3, 1),
        sparse(40, 5),
        dense(1),
        dense(45),
    ]
}

fn check_masks<T: Random>(gpu: &Gpu, shape: (usize, usize), frames: usize) {
    let case = Case::<T>::new(shape, frames, 11);
    for stack in stacks(case.shape) {
        let rows = rows_of(&stack, case.shape);
        let mut first = None;
        for cut in cuts(frames) {
            let mut stage = masks::gpu::stage(gpu, case.shape, &stack).unwrap();
            let out = run(gpu, &case, stage.as_mut(), &cut);
            assert!(out.last.is_none());
            let mut values = Vec::new();
            for (_, part) in out.leaves {
                assert_eq!(part.first as usize * rows.len(), values.len());
                values.extend(part.values);
            }
            assert_eq!(values.len(), frames * rows.len());
            for (i, &v) in values.iter().enumerate() {
                let (frame, row) = (case.frame(i / rows.len()), &rows[i % rows.len()]);
                let truth: f64 = frame.iter().zip(row).map(|(f, m)| f.to_f64() * m).sum();
                let scale: f64 = frame.iter().zip(row).map(|(f, m)| (f.to_f64() * m).abs()).sum();
                assert!(
                    (f64::from(v) - truth).abs() <= 1e-6 * scale,
                    "{case:?} {cut:?} value {i}: {v} {truth}"
                );
            }
            let bits: Vec<u32> = values.iter().map(|v| v.to_bits()).collect();
            assert_eq!(
                &bits,
                first.get_or_insert_with(|| bits.clone()),
                "{case:?} {cut:?}: other bits"
            );
        }
    }
}

#[test]
fn mask_products_match() {
    let gpu = open();
    for shape in SHAPES {
        for_all_pixels!(T => check_masks::<T>(&gpu, shape, 9));
    }
    check_masks::<u16>(&gpu, (17, 13), 200);
    // Too large for workgroup memory.
    check_masks::<u8>(&gpu, (150, 131), 3);
    check_masks::<f32>(&gpu, (65, 64), 3);
}

#[test]
fn mask_stacks_are_checked() {
    let gpu = open();
    let shape = FrameShape {
        pixel: Pixel::U8,
        height: 4,
        width: 4,
    };
    let even = MaskStack::Stamps {
        stamp: Array2::zeros((2, 3)),
        positions: vec![[0, 0]],
    };
    assert!(matches!(
        masks::gpu::stage(&gpu, shape, &even),
        Err(emstream::Error::Parameter { .. })
    ));
}

fn check_framemap<T: Random>(gpu: &Gpu, shape: (usize, usize), frames: usize, params: framemap::Params) {
    let case = Case::<T>::new(shape, frames, 5);
    let (height, width) = params.output(shape.0, shape.1).unwrap();
    let mut first = None;
    for cut in cuts(frames) {
        let mut stage = framemap::gpu::stage(gpu, case.shape, &params).unwrap();
        let mut values = Vec::new();
        for (_, part) in run(gpu, &case, stage.as_mut(), &cut).leaves {
            assert_eq!(part.first as usize * height * width, values.len());
            assert_eq!(part.values.len(), part.count * height * width);
            values.extend(part.values);
        }
        assert_eq!(values.len(), frames * height * width);
        for (f, mapped) in values.chunks(height * width).enumerate() {
            let pixel = |y: usize, x: usize| case.frame(f)[y * shape.1 + x].to_f64();
            let bin = params.bin;
            let blocks: Vec<(f64, f64)> = (0..height * width)
                .map(|i| {
                    let (y, x) = (i / width * bin, i % width * bin);
                    let block = || (0..bin * bin).map(|k| pixel(y + k / bin, x + k % bin));
                    (block().sum(), block().map(f64::abs).sum())
                })
                .collect();
            let least = blocks.iter().map(|b| b.0).fold(f64::INFINITY, f64::min);
            let largest = blocks.iter().map(|b| b.1).fold(0.0, f64::max);
            for (&v, &(sum, magnitude)) in mapped.iter().zip(&blocks) {
                if params.log {
                    // The sum is rounded before the logarithm is taken; that shifts it by the relative error of its argument.
                    let argument = sum - least + 1.0;
                    let tolerance = 4e-7 * (1.0 + argument.ln()) + 4e-7 * largest / argument;
                    assert!(
                        (f64::from(v) - argument.ln()).abs() <= tolerance,
                        "{case:?} {params:?}: {v} {}",
                        argument.ln()
                    );
                } else {
                    assert!(
                        (f64::from(v) - sum).abs() <= 3e-7 * magnitude,
                        "{case:?} {params:?}: {v} {sum}"
                    );
                }
            }
        }
        let bits: Vec<u32> = values.iter().map(|v| v.to_bits()).collect();
        assert_eq!(
            &bits,
            first.get_or_insert_with(|| bits.clone()),
            "{case:?} {cut:?}: other bits"
        );
    }
}

#[test]
fn frame_maps_match() {
    let gpu = open();
    for shape in SHAPES {
        for (bin, log) in [(1, false), (1, true), (2, false), (3, true)] {
            if bin <= shape.0.min(shape.1) {
                for_all_pixels!(T => check_framemap::<T>(&gpu, shape, 20, framemap::Params { bin, log }));
            }
        }
    }
}

#[test]
fn all_kernels_run_on_the_smallest_limits() {
    let gpu = driver::open_small();
    for_all_pixels!(T => {
        check_statistics::<T>(&gpu, (17, 13), 72);
        check_logsum::<T>(&gpu, (17, 13), 72, &logsum::Params { labels: Some(labels(72, 3)) });
        check_masks::<T>(&gpu, (17, 13), 2);
        check_framemap::<T>(&gpu, (17, 13), 9, framemap::Params { bin: 2, log: true });
    });
}

#[test]
fn blocks_are_done_in_rounds_when_memory_is_short() {
    let gpu = open();
    let (plenty, tight) = (gpu.budget(), 2 << 20);
    let squares = statistics::Params {
        squares: true,
        extrema: true,
    };
    let case = Case::<f32>::new((33, 47), 200, 7);
    let mut bits = Vec::new();
    for budget in [plenty, tight] {
        gpu.set_budget(budget);
        check_logsum::<f32>(
            &gpu,
            (33, 47),
            200,
            &logsum::Params {
                labels: Some(labels(200, 40)),
            },
        );
        check_masks::<u8>(&gpu, (17, 13), 200);
        check_framemap::<u16>(&gpu, (33, 47), 40, framemap::Params { bin: 1, log: true });
        bits.push(statistics_of(&gpu, &case, &[200], squares));
        check_part(&case, &bits[0]);
    }
    assert_eq!(bits[0], bits[1]);
}

#[test]
fn stages_say_what_they_take() {
    let gpu = open();
    let shape = FrameShape {
        pixel: Pixel::F32,
        height: 128,
        width: 128,
    };
    let before = gpu.allocated();
    let stage = statistics::gpu::stage(
        &gpu,
        shape,
        &statistics::Params {
            squares: true,
            extrema: true,
        },
    )
    .unwrap();
    assert!(gpu.allocated() - before <= stage.cost().fixed);
    let before = gpu.allocated();
    let labelled = logsum::gpu::stage(
        &gpu,
        shape,
        &logsum::Params {
            labels: Some(labels(640, 12)),
        },
    )
    .unwrap();
    assert!(gpu.allocated() - before <= labelled.cost().fixed);
    drop((stage, labelled));
    let before = gpu.allocated();
    gpu.set_budget(before + 1000);
    assert!(matches!(
        statistics::gpu::stage(
            &gpu,
            shape,
            &statistics::Params {
                squares: true,
                extrema: true
            }
        ),
        Err(emstream::Error::DeviceMemory(_))
    ));
}

#[test]
fn neighbours() {
    use emstream::kernels::nearest::{self, Metric};
    let gpu = open();
    let mut state = 9u64;
    let points = Array2::from_shape_simple_fn((150, 19), || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        // Whole numbers: many distances are equal.
        ((state >> 33) % 5) as f32
    });
    let row = |i: usize| points.row(i).to_vec();
    for metric in [Metric::Euclidean, Metric::Chebyshev, Metric::Manhattan, Metric::Cosine] {
        let found = nearest::gpu::neighbors(&gpu, points.view(), 6, metric, &emstream::Control::new()).unwrap();
        for i in 0..150 {
            let mut all: Vec<(f64, u32)> = (0..150)
                .filter(|&j| j != i)
                .map(|j| (metric.distance(&row(i), &row(j)), j as u32))
                .collect();
            all.sort_by(|a, b| a.partial_cmp(b).unwrap());
            for (c, (d, j)) in all.into_iter().take(6).enumerate() {
                assert_eq!((found.distance[[i, c]], found.index[[i, c]]), (d, j), "{metric:?} point {i}");
            }
        }
    }
}
