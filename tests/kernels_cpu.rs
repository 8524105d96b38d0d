//! The CPU kernels against their float64 oracles, and the same bits whatever the cuts, block sizes and instruction sets.

#[path = "kernels_cpu/scene.rs"]
mod scene;

use emstream::backend::cpu::isa::Isa;
use emstream::kernels::masks::MaskStack;
use emstream::kernels::{framemap, logsum, masks, oracle, statistics};
use emstream::pixel::{LEAF, Pixel, Sample};
use emstream::with_pixel;
use ndarray::Array2;
use scene::{COUNTS, PIXELS, Pattern, SHAPES, Scene, cuts, run};
use std::sync::Arc;

fn statistics_of(scene: &Scene, isa: Isa, params: statistics::Params, cut: usize) -> statistics::Part {
    let stage = statistics::cpu::stage_with(isa, scene.shape, &params).unwrap();
    scene::merged(run(scene, stage, cut)).unwrap()
}

const ALL: statistics::Params = statistics::Params {
    squares: true,
    extrema: true,
};

#[test]
fn integer_statistics_are_exact() {
    for pixel in PIXELS.into_iter().filter(|p| p.is_integer()) {
        for (height, width) in SHAPES {
            for count in COUNTS {
                let scene = Scene::new(pixel, height, width, count, Pattern::Full);
                let truth = with_pixel!(pixel, T => oracle::exact_moments(&scene.tight::<T>(), height * width));
                let part = statistics_of(&scene, Isa::active(), ALL, LEAF as usize);
                assert_eq!(part.frames(), count as u64);
                assert_eq!(part.sum(), truth.sum, "{pixel} {height}×{width}, {count} frames");
                assert_eq!(part.variance(), truth.variance, "{pixel} {height}×{width}, {count} frames");
                assert_eq!(
                    part.extrema(),
                    (truth.min, truth.max),
                    "{pixel} {height}×{width}, {count} frames"
                );
            }
        }
    }
}

#[test]
fn extreme_integers_do_not_overflow() {
    for pixel in PIXELS.into_iter().filter(|p| p.is_integer()) {
        for pattern in [Pattern::Highest, Pattern::Lowest, Pattern::Alternating] {
            let scene = Scene::new(pixel, 17, 13, 200, pattern);
            let truth = with_pixel!(pixel, T => oracle::exact_moments(&scene.tight::<T>(), 17 * 13));
            for isa in Isa::available() {
                let part = statistics_of(&scene, isa, ALL, LEAF as usize);
                assert_eq!(part.sum(), truth.sum, "{pixel} {pattern:?} {isa}");
                assert_eq!(part.variance(), truth.variance, "{pixel} {pattern:?} {isa}");
                assert_eq!(
                    part.extrema(),
                    (truth.min.clone(), truth.max.clone()),
                    "{pixel} {pattern:?} {isa}"
                );
            }
        }
    }
}

#[test]
fn narrow_sums_do_not_overflow_and_leave_large_pixels_out() {
    for pixel in [Pixel::U8, Pixel::I8, Pixel::U16, Pixel::I16] {
        for count in [64, 65, 200] {
            let scene = Scene::new(pixel, 33, 147, count, Pattern::Brim);
            let truth = with_pixel!(pixel, T => oracle::exact_moments(&scene.tight::<T>(), 33 * 147));
            for isa in Isa::available() {
                for cut in [8, 40, LEAF as usize] {
                    let part = statistics_of(&scene, isa, ALL, cut);
                    assert_eq!(part.sum(), truth.sum, "{pixel}, {count} frames, cut {cut}, {isa}");
                    assert_eq!(part.variance(), truth.variance, "{pixel}, {count} frames, cut {cut}, {isa}");
                }
            }
        }
    }
}

#[test]
fn float_statistics_are_close() {
    for (height, width) in SHAPES {
        for count in COUNTS {
            let scene = Scene::new(Pixel::F32, height, width, count, Pattern::Full);
            let truth = oracle::moments(&scene.tight::<f32>(), height * width);
            let part = statistics_of(&scene, Isa::active(), ALL, LEAF as usize);
            let n = count as f64;
            for p in 0..height * width {
                let spread = truth.max[p] - truth.min[p];
                let mean_error = (part.mean()[p] - truth.sum[p] / n).abs();
                assert!(
                    mean_error <= 1e-6 * spread,
                    "mean off by {mean_error} of {spread}, {count} frames"
                );
                let error = (part.variance()[p] - truth.variance[p]).abs();
                assert!(
                    error <= 2e-6 * spread * spread,
                    "variance off by {error} of {}, {count} frames",
                    truth.variance[p]
                );
            }
            assert_eq!(part.extrema(), (truth.min, truth.max));
        }
    }
}

#[test]
fn statistics_leave_out_what_is_not_asked_for() {
    for pixel in PIXELS {
        let scene = Scene::new(pixel, 3, 5, 65, Pattern::Full);
        let full = statistics_of(&scene, Isa::active(), ALL, LEAF as usize);
        let bare = statistics_of(
            &scene,
            Isa::active(),
            statistics::Params {
                squares: false,
                extrema: false,
            },
            LEAF as usize,
        );
        assert_eq!(bare.sum(), full.sum(), "{pixel}");
        assert!(
            bare.variance().is_empty() && bare.extrema().0.is_empty() && bare.extrema().1.is_empty(),
            "{pixel}"
        );
    }
    let scene = Scene::new(Pixel::U8, 3, 5, 1, Pattern::Full);
    let mut unused = statistics::cpu::stage(scene.shape, &ALL).unwrap();
    assert!(unused.end_leaf().unwrap().is_none() && unused.finish().unwrap().is_none());
}

/// Label of frame `n`: runs of 5 frames in turn over three labels, one of which is in no sum; a few changes inside groups.
fn label(n: usize) -> i32 {
    if n.is_multiple_of(11) { 7 } else { (n / 5 % 3) as i32 - 1 }
}

fn logsum_of(scene: &Scene, isa: Isa, labelled: bool, cut: usize) -> logsum::Part {
    let labels: Arc<[i32]> = (0..scene.count).map(label).collect();
    let params = logsum::Params {
        labels: labelled.then_some(labels),
    };
    scene::merged(run(scene, logsum::cpu::stage_with(isa, scene.shape, &params).unwrap(), cut)).unwrap_or_default()
}

#[test]
fn log_sums_are_close() {
    for pixel in PIXELS {
        for (height, width) in SHAPES {
            for count in COUNTS {
                for pattern in [Pattern::Full, Pattern::Counts, Pattern::Alternating] {
                    let scene = Scene::new(pixel, height, width, count, pattern);
                    let part = logsum_of(&scene, Isa::active(), false, LEAF as usize);
                    check_logsum(&scene, &part, 0, |_| true);
                }
            }
        }
    }
}

#[test]
fn log_sums_of_labels_are_close() {
    for pixel in PIXELS {
        for count in COUNTS {
            let scene = Scene::new(pixel, 17, 13, count, Pattern::Full);
            let part = logsum_of(&scene, Isa::active(), true, LEAF as usize);
            let present: std::collections::BTreeSet<i32> = (0..count).map(label).filter(|l| *l >= 0).collect();
            assert!(
                part.sums.keys().eq(present.iter()),
                "{pixel}: labels {:?} of {present:?}",
                part.sums.keys()
            );
            for l in present {
                check_logsum(&scene, &part, l, |n| label(n) == l);
            }
        }
    }
}

fn check_logsum(scene: &Scene, part: &logsum::Part, label: i32, take: impl Fn(usize) -> bool + Copy) {
    let pixels = scene.shape.pixels();
    let truth = with_pixel!(scene.shape.pixel, T => oracle::logsum(&scene.tight::<T>(), pixels, take));
    let sum = &part.sums[&label];
    assert_eq!(sum.frames, (0..scene.count).filter(|n| take(*n)).count() as u64);
    for (p, (v, t)) in sum.values.iter().zip(&truth).enumerate() {
        assert!(
            (v - t).abs() <= 2e-6 * t,
            "{:?}, {} frames, label {label}, pixel {p}: {v} for {t}",
            scene.shape,
            scene.count
        );
    }
}

/// Stacks of every kind for frames of this shape.
fn stacks(height: usize, width: usize) -> Vec<(&'static str, MaskStack)> {
    let pixels = height * width;
    let noise = |k: usize| ((k * 7919 + 13) % 101) as f32 / 50.0 - 1.0;
    let positions: Vec<[i32; 2]> = (0..23).map(|k| [(k * 5 % height) as i32, (k * 11 % width) as i32]).collect();
    let stamp = |h, w| Array2::from_shape_fn((h, w), |(y, x)| noise(y * w + x));
    let (mut indptr, mut indices, mut values) = (vec![0u32], Vec::new(), Vec::new());
    for mask in 0..9 {
        // The fourth mask is empty.
        for p in (0..pixels).filter(|p| mask != 3 && (p * 31 + mask * 17).is_multiple_of(mask + 2)) {
            indices.push(p as u32);
            values.push(noise(p + mask));
        }
        indptr.push(indices.len() as u32);
    }
    let dense = |masks: usize| Array2::from_shape_fn((masks, pixels), |(m, p)| noise(p + m * 37));
    let disk = Array2::from_shape_fn((5, pixels), |(m, p)| f32::from(p / width <= m && p % width <= m));
    vec![
        (
            "stamps of 7×7",
            MaskStack::Stamps {
                stamp: stamp(7, 7),
                positions: positions.clone(),
            },
        ),
        (
            "stamps of 45×31",
            MaskStack::Stamps {
                stamp: stamp(45, 31),
                positions,
            },
        ),
        ("csr", MaskStack::Csr { indptr, indices, values }),
        ("one dense", MaskStack::Dense { rows: dense(1) }),
        ("six dense", MaskStack::Dense { rows: dense(6) }),
        ("mostly zero", MaskStack::Dense { rows: disk }),
    ]
}

fn masks_of(scene: &Scene, isa: Isa, stack: &MaskStack, cut: usize) -> Vec<f32> {
    let plan = masks::cpu::Plan::new(scene.shape, stack).unwrap();
    let parts = run(scene, masks::cpu::stage_on_plan(isa, scene.shape, plan), cut);
    let mut all = Vec::new();
    for (leaf, part) in parts {
        assert_eq!(part.first, leaf * LEAF);
        all.extend(part.values);
    }
    assert_eq!(all.len(), scene.count * stack.len());
    all
}

#[test]
fn mask_products_are_close() {
    for pixel in PIXELS {
        for (height, width) in SHAPES {
            for (name, stack) in stacks(height, width) {
                for count in COUNTS {
                    let scene = Scene::new(pixel, height, width, count, Pattern::Full);
                    let (truth, scale) = with_pixel!(pixel, T => oracle::masks(&scene.tight::<T>(), &stack, height, width));
                    let values = masks_of(&scene, Isa::active(), &stack, LEAF as usize);
                    for ((v, t), s) in values.iter().zip(truth).zip(scale) {
                        let error = (f64::from(*v) - t).abs();
                        assert!(
                            error <= 1e-6 * s,
                            "{name} {pixel} {height}×{width}: {v} for {t}, off by {error} of {s}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn mask_products_of_whole_frames_are_close() {
    // Many tiles, sums of equal positive terms: where float32 alone drifts.
    let scene = Scene::new(Pixel::U16, 251, 203, 3, Pattern::Full);
    for rows in [1, 6] {
        let stack = MaskStack::Dense {
            rows: Array2::ones((rows, 251 * 203)),
        };
        let (truth, scale) = oracle::masks(&scene.tight::<u16>(), &stack, 251, 203);
        let values = masks_of(&scene, Isa::active(), &stack, LEAF as usize);
        for ((v, t), s) in values.iter().zip(truth).zip(scale) {
            assert!((f64::from(*v) - t).abs() <= 2e-7 * s, "{rows} rows: {v} for {t}");
        }
    }
}

fn framemap_of(scene: &Scene, isa: Isa, params: framemap::Params, cut: usize) -> Vec<f32> {
    let parts = run(scene, framemap::cpu::stage_with(isa, scene.shape, &params).unwrap(), cut);
    let mut all = Vec::new();
    for (leaf, part) in parts {
        assert_eq!(
            (part.first, part.count as u64),
            (leaf * LEAF, LEAF.min(scene.count as u64 - leaf * LEAF))
        );
        all.extend(part.values);
    }
    all
}

#[test]
fn mapped_frames_are_close() {
    for pixel in PIXELS {
        for (height, width) in SHAPES {
            for bin in [1, 2, 3].into_iter().filter(|b| *b <= height.min(width)) {
                for log in [false, true] {
                    let scene = Scene::new(pixel, height, width, 65, Pattern::Counts);
                    let truth = with_pixel!(pixel, T => oracle::framemap(&scene.tight::<T>(), height, width, bin, log));
                    let values = framemap_of(&scene, Isa::active(), framemap::Params { bin, log }, LEAF as usize);
                    assert_eq!(values.len(), truth.len());
                    for (v, t) in values.iter().zip(truth) {
                        let error = (f64::from(*v) - t).abs();
                        assert!(
                            error <= 1e-6 * t.abs().max(1.0),
                            "{pixel} {height}×{width} bin {bin} log {log}: {v} for {t}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn mapped_frames_can_be_taken_at_once() {
    let scene = Scene::new(Pixel::U8, 5, 4, 24, Pattern::Counts);
    let params = framemap::Params { bin: 2, log: true };
    let whole = framemap_of(&scene, Isa::active(), params, LEAF as usize);
    let mut stage = framemap::cpu::stage(scene.shape, &params).unwrap();
    let mut taken = Vec::new();
    for from in [0, 8, 16] {
        stage.frames(scene.frames().slice(from, from + 8)).unwrap();
        let part = stage.take().unwrap();
        assert_eq!((part.first, part.count), (from as u64, 8));
        taken.extend(part.values);
    }
    assert!(stage.take().is_none() && stage.end_leaf().unwrap().is_none());
    assert_eq!(taken, whole);
    assert!(framemap::cpu::stage(scene.shape, &framemap::Params { bin: 5, log: false }).is_err());
}

/// All results of all kernels as bits, for comparison.
fn everything(scene: &Scene, isa: Isa, cut: usize) -> Vec<(String, Vec<u64>)> {
    let bits64 = |v: Vec<f64>| v.into_iter().map(f64::to_bits).collect::<Vec<_>>();
    let bits32 = |v: Vec<f32>| v.into_iter().map(|x| u64::from(x.to_bits())).collect::<Vec<_>>();
    let mut all = Vec::new();
    let part = statistics_of(scene, isa, ALL, cut);
    let (min, max) = part.extrema();
    for (name, v) in [
        ("mean", part.mean()),
        ("variance", part.variance()),
        ("min", min),
        ("max", max),
    ] {
        all.push((name.to_owned(), bits64(v)));
    }
    for labelled in [false, true] {
        for (l, sum) in logsum_of(scene, isa, labelled, cut).sums {
            all.push((format!("log-sum {labelled} {l}"), bits64(sum.values)));
        }
    }
    for (name, stack) in stacks(scene.shape.height, scene.shape.width) {
        all.push((name.to_owned(), bits32(masks_of(scene, isa, &stack, cut))));
    }
    for (bin, log) in [(1, false), (1, true), (3, true)] {
        if bin <= scene.shape.height.min(scene.shape.width) {
            all.push((
                format!("map {bin} {log}"),
                bits32(framemap_of(scene, isa, framemap::Params { bin, log }, cut)),
            ));
        }
    }
    all
}

#[test]
fn cuts_inside_leaves_change_no_bit() {
    for pixel in PIXELS {
        for (height, width) in SHAPES {
            for count in COUNTS {
                let scene = Scene::new(pixel, height, width, count, Pattern::Full);
                let whole = everything(&scene, Isa::active(), LEAF as usize);
                for cut in cuts(count) {
                    assert_eq!(
                        everything(&scene, Isa::active(), cut),
                        whole,
                        "{pixel} {height}×{width}, {count} frames cut at {cut}"
                    );
                }
            }
        }
    }
}

#[test]
fn instruction_sets_give_the_same_bits() {
    for pixel in PIXELS {
        for (height, width) in SHAPES.into_iter().chain([(70, 51)]) {
            for pattern in [Pattern::Full, Pattern::Counts] {
                let scene = Scene::new(pixel, height, width, 71, pattern);
                let baseline = everything(&scene, Isa::BASELINE, LEAF as usize);
                for isa in Isa::available() {
                    assert_eq!(
                        everything(&scene, isa, LEAF as usize),
                        baseline,
                        "{pixel} {height}×{width} {isa}"
                    );
                }
            }
        }
    }
}

#[test]
fn frames_of_another_shape_are_refused() {
    let scene = Scene::new(Pixel::U8, 3, 5, 8, Pattern::Full);
    let shape = Scene::new(Pixel::U8, 5, 3, 8, Pattern::Full).shape;
    let frames = scene.frames();
    let (_, stack) = stacks(5, 3).swap_remove(0);
    assert!(statistics::cpu::stage(shape, &ALL).unwrap().frames(frames).is_err());
    assert!(
        logsum::cpu::stage(shape, &logsum::Params { labels: None })
            .unwrap()
            .frames(frames)
            .is_err()
    );
    assert!(masks::cpu::stage(shape, &stack).unwrap().frames(frames).is_err());
    assert!(
        framemap::cpu::stage(shape, &framemap::Params { bin: 1, log: false })
            .unwrap()
            .frames(frames)
            .is_err()
    );
    assert!(
        masks::cpu::stage(
            shape,
            &MaskStack::Dense {
                rows: Array2::ones((2, 4))
            }
        )
        .is_err()
    );
    // A group of frames is multiplied before its logarithm is taken, so a cut inside one is an error, not another result.
    let mut logs = logsum::cpu::stage(scene.shape, &logsum::Params { labels: None }).unwrap();
    assert!(logs.frames(frames.slice(3, 8)).is_err());
}

#[test]
fn oracles_agree_with_numbers_worked_out_by_hand() {
    let frames = [1u8, 2, 3, 4, 3, 2, 1, 0];
    let exact = oracle::exact_moments(&frames, 4);
    assert_eq!(
        (exact.sum.as_slice(), exact.variance.as_slice()),
        (&[4.0, 4.0, 4.0, 4.0][..], &[1.0, 0.0, 1.0, 4.0][..])
    );
    assert_eq!(oracle::moments(&frames, 4), exact);
    let logs = oracle::logsum(&frames, 4, |i| i == 0);
    assert_eq!(logs, [1.0, 2.0, 3.0, 4.0].map(f64::ln));
    let stack = MaskStack::Stamps {
        stamp: Array2::ones((1, 3)),
        positions: vec![[0, 0], [1, 1]],
    };
    assert_eq!(oracle::masks(&frames, &stack, 2, 2).0, [3.0, 7.0, 5.0, 1.0]);
    assert_eq!(oracle::framemap(&frames, 2, 2, 2, false), [10.0, 6.0]);
    assert_eq!(1u8.to_f64(), 1.0);
}
