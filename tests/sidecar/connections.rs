//! Connections on both sides: many, short, kept, and closed under us; names and IPv6.

use onelane::sidecar::Config;

use crate::{
    far::{Asked, Far},
    player::Player,
    support::{Running, media, ok, session, within},
};

/// Has an exchange, so that the next request finds a kept connection; gives that one.
async fn kept(far: &mut Far, sidecar: &Running) -> Asked {
    let player = sidecar.getting(&media(&session(1), 0));
    let asked = far.asked().await;
    asked.say(ok("kept"));
    assert_eq!(within(player).await.expect("no panic").text(), "kept");
    sidecar.is_idle().await;
    asked
}

#[tokio::test]
async fn a_thousand_connections_come_and_go() {
    let mut far = Far::listen().await;
    let sidecar = Running::with(&far, |config| config.connections = 10).await;
    for n in 0..1000 {
        let mut player = Player::connect(sidecar.address).await;
        if n % 2 == 0 {
            player.say("GET /").await;
        }
    }
    sidecar.is_well(&mut far, &session(1)).await;
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_harms_nobody() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    for reset in [false, true] {
        let mut asked = kept(&mut far, &sidecar).await;
        if reset {
            asked.reset()
        } else {
            asked.close()
        }
        asked.gone().await;
        sidecar.is_well(&mut far, &session(1)).await;
    }
}

#[tokio::test]
async fn a_kept_connection_that_is_closed_under_a_request_is_replaced_within_the_turn() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    for reset in [false, true] {
        let before = kept(&mut far, &sidecar).await;
        let player = sidecar.getting(&media(&session(1), 1));
        let mut first = far.asked().await;
        assert_eq!(first.connection, before.connection);
        let waits = sidecar.getting(&media(&session(1), 2));
        sidecar.has_exchanges(2).await;
        if reset {
            first.reset()
        } else {
            first.close()
        }
        first.gone().await;
        let second = far.asked().await;
        assert_eq!(second.message, first.message);
        assert_ne!(second.connection, first.connection);
        far.is_quiet();
        second.say(ok("again"));
        assert_eq!(within(player).await.unwrap().text(), "again");
        far.asked().await.say(ok("waited"));
        assert_eq!(within(waits).await.unwrap().text(), "waited");
        sidecar.is_idle().await;
    }
}

#[tokio::test]
async fn a_request_is_repeated_once_and_only_on_a_kept_connection() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    let player = sidecar.getting(&media(&session(2), 0));
    far.asked().await.close();
    within(player).await.unwrap().is_problem(502);
    far.is_quiet();

    kept(&mut far, &sidecar).await;
    let player = sidecar.getting(&media(&session(1), 1));
    far.asked().await.close();
    far.asked().await.close();
    within(player).await.unwrap().is_problem(502);
    far.is_quiet();
    sidecar.is_well(&mut far, &session(1)).await;
}

#[tokio::test]
async fn what_creates_a_session_by_post_is_never_repeated() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    kept(&mut far, &sidecar).await;
    let mut player = sidecar.player().await;
    player
        .say("POST /v1/session/acct/Demo/index.m3u8 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}")
        .await;
    far.asked().await.close();
    player.answer().await.is_problem(502);
    far.is_quiet();
    sidecar.is_well(&mut far, &session(1)).await;
}

#[tokio::test]
async fn an_upstream_may_be_a_name() {
    let mut far = Far::listen().await;
    let upstream = format!("http://localhost:{}", far.port());
    let sidecar = Running::with(&far, |config| config.upstream = upstream.parse().unwrap()).await;
    let player = sidecar.getting(&media(&session(1), 0));
    let asked = far.asked().await;
    assert_eq!(asked.message.headers("host"), [format!("localhost:{}", far.port())]);
    asked.say(ok("named"));
    assert_eq!(within(player).await.unwrap().text(), "named");
}

#[tokio::test]
async fn ipv6_on_both_sides() {
    // Some machines that run tests have none.
    if tokio::net::TcpListener::bind("[::1]:0").await.is_err() {
        return;
    }
    let mut far = Far::listen_on("[::1]:0").await;
    let set = |config: &mut Config| config.listen = "[::1]:0".parse().unwrap();
    let sidecar = Running::with(&far, set).await;
    let player = sidecar.getting(&media(&session(1), 0));
    let asked = far.asked().await;
    assert_eq!(asked.message.headers("host"), [format!("[::1]:{}", far.port())]);
    assert_eq!(asked.message.headers("x-forwarded-for"), ["::1"]);
    asked.say(ok("six"));
    assert_eq!(within(player).await.unwrap().text(), "six");
}

#[tokio::test]
async fn a_sidecar_in_this_process_stops_when_told() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    sidecar.is_well(&mut far, &session(1)).await;
    assert!(sidecar.stopped().await);

    let sidecar = Running::with(&far, |config| config.drain = std::time::Duration::from_millis(50)).await;
    let mut player = sidecar.player().await;
    player.ask(&media(&session(1), 0)).await;
    let _never_answered = far.asked().await;
    assert!(!sidecar.stopped().await);
}
