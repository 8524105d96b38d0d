//! `emstream bench`

use super::scan::ScanArgs;
use super::session::Session;
use emstream::bench::growth::{self, Point};
use emstream::bench::{self, Event, Options};
use emstream::io::output::write_file;
use emstream::{Error, Result, io};
use std::path::{Path, PathBuf};

/// Measure every kernel and workflow step on the CPU and the GPU, as a share of what this machine can do
#[derive(clap::Args)]
pub struct Args {
    /// One frame size and short runs: about half a minute
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
    /// Instead: how time and memory of stats, cluster and strain grow with scan, frame, peaks and threads; figures and JSON go here
    #[arg(long, value_name = "DIR", conflicts_with_all = ["file", "json", "figure", "only", "time"])]
    growth: Option<PathBuf>,
    #[command(flatten)]
    how: ScanArgs,
}

pub fn run(args: Args, session: &Session) -> Result<()> {
    if let Some(folder) = &args.growth {
        return run_growth(folder, &args, session);
    }
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

fn run_growth(folder: &Path, args: &Args, session: &Session) -> Result<()> {
    let program = std::env::current_exe().map_err(|e| Error::io("emstream", "cannot find itself", e))?;
    std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, "cannot create", e))?;
    let repeat = usize::from(args.repeat.unwrap_or(3));
    println!("curve    command     scan       frame    peaks  threads     seconds    peak MB");
    let mut show = |p: &Point| {
        let s = &p.setting;
        println!(
            "{:<9}{:<10}{:>9}{:>11}{:>8}{:>8}{:>13.3}{:>11}",
            p.curve,
            p.command,
            format!("{}x{}", s.nav[0], s.nav[1]),
            format!("{}x{}", s.sig[0], s.sig[1]),
            s.feature_peaks,
            s.threads,
            p.spread.median_s,
            p.peak_bytes.map_or_else(String::new, |b| format!("{:.0}", b as f64 / 1e6))
        );
    };
    growth::run(
        &program,
        folder,
        args.quick,
        repeat,
        session.overwrite,
        &session.control,
        &mut show,
    )
    .map(|_| ())
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(s) if s > 0.0 && s < 1e6 => Ok(s),
        _ => Err(format!("'{text}' is not a number of seconds")),
    }
}
