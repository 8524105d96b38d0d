//! `emstream completions` and `emstream man`: written from the same definitions as `--help`.

use super::session::Session;
use clap::Command;
use clap_complete::Shell;
use emstream::io::output::write_file;
use emstream::{Error, Result};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Completions for a shell, to standard output
#[derive(clap::Args)]
pub struct CompletionsArgs {
    #[arg(value_enum)]
    shell: Shell,
}

/// Manual pages, one for each command
#[derive(clap::Args)]
pub struct ManArgs {
    /// Folder for the pages
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
}

pub fn completions(args: CompletionsArgs, mut root: Command) -> Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut root, "emstream", &mut text);
    // Whoever reads them may stop reading.
    match std::io::stdout().write_all(&text) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(Error::io("standard output", "cannot write", e)),
        _ => Ok(()),
    }
}

pub fn man(args: ManArgs, mut root: Command, session: &Session) -> Result<()> {
    // Gives subcommands the global flags and their full names.
    root.build();
    std::fs::create_dir_all(&args.output).map_err(|e| Error::io(&args.output, "cannot create", e))?;
    pages(&root, &args.output, session)
}

/// The page of a command and those of its subcommands.
fn pages(command: &Command, folder: &Path, session: &Session) -> Result<()> {
    let name = command.get_display_name().unwrap_or(command.get_name());
    let path = folder.join(format!("{name}.1"));
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone())
        .render(&mut text)
        .map_err(|e| Error::io(&path, "cannot write", e))?;
    write_file(&path, session.overwrite, &text)?;
    for sub in command.get_subcommands().filter(|c| c.get_name() != "help") {
        pages(sub, folder, session)?;
    }
    Ok(())
}
