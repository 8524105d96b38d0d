//! Answers: status, headers that keep the page to itself, and bodies of text or typed numbers.

use serde_json::Value;
use std::borrow::Cow;
use std::io::Write;

/// The page may load scripts, styles and data from this server alone, and no other page may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// An answer.
pub struct Response {
    pub status: u16,
    /// Media type.
    pub kind: &'static str,
    pub body: Cow<'static, [u8]>,
    pub headers: Vec<(&'static str, String)>,
}

impl Response {
    pub fn new(kind: &'static str, body: impl Into<Cow<'static, [u8]>>) -> Self {
        Response {
            status: 200,
            kind,
            body: body.into(),
            headers: Vec::new(),
        }
    }

    pub fn json(value: &Value) -> Self {
        Self::new("application/json", value.to_string().into_bytes())
    }

    /// An error in words: as JSON for scripts.
    pub fn error(status: u16, why: &str) -> Self {
        let mut response = Self::json(&serde_json::json!({ "error": why }));
        response.status = status;
        response
    }

    /// The same as a page for people.
    pub fn error_page(status: u16, why: &str) -> Self {
        let text = why.replace('&', "&amp;").replace('<', "&lt;");
        let page = format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>emstream explore</title>\
             <h1>emstream explore</h1><p>{text}</p></html>"
        );
        let mut response = Self::new("text/html; charset=utf-8", page.into_bytes());
        response.status = status;
        response
    }

    /// Numbers: the length of the head (u32, little-endian), the head as JSON, padded with spaces so that the numbers begin at a multiple
    /// of 8 bytes, the numbers in the machine's (little-endian) order.
    pub fn numbers(head: &Value, numbers: &[u8]) -> Self {
        let mut text = head.to_string();
        text.push_str(&" ".repeat((8 - (4 + text.len()) % 8) % 8));
        let mut body = Vec::with_capacity(4 + text.len() + numbers.len());
        body.extend_from_slice(&(text.len() as u32).to_le_bytes());
        body.extend_from_slice(text.as_bytes());
        body.extend_from_slice(numbers);
        Self::new("application/octet-stream", body)
    }

    /// To be saved under `name`, which holds no quotes.
    pub fn saved_as(mut self, name: &str) -> Self {
        let name: String = name
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || "._-+".contains(c) {
                    c
                } else {
                    '_'
                }
            })
            .collect();
        self.headers
            .push(("Content-Disposition", format!("attachment; filename=\"{name}\"")));
        self
    }

    /// Sends the answer.
    ///
    /// # Errors
    /// Those of the stream; the connection is of no use then.
    pub fn send(&self, stream: &mut impl Write, head_only: bool, keep_alive: bool) -> std::io::Result<()> {
        let mut head = format!(
            "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: {}\r\nCache-Control: no-store\r\n\
             Content-Security-Policy: {POLICY}\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n\
             Cross-Origin-Resource-Policy: same-origin\r\n",
            self.status,
            reason(self.status),
            self.kind,
            self.body.len(),
            if keep_alive { "keep-alive" } else { "close" }
        );
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += "\r\n";
        // One packet for small answers.
        let mut bytes = head.into_bytes();
        if head_only {
            return stream.write_all(&bytes);
        }
        if self.body.len() <= 64 << 10 {
            bytes.extend_from_slice(&self.body);
            return stream.write_all(&bytes);
        }
        stream.write_all(&bytes)?;
        stream.write_all(&self.body)
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        303 => "See Other",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        422 => "Unprocessable Content",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}
