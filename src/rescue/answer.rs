use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, header};
use tokio::time::Instant;

use super::{head::Head, kept::Kept};

/// The last good playlist, for a player whose own answer failed or is too slow.
#[derive(Clone)]
pub(crate) struct Rescue {
    head: Arc<Head>,
    body: Bytes,
    age: Duration,
}

/// Why there is no [`Rescue`]. Where there are several reasons, it is the last one in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub(crate) enum NoRescue {
    /// Nothing is kept of this URL and session, or the session was lost since.
    Unknown,
    /// It is kept only in content codings that the player does not take.
    NotAccepted,
    /// The upstream has not confirmed it for longer than [`Config::max_age`](super::Config::max_age).
    TooOld,
    /// The session was given a higher media sequence already.
    Behind,
    /// It does not satisfy the blocking reload that was asked for (RFC 8216bis section 6.2.5.2).
    Blocking,
    /// It is a variant that has failed for 4 s, or two target durations if that is less, while other playlists of its session come and
    /// no other variant fails: its player can choose another.
    Alone,
}

// === impl Rescue ===

impl Rescue {
    pub(super) fn of(kept: &Kept, now: Instant) -> Self {
        Self {
            head: Arc::clone(&kept.head),
            body: kept.body.clone(),
            age: kept.age + now.saturating_duration_since(kept.since),
        }
    }

    /// How long ago the origin confirmed it, as `Age` counts (RFC 9111 section 5.1).
    pub(crate) fn age(&self) -> Duration {
        self.age
    }

    /// The headers as they came, but for those of one connection, `Date` and the upstream's request id;
    /// `Content-Length` and `Age` (in whole seconds) are new.
    pub(crate) fn headers(&self) -> HeaderMap {
        let mut headers = self.head.headers();
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(self.body.len()));
        headers.insert(header::AGE, HeaderValue::from(self.age.as_secs()));
        headers
    }

    /// The whole answer, a 200; the one to a `HEAD` has no body.
    pub(crate) fn into_response(self, method: &Method) -> Response<Bytes> {
        let headers = self.headers();
        let mut response = Response::new(if method == Method::HEAD { Bytes::new() } else { self.body });
        *response.headers_mut() = headers;
        response
    }
}

/// Without the bytes: a playlist is long, and its URLs are secrets.
impl fmt::Debug for Rescue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rescue")
            .field("bytes", &self.body.len())
            .field("age", &self.age)
            .finish_non_exhaustive()
    }
}

// === impl NoRescue ===

impl NoRescue {
    /// The reason in words, as logs and `Display` have it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "no playlist kept",
            Self::NotAccepted => "content coding not accepted",
            Self::TooOld => "last good playlist too old",
            Self::Behind => "last good playlist behind what was given",
            Self::Blocking => "blocking reload not satisfied",
            Self::Alone => "a variant that fails by itself, and there are others",
        }
    }
}

impl fmt::Display for NoRescue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for NoRescue {}
