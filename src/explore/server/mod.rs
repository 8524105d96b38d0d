//! A small HTTP server for one machine: 127.0.0.1, a bounded number of connections, a thread each, limits on everything that a client sends.

mod access;
mod request;
mod response;

pub use access::{Access, Verdict};
pub use request::Request;
pub use response::Response;

use crate::control::Control;
use crate::error::{Error, Result};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// Connections at once; a browser keeps about six. More are told to come back.
pub const MAX_CONNECTIONS: usize = 96;
/// How long a connection may be silent.
const IDLE: Duration = Duration::from_secs(15);
/// How long a client may take none of what is sent.
const STUCK: Duration = Duration::from_secs(20);
/// Answering needs little; big arrays are on the heap.
const STACK: usize = 1 << 20;

/// Answers requests that passed [`Access`].
pub trait Site: Send + Sync + 'static {
    fn answer(&self, request: &Request) -> Response;
}

/// A server that listens but does not answer yet.
pub struct Server {
    listener: TcpListener,
    access: Arc<Access>,
    port: u16,
    stopped: Arc<AtomicBool>,
}

impl Server {
    /// Takes `port` of 127.0.0.1, or any free one for 0.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the port is taken.
    pub fn bind(port: u16) -> Result<Server> {
        let taken = |e: std::io::Error| Error::parameter("--port", format!("cannot listen on 127.0.0.1:{port}: {e}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(taken)?;
        let port = listener.local_addr().map_err(taken)?.port();
        Ok(Server {
            listener,
            access: Arc::new(Access::new(port)?),
            port,
            stopped: Arc::new(AtomicBool::new(false)),
        })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address with the token.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}/?token={}", self.port, self.access.token())
    }

    /// Answers until `control` is cancelled.
    ///
    /// # Errors
    /// [`Error::Internal`] if no thread can be started.
    pub fn run(self, site: Arc<dyn Site>, control: &Control) -> Result<()> {
        let Server {
            listener,
            access,
            port,
            stopped,
        } = self;
        let failed = |e: std::io::Error| Error::Internal(format!("a thread of the server: {e}"));
        let stop = Arc::clone(&stopped);
        let accept = move || {
            let open = Arc::new(AtomicUsize::new(0));
            for stream in listener.incoming() {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                match stream {
                    Ok(stream) => begin(stream, &access, &site, &open),
                    // No more file descriptors, most likely: some will be free soon.
                    Err(_) => std::thread::sleep(Duration::from_millis(50)),
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("accept".into())
            .spawn(accept)
            .map_err(failed)?;
        while !control.is_cancelled() && !thread.is_finished() {
            std::thread::sleep(Duration::from_millis(50));
        }
        stopped.store(true, Ordering::Relaxed);
        // Wakes the thread that waits for connections; those that are open end with the program.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, port)));
        if thread.join().is_err() {
            return Err(Error::Internal("the server's thread ended unexpectedly".into()));
        }
        Ok(())
    }
}

/// Counts an open connection down when it ends, however it ends.
struct Open(Arc<AtomicUsize>);
impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn begin(mut stream: TcpStream, access: &Arc<Access>, site: &Arc<dyn Site>, open: &Arc<AtomicUsize>) {
    let busy = open.fetch_add(1, Ordering::Relaxed) >= MAX_CONNECTIONS;
    let guard = Open(Arc::clone(open));
    let settings = stream
        .set_read_timeout(Some(IDLE))
        .and_then(|()| stream.set_write_timeout(Some(STUCK)))
        .and_then(|()| stream.set_nodelay(true));
    if settings.is_err() {
        return;
    }
    if busy {
        let _ = Response::error(503, "too many connections").send(&mut stream, false, false);
        return;
    }
    let (access, site) = (Arc::clone(access), Arc::clone(site));
    let serve = move || {
        let _guard = guard;
        converse(&mut stream, &access, &*site);
    };
    // Without a thread the connection is dropped, and the client sees it closed.
    if let Err(e) = std::thread::Builder::new()
        .name("client".into())
        .stack_size(STACK)
        .spawn(serve)
    {
        log::warn!("a connection was refused: {e}");
    }
}

/// Answers one request after another until the client goes.
fn converse(stream: &mut TcpStream, access: &Access, site: &dyn Site) {
    let mut buffer = Vec::new();
    loop {
        let request = match request::read(stream, &mut buffer) {
            Ok(Some(request)) => request,
            Ok(None) => return,
            Err(refusal) => {
                if Response::error(refusal.status, refusal.why)
                    .send(stream, false, false)
                    .is_ok()
                {
                    drain(stream);
                }
                return;
            }
        };
        let response = match access.check(&request) {
            Verdict::Allowed => site.answer(&request),
            Verdict::Welcome => {
                let mut response = Response::new("text/plain", &b""[..]);
                response.status = 303;
                response.headers.push(("Location", "/".into()));
                response.headers.push(("Set-Cookie", access.set_cookie()));
                response
            }
            Verdict::Denied(why) if request.path == "/" => Response::error_page(403, why),
            Verdict::Denied(why) => Response::error(403, why),
        };
        // A client that went away in the middle shows here; its thread ends, nothing else does.
        if response.send(stream, request.head_only, request.keep_alive).is_err() || !request.keep_alive {
            return;
        }
    }
}

/// Takes some of what a refused client still sends: closing at once would reset the connection before it has read why.
fn drain(stream: &mut TcpStream) {
    use std::io::Read;
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
    let mut piece = [0; 4096];
    for _ in 0..256 {
        match stream.read(&mut piece) {
            Ok(n) if n > 0 => {}
            _ => return,
        }
    }
}
