//! How time and memory of whole commands grow: with the scan, the frame, the number of feature peaks, the threads.
//!
//! Each command runs as a process of its own, so that its peak memory is its own too.

use super::machine::{Machine, now};
use super::timing::Spread;
use crate::control::Control;
use crate::error::{Error, Result};
use crate::io::output::{check_free, write_file};
use crate::report::{LinePlot, Series};
use serde::Serialize;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// The commands that are timed.
const COMMANDS: [&str; 3] = ["stats", "cluster", "strain"];

/// What was run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Setting {
    /// Scan shape (ny, nx).
    pub nav: [usize; 2],
    /// Frame shape (h, w), u8.
    pub sig: [usize; 2],
    pub feature_peaks: usize,
    pub threads: usize,
}

/// One point of a curve.
#[derive(Debug, Clone, Serialize)]
pub struct Point {
    /// What changes along the curve: `scan`, `frame`, `peaks`, `threads`.
    pub curve: &'static str,
    pub command: &'static str,
    #[serde(flatten)]
    pub setting: Setting,
    #[serde(flatten)]
    pub spread: Spread,
    /// Largest resident memory of the process; `None` where the system does not tell.
    pub peak_bytes: Option<u64>,
}

/// All curves.
#[derive(Debug, Clone, Serialize)]
pub struct Growth {
    pub emstream: &'static str,
    pub date: String,
    pub machine: Machine,
    pub points: Vec<Point>,
}

/// A curve: its name, its axis, and what is run.
struct Curve {
    name: &'static str,
    axis: &'static str,
    along: fn(&Setting) -> f64,
    settings: Vec<Setting>,
}

/// Scans of 1, 2, 4, … 64 times the smallest; frames, peaks and threads at a middle one.
fn curves(quick: bool, threads: usize) -> Vec<Curve> {
    let unit = if quick { 8 } else { 32 };
    let middle = Setting {
        nav: [2 * unit, 2 * unit],
        sig: [64, 64],
        feature_peaks: 100,
        threads,
    };
    let sizes = (0..if quick { 2 } else { 7 }).map(|k: usize| Setting {
        nav: [unit << (k / 2), unit << k.div_ceil(2)],
        ..middle
    });
    let edges: &[usize] = if quick { &[48, 64] } else { &[32, 64, 128, 256] };
    let peaks: &[usize] = if quick { &[50, 100] } else { &[50, 100, 200, 400] };
    let frames = edges.iter().map(|&n| Setting { sig: [n, n], ..middle });
    let counts = peaks.iter().map(|&feature_peaks| Setting {
        sig: [128, 128],
        feature_peaks,
        ..middle
    });
    let mut numbers = vec![1, 2, threads];
    numbers.sort_unstable();
    numbers.dedup();
    let workers = numbers.into_iter().filter(|&n| n <= threads).map(|threads| Setting {
        nav: [4 * unit, 4 * unit],
        threads,
        ..middle
    });
    vec![
        Curve {
            name: "scan",
            axis: "frames of 64 × 64 pixels",
            along: |s| (s.nav[0] * s.nav[1]) as f64,
            settings: sizes.collect(),
        },
        Curve {
            name: "frame",
            axis: "pixels of a frame",
            along: |s| (s.sig[0] * s.sig[1]) as f64,
            settings: frames.collect(),
        },
        Curve {
            name: "peaks",
            axis: "feature peaks",
            along: |s| s.feature_peaks as f64,
            settings: counts.collect(),
        },
        Curve {
            name: "threads",
            axis: "threads",
            along: |s| s.threads as f64,
            settings: workers.collect(),
        },
    ]
}

/// Runs every command of `program` (this program) on simulated scans `repeat` times; writes `growth.json` and two figures for each
/// curve into `folder`, which must exist. `progress` sees every point.
///
/// # Errors
/// [`Error::Internal`] if a command fails, [`Error::Io`], [`Error::Cancelled`].
pub fn run(
    program: &Path,
    folder: &Path,
    quick: bool,
    repeat: usize,
    overwrite: bool,
    control: &Control,
    progress: &mut dyn FnMut(&Point),
) -> Result<Growth> {
    let mut growth = Growth {
        emstream: env!("CARGO_PKG_VERSION"),
        date: now(),
        machine: Machine::here(),
        points: Vec::new(),
    };
    let curves = curves(quick, control.threads);
    // Hours of timing are not started for a file that may not be written.
    let figures = curves.iter().flat_map(|c| FIGURES.map(|f| figure(c, f.0)));
    figures
        .chain([TABLE.into()])
        .try_for_each(|name| check_free(&folder.join(name), overwrite))?;
    for curve in &curves {
        for setting in &curve.settings {
            let scratch = tempfile::tempdir().map_err(|e| Error::io(std::env::temp_dir(), "cannot write", e))?;
            simulate(program, scratch.path(), setting)?;
            for command in COMMANDS {
                control.check()?;
                let runs = (0..repeat.max(1)).map(|_| timed(program, scratch.path(), command, setting));
                let runs: Vec<(f64, Option<u64>)> = runs.collect::<Result<_>>()?;
                let point = Point {
                    curve: curve.name,
                    command,
                    setting: *setting,
                    spread: Spread::of(runs.iter().map(|r| r.0).collect()),
                    peak_bytes: runs.iter().filter_map(|r| r.1).max(),
                };
                progress(&point);
                growth.points.push(point);
            }
        }
        draw(curve, &growth.points, folder, overwrite)?;
    }
    let text = serde_json::to_string_pretty(&growth).map_err(|e| Error::Internal(format!("growth as JSON: {e}")))?;
    write_file(folder.join(TABLE), overwrite, (text + "\n").as_bytes())?;
    Ok(growth)
}

fn simulate(program: &Path, folder: &Path, s: &Setting) -> Result<()> {
    let pair = |[y, x]: [usize; 2]| format!("{y},{x}");
    let mut command = Command::new(program);
    command.args(["simulate", "polycrystal", "-q", "-o", "scan.npy", "--nav-shape"]);
    command.args([pair(s.nav), "--sig-shape".into(), pair(s.sig)]);
    finish(start(&mut command, folder)?, "simulate").map(|_| ())
}

/// Seconds and peak memory of one command.
fn timed(program: &Path, folder: &Path, name: &'static str, s: &Setting) -> Result<(f64, Option<u64>)> {
    let mut command = Command::new(program);
    let threads = s.threads.to_string();
    command.args([
        name,
        "scan.npy",
        "-q",
        "--backend",
        "cpu",
        "--overwrite",
        "--threads",
        &threads,
    ]);
    // A small ceiling, so that what grows with the scan shows beside the blocks.
    command.args(["--memory", "1G", "--nav-shape", &format!("{},{}", s.nav[0], s.nav[1]), "-o"]);
    match name {
        "stats" => command.arg("out.h5"),
        _ => command.args([name, "--feature-peaks", &s.feature_peaks.to_string()]),
    };
    let begun = Instant::now();
    let peak = finish(start(&mut command, folder)?, name)?;
    Ok((begun.elapsed().as_secs_f64(), peak))
}

fn start(command: &mut Command, folder: &Path) -> Result<Child> {
    let command = command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null());
    command
        .spawn()
        .map_err(|e| Error::io(command.get_program(), "cannot start", e))
}

/// Waits for a process: its peak memory in bytes.
#[cfg(unix)]
fn finish(child: Child, name: &str) -> Result<Option<u64>> {
    let mut status = 0;
    // SAFETY: zero is a valid value of this plain C struct; the process is our child and nobody else waits for it.
    let (waited, usage) = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        (libc::wait4(child.id() as libc::pid_t, &mut status, 0, &mut usage), usage)
    };
    if waited < 0 || status != 0 {
        return Err(Error::Internal(format!("`{name}` on a simulated scan failed")));
    }
    // Kilobytes, but for Apple's systems.
    let unit = if cfg!(target_vendor = "apple") { 1 } else { 1024 };
    Ok(u64::try_from(usage.ru_maxrss).ok().map(|n| n * unit))
}

#[cfg(not(unix))]
fn finish(mut child: Child, name: &str) -> Result<Option<u64>> {
    match child.wait() {
        Ok(status) if status.success() => Ok(None),
        _ => Err(Error::Internal(format!("`{name}` on a simulated scan failed"))),
    }
}

/// All numbers.
const TABLE: &str = "growth.json";
/// What is drawn along a curve: name, axis, value.
type Drawn = (&'static str, &'static str, fn(&Point) -> Option<f64>);
const FIGURES: [Drawn; 2] = [
    ("time", "seconds", |p| Some(p.spread.median_s)),
    ("memory", "peak memory in MB", |p| p.peak_bytes.map(|b| b as f64 / 1e6)),
];

fn figure(curve: &Curve, what: &str) -> String {
    format!("growth-{}-{what}.png", curve.name)
}

/// Time and memory along one curve, one line a command.
fn draw(curve: &Curve, points: &[Point], folder: &Path, overwrite: bool) -> Result<()> {
    for (what, axis, value) in FIGURES {
        let of = |command: &str| -> (Vec<f64>, Vec<f64>) {
            let mine = points.iter().filter(|p| p.curve == curve.name && p.command == command);
            mine.filter_map(|p| Some(((curve.along)(&p.setting), value(p)?))).unzip()
        };
        let lines = COMMANDS.map(|c| (c, of(c)));
        let title = format!("Growth with {}", curve.axis);
        let mut plot = LinePlot::new(&title, curve.axis, axis);
        (plot.log_x, plot.log_y) = (true, true);
        plot.series
            .extend(lines.iter().map(|(name, (x, y))| Series { name, x, y, dots: true }));
        write_file(folder.join(figure(curve, what)), overwrite, &plot.draw().to_png()?)?;
    }
    Ok(())
}
