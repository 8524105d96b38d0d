//! `bench`: every kernel and workflow step on the CPU and on a GPU, as a share of what the same run measured of the machine.
//!
//! One harness serves the program (`emstream bench`) and `scripts/bench`. Three groups of rows:
//!
//! - *kernels* on frames that lie in host memory (CPU) or device memory (GPU), from stage to parts, without reading and merging;
//! - *passes* over a file, with reading, upload and merging;
//! - *workflows*: the steps of `strain` (which contain those of `cluster`) on a simulated scan.
//!
//! What is timed is registered in [`cases`]; what a kernel does to a frame ([`Work`](crate::backend::stage::Work)) it states itself. The share of the limit compares
//! the time measured with the longest of the times that memory, bus, file or arithmetic would take alone, at the rates of [`limits`].

mod case;
pub mod cases;
mod data;
mod figure;
pub mod growth;
pub mod limits;
mod machine;
mod measured;
pub mod report;
mod run;
mod table;
mod timing;
mod workflow;

pub use figure::roofline;
pub use machine::Machine;
pub use report::{Group, Report, Row};
pub use table::{HEAD, limit, line, text};
pub use timing::Spread;

use self::limits::Limit;
use self::run::Run;
use self::timing::Effort;
use crate::control::Control;
use crate::engine::Backend;
use crate::error::{Error, Result};
use crate::io::Scan;
use crate::pixel::{FrameShape, Pixel};

/// What is measured, and for how long.
pub struct Options {
    /// One frame size and short runs.
    pub quick: bool,
    /// Frames of this scan instead of simulated ones; the workflows are left out then.
    pub scan: Option<Box<dyn Scan>>,
    /// Only cases whose name or group contains one of these; all if there are none.
    pub only: Vec<String>,
    /// Exactly so many runs of each case, after one to warm up.
    pub repeat: Option<usize>,
    /// About how long everything together may take.
    pub seconds: Option<f64>,
    /// How the program was called, for the report.
    pub command: String,
}

impl Options {
    fn wants(&self, group: Group, name: &str) -> bool {
        let contains = |o: &String| name.contains(o.as_str()) || group.name() == o;
        self.only.is_empty() || self.only.iter().any(contains)
    }
}

/// Seconds of a quick and of a full run.
const QUICK: f64 = 14.0;
const FULL: f64 = 240.0;
/// Edges of the frames of a quick and of a full run.
const QUICK_EDGES: [usize; 1] = [256];
const EDGES: [usize; 3] = [128, 256, 512];

/// The simulated frames that passes are measured with; more would tell little more.
const PASSES: FrameShape = FrameShape {
    pixel: Pixel::U16,
    height: 256,
    width: 256,
};

/// Measures limits, then kernels, passes and workflows; `progress` sees every limit and row as it is known.
///
/// # Errors
/// What kernels, the device or the scan report; [`Error::Parameter`] if `only` fits nothing; [`Error::Cancelled`].
pub fn run(options: &Options, backend: &Backend, control: &Control, progress: &mut dyn FnMut(Event<'_>)) -> Result<Report> {
    let gpu = match backend {
        Backend::Cpu => None,
        Backend::Gpu(device) => Some(device.current()),
    };
    let mut run = Run {
        options,
        backend,
        control,
        gpu: gpu.as_ref(),
        effort: options.effort(gpu.is_some()),
        report: Report::new(options, backend, control),
        names: workflow::STEPS.map(String::from).into(),
        progress,
    };
    run.limits()?;
    run.kernels()?;
    run.host()?;
    if options.scan.is_none() {
        run.workflows()?;
    }
    if run.report.rows.is_empty() {
        let what = format!(
            "'{}' is none of the groups kernel, host, pass, workflow and part of none of the names {}",
            options.only.join(","),
            run.names.into_iter().collect::<Vec<_>>().join(", ")
        );
        return Err(Error::parameter("--only", what));
    }
    Ok(run.report)
}

impl Options {
    /// The time of one measurement: equal shares of the whole, half of which goes into preparations.
    fn effort(&self, gpu: bool) -> Effort {
        let whole = self.seconds.unwrap_or(if self.quick { QUICK } else { FULL });
        let shapes = self.shapes().len();
        // Some twenty cases a shape, on one core, on all, on the GPU, and for one shape as passes.
        let measurements = 20.0 * (shapes as f64 + 0.5) * if gpu { 3.0 } else { 2.0 };
        Effort {
            seconds: (whole / 2.0 / measurements).clamp(0.005, 2.0),
            repeat: self.repeat,
        }
    }

    /// The frames that kernels are measured with.
    fn shapes(&self) -> Vec<FrameShape> {
        if let Some(scan) = &self.scan {
            return vec![scan.info().frame];
        }
        let edges: &[usize] = if self.quick { &QUICK_EDGES } else { &EDGES };
        let of = |&edge: &usize| {
            [Pixel::U8, Pixel::U16, Pixel::F32].map(|pixel| FrameShape {
                pixel,
                height: edge,
                width: edge,
            })
        };
        edges.iter().flat_map(of).collect()
    }
}

/// What a run has just found out.
pub enum Event<'a> {
    Limit(&'a Limit, usize),
    Row(&'a Row),
}
