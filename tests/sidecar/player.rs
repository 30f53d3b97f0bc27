//! A player on a socket of its own.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

use crate::support::{Message, message, within};

pub(crate) struct Player {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
}

// === impl Player ===

impl Player {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = within(TcpStream::connect(address)).await.expect("the sidecar listens");
        stream.set_nodelay(true).expect("a connection");
        Self { stream, buffer: Vec::new() }
    }

    /// With the smallest room for what it does not read.
    pub(crate) async fn connect_small(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(1).expect("a socket");
        let stream = within(socket.connect(address)).await.expect("the sidecar listens");
        Self { stream, buffer: Vec::new() }
    }

    /// Sends bytes as they are; that the other side has closed is seen on reading.
    pub(crate) async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        let _closed = within(self.stream.write_all(bytes.as_ref())).await;
    }

    pub(crate) async fn ask(&mut self, target: &str) {
        self.say(format!("GET {target} HTTP/1.1\r\nHost: player.example\r\n\r\n")).await;
    }

    pub(crate) async fn get(&mut self, target: &str) -> Message {
        self.ask(target).await;
        self.answer().await
    }

    pub(crate) async fn answer(&mut self) -> Message {
        self.read(false).await.expect("an answer").expect("an answer before the end")
    }

    /// The answer to HEAD.
    pub(crate) async fn head_alone(&mut self) -> Message {
        self.read(true).await.expect("an answer").expect("an answer before the end")
    }

    /// The answer, if there is one before the connection ends, in whatever way.
    pub(crate) async fn answer_or_end(&mut self) -> Option<Message> {
        self.read(false).await.ok().flatten()
    }

    async fn read(&mut self, bodyless: bool) -> io::Result<Option<Message>> {
        within(message(&mut self.stream, &mut self.buffer, bodyless)).await
    }

    /// What comes, up to this.
    pub(crate) async fn until(&mut self, end: &[u8]) -> String {
        let such = |buffer: &[u8]| buffer.windows(end.len()).any(|window| window == end);
        while !such(&self.buffer) {
            let read = within(self.stream.read_buf(&mut self.buffer)).await.expect("a connection");
            assert!(read > 0, "it ended: {}", String::from_utf8_lossy(&self.buffer));
        }
        String::from_utf8_lossy(&self.buffer).into_owned()
    }

    /// The rest of what comes, up to the end of the connection.
    pub(crate) async fn rest(mut self) -> Vec<u8> {
        let _reset = within(self.stream.read_to_end(&mut self.buffer)).await;
        self.buffer
    }

    /// Holds when the sidecar ends the connection, with nothing more to say.
    pub(crate) async fn ends(self) {
        assert_eq!(String::from_utf8_lossy(&self.rest().await), "");
    }
}
