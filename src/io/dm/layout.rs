//! Which dimensions of an image are the scan's, and which a frame's.

use super::tags::{Tags, Value};
use crate::error::{Error, Result};
use crate::io::limits;
use std::path::Path;

/// An image as a scan.
#[derive(Debug, PartialEq)]
pub(super) struct Layout {
    /// (ny, nx) and (height, width).
    pub nav: [u64; 2],
    pub sig: [u64; 2],
    /// Dimensions of the file (fastest is 0) that scan y, scan x, y and x are.
    pub axes: [Option<usize>; 4],
    /// Frames lie one after the other; else positions do.
    pub contiguous: bool,
}

/// Tells the layout.
///
/// With dimensions written fastest first: a stack is (x, y, frame). A spectrum image is (scan x, scan y, energy), each spectrum a frame of one
/// row; a 4-D scan is (scan x, scan y, x, y). Where `Data Order Swapped` is set, frames lie together: (energy, scan x, scan y) and
/// (x, y, scan x, scan y).
///
/// # Errors
/// [`Error::Unsupported`] for other numbers of dimensions.
pub(super) fn layout(path: &Path, tags: &Tags, image: &str, dims: &[u64]) -> Result<Layout> {
    let meta = format!("{image}/ImageTags/Meta Data");
    let format = tags.text(&format!("{meta}/Format")).unwrap_or("").trim_end_matches('\0');
    let swapped = matches!(tags.get(&format!("{meta}/Data Order Swapped")), Some(Value::Integer(i)) if *i != 0);
    arrange(dims, format.eq_ignore_ascii_case("spectrum image"), swapped).ok_or_else(|| {
        let what = format!("{image} has {} dimensions {}", dims.len(), limits::tuple(dims));
        Error::unsupported(path, what)
    })
}

fn arrange(dims: &[u64], spectra: bool, swapped: bool) -> Option<Layout> {
    let made = |nav, sig, axes, contiguous| {
        Some(Layout {
            nav,
            sig,
            axes,
            contiguous,
        })
    };
    match (dims, spectra, swapped) {
        (&[e], ..) => made([1, 1], [1, e], [None, None, None, Some(0)], true),
        (&[e, n], true, true) => made([1, n], [1, e], [None, Some(1), None, Some(0)], true),
        (&[n, e], true, false) => made([1, n], [1, e], [None, Some(0), None, Some(1)], n == 1),
        (&[x, y], false, _) => made([1, 1], [y, x], [None, None, Some(1), Some(0)], true),
        (&[e, nx, ny], true, true) => made([ny, nx], [1, e], [Some(2), Some(1), None, Some(0)], true),
        (&[nx, ny, e], true, false) => made([ny, nx], [1, e], [Some(1), Some(0), None, Some(2)], [nx, ny] == [1, 1]),
        (&[x, y, n], false, _) => made([1, n], [y, x], [None, Some(2), Some(1), Some(0)], true),
        (&[x, y, nx, ny], _, true) => made([ny, nx], [y, x], [Some(3), Some(2), Some(1), Some(0)], true),
        (&[nx, ny, x, y], _, false) => made([ny, nx], [y, x], [Some(1), Some(0), Some(3), Some(2)], [nx, ny] == [1, 1]),
        _ => None,
    }
}
