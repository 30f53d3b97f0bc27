use std::borrow::Cow;

use bytes::Bytes;
use http::{Request, Uri, response};

use super::{numbers::Offer, url};
use crate::{
    rescue::Variants,
    session::{Extract, Kind, SessionKey},
    upstream::{Judgement, decode},
};

/// The longest answer that is read for a session, decoded, in bytes.
pub(super) const READ_UP_TO: usize = 64 * 1024;

/// A session that an answer of the upstream has just made.
#[derive(Debug)]
pub(crate) struct Fresh {
    pub(crate) key: SessionKey,
    /// As its URLs have it.
    pub(super) id: Box<str>,
    /// What it offers; `None` if its multivariant playlist is still to be loaded.
    pub(super) offer: Option<Offer>,
    /// Where that is.
    pub(super) multivariant: Option<Uri>,
    /// Among what its player can choose, if it is not.
    pub(crate) variants: Variants,
}

// === impl Fresh ===

impl Fresh {
    /// Finds the session that the children of a multivariant playlist name: the playlist's address did not.
    pub(super) fn of_multivariant<'a>(
        uri: &Uri,
        head: &response::Parts,
        body: impl IntoIterator<Item = &'a Bytes>,
        extract: &(impl Extract + ?Sized),
    ) -> Option<Self> {
        let judgement: &Judgement = head.extensions.get()?;
        let offer = Offer::of(judgement.summary.as_ref()?)?;
        let text = text(head, body)?;
        let mut links = text.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
        let (key, id) = links.by_ref().find_map(|line| {
            let line = line.trim();
            let child = (!line.is_empty() && !line.starts_with('#')).then(|| url::follow(uri, line))??;
            named(&child, Kind::Media, extract)
        })?;
        let variants = Variants::of(uri, &text);
        Some(Self { key, id, offer: Some(offer), multivariant: None, variants })
    }

    /// Finds the session in the answer to its explicit creation ("Client-side ad tracking" in
    /// MediaTailor's user guide).
    pub(super) fn of_creation<'a>(
        uri: &Uri,
        head: &response::Parts,
        body: impl IntoIterator<Item = &'a Bytes>,
        extract: &(impl Extract + ?Sized),
    ) -> Option<Self> {
        let answer: serde_json::Value = serde_json::from_slice(&text(head, body)?).ok()?;
        let multivariant = url::follow(uri, answer.get("manifestUrl")?.as_str()?)?;
        let (key, id) = named(&multivariant, Kind::Multivariant, extract)?;
        let variants = Variants::default();
        Some(Self { key, id, offer: None, multivariant: Some(multivariant), variants })
    }
}

fn text<'a>(head: &response::Parts, body: impl IntoIterator<Item = &'a Bytes>) -> Option<Cow<'a, [u8]>> {
    let coding = head.headers.get_all(http::header::CONTENT_ENCODING);
    decode::decode(body.into_iter().map(|piece| &piece[..]), coding, READ_UP_TO).ok()
}

/// The session that a URL of this kind names, as requests for it will be told apart, and as the URL has it.
fn named(uri: &Uri, kind: Kind, extract: &(impl Extract + ?Sized)) -> Option<(SessionKey, Box<str>)> {
    let mut request = Request::new(());
    *request.uri_mut() = uri.clone();
    let extracted = extract.extract(&request.into_parts().0);
    let key = extracted.session.ok().flatten().filter(|_| extracted.kind == kind)?;
    Some((key, url::session(uri)?.into()))
}
