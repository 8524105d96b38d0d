//! Frames to test kernels with, and a pass in miniature.

use emstream::backend::stage::{CpuStage, Merge};
use emstream::pixel::{FrameShape, Frames, LEAF, Pixel, Sample};
use std::collections::BTreeMap;

pub const PIXELS: [Pixel; 7] = [
    Pixel::U8,
    Pixel::I8,
    Pixel::U16,
    Pixel::I16,
    Pixel::U32,
    Pixel::I32,
    Pixel::F32,
];
pub const SHAPES: [(usize, usize); 5] = [(1, 1), (3, 5), (17, 13), (16, 16), (33, 47)];
pub const COUNTS: [usize; 7] = [1, 7, 8, 63, 64, 65, 200];

/// What the pixels look like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pattern {
    /// The type's whole range at random; floats between −1000 and 1000.
    Full,
    /// Few counts, many zeros, a hot pixel at the top of the range (65535 at most).
    Counts,
    Highest,
    Lowest,
    /// 8191, the last number whose squares fit narrow sums, with some pixels above it from frame 70 on; the highest number of 8-bit types.
    Brim,
    /// Lowest and highest in turn, from pixel to pixel and frame to frame.
    Alternating,
}

/// Some frames at padded strides; the padding holds rubbish.
pub struct Scene {
    pub shape: FrameShape,
    pub count: usize,
    words: Vec<u32>,
}

impl Scene {
    pub fn new(pixel: Pixel, height: usize, width: usize, count: usize, pattern: Pattern) -> Scene {
        let shape = FrameShape { pixel, height, width };
        let mut scene = Scene {
            shape,
            count,
            words: vec![0xa5a5_5a5a; count * shape.stride() / 4],
        };
        let (low, high) = match pixel {
            Pixel::U8 => (0, 255),
            Pixel::I8 => (-128, 127),
            Pixel::U16 => (0, 65535),
            Pixel::I16 => (-32768, 32767),
            Pixel::U32 => (0, i64::from(u32::MAX)),
            Pixel::I32 => (i64::from(i32::MIN), i64::from(i32::MAX)),
            Pixel::F32 => (-1000, 1000),
        };
        let mut state = (height * 1000 + width) as u64;
        let size = pixel.bytes();
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut scene.words);
        for frame in 0..count {
            for p in 0..shape.pixels() {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                let noise = (state >> 33) as i64;
                let value = match pattern {
                    Pattern::Full => low + noise * (high - low) / 0x7fff_ffff,
                    Pattern::Counts if p == 2 => high.min(65535),
                    Pattern::Counts => (noise % 7 - 3).max(0),
                    Pattern::Highest => high,
                    Pattern::Lowest => low,
                    Pattern::Brim if frame >= 70 && frame % 3 == 0 && p % 397 == 5 => high.min(8192 + noise % 9000),
                    Pattern::Brim => high.min(8191),
                    Pattern::Alternating => [low, high][(frame + p) % 2],
                };
                let at = frame * shape.stride() + p * size;
                if pixel == Pixel::F32 {
                    let fraction = if pattern == Pattern::Full {
                        (noise % 1024) as f32 / 1024.0
                    } else {
                        0.0
                    };
                    bytes[at..at + 4].copy_from_slice(&(value as f32 + fraction).to_ne_bytes());
                } else if size == 1 {
                    bytes[at] = value as u8;
                } else if size == 2 {
                    bytes[at..at + 2].copy_from_slice(&(value as u16).to_ne_bytes());
                } else {
                    bytes[at..at + 4].copy_from_slice(&(value as u32).to_ne_bytes());
                }
            }
        }
        scene
    }

    /// All frames, as numbers 0, 1, … of a selection.
    pub fn frames(&self) -> Frames<'_> {
        Frames::new(self.shape, 0, self.count, bytemuck::cast_slice(&self.words)).unwrap()
    }

    /// The pixels without padding.
    pub fn tight<T: Sample>(&self) -> Vec<T> {
        (0..self.count)
            .flat_map(|i| self.frames().frame::<T>(i).iter().copied())
            .collect()
    }
}

/// Ways to cut leaves that make a difference for `count` frames.
pub fn cuts(count: usize) -> Vec<usize> {
    [8, 24, 40].into_iter().filter(|c| *c < count).collect()
}

/// Hands a scene to a stage, each leaf in pieces of `cut` frames; gives back the parts with their leaf numbers.
pub fn run<P>(scene: &Scene, mut stage: Box<dyn CpuStage<Part = P>>, cut: usize) -> Vec<(u64, P)> {
    let mut parts = Vec::new();
    let leaf = LEAF as usize;
    for start in (0..scene.count).step_by(leaf) {
        let end = (start + leaf).min(scene.count);
        for from in (start..end).step_by(cut) {
            stage.frames(scene.frames().slice(from, (from + cut).min(end))).unwrap();
        }
        parts.extend(stage.end_leaf().unwrap().map(|p| ((start / leaf) as u64, p)));
    }
    parts.extend(stage.finish().unwrap().map(|p| (0, p)));
    parts
}

/// Merges parts in a binary tree by leaf number.
pub fn merged<P: Merge>(parts: Vec<(u64, P)>) -> Option<P> {
    let mut level: BTreeMap<u64, P> = parts.into_iter().collect();
    while level.len() > 1 {
        let mut next: BTreeMap<u64, P> = BTreeMap::new();
        for (leaf, part) in level {
            match next.get_mut(&(leaf / 2)) {
                Some(left) => left.merge(part),
                None => drop(next.insert(leaf / 2, part)),
            }
        }
        level = next;
    }
    level.into_values().next()
}
