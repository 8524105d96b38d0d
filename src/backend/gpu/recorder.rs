//! Records the work of one block into one submission.

use super::{Gpu, Pipeline};
use crate::error::Result;
use crate::pixel::FrameShape;

/// A run of consecutive selected frames on the device, frame i at word `i * stride_words` of `buffer`.
pub struct GpuBlock<'a> {
    pub shape: FrameShape,
    /// Number in the selection of the first frame.
    pub first: u64,
    pub count: usize,
    /// `FrameShape::stride() / 4`.
    pub stride_words: u32,
    /// Native pixels, little-endian, packed in words.
    pub buffer: &'a wgpu::Buffer,
}

/// Collects dispatches and reads; one submission per block.
pub struct Recorder<'g> {
    pub gpu: &'g Gpu,
}

impl Recorder<'_> {
    /// Runs `groups` workgroups. `params` becomes the uniform at binding 0, `buffers` bindings 1, 2, …
    /// Dispatches see the writes of earlier ones.
    pub fn dispatch(&mut self, _pipeline: &Pipeline, _params: &[u8], _buffers: &[&wgpu::Buffer], _groups: u64) -> Result<()> {
        Ok(())
    }
    /// Puts `data` (labels, segment tables) into `buffer` at `offset` (multiples of 4) before the next dispatch.
    pub fn write(&mut self, _buffer: &wgpu::Buffer, _offset: u64, _data: &[u8]) -> Result<()> {
        Ok(())
    }
    /// Copies between device buffers (multiples of 4 bytes).
    pub fn copy(
        &mut self,
        _from: &wgpu::Buffer,
        _from_offset: u64,
        _to: &wgpu::Buffer,
        _to_offset: u64,
        _bytes: u64,
    ) -> Result<()> {
        Ok(())
    }
    /// Asks for `bytes` of `buffer` (multiples of 4) as they are after the dispatches recorded so far.
    pub fn read(&mut self, _buffer: &wgpu::Buffer, _offset: u64, _bytes: u64) -> Result<()> {
        Ok(())
    }
    /// Sets `buffer` to zero.
    pub fn clear(&mut self, _buffer: &wgpu::Buffer) -> Result<()> {
        Ok(())
    }
}
