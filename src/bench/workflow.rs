//! The steps of the workflows on a simulated scan, from its file to the report page.

use super::report::{Group, Row, frame_name};
use super::timing::Spread;
use crate::control::Control;
use crate::engine::{Backend, Selection};
use crate::error::{Error, Result};
use crate::io::results::{OutputDir, Timing};
use crate::io::{self, OpenOptions, Scan};
use crate::simulate::{Polycrystal, Simulated};
use crate::workflows::strain::{self, Given, Params, Templates};
use crate::workflows::{Timings, cluster};

/// Steps that are always there: the names to which `--only` may refer.
pub const STEPS: [&str; 8] = [
    "statistics",
    "correlation",
    "features",
    "ward",
    "cluster log-sums",
    "lattices",
    "refinement",
    "results and figures",
];

/// A simulated scan in a temporary file.
pub struct Simulation {
    folder: tempfile::TempDir,
    scan: Box<dyn Scan>,
}

/// Times of one step.
pub struct Step {
    pub name: String,
    frame: String,
    frames: u64,
    bytes: u64,
    spread: Spread,
}

impl Step {
    /// As a row of the report.
    pub fn row(&self, backend: &'static str, threads: usize) -> Row {
        let rate = |amount: u64| (amount > 0).then(|| amount as f64 / self.spread.median_s);
        Row {
            group: Group::Workflow,
            name: self.name.clone(),
            frame: Some(self.frame.clone()),
            backend,
            threads: (backend == "cpu").then_some(threads),
            unit: "frames",
            items: self.frames,
            spread: self.spread,
            items_per_s: rate(self.frames),
            gb_per_s: rate(self.bytes).map(|r| r / 1e9),
            gop_per_s: None,
            work: None,
            bound: None,
            share_of_limit: None,
            ratio_to_cpu: None,
            note: String::new(),
        }
    }
}

impl Simulation {
    /// Writes a scan of 32 × 32 (quick) or 128 × 128 frames of 144² u8.
    ///
    /// # Errors
    /// As [`Simulated::write`].
    pub fn new(quick: bool, control: &Control) -> Result<Simulation> {
        let folder = tempfile::tempdir().map_err(|e| Error::io(std::env::temp_dir(), "cannot write", e))?;
        let edge = if quick { 32 } else { 128 };
        let simulated = Simulated::new(&Polycrystal {
            nav: [edge, edge],
            ..Polycrystal::default()
        })?;
        let path = folder.path().join("scan.npy");
        simulated.write(&path, false, control)?;
        let scan = io::open(
            &path,
            &OpenOptions {
                nav_shape: Some([edge, edge]),
                ..OpenOptions::default()
            },
            control,
        )?;
        Ok(Simulation { folder, scan })
    }

    /// Runs `strain` with its defaults once to warm up and `runs` times.
    ///
    /// # Errors
    /// As [`strain::run`] and [`strain::write`].
    pub fn strain(&self, runs: usize, backend: &Backend, control: &Control) -> Result<Vec<Step>> {
        self.once(backend, control)?;
        let mut all: Vec<(Timing, Vec<f64>)> = Vec::new();
        for _ in 0..runs.max(1) {
            for (i, step) in self.once(backend, control)?.steps.into_iter().enumerate() {
                match all.get_mut(i) {
                    Some((_, times)) => times.push(step.seconds),
                    None => {
                        let first = vec![step.seconds];
                        all.push((step, first));
                    }
                }
            }
        }
        let frame = frame_name(self.scan.info().frame);
        Ok(all
            .into_iter()
            .map(|(step, times)| Step {
                name: step.step,
                frame: frame.clone(),
                frames: step.frames,
                bytes: step.bytes,
                spread: Spread::of(times),
            })
            .collect())
    }

    fn once(&self, backend: &Backend, control: &Control) -> Result<Timings> {
        let (clustering, params) = (cluster::Params::default(), Params::default());
        let load = |path: &std::path::Path| {
            Err(Error::parameter(
                "--template",
                format!("{} is not needed here", path.display()),
            ))
        };
        let templates = Templates {
            cluster: clustering.template(load)?,
            lattice: params.template(&clustering, load)?,
        };
        let begun = std::time::Instant::now();
        let selection = Selection::all(self.scan.info().nav);
        let result = strain::run(
            &*self.scan,
            selection,
            templates,
            Given::default(),
            &clustering,
            &params,
            backend,
            control,
        )?;
        let mut timings = result.clustering.timings.clone();
        timings.time("results and figures", || {
            let dir = OutputDir::create(self.folder.path().join("out"), true)?;
            strain::write(&result, &params, &*self.scan, backend, "", dir).map(|_| ())
        })?;
        timings.steps.push(Timing {
            step: "strain, all steps".into(),
            seconds: begun.elapsed().as_secs_f64(),
            frames: self.scan.info().frames(),
            bytes: self.scan.info().frames() * self.scan.info().frame.bytes() as u64,
            ..Timing::default()
        });
        Ok(timings)
    }
}
