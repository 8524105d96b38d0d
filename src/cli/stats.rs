//! `emstream stats`

use super::scan::{ScanArgs, report_warnings};
use super::session::Session;
use emstream::engine::{Pass, Resident};
use emstream::io::results::{Meta, ResultFile};
use emstream::kernels::statistics::Params;
use emstream::ops::{LogSum, Statistics};
use emstream::workflows::{self, Timings};
use emstream::{Error, Result};
use std::path::PathBuf;

/// Sum, mean, variance, standard deviation, minimum, maximum and log-sum of every pixel, in one pass
#[derive(clap::Args)]
pub struct Args {
    /// A scan of any format
    scan: PathBuf,
    /// Result file (HDF5)
    #[arg(short, long, value_name = "OUT.h5")]
    output: PathBuf,
    /// Which of sum, mean, var, std, min, max, logsum
    #[arg(long, value_delimiter = ',', default_value = "sum,mean,var,std,min,max,logsum")]
    ops: Vec<String>,
    #[command(flatten)]
    how: ScanArgs,
}

const OPS: [&str; 7] = ["sum", "mean", "var", "std", "min", "max", "logsum"];

pub fn run(args: Args, session: &Session) -> Result<()> {
    let wants = |name: &str| args.ops.iter().any(|o| o == name);
    if let Some(bad) = args.ops.iter().find(|o| !OPS.contains(&o.as_str())) {
        return Err(Error::parameter("--ops", format!("'{bad}' is none of {}", OPS.join(", "))));
    }
    let out = ResultFile::create(&args.output, session.overwrite)?;
    let (scan, selection) = args.how.open(&args.scan, session)?;
    let backend = session.backend()?;
    let mut timings = Timings::default();

    let mut pass = Pass::new("statistics", &*scan, &selection);
    let params = Params {
        squares: wants("var") || wants("std"),
        extrema: wants("min") || wants("max"),
    };
    let moments = OPS[..6].iter().any(|o| wants(o)).then(|| pass.add(Statistics(params)));
    let logsum = wants("logsum").then(|| pass.add(LogSum::all()));
    let mut done = timings.pass("statistics", &*scan, &selection, || {
        pass.run(&backend, &Resident::none(), &session.control)
    })?;

    let frame = scan.info().frame;
    let put = |name: &str, values: Vec<f64>| -> Result<()> {
        let map = workflows::frame_array(frame, values)?;
        out.put(
            &format!("stats/{name}"),
            map.view(),
            Meta::new(workflows::unit(name), &["y", "x"], workflows::meaning(name)),
        )
    };
    if let Some(handle) = moments {
        let m = done.take(handle)?;
        for name in &OPS[..6] {
            if wants(name) {
                put(name, workflows::statistic(&m, name))?;
            }
        }
    }
    if let Some(handle) = logsum {
        put("logsum", workflows::single_logsum(done.take(handle)?, frame))?;
    }
    report_warnings(&args.scan, &*scan);
    let parameters = format!("[scan]\n{}\n[stats]\nops = {:?}\n", workflows::to_toml(&args.how)?, args.ops);
    out.provenance(&workflows::provenance("stats", &*scan, &backend, parameters, &timings)?)?;
    out.finish()
}
