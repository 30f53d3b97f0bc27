//! What is sent again within a turn, how often and when not.

use std::collections::HashSet;

use http::{Method, Request};
use http_body_util::Empty;
use onelane::{serialize, shield, stack::Config, upstream::RetryConfig};
use tokio::time::Instant;

use crate::support::{Asked, got, media, ms, secs, session, stack};

#[tokio::test(start_paused = true)]
async fn a_conflict_is_met_within_the_turn() {
    let (players, mut far) = stack(Config::default());
    let video = players.getting(&media(1, 0));
    let first = far.asked().await;
    let audio = players.getting(&media(1, 1));
    let mut before = first.at;
    first.status(409);
    for (conflicts, least, most) in [(1, 50, 75), (2, 100, 150), (3, 200, 250)] {
        let again = far.asked().await;
        assert_eq!(again.target, media(1, 0), "the sibling waits");
        let pause = again.at - before;
        // The clock of a paused runtime goes in whole milliseconds.
        assert!((ms(least)..=ms(most + 1)).contains(&pause), "{pause:?}");
        before = again.at;
        match conflicts {
            3 => again.playlist(7),
            _ => again.status(409),
        }
    }
    got(video).await.is_playlist(7);
    let next = far.asked().await;
    assert_eq!(next.target, media(1, 1));
    next.playlist(7);
    got(audio).await.is_playlist(7);
    players.are_done().await;
    assert_eq!(players.stack.lessons().marked_sessions(), 0, "it went well in the end");
}

#[tokio::test(start_paused = true)]
async fn those_that_met_it_at_once_are_spread() {
    let (players, mut far) = stack(Config::default());
    let mut asking = Vec::new();
    for n in 0..30 {
        asking.push(players.getting(&media(n, 0)));
    }
    for _ in 0..30 {
        far.asked().await.status(409);
    }
    let mut moments = HashSet::new();
    for _ in 0..30 {
        let again = far.asked().await;
        moments.insert(again.at);
        again.playlist(7);
    }
    for player in asking {
        got(player).await.is_playlist(7);
    }
    assert!(moments.len() > 5, "{moments:?}");
}

#[tokio::test(start_paused = true)]
async fn each_verdict_has_its_number_of_tries() {
    let (players, mut far) = stack(Config::default().retry(RetryConfig::default().patient(false)));
    let named = |name: &'static str| vec![("x-amzn-errortype", name)];
    for (nth, (status, headers, body, tries)) in [
        (409, vec![], "", 4),
        (503, named("LoadShed:"), "", 2),
        (503, named("ThrottlingException:"), "", 2),
        (429, vec![], "", 2),
        (500, vec![], "", 2),
        (504, vec![], "", 2),
        (200, vec![], "<html>", 2),
        (200, vec![], "", 2),
        // What the configuration or the manifest is to blame for gets no better.
        (502, named("BadGatewayException:"), "", 1),
        (502, named("UnsupportedManifestException:"), "", 1),
        // A CDN's or a load balancer's word is not MediaTailor's.
        (502, vec![], "", 2),
        (502, vec![], "<html>", 2),
        (520, vec![], "", 2),
        // The next one goes round as well.
        (508, vec![], "", 1),
        (400, vec![], "", 1),
        (401, vec![], "", 1),
        (403, vec![], "", 1),
        (404, vec![], "", 1),
        (410, vec![], "", 1),
    ]
    .into_iter()
    .enumerate()
    {
        let player = players.getting(&media(nth as u32, 0));
        let (mut least, mut before) = (ms(50), None);
        for _ in 0..tries {
            let asked = far.asked().await;
            if let Some(before) = before {
                assert!(asked.at - before >= least, "{status}: {:?}", asked.at - before);
            }
            if matches!(status, 503 | 429) {
                least = ms(200);
            }
            before = Some(asked.at);
            asked.answer(status, &headers, body);
        }
        assert!(got(player).await.status >= 400);
        far.quiet_for(secs(2)).await;
        players.are_done().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_connection_is_tried_again_once_and_then_the_turn_is_kept_for_a_moment() {
    let (players, mut far) = stack(Config::default().retry(RetryConfig::default().patient(false)));
    let video = players.getting(&media(1, 0));
    let first = far.asked().await;
    let audio = players.getting(&media(1, 1));
    let broke = Instant::now();
    first.breaks();
    let second = far.asked().await;
    assert_eq!((second.target.clone(), second.at - broke), (media(1, 0), ms(250)));
    second.breaks();
    let answer = got(video).await;
    answer.is_problem(502, "unreachable");
    let next = far.asked().await;
    assert_eq!((next.target.clone(), next.at - answer.at), (media(1, 1), ms(250)));
    next.playlist(7);
    got(audio).await.is_playlist(7);
    players.are_done().await;
}

#[tokio::test(start_paused = true)]
async fn head_is_tried_again_and_post_is_not() {
    let (players, mut far) = stack(Config::default());
    for (method, status, tries, gets) in [
        (Method::HEAD, 409, 2, 200),
        (Method::HEAD, 500, 2, 200),
        (Method::POST, 409, 1, 502),
        (Method::DELETE, 500, 1, 502),
    ] {
        let request = Request::builder().method(method.clone()).uri(media(1, 0));
        let player = players.ask(request.body(Empty::new()).expect("a request"));
        for nth in 1..=tries {
            let asked = far.asked().await;
            assert_eq!(asked.method, method);
            asked.status(if nth == 2 { 200 } else { status });
        }
        assert_eq!(got(player).await.status, gets, "{method} {status}");
        far.quiet_for(secs(2)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_creates_a_session_is_never_tried_again() {
    let (players, mut far) = stack(Config::default());
    for (method, target) in [
        (Method::GET, "/v1/master/acct/Demo/index.m3u8?ads.x=1"),
        (Method::GET, "/v1/session/acct/Demo/index.m3u8"),
        (Method::POST, "/v1/session/acct/Demo/index.m3u8"),
        (Method::GET, "/v1/dash/acct/Demo/index.mpd"),
    ] {
        for fails in ["breaks", "409", "500", "503", "504"] {
            let request = Request::builder().method(&method).uri(target);
            let player = players.ask(request.body(Empty::new()).expect("a request"));
            let asked = far.asked().await;
            match fails.parse() {
                Ok(status) => asked.status(status),
                Err(_) => asked.breaks(),
            }
            assert!(got(player).await.status >= 502, "{method} {target} {fails}");
            far.quiet_for(secs(2)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_budget_bounds_the_tries_of_all_sessions() {
    // Ten in ten seconds, and none on top.
    let retry = RetryConfig::default().budget_per_second(1).budget_part(0.0).patient(false);
    let (players, mut far) = stack(Config::default().retry(retry));
    let mut tries = 0;
    for n in 0..50 {
        let player = players.getting(&media(n, 0));
        far.asked().await.status(500);
        tokio::select! {
            asked = far.asked() => {
                tries += 1;
                asked.status(500);
            }
            () = tokio::time::sleep(ms(100)) => {}
        }
        got(player).await.is_problem(502, "origin_broken");
    }
    assert_eq!(tries, 10, "within five seconds");
}

#[tokio::test(start_paused = true)]
async fn whoever_is_patient_leaves_the_others_their_budget() {
    let (players, mut far) =
        stack(Config::default().retry(RetryConfig::default().budget_per_second(1).budget_part(0.0)));
    for number in 0..8 {
        let (answer, _) = far.failing(players.getting(&media(number, 0)), Asked::bad_gateway).await;
        answer.is_problem(502, "origin_broken");
    }
    let player = players.getting(&media(100, 0));
    far.asked().await.status(409);
    far.asked().await.playlist(7);
    got(player).await.is_playlist(7);
}

#[tokio::test(start_paused = true)]
async fn who_has_nothing_to_play_is_sent_again_though_others_used_the_budget_up() {
    let retry = RetryConfig::default().budget_per_second(1).budget_part(0.0);
    let (players, mut far) = stack(Config::default().retry(retry));
    let mut denied = false;
    for session in 1..=5 {
        players.learn(&mut far, &media(session, 0), 7).await;
        let player = players.getting(&media(session, 0));
        let (answer, tries) = far.failing(player, |asked| asked.status(409)).await;
        assert_eq!(answer.header("x-onelane-rescue"), Some("conflict"));
        denied |= tries == 1;
    }
    assert!(denied, "the budget is not used up");
    let player = players.getting(&media(9, 0));
    far.asked().await.status(409);
    far.asked().await.playlist(7);
    got(player).await.is_playlist(7);
}

#[tokio::test(start_paused = true)]
async fn no_try_begins_when_the_players_time_is_as_good_as_up() {
    let serialize = serialize::Config::default().answer_within(secs(1)).max_hold(secs(30));
    let (players, mut far) = stack(Config::default().serialize(serialize));
    let player = players.getting(&media(1, 0));
    let asked = far.asked().await;
    let begun = asked.at;
    let answer = got(player).await;
    answer.is_problem(504, "timed_out");
    assert_eq!(answer.at - begun, secs(1));
    // Nobody waits for it any more.
    asked.status(409);
    players.are_done().await;
    far.quiet_for(secs(2)).await;
}

#[tokio::test(start_paused = true)]
async fn a_blocking_reload_that_is_refused_is_made_without_directives() {
    let (players, mut far) = stack(Config::default());
    let player = players.getting(&format!("{}?tok=1&_HLS_msn=8&_HLS_part=2&x=%20", media(1, 0)));
    far.asked().await.status(400);
    let again = far.asked().await;
    assert_eq!(again.target, format!("{}?tok=1&x=%20", media(1, 0)));
    again.playlist(7);
    got(player).await.is_playlist(7);
    assert_eq!(players.stack.lessons().marked_sessions(), 0, "the session is not lost");

    // Once, and if that is refused as well the session is.
    let player = players.getting(&format!("{}?_HLS_msn=8", media(1, 0)));
    far.asked().await.status(400);
    let again = far.asked().await;
    assert_eq!(again.target, media(1, 0));
    again.status(400);
    got(player).await.is_problem(404, "session_lost");
    far.quiet_for(secs(2)).await;
}

#[tokio::test(start_paused = true)]
async fn whoever_may_not_have_directives_is_asked_without_whatever_is_left_of_the_budget() {
    let retry = RetryConfig::default().budget_per_second(1).budget_part(0.0);
    let (players, mut far) = stack(Config::default().retry(retry));
    for sequence in 7..30 {
        let player = players.getting(&format!("{}?_HLS_msn=8", media(1, 0)));
        far.asked().await.status(400);
        far.asked().await.playlist(sequence);
        got(player).await.is_playlist(sequence);
    }
    assert_eq!(players.stack.lessons().marked_sessions(), 0, "the session is not lost");
}

#[tokio::test(start_paused = true)]
async fn whoever_may_not_have_directives_is_asked_without_however_late_that_is_said() {
    let (players, mut far) = stack(Config::default());
    let player = players.getting(&format!("{}?_HLS_msn=8", media(1, 0)));
    let asked = far.asked().await;
    tokio::time::sleep(ms(5_500)).await;
    asked.status(400);
    far.asked().await.playlist(7);
    got(player).await.is_playlist(7);
    assert_eq!(players.stack.lessons().marked_sessions(), 0, "the session is not lost");
}

#[tokio::test(start_paused = true)]
async fn what_is_too_late_to_be_tried_again_leaves_the_budget_to_the_others() {
    let retry = RetryConfig::default().budget_per_second(1).budget_part(0.0).patient(false);
    let (players, mut far) = stack(Config::default().retry(retry));
    let late: Vec<_> = (0..50).map(|number| players.getting(&media(number, 0))).collect();
    let mut asked = Vec::new();
    for _ in &late {
        asked.push(far.asked().await);
    }
    tokio::time::sleep(ms(5_500)).await;
    for asked in asked {
        asked.status(504);
    }
    for player in late {
        got(player).await.is_problem(504, "timed_out");
    }
    let player = players.getting(&media(100, 0));
    far.asked().await.status(409);
    far.asked().await.playlist(7);
    got(player).await.is_playlist(7);
}

#[tokio::test(start_paused = true)]
async fn a_conflict_right_after_an_answer_teaches_a_gap_between_turns() {
    let (players, mut far) = stack(Config::default());
    // Long after the last answer it is somebody else who loads the session's playlists.
    players.learn(&mut far, &media(1, 0), 7).await;
    tokio::time::advance(ms(251)).await;
    let video = players.getting(&media(1, 0));
    far.asked().await.status(409);
    far.asked().await.playlist(7);
    got(video).await.is_playlist(7);
    assert!(players.stack.lessons().settle.longest(Instant::now()).0.is_zero());

    let video = players.getting(&media(1, 0));
    let asked = far.asked().await;
    let audio = players.getting(&media(1, 1));
    asked.status(409);
    far.asked().await.playlist(7);
    let answer = got(video).await;
    answer.is_playlist(7);
    let next = far.asked().await;
    let gap = next.at - answer.at;
    assert_eq!(gap, ms(4), "the players need not wait for it");
    next.playlist(7);
    got(audio).await.is_playlist(7);

    // Another one, and it is twice as long; other configurations have none.
    let [video, audio] = [0, 1].map(|n| players.getting(&media(1, n)));
    far.asked().await.status(409);
    far.asked().await.playlist(8);
    let answer = got(video).await;
    let next = far.asked().await;
    assert_eq!(next.at - answer.at, ms(8));
    next.playlist(8);
    got(audio).await.is_playlist(8);
    let [video, audio] = [0, 1].map(|n| players.getting(&media(1, n).replace("Demo", "Other")));
    far.asked().await.playlist(8);
    let answer = got(video).await;
    let next = far.asked().await;
    assert_eq!(next.at, answer.at);
    next.playlist(8);
    got(audio).await.is_playlist(8);
    players.are_done().await;
}

#[tokio::test(start_paused = true)]
async fn whatever_takes_a_turn_keeps_it_for_the_gap_that_was_learned() {
    let dash = format!("/v1/dash/acct/Demo/index.mpd?aws.sessionId={}", session(1));
    for other in [media(1, 0).replace("/manifest/", "/tracking/").replace("/0.m3u8", ""), dash] {
        let serialize = serialize::Config::default().tracking(true).dash(true);
        let (players, mut far) = stack(Config::default().serialize(serialize));
        players.learn(&mut far, &media(1, 0), 7).await;
        let video = players.getting(&media(1, 0));
        far.asked().await.status(409);
        far.asked().await.playlist(8);
        got(video).await.is_playlist(8);
        players.are_done().await;

        let first = players.getting(&other);
        let asked = far.asked().await;
        let video = players.getting(&media(1, 0));
        asked.answer(200, &[], "{}");
        let answer = got(first).await;
        let next = far.asked().await;
        assert_eq!(next.at - answer.at, ms(4), "{other}");
        next.playlist(9);
        got(video).await.is_playlist(9);
    }
}

#[tokio::test(start_paused = true)]
async fn a_player_that_starts_in_an_outage_waits_for_its_end() {
    for fault in ["503", "500", "409", "origin", "manifest", "page", "break"] {
        let (players, mut far) = stack(Config::default());
        let (player, begun, mut tries) = (players.getting(&media(1, 0)), Instant::now(), 0);
        let after = loop {
            let asked = far.asked().await;
            if begun.elapsed() > secs(3) {
                asked.playlist(7);
                break begun.elapsed();
            }
            tries += 1;
            match fault {
                "page" => asked.answer(200, &[], "<html>"),
                "origin" => asked.answer(502, &[("x-amzn-errortype", "BadGatewayException:")], ""),
                "manifest" => asked.answer(502, &[("x-amzn-errortype", "UnsupportedManifestException:")], ""),
                "break" => asked.breaks(),
                status => asked.status(status.parse().expect("a status")),
            }
        };
        got(player).await.is_playlist(7);
        assert!((3..=11).contains(&tries), "{fault}: {tries}");
        assert!(after < ms(4_100), "{fault}: {after:?}");
        // Who has a playlist of before has that at once.
        let player = players.getting(&media(1, 0));
        for _ in 0..2 {
            far.asked().await.status(503);
        }
        got(player).await.is_rescue(7, "overloaded", 0);
        far.quiet().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_and_too_old_to_be_given_is_no_reason_to_give_up_early() {
    let (players, mut far) = stack(Config::default());
    players.learn(&mut far, &media(1, 0), 7).await;
    // Longer than a rescue may be old.
    tokio::time::advance(secs(61)).await;
    let player = players.getting(&media(1, 0));
    for _ in 0..3 {
        far.asked().await.status(500);
    }
    far.asked().await.playlist(8);
    got(player).await.is_playlist(8);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_patient_without_end_or_for_what_stays() {
    let (players, mut far) = stack(Config::default());
    let (player, begun) = (players.getting(&media(1, 0)), Instant::now());
    let (answer, _) = far.failing(player, |asked| asked.status(503)).await;
    answer.is_problem(502, "overloaded");
    assert!((secs(3)..=secs(5)).contains(&(answer.at - begun)), "{:?}", answer.at - begun);
    let player = players.getting(&media(2, 0));
    for _ in 0..2 {
        far.asked().await.status(429);
    }
    assert_eq!(got(player).await.header("x-onelane-reason"), Some("throttled"));
    far.quiet().await;
    let player = players.getting(&media(4, 0));
    far.asked().await.status(508);
    got(player).await.is_problem(502, "origin_broken");
    far.quiet_for(secs(6)).await;
}

#[tokio::test(start_paused = true)]
async fn what_plays_does_not_wait_for_a_rendition_that_does_not() {
    let (players, mut far) = stack(Config::default());
    players.learn(&mut far, &media(1, 0), 7).await;
    let subtitles = players.getting(&media(1, 3));
    let begun = far.asked().await;
    let at = begun.at;
    begun.status(503);
    // As long as nobody waits, there is time.
    while at.elapsed() < secs(2) {
        far.asked().await.status(503);
    }
    let video = players.getting(&media(1, 0));
    let asked = far.asked().await;
    assert_eq!(asked.target, media(1, 3));
    asked.status(503);
    got(subtitles).await.is_problem(502, "overloaded");
    let asked = far.asked().await;
    assert_eq!(asked.target, media(1, 0), "the session is not marked as failing");
    asked.playlist(8);
    got(video).await.is_playlist(8);

    // Nor does it grow old: a player may load one after the other.
    let video = players.getting(&media(3, 0));
    let short = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:7\n#EXTINF:2.0,\n7.ts\n";
    far.asked().await.answer(200, &[], short);
    assert_eq!(got(video).await.status, 200);
    let (subtitles, begun) = (players.getting(&media(3, 3)), Instant::now());
    let (answer, _) = far.failing(subtitles, |asked| asked.status(503)).await;
    answer.is_problem(502, "overloaded");
    assert!((secs(2)..ms(3_600)).contains(&(answer.at - begun)), "{:?}", answer.at - begun);

    // Where nothing plays yet, nothing is lost by it.
    let [video, audio] = [0, 1].map(|n| players.getting(&media(2, n)));
    let begun = Instant::now();
    while begun.elapsed() < secs(3) {
        let asked = far.asked().await;
        assert_eq!(asked.target, media(2, 0));
        asked.status(503);
    }
    far.asked().await.playlist(7);
    got(video).await.is_playlist(7);
    far.asked().await.playlist(7);
    got(audio).await.is_playlist(7);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_patient_at_conflicts_once_the_quota_of_the_session_is_nearly_spent() {
    let shield = shield::Config::default().session_4xx_per_minute(8).warn_at(0.75);
    let (players, mut far) = stack(Config::default().shield(shield));
    let player = players.getting(&media(1, 0));
    for _ in 0..6 {
        far.asked().await.status(409);
    }
    got(player).await.is_problem(502, "conflict");
    far.quiet_for(secs(2)).await;
}

#[tokio::test(start_paused = true)]
async fn a_conflict_fails_no_rendition_because_another_waits() {
    let (players, mut far) = stack(Config::default());
    players.learn(&mut far, &media(1, 0), 7).await;
    let subtitles = players.getting(&media(1, 3));
    far.asked().await.status(409);
    let video = players.getting(&media(1, 0));
    for _ in 0..3 {
        let asked = far.asked().await;
        assert_eq!(asked.target, media(1, 3));
        asked.status(409);
    }
    far.asked().await.playlist(7);
    got(subtitles).await.is_playlist(7);
    far.asked().await.playlist(8);
    got(video).await.is_playlist(8);
}

#[tokio::test(start_paused = true)]
async fn who_starts_is_patient_however_many_conflicts_others_have() {
    let shield = shield::Config::default().configuration_4xx_per_minute(8);
    let (players, mut far) = stack(Config::default().shield(shield));
    for session in 1..=3 {
        players.learn(&mut far, &media(session, 0), 7).await;
        let player = players.getting(&media(session, 0));
        for _ in 0..4 {
            far.asked().await.status(409);
        }
        assert_eq!(got(player).await.header("x-onelane-rescue"), Some("conflict"));
    }
    let player = players.getting(&media(9, 0));
    for _ in 0..6 {
        far.asked().await.status(409);
    }
    far.asked().await.playlist(7);
    got(player).await.is_playlist(7);
}

#[tokio::test(start_paused = true)]
async fn what_creates_a_session_is_sent_again_only_if_it_was_not_sent() {
    for target in ["/v1/session/acct/Demo/i.m3u8", "/v1/master/acct/Demo/i.m3u8", "/v1/dash/acct/Demo/i.mpd"]
    {
        let (players, mut far) = stack(Config::default());
        let (player, begun) = (players.getting(target), Instant::now());
        let mut refused = 0;
        loop {
            let asked = far.asked().await;
            if begun.elapsed() >= secs(3) {
                asked.answer(200, &[], "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n0.m3u8\n");
                break;
            }
            refused += 1;
            asked.refuses();
        }
        assert!((3..30).contains(&refused), "{refused}");
        assert_eq!(got(player).await.status, 200, "{target}");

        let player = players.getting(target);
        far.asked().await.breaks();
        got(player).await.is_problem(502, "unreachable");
        far.quiet_for(secs(6)).await;

        let impatient = Config::default().retry(RetryConfig::default().patient(false));
        let (players, mut far) = stack(impatient);
        let player = players.getting(target);
        far.asked().await.refuses();
        got(player).await.is_problem(502, "unreachable");
    }
}

#[tokio::test(start_paused = true)]
async fn what_creates_a_session_is_sent_again_after_an_answer_where_that_is_wanted() {
    let config = || Config::default().retry(RetryConfig::default().creations(true));
    const MASTER: &str = "/v1/master/acct/Demo/i.m3u8";
    for status in [409, 500, 503, 504] {
        let (players, mut far) = stack(config());
        let (player, begun) = (players.getting(MASTER), Instant::now());
        let mut tries = 0;
        let asked = loop {
            let asked = far.asked().await;
            if begun.elapsed() >= secs(3) {
                break asked;
            }
            tries += 1;
            asked.status(status);
        };
        assert!((3..30).contains(&tries), "{status}: {tries}");
        asked.answer(200, &[], "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n0.m3u8\n");
        assert_eq!(got(player).await.status, 200, "{status}");
    }
    // Neither what makes throttling worse, nor where no answer came, nor what is no GET, nor what stays.
    let (players, mut far) = stack(config());
    for (method, target, fails) in [
        (Method::GET, MASTER, Some(429)),
        (Method::GET, MASTER, None),
        (Method::POST, "/v1/session/acct/Demo/i.m3u8", Some(503)),
        (Method::GET, MASTER, Some(404)),
    ] {
        let request = Request::builder().method(method).uri(target);
        let player = players.ask(request.body(Empty::new()).expect("a request"));
        let asked = far.asked().await;
        match fails {
            Some(status) => asked.status(status),
            None => asked.breaks(),
        }
        assert_ne!(got(player).await.status, 200, "{fails:?}");
        far.quiet_for(secs(6)).await;
    }
}
