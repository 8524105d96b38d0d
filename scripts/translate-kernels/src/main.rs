//! Translates all WGSL files of a folder as wgpu does for Direct3D 12 and Metal: FOLDER. Writes NAME.ENTRY.hlsl and .metal beside them.

use naga::back::pipeline_constants::process_overrides;
use naga::back::{hlsl, msl};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{EntryPoint, Module};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

type Fallible<T> = Result<T, Box<dyn Error>>;

/// Shader models of FXC, which every Windows has, and of DXC.
const HLSL: [hlsl::ShaderModel; 2] = [hlsl::ShaderModel::V5_1, hlsl::ShaderModel::V6_0];
/// Metal's language on old and new systems.
const METAL: [(u8, u8); 3] = [(2, 0), (2, 4), (3, 1)];

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: translate-kernels FOLDER");
        return ExitCode::from(2);
    };
    match all(&folder) {
        Ok((kernels, 0)) => {
            println!("{kernels} kernels translated for Direct3D 12 and Metal");
            ExitCode::SUCCESS
        }
        Ok((kernels, faults)) => {
            println!("{faults} of {kernels} kernels do not translate");
            ExitCode::FAILURE
        }
        Err(e) => {
            eprintln!("{}: {e}", folder.display());
            ExitCode::FAILURE
        }
    }
}

/// How many files there are, and how many of them do not translate.
fn all(folder: &Path) -> Fallible<(usize, usize)> {
    let (mut kernels, mut faults) = (0, 0);
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "wgsl") {
            kernels += 1;
            if let Err(e) = one(&path) {
                faults += 1;
                println!("{}: {e}", path.display());
            }
        }
    }
    Ok((kernels, faults))
}

fn one(path: &Path) -> Fallible<()> {
    let module = naga::front::wgsl::parse_str(&fs::read_to_string(path)?)?;
    // No capability beyond what every device has.
    let info = Validator::new(ValidationFlags::all(), Capabilities::empty()).validate(&module)?;
    module.entry_points.iter().try_for_each(|entry| translate(path, &module, &info, entry))
}

fn translate(path: &Path, module: &Module, info: &ModuleInfo, entry: &EntryPoint) -> Fallible<()> {
    let names = module.overrides.iter().filter_map(|(_, o)| o.name.clone());
    let constants = names.map(|name| (name, 1.0)).collect();
    let chosen = (entry.stage, entry.name.as_str());
    let (module, info) = process_overrides(module, info, Some(chosen), &constants)?;
    let entry_point = Some((entry.stage, entry.name.clone()));
    for shader_model in HLSL {
        let options = hlsl::Options {
            shader_model,
            fake_missing_bindings: true,
            zero_initialize_workgroup_memory: false,
            ..hlsl::Options::default()
        };
        let only = hlsl::PipelineOptions { entry_point: entry_point.clone() };
        let mut text = String::new();
        let done = hlsl::Writer::new(&mut text, &options, &only).write(&module, &info, None)?;
        done.entry_point_names.into_iter().collect::<Result<Vec<_>, _>>()?;
        fs::write(path.with_extension(format!("{}.hlsl", entry.name)), text)?;
    }
    for lang_version in METAL {
        let options = msl::Options {
            lang_version,
            fake_missing_bindings: true,
            ..msl::Options::default()
        };
        let only = msl::PipelineOptions {
            entry_point: entry_point.clone(),
            ..msl::PipelineOptions::default()
        };
        let (text, done) = msl::write_string(&module, &info, &options, &only)?;
        done.entry_point_names.into_iter().collect::<Result<Vec<_>, _>>()?;
        fs::write(path.with_extension(format!("{}.metal", entry.name)), text)?;
    }
    Ok(())
}
