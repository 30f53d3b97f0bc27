//! What the store of last good playlists takes, as the allocator sees it. A test target of its own, with one test:
//! nothing else may move the process's memory.

use std::{alloc::System, collections::VecDeque};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use onelane::{
    rescue::{Config, Good, Store},
    session::{SessionId, SessionKey},
};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::time::Instant;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const MIB: usize = 1024 * 1024;

/// The budget, and what the store may take besides: for what it remembers of sessions that it evicted.
const BUDGET: usize = 32 * MIB;
const BESIDES: usize = MIB / 4;

#[test]
fn a_million_playlists_stay_within_the_budget() {
    let url: Uri =
        "/v1/manifest/acct/Demo/6f1b7c52-30aa-4c1e-9d0f-2a4d1f7be901/0.m3u8".parse().expect("a URI");
    let headers: HeaderMap = [
        ("content-type", "application/vnd.apple.mpegurl"),
        ("access-control-allow-origin", "*"),
        ("x-of-the-upstream", "some words"),
    ]
    .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
    .into_iter()
    .collect();
    // As from a client: a small piece of a large buffer.
    let read = Bytes::from(vec![b'#'; 64 * 1024]);
    let now = Instant::now();

    // Small ones are mostly bookkeeping, large ones mostly bytes; all of one size, and no two of one.
    for sizes in [[1, 1], [500, 500], [20_000, 20_000], [1, 60_000]] {
        let before = allocated();
        let store = Store::new(Config::default().bytes(BUDGET as u64));
        let mut most = 0;
        for n in 0..250_000 {
            let id = format!("{n:08x}-30aa-4c1e-9d0f-2a4d1f7be901");
            let session = SessionKey::new(None, Some("Demo"), SessionId::parse(&id).expect("a UUID"));
            let size = sizes[0] + n * 31 % (sizes[1] - sizes[0] + 1);
            let body = VecDeque::from([read.slice(..size)]);
            store.learn(&session, &url, &Good::new(&headers, &body).media_sequence(Some(n as u64)), now);
            if n % 1_000 == 0 {
                most = most.max(allocated() - before);
            }
        }
        println!(
            "{sizes:?}: {most} bytes at most, {} counted, {} playlists",
            store.bytes(),
            store.playlists()
        );
        assert!(most <= BUDGET + BESIDES, "{most} bytes for {sizes:?}");
        // Nor is the budget counted away.
        assert!(store.bytes() as usize > BUDGET * 9 / 10);
        assert!(allocated() - before > BUDGET / 2, "{} bytes for {sizes:?}", allocated() - before);
        drop(store);
        assert!(allocated() <= before + 4_096, "all of it is given back, but for what printing keeps");
    }
}

/// Bytes that are allocated now.
fn allocated() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}
