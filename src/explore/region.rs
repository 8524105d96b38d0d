//! Regions of the scan as a page or a command line names them.

use crate::engine::Selection;
use crate::error::{Error, Result};
use ndarray::Array2;
use std::ops::Range;

/// Most corners of a polygon.
const MAX_CORNERS: usize = 500;

/// A region of scan positions; positions count where their centre lies inside.
#[derive(Debug, Clone, PartialEq)]
pub enum Region {
    /// Rows and columns, ends excluded, as `--roi` takes them.
    Rectangle(Range<usize>, Range<usize>),
    Disk {
        centre: [f64; 2],
        radius: f64,
    },
    /// Corners (y, x); the even-odd rule where edges cross.
    Polygon(Vec<[f64; 2]>),
    /// Positions where the map of this id has this value.
    Label {
        map: String,
        value: f64,
    },
}

impl Region {
    /// Reads `Y0:Y1,X0:X1`, `disk:Y,X,R`, `poly:Y,X;Y,X;…` or `label:MAP=VALUE`.
    ///
    /// # Errors
    /// [`Error::Parameter`] for anything else.
    pub fn parse(text: &str) -> Result<Region> {
        let bad = || {
            let what = format!("'{text}' is none of Y0:Y1,X0:X1 disk:Y,X,R poly:Y,X;Y,X;… label:MAP=VALUE");
            Error::parameter("--region", what)
        };
        let numbers = |t: &str| -> Option<Vec<f64>> {
            let all = t.split(',').map(|n| n.trim().parse::<f64>().ok().filter(|v| v.is_finite()));
            all.collect()
        };
        if let Some(rest) = text.strip_prefix("disk:") {
            return match numbers(rest).as_deref() {
                Some(&[y, x, radius]) if radius >= 0.0 => Ok(Region::Disk { centre: [y, x], radius }),
                _ => Err(bad()),
            };
        }
        if let Some(rest) = text.strip_prefix("poly:") {
            let corners: Option<Vec<[f64; 2]>> = rest
                .split(';')
                .map(|c| numbers(c).and_then(|n| <[f64; 2]>::try_from(n).ok()))
                .collect();
            return match corners {
                Some(c) if (3..=MAX_CORNERS).contains(&c.len()) => Ok(Region::Polygon(c)),
                _ => Err(bad()),
            };
        }
        if let Some(rest) = text.strip_prefix("label:") {
            let (map, value) = rest.rsplit_once('=').ok_or_else(bad)?;
            let value = value.trim().parse().ok().filter(|v: &f64| v.is_finite()).ok_or_else(bad)?;
            let map = map.to_owned();
            return Ok(Region::Label { map, value });
        }
        let (y, x) = text.split_once(',').ok_or_else(bad)?;
        let range = |t: &str| -> Option<Range<usize>> {
            let (from, to) = t.split_once(':')?;
            Some(from.trim().parse().ok()?..to.trim().parse().ok()?)
        };
        Ok(Region::Rectangle(range(y).ok_or_else(bad)?, range(x).ok_or_else(bad)?))
    }

    /// The positions; `labels` gives the map that a label belongs to.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a region that is empty or leaves the scan; what `labels` says.
    pub fn select(&self, nav: [usize; 2], labels: impl Fn(&str) -> Result<Array2<f64>>) -> Result<Selection> {
        let by = |inside: &dyn Fn(f64, f64) -> bool| {
            let mask = Array2::from_shape_fn((nav[0], nav[1]), |(y, x)| inside(y as f64, x as f64));
            Selection::from_mask(nav, mask.view())
        };
        match self {
            Region::Rectangle(y, x) => Selection::from_rect(nav, y.clone(), x.clone()),
            Region::Disk { centre, radius } => by(&|y, x| (y - centre[0]).hypot(x - centre[1]) <= *radius),
            Region::Polygon(corners) => by(&|y, x| is_inside(corners, y, x)),
            Region::Label { map, value } => {
                let mask = labels(map)?.mapv(|v| v == *value);
                Selection::from_mask(nav, mask.view())
            }
        }
    }
}

/// Even-odd rule: crossings of a ray along x.
fn is_inside(corners: &[[f64; 2]], y: f64, x: f64) -> bool {
    let edges = corners.iter().zip(corners.iter().cycle().skip(1));
    let crossed = edges.filter(|([ay, ax], [by, bx])| (*ay > y) != (*by > y) && x < (bx - ax) * (y - ay) / (by - ay) + ax);
    crossed.count() % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_read_and_filled() {
        let none = |_: &str| Err(Error::parameter("map", "none"));
        let count = |text: &str| Region::parse(text).and_then(|r| r.select([10, 12], none)).map(|s| s.len());
        assert_eq!(count("2:4,3:6").unwrap(), 6);
        assert_eq!(count("disk:5,5,1").unwrap(), 5);
        assert_eq!(count("poly:0.5,0.5;0.5,3.5;2.5,3.5;2.5,0.5").unwrap(), 6);
        let ones = |_: &str| Ok(Array2::from_shape_fn((10, 12), |(y, _)| (y / 5) as f64));
        let label = Region::parse("label:0:/clusters/labels=1").unwrap();
        assert_eq!(label.select([10, 12], ones).unwrap().len(), 60);
        for bad in [
            "",
            "1:2",
            "disk:1,2",
            "disk:1,2,-3",
            "disk:nan,1,1",
            "poly:1,2;3,4",
            "label:x",
            "../etc/passwd",
            "9:99,0:1",
            "3:3,0:1",
        ] {
            assert!(count(bad).is_err(), "{bad}");
        }
    }
}
