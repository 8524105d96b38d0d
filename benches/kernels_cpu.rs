//! Rates of the CPU kernels in one thread on data in the cache: `cargo bench --bench kernels_cpu [-- NAME]`.
//! One line a case: instruction set, kernel, frames, GB/s of pixels and frames/s; the median of many short runs.

use emstream::backend::cpu::isa::Isa;
use emstream::backend::stage::CpuStage;
use emstream::kernels::{framemap, logsum, masks, statistics};
use emstream::pixel::{FrameShape, Frames, Pixel};
use ndarray::Array2;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes of one call, as a pass hands them out.
const BLOCK: usize = 512 << 10;

/// A block of frames with pixels from a small generator; small numbers for floats.
struct Block {
    shape: FrameShape,
    count: usize,
    words: Vec<u32>,
}

impl Block {
    fn new(pixel: Pixel, edge: usize) -> Block {
        let shape = FrameShape {
            pixel,
            height: edge,
            width: edge,
        };
        let count = (BLOCK / shape.stride() / 8 * 8).clamp(8, 64);
        let mut state = 1u64;
        let words = (0..count * shape.stride() / 4).map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let word = (state >> 32) as u32;
            if pixel == Pixel::F32 {
                ((word >> 16) as f32).to_bits()
            } else {
                word
            }
        });
        Block {
            shape,
            count,
            words: words.collect(),
        }
    }
}

/// Median time of handing the block to `stage`, as GB/s and frames/s.
fn measure<P>(name: &str, isa: Isa, block: &Block, mut stage: Box<dyn CpuStage<Part = P>>, filter: &str) {
    let label = format!("{name} {}² {}", block.shape.width, block.shape.pixel);
    if !label.contains(filter) {
        return;
    }
    let bytes = bytemuck::cast_slice(&block.words);
    let mut first = 0;
    let mut run = || {
        let start = Instant::now();
        let frames = Frames::new(block.shape, first, block.count, bytes).expect("block of whole frames");
        stage.frames(frames).expect("frames of the stage's shape");
        let time = start.elapsed();
        first += block.count as u64;
        stage.take();
        if first.is_multiple_of(64) {
            stage.end_leaf().expect("leaf");
        }
        time
    };
    let begin = Instant::now();
    let mut times = Vec::new();
    while begin.elapsed() < Duration::from_millis(250) || times.len() < 9 {
        times.push(run());
    }
    times.sort();
    let seconds = times[times.len() / 2].as_secs_f64();
    let gigabytes = (block.shape.bytes() * block.count) as f64 / seconds / 1e9;
    let rate = block.count as f64 / seconds;
    println!("{isa:9} {label:44} {gigabytes:8.2} GB/s {rate:11.0} frames/s");
}

/// `count` positions spread over the frame.
fn positions(count: usize, edge: usize) -> Vec<[i32; 2]> {
    (0..count)
        .map(|k| [(k * 7919 % edge) as i32, (k * 104_729 / 7 % edge) as i32])
        .collect()
}

fn main() {
    let filter = std::env::args().skip(1).find(|a| !a.starts_with("--")).unwrap_or_default();
    for isa in Isa::available().into_iter().rev() {
        for (pixel, edge) in [(Pixel::U8, 144), (Pixel::U16, 256), (Pixel::U32, 256), (Pixel::F32, 256)] {
            let block = Block::new(pixel, edge);
            let shape = block.shape;
            for (squares, extrema) in [(true, false), (true, true)] {
                let params = statistics::Params { squares, extrema };
                let name = if extrema { "sum squares extrema" } else { "sum squares" };
                let stage = statistics::cpu::stage_with(isa, shape, &params).expect("statistics");
                measure(name, isa, &block, stage, &filter);
            }
            let labels: Arc<[i32]> = (0..1 << 20).map(|n: i32| n / 5 % 3).collect();
            for (name, labels) in [("log-sum", None), ("log-sum, 3 labels", Some(labels))] {
                let stage = logsum::cpu::stage_with(isa, shape, &logsum::Params { labels }).expect("log-sum");
                measure(name, isa, &block, stage, &filter);
            }
            let stamps = |count, size| masks::MaskStack::Stamps {
                stamp: Array2::from_elem((size, size), 0.5),
                positions: positions(count, edge),
            };
            let dense = |count| masks::MaskStack::Dense {
                rows: Array2::from_elem((count, shape.pixels()), 0.5),
            };
            for (name, stack) in [
                ("300 stamps of 7×7", stamps(300, 7)),
                ("500 stamps of 45×45", stamps(500, 45)),
                ("1 dense mask", dense(1)),
                ("16 dense masks", dense(16)),
            ] {
                let plan = masks::cpu::Plan::new(shape, &stack).expect("plan");
                measure(name, isa, &block, masks::cpu::stage_on_plan(isa, shape, plan), &filter);
            }
            for (name, bin, log) in [("log frames", 1, true), ("binned 2×2", 2, false)] {
                let stage = framemap::cpu::stage_with(isa, shape, &framemap::Params { bin, log }).expect("frame map");
                measure(name, isa, &block, stage, &filter);
            }
        }
    }
}
