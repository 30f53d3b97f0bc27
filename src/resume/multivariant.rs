use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header, request::Parts};

use crate::{
    rescue::{ALLOCATION, Head},
    serialize::Body,
};

/// The headers of a request that its answer depends on: another player may take another coding, or stand
/// on another page.
const SELECTING: [HeaderName; 2] = [header::ACCEPT_ENCODING, header::ORIGIN];

/// A session's multivariant playlist as it was last good, byte for byte: what it names goes on once another session
/// stands in.
pub(super) struct Multivariant {
    url: Box<str>,
    asked: Head,
    head: Head,
    body: Bytes,
}

// === impl Multivariant ===

impl Multivariant {
    /// What was answered with 200 to a `GET`; `None` where it was not read whole or takes more than `largest` bytes.
    pub(super) fn of<B>(asked: &Parts, response: &Response<Body<B>>, largest: usize) -> Option<Self> {
        let pieces = response.body().pieces().filter(|_| response.status() == StatusCode::OK)?;
        let multivariant = Self {
            url: url(asked).into(),
            asked: Head::of(&selecting(asked)),
            head: Head::of(response.headers()),
            body: pieces.iter().flatten().copied().collect(),
        };
        (multivariant.weight() <= largest).then_some(multivariant)
    }

    /// The same again, to a request that is the same again.
    pub(super) fn answer<B>(&self, asked: &Parts) -> Option<Response<Body<B>>> {
        let body = match asked.method {
            Method::GET => self.body.clone(),
            Method::HEAD => Bytes::new(),
            _ => return None,
        };
        if *self.url != *url(asked) || !self.asked.is(&selecting(asked)) {
            return None;
        }
        let mut response = Response::new(Body::from(body));
        *response.headers_mut() = self.head.headers();
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(self.body.len()));
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // Without a judgement: the upstream has said nothing, be it of the playlist or of the session.
        Some(response)
    }

    /// What it takes, in bytes.
    pub(super) fn weight(&self) -> usize {
        self.url.len() + self.asked.weight() + self.head.weight() + self.body.len() + 3 * ALLOCATION
    }
}

fn url(asked: &Parts) -> &str {
    asked.uri.path_and_query().map_or("/", |url| url.as_str())
}

fn selecting(asked: &Parts) -> HeaderMap {
    let lines = |name: HeaderName| {
        asked.headers.get_all(&name).iter().map(move |value| (name.clone(), value.clone()))
    };
    SELECTING.into_iter().flat_map(lines).collect()
}

/// Without its parts: its URLs are secrets.
impl fmt::Debug for Multivariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Multivariant").field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}
