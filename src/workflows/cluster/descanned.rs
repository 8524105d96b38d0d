//! Frames without descan: their maps, and operators that see them.

use crate::control::Control;
use crate::engine::{Backend, Handle, Operator, Pass, Resident, Selection};
use crate::error::Result;
use crate::io::Scan;
use crate::kernels::statistics::{self, Part as Moments};
use crate::ops::{Displaced, LogSum, Statistics};
use crate::workflows::descan::Track;
use crate::workflows::{Timings, frame_array, single_logsum};
use ndarray::Array2;

/// Descan, and maps of the frames without it.
pub struct Descanned {
    pub track: Track,
    /// Population standard deviation of the frames moved by whole pixels (h, w).
    pub std: Array2<f64>,
    /// Their log-sum (h, w).
    pub logsum: Array2<f64>,
}

impl Descanned {
    /// One pass: standard deviation and log-sum of frames moved by whole pixels.
    pub(super) fn new(
        track: Track,
        scan: &dyn Scan,
        selection: &Selection,
        backend: &Backend,
        resident: &Resident,
        control: &Control,
        timings: &mut Timings,
    ) -> Result<Descanned> {
        let frame = scan.info().frame;
        // Interpolated frames have less noise between pixels than on them, which would make peaks.
        let whole = track.whole();
        let mut pass = Pass::new("statistics without descan", scan, selection);
        let moments = pass.add(Displaced::new(
            Statistics(statistics::Params {
                squares: true,
                extrema: false,
            }),
            whole.clone(),
        ));
        let sums = pass.add(Displaced::new(LogSum::all(), whole));
        let mut done = timings.pass("statistics without descan", scan, selection, || {
            pass.run(backend, resident, control)
        })?;
        let moments: Moments = done.take(moments)?;
        let std = track.covered(frame_array(frame, moments.std())?);
        let logsum = track.covered(frame_array(frame, single_logsum(done.take(sums)?, frame))?);
        Ok(Descanned { track, std, logsum })
    }
}

/// Adds an operator to a pass, on moved frames if descan is taken out.
pub(super) fn moved<'a, O: Operator + 'a>(pass: &mut Pass<'a>, descan: Option<&Descanned>, operator: O) -> Handle<O::Output> {
    match descan {
        Some(d) => pass.add(Displaced::new(operator, d.track.shifts.clone())),
        None => pass.add(operator),
    }
}
