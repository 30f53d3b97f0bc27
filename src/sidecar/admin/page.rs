//! The page's files, which are all in the program.

use http::Response;

use super::answer::{self, Body};

/// What they are, and how they are called.
const FILES: [(&str, &str, &str); 4] = [
    ("/", "text/html; charset=utf-8", include_str!("page/index.html")),
    ("/page.css", "text/css; charset=utf-8", include_str!("page/page.css")),
    ("/page.js", "text/javascript; charset=utf-8", include_str!("page/page.js")),
    ("/icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
];

/// The file of a path, if there is one.
pub(super) fn file(path: &str) -> Option<Response<Body>> {
    FILES.iter().find(|(name, ..)| *name == path).map(|(_, kind, content)| answer::file(kind, content))
}
