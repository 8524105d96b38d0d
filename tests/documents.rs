//! What help and tutorials tell people to type works, in the order in which they say it; on smaller scans where that saves minutes.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Files that only the reader has: commands that name them are left out.
const READERS_OWN: &[&str] = &["calibrationData_bullseyeProbe.h5", "vacuum.tif"];

/// What is typed, and what the tests type instead.
const SMALLER: &[(&str, &str)] = &[
    ("--nav-shape 100,84", "--nav-shape 20,24"),
    ("--nav-shape 40,60", "--nav-shape 12,14"),
    ("--at 20,30", "--at 7,8"),
    ("--reference 20,30", "--reference 7,8"),
    ("simulate ws2 -o movie.h5", "simulate ws2 --frames 8 -o movie.h5"),
    ("--frame 0,8,16", "--frame 0,4"),
    ("--show-frames 0,5,10,18", "--show-frames 0,5"),
    ("--seed 2 --grains 6", "--seed 2 --grains 6 --nav-shape 28,32"),
    ("defects train ", "defects train --epochs 1 --patch 64 --step 32 "),
    ("--epochs 30", ""),
    // What one epoch has taught finds nothing: the default network does.
    ("--model model/model.h5 ", ""),
    ("bench --quick", "bench --quick --only host --repeat 1"),
];

/// Flags for examples that do not say how large a scan they want.
const SMALL_EXAMPLES: &[(&str, &str)] = &[
    ("simulate polycrystal", "--nav-shape 12,14"),
    ("simulate bullseye", "--nav-shape 6,7"),
    ("simulate ebsd", "--nav-shape 5,6"),
];

/// Words of a command line: quotes keep spaces.
fn words(line: &str) -> Vec<String> {
    let (mut found, mut word, mut quote) = (Vec::new(), String::new(), None);
    for c in line.chars() {
        match (c, quote) {
            (c, Some(q)) if c == q => quote = None,
            ('\'' | '"', None) => quote = Some(c),
            (' ', None) => found.extend((!word.is_empty()).then(|| std::mem::take(&mut word))),
            _ => word.push(c),
        }
    }
    found.extend((!word.is_empty()).then_some(word));
    assert!(quote.is_none(), "quotes of `{line}`");
    found
}

/// Runs one line as a shell would in `folder`; the line has to succeed.
fn run(folder: &Path, line: &str) -> String {
    let line = SMALLER
        .iter()
        .fold(line.to_owned(), |line, (long, short)| line.replace(long, short));
    let words = words(&line);
    assert_eq!(words[0], "emstream");
    if words[1] == "explore" {
        return explore(folder, &words[1..]);
    }
    let out = Command::new(env!("CARGO_BIN_EXE_emstream"))
        .args(&words[1..])
        .current_dir(folder)
        .output()
        .expect("the program starts");
    assert!(out.status.success(), "{line}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// Runs the explorer until it says where its page is.
fn explore(folder: &Path, words: &[String]) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_emstream"))
        .args(words)
        .arg("--no-open")
        .current_dir(folder)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut line = String::new();
    let read = BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line);
    child.kill().and_then(|()| child.wait()).expect("it ends");
    assert!(read.is_ok() && line.starts_with("http://127.0.0.1:"), "{words:?}: {line}");
    line
}

fn help(folder: &Path, command: &[&str]) -> String {
    let mut line = vec!["emstream", "help"];
    line.extend(command);
    run(folder, &line.join(" "))
}

/// Names below a command, from its help.
fn subcommands(help: &str) -> Vec<String> {
    help.lines()
        .skip_while(|l| *l != "Commands:")
        .skip(1)
        .take_while(|l| !l.trim().is_empty())
        // Texts that go on in the next line are indented further.
        .filter(|l| l.starts_with("  ") && !l.starts_with("   "))
        .filter_map(|l| l.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(String::from)
        .collect()
}

/// The help of every command that has no commands below it.
fn helps(folder: &Path) -> Vec<String> {
    let mut texts = Vec::new();
    let mut open: Vec<Vec<String>> = vec![Vec::new()];
    while let Some(command) = open.pop() {
        let path: Vec<&str> = command.iter().map(String::as_str).collect();
        let text = help(folder, &path);
        let below = subcommands(&text);
        if below.is_empty() {
            texts.push(text);
        }
        open.extend(below.into_iter().map(|name| [command.clone(), vec![name]].concat()));
    }
    texts
}

#[test]
fn flags_in_the_tables_for_newcomers_exist() {
    let folder = TempDir::new().unwrap();
    let helps = helps(folder.path()).concat();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut checked = 0;
    for document in ["docs/coming-from.md", "README.md"] {
        let text = fs::read_to_string(root.join(document)).expect("document");
        for (at, _) in text.match_indices("--") {
            let flag: String = text[at..]
                .chars()
                .take_while(|c| c.is_ascii_lowercase() || *c == '-')
                .collect();
            // Lines of tables, and what other programs are called with.
            if flag.trim_matches('-').is_empty() || ["--path", "--features"].contains(&flag.as_str()) {
                continue;
            }
            checked += 1;
            assert!(helps.contains(&flag), "{document} speaks of {flag}, which no command has");
        }
    }
    assert!(checked > 50, "{checked}");
}

#[test]
fn every_argument_and_flag_is_explained() {
    let folder = TempDir::new().unwrap();
    for text in helps(folder.path()) {
        let lines: Vec<&str> = text.lines().collect();
        let mut explained = 0;
        for pair in lines.windows(2) {
            let [name, meaning] = [pair[0].trim_start(), pair[1].trim()];
            let indent = pair[0].len() - name.len();
            if (2..=6).contains(&indent) && (name.starts_with('<') || name.starts_with("--")) {
                // Short helps stand in the same line.
                assert!(
                    !meaning.is_empty() || name.contains("  "),
                    "`{name}` has no explanation in {text}"
                );
                explained += 1;
            }
        }
        assert!(explained > 0 || !text.contains("Options:"), "{text}");
    }
}

#[test]
fn every_example_of_the_help_works() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let example = |text: &String| -> String {
        let line = text.lines().skip_while(|l| *l != "Example:").nth(1);
        line.unwrap_or_else(|| panic!("no example in {text}")).trim().to_owned()
    };
    let mut examples: Vec<String> = helps(folder).iter().map(example).collect();
    assert!(examples.len() > 25, "{examples:?}");
    // Simulations first, then whatever has its input: an example may read what another one writes.
    examples.sort_by_key(|e| (!e.starts_with("emstream simulate"), e.clone()));
    let mut waiting = examples;
    while !waiting.is_empty() {
        let before = waiting.len();
        waiting.retain(|example| {
            let inputs = words(example).into_iter().skip(2).filter(|w| reads(example, w));
            let ready = inputs.into_iter().all(|input| folder.join(input).exists());
            if ready {
                let small = SMALL_EXAMPLES.iter().find(|(what, _)| example.contains(what));
                let flags = small.map_or(String::new(), |(_, flags)| format!(" {flags}"));
                run(folder, &format!("{example}{flags}"));
            }
            !ready
        });
        assert!(waiting.len() < before, "nobody writes what these read: {waiting:?}");
    }
}

/// Whether a word of an example is a file that the command reads.
fn reads(example: &str, word: &str) -> bool {
    let written = ["-o", "--json"]
        .iter()
        .any(|flag| example.contains(&format!("{flag} {word}")));
    let file = Path::new(word)
        .extension()
        .is_some_and(|e| ["h5", "blo", "npy", "ctf"].iter().any(|x| e == *x));
    file && !written
}

/// The commands of a document: indented lines, joined where they end in `\`.
fn commands(document: &str) -> Vec<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(document)).expect("document");
    let joined = text.replace("\\\n", " ");
    let mut variables: BTreeMap<String, String> = BTreeMap::new();
    let mut found = Vec::new();
    for line in joined.lines().filter_map(|l| l.strip_prefix("    ")) {
        let line = line.split(" #").next().unwrap_or_default().trim();
        if let Some((name, value)) = line.split_once('=')
            && name.chars().all(|c| c.is_ascii_uppercase())
        {
            variables.insert(name.to_owned(), value.trim_matches('"').to_owned());
        } else if line.starts_with("emstream ") {
            let line = variables
                .iter()
                .fold(line.to_owned(), |l, (name, value)| l.replace(&format!("${name}"), value));
            if !READERS_OWN.iter().any(|own| line.contains(own)) {
                found.push(line);
            }
        }
    }
    found
}

fn tutorial(document: &str, least: usize) {
    let folder = TempDir::new().unwrap();
    let commands = commands(document);
    assert!(commands.len() >= least, "{document} has {} commands", commands.len());
    for line in commands {
        run(folder.path(), &line);
    }
}

#[test]
fn the_tutorial_of_patterned_probes_works() {
    tutorial("tutorial-bullseye.md", 5);
}

#[test]
fn the_tutorial_of_strain_works() {
    tutorial("tutorial-strain.md", 9);
}

#[test]
fn the_tutorial_of_kikuchi_patterns_works() {
    tutorial("tutorial-ebsd.md", 12);
}

#[test]
fn the_tutorial_of_defects_works() {
    tutorial("tutorial-defects.md", 4);
}

#[test]
fn the_tutorial_of_phases_works() {
    tutorial("tutorial-phases.md", 5);
}

#[test]
fn every_tutorial_is_tested() {
    let here = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file!())).expect("this file");
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")).expect("docs") {
        let name = entry.expect("entry").file_name().to_string_lossy().into_owned();
        assert!(
            !name.starts_with("tutorial-") || here.contains(&name),
            "no test runs docs/{name}"
        );
    }
}

#[test]
fn manual_pages_and_completions_follow_the_commands() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    run(folder, "emstream man -o manual");
    let page = fs::read_to_string(folder.join("manual/emstream-ebsd-process.1")).expect("a page for each command");
    assert!(
        page.contains(".TH") && page.contains("sigma") && page.contains("backend"),
        "{page}"
    );
    assert!(folder.join("manual/emstream.1").exists());
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let text = run(folder, &format!("emstream completions {shell}"));
        assert!(text.contains("feature-peaks"), "{shell}");
    }
}
