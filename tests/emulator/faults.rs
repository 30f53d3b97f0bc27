use std::{io, time::Duration};

use http::{Method, StatusCode};
use onelane::emulator::{Args, Conflict, Fault};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::client::{Got, Lab, MASTER, args, session_of, until};

const FAULTS: &str = "/__emulator/faults";

fn fault(text: &str) -> Fault {
    text.parse().expect(text)
}

/// Begins a fault over the wire.
async fn begin(lab: &Lab, text: &str) -> Got {
    let got = lab.send(Method::POST, FAULTS, &[], text).await;
    assert_eq!(got.status, StatusCode::OK, "{text}: {got:?}");
    got
}

async fn post(lab: &Lab, page: &str, body: &str) -> Got {
    lab.send(Method::POST, &format!("/__emulator/{page}"), &[], body).await
}

/// An answer byte for byte as it comes over a connection of its own, and how that ended.
async fn raw(lab: &Lab, path: &str, headers: &str) -> (Vec<u8>, io::Result<usize>) {
    let mut stream = TcpStream::connect(lab.emulator.local_addr()).await.expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut seen = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut seen)).await;
    (seen, ended.expect("it ends"))
}

/// The length that an answer's head announces, and the length of the body that came.
fn lengths(seen: &[u8]) -> (usize, usize) {
    let split = seen.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8_lossy(&seen[..split]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    (length.parse().expect("a number"), seen.len() - split - 4)
}

/// The media sequence that a playlist has.
fn sequence(got: &Got) -> u64 {
    assert_eq!(got.status, StatusCode::OK);
    m3u8_rs::parse_media_playlist_res(&got.body).expect("a playlist").media_sequence
}

#[tokio::test]
async fn an_error_comes_for_those_it_is_for_and_goes() {
    let lab = Lab::new(args()).await;
    let (ours, theirs) = (lab.playlists().await, lab.playlists().await);
    let session = session_of(&ours[0]);
    let told = begin(
        &lab,
        &format!(r#"{{"status":502,"error_type":"UnsupportedManifestException","sessions":["{session}"],"playlists":[0],"count":2}}"#),
    )
    .await
    .json();
    assert_eq!((&told[0]["kind"], &told[0]["struck"]), (&"status".into(), &0.into()));

    let got = lab.get(&ours[0]).await;
    assert_eq!((got.status, got.exception()), (StatusCode::BAD_GATEWAY, "UnsupportedManifestException"));
    assert!(!got.header("x-amzn-requestid").is_empty());
    let message = got.json()["message"].as_str().expect("a message").to_owned();
    assert!(message.contains("origin.example") && message.contains(session), "{message}");
    for other in [&ours[1], &theirs[0]] {
        assert_eq!(lab.get(other).await.status, StatusCode::OK);
    }
    assert_eq!(lab.get(FAULTS).await.json()[0]["struck"], 1);
    assert_eq!(lab.get(&ours[0]).await.status, StatusCode::BAD_GATEWAY);
    assert_eq!(lab.get(&ours[0]).await.status, StatusCode::OK, "it was for two");
    assert_eq!(lab.get(FAULTS).await.json(), serde_json::json!([]));

    let stats = lab.get("/__emulator/stats").await.json();
    let counted = ["faulty", "server_errors", "client_errors"].map(|name| stats[name].as_u64());
    assert_eq!(counted, [Some(2), Some(2), Some(0)]);
    let recent = lab.emulator.session(session).expect("it is remembered").recent;
    let faults: Vec<_> = recent.iter().filter_map(|request| request.fault.as_deref()).collect();
    assert_eq!(faults, ["status", "status"]);
}

#[tokio::test]
async fn flags_begin_faults_and_delete_ends_them() {
    let mut args = args();
    args.fault = vec![fault(r#"{"status":503,"header":false,"playlists":"multivariant"}"#)];
    let lab = Lab::new(args).await;
    let got = lab.get(MASTER).await;
    assert_eq!((got.status, got.exception()), (StatusCode::SERVICE_UNAVAILABLE, ""));
    assert!(!got.header("x-amzn-requestid").is_empty());
    let left = lab.send(Method::DELETE, FAULTS, &[], "").await;
    assert_eq!((left.status, left.json()), (StatusCode::OK, serde_json::json!([])));
    assert_eq!(lab.get(MASTER).await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_cannot_be_understood_is_refused_by_name() {
    let lab = Lab::new(args()).await;
    for (page, body, named) in [
        ("faults", r#"{"status":502,"fro":"7s"}"#, ["`fro`", "`for`"]),
        ("faults", r#"{"kind":"slow"}"#, ["kind: ", "`slow-body`"]),
        ("faults", "", ["faults: ", "EOF"]),
        ("busy-after", r#"{"time":"soon"}"#, ["time: ", "20ms..60ms"]),
        ("busy-after", r#"{"times":"5ms"}"#, ["`times`", "`time`"]),
        ("expire", r#"{"sessions":"some"}"#, ["sessions: ", "list of session ids"]),
        ("expire", r#"{"sessions":"all","numbering":"odd"}"#, ["numbering: ", "`reset`"]),
        ("expire", "{}", ["expire: ", "`sessions`"]),
    ] {
        let got = post(&lab, page, body).await;
        assert_eq!(got.status, StatusCode::BAD_REQUEST, "{page} {body}");
        let message = got.json()["message"].as_str().expect("a message").to_owned();
        assert!(named.iter().all(|part| message.contains(part)), "{page} {body}: {message}");
    }
    for (method, page) in [(Method::PUT, "faults"), (Method::DELETE, "busy-after"), (Method::GET, "expire")] {
        let got = lab.send(method, &format!("/__emulator/{page}"), &[], "").await;
        assert_eq!(got.status, StatusCode::METHOD_NOT_ALLOWED, "{page}");
    }
    assert_eq!(lab.emulator.stats().faulty, 0);
}

#[tokio::test]
async fn a_page_of_a_cdn_has_nothing_of_the_service() {
    let lab = Lab::new(args()).await;
    let path = lab.playlists().await.swap_remove(0);
    for (text, status) in [(r#"{"kind":"html"}"#, 502), (r#"{"kind":"html","status":503}"#, 503)] {
        begin(&lab, text).await;
        let got = lab.get(&path).await;
        assert_eq!((got.status.as_u16(), got.header("content-type")), (status, "text/html"));
        assert!(got.text().contains("<h1>"));
        for name in ["x-amzn-requestid", "x-amzn-errortype", "access-control-allow-origin"] {
            assert!(!got.headers.contains_key(name), "{name}");
        }
        lab.emulator.clear_faults();
    }
}

#[tokio::test]
async fn connections_break_as_told() {
    let lab = Lab::new(args()).await;
    let path = lab.playlists().await.swap_remove(0);

    begin(&lab, r#"{"kind":"reset","count":1}"#).await;
    let (seen, ended) = raw(&lab, &path, "").await;
    assert!(seen.is_empty(), "{}", String::from_utf8_lossy(&seen));
    assert_eq!(ended.map_err(|error| error.kind()), Err(io::ErrorKind::ConnectionReset));

    begin(&lab, r#"{"kind":"reset-mid-body","count":1}"#).await;
    let (seen, _) = raw(&lab, &path, "").await;
    assert!(seen.starts_with(b"HTTP/1.1 200 OK\r\n"));
    let (announced, came) = lengths(&seen);
    assert_eq!((came, came < announced), (announced / 2, true));

    until(|| lab.emulator.stats().in_flight == 0).await;
    assert_eq!(lab.get(&path).await.status, StatusCode::OK, "the session is free again");
    let stats = lab.emulator.stats();
    // The one that was reset had no status.
    assert_eq!((stats.faulty, stats.by_status.get(&200)), (2, Some(&3)));
    let recent = lab.emulator.session(session_of(&path)).expect("it is remembered").recent;
    let seen: Vec<_> = recent.iter().map(|request| (request.status, request.fault.as_deref())).collect();
    assert_eq!(
        seen,
        [(Some(200), None), (None, Some("reset")), (Some(200), Some("reset-mid-body")), (Some(200), None)]
    );
}

#[tokio::test]
async fn http2_loses_the_stream_and_not_the_connection() {
    let lab = Lab::new(args()).await.over_http2();
    let path = lab.playlists().await.swap_remove(0);
    for kind in ["reset", "reset-mid-body"] {
        begin(&lab, &format!(r#"{{"kind":"{kind}","count":1}}"#)).await;
        assert!(lab.fails(&path).await, "{kind}");
        until(|| lab.emulator.stats().in_flight == 0).await;
        assert_eq!(lab.get(&path).await.status, StatusCode::OK, "{kind}");
    }
}

#[tokio::test]
async fn bodies_are_broken_as_told() {
    let lab = Lab::new(args()).await;
    let path = lab.playlists().await.swap_remove(0);
    let whole = lab.get(&path).await.text();

    begin(&lab, r#"{"kind":"truncated","count":1}"#).await;
    // Its framing is right, or the client would have refused it.
    let half = lab.get(&path).await.text();
    assert!(half.starts_with("#EXTM3U") && half.len() < whole.len(), "{half}");

    begin(&lab, r#"{"kind":"empty","count":1}"#).await;
    let got = lab.send(Method::GET, &path, &[("accept-encoding", "gzip")], "").await;
    assert_eq!((got.status, got.header("content-length"), got.body.len()), (StatusCode::OK, "0", 0));

    begin(&lab, r#"{"kind":"garbage","count":1}"#).await;
    let got = lab.get(&path).await;
    assert!(got.status == StatusCode::OK && std::str::from_utf8(&got.body).is_err());

    begin(&lab, r#"{"kind":"truncated-gzip","count":1}"#).await;
    let got = lab.get(&path).await;
    assert_eq!((got.status, got.header("content-encoding")), (StatusCode::OK, "gzip"));
    assert_eq!(got.header("content-length"), got.body.len().to_string());
    assert!(got.body.starts_with(&[0x1f, 0x8b]), "it begins as gzip does");

    assert_eq!(lab.emulator.stats().faulty, 4);
}

#[tokio::test]
async fn a_slow_body_keeps_its_session_busy() {
    let lab = Lab::new(args()).await;
    let playlists = lab.playlists().await;
    let length = lab.get(&playlists[0]).await.body.len() as u64;
    // About three seconds of it.
    begin(&lab, &format!(r#"{{"kind":"slow-body","rate":{},"count":1}}"#, length / 3)).await;
    let meanwhile = async {
        until(|| lab.emulator.stats().in_flight == 1).await;
        lab.get(&playlists[1]).await.status
    };
    let (got, other) = tokio::join!(lab.get(&playlists[0]), meanwhile);
    assert_eq!((got.status, got.body.len() as u64), (StatusCode::OK, length));
    assert_eq!(other, StatusCode::CONFLICT);
    until(|| lab.emulator.stats().in_flight == 0).await;
    assert_eq!(lab.get(&playlists[1]).await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_hangs_keeps_its_session_busy_until_its_client_goes() {
    for model in [Conflict::Reject, Conflict::Optimistic] {
        let mut args = args();
        args.conflict = model;
        let lab = Lab::new(args).await;
        let playlists = lab.playlists().await;
        begin(&lab, r#"{"kind":"hang","count":1}"#).await;
        let meanwhile = async {
            until(|| lab.emulator.stats().in_flight == 1).await;
            lab.get(&playlists[1]).await.status
        };
        let meanwhile = tokio::select! {
            got = lab.get(&playlists[0]) => panic!("it answered: {got:?}"),
            status = meanwhile => status,
        };
        // With a check at its end the other wins, as there is no end of the first.
        let expected = if model == Conflict::Reject { StatusCode::CONFLICT } else { StatusCode::OK };
        assert_eq!(meanwhile, expected);
        until(|| lab.emulator.stats().abandoned == 1).await;
        assert_eq!(lab.emulator.stats().in_flight, 0);
        assert_eq!(lab.get(&playlists[1]).await.status, StatusCode::OK, "{model:?}");
        assert_eq!(lab.emulator.stats().faulty, 1);
    }
}

#[tokio::test]
async fn a_faulty_exchange_conflicts_like_any() {
    let lab = Lab::new(args()).await;
    let playlists = lab.playlists().await;
    begin(&lab, r#"{"kind":"delay","delay":"2s","count":1}"#).await;
    begin(&lab, r#"{"status":500,"count":1}"#).await;
    let meanwhile = async {
        until(|| lab.emulator.stats().in_flight == 1).await;
        lab.get(&playlists[1]).await.status
    };
    let (late, other) = tokio::join!(lab.get(&playlists[0]), meanwhile);
    assert_eq!((late.status, other), (StatusCode::OK, StatusCode::CONFLICT));
    // What conflicted did not use up the second fault.
    assert_eq!(lab.get(&playlists[1]).await.status, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn beyond_a_rate_requests_are_throttled_and_touch_no_session() {
    let lab = Lab::new(args()).await;
    let path = lab.playlists().await.swap_remove(0);
    begin(&lab, r#"{"kind":"throttle","above":0,"playlists":"media"}"#).await;
    let got = lab.get(&path).await;
    assert_eq!((got.status, got.exception()), (StatusCode::SERVICE_UNAVAILABLE, "ThrottlingException"));
    let session = lab.emulator.session(session_of(&path)).expect("it is remembered");
    assert_eq!((session.requests, session.playlists), (2, 1));
    assert_eq!(lab.get(MASTER).await.status, StatusCode::OK);
}

/// Short segments, for numbers to grow at once.
fn fast() -> Args {
    let mut args = args();
    args.segment = Duration::from_millis(100);
    // However long this machine takes.
    args.expire_after = Some(Duration::ZERO);
    args
}

/// A playlist, once its media sequence has grown beyond a number.
async fn beyond(lab: &Lab, path: &str, number: u64) -> Got {
    let waiting = async {
        loop {
            let got = lab.get(path).await;
            if sequence(&got) > number {
                return got;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("it grows")
}

#[tokio::test]
async fn a_playlist_falls_back_or_stands_still() {
    let lab = Lab::new(fast()).await;
    let (path, other) = (lab.playlists().await.swap_remove(0), lab.playlists().await.swap_remove(0));
    let reached = sequence(&beyond(&lab, &path, 5).await);

    begin(&lab, r#"{"kind":"lower-sequence","by":1000000}"#).await;
    assert_eq!(sequence(&lab.get(&path).await), 0);
    lab.emulator.clear_faults();

    begin(&lab, &format!(r#"{{"kind":"unchanged","sessions":["{}"]}}"#, session_of(&path))).await;
    let first = lab.get(&path).await;
    assert!(sequence(&first) >= reached);
    beyond(&lab, &other, sequence(&first)).await;
    assert_eq!(lab.get(&path).await.body, first.body);
    lab.emulator.clear_faults();
    beyond(&lab, &path, sequence(&first)).await;
}

#[tokio::test]
async fn sessions_end_when_told_and_new_ones_may_number_anew() {
    let lab = Lab::new(fast()).await;
    let (one, other) = (lab.playlists().await, lab.playlists().await);
    beyond(&lab, &one[0], 20).await;

    let told = post(&lab, "expire", &format!(r#"{{"sessions":["{}"]}}"#, session_of(&one[0]))).await;
    assert_eq!((told.status, &told.json()["expired"]), (StatusCode::OK, &1.into()));
    let got = lab.get(&one[0]).await;
    assert_eq!((got.status, got.exception()), (StatusCode::BAD_REQUEST, "BadRequestException"));
    let goes_on = lab.playlists().await;
    assert!(sequence(&lab.get(&goes_on[0]).await) > 20, "its numbers are the stream's");
    assert_eq!(lab.get(&other[0]).await.status, StatusCode::OK);

    let told = post(&lab, "expire", r#"{"sessions":"all","numbering":"reset"}"#).await;
    assert_eq!(told.json()["expired"], 2);
    assert_eq!(lab.get(&other[0]).await.status, StatusCode::BAD_REQUEST);
    let anew = lab.playlists().await;
    let (video, audio) = (lab.get(&anew[0]).await, lab.get(&anew[2]).await);
    let reached = sequence(&beyond(&lab, &goes_on_of(&lab).await, 20).await);
    assert!(sequence(&video) < reached && sequence(&audio) < reached, "{} of {reached}", sequence(&video));
    beyond(&lab, &anew[0], sequence(&video)).await;
}

/// A playlist of a session that numbers as the stream does.
async fn goes_on_of(lab: &Lab) -> String {
    let told = post(lab, "expire", r#"{"sessions":[],"numbering":"continuous"}"#).await;
    assert_eq!(told.json()["expired"], 0);
    lab.playlists().await.swap_remove(0)
}

/// Under both models a request that follows an answer at once conflicts, until it is told otherwise.
async fn stays_busy(model: Conflict) {
    let mut args = args();
    args.conflict = model;
    // Under the optimistic model the second must still be at work when the first has settled.
    args.latency = "700ms".parse().expect("a latency");
    let lab = Lab::new(args).await;
    let playlists = lab.playlists().await;
    assert_eq!(lab.get("/__emulator/busy-after").await.json()["time"], "0s");
    let told = post(&lab, "busy-after", r#"{"time":"500ms"}"#).await;
    assert_eq!((told.status, &told.json()["time"]), (StatusCode::OK, &"500ms".into()));
    assert_eq!(lab.get(&playlists[0]).await.status, StatusCode::OK);
    assert_eq!(lab.get(&playlists[1]).await.status, StatusCode::CONFLICT);
    assert_eq!(lab.emulator.stats().max_in_flight, 1, "whoever asked did nothing wrong");

    post(&lab, "busy-after", r#"{"time":"0s"}"#).await;
    // Those that came before may still settle.
    let settling = async { while lab.get(&playlists[0]).await.status == StatusCode::CONFLICT {} };
    tokio::time::timeout(Duration::from_secs(60), settling).await.expect("it settles");
    for path in &playlists {
        assert_eq!(lab.get(path).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn how_long_sessions_stay_busy_can_be_changed_with_a_lock() {
    stays_busy(Conflict::Reject).await;
}

#[tokio::test]
async fn how_long_sessions_stay_busy_can_be_changed_with_a_check() {
    stays_busy(Conflict::Optimistic).await;
}
