//! The report page: one HTML file with its figures inside, for screens, phones and paper.

use base64::Engine;
use std::fmt::Write;

/// A report in the making. All text is escaped.
#[derive(Debug, Clone)]
pub struct Report {
    title: String,
    summary: Vec<(String, String)>,
    body: String,
}

const STYLE: &str = "\
:root{color-scheme:light}\
*{box-sizing:border-box}\
body{margin:0 auto;max-width:60rem;padding:1.5rem 1rem 4rem;font:16px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;color:#202124;background:#fff;overflow-wrap:anywhere}\
h1{font-size:1.7rem;line-height:1.2;margin:.5rem 0 1rem}\
h2{font-size:1.25rem;margin:2.5rem 0 .75rem;padding-bottom:.25rem;border-bottom:1px solid #ddd}\
p{margin:.5rem 0}\
figure{margin:1.25rem 0}\
figure img{display:block;max-width:100%;height:auto}\
figcaption{color:#5f6368;font-size:.92rem;margin-top:.35rem}\
.scroll{overflow-x:auto}\
table{border-collapse:collapse;margin:.75rem 0;font-size:.95rem;font-variant-numeric:tabular-nums}\
th,td{text-align:left;vertical-align:top;padding:.3rem .9rem .3rem 0;border-bottom:1px solid #e6e6e6}\
th{font-weight:600;white-space:nowrap}\
th,td{overflow-wrap:normal}\
.summary td{overflow-wrap:anywhere}\
.summary th{color:#5f6368;font-weight:400;white-space:nowrap}\
.warning{border-left:4px solid #c26a00;background:#fff6e8;padding:.5rem .9rem;margin:.75rem 0}\
pre{background:#f6f7f8;padding:.8rem 1rem;overflow-x:auto;font-size:.85rem;line-height:1.4}\
footer{margin-top:3rem;color:#5f6368;font-size:.85rem}\
@media print{body{max-width:none;padding:0}h2{break-after:avoid}figure,table{break-inside:avoid}pre{white-space:pre-wrap}}";

impl Report {
    pub fn new(title: impl Into<String>) -> Self {
        Report {
            title: title.into(),
            summary: Vec::new(),
            body: String::new(),
        }
    }

    /// Adds a row to the table at the top.
    pub fn summary(&mut self, name: &str, value: impl std::fmt::Display) -> &mut Self {
        self.summary.push((name.to_owned(), value.to_string()));
        self
    }
    /// Begins a section.
    pub fn section(&mut self, heading: &str) -> &mut Self {
        self.push(&["<h2>", &escape(heading), "</h2>\n"])
    }
    /// Adds a paragraph.
    pub fn paragraph(&mut self, text: &str) -> &mut Self {
        self.push(&["<p>", &escape(text), "</p>\n"])
    }
    /// Adds a paragraph that stands out.
    pub fn warning(&mut self, text: &str) -> &mut Self {
        self.push(&["<p class=\"warning\">", &escape(text), "</p>\n"])
    }
    /// Adds text as it is, in a fixed-width font: parameters, commands.
    pub fn code(&mut self, text: &str) -> &mut Self {
        self.push(&["<pre>", &escape(text), "</pre>\n"])
    }
    /// Adds a figure, `png` the bytes of the file; the caption also describes it to those who cannot see it.
    pub fn figure(&mut self, png: &[u8], caption: &str) -> &mut Self {
        let caption = escape(caption);
        let data = base64::engine::general_purpose::STANDARD.encode(png);
        self.push(&[
            "<figure><img alt=\"",
            &caption,
            "\" src=\"data:image/png;base64,",
            &data,
            "\"><figcaption>",
        ])
        .push(&[&caption, "</figcaption></figure>\n"])
    }
    /// Adds a table; rows may be shorter than the header.
    pub fn table<S: AsRef<str>>(&mut self, header: &[S], rows: &[Vec<String>]) -> &mut Self {
        self.push(&["<div class=\"scroll\"><table><thead><tr>"]);
        for cell in header {
            self.push(&["<th>", &escape(cell.as_ref()), "</th>"]);
        }
        self.push(&["</tr></thead><tbody>\n"]);
        for row in rows {
            self.push(&["<tr>"]);
            for cell in row {
                self.push(&["<td>", &escape(cell), "</td>"]);
            }
            self.push(&["</tr>\n"]);
        }
        self.push(&["</tbody></table></div>\n"])
    }

    fn push(&mut self, parts: &[&str]) -> &mut Self {
        self.body.extend(parts.iter().copied());
        self
    }

    /// The page.
    pub fn render(&self) -> String {
        let title = escape(&self.title);
        let mut page = String::with_capacity(self.body.len() + 4096);
        page += "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n";
        page += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n";
        // Writing to a String cannot fail.
        let _ = write!(
            page,
            "<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
        );
        if !self.summary.is_empty() {
            page += "<div class=\"scroll\"><table class=\"summary\"><tbody>\n";
            for (name, value) in &self.summary {
                let _ = writeln!(page, "<tr><th>{}</th><td>{}</td></tr>", escape(name), escape(value));
            }
            page += "</tbody></table></div>\n";
        }
        page += &self.body;
        let _ = write!(
            page,
            "<footer>emstream {}</footer>\n</body>\n</html>\n",
            env!("CARGO_PKG_VERSION")
        );
        page
    }
}

/// Text for HTML, safe in content and in quoted attributes. Control characters, which HTML forbids, become �.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            c if c.is_control() && !matches!(c, '\n' | '\t') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
