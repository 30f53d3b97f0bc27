//! Memory after crowds. A test target of its own, with one test: nothing else may move the process's memory.
#![cfg(target_os = "linux")]

#[path = "memory/resident.rs"]
mod resident;

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty, Full};
use onelane::serialize::{Config, SerializeLayer};
use tokio::{sync::watch, task::yield_now};
use tower::{Layer as _, Service as _, service_fn};

use resident::{no_more, resident};

/// Sessions in one wave, all in flight at once.
const WAVE: usize = 100_000;

#[tokio::test]
async fn a_second_wave_leaves_no_more_behind_than_the_first() {
    let layer = SerializeLayer::with(Config::default().answer_within(Duration::MAX).max_hold(Duration::MAX));
    wave(&layer, 0).await;
    let first = resident();
    wave(&layer, 1).await;
    let second = resident();
    no_more(first, second);
}

/// So many sessions, each with a request in flight at the same time, and then all answered.
async fn wave(layer: &SerializeLayer, number: usize) {
    let (open, gate) = watch::channel(false);
    let in_flight = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&in_flight);
    let mut service = layer.layer(service_fn(move |_: Request<Empty<Bytes>>| {
        let (mut gate, in_flight) = (gate.clone(), Arc::clone(&counted));
        async move {
            in_flight.fetch_add(1, Relaxed);
            gate.wait_for(|open| *open).await.expect("it is opened");
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"#EXTM3U\n"))))
        }
    }));
    let mut call = |session: usize| {
        let path = format!("/v1/manifest/acct/Demo/{session:08x}-30aa-4c1e-9d0f-2a4d1f7be901/0.m3u8");
        service.call(Request::get(path).body(Empty::new()).expect("a request"))
    };
    let sessions = number * WAVE..(number + 1) * WAVE;
    // Boxed: one vector of 40 MB would show in the process's memory as a thing of this test alone.
    let answers: Vec<_> = sessions.map(|session| Box::pin(call(session))).collect();
    while in_flight.load(Relaxed) < WAVE {
        yield_now().await;
    }
    assert_eq!((layer.lanes().len(), layer.exchanges()), (WAVE, WAVE));
    open.send_replace(true);
    for answer in answers {
        let body = answer.await.expect("an answer").into_body().collect().await.expect("a body");
        assert_eq!(body.to_bytes(), "#EXTM3U\n");
    }
    layer.drained().await;
    assert_eq!((in_flight.load(Relaxed), layer.exchanges()), (WAVE, 0));
    assert!(layer.lanes().is_empty() && layer.lanes().waiting() == 0);
}
