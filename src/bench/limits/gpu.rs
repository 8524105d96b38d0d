//! Limits of a GPU: the bus both ways, its memory, multiply-adds, what a dispatch and a submission cost.

use super::super::timing::{Effort, time};
use super::{BYTES, Limit, OPERATIONS};
use crate::backend::gpu::{Gpu, Recorder, UploadRing};
use crate::control::Control;
use crate::error::Result;
use serde::Serialize;

/// Limits of one adapter.
#[derive(Debug, Clone, Serialize)]
pub struct GpuLimits {
    /// From host memory to device memory, the copy to a staging buffer included, two buffers in turn.
    pub upload: Limit,
    /// From device memory to where the host sees it.
    pub read_back: Limit,
    /// Inside device memory, bytes counted once: each is read and written.
    pub copy: Limit,
    /// Multiply-adds of float32, two operations each.
    pub multiply_add: Limit,
    /// Microseconds of one more dispatch in a submission.
    pub dispatch: Limit,
    /// Microseconds from a submission with one dispatch to its end.
    pub submission: Limit,
}

/// Measures all limits of `gpu`.
///
/// # Errors
/// What the device reports; [`crate::Error::Cancelled`].
pub fn measure(gpu: &Gpu, effort: Effort, control: &Control) -> Result<GpuLimits> {
    // Large enough that fixed costs vanish; small where the budget is.
    let size = (64u64 << 20).min(gpu.max_binding()).min(gpu.budget() / 8) & !15;
    let (a, b) = (gpu.buffer("bench from", size)?, gpu.buffer("bench to", size)?);
    let ring = UploadRing::new(gpu, 2, size)?;
    let host = vec![1u8; size as usize];
    let submit = |fill: &dyn Fn(&mut Recorder<'_>) -> Result<()>| -> Result<()> {
        let mut rec = Recorder::new(gpu)?;
        fill(&mut rec)?;
        // A read of four bytes makes the end known.
        rec.read(&b, 0, 4)?;
        rec.finish()?.wait_with(|_| ())
    };
    let upload = effort.measure(control, || {
        time(|| {
            // While one is copied on the device the next is staged.
            for _ in 0..2 {
                let mut rec = Recorder::new(gpu)?;
                rec.upload(ring.stage(gpu, &host)?, &a, 0)?;
                rec.finish()?;
            }
            submit(&|rec| rec.upload(ring.stage(gpu, &host)?, &b, 0))
        })
    })?;
    let back = size.min(32 << 20);
    let read_back = effort.measure(control, || {
        time(|| {
            let mut rec = Recorder::new(gpu)?;
            rec.read(&a, 0, back)?;
            rec.finish()?.wait_with(|_| ())
        })
    })?;
    let copies = 4;
    let copy = effort.measure(control, || {
        time(|| submit(&|rec| (0..copies).try_for_each(|_| rec.copy(&a, 0, &b, 0, size))))
    })?;
    let nothing = gpu.pipeline(
        "bench",
        include_str!("../../../shaders/bench/nothing.wgsl"),
        "nothing",
        &[],
        0,
        1,
    )?;
    let dispatches = |n: u32| {
        let nothing = &nothing;
        let b = &b;
        move |rec: &mut Recorder<'_>| (0..n).try_for_each(|i| rec.dispatch(nothing, &i.to_le_bytes(), &[b], 1))
    };
    const MANY: u32 = 200;
    let one = effort.measure(control, || time(|| submit(&dispatches(1))))?;
    let many = effort.measure(control, || time(|| submit(&dispatches(MANY))))?;
    let micro = |name: &str, scale: f64, from: f64, s: &super::Spread| Limit {
        name: name.into(),
        unit: "us",
        median: ((s.median_s - from) * scale).max(1e-3),
        low: ((s.low_s - from) * scale).max(1e-3),
        high: ((s.high_s - from) * scale).max(1e-3),
    };
    Ok(GpuLimits {
        upload: Limit::rate("upload", BYTES, 3.0 * size as f64, &upload),
        read_back: Limit::rate("read-back", BYTES, back as f64, &read_back),
        copy: Limit::rate("device copy", BYTES, (copies * size) as f64, &copy),
        multiply_add: multiply_add(gpu, effort, control)?,
        dispatch: micro("dispatch", 1e6 / f64::from(MANY - 1), one.median_s, &many),
        submission: micro("submission", 1e6, 0.0, &one),
    })
}

/// Grows the work until a submission is long enough to count, then measures it.
fn multiply_add(gpu: &Gpu, effort: Effort, control: &Control) -> Result<Limit> {
    let chains = gpu.pipeline(
        "bench",
        include_str!("../../../shaders/bench/multiply_add.wgsl"),
        "chains",
        &[],
        0,
        1,
    )?;
    let mut groups = 64u32;
    const STEPS: u32 = 512;
    loop {
        let out = gpu.buffer("bench results", u64::from(groups) * 1024)?;
        let run = || -> Result<f64> {
            time(|| {
                let mut params = STEPS.to_le_bytes().to_vec();
                params.extend([0.75f32, 0.25].iter().flat_map(|v| v.to_le_bytes()));
                params.extend(groups.to_le_bytes());
                let mut rec = Recorder::new(gpu)?;
                rec.dispatch(&chains, &params, &[&out], u64::from(groups))?;
                rec.read(&out, 0, 4)?;
                rec.finish()?.wait_with(|_| ())
            })
        };
        run()?;
        // A fast device has its clock up and its launch cost hidden after 20 ms.
        if run()? < 0.02 && groups < 1 << 16 {
            groups *= 4;
            continue;
        }
        let operations = f64::from(groups) * 256.0 * f64::from(STEPS) * 16.0 * 2.0;
        return Ok(Limit::rate(
            "multiply-add",
            OPERATIONS,
            operations,
            &effort.measure(control, run)?,
        ));
    }
}
