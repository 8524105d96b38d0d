//! Correlation on a GPU against its definition in float64 and against the CPU path: all methods, pixel types, borders, cuts into
//! blocks, small devices. Needs an adapter; a software one will do. Without any, these tests fail.

mod common;
mod correlate_support;
#[allow(dead_code, unused_imports, unused_macros)]
#[path = "parity/data.rs"]
mod data;
#[allow(dead_code)]
#[path = "parity/driver.rs"]
mod driver;

use common::disorder;
use common::{Mix, counts};
use correlate_support::{Wanted, interpolated, oracle, spectrum};
use data::Random;
use driver::{Case, open, open_small};
use emstream::Error;
use emstream::backend::gpu::Gpu;
use emstream::control::Control;
use emstream::engine::{Backend, Pass, Resident, Selection};
use emstream::io::Scan;
use emstream::io::memory::MemoryScan;
use emstream::kernels::correlate::{Method, Params, Part, Peak, Plan, Recipe, gpu};
use emstream::ops::Correlate;
use ndarray::{Array2, ArrayD, IxDyn, s};
use npyz::NpyFile;
use npyz::npz::NpzArchive;
use std::sync::Arc;

/// A template without any symmetry, zero outside `radius` of its centre.
fn template(h: usize, w: usize, radius: f64) -> Array2<f64> {
    let mut mix = Mix(7);
    Array2::from_shape_fn((h, w), |(y, x)| {
        let (dy, dx) = (y as f64 - (h / 2) as f64, x as f64 - (w / 2) as f64);
        let noise = (mix.next() >> 11) as f64 / (1u64 << 53) as f64;
        let r = dy.hypot(dx);
        if r > radius {
            0.0
        } else {
            1.5 - r / radius * 2.0 + 0.4 * noise + 0.05 * dy
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

/// Frames of disks on noise.
fn case<T: Random>((h, w): (usize, usize), n: usize, seed: u64, make: impl Fn(f64) -> T) -> Case<T> {
    let spots = positions(h, w, 9, seed + 1);
    let noise: Vec<u32> = counts(n * h * w, seed).collect();
    let pixel = |i: usize| {
        let (f, y, x) = (i / (h * w), i / w % h, i % w);
        let near = |s: &[f64; 2]| (s[0] - y as f64).hypot(s[1] - x as f64 - 0.3 * f as f64) < 2.2;
        make(f64::from(noise[i] & 7) + if spots.iter().any(near) { 60.0 } else { 0.0 })
    };
    Case::of((h, w), n, (0..n * h * w).map(pixel).collect())
}

/// Three labels with 5, 12 and no positions.
fn params(method: Method, recipe: Recipe, template: Array2<f64>, crop: usize, (h, w): (usize, usize), frames: usize) -> Params {
    Params {
        method,
        recipe,
        template,
        crop,
        labels: [0, 1, -1, 1, 2, 0, 0].iter().copied().cycle().take(frames).collect(),
        positions: vec![positions(h, w, 5, 1), positions(h, w, 12, 2), Vec::new()].into(),
        upsample: None,
    }
}

/// Peaks of each frame from a GPU.
fn on_gpu<T: Random>(gpu: &Gpu, case: &Case<T>, params: &Params, cut: &[usize]) -> Vec<Vec<Peak>> {
    let plan = Arc::new(Plan::new(case.shape, params.clone()).unwrap());
    let mut stage = gpu::stage(gpu, &plan).unwrap();
    let out = driver::run(gpu, case, stage.as_mut(), cut);
    assert!(out.last.is_none());
    frames_of(out.leaves.into_iter().map(|l| l.1))
}

fn frames_of(parts: impl Iterator<Item = Part>) -> Vec<Vec<Peak>> {
    let mut frames = Vec::new();
    for part in parts {
        assert_eq!(part.first, frames.len() as u64);
        let of = |o: &[u32]| part.peaks[o[0] as usize..o[1] as usize].to_vec();
        frames.extend(part.offsets.windows(2).map(of));
        assert_eq!(*part.offsets.last().unwrap() as usize, part.peaks.len());
    }
    frames
}

fn on_cpu<T: Random>(case: &Case<T>, params: &Params) -> Vec<Vec<Peak>> {
    let pixels: Vec<T> = (0..case.frames).flat_map(|f| case.frame(f).to_vec()).collect();
    let found = correlate_support::run(&pixels, [case.shape.height, case.shape.width], params, 2, None).unwrap();
    (0..found.frames()).map(|n| found.frame(n).to_vec()).collect()
}

/// What may differ: float32 sums in another order, and with them which of two nearly equal values is the highest.
fn check_peak(peak: &Peak, cpu: Option<&Peak>, wanted: &Wanted, params: &Params, what: &str) {
    let scale = wanted.window.iter().fold(1e-3, |m: f64, v| m.max(v.abs()));
    let near = |a: f32, b: f64, tolerance: f64, which: &str| {
        assert!(
            (f64::from(a) - b).abs() < tolerance,
            "{what}: {which} {a} {b} (scale {scale})"
        )
    };
    near(peak.height, wanted.height, 2e-6 * scale, "height");
    if let Some(cpu) = cpu {
        near(peak.height, f64::from(cpu.height), 2e-6 * scale, "height as on the CPU");
    }
    let center = peak.center.map(i64::from);
    if center != wanted.center {
        let at = [0, 1].map(|k| (center[k] - wanted.origin[k]) as usize);
        near(wanted.window[at] as f32, wanted.height, 2e-6 * scale, "another maximum");
        return;
    }
    near(peak.elevation, wanted.elevation, 1e-5 * scale, "elevation");
    let off = (0..2)
        .map(|k| (f64::from(peak.refined[k]) - wanted.refined[k]).abs())
        .fold(0.0, f64::max);
    // Far from the origin float32 numbers lie further apart.
    let resolution = 1e-4f64.max(f64::from(f32::EPSILON) * wanted.refined[0].max(wanted.refined[1]));
    match &wanted.period {
        None => {
            assert!(off < resolution, "{what}: {:?} {:?}", peak.refined, wanted.refined);
            if let Some(cpu) = cpu.filter(|c| c.center == peak.center) {
                near(
                    peak.elevation,
                    f64::from(cpu.elevation),
                    1e-5 * scale,
                    "elevation as on the CPU",
                );
                (0..2).for_each(|k| {
                    near(
                        peak.refined[k],
                        f64::from(cpu.refined[k]),
                        resolution,
                        "position as on the CPU",
                    )
                });
            }
        }
        Some((map, origin)) if off > 1e-4 => {
            let published = params.recipe == Recipe::Published;
            let at = [0, 1].map(|k| f64::from(peak.refined[k]) - origin[k] as f64);
            let v = interpolated(&spectrum(map, published), at[0], at[1], published);
            let scale = if published { scale * scale } else { scale };
            let finest = wanted.finest;
            assert!((finest - v).abs() < 1e-5 * scale, "{what}: {v} at {at:?}, {finest}");
        }
        Some(_) => {}
    }
}

fn check<T: Random>(gpu: &Gpu, case: &Case<T>, params: &Params, what: &str) {
    check_with(gpu, case, params, Some(on_cpu(case, params).as_slice()), what);
}

fn check_with<T: Random>(gpu: &Gpu, case: &Case<T>, params: &Params, cpu: Option<&[Vec<Peak>]>, what: &str) {
    let found = on_gpu(gpu, case, params, &[case.frames]);
    assert_eq!(found.len(), case.frames);
    for (n, peaks) in found.iter().enumerate() {
        let what = format!("{what}, {case:?}, {:?}, frame {n}", params.recipe);
        let Ok(label) = usize::try_from(params.labels[n]) else {
            assert!(peaks.is_empty(), "{what}");
            continue;
        };
        let wanted = oracle(case.frame(n), case.shape.width, &params.positions[label], params);
        assert_eq!(peaks.len(), wanted.len(), "{what}");
        for (p, (peak, wanted)) in peaks.iter().zip(&wanted).enumerate() {
            check_peak(peak, cpu.map(|c| &c[n][p]), wanted, params, &format!("{what} peak {p}"));
        }
    }
}

const BOTH: [Recipe; 2] = [Recipe::Default, Recipe::Published];

fn all_types(gpu: &Gpu, shape: (usize, usize), params: &Params, what: &str) {
    let n = params.labels.len();
    check(gpu, &case(shape, n, 3, |v| v as u8), params, what);
    check(gpu, &case(shape, n, 3, |v| v as i8 - 60), params, what);
    check(gpu, &case(shape, n, 4, |v| (v * 700.0) as u16 + 90), params, what);
    check(gpu, &case(shape, n, 5, |v| (v * 900.0) as i16 - 30000), params, what);
    check(gpu, &case(shape, n, 5, |v| v as u32 * 60_000_000), params, what);
    check(gpu, &case(shape, n, 5, |v| v as i32 * 1700 - 40), params, what);
    check(gpu, &case(shape, n, 6, |v| v as f32 * 0.37 - 3.0), params, what);
}

#[test]
fn fast_by_direct_sums_and_transforms() {
    let gpu = open();
    let shape = (33, 47);
    // Small crops: all pixel types. 34 = 2·17 is continued to 39 × 39 in workgroup memory; 44 = 4·11 fills it.
    for (crop, radius) in [(2, 1.5), (4, 4.4), (6, 4.0), (8, 9.0), (17, 2.0), (17, 4.4), (22, 12.0)] {
        for recipe in BOTH {
            let p = params(Method::Fast, recipe, template(2 * crop, 2 * crop, radius), crop, shape, 6);
            let what = format!("fast {crop} {radius}");
            if crop == 4 || crop == 8 {
                all_types(&gpu, shape, &p, &what);
            } else {
                check(&gpu, &case(shape, 6, 8, |v| v as u8), &p, &what);
            }
        }
    }
}

#[test]
fn fast_by_continued_transforms() {
    // 34 = 2·17 with a template of 11 × 11 or 9 × 11 values: 44 × 44 or 42 × 44 points.
    let gpu = open();
    let shape = (33, 47);
    for reach in [5, 4] {
        let mut t = template(34, 34, 90.0);
        t.indexed_iter_mut()
            .filter(|((y, x), _)| y.abs_diff(17) > reach || x.abs_diff(17) > 5)
            .for_each(|(_, v)| *v = 0.0);
        for recipe in BOTH {
            let p = params(Method::Fast, recipe, t.clone(), 17, shape, 6);
            let case = case(shape, 6, 8, |v| v as u8);
            if reach == 5 {
                check(&gpu, &case, &p, "fast, continued");
            } else {
                check_with(&gpu, &case, &p, None, "fast, continued by other lengths along y and x");
            }
        }
    }
}

#[test]
fn fast_beyond_workgroup_memory() {
    let gpu = open();
    let shape = (61, 57);
    // Direct sums in device memory, transforms in passes: 48 = 16·3, 46 = 2·23 is continued.
    for (crop, radius) in [(24, 1.2), (24, 9.0), (23, 9.0), (17, 40.0)] {
        for recipe in BOTH {
            let mut p = params(Method::Fast, recipe, template(2 * crop, 2 * crop, radius), crop, shape, 2);
            check(&gpu, &case(shape, 2, 8, |v| v as u16), &p, &format!("fast {crop} {radius}"));
            p.upsample = Some(5);
            p.positions = vec![positions(61, 57, 3, 1), positions(61, 57, 2, 2)].into();
            check(&gpu, &case(shape, 2, 8, |v| v as u16), &p, "and upsampled");
        }
    }
}

#[test]
fn full_frames_of_any_size() {
    let gpu = open();
    for shape in [(33, 47), (64, 64), (31, 29), (20, 34)] {
        for recipe in BOTH {
            let (h, w) = shape;
            let p = params(Method::Full, recipe, template(h, w, 4.5), 4, shape, 7);
            if h == 33 {
                all_types(&gpu, shape, &p, "full");
            } else {
                check(&gpu, &case(shape, 7, 8, |v| v as u8), &p, "full");
            }
        }
    }
    let p = params(Method::Full, Recipe::Default, template(31, 29, 90.0), 3, (31, 29), 3);
    check(&gpu, &case((31, 29), 3, 8, |v| v as u8), &p, "full, template as large");
}

#[test]
fn full_frames_wider_than_16_kib_of_workgroup_memory() {
    // 2310 = 2·3·5·7·11.
    let shape = (6, 2310);
    let p = params(Method::Full, Recipe::Default, template(6, 2310, 2.5), 3, shape, 2);
    let case = case(shape, 2, 8, |v| v as u8);
    check(&open(), &case, &p, "wide");
    let small = open_small();
    let e = gpu::stage(&small, &Arc::new(Plan::new(case.shape, p).unwrap())).err();
    assert!(matches!(e, Some(Error::TooLargeForDevice(_))), "{e:?}");
}

#[test]
fn the_least_pixel_lies_anywhere() {
    // Every frame has one pixel far below the others, so that whichever thread saw it has to be heard.
    let (gpu, (h, w), n) = (open(), (17, 18), 120);
    let frames = case((h, w), n, 8, |v| v as f32 + 20.0);
    let low = |i: usize| i / (h * w) * 191 % (h * w) == i % (h * w);
    let pixels = (0..n).flat_map(|f| frames.frame(f).to_vec()).enumerate();
    let case = Case::of((h, w), n, pixels.map(|(i, v)| if low(i) { 0 } else { v as u16 }).collect());
    for (method, size, crop) in [
        (Method::Full, (h, w), 4),
        (Method::Sparse { steps: 3 }, (9, 9), 4),
        (Method::Fast, (12, 12), 6),
        (Method::Fast, (8, 8), 4),
    ] {
        let p = params(method, Recipe::Default, template(size.0, size.1, 4.0), crop, (h, w), n);
        check(&gpu, &case, &p, "least pixel");
    }
}

#[test]
fn sparse() {
    let gpu = open();
    // The largest crop, 2·(28 + 5) + 1 = 67 pixels wide, lies in device memory.
    for (crop, steps) in [(2, 2), (4, 3), (28, 5)] {
        for recipe in BOTH {
            let t = template(2 * crop + 1, 2 * crop + 1, crop as f64);
            let p = params(Method::Sparse { steps }, recipe, t, crop, (33, 47), 6);
            if crop == 4 {
                all_types(&gpu, (33, 47), &p, "sparse");
            } else {
                check(&gpu, &case((33, 47), 6, 8, |v| v as u8), &p, "sparse");
            }
        }
    }
}

#[test]
fn upsampled() {
    let gpu = open();
    for recipe in BOTH {
        for (crop, radius) in [(4, 3.0), (11, 7.0)] {
            let mut p = params(Method::Fast, recipe, template(2 * crop, 2 * crop, radius), crop, (33, 47), 2);
            p.upsample = Some(20);
            check(&gpu, &case((33, 47), 2, 8, |v| v as u8), &p, "fast, upsampled");
        }
        for shape in [(21, 18), (20, 23)] {
            let mut p = params(Method::Full, recipe, template(shape.0, shape.1, 3.0), 4, shape, 2);
            p.upsample = Some(7);
            check(&gpu, &case(shape, 2, 8, |v| v as u8), &p, "full, upsampled");
        }
    }
}

/// One case of each form that has its own kernels.
fn forms(shape: (usize, usize), frames: usize) -> Vec<Params> {
    let (h, w) = shape;
    let of = |method, t, crop| params(method, Recipe::Default, t, crop, shape, frames);
    let mut all = vec![
        of(Method::Fast, template(8, 8, 3.5), 4),
        of(Method::Fast, template(22, 22, 8.0), 11),
        of(Method::Full, template(h, w, 3.5), 4),
        of(Method::Sparse { steps: 3 }, template(9, 9, 3.5), 4),
    ];
    all.extend(all.clone().into_iter().take(3).map(|p| Params { upsample: Some(4), ..p }));
    all
}

#[test]
fn the_same_bits_for_any_blocks() {
    let gpu = open();
    let shape = (21, 26);
    let case = case(shape, 40, 2, |v| v as u16);
    for p in forms(shape, 40) {
        let reference = on_gpu(&gpu, &case, &p, &[40]);
        for cut in [&[8, 8, 8, 8, 8][..], &[16, 24], &[24, 8, 8]] {
            assert_eq!(on_gpu(&gpu, &case, &p, cut), reference, "{:?} {cut:?}", p.method);
        }
    }
}

#[test]
fn the_same_bits_on_a_small_device_and_in_many_rounds() {
    let shape = (21, 26);
    let case = case(shape, 16, 2, |v| v as f32 * 1.3);
    let (large, small) = (open(), open_small());
    for p in forms(shape, 16) {
        let reference = on_gpu(&large, &case, &p, &[16]);
        assert_eq!(on_gpu(&small, &case, &p, &[16]), reference, "{:?}", p.method);
        // So little memory that rounds hold a few windows: frames are cut, pairs are not.
        let budget = small.budget();
        small.set_budget(small.allocated() + (40 << 10));
        assert_eq!(on_gpu(&small, &case, &p, &[8, 8]), reference, "{:?}, many rounds", p.method);
        small.set_budget(budget);
    }
}

#[test]
fn lists_that_are_empty_and_constant_frames() {
    let gpu = open();
    let mut p = params(Method::Fast, Recipe::Default, template(8, 8, 3.0), 4, (20, 24), 2);
    let constant = Case::<u16>::filled((20, 24), 2, 65535);
    for peaks in on_gpu(&gpu, &constant, &p, &[2]) {
        let still = |p: &Peak| p.height == 0.0 && p.elevation == 0.0 && p.refined.iter().all(|v| v.is_finite());
        assert!(peaks.iter().all(still), "{peaks:?}");
    }
    p.labels = [-1, 2].into();
    assert_eq!(on_gpu(&gpu, &constant, &p, &[2]), vec![Vec::new(); 2]);
    p.positions = Vec::new().into();
    p.labels = [-1, -1].into();
    assert_eq!(on_gpu(&gpu, &constant, &p, &[2]), vec![Vec::new(); 2]);
}

#[test]
fn through_a_pass() {
    let (h, w) = (21, 26);
    let case = case((h, w), 150, 2, |v| v as u8);
    let pixels: Vec<u8> = (0..150).flat_map(|f| case.frame(f).to_vec()).collect();
    let scan = MemoryScan::new([10, 15], [h, w], pixels).unwrap();
    for p in forms((h, w), 150).into_iter().take(4) {
        let selection = Selection::all([10, 15]);
        let mut control = Control::new();
        control.threads = 1;
        control.memory = 1 << 30;
        control.block = Some(16 * case.shape.stride() as u64);
        let mut pass = Pass::new("test", &scan, &selection);
        let handle = pass.add(Correlate::new(scan.info().frame, p.clone()).unwrap());
        let found = pass
            .run(&Backend::gpu(open()), &Resident::none(), &control)
            .unwrap()
            .take(handle)
            .unwrap();
        let reference = on_gpu(&open(), &case, &p, &[150]);
        for (n, peaks) in reference.iter().enumerate() {
            assert_eq!(found.frame(n as u64), peaks.as_slice(), "{:?} frame {n}", p.method);
        }
    }
}

/// What LiberTEM found in 48 frames of the polycrystal scan, with the tolerances of the CPU path.
#[test]
fn published_values() {
    let path = "tests/data/strain/correlate_reference.npz";
    let mut archive = NpzArchive::open(path).unwrap();
    fn get<T: npyz::Deserialize>(archive: &mut NpzArchive<std::io::BufReader<std::fs::File>>, name: &str) -> ArrayD<T> {
        let file: NpyFile<_> = archive.by_name(name).unwrap().unwrap_or_else(|| panic!("{name}"));
        let shape: Vec<usize> = file.shape().iter().map(|&n| n as usize).collect();
        ArrayD::from_shape_vec(IxDyn(&shape), file.into_vec().unwrap()).unwrap()
    }
    let device = open();
    let labels = get::<i32>(&mut archive, "labels").into_raw_vec_and_offset().0;
    let frames = get::<u8>(&mut archive, "frames").into_raw_vec_and_offset().0;
    let case = Case::of((144, 144), labels.len(), frames);
    let mut positions = Vec::new();
    for c in 0..8 {
        let p = get::<f64>(&mut archive, &format!("positions_{c}"));
        positions.push(p.outer_iter().map(|r| [r[0], r[1]]).collect());
    }
    let mut matrix = |name: &str| -> Array2<f64> { get::<f64>(&mut archive, name).into_dimensionality().unwrap() };
    let (fast, stamp) = (matrix("template_fast"), matrix("template_sparse"));
    let mut whole = Array2::zeros((144, 144));
    whole.slice_mut(s![68..77, 68..77]).assign(&stamp);
    for (name, method, template) in [
        ("fast", Method::Fast, fast),
        ("sparse", Method::Sparse { steps: 3 }, stamp),
        ("fullframe", Method::Full, whole),
    ] {
        let params = Params {
            method,
            recipe: Recipe::Published,
            template,
            crop: 4,
            labels: labels.clone().into(),
            positions: positions.clone().into(),
            upsample: None,
        };
        let found = on_gpu(&device, &case, &params, &[48]);
        let (mut peaks, mut moved, mut seen) = (0, 0, [0; 8]);
        for (n, &label) in labels.iter().enumerate() {
            let c = label as usize;
            let mut of = |what: &str| get::<f32>(&mut archive, &format!("{name}_{what}_{c}"));
            let (refined, heights, elevations) = (of("refineds"), of("peak_values"), of("peak_elevations"));
            let centers = get::<i16>(&mut archive, &format!("{name}_centers_{c}"));
            for (p, peak) in found[n].iter().enumerate() {
                let at = [seen[c], p];
                peaks += 1;
                if [0, 1].map(|k| centers[[at[0], p, k]]) != peak.center {
                    moved += 1;
                    continue;
                }
                (0..2).for_each(|k| assert!((refined[[at[0], p, k]] - peak.refined[k]).abs() < 1e-3, "{name} {n} {p}"));
                let near = |a: f32, b: f32| (a - b).abs() < 1e-4 * b.abs().max(1.0);
                assert!(
                    near(peak.height, heights[at]) && near(peak.elevation, elevations[at]),
                    "{name} {n} {p}"
                );
            }
            seen[c] += 1;
        }
        assert!(
            peaks > 700 && moved * 1000 <= peaks,
            "{name}: {moved} of {peaks} centres differ"
        );
    }
}
