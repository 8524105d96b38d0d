//! Examples cut from labelled frames.

use super::params::Effective;
use crate::analysis::Recipe;
use crate::error::{Error, Result};
use crate::kernels::network::train::{Example, IGNORED};
use crate::network::Network;
use crate::rng::{Sequence, Source};
use ndarray::{Array2, s};

/// What random numbers are for.
const PURPOSE: u8 = 67;

/// What a network is trained with, and what it is tried on.
pub(super) struct Examples {
    pub train: Vec<Example>,
    pub validate: Vec<Example>,
    /// Share of each class among the labelled pixels of the patches.
    pub shares: Vec<f64>,
}

/// First rows or columns of patches along a side of `n` pixels; the last one ends at the edge, but not by the published recipe.
fn starts(n: usize, patch: usize, step: usize, recipe: Recipe) -> Vec<usize> {
    let last = n - patch;
    match recipe {
        Recipe::Published => (0..last).step_by(step).collect(),
        Recipe::Default => {
            let mut all: Vec<usize> = (0..=last).step_by(step).collect();
            if all.last() != Some(&last) {
                all.push(last);
            }
            all
        }
    }
}

fn cut(frame: &Array2<f32>, labels: &Array2<u8>, at: [usize; 2], size: [usize; 2]) -> Example {
    let window = s![at[0]..at[0] + size[0], at[1]..at[1] + size[1]];
    Example {
        image: frame.slice(window).iter().copied().collect(),
        labels: labels.slice(window).iter().copied().collect(),
        size,
    }
}

/// Patches of one frame.
struct Cut {
    train: Vec<Example>,
    validate: Vec<Example>,
}

/// Cuts patches from scaled frames with their labels. By the default recipe the columns at the right of each frame are for validation: patches may show
/// them, but their pixels do not count. The published recipe puts a share of the patches aside, which overlap the others. `network` says how many
/// classes there are and how images must be cut.
pub(super) fn examples(
    frames: &[(Array2<f32>, Array2<u8>)],
    e: &Effective,
    network: &Network,
    recipe: Recipe,
    seed: u64,
) -> Result<Examples> {
    let (mut train, mut validate) = (Vec::new(), Vec::new());
    for (frame, labels) in frames {
        let found = cuts(frame, labels, e, network, recipe)?;
        train.extend(found.train);
        validate.extend(found.validate);
    }
    if recipe == Recipe::Published {
        stretched(&mut train);
        shuffle(&mut train, &mut Source::new(seed, PURPOSE).sequence(1 << 40));
        let aside = (e.validation * train.len() as f64).ceil() as usize;
        validate = train.split_off(train.len() - aside.min(train.len() - 1));
    }
    let mut counts = vec![0u64; network.classes()];
    let labels = train.iter().flat_map(|e| &e.labels).filter(|l| **l != IGNORED);
    labels.for_each(|l| counts[usize::from(*l)] += 1);
    let all: u64 = counts.iter().sum();
    Ok(Examples {
        train,
        validate,
        shares: counts.iter().map(|c| *c as f64 / all.max(1) as f64).collect(),
    })
}

fn cuts(frame: &Array2<f32>, labels: &Array2<u8>, e: &Effective, network: &Network, recipe: Recipe) -> Result<Cut> {
    let (h, w) = frame.dim();
    let multiple = network.multiple();
    let patch = e.patch.min(h).min(w) / multiple * multiple;
    if patch == 0 {
        return Err(Error::parameter(
            "--patch",
            format!("a frame of {h} × {w} pixels is too small: sides must be multiples of {multiple}"),
        ));
    }
    let places: Vec<[usize; 2]> = starts(w, patch, e.step, recipe)
        .into_iter()
        .flat_map(|x| starts(h, patch, e.step, recipe).into_iter().map(move |y| [y, x]))
        .collect();
    if places.is_empty() {
        return Err(Error::parameter(
            "--patch",
            format!("no patch of {patch} pixels fits a frame of {h} × {w} as the published recipe cuts them"),
        ));
    }
    let all = |labels: &Array2<u8>| -> Vec<Example> { places.iter().map(|&at| cut(frame, labels, at, [patch; 2])).collect() };
    if recipe == Recipe::Published {
        return Ok(Cut {
            train: all(labels),
            validate: Vec::new(),
        });
    }
    let aside = (e.validation * w as f64).round() as usize;
    let mut seen = labels.clone();
    seen.slice_mut(s![.., w - aside..]).fill(IGNORED);
    let mut train = all(&seen);
    train.retain(|e| e.labels.iter().any(|l| *l != IGNORED));
    let mut validate = Vec::new();
    if aside > 0 {
        let mut rest = labels.clone();
        rest.slice_mut(s![.., ..w - aside]).fill(IGNORED);
        // As much beside the columns as the network sees, in whole blocks from the right.
        let columns = (aside + network.reach())
            .next_multiple_of(multiple)
            .min(w / multiple * multiple);
        let whole = [h / multiple * multiple, columns];
        validate.push(cut(frame, &rest, [h - whole[0], w - columns], whole));
    }
    Ok(Cut { train, validate })
}

/// The published notebook scales patches by the extremes of all of them.
fn stretched(examples: &mut [Example]) {
    let values = || examples.iter().flat_map(|e| &e.image).copied();
    let (low, high) = (
        values().fold(f32::INFINITY, f32::min),
        values().fold(f32::NEG_INFINITY, f32::max),
    );
    let span = if high > low { high - low } else { 1.0 };
    examples
        .iter_mut()
        .flat_map(|e| &mut e.image)
        .for_each(|v| *v = (*v - low) / span);
}

fn shuffle<T>(items: &mut [T], random: &mut Sequence) {
    for i in (1..items.len()).rev() {
        items.swap(i, random.below(i + 1));
    }
}

/// The order of the examples of an epoch and how each is turned, from seed and number alone.
pub(super) fn order(n: usize, seed: u64, epoch: usize, augment: bool) -> Vec<(usize, usize)> {
    let mut random = Source::new(seed, PURPOSE).sequence(epoch as u64);
    let mut all: Vec<usize> = (0..n).collect();
    shuffle(&mut all, &mut random);
    all.into_iter()
        .map(|i| (i, if augment { random.below(8) } else { 0 }))
        .collect()
}

/// The example turned by quarter turns (bits 0 and 1 of `how`) and mirrored (bit 2); not square: by half turns only.
pub(super) fn turned(example: &Example, how: usize) -> Example {
    let [h, w] = example.size;
    let how = if h == w { how } else { how & 6 };
    // Where the first pixel of row y comes from, and how far on each next one lies.
    let (w, h) = (w as isize, h as isize);
    let row = |y: isize| {
        let (start, step) = match how & 3 {
            0 => (y * w, 1),
            1 => (w - 1 - y, w),
            2 => ((h - 1 - y) * w + w - 1, -1),
            _ => ((h - 1) * w + y, -w),
        };
        if how & 4 != 0 {
            (start + (w - 1) * step, -step)
        } else {
            (start, step)
        }
    };
    let (mut image, mut labels) = (
        Vec::with_capacity(example.image.len()),
        Vec::with_capacity(example.labels.len()),
    );
    for (start, step) in (0..h).map(row) {
        let places = || (0..w).map(|x| (start + x * step) as usize);
        image.extend(places().map(|at| example.image[at]));
        labels.extend(places().map(|at| example.labels[at]));
    }
    Example {
        image,
        labels,
        size: example.size,
    }
}
