//! `--roi`: a mask file or a rectangle.

use emstream::engine::Selection;
use emstream::io::array;
use emstream::{Error, Result};
use std::ops::Range;
use std::path::Path;

/// `Y0:Y1,X0:X1` (ends excluded, either may be left out), or a mask of the scan's shape in a file.
pub fn parse(text: &str, nav: [usize; 2]) -> Result<Selection> {
    match rectangle(text, nav) {
        Some((y, x)) => Selection::from_rect(nav, y, x),
        None if text.ends_with(".npy") || text.ends_with(".png") => {
            let mask = array::read_region(Path::new(text), nav)?;
            Selection::from_mask(nav, mask.view())
        }
        None => Err(Error::parameter(
            "--roi",
            format!("'{text}' is neither Y0:Y1,X0:X1 nor a .npy or .png file"),
        )),
    }
}

fn rectangle(text: &str, nav: [usize; 2]) -> Option<(Range<usize>, Range<usize>)> {
    let (y, x) = text.split_once(',')?;
    let range = |t: &str, n: usize| -> Option<Range<usize>> {
        let (from, to) = t.split_once(':')?;
        let from = if from.trim().is_empty() {
            0
        } else {
            from.trim().parse().ok()?
        };
        let to = if to.trim().is_empty() { n } else { to.trim().parse().ok()? };
        Some(from..to)
    };
    Some((range(y, nav[0])?, range(x, nav[1])?))
}
