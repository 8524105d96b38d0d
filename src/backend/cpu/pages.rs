//! Large arrays in large pages.

/// From this many bytes on large pages are asked for.
const LARGE: usize = 8 << 20;

/// `n` zeros. Where the system gives pages of some MiB on request (Linux: `madvise`), a large array asks for them: to have
/// pages of 4 KiB cleared one by one at the first write took a fifth of a pass of small masks, under the collector's lock.
pub fn zeros(n: usize) -> Vec<f32> {
    let mut values = vec![0.0f32; n];
    if size_of_val(values.as_slice()) >= LARGE {
        advise(&mut values);
    }
    values
}

#[cfg(target_os = "linux")]
fn advise(values: &mut [f32]) {
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
fn advise(_: &mut [f32]) {}

#[cfg(test)]
mod tests {
    #[test]
    fn zeros_of_any_size() {
        for n in [0, 1, 1000, (8 << 18) - 1, 8 << 18, (9 << 18) + 5] {
            let values = super::zeros(n);
            assert!(values.len() == n && values.iter().all(|v| *v == 0.0));
        }
    }
}
