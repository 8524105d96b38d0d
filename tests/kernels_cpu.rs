//! CPU kernels against the float64 oracles, on every instruction set of this machine, for every pixel type.

mod common;

use common::counts;
use emstream::backend::cpu::isa::Isa;
use emstream::backend::stage::{CpuStage, Merge};
use emstream::kernels::{framemap, logsum, masks, oracle, statistics};
use emstream::pixel::{FrameShape, Frames, LEAF, Sample};
use ndarray::Array2;
use std::sync::Arc;

const SHAPES: [(usize, usize); 5] = [(1, 1), (3, 5), (17, 13), (16, 16), (33, 47)];
const COUNTS: [usize; 7] = [1, 7, 8, 63, 64, 65, 200];

/// Frames at their padded stride, with garbage in the padding.
struct Block {
    shape: FrameShape,
    count: usize,
    words: Vec<u64>,
}

impl Block {
    fn new<T: Sample>(pixels: &[T], height: usize, width: usize) -> Self {
        let shape = FrameShape {
            pixel: T::PIXEL,
            height,
            width,
        };
        let count = pixels.len() / (height * width);
        let mut words = vec![0xa5a5_a5a5_5a5a_5a5a; count * shape.stride() / 8];
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
        for (to, from) in bytes
            .chunks_exact_mut(shape.stride())
            .zip(pixels.chunks_exact(height * width))
        {
            to[..shape.bytes()].copy_from_slice(bytemuck::cast_slice(from));
        }
        Block { shape, count, words }
    }

    /// Shows all frames to a stage, `piece` at a time inside each leaf: parts of the leaves in order, then the rest.
    fn run<P>(&self, mut stage: Box<dyn CpuStage<Part = P>>, piece: usize) -> Vec<P> {
        let all = Frames::new(self.shape, 0, self.count, bytemuck::cast_slice(&self.words)).unwrap();
        let mut parts = Vec::new();
        for leaf in (0..self.count).step_by(LEAF as usize) {
            let end = self.count.min(leaf + LEAF as usize);
            for from in (leaf..end).step_by(piece) {
                stage.frames(all.slice(from, end.min(from + piece))).unwrap();
            }
            parts.extend(stage.end_leaf().unwrap());
        }
        parts.extend(stage.finish().unwrap());
        parts
    }
}

fn merged<P: Merge>(parts: Vec<P>) -> Option<P> {
    parts.into_iter().reduce(|mut left, right| {
        left.merge(right);
        left
    })
}

/// Runs `$check` for scans of every pixel type, shape and length: `(pixels, height, width)`.
macro_rules! every_scan {
    ($check:ident) => {
        for (s, (h, w)) in SHAPES.into_iter().enumerate() {
            for (c, n) in COUNTS.into_iter().enumerate() {
                let values: Vec<u32> = counts(n * h * w, (s * 100 + c) as u64).collect();
                $check(&values.iter().map(|&v| v as u8).collect::<Vec<_>>(), h, w);
                $check(&values.iter().map(|&v| v as i8).collect::<Vec<_>>(), h, w);
                $check(&values.iter().map(|&v| v as u16).collect::<Vec<_>>(), h, w);
                $check(&values.iter().map(|&v| v as i16).collect::<Vec<_>>(), h, w);
                $check(&values, h, w);
                $check(&values.iter().map(|&v| v as i32).collect::<Vec<_>>(), h, w);
                $check(
                    &values.iter().map(|&v| (v & 0xfffff) as f32 * 0.25 - 7.0).collect::<Vec<_>>(),
                    h,
                    w,
                );
            }
        }
    };
}

/// The parts of a stage are the same on every instruction set and for every cut; gives those of the first.
fn same_everywhere<P: PartialEq>(block: &Block, what: &str, make: impl Fn(Isa) -> Box<dyn CpuStage<Part = P>>) -> Vec<P> {
    let reference = block.run(make(Isa::BASELINE), 64);
    for isa in Isa::available() {
        for piece in [8, 24, 64] {
            assert!(
                block.run(make(isa), piece) == reference,
                "{what} of {:?} × {} on {isa}, {piece} at a time",
                block.shape,
                block.count
            );
        }
    }
    reference
}

fn check_statistics<T: Sample>(pixels: &[T], h: usize, w: usize) {
    let block = Block::new(pixels, h, w);
    let params = statistics::Params {
        squares: true,
        extrema: true,
    };
    let parts = same_everywhere(&block, "statistics", |isa| {
        statistics::cpu::stage_with(isa, block.shape, &params).unwrap()
    });
    let got = merged(parts).unwrap();
    assert_eq!(got.frames(), block.count as u64);
    let (low, high) = got.extrema();
    for p in 0..h * w {
        let column = || pixels.iter().skip(p).step_by(h * w).map(|v| v.to_f64());
        assert_eq!(low[p], column().fold(f64::INFINITY, f64::min));
        assert_eq!(high[p], column().fold(f64::NEG_INFINITY, f64::max));
    }
    if T::PIXEL.is_integer() {
        let want = oracle::exact_moments(pixels, h * w);
        assert_eq!(got.sum(), want.sum);
        assert_eq!(got.variance(), want.variance);
    } else {
        let want = oracle::moments(pixels, h * w);
        // Sums run about the leaf's first frame, so rounding goes with the largest distance from it.
        for (p, (low, high)) in low.iter().zip(&high).enumerate() {
            let range = (high - low).max(1e-9);
            let (variance, sum) = (got.variance()[p], got.sum()[p]);
            assert!(
                (variance - want.variance[p]).abs() <= 1e-6 * range * range,
                "variance {variance}, oracle {}",
                want.variance[p]
            );
            let scale = range.max(high.abs()) * block.count as f64;
            assert!((sum - want.sum[p]).abs() <= 1e-6 * scale, "sum {sum}, oracle {}", want.sum[p]);
        }
    }
    let lean = statistics::Params {
        squares: false,
        extrema: false,
    };
    let sums = merged(block.run(statistics::cpu::stage(block.shape, &lean).unwrap(), 64)).unwrap();
    assert!(sums.variance().is_empty() && sums.extrema().0.is_empty());
}

#[test]
fn statistics_are_exact_for_integers() {
    every_scan!(check_statistics);
}

#[test]
fn statistics_of_extreme_pixels_do_not_overflow() {
    fn check<T: Sample>(value: T) {
        check_statistics(&[value; 130 * 6], 2, 3);
    }
    check(u8::MAX);
    check(i8::MIN);
    check(u16::MAX);
    check(i16::MIN);
    check(u32::MAX);
    check(i32::MIN);
    check(i32::MAX);
    check(3.0e30f32);
}

fn check_logsum<T: Sample>(pixels: &[T], h: usize, w: usize) {
    let block = Block::new(pixels, h, w);
    let labels: Arc<[i32]> = (0..block.count)
        .map(|i| (i / 20 % 3) as i32 - i32::from(i % 11 == 0))
        .collect();
    let make = |labels: Option<Arc<[i32]>>| {
        let params = logsum::Params { labels };
        move |isa| logsum::cpu::stage_with(isa, block_shape::<T>(h, w), &params).unwrap()
    };
    let compare = |part: &logsum::Part, label: i32, takes: &dyn Fn(usize) -> bool| {
        let want = oracle::logsum(pixels, h * w, takes);
        let Some(got) = part.sums.get(&label) else {
            assert!((0..block.count).all(|i| !takes(i)));
            return;
        };
        assert_eq!(got.frames, (0..block.count).filter(|&i| takes(i)).count() as u64);
        for (a, b) in got.values.iter().zip(&want) {
            assert!(
                (a - b).abs() <= 2e-6 * b.max(1.0),
                "log-sum {a}, oracle {b} of {} frames of {}",
                block.count,
                T::PIXEL
            );
        }
    };
    let all = merged(same_everywhere(&block, "log-sum", make(None))).unwrap();
    compare(&all, 0, &|_| true);
    // No part at all where every frame is left out.
    let split = merged(same_everywhere(&block, "labelled log-sum", make(Some(labels.clone())))).unwrap_or_default();
    (0..3).for_each(|label| compare(&split, label, &|i| labels[i] == label));
}

fn block_shape<T: Sample>(height: usize, width: usize) -> FrameShape {
    FrameShape {
        pixel: T::PIXEL,
        height,
        width,
    }
}

#[test]
fn log_sums_follow_the_oracle() {
    every_scan!(check_logsum);
}

fn stacks(h: usize, w: usize) -> Vec<masks::MaskStack> {
    let stamp = Array2::from_shape_fn((3, 5), |(y, x)| (y as f32 - 1.3) * (x as f32 - 1.7));
    let positions = (0..21).map(|i| [(i * 7 % h) as i32, (i * 5 % w) as i32]).collect();
    let pixels = h * w;
    let (mut indptr, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
    for mask in 0..9usize {
        // Mask 4 is empty.
        for p in (mask % 3..pixels).step_by(1 + mask).filter(|_| mask != 4) {
            indices.push(p as u32);
            values.push(((p * 13 + mask * 7) % 19) as f32 * 0.25 - 2.0);
        }
        indptr.push(indices.len() as u32);
    }
    let rows = Array2::from_shape_fn((6, pixels), |(m, p)| ((p * 5 + m * 11) % 17) as f32 * 0.5 - 3.0);
    vec![
        masks::MaskStack::Stamps { stamp, positions },
        masks::MaskStack::Csr { indptr, indices, values },
        masks::MaskStack::Dense { rows },
    ]
}

fn check_masks<T: Sample>(pixels: &[T], h: usize, w: usize) {
    let block = Block::new(pixels, h, w);
    for stack in stacks(h, w) {
        let plan = masks::cpu::Plan::new(block.shape, &stack).unwrap();
        let parts = same_everywhere(&block, "masks", |isa| {
            masks::cpu::stage_on_plan(isa, block.shape, plan.clone())
        });
        let got: Vec<f32> = parts.into_iter().flat_map(|p| p.values).collect();
        let (want, scale) = oracle::masks(pixels, &stack, h, w);
        assert_eq!(got.len(), want.len());
        for ((a, b), s) in got.iter().zip(&want).zip(&scale) {
            assert!(
                (f64::from(*a) - b).abs() <= 1e-6 * s.max(1e-30),
                "product {a}, oracle {b}, scale {s}"
            );
        }
    }
}

#[test]
fn mask_products_follow_the_oracle() {
    every_scan!(check_masks);
}

fn check_framemap<T: Sample>(pixels: &[T], h: usize, w: usize) {
    // 32-bit integers become float32 first: compare where that is exact.
    if T::PIXEL.is_integer() && pixels.iter().any(|v| v.to_f64().abs() >= f64::from(1 << 22)) {
        return;
    }
    let block = Block::new(pixels, h, w);
    for (bin, log) in [(1, false), (1, true), (2, true), (3, false)] {
        let params = framemap::Params { bin, log };
        if bin > h.min(w) {
            assert!(framemap::cpu::stage(block.shape, &params).is_err());
            continue;
        }
        let parts = same_everywhere(&block, "frame map", |isa| {
            framemap::cpu::stage_with(isa, block.shape, &params).unwrap()
        });
        let got: Vec<f32> = parts.into_iter().flat_map(|p| p.values).collect();
        let want = oracle::framemap(pixels, h, w, bin, log);
        let scale = want.iter().fold(1.0, |m: f64, v| m.max(v.abs()));
        for (a, b) in got.iter().zip(&want) {
            assert!((f64::from(*a) - b).abs() <= 1e-6 * scale, "{a}, oracle {b}");
        }
    }
}

#[test]
fn frame_maps_follow_the_oracle() {
    every_scan!(check_framemap);
    let moderate: Vec<u32> = counts(70 * 9 * 11, 5).map(|v| v & 0x3f_ffff).collect();
    check_framemap(&moderate, 9, 11);
    check_framemap(&moderate.iter().map(|&v| v as i32 - 2_000_000).collect::<Vec<_>>(), 9, 11);
}
