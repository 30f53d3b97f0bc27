//! Memory after crowds that come through all stages. A test target of its own, with one test: nothing else may move the process's memory.
#![cfg(target_os = "linux")]

#[path = "memory/resident.rs"]
mod resident;

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, Full};
use onelane::{
    rescue, shield,
    stack::{Config, Stack},
};
use tokio::{
    task::JoinSet,
    time::{Duration, Instant, advance},
};
use tower::{Layer as _, Service as _, service_fn};

use resident::{no_more, resident};

/// Sessions in one wave.
const WAVE: u32 = 100_000;

/// So many of them are there at a time.
const AT_ONCE: u32 = 500;

/// One in so many is lost.
const LOST: u32 = 10;

const PLAYLIST: &str =
    "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:1\n#EXTINF:6.0,\n1.ts\n#EXTINF:6.0,\n2.ts\n";

#[tokio::test(start_paused = true)]
async fn a_second_wave_leaves_no_more_behind_than_the_first() {
    // Less than one wave would fill.
    let rescue = rescue::Config::default().bytes(16 << 20);
    let shield = shield::Config::default().configuration_4xx_per_minute(u32::MAX);
    let stack = Stack::new(Config::default().rescue(rescue).shield(shield));
    wave(&stack, 0).await;
    let first = resident();
    wave(&stack, 1).await;
    let second = resident();
    no_more(first, second);
}

/// So many sessions play, and then nobody asks for them for two minutes.
async fn wave(stack: &Stack, number: u32) {
    let upstream = service_fn(|request: Request<Empty<Bytes>>| async move {
        let mut response = Response::new(Full::new(Bytes::from_static(PLAYLIST.as_bytes())));
        if request.uri().query() == Some("lost") {
            *response.status_mut() = StatusCode::NOT_FOUND;
        }
        Ok::<_, Infallible>(response)
    });
    let service = stack.layer(upstream);
    let (mut playing, mut played) = (JoinSet::new(), 0);
    for session in number * WAVE..(number + 1) * WAVE {
        if playing.len() as u32 == AT_ONCE {
            played += playing.join_next().await.expect("one of them").expect("no panic");
        }
        let mut service = service.clone();
        playing.spawn(async move {
            let lost = if session % LOST == 0 { "?lost" } else { "" };
            let path =
                format!("/v1/manifest/acct/Demo/{session:08x}-30aa-4c1e-9d0f-2a4d1f7be901/0.m3u8{lost}");
            let request = Request::get(path).body(Empty::new()).expect("a request");
            let answer = service.call(request).await.unwrap_or_else(|never| match never {});
            let is_good = answer.status() == StatusCode::OK;
            let body = answer.into_body().collect().await.expect("a body").to_bytes();
            u32::from(is_good && body == PLAYLIST)
        });
        // Now and then time passes, as it does for those that come one after the other.
        if session % AT_ONCE == 0 {
            advance(Duration::from_millis(100)).await;
            stack.lessons().store.expire(Instant::now());
        }
    }
    while let Some(one) = playing.join_next().await {
        played += one.expect("no panic");
    }
    assert_eq!(played, WAVE - WAVE / LOST, "so many playlists were given");
    stack.serialize().drained().await;
    advance(Duration::from_secs(120)).await;
    stack.lessons().store.expire(Instant::now());
    assert!(stack.lanes().is_empty() && stack.lanes().waiting() == 0);
}
