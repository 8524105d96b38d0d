//! What a header may claim: everything a file says about sizes passes through here before it is believed.

use crate::error::{Error, Result};
use crate::pixel::{FrameShape, Pixel};
use std::path::Path;

/// Most rows or columns of a frame.
pub const MAX_EDGE: u64 = 65_536;
/// Most frames of a scan.
pub const MAX_FRAMES: u64 = 1 << 31;
/// Most points of an EBSD map, of which much more is kept in memory than of a scan position.
pub const MAX_POINTS: usize = 1 << 26;
/// Most bytes of one frame, as stored or as delivered.
pub const MAX_FRAME_BYTES: u64 = 1 << 30;
/// Longest header of a `.npy` file in bytes.
pub const MAX_NPY_HEADER: usize = 65_536;

/// Sizes that passed the limits: scan shape, frame shape and the bytes they take as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub nav: [usize; 2],
    pub sig: [usize; 2],
    /// Product of `nav`.
    pub frames: u64,
    /// Bytes of one frame as stored.
    pub frame_bytes: u64,
    /// Bytes of all frames as stored, without anything between them.
    pub total: u64,
}

impl Sizes {
    /// The frame with the pixel type in which it is delivered.
    pub fn frame(&self, pixel: Pixel) -> FrameShape {
        FrameShape {
            pixel,
            height: self.sig[0],
            width: self.sig[1],
        }
    }
}

/// Checks a claimed map shape (rows, columns) for so many stored patterns: a map may be mostly empty, but memory for its points is not taken
/// because a name or a header claims it.
///
/// # Errors
/// [`Error::Limit`] for more than [`MAX_POINTS`] points, or a million and a thousand times as many as there are patterns.
pub(crate) fn check_points(path: &Path, nav: [usize; 2], patterns: usize) -> Result<()> {
    let points = nav[0].checked_mul(nav[1]).filter(|&n| n <= MAX_POINTS);
    match points {
        Some(n) if n <= 1_000_000 || n / 1000 <= patterns => Ok(()),
        _ => Err(Error::limit(
            path,
            format!("a map of {} × {} points for {patterns} patterns", nav[0], nav[1]),
        )),
    }
}

/// Checks a claimed scan shape (ny, nx) and frame shape (height, width) with `pixel_bytes` a pixel.
///
/// # Errors
/// [`Error::Format`] for a dimension of zero, [`Error::Limit`] for one beyond the limits; products are computed without overflow.
pub(crate) fn check(path: &Path, nav: [u64; 2], sig: [u64; 2], pixel_bytes: usize) -> Result<Sizes> {
    let shape = || format!("shape ({}, {}, {}, {})", nav[0], nav[1], sig[0], sig[1]);
    if nav.contains(&0) || sig.contains(&0) {
        return Err(Error::format(
            path,
            shape(),
            "a dimension is zero: there are no frames to read",
        ));
    }
    if sig.iter().any(|&n| n > MAX_EDGE) {
        return Err(Error::limit(
            path,
            format!("{}: frames may have at most {MAX_EDGE} rows and columns", shape()),
        ));
    }
    let frames = nav[0].checked_mul(nav[1]).filter(|&n| n <= MAX_FRAMES);
    let frames = frames.ok_or_else(|| Error::limit(path, format!("{}: a scan may have at most {MAX_FRAMES} frames", shape())))?;
    // Delivered pixels have at most 4 bytes, stored ones 8: both kinds of frame stay below the limit.
    let frame_bytes = sig[0] * sig[1] * pixel_bytes as u64;
    if frame_bytes.max(sig[0] * sig[1] * 4) > MAX_FRAME_BYTES {
        return Err(Error::limit(
            path,
            format!("{}: a frame may take at most {MAX_FRAME_BYTES} bytes", shape()),
        ));
    }
    let total = frames.checked_mul(frame_bytes).filter(|&n| n <= i64::MAX as u64);
    let total = total.ok_or_else(|| Error::limit(path, format!("{}: more bytes than a file can hold", shape())))?;
    let size = |n: u64| usize::try_from(n).map_err(|_| Error::limit(path, format!("{}: too large for this machine", shape())));
    Ok(Sizes {
        nav: [size(nav[0])?, size(nav[1])?],
        sig: [size(sig[0])?, size(sig[1])?],
        frames,
        frame_bytes,
        total,
    })
}

/// Turns the dimensions of a stored array and the user's shapes into sizes. Four dimensions are (ny, nx, height, width), three are
/// (n, height, width), read as the scan (1, n).
///
/// # Errors
/// [`Error::Unsupported`] for other numbers of dimensions, [`Error::Parameter`] where a given shape contradicts the stored one.
pub(crate) fn arrange(
    path: &Path,
    what: &str,
    dims: &[u64],
    nav_shape: Option<[usize; 2]>,
    sig_shape: Option<[usize; 2]>,
    pixel_bytes: usize,
) -> Result<Sizes> {
    let (nav, sig) = match *dims {
        [ny, nx, h, w] => ([ny, nx], [h, w]),
        [n, h, w] => ([1, n], [h, w]),
        _ => {
            let hint = "a scan has 4 (ny, nx, height, width) or 3 (n, height, width)";
            return Err(Error::unsupported(
                path,
                format!("{what} has {} dimensions {}: {hint}", dims.len(), tuple(dims)),
            ));
        }
    };
    let stored = check(path, nav, sig, pixel_bytes)?;
    check_sig(sig_shape, &stored)?;
    match nav_shape {
        None => Ok(stored),
        Some(given) => with_nav(path, &stored, given, pixel_bytes),
    }
}

/// The same frames under another scan shape.
pub(crate) fn with_nav(path: &Path, stored: &Sizes, given: [usize; 2], pixel_bytes: usize) -> Result<Sizes> {
    let product = (given[0] as u64).checked_mul(given[1] as u64);
    if product != Some(stored.frames) {
        let frames = stored.frames;
        let what = format!(
            "{},{} does not make the {frames} frames that {} holds",
            given[0],
            given[1],
            path.display()
        );
        return Err(Error::parameter("--nav-shape", what));
    }
    check(path, given.map(|n| n as u64), stored.sig.map(|n| n as u64), pixel_bytes)
}

/// A `--sig-shape` for a file that knows its own frame shape must agree with it.
pub(crate) fn check_sig(given: Option<[usize; 2]>, stored: &Sizes) -> Result<()> {
    match given {
        Some(s) if s != stored.sig => {
            let what = format!(
                "{},{} contradicts the file's frames of {},{}",
                s[0], s[1], stored.sig[0], stored.sig[1]
            );
            Err(Error::parameter("--sig-shape", what))
        }
        _ => Ok(()),
    }
}

/// A shape as people write it: `(4, 5, 6)`.
pub(crate) fn tuple(dims: &[u64]) -> String {
    let dims: Vec<String> = dims.iter().map(u64::to_string).collect();
    format!("({})", dims.join(", "))
}

/// What is said of four dimensions of which HyperSpy calls `navigating` the scan's.
pub(crate) fn no_scan(place: &str, navigating: usize) -> String {
    format!(
        "{place} is no scan of images: of its 4 axes {navigating} navigate{}, not the first two (--sig-shape H,W reads it as one)",
        if navigating == 1 { "s" } else { "" }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(nav: [u64; 2], sig: [u64; 2]) -> String {
        check(Path::new("a.blo"), nav, sig, 2).unwrap_err().to_string()
    }

    #[test]
    fn claims_beyond_the_limits_are_refused() {
        assert!(refused([0, 5], [4, 4]).contains("a dimension is zero"));
        assert!(refused([2, 5], [4, 70_000]).contains("at most 65536 rows and columns"));
        assert!(refused([1 << 30, 1 << 30], [4, 4]).contains("at most 2147483648 frames"));
        assert!(refused([u64::MAX, u64::MAX], [4, 4]).contains("frames"));
        assert!(refused([1, 1], [65_536, 65_536]).contains("at most 1073741824 bytes"));
        assert!(refused([1 << 15, 1 << 17], [4, 4]).starts_with("a.blo: shape (32768, 131072, 4, 4)"));
    }

    #[test]
    fn three_and_four_dimensions_make_a_scan() {
        let path = Path::new("a.npy");
        let s = arrange(path, "the array", &[2, 3, 4, 5], None, None, 2).unwrap();
        assert_eq!((s.nav, s.sig, s.frames, s.frame_bytes, s.total), ([2, 3], [4, 5], 6, 40, 240));
        assert_eq!(arrange(path, "the array", &[6, 4, 5], None, None, 2).unwrap().nav, [1, 6]);
        assert_eq!(
            arrange(path, "the array", &[6, 4, 5], Some([3, 2]), None, 2).unwrap().nav,
            [3, 2]
        );
        let e = arrange(path, "the array", &[6, 4, 5], Some([3, 3]), None, 2)
            .unwrap_err()
            .to_string();
        assert_eq!(e, "--nav-shape: 3,3 does not make the 6 frames that a.npy holds");
        let e = arrange(path, "the array", &[4, 5], None, None, 2).unwrap_err().to_string();
        assert!(e.contains("has 2 dimensions (4, 5)"), "{e}");
        let e = arrange(path, "the array", &[6, 4, 5], None, Some([5, 4]), 2)
            .unwrap_err()
            .to_string();
        assert_eq!(e, "--sig-shape: 5,4 contradicts the file's frames of 4,5");
    }
}
