use std::time::Duration;

use http::{Method, StatusCode};
use onelane::emulator::Unknown;

use crate::client::{Lab, MASTER, args, links, resolve, session_of};

const CREATE: &str = "/v1/session/9f3c/News/out/v1/index.m3u8";
const STRANGER: &str = "/v1/manifest/9f3c/News/6f1b7c52-30aa-4c1e-9d0f-2a4d1f7be901/0.m3u8";

#[tokio::test]
async fn each_multivariant_playlist_without_a_session_makes_one() {
    let lab = Lab::new(args()).await;
    for master in [MASTER, "/v1/master/9f3c/News/out/v1/ch7/index.m3u8?manifest.tok=a%20b&ads.x=1"] {
        let got = lab.get(master).await;
        assert_eq!(
            (got.status, got.header("content-type")),
            (StatusCode::OK, "application/vnd.apple.mpegurl")
        );
        let path = master.split('?').next().expect("a path");
        for link in links(&got.text()) {
            let playlist = resolve(path, &link);
            assert!(playlist.starts_with("/v1/manifest/9f3c/News/"), "{playlist}");
            assert_eq!(playlist.contains("?tok=a%20b"), master.contains("tok"), "{playlist}");
            assert_eq!(lab.get(&playlist).await.status, StatusCode::OK, "{playlist}");
        }
    }
    assert_eq!(lab.emulator.stats().sessions_created, 2);
}

#[tokio::test]
async fn sessions_are_made_by_post_and_by_get() {
    let lab = Lab::new(args()).await;
    let body = r#"{"adsParams":{"device":"tv"},"manifestParams":{"tok":"abc"},"reportingMode":"client"}"#;
    let posted = lab.send(Method::POST, CREATE, &[], body).await;
    let query = format!("{CREATE}?manifestParams.tok=abc&ads.device=tv");
    for got in [posted, lab.get(&query).await] {
        assert_eq!((got.status, got.header("content-type")), (StatusCode::OK, "application/json"));
        let (manifest, tracking) = (got.json()["manifestUrl"].clone(), got.json()["trackingUrl"].clone());
        let (manifest, tracking) = (manifest.as_str().expect("a URL"), tracking.as_str().expect("a URL"));
        assert!(manifest.starts_with("/v1/master/9f3c/News/out/v1/index.m3u8?aws.sessionId="), "{manifest}");
        assert!(manifest.ends_with("&tok=abc") && tracking.ends_with("?tok=abc"), "{manifest} {tracking}");

        // The session is the same each time, and so are its terms.
        let master = lab.get(manifest).await.text();
        assert_eq!(master, lab.get(manifest.trim_end_matches("&tok=abc")).await.text());
        assert!(links(&master).iter().all(|link| link.ends_with(".m3u8?tok=abc")), "{master}");
        let avails = lab.get(tracking).await;
        assert!(avails.json()["avails"].is_array(), "{avails:?}");
    }
    assert_eq!(lab.emulator.stats().sessions_created, 2);
}

#[tokio::test]
async fn a_body_that_is_no_object_is_a_bad_request() {
    let lab = Lab::new(args()).await;
    for body in ["[1]", "{", &"x".repeat(70_000)] {
        let got = lab.send(Method::POST, CREATE, &[], body).await;
        assert_eq!((got.status, got.exception()), (StatusCode::BAD_REQUEST, "BadRequestException"));
    }
    assert_eq!(lab.send(Method::POST, CREATE, &[], "").await.status, StatusCode::OK);
    assert_eq!(lab.send(Method::PUT, CREATE, &[], "{}").await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn an_id_that_nobody_made_gets_what_the_flag_says() {
    for (unknown, expected, exception) in [
        (Unknown::BadRequest, StatusCode::BAD_REQUEST, "BadRequestException"),
        (Unknown::NotFound, StatusCode::NOT_FOUND, "NotFoundException"),
        (Unknown::Adopt, StatusCode::OK, ""),
    ] {
        let mut args = args();
        args.unknown = unknown;
        let lab = Lab::new(args).await;
        let got = lab.get(STRANGER).await;
        assert_eq!((got.status, got.exception()), (expected, exception));
        // What has not even the shape is invalid whatever the flag says.
        for id in ["x", "%2e%2e", "6f1b7c52", &"a".repeat(4096)] {
            let path = format!("/v1/manifest/9f3c/News/{id}/0.m3u8");
            assert_eq!(lab.get(&path).await.status, StatusCode::BAD_REQUEST, "{id}");
        }
    }
}

#[tokio::test]
async fn both_shapes_of_a_media_playlist_are_one_session() {
    let lab = Lab::new(args()).await;
    let playlists = lab.playlists().await;
    let short = playlists[0].replace("/News/", "/");
    let got = lab.get(&short).await;
    assert_eq!(got.status, StatusCode::OK);
    let session = lab.emulator.session(session_of(&short)).expect("it is remembered");
    assert_eq!(session.recent.last().map(|request| &*request.target), Some(&*short));
    assert_eq!(lab.get(&playlists[0].replace("/0.m3u8", "/99.m3u8")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn idle_sessions_expire() {
    for status in [StatusCode::BAD_REQUEST, StatusCode::NOT_FOUND] {
        let mut args = args();
        args.expire_after = Some(Duration::from_millis(1));
        args.expired = status;
        let lab = Lab::new(args).await;
        let playlists = lab.playlists().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        let got = lab.get(&playlists[0]).await;
        assert_eq!(got.status, status);
        // For good.
        assert_eq!(lab.get(&playlists[0]).await.status, status);
        assert_eq!(
            lab.emulator.session(session_of(&playlists[0])).map(|session| session.state),
            Some("expired")
        );
    }
}

#[tokio::test]
async fn noisy_sessions_are_blocked() {
    let mut args = args();
    args.block_after = 2;
    let lab = Lab::new(args).await;
    let playlists = lab.playlists().await;
    let missing = playlists[0].replace("/0.m3u8", "/99.m3u8");
    for _ in 0..2 {
        assert_eq!(lab.get(&missing).await.status, StatusCode::NOT_FOUND);
    }
    assert_eq!(lab.get(&playlists[0]).await.status, StatusCode::GONE);
    let reset = lab.send(Method::POST, "/__emulator/reset", &[], "").await;
    assert_eq!(reset.status, StatusCode::OK);
    assert_eq!(lab.get(&playlists[0]).await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_oldest_idle_session_is_forgotten_when_there_are_too_many() {
    let mut args = args();
    args.max_sessions = 2;
    let lab = Lab::new(args).await;
    let first = lab.playlists().await;
    lab.playlists().await;
    lab.playlists().await;
    assert_eq!(lab.get(&first[0]).await.status, StatusCode::NOT_FOUND);
    let stats = lab.emulator.stats();
    assert_eq!((stats.sessions, stats.sessions_forgotten), (2, 1));
}
