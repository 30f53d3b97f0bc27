//! What goes wrong upstream, as players see it: answers that they survive, and nothing that the upstream said.

use std::{io::Write as _, time::Duration};

use flate2::{Compression, write::GzEncoder};
use tokio::time::Instant;

use crate::{
    far::{Asked, Far},
    process::Serve,
    support::{Folder, Message, Running, media, ok, playlist_at, session, within},
};

/// What the upstream says besides, and nobody may hear.
const SECRETS: [&str; 6] =
    ["origin.secret.example", "123456789012", "far-server", "internal.amazon.com", "c=secret", "<html"];

/// MediaTailor's exceptions ("Playback errors" in its user guide): what they are for a player of a session, its
/// status, and how often they are met.
const EXCEPTIONS: [(u16, &str, &str, u16, u32); 11] = [
    (400, "BadRequestException", "session_lost", 404, 1),
    (403, "AccessDeniedException", "misaddressed", 502, 1),
    (404, "NotFoundException", "session_lost", 404, 1),
    (409, "ConflictException", "conflict", 502, 4),
    (410, "Gone", "blocked", 410, 1),
    (500, "InternalServiceError", "origin_broken", 502, 2),
    (502, "BadGatewayException", "origin_broken", 502, 1),
    (502, "UnsupportedManifestException", "origin_broken", 502, 1),
    (503, "LoadShed", "overloaded", 502, 2),
    (503, "ThrottlingException", "throttled", 502, 2),
    (504, "GatewayTimeoutException", "timed_out", 504, 2),
];

/// All that an answer made here may have for headers.
const HEADERS: [&str; 11] = [
    "content-type",
    "content-length",
    "cache-control",
    "x-onelane-reason",
    "retry-after",
    "x-amzn-requestid",
    "access-control-allow-origin",
    "access-control-expose-headers",
    "vary",
    "date",
    "connection",
];

/// How an error may look on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As in the user guide.
    Header,
    /// As other AWS services write it.
    Body,
    /// A status and a message alone.
    Bare,
    /// A page of something on the way.
    Html,
}

fn error(status: u16, name: &str, form: Form) -> String {
    let [origin, account, server, namespace, cookie, _] = SECRETS;
    let message = format!("Origin http://{origin}/live timed out, customerId:[{account}]");
    let (kind, named, body) = match form {
        Form::Header => (
            "application/json",
            format!("x-amzn-ErrorType: {name}:http://{namespace}/coral/\r\n"),
            format!(r#"{{"message":"{message}"}}"#),
        ),
        Form::Body => (
            "application/x-amz-json-1.1",
            String::new(),
            format!(r#"{{"__type":"com.{namespace}#{name}","Message":"{message}"}}"#),
        ),
        Form::Bare => ("application/json", String::new(), format!(r#"{{"message":"{message}"}}"#)),
        Form::Html => ("text/html", String::new(), format!("<html><p>{message}</html>")),
    };
    format!(
        "HTTP/1.1 {status} Of {origin}\r\nContent-Type: {kind}\r\n{named}Server: {server}\r\nSet-Cookie: {cookie}\r\n\
         x-amzn-RequestId: req-1\r\nCache-Control: max-age=60\r\nVia: 1.1 {origin}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Has a page's player ask, and the upstream answer the same as often as it is asked. Gives what the player got, and
/// how often that was.
async fn failing(far: &mut Far, sidecar: &Running, target: &str, does: impl Fn(&Asked)) -> (Message, u32) {
    let mut player = sidecar.player().await;
    player.say(format!("GET {target} HTTP/1.1\r\nHost: a\r\nOrigin: https://tv.example\r\n\r\n")).await;
    let mut times = 0;
    let answer = player.answer();
    tokio::pin!(answer);
    loop {
        tokio::select! {
            answer = &mut answer => return (answer, times),
            asked = far.asked() => {
                times += 1;
                does(&asked);
            }
        }
    }
}

/// Holds when there is nothing in it that the upstream said but its request id.
#[track_caller]
fn tells_nothing(answer: &Message) {
    let all = format!("{} {}", answer.head, answer.text());
    for secret in SECRETS.iter().chain(&["max-age", "errortype"]) {
        assert!(!all.to_ascii_lowercase().contains(secret), "{secret} in {all}");
    }
    for line in answer.head.lines().skip(1).filter(|line| !line.is_empty()) {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        assert!(HEADERS.contains(&name.as_str()), "{line}");
    }
}

/// Has an exchange that ends well.
async fn learn(far: &mut Far, sidecar: &Running, target: &str, sequence: u64) {
    let player = sidecar.getting(target);
    far.asked().await.say(ok(&playlist_at(sequence, "good")));
    let answer = within(player).await.expect("no panic");
    assert_eq!((answer.status(), answer.text()), (200, playlist_at(sequence, "good")));
    assert_eq!(answer.header("x-onelane-rescue"), None);
}

/// Holds when it is the last good playlist, byte for byte, and says that it is.
#[track_caller]
fn is_rescue(answer: &Message, sequence: u64, reason: &str) -> u64 {
    assert_eq!((answer.status(), answer.text()), (200, playlist_at(sequence, "good")), "{answer:?}");
    assert_eq!(answer.headers("x-onelane-rescue"), [reason]);
    assert_eq!(answer.headers("cache-control"), ["no-store"]);
    assert_eq!(answer.headers("content-length"), [answer.body.len().to_string()]);
    answer.header("age").and_then(|age| age.parse().ok()).expect("an age")
}

#[tokio::test]
async fn every_exception_is_an_answer_that_players_survive_and_tells_nothing() {
    let mut far = Far::listen().await;
    let sidecar = Running::impatient(&far).await;
    let mut number = 0;
    for form in [Form::Header, Form::Body, Form::Bare, Form::Html] {
        for (status, name, reason, gets, tries) in EXCEPTIONS {
            // Without a name the status decides, and a 403 that is no JSON is somebody else's.
            let (reason, gets) = match (form, status, name) {
                (Form::Bare | Form::Html, 503, _) => ("overloaded", gets),
                (Form::Html, 403, _) => ("denied", 403),
                _ => (reason, gets),
            };
            let tries = match (form, status) {
                // A 502 that MediaTailor did not name is one of those on the way, which is tried once more.
                (Form::Bare | Form::Html, 502) => 2,
                _ => tries,
            };
            number += 1;
            let target = media(&session(number), 0);
            let said = error(status, name, form);
            let (answer, times) =
                failing(&mut far, &sidecar, &target, |asked| asked.say(said.as_str())).await;
            let case = format!("{status} {name} {form:?}");
            assert_eq!(answer.is_problem_for(gets, "https://tv.example"), reason, "{case}");
            assert_eq!(times, tries, "{case}");
            assert_eq!(answer.header("x-amzn-requestid"), Some("req-1"));
            tells_nothing(&answer);
        }
    }
    far.is_quiet();
    sidecar.is_idle().await;
}

#[tokio::test]
async fn where_no_session_is_named_a_400_and_a_404_say_so() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    for (status, name, reason) in
        [(400, "BadRequestException", "bad_request"), (404, "NotFoundException", "not_found")]
    {
        for target in ["/v1/master/acct/Demo/index.m3u8", "/v1/session/acct/Demo/index.m3u8"] {
            let said = error(status, name, Form::Header);
            let (answer, times) = failing(&mut far, &sidecar, target, |asked| asked.say(said.as_str())).await;
            assert_eq!(answer.is_problem_for(status, "https://tv.example"), reason);
            assert_eq!(times, 1);
            tells_nothing(&answer);
        }
    }
}

#[tokio::test]
async fn a_conflict_is_met_within_the_turn_and_the_player_sees_nothing_of_it() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    let one = session(1);
    let video = sidecar.getting(&media(&one, 0));
    let first = far.asked().await;
    let audio = sidecar.getting(&media(&one, 1));
    sidecar.has_exchanges(2).await;
    first.say(error(409, "ConflictException", Form::Header));
    let again = far.asked().await;
    assert_eq!(again.message, first.message);
    far.is_quiet();
    again.well("video");
    let answer = within(video).await.unwrap();
    assert_eq!((answer.status(), answer.note().as_str()), (200, "video"));
    assert_eq!((answer.header("x-onelane-reason"), answer.header("x-onelane-rescue")), (None, None));
    let next = far.asked().await;
    assert_eq!(next.message.first_line(), format!("GET {} HTTP/1.1", media(&one, 1)));
    next.well("audio");
    assert_eq!(within(audio).await.unwrap().note(), "audio");
    sidecar.is_well(&mut far, &one).await;
}

#[tokio::test]
async fn an_outage_is_bridged_and_its_storm_does_not_reach_the_upstream() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    let one = session(1);
    let player = sidecar.getting(&media(&one, 0));
    let headers = "Content-Type: application/vnd.apple.mpegurl\r\nAccess-Control-Allow-Origin: *\r\n\
        Cache-Control: max-age=2\r\nSet-Cookie: a=1\r\nx-amzn-RequestId: over\r\nDate: then\r\n";
    far.asked().await.say(ok(&playlist_at(7, "good")).replacen("\r\n", &format!("\r\n{headers}"), 1));
    assert_eq!(within(player).await.unwrap().status(), 200);
    learn(&mut far, &sidecar, &media(&one, 1), 7).await;

    let said = error(503, "LoadShed", Form::Header);
    let (answer, times) =
        failing(&mut far, &sidecar, &media(&one, 0), |asked| asked.say(said.as_str())).await;
    is_rescue(&answer, 7, "overloaded");
    assert_eq!(times, 2);
    assert_eq!(answer.header("content-type"), Some("application/vnd.apple.mpegurl"));
    assert_eq!(answer.headers("access-control-allow-origin"), ["*"]);
    let exposed = answer.header("access-control-expose-headers").expect("what a page may read");
    assert!(exposed.contains("x-onelane-rescue") && exposed.contains("age"), "{exposed}");
    assert_eq!(answer.header("x-amzn-requestid"), None);
    assert_ne!(answer.header("date"), Some("then"));

    // Video, audio and repeats, again and again: half a target duration long nothing is sent.
    for _ in 0..5 {
        for n in [0, 1] {
            is_rescue(&sidecar.get(&media(&one, n)).await, 7, "overloaded");
        }
    }
    far.is_quiet();
    // A playlist that nothing is known of has its try, and others go on.
    let player = sidecar.getting(&media(&one, 2));
    far.asked().await.say(error(403, "AccessDeniedException", Form::Header));
    within(player).await.unwrap().is_problem(502);
    learn(&mut far, &sidecar, &media(&session(2), 0), 7).await;
    sidecar.is_well(&mut far, &one).await;
}

#[tokio::test]
async fn a_slow_ad_break_costs_one_repeated_playlist() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    let [video, audio] = [0, 1].map(|n| media(&session(1), n));
    learn(&mut far, &sidecar, &video, 7).await;
    learn(&mut far, &sidecar, &audio, 7).await;
    let begun = Instant::now();
    let flies = sidecar.getting(&video);
    let slow = far.asked().await;
    let waits = sidecar.getting(&audio);
    sidecar.has_exchanges(2).await;
    for player in [flies, waits] {
        assert!(is_rescue(&within(player).await.unwrap(), 7, "slow") >= 2);
    }
    let took = begun.elapsed();
    assert!((Duration::from_secs(2)..Duration::from_secs(4)).contains(&took), "{took:?}");

    // Neither is given up: one is in flight and the other stands in line.
    assert_eq!(sidecar.layer.exchanges(), 2);
    far.is_quiet();
    let back = sidecar.getting(&video);
    // It attaches: a request that comes after it on a connection of its own has been taken.
    let ping = sidecar.getting("/ping");
    far.asked().await.well("pong");
    within(ping).await.unwrap();
    slow.say(ok(&playlist_at(8, "good")));
    let answer = within(back).await.unwrap();
    assert_eq!((answer.text(), answer.header("x-onelane-rescue")), (playlist_at(8, "good"), None));
    let next = far.asked().await;
    assert_eq!(next.message.first_line(), format!("GET {audio} HTTP/1.1"));
    next.say(ok(&playlist_at(8, "good")));
    sidecar.is_idle().await;

    // What nobody waited for was learned all the same.
    let player = sidecar.getting(&audio);
    far.asked().await.say(error(502, "BadGatewayException", Form::Header));
    is_rescue(&within(player).await.unwrap(), 8, "origin_broken");
    sidecar.is_well(&mut far, &session(1)).await;
}

#[tokio::test]
async fn an_exchange_that_its_player_left_refreshes_the_store() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    let target = media(&session(1), 0);
    learn(&mut far, &sidecar, &target, 7).await;
    let mut left = sidecar.player().await;
    left.ask(&target).await;
    let asked = far.asked().await;
    drop(left);
    asked.say(ok(&playlist_at(8, "good")));
    sidecar.is_idle().await;
    let player = sidecar.getting(&target);
    // A step back is no more welcome than an error.
    far.asked().await.say(ok(&playlist_at(7, "good")));
    is_rescue(&within(player).await.unwrap(), 8, "not_playlist");
    far.is_quiet();
    sidecar.is_well(&mut far, &session(1)).await;
}

#[tokio::test]
async fn a_lost_session_is_a_404_at_once_for_all_its_players() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    let one = session(1);
    learn(&mut far, &sidecar, &media(&one, 0), 7).await;
    let said = error(404, "NotFoundException", Form::Header);
    let (answer, times) =
        failing(&mut far, &sidecar, &media(&one, 0), |asked| asked.say(said.as_str())).await;
    assert_eq!(answer.is_problem_for(404, "https://tv.example"), "session_lost");
    assert_eq!(times, 1);
    let master = format!("/v1/master/acct/Demo/index.m3u8?aws.sessionId={one}");
    for _ in 0..5 {
        for target in [&media(&one, 0), &media(&one, 7), &master, &format!("/v1/tracking/acct/Demo/{one}")] {
            let mut player = sidecar.player().await;
            player
                .say(format!("GET {target} HTTP/1.1\r\nHost: a\r\nOrigin: https://tv.example\r\n\r\n"))
                .await;
            let answer = player.answer().await;
            assert_eq!(answer.is_problem_for(404, "https://tv.example"), "session_lost");
            let again: u64 =
                answer.header("retry-after").and_then(|text| text.parse().ok()).expect("seconds");
            assert!((1..=3).contains(&again), "{again}");
            tells_nothing(&answer);
        }
    }
    far.is_quiet();
    // Its segments still play, and a new session is made.
    let segment = format!("/v1/segment/acct/Demo/{one}/0/1");
    for target in [segment.as_str(), "/v1/master/acct/Demo/index.m3u8"] {
        let player = sidecar.getting(target);
        far.asked().await.well("goes on");
        assert_eq!(within(player).await.unwrap().note(), "goes on");
    }
    // Three seconds after it was last said, one finds out whether it still is.
    let probe = loop {
        let mut player = sidecar.getting(&media(&one, 0));
        tokio::select! {
            asked = far.asked() => break (player, asked),
            answer = within(&mut player) => answer.unwrap().is_problem(404),
        }
    };
    sidecar.get(&media(&one, 1)).await.is_problem(404);
    far.is_quiet();
    probe.1.well("back");
    assert_eq!(within(probe.0).await.unwrap().note(), "back");
    sidecar.is_well(&mut far, &one).await;
}

#[tokio::test]
async fn a_blocking_reload_falls_back_to_a_plain_one() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    let plain = format!("{}?tok=1", media(&session(1), 0));
    let player = sidecar.getting(&format!("{plain}&_HLS_msn=8&_HLS_part=0"));
    let first = far.asked().await;
    assert_eq!(first.message.first_line(), format!("GET {plain}&_HLS_msn=8&_HLS_part=0 HTTP/1.1"));
    first.say(error(400, "BadRequestException", Form::Header));
    let again = far.asked().await;
    assert_eq!(again.message.first_line(), format!("GET {plain} HTTP/1.1"));
    again.well("plain");
    assert_eq!(within(player).await.unwrap().note(), "plain");
    // One that has to wait too long is told to do the same.
    let player = sidecar.getting(&format!("{plain}&_HLS_msn=50000"));
    far.asked().await.say(error(504, "GatewayTimeoutException", Form::Header));
    far.asked().await.say(error(504, "GatewayTimeoutException", Form::Header));
    within(player).await.unwrap().is_problem(503);
    sidecar.is_well(&mut far, &session(1)).await;
}

#[tokio::test]
async fn a_rescue_is_of_the_method_and_the_coding_that_were_asked_for() {
    let mut far = Far::listen().await;
    let sidecar = Running::impatient(&far).await;
    let target = media(&session(1), 0);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(playlist_at(7, "good").as_bytes()).expect("room");
    let gzip = gzip.finish().expect("room");
    let ask = |method: &str, coding: &str| {
        format!("{method} {target} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {coding}\r\n\r\n")
    };
    let mut player = sidecar.player().await;
    player.say(ask("GET", "gzip")).await;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", gzip.len());
    far.asked().await.say([head.as_bytes(), &gzip].concat());
    assert_eq!(player.answer().await.body, gzip);

    let broken = error(502, "BadGatewayException", Form::Header);
    player.say(ask("GET", "identity")).await;
    far.asked().await.say(broken.as_str());
    player.answer().await.is_problem(502);
    player.say(ask("GET", "gzip, br")).await;
    far.asked().await.say(broken.as_str());
    let answer = player.answer().await;
    assert_eq!((answer.header("content-encoding"), &answer.body), (Some("gzip"), &gzip));
    assert_eq!(answer.header("x-onelane-rescue"), Some("origin_broken"));

    learn(&mut far, &sidecar, &target, 7).await;
    player.say(ask("HEAD", "identity")).await;
    far.asked().await.say(
        broken.replace("Content-Length", "X-Length").split_inclusive("\r\n\r\n").next().expect("a head"),
    );
    let answer = player.head_alone().await;
    assert_eq!((answer.status(), answer.header("content-encoding")), (200, None));
    assert_eq!(answer.header("x-onelane-rescue"), Some("origin_broken"));
    assert_eq!(answer.header("content-length"), Some(&*playlist_at(7, "good").len().to_string()));
    // Nothing but the head was sent: the next answer follows it.
    player.ask(&media(&session(1), 1)).await;
    far.asked().await.well("next");
    assert_eq!(player.answer().await.note(), "next");
}

#[tokio::test]
async fn a_refusal_of_head_has_no_body() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    let mut player = sidecar.player().await;
    player.say(format!("HEAD {} HTTP/1.1\r\nHost: a\r\n\r\n", media(&session(1), 0))).await;
    far.asked().await.say("HTTP/1.1 404 Not Found\r\nContent-Length: 99\r\n\r\n");
    let answer = player.head_alone().await;
    assert_eq!((answer.status(), answer.header("x-onelane-reason")), (404, Some("not_found")));
    player.ask(&media(&session(1), 0)).await;
    far.asked().await.well("next");
    assert_eq!(player.answer().await.note(), "next");
}

#[tokio::test]
async fn what_one_thread_has_learned_all_know() {
    let mut far = Far::listen().await;
    let serve = Serve::start(&far.url(), &["--threads", "4"]).await;
    let target = media(&session(1), 0);
    let mut player = serve.player().await;
    player.ask(&target).await;
    far.asked().await.say(ok(&playlist_at(7, "good")));
    assert_eq!(player.answer().await.status(), 200);
    player.ask(&target).await;
    far.asked().await.say(error(503, "LoadShed", Form::Header));
    far.asked().await.say(error(503, "LoadShed", Form::Header));
    is_rescue(&player.answer().await, 7, "overloaded");
    // Connections go to the threads by chance.
    for _ in 0..32 {
        is_rescue(&serve.player().await.get(&target).await, 7, "overloaded");
    }
    far.is_quiet();
}

#[tokio::test]
async fn the_log_has_what_the_player_is_not_told() {
    let mut far = Far::listen().await;
    let folder = Folder::new();
    let config = folder.file("a.toml", "[retry]\npatient = false\n");
    let mut serve = Serve::start(&far.url(), &["--config", &config]).await;
    let mut player = serve.player().await;
    player.ask(&media(&session(1), 0)).await;
    far.asked().await.say(error(502, "BadGatewayException", Form::Header));
    let answer = player.answer().await;
    answer.is_problem(502);
    tells_nothing(&answer);
    let line = serve.line_with("judged").await;
    assert_eq!((&line["level"], &line["verdict"]), (&"WARN".into(), &"origin_broken".into()));
    assert_eq!((&line["exception"], &line["request_id"]), (&"BadGatewayException".into(), &"req-1".into()));
    assert_eq!((&line["status"], &line["session"]), (&502.into(), &"6f1b7c52…".into()));
    assert!(line["said"].as_str().is_some_and(|said| said.contains(SECRETS[0])), "{line}");

    player.ask(&media(&session(2), 0)).await;
    far.asked().await.say(error(403, "AccessDeniedException", Form::Header));
    player.answer().await.is_problem(502);
    let line = serve.line_with("judged").await;
    assert_eq!((&line["level"], &line["verdict"]), (&"ERROR".into(), &"misaddressed".into()));
    assert!(line["remedy"].as_str().is_some_and(|remedy| remedy.contains("--host")), "{line}");
}
