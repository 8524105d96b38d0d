//! The command line: one file per subcommand. What was typed becomes once what it means ([`session::Session`], [`scan::ScanArgs`],
//! the workflows' parameters); everything behind works with the latter.

/// Prints a line. Where nobody reads on (`emstream info FILE | head`), the rest is not missed: the standard library's macro would panic.
macro_rules! println {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout().lock(), $($text)*);
    }};
}

/// The line that says what a command did and where it is: nothing with `--quiet`.
macro_rules! said {
    ($session:expr, $($text:tt)*) => {
        if !$session.quiet {
            println!($($text)*);
        }
    };
}

mod arrays;
mod bench;
mod cluster;
mod convert;
mod defects;
mod devices;
mod ebsd;
mod examples;
mod explore;
mod export;
mod info;
mod keep;
mod manual;
mod masks;
mod params;
mod phases;
mod pick;
mod place;
mod progress;
mod roi;
mod scan;
mod session;
mod simulate;
mod stats;
mod strain;
mod template;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use emstream::Error;
use std::process::ExitCode;

/// Fast analysis of electron-microscope frame stacks on any GPU, and on the CPU.
#[derive(Parser)]
#[command(version, about, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    global: session::GlobalArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Info(info::Args),
    Devices(devices::Args),
    Stats(stats::Args),
    Masks(masks::Args),
    Pick(pick::Args),
    Template(template::Args),
    Cluster(cluster::Args),
    Strain(Box<strain::Args>),
    Phases(Box<phases::Args>),
    Defects(defects::Args),
    Ebsd(ebsd::Args),
    Explore(Box<explore::Args>),
    Simulate(simulate::Args),
    Convert(convert::Args),
    Export(export::Args),
    Bench(bench::Args),
    Completions(manual::CompletionsArgs),
    Man(manual::ManArgs),
}

/// Parses the command line and runs it. Exit code 0: done (warnings on stderr), 1: failed, 2: wrong usage.
pub fn main() -> ExitCode {
    let matches = definition().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|e| e.exit());
    match keep::inputs(&matches).and_then(|()| run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {}", one_line(&e));
            ExitCode::FAILURE
        }
    }
}

/// All commands, with examples.
fn definition() -> clap::Command {
    examples::add(Cli::command())
}

fn run(cli: Cli) -> emstream::Result<()> {
    let session = session::Session::new(cli.global)?;
    match cli.command {
        Command::Info(a) => info::run(a, &session),
        Command::Devices(a) => devices::run(a, &session),
        Command::Stats(a) => stats::run(a, &session),
        Command::Masks(a) => masks::run(a, &session),
        Command::Pick(a) => pick::run(a, &session),
        Command::Template(a) => template::run(a, &session),
        Command::Cluster(a) => cluster::run(a, &session),
        Command::Strain(a) => strain::run(*a, &session),
        Command::Phases(a) => phases::run(*a, &session),
        Command::Defects(a) => defects::run(a, &session),
        Command::Ebsd(a) => ebsd::run(a, &session),
        Command::Explore(a) => explore::run(*a, &session),
        Command::Simulate(a) => simulate::run(a, &session),
        Command::Convert(a) => convert::run(a, &session),
        Command::Export(a) => export::run(a, &session),
        Command::Bench(a) => bench::run(a, &session),
        Command::Completions(a) => manual::completions(a, definition()),
        Command::Man(a) => manual::man(a, definition(), &session),
    }
}

/// Messages of libraries may span lines; ours are one.
fn one_line(e: &Error) -> String {
    e.to_string()
        .split('\n')
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect::<Vec<_>>()
        .join("; ")
}

/// Replaces a parameter by what was typed, if anything was.
fn set<T>(slot: &mut T, value: Option<T>) {
    if let Some(v) = value {
        *slot = v;
    }
}

/// Grey levels 0 … 255 from the smallest to the largest value.
fn grey(values: &ndarray::Array2<f64>) -> ndarray::Array2<u8> {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let scale = if high > low { 255.0 / (high - low) } else { 0.0 };
    values.mapv(|v| ((v - low) * scale).round() as u8)
}
