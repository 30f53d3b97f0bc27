use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use http::{Extensions, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use pin_project_lite::pin_project;
use tower_service::Service;

/// A connector whose connections know whether they were used before.
#[derive(Debug, Clone)]
pub(super) struct Knowing<C>(pub(super) C);

pin_project! {
    /// A connection that tells with every answer and failure on it whether a request was answered on it before.
    #[derive(Debug)]
    pub(super) struct Known<T> {
        #[pin]
        stream: T,
        used: Used,
    }
}

/// Whether a connection has brought an answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Used(Arc<AtomicBool>);

// === impl Knowing ===

impl<C> Service<Uri> for Knowing<C>
where
    C: Service<Uri>,
    C::Future: Send + 'static,
{
    type Response = Known<C::Response>;
    type Error = C::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let connecting = self.0.call(to);
        Box::pin(async { Ok(Known { stream: connecting.await?, used: Used::default() }) })
    }
}

// === impl Known ===

impl<T: Connection> Connection for Known<T> {
    fn connected(&self) -> Connected {
        self.stream.connected().extra(self.used.clone())
    }
}

impl<T: Read> Read for Known<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        self.project().stream.poll_read(cx, buf)
    }
}

impl<T: Write> Write for Known<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.project().stream.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.project().stream.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().stream.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().stream.poll_shutdown(cx)
    }
}

// === impl Used ===

impl Used {
    pub(super) fn of(connected: &Connected) -> Self {
        let mut extras = Extensions::new();
        connected.get_extras(&mut extras);
        extras.remove().unwrap_or_default()
    }

    pub(super) fn mark(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_marked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
