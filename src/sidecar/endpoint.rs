use std::{fmt, net::SocketAddr, str::FromStr};

use http::{Uri, uri::Authority, uri::Scheme};

/// Where requests go: a scheme and an authority, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    scheme: Scheme,
    authority: Authority,
}

/// Why a text is no [`Upstream`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadUpstream(String);

// === impl Upstream ===

impl Upstream {
    /// The scheme, `http` or `https`.
    pub fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// The host and, if it was given, the port.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Whether this is the given address, written as numbers or as `localhost`.
    pub(super) fn is(&self, address: SocketAddr) -> bool {
        let port = self.authority.port_u16().unwrap_or(if self.scheme == Scheme::HTTPS { 443 } else { 80 });
        let host = self.authority.host().trim_matches(['[', ']']);
        let same_host = host.parse() == Ok(address.ip())
            || host == "localhost" && (address.ip().is_loopback() || address.ip().is_unspecified())
            || address.ip().is_unspecified()
                && host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
        same_host && port == address.port()
    }
}

impl FromStr for Upstream {
    type Err = BadUpstream;

    fn from_str(text: &str) -> Result<Self, BadUpstream> {
        let bad = |why: &str, remedy: String| Err(BadUpstream(format!("{why}; write {remedy}")));
        let example = || "https://<endpoint>.mediatailor.<region>.amazonaws.com".to_owned();
        if !text.contains("://") {
            let host = text.split('/').next().unwrap_or_default();
            return bad(
                "it has no scheme",
                if host.is_empty() { example() } else { format!("https://{host}") },
            );
        }
        let Ok(uri) = text.parse::<Uri>() else {
            return bad("it is no URL", example());
        };
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
            return bad("it has no host", example());
        };
        if *scheme != Scheme::HTTP && *scheme != Scheme::HTTPS {
            return bad("its scheme is neither http nor https", format!("https://{authority}"));
        }
        if authority.as_str().contains('@') {
            return bad("it has user information, which is never sent", example());
        }
        if authority.host().is_empty() {
            return bad("its host is empty", example());
        }
        let port = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
        if !port.is_empty() && authority.port_u16().is_none_or(|port| port == 0) {
            return bad("its port is none", format!("{scheme}://{}", authority.host()));
        }
        if uri.path() != "/" || uri.query().is_some() {
            return bad(
                "it has a path, which players' requests bring themselves",
                format!("{scheme}://{authority}"),
            );
        }
        Ok(Self { scheme: scheme.clone(), authority: authority.clone() })
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_a_scheme_and_a_host() {
        for good in ["http://127.0.0.1:8081", "https://a.example", "https://a.example/", "http://[::1]:80"] {
            let upstream: Upstream = good.parse().expect(good);
            assert_eq!(upstream.to_string(), good.trim_end_matches('/'));
        }
        for (bad, why) in [
            ("a.example", "no scheme; write https://a.example"),
            ("a.example/v1", "no scheme; write https://a.example"),
            ("localhost:8081", "no scheme"),
            ("", "no scheme"),
            ("ftp://a.example", "neither http nor https"),
            ("https://a.example/v1", "has a path"),
            ("https://a.example?x=1", "has a path"),
            ("https://user@a.example", "user information"),
            ("https://", "no URL"),
            ("https://a b", "no URL"),
            ("https://a.example:99999", "port"),
            ("https://a.example:", "port"),
        ] {
            let error = bad.parse::<Upstream>().expect_err(bad).to_string();
            assert!(error.contains(why), "{bad}: {error}");
            assert!(error.contains("write http"), "{bad}: {error}");
        }
    }

    #[test]
    fn an_upstream_that_is_here_is_known() {
        let upstream = |text: &str| text.parse::<Upstream>().expect("an upstream");
        let here: SocketAddr = "127.0.0.1:8080".parse().expect("an address");
        let everywhere: SocketAddr = "0.0.0.0:8080".parse().expect("an address");
        for own in ["http://127.0.0.1:8080", "http://localhost:8080"] {
            assert!(upstream(own).is(here), "{own}");
            assert!(upstream(own).is(everywhere), "{own}");
        }
        assert!(!upstream("http://127.0.0.1:8081").is(here));
        assert!(!upstream("http://a.example:8080").is(everywhere));
    }
}
