//! The sidecar beside a minimal hyper proxy without lanes, over loopback: throughput per CPU second of the
//! proxy's process, and its memory with 3,000 open client connections.
//!
//! `cargo bench --bench proxy`. Both proxies are processes of their own and take turns, so that a ratio
//! compares what the machine did to both in the same minutes.

mod load;
mod minimal;
mod process;

use std::time::Duration;

use load::{Crowd, Load};
use process::Proxy;

/// How often each proxy has its turn.
const ROUNDS: usize = 7;

/// Requests in one turn.
const REQUESTS: usize = 40_000;

/// Connections under full load.
const CONNECTIONS: usize = 64;

fn main() {
    if std::env::args().any(|argument| argument == minimal::COMMAND) {
        return minimal::run();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        throughput(60).await;
        throughput(6).await;
        memory().await;
    });
}

async fn throughput(segments: u32) {
    let upstream = load::upstream(segments, Duration::ZERO).await;
    let proxies = [Proxy::minimal(upstream).await, Proxy::sidecar(upstream).await];
    let mut cpu = [Vec::new(), Vec::new()];
    let mut rate = [Vec::new(), Vec::new()];
    let mut ratios = Vec::new();
    for round in 0..=ROUNDS {
        let mut this = [0.0; 2];
        for (n, proxy) in proxies.iter().enumerate() {
            let before = proxy.cpu_seconds();
            let took = Load::new(proxy.address(), CONNECTIONS).run(REQUESTS).await;
            this[n] = (proxy.cpu_seconds() - before) * 10_000.0 / REQUESTS as f64;
            // The first round warms up.
            if round > 0 {
                cpu[n].push(this[n]);
                rate[n].push(REQUESTS as f64 / took.as_secs_f64());
            }
        }
        if round > 0 {
            ratios.push(this[0] / this[1]);
        }
    }
    println!(
        "throughput: {ROUNDS} rounds of {REQUESTS} requests, {CONNECTIONS} connections, {segments}-segment playlists"
    );
    for (n, name) in ["minimal", "sidecar"].into_iter().enumerate() {
        println!(
            "  {name}: {:.3} CPU s per 10,000 requests, {:.0} requests/s",
            median(&mut cpu[n]),
            median(&mut rate[n])
        );
    }
    let range = |ratios: &[f64]| {
        (ratios.iter().copied().fold(f64::MAX, f64::min), ratios.iter().copied().fold(0.0, f64::max))
    };
    let (least, most) = range(&ratios);
    println!(
        "  requests per CPU second, sidecar to minimal: {:.3} (rounds: {least:.3} to {most:.3})",
        median(&mut ratios)
    );
}

async fn memory() {
    let upstream = load::upstream(60, Duration::from_millis(20)).await;
    println!("memory: 1,000 viewers with 3 connections each, a refresh every 2 s for 10 s, 20 ms upstream");
    for proxy in [Proxy::minimal(upstream).await, Proxy::sidecar(upstream).await] {
        let idle = proxy.resident_mib();
        let crowd = Crowd::connect(proxy.address(), 1_000, 3).await;
        let peak = crowd.refresh(5, Duration::from_secs(2), || proxy.resident_mib()).await;
        println!("  {}: {idle:.1} MiB at start, {peak:.1} MiB with 3,000 connections", proxy.name());
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
