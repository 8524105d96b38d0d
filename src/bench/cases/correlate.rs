//! Refinement of expected peaks in every frame.

use super::super::case::{Case, OnFrames};
use super::super::data::Data;
use super::Cases;
use crate::analysis::template::Template;
use crate::error::Result;
use crate::kernels::correlate::{Method, Params, Plan, Recipe, joint};
use crate::ops::{Correlate, JointFit};
use crate::pixel::{FrameShape, LEAF};
use std::sync::Arc;

/// Peaks of a frame, as in a 5 × 5 lattice.
const PEAKS: usize = 25;

/// The forms of the correlation, with crops of 8 × 8 pixels for small disks and 44 × 44 for large ones, and the joint fit.
pub fn cases(data: &Arc<Data>) -> Cases {
    let small = (1.5, 4.0);
    let mut all = Vec::new();
    for (name, (radius, outer), method, upsample, note) in [
        (
            "fast 8×8",
            small,
            Method::Fast,
            None,
            "Direct sums: one multiply-add for each load of a lane.",
        ),
        (
            "fast 44×44",
            (11.0, 22.0),
            Method::Fast,
            None,
            "Transforms of 44 points, half of whose instructions load and store between the passes.",
        ),
        (
            "full",
            small,
            Method::Full,
            None,
            "Transforms of whole frames, which leave the second-level cache between rows and columns.",
        ),
        (
            "sparse",
            small,
            Method::Sparse { steps: 3 },
            None,
            "The frame's minimum and the logarithm of crops larger than the window; then direct sums.",
        ),
        (
            "fast 8×8, upsampled 20×",
            small,
            Method::Fast,
            Some(20),
            "The trigonometric interpolation, peak by peak, whose sums are shorter than a vector.",
        ),
    ] {
        let template = Template::named("background", radius, Some(outer))?;
        if 2 * template.crop() > data.shape.height.min(data.shape.width) {
            continue;
        }
        let make = move |shape: FrameShape, frames| params(&template, shape, frames, method, upsample);
        let work = Plan::new(data.shape, make(data.shape, 1)?)?.work(PEAKS);
        let make = move |shape, frames| Correlate::new(shape, make(shape, frames)?);
        all.push(OnFrames::new(format!("{PEAKS} peaks {name}"), note, work, data, make).boxed());
    }
    all.extend(joint_fit(data));
    Ok(all)
}

fn params(template: &Template, shape: FrameShape, frames: u64, method: Method, upsample: Option<u32>) -> Result<Params> {
    let crop = template.crop();
    let place = |k: usize, n: usize| n as f64 * (0.5 + 0.13 * (k as f64 - 2.0));
    let positions = (0..PEAKS).map(|i| [place(i / 5, shape.height), place(i % 5, shape.width)]);
    Ok(Params {
        method,
        recipe: Recipe::Default,
        template: match method {
            Method::Fast => template.window(2 * crop, 2 * crop),
            Method::Full => template.window(shape.height, shape.width),
            Method::Sparse { .. } => template.window(2 * crop + 1, 2 * crop + 1),
        },
        crop,
        labels: vec![0; frames as usize].into(),
        positions: vec![positions.collect()].into(),
        upsample,
    })
}

/// Fits of zero, a and b, where the frames' lattices are known to start from.
fn joint_fit(data: &Arc<Data>) -> Option<Box<dyn Case>> {
    let lattices = data.lattices.clone()?;
    let scale = (data.shape.height.min(data.shape.width) as f64 / 144.0).max(0.5);
    let settings = joint::Settings {
        shape: joint::Shape::disk(1.7 * scale),
        free_shape: false,
    };
    let most = 2;
    let work = joint::work(data.shape, &settings, lattices.first()?, most);
    let make = move |_, frames: u64| {
        let start = |n: u64| lattices.get((n % LEAF) as usize).copied();
        Ok(JointFit(joint::Params {
            settings,
            starts: (0..frames).map(start).collect(),
            indices: joint::Range::symmetric(most),
            masked: Arc::default(),
            pedestal: 0.0,
        }))
    };
    let note = "Two divisions and a square root for each pixel of the disks; sixteen spots side by side, so few spots leave lanes empty.";
    Some(OnFrames::new("joint fit", note, work, data, make).in_memory_only().boxed())
}
