use std::time::Duration;

use http::{Method, StatusCode};

use crate::client::{Got, Lab, args, resolve, session_of, until};

const CREATE: &str = "/v1/session/9f3c/News/index.m3u8";

/// One request of each kind that faults can be aimed at, for a new session.
struct Kinds {
    playlist: String,
    tracking: String,
    segment: String,
}

/// A stream whose window has ads in it.
async fn lab() -> Lab {
    let mut args = args();
    (args.ad_every, args.window) = (Some(Duration::from_secs(4)), 20);
    Lab::new(args).await
}

async fn begin(lab: &Lab, text: &str) {
    let got = lab.send(Method::POST, "/__emulator/faults", &[], text).await;
    assert_eq!(got.status, StatusCode::OK, "{text}: {got:?}");
}

impl Kinds {
    async fn of(lab: &Lab) -> Self {
        let playlist = lab.playlists().await.swap_remove(0);
        let text = lab.get(&playlist).await.text();
        let link = text.lines().find(|line| line.contains("/segment/")).expect("an ad");
        Self {
            tracking: format!("/v1/tracking/9f3c/News/{}", session_of(&playlist)),
            segment: resolve(&playlist, link),
            playlist,
        }
    }

    /// What playlist, creation, tracking and segment get.
    async fn statuses(&self, lab: &Lab) -> [u16; 4] {
        let mut statuses = [0; 4];
        for (place, path) in
            [&*self.playlist, CREATE, &*self.tracking, &*self.segment].into_iter().enumerate()
        {
            statuses[place] = lab.get(path).await.status.as_u16();
        }
        statuses
    }
}

#[tokio::test]
async fn a_fault_is_for_the_requests_that_it_names() {
    let lab = lab().await;
    let kinds = Kinds::of(&lab).await;
    assert_eq!(kinds.statuses(&lab).await, [200, 200, 200, 302]);
    for (requests, expected) in [
        ("", [503, 200, 200, 302]),
        (r#","requests":"playlist""#, [503, 200, 200, 302]),
        (r#","requests":"session""#, [200, 503, 200, 302]),
        (r#","requests":"tracking""#, [200, 200, 503, 302]),
        (r#","requests":"segment""#, [200, 200, 200, 503]),
        (r#","requests":["session","segment"]"#, [200, 503, 200, 503]),
        (r#","requests":"all""#, [503; 4]),
        (r#","requests":"all","playlists":"multivariant""#, [200, 503, 503, 503]),
        (r#","requests":"all","configuration":"Sport""#, [200, 200, 200, 302]),
    ] {
        begin(&lab, &format!(r#"{{"status":503{requests}}}"#)).await;
        assert_eq!(kinds.statuses(&lab).await, expected, "{requests}");
        lab.emulator.clear_faults();
    }
}

#[tokio::test]
async fn sessions_are_aimed_at_whatever_the_request() {
    let lab = lab().await;
    let (ours, theirs) = (Kinds::of(&lab).await, Kinds::of(&lab).await);
    let session = session_of(&ours.playlist);
    begin(&lab, &format!(r#"{{"status":503,"requests":"all","sessions":["{session}"]}}"#)).await;
    // What makes a session is none of those that are there.
    assert_eq!(ours.statuses(&lab).await, [503, 200, 503, 503]);
    assert_eq!(theirs.statuses(&lab).await, [200, 200, 200, 302]);
    let recent = lab.emulator.session(session).expect("it is remembered").recent;
    let faults: Vec<_> = recent.iter().filter_map(|request| request.fault.as_deref()).collect();
    assert_eq!(faults, ["status"; 3]);
}

#[tokio::test]
async fn errors_are_the_services_for_each_request() {
    let lab = lab().await;
    let kinds = Kinds::of(&lab).await;
    begin(&lab, r#"{"error_type":"InternalServiceError","requests":"all"}"#).await;
    for path in [CREATE, &kinds.tracking, &kinds.segment] {
        let got = lab.get(path).await;
        assert_eq!(
            (got.exception(), got.header("content-type")),
            ("InternalServiceError", "application/json")
        );
        let message = got.json()["message"].as_str().expect("a message").to_owned();
        assert_eq!(message.contains("sessionId:["), path != CREATE, "{message}");
        assert!(message.contains("customerId:[9f3c]"), "{message}");
    }
    assert_eq!(lab.emulator.stats().faulty, 3);
}

#[tokio::test]
async fn a_session_is_made_where_only_its_answer_breaks() {
    let lab = lab().await;
    let created = || lab.emulator.stats().sessions_created;
    let create = async |text: &str| -> Got {
        begin(&lab, text).await;
        lab.send(Method::POST, CREATE, &[], "{}").await
    };
    for text in [
        r#"{"status":500,"requests":"session","count":1}"#,
        r#"{"kind":"html","requests":"session","count":1}"#,
    ] {
        assert!(create(text).await.status.is_server_error(), "{text}");
        assert_eq!(created(), 0, "{text}");
    }

    let half = create(r#"{"kind":"truncated","requests":"session","count":1}"#).await;
    assert_eq!((half.status, half.header("content-type")), (StatusCode::OK, "application/json"));
    assert!(half.body.starts_with(b"{") && serde_json::from_slice::<serde_json::Value>(&half.body).is_err());
    let empty = create(r#"{"kind":"empty","requests":"session","count":1}"#).await;
    assert_eq!(
        (empty.status, empty.header("content-type"), empty.body.len()),
        (StatusCode::OK, "application/json", 0)
    );
    begin(&lab, r#"{"kind":"reset","requests":"session","count":1}"#).await;
    assert!(lab.fails(CREATE).await);
    assert_eq!(created(), 3);

    let throttled = create(r#"{"kind":"throttle","above":0,"requests":"session"}"#).await;
    assert_eq!(throttled.exception(), "ThrottlingException");
    lab.emulator.clear_faults();
    assert_eq!((lab.get(CREATE).await.status, created()), (StatusCode::OK, 4));
}

#[tokio::test]
async fn what_hangs_is_no_playlist_and_keeps_no_session_busy() {
    let lab = lab().await;
    let kinds = Kinds::of(&lab).await;
    begin(&lab, r#"{"kind":"hang","requests":["session","tracking","segment"]}"#).await;
    for path in [CREATE, &kinds.tracking, &kinds.segment] {
        let before = lab.emulator.stats().faulty;
        let meanwhile = async {
            until(|| lab.emulator.stats().faulty > before).await;
            lab.get(&kinds.playlist).await.status
        };
        tokio::select! {
            got = lab.get(path) => panic!("it answered: {got:?}"),
            status = meanwhile => assert_eq!(status, StatusCode::OK, "{path}"),
        }
    }
    until(|| lab.emulator.stats().in_flight == 0).await;
    // Nobody knows of a creation whom it was for.
    assert_eq!(lab.emulator.stats().abandoned, 2);
}
