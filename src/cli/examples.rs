//! An example for every command, shown below its help. They follow each other: what one writes, a later one reads; a test runs them all.

use clap::Command;

/// Commands by their path, in an order in which their examples can be run.
const EXAMPLES: &[(&str, &str)] = &[
    ("simulate polycrystal", "emstream simulate polycrystal -o grains.blo"),
    ("simulate bullseye", "emstream simulate bullseye -o bullseye.h5"),
    ("simulate ebsd", "emstream simulate ebsd -o patterns.h5"),
    (
        "simulate phases",
        "emstream simulate phases -o specimen.hspy --nav-shape 20,30 --grains 5",
    ),
    ("simulate ws2", "emstream simulate ws2 -o movie.h5"),
    ("info", "emstream info grains.blo"),
    ("devices", "emstream devices"),
    ("convert", "emstream convert grains.blo --bin 2 -o binned.hspy"),
    ("stats", "emstream stats grains.blo -o stats.h5 --ops mean,std"),
    (
        "masks",
        "emstream masks grains.blo --masks disk:71.5,71.5,6 --masks ring:71.5,71.5,20,40 -o detectors.h5",
    ),
    ("pick", "emstream pick grains.blo --at 3,4 --norm log -o frame.png"),
    ("template", "emstream template background:4,6 -o template.png"),
    ("cluster", "emstream cluster grains.blo -o crystallites"),
    ("strain", "emstream strain grains.blo -o strain --lattice-peaks 25"),
    ("explore", "emstream explore grains.blo strain/result.h5 --map strain/xx"),
    ("export", "emstream export strain/result.h5 -o arrays --as csv"),
    ("phases", "emstream phases grains.blo --min-cluster-size 20 -o phases"),
    ("defects label", "emstream defects label movie.h5 -o labels"),
    (
        "defects train",
        "emstream defects train movie.h5 --labels labels/result.h5 --epochs 30 -o network",
    ),
    ("defects detect", "emstream defects detect movie.h5 -o detections"),
    (
        "defects classify",
        "emstream defects classify detections/result.h5 --movie movie.h5 -o classes",
    ),
    (
        "defects track",
        "emstream defects track classes/result.h5 --region 252,344,25 -o tracks",
    ),
    ("defects run", "emstream defects run movie.h5 -o defects"),
    ("ebsd convert", "emstream ebsd convert patterns.h5 --bin 2 -o binned.h5"),
    ("ebsd maps", "emstream ebsd maps patterns.h5 --where 'phase==1' -o maps"),
    ("ebsd background", "emstream ebsd background patterns.h5 -o background.h5"),
    ("ebsd process", "emstream ebsd process patterns.h5 --sigma 12 -o processed.h5"),
    ("ebsd average", "emstream ebsd average patterns.h5 --radius 1 -o averaged.h5"),
    ("ebsd quality", "emstream ebsd quality patterns.h5 -o quality.h5"),
    ("ebsd bands", "emstream ebsd bands processed.h5 --peaks 9 -o bands.h5"),
    ("ebsd bse", "emstream ebsd bse patterns.h5 --grid 7x7 -o bse.h5"),
    ("ebsd compare", "emstream ebsd compare processed.h5 -o similar.h5"),
    ("bench", "emstream bench --quick --json bench.json"),
    ("completions", "emstream completions bash"),
    ("man", "emstream man -o manual"),
];

/// The command line with an example below the help of each command.
pub fn add(mut root: Command) -> Command {
    for (path, example) in EXAMPLES {
        root = at(root, path, &|command| command.after_help(format!("Example:\n  {example}")));
    }
    root
}

/// Changes the subcommand at a path of names; one that is not there stays away.
fn at(command: Command, path: &str, change: &dyn Fn(Command) -> Command) -> Command {
    let (name, rest) = path.split_once(' ').unwrap_or((path, ""));
    if command.find_subcommand(name).is_none() {
        return command;
    }
    command.mut_subcommand(name, |sub| if rest.is_empty() { change(sub) } else { at(sub, rest, change) })
}

#[cfg(test)]
mod tests {
    use super::EXAMPLES;
    use clap::{Command, CommandFactory};

    fn leaves(command: &Command, path: String, found: &mut Vec<String>) {
        let mut below = command.get_subcommands().filter(|c| c.get_name() != "help").peekable();
        if below.peek().is_none() {
            found.push(path);
            return;
        }
        for sub in below {
            let name = if path.is_empty() {
                sub.get_name().into()
            } else {
                format!("{path} {}", sub.get_name())
            };
            leaves(sub, name, found);
        }
    }

    #[test]
    fn every_command_has_an_example_that_parses() {
        let root = super::super::Cli::command();
        root.clone().debug_assert();
        let mut commands = Vec::new();
        leaves(&root, String::new(), &mut commands);
        for command in &commands {
            assert!(EXAMPLES.iter().any(|(path, _)| path == command), "no example of `{command}`");
        }
        for (path, example) in EXAMPLES {
            assert!(
                commands.iter().any(|c| c == path),
                "example of a command that is not there: {path}"
            );
            assert!(example.starts_with(&format!("emstream {path}")), "{example}");
            let words = example.split(' ').map(|w| w.trim_matches('\''));
            root.clone()
                .try_get_matches_from(words)
                .unwrap_or_else(|e| panic!("{example}: {e}"));
        }
    }
}
