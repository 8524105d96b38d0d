//! Correlation against its definition in float64: pixel types, odd and even sizes, borders, templates without symmetry, all methods.

mod common;
mod correlate_support;

use common::{Mix, counts};
use correlate_support::{Wanted, interpolated, oracle, run, spectrum};
use emstream::Error;
use emstream::backend::cpu::isa::Isa;
use emstream::kernels::correlate::{Method, Params, Peak, Plan, Recipe, cpu};
use emstream::pixel::{FrameShape, Frames, Pixel, Sample};
use ndarray::Array2;
use std::sync::Arc;

/// A template without any symmetry, zero outside `radius` of its centre.
fn template(h: usize, w: usize, radius: f64, seed: u64) -> Array2<f64> {
    let mut mix = Mix(seed);
    Array2::from_shape_fn((h, w), |(y, x)| {
        let (dy, dx) = (y as f64 - (h / 2) as f64, x as f64 - (w / 2) as f64);
        let noise = (mix.next() >> 11) as f64 / (1u64 << 53) as f64;
        let r = (dy * dy + dx * dx).sqrt();
        if r > radius {
            0.0
        } else {
            (1.5 - r / radius * 2.0) + 0.4 * noise + 0.05 * dy
        }
    })
}

/// Positions all over the frame, borders and corners included, at fractions that rounding and truncating tell apart.
fn positions(h: usize, w: usize, n: usize, seed: u64) -> Vec<[f64; 2]> {
    let mut mix = Mix(seed);
    let mut all = vec![[0.2, 0.4], [h as f64 - 1.0, w as f64 - 1.0], [0.0, w as f64 - 0.6]];
    all.extend((3..n).map(|_| {
        let mut at = |n: usize| (mix.next() % 1000) as f64 / 1000.0 * (n as f64 - 0.51);
        [at(h), at(w)]
    }));
    all.truncate(n);
    all
}

/// Frames of disks on noise, so that maxima are clear in some windows and not in others.
fn frames<T: Sample>(h: usize, w: usize, n: usize, seed: u64, make: impl Fn(f64) -> T) -> Vec<T> {
    let spots = positions(h, w, 9, seed + 1);
    let noise: Vec<u32> = counts(n * h * w, seed).collect();
    (0..n * h * w)
        .map(|i| {
            let (f, y, x) = (i / (h * w), i / w % h, i % w);
            let near = spots
                .iter()
                .any(|s| (s[0] - y as f64).hypot(s[1] - x as f64 - 0.3 * f as f64) < 2.2);
            make(f64::from(noise[i] & 7) + if near { 60.0 } else { 0.0 })
        })
        .collect()
}

fn check_peak(peak: &Peak, wanted: &Wanted, params: &Params, what: &str) {
    let scale = wanted.window.iter().fold(1e-3, |m: f64, v| m.max(v.abs()));
    assert!(
        (f64::from(peak.height) - wanted.height).abs() < 2e-6 * scale,
        "{what}: height {} {}",
        peak.height,
        wanted.height
    );
    let center = peak.center.map(i64::from);
    if center != wanted.center {
        let at = [0, 1].map(|k| (center[k] - wanted.origin[k]) as usize);
        assert!(
            (wanted.window[at] - wanted.height).abs() < 2e-6 * scale,
            "{what}: {center:?} is not the maximum"
        );
        return;
    }
    assert!(
        (f64::from(peak.elevation) - wanted.elevation).abs() < 1e-5 * scale,
        "{what}: elevation {} {}",
        peak.elevation,
        wanted.elevation
    );
    let off = (0..2)
        .map(|k| (f64::from(peak.refined[k]) - wanted.refined[k]).abs())
        .fold(0.0, f64::max);
    match &wanted.period {
        None => assert!(off < 1e-4, "{what}: {:?} {:?}", peak.refined, wanted.refined),
        Some((map, origin)) if off > 1e-4 => {
            let published = params.recipe == Recipe::Published;
            let at = [0, 1].map(|k| f64::from(peak.refined[k]) - origin[k] as f64);
            let v = interpolated(&spectrum(map, published), at[0], at[1], published);
            let scale = if published { scale * scale } else { scale };
            assert!(
                (wanted.finest - v).abs() < 1e-5 * scale,
                "{what}: {v} at {:?}, {} at {:?}",
                peak.refined,
                wanted.finest,
                wanted.refined
            );
        }
        Some(_) => {}
    }
}

fn check<T: Sample>(pixels: &[T], sig: [usize; 2], params: &Params, what: &str) {
    let found = run(pixels, sig, params, 2, None).unwrap();
    assert_eq!(found.frames() as usize, params.labels.len());
    for (n, frame) in pixels.chunks_exact(sig[0] * sig[1]).enumerate() {
        let peaks = found.frame(n as u64);
        let Ok(label) = usize::try_from(params.labels[n]) else {
            assert!(peaks.is_empty());
            continue;
        };
        let wanted = oracle(frame, sig[1], &params.positions[label], params);
        assert_eq!(peaks.len(), wanted.len());
        for (p, (peak, wanted)) in peaks.iter().zip(&wanted).enumerate() {
            check_peak(
                peak,
                wanted,
                params,
                &format!("{what}, {:?} frame {n} peak {p}", params.recipe),
            );
        }
    }
}

fn params(method: Method, recipe: Recipe, template: Array2<f64>, crop: usize, h: usize, w: usize, labels: Vec<i32>) -> Params {
    let positions = vec![positions(h, w, 5, 1), positions(h, w, 12, 2), Vec::new()];
    Params {
        method,
        recipe,
        template,
        crop,
        labels: labels.into(),
        positions: positions.into(),
        upsample: None,
    }
}

const LABELS: [i32; 6] = [0, 1, -1, 1, 2, 0];

fn all_types(h: usize, w: usize, params: &Params, what: &str) {
    let n = LABELS.len();
    check(&frames(h, w, n, 3, |v| v as u8), [h, w], params, &format!("{what}, u8"));
    check(
        &frames(h, w, n, 4, |v| (v * 700.0) as u16 + 90),
        [h, w],
        params,
        &format!("{what}, u16"),
    );
    check(
        &frames(h, w, n, 5, |v| (v * 1.7) as i16 - 40),
        [h, w],
        params,
        &format!("{what}, i16"),
    );
    check(
        &frames(h, w, n, 6, |v| v as f32 * 0.37 - 3.0),
        [h, w],
        params,
        &format!("{what}, f32"),
    );
}

#[test]
fn fast_direct_and_by_transforms() {
    // 4 to 16: direct or transforms; 22 = 2·11, 34 = 2·17 (padded when the template is small), 44 = 4·11.
    for (crop, radius) in [
        (2, 1.5),
        (3, 4.0),
        (4, 4.4),
        (7, 2.0),
        (8, 6.0),
        (11, 5.0),
        (17, 4.0),
        (17, 40.0),
        (22, 12.0),
    ] {
        for recipe in [Recipe::Default, Recipe::Published] {
            let t = template(2 * crop, 2 * crop, radius, 7);
            let p = params(Method::Fast, recipe, t, crop, 41, 53, LABELS.to_vec());
            if crop <= 4 {
                all_types(41, 53, &p, &format!("fast {crop}"));
            } else {
                check(&frames(41, 53, 6, 8, |v| v as u8), [41, 53], &p, &format!("fast {crop}"));
            }
        }
    }
}

#[test]
fn windows_larger_than_the_frame() {
    let p = params(Method::Fast, Recipe::Default, template(20, 20, 4.0, 1), 10, 13, 9, vec![0, 1]);
    check(&frames(13, 9, 2, 1, |v| v as u16), [13, 9], &p, "small frame");
}

#[test]
fn full_frames_of_any_size() {
    // 34 × 38 = (2·17) × (2·19) and 41 × 53 are continued; 36 × 28 are not.
    for (h, w) in [(36, 28), (41, 53), (34, 38), (33, 20)] {
        for recipe in [Recipe::Default, Recipe::Published] {
            let p = params(Method::Full, recipe, template(h, w, 4.5, 9), 4, h, w, LABELS.to_vec());
            all_types(h, w, &p, &format!("full {h}×{w}"));
            let whole = params(Method::Full, recipe, template(h, w, 90.0, 9), 3, h, w, vec![1, 0, 1]);
            check(
                &frames(h, w, 3, 3, |v| v as u8),
                [h, w],
                &whole,
                &format!("full {h}×{w}, template as large"),
            );
        }
    }
}

#[test]
fn sparse() {
    for (crop, steps) in [(2, 2), (4, 3), (9, 5)] {
        for recipe in [Recipe::Default, Recipe::Published] {
            let t = template(2 * crop + 1, 2 * crop + 1, crop as f64, 11);
            let p = params(Method::Sparse { steps }, recipe, t, crop, 31, 37, LABELS.to_vec());
            all_types(31, 37, &p, &format!("sparse {crop} {steps}"));
        }
    }
}

#[test]
fn upsampled() {
    for recipe in [Recipe::Default, Recipe::Published] {
        let mut p = params(Method::Fast, recipe, template(8, 8, 3.0, 5), 4, 31, 37, vec![0, 1]);
        p.upsample = Some(20);
        check(&frames(31, 37, 2, 1, |v| v as u8), [31, 37], &p, "fast, upsampled");
        for (h, w) in [(21, 18), (20, 23)] {
            let mut p = params(Method::Full, recipe, template(h, w, 3.0, 5), 4, h, w, vec![0, 0]);
            p.upsample = Some(7);
            check(&frames(h, w, 2, 1, |v| v as u8), [h, w], &p, "full, upsampled");
        }
    }
}

#[test]
fn a_shifted_disk_is_found_where_it_is() {
    // Template with an odd image in an even window, default recipe: no shift of one pixel, whatever the parity of the frame.
    for (h, w) in [(40, 41), (41, 40)] {
        let disk = |n: usize, m: usize, c: [f64; 2]| {
            Array2::from_shape_fn((n, m), |(y, x)| {
                (2.5 - (y as f64 - c[0]).hypot(x as f64 - c[1])).clamp(0.0, 1.0)
            })
        };
        let frame: Vec<u8> = disk(h, w, [19.0, 21.0]).iter().map(|v| (v * 100.0) as u8).collect();
        for (method, t) in [
            (Method::Fast, disk(12, 12, [6.0, 6.0])),
            (Method::Full, disk(h, w, [(h / 2) as f64, (w / 2) as f64])),
            (Method::Sparse { steps: 4 }, disk(13, 13, [6.0, 6.0])),
        ] {
            let mut p = params(method, Recipe::Default, t, 6, h, w, vec![0]);
            p.positions = vec![vec![[17.6, 22.4]]].into();
            let peak = run(&frame, [h, w], &p, 1, None).unwrap().frame(0)[0];
            assert_eq!(peak.center, [19, 21], "{method:?}");
            assert!(
                (peak.refined[0] - 19.0).abs() < 1e-4 && (peak.refined[1] - 21.0).abs() < 1e-4,
                "{method:?}: {peak:?}"
            );
        }
    }
}

#[test]
fn the_same_bits_for_any_threads_and_blocks() {
    let labels: Vec<i32> = (0..150).map(|i| i * 7 % 4 - 1).collect();
    for (method, size, crop) in [
        (Method::Fast, (8, 8), 4),
        (Method::Fast, (22, 22), 11),
        (Method::Full, (21, 26), 4),
        (Method::Sparse { steps: 3 }, (9, 9), 4),
    ] {
        let p = params(
            method,
            Recipe::Default,
            template(size.0, size.1, 3.5, 1),
            crop,
            21,
            26,
            labels.clone(),
        );
        let pixels = frames(21, 26, 150, 2, |v| v as u16);
        let reference = run(&pixels, [21, 26], &p, 1, None).unwrap();
        for (threads, block) in [(1, Some(1)), (3, Some(5000)), (2, Some(1 << 20))] {
            assert!(run(&pixels, [21, 26], &p, threads, block).unwrap() == reference, "{method:?}");
        }
    }
}

#[test]
fn the_same_bits_on_every_instruction_set() {
    for (method, size, crop) in [
        (Method::Fast, (4, 4), 2),
        (Method::Fast, (8, 8), 4),
        (Method::Fast, (44, 44), 22),
        (Method::Full, (41, 53), 4),
        (Method::Sparse { steps: 3 }, (9, 9), 4),
    ] {
        let mut p = params(
            method,
            Recipe::Default,
            template(size.0, size.1, 5.0, 1),
            crop,
            41,
            53,
            vec![1; 7],
        );
        p.upsample = matches!(method, Method::Fast).then_some(20);
        let shape = FrameShape {
            pixel: Pixel::F32,
            height: 41,
            width: 53,
        };
        let plan = Arc::new(Plan::new(shape, p).unwrap());
        let pixels = frames(41, 53, 7, 2, |v| v as f32 * 1.3);
        let mut bytes: Vec<u32> = vec![0; 7 * shape.stride() / 4];
        for (to, from) in bytes.chunks_exact_mut(shape.stride() / 4).zip(pixels.chunks_exact(41 * 53)) {
            to.iter_mut().zip(from).for_each(|(t, f)| *t = f.to_bits());
        }
        let parts: Vec<_> = Isa::available()
            .into_iter()
            .map(|isa| {
                let mut stage = cpu::stage_on(&plan, isa).unwrap();
                stage
                    .frames(Frames::new(shape, 0, 7, bytemuck::cast_slice(&bytes)).unwrap())
                    .unwrap();
                stage.end_leaf().unwrap().unwrap()
            })
            .collect();
        assert_eq!(parts[0].peaks.len(), 7 * 12);
        assert!(parts.windows(2).all(|w| w[0] == w[1]), "{method:?}");
    }
}

#[test]
fn bad_parameters_are_errors() {
    let shape = FrameShape {
        pixel: Pixel::U8,
        height: 20,
        width: 24,
    };
    let good = params(Method::Fast, Recipe::Default, template(8, 8, 3.0, 1), 4, 20, 24, vec![0]);
    assert!(Plan::new(shape, good.clone()).is_ok());
    let bad = |change: &dyn Fn(&mut Params), word: &str| {
        let mut p = good.clone();
        change(&mut p);
        let e = Plan::new(shape, p).unwrap_err();
        assert!(matches!(e, Error::Parameter { .. }) && e.to_string().contains(word), "{e}");
    };
    bad(&|p| p.template = template(8, 9, 3.0, 1), "want");
    bad(&|p| p.template.fill(0.0), "zero");
    bad(&|p| p.template[(1, 1)] = f64::NAN, "not finite");
    bad(&|p| p.crop = 1, "2 to");
    bad(&|p| p.labels = vec![3].into(), "label 3");
    bad(&|p| p.positions = vec![vec![[20.0, 3.0]]].into(), "outside");
    bad(&|p| p.positions = vec![vec![[f64::NAN, 3.0]]].into(), "outside");
    bad(&|p| p.upsample = Some(1), "--upsample");
    bad(
        &|p| {
            p.method = Method::Sparse { steps: 1 };
            p.template = template(9, 9, 3.0, 1);
        },
        "steps",
    );
    let e = run(&[0u8; 960], [20, 24], &good, 1, None).unwrap_err();
    assert!(e.to_string().contains("1 labels for 2 frames"), "{e}");
}

#[test]
fn empty_and_saturated_frames_give_numbers() {
    let p = params(Method::Fast, Recipe::Default, template(8, 8, 3.0, 1), 4, 20, 24, vec![0, 1]);
    for value in [0u16, 65535] {
        let found = run(&vec![value; 960], [20, 24], &p, 1, None).unwrap();
        assert!(
            found
                .peaks()
                .iter()
                .all(|p| p.height == 0.0 && p.elevation == 0.0 && p.refined.iter().all(|v| v.is_finite()))
        );
    }
}
