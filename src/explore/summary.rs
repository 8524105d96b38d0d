//! Mean, standard deviation and log-sum of the frames of a region: from a sample at once, then from all of them.

use super::live::{Live, Task};
use crate::backend::stage::Merge;
use crate::engine::{Backend, LeafTree, Pass, Resident, Selection};
use crate::error::{Error, Result};
use crate::io::Scan;
use crate::kernels::{logsum, statistics};
use crate::ops::{LogSum, Statistics};
use crate::pixel::LEAF;
use crate::workflows::single_logsum;
use ndarray::Array2;

/// Names of the planes in their order.
pub const PLANES: [&str; 3] = ["mean", "std", "logsum"];
/// Frames of the sample, and bytes of it, at most.
const SAMPLE: (u64, usize) = (64, 16 << 20);
/// Bytes of frames between two looks at whether anybody still asks, about.
const PART: u64 = 128 << 20;

/// Statistics and log-sum of a part of the selected frames.
struct Part(statistics::Part, logsum::Part);

impl Merge for Part {
    fn merge(&mut self, right: Part) {
        self.0.merge(right.0);
        self.1.merge(right.1);
    }
}

/// Computes the planes [`PLANES`] (each h·w) and publishes them, first those of a sample. The last ones have the bits of one pass over the region:
/// parts are whole subtrees of the tree of leaves.
///
/// # Errors
/// Whatever reading or the device reports; [`Error::Cancelled`].
pub fn frames(scan: &dyn Scan, region: &Selection, backend: &Backend, live: &Live, task: &Task) -> Result<()> {
    let frame = scan.info().frame;
    let run = |selection: &Selection| -> Result<Part> {
        let _turn = live.turn(task)?;
        let mut pass = Pass::new("region", scan, selection);
        let moments = pass.add(Statistics(statistics::Params {
            squares: true,
            extrema: false,
        }));
        let logs = pass.add(LogSum::all());
        let mut done = pass.run(backend, &Resident::none(), &task.control)?;
        Ok(Part(done.take(moments)?, done.take(logs)?))
    };
    let planes = |part: Part, scale: f64| -> Vec<f32> {
        let Part(moments, logs) = part;
        let logsum = single_logsum(logs, frame).into_iter().map(|v| v * scale);
        let all = moments.mean().into_iter().chain(moments.std()).chain(logsum);
        all.map(|v| v as f32).collect()
    };
    let all = region.len();
    let few = SAMPLE.0.min((SAMPLE.1 / frame.stride().max(1)) as u64).max(4);
    if all > 4 * few {
        let chosen = sample(region, few)?;
        let part = run(&chosen)?;
        task.publish(planes(part, all as f64 / chosen.len() as f64), [chosen.len(), all], true);
    }
    // A power of two of leaves.
    let leaf = LEAF * frame.stride() as u64;
    let leaves = (PART / leaf.max(1)).max(task.control.threads as u64).next_power_of_two();
    let mut tree = LeafTree::new();
    let mut numbers = Vec::new();
    for part in 0..all.div_ceil(leaves * LEAF) {
        let range = part * leaves * LEAF..((part + 1) * leaves * LEAF).min(all);
        region.frames(range.clone(), &mut numbers);
        let selection = of(region.nav(), &numbers)?;
        tree.put(part, run(&selection)?);
        if range.end < all {
            // Counts move on; the picture stays the sample's.
            task.advance([range.end, all]);
        }
    }
    let whole = tree
        .finish()
        .ok_or_else(|| Error::Internal("a region without frames".into()))?;
    task.publish(planes(whole, 1.0), [all, all], false);
    Ok(())
}

/// Some frames spread evenly over a region.
fn sample(region: &Selection, count: u64) -> Result<Selection> {
    let step = region.len().div_ceil(count) as usize;
    let numbers: Vec<u64> = region.iter().step_by(step).collect();
    of(region.nav(), &numbers)
}

/// A selection of ascending frames.
fn of(nav: [usize; 2], numbers: &[u64]) -> Result<Selection> {
    let mut mask = Array2::from_elem((nav[0], nav[1]), false);
    if let Some(flat) = mask.as_slice_mut() {
        numbers.iter().for_each(|&n| flat[n as usize] = true);
    }
    Selection::from_mask(nav, mask.view())
}
