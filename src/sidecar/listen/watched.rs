use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::activity::Activity;

/// A client's socket that notes whether it takes what is to be written.
///
/// It stands below TLS, which takes what it is given into a buffer of its own while the socket is full.
#[derive(Debug)]
pub(in crate::sidecar) struct Watched {
    socket: TcpStream,
    activity: Activity,
    stuck: bool,
}

// === impl Watched ===

impl Watched {
    pub(in crate::sidecar) fn new(socket: TcpStream, activity: Activity) -> Self {
        Self { socket, activity, stuck: false }
    }

    /// Resolves when there is something to read, or nothing will ever come.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub(in crate::sidecar) async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    fn note(&mut self, stuck: bool) {
        if stuck != self.stuck {
            self.stuck = stuck;
            self.activity.stuck(stuck);
        }
        if !stuck {
            self.activity.progress();
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, data);
        self.note(written.is_pending());
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, data);
        self.note(written.is_pending());
        written
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
