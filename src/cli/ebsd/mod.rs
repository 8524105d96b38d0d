//! `emstream ebsd …`: one file per subcommand.

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
enum Command {}

pub fn run(args: Args, _session: &Session) -> Result<()> {
    match args.command {}
}
