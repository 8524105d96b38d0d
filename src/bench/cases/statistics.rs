//! Statistics of every pixel.

use super::super::case::OnFrames;
use super::super::data::Data;
use super::Cases;
use crate::kernels::statistics::{Params, work};
use crate::ops::Statistics;
use std::sync::Arc;

/// Sum; with squares; with extrema too.
pub fn cases(data: &Arc<Data>) -> Cases {
    let case = |name, squares, extrema, note| {
        let params = Params { squares, extrema };
        OnFrames::new(name, note, work(data.shape, &params), data, move |_, _| {
            Ok(Statistics(params))
        })
        .boxed()
    };
    Ok(vec![
        case(
            "sum",
            false,
            false,
            "Loads of pixels from memory; widening them takes about as many instructions as adding them.",
        ),
        case(
            "sum+std",
            true,
            false,
            "Widening pixels and splitting squares so that partial sums stay narrow: shuffles, which one port of the core does.",
        ),
        case(
            "sum+std+min+max",
            true,
            true,
            "As sum+std; extrema go through the frames of a piece a second time, out of the cache.",
        ),
    ])
}
