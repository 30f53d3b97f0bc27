//! The engine in its other forms: a cluster, what sentinels point at, and one behind TLS with a user that may do no more than it must.

use rcgen::{CertifiedKey, generate_simple_self_signed};

use crate::{
    redis::{Redis, free, until},
    viewers::Fleet,
};

/// However busy the machine is.
const BUDGET: [&str; 2] = ["--lease-budget", "2s"];

/// What docs/lease.md says that a user needs.
const USER: [&str; 11] = [
    "onelane",
    "on",
    ">s3cret",
    "~onelane:*",
    "&onelane:*",
    "+@connection",
    "+@scripting",
    "+@pubsub",
    "+@string",
    "+@list",
    "+@keyspace",
];

/// And with sentinels.
const FOR_SENTINELS: [&str; 2] = ["+role", "+info"];

/// Viewers of a fleet have their answers, and none meets another at the upstream.
async fn nobody_meets(fleet: &Fleet) {
    fleet.agrees(true).await;
    let before = fleet.conflicts().await;
    let viewers = fleet.watch(20);
    viewers.had(120).await;
    let answers = viewers.stop().await;
    assert_eq!(answers.keys().collect::<Vec<_>>(), [&(200, None)], "{answers:?}");
    assert_eq!(fleet.conflicts().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster() {
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(Redis::node(&[]).await);
    }
    let all: Vec<_> = nodes.iter().map(|(node, _)| node.address.to_string()).collect();
    let create = ["--cluster", "create", &all[0], &all[1], &all[2], "--cluster-yes"];
    let told = nodes[0].0.ask(&create).await;
    assert!(told.contains("All 16384 slots covered"), "{told}");
    for (node, _) in &nodes {
        node.is_whole().await;
    }
    let url = format!("redis-cluster://{},{}", all[0], all[1]);
    let fleet = Fleet::start(&[&["--lease", &url, "--lease-required"][..], &BUDGET].concat()).await;
    nobody_meets(&fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_sentinels_point_at_before_and_after_it_is_lost() {
    let secret = ["--requirepass", "s3cret", "--masterauth", "s3cret", "--user"];
    let secret = [&secret[..], &USER, &FOR_SENTINELS].concat();
    let mut primary = Redis::start(&secret).await;
    let port = primary.address.port().to_string();
    let _replica = Redis::start(&[&secret[..], &["--replicaof", "127.0.0.1", &port]].concat()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let settings = folder.path().join("sentinel.conf");
    let text = format!(
        "sentinel monitor mine 127.0.0.1 {port} 1\nsentinel auth-pass mine s3cret\n\
         sentinel down-after-milliseconds mine 1000\nsentinel failover-timeout mine 3000\n"
    );
    std::fs::write(&settings, text).expect("a file");
    let sentinel = Redis::sentinel(&settings).await;
    until("the sentinel knows the replica", || async {
        sentinel.ask(&["sentinel", "replicas", "mine"]).await.contains("master-link-status\nok").then_some(())
    })
    .await;
    // The first that is listed takes connections and never answers.
    let dark = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let dark = (dark.local_addr().expect("an address"), dark);
    let url = format!("redis-sentinel://onelane:s3cret@{},{}/mine", dark.0, sentinel.address);
    let fleet = Fleet::start(&[&["--lease", &url, "--lease-required"][..], &BUDGET].concat()).await;
    nobody_meets(&fleet).await;
    let viewers = fleet.watch(20);
    viewers.had(60).await;
    primary.kill().await;
    fleet.agrees(false).await;
    fleet.agrees(true).await;
    let answers = viewers.stop().await;
    assert!(answers.keys().all(|(status, _)| *status == 200), "{answers:?}");
    nobody_meets(&fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_tls_with_a_user_that_may_do_what_the_papers_say() {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.to_str().expect("a path").to_owned()
    };
    let (cert, key) = (write("cert.pem", cert.pem()), write("key.pem", signing_key.serialize_pem()));
    let port = free().port().to_string();
    let tls = [
        &["--tls-port", &port, "--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-auth-clients", "no"]
            [..],
        &["--tls-ca-cert-file", &cert, "--user", "default", "off", "--user"],
        &USER,
    ];
    let _redis = Redis::start(&tls.concat()).await;
    let url = format!("rediss://onelane:s3cret@localhost:{port}");
    let flags = [&["--lease", &url, "--lease-required"][..], &BUDGET].concat();
    let fleet = Fleet::start_where(&flags, |_, command| {
        command.env("SSL_CERT_FILE", &cert);
    })
    .await;
    nobody_meets(&fleet).await;
}

#[test]
fn the_papers_name_what_such_a_user_may_do() {
    let papers = include_str!("../../docs/lease.md");
    assert!(USER[3..].iter().chain(&FOR_SENTINELS).all(|may| papers.contains(may)));
}
