//! Hits of single frames while a scan is segmented: found in its statistics, left out of the feature peaks, clipped in the features.

use super::Descanned;
use crate::analysis::hits;
use crate::analysis::template::Template;
use crate::error::{Error, Result};
use crate::kernels::statistics::Part as Moments;
use ndarray::Array2;

pub(super) use crate::analysis::hits::without;

/// Pixels that one frame alone makes bright.
pub(super) fn find(moments: &Moments, std: &Array2<f64>) -> Result<Vec<[usize; 2]>> {
    let map = |values: Vec<f64>| {
        Array2::from_shape_vec(std.raw_dim(), values).map_err(|e| Error::Internal(format!("statistics of pixels: {e}")))
    };
    let (mean, max) = (map(moments.mean())?, map(moments.extrema().1)?);
    Ok(hits::hits(mean.view(), std.view(), max.view(), moments.frames()))
}

/// Clips what `hits`, of which there are some, leave in features at `peaks`; returns what the user should know.
pub(super) fn clip(
    features: &mut Array2<f32>,
    hits: &[[usize; 2]],
    peaks: &[[i32; 2]],
    template: &Template,
    descan: Option<&Descanned>,
) -> String {
    let clipped = hits::clip(features, &seen(hits, peaks, template, descan));
    let [y, x] = hits[0];
    let which = match hits.len() {
        1 => format!("pixel ({y}, {x}) is"),
        n => format!("{n} pixels, ({y}, {x}) first, are"),
    };
    format!(
        "{which} bright in one frame alone (cosmic rays?): left out of the feature peaks, and {clipped} features were clipped"
    )
}

/// How many of `hits` the template sees at each of `peaks`, in frames that descan has moved or not.
fn seen(hits: &[[usize; 2]], peaks: &[[i32; 2]], template: &Template, descan: Option<&Descanned>) -> Vec<usize> {
    let (h, w) = template.stamp().dim();
    let moved = descan.map_or([0; 2], |d| d.track.margin());
    let reach = [(h / 2 + moved[0]) as i64, (w / 2 + moved[1]) as i64];
    let near = |hit: &[usize; 2], peak: &[i32; 2]| (0..2).all(|k| (hit[k] as i64 - i64::from(peak[k])).abs() <= reach[k]);
    peaks.iter().map(|p| hits.iter().filter(|hit| near(hit, p)).count()).collect()
}
