use std::{
    net::IpAddr,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, header, request::Parts,
    uri::PathAndQuery,
};
use http_body::{Frame, SizeHint};

use super::{arriving::Arriving, via::Via};
use crate::sidecar::{Config, HostHeader, Upstream};

/// The body that goes upstream.
#[derive(Debug, Default)]
pub(in crate::sidecar) enum Body {
    #[default]
    None,
    Players(Arriving),
    /// A player's that was read; `None` once it is sent.
    Read(Option<Bytes>),
}

/// Makes a player's request the upstream's; what may not cross a proxy stays behind (RFC 9110 section 7.6).
#[derive(Debug, Clone)]
pub(in crate::sidecar) struct Forward {
    upstream: Upstream,
    host: HostHeader,
    via: Via,
}

/// A client's address, as it is appended to `X-Forwarded-For`.
#[derive(Debug, Clone)]
pub(in crate::sidecar) struct Viewer(HeaderValue);

/// Why a request cannot be passed on: what is wrong with it, and the remedy.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::sidecar) struct Unpassable(
    pub(in crate::sidecar) &'static str,
    pub(in crate::sidecar) &'static str,
);

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Hop-by-hop by name, whether `Connection` lists them or not. `Alt-Svc` speaks for the host that the connection was made to (RFC 7838
/// section 3), and players have made theirs to another.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "alt-svc"
            | "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

// === impl Forward ===

impl Forward {
    pub(in crate::sidecar) fn new(config: &Config) -> Self {
        Self { upstream: config.upstream.clone(), host: config.host, via: Via::new() }
    }

    /// Whether the request went upstream from here before, and has come back.
    pub(in crate::sidecar) fn has_sent(&self, headers: &HeaderMap) -> bool {
        self.via.is_in(headers)
    }

    /// Where requests go.
    pub(in crate::sidecar) fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// The request as it goes upstream. Path and query stay as they are, byte for byte.
    ///
    /// # Errors
    ///
    /// What it was, where no proxy can pass it on, and why.
    pub(in crate::sidecar) fn request(
        &self,
        request: Request<Arriving>,
        viewer: &Viewer,
    ) -> Result<Request<Body>, Box<(Parts, Unpassable)>> {
        let (mut head, body) = request.into_parts();
        let (uri, viewers_host) = match self.addressed(&head) {
            Ok(addressed) => addressed,
            Err(why) => return Err(Box::new((head, why))),
        };
        head.uri = uri;
        strip_hop_by_hop(&mut head.headers);
        // The server has answered it itself when it is due.
        head.headers.remove(header::EXPECT);
        join(&mut head.headers, header::COOKIE, b"; ");
        append_viewer(&mut head.headers, viewer);
        self.via.append(&mut head.headers, head.version);
        match viewers_host {
            Some(host) => drop(head.headers.insert(header::HOST, host)),
            // The client names the upstream, in the way of the version that it comes to speak.
            None => drop(head.headers.remove(header::HOST)),
        }

        let body = if matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS) {
            // Content there has no meaning (RFC 9110 section 9.3.1) and would hold the turn while it comes.
            head.headers.remove(header::CONTENT_LENGTH);
            Body::default()
        } else {
            Body::Players(body)
        };
        // The client puts in the version that the connection speaks.
        head.version = Version::HTTP_11;
        Ok(Request::from_parts(head, body))
    }

    /// Where it goes, and the host that it is for where the upstream is told the viewer's.
    fn addressed(&self, head: &Parts) -> Result<(Uri, Option<HeaderValue>), Unpassable> {
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(self.upstream.scheme().clone());
        uri.authority = Some(self.upstream.authority().clone());
        uri.path_and_query = Some(path(&head.method, &head.uri)?);
        let viewers_host = match self.host {
            HostHeader::Rewrite => None,
            HostHeader::Preserve => Some(viewers_host(&head.headers, &head.uri)?),
        };
        Ok((Uri::from_parts(uri).map_err(|_| NO_PATH)?, viewers_host))
    }
}

// === impl Body ===

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut *self {
            Self::None => Poll::Ready(None),
            Self::Players(body) => Pin::new(body).poll_frame(cx),
            Self::Read(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::None => true,
            Self::Players(body) => body.is_end_stream(),
            Self::Read(body) => body.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::None => SizeHint::with_exact(0),
            Self::Players(body) => body.size_hint(),
            Self::Read(body) => SizeHint::with_exact(body.as_ref().map_or(0, Bytes::len) as u64),
        }
    }
}

impl From<Bytes> for Body {
    fn from(body: Bytes) -> Self {
        Self::Read((!body.is_empty()).then_some(body))
    }
}

// === impl Viewer ===

impl Viewer {
    pub(in crate::sidecar) fn at(address: IpAddr) -> Self {
        let text = address.to_canonical().to_string();
        Self(HeaderValue::from_str(&text).expect("an address is visible ASCII"))
    }
}

/// Takes off what belongs to one connection: the fixed list, and what `Connection` names.
pub(in crate::sidecar) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| name.trim().parse().ok())
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    remove_all(headers, is_hop_by_hop);
}

/// Takes off every header whose name is such a one. Few requests have any: a look at each name costs less than to
/// look one up.
fn remove_all(headers: &mut HeaderMap, such: fn(&HeaderName) -> bool) {
    while let Some(name) = headers.keys().find(|name| such(name)).cloned() {
        headers.remove(name);
    }
}

const NO_PATH: Unpassable = Unpassable(
    "the request's target has no path that the upstream could serve",
    "request a path that begins with a slash",
);

fn path(method: &Method, uri: &Uri) -> Result<PathAndQuery, Unpassable> {
    if *method == Method::CONNECT {
        return Err(Unpassable(
            "CONNECT is for forward proxies",
            "request MediaTailor's paths from this proxy directly",
        ));
    }
    match uri.path_and_query() {
        Some(path) if path.as_str().starts_with('/') => Ok(path.clone()),
        _ => Err(NO_PATH),
    }
}

fn viewers_host(headers: &HeaderMap, uri: &Uri) -> Result<HeaderValue, Unpassable> {
    // The target's own authority goes before the header (RFC 9112 section 3.2.2).
    // What names a user in it is no part of Host (RFC 9110 section 7.2).
    let host = uri.authority().and_then(|authority| authority.as_str().rsplit('@').next());
    let host = host.and_then(|host| HeaderValue::from_str(host).ok());
    let mut hosts = headers.get_all(header::HOST).iter();
    host.or_else(|| hosts.next().filter(|_| hosts.next().is_none()).cloned()).ok_or(Unpassable(
        "the request has no Host header, or several; --host preserve passes on one",
        "send the Host header that the CDN was asked for",
    ))
}

/// MediaTailor takes the first entry for the viewer ("Session variables" in its user guide), so one that is
/// there stays there.
fn append_viewer(headers: &mut HeaderMap, Viewer(viewer): &Viewer) {
    if headers.append(X_FORWARDED_FOR, viewer.clone()) {
        join(headers, X_FORWARDED_FOR, b", ");
    }
}

/// Makes several lines of one header a single one. A cookie that came over HTTP/2 may be in pieces, which an
/// HTTP/1.1 server need not know (RFC 9113 section 8.2.3).
fn join(headers: &mut HeaderMap, name: HeaderName, by: &[u8]) {
    if headers.get_all(&name).iter().nth(1).is_none() {
        return;
    }
    let all: Vec<&[u8]> = headers.get_all(&name).iter().map(HeaderValue::as_bytes).collect();
    let line = HeaderValue::from_bytes(&all.join(by)).expect("values and separators are a value");
    headers.insert(name, line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hop_by_hop_headers_go_by_list_and_by_connection() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Private"),
            ("connection", "x-other"),
            ("keep-alive", "timeout=5"),
            ("alt-svc", "h3=\":443\""),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("proxy-authorization", "basic"),
            ("x-private", "1"),
            ("x-other", "2"),
            ("user-agent", "player"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["user-agent"]);
    }

    #[test]
    fn the_viewer_is_appended_to_those_before() {
        let viewer = Viewer::at("::ffff:192.0.2.7".parse().expect("an address"));
        let mut headers = HeaderMap::new();
        append_viewer(&mut headers, &viewer);
        assert_eq!(headers[X_FORWARDED_FOR], "192.0.2.7");
        headers.append(X_FORWARDED_FOR, HeaderValue::from_static("198.51.100.1"));
        append_viewer(&mut headers, &viewer);
        assert_eq!(headers[X_FORWARDED_FOR], "192.0.2.7, 198.51.100.1, 192.0.2.7");
        assert_eq!(headers.get_all(X_FORWARDED_FOR).iter().count(), 1);
    }

    #[test]
    fn only_paths_are_passed_on() {
        let path = |method: &Method, uri: &'static str| path(method, &Uri::from_static(uri));
        assert_eq!(path(&Method::GET, "/v1/a%2Fb//c?x=%20&y").expect("a path"), "/v1/a%2Fb//c?x=%20&y");
        assert_eq!(path(&Method::GET, "http://elsewhere.example/v1/x").expect("a path"), "/v1/x");
        assert_eq!(path(&Method::OPTIONS, "*"), Err(NO_PATH));
        assert!(path(&Method::CONNECT, "a.example:443").is_err());
    }
}
