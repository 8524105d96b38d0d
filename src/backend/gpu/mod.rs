//! The GPU through wgpu: adapters, one device, pipelines, buffers, and recording of a block's work.
//!
//! Shader convention: `@group(0) @binding(0)` is a uniform struct of parameters, bindings 1, 2, … are storage
//! buffers in the order given to [`Recorder::dispatch`] (read-only ones first declared `var<storage, read>`). Workgroups
//! are a linear range laid over a 2-D dispatch: `group = workgroup_id.x + workgroup_id.y * num_workgroups.x`;
//! groups at or above the wanted number must do nothing.
//!
//! A pass with two or three blocks in flight looks like this; reading ahead may call [`UploadRing::stage`] from
//! another thread:
//!
//! ```no_run
//! # use emstream::backend::{gpu::*, stage::GpuStage};
//! # fn pass<P>(shape: emstream::pixel::FrameShape, stage: &mut dyn GpuStage<Part = P>, blocks: Vec<(u64, usize, Vec<u8>)>)
//! # -> emstream::Result<()> {
//! let gpu = Gpu::open(GpuChoice::Auto)?;
//! let ring = UploadRing::new(&gpu, 2, 64 << 20)?;
//! let buffers = [gpu.buffer("block 0", 64 << 20)?, gpu.buffer("block 1", 64 << 20)?];
//! let mut in_flight = std::collections::VecDeque::new();
//! for (n, (first, count, bytes)) in blocks.iter().enumerate() {
//!     let staged = ring.stage(&gpu, bytes)?;                    // waits until a staging buffer is free
//!     let mut rec = Recorder::new(&gpu)?;
//!     rec.upload(staged, &buffers[n % 2], 0)?;
//!     let block = GpuBlock::new(shape, *first, *count, &buffers[n % 2])?;
//!     stage.encode(&mut rec, &block)?;                          // every stage of the pass, one after the other
//!     in_flight.push_back((*first, *count, rec.finish()?));     // submitted; the device works
//!     if in_flight.len() == 2 {
//!         let Some((first, count, submission)) = in_flight.pop_front() else { break };
//!         submission.wait_with(|reads| stage.results(first, count, reads))??;
//!     }
//! }
//! // Wait for the rest, then ask for what stayed on the device.
//! let mut rec = Recorder::new(&gpu)?;
//! stage.encode_finish(&mut rec)?;
//! let last = rec.finish()?.wait_with(|reads| stage.finish(reads))??;
//! # Ok(()) }
//! ```
//!
//! What [`finish`](super::stage::GpuStage::finish) returns joins the leaf tree as leaf (frames − 1) / 64: it is the last,
//! incomplete leaf of float reductions, or all of an exact one, whose place does not matter.
//!
//! A block buffer may be reused as soon as its submission is *submitted*: the queue runs submissions in order.
//! With several stages on one recorder, [`Recorder::reads`] before and after each `encode` tells which reads are whose.

mod adapters;
mod device;
pub(crate) mod leaves;
mod memory;
mod pipeline;
mod recorder;
pub(crate) mod rounds;
pub(crate) mod shader;
mod submission;
mod timer;
mod tuning;
mod upload;

pub use adapters::{AdapterKind, AdapterSummary, Adapters, GPU_VARIABLE, GpuChoice};
pub use device::Gpu;
pub use memory::{Buffer, Fault, FaultPoint, Faults};
pub use pipeline::Pipeline;
pub use recorder::{GpuBlock, Recorder};
pub use submission::{Spans, Submission};
pub use tuning::Tuning;
pub use upload::{FreeSlot, Staged, Staging, UploadRing};
