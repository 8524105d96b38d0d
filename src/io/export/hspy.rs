//! Arrays as HyperSpy signals, one `.hspy` file each, with axes that know their names, steps and units.
//!
//! Layout: RosettaSciIO's hierarchical format, version 3.3; `scripts/check_hspy.py` opens what is written in HyperSpy.

use super::dataset::{Source, of_scan, parts, read, slab};
use crate::control::Control;
use crate::error::Result;
use crate::io::OpenOptions;
use crate::io::output;
use crate::io::results::{calibration, chunk_shape, hdf5_error, put_text};
use crate::io::write::hspy::{self, Described, Description};
use hdf5::{Group, H5Type};
use std::path::Path;

/// Writes a dataset to `target`, which does not exist yet.
pub(super) fn write<T: H5Type>(result: &Path, source: &Source, target: &Path) -> Result<()> {
    let temporary = output::temp_file(target, false)?.into_temp_path();
    let failed = |e: hdf5::Error| hdf5_error(target, "cannot write", &e);
    let file = hdf5::File::create(&temporary).map_err(failed)?;
    let axes = axes(result, source);
    let pixels = describe(&file, source, &axes)
        .and_then(|group| {
            let chunk = chunk_shape(&source.shape, size_of::<T>());
            let builder = group.new_dataset::<T>().shape(source.shape.clone()).chunk(chunk);
            let builder = if hdf5::filters::deflate_available() {
                builder.shuffle().deflate(4)
            } else {
                builder
            };
            builder.create("data")
        })
        .map_err(failed)?;
    for range in parts(&source.shape, size_of::<T>()) {
        let values = read::<T>(result, source, 0, range.clone())?;
        pixels
            .write_slice(&values, slab(source.shape.len(), 0, range))
            .map_err(failed)?;
    }
    drop(pixels);
    file.close().map_err(failed)?;
    output::persist(temporary, target, false)
}

/// The axes of a dataset: those of a result by their names and the scan's calibration, those of a scan as its reader sees them.
fn axes(result: &Path, source: &Source) -> Vec<Described> {
    if source.axes.iter().any(|a| !a.starts_with("index")) {
        let known = calibration(&source.dataset);
        let step = |name: &String| {
            known
                .iter()
                .find(|(n, _)| n == name || n == of_scan(name))
                .map(|(_, a)| a.clone())
                .unwrap_or_default()
        };
        return source
            .axes
            .iter()
            .map(|a| Described {
                name: a.clone(),
                step: step(a),
                offset: 0.0,
            })
            .collect();
    }
    let options = OpenOptions {
        dataset: Some(source.path.clone()),
        ..OpenOptions::default()
    };
    let names = ["scan_y", "scan_x", "y", "x"].map(str::to_owned);
    match crate::io::open(result, &options, &Control::new()) {
        Ok(scan) if source.shape.len() == 4 => {
            let info = scan.info();
            let steps = info.nav_axes.iter().chain(&info.sig_axes).cloned();
            names
                .into_iter()
                .zip(steps)
                .map(|(name, step)| Described { name, step, offset: 0.0 })
                .collect()
        }
        _ => source
            .axes
            .iter()
            .map(|a| Described {
                name: a.clone(),
                ..Described::default()
            })
            .collect(),
    }
}

/// How many axes at the end make one picture or spectrum; those before are navigated. Maps of the scan are pictures themselves.
fn signal_axes(axes: &[Described]) -> usize {
    let n = axes.len();
    let is = |i: usize, letter: char| {
        let name = of_scan(&axes[i].name);
        name.ends_with(letter) && (name.len() == 1 || name.ends_with(&format!("_{letter}")))
    };
    if n >= 2 && is(n - 2, 'y') && is(n - 1, 'x') {
        return 2;
    }
    match axes.iter().rposition(|a| of_scan(&a.name).starts_with("scan_")) {
        Some(last) if last + 1 < n => n - last - 1,
        _ => n.min(2),
    }
}

/// Everything but the values.
fn describe(file: &hdf5::File, source: &Source, axes: &[Described]) -> hdf5::Result<Group> {
    // Signals are found by names without a slash.
    let title = source.path.replace('/', " ");
    let group = hspy::put(
        file,
        &source.shape,
        &Description {
            title: title.clone(),
            axes: axes.to_vec(),
            navigated: axes.len() - signal_axes(axes),
            ..Description::default()
        },
    )?;
    let own = |name: &str| crate::io::h5::text::attribute_of(&source.dataset, name).filter(|t| !t.is_empty());
    if let Some(unit) = own("unit") {
        let signal = group.group("metadata/Signal")?;
        put_text(&signal, "quantity", &format!("{title} ({unit})"))?;
    }
    let original = group.group("original_metadata")?;
    for name in ["unit", "description"] {
        if let Some(text) = own(name) {
            put_text(&original, name, &text)?;
        }
    }
    Ok(group)
}
