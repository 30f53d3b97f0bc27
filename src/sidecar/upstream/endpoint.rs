use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    str::FromStr,
};

use http::{Uri, uri::Authority, uri::Scheme};

use crate::api::Named;

/// Where requests go: a scheme and an authority, and nothing else.
///
/// A file of settings may instead name the playback configuration whose endpoint this is. Until MediaTailor's API
/// has been asked, at [`Sidecar::bind`](crate::sidecar::Sidecar::bind), it then has a host that does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    scheme: Scheme,
    authority: Authority,
    named: Option<Named>,
}

/// Where it is until the API has been asked: nobody is there (RFC 6761, section 6.4).
const UNASKED: &str = "playback-configuration.invalid";

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

    /// The endpoint of a playback configuration, still to be asked for.
    ///
    /// # Errors
    ///
    /// Where this build cannot ask: what is missing, and what to do.
    pub(in crate::sidecar) fn of(named: &Named) -> Result<Self, String> {
        #[cfg(not(feature = "aws"))]
        return Err(format!("{named}: {}, or write its endpoint's URL", crate::api::NOT_BUILT));
        #[cfg(feature = "aws")]
        Ok(Self { named: Some(named.clone()), ..Self::unasked() })
    }

    /// Some endpoint that is still to be asked for.
    pub(in crate::sidecar) fn unasked() -> Self {
        Self { scheme: Scheme::HTTPS, authority: Authority::from_static(UNASKED), named: None }
    }

    /// The configuration whose endpoint it is, where the settings name one.
    #[cfg(feature = "aws")]
    pub(in crate::sidecar) fn named(&self) -> Option<&Named> {
        self.named.as_ref()
    }

    /// The same, where MediaTailor's API says that it is.
    #[cfg(feature = "aws")]
    pub(in crate::sidecar) fn found(&self, at: &Self) -> Self {
        Self { named: self.named.clone(), ..at.clone() }
    }

    /// Whether this is the given address, written as numbers or as `localhost`. Of an address that stands for
    /// all of this machine's, whether it is one of them.
    pub(in crate::sidecar) fn is(&self, address: SocketAddr) -> bool {
        let port = self.authority.port_u16().unwrap_or(if self.scheme == Scheme::HTTPS { 443 } else { 80 });
        let host = self.authority.host().trim_matches(['[', ']']);
        let everywhere = address.ip().is_unspecified();
        let same_host = match host.parse::<IpAddr>() {
            Ok(host) if host == address.ip() => true,
            // All of IPv6 are those of IPv4 as well, and not the other way round.
            Ok(host) => {
                let among = address.is_ipv6() || host.is_ipv4();
                everywhere && (host.is_loopback() || among && is_this_machines(host))
            }
            Err(_) => host == "localhost" && (address.ip().is_loopback() || everywhere),
        };
        same_host && port == address.port()
    }
}

/// Whether this machine would send from an address what it sends there: only to its own does it. Nothing is sent.
fn is_this_machines(address: IpAddr) -> bool {
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let from = UdpSocket::bind((any, 0)).and_then(|socket| {
        // Any port but none.
        socket.connect((address, 9))?;
        socket.local_addr()
    });
    from.is_ok_and(|from| from.ip() == address)
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
        // A URL that is read has none.
        if text.contains('#') {
            return bad("it has a fragment, which is never sent", format!("{scheme}://{authority}"));
        }
        if uri.path() != "/" || uri.query().is_some() {
            return bad(
                "it has a path, which players' requests bring themselves",
                format!("{scheme}://{authority}"),
            );
        }
        Ok(Self { scheme: scheme.clone(), authority: authority.clone(), named: None })
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
            ("https://a.example#x", "fragment, which is never sent; write https://a.example"),
            ("https://a.example/#", "fragment"),
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
        // Of a network for documents, which is nobody's (RFC 5737).
        assert!(!upstream("http://192.0.2.1:8080").is(everywhere));
        assert!(!upstream("http://[2001:db8::1]:8080").is("[::]:8080".parse().expect("an address")));
        // That of this machine by which it would get there.
        let route = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
            socket.connect("192.0.2.1:9")?;
            socket.local_addr()
        });
        if let Ok(route) = route {
            let own = upstream(&format!("http://{}:8080", route.ip()));
            assert!(own.is(everywhere) && own.is("[::]:8080".parse().expect("an address")), "{own}");
            assert!(!own.is("0.0.0.0:8081".parse().expect("an address")), "{own}");
        }
    }
}
