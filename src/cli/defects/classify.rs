//! `emstream defects classify`

use super::{RecipeArg, open};
use crate::cli::place::Place;
use crate::cli::scan::ScanArgs;
use crate::cli::session::Session;
use crate::cli::set;
use clap::ValueEnum;
use emstream::analysis::Recipe;
use emstream::io;
use emstream::io::array::{self, MAX_BYTES};
use emstream::workflows::defects::classify::{self, Align, Params, Pca, Pictures, Range, Register};
use emstream::workflows::defects::{Detected, result_file};
use emstream::{Error, Result, workflows};
use ndarray::Array1;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Sort the windows around defects into classes
#[derive(clap::Args)]
pub struct Args {
    /// Result of `defects detect`, or its folder
    #[arg(value_name = "RESULT|DIR")]
    result: PathBuf,
    #[command(flatten)]
    place: Place,
    /// The movie that the detections come from: draws frames and a movie in class colours
    #[arg(long, value_name = "FILE")]
    movie: Option<PathBuf>,
    /// Frames to show in figures [default: four over the movie]
    #[arg(long, value_name = "N,N,…", value_delimiter = ',')]
    show_frames: Vec<u64>,
    /// Seed of random starts and samples [default: 0]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// `published` repeats the published notebook step by step, faults included [default: default]
    #[arg(long, value_enum)]
    recipe: Option<RecipeArg>,
    #[command(flatten)]
    flags: ClassifyFlags,
}

/// Flags that `defects run` has, too.
#[derive(clap::Args)]
pub struct ClassifyFlags {
    /// Number of classes [default: 5]
    #[arg(long, value_name = "K")]
    classes: Option<usize>,
    /// Principal components that classes come from: a number, `mle` for the most probable, `none` for pixels [default: 16; published: none]
    #[arg(long, value_name = "N|mle|none")]
    pca: Option<Pca>,
    /// Compare mixtures of A to B classes by Schwarz's criterion, or `none` [default: 2..8]
    #[arg(long, value_name = "A..B")]
    bic: Option<Range>,
    /// How windows are brought onto common ground [default: lattice; published: none]
    #[arg(long, value_enum)]
    register: Option<RegisterArg>,
    /// Compare windows within R pixels of their centre, 0 all of them [default: 0.6 of the lattice's spacing; published: 0]
    #[arg(long, value_name = "R")]
    radius: Option<f64>,
    /// Which images of a window count as the same [default: none]
    #[arg(long, value_enum)]
    align: Option<AlignArg>,
    /// Times that the mixture starts anew from k-means; the likeliest is taken [default: 10; published: 1]
    #[arg(long, value_name = "N")]
    starts: Option<usize>,
    /// Added to the diagonal of covariances [default: the variance of the noise; published: 1e-6]
    #[arg(long, value_name = "V")]
    regularisation: Option<f64>,
    /// Frames of the moving average of counts [default: 5]
    #[arg(long, value_name = "N")]
    average: Option<usize>,
    /// Class of each window, from 0, that the mixture starts from instead of k-means
    #[arg(long, value_name = "FILE.npy")]
    start: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum RegisterArg {
    /// About the lattice site each window belongs to
    Lattice,
    /// About the centre of mass
    Centre,
    /// As they are
    None,
}

#[derive(Clone, Copy, ValueEnum)]
enum AlignArg {
    None,
    /// Rotations that leave the lattice as it is
    Rotate,
    /// These and mirror images
    Mirror,
}

impl ClassifyFlags {
    /// Fills in what was typed.
    pub fn apply(self, p: &mut Params) {
        p.classes = self.classes.or(p.classes);
        p.pca = self.pca.or(p.pca);
        p.bic = self.bic.or(p.bic);
        let register = self.register.map(|r| match r {
            RegisterArg::Lattice => Register::Lattice,
            RegisterArg::Centre => Register::Centre,
            RegisterArg::None => Register::None,
        });
        p.register = register.or(p.register);
        p.radius = self.radius.or(p.radius);
        let align = self.align.map(|a| match a {
            AlignArg::None => Align::None,
            AlignArg::Rotate => Align::Rotate,
            AlignArg::Mirror => Align::Mirror,
        });
        set(&mut p.align, align);
        p.starts = self.starts.or(p.starts);
        p.regularisation = self.regularisation.or(p.regularisation);
        p.average = self.average.or(p.average);
        p.start = self.start.or(p.start.take());
    }
}

/// The classes to start from, if there is a file.
pub fn start(path: Option<&Path>) -> Result<Option<Vec<usize>>> {
    let Some(path) = path else { return Ok(None) };
    let labels = array::read_array::<i64>(path, MAX_BYTES)?;
    let flat: Array1<i64> = labels.flatten().into_owned();
    let class =
        |&l: &i64| usize::try_from(l).map_err(|_| Error::format(path, "values", format!("{l} is no class: they count from 0")));
    flat.iter().map(class).collect::<Result<_>>().map(Some)
}

/// A parameter file.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ParamsFile {
    classify: Params,
}

/// How an earlier step read its movie.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Earlier {
    scan: ScanArgs,
}

pub fn run(args: Args, session: &Session) -> Result<()> {
    let mut file: ParamsFile = args.place.parameters()?;
    let p = &mut file.classify;
    args.flags.apply(p);
    p.movie = args.movie.or(p.movie.take());
    set(&mut p.seed, args.seed);
    set(&mut p.recipe, args.recipe.map(Recipe::from));
    if !args.show_frames.is_empty() {
        p.show_frames = args.show_frames;
    }
    p.effective()?;
    let start = start(p.start.as_deref())?;
    let dir = args.place.folder(session)?;
    let found = Detected::read(&args.result, true, &session.control)?;
    let classified = classify::run(&found, p, start.as_deref(), &session.control)?;
    let pictures = match &p.movie {
        Some(movie) => {
            let scan = open(&how(&args.result)?, movie, session)?;
            let class = found.spread(&classified.labels);
            classify::pictures(&*scan, &found, &class, &p.show_frames, (&dir, "movie.png"), &session.control)?
        }
        None => {
            log::info!("without --movie no frames are drawn");
            Pictures::default()
        }
    };
    for w in &classified.warnings {
        log::warn!("{}: {w}", args.result.display());
    }
    let effective = workflows::to_toml(&file)?;
    let folder = classify::write(&found, &classified, &pictures, &effective, dir)?;
    let sizes: Vec<String> = classified.sizes.iter().map(usize::to_string).collect();
    said!(
        session,
        "{} windows in {} classes ({}); {}",
        classified.labels.len(),
        classified.sizes.len(),
        sizes.join(", "),
        folder.join("report.html").display()
    );
    Ok(())
}

/// Flags with which the movie was read for a result.
fn how(result: &Path) -> Result<ScanArgs> {
    let path = result_file(result);
    if !io::has_stored(&path, "provenance/parameters")? {
        return Ok(ScanArgs::default());
    }
    let text = io::read_stored_text(&path, "provenance/parameters")?;
    let earlier: Earlier = toml::from_str(&text).map_err(|e| Error::format(&path, "provenance/parameters", e.to_string()))?;
    // Results of versions that took a region of interest hold all frames nevertheless.
    Ok(ScanArgs {
        roi: None,
        ..earlier.scan
    })
}
