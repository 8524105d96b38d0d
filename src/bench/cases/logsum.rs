//! The log-sum.

use super::super::case::OnFrames;
use super::super::data::Data;
use super::Cases;
use crate::kernels::logsum::work;
use crate::ops::LogSum;
use std::sync::Arc;

/// Over all frames; one sum for each of three labels in runs of five frames, as at the borders of crystallites.
pub fn cases(data: &Arc<Data>) -> Cases {
    let work = work(data.shape);
    let note = "Conversion of pixels to float32 before the products, and for wide pixels the logarithm itself.";
    let labelled = |_, frames: u64| {
        let labels: Arc<[i32]> = (0..frames).map(|n| (n / 5 % 3) as i32).collect();
        Ok(LogSum::by_label(labels))
    };
    Ok(vec![
        OnFrames::new("log-sum", note, work, data, |_, _| Ok(LogSum::all())).boxed(),
        OnFrames::new(
            "log-sum, 3 labels",
            "Groups of frames that a border cuts take a logarithm for each side.",
            work,
            data,
            labelled,
        )
        .boxed(),
    ])
}
