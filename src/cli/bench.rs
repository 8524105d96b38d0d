//! `emstream bench`

use super::scan::ScanArgs;
use super::session::Session;
use emstream::bench::{self, Event, Options};
use emstream::io::output::write_file;
use emstream::{Result, io};
use std::path::PathBuf;

/// Measure every kernel and workflow step on the CPU and the GPU, as a share of what this machine can do
#[derive(clap::Args)]
pub struct Args {
    /// One frame size and short runs: less than half a minute
    #[arg(long)]
    quick: bool,
    /// Frames of this scan instead of simulated ones
    #[arg(long, value_name = "SCAN")]
    file: Option<PathBuf>,
    /// Everything that was measured, for programs
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Rates over operations per byte, under the machine's limits
    #[arg(long, value_name = "FILE.png")]
    figure: Option<PathBuf>,
    /// Only kernels and steps whose name contains one of these, or groups: kernel, host, pass, workflow
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    only: Vec<String>,
    /// Exactly so many runs of each, after one to warm up [default: as time allows]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    repeat: Option<u16>,
    /// About how long everything together may take [default: 14 with --quick, else 240]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    time: Option<f64>,
    #[command(flatten)]
    how: ScanArgs,
}

pub fn run(args: Args, session: &Session) -> Result<()> {
    let scan = match &args.file {
        Some(path) => Some(io::open(path, &args.how.options()?, &session.control)?),
        None => None,
    };
    let options = Options {
        quick: args.quick,
        scan,
        only: args.only,
        repeat: args.repeat.map(usize::from),
        seconds: args.time,
        command: std::env::args().collect::<Vec<_>>().join(" "),
    };
    let backend = session.backend()?;
    let mut head = false;
    let report = bench::run(&options, &backend, &session.control, &mut |event| match event {
        Event::Limit(limit, threads) => println!("{}", bench::limit(limit, threads)),
        Event::Row(row) => {
            if !std::mem::replace(&mut head, true) {
                println!("\n{}", bench::HEAD);
            }
            println!("{}", bench::line(row));
        }
    })?;
    let m = &report.machine;
    println!(
        "\nWhat limits each kernel on one core, and the share of that limit that it reaches there:\n{}",
        bench::text(&report)
    );
    println!("{}, {} threads, {}, {}", m.cpu, report.threads, m.isa, report.date);
    let figure = args
        .figure
        .or_else(|| args.json.as_ref().map(|json| json.with_extension("png")));
    if let (Some(path), Some(figure)) = (&figure, bench::roofline(&report, None)) {
        write_file(path, session.overwrite, &figure.to_png()?)?;
    }
    if let Some(path) = &args.json {
        write_file(path, session.overwrite, report.to_json()?.as_bytes())?;
    }
    Ok(())
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(s) if s > 0.0 && s < 1e6 => Ok(s),
        _ => Err(format!("'{text}' is not a number of seconds")),
    }
}
