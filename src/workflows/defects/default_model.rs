//! The network that marks defects before anyone has trained one.

use crate::error::{Error, Result};
use crate::io::ScanInfo;
use crate::io::keras::{self, Model};
use std::io::Write;

/// `scripts/train-default` makes it.
const FILE: &[u8] = include_bytes!("../../../assets/defects_ws2.h5");
/// Sizes of pixels that it has seen, in nm.
const SEEN: [f64; 2] = [0.025, 0.036];

/// The default network: the published architecture, trained on simulated HAADF movies of WS₂ (`scripts/train-default`). Its notes say so, and whether the pixels
/// of `info` are of another size than those it has seen.
///
/// # Errors
/// [`Error::Io`] if there is no room for a temporary file, from which it is read.
pub fn default_model(info: &ScanInfo) -> Result<Model> {
    let failed = |e| {
        Error::io(
            std::env::temp_dir(),
            "cannot put the default network into a temporary file",
            e,
        )
    };
    let mut file = tempfile::Builder::new().suffix(".h5").tempfile().map_err(failed)?;
    file.write_all(FILE).and_then(|()| file.flush()).map_err(failed)?;
    let mut model = keras::read_model(file.path())?;
    model.notes.push(
        "no --model is given: the default network is used; it knows WS2 in HAADF movies from simulations (`scripts/train-default`)".into(),
    );
    for axis in &info.sig_axes {
        let size = match (axis.scale, axis.unit.as_str()) {
            (Some(s), "nm") => s.abs(),
            (Some(s), "Å" | "A") => s.abs() / 10.0,
            (Some(s), "pm") => s.abs() / 1000.0,
            _ => continue,
        };
        // Half a percent for calibrations in float32.
        if !(0.995 * SEEN[0]..=1.005 * SEEN[1]).contains(&size) {
            model.notes.push(format!(
                "pixels of {size} nm: the default network has seen {} to {} nm and may find little; train one on such frames",
                SEEN[0], SEEN[1]
            ));
            break;
        }
    }
    Ok(model)
}
