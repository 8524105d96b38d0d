//! Frames moved by a vector of their own, and mask products that follow it: against float64 on both backends, with the same bits
//! whatever the cuts, threads and instruction sets.

mod common;
#[path = "parity/data.rs"]
#[allow(dead_code)]
mod data;
#[path = "parity/driver.rs"]
#[allow(dead_code)]
mod driver;
#[path = "kernels_cpu/scene.rs"]
#[allow(dead_code)]
mod scene;

use common::disorder;
use common::gpu;
use data::{Random, for_all_pixels};
use driver::Case;
use emstream::backend::cpu::isa::Isa;
use emstream::backend::gpu::Gpu;
use emstream::control::Control;
use emstream::engine::{Backend, Pass, Resident, Selection};
use emstream::io::Scan;
use emstream::kernels::displace::{self, Params};
use emstream::kernels::framemap;
use emstream::kernels::masks::MaskStack;
use emstream::kernels::oracle;
use emstream::ops::{Displaced, MaskProducts};
use emstream::pixel::{FrameShape, Pixel};
use emstream::with_pixel;
use ndarray::Array2;
use scene::{PIXELS, Pattern, Scene};
use std::sync::Arc;

/// Fractions, whole pixels, more than the frame, none; another for every frame.
fn shifts(frames: usize) -> Arc<[[f64; 2]]> {
    let some = [
        [0.0, 0.0],
        [0.25, -1.5],
        [-3.0, 2.0],
        [2.999, 0.001],
        [-0.6, -40.0],
        [1e9, 0.5],
        [0.5, 0.5],
    ];
    (0..frames).map(|i| some[i * 3 % some.len()]).collect()
}

const WHOLE: framemap::Params = framemap::Params { bin: 1, log: false };

/// Moved frames, which a stage that maps them to themselves hands back.
fn on_cpu(scene: &Scene, isa: Isa, cut: usize) -> Vec<f32> {
    let params = Params {
        shifts: shifts(scene.count),
    };
    let inner = framemap::cpu::stage_with(isa, displace::moved(scene.shape), &WHOLE).unwrap();
    let parts = scene::run(scene, displace::cpu::stage(isa, scene.shape, &params, inner), cut);
    parts.into_iter().flat_map(|(_, p)| p.values).collect()
}

fn close(what: &str, got: &[f32], (want, scale): &(Vec<f64>, Vec<f64>)) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, ((g, w), s)) in got.iter().zip(want).zip(scale).enumerate() {
        assert!((f64::from(*g) - w).abs() <= 1e-6 * s, "{what}, value {i}: {g}, float64 {w}");
    }
}

#[test]
fn moved_frames_are_right_on_the_cpu_with_the_same_bits_everywhere() {
    for pixel in PIXELS {
        for (height, width) in [(1, 1), (3, 5), (17, 13), (16, 20)] {
            let scene = Scene::new(pixel, height, width, 70, Pattern::Full);
            let truth = with_pixel!(pixel, T => oracle::displace(&scene.tight::<T>(), height, width, &shifts(70)));
            let first = on_cpu(&scene, Isa::active(), 64);
            close(&format!("{pixel} {height}×{width}"), &first, &truth);
            for isa in Isa::available() {
                for cut in [8, 24, 64] {
                    assert_eq!(on_cpu(&scene, isa, cut), first, "{pixel} {height}×{width} {isa} {cut}");
                }
            }
        }
    }
}

#[test]
fn whole_pixels_move_values_unchanged() {
    let scene = Scene::new(Pixel::U16, 9, 7, 1, Pattern::Full);
    let frame = scene.tight::<u16>();
    for (shift, [sy, sx]) in [([2.0, -3.0], [2i64, -3]), ([0.0, 0.0], [0, 0])] {
        let params = Params {
            shifts: Arc::from([shift]),
        };
        let inner = framemap::cpu::stage_with(Isa::active(), displace::moved(scene.shape), &WHOLE).unwrap();
        let parts = scene::run(&scene, displace::cpu::stage(Isa::active(), scene.shape, &params, inner), 8);
        for (i, v) in parts[0].1.values.iter().enumerate() {
            let (y, x) = (i as i64 / 7 + sy, i as i64 % 7 + sx);
            let inside = (0..9).contains(&y) && (0..7).contains(&x);
            assert_eq!(*v, if inside { f32::from(frame[(y * 7 + x) as usize]) } else { 0.0 });
        }
    }
}

fn check_gpu<T: Random>(gpu: &Gpu, (height, width): (usize, usize), frames: usize) {
    let case = Case::<T>::new((height, width), frames, 5);
    let pixels: Vec<T> = (0..frames).flat_map(|n| case.frame(n).to_vec()).collect();
    let truth = oracle::displace(&pixels, height, width, &shifts(frames));
    let params = Params { shifts: shifts(frames) };
    for cut in driver::cuts(frames) {
        let inner = framemap::gpu::stage(gpu, displace::moved(case.shape), &WHOLE).unwrap();
        let mut stage = displace::gpu::stage(gpu, case.shape, &params, inner).unwrap();
        let out = driver::run(gpu, &case, stage.as_mut(), &cut);
        let values: Vec<f32> = out.leaves.into_iter().flat_map(|(_, p)| p.values).collect();
        close(&format!("{case:?} {cut:?}"), &values, &truth);
    }
}

#[test]
fn moved_frames_are_right_on_the_gpu() {
    let gpu = driver::open();
    for shape in [(1, 1), (3, 5), (17, 13)] {
        for_all_pixels!(T => check_gpu::<T>(&gpu, shape, 9));
    }
    check_gpu::<u16>(&gpu, (17, 13), 200);
    // Little memory: several groups of frames in a block.
    let small = driver::open_small();
    small.set_budget(64 * 8 * 17 * 16 * 4 * 2);
    check_gpu::<u8>(&small, (17, 13), 72);
}

/// Products of frames with masks, the frame's pattern moved.
fn products(
    scan: &dyn Scan,
    selection: &Selection,
    stack: &MaskStack,
    by: &Arc<[[f64; 2]]>,
    on: &Backend,
    threads: usize,
) -> Vec<f32> {
    let control = Control {
        threads,
        block: Some(4000),
        memory: 1 << 30,
        ..Control::new()
    };
    let mut pass = Pass::new("test", scan, selection);
    let handle = pass.add(Displaced::new(MaskProducts::new(stack), by.clone()));
    pass.run(on, &Resident::none(), &control).unwrap().take(handle).unwrap()
}

#[test]
fn masks_follow_the_pattern_on_both_backends() {
    let (height, width) = (19, 23);
    let scan = common::scan([9, 17], [height, width], 4, |v| v as u16 % 997);
    let selection = Selection::from_rect([9, 17], 1..8, 2..17).unwrap();
    let frames = selection.len() as usize;
    let by = shifts(frames);
    let shape = FrameShape {
        pixel: Pixel::U16,
        height,
        width,
    };
    let mut buffer = vec![0u32; shape.stride() / 4];
    let mut pixels: Vec<u16> = Vec::new();
    for n in selection.iter() {
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut buffer);
        scan.read(&[n], shape.stride(), bytes, &Control::new()).unwrap();
        pixels.extend(&bytemuck::cast_slice::<u8, u16>(bytes)[..shape.pixels()]);
    }
    let (moved, scales) = oracle::displace(&pixels, height, width, &by);
    let stamps = MaskStack::Stamps {
        stamp: Array2::from_shape_fn((5, 7), |(y, x)| (y as f32 - 1.5) * 0.5 + x as f32 * 0.25),
        positions: (0..30).map(|i| [(i * 7 % height) as i32, (i * 5 % width) as i32]).collect(),
    };
    let dense = MaskStack::Dense {
        rows: Array2::from_shape_fn((5, height * width), |(m, p)| ((m * 31 + p) % 17) as f32 - 8.0),
    };
    for stack in [stamps, dense] {
        let rows = oracle::dense(&stack, height, width);
        let of = |values: &[f64], weigh: fn(f64) -> f64| -> Vec<f64> {
            let frames = values.chunks_exact(height * width);
            frames
                .flat_map(|f| rows.iter().map(move |r| r.iter().zip(f).map(|(m, v)| weigh(*m) * v).sum()))
                .collect()
        };
        let truth = (of(&moved, |m| m), of(&scales, f64::abs));
        let cpu = products(&scan, &selection, &stack, &by, &Backend::Cpu, 1);
        close("cpu", &cpu, &truth);
        assert_eq!(products(&scan, &selection, &stack, &by, &Backend::Cpu, 3), cpu, "threads");
        close("gpu", &products(&scan, &selection, &stack, &by, &gpu(), 2), &truth);
    }
}

#[test]
fn wrong_shifts_are_refused() {
    let scan = common::scan([4, 4], [8, 8], 4, |v| v as u8);
    let all = Selection::all([4, 4]);
    let stack = MaskStack::Stamps {
        stamp: Array2::from_elem((1, 1), 1.0),
        positions: vec![[3, 3]],
    };
    for (shifts, message) in [
        (vec![[0.0; 2]; 15], "shifts: 15 shifts for 16 frames"),
        (vec![[f64::INFINITY, 0.0]; 16], "shifts: the shift of frame 0 is not a number"),
    ] {
        let mut pass = Pass::new("test", &scan, &all);
        pass.add(Displaced::new(MaskProducts::new(&stack), Arc::from(shifts)));
        let error = pass.run(&Backend::Cpu, &Resident::none(), &Control::new());
        assert_eq!(error.err().unwrap().to_string(), message);
    }
}
