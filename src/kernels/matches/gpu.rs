//! GPU path: unit rows are uploaded, templates in chunks that fit a binding, patterns in blocks; tiles of the product stay in workgroup memory, and what comes back
//! is a few lists of the best of each pattern, 8 bytes an entry.

use super::{Matches, SPARE, Templates};
use crate::backend::cpu::isa::Isa;
use crate::backend::gpu::rounds::words_of;
use crate::backend::gpu::{Gpu, Recorder};
use crate::control::Control;
use crate::error::{Error, Result};
use ndarray::{ArrayView2, s};
use rayon::prelude::*;
use std::time::{Duration, Instant};

/// Patterns and templates of a tile.
const TILE: usize = 64;
/// Multiply-adds of one dispatch: 0.1 s on a device that does 20 billion a second.
const WORK: usize = 1 << 31;
/// Dispatches shorter than this are doubled.
const SHORT: Duration = Duration::from_millis(40);
/// Longest list that a device keeps.
const LONGEST: usize = 256;
/// Lists of a pattern at most: with few patterns, several workgroups share each.
const SEGMENTS: usize = 16;
/// Workgroups that keep a device busy.
const BUSY: usize = 512;
/// Patterns of a block.
const PATTERNS: usize = 4096;

/// [`Templates::best`] for unit rows.
///
/// # Errors
/// [`Error::TooLargeForDevice`] for more matches than a list holds or rows that no binding does, [`Error::Kernel`], [`Error::DeviceMemory`],
/// [`Error::DeviceLost`], [`Error::Cancelled`].
pub(super) fn best(
    gpu: &Gpu,
    templates: &Templates,
    patterns: ArrayView2<'_, f32>,
    k: usize,
    control: &Control,
) -> Result<Matches> {
    let (n, pixels) = patterns.dim();
    let keep = (k + SPARE).min(templates.len());
    // Half of the largest binding or of the budget, whichever is less, for templates, an eighth for patterns.
    let room = gpu.max_binding().min(gpu.budget()) as usize;
    let chunk = (room / 2 / (4 * pixels)).min(templates.len());
    let block = (room / 8 / (4 * pixels)).min(PATTERNS).min(n.max(1));
    if keep > LONGEST || chunk < TILE.min(templates.len()) || block == 0 {
        let what = format!("{keep} matches of rows of {pixels} pixels");
        return Err(Error::TooLargeForDevice(what));
    }
    let segments = (BUSY / block.div_ceil(TILE)).clamp(1, SEGMENTS);
    let wgsl = [
        &format!("const KEEP = {keep}u;\n"),
        include_str!("../../../shaders/common/group.wgsl"),
        include_str!("../../../shaders/matches.wgsl"),
    ]
    .concat();
    let pipeline = gpu.pipeline("matches", &wgsl, "compare", &[], 2, 2)?;
    let lists = (block * segments * keep) as u64;
    let (scores, numbers) = (
        gpu.buffer("match scores", 4 * lists)?,
        gpu.buffer("match numbers", 4 * lists)?,
    );
    // Candidates of every pattern from all chunks of templates.
    let mut candidates: Vec<Vec<(u32, f32)>> = vec![Vec::new(); n];
    let mut times = 1;
    for from in (0..templates.len()).step_by(chunk) {
        let end = (from + chunk).min(templates.len());
        let rows = templates.rows.slice(s![from..end, ..]);
        let rows = gpu.buffer_with("templates", bytemuck::cast_slice(rows.as_slice().unwrap_or_default()))?;
        for first in (0..n).step_by(block) {
            let count = block.min(n - first);
            let left = patterns.slice(s![first..first + count, ..]);
            let left = gpu.buffer_with("patterns", bytemuck::cast_slice(left.as_slice().unwrap_or_default()))?;
            let least = (WORK / (pixels * count.next_multiple_of(TILE)) / TILE * TILE).max(TILE);
            let groups = (count.div_ceil(TILE) * segments) as u64;
            let mut at = 0;
            while at < end - from {
                control.check()?;
                let begun = Instant::now();
                // Once it grows, there is a tile for each segment.
                let step = if times > 1 {
                    (times * least).next_multiple_of(TILE * segments)
                } else {
                    least
                };
                let next = (at + step).min(end - from);
                let params = [count, at, next, from, pixels, segments, usize::from(at == 0)].map(|v| v as u32);
                let mut rec = Recorder::new(gpu)?;
                let buffers: [&wgpu::Buffer; 4] = [&left, &rows, &scores, &numbers];
                rec.dispatch(&pipeline, bytemuck::cast_slice(&params), &buffers, groups)?;
                if next == end - from {
                    let bytes = 4 * (count * segments * keep) as u64;
                    rec.read(&scores, 0, bytes)?;
                    rec.read(&numbers, 0, bytes)?;
                }
                let submission = rec.finish()?;
                submission.wait_with(|reads| {
                    if let [scores, numbers] = reads {
                        collect(
                            &words_of(scores),
                            &words_of(numbers),
                            segments * keep,
                            &mut candidates[first..first + count],
                        );
                    }
                })?;
                // A fast device gets more at once; lists do not depend on it.
                if begun.elapsed() < SHORT && next == at + step {
                    times = (2 * times).min(1 << 12);
                }
                at = next;
            }
        }
    }
    let rows: Vec<Vec<(u32, f64)>> = candidates
        .into_par_iter()
        .enumerate()
        .map(|(i, mut list)| {
            list.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            list.truncate(keep);
            let candidates = list.into_iter().map(|c| (c.0, f64::INFINITY)).collect();
            let pattern = patterns.row(i);
            templates.exact(Isa::active(), pattern.as_slice().unwrap_or_default(), candidates, k)
        })
        .collect();
    Ok(Matches::from_rows(rows.into_iter(), n, k))
}

/// Adds the lists of each pattern, `each` entries, to its candidates; entries that no template took are passed over.
fn collect(scores: &[u32], numbers: &[u32], each: usize, candidates: &mut [Vec<(u32, f32)>]) {
    let lists = scores.chunks_exact(each).zip(numbers.chunks_exact(each));
    for (candidates, (scores, numbers)) in candidates.iter_mut().zip(lists) {
        let entries = numbers.iter().zip(scores).filter(|(n, _)| **n != u32::MAX);
        candidates.extend(entries.map(|(&n, &s)| (n, f32::from_bits(s))));
    }
}
