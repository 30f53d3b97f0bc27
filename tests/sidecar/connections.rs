//! Connections on both sides: many, short, kept, and closed under us; names and IPv6.

use std::{net::SocketAddr, time::Duration};

use onelane::sidecar::{Config, Sidecar};
use tokio::time::Instant;

use crate::{
    far::{Asked, Far},
    player::Player,
    support::{Running, media, ok, session, within},
};

/// Has an exchange, so that the next request finds a kept connection; gives that one.
async fn kept(far: &mut Far, sidecar: &Running) -> Asked {
    let player = sidecar.getting(&media(&session(1), 0));
    let asked = far.asked().await;
    asked.well("kept");
    assert_eq!(within(player).await.expect("no panic").note(), "kept");
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
        second.well("again");
        assert_eq!(within(player).await.unwrap().note(), "again");
        far.asked().await.well("waited");
        assert_eq!(within(waits).await.unwrap().note(), "waited");
        sidecar.is_idle().await;
    }
}

#[tokio::test]
async fn a_request_is_repeated_once_whatever_the_connection() {
    let mut far = Far::listen().await;
    let sidecar = Running::impatient(&far).await;
    for connection in ["fresh", "kept"] {
        for target in [media(&session(2), 1), "/v1/segment/acct/Demo/one/0/1".to_owned()] {
            if connection == "kept" {
                kept(&mut far, &sidecar).await;
            }
            let player = sidecar.getting(&target);
            let (first, begun) = (far.asked().await, Instant::now());
            first.close();
            let second = far.asked().await;
            // The upstream may still be at work on the first.
            assert!(begun.elapsed() > Duration::from_millis(200), "{connection}: {:?}", begun.elapsed());
            assert_eq!(second.message, first.message);
            second.close();
            within(player).await.unwrap().is_problem(502);
            sidecar.is_idle().await;
            far.is_quiet();
        }
    }
    sidecar.is_well(&mut far, &session(2)).await;
}

#[tokio::test]
async fn after_an_exchange_that_broke_off_the_turn_is_kept_while_its_player_has_the_answer() {
    let mut far = Far::listen().await;
    let sidecar = Running::impatient(&far).await;
    let player = sidecar.getting(&media(&session(1), 0));
    far.asked().await.close();
    let second = far.asked().await;
    let waits = sidecar.getting(&media(&session(1), 1));
    sidecar.has_exchanges(2).await;
    let broke = Instant::now();
    second.close();
    within(player).await.unwrap().is_problem(502);
    far.is_quiet();
    let next = far.asked().await;
    assert!(broke.elapsed() > Duration::from_millis(200), "{:?}", broke.elapsed());
    assert_eq!(next.message.first_line(), format!("GET {} HTTP/1.1", media(&session(1), 1)));
    next.well("waited");
    assert_eq!(within(waits).await.unwrap().note(), "waited");
    sidecar.is_well(&mut far, &session(1)).await;
}

/// A load balancer that restarts breaks all connections that are kept.
#[tokio::test]
async fn what_a_kept_connection_has_failed_is_sent_over_a_new_one() {
    let mut far = Far::listen().await;
    let sidecar = Running::impatient(&far).await;
    // Two are kept, since two sessions were in flight at once.
    let both = [1, 2].map(|number| sidecar.getting(&media(&session(number), 0)));
    let kept = [far.asked().await, far.asked().await];
    kept.iter().for_each(|asked| asked.well("kept"));
    for player in both {
        assert_eq!(within(player).await.expect("no panic").note(), "kept");
    }
    sidecar.is_idle().await;
    let player = sidecar.getting(&media(&session(1), 0));
    let asked = far.asked().await;
    assert!(asked.connection < 2, "one of those that are kept");
    asked.reset();
    let again = far.asked().await;
    assert_eq!(again.connection, 2, "a new one");
    again.well("new");
    assert_eq!(within(player).await.expect("no panic").note(), "new");
    sidecar.is_well(&mut far, &session(1)).await;
}

#[tokio::test]
async fn what_creates_a_session_is_never_repeated() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    for request in [
        "POST /v1/session/acct/Demo/index.m3u8 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}",
        "GET /v1/session/acct/Demo/index.m3u8?ads.x=1 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /v1/master/acct/Demo/index.m3u8?ads.x=1 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /v1/dash/acct/Demo/index.mpd HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        kept(&mut far, &sidecar).await;
        for answer in ["", "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"] {
            let mut player = sidecar.player().await;
            player.say(request).await;
            let asked = far.asked().await;
            asked.say(answer);
            if answer.is_empty() {
                asked.close();
            }
            player.answer().await.is_problem(502);
            far.is_quiet();
        }
    }
    // Nor is any of them on its way still, or in a pause before it.
    sidecar.is_idle().await;
    far.is_quiet();
    sidecar.is_well(&mut far, &session(1)).await;
}

#[tokio::test]
async fn who_begins_while_the_upstream_restarts_waits_for_it() {
    let elsewhere = Far::listen().await;
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = free.local_addr().expect("an address").to_string();
    drop(free);
    let upstream = format!("http://{address}").parse().expect("an upstream");
    let sidecar = Running::with(&elsewhere, |config| config.upstream = upstream).await;
    let player = sidecar.getting("/v1/master/acct/Demo/index.m3u8");
    // As long as a try or two take.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut far = Far::listen_on(&address).await;
    far.asked().await.say(ok("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n0.m3u8\n"));
    assert_eq!(within(player).await.unwrap().status(), 200);
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
    asked.well("named");
    assert_eq!(within(player).await.unwrap().note(), "named");
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
    asked.well("six");
    assert_eq!(within(player).await.unwrap().note(), "six");
}

#[tokio::test]
async fn a_sidecar_in_this_process_stops_when_told() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    sidecar.is_well(&mut far, &session(1)).await;
    assert!(sidecar.stopped().await);

    let sidecar = Running::with(&far, |config| config.drain = Duration::from_millis(50)).await;
    let mut player = sidecar.player().await;
    player.ask(&media(&session(1), 0)).await;
    let _never_answered = far.asked().await;
    assert!(!sidecar.stopped().await);
}

#[tokio::test]
async fn who_was_let_in_before_the_stop_is_served() {
    let mut far = Far::listen().await;
    let mut config = Config::new(far.url().parse().expect("an upstream"));
    config.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.admin = config.listen;
    let sidecar = Sidecar::bind(config).await.expect("free ports");
    // The system has taken it; nobody here has yet.
    let mut player = Player::connect(sidecar.local_addr()).await;
    player.ask(&media(&session(1), 0)).await;
    let answered = async {
        far.asked().await.well("in time");
        player.answer().await.status()
    };
    let (drained, status) = within(async { tokio::join!(sidecar.run(async {}), answered) }).await;
    assert_eq!((drained, status), (true, 200));
}

#[tokio::test]
async fn what_follows_half_a_body_is_its_rest_whenever_the_answer_came() {
    let mut far = Far::listen().await;
    let sidecar = Running::with(&far, |config| config.answer_within = Duration::from_millis(100)).await;
    let rest = format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", media(&session(2), 0));
    let mut player = sidecar.player().await;
    let target = media(&session(1), 0);
    let length = 4 + rest.len();
    player.say(format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\nhalf")).await;
    player.answer().await.is_problem(504);
    // Longer than it takes to be parked.
    tokio::time::sleep(Duration::from_millis(300)).await;
    player.say(&rest).await;
    let asked = far.asked().await;
    assert_eq!(asked.message.first_line(), format!("POST {target} HTTP/1.1"));
    assert_eq!(asked.message.text(), format!("half{rest}"));
    asked.well("late");
    // It is whole now: the next request is one.
    let next = media(&session(3), 0);
    player.ask(&next).await;
    let asked = far.asked().await;
    assert_eq!(asked.message.first_line(), format!("GET {next} HTTP/1.1"));
    asked.well("next");
    assert_eq!(player.answer().await.note(), "next");
    sidecar.is_well(&mut far, &session(1)).await;
}

#[tokio::test]
async fn an_answer_that_does_not_wait_for_the_body_leaves_no_half_of_it_to_be_read_as_a_request() {
    let mut far = Far::listen().await;
    let sidecar = Running::with(&far, |config| config.max_hold = Duration::from_millis(200)).await;
    let rest = format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", media(&session(2), 0));
    // The one is given up by the exchange, the other was never taken by it.
    for method in ["POST", "GET"] {
        let mut player = sidecar.player().await;
        let target = media(&session(1), 0);
        player
            .say(format!("{method} {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nhalf"))
            .await;
        if method == "GET" {
            far.asked().await.well("here");
            assert_eq!(player.answer().await.note(), "here");
        } else {
            player.answer().await.is_problem(504);
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        player.say(&rest).await;
        player.ends().await;
        far.is_quiet();
    }
    sidecar.is_well(&mut far, &session(1)).await;
}
