//! The 4xx of one playback configuration that reach the account through three sidecars.

use crate::{
    redis::{Redis, until},
    viewers::Fleet,
};

/// The most in a minute, for all of them.
const LIMIT: u64 = 40;

#[tokio::test(flavor = "multi_thread")]
async fn who_hears_that_the_quota_is_spent_spends_no_more() {
    let settings = tempfile::NamedTempFile::with_suffix(".toml").expect("a file");
    let limit = format!("[shield]\nconfiguration_4xx_per_minute = {LIMIT}\n");
    std::fs::write(settings.path(), limit).expect("it is written");
    let redis = Redis::start(&[]).await;
    let config = settings.path().to_str().expect("a path");
    let fleet = Fleet::start(&["--lease", &redis.url(), "--lease-budget", "2s", "--config", config]).await;
    fleet.agrees(true).await;
    let [first, others @ ..] = fleet.sidecars.as_slice() else { panic!("there are some") };
    // Each session asks once, so that it is the configuration's quota that runs out.
    let mut lost = 0..;
    let mut ask = async |sidecar, times: u64| {
        for nth in lost.by_ref().take(times as usize) {
            assert_ne!(fleet.status(sidecar, &format!("lost-{nth}")).await, 200);
        }
    };
    ask(first, LIMIT + 10).await;
    assert_eq!(fleet.client_errors().await, LIMIT, "its own limit");
    for (nth, other) in others.iter().enumerate() {
        let before = LIMIT + nth as u64;
        // It has not asked the others before it has one itself.
        ask(other, 1).await;
        assert_eq!(fleet.client_errors().await, before + 1);
        until("it hears of the others'", || async {
            (fleet.level(other, "onelane_4xx_quota_used_ratio").await >= 1.0).then_some(())
        })
        .await;
        ask(other, 20).await;
        assert_eq!(fleet.client_errors().await, before + 1, "nothing more reaches the account");
    }
}
