//! Processing of patterns: against the reference arrays (aloe, scikit-image, kikuchipy), against slow float64 versions, and between
//! the backends. The GPU of the tests is the one that EMSTREAM_GPU names, else a software one.

#[allow(dead_code)]
#[path = "parity/data.rs"]
mod data;
#[path = "common/disorder.rs"]
mod disorder;
#[allow(dead_code)]
#[path = "parity/driver.rs"]
mod driver;
mod ebsd_support;

use driver::{Case, open, open_small, run};
use ebsd_support::{agreement, array, bin_mean, lowpass, plane, stack, stretch, thin};
use emstream::backend::cpu::isa::Isa;
use emstream::backend::gpu::Gpu;
use emstream::kernels::pattern::{self, Border, Dynamic, Params, Part, Plan, Static, Step, Window};
use emstream::pixel::{Frames, Pixel, Sample};
use ndarray::Array2;

/// The raw patterns of six points (three in `few`) and the static background.
fn patterns(n: usize) -> (Case<u16>, Array2<f64>) {
    let raw = array::<u16>("patterns.npz", "raw");
    let pixels = raw.iter().copied().take(n * 120 * 160).collect();
    (Case::of((120, 160), n, pixels), plane("patterns.npz", "static"))
}

fn chain(bin: usize, steps: Vec<Step>, output: Pixel) -> Params {
    Params {
        bin,
        steps,
        output,
        round: false,
    }
}
fn percentiles(low: f64, high: f64, top: f32) -> Step {
    Step::Stretch {
        low,
        high,
        to: [0.0, top],
        whole: true,
    }
}
fn divide(image: &Array2<f64>) -> Step {
    Step::Static {
        image: image.clone(),
        how: Static::Divide,
    }
}
fn low(window: Window, how: Dynamic) -> Step {
    Step::Lowpass { window, how }
}

fn on_cpu<T: data::Random>(isa: Isa, case: &Case<T>, params: &Params) -> Part {
    let plan = Plan::new(case.shape, params).unwrap();
    let mut stage = pattern::cpu::stage_with(isa, plan);
    let mut words = vec![0u32; case.shape.stride() / 4 * case.frames];
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
    for (n, to) in bytes.chunks_exact_mut(case.shape.stride()).enumerate() {
        to[..case.shape.bytes()].copy_from_slice(bytemuck::cast_slice(case.frame(n)));
    }
    stage.frames(Frames::new(case.shape, 0, case.frames, bytes).unwrap()).unwrap();
    stage.end_leaf().unwrap().expect("patterns")
}
fn on_gpu<T: data::Random>(gpu: &Gpu, case: &Case<T>, params: &Params, cut: &[usize]) -> Part {
    let plan = Plan::new(case.shape, params).unwrap();
    let mut stage = pattern::gpu::stage(gpu, plan).unwrap();
    let parts = run(gpu, case, stage.as_mut(), cut).leaves;
    parts
        .into_iter()
        .map(|(_, p)| p)
        .reduce(|mut a, b| {
            assert_eq!(a.count as u64, b.first);
            a.count += b.count;
            a.bytes.extend(b.bytes);
            a.filled += b.filled;
            a
        })
        .expect("patterns")
}

/// Pattern `n` of a part.
fn image(part: &Part, params: &Params, n: usize, shape: (usize, usize)) -> Array2<f64> {
    let size = shape.0 * shape.1 * params.output.bytes();
    let bytes = &part.bytes[n * size..(n + 1) * size];
    let values = match params.output {
        Pixel::U8 => bytes.iter().map(|&v| f64::from(v)).collect(),
        Pixel::U16 => bytes
            .chunks_exact(2)
            .map(|b| f64::from(u16::from_ne_bytes([b[0], b[1]])))
            .collect(),
        _ => bytes
            .chunks_exact(4)
            .map(|b| f64::from(f32::from_ne_bytes(b.try_into().unwrap())))
            .collect(),
    };
    Array2::from_shape_vec(shape, values).unwrap()
}

/// Runs the chain on both backends and gives pattern 0 … of each to `check`.
fn both(params: &Params, n: usize, shape: (usize, usize), mut check: impl FnMut(&str, usize, Array2<f64>)) {
    let (case, _) = patterns(n);
    let cpu = on_cpu(Isa::active(), &case, params);
    let gpu = on_gpu(&open(), &case, params, &[n]);
    for (name, part) in [("cpu", cpu), ("gpu", gpu)] {
        assert_eq!(part.count, n);
        assert_eq!(part.filled, 0, "{name}");
        (0..n).for_each(|i| check(name, i, image(&part, params, i, shape)));
    }
}

#[test]
fn backgrounds_of_the_reference() {
    let (_, static_background) = patterns(1);
    let near = |name: &str, found: Array2<f64>, wanted: &Array2<f64>, tolerance: f64| {
        let (_, worst) = agreement(thin(&found), wanted.iter().copied());
        assert!(worst <= tolerance, "{name}: {worst} > {tolerance}");
    };
    for (name, sigma) in [
        ("raw_background_s40", 40.0),
        ("raw_background_sdefault", 160.0 / 25.0),
        ("raw_background_s20", 20.0),
        ("raw_background_s5", 5.0),
    ] {
        let wanted = plane("processing.npz", name);
        let most = wanted.iter().copied().fold(0.0, f64::max);
        let params = chain(1, vec![low(Window::aloe(sigma).unwrap(), Dynamic::Background)], Pixel::F32);
        both(&params, 1, (120, 160), |b, _, found| {
            near(&format!("{b} {name}"), found, &wanted, 1e-6 * most)
        });
    }
    let wide = || Window::aloe(40.0).unwrap();
    let signal = chain(1, vec![low(wide(), Dynamic::Subtract { scale: 1.0 })], Pixel::F32);
    let wanted = plane("processing.npz", "raw_signal_s40");
    both(&signal, 1, (120, 160), |b, _, found| near(b, found, &wanted, 1e-6 * 32752.0));
    let flat = chain(
        1,
        vec![divide(&static_background), low(wide(), Dynamic::Background)],
        Pixel::F32,
    );
    let wanted = plane("processing.npz", "flat_background_s40");
    both(&flat, 1, (120, 160), |b, _, found| near(b, found, &wanted, 1e-6 * 3.0));
    let corrected = chain(1, vec![divide(&static_background), low(wide(), Dynamic::Divide)], Pixel::F32);
    let wanted = plane("processing.npz", "flat_corrected_s40");
    both(&corrected, 1, (120, 160), |b, _, found| near(b, found - 1.0, &wanted, 2e-6));
    let default = chain(
        1,
        vec![
            divide(&static_background),
            low(Window::aloe(120.0 / 8.0).unwrap(), Dynamic::Divide),
        ],
        Pixel::F32,
    );
    let wanted = plane("processing.npz", "flat_divided_default");
    both(&default, 1, (120, 160), |b, _, found| near(b, found, &wanted, 2e-6));
    let local = chain(
        1,
        vec![
            divide(&static_background),
            low(wide(), Dynamic::Divide),
            Step::LocalNorm {
                half: 6,
                border: Border::Mixed,
            },
        ],
        Pixel::F32,
    );
    let wanted = plane("processing.npz", "local_norm_k6");
    both(&local, 1, (120, 160), |b, _, found| near(b, found, &wanted, 1e-3));
}

#[test]
fn pipelines_of_the_reference() {
    let (_, background) = patterns(1);
    // Name, static background, sigma in binned pixels (none: an eighth of the height), percentiles, output, binning.
    let sets = [
        ("A_static_s20_c1_99_u8", true, Some(20.0), [1.0, 99.0], Pixel::U8, 1),
        ("C_nostatic_s15_c05_995_u16", false, Some(15.0), [0.5, 99.5], Pixel::U16, 1),
        ("D_static_s3_c10_90_u8_b4", true, Some(3.0), [10.0, 90.0], Pixel::U8, 4),
        (
            "E_static_s40_c0001_99999_u16",
            true,
            Some(40.0),
            [0.001, 99.999],
            Pixel::U16,
            1,
        ),
        ("F_static_default_u8_b2", true, None, [0.5, 99.5], Pixel::U8, 2),
        ("G_nostatic_default_u8", false, None, [0.5, 99.5], Pixel::U8, 1),
        ("H_nostatic_default_u16_b4", false, None, [0.5, 99.5], Pixel::U16, 4),
        (
            "I_static_s6_4_c001_9999_u16_b2",
            true,
            Some(6.4),
            [0.01, 99.99],
            Pixel::U16,
            2,
        ),
    ];
    for (name, with_static, sigma, [lo, hi], output, bin) in sets {
        let (h, w) = (120 / bin, 160 / bin);
        let top = if output == Pixel::U8 { 255.0 } else { 65535.0 };
        let mut steps = if with_static { vec![divide(&background)] } else { vec![] };
        steps.push(low(Window::aloe(sigma.unwrap_or(h as f64 / 8.0)).unwrap(), Dynamic::Divide));
        steps.push(percentiles(lo, hi, top));
        let params = chain(bin, steps, output);
        let wanted = stack("processing.npz", name);
        let (share, most) = if output == Pixel::U8 { (0.995, 1.0) } else { (0.90, 2.0) };
        both(&params, 2, (h, w), |b, n, found| {
            let (same, worst) = agreement(thin(&found), wanted.index_axis(ndarray::Axis(0), n).iter().copied());
            assert!(same >= share && worst <= most, "{b} {name}: {same} equal, worst {worst}");
        });
    }
    let wanted = stack("patterns.npz", "processed");
    let params = chain(
        1,
        vec![
            divide(&background),
            low(Window::aloe(15.0).unwrap(), Dynamic::Divide),
            percentiles(1.0, 99.0, 255.0),
        ],
        Pixel::U8,
    );
    both(&params, 6, (120, 160), |b, n, found| {
        let (same, worst) = agreement(found, wanted.index_axis(ndarray::Axis(0), n).iter().copied());
        assert!(same >= 0.995 && worst <= 1.0, "{b}: {same} equal, worst {worst}");
    });
    for (name, sigma, bin) in [("float_D_point0", 3.0, 4), ("float_F_point0", 7.5, 2)] {
        let params = chain(
            bin,
            vec![divide(&background), low(Window::aloe(sigma).unwrap(), Dynamic::Divide)],
            Pixel::F32,
        );
        let wanted = plane("processing.npz", name);
        both(&params, 1, wanted.dim(), |b, _, found| {
            let (_, worst) = agreement(found, wanted.iter().copied());
            assert!(worst <= 2e-6, "{b} {name}: {worst}");
        });
    }
}

#[test]
fn contrast_of_the_reference() {
    let (_, background) = patterns(1);
    let flat = || vec![divide(&background), low(Window::aloe(40.0).unwrap(), Dynamic::Divide)];
    for (name, lo, hi, top, output) in [
        ("u8_0001", 0.001, 99.999, 255.0, Pixel::U8),
        ("u16_0001", 0.001, 99.999, 65535.0, Pixel::U16),
        ("u8_default", 0.25, 99.75, 255.0, Pixel::U8),
    ] {
        let mut steps = flat();
        steps.push(percentiles(lo, hi, top));
        let wanted = plane("processing.npz", name);
        let (share, most) = if output == Pixel::U8 { (0.995, 1.0) } else { (0.90, 2.0) };
        both(&chain(1, steps, output), 1, (120, 160), |b, _, found| {
            let (same, worst) = agreement(thin(&found), wanted.iter().copied());
            assert!(same >= share && worst <= most, "{b} {name}: {same} equal, worst {worst}");
        });
    }
    let mut steps = flat();
    steps.push(Step::Stretch {
        low: 3.0,
        high: 97.0,
        to: [-1.0, 1.0],
        whole: false,
    });
    let wanted = plane("processing.npz", "stretch_3_97");
    both(&chain(1, steps, Pixel::F32), 1, (120, 160), |b, _, found| {
        let (_, worst) = agreement(thin(&found), wanted.iter().copied());
        assert!(worst <= 1e-4, "{b}: {worst}");
        let ends = found.iter().fold([f64::MAX, f64::MIN], |[l, h], &v| [l.min(v), h.max(v)]);
        let wanted = array::<f64>("neighbours.npz", "stretch_3_97_minmax");
        assert!(ends.iter().zip(&wanted).all(|(f, w)| (f - w).abs() < 1e-6), "{b}: {ends:?}");
    });
    let mut steps = flat();
    steps.push(percentiles(0.001, 99.999, 65535.0));
    steps.push(Step::Clahe {
        tile: [3, 4],
        clip: 0.01,
        bins: 256,
    });
    steps.push(percentiles(0.001, 99.999, 65535.0));
    let wanted = plane("neighbours.npz", "clahe_u16");
    both(&chain(1, steps, Pixel::U16), 1, (120, 160), |b, _, found| {
        // The tolerance of the equalised values, 1e-3 of their range, in counts.
        let near = thin(&found)
            .iter()
            .zip(&wanted)
            .filter(|(a, b)| (*a - *b).abs() <= 66.0)
            .count();
        assert!(near as f64 >= 0.99 * wanted.len() as f64, "{b}: {near} of {}", wanted.len());
    });
    for (name, tile) in [("clahe", [3, 4]), ("clahe_kernel8", [15, 20])] {
        let mut steps = flat();
        steps.push(percentiles(0.001, 99.999, 65535.0));
        steps.push(Step::Clahe {
            tile,
            clip: 0.01,
            bins: 256,
        });
        let wanted = plane("processing.npz", name);
        both(&chain(1, steps, Pixel::F32), 1, (120, 160), |b, _, found| {
            let found = thin(&found);
            let near = found.iter().zip(&wanted).filter(|(a, b)| (*a - *b).abs() <= 1e-3).count();
            let (_, worst) = agreement(found, wanted.iter().copied());
            // A grey level at the edge of a bin may fall into the next one after float32 arithmetic.
            assert!(
                near as f64 >= 0.99 * wanted.len() as f64,
                "{b} {name}: {near} of {}",
                wanted.len()
            );
            println!("{b} {name}: {near} of {} within 1e-3, worst {worst:e}", wanted.len());
        });
    }
}

#[test]
fn percentiles_of_the_reference() {
    // The range of a stretch to itself is what the percentiles are.
    let wanted = array::<f64>("processing.npz", "percentiles");
    let q = [
        0.0, 0.001, 0.01, 0.25, 0.5, 1.0, 3.0, 10.0, 50.0, 90.0, 97.0, 99.0, 99.5, 99.75, 99.99, 99.999, 100.0,
    ];
    let (_, background) = patterns(1);
    for (&lo, &wanted_low) in q.iter().zip(&wanted).take(16) {
        let steps = vec![
            divide(&background),
            low(Window::aloe(40.0).unwrap(), Dynamic::Divide),
            Step::Stretch {
                low: lo,
                high: 100.0,
                to: [0.0, 1.0],
                whole: false,
            },
        ];
        let free = chain(1, steps[..2].to_vec(), Pixel::F32);
        let (case, _) = patterns(1);
        let values = image(&on_cpu(Isa::active(), &case, &free), &free, 0, (120, 160));
        let found = ebsd_support::percentile(&values, lo);
        assert!((found - 1.0 - wanted_low).abs() <= 1e-6, "{lo} %: {found}");
        let params = chain(1, steps, Pixel::F32);
        let expected = stretch(&values, lo, 100.0, [0.0, 1.0], false);
        // What the backends' values may differ by, in parts of the range.
        let tolerance = 2e-6 / (ebsd_support::percentile(&values, 100.0) - ebsd_support::percentile(&values, lo));
        both(&params, 1, (120, 160), |b, _, found| {
            let (_, worst) = agreement(found, expected.iter().copied());
            assert!(worst <= tolerance, "{b} {lo} %: {worst}");
        });
    }
}

#[test]
fn binning_of_the_reference() {
    for (name, bin) in [("mean2", 2), ("mean4", 4), ("mean7", 7)] {
        let wanted = stack("processing.npz", name);
        let (_, h, w) = wanted.dim();
        both(&chain(bin, vec![], Pixel::F32), 2, (h, w), |b, n, found| {
            // Means of integers are exact but for the last bit; ties go to even in the reference.
            let (_, worst) = agreement(found, wanted.index_axis(ndarray::Axis(0), n).iter().copied());
            assert!(worst <= 0.5 + 2e-3, "{b} {name}: {worst}");
        });
    }
}

#[test]
fn corrections_of_kikuchipy() {
    let (_, background) = patterns(1);
    let image_step = |how| Step::Static {
        image: background.clone(),
        how,
    };
    let full = |float: bool| Step::Stretch {
        low: 0.0,
        high: 100.0,
        to: if float { [-1.0, 1.0] } else { [0.0, 65535.0] },
        whole: !float,
    };
    let frequency = || Window::kikuchipy_frequency(20.0).unwrap();
    let spatial = || Window::kikuchipy_spatial(20.0).unwrap();
    let take = |b: Dynamic, w: Window| low(w, b);
    let minus = Dynamic::Subtract { scale: 1.0 };
    let sets: Vec<(&str, Vec<Step>)> = vec![
        ("static_subtract_u16", vec![image_step(Static::Subtract), full(false)]),
        ("static_divide_u16", vec![image_step(Static::Divide), full(false)]),
        (
            "static_subtract_scaled_u16",
            vec![image_step(Static::SubtractScaled), full(false)],
        ),
        ("static_subtract_f32", vec![image_step(Static::Subtract), full(true)]),
        ("static_divide_f32", vec![image_step(Static::Divide), full(true)]),
        (
            "static_subtract_dynamic_subtract_frequency_u16",
            vec![
                image_step(Static::Subtract),
                full(false),
                take(minus, frequency()),
                full(false),
            ],
        ),
        (
            "static_subtract_dynamic_subtract_spatial_u16",
            vec![image_step(Static::Subtract), full(false), take(minus, spatial()), full(false)],
        ),
        (
            "static_divide_dynamic_divide_frequency_u16",
            vec![
                image_step(Static::Divide),
                full(false),
                take(Dynamic::Divide, frequency()),
                full(false),
            ],
        ),
        (
            "static_divide_dynamic_divide_spatial_u16",
            vec![
                image_step(Static::Divide),
                full(false),
                take(Dynamic::Divide, spatial()),
                full(false),
            ],
        ),
        (
            "static_subtract_dynamic_subtract_frequency_f32",
            vec![image_step(Static::Subtract), full(true), take(minus, frequency()), full(true)],
        ),
        (
            "static_subtract_dynamic_subtract_spatial_f32",
            vec![image_step(Static::Subtract), full(true), take(minus, spatial()), full(true)],
        ),
        (
            "dynamic_background_frequency_f32",
            vec![low(Window::kikuchipy_frequency(15.0).unwrap(), Dynamic::Background)],
        ),
        (
            "dynamic_background_spatial_f32",
            vec![low(Window::kikuchipy_spatial(15.0).unwrap(), Dynamic::Background)],
        ),
    ];
    for (name, steps) in sets {
        let float = name.ends_with("f32");
        let wanted = stack("kikuchipy.npz", name);
        let params = chain(1, steps, if float { Pixel::F32 } else { Pixel::U16 });
        both(&params, 1, (120, 160), |b, n, found| {
            let (_, worst) = agreement(thin(&found), wanted.index_axis(ndarray::Axis(0), n).iter().copied());
            let most = match name {
                n if n.starts_with("dynamic_background") => 2e-6 * 32752.0,
                _ if float => 2e-6,
                _ => 2.0,
            };
            assert!(worst <= most, "{b} {name}: {worst}");
        });
    }
    let steps = vec![
        image_step(Static::Divide),
        full(false),
        Step::Stretch {
            low: 0.5,
            high: 99.5,
            to: [0.0, 255.0],
            whole: true,
        },
    ];
    let rescaled = stack("kikuchipy.npz", "rescaled_u8_p05_995");
    both(&chain(1, steps, Pixel::U8), 1, (120, 160), |b, n, found| {
        let (same, worst) = agreement(found, rescaled.index_axis(ndarray::Axis(0), n).iter().copied());
        assert!(worst <= 1.0 && same >= 0.99, "{b}: {same} equal, worst {worst}");
    });
    // From kikuchipy's own grey levels: a single level more or less moves all bins. It hands the tile over as (x, y).
    let equalised = vec![
        Step::Clahe {
            tile: [40, 30],
            clip: 0.0,
            bins: 128,
        },
        percentiles(0.0, 100.0, 255.0),
    ];
    let wanted = stack("kikuchipy.npz", "adaptive_histeq_u8");
    let case = Case::of((120, 160), 1, rescaled.iter().map(|&v| v as u8).collect());
    let params = chain(1, equalised, Pixel::U8);
    for part in [on_cpu(Isa::active(), &case, &params), on_gpu(&open(), &case, &params, &[1])] {
        let found = thin(&image(&part, &params, 0, (120, 160)));
        let (same, worst) = agreement(found, wanted.iter().copied());
        assert!(worst <= 1.0 && same >= 0.99, "{same} equal, worst {worst}");
    }
    let wanted = stack("kikuchipy.npz", "downsample4_u16");
    both(&chain(4, vec![full(false)], Pixel::U16), 2, (30, 40), |b, n, found| {
        let (_, worst) = agreement(found, wanted.index_axis(ndarray::Axis(0), n).iter().copied());
        assert!(worst <= 2.0, "{b}: {worst}");
    });
}

/// Every step in one chain, on awkward shapes.
fn everything(shape: (usize, usize), output: Pixel) -> Params {
    let (h, w) = (shape.0 / 2, shape.1 / 2);
    let image = Array2::from_shape_fn((h, w), |(y, x)| 40.0 + (y * 3 + x * 5) as f64 % 17.0);
    let mut steps = vec![Step::Hot { factor: 5.0 }];
    for how in [Static::SubtractScaled, Static::Subtract, Static::Divide] {
        let mut image = image.clone();
        if how == Static::Divide {
            image[[1, 2]] = 0.0;
            image[[h - 1, w - 1]] = f64::NAN;
        }
        steps.push(Step::Static { image, how });
        steps.push(Step::Stretch {
            low: 0.0,
            high: 100.0,
            to: [10.0, 250.0],
            whole: false,
        });
    }
    steps.push(low(Window::symmetric(1.7).unwrap(), Dynamic::Divide));
    steps.push(Step::LocalNorm {
        half: 2,
        border: Border::Mixed,
    });
    steps.push(percentiles(2.0, 97.0, 255.0));
    steps.push(Step::Circle { radius: 0.47 });
    chain(2, steps, output)
}

#[test]
fn backends_agree_for_all_pixels_and_shapes() {
    let (gpu, small) = (open(), open_small());
    for shape in [(12, 14), (33, 47), (70, 131)] {
        data::for_all_pixels!(T => {
            // Each type of raw pixel with one of the types of results.
            let output = [Pixel::U8, Pixel::U16, Pixel::F32][T::PIXEL.bytes() / 2];
            let params = everything(shape, output);
            {
                let case = Case::<T>::new(shape, 11, 5);
                let cpu = on_cpu(Isa::active(), &case, &params);
                let size = (shape.0 / 2, shape.1 / 2);
                for (gpu, cut) in [(&gpu, vec![8, 3]), (&small, vec![11])] {
                    let found = on_gpu(gpu, &case, &params, &cut);
                    assert_eq!((found.count, found.filled), (cpu.count, cpu.filled), "{case:?}");
                    let mut off = 0;
                    for n in 0..11 {
                        let (a, b) = (image(&cpu, &params, n, size), image(&found, &params, n, size));
                        off += a.iter().zip(&b).filter(|(a, b)| (*a - *b).abs() > 1.0).count();
                    }
                    // Where a number falls on the other side of a threshold, neighbours follow.
                    assert!(off * 1000 <= 11 * size.0 * size.1, "{case:?} {output}: {off} pixels differ");
                }
            }
        });
    }
}

#[test]
fn bits_do_not_depend_on_the_instruction_set() {
    for shape in [(12, 14), (70, 131)] {
        let params = everything(shape, Pixel::F32);
        let case = Case::<u16>::new(shape, 3, 9);
        let first = on_cpu(Isa::BASELINE, &case, &params);
        for isa in Isa::available() {
            assert_eq!(on_cpu(isa, &case, &params), first, "{isa}");
        }
    }
}

#[test]
fn missing_pixels_are_filled_and_counted() {
    let (h, w) = (9, 13);
    let clean = |i: usize| 100.0 + (i / w) as f32 * 2.0 + (i % w) as f32;
    let mut pixels: Vec<f32> = (0..h * w).map(clean).collect();
    pixels[0] = f32::NAN;
    pixels[5 * w + 6] = f32::INFINITY;
    let case = Case::of((h, w), 1, pixels);
    let mut image_with_holes = Array2::from_elem((h, w), 2.0);
    image_with_holes[[3, 3]] = 0.0;
    let params = chain(1, vec![divide(&image_with_holes)], Pixel::F32);
    for part in [on_cpu(Isa::active(), &case, &params), on_gpu(&open(), &case, &params, &[1])] {
        assert_eq!(part.filled, 3);
        let found = image(&part, &params, 0, (h, w));
        for (i, v) in found.iter().enumerate() {
            let near = (v - f64::from(clean(i)) / 2.0).abs();
            assert!(if i == 0 { near < 2.0 } else { near < 1e-4 }, "pixel {i}: {v}");
        }
    }
    // A pattern of nothing but NaN, and one that is constant.
    let case = Case::of((h, w), 2, [vec![f32::NAN; h * w], vec![7.0; h * w]].concat());
    let params = chain(
        1,
        vec![
            low(Window::symmetric(1.0).unwrap(), Dynamic::Divide),
            percentiles(1.0, 99.0, 255.0),
        ],
        Pixel::U8,
    );
    for part in [on_cpu(Isa::active(), &case, &params), on_gpu(&open(), &case, &params, &[2])] {
        assert_eq!(part.filled, 2 * (h * w) as u64, "not finite once, no background once");
        assert!(part.bytes.iter().take(h * w).all(|&v| v == 0));
    }
}

#[test]
fn oracle_of_the_whole_chain() {
    let (case, background) = patterns(2);
    let window = Window::symmetric(6.0).unwrap();
    let params = chain(
        2,
        vec![
            divide(&background),
            low(window.clone(), Dynamic::Divide),
            percentiles(0.5, 99.5, 255.0),
        ],
        Pixel::U8,
    );
    let cpu = on_cpu(Isa::active(), &case, &params);
    for n in 0..2 {
        let raw = Array2::from_shape_fn((120, 160), |(y, x)| f64::from(case.frame(n)[y * 160 + x]));
        let flat = bin_mean(&raw, 2) / bin_mean(&background, 2);
        let d = &flat / lowpass(&flat, &window.weights, window.centre, window.border);
        let wanted = stretch(&d, 0.5, 99.5, [0.0, 255.0], true);
        let (same, worst) = agreement(image(&cpu, &params, n, (60, 80)), wanted);
        assert!(same >= 0.995 && worst <= 1.0, "{same} equal, worst {worst}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let shape = Case::<u8>::new((10, 12), 1, 1).shape;
    let refused = |params: &Params, word: &str| {
        let message = Plan::new(shape, params).unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    };
    refused(&chain(0, vec![], Pixel::U8), "--bin");
    refused(&chain(11, vec![], Pixel::U8), "--bin");
    refused(&chain(1, vec![], Pixel::I16), "--dtype");
    refused(&chain(1, vec![divide(&Array2::ones((3, 3)))], Pixel::U8), "3×3");
    refused(&chain(1, vec![divide(&Array2::zeros((10, 12)))], Pixel::U8), "no pixel");
    refused(&chain(1, vec![percentiles(99.0, 1.0, 1.0)], Pixel::U8), "--low");
    refused(&chain(1, vec![percentiles(f64::NAN, 1.0, 1.0)], Pixel::U8), "--low");
    let local = Step::LocalNorm {
        half: 10,
        border: Border::Nearest,
    };
    refused(&chain(1, vec![local], Pixel::U8), "--local");
    let tiles = Step::Clahe {
        tile: [0, 3],
        clip: 0.01,
        bins: 256,
    };
    refused(&chain(1, vec![tiles], Pixel::U8), "--clahe");
    refused(&chain(1, vec![Step::Hot { factor: f32::NAN }], Pixel::U8), "--hot");
    refused(&chain(1, vec![Step::Circle { radius: 0.0 }], Pixel::U8), "--circle");
}
