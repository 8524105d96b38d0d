//! No command replaces what it reads: `--overwrite` is for earlier results, not for measured data.

use clap::ArgMatches;
use clap::parser::ValueSource;
use emstream::{Error, Result};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Flags that name what a command writes; everything else that names a file is read.
const OUTPUTS: [&str; 5] = ["output", "write", "save_mask", "json", "figure"];

/// Refuses outputs that are inputs, those that a parameter file names too, or folders of results that hold one. Parameter files may lie in the
/// folder: they are written again.
///
/// # Errors
/// [`Error::Parameter`] naming the flag of the output.
pub(super) fn inputs(matches: &ArgMatches) -> Result<()> {
    let (mut name, mut of_command) = ("", matches);
    while let Some((inner, sub)) = of_command.subcommand() {
        (name, of_command) = (inner, sub);
    }
    let typed: Vec<(&str, &OsStr)> = of_command
        .ids()
        .map(clap::Id::as_str)
        .filter(|id| of_command.value_source(id) == Some(ValueSource::CommandLine))
        .filter_map(|id| Some((id, of_command.try_get_raw(id).ok()??)))
        .flat_map(|(id, values)| values.map(move |v| (id, v)))
        .collect();
    let (outputs, inputs): (Vec<_>, Vec<_>) = typed.into_iter().partition(|(id, _)| OUTPUTS.contains(id));
    for (i, (id, output)) in outputs.iter().enumerate() {
        let same = |other: &OsStr| place(Path::new(other)) == place(Path::new(output));
        if let Some((other, _)) = outputs[..i].iter().find(|(_, o)| same(o)) {
            let what = format!("{} would replace what {} writes", output.display(), flag_of(other));
            return Err(Error::parameter(flag_of(id), what));
        }
    }
    let of_files = inputs.iter().filter(|(id, _)| *id == "params");
    let named: Vec<String> = of_files.flat_map(|(_, file)| texts_in(Path::new(file))).collect();
    for (flag, output) in outputs {
        let Ok(output) = Path::new(output).canonicalize() else {
            continue;
        };
        // `export` adds files to a folder.
        let replaced = output.is_dir() && name != "export";
        let named = named.iter().map(|text| ("", OsStr::new(text)));
        for (id, text) in inputs.iter().copied().chain(named) {
            for input in paths(text).iter().filter_map(|p| p.canonicalize().ok()) {
                let what = if input == output && id.is_empty() {
                    format!(
                        "{} is read, since the parameter file names it: give the output another name",
                        input.display()
                    )
                } else if input == output {
                    // A switch always has a value where the command knows it; in a release build nothing else tells.
                    match of_command.try_contains_id("in_place") {
                        Ok(true) => "the output is the input: use --in-place to keep both in one file".to_owned(),
                        _ => "the output is the input: give it a name of its own".to_owned(),
                    }
                } else if replaced && id != "params" && input.starts_with(&output) {
                    format!("{} lies in the folder that would be replaced", input.display())
                } else {
                    continue;
                };
                return Err(Error::parameter(flag_of(flag), what));
            }
        }
    }
    Ok(())
}

/// Where an output will be, whatever way to it was typed: its folder is there before it is.
fn place(output: &Path) -> PathBuf {
    let folder = output
        .parent()
        .filter(|f| !f.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    match (folder.canonicalize(), output.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => output.to_owned(),
    }
}

/// All texts in a parameter file, of which some name files. What cannot be read is told by who needs it.
fn texts_in(file: &Path) -> Vec<String> {
    fn collect(value: toml::Value, texts: &mut Vec<String>) {
        match value {
            toml::Value::String(text) => texts.push(text),
            toml::Value::Array(values) => values.into_iter().for_each(|v| collect(v, texts)),
            toml::Value::Table(values) => values.into_iter().for_each(|(_, v)| collect(v, texts)),
            _ => {}
        }
    }
    let parsed = std::fs::read_to_string(file)
        .ok()
        .and_then(|text| text.parse::<toml::Table>().ok());
    let mut texts = Vec::new();
    collect(toml::Value::Table(parsed.unwrap_or_default()), &mut texts);
    texts
}

/// The flag as it is typed.
fn flag_of(id: &str) -> String {
    match id {
        "output" => "-o".to_owned(),
        other => format!("--{}", other.replace('_', "-")),
    }
}

/// What may be a file's name in a value: all of it, `NAME=FILE`, `probe:FILE@Y,X,N`, `FILE:/dataset`.
fn paths(value: &OsStr) -> Vec<PathBuf> {
    let mut paths = vec![PathBuf::from(value)];
    if let Some(text) = value.to_str() {
        paths.extend(text.split_once('=').map(|(_, file)| file.into()));
        paths.extend(
            text.split_once(':')
                .map(|(_, rest)| rest.split('@').next().unwrap_or(rest).into()),
        );
        paths.extend(text.split_once(":/").map(|(file, _)| file.into()));
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_in_values() {
        let of = |text: &str| paths(OsStr::new(text));
        for (text, file) in [
            ("a.npy", "a.npy"),
            ("haadf=b.tif", "b.tif"),
            ("probe:c.h5@3,4,20", "c.h5"),
            ("d.h5:/entry/mask", "d.h5"),
        ] {
            assert!(of(text).contains(&PathBuf::from(file)), "{text}");
        }
    }
}
