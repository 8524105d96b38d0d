//! `emstream explore`

use super::roi;
use super::scan::{ScanArgs, pair};
use super::session::Session;
use emstream::Result;
use emstream::explore::{Explorer, Files, Options, Sources, View};
use std::io::Write;
use std::path::PathBuf;

/// Look at maps and the frames behind them in a browser: click a point of a map, see its pattern; draw a detector, see its map
#[derive(clap::Args)]
pub struct Args {
    /// A scan, results of it (.h5 or the folder of a workflow), orientations (.ctf, .ang), in any order
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// A scan of spectra at the same positions
    #[arg(long, value_name = "FILE")]
    eds: Option<PathBuf>,
    /// Do not open a browser
    #[arg(long)]
    no_open: bool,
    /// Port on 127.0.0.1 [default: a free one]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    port: u16,
    #[command(flatten)]
    view: ViewArgs,
    #[command(flatten)]
    how: ScanArgs,
}

/// What the page shows first; the page prints these for any view.
#[derive(clap::Args)]
#[command(next_help_heading = "First view")]
struct ViewArgs {
    /// Scan position
    #[arg(long, value_name = "Y,X")]
    at: Option<String>,
    /// Map of a result, e.g. strain/xx or features/values[3]
    #[arg(long, value_name = "NAME")]
    map: Option<String>,
    /// Virtual detector: disk:Y,X,R ring:Y,X,R1,R2 rect:Y,X,H,W
    #[arg(long, value_name = "SPEC")]
    detector: Option<String>,
    /// Region: Y0:Y1,X0:X1 disk:Y,X,R poly:Y,X;Y,X;…
    #[arg(long, value_name = "SPEC")]
    region: Option<String>,
    /// frame, mean, std, logsum, or an image of a result
    #[arg(long, value_name = "NAME")]
    pattern: Option<String>,
    /// Contrast of the pattern: linear, log, or percentiles like 1..99
    #[arg(long, value_name = "SCALE")]
    scale: Option<String>,
    /// Contrast of the map
    #[arg(long, value_name = "SCALE")]
    map_scale: Option<String>,
    /// Colours of the pattern: grey, viridis, inferno, diverging, cyclic; with - in front inverted
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    colours: Option<String>,
    /// Colours of the map
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    map_colours: Option<String>,
    /// Show the mean over this many neighbours on every side, 0 to 10
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    neighbours: usize,
    /// Show the processed pattern beside the raw one
    #[arg(long)]
    process: bool,
    /// Overlays: peaks, lattice, spots, detections, tracks, bands
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    overlay: Vec<String>,
}

impl ViewArgs {
    fn view(self) -> Result<View> {
        Ok(View {
            at: self.at.as_deref().map(|t| pair("--at", t)).transpose()?,
            map: self.map,
            detector: self.detector,
            region: self.region,
            pattern: self.pattern,
            scale: self.scale,
            map_scale: self.map_scale,
            colours: self.colours,
            map_colours: self.map_colours,
            neighbours: self.neighbours,
            process: self.process,
            overlays: self.overlay,
        })
    }
}

pub fn run(args: Args, session: &Session) -> Result<()> {
    let command = command(&args);
    let files = Files {
        paths: args.files,
        spectra: args.eds,
        options: args.how.options()?,
    };
    let sources = Sources::open(&files, &session.control)?;
    let nav = sources.nav;
    let mut view = args.view.view()?;
    let selection = args.how.roi.as_deref().map(|t| roi::parse(t, nav)).transpose()?;
    if selection.is_some() && view.region.is_none() {
        view.region = Some("roi".into());
    }
    let options = Options {
        files,
        port: args.port,
        view,
        roi: selection,
        command,
    };
    sources.problems.iter().for_each(|p| log::warn!("{p}"));
    let explorer = Explorer::new(sources, options, session.backend()?, &session.control)?;
    let address = explorer.address();
    // Whoever reads a pipe waits for this line.
    println!("{address}");
    let _ = std::io::stdout().flush();
    if !args.no_open && !open_browser(&address) {
        log::warn!("no browser was found: open the address yourself");
    }
    explorer.run(&session.control)
}

/// The words that repeat what was opened, without those of the first view.
fn command(args: &Args) -> Vec<String> {
    let mut words: Vec<String> = vec!["emstream".into(), "explore".into()];
    words.extend(args.files.iter().map(|f| f.display().to_string()));
    let mut flag = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            words.extend([name.to_owned(), value]);
        }
    };
    flag("--eds", args.eds.as_ref().map(|f| f.display().to_string()));
    let how = &args.how;
    flag("--dataset", how.dataset.clone());
    flag("--nav-shape", how.nav_shape.clone());
    flag("--sig-shape", how.sig_shape.clone());
    flag("--dtype", how.dtype.clone());
    flag("--offset", how.offset.map(|n| n.to_string()));
    flag("--sync-offset", how.sync_offset.map(|n| n.to_string()));
    flag("--roi", how.roi.clone());
    flag("--names", how.names.clone());
    flag("--bad-pixels", how.bad_pixels.clone());
    words
}

/// Asks the system to show an address. False where it has no way to.
fn open_browser(address: &str) -> bool {
    let (program, before): (&str, &[&str]) = match () {
        () if cfg!(target_os = "windows") => ("rundll32", &["url.dll,FileProtocolHandler"]),
        () if cfg!(target_os = "macos") => ("open", &[]),
        () if ["DISPLAY", "WAYLAND_DISPLAY"].iter().all(|v| std::env::var_os(v).is_none()) => return false,
        () => ("xdg-open", &[]),
    };
    let mut command = std::process::Command::new(program);
    command.args(before).arg(address);
    let quiet = std::process::Stdio::null;
    command.stdin(quiet()).stdout(quiet()).stderr(quiet()).spawn().is_ok()
}
