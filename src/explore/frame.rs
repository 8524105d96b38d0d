//! Frames to look at: as they are, the mean of neighbours, raw or processed.

use super::sources::Source;
use crate::backend::cpu::isa::Isa;
use crate::control::Control;
use crate::error::{Error, Result};
use crate::kernels::pattern::Plan;
use crate::kernels::pattern::cpu::Worker;
use crate::pixel::{FrameShape, Frames, Pixel, Sample};
use crate::with_pixel;
use crate::workflows::ebsd::process::{DynamicArg, Params, StaticArg};
use rayon::prelude::*;
use std::sync::{Arc, PoisonError};

/// Largest radius of neighbour averages.
pub const MAX_RADIUS: usize = 10;
/// Frames that are read together for an average.
const BATCH: usize = 16;

/// Pixels of a frame in their own type, C order.
pub struct Picture {
    pub shape: FrameShape,
    pub bytes: Vec<u8>,
    /// Frames that it is the mean of.
    pub frames: usize,
}

/// Which frame, and what is done with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    pub at: [usize; 2],
    /// Half width of the square of positions whose mean is taken; 0: the frame alone.
    pub radius: usize,
    /// The chain of `ebsd process`.
    pub process: Option<Params>,
}

impl Wanted {
    /// Bytes that answering takes at once.
    pub fn cost(&self, source: &Source) -> u64 {
        let shape = source.scan().info().frame;
        let batch = if self.radius == 0 { 1 } else { BATCH as u64 };
        batch * (shape.stride() as u64 + 8 * shape.pixels() as u64) + 8 * shape.pixels() as u64
    }
}

/// Reads a frame.
///
/// # Errors
/// [`Error::Parameter`] for a position outside of the scan or without a frame; whatever reading reports.
pub fn read(source: &Source, wanted: &Wanted, control: &Control) -> Result<Picture> {
    let info = source.scan().info();
    let ([ny, nx], [y, x]) = (info.nav, wanted.at);
    let shape = info.frame;
    if source.map.present.get((y, x)) != Some(&true) {
        let what = match y < ny && x < nx {
            true => format!("there is no frame at ({y}, {x})"),
            false => format!("({y}, {x}) lies outside the scan of {ny}×{nx}"),
        };
        return Err(Error::parameter("--at", what));
    }
    let plan = wanted.process.as_ref().map(|p| chain(source, p)).transpose()?;
    if wanted.radius == 0 {
        let mut bytes = Bytes::new(shape.stride());
        let frames = bytes.read(source, &[(y * nx + x) as u64], control)?;
        return match plan {
            None => Ok(Picture {
                shape,
                bytes: frames.bytes()[..shape.bytes()].to_vec(),
                frames: 1,
            }),
            Some(plan) => Ok(Picture {
                shape: plan.output(),
                bytes: with_pixel!(shape.pixel, T => processed(&plan, frames.frame::<T>(0))),
                frames: 1,
            }),
        };
    }
    let near = |at: usize, n: usize| at.saturating_sub(wanted.radius)..(at + wanted.radius + 1).min(n);
    let places = near(y, ny).flat_map(|j| near(x, nx).map(move |i| (j, i)));
    let numbers: Vec<u64> = places
        .filter(|p| source.map.present[*p])
        .map(|(j, i)| (j * nx + i) as u64)
        .collect();
    let out = plan.as_ref().map_or(shape, |p| p.output());
    let mut sum = vec![0f64; out.pixels()];
    let mut bytes = Bytes::new(BATCH * shape.stride());
    for batch in numbers.chunks(BATCH) {
        let frames = bytes.read(source, batch, control)?;
        let add = |sum: &mut [f64], values: &[f64]| sum.iter_mut().zip(values).for_each(|(s, v)| *s += v);
        match &plan {
            None => with_pixel!(shape.pixel, T => {
                for i in 0..batch.len() {
                    sum.iter_mut().zip(frames.frame::<T>(i)).for_each(|(s, v)| *s += v.to_f64());
                }
            }),
            Some(plan) => {
                let done: Vec<Vec<f64>> = (0..batch.len())
                    .into_par_iter()
                    .map(|i| with_pixel!(shape.pixel, T => floats(out.pixel, &processed(plan, frames.frame::<T>(i)))))
                    .collect();
                done.iter().for_each(|values| add(&mut sum, values));
            }
        }
    }
    let n = numbers.len() as f64;
    let mean: Vec<f32> = sum.iter().map(|s| (s / n) as f32).collect();
    Ok(Picture {
        shape: FrameShape {
            pixel: Pixel::F32,
            ..out
        },
        bytes: bytemuck::cast_slice(&mean).to_vec(),
        frames: numbers.len(),
    })
}

/// Pixels as numbers.
pub fn floats(pixel: Pixel, bytes: &[u8]) -> Vec<f64> {
    with_pixel!(pixel, T => bytes
        .chunks_exact(pixel.bytes())
        .map(|b| bytemuck::pod_read_unaligned::<T>(b).to_f64())
        .collect())
}

fn processed<T: Sample>(plan: &Arc<Plan>, raw: &[T]) -> Vec<u8> {
    let mut out = Vec::with_capacity(plan.output().bytes());
    Worker::new(Isa::active(), Arc::clone(plan)).run(raw, &mut out);
    out.truncate(plan.output().bytes());
    out
}

/// The chain for the patterns of `source`; without a static background in the file the step is left out.
fn chain(source: &Source, params: &Params) -> Result<Arc<Plan>> {
    let mut params = params.clone();
    let background = source.map.static_background.as_ref();
    if background.is_none() {
        params.static_background = StaticArg::None;
    }
    let key = format!("{params:?}");
    let mut kept = source.chain.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((made_for, plan)) = &*kept
        && *made_for == key
    {
        return Ok(Arc::clone(plan));
    }
    let frame = source.scan().info().frame;
    let (chain, _) = params.chain(frame.pixel, background)?;
    let plan = Plan::new(frame, &chain)?;
    *kept = Some((key, Arc::clone(&plan)));
    Ok(plan)
}

/// Parameters of the chain from what the page says: `low-pass sigma`, and whether backgrounds are divided, subtracted or left.
///
/// # Errors
/// [`Error::Parameter`] for anything else.
pub fn parameters(sigma: Option<&str>, fixed: Option<&str>, dynamic: Option<&str>) -> Result<Params> {
    let mut params = Params::default();
    let bad = |name: &str, text: &str| Error::parameter(name, format!("'{text}' is not known"));
    if let Some(text) = sigma {
        params.sigma = text.parse().map_err(|_| bad("--sigma", text))?;
    }
    params.static_background = match fixed {
        None | Some("divide") => StaticArg::Divide,
        Some("subtract") => StaticArg::Subtract,
        Some("none") => StaticArg::None,
        Some(text) => return Err(bad("--static", text)),
    };
    params.dynamic = match dynamic {
        None | Some("divide") => DynamicArg::Divide,
        Some("subtract") => DynamicArg::Subtract,
        Some("none") => DynamicArg::None,
        Some(text) => return Err(bad("--dynamic", text)),
    };
    Ok(params)
}

/// Room for some frames at an alignment that views accept.
struct Bytes(Vec<u64>);

impl Bytes {
    fn new(bytes: usize) -> Self {
        Bytes(vec![0; bytes.div_ceil(8)])
    }
    fn read(&mut self, source: &Source, numbers: &[u64], control: &Control) -> Result<Frames<'_>> {
        let shape = source.scan().info().frame;
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut self.0);
        source.scan().read(numbers, shape.stride(), bytes, control)?;
        Frames::new(shape, 0, numbers.len(), bytes)
    }
}
