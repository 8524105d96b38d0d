//! The page itself: plain files in `assets/explore`, built into the program.

use super::server::Response;

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The file at an address of the page.
pub fn file(path: &str) -> Option<Response> {
    macro_rules! asset {
        ($name:literal) => {
            include_bytes!(concat!("../../assets/explore/", $name)).as_slice()
        };
    }
    let (kind, bytes) = match path {
        "/" => ("text/html; charset=utf-8", asset!("index.html")),
        "/style.css" => ("text/css; charset=utf-8", asset!("style.css")),
        "/main.js" => (SCRIPT, asset!("main.js")),
        "/api.js" => (SCRIPT, asset!("api.js")),
        "/colour.js" => (SCRIPT, asset!("colour.js")),
        "/view.js" => (SCRIPT, asset!("view.js")),
        "/shapes.js" => (SCRIPT, asset!("shapes.js")),
        "/plot.js" => (SCRIPT, asset!("plot.js")),
        "/command.js" => (SCRIPT, asset!("command.js")),
        _ => return None,
    };
    Some(Response::new(kind, bytes))
}
