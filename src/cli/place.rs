//! Where workflows put their results and take parameters from: the same two flags for all of them.

use super::params;
use super::session::Session;
use emstream::Result;
use emstream::io::results::OutputDir;
use serde::de::DeserializeOwned;
use std::path::PathBuf;

#[derive(clap::Args)]
pub(super) struct Place {
    /// Output folder: result.h5, params.toml, figures, report.html
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Parameters from a file, as an earlier run wrote them; flags win over it
    #[arg(long, value_name = "FILE.toml")]
    params: Option<PathBuf>,
}

impl Place {
    /// What the parameter file says; defaults without one.
    ///
    /// # Errors
    /// As [`params::read`].
    pub fn parameters<P: DeserializeOwned + Default>(&self) -> Result<P> {
        params::read(self.params.as_deref())
    }

    /// The folder, still under another name.
    ///
    /// # Errors
    /// As [`OutputDir::create`].
    pub fn folder(&self, session: &Session) -> Result<OutputDir> {
        OutputDir::create(&self.output, session.overwrite)
    }

    /// The folder's path with `ending`: what is kept there belongs to this output.
    pub fn beside(&self, ending: &str) -> PathBuf {
        let mut path = self.output.clone().into_os_string();
        path.push(ending);
        path.into()
    }
}
