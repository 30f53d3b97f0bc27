//! An upstream by script: it hands every request to the test, which says what bytes go back.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
};

use crate::support::{Message, fitting, message, ok, within};

/// The upstream's end.
pub(crate) struct Far {
    address: SocketAddr,
    asked: mpsc::UnboundedReceiver<Asked>,
}

/// A request that arrived, and the connection that it came on.
pub(crate) struct Asked {
    pub(crate) message: Message,
    /// Which connection it was, counted from zero.
    pub(crate) connection: usize,
    say: mpsc::UnboundedSender<Say>,
    gone: watch::Receiver<bool>,
}

enum Say {
    Bytes(Vec<u8>),
    Close,
    Reset,
}

// === impl Far ===

impl Far {
    pub(crate) async fn listen() -> Self {
        Self::listen_on("127.0.0.1:0").await
    }

    pub(crate) async fn listen_on(address: &str) -> Self {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (tell, asked) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut connection = 0;
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, connection, tell.clone()));
                connection += 1;
            }
        });
        Self { address, asked }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// The next request.
    pub(crate) async fn asked(&mut self) -> Asked {
        within(self.asked.recv()).await.expect("the upstream listens")
    }

    /// Holds when nothing else was asked so far.
    #[track_caller]
    pub(crate) fn is_quiet(&mut self) {
        if let Ok(asked) = self.asked.try_recv() {
            panic!("{} was sent", asked.message.first_line());
        }
    }
}

/// One connection: reads requests and does as the test says. It reads while it answers, so that the other
/// side's end is seen at once.
async fn converse(stream: TcpStream, connection: usize, tell: mpsc::UnboundedSender<Asked>) {
    stream.set_nodelay(true).expect("a connection");
    let (say, mut said) = mpsc::unbounded_channel();
    let (gone, is_gone) = watch::channel(false);
    let (mut reading, mut writing) = stream.into_split();
    let writing = async move {
        while let Some(say) = said.recv().await {
            match say {
                Say::Bytes(bytes) if writing.write_all(&bytes).await.is_ok() => {}
                Say::Bytes(_) | Say::Close => break,
                Say::Reset => {
                    writing.as_ref().set_zero_linger().expect("a connection");
                    return writing.forget();
                }
            }
        }
        let _closed = writing.shutdown().await;
        std::future::pending().await
    };
    let reading = async move {
        let mut buffer = Vec::new();
        while let Ok(Some(message)) = message(&mut reading, &mut buffer, false).await {
            let asked = Asked { message, connection, say: say.clone(), gone: is_gone.clone() };
            let _test_is_over = tell.send(asked);
        }
        let mut rest = [0; 512];
        while reading.read(&mut rest).await.is_ok_and(|read| read > 0) {}
    };
    tokio::select! {
        () = writing => {}
        () = reading => {}
    }
    gone.send_replace(true);
}

// === impl Asked ===

impl Asked {
    /// Answers as MediaTailor would: with a playlist that has this in a comment where one was asked for.
    pub(crate) fn well(&self, note: &str) {
        self.say(ok(&fitting(self.message.first_line(), note)));
    }

    /// Sends bytes back as they are.
    pub(crate) fn say(&self, bytes: impl Into<Vec<u8>>) {
        let _gone = self.say.send(Say::Bytes(bytes.into()));
    }

    /// Ends the connection in order, after what was said.
    pub(crate) fn close(&self) {
        let _gone = self.say.send(Say::Close);
    }

    /// Ends the connection with a reset, after what was said.
    pub(crate) fn reset(&self) {
        let _gone = self.say.send(Say::Reset);
    }

    /// Resolves when the sidecar has ended the connection.
    pub(crate) async fn gone(&mut self) {
        let _ended = within(self.gone.wait_for(|gone| *gone)).await;
    }
}
