//! The last good playlist in place of what failed or is slow.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use http::{Method, Request};
use http_body_util::Empty;
use onelane::{lane::Limits, rescue, serialize, stack::Config, upstream::RetryConfig};
use tokio::time::{Instant, advance, sleep_until};

use crate::support::{Asked, TARGET, got, media, ms, playlist, secs, session, stack};

#[tokio::test(start_paused = true)]
async fn an_outage_is_bridged_for_as_long_as_the_playlist_is_young() {
    let (players, mut far) = stack(Config::default());
    let player = players.getting(&media(1, 0));
    let headers = [
        ("content-type", "application/vnd.apple.mpegurl"),
        ("access-control-allow-origin", "*"),
        ("cache-control", "max-age=2"),
        ("x-amzn-requestid", "of an exchange that is over"),
    ];
    far.asked().await.answer(200, &headers, playlist(7));
    got(player).await.is_playlist(7);

    let (learned, mut rescues, mut exchanges) = (Instant::now(), 0, 0);
    loop {
        let player = players.getting(&media(1, 0));
        let (answer, tries) = far.failing(player, |asked| asked.status(503)).await;
        if learned.elapsed() > secs(60) {
            answer.is_problem(502, "overloaded");
            assert!(tries > 2, "where there is nothing else to give");
            break;
        }
        exchanges += tries;
        answer.is_rescue(7, "overloaded", learned.elapsed().as_secs());
        assert_eq!(answer.header("content-type"), Some("application/vnd.apple.mpegurl"));
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        assert!(answer.header("access-control-expose-headers").is_some_and(|names| names.contains("age")));
        assert_eq!(answer.header("x-amzn-requestid"), None);
        rescues += 1;
        advance(secs(1)).await;
    }
    assert!(rescues > 50, "{rescues}");
    // Two tries each, and one exchange in half a target duration.
    assert!((2 * 60 / 4..=2 * (60 / 3 + 1)).contains(&exchanges), "{exchanges}");
}

#[tokio::test(start_paused = true)]
async fn a_rescue_can_be_read_by_the_page_that_asks_whoever_asked_before() {
    let (players, mut far) = stack(Config::default());
    let origin = "access-control-allow-origin";
    for (nth, (given, asks, allowed, varies)) in [
        (
            &[(origin, "https://a.example"), ("vary", "accept-encoding")][..],
            Some("https://b.example"),
            Some("https://b.example"),
            true,
        ),
        (
            &[(origin, "https://a.example"), ("vary", "Accept-Encoding, ORIGIN")],
            Some("https://a.example"),
            Some("https://a.example"),
            true,
        ),
        (&[(origin, "https://a.example")], None, Some("https://a.example"), true),
        (&[(origin, "null"), (origin, "https://a.example")], Some("null"), Some("null"), true),
        (&[(origin, "*")], Some("https://b.example"), Some("*"), false),
        (&[("content-type", "a/b")], Some("https://b.example"), None, false),
    ]
    .into_iter()
    .enumerate()
    {
        let target = media(nth as u32, 0);
        let ask = |origin: Option<&str>| {
            let request = Request::get(&target);
            let request = match origin {
                Some(origin) => request.header("origin", origin),
                None => request,
            };
            players.ask(request.body(Empty::new()).expect("a request"))
        };
        let player = ask(Some("https://a.example"));
        far.asked().await.answer(200, given, playlist(7));
        got(player).await.is_playlist(7);
        let player = ask(asks);
        far.asked().await.bad_gateway();
        let answer = got(player).await;
        answer.is_rescue(7, "origin_broken", 0);
        let all: Vec<_> =
            answer.headers.get_all(origin).iter().map(|value| value.to_str().unwrap()).collect();
        assert_eq!(all, Vec::from_iter(allowed), "{given:?}");
        let vary: Vec<_> =
            answer.headers.get_all("vary").iter().map(|value| value.to_str().unwrap()).collect();
        let vary = vary.join(", ").to_lowercase();
        assert_eq!(vary.matches("origin").count(), usize::from(varies), "{given:?}: {vary}");
        assert_eq!(vary.contains("accept-encoding"), given.len() > 1 && given[1].0 == "vary", "{vary}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_playlist_is_bridged_and_a_restart_of_the_numbering_is_not() {
    let (players, mut far) = stack(Config::default());
    let target = media(1, 0);
    players.learn(&mut far, &target, 700).await;
    // One answer of a node that is behind.
    advance(secs(6)).await;
    let player = players.getting(&target);
    far.asked().await.playlist(690);
    got(player).await.is_rescue(700, "not_playlist", 6);
    players.learn(&mut far, &target, 701).await;

    // The encoder begins anew; a player asks every three seconds.
    let began = Instant::now();
    for nth in 0..=4 {
        advance(secs(3)).await;
        let player = players.getting(&target);
        far.asked().await.playlist(nth / 2);
        let answer = got(player).await;
        match nth {
            0..=1 => answer.is_rescue(701, "not_playlist", began.elapsed().as_secs()),
            2..=3 => answer.is_playlist(1),
            _ => answer.is_playlist(2),
        }
    }
    // It is what a failure is bridged with from now on.
    let player = players.getting(&target);
    far.asked().await.bad_gateway();
    got(player).await.is_rescue(2, "origin_broken", 0);
}

#[tokio::test(start_paused = true)]
async fn every_failure_that_may_pass_is_bridged_and_no_other() {
    let (players, mut far) = stack(Config::default());
    for (nth, (status, body, reason)) in [
        (409, "", Ok("conflict")),
        (429, "", Ok("throttled")),
        (500, "", Ok("origin_broken")),
        (502, "", Ok("origin_broken")),
        (503, "", Ok("overloaded")),
        (504, "", Ok("timed_out")),
        (200, "<html>", Ok("not_playlist")),
        (200, "#EXTM3U\n", Ok("not_playlist")),
        (200, "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n0.m3u8\n", Ok("not_playlist")),
        (0, "", Ok("unreachable")),
        (206, "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\na.ts\n", Ok("not_playlist")),
        (407, "", Ok("unreachable")),
        (408, "", Ok("timed_out")),
        (421, "", Ok("unreachable")),
        (425, "", Ok("unreachable")),
        (300, "", Ok("origin_broken")),
        (304, "", Ok("not_playlist")),
        (999, "", Ok("origin_broken")),
        (401, "", Err((401, "failed"))),
        (403, "", Err((403, "denied"))),
        (404, "", Err((404, "session_lost"))),
        (410, "", Err((410, "blocked"))),
    ]
    .into_iter()
    .enumerate()
    {
        let target = media(nth as u32, 0);
        players.learn(&mut far, &target, 7).await;
        let fails = |asked: Asked| match status {
            0 => asked.breaks(),
            _ => asked.answer(status, &[], body),
        };
        let (answer, _) = far.failing(players.getting(&target), fails).await;
        match reason {
            Ok(reason) => {
                answer.is_rescue(7, reason, answer.header("age").and_then(|age| age.parse().ok()).unwrap())
            }
            Err((status, reason)) => answer.is_problem(status, reason),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_redirect_to_elsewhere_is_bridged_and_passed_on_where_nothing_is_kept() {
    let (players, mut far) = stack(Config::default());
    let away = ("location", "https://login.example/");
    let stays = ("location", "1.m3u8");
    players.learn(&mut far, &media(1, 0), 7).await;
    for (target, location, bridged) in
        [(media(1, 0), away, true), (media(2, 0), away, false), (media(1, 0), stays, false)]
    {
        let player = players.getting(&target);
        far.asked().await.answer(302, &[location], "");
        let answer = got(player).await;
        match bridged {
            true => answer.is_rescue(7, "passed", 0),
            false => assert_eq!((answer.status, answer.header("location")), (302, Some(location.1))),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_has_a_playlist_may_be_told_that_it_has_not_changed() {
    let (players, mut far) = stack(Config::default());
    players.learn(&mut far, &media(1, 0), 7).await;
    let request = Request::get(media(1, 0)).header("if-none-match", "\"x\"");
    let player = players.ask(request.body(Empty::new()).expect("a request"));
    far.asked().await.answer(304, &[("etag", "\"x\"")], "");
    let answer = got(player).await;
    assert_eq!((answer.status, answer.header("etag")), (304, Some("\"x\"")));
}

#[tokio::test(start_paused = true)]
async fn what_the_upstream_says_has_not_changed_is_as_young_as_if_it_had_come_again() {
    for (nth, (kept, told, confirms)) in [
        (("etag", "\"x\""), ("etag", "\"x\""), true),
        (("etag", "\"x\""), ("etag", "W/\"x\""), true),
        (("etag", "W/\"x\""), ("etag", "W/\"x\""), true),
        (
            ("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT"),
            ("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT"),
            true,
        ),
        // Of another than what is kept.
        (("etag", "\"x\""), ("etag", "\"y\""), false),
        (("etag", "W/\"x\""), ("etag", "\"x\""), false),
        (("etag", "\"x\""), ("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT"), false),
        (("content-type", "a/b"), ("etag", "\"x\""), false),
        (("content-type", "a/b"), ("content-type", "a/b"), false),
    ]
    .into_iter()
    .enumerate()
    {
        let (players, mut far) = stack(Config::default().retry(RetryConfig::default().patient(false)));
        let target = media(nth as u32, 0);
        let player = players.getting(&target);
        far.asked().await.answer(200, &[kept], playlist(7));
        got(player).await.is_playlist(7);
        for _ in 0..2 {
            advance(secs(50)).await;
            let request = Request::get(&target).header("if-none-match", "\"x\"");
            let player = players.ask(request.body(Empty::new()).expect("a request"));
            far.asked().await.answer(304, &[told, ("age", "3")], "");
            assert_eq!(got(player).await.status, 304);
        }
        advance(secs(10)).await;
        let player = players.getting(&target);
        far.asked().await.bad_gateway();
        let answer = got(player).await;
        match confirms {
            true => answer.is_rescue(7, "origin_broken", 13),
            false => answer.is_problem(502, "origin_broken"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_playlist_under_another_name_is_known_by_that() {
    let (players, mut far) = stack(Config::default().retry(RetryConfig::default().patient(false)));
    for (name, value) in [
        ("etag", "\"x\""),
        ("etag", "\"y\""),
        ("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT"),
        ("last-modified", "Thu, 01 Jan 2026 00:00:03 GMT"),
    ] {
        let player = players.getting(&media(1, 0));
        far.asked().await.answer(200, &[(name, value)], playlist(7));
        got(player).await.is_playlist(7);
        advance(secs(3)).await;
        let asks = if name == "etag" { "if-none-match" } else { "if-modified-since" };
        let request = Request::get(media(1, 0)).header(asks, value);
        let player = players.ask(request.body(Empty::new()).expect("a request"));
        far.asked().await.answer(304, &[(name, value)], "");
        assert_eq!(got(player).await.status, 304);
        advance(secs(3)).await;
        let player = players.getting(&media(1, 0));
        far.asked().await.bad_gateway();
        let answer = got(player).await;
        answer.is_rescue(7, "origin_broken", 3);
        assert_eq!(answer.header(name), Some(value));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_player_has_that_is_not_kept_is_newer_than_what_is() {
    let large = playlist(8) + &"#".repeat(3 * 1024 * 1024);
    let length = playlist(8).len();
    let all = format!("bytes 0-{}/{length}", length - 1);
    for (nth, (method, suffix, (status, headers, body), stays)) in [
        (Method::GET, "", (206, vec![("content-range", &*all)], playlist(8)), false),
        (Method::GET, "", (200, vec![("content-encoding", "compress")], playlist(8)), false),
        (Method::GET, "", (200, vec![], large.clone()), false),
        (Method::GET, "?_HLS_msn=7", (200, vec![], large), false),
        (Method::GET, "?_HLS_msn=7", (206, vec![("content-range", &*all)], playlist(7)), false),
        (Method::GET, "", (304, vec![("etag", "\"y\"")], String::new()), false),
        (Method::GET, "", (304, vec![], String::new()), true),
        (Method::HEAD, "", (200, vec![], playlist(8)), true),
    ]
    .into_iter()
    .enumerate()
    {
        let (players, mut far) = stack(Config::default().retry(RetryConfig::default().patient(false)));
        let target = media(nth as u32, 0);
        players.learn(&mut far, &target, 7).await;
        let request = Request::builder().method(method).uri(format!("{target}{suffix}"));
        let player =
            players.ask(request.header("if-none-match", "\"y\"").body(Empty::new()).expect("a request"));
        far.asked().await.answer(status, &headers, body);
        assert_eq!(got(player).await.status, status);
        let player = players.getting(&target);
        far.asked().await.bad_gateway();
        let answer = got(player).await;
        match stays {
            true => answer.is_rescue(7, "origin_broken", 0),
            false => answer.is_problem(502, "origin_broken"),
        }
    }
}

/// A live playlist of so many segments.
fn live(sequence: u64, segments: u64) -> String {
    let head = format!("#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:{sequence}\n");
    (sequence..sequence + segments)
        .fold(head, |text, number| format!("{text}#EXTINF:6.0,\nsegment_{number}.ts\n"))
}

#[tokio::test(start_paused = true)]
async fn a_playlist_that_was_cut_is_told_by_what_was_given_before() {
    let (players, mut far) = stack(Config::default().retry(RetryConfig::default().patient(false)));
    let player = players.getting(&media(1, 0));
    far.asked().await.answer(200, &[], live(100, 6));
    assert_eq!(got(player).await.body, live(100, 6));
    let mut given = live(100, 6);
    for number in 101..110 {
        advance(secs(6)).await;
        let (whole, cut) = (live(number, 6), number % 3 == 0);
        let player = players.getting(&media(1, 0));
        far.asked().await.answer(
            200,
            &[],
            whole[..if cut { whole.len() / 2 } else { whole.len() }].to_owned(),
        );
        let answer = got(player).await;
        assert_eq!(answer.header("x-onelane-rescue").is_some(), cut, "{number}");
        given = if cut { given } else { whole };
        assert_eq!(answer.body, given, "{number}");
    }
    // Where nothing else comes of it, that is what there is.
    let begun = Instant::now();
    let taken = loop {
        advance(secs(6)).await;
        let number = 110 + begun.elapsed().as_secs() / 6;
        let player = players.getting(&media(1, 0));
        far.asked().await.answer(200, &[], live(number, 1));
        let answer = got(player).await;
        if answer.body != given {
            assert_eq!(answer.body, live(number, 1));
            break begun.elapsed();
        }
    };
    assert!(taken <= secs(30), "{taken:?}");
    // An end is no cut.
    let player = players.getting(&media(1, 0));
    let ended = format!("{}#EXT-X-ENDLIST\n", live(200, 1));
    far.asked().await.answer(200, &[], live(200, 6));
    assert_eq!(got(player).await.body, live(200, 6));
    let player = players.getting(&media(1, 0));
    far.asked().await.answer(200, &[], ended.clone());
    assert_eq!(got(player).await.body, ended);
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_moves_is_waited_for() {
    let (players, mut far) = stack(Config::default());
    for n in 0..4 {
        players.learn(&mut far, &media(1, n), 7).await;
    }
    tokio::time::advance(secs(4)).await;
    let begun = Instant::now();
    let waiting: Vec<_> = (0..4).map(|n| players.getting(&media(1, n))).collect();
    for n in 0..4 {
        let asked = far.asked().await;
        assert_eq!(asked.target, media(1, n));
        far.quiet_for(secs(1)).await;
        asked.playlist(8);
    }
    for player in waiting {
        got(player).await.is_playlist(8);
    }
    assert_eq!(begun.elapsed(), secs(4), "the last waited for longer than a rescue takes, and is up to date");
    players.are_done().await;
}

#[tokio::test(start_paused = true)]
async fn a_coding_that_a_player_had_unasked_it_may_have_again() {
    let (players, mut far) = stack(Config::default().retry(RetryConfig::default().patient(false)));
    let packed = {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(playlist(7).as_bytes()).expect("memory");
        encoder.finish().expect("memory")
    };
    let ask = |number: u32, accept: Option<&str>| {
        let request = Request::get(media(number, 0));
        let request = match accept {
            Some(accept) => request.header("accept-encoding", accept),
            None => request,
        };
        players.ask(request.body(Empty::new()).expect("a request"))
    };
    for (number, first, then, has) in [
        (1, None, None, true),
        (2, None, Some("identity"), false),
        (3, Some("gzip"), None, false),
        (4, Some("identity"), None, false),
    ] {
        let player = ask(number, first);
        far.asked().await.answer(200, &[("content-encoding", "gzip")], packed.clone());
        assert_eq!(got(player).await.body, packed);
        let player = ask(number, then);
        far.asked().await.bad_gateway();
        let answer = got(player).await;
        assert_eq!((answer.status == 200, answer.body == packed), (has, has), "{number}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_304_says_that_a_playlist_is_given_again() {
    let (players, mut far) = stack(Config::default().retry(RetryConfig::default().patient(false)));
    players.learn(&mut far, &media(1, 0), 7).await;
    for status in [403, 304] {
        let request = Request::get(media(1, 0)).header("if-none-match", "\"x\"");
        let player = players.ask(request.body(Empty::new()).expect("a request"));
        far.asked().await.status(status);
        assert_eq!(got(player).await.status, status);
    }
    let player = players.getting(&media(1, 0));
    far.asked().await.bad_gateway();
    got(player).await.is_rescue(7, "origin_broken", 0);
}

#[tokio::test(start_paused = true)]
async fn a_playlist_that_takes_longer_than_a_player_waits_is_bridged_each_time_it_is_asked_for() {
    let (players, mut far) = stack(Config::default());
    players.learn(&mut far, &media(1, 0), 7).await;
    let begun = Instant::now();
    let first = players.getting(&media(1, 0));
    let slow = far.asked().await;
    got(first).await.is_rescue(7, "slow", 2);
    // It is asked for again and again, and each time attaches.
    sleep_until(begun + secs(3)).await;
    let second = players.getting(&media(1, 0));
    far.quiet_for(ms(1999)).await;
    got(second).await.is_rescue(7, "slow", 5);
    sleep_until(begun + secs(6)).await;
    let third = players.getting(&media(1, 0));
    far.quiet_for(secs(1)).await;
    slow.playlist(8);
    got(third).await.is_playlist(8);
    assert_eq!(begun.elapsed().as_secs(), 7);
    players.learn(&mut far, &media(1, 0), 9).await;
    players.are_done().await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_exchange_is_bridged_and_runs_on() {
    let (players, mut far) = stack(Config::default());
    players.learn(&mut far, &media(1, 0), 7).await;
    let begun = Instant::now();
    let player = players.getting(&media(1, 0));
    let asked = far.asked().await;
    let answer = got(player).await;
    answer.is_rescue(7, "slow", 2);
    assert_eq!(answer.at - begun, secs(2));

    // It holds its turn; whoever polls again meets it.
    let audio = players.getting(&media(1, 1));
    let video = players.getting(&media(1, 0));
    far.quiet_for(secs(1)).await;
    asked.playlist(8);
    got(video).await.is_playlist(8);
    let next = far.asked().await;
    assert_eq!(next.target, media(1, 1));
    next.playlist(8);
    got(audio).await.is_playlist(8);

    // The store was refreshed.
    let player = players.getting(&media(1, 0));
    far.asked().await.bad_gateway();
    got(player).await.is_rescue(8, "origin_broken", 0);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_request_that_was_bridged_still_goes_upstream() {
    let (players, mut far) = stack(Config::default());
    players.learn(&mut far, &media(1, 0), 7).await;
    players.learn(&mut far, &media(1, 1), 7).await;
    let audio = players.getting(&media(1, 1));
    let asked = far.asked().await;
    let video = players.getting(&media(1, 0));
    got(audio).await.is_rescue(7, "slow", 2);
    got(video).await.is_rescue(7, "slow", 2);
    asked.playlist(8);
    let next = far.asked().await;
    assert_eq!(next.target, media(1, 0));
    next.playlist(9);
    players.are_done().await;
    for (n, sequence) in [(1, 8), (0, 9)] {
        let player = players.getting(&media(1, n));
        far.asked().await.bad_gateway();
        got(player).await.is_rescue(sequence, "origin_broken", 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiting_request_whose_time_is_up_does_not() {
    let serialize = serialize::Config::default().max_hold(secs(30));
    let (players, mut far) = stack(Config::default().serialize(serialize));
    players.learn(&mut far, &media(1, 0), 7).await;
    let audio = players.getting(&media(1, 1));
    let asked = far.asked().await;
    let video = players.getting(&media(1, 0));
    got(video).await.is_rescue(7, "slow", 2);
    got(audio).await.is_problem(504, "timed_out");
    far.quiet_for(secs(1)).await;
    asked.playlist(8);
    players.are_done().await;
    far.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn an_exchange_that_everybody_left_refreshes_the_store() {
    let (players, mut far) = stack(Config::default());
    players.learn(&mut far, &media(1, 0), 7).await;
    let left = players.getting(&media(1, 0));
    let asked = far.asked().await;
    left.abort();
    far.quiet().await;
    asked.playlist(8);
    players.are_done().await;
    let player = players.getting(&media(1, 0));
    far.asked().await.bad_gateway();
    got(player).await.is_rescue(8, "origin_broken", 0);
}

#[tokio::test(start_paused = true)]
async fn a_lower_media_sequence_is_a_failure() {
    let (players, mut far) = stack(Config::default());
    players.learn(&mut far, &media(1, 0), 7).await;
    let player = players.getting(&media(1, 0));
    far.asked().await.playlist(6);
    got(player).await.is_rescue(7, "not_playlist", 0);
    far.quiet_for(ms(500)).await;
    players.learn(&mut far, &media(1, 0), 8).await;
    // An upstream that has begun anew is followed once what is kept is too old.
    advance(secs(61)).await;
    players.learn(&mut far, &media(1, 0), 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_blocking_reload_is_never_bridged_by_what_it_has_already() {
    let (players, mut far) = stack(Config::default());
    players.learn(&mut far, &media(1, 0), 7).await;
    let blocking = |msn: u64| format!("{}?_HLS_msn={msn}", media(1, 0));
    // It waits for its own time, not for that of a rescue.
    let begun = Instant::now();
    let player = players.getting(&blocking(8));
    let asked = far.asked().await;
    let answer = got(player).await;
    answer.is_problem(503, "timed_out");
    assert_eq!(answer.at - begun, secs(6));
    asked.playlist(8);
    players.are_done().await;

    // The one that has it all answers an older question.
    let player = players.getting(&blocking(8));
    far.asked().await.bad_gateway();
    got(player).await.is_rescue(8, "origin_broken", 0);
    let player = players.getting(&blocking(9));
    far.asked().await.bad_gateway();
    got(player).await.is_problem(503, "origin_broken");
    // Nor do directives that make no sense get it.
    let player = players.getting(&format!("{}?_HLS_msn=x", media(1, 0)));
    far.asked().await.bad_gateway();
    got(player).await.is_problem(503, "origin_broken");
}

#[tokio::test(start_paused = true)]
async fn a_head_is_bridged_without_a_body() {
    let (players, mut far) = stack(Config::default());
    players.learn(&mut far, &media(1, 0), 7).await;
    let head =
        || Request::builder().method(Method::HEAD).uri(media(1, 0)).body(Empty::new()).expect("a request");
    // A HEAD teaches nothing.
    let player = players.ask(head());
    far.asked().await.answer(200, &[("content-length", "1234")], "");
    let answer = got(player).await;
    assert_eq!((answer.status, answer.header("content-length")), (200, Some("1234")));
    let player = players.ask(head());
    far.asked().await.bad_gateway();
    let answer = got(player).await;
    assert_eq!((answer.status, answer.header("x-onelane-rescue")), (200, Some("origin_broken")));
    assert_eq!(answer.header("content-length"), Some(&*playlist(7).len().to_string()));
    assert!(answer.body.is_empty());
}

#[tokio::test(start_paused = true)]
async fn content_codings_are_kept_apart() {
    let (players, mut far) = stack(Config::default().retry(RetryConfig::default().patient(false)));
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(playlist(7).as_bytes()).expect("room");
    let gzip = gzip.finish().expect("room");
    let accepting = |coding: &str| {
        let request = Request::get(media(1, 0)).header("accept-encoding", coding);
        players.ask(request.body(Empty::new()).expect("a request"))
    };
    let player = accepting("gzip, br");
    far.asked().await.answer(200, &[("content-encoding", "gzip")], gzip.clone());
    assert_eq!(got(player).await.body, gzip);

    // ffmpeg and others that ask for none are not given a compressed one.
    let player = players.getting(&media(1, 0));
    far.asked().await.bad_gateway();
    got(player).await.is_problem(502, "origin_broken");
    let player = accepting("br");
    far.asked().await.bad_gateway();
    got(player).await.is_problem(502, "origin_broken");
    let player = accepting("gzip");
    far.asked().await.bad_gateway();
    let answer = got(player).await;
    assert_eq!((answer.status, answer.header("content-encoding")), (200, Some("gzip")));
    assert_eq!((answer.header("x-onelane-rescue"), &answer.body[..]), (Some("origin_broken"), &gzip[..]));

    players.learn(&mut far, &media(1, 0), 7).await;
    let player = players.getting(&media(1, 0));
    far.asked().await.bad_gateway();
    got(player).await.is_rescue(7, "origin_broken", 0);
}

#[tokio::test(start_paused = true)]
async fn a_playlist_of_another_url_or_session_is_never_given() {
    let (players, mut far) = stack(Config::default().retry(RetryConfig::default().patient(false)));
    players.learn(&mut far, &media(1, 0), 7).await;
    for target in [media(1, 1), media(2, 0), format!("{}?tok=2", media(1, 0))] {
        let player = players.getting(&target);
        far.asked().await.bad_gateway();
        got(player).await.is_problem(502, "origin_broken");
    }
    // Nor to what only looks like a request for it.
    let request = Request::builder().method(Method::POST).uri(media(1, 0));
    let player = players.ask(request.body(Empty::new()).expect("a request"));
    far.asked().await.bad_gateway();
    got(player).await.is_problem(502, "origin_broken");
}

#[tokio::test(start_paused = true)]
async fn a_full_lane_is_bridged() {
    let serialize = serialize::Config::default().limits(Limits::default().depth(1));
    let (players, mut far) = stack(Config::default().serialize(serialize));
    players.learn(&mut far, &media(1, 0), 7).await;
    let audio = players.getting(&media(1, 1));
    let asked = far.asked().await;
    players.get(&media(1, 0)).await.is_rescue(7, "lane_full", 0);
    asked.playlist(7);
    got(audio).await.is_playlist(7);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_given_that_is_older_than_the_operator_allows() {
    let rescue = rescue::Config::default().max_age(TARGET);
    let (players, mut far) =
        stack(Config::default().retry(RetryConfig::default().patient(false)).rescue(rescue));
    players.learn(&mut far, &media(1, 0), 7).await;
    advance(TARGET).await;
    let player = players.getting(&media(1, 0));
    far.asked().await.bad_gateway();
    got(player).await.is_rescue(7, "origin_broken", 6);
    advance(ms(2)).await;
    let player = players.getting(&media(1, 0));
    far.asked().await.bad_gateway();
    got(player).await.is_problem(502, "origin_broken");
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_never_answers_keeps_nobody_waiting_twice() {
    let (players, mut far) = stack(Config::default());
    for number in [0, 1] {
        players.learn(&mut far, &media(1, number), 7).await;
    }
    let player = players.getting(&media(1, 0));
    let hangs = far.asked().await;
    got(player).await.is_rescue(7, "slow", 2);
    advance(secs(8)).await;
    far.quiet().await;
    // It has held its turn for as long as it may: the session is failing, as after an answer that says so.
    let asked_at = Instant::now();
    let answer = players.get(&media(1, 0)).await;
    answer.is_rescue(7, "timed_out", 10);
    assert_eq!(answer.at, asked_at);
    far.quiet().await;
    drop(hangs);
    // The one that did not hang finds out whether it is over, and need not wait for that.
    players.learn(&mut far, &media(1, 1), 8).await;
    players.learn(&mut far, &media(1, 0), 8).await;
}

#[tokio::test(start_paused = true)]
async fn one_that_alone_is_asked_for_and_never_answered_is_asked_for_after_a_gap() {
    let (players, mut far) = stack(Config::default());
    players.learn(&mut far, &media(1, 0), 7).await;
    let player = players.getting(&media(1, 0));
    let hangs = far.asked().await;
    got(player).await.is_rescue(7, "slow", 2);
    advance(secs(8) + ms(500)).await;
    players.get(&media(1, 0)).await.is_rescue(7, "timed_out", 10);
    far.quiet().await;
    drop(hangs);
    advance(secs(3)).await;
    players.learn(&mut far, &media(1, 0), 8).await;
}

#[tokio::test(start_paused = true)]
async fn a_playlist_is_asked_for_whole() {
    let (players, mut far) = stack(Config::default());
    let probing = || {
        Request::get(media(1, 0))
            .header("range", "bytes=0-1")
            .header("if-range", "\"1\"")
            .body(Empty::new())
            .expect("a request")
    };
    let player = players.ask(probing());
    let asked = far.asked().await;
    assert!(!asked.headers.contains_key("range") && !asked.headers.contains_key("if-range"));
    asked.playlist(7);
    got(player).await.is_playlist(7);
    let player = players.ask(probing());
    far.asked().await.bad_gateway();
    got(player).await.is_rescue(7, "origin_broken", 0);
    // Of a segment a part is a part.
    let segment = format!("/v1/segment/acct/Demo/{}/0/1", session(1));
    let player = players
        .ask(Request::get(segment).header("range", "bytes=0-1").body(Empty::new()).expect("a request"));
    let asked = far.asked().await;
    assert!(asked.headers.contains_key("range"));
    asked.answer(206, &[], "ts");
    assert_eq!(got(player).await.status, 206);
}

#[tokio::test(start_paused = true)]
async fn a_playlist_that_says_to_skip_more_than_there_can_be_passes() {
    let (players, mut far) = stack(Config::default());
    let text = format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXT-X-SKIP:SKIPPED-SEGMENTS={}\n#EXTINF:6,\n1.ts\n",
        u64::MAX
    );
    let player = players.getting(&format!("{}?_HLS_skip=YES", media(1, 0)));
    far.asked().await.answer(200, &[], text.clone());
    let answer = got(player).await;
    assert_eq!((answer.status, &answer.body[..]), (200, text.as_bytes()));
}

#[tokio::test(start_paused = true)]
async fn whatever_is_collected_can_be_a_rescue() {
    let long = format!("{}#{}\n", playlist(7), "x".repeat(5 << 20));
    let (players, mut far) = stack(
        Config::default()
            .serialize(serialize::Config::default().collect_up_to(8 << 20))
            .rescue(rescue::Config::default().largest(8 << 20)),
    );
    let player = players.getting(&media(1, 0));
    far.asked().await.answer(200, &[], long.clone());
    assert_eq!(got(player).await.body.len(), long.len());
    let player = players.getting(&media(1, 0));
    far.asked().await.bad_gateway();
    let answer = got(player).await;
    assert_eq!((answer.status, answer.body.len()), (200, long.len()));
}

/// A process that is about to end has no use for what is only for later requests, and whoever takes over may not wait for it.
#[tokio::test(start_paused = true)]
async fn what_waits_for_nobody_is_not_sent_when_the_process_is_about_to_end() {
    for takes_it_back in [false, true] {
        let (players, mut far) = stack(Config::default());
        for n in 0..4 {
            players.learn(&mut far, &media(1, n), 7).await;
        }
        let asking: Vec<_> = (0..3).map(|n| players.getting(&media(1, n))).collect();
        let flying = far.asked().await;
        for player in asking {
            got(player).await.is_rescue(7, "slow", 2);
        }
        assert_eq!(players.stack.lanes().waiting(), 2);
        players.stack.finishing(true);
        let late = players.getting(&media(1, 3));
        far.quiet_for(ms(10)).await;
        assert_eq!(players.stack.lanes().waiting(), 1, "whose player still waits");
        if takes_it_back {
            players.stack.finishing(false);
        }
        got(late).await.is_rescue(7, "slow", 4);
        // What is in flight is not abandoned, and what is in line behind it goes on if it is of use after all.
        flying.playlist(8);
        if takes_it_back {
            far.asked().await.playlist(8);
        }
        far.quiet().await;
        players.are_done().await;
    }
}
