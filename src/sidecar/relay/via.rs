use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
};

use http::{HeaderMap, HeaderValue, Version, header};

/// What a request has in `Via` once it was sent on from here (RFC 9110 section 7.6.3), by which one is known
/// that comes back.
///
/// The name is another in each process and for each of its upstreams: a request may well pass several
/// onelanes, but none of them twice on its way to the same upstream.
#[derive(Clone)]
pub(in crate::sidecar) struct Via {
    name: String,
    /// For a request that came by HTTP/1.0, 1.1 and 2.
    entries: [HeaderValue; 3],
}

// === impl Via ===

impl Via {
    pub(in crate::sidecar) fn new() -> Self {
        // Of each such state the standard library makes the keys at random.
        let random = RandomState::new().hash_one(());
        let name = format!("onelane-{:08x}", random as u32);
        let entry = |version: &str| {
            HeaderValue::from_str(&format!("{version} {name}")).expect("it is visible ASCII with a space")
        };
        Self { entries: ["1.0", "1.1", "2"].map(entry), name }
    }

    /// Appends it, behind the entries of those before.
    pub(in crate::sidecar) fn append(&self, headers: &mut HeaderMap, came_by: Version) {
        let [http10, http11, http2] = &self.entries;
        let entry = match came_by {
            Version::HTTP_09 | Version::HTTP_10 => http10,
            Version::HTTP_2 => http2,
            _ => http11,
        };
        headers.append(header::VIA, entry.clone());
    }

    /// Whether the request was sent on from here before.
    pub(in crate::sidecar) fn is_in(&self, headers: &HeaderMap) -> bool {
        let lines = headers.get_all(header::VIA).iter();
        // An entry is the protocol, who it was, and maybe a comment.
        lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(','))
            .any(|entry| entry.split_ascii_whitespace().nth(1) == Some(&*self.name))
    }
}

impl fmt::Debug for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Via").field(&self.name).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_from_all_others() {
        let (own, other) = (Via::new(), Via::new());
        let mut headers = HeaderMap::new();
        headers.append(header::VIA, HeaderValue::from_static("1.1 cdn.example, 2 onelane"));
        other.append(&mut headers, Version::HTTP_11);
        assert!(other.is_in(&headers) && !own.is_in(&headers));
        own.append(&mut headers, Version::HTTP_2);
        assert!(own.is_in(&headers));
        let ends: Vec<_> =
            headers.get_all(header::VIA).iter().map(|line| line.to_str().expect("text")).collect();
        assert_eq!(
            ends,
            ["1.1 cdn.example, 2 onelane", &format!("1.1 {}", other.name), &format!("2 {}", own.name)]
        );
    }

    #[test]
    fn it_is_found_among_others() {
        let own = Via::new();
        let name = &own.name;
        let mut headers = HeaderMap::new();
        for (line, found) in [
            (format!("1.0 a, HTTP/1.1   {name} (a comment) ,2 b"), true),
            (format!("1.1 {name}x"), false),
            (format!("1.1 a ({name})"), false),
            (name.clone(), false),
            (" ,, ".to_owned(), false),
        ] {
            headers.insert(header::VIA, HeaderValue::from_str(&line).expect("a value"));
            assert_eq!(own.is_in(&headers), found, "{line}");
        }
    }
}
