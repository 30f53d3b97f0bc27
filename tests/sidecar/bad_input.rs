//! Players that say what no player should: answered or closed, never hung, nobody else harmed.

use std::time::Duration;

use crate::{
    far::Far,
    player::Player,
    support::{Running, media, ok, playlist, session},
};

/// What a request got that never reached the upstream.
async fn refused(sidecar: &Running, request: &[u8]) -> Option<u16> {
    let mut player = sidecar.player().await;
    player.say(request).await;
    player.answer_or_end().await.map(|answer| answer.status())
}

#[tokio::test]
async fn malformed_session_ids_are_refused_with_a_problem() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    let long = "x".repeat(4096);
    let ids =
        ["", ".", "..", "%00", "%0d%0a", "a%0Ab", "%7f", "a%2Fb", "%2F", "%2e%2e", "%ff", "%C3%A9", &long];
    let mut player = sidecar.player().await;
    for id in ids {
        for target in [media(id, 0), format!("/v1/manifest/acct/{id}/0.m3u8")] {
            player.get(&target).await.is_problem(400);
        }
        if !id.is_empty() {
            player.get(&format!("/v1/master/acct/Demo/index.m3u8?aws.sessionId={id}")).await.is_problem(400);
        }
    }
    far.is_quiet();
    sidecar.is_well(&mut far, &session(1)).await;
}

#[tokio::test]
async fn raw_control_bytes_in_the_target_are_refused() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    for byte in [0x00, 0x01, 0x0b, 0x7f, 0xff, b'\t', b'\r', b'\n', b' '] {
        let mut request = b"GET /v1/manifest/acct/Demo/a".to_vec();
        request.push(byte);
        request.extend_from_slice(b"b/0.m3u8 HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(refused(&sidecar, &request).await, Some(400), "{byte:#x}");
    }
    far.is_quiet();
    sidecar.is_well(&mut far, &session(1)).await;
}

#[tokio::test]
async fn heads_too_large_are_refused() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    let target = media(&session(1), 0);
    let many: String = (0..600).map(|n| format!("x-{n}: y\r\n")).collect();
    let long = "y".repeat(100 * 1024);
    for (what, request, statuses) in [
        ("600 headers", format!("GET {target} HTTP/1.1\r\nHost: a\r\n{many}\r\n"), [431, 431]),
        ("a header of 100 KiB", format!("GET {target} HTTP/1.1\r\nx: {long}\r\n\r\n"), [431, 431]),
        ("a target of 100 KiB", format!("GET {target}?{long} HTTP/1.1\r\nHost: a\r\n\r\n"), [414, 431]),
    ] {
        // What the sidecar has not read makes the system reset the connection, at times before the answer.
        if let Some(status) = refused(&sidecar, request.as_bytes()).await {
            assert!(statuses.contains(&status), "{what}: {status}");
        }
    }
    far.is_quiet();
    sidecar.is_well(&mut far, &session(1)).await;
}

#[tokio::test]
async fn heads_of_many_small_headers_pass_both_ways() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    let many: String = (0..500).map(|n| format!("x-{n}: y\r\n")).collect();
    let mut player = sidecar.player().await;
    player.say(format!("GET {} HTTP/1.1\r\nHost: a\r\n{many}\r\n", media(&session(1), 0))).await;
    let asked = far.asked().await;
    assert_eq!(asked.message.header("x-499"), Some("y"));
    asked.say(ok(&playlist("well")).replacen("\r\n", &format!("\r\n{many}"), 1));
    let answer = player.answer().await;
    assert_eq!((answer.status(), answer.header("x-499")), (200, Some("y")), "{answer:?}");
}

#[tokio::test]
async fn what_is_no_http_is_refused() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello\r\n\r\n"[..],
        b"\0\0\0\0\0\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nnot h2\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n and then garbage, long enough to be frames",
    ] {
        let mut player = sidecar.player().await;
        player.say(garbage).await;
        player.rest().await;
    }
    far.is_quiet();
    sidecar.is_well(&mut far, &session(1)).await;
}

#[tokio::test]
async fn the_target_never_chooses_the_upstream() {
    let mut far = Far::listen().await;
    let elsewhere = Far::listen().await;
    let sidecar = Running::before(&far).await;
    let own = format!("127.0.0.1:{}", far.port());
    let path = media(&session(1), 0);
    for target in [
        format!("{}{path}", elsewhere.url()),
        format!("https://elsewhere.example:1{path}"),
        format!("http://{own}@elsewhere.example{path}"),
    ] {
        let mut player = sidecar.player().await;
        player.say(format!("GET {target} HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n")).await;
        let asked = far.asked().await;
        assert_eq!(asked.message.first_line(), format!("GET {path} HTTP/1.1"));
        assert_eq!(asked.message.headers("host"), [own.as_str()]);
        asked.well("here");
        assert_eq!(player.answer().await.note(), "here");
    }
    let authority = elsewhere.url().replace("http://", "");
    for request in [
        format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n"),
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
    ] {
        let mut player = sidecar.player().await;
        player.say(request).await;
        player.answer().await.is_problem(400);
    }
    sidecar.is_well(&mut far, &session(1)).await;
    let mut elsewhere = elsewhere;
    elsewhere.is_quiet();
}

#[tokio::test]
async fn requests_whose_length_is_in_doubt_do_not_smuggle() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    let post = "POST /v1/session/acct/Demo/index.m3u8 HTTP/1.1\r\nHost: a\r\n";
    let smuggled = format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", media(&session(2), 0));
    for lengths in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 6\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        " Content-Length: 5\r\n",
    ] {
        let request = format!("{post}{lengths}\r\nhello{smuggled}");
        assert_eq!(refused(&sidecar, request.as_bytes()).await, Some(400), "{lengths}");
    }
    far.is_quiet();

    // Chunked goes before the length (RFC 9112 section 6.1); what goes on has one framing and no second request.
    for lengths in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    ] {
        let mut player = sidecar.player().await;
        player.say(format!("{post}{lengths}\r\n3\r\nabc\r\n0\r\n\r\n")).await;
        let asked = far.asked().await;
        assert_eq!(asked.message.body, b"abc");
        assert!(asked.message.header("content-length").is_none(), "{:?}", asked.message);
        asked.well("made");
        assert_eq!(player.answer().await.note(), "made");
    }
    sidecar.is_well(&mut far, &session(1)).await;
}

#[tokio::test]
async fn a_body_on_get_stays_behind() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    let (one, path) = (session(1), media(&session(1), 0));
    for (framing, body) in [
        ("Content-Length: 5", "hello"),
        ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"),
        ("Content-Length: 1000000", "the rest never comes"),
        ("Transfer-Encoding: chunked", "5\r\nhello\r\n"),
        ("Content-Length: 5\r\nExpect: 100-continue", ""),
    ] {
        let mut player = sidecar.player().await;
        player.say(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n{body}")).await;
        let asked = far.asked().await;
        assert_eq!(asked.message.body, b"");
        for name in ["content-length", "transfer-encoding", "expect"] {
            assert!(asked.message.header(name).is_none(), "{:?}", asked.message);
        }
        asked.well("video");
        assert_eq!(player.answer().await.note(), "video", "{framing}");
    }
    sidecar.is_well(&mut far, &one).await;
}

#[tokio::test]
async fn half_a_head_or_none_ends_at_the_idle_limit() {
    let mut far = Far::listen().await;
    let sidecar = Running::with(&far, |config| config.idle = Duration::from_millis(300)).await;
    for beginning in
        ["", "P", "PRI * HTTP/2.0\r\n", "GET /v1/manifest/acct", "GET / HTTP/1.1\r\nHost: a\r\nX"]
    {
        let mut player = sidecar.player().await;
        player.say(beginning).await;
        player.rest().await;
    }
    // Between two requests likewise.
    let mut player = sidecar.player().await;
    player.ask(&media(&session(1), 0)).await;
    far.asked().await.well("video");
    assert_eq!(player.answer().await.note(), "video");
    player.ends().await;
    sidecar.is_well(&mut far, &session(1)).await;
}

#[tokio::test]
async fn an_idle_http2_connection_ends_at_the_idle_limit() {
    const PING: u8 = 6;
    const GOAWAY: u8 = 7;
    let far = Far::listen().await;
    let sidecar = Running::with(&far, |config| config.idle = Duration::from_millis(300)).await;
    let mut player = sidecar.player().await;
    player.say("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    let told = player.rest().await;
    let (mut rest, mut kinds) = (&told[..], Vec::new());
    while let [a, b, c, kind, ..] = *rest {
        kinds.push(kind);
        rest = &rest[9 + usize::from(a) * 65_536 + usize::from(b) * 256 + usize::from(c)..];
    }
    // A PING before that would be a sign of life, after which it had as long again.
    assert_eq!(kinds.into_iter().find(|kind| [PING, GOAWAY].contains(kind)), Some(GOAWAY));
}

#[tokio::test]
async fn silent_connections_do_not_keep_others_out() {
    let mut far = Far::listen().await;
    let sidecar = Running::with(&far, |config| {
        config.idle = Duration::from_millis(300);
        config.connections = 3;
    })
    .await;
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(Player::connect(sidecar.address).await);
    }
    sidecar.is_well(&mut far, &session(1)).await;
}

#[tokio::test]
async fn who_closes_its_half_has_left() {
    use tokio::io::AsyncWriteExt as _;
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    let mut player = sidecar.player().await;
    player.ask(&media(&session(1), 0)).await;
    let asked = far.asked().await;
    player.stream.shutdown().await.unwrap();
    player.ends().await;
    asked.well("for nobody");
    sidecar.is_well(&mut far, &session(1)).await;
}
