use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::time::timeout;
use tower::BoxError;
use tower_service::Service;

/// Makes connections that are counted for as long as they are open. A clone counts to the same.
#[derive(Debug, Clone)]
pub(in crate::sidecar) struct Counting<C> {
    connector: C,
    /// How long one may take to come about, its name looked up and its TLS agreed.
    within: Duration,
    open: Arc<AtomicUsize>,
}

/// A connection that is counted.
#[derive(Debug)]
pub(in crate::sidecar) struct Counted<T> {
    connection: T,
    _place: Place,
}

/// Counts one for as long as it lives.
#[derive(Debug)]
pub(in crate::sidecar) struct Place(Arc<AtomicUsize>);

// === impl Counting ===

impl<C> Counting<C> {
    pub(in crate::sidecar) fn new(connector: C, within: Duration) -> Self {
        Self { connector, within, open: Arc::default() }
    }

    /// How many are open.
    pub(in crate::sidecar) fn open(&self) -> usize {
        self.open.load(Relaxed)
    }
}

impl<C> Service<Uri> for Counting<C>
where
    C: Service<Uri>,
    C::Error: Into<BoxError>,
    C::Future: Send + 'static,
{
    type Response = Counted<C::Response>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        // The connector's own limit is for TCP alone: who takes a connection and never agrees on TLS would
        // have the whole turn.
        let (connecting, open) = (timeout(self.within, self.connector.call(uri)), Arc::clone(&self.open));
        Box::pin(async move {
            let connection = match connecting.await {
                Ok(connected) => connected.map_err(Into::into)?,
                Err(_) => return Err(io::Error::from(io::ErrorKind::TimedOut).into()),
            };
            Ok(Counted { connection, _place: Place::new(open) })
        })
    }
}

// === impl Place ===

impl Place {
    pub(in crate::sidecar) fn new(open: Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Relaxed);
        Self(open)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

// === impl Counted ===

impl<T: Connection> Connection for Counted<T> {
    fn connected(&self) -> Connected {
        self.connection.connected()
    }
}

impl<T: Read + Unpin> Read for Counted<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_read(cx, into)
    }
}

impl<T: Write + Unpin> Write for Counted<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write_vectored(cx, data)
    }
}
