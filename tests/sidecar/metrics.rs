//! What Prometheus is told.

use std::collections::BTreeMap;

use onelane::telemetry::metrics::ALL;

use crate::{
    far::Far,
    process::Serve,
    support::{Folder, fitting, media, ok, playlist, playlist_at, session, within},
};

/// Every series with its value.
pub(crate) async fn scrape(serve: &Serve) -> BTreeMap<String, f64> {
    let (status, text) = serve.admin("/metrics").await;
    assert_eq!(status, 200);
    let series = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    series
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').expect("a value");
            (name.to_owned(), value.parse().expect("a number"))
        })
        .collect()
}

#[tokio::test]
async fn a_place_that_is_kept_for_the_next_connection_is_none() {
    let mut far = Far::listen().await;
    let serve = Serve::start(&far.url(), &["--threads", "4"]).await;
    assert_eq!(scrape(&serve).await["onelane_client_connections"], 0.0, "nobody is there");
    let mut player = serve.player().await;
    player.ask(&media(&session(1), 0)).await;
    far.asked().await.say(ok(&playlist("1")));
    assert_eq!(player.answer().await.status(), 200);
    assert_eq!(scrape(&serve).await["onelane_client_connections"], 1.0);
}

#[tokio::test]
async fn requests_are_counted_by_what_their_players_got() {
    let mut far = Far::listen().await;
    let serve = Serve::start(&far.url(), &[]).await;
    let (one, two) = (session(1), session(2));

    let before = scrape(&serve).await;
    assert_eq!(
        before[r#"onelane_conflicts_total{kind="media"}"#], 0.0,
        "before the first, so that a rate sees it"
    );
    assert_eq!(before[&format!("onelane_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"))], 1.0);

    let mut player = serve.player().await;
    player.ask(&media(&one, 0)).await;
    far.asked().await.say(ok(&playlist("1")));
    assert_eq!(player.answer().await.status(), 200);
    player.ask(&media(&two, 0)).await;
    far.asked().await.say("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(player.answer().await.status(), 404);
    // A session of a configuration that the upstream never answered for has no name.
    player.ask(&media(&session(3), 0).replace("Demo", "Invented")).await;
    far.asked().await.say("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(player.answer().await.status(), 404);

    let after = scrape(&serve).await;
    let requests = |labels: &str| after.get(&format!("onelane_requests_total{{{labels}}}")).copied();
    assert_eq!(requests(r#"configuration="Demo",kind="media",status="200""#), Some(1.0));
    assert_eq!(requests(r#"configuration="Demo",kind="media",status="404""#), Some(1.0));
    assert_eq!(requests(r#"configuration="other",kind="media",status="404""#), Some(1.0));
    assert_eq!(after[r#"onelane_lane_wait_seconds_count{kind="media"}"#], 3.0);
    assert_eq!(after[r#"onelane_exchanges_total{kind="media",status="400"}"#], 1.0);
    assert_eq!(after[r#"onelane_verdicts_total{kind="media",verdict="session_lost"}"#], 2.0);
    assert_eq!(after[r#"onelane_remaps_total{verdict="session_lost",status="404"}"#], 2.0);
    assert_eq!((after["onelane_marked_sessions"], after["onelane_rescue_store_playlists"]), (2.0, 1.0));
    assert_eq!((after["onelane_lanes"], after["onelane_open_exchanges"]), (0.0, 0.0));
    assert!(after["onelane_client_connections"] >= 1.0);
    assert!(after["onelane_upstream_connections"] >= 1.0, "one upstream has no label");

    for series in after.keys() {
        let name = series.split('{').next().unwrap_or_default();
        let base =
            ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        let known = ALL.iter().any(|metric| metric.name == name || metric.name == base);
        assert!(
            known
                || name.starts_with("onelane_client_connections")
                || ["onelane_upstream_connections", "onelane_build_info"].contains(&name),
            "{series}"
        );
        assert!(!series.contains(&one[..8]), "no session is named: {series}");
    }
}

/// Whose time runs out after a rescue has its playlist, and nobody is to be called for it.
#[tokio::test]
async fn a_player_that_was_rescued_is_not_one_without_an_answer() {
    let mut far = Far::listen().await;
    let times = ["--rescue-after", "50ms", "--answer-within", "150ms"];
    let mut serve = Serve::start(&far.url(), &times).await;
    let (rescued, new) = (session(1), session(2).replacen("6f1b7c52", "2f1b7c52", 1));
    let mut player = serve.player().await;
    player.ask(&media(&rescued, 0)).await;
    far.asked().await.say(ok(&playlist("1")));
    assert_eq!(player.answer().await.status(), 200);

    player.ask(&media(&rescued, 0)).await;
    let _slow = far.asked().await;
    assert_eq!(player.answer().await.header("x-onelane-rescue"), Some("slow"));
    // Asked for later: its time runs out later.
    player.ask(&media(&new, 0)).await;
    let _slower = far.asked().await;
    player.answer().await.is_problem(504);
    assert_eq!(serve.line_with("no answer in time").await["session"], "2f1b7c52…");
    assert_eq!(scrape(&serve).await[r#"onelane_timed_out_total{kind="media"}"#], 1.0);
}

/// What an answer means beside the session's other playlists is what is counted, logged and noted of it.
#[tokio::test]
async fn a_verdict_is_told_as_it_is_in_the_end() {
    let mut far = Far::listen().await;
    let mut serve = Serve::start(&far.url(), &["--record-sessions", "9"]).await;
    let one = session(1);
    let mut player = serve.player().await;
    player.ask(&media(&one, 0)).await;
    far.asked().await.say(ok(&playlist_at(7, "good")));
    assert_eq!(player.answer().await.status(), 200);

    // A rendition that was never there.
    player.ask(&media(&one, 9)).await;
    far.asked().await.say("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(player.answer().await.header("x-onelane-reason"), Some("not_found"));
    let line = serve.line_with("judged").await;
    assert_eq!((&line["verdict"], &line["status"]), (&"not_found".into(), &404.into()));

    // A playlist in itself.
    player.ask(&media(&one, 0)).await;
    far.asked().await.say(ok(&playlist_at(6, "good")).replacen("\r\n", "\r\nx-amzn-RequestId: req-1\r\n", 1));
    assert_eq!(player.answer().await.header("x-onelane-rescue"), Some("not_playlist"));
    let line = serve.line_with("judged").await;
    assert_eq!((&line["verdict"], &line["flaw"]), (&"not_playlist".into(), &"older".into()));
    assert_eq!((&line["status"], &line["request_id"]), (&200.into(), &"req-1".into()));
    assert_eq!(serve.line_with("rescued").await["reason"], "not_playlist");

    let verdicts = scrape(&serve).await;
    let counted =
        |verdict| verdicts[&format!("onelane_verdicts_total{{kind=\"media\",verdict=\"{verdict}\"}}")];
    assert_eq!(["session_lost", "not_found", "not_playlist"].map(counted), [0.0, 1.0, 1.0]);
    let (_, noted) = serve.admin(&format!("/api/sessions/{one}")).await;
    let noted: serde_json::Value = serde_json::from_str(&noted).expect("JSON");
    let told: Vec<_> = (0..3).map(|n| &noted["requests"][n]["attempts"][0]["verdict"]).collect();
    assert_eq!(told, ["playlist", "not_found", "not_playlist"], "{noted}");
}

#[tokio::test]
async fn a_player_that_leaves_is_counted_as_one() {
    let mut far = Far::listen().await;
    let serve = Serve::start(&far.url(), &[]).await;
    let mut player = serve.player().await;
    player.ask(&media(&session(1), 0)).await;
    let asked = far.asked().await;
    drop(player);
    let left = r#"onelane_requests_total{configuration="other",kind="media",status="left"}"#;
    // Each scrape is a round trip: there is no event to wait for.
    within(async { while scrape(&serve).await.get(left) != Some(&1.0) {} }).await;
    let flights = async || {
        let levels = scrape(&serve).await;
        (levels["onelane_in_flight"], levels["onelane_draining"])
    };
    assert_eq!(flights().await, (1.0, 1.0));
    // A repeat attaches, and has it drain no longer.
    let mut again = serve.player().await;
    again.ask(&media(&session(1), 0)).await;
    within(async { while flights().await != (1.0, 0.0) {} }).await;
    drop(again);
    within(async { while flights().await != (1.0, 1.0) {} }).await;
    assert_eq!(scrape(&serve).await["onelane_upstream_connections"], 1.0);
    asked.say(ok(&playlist("1")).replacen("\r\n", "\r\nConnection: close\r\n", 1));
    within(async { while scrape(&serve).await["onelane_abandoned_total"] < 1.0 {} }).await;
    within(async { while flights().await != (0.0, 0.0) {} }).await;
    within(async { while scrape(&serve).await["onelane_upstream_connections"] > 0.0 {} }).await;
}

#[tokio::test]
async fn a_request_that_breaks_off_is_no_failure_of_the_upstream() {
    breaks_off(&[]).await;
    // Creations are read before they are sent then.
    breaks_off(&["--resume"]).await;
}

async fn breaks_off(flags: &[&str]) {
    let mut far = Far::listen().await;
    let serve = Serve::start(&far.url(), flags).await;
    let mut player = serve.player().await;
    let mut plays = async || {
        player.ask(&media(&session(1), 0)).await;
        far.asked().await.well("x");
        assert_eq!(player.answer().await.status(), 200);
    };
    plays().await;
    for (target, kind) in [
        (media(&session(1), 0), "media"),
        ("/v1/session/acct/Demo/index.m3u8".to_owned(), "session_creation"),
    ] {
        let mut sends = serve.player().await;
        sends.say(format!("POST {target} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")).await;
        sends.say("5\r\nhello\r\nno size\r\n").await;
        let answer = sends.answer().await;
        assert_eq!((answer.status(), answer.header("x-onelane-reason")), (400, Some("incomplete")));
        let mut leaves = serve.player().await;
        leaves.say(format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\nhello")).await;
        drop(leaves);
        let left = format!(r#"onelane_requests_total{{configuration="Demo",kind="{kind}",status="left"}}"#);
        within(async { while scrape(&serve).await.get(&left) != Some(&2.0) {} }).await;
    }
    let counted = scrape(&serve).await;
    let failed = |(series, count): &(&String, &f64)| series.contains("unreachable") && **count > 0.0;
    assert_eq!(counted.iter().filter(failed).collect::<Vec<_>>(), []);
    assert_eq!(counted["onelane_marked_sessions"], 0.0);
}

/// What an engineer is sent to by the alerts says something in each kind of outage.
#[tokio::test]
async fn what_no_answer_tells_is_counted_as_well() {
    let mut far = Far::listen().await;
    let folder = Folder::new();
    let config = folder.file("a.toml", "[retry]\npatient = false\n");
    let times = ["--answer-within", "150ms", "--max-hold", "300ms", "--depth", "1", "--config", &config];
    let mut serve = Serve::start(&far.url(), &times).await;
    let counted = async |series: &str| scrape(&serve).await.get(series).copied().unwrap_or_default();
    let verdict = |kind, verdict| format!("onelane_verdicts_total{{kind=\"{kind}\",verdict=\"{verdict}\"}}");
    let mut player = serve.player().await;

    // It breaks off, and there is no time for another try.
    player.ask(&media(&session(1), 0)).await;
    far.asked().await.close();
    player.answer().await.is_problem(502);
    assert_eq!(counted(&verdict("media", "unreachable")).await, 1.0);

    // It hangs, and its lane has room for nobody else.
    let two = session(2).replacen("6f1b7c52", "2f1b7c52", 1);
    player.ask(&media(&two, 0)).await;
    let _hangs = far.asked().await;
    let mut full = serve.player().await;
    full.ask(&media(&two, 1)).await;
    full.answer().await.is_problem(504);
    assert_eq!(counted(r#"onelane_refused_total{reason="lane_full"}"#).await, 1.0);
    player.answer().await.is_problem(504);
    within(async { while counted(&verdict("media", "timed_out")).await != 1.0 {} }).await;

    // So does one that makes a session, which is in no lane.
    let mut starts = serve.player().await;
    starts.ask("/v1/master/acct/Demo/index.m3u8").await;
    let _hangs_too = far.asked().await;
    assert_eq!(counted("onelane_in_flight").await, 1.0);
    starts.answer().await.is_problem(504);
    assert_eq!(counted(r#"onelane_timed_out_total{kind="multivariant"}"#).await, 1.0);
    assert_eq!(counted(&verdict("multivariant", "timed_out")).await, 1.0);
    assert_eq!(counted("onelane_in_flight").await, 0.0);
    let line = serve.line_with("exchange failed").await;
    assert_eq!((&line["verdict"], &line["configuration"]), (&"unreachable".into(), &"Demo".into()));
}

#[tokio::test]
async fn those_that_cannot_start_are_counted_for_their_configuration() {
    let mut far = Far::listen().await;
    let mut serve = Serve::start(&far.url(), &[]).await;
    let start = "/v1/master/acct/Demo/index.m3u8";
    let mut player = serve.player().await;
    player.ask(start).await;
    far.asked().await.say(ok(&fitting(start, "x")));
    assert_eq!(player.answer().await.status(), 200);
    player.ask(start).await;
    far.asked().await.say("HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n");
    player.answer().await.is_problem(403);
    let counted = scrape(&serve).await;
    let of = |status| {
        format!(r#"onelane_requests_total{{configuration="Demo",kind="multivariant",status="{status}"}}"#)
    };
    assert_eq!((counted.get(&of(200)), counted.get(&of(403))), (Some(&1.0), Some(&1.0)));
    // Nobody has named an exception, so the log names none.
    let line = serve.line_with("judged").await;
    assert_eq!((&line["verdict"], &line["configuration"]), (&"denied".into(), &"Demo".into()));
    assert_eq!(line["exception"], serde_json::Value::Null);
}
