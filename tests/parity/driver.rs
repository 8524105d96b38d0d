//! Runs a GPU stage over frames, as a pass does: blocks staged, several submissions in flight, results in order.

use super::data::{Random, numbers};
use crate::disorder;
use emstream::backend::gpu::{Adapters, Gpu, GpuBlock, GpuChoice, Recorder, UploadRing};
use emstream::backend::stage::{GpuStage, Merge};
use emstream::pixel::{FrameShape, LEAF};
use std::collections::VecDeque;

/// A real GPU, or the software adapter.
fn choice() -> GpuChoice {
    match Adapters::choose(&Adapters::list(), &GpuChoice::Auto) {
        Err(_) if std::env::var_os("EMSTREAM_GPU").is_none() => GpuChoice::Name("llvmpipe".into()),
        _ => GpuChoice::Auto,
    }
}

pub fn open() -> Gpu {
    disorder::as_told(Gpu::open(choice()).expect("these tests need a GPU or a software Vulkan driver"))
}

/// A device with no more than what every WebGPU device has.
pub fn open_small() -> Gpu {
    let gpu = Gpu::open_with_limits(choice(), Some(&wgpu::Limits::default()));
    disorder::as_told(gpu.expect("these tests need a GPU or a software Vulkan driver"))
}

/// Frames of one shape; what lies between them is not zero, since nobody may look at it.
pub struct Case<T> {
    pub shape: FrameShape,
    pub frames: usize,
    pixels: Vec<T>,
    bytes: Vec<u8>,
}

impl<T> std::fmt::Debug for Case<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} frames of {}×{} {}",
            self.frames, self.shape.height, self.shape.width, self.shape.pixel
        )
    }
}

impl<T: Random> Case<T> {
    pub fn new(shape: (usize, usize), frames: usize, seed: u32) -> Self {
        let pixels = numbers(seed).map(T::draw).take(shape.0 * shape.1 * frames).collect();
        Self::of(shape, frames, pixels)
    }
    pub fn filled(shape: (usize, usize), frames: usize, value: T) -> Self {
        Self::of(shape, frames, vec![value; shape.0 * shape.1 * frames])
    }
    pub fn of((height, width): (usize, usize), frames: usize, pixels: Vec<T>) -> Self {
        let shape = FrameShape {
            pixel: T::PIXEL,
            height,
            width,
        };
        let mut bytes: Vec<u8> = numbers(99).map(|n| n as u8).take(shape.stride() * frames).collect();
        for (to, from) in bytes
            .chunks_exact_mut(shape.stride())
            .zip(pixels.chunks_exact(shape.pixels()))
        {
            to[..shape.bytes()].copy_from_slice(bytemuck::cast_slice(from));
        }
        Case {
            shape,
            frames,
            pixels,
            bytes,
        }
    }
    pub fn frame(&self, n: usize) -> &[T] {
        &self.pixels[n * self.shape.pixels()..][..self.shape.pixels()]
    }
}

/// Sizes of blocks for `frames` frames: one block; the smallest allowed; uneven ones that cut leaves.
pub fn cuts(frames: usize) -> Vec<Vec<usize>> {
    let mut all = vec![vec![frames]];
    for sizes in [&[8][..], &[24, 72, 16, 48], &[64]] {
        let mut cut = Vec::new();
        let mut left = frames;
        for size in sizes.iter().cycle() {
            if left == 0 {
                break;
            }
            cut.push(left.min(*size));
            left -= left.min(*size);
        }
        if !all.contains(&cut) {
            all.push(cut);
        }
    }
    all
}

/// Everything that a stage returned.
pub struct Out<P> {
    pub leaves: Vec<(u64, P)>,
    pub last: Option<P>,
    pub frames: usize,
}

/// A pass of one stage.
pub fn run<T: Random, P>(gpu: &Gpu, case: &Case<T>, stage: &mut dyn GpuStage<Part = P>, cut: &[usize]) -> Out<P> {
    let largest = cut.iter().max().copied().unwrap_or(0) * case.shape.stride();
    let ring = UploadRing::new(gpu, 2, largest as u64).unwrap();
    let buffer = gpu.buffer("block", largest as u64).unwrap();
    let mut flying = VecDeque::new();
    let mut out = Out {
        leaves: Vec::new(),
        last: None,
        frames: case.frames,
    };
    let mut first = 0;
    for &count in cut {
        let bytes = &case.bytes[first * case.shape.stride()..][..count * case.shape.stride()];
        let mut rec = Recorder::new(gpu).unwrap();
        rec.upload(ring.stage(gpu, bytes).unwrap(), &buffer, 0).unwrap();
        stage
            .encode(&mut rec, &GpuBlock::new(case.shape, first as u64, count, &buffer).unwrap())
            .unwrap();
        flying.push_back((first as u64, count, rec.finish().unwrap()));
        first += count;
        if flying.len() == 3 {
            let (first, count, submission) = flying.pop_front().unwrap();
            out.leaves.extend(
                submission
                    .wait_with(|reads| stage.results(first, count, reads))
                    .unwrap()
                    .unwrap(),
            );
        }
    }
    for (first, count, submission) in flying {
        out.leaves.extend(
            submission
                .wait_with(|reads| stage.results(first, count, reads))
                .unwrap()
                .unwrap(),
        );
    }
    let mut rec = Recorder::new(gpu).unwrap();
    stage.encode_finish(&mut rec).unwrap();
    out.last = rec.finish().unwrap().wait_with(|reads| stage.finish(reads)).unwrap().unwrap();
    out
}

/// Joins leaves in a binary tree by their number; what `finish` returned is the last leaf.
pub fn leaf_tree<P: Merge>(out: Out<P>) -> Option<P> {
    let mut parts: Vec<(u64, P)> = out.leaves;
    let last = (out.frames as u64).saturating_sub(1) / LEAF;
    parts.extend(out.last.map(|p| (last, p)));
    assert!(parts.windows(2).all(|w| w[0].0 < w[1].0), "leaves out of order");
    while parts.len() > 1 {
        let mut joined: Vec<(u64, P)> = Vec::new();
        for (n, part) in parts {
            match joined.last_mut() {
                Some((m, left)) if *m == n / 2 => left.merge(part),
                _ => joined.push((n / 2, part)),
            }
        }
        parts = joined;
    }
    parts.pop().map(|(_, p)| p)
}
