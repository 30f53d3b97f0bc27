//! What players share: a lane that no slow one holds up, and one exchange for the same question.

use std::collections::HashSet;

use crate::{
    far::Far,
    player::Player,
    support::{Running, media, ok, playlist, session, within},
};

#[tokio::test]
async fn a_player_that_does_not_read_delays_no_sibling() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    let one = session(1);
    let mut slow = Player::connect_small(sidecar.address).await;
    slow.ask(&media(&one, 0)).await;
    // Below the cap and far above what sockets hold: most of it cannot leave the sidecar.
    let body = playlist(&"#".repeat(2 * 1024 * 1024 - 256));
    far.asked().await.say(ok(&body));
    for n in 1..5 {
        let sibling = sidecar.getting(&media(&one, n));
        far.asked().await.well("sibling");
        assert_eq!(within(sibling).await.unwrap().note(), "sibling");
    }
    sidecar.is_idle().await;
    // It is still whole for whoever takes its time.
    assert!(slow.answer().await.body == body.as_bytes());
}

#[tokio::test]
async fn the_same_question_fifty_times_is_asked_once() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    let target = format!("{}?tok=1", media(&session(1), 0));
    let mut players = Vec::new();
    for _ in 0..50 {
        players.push(sidecar.player().await);
    }
    for player in &mut players {
        player.ask(&target).await;
    }
    let asked = far.asked().await;
    // The sidecar takes what comes in on other connections before this: it came later.
    for n in 0..2 {
        let ping = sidecar.getting(&format!("/ping{n}"));
        far.asked().await.well("pong");
        within(ping).await.unwrap();
    }
    asked.say(ok(&playlist("once")).replacen("\r\n", "\r\nX-Number: 1\r\nDate: then\r\n", 1));
    let mut answers = HashSet::new();
    for player in &mut players {
        let answer = player.answer().await;
        answers.insert((answer.head, answer.body));
    }
    let (head, body) = answers.drain().next().expect("an answer");
    assert!(answers.is_empty() && head.contains("200 OK") && body == playlist("once").as_bytes(), "{head}");
    far.is_quiet();
    sidecar.is_idle().await;
}

#[tokio::test]
async fn what_creates_a_session_is_never_shared() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    let target = "/v1/master/acct/Demo/index.m3u8?ads.x=1";
    let players = [sidecar.getting(target), sidecar.getting(target)];
    let asked = [far.asked().await, far.asked().await];
    for (n, asked) in asked.iter().enumerate() {
        asked.well(&n.to_string());
    }
    let mut answers = HashSet::new();
    for player in players {
        answers.insert(within(player).await.unwrap().note());
    }
    assert_eq!(answers.len(), 2);
}

#[tokio::test]
async fn a_lane_that_is_full_is_a_504_and_a_person_understands_it() {
    let mut far = Far::listen().await;
    let sidecar = Running::with(&far, |config| config.depth = 2).await;
    let one = session(1);
    let flies = sidecar.getting(&media(&one, 0));
    let asked = far.asked().await;
    let waits = sidecar.getting(&media(&one, 1));
    sidecar.has_exchanges(2).await;
    sidecar.get(&media(&one, 2)).await.is_problem(504);
    asked.well("0");
    far.asked().await.well("1");
    within(flies).await.unwrap();
    within(waits).await.unwrap();
    sidecar.is_well(&mut far, &one).await;
}
