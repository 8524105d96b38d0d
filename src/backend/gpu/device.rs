//! One device: its buffers, limits and waits, errors caught in scopes, so that nothing panics.

use super::adapters::{AdapterKind, AdapterSummary, Adapters, GPU_VARIABLE, GpuChoice};
use super::memory::{Buffer, Fault, FaultPoint, Faults, padded};
use super::pipeline::{Pipeline, Rewrite};
use super::recorder::Pools;
use super::tuning::Tuning;
use crate::error::{Error, Result};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Longest wait for one submission before the device counts as hung.
const PATIENCE: Duration = Duration::from_secs(600);

/// What the device's callbacks said, from whatever thread.
#[derive(Default)]
struct Reports {
    lost: Mutex<Option<String>>,
    stray: Mutex<Option<wgpu::Error>>,
}

/// An open device. Cheap to share by reference between threads; all methods take `&self`.
pub struct Gpu {
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    /// Limits that the device was opened with (may be forced down for tests).
    pub limits: wgpu::Limits,
    /// The adapter behind it.
    pub summary: AdapterSummary,
    /// Failures that tests order.
    pub faults: Faults,
    pub(super) pools: Pools,
    reports: Arc<Reports>,
    pub(super) pipelines: Mutex<HashMap<String, Pipeline>>,
    pub(super) rewrite: Mutex<Option<Rewrite>>,
    allocated: Arc<AtomicU64>,
    staging: Arc<AtomicU64>,
    budget: AtomicU64,
    timing: AtomicBool,
    tuning: Mutex<Tuning>,
}

impl Gpu {
    /// Opens an adapter with all that it offers. Where `choice` is [`GpuChoice::Auto`] or [`GpuChoice::Required`], the
    /// environment variable `EMSTREAM_GPU` may name an adapter as `--gpu` does.
    ///
    /// # Errors
    /// [`Error::Device`] that says what was found when no adapter fits, or why the driver refused.
    pub fn open(choice: GpuChoice) -> Result<Gpu> {
        Self::open_with_limits(choice, None)
    }

    /// As [`Gpu::open`], with limits forced down to `cap` (for tests; `wgpu::Limits::default()` is what every
    /// WebGPU device has: 16 KiB of workgroup memory, 256 invocations, 128 MiB bindings, 8 storage buffers).
    ///
    /// # Errors
    /// As [`Gpu::open`].
    pub fn open_with_limits(choice: GpuChoice, cap: Option<&wgpu::Limits>) -> Result<Gpu> {
        let choice = match (choice, std::env::var(GPU_VARIABLE)) {
            (GpuChoice::Auto | GpuChoice::Required, Ok(name)) if !name.is_empty() && name != "none" => GpuChoice::parse(&name),
            (choice, _) => choice,
        };
        let mut adapters = Adapters::find().found;
        let list: Vec<AdapterSummary> = adapters.iter().map(|(s, _)| s.clone()).collect();
        let (summary, adapter) = adapters.swap_remove(Adapters::choose(&list, &choice)?);
        let limits = wanted_limits(adapter.limits(), cap);
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("emstream"),
            required_features: adapter.features() & wgpu::Features::TIMESTAMP_QUERY,
            required_limits: limits.clone(),
            experimental_features: wgpu::ExperimentalFeatures::disabled(),
            // Blocks of frames are few and large: each gets memory of its own, exactly as much as it needs, so that the budget is
            // what is really taken. Only small buffers share.
            memory_hints: wgpu::MemoryHints::Manual {
                suballocated_device_memory_block_size: 4 << 20..8 << 20,
            },
            trace: wgpu::Trace::Off,
        };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))
            .map_err(|e| Error::Device(format!("{} cannot be opened: {e}", summary.name)))?;
        let reports = Arc::new(Reports::default());
        let to = Arc::clone(&reports);
        device.set_device_lost_callback(move |reason, message| {
            // Destroying the device ourselves at the end is no loss; a test's destruction is noted before.
            if reason != wgpu::DeviceLostReason::Destroyed {
                note(&to.lost, message);
            }
        });
        let to = Arc::clone(&reports);
        device.on_uncaptured_error(Arc::new(move |e: wgpu::Error| note(&to.stray, e)));
        let budget = if summary.kind == AdapterKind::Discrete {
            2 << 30
        } else {
            1 << 30
        };
        let tuning = Tuning::of(summary.kind);
        Ok(Gpu {
            device,
            queue,
            limits,
            summary,
            faults: Faults::default(),
            pools: Pools::default(),
            reports,
            pipelines: Mutex::default(),
            rewrite: Mutex::default(),
            allocated: Arc::default(),
            staging: Arc::default(),
            budget: AtomicU64::new(budget),
            timing: AtomicBool::new(false),
            tuning: Mutex::new(tuning),
        })
    }

    /// Device memory in bytes that storage buffers may take together: 2 GiB on discrete GPUs and 1 GiB elsewhere, or what
    /// [`Gpu::set_budget`] said.
    pub fn budget(&self) -> u64 {
        self.budget.load(Ordering::Relaxed)
    }
    /// Sets the ceiling of device memory.
    pub fn set_budget(&self, bytes: u64) {
        self.budget.store(bytes, Ordering::Relaxed);
    }
    /// Forms of kernels that suit this device. Results do not depend on it.
    pub fn tuning(&self) -> Tuning {
        *self.tuning.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Sets what stages made from now on use, within what the device was opened with.
    pub fn set_tuning(&self, tuning: Tuning) {
        let mut tuning = tuning.within(&self.summary);
        tuning.workgroup_words = tuning
            .workgroup_words
            .min(self.limits.max_compute_workgroup_storage_size as usize / 4);
        *self.tuning.lock().unwrap_or_else(PoisonError::into_inner) = tuning;
    }
    /// Bytes that a kernel should take for the outputs of one dispatch: small beside the blocks of frames.
    pub(crate) fn output_bytes(&self) -> u64 {
        (self.budget() / 64).min(32 << 20)
    }
    /// Bytes of all live buffers from [`Gpu::buffer`].
    pub fn allocated(&self) -> u64 {
        self.allocated.load(Ordering::Relaxed)
    }
    /// Bytes of host-visible buffers for upload, parameters and read-back; they lie in host memory and do not count
    /// towards the budget.
    pub fn staging(&self) -> u64 {
        self.staging.load(Ordering::Relaxed)
    }
    /// Largest storage buffer, in bytes.
    pub fn max_binding(&self) -> u64 {
        self.limits.max_storage_buffer_binding_size.min(self.limits.max_buffer_size)
    }

    /// True when the device can time dispatches.
    pub fn has_timestamps(&self) -> bool {
        self.device.features().contains(wgpu::Features::TIMESTAMP_QUERY)
    }
    /// Times every dispatch of recordings begun from now on, where supported; see [`super::Submission::times`].
    pub fn set_timing(&self, on: bool) {
        self.timing.store(on && self.has_timestamps(), Ordering::Relaxed);
    }
    pub(super) fn timing(&self) -> bool {
        self.timing.load(Ordering::Relaxed)
    }

    /// Fails once the device was lost or an error came that nobody waited for.
    ///
    /// # Errors
    /// [`Error::DeviceLost`] for ever after a loss; [`Error::DeviceMemory`] or [`Error::Device`] once per stray error.
    pub fn check(&self) -> Result<()> {
        if let Some(message) = self.reports.lost.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            return Err(Error::DeviceLost(message.clone()));
        }
        match self.reports.stray.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(e) => Err(translate("device", e)),
            None => Ok(()),
        }
    }

    /// Runs `f` and turns what the device complains about meanwhile into an error that begins with `what`.
    pub(super) fn scoped<T>(&self, what: &str, f: impl FnOnce() -> T) -> Result<T> {
        self.check()?;
        let internal = self.device.push_error_scope(wgpu::ErrorFilter::Internal);
        let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let value = f();
        let errors = [
            pollster::block_on(validation.pop()),
            pollster::block_on(memory.pop()),
            pollster::block_on(internal.pop()),
        ];
        // A lost device makes other errors meaningless.
        self.check()?;
        match errors.into_iter().flatten().next() {
            Some(e) => Err(translate(what, e)),
            None => Ok(value),
        }
    }

    /// The loss of the device if that is the reason for `e`, else [`Error::Device`].
    pub(super) fn complaint(&self, what: &str, e: &dyn std::fmt::Display) -> Error {
        self.check()
            .err()
            .unwrap_or_else(|| Error::Device(format!("{what}: {}", one_line(&e.to_string()))))
    }

    /// Carries out a fault that a test ordered at `point`.
    pub(super) fn pass(&self, point: FaultPoint) -> Result<()> {
        match self.faults.pass(point) {
            None => Ok(()),
            Some(Fault::OutOfMemory) => Err(Error::DeviceMemory("ordered by a test".into())),
            Some(Fault::Refused) => Err(match point {
                FaultPoint::Pipeline => Error::Kernel("ordered by a test".into()),
                _ => Error::Device("ordered by a test".into()),
            }),
            Some(Fault::Lost) => {
                note(&self.reports.lost, "ordered by a test".into());
                self.device.destroy();
                self.check()
            }
        }
    }

    /// A zeroed storage buffer that can be copied from and to.
    ///
    /// # Errors
    /// [`Error::DeviceMemory`] when the device has no room or the budget is spent, [`Error::TooLargeForDevice`] above the
    /// binding limit.
    pub fn buffer(&self, label: &str, bytes: u64) -> Result<Buffer> {
        let size = padded(bytes);
        if size > self.max_binding() {
            return Err(Error::TooLargeForDevice(format!(
                "{label}: {size} bytes, this device's buffers end at {}",
                self.max_binding()
            )));
        }
        if self.allocated() + size > self.budget() {
            let (used, budget) = (self.allocated(), self.budget());
            return Err(Error::DeviceMemory(format!(
                "{label}: {size} bytes more than the {used} in use exceed the ceiling of {budget}"
            )));
        }
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        self.create(label, size, usage, &self.allocated)
    }

    /// A storage buffer that holds `data`.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub fn buffer_with(&self, label: &str, data: &[u8]) -> Result<Buffer> {
        let buffer = self.buffer(label, data.len() as u64)?;
        let whole = data.len() / 4 * 4;
        self.scoped(label, || {
            self.queue.write_buffer(&buffer, 0, &data[..whole]);
            if whole < data.len() {
                let mut last = [0; 4];
                last[..data.len() - whole].copy_from_slice(&data[whole..]);
                self.queue.write_buffer(&buffer, whole as u64, &last);
            }
        })?;
        Ok(buffer)
    }

    /// A host-visible buffer for parameters, upload or read-back.
    pub(super) fn staging_buffer(&self, label: &str, bytes: u64, usage: wgpu::BufferUsages) -> Result<Buffer> {
        self.create(label, padded(bytes), usage, &self.staging)
    }

    fn create(&self, label: &str, size: u64, usage: wgpu::BufferUsages, counter: &Arc<AtomicU64>) -> Result<Buffer> {
        self.pass(FaultPoint::Buffer)?;
        if size > self.limits.max_buffer_size {
            return Err(Error::Device(format!(
                "{label}: {size} bytes, this device's buffers end at {}",
                self.limits.max_buffer_size
            )));
        }
        let descriptor = wgpu::BufferDescriptor {
            label: Some(label),
            size,
            usage,
            mapped_at_creation: false,
        };
        let raw = self.scoped(&format!("buffer {label} of {size} bytes"), || {
            self.device.create_buffer(&descriptor)
        })?;
        Ok(Buffer::new(raw, counter))
    }

    /// Waits for a submission, or only looks when `None`, and runs what callbacks are due.
    pub(super) fn poll(&self, wait: Option<&wgpu::SubmissionIndex>) -> Result<()> {
        let poll = match wait {
            Some(index) => wgpu::PollType::Wait {
                submission_index: Some(index.clone()),
                timeout: Some(PATIENCE),
            },
            None => wgpu::PollType::Poll,
        };
        // wgpu panics in here when the device is lost while it waits.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.device.poll(poll)));
        self.check()?;
        match outcome {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(e)) => Err(Error::Device(format!("no answer: {e}"))),
            Err(_) => {
                note(&self.reports.lost, "the driver failed while waiting for it".into());
                self.check()
            }
        }
    }
}

/// Keeps the first report.
fn note<T>(slot: &Mutex<Option<T>>, value: T) {
    slot.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(value);
}

/// The adapter's limits, bindings below 2³¹, forced down to `cap` where that is lower.
fn wanted_limits(mut l: wgpu::Limits, cap: Option<&wgpu::Limits>) -> wgpu::Limits {
    l.max_storage_buffer_binding_size = l.max_storage_buffer_binding_size.min(i32::MAX as u64 & !3);
    if let Some(c) = cap {
        l.max_storage_buffer_binding_size = l.max_storage_buffer_binding_size.min(c.max_storage_buffer_binding_size);
        l.max_buffer_size = l.max_buffer_size.min(c.max_buffer_size);
        l.max_storage_buffers_per_shader_stage = l
            .max_storage_buffers_per_shader_stage
            .min(c.max_storage_buffers_per_shader_stage);
        l.max_compute_workgroup_storage_size = l.max_compute_workgroup_storage_size.min(c.max_compute_workgroup_storage_size);
        l.max_compute_invocations_per_workgroup = l
            .max_compute_invocations_per_workgroup
            .min(c.max_compute_invocations_per_workgroup);
        l.max_compute_workgroup_size_x = l.max_compute_workgroup_size_x.min(c.max_compute_workgroup_size_x);
        l.max_compute_workgroup_size_y = l.max_compute_workgroup_size_y.min(c.max_compute_workgroup_size_y);
        l.max_compute_workgroups_per_dimension = l
            .max_compute_workgroups_per_dimension
            .min(c.max_compute_workgroups_per_dimension);
        l.min_uniform_buffer_offset_alignment = l
            .min_uniform_buffer_offset_alignment
            .max(c.min_uniform_buffer_offset_alignment);
        l.min_storage_buffer_offset_alignment = l
            .min_storage_buffer_offset_alignment
            .max(c.min_storage_buffer_offset_alignment);
    }
    l
}

fn translate(what: &str, e: wgpu::Error) -> Error {
    match e {
        wgpu::Error::OutOfMemory { .. } => Error::DeviceMemory(what.to_owned()),
        wgpu::Error::Validation { description, .. } | wgpu::Error::Internal { description, .. } => {
            Error::Device(format!("{what}: {}", one_line(&description)))
        }
    }
}

/// Our errors are one line; the driver's are trees.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
