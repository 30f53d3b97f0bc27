//! What a player gets at each verdict.

use std::collections::HashSet;

use http::{Method, Request, StatusCode, header};
use http_body_util::Empty;
use onelane::{
    lane::Limits,
    remap::{self, Profile, Rule},
    serialize,
    stack::Config,
    upstream::Verdict,
};

use tokio::time::Instant;

use crate::support::{Asked, Far, Got, Players, Sent, got, media, ms, playlist, secs, session, stack};

/// What the upstream says besides, and nobody may hear.
const SECRETS: [&str; 5] =
    ["origin.secret.example", "123456789012", "far-server", "internal.amazon.com", "c=secret"];

/// Has a player of a page ask, and the upstream fail as often as it is asked.
async fn failing(players: &Players, far: &mut Far, target: &str, fails: impl Fn(Asked)) -> Got {
    let request = Request::get(target).header(header::ORIGIN, "https://tv.example");
    let player = players.ask(request.body(Empty::new()).expect("a request"));
    far.failing(player, fails).await.0
}

/// An error as MediaTailor words it, and more that is nobody's business.
fn says(status: u16, name: Option<&'static str>) -> impl Fn(Asked) {
    move |asked| {
        let mut headers = vec![
            ("server", SECRETS[2]),
            ("set-cookie", SECRETS[4]),
            ("x-amzn-requestid", "req-1"),
            ("access-control-allow-origin", "https://wrong.example"),
            ("cache-control", "max-age=60"),
        ];
        let named = name.map(|name| format!("{name}:http://{}/coral/", SECRETS[3]));
        headers.extend(named.as_deref().map(|named| ("x-amzn-errortype", named)));
        asked.answer(
            status,
            &headers,
            format!(r#"{{"message":"http://{}/ for {}"}}"#, SECRETS[0], SECRETS[1]),
        );
    }
}

/// Holds when it is a problem that a page can read, with nothing in it that the upstream said but its request id.
#[track_caller]
fn tells_nothing(answer: &Got) {
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://tv.example"));
    assert_eq!(answer.header("vary"), Some("Origin"));
    let exposed = answer.header("access-control-expose-headers").expect("what a page may read");
    for name in ["x-onelane-reason", "x-amzn-requestid", "retry-after"] {
        assert!(exposed.contains(name), "{exposed}");
    }
    let all = format!("{:?} {}", answer.headers, String::from_utf8_lossy(&answer.body));
    for secret in SECRETS.iter().chain(&["wrong.example", "max-age"]) {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_verdict_has_its_answer() {
    use Verdict::*;
    let (players, mut far) = stack(Config::default());
    let mut seen = HashSet::from([Playlist, Passed, LaneFull, ShuttingDown, HeldBack]);
    let sessionless = "/v1/master/acct/Demo/index.m3u8".to_owned();
    for (nth, (verdict, gets, status, name)) in [
        (Conflict, 502, 409, Some("ConflictException")),
        (SessionLost, 404, 404, Some("NotFoundException")),
        (SessionLost, 404, 400, Some("BadRequestException")),
        (Blocked, 410, 410, Some("Gone")),
        (Misaddressed, 502, 403, Some("AccessDeniedException")),
        (Denied, 403, 403, Some("WafException")),
        (Throttled, 502, 503, Some("ThrottlingException")),
        (Throttled, 502, 429, None),
        (Overloaded, 502, 503, Some("LoadShed")),
        (Overloaded, 502, 503, None),
        (OriginBroken, 502, 500, Some("InternalServiceError")),
        (OriginBroken, 502, 502, Some("BadGatewayException")),
        (OriginBroken, 502, 502, Some("UnsupportedManifestException")),
        (OriginBroken, 502, 520, None),
        (TimedOut, 504, 504, Some("GatewayTimeoutException")),
        (NotPlaylist, 502, 200, None),
        (Failed, 401, 401, None),
        (Failed, 418, 418, None),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = failing(&players, &mut far, &media(nth as u32, 0), says(status, name)).await;
        answer.is_problem(gets, verdict.as_str());
        tells_nothing(&answer);
        let id = answer.header("x-amzn-requestid");
        assert_eq!(id, Some("req-1"), "{verdict}");
        seen.insert(verdict);
    }
    for (verdict, gets, status) in [(BadRequest, 400, 400), (NotFound, 404, 404), (Blocked, 410, 410)] {
        let answer = failing(&players, &mut far, &sessionless, says(status, None)).await;
        answer.is_problem(gets, verdict.as_str());
        tells_nothing(&answer);
        seen.insert(verdict);
    }
    let answer = failing(&players, &mut far, &media(100, 0), Asked::breaks).await;
    answer.is_problem(502, Unreachable.as_str());
    tells_nothing(&answer);
    let answer = failing(&players, &mut far, "/v1/manifest/acct/Demo/a%00/0.m3u8", Asked::breaks).await;
    answer.is_problem(400, MalformedSession.as_str());
    tells_nothing(&answer);
    seen.extend([Unreachable, MalformedSession]);
    // A body that breaks off has a test over sockets.
    seen.insert(Incomplete);
    assert_eq!(seen.len(), Verdict::ALL.len(), "all but those of the tests below and of the shield");
}

#[tokio::test(start_paused = true)]
async fn a_full_lane_a_long_wait_and_a_shutdown_have_theirs() {
    let serialize = serialize::Config::default().limits(Limits::default().depth(1));
    let (players, mut far) = stack(Config::default().serialize(serialize));
    let flies = players.getting(&media(1, 0));
    let asked = far.asked().await;
    players.get(&media(1, 1)).await.is_problem(504, "lane_full");
    got(flies).await.is_problem(504, "timed_out");
    asked.playlist(7);
    players.are_done().await;
    players.stack.serialize().close();
    players.get(&media(2, 0)).await.is_problem(503, "shutting_down");
    far.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_blocking_reload_that_takes_too_long_is_a_503() {
    let (players, mut far) = stack(Config::default());
    // Of the player's own time, and of the upstream's: the player then asks without directives.
    let player = players.getting(&format!("{}?_HLS_msn=8", media(1, 0)));
    let asked = far.asked().await;
    got(player).await.is_problem(503, "timed_out");
    asked.playlist(7);
    let player = players.getting(&format!("{}?x=1&_HLS_msn=8&_HLS_part=1", media(2, 0)));
    far.asked().await.status(504);
    far.asked().await.status(504);
    got(player).await.is_problem(503, "timed_out");
    let player = players.getting(&format!("{}?_HLS_skip=YES", media(3, 0)));
    far.asked().await.status(504);
    far.asked().await.status(504);
    got(player).await.is_problem(504, "timed_out");
}

#[tokio::test(start_paused = true)]
async fn a_blocking_reload_that_fails_is_made_without_directives_by_its_player() {
    for (status, reason) in [
        (409, "conflict"),
        (429, "throttled"),
        (500, "origin_broken"),
        (503, "overloaded"),
        (504, "timed_out"),
    ] {
        let (players, mut far) = stack(Config::default());
        players.learn(&mut far, &media(1, 0), 7).await;
        let player = players.getting(&format!("{}?_HLS_msn=8", media(1, 0)));
        let (answer, _) = far.failing(player, |asked| asked.status(status)).await;
        answer.is_problem(503, reason);
        // And that one is bridged.
        let (answer, _) = far.failing(players.getting(&media(1, 0)), |asked| asked.status(status)).await;
        answer.is_rescue(7, reason, 0);
    }
    let (players, mut far) = stack(Config::default());
    for (number, status, reason) in [(1, 404, "session_lost"), (2, 410, "blocked")] {
        let player = players.getting(&format!("{}?_HLS_msn=8", media(number, 0)));
        far.asked().await.status(status);
        got(player).await.is_problem(status, reason);
    }
}

/// What a page of another origin asks before it asks for a playlist.
fn preflight(target: &str, method: &str) -> Sent {
    Request::options(target)
        .header(header::ORIGIN, "https://player.example")
        .header(header::ACCESS_CONTROL_REQUEST_METHOD, method)
        .header(header::ACCESS_CONTROL_REQUEST_HEADERS, "x-token")
        .body(Empty::new())
        .expect("a request")
}

#[tokio::test(start_paused = true)]
async fn a_page_whose_preflight_fails_has_its_rescue() {
    let (players, mut far) = stack(Config::default());
    players.learn(&mut far, &media(1, 0), 7).await;
    type Fails = fn(Asked);
    let fails: [(Fails, &str); 6] = [
        (|asked| asked.status(409), "failed"),
        (|asked| asked.status(429), "failed"),
        (|asked| asked.status(503), "failed"),
        (|asked| asked.bad_gateway(), "origin_broken"),
        (Asked::breaks, "unreachable"),
        (Asked::refuses, "unreachable"),
    ];
    for (fails, reason) in fails {
        for method in ["GET", "HEAD"] {
            let (answer, _) = far.failing(players.ask(preflight(&media(1, 0), method)), fails).await;
            let said = (answer.status, answer.header("x-onelane-reason"), answer.body.len());
            assert_eq!(said, (200, Some(reason), 0), "{answer:?}");
            assert_eq!(answer.header("access-control-allow-origin"), Some("https://player.example"));
            assert_eq!(answer.header("access-control-allow-methods"), Some(method));
            assert_eq!(answer.header("access-control-allow-headers"), Some("x-token"));
            assert_eq!(
                (answer.header("vary"), answer.header("cache-control")),
                (Some("Origin"), Some("no-store"))
            );
        }
    }
    let begun = Instant::now();
    let player = players.ask(preflight(&media(1, 0), "GET"));
    let hangs = far.asked().await;
    let answer = got(player).await;
    assert_eq!((answer.status, answer.at - begun), (200, secs(2)), "{answer:?}");
    drop(hangs);
    let player =
        players.ask(Request::get(media(1, 0)).header("x-token", "t").body(Empty::new()).expect("a request"));
    far.failing(player, |asked| asked.status(409)).await.0.is_rescue(7, "conflict", 2);
    // What an answer says of the page is the upstream's to say, and so is what a page may change.
    let segment = format!("/v1/segment/acct/Demo/{}/0/1", session(1));
    for (target, method, status) in [
        (&media(1, 0), "GET", 403),
        (&media(1, 0), "GET", 404),
        (&media(1, 0), "POST", 503),
        (&segment, "GET", 503),
    ] {
        let (answer, _) =
            far.failing(players.ask(preflight(target, method)), |asked| asked.status(status)).await;
        assert_ne!(answer.status, 200, "{answer:?}");
    }
    let player = players.ask(preflight(&media(1, 0), "GET"));
    far.asked().await.answer(204, &[("access-control-allow-headers", "x-other")], "");
    let answer = got(player).await;
    assert_eq!((answer.status, answer.header("access-control-allow-headers")), (204, Some("x-other")));
}

#[tokio::test(start_paused = true)]
async fn the_answer_is_the_operators_choice() {
    let rule = Rule::status(StatusCode::SERVICE_UNAVAILABLE).expect("an error").retry_after(2);
    let remap = remap::Config::default().rule(Verdict::OriginBroken, rule).expect("a verdict that has one");
    let (players, mut far) = stack(Config::default().remap(remap));
    let answer = failing(&players, &mut far, &media(1, 0), says(502, None)).await;
    answer.is_problem(503, "origin_broken");
    tells_nothing(&answer);
    assert_eq!(answer.header("retry-after"), Some("2"));
}

#[tokio::test(start_paused = true)]
async fn transparent_passes_what_came_and_answers_for_nothing_else() {
    let remap = remap::Config::default().profile(Profile::Transparent);
    let (players, mut far) = stack(Config::default().remap(remap));
    for (nth, status) in [200, 400, 401, 403, 404, 409, 410, 429, 500, 502, 503, 504].into_iter().enumerate()
    {
        let target = media(nth as u32, 0);
        let answer = failing(&players, &mut far, &target, says(status, None)).await;
        assert_eq!(answer.status, status);
        assert_eq!((answer.header("server"), answer.header("x-onelane-reason")), (Some(SECRETS[2]), None));
        assert!(String::from_utf8_lossy(&answer.body).contains(SECRETS[0]), "{answer:?}");
        // There is nothing of the upstream's in an answer of the shield.
        if matches!(status, 400 | 404) {
            players.get(&target).await.is_problem(404, "session_lost");
            far.quiet().await;
        }
    }
    let answer = failing(&players, &mut far, &media(100, 0), Asked::breaks).await;
    answer.is_problem(502, "unreachable");
    // A failure is bridged all the same.
    players.learn(&mut far, &media(101, 0), 7).await;
    let answer = failing(&players, &mut far, &media(101, 0), says(503, None)).await;
    answer.is_rescue(7, "overloaded", 0);
}

#[tokio::test(start_paused = true)]
async fn a_playlist_is_a_200_to_players_whatever_other_success_it_came_with() {
    let (players, mut far) = stack(Config::default());
    for (sequence, status) in (7..).zip([201, 202, 203]) {
        let player = players.getting(&media(1, 0));
        far.asked().await.answer(status, &[], playlist(sequence));
        got(player).await.is_playlist(sequence);
        let player = players.getting(&media(1, 0));
        far.asked().await.bad_gateway();
        got(player).await.is_rescue(sequence, "origin_broken", 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_playlist_of_a_session_passes_whatever_it_is() {
    let (players, mut far) = stack(Config::default());
    let one = session(1);
    for target in [
        format!("/v1/segment/acct/Demo/{one}/0/41201"),
        "/v1/i-media/acct/Demo/0.m3u8".to_owned(),
        "/v1/channel/c/index.m3u8".to_owned(),
        "/elsewhere".to_owned(),
    ] {
        for status in [200, 206, 302] {
            let answer = failing(&players, &mut far, &target, says(status, None)).await;
            assert_eq!((answer.status, answer.header("x-onelane-reason")), (status, None));
            assert_eq!(answer.header("server"), Some(SECRETS[2]));
        }
        for status in [404, 409, 503] {
            let page = |asked: Asked| asked.answer(status, &[("content-type", "text/html")], "<html>");
            let answer = failing(&players, &mut far, &target, page).await;
            assert_eq!((answer.status, &answer.body[..]), (status, &b"<html>"[..]));
            assert_eq!(answer.header("x-onelane-reason"), None);
            far.quiet_for(ms(500)).await;
        }
        // But MediaTailor's own message is for nobody, and what a player cannot make sense of either.
        for (status, name, left, reason) in [
            (404, None, 404, "not_found"),
            (400, None, 400, "bad_request"),
            (409, Some("ConflictException"), 502, "origin_broken"),
            (503, Some("Named"), 502, "overloaded"),
            (403, Some("AccessDeniedException"), 403, "denied"),
            (410, Some("Gone"), 410, "failed"),
            (999, None, 502, "origin_broken"),
        ] {
            let answer = failing(&players, &mut far, &target, says(status, name)).await;
            answer.is_problem(left, reason);
            tells_nothing(&answer);
            far.quiet_for(ms(500)).await;
        }
    }
    for target in
        ["/v1/session/acct/Demo/i.m3u8", &format!("/v1/tracking/acct/Demo/{one}"), "/v1/dash/acct/Demo/i.mpd"]
    {
        let answer = failing(&players, &mut far, target, says(600, Some("Named"))).await;
        answer.is_problem(502, "origin_broken");
        tells_nothing(&answer);
    }
    for target in [media(1, 0), media(1, 0).replace(&one, "a%00")] {
        let request = Request::builder().method(Method::OPTIONS).uri(&target);
        let player = players.ask(request.body(Empty::new()).expect("a request"));
        far.asked().await.answer(204, &[("access-control-allow-headers", "range")], "");
        let answer = got(player).await;
        assert_eq!((answer.status, answer.header("access-control-allow-headers")), (204, Some("range")));
    }
    // Ad-break data and DASH need be no playlist, but their errors are remapped.
    for target in
        [format!("/v1/tracking/acct/Demo/{one}"), format!("/v1/dash/acct/Demo/i.mpd?aws.sessionId={one}")]
    {
        let answer = failing(&players, &mut far, &target, says(200, None)).await;
        assert_eq!((answer.status, answer.header("server")), (200, Some(SECRETS[2])));
        let answer = failing(&players, &mut far, &target, says(502, None)).await;
        answer.is_problem(502, "origin_broken");
        tells_nothing(&answer);
    }
}
