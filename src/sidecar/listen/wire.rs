use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf as _, Bytes, BytesMut};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt as _;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use super::watched::Watched;

/// What an HTTP/2 client says first (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A client's socket, with what was read of it before somebody took over.
#[derive(Debug)]
pub(in crate::sidecar) struct Wire {
    read: Bytes,
    socket: TokioIo<Socket>,
}

/// A client's connection: as it is, or with TLS on it.
pub(in crate::sidecar) type Socket = Either<Watched, Box<TlsStream<Watched>>>;

/// Which HTTP a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sidecar) enum Speaks {
    Http1,
    Http2,
}

// === impl Wire ===

impl Wire {
    pub(in crate::sidecar) fn new(socket: Socket) -> Self {
        Self { read: Bytes::new(), socket: TokioIo::new(socket) }
    }

    /// Puts back what was read too much, in as many bytes: even an empty buffer can hold hyper's whole one.
    pub(in crate::sidecar) fn put_back(mut self, read: &[u8]) -> Self {
        debug_assert!(self.read.is_empty(), "what was put back before is read first");
        self.read = Bytes::copy_from_slice(read);
        self
    }

    /// Reads as much as it takes to tell the version; it can be read again.
    ///
    /// # Errors
    ///
    /// Those of the socket, and `UnexpectedEof` when the client says nothing.
    pub(in crate::sidecar) async fn listen_in(&mut self) -> io::Result<Speaks> {
        let mut read = BytesMut::with_capacity(PREFACE.len());
        loop {
            if self.socket.inner_mut().read_buf(&mut read).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let speaks = match PREFACE.starts_with(&read) {
                true if read.len() < PREFACE.len() => continue,
                true => Speaks::Http2,
                false => Speaks::Http1,
            };
            self.read = read.freeze();
            return Ok(speaks);
        }
    }

    /// Resolves when there is something to read, or nothing will ever come.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub(in crate::sidecar) async fn readable(&self) -> io::Result<()> {
        match self.socket.inner() {
            Either::Left(socket) => socket.readable().await,
            // Whoever parks it has read all there was: what TLS has decrypted, too.
            Either::Right(socket) => socket.get_ref().0.readable().await,
        }
    }
}

impl Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.socket).poll_read(cx, buffer);
        }
        let taken = self.read.len().min(buffer.remaining());
        buffer.put_slice(&self.read[..taken]);
        self.read.advance(taken);
        Poll::Ready(Ok(()))
    }
}

impl Write for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
