//! `emstream devices`

use emstream::Result;
use emstream::backend::gpu::{AdapterKind, Adapters};
use serde_json::json;

/// List the GPUs of this machine and say which are usable
#[derive(clap::Args)]
pub struct Args {
    /// Machine-readable output
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<()> {
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
