use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::telemetry::REQUEST_ID;

/// What belongs to one connection or host, or to one answer at one time: RFC 9110 section 7.6.1, and what is made anew.
const LEFT_OUT: [HeaderName; 16] = [
    header::AGE,
    header::ALT_SVC,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::DATE,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    HeaderName::from_static("proxy-connection"),
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    // It names an exchange that a later answer is not of.
    REQUEST_ID,
    // Meant for one player, once.
    header::SET_COOKIE,
    // These would let a CDN keep what `no-store` forbids it to: RFC 9111 section 5.3, RFC 9213.
    header::EXPIRES,
    HeaderName::from_static("cdn-cache-control"),
    HeaderName::from_static("surrogate-control"),
];

/// The most that a header takes besides the characters of its name and value, in bytes.
const BESIDES: usize = size_of::<(HeaderName, HeaderValue)>() + 2 * super::ALLOCATION;

/// The headers of a playlist that last longer than its exchange.
///
/// Values are copied: as they come from a client they are slices of the buffer that it read the head into.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head(Box<[(HeaderName, HeaderValue)]>);

// === impl Head ===

impl Head {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        Self(lasting(headers).map(|(name, value)| (name.clone(), copy(value))).collect())
    }

    /// Whether it is what would be kept of these.
    pub(crate) fn is(&self, headers: &HeaderMap) -> bool {
        self.0.iter().map(|(name, value)| (name, value)).eq(lasting(headers))
    }

    /// The first value of a header.
    pub(super) fn get(&self, name: &HeaderName) -> Option<&[u8]> {
        self.0.iter().find(|(kept, _)| kept == name).map(|(_, value)| value.as_bytes())
    }

    pub(crate) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(self.0.len() + 2);
        for (name, value) in &self.0 {
            headers.append(name.clone(), value.clone());
        }
        headers
    }

    /// What it takes, in bytes.
    pub(crate) fn weight(&self) -> usize {
        let characters: usize = self.0.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        characters + self.0.len() * BESIDES + super::ALLOCATION
    }
}

fn lasting(headers: &HeaderMap) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
    let named: Vec<&str> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(str::trim))
        .collect();
    headers.iter().filter(move |(name, _)| {
        !LEFT_OUT.contains(name) && !named.iter().any(|named| named.eq_ignore_ascii_case(name.as_str()))
    })
}

fn copy(value: &HeaderValue) -> HeaderValue {
    let mut copy = HeaderValue::from_bytes(value.as_bytes()).unwrap_or_else(|_| value.clone());
    copy.set_sensitive(value.is_sensitive());
    copy
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .fold(HeaderMap::new(), |mut headers, (name, value)| {
                headers.append(name, value);
                headers
            })
    }

    #[test]
    fn what_lasts_is_kept_and_nothing_else() {
        let lasting = [
            ("content-type", "application/vnd.apple.mpegurl"),
            ("content-encoding", "gzip"),
            ("vary", "accept-encoding"),
            ("x-seen", "1"),
            ("x-seen", "2"),
        ];
        let mut came = headers(&lasting);
        came.extend(headers(&[
            ("connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("content-length", "7"),
            ("date", "Thu, 01 Jan 2026 00:00:00 GMT"),
            ("age", "3"),
            ("x-amzn-requestid", "5f3c"),
            ("set-cookie", "viewer=1"),
            ("expires", "Thu, 01 Jan 2026 00:01:00 GMT"),
            ("cdn-cache-control", "max-age=60"),
            ("surrogate-control", "max-age=60"),
        ]));
        let head = Head::of(&came);
        assert_eq!(head.headers(), headers(&lasting));
        assert!(head.is(&came) && head.is(&headers(&lasting)));
        assert!(!head.is(&headers(&lasting[1..])));
        assert!(head.weight() > lasting.iter().map(|(name, value)| name.len() + value.len()).sum());
    }

    #[test]
    fn a_secret_stays_one() {
        let mut came = HeaderMap::new();
        let mut value = HeaderValue::from_static("secret");
        value.set_sensitive(true);
        came.insert("x-token", value);
        assert!(Head::of(&came).headers()["x-token"].is_sensitive());
    }
}
