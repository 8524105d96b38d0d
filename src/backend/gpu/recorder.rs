//! Records the work of one block into one submission.

use super::memory::{Buffer, FaultPoint, words};
use super::submission::{Mapped, Place, Submission};
use super::timer::Timer;
use super::upload::Staged;
use super::{Gpu, Pipeline};
use crate::error::{Error, Result};
use crate::pixel::FrameShape;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

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

impl<'a> GpuBlock<'a> {
    /// Views `buffer` as `count` frames, the first of them number `first` of the selection.
    ///
    /// # Errors
    /// [`Error::Internal`] if the buffer is too small or its words cannot be counted in 32 bits.
    pub fn new(shape: FrameShape, first: u64, count: usize, buffer: &'a wgpu::Buffer) -> Result<Self> {
        let bytes = shape.stride() as u64 * count as u64;
        if buffer.size() < bytes || bytes / 4 > u64::from(u32::MAX) {
            return Err(Error::Internal(format!(
                "{count} frames of {shape:?} in a device buffer of {} bytes",
                buffer.size()
            )));
        }
        Ok(GpuBlock {
            shape,
            first,
            count,
            stride_words: (shape.stride() / 4) as u32,
            buffer,
        })
    }
}

/// Parameters and tables of one submission: written on the host, uploaded once when it is submitted.
const TABLE_CHUNK: u64 = 256 << 10;
/// Smallest read-back buffer.
const READ_CHUNK: u64 = 1 << 20;
/// Idle buffers of each kind that are kept for reuse.
const KEEP: usize = 8;

/// Buffers that submissions take and give back.
#[derive(Default)]
pub(super) struct Pools {
    pub(super) tables: Mutex<Vec<Buffer>>,
    pub(super) reads: Mutex<Vec<Buffer>>,
    pub(super) timers: Mutex<Vec<Timer>>,
}

fn take(pool: &Mutex<Vec<Buffer>>, bytes: u64) -> Option<Buffer> {
    let mut pool = pool.lock().unwrap_or_else(PoisonError::into_inner);
    let best = (0..pool.len())
        .filter(|&i| pool[i].size() >= bytes)
        .min_by_key(|&i| pool[i].size())?;
    Some(pool.swap_remove(best))
}

pub(super) fn give<T>(pool: &Mutex<Vec<T>>, thing: T) {
    let mut pool = pool.lock().unwrap_or_else(PoisonError::into_inner);
    if pool.len() < KEEP {
        pool.push(thing);
    }
}

/// A table buffer with the bytes that will be in it.
struct Table {
    buffer: Buffer,
    host: Vec<u8>,
}

/// Collects dispatches and reads; one submission per block.
///
/// Commands take effect in the order of the calls. Nothing runs before [`Recorder::finish`]; dropping a recorder discards it.
pub struct Recorder<'g> {
    pub gpu: &'g Gpu,
    encoder: wgpu::CommandEncoder,
    tables: Vec<Table>,
    chunks: Vec<(Buffer, u64)>,
    reads: Vec<Place>,
    uploads: Vec<Staged>,
    timer: Option<Timer>,
    dispatches: u64,
}

impl<'g> Recorder<'g> {
    /// Begins a recording.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], [`Error::Device`].
    pub fn new(gpu: &'g Gpu) -> Result<Self> {
        Self::begin(gpu, gpu.timing())
    }

    /// As [`Recorder::new`], with [`Submission::spans`] where the device has timestamps.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], [`Error::Device`].
    pub fn timed(gpu: &'g Gpu) -> Result<Self> {
        Self::begin(gpu, gpu.has_timestamps())
    }

    fn begin(gpu: &'g Gpu, timed: bool) -> Result<Self> {
        let mut encoder = gpu.scoped("command encoder", || gpu.device.create_command_encoder(&Default::default()))?;
        let timer = match timed {
            true => Some(Timer::begin(gpu, &mut encoder)?),
            false => None,
        };
        Ok(Recorder {
            gpu,
            encoder,
            tables: Vec::new(),
            chunks: Vec::new(),
            reads: Vec::new(),
            uploads: Vec::new(),
            timer,
            dispatches: 0,
        })
    }

    /// Runs `groups` workgroups. `params` becomes the uniform at binding 0 (padded to 16 bytes), `buffers` bindings 1, 2, …
    /// Dispatches see the writes of earlier ones.
    ///
    /// # Errors
    /// [`Error::Device`] for buffers that do not fit the pipeline, [`Error::DeviceLost`].
    pub fn dispatch(&mut self, pipeline: &Pipeline, params: &[u8], buffers: &[&wgpu::Buffer], groups: u64) -> Result<()> {
        if groups == 0 {
            return Ok(());
        }
        let most = u64::from(self.gpu.limits.max_compute_workgroups_per_dimension);
        let y = groups.div_ceil(most);
        if y > most {
            return Err(Error::Internal(format!("{}: {groups} workgroups", pipeline.label)));
        }
        let x = groups.div_ceil(y);
        let mut uniform = params.to_vec();
        uniform.resize(params.len().next_multiple_of(16).max(16), 0);
        let (table, offset) = self.table(&uniform)?;
        let uniform_binding = wgpu::BufferBinding {
            buffer: &self.tables[table].buffer,
            offset,
            size: wgpu::BufferSize::new(uniform.len() as u64),
        };
        let first = wgpu::BindGroupEntry {
            binding: 0,
            resource: wgpu::BindingResource::Buffer(uniform_binding),
        };
        let rest = (1..).zip(buffers).map(|(binding, b)| wgpu::BindGroupEntry {
            binding,
            resource: b.as_entire_binding(),
        });
        let entries: Vec<_> = std::iter::once(first).chain(rest).collect();
        let bind_group = self.gpu.scoped(&pipeline.label, || {
            self.gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some(&pipeline.label),
                layout: &pipeline.layout,
                entries: &entries,
            })
        })?;
        self.dispatches += 1;
        if let Some(timer) = &mut self.timer {
            timer.uploaded(&mut self.encoder);
        }
        let timestamp_writes = self.timer.as_mut().and_then(|t| t.next(&pipeline.label));
        let label = Some(pipeline.label.as_str());
        let mut pass = self
            .encoder
            .begin_compute_pass(&wgpu::ComputePassDescriptor { label, timestamp_writes });
        pass.set_pipeline(&pipeline.pipeline);
        pass.set_bind_group(0, &bind_group, &[]);
        pass.dispatch_workgroups(x as u32, y as u32, 1);
        Ok(())
    }

    /// Puts `data` (labels, segment tables) into `buffer` at `offset` (multiples of 4) before the next dispatch.
    ///
    /// # Errors
    /// [`Error::Internal`] for odd sizes, [`Error::DeviceMemory`].
    pub fn write(&mut self, buffer: &wgpu::Buffer, offset: u64, data: &[u8]) -> Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        words("write", offset)?;
        let bytes = words("write", data.len() as u64)?;
        let (table, from) = self.table(data)?;
        self.encoder
            .copy_buffer_to_buffer(&self.tables[table].buffer, from, buffer, offset, bytes);
        Ok(())
    }

    /// Copies between device buffers (multiples of 4 bytes).
    ///
    /// # Errors
    /// [`Error::Internal`] for odd sizes.
    pub fn copy(&mut self, from: &wgpu::Buffer, from_offset: u64, to: &wgpu::Buffer, to_offset: u64, bytes: u64) -> Result<()> {
        words("copy", from_offset | to_offset | bytes)?;
        if bytes > 0 {
            self.encoder.copy_buffer_to_buffer(from, from_offset, to, to_offset, bytes);
        }
        Ok(())
    }

    /// Asks for `bytes` of `buffer` (multiples of 4) as they are after the dispatches recorded so far.
    ///
    /// # Errors
    /// [`Error::Internal`] for odd sizes, [`Error::DeviceMemory`].
    pub fn read(&mut self, buffer: &wgpu::Buffer, offset: u64, bytes: u64) -> Result<()> {
        words("read", offset | bytes)?;
        let chunk = match self.chunks.last() {
            Some((b, used)) if b.size() - used >= bytes => self.chunks.len() - 1,
            _ => {
                let size = bytes
                    .max(READ_CHUNK)
                    .checked_next_power_of_two()
                    .unwrap_or(bytes)
                    .min(bytes.max(32 << 20));
                let new = match take(&self.gpu.pools.reads, bytes.max(READ_CHUNK)) {
                    Some(b) => b,
                    None => {
                        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
                        self.gpu.staging_buffer("read-back", size, usage)?
                    }
                };
                self.chunks.push((new, 0));
                self.chunks.len() - 1
            }
        };
        let (to, used) = &mut self.chunks[chunk];
        if bytes > 0 {
            self.encoder.copy_buffer_to_buffer(buffer, offset, to, *used, bytes);
        }
        self.reads.push(Place {
            chunk,
            offset: *used,
            bytes,
        });
        // Mapped ranges must begin at multiples of 8.
        *used = (*used + bytes).next_multiple_of(8).min(to.size());
        Ok(())
    }

    /// Number of reads asked for so far.
    pub fn reads(&self) -> usize {
        self.reads.len()
    }

    /// Sets `buffer` to zero.
    ///
    /// # Errors
    /// None today; a `Result` so that all commands look alike.
    pub fn clear(&mut self, buffer: &wgpu::Buffer) -> Result<()> {
        self.encoder.clear_buffer(buffer, 0, None);
        Ok(())
    }

    /// Copies staged bytes into `buffer` at `offset`. The staging buffer returns to its ring when this recording is submitted
    /// or dropped.
    ///
    /// # Errors
    /// [`Error::Internal`] if they do not fit.
    pub fn upload(&mut self, staged: Staged, buffer: &wgpu::Buffer, offset: u64) -> Result<()> {
        words("upload", offset)?;
        if offset + staged.bytes() > buffer.size() {
            return Err(Error::Internal(format!(
                "upload of {} bytes at {offset} of {}",
                staged.bytes(),
                buffer.size()
            )));
        }
        if staged.bytes() > 0 {
            self.encoder
                .copy_buffer_to_buffer(staged.buffer(), 0, buffer, offset, staged.bytes());
        }
        self.uploads.push(staged);
        Ok(())
    }

    /// Submits everything and returns at once; results come from the [`Submission`].
    ///
    /// # Errors
    /// [`Error::Device`] for what the device finds wrong with the recording, [`Error::DeviceMemory`], [`Error::DeviceLost`].
    pub fn finish(mut self) -> Result<Submission<'g>> {
        let gpu = self.gpu;
        gpu.pass(FaultPoint::Submit)?;
        let stamps = match self.timer.take() {
            Some(mut timer) => {
                let (resolved, bytes) = timer.end(&mut self.encoder);
                self.read(resolved, 0, bytes)?;
                // The queue runs submissions in order, so the next one may take the timer over.
                let labels = timer.labels();
                give(&gpu.pools.timers, timer);
                self.reads.pop().map(|place| (place, labels))
            }
            None => None,
        };
        let (encoder, tables, uploads) = (self.encoder, self.tables, self.uploads);
        let index = gpu.scoped("submission", || {
            for t in &tables {
                gpu.queue.write_buffer(&t.buffer, 0, &t.host);
            }
            gpu.queue.submit([encoder.finish()])
        })?;
        for staged in uploads {
            staged.submitted(index.clone());
        }
        // The queue runs writes and submissions in order, so tables may be refilled at once.
        tables.into_iter().for_each(|t| give(&gpu.pools.tables, t.buffer));
        let mapped = Arc::new(Mapped::default());
        for (buffer, used) in self.chunks.iter().filter(|(_, used)| *used > 0) {
            let mapped = Arc::clone(&mapped);
            buffer.map_async(wgpu::MapMode::Read, 0..*used, move |outcome| {
                let counter = if outcome.is_ok() { &mapped.done } else { &mapped.failed };
                counter.fetch_add(1, Ordering::Release);
            });
        }
        Ok(Submission {
            gpu,
            index,
            chunks: self.chunks,
            reads: self.reads,
            stamps,
            mapped,
            dispatches: self.dispatches,
        })
    }

    /// Appends bytes to a table: its index and their offset.
    fn table(&mut self, data: &[u8]) -> Result<(usize, u64)> {
        let align = self.gpu.limits.min_uniform_buffer_offset_alignment.max(16) as usize;
        let fits = |t: &Table| t.host.len().next_multiple_of(align) + data.len() <= t.buffer.size() as usize;
        if !self.tables.last().is_some_and(fits) {
            let bytes = TABLE_CHUNK.max(data.len() as u64);
            let buffer = match take(&self.gpu.pools.tables, bytes) {
                Some(b) => b,
                None => {
                    use wgpu::BufferUsages as U;
                    self.gpu
                        .staging_buffer("tables", bytes, U::UNIFORM | U::COPY_SRC | U::COPY_DST)?
                }
            };
            self.tables.push(Table {
                buffer,
                host: Vec::new(),
            });
        }
        let index = self.tables.len() - 1;
        let table = &mut self.tables[index];
        let offset = table.host.len().next_multiple_of(align);
        table.host.resize(offset, 0);
        table.host.extend_from_slice(data);
        Ok((index, offset as u64))
    }
}
