//! One pattern through a chain, drawn step by step, so that parameters are chosen by looking.

use super::background::lowpass;
use super::output::grey;
use super::process::{DynamicArg, Params};
use crate::analysis::binning::bin_mean;
use crate::backend::cpu::isa::Isa;
use crate::error::Result;
use crate::kernels::pattern::Plan;
use crate::kernels::pattern::cpu::Worker;
use crate::report::{Figure, Limits, LinePlot, Panel, Series};
use ndarray::Array2;
use std::sync::Arc;

/// Images and their names, in the order of the chain.
pub struct Stages {
    pub images: Vec<(String, Array2<f64>)>,
}

/// Runs the chain on one raw pattern and keeps what each step leaves; the static background and the low-pass lie where they are used.
pub(super) fn collect(
    raw: Array2<f64>,
    plan: &Arc<Plan>,
    names: &[&str],
    params: &Params,
    background: Option<&Array2<f64>>,
) -> Result<Stages> {
    let (height, width) = plan.size();
    let image = |v: &[f32]| Array2::from_shape_fn((height, width), |(y, x)| f64::from(v[y * width + x]));
    let mut images: Vec<(String, Array2<f64>)> = Vec::new();
    let values: Vec<f32> = raw.iter().map(|&v| v as f32).collect();
    let floats = Plan::for_values(plan);
    let mut worker = Worker::new(Isa::active(), floats);
    worker.run_stages::<f32>(&values, |i, v| images.push((names[i].to_owned(), image(v))));
    if params.dynamic != DynamicArg::None
        && let Some(at) = names.iter().position(|&n| n == "signal")
    {
        let background = lowpass(&images[at - 1].1, params.window()?)?;
        images.insert(at, ("background".into(), background));
    }
    if let Some(b) = background {
        let b = if b.dim() == (height, width) {
            b.clone()
        } else {
            bin_mean(b.view(), params.bin)
        };
        images.insert(1, ("static".into(), b));
    }
    if let Some(last) = images.last_mut() {
        last.0 = "result".into();
    }
    Ok(Stages { images })
}

impl Stages {
    /// All images side by side in grey, each over its own range.
    pub fn draw(&self, at: [usize; 2]) -> Figure {
        let tiles = self.images.iter().map(|(name, image)| grey(image.view(), name));
        let title = format!("Pattern at row {}, column {}", at[0], at[1]);
        let mut panel = Panel::new(&title, tiles.collect());
        panel.columns = 3;
        panel.draw()
    }

    /// Histograms of all images over 128 bins of their own ranges.
    pub fn histograms(&self) -> Figure {
        const BINS: usize = 128;
        let curves: Vec<(Vec<f64>, Vec<f64>)> = self
            .images
            .iter()
            .map(|(_, image)| {
                let (low, high) = Limits::Full.resolve(image.view(), false);
                let mut counts = vec![0.0; BINS];
                for &v in image.iter().filter(|v| v.is_finite()) {
                    let bin = ((v - low) / (high - low) * BINS as f64) as usize;
                    counts[bin.min(BINS - 1)] += 1.0;
                }
                let x = (0..BINS).map(|i| (i as f64 + 0.5) / BINS as f64).collect();
                (x, counts)
            })
            .collect();
        let mut plot = LinePlot::new("Histograms", "position in the range of the image", "pixels");
        let series = self
            .images
            .iter()
            .zip(&curves)
            .map(|((name, _), (x, y))| Series { name, x, y, dots: false });
        plot.series = series.collect();
        plot.draw()
    }
}
