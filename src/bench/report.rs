//! What a run found: the schema of `--json`, which `docs/performance.md` explains.

use super::Options;
use super::limits::Limit;
use super::limits::cpu::CpuLimits;
use super::limits::gpu::GpuLimits;
use super::machine::{Machine, now};
use super::timing::Spread;
use crate::backend::stage::Work;
use crate::control::Control;
use crate::engine::Backend;
use crate::error::{Error, Result};
use crate::pixel::FrameShape;
use serde::Serialize;

/// Where a row belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// A kernel on frames in memory.
    Kernel,
    /// A step of an analysis on the host.
    Host,
    /// A pass over a file.
    Pass,
    /// A step of a workflow.
    Workflow,
}

impl Group {
    /// All of them, in the order of the table.
    pub const ALL: [Group; 4] = [Group::Kernel, Group::Host, Group::Pass, Group::Workflow];
    /// As in `--only` and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Group::Kernel => "kernel",
            Group::Host => "host",
            Group::Pass => "pass",
            Group::Workflow => "workflow",
        }
    }
}

/// Work on one item, from the kernel's own account.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct WorkOfItem {
    pub bytes_read: u64,
    pub bytes_written: u64,
    pub operations: u64,
}

impl From<Work> for WorkOfItem {
    fn from(w: Work) -> Self {
        WorkOfItem {
            bytes_read: w.read,
            bytes_written: w.written,
            operations: w.operations,
        }
    }
}

/// One measurement.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    pub group: Group,
    pub name: String,
    /// Frames, e.g. `256x256 u16`.
    pub frame: Option<String>,
    /// `cpu` or `gpu`.
    pub backend: &'static str,
    /// Threads on the CPU.
    pub threads: Option<usize>,
    /// What `items` counts.
    pub unit: &'static str,
    /// Items of one run.
    pub items: u64,
    #[serde(flatten)]
    pub spread: Spread,
    /// `None` for steps that do not go through items.
    pub items_per_s: Option<f64>,
    /// 10⁹ bytes of pixels per second.
    #[serde(rename = "GB_per_s")]
    pub gb_per_s: Option<f64>,
    /// 10⁹ operations per second.
    #[serde(rename = "Gop_per_s")]
    pub gop_per_s: Option<f64>,
    pub work: Option<WorkOfItem>,
    /// The limit that binds.
    pub bound: Option<&'static str>,
    /// The time that this limit alone would take, divided by the median.
    pub share_of_limit: Option<f64>,
    /// Rate on the GPU divided by the rate on the CPU with all threads.
    pub ratio_to_cpu: Option<f64>,
    /// What limits it on one core.
    pub note: String,
}

/// File reading by the frames of the file.
#[derive(Debug, Clone, Serialize)]
pub struct FileRead {
    pub frame: String,
    #[serde(flatten)]
    pub limit: Limit,
}

/// All limits of a run.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Limits {
    /// One thread, then all.
    pub cpu: Vec<CpuLimits>,
    /// Multiply-adds of one thread with narrower instruction sets.
    pub other_instruction_sets: Vec<Limit>,
    pub gpu: Option<GpuLimits>,
    /// From the page cache, as a rule.
    pub file_read: Vec<FileRead>,
}

/// Everything that a run found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Version of the program.
    pub emstream: &'static str,
    pub date: String,
    pub command: String,
    pub machine: Machine,
    /// The GPU, if there is one in this run.
    pub adapter: Option<crate::backend::gpu::AdapterSummary>,
    pub threads: usize,
    /// The user's scan, if it was one.
    pub scan: Option<String>,
    pub limits: Limits,
    pub rows: Vec<Row>,
}

impl Report {
    pub(super) fn new(options: &Options, backend: &Backend, control: &Control) -> Report {
        Report {
            emstream: env!("CARGO_PKG_VERSION"),
            date: now(),
            command: options.command.clone(),
            machine: Machine::here(),
            adapter: match backend {
                Backend::Cpu => None,
                Backend::Gpu(device) => Some(device.current().summary.clone()),
            },
            threads: control.threads,
            scan: options.scan.as_ref().map(|s| s.info().path.display().to_string()),
            limits: Limits::default(),
            rows: Vec::new(),
        }
    }

    /// The report as JSON text.
    ///
    /// # Errors
    /// [`Error::Internal`] if it has no such form.
    pub fn to_json(&self) -> Result<String> {
        let text = serde_json::to_string_pretty(self);
        text.map(|t| t + "\n")
            .map_err(|e| Error::Internal(format!("report as JSON: {e}")))
    }
}

/// `256x256 u16`
pub fn frame_name(shape: FrameShape) -> String {
    format!("{}x{} {}", shape.height, shape.width, shape.pixel)
}
