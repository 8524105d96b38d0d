//! `ebsd process`: every pattern through one chain of steps, streamed from file to file.

mod params;

pub use params::{Dtype, DynamicArg, Method, Params, StaticArg};

use super::convert::bin_geometry;
use super::output::{Stack, middle, timed};
use super::stages::{self, Stages};
use crate::analysis::binning::bin_mean;
use crate::control::Control;
use crate::engine::{Backend, FrameSink, Pass, Resident, Selection};
use crate::error::Result;
use crate::io::ebsd::{PatternMap, Store};
use crate::kernels::pattern::Plan;
use crate::kernels::statistics;
use crate::ops::{PatternChain, Statistics};
use crate::pixel::FrameShape;
use crate::report::html::Report;
use crate::workflows::{Timings, frame_array, provenance, read_frame};
use ndarray::Array2;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The static background that the parameters ask for, if any; `read` opens a file that they name.
///
/// # Errors
/// Whatever reading reports.
pub fn background(
    map: &PatternMap,
    selection: &Selection,
    params: &Params,
    read: impl Fn(&Path) -> Result<Array2<f64>>,
    backend: &Backend,
    control: &Control,
) -> Result<Option<Array2<f64>>> {
    match params.background.as_deref() {
        _ if params.static_background == StaticArg::None => Ok(None),
        None => Ok(map.static_background.clone()),
        Some("mean") => mean_pattern(map, selection, backend, control).map(Some),
        Some(file) => read(Path::new(file)).map(Some),
    }
}

/// The mean of all patterns.
///
/// # Errors
/// Whatever reading or the device reports.
pub fn mean_pattern(map: &PatternMap, selection: &Selection, backend: &Backend, control: &Control) -> Result<Array2<f64>> {
    let mut pass = Pass::new("mean pattern", &*map.scan, selection);
    let handle = pass.add(Statistics(statistics::Params {
        squares: false,
        extrema: false,
    }));
    let mean = pass.run(backend, &Resident::none(), control)?.take(handle)?.mean();
    frame_array(map.scan.info().frame, mean)
}

/// What a run did.
pub struct Done {
    pub patterns: u64,
    /// Pixels filled because they or their background were not usable, and those of them that the static background marks in every pattern.
    pub filled: u64,
    pub bad_background: usize,
    /// Rows and columns of the raw pattern that binning left out at the bottom and right.
    pub cropped: [usize; 2],
    pub report: PathBuf,
}

/// What to process and how.
pub struct Job<'a> {
    pub map: &'a PatternMap,
    pub selection: &'a Selection,
    pub params: &'a Params,
    pub background: Option<&'a Array2<f64>>,
    /// All parameters as TOML.
    pub effective: String,
}

impl Job<'_> {
    fn plan(&self) -> Result<(Arc<Plan>, Vec<&'static str>)> {
        let frame = self.map.scan.info().frame;
        let (chain, names) = self.params.chain(frame.pixel, self.background)?;
        Ok((Plan::new(frame, &chain)?, names))
    }

    /// Every stage of the pattern at (row, column).
    ///
    /// # Errors
    /// [`Error::Parameter`](crate::error::Error::Parameter) for a point without a pattern.
    pub fn stages(&self, at: [usize; 2], control: &Control) -> Result<Stages> {
        let number = super::point(self.map, at, "--at")?;
        let raw = read_frame(&*self.map.scan, number, control)?;
        let (plan, names) = self.plan()?;
        stages::collect(raw, &plan, &names, self.params, self.background)
    }

    /// A new store with the processed patterns, or the patterns put beside the raw ones in an existing `store`.
    ///
    /// # Errors
    /// Whatever reading, the device or the disk reports; an existing file keeps what it had.
    pub fn run(
        &self,
        store: Option<Store>,
        output: &Path,
        overwrite: bool,
        backend: &Backend,
        control: &Control,
    ) -> Result<Done> {
        let (plan, _) = self.plan()?;
        let (map, frame) = (self.map, plan.output());
        let binned = self.background.map(|b| match b.dim() == plan.size() {
            true => b.clone(),
            false => bin_mean(b.view(), self.params.bin),
        });
        let raw = map.scan.info().frame;
        let mut geometry = map.geometry.clone();
        bin_geometry(&mut geometry, [raw.height, raw.width], self.params.bin);
        let mut what = map.describe(frame);
        what.static_background = binned.as_ref();
        what.geometry = &geometry;
        let stack = Stack::begin(store, output, overwrite, "Patterns", frame, &what)?;
        let mut timings = Timings::default();
        let mut pass = Pass::new("patterns", &*map.scan, self.selection);
        let handle = pass.add(PatternChain::new(plan.clone(), Arc::new(Mutex::new(stack.sink()))));
        let mut done = timings.pass("patterns", &*map.scan, self.selection, || {
            pass.run(backend, &Resident::none(), control)
        })?;
        let filled = done.take(handle)?;
        let provenance = provenance("ebsd process", &*map.scan, backend, self.effective.clone(), &timings)?;
        let at = middle(&map.present);
        let page = stack.page(|| self.page(&timings, filled, &plan, at, control))?;
        let report = stack.finish("", "processed patterns", &provenance, &page)?;
        Ok(Done {
            patterns: self.selection.len(),
            filled,
            bad_background: plan.bad_background(),
            cropped: [raw.height % self.params.bin, raw.width % self.params.bin],
            report,
        })
    }

    fn page(&self, timings: &Timings, filled: u64, plan: &Plan, at: [usize; 2], control: &Control) -> Result<String> {
        let mut report = Report::new("Processed patterns");
        let info = self.map.scan.info();
        let FrameShape { pixel, height, width } = plan.output();
        report
            .summary("input", info.path.display())
            .summary("map", format!("{} rows × {} columns", info.nav[0], info.nav[1]))
            .summary(
                "patterns",
                format!("{} of {height} × {width} pixels, {pixel}", self.selection.len()),
            )
            .summary("filled pixels", filled);
        timed(&mut report, timings);
        if plan.bad_background() > 0 {
            report.warning(&format!(
                "{} pixels of the static background are no positive numbers; they were filled from their neighbours in every pattern.",
                plan.bad_background()
            ));
        }
        let stages = self.stages(at, control)?;
        let (images, histograms) = rayon::join(|| stages.draw(at).to_png(), || stages.histograms().to_png());
        report.section("One pattern through all steps");
        let caption = format!("Pattern at row {}, column {}.", at[0], at[1]);
        report.figure(&images?, &caption);
        report.figure(
            &histograms?,
            "Histograms of the raw pattern and of the result, each over its own range.",
        );
        report.section("Parameters").code(&self.effective);
        Ok(report.render())
    }
}

/// A sink for tests and small maps: all patterns in memory.
#[derive(Clone, Default)]
pub struct InMemory(Arc<Mutex<Vec<u8>>>);

impl InMemory {
    /// The bytes of all patterns.
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl FrameSink<u8> for InMemory {
    fn put(&mut self, _: u64, _: usize, patterns: &[u8]) -> Result<()> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(patterns);
        Ok(())
    }
    fn restart(&mut self) -> Result<()> {
        self.take();
        Ok(())
    }
}
