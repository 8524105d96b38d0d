//! Global flags and what they mean: limits, the backend, messages, Ctrl-C.

use super::progress::Bar;
use clap::{Args, ValueEnum};
use emstream::backend::gpu::{Gpu, GpuChoice};
use emstream::engine::Backend;
use emstream::workflows::tune;
use emstream::{Control, Error, Result};
use std::io::IsTerminal;
use std::sync::Arc;

/// Where kernels run.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BackendChoice {
    /// A real GPU if there is one, else the CPU
    Auto,
    Cpu,
    Gpu,
}

#[derive(Args)]
#[command(next_help_heading = "Every command")]
pub struct GlobalArgs {
    /// Where kernels run
    #[arg(long, global = true, value_enum, default_value = "auto")]
    backend: BackendChoice,
    /// Which GPU: its number or a part of its name in `emstream devices`; software adapters only this way
    #[arg(long, global = true, value_name = "N|NAME")]
    gpu: Option<String>,
    /// Worker threads [default: all cores]
    #[arg(long, global = true, value_name = "N")]
    threads: Option<usize>,
    /// Ceiling of host memory, e.g. 512M or 8G [default: half of what is free]
    #[arg(long, global = true, value_name = "SIZE", value_parser = parse_size)]
    memory: Option<u64>,
    /// Ceiling of device memory [default: 2G on discrete GPUs, else 1G]
    #[arg(long, global = true, value_name = "SIZE", value_parser = parse_size)]
    gpu_memory: Option<u64>,
    /// Say more: choices made, timings
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Say nothing but errors and what was asked for
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Replace existing output
    #[arg(long, global = true)]
    overwrite: bool,
}

/// What the global flags mean.
pub struct Session {
    pub control: Control,
    pub overwrite: bool,
    /// Nothing but errors, and what was asked for (`info`, `devices`, `bench`, an address).
    pub quiet: bool,
    backend: BackendChoice,
    gpu: Option<String>,
}

impl Session {
    pub fn new(args: GlobalArgs) -> Result<Self> {
        let level = match (args.quiet, args.verbose) {
            (true, _) => log::LevelFilter::Error,
            (_, 0) => log::LevelFilter::Warn,
            (_, 1) => log::LevelFilter::Info,
            _ => log::LevelFilter::Debug,
        };
        Stderr::install(level);
        let mut control = Control::new();
        if let Some(n) = args.threads {
            if n == 0 {
                return Err(Error::parameter("--threads", "at least one thread is needed"));
            }
            control.threads = n;
        }
        if let Some(m) = args.memory {
            control.memory = m;
            control.kept = m;
        }
        control.gpu_memory = args.gpu_memory;
        if !args.quiet && std::io::stderr().is_terminal() {
            control.progress = Arc::new(Bar::default());
        }
        let on_signal = control.clone();
        // A second Ctrl-C ends the program at once; temporary files then stay behind under their recognisable names.
        let handler = move || {
            if on_signal.is_cancelled() {
                std::process::exit(130);
            }
            on_signal.cancel();
        };
        if let Err(e) = ctrlc::set_handler(handler) {
            log::warn!("Ctrl-C cannot be caught: {e}");
        }
        // The pool that analysis steps share; passes bring their own threads.
        if let Err(e) = rayon::ThreadPoolBuilder::new().num_threads(control.threads).build_global() {
            log::debug!("thread pool: {e}");
        }
        Ok(Session {
            control,
            overwrite: args.overwrite,
            quiet: args.quiet,
            backend: args.backend,
            gpu: args.gpu,
        })
    }

    /// Which GPU was asked for; `required`: one must be there.
    pub fn gpu_choice(&self, required: bool) -> GpuChoice {
        match &self.gpu {
            Some(g) => GpuChoice::parse(g),
            None if required => GpuChoice::Required,
            None => GpuChoice::Auto,
        }
    }

    /// Opens the backend that was asked for; says on `-v` which one and why.
    pub fn backend(&self) -> Result<Backend> {
        if self.backend == BackendChoice::Cpu {
            log::info!("backend cpu");
            return Ok(Backend::Cpu);
        }
        let choice = self.gpu_choice(self.backend == BackendChoice::Gpu);
        let required = choice != GpuChoice::Auto;
        match Gpu::open(choice) {
            Ok(gpu) => {
                if let Some(bytes) = self.control.gpu_memory {
                    gpu.set_budget(bytes);
                }
                log::info!("backend gpu: {}", gpu.summary.name);
                match tune::cache_file().map_or(Ok(None), |file| tune::recall(&file, &gpu)) {
                    Ok(Some(tuning)) => gpu.set_tuning(tuning),
                    Ok(None) => {}
                    Err(e) => log::warn!("{e}; write it anew with emstream devices --tune"),
                }
                Ok(Backend::gpu(gpu))
            }
            Err(e) if required => Err(e),
            Err(e) => {
                log::info!("backend cpu: {e}");
                Ok(Backend::Cpu)
            }
        }
    }
}

/// `512M`, `2G`, `100000`, `1.5GiB`: powers of 1024.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let t = text.trim();
    let split = t.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(t.len());
    let number: f64 = t[..split]
        .parse()
        .map_err(|_| format!("'{text}' is not a size like 512M or 8G"))?;
    let shift = match t[split..]
        .trim()
        .to_ascii_lowercase()
        .trim_end_matches('b')
        .trim_end_matches('i')
    {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err(format!("'{text}' is not a size like 512M or 8G")),
    };
    let bytes = number * (1u64 << shift) as f64;
    if (1.0..9.0e18).contains(&bytes) {
        Ok(bytes as u64)
    } else {
        Err(format!("'{text}' is out of range"))
    }
}

/// Prints log messages as `warning: …` lines on stderr.
struct Stderr;

impl Stderr {
    fn install(level: log::LevelFilter) {
        static LOGGER: Stderr = Stderr;
        if log::set_logger(&LOGGER).is_ok() {
            log::set_max_level(level);
        }
    }
}

impl log::Log for Stderr {
    fn enabled(&self, m: &log::Metadata<'_>) -> bool {
        // Drivers and wgpu talk a lot; their warnings matter only to those who ask with -vv.
        m.target().starts_with("emstream") || log::max_level() >= log::LevelFilter::Debug && m.level() <= log::Level::Warn
    }
    fn log(&self, r: &log::Record<'_>) {
        if !self.enabled(r.metadata()) {
            return;
        }
        match r.level() {
            log::Level::Error => eprintln!("error: {}", r.args()),
            log::Level::Warn => eprintln!("warning: {}", r.args()),
            _ => eprintln!("{}", r.args()),
        }
    }
    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use super::parse_size;

    #[test]
    fn sizes() {
        assert_eq!(parse_size("512M"), Ok(512 << 20));
        assert_eq!(parse_size("1.5GiB"), Ok(3 << 29));
        assert_eq!(parse_size("4096"), Ok(4096));
        assert!(parse_size("lots").is_err() && parse_size("5X").is_err() && parse_size("-1G").is_err());
    }
}
