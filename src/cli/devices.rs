//! `emstream devices`

use super::session::Session;
use emstream::Result;
use emstream::backend::gpu::{AdapterKind, Adapters, Gpu};
use emstream::workflows::tune;
use serde_json::json;

/// List the GPUs of this machine and say which are usable
#[derive(clap::Args)]
pub struct Args {
    /// Machine-readable output
    #[arg(long)]
    json: bool,
    /// Measure which forms of kernels are fastest on the GPU that --gpu names (default: the one that would be used), and remember it
    #[arg(long, conflicts_with = "json")]
    tune: bool,
}

/// Bytes of frames that tuning works on: a block of a pass.
const TUNED_BYTES: u64 = 128 << 20;

/// Measures, prints and remembers.
fn tune(session: &Session) -> Result<()> {
    let gpu = Gpu::open(session.gpu_choice(true))?;
    let (name, driver) = (gpu.summary.name.clone(), gpu.summary.driver.clone());
    let bytes = match gpu.summary.kind {
        // A software adapter is tried out, not waited for.
        AdapterKind::Software => TUNED_BYTES / 16,
        _ => TUNED_BYTES.min(gpu.budget() / 4),
    };
    let all = tune::measure(gpu, (bytes >> 17) as usize, &session.control)?;
    println!("{name}: fastest first");
    for m in &all {
        println!(
            "  {:8.3} ms  {:5} workgroups, {:2} KiB of workgroup memory",
            m.seconds * 1e3,
            m.tuning.busy,
            m.tuning.workgroup_words / 256
        );
    }
    match (tune::cache_file(), all.first()) {
        (Some(file), Some(best)) => {
            tune::remember(&file, &name, &driver, best.tuning)?;
            println!("remembered in {}", file.display());
        }
        _ => println!("not remembered: there is no cache folder"),
    }
    Ok(())
}

pub fn run(args: Args, session: &Session) -> Result<()> {
    if args.tune {
        return tune(session);
    }
    let all = Adapters::list();
    if args.json {
        let list: Vec<_> = all
            .iter()
            .map(|a| {
                json!({
                    "index": a.index, "name": a.name, "kind": a.kind.to_string(), "backend": a.backend, "driver": a.driver,
                    "max_binding_bytes": a.max_binding, "max_buffer_bytes": a.max_buffer,
                    "workgroup_bytes": a.workgroup_storage, "workgroup_invocations": a.invocations,
                    "timestamps": a.timestamps, "usable": a.unusable.is_none(), "why_not": a.unusable,
                })
            })
            .collect();
        println!("{}", json!({ "adapters": list }));
        return Ok(());
    }
    if all.is_empty() {
        println!("no GPU found: no driver for Vulkan, Metal or DirectX 12 answers; --backend cpu needs none");
    }
    for a in &all {
        println!("{}  {}  ({}, {}, {})", a.index, a.name, a.kind, a.backend, a.driver);
        println!(
            "   bindings up to {} MiB, {} KiB of workgroup memory, {} invocations, timestamps {}",
            a.max_binding >> 20,
            a.workgroup_storage >> 10,
            a.invocations,
            if a.timestamps { "yes" } else { "no" }
        );
        match &a.unusable {
            None if a.kind == AdapterKind::Software => println!(
                "   usable with --gpu {} (a software adapter is never chosen by itself)",
                a.index
            ),
            None => println!("   usable"),
            Some(why) => println!("   not usable: {why}"),
        }
    }
    Ok(())
}
