use std::{
    sync::{Arc, Mutex, PoisonError, atomic::AtomicUsize},
    time::Duration,
};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::channel::Channel;
use serde_json::Value;
use tokio::{
    sync::{Semaphore, watch},
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use super::{
    answer::{self, Body},
    history::{History, Second},
    overview::Overview,
};
use crate::{
    sidecar::upstream::counted::Place,
    telemetry::{Pulse, Recent},
};

/// Looks at how it goes every second, keeps that for some minutes, and tells who listens.
#[derive(Debug)]
pub(super) struct Live {
    history: Mutex<History>,
    news: watch::Sender<Bytes>,
    places: Arc<Semaphore>,
}

/// The most who listen at once.
const LISTENERS: usize = 32;

/// A listener that does not read for this long is gone.
const READ_WITHIN: Duration = Duration::from_secs(30);

// === impl Live ===

impl Live {
    pub(super) fn new() -> Self {
        Self {
            history: Mutex::default(),
            news: watch::Sender::new(Bytes::new()),
            places: Arc::new(Semaphore::new(LISTENERS)),
        }
    }

    /// Goes on for ever.
    pub(super) async fn run(&self, overview: Overview<'_>) {
        let mut ticks = interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        let (mut before, mut at, mut told) = (Pulse::get().look(), Instant::now(), 0);
        loop {
            ticks.tick().await;
            let (look, now) = (Pulse::get().look(), Instant::now());
            let second = Second::new(now - at, look.since(&before), overview.waiting());
            (before, at) = (look, now);
            self.history.lock().unwrap_or_else(PoisonError::into_inner).push(second);
            if self.news.receiver_count() > 0 {
                let events = Recent::get().count();
                self.news.send_replace(event(&overview.now(&second, events != told)));
                told = events;
            }
        }
    }

    /// The last minutes.
    pub(super) fn history(&self) -> Value {
        self.history.lock().unwrap_or_else(PoisonError::into_inner).to_json()
    }

    /// Server-sent events, one a second; or only their head. The connection's listeners are counted.
    pub(super) fn listen(&self, head_only: bool, listening: &Arc<AtomicUsize>) -> Response<Body> {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return answer::problem(
                StatusCode::SERVICE_UNAVAILABLE,
                &format!("{LISTENERS} listen already"),
                "close a page that is open elsewhere, or ask /api/overview now and then",
            );
        };
        let (mut listener, body) = Channel::new(1);
        if head_only {
            return answer::events(body);
        }
        let mut news = self.news.subscribe();
        let counted = Place::new(Arc::clone(listening));
        tokio::spawn(async move {
            let _places = (place, counted);
            // At once, so that the listener knows that it is heard.
            let mut next = Bytes::from_static(b"retry: 2000\n\n");
            loop {
                match timeout(READ_WITHIN, listener.send_data(next)).await {
                    Ok(Ok(())) => {}
                    _ => return,
                }
                if news.changed().await.is_err() {
                    return;
                }
                next = news.borrow_and_update().clone();
            }
        });
        answer::events(body)
    }
}

/// JSON has no line of its own inside, so that one line is all.
fn event(data: &Value) -> Bytes {
    format!("event: second\ndata: {data}\n\n").into()
}
