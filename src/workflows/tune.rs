//! Measures which forms of the GPU kernels are fastest on a device, and remembers it for the next runs. Results do not depend
//! on the choice.

use crate::backend::gpu::{Gpu, Tuning};
use crate::control::Control;
use crate::engine::{Backend, Operator, Pass, Resident, Selection};
use crate::error::{Error, Result};
use crate::io::Scan;
use crate::io::memory::MemoryScan;
use crate::io::output::write_file;
use crate::kernels::masks::MaskStack;
use crate::kernels::statistics;
use crate::ops::{MaskProducts, Statistics};
use ndarray::Array2;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// One choice and how long the device took with it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    pub tuning: Tuning,
    /// Seconds of the kernels on frames that lie on the device.
    pub seconds: f64,
}

/// Tries every candidate on `frames` frames of 256 × 256 16-bit pixels, two runs each, and returns them fastest first. The device
/// keeps the best.
///
/// # Errors
/// [`Error::Memory`], [`Error::Device`], as any pass.
pub fn measure(gpu: Gpu, frames: usize, control: &Control) -> Result<Vec<Measured>> {
    let candidates = Tuning::candidates(&gpu.summary);
    let pixels = (0..frames.max(64) * 65536).map(|i| (i as u32).wrapping_mul(2_654_435_761) as u16 >> 6);
    let scan = MemoryScan::new([1, frames.max(64)], [256, 256], pixels.collect())?;
    let stack = MaskStack::Stamps {
        stamp: Array2::from_elem((9, 9), 1.0),
        positions: (0..300).map(|i| [i * 37 % 256, i * 53 % 256]).collect(),
    };
    let backend = Backend::gpu(gpu);
    let Backend::Gpu(device) = &backend else {
        return Err(Error::Internal("tuning without a GPU".into()));
    };
    let resident = Resident::new(0);
    let moments = statistics::Params {
        squares: true,
        extrema: true,
    };
    let mut all = Vec::new();
    for tuning in candidates {
        device.current().set_tuning(tuning);
        // The first round builds kernels and, once, uploads the frames.
        let mut seconds = f64::INFINITY;
        for _ in 0..2 {
            let run = time(Statistics(moments), &scan, &backend, &resident, control)?
                + time(MaskProducts::new(&stack), &scan, &backend, &resident, control)?;
            seconds = seconds.min(run);
        }
        all.push(Measured { tuning, seconds });
    }
    all.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    if let Some(best) = all.first() {
        device.current().set_tuning(best.tuning);
    }
    Ok(all)
}

/// Seconds of a pass on the device, by its own clock where it has one.
fn time<O: Operator>(operator: O, scan: &dyn Scan, backend: &Backend, resident: &Resident, control: &Control) -> Result<f64> {
    let selection = Selection::all(scan.info().nav);
    let mut pass = Pass::new("tuning", scan, &selection);
    let handle = pass.add(operator);
    let mut done = pass.run(backend, resident, control)?;
    done.take(handle)?;
    let t = done.times();
    Ok(if t.device > 0.0 { t.device } else { t.wall })
}

/// What was measured on the adapters of this machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Remembered {
    #[serde(default)]
    adapter: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    driver: String,
    tuning: Tuning,
}

/// Where results of tuning lie: `emstream/tuning.toml` in the user's cache folder. `None` where there is none.
pub fn cache_file() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let cache = folder("XDG_CACHE_HOME")
        .or_else(|| folder("LOCALAPPDATA"))
        .or_else(|| folder("HOME").map(|home| home.join(".cache")))?;
    Some(cache.join("emstream").join("tuning.toml"))
}

/// What was measured for this device and driver, if anything.
///
/// # Errors
/// [`Error::Io`] for a file that cannot be read, [`Error::Format`] for one that says something else.
pub fn recall(file: &Path, gpu: &Gpu) -> Result<Option<Tuning>> {
    let all = read(file)?;
    let of = |e: &&Entry| e.name == gpu.summary.name && e.driver == gpu.summary.driver;
    Ok(all.adapter.iter().find(of).map(|e| e.tuning.within(&gpu.summary)))
}

/// Remembers what is best for an adapter. A file that says something else is written anew.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read or written.
pub fn remember(file: &Path, name: &str, driver: &str, tuning: Tuning) -> Result<()> {
    let mut all = match read(file) {
        Err(e @ Error::Format { .. }) => {
            log::warn!("{e}; it is written anew");
            Remembered::default()
        }
        other => other?,
    };
    all.adapter.retain(|e| e.name != name || e.driver != driver);
    all.adapter.push(Entry {
        name: name.to_owned(),
        driver: driver.to_owned(),
        tuning,
    });
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, "cannot create", e))?;
    }
    let text = toml::to_string(&all).map_err(|e| Error::Internal(format!("tuning as TOML: {e}")))?;
    write_file(file, true, text.as_bytes())
}

fn read(file: &Path) -> Result<Remembered> {
    match std::fs::read_to_string(file) {
        Ok(text) => toml::from_str(&text).map_err(|e| Error::format(file, "tuning", e.message())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Remembered::default()),
        Err(e) => Err(Error::io(file, "cannot read", e)),
    }
}
