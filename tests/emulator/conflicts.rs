use http::StatusCode;
use onelane::emulator::{Conflict, Loser};

use crate::client::{Lab, MASTER, args, session_of, until};

/// A session's first two playlists and its multivariant one.
async fn three(lab: &Lab) -> (String, String, String) {
    let playlists = lab.playlists().await;
    let master = format!("{MASTER}?aws.sessionId={}", session_of(&playlists[0]));
    (playlists[0].clone(), playlists[1].clone(), master)
}

#[tokio::test]
async fn reject_refuses_the_second_at_once() {
    let mut args = args();
    args.latency = "500ms".parse().expect("a latency");
    let lab = Lab::new(args).await;
    let (video, audio, _) = three(&lab).await;
    let flight = async {
        until(|| lab.emulator.stats().in_flight == 1).await;
        let refused = lab.get(&audio).await;
        // The first is still worked on: nothing waited for it.
        assert_eq!(lab.emulator.stats().in_flight, 1);
        refused
    };
    let (first, refused) = tokio::join!(lab.get(&video), flight);
    assert_eq!((first.status, refused.status), (StatusCode::OK, StatusCode::CONFLICT));
    assert_eq!(refused.exception(), "ConflictException");
    assert_eq!(refused.header("content-type"), "application/json");
    assert!(refused.json()["message"].as_str().is_some_and(|text| text.contains(session_of(&video))));
    assert!(!refused.header("x-amzn-requestid").is_empty());
    // Nothing of it persists.
    assert_eq!(lab.get(&audio).await.status, StatusCode::OK);
    let stats = lab.emulator.stats();
    assert_eq!((stats.conflicts, stats.max_in_flight, stats.in_flight), (1, 2, 0));
}

#[tokio::test]
async fn sessions_do_not_conflict_with_each_other() {
    let mut args = args();
    args.latency = "50ms".parse().expect("a latency");
    let lab = Lab::new(args).await;
    let ((one, ..), (other, ..)) = (three(&lab).await, three(&lab).await);
    assert_ne!(session_of(&one), session_of(&other));
    let (one, other) = tokio::join!(lab.get(&one), lab.get(&other));
    assert_eq!((one.status, other.status), (StatusCode::OK, StatusCode::OK));
    assert_eq!(lab.emulator.stats().max_in_flight, 1);
}

#[tokio::test]
async fn optimistic_lets_both_run_and_one_lose_at_its_end() {
    for loser in [Loser::Last, Loser::Random] {
        let mut args = args();
        (args.conflict, args.loser) = (Conflict::Optimistic, loser);
        args.latency = "100ms".parse().expect("a latency");
        let lab = Lab::new(args).await;
        let (video, audio, _) = three(&lab).await;
        let (first, second) = tokio::join!(lab.get(&video), lab.get(&audio));
        let mut statuses = [first.status, second.status];
        statuses.sort();
        assert_eq!(statuses, [StatusCode::OK, StatusCode::CONFLICT], "{loser:?}");
        assert_eq!(
            (lab.get(&video).await.status, lab.get(&audio).await.status),
            (StatusCode::OK, StatusCode::OK)
        );
        assert_eq!(lab.emulator.stats().conflicts, 1);
    }
}

#[tokio::test]
async fn a_multivariant_playlist_with_a_session_takes_part_by_switch() {
    for (takes_part, expected) in [(true, StatusCode::CONFLICT), (false, StatusCode::OK)] {
        let mut args = args();
        args.conflict_multivariant = takes_part;
        args.latency = "500ms".parse().expect("a latency");
        let lab = Lab::new(args).await;
        let (video, _, master) = three(&lab).await;
        let flight = async {
            until(|| lab.emulator.stats().in_flight == 1).await;
            lab.get(&master).await.status
        };
        let (video, master) = tokio::join!(lab.get(&video), flight);
        assert_eq!((video.status, master), (StatusCode::OK, expected));
    }
}

#[tokio::test]
async fn tracking_takes_part_by_switch() {
    for (takes_part, expected) in [(true, StatusCode::CONFLICT), (false, StatusCode::OK)] {
        let mut args = args();
        args.conflict_tracking = takes_part;
        args.latency = "500ms".parse().expect("a latency");
        let lab = Lab::new(args).await;
        let (video, ..) = three(&lab).await;
        let tracking = format!("/v1/tracking/9f3c/News/{}", session_of(&video));
        let flight = async {
            until(|| lab.emulator.stats().in_flight == 1).await;
            lab.get(&tracking).await.status
        };
        let (video, tracking) = tokio::join!(lab.get(&video), flight);
        assert_eq!((video.status, tracking), (StatusCode::OK, expected));
    }
}

#[tokio::test]
async fn dash_takes_part_by_switch() {
    for (takes_part, expected) in [(true, StatusCode::CONFLICT), (false, StatusCode::OK)] {
        let mut args = args();
        args.conflict_dash = takes_part;
        args.latency = "500ms".parse().expect("a latency");
        let lab = Lab::new(args).await;
        let (video, ..) = three(&lab).await;
        let dash = format!("/v1/dash/9f3c/News/index.mpd?aws.sessionId={}", session_of(&video));
        let flight = async {
            until(|| lab.emulator.stats().in_flight == 1).await;
            lab.get(&dash).await.status
        };
        let (video, other) = tokio::join!(lab.get(&video), flight);
        assert_eq!((video.status, other), (StatusCode::OK, expected));
        // So it is with two manifests, which is all that a DASH player could have at once.
        let (first, second) = tokio::join!(lab.get(&dash), lab.get(&dash));
        let mut statuses = [first.status, second.status];
        statuses.sort();
        assert_eq!(statuses, [StatusCode::OK, expected]);
    }
}

#[tokio::test]
async fn work_goes_on_after_its_player_left() {
    let mut args = args();
    args.latency = "1s".parse().expect("a latency");
    let lab = Lab::new(args).await;
    let (video, audio, _) = three(&lab).await;
    {
        let leaves = lab.get(&video);
        tokio::select! {
            got = leaves => panic!("answered before the player left: {got:?}"),
            () = until(|| lab.emulator.stats().in_flight == 1) => {}
        }
    }
    until(|| lab.emulator.stats().abandoned == 1).await;
    assert_eq!(lab.emulator.stats().in_flight, 1, "the session is still busy");
    assert_eq!(lab.get(&audio).await.status, StatusCode::CONFLICT);
    until(|| lab.emulator.stats().in_flight == 0).await;
    assert_eq!(lab.get(&audio).await.status, StatusCode::OK);

    let session = lab.emulator.session(session_of(&video)).expect("it is remembered");
    let recent: Vec<_> =
        session.recent.iter().map(|request| (&*request.target, request.status, request.abandoned)).collect();
    // The first was the multivariant playlist that made the session.
    assert_eq!(
        recent,
        [
            (MASTER, Some(200), false),
            (&*video, Some(200), true),
            (&*audio, Some(409), false),
            (&*audio, Some(200), false),
        ]
    );
    assert_eq!((session.abandoned, session.conflicts, session.max_in_flight), (1, 1, 2));
}

#[tokio::test]
async fn a_session_may_stay_busy_after_its_answer() {
    let for_long = "1h".parse().expect("a latency");
    let lab = Lab::new(args()).await;
    let (video, audio, _) = three(&lab).await;
    lab.emulator.set_busy_after(for_long);
    assert_eq!(lab.get(&video).await.status, StatusCode::OK);
    assert_eq!(lab.get(&audio).await.status, StatusCode::CONFLICT);
    assert_eq!(lab.emulator.stats().max_in_flight, 1, "the proxy before it did nothing wrong");

    // By flag it is so from the first answer on: that of the multivariant playlist which made the session.
    let mut args = args();
    args.busy_after = for_long;
    let lab = Lab::new(args).await;
    let (video, ..) = three(&lab).await;
    assert_eq!(lab.get(&video).await.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn without_conflicts_all_is_counted_still() {
    let mut args = args();
    args.conflict = Conflict::None;
    args.latency = "100ms".parse().expect("a latency");
    let lab = Lab::new(args).await;
    let (video, audio, _) = three(&lab).await;
    let (first, second) = tokio::join!(lab.get(&video), lab.get(&audio));
    assert_eq!((first.status, second.status), (StatusCode::OK, StatusCode::OK));
    let stats = lab.emulator.stats();
    assert_eq!((stats.conflicts, stats.max_in_flight), (0, 2));
}
