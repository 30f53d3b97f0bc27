//! What crosses the proxy, in both directions, byte for byte.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use onelane::sidecar::HostHeader;

use crate::{
    far::Far,
    support::{Message, Running, media, ok, playlist, session, within},
};

/// What the upstream sees of a request.
async fn seen(far: &mut Far, sidecar: &Running, request: &str) -> Message {
    let mut player = sidecar.player().await;
    player.say(request).await;
    let asked = far.asked().await;
    asked.well("x");
    assert_eq!(player.answer().await.status(), 200);
    asked.message
}

fn gzip(text: &str) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(text.as_bytes()).expect("room");
    gzip.finish().expect("room")
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
async fn it_says_that_it_stood_in_between() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    let path = media(&session(1), 0);
    let mut names = Vec::new();
    for (came, version) in [("", "1.1"), ("Via: 2 cdn.example, 1.1 b (c)\r\n", "1.0")] {
        let request = format!("GET {path} HTTP/{version}\r\nHost: a\r\n{came}\r\n");
        let seen = seen(&mut far, &sidecar, &request).await;
        let mut via = seen.headers("via");
        let own = via.pop().expect("its own").to_owned();
        assert_eq!(via, Vec::from_iter(came.trim().strip_prefix("Via: ")));
        let name = own.strip_prefix(&format!("{version} onelane-")).expect(&own);
        assert!(name.len() == 8 && name.bytes().all(|byte| byte.is_ascii_hexdigit()), "{own}");
        names.push(name.to_owned());
    }
    assert_eq!(names[0], names[1], "it has one name");
    // Another one on the way is no loop.
    let behind = Running::before(&far).await;
    let seen = seen(
        &mut far,
        &behind,
        &format!("GET {path} HTTP/1.1\r\nHost: a\r\nVia: 1.1 onelane-{}\r\n\r\n", names[0]),
    )
    .await;
    assert_eq!(seen.headers("via").len(), 2);
}

#[tokio::test]
async fn what_comes_back_is_sent_no_more() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    for path in [media(&session(1), 0), "/v1/segment/acct/Demo/x/0/1".to_owned()] {
        let mut player = sidecar.player().await;
        player.say(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let asked = far.asked().await;
        let via = asked.message.header("via").expect("its own").to_owned();
        let mut round = sidecar.player().await;
        // As a CDN whose origin is this onelane sends it.
        round
            .say(format!("GET {path} HTTP/1.1\r\nHost: b\r\nVia: 1.0 a, {via}, 2 cdn.example\r\n\r\n"))
            .await;
        let refused = round.answer().await;
        refused.is_problem(508);
        assert_eq!(refused.header("x-onelane-reason"), Some("misaddressed"));
        assert!(refused.text().contains("--upstream"), "{}", refused.text());
        far.is_quiet();
        asked.well("x");
        assert_eq!(player.answer().await.status(), 200);
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
        format!("GET http://me:secret@tv.example{path} HTTP/1.1\r\nHost: tv.example\r\n\r\n"),
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

    let answer = ok(&playlist("x")).replacen("\r\n", &format!("\r\n{connection}X-Kept: yes\r\n"), 1);
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
                asked.well("x");
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
    // The last is none that is read here, so it may well be a playlist.
    for (encoding, bytes) in
        [("gzip", gzip(&playlist("x"))), ("x-far", vec![0x1f, 0x8b, 0xff, 0x00, 0x0d, 0x0a])]
    {
        let length = bytes.len().to_string();
        let mut answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nVary: accept-encoding\r\n\
             Content-Length: {length}\r\n\r\n"
        )
        .into_bytes();
        answer.extend_from_slice(&bytes);
        let got = got(&mut far, &sidecar, &answer).await;
        assert_eq!((got.header("content-encoding"), got.body.as_slice()), (Some(encoding), &bytes[..]));
        assert_eq!(
            (got.header("vary"), got.header("content-length")),
            (Some("accept-encoding"), Some(&*length))
        );
    }
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
        far.asked().await.well("next");
        assert_eq!(player.answer().await.note(), "next");
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
    asked.well("{}");
    assert_eq!(player.answer().await.note(), "{}");
}

#[tokio::test]
async fn answers_pass_unchanged_whatever_their_status() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    let said = "x-amzn-RequestId: abc\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n{\"detail\":\"x\"}";
    for target in [
        "/v1/segment/acct/Demo/6f1b7c52-30aa-4c1e-9d0f-000000000001/0/1",
        "/v1/i-media/acct/Demo/0.m3u8",
        "/v1/interstitials/acct/Demo/x",
        "/other",
    ] {
        for status in [200, 206, 301, 400, 403, 404, 409, 410, 416, 418, 429, 500, 502, 503, 504, 599] {
            let player = sidecar.getting(target);
            far.asked().await.say(format!("HTTP/1.1 {status} Said\r\n{said}"));
            let got = within(player).await.expect("no panic");
            assert_eq!((got.status(), got.text().as_str()), (status, "{\"detail\":\"x\"}"), "{target}");
            assert_eq!(got.header("x-amzn-requestid"), Some("abc"));
            assert_eq!((got.header("x-onelane-reason"), got.header("cache-control")), (None, None));
        }
    }
    far.is_quiet();
}

#[tokio::test]
async fn what_mediatailor_says_of_an_error_reaches_no_player_whatever_was_asked_for() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    let one = "6f1b7c52-30aa-4c1e-9d0f-000000000001";
    let message = format!("customerId:[123456789012] origin http://origin.example/live sessionId:[{one}]");
    let json = format!("{{\"message\":\"{message}\"}}");
    for (headers, status, left, reason) in [
        (
            "x-amzn-ErrorType: ConflictException:http://x/\r\nContent-Type: application/json\r\n",
            409,
            502,
            "origin_broken",
        ),
        ("Content-Type: application/json\r\n", 403, 403, "denied"),
        ("Content-Type: application/x-amz-json-1.1\r\n", 404, 404, "not_found"),
        ("", 503, 502, "overloaded"),
        ("X-Amzn-Errortype: ThrottlingException\r\nContent-Type: text/plain\r\n", 429, 502, "throttled"),
    ] {
        for target in [
            format!("/v1/segment/acct/Demo/{one}/0/1"),
            "/v1/i-media/acct/Demo/0.m3u8".to_owned(),
            "/v1/interstitials/acct/Demo/x".to_owned(),
            "/other".to_owned(),
        ] {
            let player = sidecar.getting(&target);
            let length = json.len();
            far.asked().await.say(format!(
                "HTTP/1.1 {status} Said\r\n{headers}x-amzn-RequestId: abc\r\nContent-Length: {length}\r\n\r\n{json}"
            ));
            let got = within(player).await.expect("no panic");
            assert_eq!((got.status(), got.header("x-onelane-reason")), (left, Some(reason)), "{target}");
            assert_eq!(got.header("x-amzn-requestid"), Some("abc"));
            assert_eq!(got.header("x-amzn-errortype"), None);
            let text = got.text();
            assert!(!text.contains("customerId") && !text.contains("origin.example"), "{text}");
        }
    }
    far.is_quiet();
}

#[tokio::test]
async fn an_error_of_a_segment_whose_body_does_not_come_is_told_by_its_head() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    for (head, left, reason) in [
        ("404 Not Found\r\nx-amzn-ErrorType: NotFoundException", 404, "not_found"),
        ("403 Forbidden\r\nContent-Type: application/json", 403, "denied"),
    ] {
        let player = sidecar.getting("/v1/segment/acct/Demo/6f1b7c52-30aa-4c1e-9d0f-000000000001/0/1");
        let stays = far.asked().await;
        stays.say(format!("HTTP/1.1 {head}\r\nContent-Length: 50\r\n\r\n{{\"mess"));
        let got = within(player).await.expect("no panic");
        assert_eq!((got.status(), got.header("x-onelane-reason")), (left, Some(reason)));
        drop(stays);
    }
    far.is_quiet();
}

#[tokio::test]
async fn a_redirect_within_the_upstream_leads_through_here() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    let url = far.url();
    for (location, leads) in [
        (format!("{url}/v1/manifest/x.m3u8?a=1&b=%2F"), "/v1/manifest/x.m3u8?a=1&b=%2F"),
        (url.clone(), "/"),
        (url["http:".len()..].to_owned() + "/v1/x?a=1", "/v1/x?a=1"),
        (url.replace("http:", "HTTPS:") + "/v1/x#y", "/v1/x"),
        (format!("{url}//v1/x"), "/.//v1/x"),
        (format!("{url}/a/..//other.example/x"), "/.//other.example/x"),
        ("//segments.example/tm/1.ts".to_owned(), "//segments.example/tm/1.ts"),
        ("/v1/x".to_owned(), "/v1/x"),
        ("../x?y".to_owned(), "../x?y"),
        ("https://segments.example/tm/1.ts".to_owned(), "https://segments.example/tm/1.ts"),
        ("://".to_owned(), "://"),
    ] {
        for target in [media(&session(1), 0), "/v1/segment/acct/Demo/x/0/1".to_owned()] {
            let player = sidecar.getting(&target);
            far.asked()
                .await
                .say(format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"));
            let moved = player.await.expect("no panic");
            assert_eq!((moved.status(), moved.header("location")), (302, Some(leads)), "{location} {target}");
        }
    }
    far.is_quiet();
}

#[tokio::test]
async fn playlists_pass_unchanged() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    let mut player = sidecar.player().await;
    let target = media(&session(1), 0);
    player.say(format!("GET {target} HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"x\"\r\n\r\n")).await;
    far.asked().await.say("HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 5\r\n\r\n");
    let unchanged = player.head_alone().await;
    assert_eq!((unchanged.status(), unchanged.header("etag")), (304, Some("\"x\"")));

    for status in ["200 OK", "203 Non-Authoritative Information"] {
        let answer = ok(&playlist("cookies")).replacen("200 OK", status, 1).replacen(
            "\r\n",
            "\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: b=2, c=3\r\nDate: then\r\nServer: far\r\n",
            1,
        );
        let cookies = got(&mut far, &sidecar, answer.as_bytes()).await;
        // Not all players take another success.
        assert_eq!((cookies.status(), cookies.note()), (200, "cookies".to_owned()));
        assert_eq!(cookies.headers("set-cookie"), ["a=1; Path=/", "b=2, c=3"]);
        assert_eq!((cookies.headers("date"), cookies.headers("server")), (vec!["then"], vec!["far"]));
        assert_eq!(cookies.header("x-onelane-reason"), None);
    }
    far.is_quiet();
}

#[tokio::test]
async fn a_preflight_passes_whatever_its_url_names() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    let one = session(1);
    let targets =
        [media(&one, 0), media("a%2Fb", 0), format!("/v1/master/acct/Demo/i.m3u8?aws.sessionId={one}")];
    for lost in [false, true] {
        for target in &targets {
            let mut player = sidecar.player().await;
            player
                .say(format!(
                    "OPTIONS {target} HTTP/1.1\r\nHost: a\r\nOrigin: https://tv.example\r\n\
                     Access-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: range\r\n\r\n"
                ))
                .await;
            let asked = far.asked().await;
            assert_eq!(asked.message.first_line(), format!("OPTIONS {target} HTTP/1.1"));
            assert_eq!(asked.message.header("access-control-request-headers"), Some("range"));
            asked.say("HTTP/1.1 204 No Content\r\nAccess-Control-Allow-Headers: range\r\n\r\n");
            let allowed = player.head_alone().await;
            assert_eq!(
                (allowed.status(), allowed.header("access-control-allow-headers")),
                (204, Some("range"))
            );
        }
        if !lost {
            let player = sidecar.getting(&media(&one, 0));
            far.asked().await.say("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
            within(player).await.unwrap().is_problem(404);
        }
    }
    far.is_quiet();
    sidecar.is_idle().await;
}
