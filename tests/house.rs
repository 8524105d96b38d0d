//! The order of the house: which rooms may know which, how large a room gets, and that no shader is left over.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What each part of `src/` may use beside the base types; see `docs/architecture.md`.
const MAY_USE: &[(&str, &[&str])] = &[
    ("backend", &[]),
    ("io", &["backend"]),
    ("kernels", &["backend"]),
    ("engine", &["backend", "io"]),
    ("ops", &["backend", "engine", "kernels"]),
    ("analysis", &["backend"]),
    ("report", &["io"]),
    ("simulate", &["analysis", "backend", "io"]),
    (
        "workflows",
        &["analysis", "backend", "engine", "io", "kernels", "ops", "report"],
    ),
    (
        "explore",
        &["analysis", "backend", "engine", "io", "kernels", "ops", "report", "workflows"],
    ),
    (
        "bench",
        &[
            "analysis",
            "backend",
            "engine",
            "io",
            "kernels",
            "ops",
            "report",
            "simulate",
            "workflows",
        ],
    ),
    (
        "cli",
        &[
            "analysis",
            "backend",
            "bench",
            "engine",
            "explore",
            "io",
            "kernels",
            "ops",
            "report",
            "simulate",
            "workflows",
        ],
    ),
];

/// Parts that hold plain data and run on the CPU: of `backend` they may use `backend::cpu` alone.
const WITHOUT_DEVICE: &[&str] = &["analysis", "io", "report", "simulate"];

/// Longest source file.
const LINES: usize = 480;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("folder of sources") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            files(&path, extension, found);
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
}

/// Sources of `src/` by path, comments taken out.
fn sources() -> BTreeMap<PathBuf, String> {
    let mut found = Vec::new();
    files(&root().join("src"), "rs", &mut found);
    assert!(found.len() > 100, "the sources are in src/");
    let bare = |text: String| -> String {
        text.lines()
            .map(|line| line.split("//").next().unwrap_or_default())
            .flat_map(|line| [line, "\n"])
            .collect()
    };
    found
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).expect("source");
            (
                path.strip_prefix(root().join("src")).expect("below src").to_path_buf(),
                bare(text),
            )
        })
        .collect()
}

/// First part of a path below `src/`.
fn part(path: &Path) -> String {
    path.iter().next().expect("not empty").to_string_lossy().replace(".rs", "")
}

/// What follows each `crate::` or `emstream::`: a path of names, or the first names of a group of imports.
fn uses(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for start in ["crate::", "emstream::"] {
        for (at, _) in text.match_indices(start) {
            let rest = &text[at + start.len()..];
            if let Some(group) = rest.strip_prefix('{') {
                let (mut depth, mut name) = (0, String::new());
                for c in group.chars() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => found.push(std::mem::take(&mut name)),
                        c if depth == 0 && !c.is_whitespace() => name.push(c),
                        _ => {}
                    }
                }
                found.push(name);
            } else {
                found.push(
                    rest.chars()
                        .take_while(|c| c.is_alphanumeric() || "_:".contains(*c))
                        .collect(),
                );
            }
        }
    }
    found
}

#[test]
fn dependencies_point_one_way() {
    let rules: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let here = part(&path);
        for used in uses(&text) {
            let there = used.split("::").next().unwrap_or_default();
            // Base types may be used by all and use none of the parts.
            if there == here || !rules.contains_key(there) || here == "lib" {
                continue;
            }
            let allowed = rules.get(here.as_str()).is_some_and(|list| list.contains(&there));
            let device = there == "backend" && WITHOUT_DEVICE.contains(&here.as_str()) && !used.starts_with("backend::cpu");
            if !allowed || device {
                wrong.push(format!("src/{} uses {used}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_rules_name_every_part() {
    let parts: Vec<String> = fs::read_dir(root().join("src"))
        .expect("src")
        .map(|e| e.expect("entry").path())
        .filter(|p| p.is_dir())
        .map(|p| part(p.strip_prefix(root().join("src")).expect("below src")))
        .collect();
    for name in parts {
        let known = MAY_USE.iter().any(|(n, _)| *n == name) || root().join(format!("src/{name}.rs")).exists();
        assert!(known, "say in MAY_USE what src/{name} may use");
    }
}

#[test]
fn rooms_stay_small() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= LINES, "src/{} has {lines} lines: it is two things", path.display());
    }
}

#[test]
fn every_shader_is_used() {
    let mut shaders = Vec::new();
    files(&root().join("shaders"), "wgsl", &mut shaders);
    assert!(shaders.len() > 10);
    let all: String = sources().into_values().collect();
    for shader in shaders {
        let name = shader.strip_prefix(root().join("shaders")).expect("below shaders");
        let name = name.to_string_lossy().replace('\\', "/");
        assert!(all.contains(&name), "no kernel includes shaders/{name}");
    }
}
