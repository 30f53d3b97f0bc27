//! What crosses the proxy, in both directions, byte for byte.

use crate::{
    far::Far,
    support::{Message, Running, media, ok, session},
};
use onelane::sidecar::HostHeader;

/// What the upstream sees of a request.
async fn seen(far: &mut Far, sidecar: &Running, request: &str) -> Message {
    let mut player = sidecar.player().await;
    player.say(request).await;
    let asked = far.asked().await;
    asked.say(ok("x"));
    assert_eq!(player.answer().await.status(), 200);
    asked.message
}

/// What a player gets of an answer.
async fn got(far: &mut Far, sidecar: &Running, answer: &[u8]) -> Message {
    let player = sidecar.getting(&media(&session(1), 0));
    far.asked().await.say(answer);
    player.await.expect("no panic")
}

#[tokio::test]
async fn the_viewer_is_appended() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    let path = media(&session(1), 0);
    for (came, goes) in [
        ("", "127.0.0.1"),
        ("X-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1, 127.0.0.1"),
        (
            "X-Forwarded-For: 192.0.2.1\r\nx-forwarded-for: 198.51.100.1\r\n",
            "192.0.2.1, 198.51.100.1, 127.0.0.1",
        ),
    ] {
        let seen = seen(&mut far, &sidecar, &format!("GET {path} HTTP/1.1\r\nHost: a\r\n{came}\r\n")).await;
        assert_eq!(seen.headers("x-forwarded-for"), [goes]);
    }
}

#[tokio::test]
async fn the_host_is_the_upstreams_or_the_viewers() {
    let mut far = Far::listen().await;
    let own = format!("127.0.0.1:{}", far.port());
    let path = media(&session(1), 0);
    let requests = [
        format!("GET {path} HTTP/1.1\r\nHost: tv.example\r\n\r\n"),
        format!("GET http://tv.example{path} HTTP/1.1\r\nHost: other.example\r\n\r\n"),
    ];
    for (mode, host) in [(HostHeader::Rewrite, own.as_str()), (HostHeader::Preserve, "tv.example")] {
        let sidecar = Running::with(&far, |config| config.host = mode).await;
        for request in &requests {
            let seen = seen(&mut far, &sidecar, request).await;
            assert_eq!(seen.first_line(), format!("GET {path} HTTP/1.1"));
            assert_eq!(seen.headers("host"), [host], "{request}");
        }
    }
    let sidecar = Running::with(&far, |config| config.host = HostHeader::Preserve).await;
    let mut player = sidecar.player().await;
    player.say(format!("GET {path} HTTP/1.1\r\n\r\n")).await;
    player.answer().await.is_problem(400);
    let mut player = sidecar.player().await;
    player.say(format!("GET {path} HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n")).await;
    player.answer().await.is_problem(400);
}

#[tokio::test]
async fn hop_by_hop_headers_stay_behind_both_ways() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    let path = media(&session(1), 0);
    let connection = "Connection: keep-alive, X-Private\r\nConnection: x-other\r\nX-Private: 1\r\nX-Other: 2\r\n\
        Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic eA==\r\n\
        Proxy-Authenticate: Basic\r\nTE: trailers\r\nTrailer: x\r\nUpgrade: h2c\r\n";
    let stay = [
        "connection",
        "x-private",
        "x-other",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "proxy-authenticate",
        "te",
        "trailer",
        "upgrade",
        "http2-settings",
    ];
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: a\r\nUser-Agent: player/1\r\nReferer: https://tv.example/\r\n\
         Origin: https://tv.example\r\nX-Custom: \u{e9}\r\nHTTP2-Settings: AAM\r\nConnection: HTTP2-Settings\r\n\
         {connection}\r\n"
    );
    let seen = seen(&mut far, &sidecar, &request).await;
    for name in stay {
        assert!(seen.header(name).is_none(), "{name}: {seen:?}");
    }
    assert_eq!(seen.header("user-agent"), Some("player/1"));
    assert_eq!(seen.header("referer"), Some("https://tv.example/"));
    assert_eq!(seen.header("origin"), Some("https://tv.example"));
    assert_eq!(seen.header("x-custom"), Some("\u{e9}"));

    let answer = format!("HTTP/1.1 200 OK\r\n{connection}X-Kept: yes\r\nContent-Length: 1\r\n\r\nx");
    let got = got(&mut far, &sidecar, answer.as_bytes()).await;
    for name in stay {
        assert!(got.header(name).is_none(), "{name}: {got:?}");
    }
    assert_eq!(got.header("x-kept"), Some("yes"));
}

#[tokio::test]
async fn path_and_query_stay_as_they_are() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    let one = session(1);
    for target in [
        format!("{}?", media(&one, 0)),
        format!("{}??&&=&a=&=b", media(&one, 0)),
        format!("{}?ads.x=%20+%2B%zz%&y=[a]|{{b}}'\\^`", media(&one, 0)),
        format!("{}?a=%F0%9F%8E%AC&%61=%2f/..//./", media(&one, 0)),
        format!("/a//b/../v1/manifest/acct/De%6do/{one}/0.m3u8;p=1"),
        format!("/v1/manifest/acct/Demo/{one}/../0.m3u8?x"),
        "//elsewhere.example/v1/x?http://b.example/".to_owned(),
        "/..".to_owned(),
        "/".to_owned(),
        "/?".to_owned(),
    ] {
        let mut player = sidecar.player().await;
        player.ask(&target).await;
        let answer = tokio::select! {
            asked = far.asked() => {
                assert_eq!(asked.message.first_line(), format!("GET {target} HTTP/1.1"));
                asked.say(ok("x"));
                player.answer().await
            }
            refused = async { player.stream.readable().await } => {
                refused.unwrap();
                player.answer().await
            }
        };
        // A dot segment where the session belongs is refused, all others pass.
        assert_eq!(answer.status() == 400, target.contains(&format!("{one}/../")), "{target}");
    }
}

#[tokio::test]
async fn encodings_pass_unchanged() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    let path = media(&session(1), 0);
    for encodings in ["gzip, deflate, br;q=0.5", "identity", ""] {
        let line =
            if encodings.is_empty() { String::new() } else { format!("Accept-Encoding: {encodings}\r\n") };
        let seen = seen(&mut far, &sidecar, &format!("GET {path} HTTP/1.1\r\nHost: a\r\n{line}\r\n")).await;
        assert_eq!(seen.header("accept-encoding").unwrap_or_default(), encodings);
    }
    // No gzip at all, but nobody here needs to know.
    let bytes = [0x1f, 0x8b, 0x08, 0x00, 0xff, 0x00, 0x0d, 0x0a];
    let mut answer =
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nVary: accept-encoding\r\nContent-Length: 8\r\n\r\n"
            .to_vec();
    answer.extend_from_slice(&bytes);
    let got = got(&mut far, &sidecar, &answer).await;
    assert_eq!((got.header("content-encoding"), got.body.as_slice()), (Some("gzip"), &bytes[..]));
    assert_eq!((got.header("vary"), got.header("content-length")), (Some("accept-encoding"), Some("8")));
}

#[tokio::test]
async fn ranges_are_for_segments() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    let one = session(1);
    let names = ["range", "if-range", "icy-metadata"];
    let ask = |target: &str| {
        format!(
            "GET {target} HTTP/1.1\r\nHost: a\r\nRange: bytes=0-\r\nIf-Range: \"x\"\r\nIcy-MetaData: 1\r\n\r\n"
        )
    };
    for target in [media(&one, 0), "/v1/master/acct/Demo/index.m3u8".to_owned()] {
        let seen = seen(&mut far, &sidecar, &ask(&target)).await;
        assert!(names.iter().all(|name| seen.header(name).is_none()), "{seen:?}");
    }
    let segment = format!("/v1/segment/acct/Demo/{one}/0/41201");
    let seen = seen(&mut far, &sidecar, &ask(&segment)).await;
    assert!(names.iter().all(|name| seen.header(name).is_some()), "{seen:?}");
}

#[tokio::test]
async fn head_keeps_its_length() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    for target in [media(&session(1), 0), "/v1/segment/acct/Demo/one/0/1".to_owned()] {
        let mut player = sidecar.player().await;
        player.say(format!("HEAD {target} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let asked = far.asked().await;
        assert_eq!(asked.message.first_line(), format!("HEAD {target} HTTP/1.1"));
        asked.say("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nX-Kept: yes\r\n\r\n");
        let answer = player.head_alone().await;
        assert_eq!((answer.header("content-length"), answer.header("x-kept")), (Some("1234"), Some("yes")));
        // Nothing but the head was sent.
        player.ask(&media(&session(1), 1)).await;
        far.asked().await.say(ok("next"));
        assert_eq!(player.answer().await.text(), "next");
    }
}

#[tokio::test]
async fn a_body_that_was_announced_comes_through() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    let body = r#"{"adsParams":{"device":"tv"},"reportingMode":"client"}"#;
    let mut player = sidecar.player().await;
    player
        .say(format!(
            "POST /v1/session/acct/Demo/index.m3u8 HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
             Expect: 100-continue\r\nContent-Length: {}\r\n\r\n",
            body.len()
        ))
        .await;
    let go_on = player.head_alone().await;
    assert_eq!(go_on.status(), 100);
    player.say(body).await;
    let asked = far.asked().await;
    assert_eq!(asked.message.text(), body);
    assert_eq!(asked.message.header("content-type"), Some("application/json"));
    assert_eq!(asked.message.header("content-length"), Some(body.len().to_string().as_str()));
    asked.say(ok("{}"));
    assert_eq!(player.answer().await.text(), "{}");
}

#[tokio::test]
async fn answers_pass_unchanged_whatever_their_status() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    let conflict = got(
        &mut far,
        &sidecar,
        b"HTTP/1.1 409 Conflict\r\nx-amzn-ErrorType: ConflictException:http://x/\r\nx-amzn-RequestId: abc\r\n\
          Content-Type: application/json\r\nContent-Length: 15\r\n\r\n{\"message\":\"x\"}",
    )
    .await;
    assert_eq!((conflict.status(), conflict.text().as_str()), (409, "{\"message\":\"x\"}"));
    assert_eq!(conflict.header("x-amzn-errortype"), Some("ConflictException:http://x/"));
    assert_eq!(conflict.header("x-amzn-requestid"), Some("abc"));

    let moved =
        format!("HTTP/1.1 302 Found\r\nLocation: {}/elsewhere\r\nContent-Length: 0\r\n\r\n", far.url());
    let moved = got(&mut far, &sidecar, moved.as_bytes()).await;
    assert_eq!(
        (moved.status(), moved.header("location")),
        (302, Some(format!("{}/elsewhere", far.url()).as_str()))
    );

    let mut player = sidecar.player().await;
    player.ask(&media(&session(1), 0)).await;
    far.asked().await.say("HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 5\r\n\r\n");
    let unchanged = player.head_alone().await;
    assert_eq!((unchanged.status(), unchanged.header("etag")), (304, Some("\"x\"")));

    let cookies = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: b=2, c=3\r\nDate: then\r\nServer: far\r\nContent-Length: 0\r\n\r\n";
    let cookies = got(&mut far, &sidecar, cookies).await;
    assert_eq!(cookies.headers("set-cookie"), ["a=1; Path=/", "b=2, c=3"]);
    assert_eq!((cookies.headers("date"), cookies.headers("server")), (vec!["then"], vec!["far"]));
    far.is_quiet();
}
