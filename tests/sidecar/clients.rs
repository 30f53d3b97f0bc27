//! Players' connections: HTTP/1.1 kept alive and pipelined, HTTP/2 without TLS, and players that leave.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, task::JoinHandle};

use crate::{
    far::Far,
    support::{Running, chunked, media, note, playlist, session, within},
};

type Streams = http2::SendRequest<Empty<Bytes>>;

/// An HTTP/2 connection that says so from its first byte.
async fn h2c(sidecar: &Running) -> Streams {
    let stream = TcpStream::connect(sidecar.address).await.expect("the sidecar listens");
    let (streams, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
    tokio::spawn(connection);
    streams
}

/// One stream. Aborting the task resets it.
fn stream(streams: &Streams, target: &str) -> JoinHandle<(u16, String)> {
    let request =
        Request::get(format!("http://player.example{target}")).body(Empty::new()).expect("a request");
    let answer = streams.clone().send_request(request);
    tokio::spawn(async move {
        let answer = answer.await.expect("an answer");
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        (status, note(&String::from_utf8_lossy(&body)).to_owned())
    })
}

#[tokio::test]
async fn streams_of_one_session_fly_one_at_a_time() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    let streams = h2c(&sidecar).await;
    let one = session(1);
    let mut players = Vec::new();
    for n in 0..10 {
        players.push(stream(&streams, &media(&one, n)));
        sidecar.has_exchanges(n as usize + 1).await;
    }
    for (n, player) in players.into_iter().enumerate() {
        let asked = far.asked().await;
        assert_eq!(asked.message.first_line(), format!("GET {} HTTP/1.1", media(&one, n as u32)));
        far.is_quiet();
        asked.well(&n.to_string());
        assert_eq!(within(player).await.unwrap(), (200, n.to_string()));
    }
    // Another session's is not held up.
    let _held = stream(&streams, &media(&one, 0));
    let _asked = far.asked().await;
    let other = stream(&streams, &media(&session(2), 0));
    far.asked().await.well("other");
    assert_eq!(within(other).await.unwrap().1, "other");
}

#[tokio::test]
async fn a_stream_that_is_reset_while_it_waits_is_never_sent_and_one_in_flight_drains() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    let streams = h2c(&sidecar).await;
    let one = session(1);
    let flies = stream(&streams, &media(&one, 0));
    let in_flight = far.asked().await;
    let waits = stream(&streams, &media(&one, 1));
    sidecar.has_exchanges(2).await;
    let last = stream(&streams, &media(&one, 2));
    sidecar.has_exchanges(3).await;
    waits.abort();
    sidecar.has_exchanges(2).await;
    flies.abort();
    // A stream of its own tells that the reset has arrived.
    let ping = stream(&streams, "/ping");
    far.asked().await.well("pong");
    within(ping).await.unwrap();
    far.is_quiet();
    assert_eq!(sidecar.layer.exchanges(), 2);

    in_flight.well("for nobody");
    let asked = far.asked().await;
    assert_eq!(asked.message.first_line(), format!("GET {} HTTP/1.1", media(&one, 2)));
    asked.well("last");
    assert_eq!(within(last).await.unwrap(), (200, "last".to_owned()));
    sidecar.is_idle().await;
    far.is_quiet();
}

#[tokio::test]
async fn http2_has_the_same_refusals() {
    let far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    let streams = h2c(&sidecar).await;
    let (status, body) = within(stream(&streams, &media("a%2Fb", 0))).await.unwrap();
    assert_eq!(status, 400);
    assert!(body.contains("remedy"), "{body}");
    // Streams that are torn down by the hundred leave nothing behind.
    for n in 0..200 {
        stream(&streams, &media(&session(n), 0)).abort();
    }
    sidecar.has_exchanges(0).await;
}

#[tokio::test]
async fn a_refusal_of_head_has_no_body_over_http2_either() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    let mut streams = h2c(&sidecar).await;
    let mut ask = |target: &str| {
        let request = Request::head(format!("http://player.example{target}"));
        tokio::spawn(streams.send_request(request.body(Empty::new()).expect("a request")))
    };
    let answer = ask(&media(&session(1), 0));
    far.asked().await.say("HTTP/1.1 404 Not Found\r\nContent-Length: 99\r\n\r\n");
    for (status, answer) in [(404, answer), (400, ask(&media("a%2Fb", 0)))] {
        let answer = within(answer).await.expect("no panic").expect("an answer");
        assert_eq!(answer.status(), status);
        assert_ne!(answer.headers()["content-length"], "0", "that of the answer to a GET");
        let body = answer.into_body().collect().await.expect("no error on the way").to_bytes();
        assert!(body.is_empty(), "{body:?}");
    }
}

/// A CDN passes on what anybody asks of it, over the connection that all its viewers share.
#[tokio::test]
async fn requests_that_http2_does_not_allow_end_by_themselves_however_many() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    let stream = TcpStream::connect(sidecar.address).await.expect("the sidecar listens");
    let (mut streams, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    tokio::spawn(connection);
    let request = |length: &str| {
        let request = Request::get(format!("http://player.example{}", media(&session(1), 0)));
        request.header("content-length", length).body(()).expect("a request")
    };
    for nth in 0..1_100 {
        streams = streams.ready().await.expect("the connection is kept");
        let (answer, _) = streams.send_request(request("7"), true).expect("it is sent");
        let broken = within(answer).await.expect_err("it has no body");
        assert_eq!(broken.reason(), Some(h2::Reason::PROTOCOL_ERROR), "after {nth}");
    }
    streams = streams.ready().await.expect("the connection is kept");
    let (answer, _) = streams.send_request(request("0"), true).expect("it is sent");
    far.asked().await.well("x");
    assert_eq!(within(answer).await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn cookies_of_http2_are_one_header_again() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    let mut streams = h2c(&sidecar).await;
    let request = Request::get(format!("http://player.example{}", media(&session(1), 0)))
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .body(Empty::new())
        .unwrap();
    let answer = tokio::spawn(streams.send_request(request));
    let asked = far.asked().await;
    assert_eq!(asked.message.headers("cookie"), ["a=1; b=2"]);
    asked.well("x");
    assert_eq!(within(answer).await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn a_connection_is_kept_and_pipelined_requests_are_answered_in_order() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    let one = session(1);
    let mut player = sidecar.player().await;
    let pipeline: String =
        (0..3).map(|n| format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", media(&one, n))).collect();
    player.say(pipeline).await;
    for n in 0..3 {
        let asked = far.asked().await;
        assert_eq!(asked.message.first_line(), format!("GET {} HTTP/1.1", media(&one, n)));
        far.is_quiet();
        asked.well(&n.to_string());
    }
    for n in 0..3 {
        assert_eq!(player.answer().await.note(), n.to_string());
    }
    player.ask(&media(&one, 3)).await;
    far.asked().await.well("kept");
    assert_eq!(player.answer().await.note(), "kept");
    sidecar.is_idle().await;
}

#[tokio::test]
async fn http_1_0_is_answered_and_closed() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    let mut player = sidecar.player().await;
    player.say(format!("GET {} HTTP/1.0\r\n\r\n", media(&session(1), 0))).await;
    let asked = far.asked().await;
    assert!(asked.message.header("host").is_some());
    asked.say(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}", chunked(&playlist("old"))));
    let answer = player.answer().await;
    assert_eq!((answer.note().as_str(), answer.header("transfer-encoding")), ("old", None));
    player.ends().await;
}

#[tokio::test]
async fn who_leaves_while_waiting_is_never_sent_and_the_connection_of_a_drained_exchange_is_used_again() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    let one = session(1);
    let mut flies = sidecar.player().await;
    flies.ask(&media(&one, 0)).await;
    let in_flight = far.asked().await;
    let mut waits = sidecar.player().await;
    waits.ask(&media(&one, 1)).await;
    sidecar.has_exchanges(2).await;
    drop(waits);
    sidecar.has_exchanges(1).await;
    drop(flies);
    let stays = sidecar.getting(&media(&one, 2));
    sidecar.has_exchanges(2).await;
    far.is_quiet();
    in_flight.well("for nobody");
    let asked = far.asked().await;
    assert_eq!(asked.message.first_line(), format!("GET {} HTTP/1.1", media(&one, 2)));
    assert_eq!(asked.connection, in_flight.connection, "the connection was drained, not cut");
    asked.well("stays");
    assert_eq!(within(stays).await.unwrap().note(), "stays");
    sidecar.is_idle().await;
    far.is_quiet();
}

#[tokio::test]
async fn who_comes_back_gets_the_answer_of_the_exchange_it_left() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    let target = media(&session(1), 0);
    let mut left = sidecar.player().await;
    left.ask(&target).await;
    let in_flight = far.asked().await;
    drop(left);
    let mut back = sidecar.player().await;
    back.ask(&target).await;
    // Behind it in the same connection's order, so that it is in line when this is answered.
    let other = sidecar.getting(&media(&session(1), 1));
    sidecar.has_exchanges(2).await;
    in_flight.well("once");
    assert_eq!(back.answer().await.note(), "once");
    far.asked().await.well("other");
    assert_eq!(within(other).await.unwrap().note(), "other");
    far.is_quiet();
}
