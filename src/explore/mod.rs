//! `explore`: a local page that shows maps and the frames behind them.
//!
//! 1. Files are opened once ([`Sources`]); a page can ask for what is in them and nothing else.
//! 2. A small server ([`server`]) answers on 127.0.0.1 to those who have the token of this run.
//! 3. Frames, maps of results and overlays are read when they are asked for; virtual detectors and means of regions are computed by
//!    passes that take turns, and published while they go on (`live`).
//!
//! A scan position costs nothing until a map is looked at; a map costs 16 bytes a position while it is shown, and 24 more while it is computed.

mod api;
mod detector;
pub mod frame;
mod live;
mod maps;
mod overlay;
mod page;
mod region;
mod save;
pub mod server;
mod sources;
mod summary;
mod view;

pub use region::Region;
pub use sources::{Files, Source, Sources};
pub use view::View;

use crate::control::Control;
use crate::engine::{Backend, Selection};
use crate::error::Result;
use live::{Gate, Live};
use server::{Request, Response, Server, Site};
use std::sync::Arc;

/// What to explore and how.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub files: Files,
    /// 0: any free one.
    pub port: u16,
    pub view: View,
    /// The region that `--roi` names.
    pub roi: Option<Selection>,
    /// The command line up to the files, for repeating a view.
    pub command: Vec<String>,
}

/// What all requests share.
pub(crate) struct Inner {
    sources: Sources,
    shown: Vec<maps::Shown>,
    backend: Backend,
    control: Control,
    live: Live,
    gate: Gate,
    /// Bytes that answers and results may take.
    room: u64,
    view: View,
    roi: Option<Selection>,
    command: Vec<String>,
}

impl Inner {
    fn positions(&self) -> u64 {
        self.sources.nav[0] as u64 * self.sources.nav[1] as u64
    }
}

struct Page(Arc<Inner>);

impl Site for Page {
    fn answer(&self, request: &Request) -> Response {
        api::answer(&self.0, request)
    }
}

/// A session that listens.
pub struct Explorer {
    server: Server,
    inner: Arc<Inner>,
}

impl Explorer {
    /// Takes a port for sources that are open. A quarter of `control.memory` is for answers, a quarter for maps in the making; passes get half.
    ///
    /// # Errors
    /// [`crate::Error::Parameter`] for a port that is taken and a first view that these files cannot give.
    pub fn new(sources: Sources, options: Options, backend: Backend, control: &Control) -> Result<Explorer> {
        let server = Server::bind(options.port)?;
        let room = control.memory / 4;
        let inner = Inner {
            shown: maps::list(&sources),
            sources,
            backend,
            live: Live::new(room),
            gate: Gate::new(room),
            room,
            control: Control {
                memory: control.memory / 2,
                ..control.clone()
            },
            view: options.view,
            roi: options.roi,
            command: options.command,
        };
        inner.view.check(&inner)?;
        Ok(Explorer {
            server,
            inner: Arc::new(inner),
        })
    }

    /// The address with its token.
    pub fn address(&self) -> String {
        self.server.address()
    }

    /// Answers until `control` is cancelled.
    ///
    /// # Errors
    /// [`crate::Error::Internal`] if no thread can be started.
    pub fn run(self, control: &Control) -> Result<()> {
        let Explorer { server, inner } = self;
        let result = server.run(Arc::new(Page(Arc::clone(&inner))), control);
        inner.live.stop();
        result
    }
}
