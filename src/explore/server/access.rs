//! Who may ask: the token of this run, from a page of this server, under a name of this machine.

use super::request::Request;
use crate::error::{Error, Result};

/// The secret of one run.
pub struct Access {
    token: String,
    cookie: String,
}

/// What is to be done with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Allowed,
    /// The token came in the address: it goes into a cookie, and out of the address.
    Welcome,
    Denied(&'static str),
}

impl Access {
    /// A new token of 128 bits from the system's generator. Cookies belong to a machine, not a port: their name holds the port.
    ///
    /// # Errors
    /// [`Error::Internal`] if the system has no random numbers.
    pub fn new(port: u16) -> Result<Access> {
        let mut bytes = [0u8; 16];
        getrandom::fill(&mut bytes).map_err(|e| Error::Internal(format!("no random numbers for the token: {e}")))?;
        Ok(Access {
            token: bytes.iter().map(|b| format!("{b:02x}")).collect(),
            cookie: format!("emstream-{port}"),
        })
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    /// The cookie that holds the token, as a header.
    pub fn set_cookie(&self) -> String {
        format!("{}={}; Path=/; HttpOnly; SameSite=Strict", self.cookie, self.token)
    }

    /// Checks a request.
    pub fn check(&self, request: &Request) -> Verdict {
        // A foreign name that was made to point at this machine (DNS rebinding) still shows in the header.
        if !is_here(&request.host) {
            return Verdict::Denied("this server answers to 127.0.0.1 and localhost only");
        }
        if request.path == "/" && request.get("token").is_some_and(|t| same(t, &self.token)) {
            return Verdict::Welcome;
        }
        let theirs = [request.token.as_str()];
        let cookies = request.cookie.split(';').filter_map(|c| c.trim().split_once('='));
        let cookies = cookies.filter(|(name, _)| *name == self.cookie).map(|(_, value)| value);
        if !theirs.into_iter().chain(cookies).any(|t| same(t, &self.token)) {
            return Verdict::Denied("the token is missing or wrong: open the address that emstream printed");
        }
        // Pages of other servers on this machine count as the same site, so the cookie alone does not keep them out.
        let own = format!("http://{}", request.host);
        let other_page = !request.origin.is_empty() && !request.origin.eq_ignore_ascii_case(&own);
        if other_page || !matches!(request.fetch_site.as_str(), "" | "same-origin" | "none") {
            return Verdict::Denied("this was asked by the page of another server");
        }
        Verdict::Allowed
    }
}

/// Compares in the same time wherever the texts differ.
fn same(a: &str, b: &str) -> bool {
    let differences = a.bytes().zip(b.bytes()).fold(0u8, |d, (a, b)| d | (a ^ b));
    a.len() == b.len() && std::hint::black_box(differences) == 0
}

/// True for the names of this machine itself, with any port: a tunnel may use another one.
fn is_here(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, port),
        _ => (host, "80"),
    };
    port.parse::<u16>().is_ok()
        && ["127.0.0.1", "localhost", "[::1]"]
            .iter()
            .any(|n| name.eq_ignore_ascii_case(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_from_here_opens() {
        let access = Access::new(4000).unwrap();
        assert_eq!(access.token().len(), 32);
        let with = |change: &dyn Fn(&mut Request)| {
            let mut r = Request {
                path: "/api/state".into(),
                host: "127.0.0.1:4000".into(),
                cookie: format!("other=1; emstream-4000={}", access.token()),
                ..Request::default()
            };
            change(&mut r);
            access.check(&r)
        };
        let denied = |v: Verdict| matches!(v, Verdict::Denied(_));
        assert_eq!(with(&|_| {}), Verdict::Allowed);
        assert_eq!(with(&|r| r.host = "localhost:9999".into()), Verdict::Allowed);
        assert_eq!(with(&|r| r.host = "[::1]:9999".into()), Verdict::Allowed);
        assert!(denied(with(&|r| r.host = "evil.example:4000".into())));
        assert!(denied(with(&|r| r.host = "127.0.0.1.evil.example".into())));
        assert!(denied(with(&|r| r.host = String::new())));
        assert!(denied(with(&|r| r.cookie = String::new())));
        assert!(denied(with(&|r| r.cookie = "emstream-4000=".into())));
        assert!(denied(with(&|r| r.cookie = format!("emstream-4001={}", access.token()))));
        assert!(denied(with(&|r| r.origin = "http://127.0.0.1:8000".into())));
        assert!(denied(with(&|r| r.fetch_site = "same-site".into())));
        assert_eq!(with(&|r| r.origin = "http://127.0.0.1:4000".into()), Verdict::Allowed);
        assert_eq!(
            with(&|r| {
                r.cookie = String::new();
                r.token = access.token().into();
            }),
            Verdict::Allowed
        );
        let link = |token: &str| {
            with(&|r| {
                r.path = "/".into();
                r.cookie = String::new();
                r.query = vec![("token".into(), token.into())];
            })
        };
        assert_eq!(link(access.token()), Verdict::Welcome);
        assert!(denied(link(&access.token()[..31])) && denied(link("")));
    }
}
