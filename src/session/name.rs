use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderMap, HeaderName, Request, request::Parts};
use tower_layer::Layer;
use tower_service::Service;

use super::{Extract, Extracted, Kind, MediaTailor, extract::Creates};

/// Finds the session of every request once, for all layers behind it.
///
/// What it finds goes into the request's extensions, where
/// [`Extracted::of`](super::Extracted::of) looks first. Without it each layer reads
/// the URL by itself, as MediaTailor's, or as the layer's own `extract_with` has it: an [`Extract`] of one's own belongs here, or all
/// layers have to be given the same.
///
/// A playlist is asked for whole from here on: `Range` and `If-Range` (RFC 9110 section 14.2) are taken off its requests, since
/// a part of one can neither be judged nor kept, and so is `Icy-MetaData`.
#[derive(Debug)]
pub struct NameLayer<E = MediaTailor> {
    extract: Arc<E>,
}

/// A service whose requests have their session named; see [`NameLayer`].
#[derive(Debug)]
pub struct Name<S, E = MediaTailor> {
    inner: S,
    extract: Arc<E>,
}

/// Puts into a request's extensions whose it is and what it creates a session of.
pub(crate) fn name(head: &mut Parts, extract: &impl Extract) -> Kind {
    let extracted = Extracted::by(extract, head);
    let kind = extracted.kind;
    let creates = match (extracted.creation(&head.method), &extracted.session) {
        (Some(_), Ok(None)) => extract.creates(head),
        _ => None,
    };
    if let Some(key) = creates {
        head.extensions.insert(Creates(key));
    }
    head.extensions.insert(extracted);
    kind
}

/// Players probe a playlist with `Range: bytes=0-`, and some ask for Icecast titles.
fn is_not_for_playlists(name: &HeaderName) -> bool {
    matches!(name.as_str(), "range" | "if-range" | "icy-metadata")
}

/// Few requests have any: a look at each name costs less than to look one up.
fn ask_for_the_whole(headers: &mut HeaderMap) {
    while let Some(name) = headers.keys().find(|name| is_not_for_playlists(name)).cloned() {
        headers.remove(name);
    }
}

// === impl NameLayer ===

impl<E> NameLayer<E> {
    /// Finds it with this [`Extract`].
    pub fn new(extract: E) -> Self {
        Self { extract: Arc::new(extract) }
    }

    /// What finds it, for a layer that has to find the same.
    pub(crate) fn extract(&self) -> Arc<E> {
        Arc::clone(&self.extract)
    }
}

impl<E> Clone for NameLayer<E> {
    fn clone(&self) -> Self {
        Self { extract: Arc::clone(&self.extract) }
    }
}

impl<S, E> Layer<S> for NameLayer<E> {
    type Service = Name<S, E>;

    fn layer(&self, inner: S) -> Self::Service {
        Name { inner, extract: Arc::clone(&self.extract) }
    }
}

// === impl Name ===

impl<S: Clone, E> Clone for Name<S, E> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), extract: Arc::clone(&self.extract) }
    }
}

impl<S, E, B> Service<Request<B>> for Name<S, E>
where
    S: Service<Request<B>>,
    E: Extract,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        if matches!(name(&mut head, &*self.extract), Kind::Media | Kind::Multivariant) {
            ask_for_the_whole(&mut head.headers);
        }
        self.inner.call(Request::from_parts(head, body))
    }
}
