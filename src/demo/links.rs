use http::Uri;

use crate::session::link;

/// What a player of a session loads: paths on the host that the multivariant playlist came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Playlists {
    pub(super) variants: Vec<String>,
    pub(super) audio: String,
    pub(super) subtitles: String,
}

// === impl Playlists ===

impl Playlists {
    /// Reads the multivariant playlist at `base`; `None` if it lacks something.
    pub(super) fn read(base: &Uri, text: &[u8]) -> Option<Self> {
        let (_, master) = m3u8_rs::parse_master_playlist(text).ok()?;
        let follow = |link: &str| Some(link::resolve(base, link)?.path_and_query()?.as_str().to_owned());
        let variants: Vec<_> = master.variants.iter().filter_map(|variant| follow(&variant.uri)).collect();
        let first = |kind| {
            let mut all = master.alternatives.iter().filter(|media| media.media_type == kind);
            all.find_map(|media| media.uri.as_deref()).and_then(follow)
        };
        let audio = first(m3u8_rs::AlternativeMediaType::Audio)?;
        let subtitles = first(m3u8_rs::AlternativeMediaType::Subtitles)?;
        (!variants.is_empty()).then_some(Self { variants, audio, subtitles })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_playlist_without_renditions_is_none_to_play() {
        let base = Uri::from_static("/i.m3u8");
        assert_eq!(Playlists::read(&base, b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n1.m3u8\n"), None);
        assert_eq!(Playlists::read(&base, b"no playlist"), None);
    }
}
