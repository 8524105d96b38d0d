//! `emstream defects track`

use super::RecipeArg;
use crate::cli::place::Place;
use crate::cli::session::Session;
use crate::cli::set;
use emstream::analysis::Recipe;
use emstream::workflows::defects::Detected;
use emstream::workflows::defects::track::{self, Params, Square};
use emstream::{Result, workflows};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Follow defects from frame to frame
#[derive(clap::Args)]
pub struct Args {
    /// Result of `defects classify` (or of `defects detect`, without classes), or its folder
    #[arg(value_name = "RESULT|DIR")]
    result: PathBuf,
    #[command(flatten)]
    place: Place,
    /// Seed of the intervals [default: 0]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// `published` leaves the drift in, as the published notebook does [default: default]
    #[arg(long, value_enum)]
    recipe: Option<RecipeArg>,
    #[command(flatten)]
    flags: TrackFlags,
}

/// Flags that `defects run` has, too.
#[derive(clap::Args)]
pub struct TrackFlags {
    /// Longest step from frame to frame in pixels [default: 4/3 of the lattice's spacing, else 14]
    #[arg(long, value_name = "PX")]
    gate: Option<f64>,
    /// Frames that a defect may be missed in a row [default: 2]
    #[arg(long, value_name = "N")]
    gap: Option<u32>,
    /// Pixels that a change of class adds to a step [default: 0]
    #[arg(long, value_name = "PX")]
    class_change: Option<f64>,
    /// Size of a pixel in nm, or in the unit of the movie's calibration [default: the calibration]
    #[arg(long, value_name = "NM")]
    pixel_size: Option<f64>,
    /// Time between frames in s, or in the unit of the movie's calibration [default: the calibration]
    #[arg(long, value_name = "S")]
    frame_time: Option<f64>,
    /// Look at the points within R pixels of row Y, column X together, as the notebook does; may be repeated
    #[arg(long, value_name = "Y,X,R")]
    region: Vec<Square>,
    /// Class of the points in regions [default: all]
    #[arg(long, value_name = "K")]
    class: Option<i32>,
    /// Standard deviations of the ellipse of a region [default: 2]
    #[arg(long, value_name = "N")]
    deviations: Option<f64>,
}

impl TrackFlags {
    /// Fills in what was typed.
    pub fn apply(self, p: &mut Params) {
        p.gate = self.gate.or(p.gate);
        set(&mut p.gap, self.gap);
        set(&mut p.class_change, self.class_change);
        p.pixel_size = self.pixel_size.or(p.pixel_size);
        p.frame_time = self.frame_time.or(p.frame_time);
        if !self.region.is_empty() {
            p.region = self.region;
        }
        p.class = self.class.or(p.class);
        set(&mut p.deviations, self.deviations);
    }
}

/// A parameter file.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ParamsFile {
    track: Params,
}

pub fn run(args: Args, session: &Session) -> Result<()> {
    let mut file: ParamsFile = args.place.parameters()?;
    let p = &mut file.track;
    args.flags.apply(p);
    set(&mut p.seed, args.seed);
    set(&mut p.recipe, args.recipe.map(Recipe::from));
    let dir = args.place.folder(session)?;
    let found = Detected::read(&args.result, false, &session.control)?;
    let tracked = track::run(&found, p, &session.control)?;
    for w in &tracked.warnings {
        log::warn!("{}: {w}", args.result.display());
    }
    let effective = workflows::to_toml(&file)?;
    let folder = track::write(&found, &tracked, &effective, dir)?;
    said!(
        session,
        "{} tracks of {} detections in {} frames; {}",
        tracked.linked.members.len(),
        found.frame.len(),
        found.frames,
        folder.join("report.html").display()
    );
    Ok(())
}
