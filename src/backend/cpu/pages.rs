//! Large arrays in large pages.

use super::lanes::{LANES, Lanes};
use bytemuck::Pod;

/// From this many bytes on large pages are asked for.
const LARGE: usize = 8 << 20;

/// `n` zeros. Where the system gives pages of some MiB on request (Linux: `madvise`), a large array asks for them: to have
/// pages of 4 KiB cleared one by one at the first write took a fifth of a pass of small masks, under the collector's lock.
pub fn zeros<T: Pod>(n: usize) -> Vec<T> {
    let mut values = bytemuck::zeroed_vec(n);
    if size_of_val(values.as_slice()) >= LARGE {
        advise(&mut values);
    }
    values
}

/// Lanes that are zero at first. Memory is touched where they are written only, by the thread that does: a vector of them would be filled by one thread, since
/// their alignment is more than what comes zeroed from the system.
#[derive(Debug)]
pub struct ZeroLanes {
    storage: Vec<f32>,
    count: usize,
}

impl ZeroLanes {
    /// `count` of them.
    pub fn new(count: usize) -> Self {
        ZeroLanes {
            storage: zeros((count + 1) * LANES),
            count,
        }
    }

    /// All of them.
    pub fn lanes(&self) -> &[Lanes] {
        let (_, lanes, _) = bytemuck::pod_align_to(&self.storage);
        &lanes[..self.count]
    }

    /// All of them.
    pub fn lanes_mut(&mut self) -> &mut [Lanes] {
        let (_, lanes, _) = bytemuck::pod_align_to_mut(&mut self.storage);
        &mut lanes[..self.count]
    }
}

#[cfg(target_os = "linux")]
fn advise<T>(values: &mut [T]) {
    const PAGE: usize = 4096;
    let begin = values.as_mut_ptr().cast::<u8>();
    let skipped = begin.align_offset(PAGE);
    let length = size_of_val(values).saturating_sub(skipped) / PAGE * PAGE;
    // SAFETY: the range lies inside `values`; the advice changes how its pages are backed, never what they hold. Systems without large pages refuse
    // it, and nothing follows from that.
    unsafe {
        let _ = libc::madvise(begin.add(skipped).cast(), length, libc::MADV_HUGEPAGE);
    }
}

#[cfg(not(target_os = "linux"))]
fn advise<T>(_: &mut [T]) {}

#[cfg(test)]
mod tests {
    use super::{Lanes, ZeroLanes};

    #[test]
    fn lanes_stay_where_they_are() {
        for n in [0, 1, 7, 300_000] {
            let mut zeros = ZeroLanes::new(n);
            assert!(zeros.lanes().len() == n && zeros.lanes().iter().all(|l| *l == Lanes::ZERO));
            if let Some(last) = zeros.lanes_mut().last_mut() {
                *last = Lanes::all(2.0);
            }
            let moved = zeros;
            assert_eq!(moved.lanes().last().copied(), (n > 0).then(|| Lanes::all(2.0)));
        }
    }

    #[test]
    fn zeros_of_any_size() {
        for n in [0, 1, 1000, (8 << 18) - 1, 8 << 18, (9 << 18) + 5] {
            let values: Vec<f32> = super::zeros(n);
            assert!(values.len() == n && values.iter().all(|v| *v == 0.0));
        }
    }
}
