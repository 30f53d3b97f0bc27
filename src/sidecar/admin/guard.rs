use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header, uri::Authority};

use super::answer::{self, Body};

/// What browsers say of where a request comes from (Fetch Metadata).
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Refuses what a page of somebody else makes a browser ask for: across origins, or by a name of its own that
/// it has turned to this port's address (DNS rebinding). Whoever can name a host to that end owns a domain,
/// so addresses, `localhost` and names without a dot are let in.
#[expect(clippy::result_large_err, reason = "made once for who is refused")]
pub(super) fn check(headers: &HeaderMap) -> Result<(), Response<Body>> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    if !host.and_then(|host| host.parse().ok()).is_some_and(|host: Authority| is_ours(host.host())) {
        return Err(answer::problem(
            StatusCode::MISDIRECTED_REQUEST,
            "the Host of this request could be anybody's",
            "open the page by an address, such as http://127.0.0.1:9090/, by localhost or by a name without a dot; from afar \
             through kubectl port-forward or ssh -L",
        ));
    }
    check_page(headers)
}

/// The same of what says that a browser sends it. A tool may ask by any name.
#[expect(clippy::result_large_err, reason = "made once for who is refused")]
pub(super) fn check_unless_tool(headers: &HeaderMap) -> Result<(), Response<Body>> {
    let browser = |name: &HeaderName| *name == header::ORIGIN || name.as_str().starts_with("sec-fetch-");
    if headers.keys().any(browser) { check(headers) } else { Ok(()) }
}

/// Refuses what a page of another origin asks for; what is no browser says nothing of that.
#[expect(clippy::result_large_err, reason = "made once for who is refused")]
fn check_page(headers: &HeaderMap) -> Result<(), Response<Body>> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let is = |name: &HeaderName, values: &[&str]| {
        headers.get(name).is_none_or(|value| values.iter().any(|allowed| value == allowed))
    };
    let own_origin = |origin: &HeaderValue| {
        let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        origin.map(|(_, authority)| authority) == host
    };
    let site =
        is(&SITE, &["same-origin", "none"]) || headers.get(&MODE).is_some_and(|mode| mode == "navigate");
    if !site || !headers.get(header::ORIGIN).is_none_or(own_origin) {
        return Err(answer::problem(
            StatusCode::FORBIDDEN,
            "another site's page asks for this",
            "open the page itself, or ask from a program",
        ));
    }
    Ok(())
}

fn is_ours(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host.parse::<IpAddr>().is_ok() || !host.is_empty() && !host.contains('.') || host.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(headers: &[(&'static str, &'static str)]) -> u16 {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        check(&headers.collect()).map_or_else(|refused| refused.status().as_u16(), |()| 200)
    }

    #[test]
    fn names_that_anybody_could_have_are_refused() {
        for own in
            ["127.0.0.1:9090", "[::1]:9090", "10.1.2.3", "localhost:9090", "onelane:9090", "a.localhost"]
        {
            assert_eq!(checked(&[("host", own)]), 200, "{own}");
        }
        for other in ["evil.example:9090", "127.0.0.1.evil.example", "", "a b", "localhost.evil.example"] {
            assert_eq!(checked(&[("host", other)]), 421, "{other}");
        }
        assert_eq!(checked(&[]), 421);
    }

    #[test]
    fn what_no_browser_asks_may_have_any_name_and_a_page_may_not() {
        let checked = |headers: &[(&'static str, &'static str)]| {
            let headers = headers
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            check_unless_tool(&headers.collect()).map_or_else(|refused| refused.status().as_u16(), |()| 200)
        };
        let name = ("host", "onelane.example:9090");
        assert_eq!(checked(&[name]), 200);
        for of_page in [
            ("origin", "http://onelane.example:9090"),
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-mode", "navigate"),
        ] {
            assert_eq!(checked(&[name, of_page]), 421, "{of_page:?}");
        }
        assert_eq!(checked(&[("host", "localhost:9090"), ("origin", "http://localhost:9090")]), 200);
    }

    #[test]
    fn pages_of_others_are_refused() {
        let from = |name, value| checked(&[("host", "127.0.0.1:9090"), (name, value)]);
        assert_eq!(from("origin", "http://127.0.0.1:9090"), 200);
        assert_eq!(from("sec-fetch-site", "same-origin"), 200);
        assert_eq!(from("sec-fetch-site", "none"), 200);
        for origin in ["http://127.0.0.1:8080", "https://evil.example", "null"] {
            assert_eq!(from("origin", origin), 403, "{origin}");
        }
        assert_eq!(from("sec-fetch-site", "cross-site"), 403);
        assert_eq!(from("sec-fetch-site", "same-site"), 403);
        // A link to it may be followed.
        let link = [("host", "localhost"), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
        assert_eq!(checked(&link), 200);
    }
}
