//! Patterns without discrete spots: azimuthal means about the direct beam.

use super::beam;
use super::features::{Features, Run, scale, top};
use super::params::{BeamMask, Params, Reduce};
use super::signals::Signal;
use crate::analysis::Recipe;
use crate::engine::{Pass, Resident, Selection};
use crate::error::{Error, Result};
use crate::kernels::masks::MaskStack;
use crate::kernels::rebin::{self, Scale};
use crate::kernels::statistics;
use crate::ops::{MaskProducts, Rebinned, Statistics};
use crate::workflows::Timings;
use ndarray::{Array2, Axis};

/// Features of one signal.
pub(super) fn extract(
    signal: &Signal,
    selection: &Selection,
    run: &Run<'_>,
    resident: &Resident,
    timings: &mut Timings,
) -> Result<Features> {
    let params = run.params;
    let scan = &*signal.scan;
    let rebin = rebin::Params::sums(params.rebin);
    let (h, w) = rebin.binned(scan.info().frame)?;
    let control = super::features::budget(run);
    let title = format!("mean of {}", signal.name);
    let mut pass = Pass::new(&title, scan, selection);
    let moments = pass.add(Rebinned::new(
        Statistics(statistics::Params {
            squares: false,
            extrema: false,
        }),
        rebin.clone(),
    ));
    let mut done = timings.pass(&title, scan, selection, || pass.run(run.backend, resident, &control))?;
    let mean = Array2::from_shape_vec((h, w), done.take(moments)?.mean()).map_err(|e| Error::Internal(format!("mean: {e}")))?;
    let beam = match params.beam_mask {
        BeamMask::None => None,
        BeamMask::Disk(disk) => Some(disk),
        BeamMask::Auto => beam::find(&mean),
    };
    let rings = Rings::new(h, w, beam, params)?;
    let title = format!("features of {}", signal.name);
    let mut pass = Pass::new(&title, scan, selection);
    let products = pass.add(Rebinned::new(MaskProducts::owned(rings.stack()), rebin));
    let mut done = timings.pass(&title, scan, selection, || pass.run(run.backend, resident, &control))?;
    let mut values = Array2::from_shape_vec((selection.len() as usize, rings.count()), done.take(products)?)
        .map_err(|e| Error::Internal(format!("features: {e}")))?;
    let (mean, std) = columns(&values);
    let mask = match params.recipe {
        Recipe::Default => std.mapv(|s| s > 0.0),
        Recipe::Published => top(&std, 1.0, params.recipe),
    };
    if !mask.iter().any(|m| *m) {
        let what = format!("no ring of '{}' varies over the scan", signal.name);
        return Err(Error::parameter(signal.path.display().to_string(), what));
    }
    let keep: Vec<usize> = mask.iter().enumerate().filter(|(_, m)| **m).map(|(i, _)| i).collect();
    values = values.select(Axis(1), &keep);
    // Means over rings are far from single counts; their totals are what Poisson's law holds for.
    let totals: Vec<f32> = keep.iter().map(|&k| rings.members[k].len() as f32).collect();
    let scale = scale(signal.kind, params.recipe);
    for mut row in values.rows_mut() {
        for (v, total) in row.iter_mut().zip(&totals) {
            let x = v.max(0.0);
            *v = match scale {
                Scale::Root => ((x * total).sqrt() + (x * total + 1.0).sqrt()) / total.sqrt(),
                Scale::Log1p => x.ln_1p(),
                Scale::Log if x > 0.0 => x.ln(),
                Scale::Log => 0.0,
                Scale::Linear => x,
            };
        }
    }
    Ok(Features {
        name: signal.name.clone(),
        kind: signal.kind,
        mean,
        std,
        mask,
        beam,
        values,
    })
}

/// Mean and population standard deviation of every column, as one row.
fn columns(values: &Array2<f32>) -> (Array2<f64>, Array2<f64>) {
    let (n, m) = values.dim();
    let mut mean = Array2::zeros((1, m));
    let mut std = Array2::zeros((1, m));
    for (k, column) in values.columns().into_iter().enumerate() {
        let average = column.iter().map(|v| f64::from(*v)).sum::<f64>() / n as f64;
        let variance = column.iter().map(|v| (f64::from(*v) - average).powi(2)).sum::<f64>() / n as f64;
        mean[[0, k]] = average;
        std[[0, k]] = variance.sqrt();
    }
    (mean, std)
}

/// Pixels of each ring about the direct beam.
struct Rings {
    members: Vec<Vec<usize>>,
}

impl Rings {
    /// Rings of one pixel, or of equal width, from the edge of the beam's mask to the nearest edge of the pattern.
    fn new(h: usize, w: usize, beam: Option<[f64; 3]>, params: &Params) -> Result<Rings> {
        let [cy, cx, inner] = beam.unwrap_or([(h as f64 - 1.0) / 2.0, (w as f64 - 1.0) / 2.0, -1.0]);
        let outer = cy.min(cx).min(h as f64 - 1.0 - cy).min(w as f64 - 1.0 - cx);
        let first = inner.max(-1.0);
        let (width, count) = match params.reduce {
            Reduce::Annular => ((outer - first) / params.rings as f64, params.rings),
            _ => (1.0, (outer - first).floor().max(0.0) as usize),
        };
        if count == 0 || width <= 0.0 {
            return Err(Error::parameter(
                "--reduce",
                "there is no ring between the beam mask and the edge of the pattern",
            ));
        }
        let mut members = vec![Vec::new(); count];
        for y in 0..h {
            for x in 0..w {
                let r = (y as f64 - cy).hypot(x as f64 - cx);
                if r > first && r <= outer {
                    let ring = ((r - first) / width).ceil() as usize;
                    if let Some(list) = members.get_mut(ring.saturating_sub(1)) {
                        list.push(y * w + x);
                    }
                }
            }
        }
        members.retain(|m| !m.is_empty());
        Ok(Rings { members })
    }

    fn count(&self) -> usize {
        self.members.len()
    }

    /// Masks that average over each ring.
    fn stack(&self) -> MaskStack {
        let mut indptr = vec![0];
        let (mut indices, mut values) = (Vec::new(), Vec::new());
        for ring in &self.members {
            indices.extend(ring.iter().map(|&p| p as u32));
            values.extend(std::iter::repeat_n(1.0 / ring.len() as f32, ring.len()));
            indptr.push(indices.len() as u32);
        }
        MaskStack::Csr { indptr, indices, values }
    }
}
