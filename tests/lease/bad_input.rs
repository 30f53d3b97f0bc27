use std::{net::SocketAddr, process::Output};

use tokio::time::timeout;

use crate::{
    redis::{HANG, Redis, free, until},
    viewers::{Fleet, onelane},
};

const UPSTREAM: &str = "http://127.0.0.1:1";

/// The exit code, and what standard error has.
async fn serve(flags: &[&str]) -> (Option<i32>, String) {
    let all = ["serve", "--upstream", UPSTREAM, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let output = timeout(HANG, onelane(&[&all, flags].concat()).output()).await;
    let Output { status, stderr, .. } = output.expect("it must not hang").expect("it starts");
    (status.code(), String::from_utf8(stderr).expect("text"))
}

#[tokio::test]
async fn a_url_that_is_none_is_refused_at_start_and_its_password_stays_where_it_is() {
    for url in [
        "",
        "127.0.0.1:6379",
        "http://me:s3cret@a.example",
        "redis://me:s3cret@",
        "redis-sentinel://me:s3cret@a",
    ] {
        let (code, told) = serve(&["--lease", url]).await;
        assert_eq!(code, Some(64), "{url}: {told}");
        assert!(told.starts_with("error: --lease ") && told.contains("write redis://HOST:6379"), "{told}");
        assert!(told.lines().count() == 1 && !told.contains("s3cret"), "{told}");
    }
}

#[tokio::test]
async fn what_is_required_has_to_be_of_use() {
    let few = ["few", "on", ">s3cret", "~onelane:*", "&onelane:*", "+@all", "-publish"];
    let acl = [&["--user", "default", "off", "--user"][..], &few].concat();
    let (open, acl) = (Redis::start(&[]).await, Redis::start(&acl).await);
    let guarded = Redis::start(&["--requirepass", "s3cret"]).await;
    let nobody = free();
    for (url, says) in [
        (format!("redis://{nobody}"), "refused"),
        (format!("redis://{}", guarded.address), "put the right user and password"),
        (format!("redis://:wrong-s3cret@{}", guarded.address), "put the right user and password"),
        (format!("redis://few:s3cret@{}", acl.address), "can't run this command"),
        (format!("redis-cluster://{}", open.address), "cluster"),
        (format!("redis-sentinel://{}/mine", open.address), "redis-sentinel://"),
    ] {
        let (code, told) = serve(&["--lease", &url, "--lease-required"]).await;
        assert_eq!(code, Some(69), "{url}: {told}");
        assert!(told.starts_with("error: --lease ") && told.contains(says), "{url}: {told}");
        assert!(told.lines().count() == 1 && !told.contains("s3cret"), "{told}");
    }
}

#[tokio::test]
async fn a_cluster_that_runs_no_scripts_is_of_no_use() {
    let few = ["--user", "few", "on", ">s3cret", "~*", "&*", "+@all", "-eval", "-evalsha"];
    let (node, _folder) = Redis::node(&few).await;
    assert_eq!(node.ask(&["cluster", "addslotsrange", "0", "16383"]).await, "OK");
    node.is_whole().await;
    let url = format!("redis-cluster://few:s3cret@{}", node.address);
    let (code, told) = serve(&["--lease", &url, "--lease-required"]).await;
    assert_eq!(code, Some(69), "{told}");
    assert!(told.starts_with("error: --lease ") && told.contains("docs/lease.md"), "{told}");
    assert!(told.lines().count() == 1 && !told.contains("s3cret"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_required_is_done_without_and_told() {
    let guarded = Redis::start(&["--requirepass", "s3cret"]).await;
    let fleet = Fleet::start(&["--lease", &format!("redis://me:s3cret-wrong@{}", guarded.address)]).await;
    fleet.agrees(false).await;
    let admin: SocketAddr = fleet.sidecars[0].admin;
    let ready = until("it was tried", || async {
        fleet.get(admin, "/readyz").await.filter(|text| text.contains("password"))
    });
    let ready = ready.await;
    assert!(ready.starts_with("ready\nwithout leases: redis://127.0.0.1:"), "{ready}");
    let overview = fleet.get(admin, "/api/overview").await.expect("an overview");
    let overview: serde_json::Value = serde_json::from_str(&overview).expect("JSON");
    assert_eq!(overview["lease"]["up"], false, "{overview}");
    let viewers = fleet.watch(10);
    viewers.had(60).await;
    let answers = viewers.stop().await;
    assert!(answers.keys().all(|(status, _)| *status == 200), "{answers:?}");
    assert!(fleet.metric("onelane_leases_total{result=\"bypassed\"}").await > 0.0);
    for text in [ready, overview.to_string()] {
        assert!(!text.contains("s3cret"), "{text}");
    }
}

#[tokio::test]
async fn a_check_shows_no_password() {
    let flags = ["check", "--upstream", UPSTREAM, "--lease", "redis://me:s3cret@a.example:6379"];
    let output = onelane(&flags).stdout(std::process::Stdio::piped()).output().await.expect("it starts");
    let told = String::from_utf8(output.stdout).expect("text");
    assert!(told.contains("lease = \"redis://a.example:6379\" # --lease"), "{told}");
    assert!(!told.contains("s3cret"), "{told}");
}
