use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Empty};
use onelane::serialize::{Config, Error, Serialize, SerializeLayer};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{error::Elapsed, timeout},
};
use tower::{BoxError, Layer as _, Service as _};
use tower_test::mock::{self, SendResponse};

pub(crate) const A: &str = "aaaaaaaa-30aa-4c1e-9d0f-2a4d1f7be901";
pub(crate) const B: &str = "bbbbbbbb-30aa-4c1e-9d0f-2a4d1f7be901";

pub(crate) type Asked = Request<Empty<Bytes>>;
pub(crate) type Told = Response<Parts>;
pub(crate) type Upstream = mock::Mock<Asked, Told>;
pub(crate) type Player = Serialize<Upstream>;
pub(crate) type Watching = JoinHandle<Result<(u16, Bytes), Error>>;

/// The far side: what it was asked, one request at a time.
pub(crate) struct Far(mock::Handle<Asked, Told>);

/// A response body whose parts a test sends when it likes.
#[derive(Debug)]
pub(crate) struct Parts(mpsc::UnboundedReceiver<Result<Frame<Bytes>, BoxError>>);

/// The defaults; in `driven.rs`, players drive their exchanges.
pub(crate) fn config() -> Config {
    Config::default().driven_by_players(env!("CARGO_CRATE_NAME") == "driven")
}

pub(crate) fn lane(layer: &SerializeLayer) -> (Player, Far) {
    let (upstream, mut handle) = mock::pair();
    handle.allow(u64::MAX);
    (layer.layer(upstream), Far(handle))
}

pub(crate) fn media(session: &str, playlist: u32) -> Asked {
    get(&format!("/v1/manifest/acct/Demo/{session}/{playlist}.m3u8"))
}

pub(crate) fn get(uri: &str) -> Asked {
    method(Method::GET, uri)
}

pub(crate) fn method(method: Method, uri: &str) -> Asked {
    Request::builder().method(method).uri(uri).body(Empty::new()).expect("a request")
}

/// Sends a request and reads its answer to the end, as a player does. Its place is taken at once.
pub(crate) fn watch(player: &mut Player, request: Asked) -> Watching {
    let answer = player.call(request);
    tokio::spawn(async move {
        let (head, body) = answer.await?.into_parts();
        Ok((head.status.as_u16(), body.collect().await?.to_bytes()))
    })
}

pub(crate) fn answer(with: SendResponse<Told>, body: impl Into<Bytes>) {
    let (parts, sender) = parts();
    sender.send(Ok(Frame::data(body.into()))).expect("the body is held");
    with.send_response(Response::new(parts));
}

pub(crate) fn parts() -> (Parts, mpsc::UnboundedSender<Result<Frame<Bytes>, BoxError>>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Parts(receiver), sender)
}

// === impl Far ===

impl Far {
    /// The next request that is sent, and the means to answer it.
    pub(crate) async fn asked(&mut self) -> (String, SendResponse<Told>) {
        let (request, with) = timeout(Duration::from_secs(60), self.0.next_request())
            .await
            .expect("a request was to be sent")
            .expect("the lane is there");
        (request.uri().path().rsplit_once('/').expect("a path").1.to_owned(), with)
    }

    /// Holds when nothing is sent for as long as nothing else can happen.
    pub(crate) async fn quiet(&mut self) {
        let asked: Result<_, Elapsed> = timeout(Duration::from_millis(10), self.0.next_request()).await;
        if let Ok(Some((request, _))) = asked {
            panic!("{} was sent", request.uri());
        }
    }
}

// === impl Parts ===

impl Body for Parts {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0.poll_recv(cx)
    }
}
