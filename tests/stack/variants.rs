//! A variant that fails while the session's other playlists come: its player has others to choose.

use onelane::{stack::Config, upstream::RetryConfig};
use tokio::time::{Instant, advance, sleep};

use crate::support::{Asked, Far, Players, got, media, ms, secs, session, stack};

/// How a player comes to know what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// Its session is made with the multivariant playlist.
    Created,
    /// It has the session's id before.
    Named,
    Not,
}

/// So many variants, and audio after them.
fn multivariant(variants: u32) -> String {
    let link = |number| format!("../../../manifest/acct/Demo/{}/{number}.m3u8\n", session(1));
    let mut text = "#EXTM3U\n".to_owned();
    for number in 0..variants {
        text += &format!("#EXT-X-STREAM-INF:BANDWIDTH={}000,AUDIO=\"a\"\n{}", number + 1, link(number));
    }
    let audio = link(variants);
    text + &format!("#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"a\",URI=\"{}\"\n", audio.trim())
}

async fn start(told: Told, variants: u32) -> (Players, Far) {
    start_with(RetryConfig::default().patient(false), told, variants).await
}

async fn start_with(retry: RetryConfig, told: Told, variants: u32) -> (Players, Far) {
    let (players, mut far) = stack(Config::default().retry(retry));
    let master = match told {
        Told::Created => "/v1/master/acct/Demo/index.m3u8".to_owned(),
        Told::Named => format!("/v1/master/acct/Demo/index.m3u8?aws.sessionId={}", session(1)),
        Told::Not => return (players, far),
    };
    let player = players.getting(&master);
    far.asked().await.answer(200, &[], multivariant(variants));
    assert_eq!(got(player).await.status, 200);
    (players, far)
}

/// The first variant and the playlist after the variants, for so long: what the first of them got, the other being well or not.
async fn plays(
    (players, far): (&Players, &mut Far),
    (failing, sibling): (u32, u32),
    fails: impl Fn(Asked) + Copy,
    sibling_is_well: bool,
) -> Vec<(u64, u16, Option<String>)> {
    for number in [failing, sibling] {
        players.learn(far, &media(1, number), 7).await;
    }
    let mut seen = Vec::new();
    for time in (3..=30).step_by(3) {
        advance(secs(3)).await;
        let player = players.getting(&media(1, sibling));
        if sibling_is_well {
            far.asked().await.playlist(7 + time);
            got(player).await.is_playlist(7 + time);
        } else {
            far.failing(player, fails).await.0.is_rescue(7, "origin_broken", time);
        }
        let player = players.getting(&media(1, failing));
        let (answer, _) = far.failing(player, fails).await;
        seen.push((time, answer.status, answer.header("x-onelane-rescue").map(str::to_owned)));
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn a_variant_that_fails_by_itself_is_bridged_for_a_while_and_then_left() {
    for (told, fails, reason) in [
        (Told::Created, Asked::bad_gateway as fn(Asked), "origin_broken"),
        (Told::Named, Asked::bad_gateway, "origin_broken"),
        (Told::Created, Asked::refuses, "unreachable"),
    ] {
        let (players, mut far) = start(told, 2).await;
        for (time, status, rescue) in plays((&players, &mut far), (0, 2), fails, true).await {
            // It fails from the third second on.
            let expected = if time < 9 { (200, Some(reason.to_owned())) } else { (500, None) };
            assert_eq!((status, rescue), expected, "{told:?} after {time} s");
        }
        advance(secs(3) + ms(1)).await;
        let player = players.getting(&media(1, 0));
        let (answer, _) = far.failing(player, fails).await;
        answer.is_problem(500, reason);
        // What its player chose, and what it goes back to.
        for number in [1, 0] {
            advance(secs(30)).await;
            players.learn(&mut far, &media(1, number), 60).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_bridged_for_longer_where_there_is_no_other_or_all_fail() {
    for (what, told, variants, failing, sibling_is_well) in [
        ("all fail", Told::Created, 2, 0, false),
        ("there is no other", Told::Created, 1, 0, true),
        ("it is no variant", Told::Created, 2, 2, true),
        ("nobody knows", Told::Not, 2, 0, true),
    ] {
        let (players, mut far) = start(told, variants).await;
        let sibling = if failing == 0 { variants } else { 0 };
        let seen = plays((&players, &mut far), (failing, sibling), Asked::bad_gateway, sibling_is_well).await;
        for (time, status, rescue) in seen {
            assert_eq!((status, rescue.as_deref()), (200, Some("origin_broken")), "{what}, after {time} s");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_left_is_left_at_once() {
    let (players, mut far) = start_with(RetryConfig::default(), Told::Created, 2).await;
    plays((&players, &mut far), (0, 2), Asked::bad_gateway, true).await;
    let asked_at = Instant::now();
    let player = players.getting(&media(1, 0));
    let (answer, tries) = far.failing(player, Asked::bad_gateway).await;
    answer.is_problem(500, "origin_broken");
    assert!(tries <= 2 && answer.at - asked_at < secs(1), "{tries} tries in {:?}", answer.at - asked_at);
    // Where there is no answer it is not waited for longer than for a playlist of before.
    let player = players.getting(&media(1, 0));
    let (asked, asked_at) = (far.asked().await, Instant::now());
    let answer = got(player).await;
    answer.is_problem(500, "timed_out");
    assert_eq!(answer.at - asked_at, secs(2));
    asked.playlist(60);
}

#[tokio::test(start_paused = true)]
async fn one_that_was_not_asked_for_has_not_failed_meanwhile() {
    let (players, mut far) = start(Told::Created, 2).await;
    players.learn(&mut far, &media(1, 0), 7).await;
    // Its player has gone to another, and comes back.
    for sequence in 8..13 {
        advance(secs(4)).await;
        players.learn(&mut far, &media(1, 1), sequence).await;
        players.learn(&mut far, &media(1, 2), sequence).await;
    }
    let player = players.getting(&media(1, 0));
    far.failing(player, Asked::bad_gateway).await.0.is_rescue(7, "origin_broken", 20);
}

/// A playlist of each, all good.
async fn all_well(players: &Players, far: &mut Far, numbers: &[u32], sequence: u64) {
    for number in numbers {
        players.learn(far, &media(1, *number), sequence).await;
    }
}

/// As MediaTailor says it of an origin that takes too long.
fn fails_late(asked: Asked) {
    tokio::spawn(async move {
        sleep(ms(2_100)).await;
        asked.status(504);
    });
}

#[tokio::test(start_paused = true)]
async fn one_that_fails_late_is_left_as_soon() {
    let (players, mut far) = start(Told::Created, 2).await;
    all_well(&players, &mut far, &[0, 2], 7).await;
    let mut seen = Vec::new();
    for sequence in 8..12 {
        let player = players.getting(&media(1, 0));
        let (answer, _) = far.failing(player, fails_late).await;
        seen.push((answer.status, answer.header("x-onelane-rescue").map(str::to_owned)));
        // The player of the audio asks while the second try is out.
        let sibling = players.getting(&media(1, 2));
        let until = Instant::now() + secs(4);
        while let Some(asked) = far.asked_within(until - Instant::now()).await {
            match asked.target == media(1, 0) {
                true => fails_late(asked),
                false => asked.playlist(sequence),
            }
        }
        assert_eq!(got(sibling).await.status, 200);
        advance(secs(3)).await;
        players.learn(&mut far, &media(1, 2), sequence).await;
    }
    let left = (500, None);
    assert_eq!(seen, [(200, Some("slow".to_owned())), left.clone(), left.clone(), left]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_all_is_no_reason_to_leave_one_whoever_fails_first() {
    let (players, mut far) = start(Told::Created, 2).await;
    all_well(&players, &mut far, &[0, 2], 7).await;
    advance(secs(3)).await;
    let fails = async |far: &mut Far, number: u32, time: u64| {
        let player = players.getting(&media(1, number));
        far.failing(player, Asked::bad_gateway).await.0.is_rescue(
            7 + u64::from(number == 2 && time < 9),
            "origin_broken",
            time,
        );
    };
    fails(&mut far, 0, 3).await;
    // The audio is good for once more.
    advance(secs(3)).await;
    players.learn(&mut far, &media(1, 2), 8).await;
    advance(secs(2)).await;
    let player = players.getting(&media(1, 2));
    far.failing(player, Asked::bad_gateway).await.0.is_rescue(8, "origin_broken", 2);
    advance(secs(1)).await;
    let player = players.getting(&media(1, 0));
    far.failing(player, Asked::bad_gateway).await.0.is_rescue(7, "origin_broken", 9);
}

#[tokio::test(start_paused = true)]
async fn who_finds_the_others_no_better_is_bridged() {
    let (players, mut far) = start(Told::Created, 2).await;
    plays((&players, &mut far), (0, 2), Asked::bad_gateway, true).await;
    // Its player has gone to another, and that fails as well.
    let player = players.getting(&media(1, 1));
    assert_eq!(far.failing(player, Asked::bad_gateway).await.0.status, 502);
    let player = players.getting(&media(1, 0));
    far.failing(player, Asked::bad_gateway).await.0.is_rescue(7, "origin_broken", 30);
    // Once the other is well there is where to go.
    players.learn(&mut far, &media(1, 1), 37).await;
    players.learn(&mut far, &media(1, 2), 37).await;
    let player = players.getting(&media(1, 0));
    far.failing(player, Asked::bad_gateway).await.0.is_problem(500, "origin_broken");
}

#[tokio::test(start_paused = true)]
async fn conflicts_are_no_fault_of_a_variant() {
    let (players, mut far) = start(Told::Created, 2).await;
    for (time, status, rescue) in plays((&players, &mut far), (0, 2), |asked| asked.status(409), true).await {
        assert_eq!((status, rescue.as_deref()), (200, Some("conflict")), "after {time} s");
    }
}

#[tokio::test(start_paused = true)]
async fn nor_are_they_after_a_failure_of_its_own() {
    let (players, mut far) = start(Told::Created, 2).await;
    all_well(&players, &mut far, &[0, 2], 7).await;
    let player = players.getting(&media(1, 0));
    far.failing(player, Asked::bad_gateway).await.0.is_rescue(7, "origin_broken", 0);
    advance(secs(3)).await;
    players.learn(&mut far, &media(1, 2), 8).await;
    advance(secs(2)).await;
    let player = players.getting(&media(1, 0));
    far.failing(player, |asked| asked.status(409)).await.0.is_rescue(7, "conflict", 5);
}

#[tokio::test(start_paused = true)]
async fn one_that_stands_still_is_left() {
    let (players, mut far) = start(Told::Created, 2).await;
    // A cache on the way that has an older one.
    let older = |asked: Asked| asked.playlist(6);
    for (time, status, rescue) in plays((&players, &mut far), (0, 2), older, true).await {
        let expected = if time < 9 { (200, Some("not_playlist")) } else { (500, None) };
        assert_eq!((status, rescue.as_deref()), expected, "after {time} s");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_failed_long_ago_is_only_slow_now() {
    let (players, mut far) = start(Told::Created, 2).await;
    all_well(&players, &mut far, &[0, 1, 2], 7).await;
    let player = players.getting(&media(1, 0));
    far.failing(player, Asked::bad_gateway).await.0.is_rescue(7, "origin_broken", 0);
    for sequence in 8..18 {
        advance(secs(4)).await;
        all_well(&players, &mut far, &[1, 2], sequence).await;
    }
    let player = players.getting(&media(1, 0));
    let asked = far.asked().await;
    got(player).await.is_rescue(7, "slow", 42);
    asked.playlist(18);
}
