//! Walks over a map in tiles with a margin, for questions that need a frame's neighbours.
//!
//! A tile spans the width of the map where memory allows, so that the rows it shares with the next one are read once; else it is a
//! rectangle, and margins are read again. While one tile is worked on the next is read. Results do not depend on the tiles.

use super::resident::Bytes;
use super::{Backend, Selection};
use crate::backend::gpu::Gpu;
use crate::control::Control;
use crate::error::{Error, Result};
use crate::io::Scan;
use crate::pixel::Frames;
use ndarray::Array2;
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Arc;

/// Bytes of frames that a tile aims at.
const TILE: u64 = 64 << 20;
/// Frames that one thread reads at a time.
const PIECE: usize = 16;
/// No frame.
const NONE: u32 = u32::MAX;

/// A walk over the map.
pub struct Tiles<'a> {
    pub scan: &'a dyn Scan,
    /// Frames that may be neighbours (rows, columns).
    pub present: &'a Array2<bool>,
    /// Frames whose neighbourhoods are wanted.
    pub selection: &'a Selection,
    /// Rows and columns of the margin.
    pub reach: usize,
    /// Bytes on the host for each frame of a tile besides the frame, and for each wanted one.
    pub cost: [u64; 2],
}

/// Frames of a rectangle of the map and its margin, row by row.
pub struct Tile<'a> {
    /// The frames that are there.
    pub frames: Frames<'a>,
    layout: &'a Layout,
    wanted: &'a Array2<bool>,
}

/// Which frames a tile has.
#[derive(Clone)]
struct Layout {
    /// Wanted part, and the same with margin.
    rows: Range<usize>,
    columns: Range<usize>,
    outer_rows: Range<usize>,
    outer_columns: Range<usize>,
    /// Place of the frame of each point of the outer rectangle.
    places: Vec<u32>,
    count: usize,
}

impl Layout {
    fn place(&self, y: usize, x: usize) -> Option<usize> {
        if !self.outer_rows.contains(&y) || !self.outer_columns.contains(&x) {
            return None;
        }
        let at = (y - self.outer_rows.start) * self.outer_columns.len() + x - self.outer_columns.start;
        self.places.get(at).filter(|&&p| p != NONE).map(|&p| p as usize)
    }
}

impl Tile<'_> {
    /// Number of the frame at scan position (y, x), or of no frame outside the map, outside the margin, or where there is none.
    pub fn at(&self, y: isize, x: isize) -> Option<usize> {
        let (y, x) = (usize::try_from(y).ok()?, usize::try_from(x).ok()?);
        self.layout.place(y, x)
    }

    /// The wanted points, row by row, with the numbers of their frames.
    pub fn points(&self) -> impl Iterator<Item = ([usize; 2], usize)> + '_ {
        let l = self.layout;
        l.rows
            .clone()
            .flat_map(move |y| l.columns.clone().map(move |x| [y, x]))
            .filter(|&at| self.wanted[at])
            .filter_map(move |at| Some((at, l.place(at[0], at[1])?)))
    }

    /// All points with frames, those of the margin too, with the numbers of their frames.
    pub fn all(&self) -> impl Iterator<Item = ([usize; 2], usize)> + '_ {
        let l = self.layout;
        l.outer_rows
            .clone()
            .flat_map(move |y| l.outer_columns.clone().map(move |x| [y, x]))
            .filter_map(move |at| Some((at, l.place(at[0], at[1])?)))
    }
}

impl Tiles<'_> {
    /// Shows every tile to `work`, in rows from the top, while the next one is read. `most` bounds the frames of a tile.
    ///
    /// # Errors
    /// [`Error::Memory`] if the smallest tile does not fit `control.memory` or `most`; whatever reading or `work` reports;
    /// [`Error::Cancelled`].
    pub fn walk(
        &self,
        title: &str,
        most: usize,
        control: &Control,
        mut work: impl FnMut(&Tile<'_>) -> Result<()> + Send,
    ) -> Result<()> {
        let layouts = self.layouts(most, control)?;
        let wanted = self.selection.mask();
        let frames = self.selection.len();
        control
            .progress
            .begin(title, frames, frames * self.scan.info().frame.bytes() as u64);
        let mut result = Ok(());
        let mut now = match layouts.first() {
            Some(first) => Some(self.load(first, None, control)?),
            None => None,
        };
        for (i, layout) in layouts.iter().enumerate() {
            let Some(bytes) = now.take() else { break };
            let frames = Frames::new(self.scan.info().frame, 0, layout.count, bytes.as_slice())?;
            let tile = Tile {
                frames,
                layout,
                wanted: &wanted,
            };
            let (done, next) = rayon::join(
                || work(&tile),
                || {
                    let next = layouts.get(i + 1);
                    next.map(|next| self.load(next, Some((layout, frames)), control)).transpose()
                },
            );
            control.progress.advance(tile.points().count() as u64);
            match (done, next) {
                (Ok(()), Ok(next)) => now = next,
                (Err(e), _) | (_, Err(e)) => {
                    result = Err(e);
                    break;
                }
            }
        }
        control.progress.end();
        result
    }

    /// Rectangles that cover the selection.
    fn layouts(&self, most: usize, control: &Control) -> Result<Vec<Layout>> {
        let [ny, nx] = self.selection.nav();
        let stride = self.scan.info().frame.stride() as u64;
        let margin = 2 * self.reach;
        // Two tiles of frames at a time, and what the work on one of them takes.
        let each = 2 * stride + self.cost[0] + self.cost[1];
        let fit = (control.memory / 2 / each).min(most as u64) as usize;
        let aim = (control.block.unwrap_or(TILE) / stride) as usize;
        // Rows of the whole width that so many frames have room for besides their margin.
        let rows_of = |frames: usize| match frames / nx {
            n if n >= ny => ny,
            n => n.saturating_sub(margin),
        };
        // Whole rows, at least as many as the margin where they fit; else squares.
        let (columns, rows) = if rows_of(fit) > 0 {
            (nx, rows_of(aim.min(fit)).max(margin.min(rows_of(fit))).max(1))
        } else {
            let side = (fit as f64).sqrt() as usize;
            (side.saturating_sub(margin), side.saturating_sub(margin))
        };
        if columns == 0 {
            let what = format!(
                "a pattern with {} rows and columns of neighbours takes {} MB, more than the {} MB it may use",
                self.reach,
                (((margin + 1) * (margin + 1)) as u64 * each) >> 20,
                (fit as u64 * each) >> 20
            );
            return Err(Error::Memory { what });
        }
        let mut layouts = Vec::new();
        let wanted = self.selection.mask();
        for y in (0..ny).step_by(rows) {
            for x in (0..nx).step_by(columns) {
                let (rows, columns) = (y..(y + rows).min(ny), x..(x + columns).min(nx));
                let part = wanted.slice(ndarray::s![rows.clone(), columns.clone()]);
                if part.iter().any(|w| *w) {
                    layouts.push(self.layout(rows, columns));
                }
            }
        }
        Ok(layouts)
    }

    fn layout(&self, rows: Range<usize>, columns: Range<usize>) -> Layout {
        let [ny, nx] = self.selection.nav();
        let wider = |r: &Range<usize>, n: usize| r.start.saturating_sub(self.reach)..(r.end + self.reach).min(n);
        let (outer_rows, outer_columns) = (wider(&rows, ny), wider(&columns, nx));
        let mut count = 0;
        let mut places = Vec::with_capacity(outer_rows.len() * outer_columns.len());
        for y in outer_rows.clone() {
            for x in outer_columns.clone() {
                places.push(if self.present[[y, x]] { count } else { NONE });
                count += u32::from(self.present[[y, x]]);
            }
        }
        Layout {
            rows,
            columns,
            outer_rows,
            outer_columns,
            places,
            count: count as usize,
        }
    }

    /// The frames of a tile; those that the one before has too are copied.
    fn load(&self, layout: &Layout, before: Option<(&Layout, Frames<'_>)>, control: &Control) -> Result<Bytes> {
        control.check()?;
        let stride = self.scan.info().frame.stride();
        let nx = self.selection.nav()[1];
        let mut bytes = Bytes::new((layout.count * stride).max(stride));
        let mut numbers = Vec::with_capacity(layout.count);
        let mut copies = Vec::new();
        for y in layout.outer_rows.clone() {
            for x in layout.outer_columns.clone() {
                if layout.place(y, x).is_some() {
                    let from = before.as_ref().and_then(|(l, _)| l.place(y, x));
                    copies.push(from);
                    numbers.push((y * nx + x) as u64);
                }
            }
        }
        let slots = bytes.as_mut_slice().par_chunks_mut(stride * PIECE);
        let pieces = numbers.par_chunks(PIECE).zip(copies.par_chunks(PIECE));
        slots.zip(pieces).try_for_each(|(slots, (numbers, copies))| {
            if let (Some((_, frames)), true) = (&before, copies.iter().all(Option::is_some)) {
                for (slot, from) in slots.chunks_exact_mut(stride).zip(copies.iter().flatten()) {
                    slot.copy_from_slice(&frames.bytes()[from * stride..(from + 1) * stride]);
                }
                return Ok(());
            }
            control.check()?;
            self.scan.read(numbers, stride, &mut slots[..numbers.len() * stride], control)
        })?;
        Ok(bytes)
    }
}

/// Runs `work` on the device of `backend`, given with the bytes that its largest buffer may have, or on the CPU (`None`). As passes do: out of
/// memory it is tried again with half the bytes; a lost device is opened again, once; what a device cannot do the CPU does.
///
/// # Errors
/// Those of `work`.
pub fn on_backend<T>(backend: &Backend, what: &str, mut work: impl FnMut(Option<(&Arc<Gpu>, u64)>) -> Result<T>) -> Result<T> {
    let Backend::Gpu(device) = backend else { return work(None) };
    let mut lost = false;
    let mut largest = TILE;
    loop {
        let gpu = device.current();
        match work(Some((&gpu, largest.min(gpu.max_binding()).min(gpu.budget() / 4)))) {
            Err(Error::DeviceMemory(why)) if largest > 1 << 20 => {
                largest /= 2;
                log::warn!("GPU out of memory ({why}): {what} again with tiles of {} MiB", largest >> 20);
            }
            Err(Error::DeviceLost(why)) if !lost => {
                lost = true;
                log::warn!("GPU lost ({why}): opening it again and starting {what} over");
                drop(gpu);
                device.reopen()?;
            }
            Err(Error::TooLargeForDevice(why) | Error::Kernel(why)) => {
                log::warn!("{what}: {why}: this step runs on the CPU");
                return work(None);
            }
            result => return result,
        }
    }
}
