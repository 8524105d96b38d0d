//! Feature vectors and virtual detectors.

use super::super::case::OnFrames;
use super::super::data::Data;
use super::Cases;
use crate::analysis::template::Template;
use crate::backend::stage::Work;
use crate::error::Result;
use crate::kernels::displace;
use crate::kernels::masks::MaskStack;
use crate::ops::{Displaced, MaskProducts};
use crate::pixel::FrameShape;
use ndarray::Array2;
use std::sync::Arc;

/// Stamps as `cluster` makes them for small and for large disks, sparse rings as virtual detectors, full masks.
pub fn cases(data: &Arc<Data>) -> Cases {
    let shape = data.shape;
    let mut all = Vec::new();
    let sparse = "Loads of lanes and mask values: a multiply-add needs a load, and the core does twice as many of the former.";
    for (name, stack, note) in [
        (
            "300 stamps 7×7",
            stamps(shape, 300, 1.5, 2.5)?,
            "Turning pixels into lanes of frames, which takes as long as the sums; then loads.",
        ),
        ("300 stamps 45×45", stamps(shape, 300, 11.0, 22.0)?, sparse),
        ("16 sparse masks", rings(shape, 16), sparse),
        (
            "16 full masks",
            full(shape, 16),
            "Multiply-adds, with masks from the second-level cache.",
        ),
    ] {
        // A stamp larger than the frame would measure the frame's border.
        if matches!(&stack, MaskStack::Stamps { stamp, .. } if stamp.nrows() > shape.height.min(shape.width)) {
            continue;
        }
        let work = stack.work(shape);
        all.push(OnFrames::new(name, note, work, data, move |_, _| Ok(MaskProducts::owned(stack.clone()))).boxed());
    }
    let stack = stamps(shape, 300, 1.5, 2.5)?;
    let work = Work {
        operations: stack.work(shape).operations + displace::work(shape).operations,
        ..stack.work(shape)
    };
    let moved = move |_, frames: u64| {
        let shifts = (0..frames).map(|n| [n as f64 * 0.01 % 3.0, 0.5]).collect();
        Ok(Displaced::new(MaskProducts::owned(stack.clone()), shifts))
    };
    let note = "Interpolation of every pixel for the shift of its frame, beside which the stamps are little.";
    all.push(OnFrames::new("300 stamps 7×7, moved", note, work, data, moved).boxed());
    Ok(all)
}

/// Stamps of a disk with its background subtracted, spread over the frame.
fn stamps(shape: FrameShape, count: usize, radius: f64, outer: f64) -> Result<MaskStack> {
    let stamp = Template::named("background", radius, Some(outer))?.stamp().mapv(|v| v as f32);
    let place = |i: usize| [(i * 7919 % shape.height) as i32, (i * 104_729 % shape.width) as i32];
    Ok(MaskStack::Stamps {
        stamp,
        positions: (0..count).map(place).collect(),
    })
}

/// Rings about the centre that share the frame among them.
fn rings(shape: FrameShape, count: usize) -> MaskStack {
    let middle = [shape.height as f64 / 2.0, shape.width as f64 / 2.0];
    let most = middle[0].hypot(middle[1]);
    let ring = |i: usize| {
        let (y, x) = ((i / shape.width) as f64, (i % shape.width) as f64);
        ((y - middle[0]).hypot(x - middle[1]) / most * count as f64) as usize
    };
    let (mut indptr, mut indices) = (vec![0], Vec::new());
    for k in 0..count {
        indices.extend((0..shape.pixels()).filter(|&i| ring(i).min(count - 1) == k).map(|i| i as u32));
        indptr.push(indices.len() as u32);
    }
    MaskStack::Csr {
        values: vec![0.5; indices.len()],
        indptr,
        indices,
    }
}

fn full(shape: FrameShape, count: usize) -> MaskStack {
    MaskStack::Dense {
        rows: Array2::from_elem((count, shape.pixels()), 0.5),
    }
}
