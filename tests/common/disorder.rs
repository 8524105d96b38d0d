//! Kernels in disorder, to find those that lack a barrier or read workgroup memory that nobody wrote. A software adapter runs the
//! threads of a workgroup one vector after the other, in order, from memory that happens to be zero: such a kernel may be right there and
//! wrong on a GPU. Here threads and workgroups swap their numbers, and workgroup memory begins as rubbish.
#![allow(dead_code)]

use emstream::backend::gpu::Gpu;
use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

/// `gpu`, its kernels in disorder if the environment has EMSTREAM_DISORDER, or kept as files in the folder EMSTREAM_KERNELS (see
/// `scripts/translate`).
pub fn as_told(gpu: Gpu) -> Gpu {
    if std::env::var_os("EMSTREAM_DISORDER").is_some() {
        disturb(&gpu);
    } else if let Some(folder) = std::env::var_os("EMSTREAM_KERNELS").map(PathBuf::from) {
        gpu.rewrite_shaders(move |wgsl| {
            keep(&folder, wgsl);
            wgsl.to_owned()
        });
    }
    gpu
}

/// The same kernel is built many times: its text is its name.
fn keep(folder: &Path, wgsl: &str) {
    let mut hash = DefaultHasher::new();
    wgsl.hash(&mut hash);
    let path = folder.join(format!("{:016x}.wgsl", hash.finish()));
    std::fs::write(&path, wgsl).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}

/// Kernels that `gpu` builds from now on are in disorder.
pub fn disturb(gpu: &Gpu) {
    gpu.rewrite_shaders(disturbed);
}

/// `wgsl` with other numbers for the threads and groups of its entry points. They call the number of the thread `local` and that of
/// the group `id`.
fn disturbed(wgsl: &str) -> String {
    const SIZE: &str = "@workgroup_size(";
    let mut entries = wgsl.split(SIZE);
    let mut out = entries.next().unwrap_or_default().to_owned();
    for entry in entries {
        let (threads, rest) = entry.split_once(')').expect("size of a workgroup");
        let (head, body) = rest.split_once(") {").expect("an entry point");
        for number in [" local: u32", " id: vec3<u32>"] {
            assert!(head.contains(number), "an entry point without{number}: {head}");
        }
        let own = head
            .replace(" local: u32", " own: u32")
            .replace(" id: vec3<u32>", " own_id: vec3<u32>");
        write!(out, "{SIZE}{threads}){own}) {{\n{}{body}", beginning(wgsl, threads, head)).expect("memory");
    }
    out
}

/// What comes before the first statement of an entry point.
fn beginning(wgsl: &str, threads: &str, head: &str) -> String {
    let (_, groups) = head
        .split_once("num_workgroups) ")
        .expect("the number of groups beside a group's own");
    let (groups, _) = groups.split_once(':').expect("a type");
    // Half of the groups begin with the last thread. In half of them neighbours share no vector (of 8 lanes in lavapipe): they lie an
    // eighth of the workgroup apart.
    let mut lines = format!(
        "    let id = {groups} - vec3<u32>(1u) - own_id;
    var local = own;
    if ((id.x + id.y) & 1u) == 1u {{ local = own % 8u * (u32({threads}) / 8u) + own / 8u; }}
    if ((id.x + id.y) & 2u) == 0u {{ local = u32({threads}) - 1u - local; }}\n"
    );
    let mut memory = wgsl
        .lines()
        .filter_map(|l| l.trim().strip_prefix("var<workgroup> "))
        .peekable();
    let barrier = if memory.peek().is_some() {
        "    workgroupBarrier();\n"
    } else {
        ""
    };
    for declared in memory {
        let (name, kind) = declared.trim_end_matches(';').split_once(": ").expect("a name and its type");
        lines += &match of(kind, "array") {
            Some(of) => {
                let (element, length) = of.rsplit_once(", ").expect("an element and a length");
                let fill = fill(wgsl, &format!("{name}[i]"), element);
                format!("    for (var i = own; i < u32({length}); i += u32({threads})) {{ {fill} }}\n")
            }
            None => format!("    if own == 0u {{ {} }}\n", fill(wgsl, name, kind)),
        };
    }
    lines + barrier
}

/// What `kind` holds if it is an `outer` of something.
fn of<'k>(kind: &'k str, outer: &str) -> Option<&'k str> {
    kind.strip_prefix(outer)?.strip_prefix('<')?.strip_suffix('>')
}

/// A statement that writes rubbish of type `kind` to `place`: NaN where it is a float, which every sum and product keeps.
fn fill(wgsl: &str, place: &str, kind: &str) -> String {
    let alias = wgsl
        .split_once(&format!("alias {kind} = "))
        .and_then(|(_, rest)| rest.split_once(';'));
    let kind = alias.map_or(kind, |(is, _)| is);
    const NAN: &str = "bitcast<f32>(0x7fc00000u | (own & 1u))";
    const WORD: &str = "(0xdeadbeefu ^ own)";
    if let Some(kind) = of(kind, "atomic") {
        return format!("atomicStore(&{place}, {kind}({WORD}));");
    }
    match of(kind, "array").and_then(|of| of.rsplit_once(", ")) {
        Some((element, length)) => {
            let fill = fill(wgsl, &format!("{place}[j]"), element);
            format!("for (var j = 0u; j < {length}u; j++) {{ {fill} }}")
        }
        None if kind.contains("f32") => format!("{place} = {kind}({NAN});"),
        None => format!("{place} = {kind}({WORD});"),
    }
}
