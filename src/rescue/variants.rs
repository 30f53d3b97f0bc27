use std::{
    hash::{DefaultHasher, Hasher as _},
    sync::Arc,
};

use http::Uri;

use crate::session::link;

/// The variants that a session's multivariant playlist offers, among which its player can choose (RFC 8216 section 4.3.4.2), by
/// hashes of their paths: whoever makes two of them alike deceives itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Variants(Arc<[u64]>);

// === impl Variants ===

impl Variants {
    /// Those of the playlist at `uri`, decoded.
    pub(crate) fn of(uri: &Uri, text: &[u8]) -> Self {
        let mut all = Vec::new();
        let mut is_next = false;
        for line in text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
            if line.starts_with(b"#EXT-X-STREAM-INF:") {
                is_next = true;
            } else if !line.is_empty() && !line.starts_with(b"#") && std::mem::take(&mut is_next) {
                let link = std::str::from_utf8(line).ok().and_then(|line| link::resolve(uri, line));
                all.extend(link.map(|link| hash(link.path())));
            }
        }
        all.sort_unstable();
        all.dedup();
        Self(all.into())
    }

    /// Whether the playlist of this path is one of several.
    pub(super) fn offer_another_than(&self, path: &str) -> bool {
        self.is_choice() && self.0.contains(&hash(path))
    }

    /// Whether there is any choice.
    pub(crate) fn is_choice(&self) -> bool {
        self.0.len() > 1
    }

    /// What they take, in bytes.
    pub(super) fn weight(&self) -> usize {
        size_of_val(&*self.0)
    }
}

fn hash(path: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(path.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_are_what_a_player_can_choose_among() {
        let uri = Uri::from_static("/v1/master/acct/Demo/a/index.m3u8");
        let text = "#EXTM3U\r\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"a\",URI=\"../../../../manifest/acct/Demo/S/9.m3u8\"\r\n\
            #EXT-X-STREAM-INF:BANDWIDTH=1\r\n# a comment\r\n\r\n../../../../manifest/acct/Demo/S/0.m3u8\r\n\
            #EXT-X-STREAM-INF:BANDWIDTH=2,AUDIO=\"b\"\n../../../../manifest/acct/Demo/S/0.m3u8\n\
            #EXT-X-STREAM-INF:BANDWIDTH=3\nhttps://a.example/v1/manifest/acct/Demo/S/1.m3u8?x=y\n";
        let variants = Variants::of(&uri, text.as_bytes());
        let another =
            |number| variants.offer_another_than(&format!("/v1/manifest/acct/Demo/S/{number}.m3u8"));
        assert_eq!([0, 1, 9].map(another), [true, true, false]);
        let (one, _) = text.rsplit_once("#EXT-X-STREAM").expect("two");
        let variants = Variants::of(&uri, one.as_bytes());
        assert!(!variants.is_choice() && !variants.offer_another_than("/v1/manifest/acct/Demo/S/0.m3u8"));
        assert!(!Variants::of(&uri, b"\xff\n#EXT-X-STREAM-INF:\n\xff").is_choice());
    }
}
