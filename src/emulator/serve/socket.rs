use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// A connection that can be reset rather than closed when it is dropped.
#[derive(Debug)]
pub(in crate::emulator) struct Socket {
    stream: TcpStream,
    resets: Arc<AtomicBool>,
}

// === impl Socket ===

impl Socket {
    /// With it comes the switch: set, the client sees a reset.
    pub(in crate::emulator) fn new(stream: TcpStream) -> (Self, Arc<AtomicBool>) {
        let resets = Arc::new(AtomicBool::new(false));
        (Self { stream, resets: Arc::clone(&resets) }, resets)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.resets.load(Ordering::Relaxed) {
            // Where it fails the connection is closed as usual, which ends the answer as well.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncReadExt as _, net::TcpListener};

    use super::*;

    #[tokio::test]
    async fn the_client_sees_a_reset_or_an_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        for resets in [true, false] {
            let mut client = TcpStream::connect(address).await.expect("it listens");
            let (socket, switch) = Socket::new(listener.accept().await.expect("a client").0);
            switch.store(resets, Ordering::Relaxed);
            drop(socket);
            let seen = client.read(&mut [0]).await.map_err(|error| error.kind());
            let expected = if resets { Err(io::ErrorKind::ConnectionReset) } else { Ok(0) };
            assert_eq!(seen, expected);
        }
    }
}
