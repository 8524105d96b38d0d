//! Limits of the processor: a read sweep and a copy of memory, multiplications and additions, reading a file.

use super::super::timing::{Effort, time};
use super::{BYTES, Limit, OPERATIONS};
use crate::backend::cpu::isa::{Isa, per_isa};
use crate::backend::cpu::lanes::{Lanes, Vector, per_vector};
use crate::control::Control;
use crate::error::Result;
use crate::io::Scan;
use serde::Serialize;
use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Bytes that each thread sweeps or copies: more than its share of the caches.
const PART: usize = 64 << 20;

/// Limits of `threads` threads.
#[derive(Debug, Clone, Serialize)]
pub struct CpuLimits {
    pub threads: usize,
    /// Reading memory, bytes counted once.
    pub read_sweep: Limit,
    /// Copying memory, bytes counted once.
    pub copy: Limit,
    /// Multiplications and additions of float32 as separate instructions, as most kernels use them. Convolution layers and low-passes under
    /// mirrored windows use fused ones and may exceed this.
    pub multiply_add: Limit,
}

/// Measures all limits of `threads` threads, with at most `memory` bytes.
///
/// # Errors
/// [`crate::Error::Cancelled`].
pub fn measure(threads: usize, memory: u64, effort: Effort, control: &Control) -> Result<CpuLimits> {
    let part = PART.min(memory as usize / 2 / threads).max(1 << 20);
    let isa = Isa::active();
    let mut parts: Vec<_> = (0..threads as u64)
        .map(|i| (vec![i + 1; part / 8], vec![1; part / 8]))
        .collect();
    let bytes = (threads * (part / 8) * 8) as f64;
    let read = effort.measure(control, || Ok(together(&mut parts, |(from, _)| sweep(isa, from))))?;
    let copy = effort.measure(control, || {
        Ok(together(&mut parts, |(from, to)| {
            to.copy_from_slice(from);
            black_box(to);
        }))
    })?;
    Ok(CpuLimits {
        threads,
        read_sweep: Limit::rate("read sweep", BYTES, bytes, &read),
        copy: Limit::rate("copy", BYTES, bytes, &copy),
        multiply_add: multiply_add(isa, threads, effort, control)?,
    })
}

/// Multiplications and additions per second of `threads` threads: the best of a few numbers of independent chains.
///
/// # Errors
/// [`crate::Error::Cancelled`].
pub fn multiply_add(isa: Isa, threads: usize, effort: Effort, control: &Control) -> Result<Limit> {
    const STEPS: usize = 200_000;
    type Steps = fn(Isa, usize);
    let chains: [(usize, Steps); 3] = [(3, three), (6, six), (12, twelve)];
    let mut best: Option<Limit> = None;
    for (n, run) in chains {
        let mut parts = vec![(); threads];
        let spread = effort.measure(control, || Ok(together(&mut parts, |()| run(isa, STEPS))))?;
        let operations = (threads * STEPS * n * 16 * 2) as f64;
        let limit = Limit::rate(format!("multiply-add {isa}"), OPERATIONS, operations, &spread);
        if best.as_ref().is_none_or(|b| b.median < limit.median) {
            best = Some(limit);
        }
    }
    best.ok_or_else(|| crate::Error::Internal("no multiply-add was measured".into()))
}

/// Reading every frame of `scan` into buffers that stay in the cache, and nothing else.
///
/// # Errors
/// What reading reports; [`crate::Error::Cancelled`].
pub fn file_read(scan: &dyn Scan, effort: Effort, control: &Control) -> Result<Limit> {
    let info = scan.info();
    let spread = effort.measure(control, || time(|| read_all(scan, control)))?;
    let bytes = info.frames() as f64 * info.frame.bytes() as f64;
    Ok(Limit::rate("file read", BYTES, bytes, &spread))
}

fn read_all(scan: &dyn Scan, control: &Control) -> Result<()> {
    let (frames, stride) = (scan.info().frames(), scan.info().frame.stride());
    let piece = ((256 << 10) / stride).clamp(1, 64).max(scan.info().together) as u64;
    let next = AtomicU64::new(0);
    let reader = || -> Result<()> {
        let mut buffer = vec![0u8; piece as usize * stride];
        let mut numbers = Vec::new();
        loop {
            let first = next.fetch_add(piece, Ordering::Relaxed);
            if first >= frames {
                return Ok(());
            }
            numbers.clear();
            numbers.extend(first..(first + piece).min(frames));
            scan.read(&numbers, stride, &mut buffer, control)?;
            black_box(&buffer);
        }
    };
    std::thread::scope(|s| {
        let threads: Vec<_> = (0..control.threads).map(|_| s.spawn(reader)).collect();
        threads.into_iter().try_for_each(|t| {
            t.join()
                .unwrap_or_else(|_| Err(crate::Error::Internal("a reader failed".into())))
        })
    })
}

/// One thread for each part, started together: seconds until the last one is done.
fn together<T: Send>(parts: &mut [T], work: impl Fn(&mut T) + Sync) -> f64 {
    let barrier = Barrier::new(parts.len());
    let (work, barrier) = (&work, &barrier);
    let spans: Vec<_> = std::thread::scope(|s| {
        let run = |part| {
            s.spawn(move || {
                barrier.wait();
                let begun = Instant::now();
                work(part);
                (begun, Instant::now())
            })
        };
        let threads: Vec<_> = parts.iter_mut().map(run).collect();
        threads.into_iter().filter_map(|t| t.join().ok()).collect()
    });
    elapsed(&spans)
}

/// Seconds from the first beginning to the last end.
pub(in crate::bench) fn elapsed(spans: &[(Instant, Instant)]) -> f64 {
    let begun = spans.iter().map(|s| s.0).min();
    let ended = spans.iter().map(|s| s.1).max();
    begun.zip(ended).map_or(0.0, |(b, e)| e.duration_since(b).as_secs_f64())
}

per_isa! {
    fn sweep(from: &[u64]) {
        let mut lanes = [0u64; 64];
        for chunk in from.chunks_exact(64) {
            lanes.iter_mut().zip(chunk).for_each(|(a, b)| *a ^= *b);
        }
        black_box(&lanes);
    }
}

// As many chains as registers hold, for vectors of 128, 256 and 512 bits.
per_vector! { fn three = chains_3(steps: usize) }
per_vector! { fn six = chains_6(steps: usize) }
per_vector! { fn twelve = chains_12(steps: usize) }

#[inline(always)]
fn chains_3<V: Vector>(steps: usize) {
    chains::<V, 3>(steps);
}
#[inline(always)]
fn chains_6<V: Vector>(steps: usize) {
    chains::<V, 6>(steps);
}
#[inline(always)]
fn chains_12<V: Vector>(steps: usize) {
    chains::<V, 12>(steps);
}

/// `N` chains of x ← a·x + b in sixteen lanes each.
#[inline(always)]
fn chains<V: Vector, const N: usize>(steps: usize) {
    let mut x = [V::all(1.0); N];
    // Towards 1, far from numbers that are slow.
    let (a, b) = (V::all(black_box(0.75)), V::all(black_box(0.25)));
    for _ in 0..steps {
        for v in &mut x {
            *v = v.times(a).plus(b);
        }
    }
    let mut out = Lanes::ZERO;
    for v in x {
        v.store(&mut out);
        black_box(&out);
    }
}
