//! One device: pipelines and buffers, errors caught in scopes.

use crate::error::{Error, Result};

/// An open device. Cheap to share by reference; all methods take `&self`.
pub struct Gpu {
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    /// Limits that the device was opened with (may be forced down for tests).
    pub limits: wgpu::Limits,
}

/// A compute pipeline with its bind group layout (binding 0 uniform, then storage buffers).
pub struct Pipeline {
    pub(crate) pipeline: wgpu::ComputePipeline,
    pub(crate) layout: wgpu::BindGroupLayout,
    pub(crate) label: String,
}

impl Gpu {
    /// Compiles `wgsl` and builds the pipeline of `entry`. `read_only` gives the number of storage bindings 1..=n that
    /// are `read`, `read_write` the number that follow.
    ///
    /// # Errors
    /// [`Error::Device`] with the compiler's message.
    pub fn pipeline(
        &self,
        _label: &str,
        _wgsl: &str,
        _entry: &str,
        _constants: &[(&str, f64)],
        _read_only: u32,
        _read_write: u32,
    ) -> Result<Pipeline> {
        Err(Error::Internal("not written".into()))
    }
    /// A zeroed storage buffer that can be copied from and to.
    ///
    /// # Errors
    /// [`Error::DeviceMemory`] when the device has no room, [`Error::Device`] above the binding limit.
    pub fn buffer(&self, _label: &str, _bytes: u64) -> Result<wgpu::Buffer> {
        Err(Error::Internal("not written".into()))
    }
    /// A storage buffer that holds `data`.
    pub fn buffer_with(&self, _label: &str, _data: &[u8]) -> Result<wgpu::Buffer> {
        Err(Error::Internal("not written".into()))
    }
}
