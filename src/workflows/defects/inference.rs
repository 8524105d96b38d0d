//! A network on whole frames of any size: in one piece where it fits, in overlapping strips where it does not, or in the published patches.

use crate::backend::gpu::Gpu;
use crate::engine::Backend;
use crate::error::{Error, Result};
use crate::kernels::network::{Plan, cpu, gpu};
use crate::network::Network;
use ndarray::{Array2, Array3, s};
use rayon::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How a frame is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tiling {
    /// Every pixel sees its whole surroundings; zeros only around the frame.
    Seamless,
    /// Separate square patches of this size, zeros around each; what is left at the right and bottom stays 0. The published analysis's way.
    Patches(usize),
}

/// A part of the frame that the network sees, and the part of it that counts; rows and columns of the padded frame.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Piece {
    from: [usize; 2],
    size: [usize; 2],
    /// What counts: first row and column, height and width.
    core: [usize; 2],
    core_size: [usize; 2],
}

/// What lies on a device.
struct OnDevice {
    gpu: Arc<Gpu>,
    runners: Vec<gpu::Runner>,
}

/// Pieces on their way through a device.
const IN_FLIGHT: usize = 3;

/// Inference on frames of one size.
pub struct Inference {
    plan: Plan,
    size: [usize; 2],
    padded: [usize; 2],
    pieces: Vec<Piece>,
    runners: Mutex<Vec<cpu::Runner>>,
    /// Networks on the device, one for each size of pieces.
    on_device: Mutex<Option<OnDevice>>,
    /// The device cannot hold it: said once.
    refused: AtomicBool,
    logits: bool,
}

impl Inference {
    /// Plans inference on frames of `size` (h, w) within about `memory` bytes for `threads` threads.
    ///
    /// # Errors
    /// [`Error::Parameter`] for networks that take more than one channel, and patches that do not fit; [`Error::Memory`].
    pub fn new(network: Arc<Network>, size: [usize; 2], tiling: Tiling, threads: usize, memory: u64) -> Result<Self> {
        if network.inputs() != 1 {
            let what = format!("it takes images of {} channels; frames have one", network.inputs());
            return Err(Error::parameter("--model", what));
        }
        let multiple = network.multiple();
        let plan = Plan::new(network);
        let padded = size.map(|n| n.next_multiple_of(multiple));
        let pieces = match tiling {
            Tiling::Patches(t) => {
                if t == 0 || !t.is_multiple_of(multiple) {
                    return Err(Error::parameter(
                        "--patch-exact",
                        format!("patches of {t} pixels; the network needs multiples of {multiple}"),
                    ));
                }
                let count = size.map(|n| n / t);
                if count.contains(&0) {
                    let what = format!(
                        "frames of {} × {} pixels are smaller than the patches of {t}",
                        size[0], size[1]
                    );
                    return Err(Error::parameter("--patch-exact", what));
                }
                let patch = |i: usize| {
                    let from = [i / count[1] * t, i % count[1] * t];
                    Piece {
                        from,
                        size: [t, t],
                        core: from,
                        core_size: [t, t],
                    }
                };
                (0..count[0] * count[1]).map(patch).collect()
            }
            Tiling::Seamless => strips(&plan, padded, memory / threads.max(1) as u64)?,
        };
        Ok(Inference {
            plan,
            size,
            padded,
            pieces,
            runners: Mutex::default(),
            on_device: Mutex::default(),
            refused: AtomicBool::new(false),
            logits: false,
        })
    }

    /// What comes before the softmax at the end instead of probabilities.
    pub fn logits(mut self) -> Self {
        self.logits = true;
        self
    }

    /// Number of pieces a frame is cut into.
    pub fn pieces(&self) -> usize {
        self.pieces.len()
    }

    /// Probabilities (h, classes, w) of each frame. On the CPU frames and pieces are shared among the threads of the current rayon pool.
    ///
    /// # Errors
    /// [`Error::Internal`] for frames of another size; what the device reports.
    pub fn run(&self, frames: &[Array2<f32>], backend: &Backend) -> Result<Vec<Array3<f32>>> {
        if let Some(f) = frames.iter().find(|f| f.dim() != self.size.into()) {
            return Err(Error::Internal(format!("a frame of {:?} for {:?}", f.dim(), self.size)));
        }
        let jobs: Vec<(usize, Piece)> = (0..frames.len())
            .flat_map(|f| self.pieces.iter().map(move |&p| (f, p)))
            .collect();
        let parts: Vec<Vec<f32>> = match backend {
            // Fewer pieces than threads: rows are shared instead.
            Backend::Cpu if jobs.len() < rayon::current_num_threads() => jobs
                .iter()
                .map(|&(f, p)| self.piece(&frames[f], p, true))
                .collect::<Result<_>>()?,
            Backend::Gpu(device) if !self.refused.load(Ordering::Relaxed) => {
                let mut done = self.on_gpu(&device.current(), frames, &jobs);
                if let Err(Error::DeviceLost(what)) = &done {
                    log::warn!("GPU lost ({what}): opening it again");
                    device.reopen()?;
                    done = self.on_gpu(&device.current(), frames, &jobs);
                }
                match done {
                    Err(Error::TooLargeForDevice(what) | Error::DeviceMemory(what) | Error::Kernel(what)) => {
                        log::warn!("the network runs on the CPU: {what}");
                        self.refused.store(true, Ordering::Relaxed);
                        let parts = jobs.par_iter().map(|&(f, p)| self.piece(&frames[f], p, false));
                        parts.collect::<Result<_>>()?
                    }
                    parts => parts?,
                }
            }
            _ => jobs
                .par_iter()
                .map(|&(f, p)| self.piece(&frames[f], p, false))
                .collect::<Result<_>>()?,
        };
        let classes = self.plan.network().classes();
        let mut out: Vec<Array3<f32>> = frames
            .iter()
            .map(|_| Array3::zeros((self.size[0], classes, self.size[1])))
            .collect();
        for ((f, p), part) in jobs.into_iter().zip(parts) {
            let part = Array3::from_shape_vec((p.size[0], classes, p.size[1]), part);
            let part = part.map_err(|e| Error::Internal(format!("a piece of a frame: {e}")))?;
            let [y, x] = p.core;
            let rows = p.core_size[0].min(self.size[0] - y);
            let columns = p.core_size[1].min(self.size[1] - x);
            let (py, px) = (y - p.from[0], x - p.from[1]);
            out[f]
                .slice_mut(s![y..y + rows, .., x..x + columns])
                .assign(&part.slice(s![py..py + rows, .., px..px + columns]));
        }
        Ok(out)
    }

    /// The pixels of a piece; the frame is continued by its mirror image up to the padded size.
    fn cut(&self, frame: &Array2<f32>, p: Piece) -> Vec<f32> {
        let mirror = |i: usize, n: usize| if i < n { i } else { (2 * n - 1).saturating_sub(i).min(n - 1) };
        let mut image = Vec::with_capacity(p.size[0] * p.size[1]);
        for y in p.from[0]..p.from[0] + p.size[0] {
            let y = mirror(y, self.size[0]);
            image.extend((p.from[1]..p.from[1] + p.size[1]).map(|x| frame[[y, mirror(x, self.size[1])]]));
        }
        image
    }

    fn piece(&self, frame: &Array2<f32>, p: Piece, parallel: bool) -> Result<Vec<f32>> {
        let image = self.cut(frame, p);
        let mut out = vec![0.0; image.len() * self.plan.network().classes()];
        let idle = self.runners.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let fresh = || match self.logits {
            true => cpu::Runner::default().logits(),
            false => cpu::Runner::default(),
        };
        let mut runner = idle.unwrap_or_else(fresh);
        runner.run(&self.plan, &image, p.size, &mut out, parallel)?;
        self.runners.lock().unwrap_or_else(PoisonError::into_inner).push(runner);
        Ok(out)
    }

    fn on_gpu(&self, gpu: &Arc<Gpu>, frames: &[Array2<f32>], jobs: &[(usize, Piece)]) -> Result<Vec<Vec<f32>>> {
        let mut state = self.on_device.lock().unwrap_or_else(PoisonError::into_inner);
        // Another device: the one before was lost.
        if state.as_ref().is_none_or(|s| !Arc::ptr_eq(&s.gpu, gpu)) {
            let runners = Vec::new();
            *state = Some(OnDevice {
                gpu: gpu.clone(),
                runners,
            });
        }
        let Some(state) = state.as_mut() else { return Ok(Vec::new()) };
        for (_, p) in jobs {
            if !state.runners.iter().any(|r| r.size() == p.size) {
                state.runners.push(gpu::Runner::new(gpu, &self.plan, p.size, self.logits)?);
            }
        }
        let mut out = Vec::with_capacity(jobs.len());
        let mut flying = std::collections::VecDeque::new();
        for &(f, p) in jobs {
            let Some(runner) = state.runners.iter().find(|r| r.size() == p.size) else {
                continue;
            };
            flying.push_back((runner, runner.submit(gpu, &self.cut(&frames[f], p))?));
            if flying.len() == IN_FLIGHT
                && let Some((runner, submission)) = flying.pop_front()
            {
                out.push(runner.take(&submission)?);
            }
        }
        for (runner, submission) in flying {
            out.push(runner.take(&submission)?);
        }
        Ok(out)
    }

    /// Height and width up to which frames are continued.
    pub fn padded(&self) -> [usize; 2] {
        self.padded
    }
}

/// The whole frame, or strips of rows that fit `memory` bytes with as many rows around them as the network sees.
fn strips(plan: &Plan, padded: [usize; 2], memory: u64) -> Result<Vec<Piece>> {
    let [h, w] = padded;
    let multiple = plan.network().multiple();
    let around = plan.network().reach().next_multiple_of(multiple);
    let fits = |rows: usize| cpu::Runner::bytes(plan, rows, w) <= memory;
    let mut core = h;
    while core > multiple && !fits(if core == h { h } else { core + 2 * around }) {
        core = (core / 2).next_multiple_of(multiple).min(core - multiple);
    }
    if !fits((core + 2 * around).min(h)) {
        let need = cpu::Runner::bytes(plan, (core + 2 * around).min(h), w) >> 20;
        return Err(Error::Memory {
            what: format!("the network needs {need} MiB a thread for {core} rows of {w} pixels"),
        });
    }
    let strip = |y: usize| {
        let rows = core.min(h - y);
        let from = y.saturating_sub(around);
        Piece {
            from: [from, 0],
            size: [(y + rows + around).min(h) - from, w],
            core: [y, 0],
            core_size: [rows, w],
        }
    };
    Ok((0..h).step_by(core).map(strip).collect())
}
