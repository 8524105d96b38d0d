//! Frames in host memory, and on a device, that kernels are shown again and again.

use crate::backend::gpu::{Buffer, Gpu, GpuBlock, Recorder, UploadRing};
use crate::control::Control;
use crate::error::{Error, Result};
use crate::io::{Scan, write};
use crate::kernels::correlate::joint;
use crate::pixel::{FrameShape, Frames, LEAF};
use crate::simulate::{Polycrystal, Simulated};
use std::path::Path;
use std::sync::Arc;

/// Different frames that are simulated; they repeat in memory.
const DIFFERENT: u64 = 64;
/// Bytes of frames for each thread: more than its share of the caches.
const PER_THREAD: usize = 64 << 20;

/// Whole leaves of frames, at the stride of blocks.
pub struct Data {
    pub shape: FrameShape,
    /// Frames in memory, a multiple of [`LEAF`].
    count: u64,
    words: Vec<u128>,
    /// The lattice of each frame of the first leaf, where it is known.
    pub lattices: Option<Arc<[joint::Lattice]>>,
}

impl Data {
    /// Simulated frames of `shape`, for `threads` threads in at most `memory` bytes.
    ///
    /// # Errors
    /// Those of [`Simulated::new`]; [`Error::Cancelled`].
    pub fn simulated(shape: FrameShape, threads: usize, memory: u64, control: &Control) -> Result<Data> {
        let scan = Simulated::new(&Polycrystal {
            nav: [8, 8],
            sig: [shape.height, shape.width],
            pixel: shape.pixel,
            grains: Some(crate::simulate::Grains::Count(3)),
            ..Polycrystal::default()
        })?;
        let lattices = (0..DIFFERENT).map(|n| scan.lattice(n));
        let lattices = lattices
            .map(|l| joint::Lattice {
                zero: l.zero,
                a: l.a,
                b: l.b,
            })
            .collect();
        let mut data = Data::fill(&scan, DIFFERENT, threads, memory, control)?;
        data.lattices = Some(lattices);
        Ok(data)
    }

    /// The first frames of `scan`, repeated as often as needed.
    ///
    /// # Errors
    /// What reading reports; [`Error::Memory`] if a leaf of frames takes more than `memory`.
    pub fn read(scan: &dyn Scan, threads: usize, memory: u64, control: &Control) -> Result<Data> {
        Data::fill(scan, u64::MAX, threads, memory, control)
    }

    /// At most `different` frames of `scan`, repeated.
    fn fill(scan: &dyn Scan, different: u64, threads: usize, memory: u64, control: &Control) -> Result<Data> {
        let shape = scan.info().frame;
        let stride = shape.stride();
        let leaf = LEAF as usize * stride;
        let wanted = (PER_THREAD / leaf).max(1) * threads;
        let fit = memory as usize / leaf;
        if fit == 0 {
            let what = format!("{LEAF} frames of {} MiB", stride >> 20);
            return Err(Error::Memory { what });
        }
        let count = (wanted.min(fit) as u64) * LEAF;
        let mut words = vec![0u128; count as usize * stride / 16];
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
        let here = scan.info().frames().min(count).min(different) as usize;
        let numbers: Vec<u64> = (0..here as u64).collect();
        let run = here.div_ceil(control.threads).max(1);
        let outcome: Vec<Result<()>> = std::thread::scope(|s| {
            let parts = numbers.chunks(run).zip(bytes.chunks_mut(run * stride));
            let threads: Vec<_> = parts
                .map(|(n, out)| s.spawn(move || scan.read(n, stride, out, control)))
                .collect();
            let failed = |_| Err(Error::Internal("a reader failed".into()));
            threads.into_iter().map(|t| t.join().unwrap_or_else(failed)).collect()
        });
        outcome.into_iter().collect::<Result<()>>()?;
        for frame in here..count as usize {
            bytes.copy_within(frame % here * stride..(frame % here + 1) * stride, frame * stride);
        }
        Ok(Data {
            shape,
            count,
            words,
            lattices: None,
        })
    }

    /// Frames in memory.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Writes all frames as a scan of one row.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk says no.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut writer = write::create(path, [1, self.count as usize], self.shape, false)?;
        for leaf in 0..self.count / LEAF {
            let frames = self.leaf(leaf)?;
            for frame in frames.bytes().chunks(self.shape.stride()) {
                writer.write(&frame[..self.shape.bytes()])?;
            }
        }
        writer.finish()
    }

    /// Leaf number `leaf`; numbers beyond the last begin again.
    pub fn leaf(&self, leaf: u64) -> Result<Frames<'_>> {
        let from = leaf * LEAF % self.count;
        Frames::new(
            self.shape,
            leaf * LEAF,
            LEAF as usize,
            &self.bytes()[from as usize * self.shape.stride()..],
        )
    }

    fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.words)
    }

    /// Uploads as many frames as an eighth of the device's memory holds, in blocks of at most 64 MiB.
    ///
    /// # Errors
    /// What the device reports; [`Error::TooLargeForDevice`] if eight frames do not fit a binding.
    pub fn upload(&self, gpu: &Gpu) -> Result<DeviceData> {
        let stride = self.shape.stride() as u64;
        let block = (64u64 << 20).min(gpu.max_binding()) / stride;
        let block = if block >= LEAF { block / LEAF * LEAF } else { block / 8 * 8 };
        if block == 0 {
            return Err(Error::TooLargeForDevice(format!("frames of {} MiB do not fit", stride >> 20)));
        }
        let fit = (gpu.budget() / 4 / stride).max(block);
        let total = self.count.min(fit / LEAF.min(block) * LEAF.min(block));
        let ring = UploadRing::new(gpu, 1, block * stride)?;
        let mut blocks = Vec::new();
        for first in (0..total).step_by(block as usize) {
            let count = block.min(total - first);
            let buffer = gpu.buffer("bench frames", count * stride)?;
            let from = (first * stride) as usize;
            let staged = ring.stage(gpu, &self.bytes()[from..from + (count * stride) as usize])?;
            let mut rec = Recorder::new(gpu)?;
            rec.upload(staged, &buffer, 0)?;
            rec.read(&buffer, 0, 4)?;
            rec.finish()?.wait_with(|_| ())?;
            blocks.push((first, count as usize, buffer));
        }
        Ok(DeviceData {
            shape: self.shape,
            blocks,
        })
    }
}

/// Frames on a device.
pub struct DeviceData {
    pub shape: FrameShape,
    blocks: Vec<(u64, usize, Buffer)>,
}

impl DeviceData {
    /// Frames on the device.
    pub fn count(&self) -> u64 {
        self.blocks.last().map_or(0, |b| b.0 + b.1 as u64)
    }
    /// Blocks of the first `frames` frames.
    pub fn blocks(&self, frames: u64) -> impl Iterator<Item = Result<GpuBlock<'_>>> {
        self.blocks
            .iter()
            .filter(move |b| b.0 < frames)
            .map(move |(first, count, buffer)| {
                GpuBlock::new(self.shape, *first, (*count as u64).min(frames - first) as usize, buffer)
            })
    }
}
