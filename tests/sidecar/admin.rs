//! What an operator can look at on the admin port.

use std::net::SocketAddr;

use onelane::sidecar::{Config, Reread, Sidecar};
use serde_json::Value;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    far::{Asked, Far},
    player::Player,
    process::Serve,
    support::{media, ok, playlist, session, within},
};

const RECORDING: [&str; 2] = ["--record-sessions", "100"];

async fn json(serve: &Serve, path: &str) -> (u16, Value) {
    let (status, text) = serve.admin(path).await;
    (status, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
}

/// The requests that were recorded of a session, the first one first.
async fn recorded(serve: &Serve, session: &str) -> Vec<Value> {
    let (status, told) = json(serve, &format!("/api/sessions/{session}")).await;
    assert_eq!(status, 200, "{told}");
    assert_eq!(told["session"], format!("{}…", &session[..8]), "never in full");
    told["requests"].as_array().expect("requests").clone()
}

/// The same, once it is so of the last one; there is nothing else to wait for.
async fn recorded_once(serve: &Serve, session: &str, such: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    crate::support::within(async {
        loop {
            let requests = recorded(serve, session).await;
            if such(&requests) {
                return requests;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

fn say_playlist(asked: &Asked) {
    asked.say(ok(&playlist("well")));
}

#[tokio::test]
async fn a_session_is_shown_as_it_waited() {
    let mut far = Far::listen().await;
    let serve = Serve::start(&far.url(), &RECORDING).await;
    let id = session(4_001);
    let (mut first, mut second, mut repeat) =
        (serve.player().await, serve.player().await, serve.player().await);
    first.ask(&media(&id, 0)).await;
    let at_far = far.asked().await;
    second.ask(&media(&id, 1)).await;
    recorded_once(&serve, &id, |all| all.len() == 2).await;
    repeat.ask(&media(&id, 1)).await;
    let waiting = recorded_once(&serve, &id, |all| all.len() == 3 && !all[2]["attached_to"].is_null()).await;
    assert!(waiting[0]["sent_ms"].is_number() && waiting[0]["answer"].is_null(), "{waiting:?}");
    assert!(waiting[1]["sent_ms"].is_null(), "it waits: {waiting:?}");
    assert_eq!((&waiting[1]["attached"], &waiting[2]["attached_to"]), (&1.into(), &waiting[1]["number"]));
    let (_, overview) = json(&serve, "/api/overview").await;
    assert_eq!(
        overview["longest"],
        serde_json::json!([{ "session": format!("{}…", &id[..8]), "upstream": null, "waiting": 1 }])
    );

    say_playlist(&at_far);
    assert_eq!(first.answer().await.status(), 200);
    say_playlist(&far.asked().await);
    assert_eq!((second.answer().await.status(), repeat.answer().await.status()), (200, 200));
    let done = recorded_once(&serve, &id, |all| !all[1]["ended"].is_null()).await;
    for request in &done {
        assert_eq!((&request["answer"]["status"], &request["kind"]), (&200.into(), &"media".into()));
    }
    let ms = |value: &Value| value.as_f64().expect("a time");
    let (sent, attempts) = (ms(&done[1]["sent_ms"]), done[1]["attempts"].as_array().expect("attempts"));
    assert_eq!((attempts.len(), &attempts[0]["verdict"]), (1, &"playlist".into()));
    assert!(sent > 0.0 && sent <= ms(&attempts[0]["ended_ms"]), "{done:?}");
    assert!(done[2]["attempts"].as_array().is_some_and(Vec::is_empty), "it was not sent itself");
    assert_eq!((&done[1]["playlist"], &done[1]["ended"]["failed"]), (&"1.m3u8".into(), &Value::Null));
}

#[tokio::test]
async fn retries_rescues_drains_and_answers_made_here_are_told_with_their_reason() {
    let mut far = Far::listen().await;
    let serve = Serve::start(&far.url(), &RECORDING).await;
    let id = session(4_002);
    let mut player = serve.player().await;
    player.ask(&media(&id, 0)).await;
    far.asked().await.say(
        "HTTP/1.1 409 Conflict\r\nx-amzn-ErrorType: ConflictException\r\nx-amzn-RequestId: id-1\r\nContent-Length: 0\r\n\r\n",
    );
    say_playlist(&far.asked().await);
    assert_eq!(player.answer().await.status(), 200);

    // The last good playlist bridges what fails, retries and all.
    player.ask(&media(&id, 0)).await;
    for _ in 0..2 {
        far.asked().await.say("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
    }
    assert_eq!(player.answer().await.status(), 200);

    // A player that leaves lets its exchange drain.
    let mut leaving = serve.player().await;
    leaving.ask(&media(&id, 2)).await;
    let left = far.asked().await;
    drop(leaving);
    recorded_once(&serve, &id, |all| all[2]["left_ms"].is_number()).await;
    say_playlist(&left);
    recorded_once(&serve, &id, |all| !all[2]["ended"].is_null()).await;

    // What is lost is answered here.
    player.ask(&media(&id, 0)).await;
    far.asked().await.say("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(player.answer().await.status(), 404);
    assert_eq!(player.get(&media(&id, 4)).await.status(), 404);

    let all = recorded_once(&serve, &id, |all| all.len() == 5 && !all[4]["answer"].is_null()).await;
    let conflict = &all[0]["attempts"][0];
    assert_eq!((&conflict["status"], &conflict["exception"]), (&409.into(), &"ConflictException".into()));
    assert_eq!(conflict["request_id"], "id-1");
    assert!(conflict["pause_ms"].as_f64().is_some_and(|pause| pause > 0.0), "{conflict}");
    assert_eq!(all[0]["attempts"][1]["verdict"], "playlist");
    assert_eq!(
        (&all[1]["answer"]["status"], &all[1]["answer"]["rescue"]),
        (&200.into(), &"overloaded".into())
    );
    let (left, ended) = (&all[2]["left_ms"], &all[2]["ended"]["at_ms"]);
    assert!(ended.as_f64() > left.as_f64(), "it drained: {left} {ended}");
    assert_eq!((&all[2]["answer"], &all[2]["ended"]["status"]), (&Value::Null, &200.into()));
    assert_eq!((&all[3]["answer"]["reason"], &all[3]["shielded"]), (&"session_lost".into(), &Value::Null));
    assert_eq!((&all[4]["shielded"], &all[4]["sent_ms"]), (&"session_lost".into(), &Value::Null));

    let (_, overview) = json(&serve, "/api/overview").await;
    let events = overview["events"].as_array().expect("events");
    let short = format!("{}…", &id[..8]);
    for (what, reason) in [
        ("conflict", "conflict"),
        ("rescue", "overloaded"),
        ("remap", "session_lost"),
        ("remap", "session_lost"),
    ] {
        let such =
            |event: &&Value| event["what"] == what && event["reason"] == reason && event["session"] == short;
        let event = events.iter().find(such).unwrap_or_else(|| panic!("no {what} in {events:?}"));
        assert!(event["words"].as_str().is_some_and(|words| words.ends_with('.')), "{event}");
    }
    assert!(!serde_json::to_string(&overview).expect("JSON").contains(&id), "never in full");
}

#[tokio::test]
async fn who_looks_for_nothing_is_told_what_to_do() {
    let far = Far::listen().await;
    let off = Serve::start(&far.url(), &[]).await;
    let (status, told) = json(&off, &format!("/api/sessions/{}", session(4_003))).await;
    assert_eq!(status, 404);
    assert!(told["remedy"].as_str().is_some_and(|remedy| remedy.contains("--record-sessions")), "{told}");
    let on = Serve::start(&far.url(), &RECORDING).await;
    for unknown in [&session(4_003), "", "x", "%00%22%3Cscript%3E", "a/b", &"x".repeat(4_000)] {
        let (status, told) = json(&on, &format!("/api/sessions/{unknown}")).await;
        assert_eq!(status, 404, "{unknown}: {told}");
        assert!(told["remedy"].as_str().is_some_and(|remedy| remedy.contains("whole id")), "{told}");
    }
    assert_eq!(json(&on, "/api/sessions/%ff").await.0, 400);
}

#[tokio::test]
async fn news_come_by_themselves() {
    let mut far = Far::listen().await;
    let serve = Serve::start(&far.url(), &[]).await;
    let mut listener = serve.admin_player().await;
    listener.say("GET /api/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").await;
    let mut player = serve.player().await;
    player.ask(&media(&session(4_004), 0)).await;
    say_playlist(&far.asked().await);
    assert_eq!(player.answer().await.status(), 200);
    let heard = listener.until(b"\"requests\":1,").await;
    assert!(heard.contains("content-type: text/event-stream\r\n"), "{heard}");
    assert!(heard.contains("cache-control: no-store\r\n"), "{heard}");
    assert!(heard.contains("event: second\ndata: {"), "{heard}");
}

#[tokio::test]
async fn only_so_many_listen() {
    let far = Far::listen().await;
    let serve = Serve::start(&far.url(), &[]).await;
    let mut listeners = Vec::new();
    for _ in 0..32 {
        let mut listener = serve.admin_player().await;
        listener.say("GET /api/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").await;
        listener.until(b"retry: 2000").await;
        listeners.push(listener);
    }
    let (status, told) = json(&serve, "/api/events").await;
    assert_eq!(status, 503, "{told}");
    listeners.clear();
    // Their places are free again once it is seen that they have gone.
    crate::support::within(async {
        loop {
            let mut listener = serve.admin_player().await;
            listener.say("GET /api/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").await;
            if listener.until(b"\r\n\r\n").await.starts_with("HTTP/1.1 200 ") {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn the_page_and_its_port_are_nobody_elses() {
    let far = Far::listen().await;
    let serve = Serve::start(&far.url(), &[]).await;
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/page.js", "text/javascript; charset=utf-8"),
        ("/page.css", "text/css; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
    ] {
        let mut browser = serve.admin_player().await;
        browser.say(format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")).await;
        let file = browser.answer().await;
        assert_eq!((file.status(), file.header("content-type")), (200, Some(kind)));
        let policy = file.header("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(file.header("access-control-allow-origin"), None);
        assert!(file.body.len() > 100);
    }
    for (headers, status) in [
        ("Host: rebound.example", 421),
        ("Host: 127.0.0.1\r\nOrigin: https://evil.example", 403),
        ("Host: 127.0.0.1\r\nSec-Fetch-Site: cross-site", 403),
        ("Host: 127.0.0.1\r\nOrigin: http://127.0.0.1", 200),
    ] {
        let mut browser = serve.admin_player().await;
        browser.say(format!("GET /api/overview HTTP/1.1\r\n{headers}\r\n\r\n")).await;
        assert_eq!(browser.answer().await.status(), status, "{headers}");
    }
    // Who scrapes may do it by any name.
    let mut prometheus = serve.admin_player().await;
    prometheus.say("GET /metrics HTTP/1.1\r\nHost: onelane.example\r\n\r\n").await;
    assert_eq!(prometheus.answer().await.status(), 200);
    // So may who has the settings read again, but no form on another site's page, whatever that is called.
    for (headers, status) in [
        ("Host: onelane.example", 200),
        ("Host: onelane.example\r\nOrigin: http://onelane.example", 421),
        ("Host: 127.0.0.1\r\nOrigin: https://evil.example\r\nSec-Fetch-Mode: navigate", 403),
        ("Host: 127.0.0.1\r\nSec-Fetch-Site: cross-site", 403),
    ] {
        let mut other = serve.admin_player().await;
        other.say(format!("POST /reload HTTP/1.1\r\n{headers}\r\nContent-Length: 0\r\n\r\n")).await;
        assert_eq!(other.answer().await.status(), status, "{headers}");
    }
    let mut other = serve.admin_player().await;
    other.say("POST /api/overview HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n").await;
    let refused = other.answer().await;
    assert_eq!((refused.status(), refused.header("allow")), (405, Some("GET, HEAD")));
}

#[tokio::test]
async fn another_reload_is_refused_while_one_is_under_way() {
    let far = Far::listen().await;
    let mut config = Config::new(far.url().parse().expect("an upstream"));
    config.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.admin = config.listen;
    let sidecar = Sidecar::bind(config.clone()).await.expect("free ports");
    let admin = sidecar.admin_addr();
    let (begun, mut begins) = tokio::sync::mpsc::unbounded_channel();
    let (go_on, waits) = std::sync::mpsc::channel::<()>();
    let waits = std::sync::Mutex::new(waits);
    let sidecar = sidecar.reload_with(move || {
        begun.send(()).expect("the test waits");
        let _told = waits.lock().expect("no panic").recv();
        Ok(Reread::new(config.clone()))
    });
    let _run = AbortOnDropHandle::new(tokio::spawn(sidecar.run(std::future::pending())));
    let ask = async || {
        let mut player = Player::connect(admin).await;
        player.say("POST /reload HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await;
        player
    };
    let mut first = ask().await;
    within(begins.recv()).await.expect("it began");
    let second = ask().await.answer().await;
    assert_eq!(second.status(), 409, "{second:?}");
    assert!(second.text().contains("a reload is under way"), "{second:?}");
    go_on.send(()).expect("it waits");
    let first = first.answer().await;
    assert_eq!((first.status(), first.text().as_str()), (200, "reloaded: nothing\n"));
}

#[tokio::test]
async fn who_says_nothing_makes_room_for_who_asks() {
    let mut far = Far::listen().await;
    let serve = Serve::start(&far.url(), &[]).await;
    let mut listener = Player::connect(serve.admin).await;
    listener.say("GET /api/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").await;
    listener.until(b"data: ").await;
    let mut half = Player::connect(serve.admin).await;
    half.say("GET /healthz HT").await;
    let mut silent = Vec::new();
    for _ in 0..126 {
        silent.push(Player::connect(serve.admin).await);
    }
    // All that there may be are there, and the first of those without a request is half a head. It would go by itself after 10 s.
    let early = std::time::Duration::from_secs(5);
    let alive = tokio::time::timeout(early, serve.admin("/healthz")).await;
    assert_eq!(alive.expect("nobody waits for who says nothing").0, 200);
    assert!(half.rest().await.is_empty());
    let mut last = silent.pop().expect("many");
    last.say("GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(last.answer().await.status(), 200, "the others stay");
    let mut player = serve.player().await;
    player.ask(&media(&session(4_009), 0)).await;
    say_playlist(&far.asked().await);
    listener.until(b"\"requests\":1,").await;
}
