use std::borrow::Cow;

use http::Uri;

use crate::{
    session::query,
    upstream::directives::{self, Directive},
};

/// The address of a playlist, and what its delivery directives ask for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Url<'a> {
    /// Path and query as they came, but for what a player says of itself: a blocking reload is another URL
    /// than a plain one.
    pub(super) whole: Cow<'a, str>,
    /// The same without the directives.
    pub(super) plain: Cow<'a, str>,
    pub(super) wanted: Wanted,
    /// Whether its answer may skip nothing (RFC 8216bis section 6.2.5.1).
    pub(super) in_full: bool,
}

/// What a playlist must hold to answer a blocking reload (RFC 8216bis section 6.2.5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// It is no blocking reload.
    Any,
    /// A segment of this number, whole.
    Segment(u64),
    /// A part of the segment of this number. Which one is not asked: all are there once the next segment is.
    PartOf(u64),
    /// The directives make no sense.
    Nothing,
}

/// A URL of which parts of the query are left out.
struct Rest {
    url: String,
    path: usize,
}

// === impl Url ===

impl<'a> Url<'a> {
    pub(super) fn of(uri: &'a Uri) -> Self {
        let whole = uri.path_and_query().map_or("/", |url| url.as_str());
        match whole.split_once('?') {
            Some((path, query)) if directives::may_be_in(query) || query::may_report(query) => {
                Self::with(whole, path, query)
            }
            _ => Self {
                whole: Cow::Borrowed(whole),
                plain: Cow::Borrowed(whole),
                wanted: Wanted::Any,
                in_full: true,
            },
        }
    }

    fn with(whole: &'a str, path: &str, query: &str) -> Self {
        let (mut msn, mut part, mut in_full) = (Vec::new(), Vec::new(), true);
        let mut plain = Rest::of(path, whole.len());
        let mut rest = Rest::of(path, whole.len());
        for pair in query.split('&').filter(|pair| !query::is_report(pair)) {
            rest.push(pair);
            match Directive::of(pair) {
                Some(Directive::Msn(number)) => msn.push(number),
                Some(Directive::Part(number)) => part.push(number),
                Some(Directive::Skip) => in_full = false,
                Some(Directive::Other) => {}
                None => plain.push(pair),
            }
        }
        let wanted = match (&msn[..], &part[..]) {
            ([], []) => Wanted::Any,
            ([Some(msn)], []) => Wanted::Segment(*msn),
            ([Some(msn)], [Some(_)]) => Wanted::PartOf(*msn),
            _ => Wanted::Nothing,
        };
        let or_borrowed = |Rest { url, .. }: Rest| match url == whole {
            true => Cow::Borrowed(whole),
            false => Cow::Owned(url),
        };
        Self { whole: or_borrowed(rest), plain: or_borrowed(plain), wanted, in_full }
    }

    pub(super) fn path(&self) -> &str {
        self.whole.split('?').next().unwrap_or_default()
    }

    /// Whether it has directives.
    pub(super) fn directed(&self) -> bool {
        *self.plain != *self.whole
    }
}

// === impl Rest ===

impl Rest {
    fn of(path: &str, room: usize) -> Self {
        let mut url = String::with_capacity(room);
        url.push_str(path);
        Self { url, path: path.len() }
    }

    fn push(&mut self, pair: &str) {
        self.url.push(if self.url.len() == self.path { '?' } else { '&' });
        self.url.push_str(pair);
    }
}

// === impl Wanted ===

impl Wanted {
    /// Whether a playlist answers the reload whose last segment has this number.
    pub(super) fn is_met(self, last_sequence: Option<u64>) -> bool {
        match self {
            Self::Any => true,
            Self::Segment(msn) => last_sequence.is_some_and(|last| last >= msn),
            Self::PartOf(msn) => last_sequence.is_some_and(|last| last > msn),
            Self::Nothing => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn url(text: &str) -> (String, Wanted) {
        let uri: Uri = text.parse().expect("a URI");
        let url = Url::of(&uri);
        assert_eq!(url.directed(), *url.plain != *url.whole);
        (url.plain.into_owned(), url.wanted)
    }

    #[test]
    fn directives_are_told_from_the_rest() {
        for (text, plain, wanted) in [
            ("/0.m3u8", "/0.m3u8", Wanted::Any),
            ("/0.m3u8?", "/0.m3u8?", Wanted::Any),
            ("/0.m3u8?a=1&b", "/0.m3u8?a=1&b", Wanted::Any),
            ("/0.m3u8?a=%41&&b", "/0.m3u8?a=%41&&b", Wanted::Any),
            ("http://a.example/0.m3u8?a", "/0.m3u8?a", Wanted::Any),
            ("http://a.example", "/", Wanted::Any),
            ("/0.m3u8?_HLS_msn=7", "/0.m3u8", Wanted::Segment(7)),
            ("/0.m3u8?a=1&_HLS_msn=7&b=2", "/0.m3u8?a=1&b=2", Wanted::Segment(7)),
            ("/0.m3u8?_HLS_msn=7&_HLS_part=0", "/0.m3u8", Wanted::PartOf(7)),
            ("/0.m3u8?_HLS_part=0&_HLS_msn=7&_HLS_skip=YES", "/0.m3u8", Wanted::PartOf(7)),
            ("/0.m3u8?%5FHLS%5Fmsn=%37", "/0.m3u8", Wanted::Segment(7)),
            ("/0.m3u8?_HLS_skip=YES", "/0.m3u8", Wanted::Any),
            ("/0.m3u8?_HLS_part=0", "/0.m3u8", Wanted::Nothing),
            ("/0.m3u8?_HLS_msn=", "/0.m3u8", Wanted::Nothing),
            ("/0.m3u8?_HLS_msn", "/0.m3u8", Wanted::Nothing),
            ("/0.m3u8?_HLS_msn=-1", "/0.m3u8", Wanted::Nothing),
            ("/0.m3u8?_HLS_msn=99999999999999999999", "/0.m3u8", Wanted::Nothing),
            ("/0.m3u8?_HLS_msn=7&_HLS_msn=8", "/0.m3u8", Wanted::Nothing),
            ("/0.m3u8?_HLS_msn=7&_HLS_part=x", "/0.m3u8", Wanted::Nothing),
            ("/0.m3u8?CMCD=bl%3D1%2Cot%3Dm", "/0.m3u8", Wanted::Any),
            ("/0.m3u8?a=1&CMCD=bl%3D1&_HLS_msn=7&b", "/0.m3u8?a=1&b", Wanted::Segment(7)),
            ("/0.m3u8?XCMCD=1&CMCDX=2", "/0.m3u8?XCMCD=1&CMCDX=2", Wanted::Any),
            ("/0.m3u8?a=_HLS_msn=7", "/0.m3u8?a=_HLS_msn=7", Wanted::Any),
        ] {
            assert_eq!(url(text), (plain.to_owned(), wanted), "{text}");
        }
    }

    #[test]
    fn a_whole_segment_is_enough_but_not_for_a_part_of_it() {
        assert!(Wanted::Any.is_met(None));
        assert!(!Wanted::Segment(7).is_met(None));
        assert!(!Wanted::Segment(7).is_met(Some(6)));
        assert!(Wanted::Segment(7).is_met(Some(7)));
        assert!(!Wanted::PartOf(7).is_met(Some(7)));
        assert!(Wanted::PartOf(7).is_met(Some(8)));
        assert!(!Wanted::Nothing.is_met(Some(u64::MAX)));
    }

    proptest! {
        #[test]
        fn whatever_is_asked_for_is_read(query in "[a-c&=%5F_HLSmsnpart0-9]{0,48}") {
            if let Ok(uri) = format!("/0.m3u8?{query}").parse::<Uri>() {
                let plain: Uri = Url::of(&uri).plain.parse().expect("what is left of a URI is one");
                prop_assert!(!Url::of(&plain).directed());
            }
        }
    }
}
