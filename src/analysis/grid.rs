//! Which positions of a scan take part in an analysis, and who is whose neighbour.

use crate::error::{Error, Result};
use ndarray::{Array2, ArrayView2};

/// No position.
const NONE: u32 = u32::MAX;

/// The selected positions of a scan of (ny, nx), numbered in the order of the selection, and their neighbours: the position
/// above, below, left and right, if it is selected too. No diagonals, no wrap-around.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grid {
    shape: [usize; 2],
    /// Frame number in the scan (y·nx + x) of each node.
    positions: Vec<u32>,
    /// Node at each scan position, or `NONE`.
    nodes: Vec<u32>,
}

impl Grid {
    /// All positions of a scan of `shape` = (ny, nx), in scan order.
    ///
    /// # Errors
    /// [`Error::Parameter`] if there are none, or 2³¹ or more.
    pub fn full(shape: [usize; 2]) -> Result<Self> {
        let n = count(shape)?;
        Ok(Grid {
            shape,
            positions: (0..n).collect(),
            nodes: (0..n).collect(),
        })
    }

    /// The positions where `mask` (ny × nx) is true, in scan order.
    ///
    /// # Errors
    /// As [`Grid::full`].
    pub fn masked(mask: ArrayView2<bool>) -> Result<Self> {
        let frames: Vec<u64> = mask.iter().enumerate().filter(|(_, m)| **m).map(|(i, _)| i as u64).collect();
        Grid::selected([mask.nrows(), mask.ncols()], &frames)
    }

    /// The given frames (y·nx + x) of a scan of `shape` = (ny, nx), in the given order.
    ///
    /// # Errors
    /// As [`Grid::full`]; if a frame lies outside the scan or occurs twice.
    pub fn selected(shape: [usize; 2], frames: &[u64]) -> Result<Self> {
        let n = count(shape)?;
        if frames.is_empty() {
            return Err(Error::parameter("region of interest", "selects no position of the scan"));
        }
        let mut grid = Grid {
            shape,
            positions: Vec::with_capacity(frames.len()),
            nodes: vec![NONE; n as usize],
        };
        for &frame in frames {
            let position = u32::try_from(frame).ok().filter(|&p| p < n);
            match position.and_then(|p| grid.nodes.get_mut(p as usize).map(|node| (p, node))) {
                Some((p, node)) if *node == NONE => {
                    *node = grid.positions.len() as u32;
                    grid.positions.push(p);
                }
                Some(_) => {
                    return Err(Error::parameter(
                        "region of interest",
                        format!("selects position {frame} twice"),
                    ));
                }
                None => {
                    let what = format!("selects position {frame} of a scan of {}×{} positions", shape[0], shape[1]);
                    return Err(Error::parameter("region of interest", what));
                }
            }
        }
        Ok(grid)
    }

    /// Scan shape (ny, nx).
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// Number of selected positions.
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// Never true: a grid has at least one position.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// (y, x) of each selected position.
    pub fn positions(&self) -> impl ExactSizeIterator<Item = [usize; 2]> + '_ {
        let nx = self.shape[1];
        self.positions.iter().map(move |&p| [p as usize / nx, p as usize % nx])
    }

    /// The numbers of the neighbours of selected position `node`.
    pub(crate) fn neighbours(&self, node: usize) -> impl Iterator<Item = u32> + '_ {
        let [ny, nx] = self.shape;
        let p = self.positions[node] as usize;
        let (y, x) = (p / nx, p % nx);
        let at = [
            (y > 0).then(|| p - nx),
            (x > 0).then(|| p - 1),
            (x + 1 < nx).then(|| p + 1),
            (y + 1 < ny).then(|| p + nx),
        ];
        at.into_iter().flatten().map(|p| self.nodes[p]).filter(|&n| n != NONE)
    }

    /// Values of the selected positions as a map of the scan (ny × nx), `fill` elsewhere.
    ///
    /// # Errors
    /// [`Error::Parameter`] if there is not one value for each position.
    pub fn map<T: Copy>(&self, values: &[T], fill: T) -> Result<Array2<T>> {
        if values.len() != self.len() {
            return Err(Error::parameter(
                "values",
                format!("{} for {} selected positions", values.len(), self.len()),
            ));
        }
        let mut map = Array2::from_elem((self.shape[0], self.shape[1]), fill);
        for (at, &v) in self.positions().zip(values) {
            map[at] = v;
        }
        Ok(map)
    }
}

fn count(shape: [usize; 2]) -> Result<u32> {
    let n = shape[0]
        .checked_mul(shape[1])
        .and_then(|n| u32::try_from(n).ok())
        .filter(|&n| n < 1 << 31);
    match n {
        Some(0) => Err(Error::parameter(
            "scan",
            format!("has no positions ({}×{})", shape[0], shape[1]),
        )),
        Some(n) => Ok(n),
        None => Err(Error::parameter(
            "scan",
            format!("{}×{} positions are more than 2³¹", shape[0], shape[1]),
        )),
    }
}
