//! Heads of HTTP/1.1 requests, read with limits on size and time. Bodies are never accepted: everything is asked for by GET.

use std::io::Read;
use std::time::{Duration, Instant};

/// Longest head of a request in bytes.
pub const MAX_HEAD: usize = 16 << 10;
/// Most header lines.
const MAX_HEADERS: usize = 64;
/// Most parameters of a query.
const MAX_PARAMETERS: usize = 64;
/// From the first byte of a head to its last.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// What was asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Request {
    /// Decoded, without the query.
    pub path: String,
    /// Decoded, in order.
    pub query: Vec<(String, String)>,
    /// Headers that matter here; empty where they are missing.
    pub host: String,
    pub origin: String,
    pub cookie: String,
    pub token: String,
    pub fetch_site: String,
    /// The head alone is wanted.
    pub head_only: bool,
    pub keep_alive: bool,
}

impl Request {
    /// The first parameter of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// Why a request is not answered, as status and words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    pub why: &'static str,
}

const fn refuse(status: u16, why: &'static str) -> Refusal {
    Refusal { status, why }
}

/// Reads the next head from `stream`; what follows it stays in `buffer` for the next call. `None`: the client is done, or was silent for
/// as long as the stream's own timeout.
///
/// # Errors
/// [`Refusal`] for heads that are too long, too slow or malformed, for methods other than GET and HEAD, and for bodies.
pub fn read(stream: &mut impl Read, buffer: &mut Vec<u8>) -> Result<Option<Request>, Refusal> {
    let mut begun: Option<Instant> = (!buffer.is_empty()).then(Instant::now);
    loop {
        if !buffer.is_empty()
            && let Some((request, length)) = parse(buffer)?
        {
            buffer.drain(..length);
            return Ok(Some(request));
        }
        if buffer.len() >= MAX_HEAD {
            return Err(refuse(431, "the head of the request is too long"));
        }
        if begun.is_some_and(|b| b.elapsed() > HEAD_TIME) {
            return Err(refuse(408, "the request took too long"));
        }
        let mut piece = [0; 4096];
        let room = (MAX_HEAD - buffer.len()).min(piece.len());
        match stream.read(&mut piece[..room]) {
            Ok(0) => return Ok(None),
            Ok(n) => {
                buffer.extend_from_slice(&piece[..n]);
                begun.get_or_insert_with(Instant::now);
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return Ok(None),
        }
    }
}

/// The request at the beginning of `bytes` and its length, or `None` if it is not complete.
fn parse(bytes: &[u8]) -> Result<Option<(Request, usize)>, Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Request::new(&mut headers);
    let length = match head.parse(bytes) {
        Ok(httparse::Status::Complete(n)) => n,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(refuse(431, "the request has too many headers")),
        Err(_) => return Err(refuse(400, "this is no HTTP request")),
    };
    let head_only = match head.method {
        Some("GET") => false,
        Some("HEAD") => true,
        _ => return Err(refuse(405, "only GET is answered here")),
    };
    let mut request = Request {
        head_only,
        keep_alive: head.version == Some(1),
        ..Request::default()
    };
    for header in head.headers.iter() {
        let value = std::str::from_utf8(header.value)
            .map_err(|_| refuse(400, "a header is not text"))?
            .trim();
        let slot = match header.name.to_ascii_lowercase().as_str() {
            "host" if !request.host.is_empty() => return Err(refuse(400, "there are two hosts")),
            "host" => &mut request.host,
            "origin" => &mut request.origin,
            "cookie" => &mut request.cookie,
            "x-emstream-token" => &mut request.token,
            "sec-fetch-site" => &mut request.fetch_site,
            "connection" => {
                let has = |word: &str| value.split(',').any(|w| w.trim().eq_ignore_ascii_case(word));
                request.keep_alive = (request.keep_alive && !has("close")) || (head.version == Some(0) && has("keep-alive"));
                continue;
            }
            "transfer-encoding" => return Err(refuse(413, "a request has no body here")),
            "content-length" if value != "0" => return Err(refuse(413, "a request has no body here")),
            _ => continue,
        };
        *slot = value.to_owned();
    }
    let target = head.path.unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let bad = refuse(400, "the address is malformed");
    if !path.starts_with('/') {
        return Err(bad);
    }
    request.path = decode(path).ok_or(bad)?;
    for pair in query.split('&').filter(|p| !p.is_empty()) {
        if request.query.len() == MAX_PARAMETERS {
            return Err(bad);
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        request.query.push((
            decode(&name.replace('+', " ")).ok_or(bad)?,
            decode(&value.replace('+', " ")).ok_or(bad)?,
        ));
    }
    Ok(Some((request, length)))
}

/// Undoes percent-encoding; `None` for broken codes, text that is not UTF-8 and control characters.
fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        out.push(if b == b'%' {
            let digit = |b: u8| char::from(b).to_digit(16);
            (digit(bytes.next()?)? * 16 + digit(bytes.next()?)?) as u8
        } else {
            b
        });
    }
    String::from_utf8(out).ok().filter(|t| !t.chars().any(char::is_control))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Result<Option<Request>, Refusal> {
        read(&mut text.as_bytes(), &mut Vec::new())
    }

    #[test]
    fn heads_are_taken_apart() {
        let r = one("GET /api/map?id=0%3A%2Fstrain%2Fxx&a=1+2 HTTP/1.1\r\nHost: localhost:5\r\nCookie: a=b\r\n\r\n");
        let r = r.unwrap().unwrap();
        assert_eq!(
            (r.path.as_str(), r.get("id"), r.get("a")),
            ("/api/map", Some("0:/strain/xx"), Some("1 2"))
        );
        assert_eq!(
            (r.host.as_str(), r.cookie.as_str(), r.keep_alive),
            ("localhost:5", "a=b", true)
        );
        assert!(
            !one("GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
                .unwrap()
                .unwrap()
                .keep_alive
        );
        // Two in one piece.
        let two = "GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n";
        let (mut stream, mut buffer) = (two.as_bytes(), Vec::new());
        let paths: Vec<_> = (0..2)
            .map(|_| read(&mut stream, &mut buffer).unwrap().unwrap().path)
            .collect();
        assert_eq!(paths, ["/a", "/b"]);
        assert_eq!(read(&mut stream, &mut buffer), Ok(None));
    }

    #[test]
    fn what_is_refused() {
        let status = |text: &str| one(text).unwrap_err().status;
        assert_eq!(status("POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcd"), 405);
        assert_eq!(status("GET / HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcd"), 413);
        assert_eq!(status("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"), 413);
        assert_eq!(status("\x16\x03\x01\x02 hello\r\n\r\n"), 400);
        assert_eq!(status("GET /%zz HTTP/1.1\r\n\r\n"), 400);
        assert_eq!(status("GET /a?b=%ff HTTP/1.1\r\n\r\n"), 400);
        assert_eq!(status("GET http://elsewhere/ HTTP/1.1\r\n\r\n"), 400);
        assert_eq!(status(&format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(MAX_HEAD))), 431);
        assert_eq!(status(&format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(100))), 431);
        assert_eq!(one("GET / HT"), Ok(None), "half a request is none");
    }
}
