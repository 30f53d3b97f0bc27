//! Sessions that are answered here.

use std::{ops::Range, time::Duration};

use http::{Method, Request, uri::Authority};
use http_body_util::Empty;
use onelane::{
    rescue,
    session::MediaTailor,
    shield,
    stack::{Config, Stack},
    upstream::RetryConfig,
};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, advance},
};

use crate::support::{Asked, Far, Got, Players, got, media, ms, over, playlist, secs, session, stack};

#[tokio::test(start_paused = true)]
async fn a_lost_session_is_answered_here_but_for_one_probe_in_half_a_target_duration() {
    let (players, mut far) = stack(Config::default());
    players.learn(&mut far, &media(1, 0), 7).await;
    let player = players.getting(&media(1, 0));
    far.asked().await.status(400);
    got(player).await.is_problem(404, "session_lost");

    let (begun, mut probes) = (Instant::now(), 0);
    while begun.elapsed() < secs(30) {
        let targets = [
            media(1, 0),
            media(1, 1),
            format!("/v1/master/acct/Demo/index.m3u8?aws.sessionId={}", session(1)),
            format!("/v1/tracking/acct/Demo/{}", session(1)),
        ];
        let asking: Vec<_> = targets.iter().map(|target| (Instant::now(), players.getting(target))).collect();
        for (asked_at, mut player) in asking {
            let answer = tokio::select! {
                biased;
                answer = &mut player => answer.expect("no panic"),
                asked = far.asked() => {
                    assert!(!asked.target.contains("tracking"), "nobody hears of that one");
                    probes += 1;
                    asked.status(404);
                    got(player).await
                }
            };
            // Nothing of it is a rescue.
            answer.is_problem(404, "session_lost");
            assert!(answer.at - asked_at <= ms(250), "at once, or when no other of the burst finds out");
            if answer.header("retry-after").is_some() {
                let again: u64 =
                    answer.header("retry-after").and_then(|text| text.parse().ok()).expect("seconds");
                assert!((1..=8).contains(&again), "{again}");
            }
        }
        advance(ms(100)).await;
    }
    assert_eq!(
        probes, 8,
        "in thirty seconds, since playlists of six seconds were known: later a little less often"
    );

    // Segments and preflights of it are nobody's business.
    let segment = players.getting(&format!("/v1/segment/acct/Demo/{}/0/1", session(1)));
    far.asked().await.status(301);
    assert_eq!(got(segment).await.status, 301);
    // Other sessions go on, and a probe that goes well brings this one back.
    players.learn(&mut far, &media(2, 0), 7).await;
    advance(secs(8 + 3)).await;
    players.learn(&mut far, &media(1, 0), 3).await;
    players.learn(&mut far, &media(1, 1), 3).await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_in_a_lane_when_its_session_is_lost_is_not_sent() {
    let (players, mut far) = stack(Config::default());
    for (nth, (status, left, reason)) in
        [(404, 404, "session_lost"), (400, 404, "session_lost"), (410, 410, "blocked")]
            .into_iter()
            .enumerate()
    {
        let [video, audio, subtitles] = [0, 1, 2].map(|n| media(nth as u32, n));
        for target in [&video, &audio, &subtitles] {
            players.learn(&mut far, target, 7).await;
        }
        let burst = [&video, &audio, &subtitles].map(|target| players.getting(target));
        let first = far.asked().await;
        assert_eq!(first.target, video);
        first.status(status);
        for (player, nth) in burst.into_iter().zip(0..) {
            match nth > 0 && status == 404 {
                // Which came just before, and 404 may be about one alone: that all are lost is for another of them to say.
                true => got(player).await.is_rescue(7, "session_lost", 0),
                false => got(player).await.is_problem(left, reason),
            }
        }
        far.quiet().await;

        // The one that probes is sent, whatever is known, and its siblings hear of it where that is no matter of support.
        advance(secs(30)).await;
        let begun = Instant::now();
        let burst = [&video, &audio, &subtitles].map(|target| players.getting(target));
        far.asked().await.playlist(8);
        for (player, nth) in burst.into_iter().zip(0..) {
            if nth > 0 && status == 410 {
                got(player).await.is_problem(left, reason);
                continue;
            }
            if nth > 0 {
                far.asked().await.playlist(8);
            }
            got(player).await.is_playlist(8);
        }
        assert_eq!(Instant::now(), begun, "nobody waits for longer than it takes");
        players.learn(&mut far, &audio, 9).await;
        players.are_done().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_siblings_of_a_probe_are_told_of_the_loss_that_it_finds() {
    let (players, mut far) = stack(Config::default());
    let [video, audio, subtitles] = [0, 1, 2].map(|n| media(1, n));
    players.learn(&mut far, &video, 7).await;
    let player = players.getting(&video);
    far.asked().await.status(404);
    got(player).await.is_problem(404, "session_lost");

    // The probe says the same: nobody else is sent.
    advance(secs(3)).await;
    let burst = [&audio, &subtitles, &video].map(|target| players.getting(target));
    far.asked().await.status(404);
    for player in burst {
        got(player).await.is_problem(404, "session_lost");
    }
    far.quiet().await;

    // It says nothing for long: they are told of what is known within a second, and are not sent later.
    advance(secs(3)).await;
    let begun = Instant::now();
    let [probe, sibling] = [&video, &audio].map(|target| players.getting(target));
    let asked = far.asked().await;
    let told = got(sibling).await;
    told.is_problem(404, "session_lost");
    assert_eq!(told.at - begun, ms(800));
    asked.playlist(8);
    got(probe).await.is_playlist(8);
    far.quiet().await;
    players.learn(&mut far, &audio, 8).await;

    // It goes well: who waits for a turn of its own has all the time that it takes.
    let player = players.getting(&video);
    far.asked().await.status(404);
    got(player).await.is_problem(404, "session_lost");
    advance(secs(3)).await;
    let [probe, sibling] = [&audio, &video].map(|target| players.getting(target));
    let asked = far.asked().await;
    advance(ms(500)).await;
    asked.playlist(9);
    got(probe).await.is_playlist(9);
    let asked = far.asked().await;
    advance(ms(500)).await;
    asked.playlist(9);
    got(sibling).await.is_playlist(9);
    players.are_done().await;
}

#[tokio::test(start_paused = true)]
async fn one_playlist_that_is_missing_once_takes_no_sibling_with_it_that_came_just_before() {
    let (players, mut far) = stack(Config::default());
    let all = [0, 1, 2].map(|n| media(1, n));
    for target in &all {
        players.learn(&mut far, target, 7).await;
    }
    for order in [[0, 1, 2], [1, 0, 2], [2, 1, 0]] {
        let burst = all.each_ref().map(|target| players.getting(target));
        far.asked().await.playlist(7);
        far.asked().await.status(404);
        for (player, nth) in burst.into_iter().zip(0..) {
            match nth {
                0 => got(player).await.is_playlist(7),
                1 => got(player).await.is_problem(404, "session_lost"),
                _ => got(player).await.is_rescue(7, "session_lost", 0),
            }
        }
        players.get(&all[1]).await.is_problem(404, "session_lost");
        far.quiet_for(ms(1)).await;
        // A burst half a target duration later finds out, and be the one that was missing the first of it.
        advance(secs(3)).await;
        let begun = Instant::now();
        let burst = order.map(|n| players.getting(&all[n]));
        for _ in 0..3 {
            far.asked().await.playlist(7);
        }
        for player in burst {
            got(player).await.is_playlist(7);
        }
        assert!(begun.elapsed() <= ms(250), "{order:?}");
    }
    players.are_done().await;
}

#[tokio::test(start_paused = true)]
async fn a_playlist_that_stays_missing_does_not_speak_for_its_siblings() {
    let (players, mut far) = stack(Config::default());
    let [video, audio] = [0, 1].map(|n| media(1, n));
    players.learn(&mut far, &video, 7).await;
    players.learn(&mut far, &audio, 7).await;
    let player = players.getting(&audio);
    far.asked().await.status(404);
    got(player).await.is_problem(404, "session_lost");
    players.get(&video).await.is_rescue(7, "session_lost", 0);
    far.quiet_for(ms(1)).await;
    // It lets the other go first.
    advance(secs(3)).await;
    let burst = [&audio, &video].map(|target| players.getting(target));
    let asked = far.asked().await;
    assert_eq!(asked.target, video);
    asked.playlist(8);
    far.asked().await.status(404);
    let [audio_got, video_got] = burst;
    got(audio_got).await.is_problem(404, "not_found");
    got(video_got).await.is_playlist(8);
    players.learn(&mut far, &video, 9).await;
    // Nobody else asks: then it is told what is known, a moment later.
    let player = players.getting(&audio);
    got(player).await.is_problem(404, "not_found");
    players.are_done().await;
}

#[tokio::test(start_paused = true)]
async fn a_playlist_that_stays_missing_is_not_the_next_probe_though_its_siblings_were_in_the_lane() {
    let (players, mut far) = stack(Config::default());
    let all = [2, 0, 1].map(|n| media(1, n));
    for target in &all {
        players.learn(&mut far, target, 7).await;
    }
    for sequence in [8, 9] {
        let burst = all.each_ref().map(|target| players.getting(target));
        while let Some(asked) = far.asked_within(ms(300)).await {
            match asked.target == all[0] {
                true => asked.status(404),
                false => asked.playlist(sequence),
            }
        }
        for (player, nth) in burst.into_iter().zip(0..) {
            let answer = got(player).await;
            match nth {
                0 => assert_eq!(answer.status, 404),
                _ => assert_eq!(answer.status, 200, "{answer:?}"),
            }
        }
        advance(secs(3)).await;
    }
    players.are_done().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_was_given_finds_out_though_all_4xx_are_spent_unless_many_are_lost() {
    for lost in [0, 3] {
        let shield = shield::Config::default().configuration_4xx_per_minute(60);
        let (players, mut far) = stack(Config::default().shield(shield));
        for number in 1..=4 {
            players.learn(&mut far, &media(number, 0), 7).await;
            players.learn(&mut far, &media(number, 1), 7).await;
        }
        for number in 1..=1 + lost {
            let player = players.getting(&media(number, 1));
            far.asked().await.status(404);
            got(player).await.is_problem(404, "session_lost");
        }
        for number in 0..59 - lost {
            let player = players.getting(&media(100 + number, 0));
            far.asked().await.status(404);
            got(player).await.is_problem(404, "session_lost");
        }
        advance(secs(3)).await;
        if lost > 0 {
            players.get(&media(1, 0)).await.is_problem(404, "session_lost");
            far.quiet().await;
            continue;
        }
        players.learn(&mut far, &media(1, 0), 8).await;
        players.learn(&mut far, &media(1, 1), 8).await;
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_of_before_is_given_once_apps_are_told_of_the_loss() {
    for answered in [504, 404] {
        let (players, mut far) = stack(Config::default().retry(RetryConfig::default().patient(false)));
        let [video, audio] = [0, 1].map(|n| media(1, n));
        players.learn(&mut far, &video, 7).await;
        players.learn(&mut far, &audio, 7).await;
        let player = players.getting(&audio);
        far.asked().await.status(404);
        got(player).await.is_problem(404, "session_lost");
        advance(secs(3)).await;
        // The one that finds out takes long, or says nothing.
        let probe = players.getting(&video);
        let asked = far.asked().await;
        advance(secs(4)).await;
        asked.status(answered);
        if answered == 504 {
            far.asked().await.status(answered);
        }
        assert_eq!(got(probe).await.status, answered);
    }
}

#[tokio::test(start_paused = true)]
async fn who_turns_to_another_variant_after_a_stray_404_has_it_half_a_target_duration_later() {
    let shield = shield::Config::default().blocked_gap(secs(1));
    let (players, mut far) = stack(Config::default().shield(shield));
    let [video, audio, other, another] = [0, 1, 2, 3].map(|n| media(1, n));
    for lost in [false, true] {
        players.learn(&mut far, &video, 7).await;
        players.learn(&mut far, &audio, 7).await;
        let player = players.getting(&audio);
        far.asked().await.status(404);
        got(player).await.is_problem(404, "session_lost");
        let turns = [&other, &another].map(|target| players.getting(target));
        far.quiet_for(ms(990)).await;
        if lost {
            far.asked().await.status(404);
            let [one, two] = turns;
            // It was never there, which says nothing of its siblings; and the next probe is a gap away.
            got(one).await.is_problem(404, "not_found");
            got(two).await.is_problem(404, "session_lost");
            break;
        }
        for player in turns {
            far.asked().await.playlist(7);
            got(player).await.is_playlist(7);
        }
        advance(secs(61)).await;
        players.stack.lessons().store.expire(Instant::now());
    }
    far.quiet().await;
    players.are_done().await;
}

#[tokio::test(start_paused = true)]
async fn a_session_is_lost_when_two_of_its_playlists_say_so_with_one_request_in_half_a_target_duration() {
    let (players, mut far) = stack(Config::default());
    let all = [0, 1, 2].map(|n| media(1, n));
    for target in &all {
        players.learn(&mut far, target, 7).await;
    }
    let (begun, mut sent, mut rescued_until) = (Instant::now(), Vec::new(), ms(0));
    while begun.elapsed() < secs(12) {
        for target in &all {
            let player = players.getting(target);
            if let Some(asked) = far.asked_within(ms(1)).await {
                sent.push(begun.elapsed().as_secs());
                asked.status(404);
            }
            let answer = got(player).await;
            match answer.header("x-onelane-rescue") {
                Some(_) => rescued_until = begun.elapsed(),
                None => answer.is_problem(404, "session_lost"),
            }
        }
        advance(ms(500)).await;
    }
    assert_eq!(sent, [0, 3, 6, 9]);
    assert!(rescued_until < ms(800), "apps are told within a second: {rescued_until:?}");
    // Nothing of before is kept.
    assert_eq!(players.stack.lessons().store.playlists(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_waits_behind_a_probe_that_says_nothing_is_no_second_one() {
    let (players, mut far) =
        stack(Config::default().rescue(None).retry(RetryConfig::default().patient(false)));
    let [video, audio] = [0, 1].map(|n| media(1, n));
    players.learn(&mut far, &video, 7).await;
    players.learn(&mut far, &audio, 7).await;
    let player = players.getting(&video);
    far.asked().await.status(404);
    got(player).await.is_problem(404, "session_lost");
    advance(secs(3)).await;
    let probe = players.getting(&audio);
    let asked = far.asked().await;
    advance(ms(3_500)).await;
    let sibling = players.getting(&video);
    advance(ms(1)).await;
    asked.bad_gateway();
    got(probe).await.is_problem(502, "origin_broken");
    got(sibling).await.is_problem(404, "session_lost");
    far.quiet().await;
    players.are_done().await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_in_a_lane_when_its_session_fails_gets_its_last_good_playlist() {
    let (players, mut far) = stack(Config::default());
    let [video, audio, subtitles] = [0, 1, 2].map(|n| media(1, n));
    players.learn(&mut far, &video, 7).await;
    players.learn(&mut far, &audio, 7).await;
    let burst = [&video, &audio, &subtitles].map(|target| players.getting(target));
    // The first, and its second try.
    for _ in 0..2 {
        let asked = far.asked().await;
        assert_eq!(asked.target, video);
        asked.status(503);
    }
    let [first, second, third] = burst;
    got(first).await.is_rescue(7, "overloaded", 0);
    got(second).await.is_rescue(7, "overloaded", 0);
    // There is none of this one.
    let asked = far.asked().await;
    assert_eq!(asked.target, subtitles);
    asked.playlist(8);
    got(third).await.is_playlist(8);
    players.learn(&mut far, &video, 8).await;
    players.are_done().await;
}

#[tokio::test(start_paused = true)]
async fn a_rendition_that_is_missing_for_a_while_takes_its_session_for_no_longer_than_a_gap() {
    missing_for_a_while(Config::default()).await;
    missing_for_a_while(Config::default().rescue(None)).await;
}

async fn missing_for_a_while(config: Config) {
    let (players, mut far) = stack(config);
    let [video, audio] = [0, 1].map(|n| media(1, n));
    players.learn(&mut far, &video, 7).await;
    players.learn(&mut far, &audio, 7).await;
    // Its player asks for it once a second, and for the other half as often.
    let (begun, mut lost, mut asked_for) = (Instant::now(), 0, 0);
    while begun.elapsed() < secs(30) {
        for target in [&audio, &video] {
            if target == &video && begun.elapsed().as_secs() % 2 == 1 {
                continue;
            }
            let mut player = players.getting(target);
            let answer = tokio::select! {
                biased;
                answer = &mut player => answer.expect("no panic"),
                asked = far.asked() => {
                    match asked.target == audio {
                        true => {
                            asked_for += 1;
                            asked.status(404);
                        }
                        false => asked.playlist(8 + begun.elapsed().as_secs()),
                    }
                    got(player).await
                }
            };
            if target == &video && answer.status != 200 {
                answer.is_problem(404, "session_lost");
                lost += 1;
            }
        }
        advance(secs(1)).await;
    }
    assert!(lost <= 2, "{lost} times");
    assert!(asked_for <= 11, "it is asked for {asked_for} times");
    players.get(&audio).await.is_problem(404, "not_found");
    // A quarter of the time that it was missing.
    advance(secs(8)).await;
    players.learn(&mut far, &audio, 50).await;
}

#[tokio::test(start_paused = true)]
async fn a_blocked_session_is_probed_seldom() {
    let (players, mut far) = stack(Config::default());
    players.learn(&mut far, &media(1, 0), 7).await;
    for _ in 0..3 {
        let player = players.getting(&media(1, 0));
        far.asked().await.status(410);
        got(player).await.is_problem(410, "blocked");
        let until = Instant::now() + secs(30);
        while Instant::now() < until {
            players.get(&media(1, 1)).await.is_problem(410, "blocked");
            far.quiet().await;
            advance(ms(998)).await;
        }
        advance(ms(50)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_failing_session_is_answered_here_with_its_last_good_playlist() {
    let (players, mut far) = stack(Config::default());
    for (nth, (status, reason)) in
        [(409, "conflict"), (503, "overloaded"), (504, "timed_out"), (429, "throttled"), (0, "unreachable")]
            .into_iter()
            .enumerate()
    {
        let [video, audio, subtitles] = [0, 1, 2].map(|n| media(nth as u32, n));
        players.learn(&mut far, &video, 7).await;
        players.learn(&mut far, &audio, 7).await;
        let fails = |asked: Asked| if status == 0 { asked.breaks() } else { asked.status(status) };
        let (failed, _) = far.failing(players.getting(&video), fails).await;
        assert_eq!(failed.header("x-onelane-rescue"), Some(reason));

        // Its siblings are not sent after it.
        for target in [&video, &audio, &audio] {
            let asked_at = Instant::now();
            let answer = players.get(target).await;
            assert_eq!((answer.header("x-onelane-rescue"), answer.at), (Some(reason), asked_at));
        }
        // Who has nothing yet may have its try.
        let player = players.getting(&subtitles);
        let asked = far.asked().await;
        assert_eq!(asked.target, subtitles);
        asked.playlist(7);
        got(player).await.is_playlist(7);
        // That went well: so may the others.
        players.learn(&mut far, &video, 8).await;
        players.are_done().await;
    }
}

/// The first session, which has a playlist of number 7, fails from now on.
async fn fails(players: &Players, far: &mut Far) {
    let player = players.getting(&media(1, 0));
    far.asked().await.status(503);
    far.asked().await.status(503);
    got(player).await.is_rescue(7, "overloaded", 0);
}

#[tokio::test(start_paused = true)]
async fn one_probe_finds_out_whether_a_failing_session_is_well() {
    let (players, mut far) = stack(Config::default());
    players.learn(&mut far, &media(1, 0), 7).await;
    players.learn(&mut far, &media(1, 1), 7).await;
    fails(&players, &mut far).await;
    let tracking = format!("/v1/tracking/acct/Demo/{}", session(1));
    advance(secs(3)).await;

    // Tracking is nobody's probe.
    let player = players.getting(&tracking);
    far.asked().await.answer(200, &[], "{}");
    assert_eq!(got(player).await.body, "{}");
    let probe = players.getting(&media(1, 0));
    let asked = far.asked().await;
    players.get(&media(1, 1)).await.is_rescue(7, "overloaded", 3);
    far.quiet().await;
    asked.playlist(8);
    got(probe).await.is_playlist(8);
    players.learn(&mut far, &media(1, 1), 8).await;
}

/// Four renditions play for so long and ask once in two seconds, while the first so many get this status or no answer: the longest
/// time that each had nothing new for, and when the first was sent.
async fn play(
    (players, far): (&Players, &mut Far),
    (bad, status): (u32, Option<u16>),
    time: Duration,
) -> ([Duration; 4], Vec<Duration>) {
    let begun = Instant::now();
    // Nothing ends at the very moment of a poll.
    let mut polls = tokio::time::interval(ms(2_003));
    polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut asking, mut fresh, mut longest) = (JoinSet::new(), [begun; 4], [Duration::ZERO; 4]);
    let (mut sent, mut held) = (Vec::new(), Vec::new());
    while begun.elapsed() < time {
        tokio::select! {
            biased;
            Some(asked) = far.asked_within(Duration::MAX) => {
                if asked.target == media(1, 0) {
                    sent.push(begun.elapsed());
                }
                let is_bad = (0..bad).any(|nth| asked.target == media(1, nth));
                match status {
                    None if is_bad => held.push(asked),
                    Some(status) if is_bad => asked.status(status),
                    _ => asked.playlist(Instant::now().duration_since(players.born).as_secs()),
                }
            }
            Some(answer) = asking.join_next() => {
                let (nth, answer): (usize, Got) = answer.expect("no panic");
                if answer.header("x-onelane-rescue").is_none() && answer.status == 200 {
                    longest[nth] = longest[nth].max(answer.at - fresh[nth]);
                    fresh[nth] = answer.at;
                }
            }
            _ = polls.tick() => {
                players.stack.lessons().store.expire(Instant::now());
                for nth in 0..4 {
                    let player = players.getting(&media(1, nth as u32));
                    asking.spawn(async move { (nth, got(player).await) });
                }
            }
        }
    }
    for (longest, fresh) in longest.iter_mut().zip(fresh) {
        *longest = (*longest).max(fresh.elapsed());
    }
    (longest, sent)
}

#[tokio::test(start_paused = true)]
async fn a_long_outage_is_over_for_a_session_as_soon_as_it_is_for_its_upstream() {
    for (status, outage) in
        [409, 503, 504].into_iter().flat_map(|status| [(status, 70), (status, 85), (status, 130)])
    {
        let (players, mut far) = stack(Config::default());
        play((&players, &mut far), (0, None), secs(12)).await;
        play((&players, &mut far), (4, Some(status)), secs(outage)).await;
        let (longest, sent) = play((&players, &mut far), (0, None), secs(90)).await;
        let most = longest.iter().max();
        assert!(most <= Some(&secs(7)), "{status} for {outage} s: {longest:?}; sent at {sent:?}");
        players.are_done().await;
    }
}

#[tokio::test(start_paused = true)]
async fn conflicts_that_do_not_end_are_asked_for_once_in_a_gap() {
    // Something else loads this one all the time, and its sibling plays or is not asked for.
    for plays in [true, false] {
        let (players, mut far) = stack(Config::default());
        players.learn(&mut far, &media(1, 0), 7).await;
        let mut sent = [0; 2];
        for sent in &mut sent {
            let until = Instant::now() + secs(60);
            while Instant::now() < until {
                players.stack.lessons().store.expire(Instant::now());
                if plays {
                    players.learn(&mut far, &media(1, 0), players.born.elapsed().as_secs() + 8).await;
                }
                let player = players.getting(&media(1, 1));
                let (answer, tries) = far.failing(player, |asked| asked.status(409)).await;
                answer.is_problem(502, "conflict");
                *sent += tries;
                advance(secs(1)).await;
            }
        }
        // A try and three more, once in three seconds.
        assert!((20..=84).contains(&sent[1]), "{sent:?}");
        // And it is had within as much, once that has ended.
        let ended = Instant::now();
        let mut player = players.getting(&media(1, 1));
        let asked = loop {
            tokio::select! {
                biased;
                answer = &mut player => answer.expect("no panic").is_problem(502, "conflict"),
                asked = far.asked() => break asked,
            }
            advance(ms(500)).await;
            player = players.getting(&media(1, 1));
        };
        asked.playlist(8);
        got(player).await.is_playlist(8);
        assert!(ended.elapsed() <= secs(4), "{:?}", ended.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_taken_for_lost_amid_conflicts_is_asked_for_again() {
    let (players, mut far) = stack(Config::default());
    play((&players, &mut far), (0, None), secs(12)).await;
    play((&players, &mut far), (4, Some(409)), secs(90)).await;
    play((&players, &mut far), (4, Some(404)), secs(4)).await;
    let (longest, sent) = play((&players, &mut far), (0, None), secs(60)).await;
    assert!(longest.iter().max() <= Some(&secs(7)), "{longest:?}; sent at {sent:?}");
}

#[tokio::test(start_paused = true)]
async fn a_rendition_that_failed_for_a_while_is_had_again_soon_after() {
    for (status, fault, most) in [(Some(409), 30, 7), (Some(409), 90, 7), (Some(504), 90, 7), (None, 23, 20)]
    {
        let (players, mut far) = stack(Config::default());
        play((&players, &mut far), (0, None), secs(12)).await;
        play((&players, &mut far), (1, status), secs(fault)).await;
        let (longest, sent) = play((&players, &mut far), (0, None), secs(60)).await;
        assert!(longest[0] <= secs(most), "{status:?} for {fault} s: {longest:?}; sent at {sent:?}");
        players.are_done().await;
    }
}

/// Whoever asks meanwhile joins it: what it takes for itself is not taken from the one that it joined.
#[tokio::test(start_paused = true)]
async fn what_waited_for_one_that_never_answered_is_sent_when_that_is_given_up() {
    for asks_meanwhile in [false, true] {
        let (players, mut far) = stack(Config::default());
        for number in [0, 1] {
            players.learn(&mut far, &media(1, number), 7).await;
        }
        let hung = players.getting(&media(1, 0));
        let hangs = far.asked().await;
        got(hung).await.is_rescue(7, "slow", 2);
        advance(secs(5)).await;
        got(players.getting(&media(1, 1))).await.is_rescue(7, "slow", 9);
        // The turn is kept a moment, for the upstream to see that nobody is there any more.
        advance(secs(1) + ms(100)).await;
        let player = asks_meanwhile.then(|| players.getting(&media(1, 1)));
        let asked = far.asked().await;
        assert_eq!(asked.target, media(1, 1));
        asked.playlist(8);
        if let Some(player) = player {
            got(player).await.is_playlist(8);
        }
        drop(hangs);
        players.are_done().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_rendition_that_fails_for_good_leaves_its_siblings_alone() {
    for (status, most, tries) in [
        (Some(504), secs(10), 250),
        (Some(429), secs(10), 24),
        (Some(409), secs(10), 250),
        (None, secs(30), 10),
    ] {
        let (players, mut far) = stack(Config::default());
        play((&players, &mut far), (0, None), secs(6)).await;
        let (longest, sent) = play((&players, &mut far), (1, status), secs(180)).await;
        assert!(longest[1..].iter().max() <= Some(&most), "{status:?}: {longest:?}; sent at {sent:?}");
        assert!(sent.len() <= tries, "{status:?}: sent at {sent:?}");
        // It is not given up either.
        let again = sent.windows(2).map(|two| two[1] - two[0]).max();
        assert!(again <= Some(secs(45)), "{status:?}: sent at {sent:?}");
        let (longest, sent) = play((&players, &mut far), (0, None), secs(120)).await;
        assert!(longest[0] <= secs(45) && sent.len() > 20, "{status:?}: {longest:?}; sent at {sent:?}");
        players.are_done().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_rendition_that_never_answered_leaves_its_siblings_alone() {
    for plays_before in [false, true] {
        let (players, mut far) = stack(Config::default());
        if plays_before {
            // Its player turns it on later.
            for number in 1..4 {
                players.learn(&mut far, &media(1, number), 0).await;
            }
        }
        let (longest, sent) = play((&players, &mut far), (1, None), secs(180)).await;
        assert!(longest[1..].iter().max() <= Some(&secs(30)), "{longest:?}; sent at {sent:?}");
        assert!(sent.len() <= 10, "sent at {sent:?}");
        // It is not given up either.
        let again = sent.windows(2).map(|two| two[1] - two[0]).max();
        assert!(again <= Some(secs(45)), "sent at {sent:?}");
        let (longest, sent) = play((&players, &mut far), (0, None), secs(120)).await;
        assert!(longest[0] <= secs(45) && sent.len() > 20, "{longest:?}; sent at {sent:?}");
        players.are_done().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_rendition_that_fails_for_good_is_sent_when_there_is_nothing_to_give_if_that_takes_no_time() {
    for (status, is_sent) in [(Some(504), true), (None, false)] {
        let (players, mut far) = stack(Config::default().retry(RetryConfig::default().patient(false)));
        play((&players, &mut far), (0, None), secs(6)).await;
        play((&players, &mut far), (1, status), secs(120)).await;
        players.are_done().await;
        let mut player = players.getting(&media(1, 0));
        if is_sent {
            for _ in 0..2 {
                let asked = far.asked().await;
                assert_eq!(asked.target, media(1, 0));
                asked.status(504);
            }
            got(player).await.is_problem(504, "timed_out");
        } else {
            let asked_at = Instant::now();
            let answer = (&mut player).await.expect("no panic");
            answer.is_problem(504, "timed_out");
            assert_eq!(answer.at, asked_at);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_playlist_is_asked_for_as_soon_as_a_sibling_is_well_again() {
    for (status, lasts) in [(Some(503), secs(13)), (Some(504), secs(50)), (None, secs(12))] {
        let (players, mut far) = stack(Config::default());
        play((&players, &mut far), (0, None), secs(6)).await;
        play((&players, &mut far), (3, status), lasts).await;
        let (longest, sent) = play((&players, &mut far), (0, None), secs(60)).await;
        let first = sent.first().copied();
        assert!(first <= Some(secs(6)) && longest[0] <= secs(7), "{status:?}: {longest:?}; sent at {sent:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rendition_that_fails_for_good_is_nobodys_probe() {
    let (players, mut far) = stack(Config::default());
    for n in 0..2 {
        players.learn(&mut far, &media(1, n), 7).await;
    }
    fails(&players, &mut far).await;
    players.get(&media(1, 1)).await.is_rescue(7, "overloaded", 0);
    advance(secs(3)).await;
    // It has failed last, and another asks as well: that finds out.
    players.get(&media(1, 0)).await.is_rescue(7, "overloaded", 3);
    players.learn(&mut far, &media(1, 1), 8).await;
    // Which says that it is worth a try, and that is over as well.
    players.learn(&mut far, &media(1, 0), 8).await;
    players.learn(&mut far, &media(1, 0), 9).await;
}

#[tokio::test(start_paused = true)]
async fn a_rendition_that_failed_once_at_the_start_may_have_its_try() {
    let (players, mut far) = stack(Config::default());
    let video = players.getting(&media(1, 0));
    let asked = far.asked().await;
    let audio = players.getting(&media(1, 1));
    advance(secs(5)).await;
    asked.status(504);
    got(video).await.is_problem(504, "timed_out");
    far.asked().await.playlist(7);
    got(audio).await.is_playlist(7);
    advance(secs(1)).await;
    players.learn(&mut far, &media(1, 0), 7).await;
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_says_nothing_leaves_the_next_one_to_any() {
    let (players, mut far) = stack(Config::default());
    players.learn(&mut far, &media(1, 0), 7).await;
    players.learn(&mut far, &media(1, 1), 7).await;
    fails(&players, &mut far).await;
    players.get(&media(1, 1)).await.is_rescue(7, "overloaded", 0);
    advance(secs(3)).await;
    let probe = players.getting(&media(1, 1));
    far.asked().await.bad_gateway();
    got(probe).await.is_rescue(7, "origin_broken", 3);
    advance(secs(3)).await;
    players.learn(&mut far, &media(1, 0), 8).await;
}

#[tokio::test(start_paused = true)]
async fn what_fails_alone_is_told_as_lost_with_its_session() {
    let (players, mut far) = stack(Config::default());
    play((&players, &mut far), (0, None), secs(6)).await;
    play((&players, &mut far), (1, None), secs(60)).await;
    while let Some(asked) = far.asked_within(secs(1)).await {
        if asked.target == media(1, 0) { asked.status(504) } else { asked.playlist(1_000) }
    }
    players.are_done().await;
    let player = players.getting(&media(1, 1));
    far.asked().await.status(404);
    got(player).await.is_problem(404, "session_lost");
    players.get(&media(1, 0)).await.is_problem(404, "session_lost");
}

#[tokio::test(start_paused = true)]
async fn a_head_that_is_refused_leaves_the_playlist_as_it_was() {
    for (method, status) in [(Method::HEAD, 405), (Method::HEAD, 403), (Method::GET, 416)] {
        let (players, mut far) = stack(Config::default());
        players.learn(&mut far, &media(1, 0), 7).await;
        let player = players
            .ask(Request::builder().method(method).uri(media(1, 0)).body(Empty::new()).expect("a request"));
        far.asked().await.status(status);
        assert_eq!(got(player).await.status, status);
        let player = players.getting(&media(1, 0));
        far.asked().await.bad_gateway();
        got(player).await.is_rescue(7, "origin_broken", 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rendition_that_fails_from_the_start_on_is_nobodys_probe() {
    let (players, mut far) = stack(Config::default());
    players.learn(&mut far, &media(1, 0), 7).await;
    fails(&players, &mut far).await;
    advance(secs(3)).await;
    let subtitles = players.getting(&media(1, 3));
    let asked = far.asked().await;
    assert_eq!(asked.target, media(1, 3));
    // What plays finds out for itself, and is not waited with.
    let video = players.getting(&media(1, 0));
    far.quiet().await;
    asked.status(503);
    far.asked().await.status(503);
    got(subtitles).await.is_problem(502, "overloaded");
    let asked = far.asked().await;
    assert_eq!(asked.target, media(1, 0));
    asked.playlist(8);
    got(video).await.is_playlist(8);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_says_nothing_of_its_session_is_no_reason_to_wait_longer() {
    let (players, mut far) = stack(Config::default());
    players.learn(&mut far, &media(1, 0), 7).await;
    fails(&players, &mut far).await;
    for _ in 0..3 {
        advance(secs(3)).await;
        let probe = players.getting(&media(1, 0));
        far.asked().await.bad_gateway();
        assert_eq!(got(probe).await.header("x-onelane-rescue"), Some("origin_broken"));
        let sibling = players.get(&media(1, 0)).await;
        assert_eq!(sibling.header("x-onelane-rescue"), Some("overloaded"), "not at once either");
    }
    // Nor is one whose player goes before it is sent.
    advance(ms(10)).await;
    let first = players.getting(&media(1, 1));
    let asked = far.asked().await;
    advance(secs(3)).await;
    let probe = players.getting(&media(1, 0));
    far.quiet().await;
    probe.abort();
    asked.bad_gateway();
    got(first).await.is_problem(502, "origin_broken");
    advance(secs(3)).await;
    players.learn(&mut far, &media(1, 0), 8).await;
    players.are_done().await;
}

#[tokio::test(start_paused = true)]
async fn a_rendition_that_was_never_there_takes_no_sibling_with_it() {
    let (players, mut far) = stack(Config::default());
    players.learn(&mut far, &media(1, 0), 7).await;
    players.learn(&mut far, &media(1, 1), 7).await;
    for sequence in 8..12 {
        let subtitles = players.getting(&media(1, 3));
        far.asked().await.status(404);
        got(subtitles).await.is_problem(404, "not_found");
        players.learn(&mut far, &media(1, 0), sequence).await;
        players.learn(&mut far, &media(1, 1), sequence).await;
        // Nor is it asked for more often than a session that is lost.
        advance(ms(2990)).await;
        players.get(&media(1, 3)).await.is_problem(404, "not_found");
        far.quiet().await;
        advance(ms(10)).await;
    }
    // One that was there and is gone means that the session is.
    let player = players.getting(&media(1, 0));
    far.asked().await.status(404);
    got(player).await.is_problem(404, "session_lost");
    players.get(&media(1, 3)).await.is_problem(404, "session_lost");
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_one_playlist_is_not_its_sessions() {
    let (players, mut far) = stack(Config::default());
    players.learn(&mut far, &media(1, 0), 7).await;
    players.learn(&mut far, &media(1, 1), 7).await;
    for status in [500, 502] {
        let player = players.getting(&media(1, 0));
        far.asked().await.status(status);
        far.asked().await.status(status);
        got(player).await.is_rescue(7, "origin_broken", 0);
        players.learn(&mut far, &media(1, 1), 7).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_would_be_one_4xx_too_many_is_answered_here() {
    let shield = shield::Config::default().session_4xx_per_minute(5).configuration_4xx_per_minute(12);
    let (players, mut far) = stack(Config::default().shield(shield));
    players.learn(&mut far, &media(9, 0), 7).await;
    for number in [1, 2] {
        for _ in 0..5 {
            let player = players.getting(&media(number, 0));
            far.asked().await.status(403);
            got(player).await.is_problem(403, "denied");
        }
        let answer = players.get(&media(number, 0)).await;
        answer.is_problem(502, "held_back");
        assert_eq!(answer.header("retry-after"), Some("10"));
        far.quiet().await;
    }
    // Two more of another session, and the whole configuration has had its share.
    for _ in 0..2 {
        let player = players.getting(&media(3, 0));
        far.asked().await.status(403);
        got(player).await.is_problem(403, "denied");
    }
    players.get(&media(4, 0)).await.is_problem(502, "held_back");
    far.quiet().await;
    // Sessions that were good before go on, those of other configurations as well, and new ones are made.
    players.learn(&mut far, &media(9, 0), 8).await;
    players.learn(&mut far, &media(5, 0).replace("Demo", "Other"), 8).await;
    let master = Request::get("/v1/master/acct/Demo/index.m3u8").body(Empty::new()).expect("a request");
    let player = players.ask(master);
    far.asked().await.answer(200, &[], "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n0.m3u8\n");
    assert_eq!(got(player).await.status, 200);
    // A minute later it is over.
    advance(secs(71)).await;
    players.learn(&mut far, &media(1, 0), 8).await;
}

#[tokio::test(start_paused = true)]
async fn conflicts_of_sessions_that_play_refuse_no_session_that_is_new_here() {
    let shield = shield::Config::default().configuration_4xx_per_minute(12);
    let (players, mut far) = stack(Config::default().shield(shield));
    for number in 1..=10 {
        players.learn(&mut far, &media(number, 0), 7).await;
        advance(secs(1)).await;
        let player = players.getting(&media(number, 0));
        for _ in 0..3 {
            far.asked().await.status(409);
        }
        far.asked().await.playlist(7);
        got(player).await.is_playlist(7);
    }
    assert!(players.stack.lessons().quota.used(Instant::now()) > 2.0, "the operator sees them");
    // It was made through another instance.
    players.learn(&mut far, &media(11, 0), 7).await;
}

/// A whole playlist, which is never too old.
const ENDED: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6.0,\n0.ts\n#EXT-X-ENDLIST\n";

/// What is kept for GET says nothing of another method.
#[tokio::test(start_paused = true)]
async fn heads_that_are_missing_have_the_same_limit() {
    let shield = shield::Config::default().session_4xx_per_minute(5);
    let (players, mut far) = stack(Config::default().shield(shield));
    let player = players.getting(&media(1, 0));
    far.asked().await.answer(200, &[], ENDED);
    assert_eq!(got(player).await.status, 200);
    let mut sent = 0;
    for _ in 0..20 {
        let request = Request::head(media(1, 0)).body(Empty::new()).expect("a request");
        let mut player = players.ask(request);
        tokio::select! {
            biased;
            answer = &mut player => assert_eq!(answer.expect("no panic").status, 200, "it is bridged"),
            asked = far.asked() => {
                sent += 1;
                asked.status(404);
                assert_eq!(got(player).await.status, 404);
            }
        }
    }
    assert_eq!(sent, 5);
    // Its GETs go on.
    let player = players.getting(&media(1, 0));
    far.asked().await.answer(200, &[], ENDED);
    assert_eq!(got(player).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn what_was_good_and_is_given_no_more_has_the_same_limits() {
    for (status, reason) in [(403, "denied"), (401, "failed"), (405, "failed"), (451, "failed")] {
        let shield = shield::Config::default().session_4xx_per_minute(5).configuration_4xx_per_minute(12);
        let (players, mut far) = stack(Config::default().shield(shield));
        for number in 0..20 {
            let player = players.getting(&media(number, 0));
            far.asked().await.answer(200, &[], ENDED);
            assert_eq!(got(player).await.status, 200);
        }
        // Five of the first and one of each that had none; then as many as all may have.
        for (after, most) in [(secs(0), 5 + 9), (secs(100), 12)] {
            advance(after).await;
            let mut sent = 0;
            for number in [0; 10].into_iter().chain(1..10).chain(1..10) {
                let mut player = players.getting(&media(number, 0));
                tokio::select! {
                    biased;
                    answer = &mut player => answer.expect("no panic").is_problem(502, "held_back"),
                    asked = far.asked() => {
                        sent += 1;
                        asked.status(status);
                        got(player).await.is_problem(status, reason);
                    }
                }
            }
            assert_eq!(sent, most, "{status} after {after:?}");
        }
        // A session that had none is sent for whatever the others do, and so are other playlists of one that is well.
        for target in [media(15, 0), media(15, 1)] {
            let player = players.getting(&target);
            far.asked().await.answer(200, &[], ENDED);
            assert_eq!(got(player).await.status, 200);
        }
        // One that is given again is as good as before.
        advance(secs(100)).await;
        for _ in 0..3 {
            let player = players.getting(&media(0, 0));
            far.asked().await.answer(200, &[], ENDED);
            assert_eq!(got(player).await.status, 200);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_has_its_own_limit_when_its_configuration_has_none_left_as_well() {
    let shield = shield::Config::default().session_4xx_per_minute(5).configuration_4xx_per_minute(8);
    let (players, mut far) = stack(Config::default().shield(shield));
    players.learn(&mut far, &media(1, 0), 7).await;
    players.learn(&mut far, &media(2, 0), 7).await;
    for (number, times) in [(1, 5), (2, 3)] {
        for nth in 0..times {
            let subtitles = players.getting(&media(number, 3 + nth));
            far.asked().await.status(404);
            got(subtitles).await.is_problem(404, "not_found");
        }
    }
    players.get(&media(1, 9)).await.is_problem(502, "held_back");
    far.quiet().await;
    // The one that has some left is good, and so is what is good of the other.
    let subtitles = players.getting(&media(2, 9));
    far.asked().await.status(404);
    got(subtitles).await.is_problem(404, "not_found");
    players.learn(&mut far, &media(1, 0), 8).await;
}

#[tokio::test(start_paused = true)]
async fn a_session_of_which_nothing_is_kept_does_not_pay_for_the_lost_ones() {
    let shield = shield::Config::default().configuration_4xx_per_minute(3);
    // What is larger than the store is not kept.
    let rescue = onelane::rescue::Config::default().bytes(1);
    let (players, mut far) = stack(Config::default().shield(shield).rescue(rescue));
    let dash = format!("/v1/dash/acct/Demo/index.mpd?aws.sessionId={}", session(1));
    let mpd = async |far: &mut Far| {
        let player = players.getting(&dash);
        far.asked().await.answer(200, &[], "<MPD/>");
        assert_eq!(got(player).await.status, 200);
    };
    mpd(&mut far).await;
    players.learn(&mut far, &media(2, 0), 7).await;
    for number in 3..6 {
        let player = players.getting(&media(number, 0));
        far.asked().await.status(404);
        got(player).await.is_problem(404, "session_lost");
    }
    players.get(&media(6, 0)).await.is_problem(502, "held_back");
    // As long as they are watched, be it for longer than a minute.
    for sequence in 8..30 {
        mpd(&mut far).await;
        players.learn(&mut far, &media(2, 0), sequence).await;
        advance(secs(6)).await;
        let player = players.getting(&media(100, 0));
        if let Some(asked) = far.asked_within(ms(1)).await {
            asked.status(404);
        }
        got(player).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_new_here_does_not_pay_for_those_that_played_here_and_are_lost() {
    let (players, mut far) = lost_at_once(100, 40).await;
    // How many of these are sent; from this number on they are not there.
    let ask = async |far: &mut Far, numbers: Range<u32>, gone: u32| {
        let mut sent = 0;
        for number in numbers {
            let player = players.getting(&media(number, 0));
            match far.asked_within(ms(1)).await {
                None => assert_ne!(got(player).await.status, 200),
                Some(asked) if number >= gone => {
                    sent += 1;
                    asked.status(404);
                    got(player).await.is_problem(404, "session_lost");
                }
                Some(asked) => {
                    sent += 1;
                    asked.playlist(8);
                    got(player).await.is_playlist(8);
                }
            }
        }
        sent
    };
    advance(secs(3)).await;
    assert_eq!(ask(&mut far, 0..100, 0).await, 0, "none is asked for again");
    // Those that were made through another instance, and then as many more that are not there.
    assert_eq!(ask(&mut far, 1_000..1_100, 2_000).await, 100);
    // One that meets conflicts is no less new.
    let (answer, _) = far.failing(players.getting(&media(1_200, 0)), |asked| asked.status(409)).await;
    answer.is_problem(502, "conflict");
    players.learn(&mut far, &media(1_200, 0), 8).await;
    assert_eq!(ask(&mut far, 2_000..2_100, 2_000).await, 10, "a quarter of the limit");
    assert_eq!(ask(&mut far, 1_000..1_100, 2_000).await, 100, "they have played here now");
    // Nor do the lost ones take it all who still ask a minute later.
    for _ in 0..40 {
        advance(secs(3)).await;
        ask(&mut far, 0..100, 0).await;
    }
    assert_eq!(ask(&mut far, 1_300..1_320, 2_000).await, 20);
    // Where none had played there is no more than the limit.
    advance(secs(131)).await;
    assert_eq!(ask(&mut far, 3_000..3_100, 3_000).await, 40);

    // However long the first of them fly, nobody follows on trust.
    let (players, mut far) = lost_at_once(100, 40).await;
    let asking: Vec<_> = (1_000..1_100).map(|number| players.getting(&media(number, 0))).collect();
    let mut flying = Vec::new();
    while let Some(asked) = far.asked_within(secs(2)).await {
        flying.push(asked);
    }
    assert_eq!(flying.len(), 10);
    flying.into_iter().for_each(|asked| asked.status(404));
    for player in asking {
        assert_ne!(got(player).await.status, 200);
    }
    far.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_session_that_stays_lost_is_asked_for_less_and_less() {
    let (players, mut far) = stack(Config::default());
    players.learn(&mut far, &media(0, 0), 7).await;
    let began = Instant::now();
    let mut sent = Vec::new();
    while began.elapsed() < secs(600) {
        let player = players.getting(&media(0, 0));
        if let Some(asked) = far.asked_within(ms(1)).await {
            sent.push(began.elapsed().as_secs());
            asked.status(404);
        }
        got(player).await.is_problem(404, "session_lost");
        advance(secs(1)).await;
    }
    assert_eq!(&sent[..5], [0, 3, 6, 9, 12]);
    assert!((25..35).contains(&sent.len()), "{sent:?}");
    let apart: Vec<_> = sent.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(apart.is_sorted() && apart.last() == Some(&30), "{apart:?}");
    advance(secs(30)).await;
    players.learn(&mut far, &media(0, 0), 8).await;
    // It is not held against it when it is lost anew.
    for _ in 0..2 {
        let player = players.getting(&media(0, 0));
        far.asked().await.status(404);
        got(player).await.is_problem(404, "session_lost");
        advance(secs(3)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn those_that_are_known_to_be_lost_leave_half_to_the_others() {
    let (players, mut far) = lost_at_once(30, 40).await;
    for round in 0..80 {
        advance(secs(3)).await;
        for number in 0..30 {
            let player = players.getting(&media(number, 0));
            if let Some(asked) = far.asked_within(ms(1)).await {
                asked.status(404);
            }
            got(player).await.is_problem(404, "session_lost");
        }
        // One that plays through another instance.
        if round > 25 {
            players.learn(&mut far, &media(1_000 + round, 0), 8).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_player_that_is_denied_again_and_again_leaves_half_to_the_others() {
    let shield = shield::Config::default().configuration_4xx_per_minute(40);
    let (players, mut far) = stack(Config::default().shield(shield));
    for number in 0..8 {
        players.learn(&mut far, &media(number, 0), 7).await;
    }
    for round in 0..120 {
        advance(secs(1)).await;
        for number in 0..3 {
            let player = players.getting(&media(number, 0));
            match far.asked_within(ms(1)).await {
                Some(asked) => {
                    asked.status(403);
                    got(player).await.is_problem(403, "denied");
                }
                None => got(player).await.is_problem(502, "held_back"),
            }
        }
        players.learn(&mut far, &media(1_000 + round, 0), 8).await;
    }
}

/// So many sessions that have played are lost at once, of a configuration with this limit.
async fn lost_at_once(sessions: u32, limit: u32) -> (Players, Far) {
    let shield = shield::Config::default().configuration_4xx_per_minute(limit);
    let (players, mut far) = stack(Config::default().shield(shield));
    for number in 0..sessions {
        players.learn(&mut far, &media(number, 0), 7).await;
    }
    for number in 0..sessions {
        let player = players.getting(&media(number, 0));
        far.asked().await.status(404);
        got(player).await.is_problem(404, "session_lost");
    }
    (players, far)
}

/// The answer that makes a session, when a player asks for its multivariant playlist without an id.
fn of_its_own(number: u32) -> String {
    format!(
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n../../../manifest/acct/Demo/{}/0.m3u8\n",
        session(number)
    )
}

const MASTER: &str = "/v1/master/acct/Demo/index.m3u8";

#[tokio::test(start_paused = true)]
async fn a_stream_of_which_no_session_can_be_made_is_asked_for_no_more_often_than_is_allowed() {
    let shield = shield::Config::default().session_4xx_per_minute(5).configuration_4xx_per_minute(12);
    let dead = |nth: u32| match nth % 2 {
        0 => Request::get(format!("/v1/master/acct/Demo/gone.m3u8?viewer={nth}")),
        _ => Request::post("/v1/session/acct/Demo/gone.m3u8"),
    };
    let (players, mut far) = stack(Config::default().shield(shield));
    let good = async |far: &mut Far, path: &str, number: u32| {
        let player = players.getting(path);
        far.asked().await.answer(200, &[], of_its_own(number));
        assert_eq!(got(player).await.status, 200);
    };
    good(&mut far, MASTER, 1).await;
    let mut sent = 0;
    for nth in 0..40 {
        let player = players.ask(dead(nth).body(Empty::new()).expect("a request"));
        match far.asked_within(ms(1)).await {
            Some(asked) => {
                sent += 1;
                asked.status(404);
                got(player).await.is_problem(404, "not_found");
            }
            None => got(player).await.is_problem(502, "held_back"),
        }
    }
    assert_eq!(sent, 10, "five of each");
    assert!(players.stack.lessons().quota.used(Instant::now()) > 0.8);
    // Another stream of the configuration, and one that was not asked for before.
    good(&mut far, MASTER, 2).await;
    good(&mut far, "/v1/master/acct/Demo/other.m3u8", 3).await;
    // Once the configuration has no more left, a stream has what it had of its own, and its first.
    for nth in 0..4 {
        let player = players.getting(&format!("/v1/master/acct/Demo/{nth}.m3u8"));
        far.asked().await.status(410);
        got(player).await.is_problem(410, "blocked");
    }
    players.get("/v1/master/acct/Demo/3.m3u8").await.is_problem(502, "held_back");
    for number in 4..30 {
        good(&mut far, MASTER, number).await;
        // One viewer's parameters are not another's.
        let player = players.getting(&format!("{MASTER}?ads.x=%00"));
        far.asked().await.status(400);
        got(player).await.is_problem(400, "bad_request");
    }
    advance(secs(71)).await;
    good(&mut far, "/v1/master/acct/Demo/3.m3u8", 40).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_has_begun_is_found_out_within_seconds() {
    let shield = shield::Config::default().session_4xx_per_minute(5);
    let (players, mut far) = stack(Config::default().shield(shield));
    for _ in 0..5 {
        let player = players.getting(MASTER);
        far.asked().await.status(404);
        got(player).await.is_problem(404, "not_found");
    }
    // Its encoder is still off, and thousands reload.
    for _ in 0..3 {
        players.get(MASTER).await.is_problem(502, "held_back");
        far.quiet().await;
        advance(secs(3)).await;
        let one = players.getting(MASTER);
        far.asked().await.status(404);
        got(one).await.is_problem(404, "not_found");
    }
    advance(secs(3)).await;
    let one = players.getting(MASTER);
    let asked = far.asked().await;
    players.get(MASTER).await.is_problem(502, "held_back");
    asked.answer(200, &[], of_its_own(1));
    assert_eq!(got(one).await.status, 200);
    for number in 2..20 {
        let player = players.getting(MASTER);
        far.asked().await.answer(200, &[], of_its_own(number));
        assert_eq!(got(player).await.status, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_begins_does_not_pay_for_those_it_waited_for() {
    let shield = shield::Config::default().configuration_4xx_per_minute(2);
    let (players, mut far) = stack(Config::default().shield(shield));
    let lost = [1, 2].map(|number| players.getting(&media(number, 0)));
    let asked = [far.asked().await, far.asked().await];
    let player = players.getting(MASTER);
    far.quiet().await;
    asked.into_iter().for_each(|asked| asked.status(404));
    for player in lost {
        got(player).await.is_problem(404, "session_lost");
    }
    far.asked().await.answer(200, &[], of_its_own(11));
    assert_eq!(got(player).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_just_made_does_not_pay_for_the_lost_ones() {
    let shield = shield::Config::default().configuration_4xx_per_minute(6);
    let (players, mut far) = stack(Config::default().shield(shield));
    // As when MediaTailor has forgotten all sessions, or somebody tries out ids.
    for number in 1..=4 {
        let player = players.getting(&media(number, 0));
        far.asked().await.status(404);
        got(player).await.is_problem(404, "session_lost");
    }
    // Players do as they should and start anew: one before the share is used up,
    let player = players.getting(MASTER);
    far.asked().await.answer(200, &[], of_its_own(11));
    assert_eq!(got(player).await.status, 200);
    for number in 5..=6 {
        let player = players.getting(&media(number, 0));
        far.asked().await.status(404);
        got(player).await.is_problem(404, "session_lost");
    }
    players.get(&media(7, 0)).await.is_problem(502, "held_back");
    far.quiet().await;
    // one after it, and one that has its session made explicitly.
    let player = players.getting(MASTER);
    far.asked().await.answer(200, &[], of_its_own(12));
    assert_eq!(got(player).await.body, of_its_own(12));
    let player = players.getting("/v1/session/acct/Demo/index.m3u8");
    let urls = format!(r#"{{"manifestUrl":"{MASTER}?aws.sessionId={}"}}"#, session(13));
    far.asked().await.answer(200, &[("content-type", "application/json")], urls.clone());
    let made = got(player).await;
    assert_eq!((made.status, &made.body[..]), (200, urls.as_bytes()));
    let player = players.getting(&format!("{MASTER}?aws.sessionId={}", session(13)));
    far.asked().await.answer(200, &[], of_its_own(13));
    assert_eq!(got(player).await.status, 200);
    for number in [11, 12, 13] {
        players.learn(&mut far, &media(number, 0), 7).await;
    }
    // Having a session made is no way around the limit,
    let player = players.getting(MASTER);
    far.asked().await.answer(200, &[], of_its_own(14));
    got(player).await;
    let player = players.getting(&media(14, 0));
    far.asked().await.status(403);
    got(player).await.is_problem(403, "denied");
    players.get(&media(14, 1)).await.is_problem(502, "held_back");
    // and an answer that failed makes none.
    let player = players.getting(MASTER);
    far.asked().await.answer(404, &[], of_its_own(15));
    got(player).await;
    players.get(&media(15, 0)).await.is_problem(502, "held_back");
    far.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_lost_before_its_first_media_playlist_is_shielded_as_any_other() {
    let (players, mut far) = stack(Config::default());
    let of_session = format!("/v1/master/acct/Demo/index.m3u8?aws.sessionId={}", session(1));
    for target in [MASTER, &of_session] {
        let player = players.getting(target);
        far.asked().await.answer(200, &[], of_its_own(1));
        got(player).await;
    }
    let (mut sent, begun) = (0, Instant::now());
    while begun.elapsed() < secs(30) {
        for n in 0..3 {
            let mut player = players.getting(&media(1, n));
            let answer = tokio::select! {
                biased;
                answer = &mut player => answer.expect("no panic"),
                asked = far.asked() => {
                    sent += 1;
                    asked.status(404);
                    got(player).await
                }
            };
            assert_eq!(answer.status, 404, "whatever is known of it");
        }
        advance(ms(100)).await;
    }
    // The first two of the first burst say that it is lost, then there is a probe in three seconds, and later a little less often.
    assert_eq!(sent, 2 + 7);
    // It is there again.
    advance(secs(8)).await;
    for n in 0..3 {
        players.learn(&mut far, &media(1, n), 7).await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_playlist_that_is_missing_from_the_start_on_is_asked_for_once_in_a_while() {
    let (players, mut far) = stack(Config::default());
    let player = players.getting(MASTER);
    far.asked().await.answer(200, &[], of_its_own(1));
    got(player).await;
    let (mut sent, begun) = (0, Instant::now());
    while begun.elapsed() < secs(30) {
        let mut player = players.getting(&media(1, 0));
        let answer = tokio::select! {
            biased;
            answer = &mut player => answer.expect("no panic"),
            asked = far.asked() => {
                sent += 1;
                asked.status(400);
                got(player).await
            }
        };
        answer.is_problem(404, "not_found");
        advance(ms(100)).await;
    }
    assert_eq!(sent, 9);
}

#[tokio::test(start_paused = true)]
async fn a_session_is_not_lost_by_what_another_method_gets() {
    for (method, status) in [(Method::HEAD, 404), (Method::HEAD, 400), (Method::POST, 404)] {
        let (players, mut far) = stack(Config::default());
        players.learn(&mut far, &media(1, 0), 7).await;
        players.learn(&mut far, &media(1, 1), 7).await;
        let player = players
            .ask(Request::builder().method(method).uri(media(1, 0)).body(Empty::new()).expect("a request"));
        far.asked().await.status(status);
        assert_eq!(got(player).await.status, 404);
        for (n, sequence) in [(0, 8), (1, 8), (0, 9)] {
            players.learn(&mut far, &media(1, n), sequence).await;
        }
        let player = players.getting(&media(1, 0));
        far.asked().await.bad_gateway();
        got(player).await.is_rescue(9, "origin_broken", 0);
    }
}

#[tokio::test(start_paused = true)]
async fn tracking_in_vain_spends_a_part_of_the_quota_and_no_playlist_pays_for_it() {
    let shield = shield::Config::default().session_4xx_per_minute(5).configuration_4xx_per_minute(40);
    let (players, mut far) = stack(Config::default().shield(shield));
    for number in 1..=30 {
        players.learn(&mut far, &media(number, 0), 7).await;
    }
    // Sessions that play, and one of which nothing is known.
    let tracking = |number: u32| format!("/v1/tracking/acct/Demo/{}", session(number));
    // Whose tracking is answered does not pay for the others'.
    let player = players.getting(&tracking(50));
    far.asked().await.answer(200, &[], "{}");
    assert_eq!(got(player).await.status, 200);
    let mut sent = 0;
    for nth in 0..200 {
        let mut player = players.getting(&tracking(1 + nth % 31));
        let answer = tokio::select! {
            biased;
            answer = &mut player => {
                let answer = answer.expect("no panic");
                answer.is_problem(502, "held_back");
                continue;
            }
            asked = far.asked() => {
                sent += 1;
                asked.status(404);
                got(player).await
            }
        };
        answer.is_problem(404, "session_lost");
    }
    assert_eq!(sent, 10, "a quarter");
    let player = players.getting(&tracking(50));
    far.asked().await.answer(200, &[], "{}");
    assert_eq!(got(player).await.status, 200);
    // What plays changes its variant, and who is new here is let in.
    for target in [media(1, 0), media(1, 1), media(31, 0), media(99, 0)] {
        players.learn(&mut far, &target, 8).await;
    }
    advance(secs(70)).await;
    let player = players.getting(&format!("/v1/tracking/acct/Demo/{}", session(1)));
    far.asked().await.answer(200, &[], "{}");
    assert_eq!(got(player).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_tracking_in_vain_spends_no_more_than_its_part() {
    let shield = shield::Config::default().configuration_4xx_per_minute(40);
    let (players, mut far) = stack(Config::default().shield(shield));
    let burst: Vec<_> = (0..100)
        .map(|number| players.getting(&format!("/v1/tracking/acct/Demo/{}", session(number))))
        .collect();
    let mut sent = 0;
    while let Some(asked) = far.asked_within(ms(1)).await {
        sent += 1;
        asked.status(404);
    }
    assert_eq!(sent, 10);
    for player in burst {
        assert!(matches!(got(player).await.status, 404 | 502));
    }
    players.learn(&mut far, &media(1, 0), 7).await;
}

#[tokio::test(start_paused = true)]
async fn two_renditions_that_are_missing_take_no_session_with_them_of_which_nothing_is_kept() {
    let rescue = rescue::Config::default().largest(16);
    for (config, coding) in [
        (Config::default().rescue(rescue), None),
        (Config::default().rescue(None), None),
        // Not read here.
        (Config::default(), Some("compress")),
    ] {
        let (players, mut far) = stack(config);
        let player = players.getting(MASTER);
        far.asked().await.answer(200, &[], of_its_own(1));
        got(player).await;
        let plays = async |far: &mut Far| {
            let player = players.getting(&media(1, 0));
            let headers: Vec<_> = coding.map(|coding| ("content-encoding", coding)).into_iter().collect();
            far.asked().await.answer(200, &headers, playlist(7));
            assert_eq!(got(player).await.status, 200);
        };
        let missing = async |far: &mut Far, n| {
            let player = players.getting(&media(1, n));
            far.asked().await.status(404);
            got(player).await.is_problem(404, "not_found");
        };
        plays(&mut far).await;
        missing(&mut far, 3).await;
        plays(&mut far).await;
        missing(&mut far, 4).await;
        plays(&mut far).await;
        advance(secs(3)).await;
        missing(&mut far, 3).await;
        missing(&mut far, 4).await;
        plays(&mut far).await;
    }
}

#[tokio::test(start_paused = true)]
async fn where_nothing_is_kept_a_multivariant_playlist_is_no_media_playlist() {
    let (players, mut far) = stack(Config::default().rescue(None));
    let player = players.getting(MASTER);
    far.asked().await.answer(200, &[], of_its_own(1));
    got(player).await;
    let player = players.getting(&format!("/v1/master/acct/Demo/index.m3u8?aws.sessionId={}", session(1)));
    far.asked().await.answer(200, &[], of_its_own(1));
    got(player).await;
    for (n, reason) in [(0, "not_found"), (1, "session_lost")] {
        let player = players.getting(&media(1, n));
        far.asked().await.status(404);
        got(player).await.is_problem(404, reason);
    }
    players.get(&media(1, 2)).await.is_problem(404, "session_lost");
    far.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_playlist_that_is_missing_waits_no_longer_for_what_befalls_its_siblings() {
    let (players, mut far) = stack(Config::default().retry(RetryConfig::default().broken(0).patient(false)));
    let player = players.getting(MASTER);
    far.asked().await.answer(200, &[], of_its_own(1));
    got(player).await;
    let fails = async |far: &mut Far, n, status| {
        let player = players.getting(&media(1, n));
        far.asked().await.status(status);
        got(player).await
    };
    fails(&mut far, 1, 504).await;
    fails(&mut far, 0, 404).await.is_problem(404, "not_found");
    advance(secs(1)).await;
    fails(&mut far, 1, 504).await;
    advance(secs(2)).await;
    players.learn(&mut far, &media(1, 0), 7).await;
}

#[tokio::test(start_paused = true)]
async fn a_rendition_that_is_missing_takes_no_sibling_of_a_new_session_with_it() {
    let (players, mut far) = stack(Config::default());
    let player = players.getting(MASTER);
    far.asked().await.answer(200, &[], of_its_own(1));
    got(player).await;
    let player = players.getting(&media(1, 0));
    far.asked().await.status(404);
    got(player).await.is_problem(404, "not_found");
    players.get(&media(1, 0)).await.is_problem(404, "not_found");
    players.learn(&mut far, &media(1, 1), 7).await;
    players.get(&media(1, 0)).await.is_problem(404, "not_found");
    far.quiet().await;
    // It is there a moment later.
    advance(secs(3)).await;
    players.learn(&mut far, &media(1, 0), 7).await;
    players.learn(&mut far, &media(1, 0), 8).await;
    // One that was good says it of all of them, and another confirms it.
    let player = players.getting(&media(1, 1));
    far.asked().await.status(404);
    got(player).await.is_problem(404, "session_lost");
    players.get(&media(1, 0)).await.is_rescue(8, "session_lost", 0);
    advance(secs(3)).await;
    let player = players.getting(&media(1, 0));
    far.asked().await.status(404);
    got(player).await.is_problem(404, "session_lost");
    players.get(&media(1, 1)).await.is_problem(404, "session_lost");
    players.get(&media(1, 2)).await.is_problem(404, "session_lost");
    // A minute later a 404 says again what it says.
    let player = players.getting(MASTER);
    far.asked().await.answer(200, &[], of_its_own(2));
    got(player).await;
    advance(secs(61)).await;
    let player = players.getting(&media(2, 0));
    far.asked().await.status(404);
    got(player).await.is_problem(404, "session_lost");
    players.get(&media(2, 1)).await.is_problem(404, "session_lost");
    far.quiet().await;
}

/// The answers of players that all ask at once, each for a session of its own, and how many of them were sent. `answer` gives
/// the upstream's to all that are in flight together.
async fn burst(
    (players, mut far): (Players, Far),
    sessions: Range<u32>,
    answer: impl Fn(Asked),
) -> (Vec<Got>, usize) {
    let asking: Vec<_> = sessions.map(|number| players.getting(&media(number, 0))).collect();
    let (mut sent, mut flying) = (0, Vec::new());
    loop {
        while let Some(asked) = far.asked_within(ms(20)).await {
            flying.push(asked);
        }
        if flying.is_empty() {
            break;
        }
        sent += flying.len();
        flying.drain(..).for_each(&answer);
    }
    let mut answers = Vec::new();
    for player in asking {
        answers.push(got(player).await);
    }
    players.are_done().await;
    (answers, sent)
}

#[tokio::test(start_paused = true)]
async fn the_first_burst_of_a_dead_configuration_stays_below_the_limit() {
    let shield = shield::Config::default().configuration_4xx_per_minute(60);
    let begun = Instant::now();
    let (answers, sent) =
        burst(stack(Config::default().shield(shield)), 0..1_000, |asked| asked.status(404)).await;
    assert_eq!(sent, 60);
    let refused = answers.iter().filter(|answer| answer.status == 502).count();
    assert_eq!(refused, 940);
    for answer in answers {
        let (status, reason) = if answer.status == 502 { (502, "held_back") } else { (404, "session_lost") };
        answer.is_problem(status, reason);
        assert!(answer.at - begun < ms(100), "as soon as the others are heard of");
    }
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_sessions_that_were_made_elsewhere_is_let_through_at_once() {
    let shield = shield::Config::default().configuration_4xx_per_minute(60);
    let begun = Instant::now();
    let (answers, sent) =
        burst(stack(Config::default().shield(shield)), 0..5_000, |asked| asked.playlist(7)).await;
    assert_eq!(sent, 5_000);
    for answer in answers {
        answer.is_playlist(7);
        assert!(answer.at - begun < ms(200), "{:?}", answer.at - begun);
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_word_of_others_waits_a_second_and_leaves_no_trace() {
    let shield = shield::Config::default().configuration_4xx_per_minute(2);
    let (players, mut far) = stack(Config::default().shield(shield));
    let begun = Instant::now();
    let first: Vec<_> = (0..2).map(|number| players.getting(&media(number, 0))).collect();
    let slow = [far.asked().await, far.asked().await];
    let [leaves, stays] = [2, 3].map(|number| players.getting(&media(number, 0)));
    far.quiet_for(ms(500)).await;
    leaves.abort();
    let sent = far.asked().await;
    assert_eq!((sent.target.clone(), sent.at - begun), (media(3, 0), secs(1)), "rather than see nothing");
    sent.playlist(7);
    got(stays).await.is_playlist(7);
    // One that went well makes room for another.
    let next = players.getting(&media(4, 0));
    far.asked().await.playlist(7);
    slow.into_iter().for_each(|asked| asked.playlist(7));
    for player in first.into_iter().chain([next]) {
        got(player).await.is_playlist(7);
    }
    players.are_done().await;
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_word_of_others_is_part_of_the_players_time() {
    let shield = shield::Config::default().configuration_4xx_per_minute(1);
    let (players, mut far) = stack(Config::default().shield(shield));
    let _first = players.getting(&media(0, 0));
    let _hangs = far.asked().await;
    let begun = Instant::now();
    let waits = players.getting(&media(1, 0));
    let _hangs_too = far.asked().await;
    assert_eq!(begun.elapsed(), secs(1));
    let answer = got(waits).await;
    assert_eq!(answer.at - begun, secs(6));
    answer.is_problem(504, "timed_out");
}

#[tokio::test(start_paused = true)]
async fn sessions_that_were_good_wait_for_nobody() {
    let shield = shield::Config::default().configuration_4xx_per_minute(2);
    let (players, mut far) = stack(Config::default().shield(shield));
    for number in 10..20 {
        players.learn(&mut far, &media(number, 0), 7).await;
    }
    let strangers: Vec<_> = (0..2).map(|number| players.getting(&media(number, 0))).collect();
    let slow = [far.asked().await, far.asked().await];
    for number in 10..20 {
        players.learn(&mut far, &media(number, 0), 8).await;
    }
    slow.into_iter().for_each(|asked| asked.status(404));
    for player in strangers {
        got(player).await.is_problem(404, "session_lost");
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_session_is_known_by_whatever_tells_sessions_apart() {
    let authority = Authority::from_static("origin.example");
    let stack = Stack::new(Config::default()).extract_with(MediaTailor::new().upstream(&authority));
    for (stack, number) in [(stack.clone(), 1), (stack.reconfigured(Config::default()), 2)] {
        let (players, mut far) = over(stack);
        let player = players.getting(MASTER);
        far.asked().await.answer(200, &[], of_its_own(number));
        got(player).await;
        let player = players.getting(&media(number, 0));
        far.asked().await.status(404);
        got(player).await.is_problem(404, "not_found");
        players.learn(&mut far, &media(number, 1), 7).await;
    }
}
