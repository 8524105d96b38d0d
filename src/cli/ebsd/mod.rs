//! `emstream ebsd …`: one file per subcommand.

mod convert;
mod maps;

use super::session::Session;
use clap::Subcommand;
use emstream::Result;

/// Kikuchi patterns: from files of any maker to processed patterns, bands and maps
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Convert(Box<convert::Args>),
    Maps(Box<maps::Args>),
}

pub fn run(args: Args, session: &Session) -> Result<()> {
    match args.command {
        Command::Convert(a) => convert::run(*a, session),
        Command::Maps(a) => maps::run(*a, session),
    }
}
