//! Mean patterns and spectra of the phases.

use super::features::{self, Run};
use super::{Found, Signal};
use crate::analysis::Recipe;
use crate::engine::{Pass, Resident, Selection};
use crate::error::Result;
use crate::kernels::statistics;
use crate::ops::Statistics;
use crate::workflows::{Timings, frame_array, statistic};
use ndarray::Array2;

/// Frames of one phase.
pub struct Mean {
    /// (h, w); NaN without frames.
    pub mean: Array2<f64>,
    /// Population standard deviation.
    pub std: Array2<f64>,
    /// Frames that count.
    pub frames: usize,
}

/// One pass over the frames of each phase and signal. In the published recipe only positions of membership 1 count.
pub(super) fn phase_means(
    signals: &[Signal],
    selections: &[Selection],
    found: &Found,
    run: &Run<'_>,
    timings: &mut Timings,
) -> Result<(Vec<Vec<Mean>>, Vec<usize>)> {
    let clusters = found.clustering.len();
    let mut sizes = vec![0; clusters];
    found.soft.iter().filter(|&&l| l >= 0).for_each(|&l| sizes[l as usize] += 1);
    let counts = |i: usize, c: usize| {
        let strict = run.params.recipe == Recipe::Published;
        found.soft[i] == c as i32 && (!strict || found.memberships.values[[i, c]] == 1.0)
    };
    let control = features::budget(run);
    let mut means = Vec::with_capacity(clusters);
    for c in 0..clusters {
        let mut of_phase = Vec::with_capacity(signals.len());
        for (signal, selection) in signals.iter().zip(selections) {
            let scan = &*signal.scan;
            let frame = scan.info().frame;
            let chosen: Vec<bool> = (0..found.soft.len()).map(|i| counts(i, c)).collect();
            let frames = chosen.iter().filter(|c| **c).count();
            if frames == 0 {
                let nothing = Array2::from_elem((frame.height, frame.width), f64::NAN);
                of_phase.push(Mean {
                    mean: nothing.clone(),
                    std: nothing,
                    frames,
                });
                continue;
            }
            let mask = selection.scatter(&chosen, false);
            let of_label = Selection::from_mask(selection.nav(), mask.view())?;
            let title = format!("mean of phase {c}, {}", signal.name);
            let mut pass = Pass::new(&title, scan, &of_label);
            let moments = pass.add(Statistics(statistics::Params {
                squares: true,
                extrema: false,
            }));
            let resident = Resident::none();
            let mut done = timings.pass(&title, scan, &of_label, || pass.run(run.backend, &resident, &control))?;
            let moments = done.take(moments)?;
            let map = |name| frame_array(frame, statistic(&moments, name));
            of_phase.push(Mean {
                mean: map("mean")?,
                std: map("std")?,
                frames,
            });
        }
        means.push(of_phase);
    }
    Ok((means, sizes))
}
