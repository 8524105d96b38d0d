//! Maps of virtual detectors while the scan streams: a coarse grid of positions first, then all of them in scan order.

use super::live::{Live, Task};
use crate::engine::{Backend, Pass, Resident, Selection};
use crate::error::Result;
use crate::io::Scan;
use crate::mask::MaskStack;
use crate::ops::MaskProducts;
use crate::pixel::LEAF;
use ndarray::Array2;
use std::time::Instant;

/// Coarse grids go on as long as the next one is likely to be there by then.
const COARSE: f64 = 0.12;
/// Time that one part of the scan should take, so that pages take turns and changes of mind are heard.
const PART: [f64; 2] = [0.06, 0.25];
/// Bytes of the first coarse grid, about.
const FIRST: usize = 8 << 20;
/// Bytes of the first part of the scan, about.
const STREAM: usize = 64 << 20;

/// Computes the map and publishes it whenever more is known: (ny, nx), NaN where nothing is known yet, where no frame is `present` and where a
/// frame has no finite pixel. Positions that were not looked at have the value of the one above and left that was.
///
/// # Errors
/// Whatever reading or the device reports; [`crate::Error::Cancelled`].
pub fn map(
    scan: &dyn Scan,
    present: &Array2<bool>,
    stack: &MaskStack,
    backend: &Backend,
    live: &Live,
    task: &Task,
) -> Result<()> {
    let [ny, nx] = scan.info().nav;
    let frames = scan.info().frames();
    let products = MaskProducts::new(stack);
    let mut map = Array2::from_elem((ny, nx), f32::NAN);
    let mut exact = Array2::from_elem((ny, nx), false);
    let run = |selection: &Selection| -> Result<Vec<f32>> {
        let _turn = live.turn(task)?;
        let mut pass = Pass::new("virtual detector", scan, selection);
        let handle = pass.add(&products);
        pass.run(backend, &Resident::none(), &task.control)?.take(handle)
    };
    let shown = |map: &Array2<f32>| -> Vec<f32> {
        let mut map = map.clone();
        map.zip_mut_with(present, |v, &p| *v = if p { *v } else { f32::NAN });
        // Frames that say nothing read as zeros.
        for number in scan.empty() {
            if let Some(v) = map.get_mut(scan.info().place(number)) {
                *v = f32::NAN;
            }
        }
        map.into_iter().collect()
    };
    let mut looked = 0;
    for step in grids(ny, nx, scan.info().frame.stride(), task.control.threads) {
        let begun = Instant::now();
        let grid = Array2::from_shape_fn((ny, nx), |(y, x)| y % step == 0 && x % step == 0 && !exact[[y, x]]);
        let selection = Selection::from_mask([ny, nx], grid.view())?;
        let values = run(&selection)?;
        looked += selection.len();
        for (at, value) in selection.places().zip(values) {
            exact[at] = true;
            map[at] = value;
        }
        fill(&mut map, &exact, step);
        task.publish(shown(&map), [looked.min(frames), frames], true);
        // The next grid has three times as many new positions.
        if task.elapsed() + 3.0 * begun.elapsed().as_secs_f64() > COARSE {
            break;
        }
    }
    // All frames, those of the grid too: reading runs is faster than leaving them out.
    let bytes = scan.info().frame.stride();
    let least = (LEAF * task.control.threads as u64).max(scan.info().together as u64);
    let mut count = ((STREAM / bytes.max(1)) as u64).max(least);
    let mut next = 0;
    while next < frames {
        let begun = Instant::now();
        let selection = Selection::from_range([ny, nx], next..next + count.next_multiple_of(LEAF));
        let values = run(&selection)?;
        if let Some(flat) = map.as_slice_mut() {
            flat[next as usize..next as usize + values.len()].copy_from_slice(&values);
        }
        next += selection.len();
        task.publish(shown(&map), [next, frames], next < frames);
        let took = begun.elapsed().as_secs_f64();
        if took < PART[0] {
            count = count.saturating_mul(2);
        } else if took > PART[1] {
            count = (count / 2).max(least);
        }
    }
    Ok(())
}

/// Distances of grid positions, from the grid with about [`FIRST`] bytes of frames (at least a leaf for each thread) down to 2.
fn grids(ny: usize, nx: usize, frame: usize, threads: usize) -> impl Iterator<Item = usize> {
    let most = (FIRST / frame.max(1)).clamp(LEAF as usize * threads, 4096);
    let count = |step: usize| ny.div_ceil(step) * nx.div_ceil(step);
    let first = (0..32).map(|k| 1usize << k).find(|&s| count(s) <= most).unwrap_or(1);
    std::iter::successors(Some(first), |s| Some(s / 2)).take_while(|s| *s > 1)
}

/// Gives positions between those of a grid the value of the grid position above and left.
fn fill(map: &mut Array2<f32>, exact: &Array2<bool>, step: usize) {
    let (ny, nx) = map.dim();
    for y in 0..ny {
        for x in 0..nx {
            if !exact[[y, x]] {
                map[[y, x]] = map[[y - y % step, x - x % step]];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_halve_and_leave_the_rest_to_the_stream() {
        assert_eq!(grids(256, 256, 16 << 10, 2).collect::<Vec<_>>(), [16, 8, 4, 2]);
        assert_eq!(grids(4, 4, 100, 2).count(), 0, "a small scan needs none");
        assert_eq!(grids(1, 1_000_000, 1 << 20, 1).next(), Some(1 << 14));
        let mut map = Array2::from_shape_fn((3, 5), |(y, x)| {
            if y % 2 == 0 && x % 2 == 0 {
                (y * 5 + x) as f32
            } else {
                f32::NAN
            }
        });
        let exact = map.mapv(|v| !v.is_nan());
        fill(&mut map, &exact, 2);
        assert_eq!(map.row(1).to_vec(), [0.0, 0.0, 2.0, 2.0, 4.0]);
        assert_eq!(map.row(2).to_vec(), [10.0, 10.0, 12.0, 12.0, 14.0]);
    }
}
