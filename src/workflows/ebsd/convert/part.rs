//! Conversions of patterns that can be interrupted.

use super::{Job, Params, complete};
use crate::error::{Error, Result};
use crate::io::ebsd::{Codec, Description, PatternWriter, Store};
use crate::io::output::check_free;
use crate::pixel::FrameShape;
use crate::workflows::unfinished::{Source, Unfinished};
use serde::Serialize;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use xxhash_rust::xxh3::Xxh3;

impl Job<'_> {
    /// Converts to `path` by way of `path.part`, going on where an earlier run stopped. Returns how many patterns that run had converted.
    pub(super) fn resumable(&self, what: &Description<'_>, path: &Path, overwrite: bool) -> Result<u64> {
        check_free(path, overwrite)?;
        let (layout, stack) = (self.params.target.layout(), self.params.target.stack());
        let part = Unfinished::of(path, "means");
        let task = self.task(what, path)?;
        let reopened = match part.claim(|_| false)? == task {
            true => reopen(&part, stack, self.frame, || {
                Store::resume_part(&part.file, path, layout, what, overwrite)
            })?,
            false => None,
        };
        let (store, writer, before) = match reopened {
            Some((store, writer, before)) if self.still_reads(&before)? => {
                log::info!("{}: going on after {} patterns", path.display(), before.len());
                (store, writer, before)
            }
            other => {
                // HDF5 must have closed the file before another takes its name.
                drop(other);
                part.begin(&task)?;
                let begun = Store::create_part(&part.file, path, layout, what, overwrite)
                    .and_then(|store| Ok((store.pattern_writer(stack, self.frame, Codec::None)?, store)));
                let (writer, store) = begun.inspect_err(|_| part.remove())?;
                (store, writer, Vec::new())
            }
        };
        let failed = |e| Error::io(&part.progress, "cannot write", e);
        let mut log = File::options()
            .append(true)
            .create(true)
            .open(&part.progress)
            .map_err(failed)?;
        let mut means = before;
        let resumed = means.len() as u64;
        let go_on = self.run(
            resumed,
            |block| {
                writer.sync()?;
                log.write_all(bytemuck::cast_slice(block)).map_err(failed)?;
                means.extend_from_slice(block);
                Ok(())
            },
            |first, bytes| writer.put(first, bytes),
        );
        if let Err(e) = go_on {
            log::warn!(
                "{} holds {} of {} patterns; the same command goes on from there",
                part.file.display(),
                means.len(),
                self.selection.len()
            );
            return Err(e);
        }
        drop(log);
        complete(store, writer, self.selection, &means)?;
        part.remove();
        Ok(resumed)
    }

    /// True if patterns that were converted, some of them, are still read as they were: the means before binning are known to the bit. What
    /// flags change (--names, --bad-pixels, --offset) shows in pixels, even where the input is the same file.
    fn still_reads(&self, means: &[f64]) -> Result<bool> {
        let count = means.len() as u64;
        let mut samples: Vec<u64> = (0..SAMPLES).map(|i| i * count.saturating_sub(1) / (SAMPLES - 1)).collect();
        samples.dedup();
        for number in samples.into_iter().filter(|&n| n < count) {
            let (_, now) = self.piece(number, number + 1)?;
            let bits = |v: Option<&f64>| v.map(|v| v.to_bits());
            if bits(now.first()) != bits(means.get(number as usize)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What is being done, so that only the same work is taken up again.
    fn task(&self, what: &Description<'_>, path: &Path) -> Result<String> {
        #[derive(Serialize)]
        struct Task<'a> {
            #[serde(flatten)]
            source: Source,
            format: &'a str,
            dataset: &'a str,
            stored: &'a str,
            /// Hash of all that is written besides patterns: it is written first and not looked at again.
            description: String,
            patterns: u64,
            shape: [usize; 4],
            pixel: &'a str,
            params: &'a Params,
        }
        let info = self.scan.info();
        let task = Task {
            source: Source::of(&info.path, path)?,
            format: info.format,
            dataset: info.dataset.as_deref().unwrap_or_default(),
            stored: &info.stored,
            description: description(what),
            patterns: self.selection.len(),
            shape: [info.nav[0], info.nav[1], self.frame.height, self.frame.width],
            pixel: self.frame.pixel.name(),
            params: self.params,
        };
        crate::workflows::to_toml(&task)
    }
}

/// Patterns that are read again before a conversion goes on.
const SAMPLES: u64 = 16;

/// A hash of everything that a file is told besides its patterns.
fn description(what: &Description<'_>) -> String {
    let mut hash = Xxh3::new();
    let mut text = |part: &dyn std::fmt::Debug| hash.update(format!("{part:?};").as_bytes());
    text(&(what.present.dim(), what.pattern, what.steps.map(|s| s.map(f64::to_bits))));
    text(&(&what.data.phases, &what.data.orientation_frame));
    let geometry = what.geometry;
    text(&[geometry.sample_tilt, geometry.camera_tilt, geometry.voltage].map(|v| v.map(f64::to_bits)));
    let columns = what.data.columns();
    text(&columns.iter().map(|c| (&c.name, c.unit)).collect::<Vec<_>>());
    let (pc, background) = (geometry.pc.as_ref(), what.static_background);
    text(&(pc.map(|p| p.dim()), background.map(|b| b.dim())));
    what.present.iter().for_each(|&p| hash.update(&[u8::from(p)]));
    let values = columns.iter().flat_map(|c| &c.values);
    for value in values.chain(pc.into_iter().flatten()).chain(background.into_iter().flatten()) {
        hash.update(&value.to_bits().to_le_bytes());
    }
    format!("{:032x}", hash.digest128())
}

/// The unfinished file and the means of the patterns in it, if it can be read.
fn reopen(
    part: &Unfinished,
    stack: &str,
    frame: FrameShape,
    open: impl FnOnce() -> Result<Store>,
) -> Result<Option<(Store, PatternWriter, Vec<f64>)>> {
    let opened = open().and_then(|store| Ok((store.resume_writer(stack, frame)?, store)));
    let Ok((Some(writer), store)) = opened else { return Ok(None) };
    let failed = |e| Error::io(&part.progress, "cannot read", e);
    let mut bytes = Vec::new();
    let mut log = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&part.progress)
        .map_err(failed)?;
    (&mut log).take(8 * writer.count()).read_to_end(&mut bytes).map_err(failed)?;
    let means: Vec<f64> = bytes.as_chunks::<8>().0.iter().map(|b| f64::from_ne_bytes(*b)).collect();
    // A mean that was cut in the middle is written anew.
    log.set_len(8 * means.len() as u64).map_err(failed)?;
    Ok(Some((store, writer, means)))
}
