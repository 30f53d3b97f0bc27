use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, Request, Uri, header, request::Parts};

use crate::rescue::{ALLOCATION, Head};

/// The headers that MediaTailor makes a session by: what the ad server gets to know of the viewer, the host, and
/// how the answer is to be ("Session variables" and the pages on CDNs in its user guide). Cookies and
/// credentials are not among them.
const KEPT: [HeaderName; 7] = [
    header::ACCEPT_ENCODING,
    header::CONTENT_ENCODING,
    header::CONTENT_TYPE,
    header::HOST,
    header::REFERER,
    header::USER_AGENT,
    HeaderName::from_static("x-forwarded-for"),
];

/// The request that made a session.
///
/// All of it is copied: as it came from a client it is slices of the buffer that it was read into.
pub(super) struct Creation {
    method: Method,
    url: Box<str>,
    head: Head,
    body: Bytes,
}

// === impl Creation ===

impl Creation {
    /// `None` if it takes more than `largest` bytes.
    pub(super) fn of(head: &Parts, body: &[u8], largest: usize) -> Option<Self> {
        let mut headers = HeaderMap::new();
        for name in &KEPT {
            for value in head.headers.get_all(name) {
                headers.append(name.clone(), value.clone());
            }
        }
        let creation = Self {
            method: head.method.clone(),
            url: head.uri.to_string().into(),
            head: Head::of(&headers),
            body: Bytes::copy_from_slice(body),
        };
        (creation.weight() <= largest).then_some(creation)
    }

    /// The same request once more.
    pub(super) fn request<Q: From<Bytes> + Default>(&self) -> Option<Request<Q>> {
        let body = if self.body.is_empty() { Q::default() } else { Q::from(self.body.clone()) };
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.url.parse().ok()?;
        *request.headers_mut() = self.head.headers();
        Some(request)
    }

    /// A request of the same viewer for a playlist of the same upstream.
    pub(super) fn get<Q: Default>(&self, uri: Uri) -> Request<Q> {
        let mut request = Request::new(Q::default());
        *request.uri_mut() = uri;
        *request.headers_mut() = self.head.headers();
        for of_a_body in [header::CONTENT_ENCODING, header::CONTENT_TYPE] {
            request.headers_mut().remove(of_a_body);
        }
        request
    }

    /// What it takes, in bytes.
    pub(super) fn weight(&self) -> usize {
        self.url.len() + self.body.len() + self.head.weight() + 3 * ALLOCATION
    }
}

/// Without its parts: a URL may hold a token, a body what is known of the viewer.
impl fmt::Debug for Creation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Creation").field("method", &self.method).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, Full};

    use super::*;

    fn parts(request: http::request::Builder) -> Parts {
        request.body(()).expect("a request").into_parts().0
    }

    #[tokio::test]
    async fn it_is_sent_again_as_it_was_and_without_secrets() {
        let request = Request::post("http://a.example/v1/session/acct/Demo/i.m3u8?x=%20")
            .header("user-agent", "player")
            .header("x-forwarded-for", "192.0.2.7, 198.51.100.1")
            .header("content-type", "application/json")
            .header("content-encoding", "gzip")
            .header("content-length", "2")
            .header("cookie", "secret")
            .header("authorization", "secret");
        let creation = Creation::of(&parts(request), b"{}", 4096).expect("it is small");
        let again = creation.request::<Full<Bytes>>().expect("a URL");
        assert_eq!((again.method(), again.uri().path()), (&Method::POST, "/v1/session/acct/Demo/i.m3u8"));
        assert_eq!(again.uri().query(), Some("x=%20"));
        let mut names: Vec<_> = again.headers().keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-encoding", "content-type", "user-agent", "x-forwarded-for"]);
        assert_eq!(again.into_body().collect().await.expect("bytes").to_bytes(), "{}");

        let playlist = creation.get::<Full<Bytes>>(Uri::from_static("http://a.example/v1/master/a/b/i.m3u8"));
        assert_eq!((playlist.method(), playlist.headers().len()), (&Method::GET, 2));
        assert!(!format!("{creation:?}").contains("a.example"));
    }

    #[test]
    fn what_is_too_large_is_not_kept() {
        let head = parts(Request::get("/v1/master/a/b/i.m3u8"));
        assert!(Creation::of(&head, &[b'x'; 4096], 4096).is_none());
        assert!(Creation::of(&head, &[b'x'; 2048], 4096).is_some());
    }
}
