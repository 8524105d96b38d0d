//! `emstream explore`, asked over HTTP and looked at in a browser.

mod browser;
mod maps;
mod page;
mod requests;
mod support;
