use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::Request;
use tower_layer::Layer;
use tower_service::Service;

use super::{Extract, Extracted, MediaTailor};

/// Finds the session of every request once, for all layers behind it.
///
/// What it finds goes into the request's extensions, where
/// [`Extracted::of`](super::Extracted::of) looks first. Without it each layer reads
/// the URL by itself, as MediaTailor's.
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

impl<S, E> Name<S, E> {
    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }
}

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
        let extracted = Extracted::by(&*self.extract, &head);
        head.extensions.insert(extracted);
        self.inner.call(Request::from_parts(head, body))
    }
}
