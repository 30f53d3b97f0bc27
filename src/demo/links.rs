/// What a player of a session loads: paths on the host that the multivariant playlist came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Playlists {
    pub(super) variants: Vec<String>,
    pub(super) audio: String,
    pub(super) subtitles: String,
}

// === impl Playlists ===

impl Playlists {
    /// Reads the multivariant playlist at `path`; `None` if it lacks something.
    pub(super) fn read(path: &str, text: &[u8]) -> Option<Self> {
        let (_, master) = m3u8_rs::parse_master_playlist(text).ok()?;
        let variants: Vec<_> = master.variants.iter().map(|variant| resolve(path, &variant.uri)).collect();
        let first = |kind| {
            let mut all = master.alternatives.iter().filter(|media| media.media_type == kind);
            all.find_map(|media| media.uri.as_deref()).map(|link| resolve(path, link))
        };
        let audio = first(m3u8_rs::AlternativeMediaType::Audio)?;
        let subtitles = first(m3u8_rs::AlternativeMediaType::Subtitles)?;
        (!variants.is_empty()).then_some(Self { variants, audio, subtitles })
    }
}

/// A link of a playlist, relative to its folder or to the host.
fn resolve(base: &str, link: &str) -> String {
    if link.starts_with('/') {
        return link.to_owned();
    }
    let mut folder = base.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut rest = link;
    while let Some(up) = rest.strip_prefix("../") {
        folder = folder.rsplit_once('/').map_or("", |(folder, _)| folder);
        rest = up;
    }
    format!("{folder}/{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_resolved_against_the_playlist() {
        assert_eq!(resolve("/v1/master/a/b/i.m3u8", "../../../manifest/x/1.m3u8"), "/v1/manifest/x/1.m3u8");
        assert_eq!(resolve("/v1/master/i.m3u8", "1.m3u8?a=../b"), "/v1/master/1.m3u8?a=../b");
        assert_eq!(resolve("/v1/master/i.m3u8", "/v1/1.m3u8"), "/v1/1.m3u8");
    }

    #[test]
    fn a_playlist_without_renditions_is_none_to_play() {
        assert_eq!(Playlists::read("/i.m3u8", b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n1.m3u8\n"), None);
        assert_eq!(Playlists::read("/i.m3u8", b"no playlist"), None);
    }
}
