use std::time::Duration;

use http::{Method, StatusCode};
use onelane::emulator::Emulator;
use tokio::time::Instant;

use crate::{
    client::{Lab, MASTER, args, session_of, until},
    fixture::Folder,
};

#[tokio::test]
async fn only_the_endpoints_name_is_let_in() {
    let mut args = args();
    args.host = Some("a.mediatailor.example".to_owned());
    let lab = Lab::new(args).await;
    let got = lab.get(MASTER).await;
    assert_eq!((got.status, got.exception()), (StatusCode::FORBIDDEN, "AccessDeniedException"));
    let named = lab.send(Method::GET, MASTER, &[("host", "a.mediatailor.example")], "").await;
    assert_eq!(named.status, StatusCode::OK);
}

#[tokio::test]
async fn beyond_the_quota_requests_are_throttled() {
    let mut args = args();
    args.throttle = 3;
    let lab = Lab::new(args).await;
    // More than two seconds' worth, so that one second's boundary among them does not matter.
    let mut throttled = 0;
    for _ in 0..10 {
        let got = lab.get(MASTER).await;
        if got.status == StatusCode::SERVICE_UNAVAILABLE {
            assert_eq!(got.exception(), "ThrottlingException");
            throttled += 1;
        }
    }
    assert!(throttled > 0);
}

#[tokio::test]
async fn cors_is_on_all_answers_unless_told_otherwise() {
    for on_errors in [true, false] {
        let mut args = args();
        args.cors_on_errors = on_errors;
        let lab = Lab::new(args).await;
        let allowed = |value: &str| value == "*";
        assert!(allowed(lab.get(MASTER).await.header("access-control-allow-origin")));
        let error = lab.get("/v1/nothing").await;
        assert_eq!(error.status, StatusCode::NOT_FOUND);
        assert_eq!(allowed(error.header("access-control-allow-origin")), on_errors);

        let asks = [("origin", "http://a.example"), ("access-control-request-headers", "x-a")];
        let preflight = lab.send(Method::OPTIONS, MASTER, &asks, "").await;
        assert_eq!(
            (preflight.status, preflight.header("access-control-allow-headers")),
            (StatusCode::OK, "x-a")
        );
        assert!(preflight.header("access-control-allow-methods").contains("GET"));
    }
}

#[tokio::test]
async fn the_own_pages_tell_what_was_seen() {
    let lab = Lab::new(args()).await;
    let path = lab.playlists().await.swap_remove(0);
    let headers = [("user-agent", "tv/1"), ("x-forwarded-for", "192.0.2.7"), ("host", "cdn.example")];
    lab.send(Method::GET, &path, &headers, "").await;

    let stats = lab.get("/__emulator/stats").await.json();
    assert_eq!((stats["requests"].as_u64(), stats["by_kind"]["media"].as_u64()), (Some(2), Some(1)));
    assert_eq!((stats["by_status"]["200"].as_u64(), stats["max_in_flight"].as_u64()), (Some(2), Some(1)));

    let session = &lab.get("/__emulator/sessions").await.json()[0];
    assert_eq!(session["id"], session_of(&path));
    let seen =
        ["user_agent", "x_forwarded_for", "host"].map(|name| session[name].as_str().unwrap_or_default());
    assert_eq!(seen, ["tv/1", "192.0.2.7", "cdn.example"]);

    let session = lab.get(&format!("/__emulator/sessions/{}", session_of(&path))).await.json();
    let targets: Vec<_> =
        session["recent"].as_array().expect("a list").iter().map(|one| &one["target"]).collect();
    assert_eq!(targets, [MASTER, &path]);

    assert_eq!(lab.get("/__emulator/reset").await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(lab.send(Method::POST, "/__emulator/reset", &[], "").await.status, StatusCode::OK);
    assert_eq!(lab.emulator.stats().requests, 0);
    assert_eq!(lab.emulator.session(session_of(&path)).map(|session| session.requests), Some(0));
    assert_eq!(lab.get("/__emulator/sessions?limit=0").await.json().as_array().map(Vec::len), Some(0));
    assert_eq!(lab.get("/__emulator/what").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn http2_without_tls_is_served_too() {
    let lab = Lab::new(args()).await.over_http2();
    let path = lab.playlists().await.swap_remove(0);
    assert_eq!(lab.get(&path).await.status, StatusCode::OK);
    let session = lab.emulator.session(session_of(&path)).expect("it is remembered");
    assert_eq!(session.host, Some(lab.emulator.local_addr().to_string()));
}

#[tokio::test]
async fn every_nth_playlist_is_slow() {
    let mut args = args();
    args.slow_every = 2;
    args.slow_for = "150ms".parse().expect("a latency");
    let lab = Lab::new(args).await;
    let path = lab.playlists().await.swap_remove(0);
    // The multivariant playlist was the first, so this is the second.
    let patience = Duration::from_millis(100);
    assert!(tokio::time::timeout(patience, lab.get(&path)).await.is_err(), "slower than its patience");
}

#[tokio::test]
async fn a_slow_origin_ends_in_504_once_its_time_is_up() {
    let mut args = args();
    args.slow_origin_every = 2;
    args.slow_origin_for = "1h".parse().expect("a latency");
    args.origin_within = Duration::from_secs(1);
    let lab = Lab::new(args).await;
    // The multivariant playlist was the first, so this is the second.
    let playlists = lab.playlists().await;
    let session = session_of(&playlists[0]);
    let began = Instant::now();
    let meanwhile = async {
        until(|| lab.emulator.stats().in_flight == 1).await;
        // It is worked on for as long as the origin is waited for.
        lab.get(&playlists[1]).await.status
    };
    let (late, other) = tokio::join!(lab.get(&playlists[0]), meanwhile);
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!((late.status, other), (StatusCode::GATEWAY_TIMEOUT, StatusCode::CONFLICT));
    assert_eq!(
        (late.exception(), late.header("content-type")),
        ("GatewayTimeoutException", "application/json")
    );
    assert!(late.header("x-amzn-errortype").contains(":http://internal.amazon.com/coral/"));
    assert!(!late.header("x-amzn-requestid").is_empty());
    let message = late.json()["message"].as_str().expect("a message").to_owned();
    for told in ["origin:[https://", &format!("sessionId:[{session}]"), "customerId:[9f3c]"] {
        assert!(message.contains(told), "{message}");
    }
    // The session lives on, and what conflicted asked no origin.
    assert_eq!(lab.get(&playlists[1]).await.status, StatusCode::OK);
    assert_eq!(lab.get(&playlists[0]).await.status, StatusCode::GATEWAY_TIMEOUT);
}

#[tokio::test]
async fn a_slow_origin_within_its_time_is_late_and_no_more() {
    // The last has any time.
    for (takes, within) in [("200ms", 2000), ("200ms", 200), ("200ms", 0)] {
        let mut args = args();
        args.slow_origin_every = 1;
        args.slow_origin_for = takes.parse().expect("a latency");
        args.origin_within = Duration::from_millis(within);
        let lab = Lab::new(args).await;
        let began = Instant::now();
        assert_eq!(lab.get(MASTER).await.status, StatusCode::OK, "{within}");
        assert!(began.elapsed() >= Duration::from_millis(200), "{within}");
    }
}

#[tokio::test]
async fn the_time_of_an_origin_bounds_nothing_else() {
    let mut args = args();
    (args.slow_every, args.origin_within) = (1, Duration::from_millis(1));
    args.slow_for = "50ms".parse().expect("a latency");
    let lab = Lab::new(args).await;
    assert_eq!(lab.get(MASTER).await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_same_seed_makes_the_same_sessions() {
    let (one, other) = (Lab::new(args()).await, Lab::new(args()).await);
    assert_eq!(one.playlists().await, other.playlists().await);
    let mut args = args();
    args.seed = Some(8);
    assert_ne!(one.playlists().await, Lab::new(args).await.playlists().await);
}

#[tokio::test]
async fn flags_that_cannot_be_are_named() {
    let refused = async |set: fn(&mut onelane::emulator::Args)| {
        let mut args = args();
        set(&mut args);
        Emulator::bind(args).await.expect_err("it cannot start").to_string()
    };
    assert!(refused(|args| args.window = 2).await.starts_with("--window: "));
    assert!(refused(|args| args.variants = 0).await.starts_with("--variants: "));
    assert!(refused(|args| args.segment = Duration::ZERO).await.starts_with("--segment: "));
    assert!(
        refused(|args| args.origin = Some("/nowhere/at/all".into())).await.starts_with("--origin /nowhere")
    );
    let folder = Folder::new();
    let mut empty = args();
    empty.origin = Some(folder.path().to_owned());
    let error = Emulator::bind(empty).await.expect_err("nothing is in it").to_string();
    assert!(error.contains("no multivariant playlist"), "{error}");

    let lab = Lab::new(args()).await;
    let mut taken = args();
    taken.listen = lab.emulator.local_addr();
    let error = Emulator::bind(taken).await.expect_err("the port is taken").to_string();
    assert!(error.starts_with("--listen 127.0.0.1:") && error.contains("another port"), "{error}");
}

#[tokio::test]
async fn it_stops_when_told_and_when_dropped() {
    let lab = Lab::new(args()).await;
    lab.playlists().await;
    let address = lab.emulator.local_addr();
    // A connection is still open, idle in the client's pool.
    lab.emulator.shutdown().await;
    let mut again = args();
    again.listen = address;
    let emulator = Emulator::bind(again).await.expect("the port is free again");

    let (tell, told) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(emulator.run(told));
    tell.send(()).expect("it listens");
    running.await.expect("it ends");
}
