//! Windows on common ground: where each is read, and how it is turned.

use super::super::detected::Detected;
use super::params::{Align, Effective, Register};
use crate::analysis::register::turns::{self, IDENTITY, Turn};
use crate::analysis::register::{Lattice, Spline, lattice, sites};
use crate::control::Control;
use crate::error::Result;
use ndarray::{Array1, Array2, Array3, Axis};
use rayon::prelude::*;

/// Radius of what counts, in units of the lattice's spacing: little more than the defect and its neighbours, so that noise of what is the same in all windows stays out.
const RADIUS: f64 = 0.6;

/// Where windows are read.
#[derive(Debug, Clone, Default)]
pub struct Placement {
    pub lattice: Option<Lattice>,
    /// Sites in a cell in units of the lattice vectors.
    pub sites: Vec<[f64; 2]>,
    /// Site of each window, −1 without a lattice.
    pub site: Vec<i32>,
    /// Place (y, x) in pixels of the frame at the centre of each window.
    pub centre: Vec<[f64; 2]>,
    /// Rotations and mirror images, and that of each window.
    pub turns: Vec<Turn>,
    pub turn: Vec<usize>,
    /// Radius of what counts in pixels; 0: everything.
    pub radius: f64,
    /// Windows are read between pixels; else they stay as they are.
    pub moved: bool,
}

/// Finds places for all windows.
pub fn place(found: &Detected, p: &Effective, warnings: &mut Vec<String>, control: &Control) -> Result<Placement> {
    let with = found.with_window();
    let side = found.windows.dim().1;
    let half = side as f64 / 2.0;
    let frame: Vec<u32> = with.iter().map(|&i| found.frame[i]).collect();
    let centre: Vec<[f64; 2]> = with.iter().map(|&i| [found.y[i], found.x[i]]).collect();
    let mut placed = Placement {
        site: vec![-1; with.len()],
        turns: vec![IDENTITY],
        turn: vec![0; with.len()],
        radius: p.radius.unwrap_or((half - 2.0).max(1.0)),
        moved: p.register != Register::None,
        ..Placement::default()
    };
    if p.register == Register::None {
        placed.centre = found.corner.iter().map(|c| c.map(|v| v as f64 + half)).collect();
    } else {
        placed.centre = centre.clone();
    }
    if p.register == Register::Lattice {
        placed.lattice = lattice::find(found.windows.view(), &frame, &found.corner);
        if placed.lattice.is_none() {
            warnings.push(
                "windows show no common lattice (2.5 periods must fit a window: detect --window): they are placed by the centres of what was found".into(),
            );
        }
    }
    control.check()?;
    if let Some(lattice) = placed.lattice {
        let phases = lattice::phases(found.windows.view(), &frame, (&found.corner, &centre), &lattice);
        let places: Vec<[f64; 2]> = centre
            .iter()
            .zip(&phases)
            .map(|(&at, phase)| {
                let f = lattice.fraction(at);
                [0, 1].map(|k| (f[k] + phase[k]).rem_euclid(1.0))
            })
            .collect();
        placed.sites = sites::find(&places, &lattice);
        for (i, &at) in places.iter().enumerate() {
            if let Some((site, away)) = sites::nearest(at, &placed.sites, &lattice) {
                placed.site[i] = site as i32;
                placed.centre[i] = [centre[i][0] - away[0], centre[i][1] - away[1]];
            }
        }
        placed.radius = p.radius.unwrap_or((RADIUS * lattice.spacing()).min(half - 2.0).max(1.0));
    }
    if p.align != Align::None {
        placed.turns = turns::group(placed.lattice.as_ref(), p.align == Align::Mirror);
        let disk = disk(side, placed.radius);
        let groups = placed.sites.len().max(1) as i32;
        for group in 0..groups {
            control.check()?;
            let members: Vec<usize> = (0..with.len()).filter(|&i| placed.site[i].max(0) == group).collect();
            let splines: Vec<Spline> = members
                .par_iter()
                .map(|&i| Spline::new(found.windows.index_axis(Axis(0), i)))
                .collect();
            let pixels = |k: usize, turn: usize| {
                let i = members[k];
                Array1::from_vec(read(
                    &splines[k],
                    found.corner[i],
                    placed.centre[i],
                    &placed.turns[turn],
                    &disk,
                ))
            };
            let chosen = turns::choose(members.len(), placed.turns.len(), pixels);
            for (&i, turn) in members.iter().zip(chosen) {
                placed.turn[i] = turn;
            }
        }
        placed.moved = true;
    }
    Ok(placed)
}

/// Offsets (y, x) from the centre of a window of the pixels that count, row by row. The centre lies in pixel side / 2.
fn disk(side: usize, radius: f64) -> Vec<[f64; 2]> {
    let half = (side / 2) as f64;
    let all = (0..side).flat_map(|y| (0..side).map(move |x| [y as f64 - half, x as f64 - half]));
    all.filter(|o| radius == 0.0 || o[0].hypot(o[1]) <= radius).collect()
}

/// Values at offsets from a place in the frame.
fn read(spline: &Spline, corner: [usize; 2], centre: [f64; 2], turn: &Turn, offsets: &[[f64; 2]]) -> Vec<f64> {
    let [y, x] = [0, 1].map(|k| centre[k] - corner[k] as f64);
    offsets
        .iter()
        .map(|o| {
            let [dy, dx] = turn.map(|row| row[0] * o[0] + row[1] * o[1]);
            spline.at(y + dy, x + dx)
        })
        .collect()
}

impl Placement {
    /// All windows (n, s, s) on common ground.
    pub fn windows(&self, found: &Detected) -> Array3<f32> {
        if !self.moved {
            return found.windows.clone();
        }
        let (n, side, _) = found.windows.dim();
        let all = disk(side, 0.0);
        let rows: Vec<Vec<f64>> = (0..n)
            .into_par_iter()
            .map(|i| {
                let spline = Spline::new(found.windows.index_axis(Axis(0), i));
                read(&spline, found.corner[i], self.centre[i], &self.turns[self.turn[i]], &all)
            })
            .collect();
        let mut out = Array3::zeros((n, side, side));
        for (mut window, row) in out.outer_iter_mut().zip(rows) {
            window.iter_mut().zip(row).for_each(|(o, v)| *o = v as f32);
        }
        out
    }

    /// The pixels that count of each of the `windows` of [`Placement::windows`], (n, pixels).
    pub fn features(&self, windows: &Array3<f32>) -> Array2<f32> {
        let (n, side, _) = windows.dim();
        let half = (side / 2) as f64;
        let at: Vec<[usize; 2]> = disk(side, self.radius)
            .into_iter()
            .map(|o| o.map(|v| (v + half) as usize))
            .collect();
        Array2::from_shape_fn((n, at.len()), |(i, k)| windows[[i, at[k][0], at[k][1]]])
    }
}
