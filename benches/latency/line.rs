use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};

/// One connection of a player, made when it is needed.
pub(crate) struct Line {
    pub(crate) to: SocketAddr,
    pub(crate) sender: Option<SendRequest<Empty<Bytes>>>,
}

// === impl Line ===

impl Line {
    /// Loads a playlist to its last byte: how long its request took, and how long after `began` it was there. One
    /// that is given up closes its connection, and another takes its place.
    pub(crate) async fn load(
        &mut self,
        session: u64,
        playlist: usize,
        given_up: Option<Duration>,
        began: Instant,
    ) -> (f64, f64) {
        if let Some(after) = given_up {
            // None comes so soon: the upstream takes longer.
            let _given_up = timeout(after, self.get(session, playlist)).await;
            self.sender = None;
        }
        let sent = Instant::now();
        self.get(session, playlist).await;
        (sent.elapsed().as_secs_f64() * 1000.0, began.elapsed().as_secs_f64() * 1000.0)
    }

    async fn get(&mut self, session: u64, playlist: usize) {
        let sender = match &mut self.sender {
            Some(sender) => sender,
            none => none.insert(connect(self.to).await),
        };
        let request = Request::get(format!(
            "/v1/manifest/9f3c2b/NewsLive/{session:08x}-30aa-4c1e-9d0f-2a4d1f7be901/{playlist}.m3u8"
        ))
        .header("host", "cdn.example")
        .header("accept-encoding", "identity")
        .body(Empty::new())
        .expect("a request");
        sender.ready().await.expect("the connection is kept");
        let response = sender.send_request(request).await.expect("an answer");
        assert_eq!(response.status(), 200, "no conflict and no failure");
        response.into_body().collect().await.expect("all of the playlist");
    }
}

async fn connect(to: SocketAddr) -> SendRequest<Empty<Bytes>> {
    let connection = TcpStream::connect(to).await.expect("it listens");
    connection.set_nodelay(true).expect("a socket");
    let (sender, connection) = handshake(TokioIo::new(connection)).await.expect("HTTP");
    tokio::spawn(connection);
    sender
}
