//! CPU path: sixteen crops side by side; whole frames sixteen columns side by side.
//!
//! What limits it: windows of 8 × 8, converting and turning over rows of eight pixels; windows of 44 × 44, additions of the transforms (no
//! fused multiply-add, see [`crate::backend::cpu::isa`]), half of the time in butterflies of 11.

mod crop;
mod evaluate;
mod sums;
mod upsample;

use self::crop::Shifted;
use self::evaluate::{Found, Maps, evaluate};
use self::sums::{FullFrames, Group, Pending, Windows};
use self::upsample::Finer;
use super::{Method, Part, Peak, Plan};
use crate::backend::cpu::isa::Isa;
use crate::backend::cpu::lanes::LANES;
use crate::backend::stage::{Cost, CpuStage};
use crate::error::Result;
use crate::pixel::{Frames, LEAF, Pixel};
use std::sync::Arc;

/// A stage for one worker.
///
/// # Errors
/// None in practice: the plan was checked.
pub fn stage(plan: &Arc<Plan>) -> Result<Box<dyn CpuStage<Part = Part>>> {
    stage_on(plan, Isa::active())
}

/// A stage that uses a given instruction set.
///
/// # Errors
/// As [`stage`].
pub fn stage_on(plan: &Arc<Plan>, isa: Isa) -> Result<Box<dyn CpuStage<Part = Part>>> {
    Ok(match plan.shape.pixel {
        Pixel::U8 => Box::new(Stage::<u8>::new(plan, isa)),
        Pixel::I8 => Box::new(Stage::<i8>::new(plan, isa)),
        Pixel::U16 => Box::new(Stage::<u16>::new(plan, isa)),
        Pixel::I16 => Box::new(Stage::<i16>::new(plan, isa)),
        Pixel::U32 => Box::new(Stage::<u32>::new(plan, isa)),
        Pixel::I32 => Box::new(Stage::<i32>::new(plan, isa)),
        Pixel::F32 => Box::new(Stage::<f32>::new(plan, isa)),
    })
}

/// Memory of one worker: lanes of crops or two whole frames in transforms, and the peaks of a leaf.
pub fn cost(plan: &Plan) -> Cost {
    let sums = match plan.params.method {
        Method::Full => FullFrames::bytes(plan),
        _ => Windows::bytes(plan),
    };
    let n = plan.window() as u64;
    let finer = plan.params.upsample.map_or(0, |u| Finer::bytes(u, plan.period()));
    let peaks = LEAF * (plan.most() * size_of::<Peak>()) as u64;
    Cost {
        fixed: sums + 64 * n * n + finer + 2 * peaks,
        per_frame: 0,
    }
}

/// A window that waits in a lane: where its peak goes, and the position (y, x) of its first pixel.
#[derive(Debug, Clone, Copy)]
struct Window {
    peak: usize,
    origin: [i32; 2],
}

struct Stage<T> {
    isa: Isa,
    plan: Arc<Plan>,
    part: Part,
    work: Work,
    finish: Finish,
    pixel: std::marker::PhantomData<fn() -> T>,
}

enum Work {
    Crops(Windows),
    Full(FullFrames),
}

/// From maps to peaks.
struct Finish {
    finer: Option<Finer>,
    found: [Found; LANES],
    /// One map of correlations (upsampling).
    single: Vec<f32>,
}

impl Finish {
    /// Evaluates the maps of one lane group; windows that are `None` are left out. Upsampling takes C from `whole`, a map of the
    /// whole frame in C order of (h, w) pixels, or else from the window itself.
    fn peaks(
        &mut self,
        isa: Isa,
        maps: Maps<'_>,
        windows: &[Option<Window>; LANES],
        whole: Option<(&[f32], usize, usize)>,
        peaks: &mut [Peak],
    ) {
        evaluate(isa, &maps, &mut self.found);
        for (lane, window) in windows.iter().enumerate() {
            let Some(window) = window else { continue };
            let found = &self.found[lane];
            let center = [window.origin[0] + found.at[0] as i32, window.origin[1] + found.at[1] as i32];
            let mut shift = found.shift;
            if let Some(finer) = &mut self.finer {
                shift = match whole {
                    Some((map, h, w)) => {
                        let at = [center[0].rem_euclid(h as i32), center[1].rem_euclid(w as i32)];
                        finer.shift(isa, map, at.map(|v| v as usize))
                    }
                    None => {
                        self.single.clear();
                        self.single.extend(maps.values().map(|v| v.0[lane]));
                        finer.shift(isa, &self.single, found.at.map(|v| v as usize))
                    }
                };
            }
            if let Some(peak) = peaks.get_mut(window.peak) {
                *peak = Peak {
                    center: center.map(|v| v as i16),
                    refined: [center[0] as f32 + shift[0], center[1] as f32 + shift[1]],
                    height: found.height,
                    elevation: found.elevation,
                };
            }
        }
    }
}

impl<T: Shifted> Stage<T> {
    fn new(plan: &Arc<Plan>, isa: Isa) -> Self {
        let work = match plan.params.method {
            Method::Full => Work::Full(FullFrames::new(plan)),
            _ => Work::Crops(Windows::new(plan)),
        };
        let finer = plan.params.upsample.map(|u| Finer::new(u, plan.period(), plan.params.recipe));
        Stage {
            isa,
            plan: plan.clone(),
            part: Part::default(),
            work,
            finish: Finish {
                finer,
                found: [Found::default(); LANES],
                single: Vec::new(),
            },
            pixel: std::marker::PhantomData,
        }
    }
}

impl<T: Shifted> CpuStage for Stage<T> {
    type Part = Part;

    fn frames(&mut self, frames: Frames<'_>) -> Result<()> {
        let Stage {
            isa,
            plan,
            part,
            work,
            finish,
            ..
        } = self;
        if part.offsets.is_empty() {
            // Room for the leaf, so that nothing grows frame by frame.
            let leaf = frames.first()..(frames.first() / LEAF + 1) * LEAF;
            part.offsets.reserve_exact(LEAF as usize + 1);
            part.peaks.reserve_exact(leaf.map(|n| plan.expected(n).len()).sum());
            part.first = frames.first();
            part.offsets.push(0);
        }
        let mut next = part.peaks.len();
        for i in 0..frames.count() {
            let total = part.peaks.len() + plan.expected(frames.first() + i as u64).len();
            part.peaks.resize(total, Peak::default());
            part.offsets.push(total as u32);
        }
        let peaks = &mut part.peaks;
        match work {
            Work::Crops(windows) => {
                let mut pending = Pending::new();
                let mut done = |maps: Maps<'_>, w: &Group| finish.peaks(*isa, maps, w, None, peaks);
                for i in 0..frames.count() {
                    let expected = plan.expected(frames.first() + i as u64);
                    windows.frame(*isa, plan, frames.frame::<T>(i), expected, next, &mut pending, &mut done);
                    next += expected.len();
                }
                windows.flush(*isa, plan, &mut pending, &mut done);
            }
            Work::Full(full) => {
                // Pairs by number in the selection; a cut inside a leaf is at a multiple of 8.
                let mut i = 0;
                while i < frames.count() {
                    let number = frames.first() + i as u64;
                    let members = if number.is_multiple_of(2) {
                        [Some(i), Some(i + 1)]
                    } else {
                        [None, Some(i)]
                    };
                    let members = members.map(|m| m.filter(|&m| m < frames.count()));
                    let expected = members.map(|m| m.map_or(&[][..], |m| plan.expected(frames.first() + m as u64)));
                    let pixels = [0, 1].map(|k| members[k].filter(|_| !expected[k].is_empty()).map(|m| frames.frame::<T>(m)));
                    full.pair(*isa, plan, pixels, expected, next, |maps, w, whole| {
                        finish.peaks(*isa, maps, w, Some(whole), peaks)
                    });
                    next += expected[0].len() + expected[1].len();
                    i += if number.is_multiple_of(2) { 2 } else { 1 };
                }
            }
        }
        Ok(())
    }

    fn end_leaf(&mut self) -> Result<Option<Part>> {
        Ok(Some(std::mem::take(&mut self.part)))
    }

    fn finish(&mut self) -> Result<Option<Part>> {
        Ok(None)
    }
}
