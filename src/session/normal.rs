use std::borrow::Cow;

/// A path as servers resolve it: without dot segments, escaped or not (RFC 3986 section 5.2.4), and without empty ones. For telling
/// whose a request is, never for sending it.
pub(super) fn normal(path: &str) -> Cow<'_, str> {
    // Few paths have any: a look spares the rest the reading.
    if !["//", "/.", "/%2"].iter().any(|sign| path.contains(sign)) {
        return Cow::Borrowed(path);
    }
    let mut stays = Vec::new();
    for segment in path.split('/') {
        match dots(segment) {
            Some(2) => drop(stays.pop()),
            Some(_) => {}
            None if segment.is_empty() => {}
            None => stays.push(segment),
        }
    }
    Cow::Owned(format!("/{}", stays.join("/")))
}

/// How many dots a dot segment has.
fn dots(segment: &str) -> Option<usize> {
    let rest = segment.replace("%2e", ".").replace("%2E", ".");
    matches!(&*rest, "." | "..").then_some(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_as_servers_resolve_them() {
        for (path, resolved) in [
            ("/", "/"),
            ("/v1/manifest/a/b/c/0.m3u8", "/v1/manifest/a/b/c/0.m3u8"),
            ("/v1/master/a/.b/c..m3u8", "/v1/master/a/.b/c..m3u8"),
            ("/v1/master/a/b/../../../manifest/a/b/c/0.m3u8", "/v1/manifest/a/b/c/0.m3u8"),
            ("/v1/%2e/manifest/a/b/%2E./x/0.m3u8", "/v1/manifest/a/x/0.m3u8"),
            ("/v1//manifest/a/b///c/0.m3u8", "/v1/manifest/a/b/c/0.m3u8"),
            ("//v1/tracking/a/b/c/", "/v1/tracking/a/b/c"),
            ("/../../v1", "/v1"),
            ("*", "*"),
            ("", ""),
        ] {
            assert_eq!(normal(path), resolved, "{path}");
        }
    }
}
