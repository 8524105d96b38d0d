//! Frames in, frames out.

use super::super::case::OnFrames;
use super::super::data::Data;
use super::Cases;
use crate::engine::FrameSink;
use crate::error::Result;
use crate::kernels::framemap::Params;
use crate::ops::FrameMap;
use std::sync::{Arc, Mutex};

/// Logarithms of whole frames; frames binned 2 × 2.
pub fn cases(data: &Arc<Data>) -> Cases {
    let case = |name, bin, log, note| {
        let params = Params { bin, log };
        let make = move |_, _| {
            Ok(FrameMap::new(
                params,
                Arc::new(Mutex::new(Box::new(Nowhere) as Box<dyn FrameSink>)),
            ))
        };
        Ok(OnFrames::new(name, note, params.work(data.shape)?, data, make).boxed())
    };
    [
        (
            "log frames",
            1,
            true,
            "The logarithm of every pixel, and writing frames of float32, two or four times as large as the pixels.",
        ),
        (
            "binned 2×2",
            2,
            false,
            "Adding neighbours in a row, for which vectors must be taken apart.",
        ),
    ]
    .into_iter()
    .map(|(name, bin, log, note)| case(name, bin, log, note))
    .collect()
}

struct Nowhere;

impl FrameSink for Nowhere {
    fn put(&mut self, _: u64, _: usize, values: &[f32]) -> Result<()> {
        std::hint::black_box(values);
        Ok(())
    }
    fn restart(&mut self) -> Result<()> {
        Ok(())
    }
}
