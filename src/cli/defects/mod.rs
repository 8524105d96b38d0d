//! `emstream defects`: one file for each step.

mod classify;
mod detect;
mod label;
mod run;
mod track;
mod train;

use super::scan::ScanArgs;
use super::session::Session;
use super::set;
use clap::{Subcommand, ValueEnum};
use emstream::analysis::Recipe;
use emstream::io::Scan;
use emstream::workflows::defects::MovieParams;
use emstream::{Error, Result};
use std::path::Path;

/// Find, classify and follow defects in movies of atomic lattices
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    step: Step,
}

#[derive(Subcommand)]
enum Step {
    Label(Box<label::Args>),
    Train(Box<train::Args>),
    Detect(Box<detect::Args>),
    Classify(Box<classify::Args>),
    Track(Box<track::Args>),
    Run(Box<run::Args>),
}

pub fn run(args: Args, session: &Session) -> Result<()> {
    match args.step {
        Step::Label(a) => label::run(*a, session),
        Step::Train(a) => train::run(*a, session),
        Step::Detect(a) => detect::run(*a, session),
        Step::Classify(a) => classify::run(*a, session),
        Step::Track(a) => track::run(*a, session),
        Step::Run(a) => run::run(*a, session),
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum RecipeArg {
    Default,
    Published,
}

impl From<RecipeArg> for Recipe {
    fn from(r: RecipeArg) -> Self {
        match r {
            RecipeArg::Default => Recipe::Default,
            RecipeArg::Published => Recipe::Published,
        }
    }
}

/// Opens a movie. A region of interest would leave out frames in the middle of it, which no step can do: an error rather than a flag without effect.
fn open(how: &ScanArgs, movie: &Path, session: &Session) -> Result<Box<dyn Scan>> {
    let (scan, selection) = how.open(movie, session)?;
    match selection.is_all() {
        true => Ok(scan),
        false => Err(Error::parameter(
            "--roi",
            "movies have no region of interest: --frames A..B (detect, run) or --frame N (label, train) choose frames",
        )),
    }
}

/// Flags of every step that say how raw values are scaled.
#[derive(clap::Args)]
struct MovieArgs {
    /// Divide values by the last tag whose path contains NAME, over 64000 (DigitalMicrograph files), e.g. PMTDF
    #[arg(long, value_name = "NAME")]
    scale_tag: Option<String>,
    /// Values that become 0 and 1 [default: the extremes of the whole movie]
    #[arg(long, value_name = "LOW,HIGH", allow_hyphen_values = true)]
    range: Option<String>,
    /// `published` repeats the published notebook step by step, faults included [default: default]
    #[arg(long, value_enum)]
    recipe: Option<RecipeArg>,
}

impl MovieArgs {
    fn apply(self, p: &mut MovieParams) -> Result<()> {
        p.scale_tag = self.scale_tag.or(p.scale_tag.take());
        if let Some(text) = self.range {
            let wrong = || Error::parameter("--range", format!("'{text}' is not two numbers like -379,19328"));
            let (low, high) = text.split_once(',').ok_or_else(wrong)?;
            let number = |t: &str| t.trim().parse::<f64>().map_err(|_| wrong());
            p.range = Some([number(low)?, number(high)?]);
        }
        set(&mut p.recipe, self.recipe.map(Recipe::from));
        Ok(())
    }
}
