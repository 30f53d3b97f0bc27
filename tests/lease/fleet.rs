use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::{
    redis::Redis,
    viewers::{Fleet, audience, is_full},
};

/// How long viewers watch.
fn time() -> Duration {
    Duration::from_secs(if is_full() { 60 } else { 8 })
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_are_spread_over_all_have_one_lane_all_the_same() {
    let redis = Redis::start(&[]).await;
    let fleet = Fleet::start(&["--lease", &redis.url(), "--lease-required", "--lease-budget", "2s"]).await;
    fleet.agrees(true).await;
    let balancer = fleet.balancer().await;
    let viewers = fleet.watch_by(&[balancer.entry], audience(60));
    sleep_until(Instant::now() + time()).await;
    let answers = viewers.stop().await;
    assert_eq!(answers.keys().collect::<Vec<_>>(), [&(200, None)], "{answers:?}");
    assert_eq!(fleet.conflicts().await, 0);
    assert_eq!(fleet.metric("onelane_leases_total{result=\"bypassed\"}").await, 0.0);
    let granted = fleet.metric("onelane_leases_total{result=\"granted\"}").await;
    assert!(granted >= answers.values().sum::<usize>() as f64, "{granted} of {answers:?}");
    // One connection for each, and that of who asks.
    assert_eq!(redis.ask(&["client", "list"]).await.lines().count(), 4);
    crate::redis::until("nothing is left", || async { (redis.ask(&["dbsize"]).await == "0").then_some(()) })
        .await;
}
