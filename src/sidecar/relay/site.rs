use http::{HeaderMap, Uri, header};

use crate::sidecar::Config;

/// One of several upstreams: which requests are for it, and its settings.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Site {
    /// What it is called.
    pub name: String,
    /// The hosts whose requests are for it, without port; empty for any. Case does not count, nor a dot at the end.
    pub hosts: Vec<String>,
    /// What the paths of requests for it begin with, by whole segments; `*` is any one segment. `None` for any.
    pub path_prefix: Option<String>,
    /// Its settings: those for all, and its own over them.
    pub config: Config,
}

/// Which requests are for which [`Site`]. Empty where there is one upstream for all.
#[derive(Debug, Clone, Default)]
pub(in crate::sidecar) struct Sites(Vec<Rule>);

#[derive(Debug, Clone)]
struct Rule {
    hosts: Vec<String>,
    segments: Vec<String>,
}

// === impl Site ===

impl Site {
    /// The segments that paths of requests for it begin with: none where any path will do, as `/` says, too.
    pub(in crate::sidecar) fn segments(&self) -> Vec<&str> {
        match self.path_prefix.as_deref().unwrap_or_default().trim_matches('/') {
            "" => Vec::new(),
            prefix => prefix.split('/').collect(),
        }
    }
}

// === impl Sites ===

impl Sites {
    pub(in crate::sidecar) fn new(sites: &[Site]) -> Self {
        let rule = |site: &Site| Rule {
            hosts: site.hosts.iter().map(|host| without_dot(host).to_owned()).collect(),
            segments: site.segments().into_iter().map(str::to_owned).collect(),
        };
        Self(sites.iter().map(rule).collect())
    }

    /// The place of the first that a request is for.
    pub(in crate::sidecar) fn of(&self, uri: &Uri, headers: &HeaderMap) -> Option<usize> {
        if self.0.is_empty() {
            return Some(0);
        }
        let host = host(uri, headers);
        self.0.iter().position(|rule| rule.takes(host, uri.path()))
    }
}

/// The host that a request is for, without its port (RFC 9112 section 3.2.2).
fn host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> &'a str {
    if let Some(host) = uri.host() {
        return without_dot(host);
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    match host.find(']') {
        Some(end) => &host[..=end],
        None => without_dot(host.split(':').next().unwrap_or_default()),
    }
}

/// The same host as it is mostly written: a dot at the end says no more than that the name is whole (RFC
/// 3986 section 3.2.2).
pub(in crate::sidecar) fn without_dot(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

// === impl Rule ===

impl Rule {
    fn takes(&self, host: &str, path: &str) -> bool {
        let mut segments = path.trim_start_matches('/').split('/');
        (self.hosts.is_empty() || self.hosts.iter().any(|own| own.eq_ignore_ascii_case(host)))
            && self
                .segments
                .iter()
                .all(|own| segments.next().is_some_and(|segment| own == "*" || own == segment))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_first_that_fits_host_and_path_is_taken() {
        let site = |hosts: &[&str], prefix: Option<&str>| Site {
            name: String::new(),
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            path_prefix: prefix.map(str::to_owned),
            config: Config::new("http://a.example".parse().expect("an upstream")),
        };
        let sites = Sites::new(&[
            site(&["a.example", "[::1]"], Some("/v1/*/acct/Demo/")),
            site(&["a.example"], None),
            site(&[], Some("/eu")),
            site(&["C.example."], None),
            site(&["d.example"], Some("/")),
        ]);
        for (uri, host, place) in [
            ("/v1/manifest/acct/Demo/s/0.m3u8", "a.example", Some(0)),
            ("/v1/manifest/acct/Demo/s/0.m3u8", "A.example:8080", Some(0)),
            ("/v1/manifest/acct/Demo", "[::1]:80", Some(0)),
            ("/v1/manifest/acct/Demo2/s/0.m3u8", "a.example", Some(1)),
            ("http://a.example/x", "b.example", Some(1)),
            ("/eu/v1/x", "b.example", Some(2)),
            ("/eu", "", Some(2)),
            ("/europe", "b.example", None),
            ("/v1/manifest/acct/Demo/s/0.m3u8", "b.example", None),
            ("/", "", None),
            ("/v1/x", "A.example.", Some(1)),
            ("/v1/x", "a.example.:8080", Some(1)),
            ("http://A.EXAMPLE.:80/x", "b.example", Some(1)),
            ("/v1/x", "c.example", Some(3)),
            ("/v1/x", "c.example.:80", Some(3)),
            ("/v1/x", "c.example..", None),
            ("/v1/x", "d.example", Some(4)),
            ("/", "d.example", Some(4)),
            ("/v1/x", ".", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static(host));
            assert_eq!(sites.of(&Uri::from_static(uri), &headers), place, "{uri} {host}");
        }
        assert_eq!(Sites::default().of(&Uri::from_static("/"), &HeaderMap::new()), Some(0));
    }
}
