//! The GPU through wgpu: adapters, one device, pipelines, buffers, and recording of a block's work.
//!
//! Shader convention: `@group(0) @binding(0)` is a uniform struct of parameters, bindings 1, 2, … are storage
//! buffers in the order given to [`Recorder::dispatch`] (read-only ones first declared `var<storage, read>`). Workgroups
//! are a linear range laid over a 2-D dispatch: `group = workgroup_id.x + workgroup_id.y * num_workgroups.x`;
//! groups at or above the wanted number must do nothing.

mod adapters;
mod device;
mod recorder;

pub use adapters::{AdapterSummary, Adapters};
pub use device::{Gpu, Pipeline};
pub use recorder::{GpuBlock, Recorder};
