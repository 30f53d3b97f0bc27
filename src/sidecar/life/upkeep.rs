//! What is done from time to time, whether or not anybody asks.

use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use crate::sidecar::relay::proxy::Proxy;

/// How often instances tell each other of their 4xx.
const SHARE_EVERY: Duration = Duration::from_secs(1);

/// How often all sessions are walked over for those that nobody asks for any more.
const FORGET_EVERY: Duration = Duration::from_secs(30);

/// Keeps the quotas of 4xx in step with other instances', for ever.
pub(in crate::sidecar) async fn share_quotas(proxy: Proxy) {
    if proxy.layer().leases().is_none() {
        return;
    }
    let mut due = every(SHARE_EVERY);
    loop {
        due.tick().await;
        for stack in proxy.each() {
            stack.share_quota().await;
        }
    }
}

/// Drops the last good playlists of sessions that nobody asks for any more, once they are too old to be
/// given, for ever.
pub(in crate::sidecar) async fn forget_idle(proxy: Proxy) {
    let mut due = every(FORGET_EVERY);
    loop {
        due.tick().await;
        proxy.shared().lessons().store.expire(Instant::now());
    }
}

fn every(period: Duration) -> Interval {
    let mut due = interval(period);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    due
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use bytes::Bytes;
    use http::HeaderMap;
    use tokio::time::sleep;

    use super::*;
    use crate::{
        rescue::Good,
        session::{SessionId, SessionKey},
        sidecar::Config,
    };

    #[tokio::test(start_paused = true)]
    async fn an_idle_session_costs_no_memory_in_the_end() {
        let config = Config::new("http://127.0.0.1:9".parse().expect("an upstream"));
        let proxy = Proxy::new(&config, None).expect("a client");
        let store = || proxy.shared();
        let learn = |id: &str| {
            let session = SessionKey::new(None, None, SessionId::parse(id).expect("an id"));
            let (headers, body) = (HeaderMap::new(), VecDeque::from([Bytes::from_static(b"#EXTM3U")]));
            let uri = "/0.m3u8".parse().expect("a URI");
            store().lessons().store.learn(&session, &uri, &Good::new(&headers, &body), Instant::now());
        };
        let upkeep = tokio::spawn(forget_idle(proxy.clone()));
        learn("idle");
        for _ in 0..9 {
            sleep(Duration::from_secs(10)).await;
            learn("active");
        }
        sleep(Duration::from_secs(1)).await;
        assert_eq!(store().lessons().store.sessions(), 1, "60 s are over, and 30 more");
        upkeep.abort();
    }
}
