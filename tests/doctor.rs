//! `onelane doctor` finds what was planted, and nothing where nothing was.

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Output,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use http::StatusCode;
use onelane::{
    emulator::{Args, Conflict, Emulator, Unknown},
    sidecar::{Config, Sidecar},
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::Command,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
};

/// An emulator in good health, and fast.
fn healthy() -> Args {
    but(|_| {})
}

/// The same, but for something.
fn but(set: impl FnOnce(&mut Args)) -> Args {
    let mut args = Args::default();
    args.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    args.conflict = Conflict::None;
    args.latency = "5ms".parse().expect("a latency");
    args.segment = Duration::from_secs(1);
    set(&mut args);
    args
}

async fn doctor(arguments: &[&str]) -> (Option<i32>, String, String) {
    doctor_with(arguments, &[]).await
}

async fn doctor_with(arguments: &[&str], variables: &[(&str, &Path)]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onelane"));
    let output = command
        .arg("doctor")
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied())
        .kill_on_drop(true)
        .output();
    let Output { status, stdout, stderr } = output.await.expect("it starts");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

/// Examines an emulator; gives the exit code, the names of all that is not as it should be, and the report.
async fn examine(args: Args, fault: Option<&str>, path: &str) -> (Option<i32>, Vec<String>, Value) {
    let emulator = Emulator::bind(args).await.expect("a free port");
    if let Some(fault) = fault {
        emulator.add_fault(fault.parse().expect(fault)).expect("room for it");
    }
    let url = format!("http://{}{path}", emulator.local_addr());
    let (code, told, _) = doctor(&[&url, "--json"]).await;
    let report: Value = serde_json::from_str(&told).expect("JSON");
    let findings = report["findings"].as_array().expect("findings").iter();
    let bad = findings.filter(|finding| matches!(finding["severity"].as_str(), Some("warning" | "error")));
    let bad = bad.map(|finding| {
        assert!(!finding["remedy"].as_str().expect("a text").is_empty(), "no remedy: {finding}");
        finding["check"].as_str().expect("a name").to_owned()
    });
    let bad = bad.collect();
    let stats = emulator.stats();
    assert!(stats.requests <= 40, "{} requests", stats.requests);
    assert!(report["requests"].as_u64().is_some_and(|requests| requests <= 40));
    emulator.shutdown().await;
    (code, bad, report)
}

const MASTER: &str = "/v1/master/acct/Demo/index.m3u8";

#[tokio::test]
async fn it_finds_what_was_planted_and_nothing_else() {
    let media = |fault: &str| Some(format!("{{{fault}, \"playlists\": \"media\"}}"));
    let conflicts = but(|args| {
        args.conflict = Conflict::Reject;
        args.latency = "50ms".parse().expect("a latency");
    });
    for (checks, code, args, fault) in [
        ("host", 2, but(|args| args.host = Some("mediatailor.example".to_owned())), None),
        ("conflict", 1, conflicts, None),
        ("session", 2, healthy(), media(r#""status": 400"#)),
        ("session", 2, healthy(), media(r#""status": 404"#)),
        ("cors", 1, but(|args| args.cors_on_errors = false), None),
        ("cache", 2, healthy(), media(r#""kind": "cached""#)),
        ("cache", 2, healthy(), Some(r#"{"kind": "cached", "playlists": "multivariant"}"#.to_owned())),
        ("blocked", 2, healthy(), media(r#""status": 410"#)),
        ("throttled", 1, healthy(), media(r#""kind": "throttle", "above": 0"#)),
        ("slow", 1, healthy(), Some(r#"{"kind": "delay", "delay": "2500ms", "playlists": [1]}"#.to_owned())),
        ("html upstream", 2, healthy(), media(r#""kind": "html", "status": 502"#)),
        (
            "redirects",
            2,
            healthy(),
            Some(r#"{"kind": "redirect-loop", "playlists": "multivariant"}"#.to_owned()),
        ),
        ("clock", 1, healthy(), media(r#""kind": "unchanged""#)),
        ("gzip", 2, healthy(), media(r#""kind": "truncated-gzip""#)),
        ("upstream", 2, healthy(), media(r#""status": 502"#)),
        ("playlist", 2, healthy(), media(r#""kind": "empty""#)),
    ] {
        let (ended, bad, report) = examine(args, fault.as_deref(), MASTER).await;
        assert_eq!((ended, &bad.join(" ")[..]), (Some(code), checks), "{checks}: {report:#}");
    }
}

#[tokio::test]
async fn it_gives_a_clean_bill_by_every_way_in() {
    for path in [MASTER, "/v1/session/acct/Demo/index.m3u8"] {
        let (code, bad, report) = examine(healthy(), None, path).await;
        assert_eq!((code, &bad[..]), (Some(0), &[][..]), "{path}: {report:#}");
        let checks: Vec<_> =
            report["findings"].as_array().expect("findings").iter().map(|one| &one["check"]).collect();
        for check in ["reach", "session", "cors", "cache", "playlist", "gzip", "clock", "conflict", "onelane"]
        {
            assert!(checks.iter().any(|known| **known == check), "{check} is missing: {report:#}");
        }
    }
}

#[tokio::test]
async fn people_get_it_in_words() {
    let emulator = Emulator::bind(healthy()).await.expect("a free port");
    let (code, told, _) = doctor(&[&format!("http://{}{MASTER}", emulator.local_addr())]).await;
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("     ok  onelane ") && told.contains("\nNothing to do. "), "{told}");
}

#[tokio::test]
async fn no_report_holds_a_whole_session_id_or_a_query() {
    let emulator = Emulator::bind(healthy()).await.expect("a free port");
    let (id, token) = ("6f1b7c52-30aa-4c1e-9d0f-2a4d1f7be901", "token=secret");
    let at = emulator.local_addr();
    for path in [
        format!("/v1/manifest/acct/Demo/{id}/0.m3u8?{token}"),
        format!("{MASTER}?aws.sessionId={id}&{token}"),
    ] {
        for form in [&["--json"][..], &[]] {
            let url = format!("http://viewer:word@{at}{path}");
            let (code, told, more) = doctor(&[&[&*url], form].concat()).await;
            assert_eq!(code, Some(2), "{told}{more}");
            for secret in [id, "secret", "viewer", "word"] {
                assert!(!told.contains(secret) && !more.contains(secret), "{secret}: {told}{more}");
            }
            assert!(told.contains("Demo/"), "{told}");
        }
    }
    let (code, _, told) = doctor(&[&format!("ftp://a.example/v1/manifest/a/b/{id}/0.m3u8?{token}")]).await;
    assert_eq!((code, told.contains(id) || told.contains("secret")), (Some(64), false), "{told}");
}

#[tokio::test]
async fn what_cannot_be_examined_is_told_in_one_line_each() {
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let (code, told, _) = doctor(&[&format!("http://{closed}{MASTER}"), "--json"]).await;
    let report: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!((code, &report["findings"][0]["check"]), (Some(69), &"reach".into()), "{told}");
    for bad in ["ftp://a.example/", "/v1/master/a/b/c.m3u8", "a.example", "http://"] {
        let (code, _, told) = doctor(&[bad]).await;
        assert_eq!((code, told.lines().count()), (Some(64), 1), "{bad}: {told}");
    }
}

/// An emulator that conflicts, examined with `--deep`: the answers, and the report.
async fn deep(expire_within: &str, set: impl FnOnce(&mut Args)) -> (Value, Value) {
    let args = but(|args| {
        args.latency = "200ms".parse().expect("a latency");
        set(args);
    });
    let emulator = Emulator::bind(args).await.expect("a free port");
    let url = format!("http://{}{MASTER}", emulator.local_addr());
    let (_, told, more) = doctor(&[&url, "--deep", "--expire-within", expire_within, "--json"]).await;
    let report: Value = serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}{more}"));
    let stats = emulator.stats();
    assert!(stats.requests <= 120, "{} requests: {report:#}", stats.requests);
    assert!(stats.max_in_flight <= 2, "{} at once: {report:#}", stats.max_in_flight);
    assert!(report["requests"].as_u64().is_some_and(|requests| requests <= stats.requests), "{report:#}");
    emulator.shutdown().await;
    are_settings(&report).await;
    (report["answers"].clone(), report)
}

/// What a report would have set is what `onelane check` takes.
async fn are_settings(report: &Value) {
    let settings = report["settings"].as_array().expect("settings").iter();
    let text = |of: &Value| of.as_str().expect("a text").to_owned();
    let lines: String =
        settings.map(|one| format!("{} = {}\n", text(&one["key"]), text(&one["value"]))).collect();
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("deep-{}-{}.toml", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&file, &lines).expect("a file");
    let checked =
        Command::new(env!("CARGO_BIN_EXE_onelane")).arg("check").arg("--config").arg(&file).output();
    let checked = checked.await.expect("it starts");
    let _gone = std::fs::remove_file(&file);
    assert!(checked.status.success(), "{lines}{}", String::from_utf8_lossy(&checked.stderr));
}

fn setting<'a>(report: &'a Value, key: &str) -> Option<&'a str> {
    let settings = report["settings"].as_array().expect("settings").iter();
    settings.into_iter().find(|one| one["key"] == key)?["value"].as_str()
}

#[tokio::test]
async fn deep_tells_a_lock_that_outlives_players() {
    let (answers, report) = deep("1s", |args| {
        (args.conflict, args.conflict_tracking) = (Conflict::Reject, true);
        args.expire_after = Some(Duration::from_secs(5));
        args.unknown = Unknown::BadRequest;
    })
    .await;
    assert_eq!((&answers["loser"], &answers["loses_at"]), (&"second".into(), &"start".into()), "{report:#}");
    assert_eq!(answers["busy_after"]["more_than_ms"], Value::Null, "{report:#}");
    for asked in ["goes_on_after_disconnect", "tracking", "multivariant"] {
        assert_eq!(answers[asked], true, "{asked}: {report:#}");
    }
    assert_eq!((&answers["unknown"]["status"], &answers["expired"]["status"]), (&400.into(), &400.into()));
    assert_eq!(answers["conflict"]["exception"], "ConflictException", "{report:#}");
    assert_eq!(answers["expired"]["verdict"], "session_lost", "{report:#}");
    assert_eq!(setting(&report, "serialize_tracking"), Some("true"), "{report:#}");
    assert_eq!(setting(&report, "settle.most"), Some("\"250ms\""), "{report:#}");
    // Nothing that was found out says how long a playlist takes at most.
    assert_eq!(setting(&report, "max_hold"), None, "{report:#}");
}

#[tokio::test]
async fn deep_tells_a_record_that_is_checked_at_the_end_and_ends_with_its_player() {
    let (answers, report) = deep("30s", |args| {
        args.conflict = Conflict::Optimistic;
        (args.conflict_multivariant, args.ends_with_client) = (false, true);
        args.expire_after = Some(Duration::from_secs(5));
        args.expired = StatusCode::NOT_FOUND;
    })
    .await;
    assert_eq!((&answers["loser"], &answers["loses_at"]), (&"second".into(), &"end".into()), "{report:#}");
    for asked in ["goes_on_after_disconnect", "tracking", "multivariant"] {
        assert_eq!(answers[asked], false, "{asked}: {report:#}");
    }
    assert_eq!((&answers["unknown"]["status"], &answers["expired"]["status"]), (&404.into(), &404.into()));
    assert_eq!(setting(&report, "serialize_tracking"), Some("false"), "{report:#}");
    assert_eq!(setting(&report, "max_hold"), None, "{report:#}");
}

#[tokio::test]
async fn deep_tells_how_long_a_session_stays_busy() {
    let (answers, report) = deep("34s", |args| {
        args.conflict = Conflict::Reject;
        args.busy_after = "300ms".parse().expect("a latency");
        args.latency = "50ms".parse().expect("a latency");
        args.expire_after = Some(Duration::from_secs(30));
    })
    .await;
    let bound = |name: &str| answers["busy_after"][name].as_u64().expect(name);
    let (low, high) = (bound("more_than_ms"), bound("at_most_ms"));
    // What comes on top of a gap on its way makes it longer, never shorter.
    assert!((160..=300).contains(&low) && low < high && high <= 320, "{low} {high}: {report:#}");
    // It is busy as well when its playlist is asked for at once after the multivariant one.
    assert_eq!(answers["expired"]["verdict"], "session_lost", "{report:#}");
    let most = format!("\"{}ms\"", (high * 3 / 2).max(250));
    assert_eq!(setting(&report, "settle.most"), Some(&*most), "{report:#}");
}

#[tokio::test]
async fn deep_has_nothing_to_tell_where_nothing_conflicts() {
    let (answers, report) = deep("0s", |args| args.unknown = Unknown::Adopt).await;
    assert_eq!(answers["loser"], "none", "{report:#}");
    for asked in ["goes_on_after_disconnect", "tracking", "multivariant", "unknown", "conflict"] {
        assert_eq!(answers[asked], Value::Null, "{asked}: {report:#}");
    }
    assert_eq!(
        report["findings"]
            .as_array()
            .expect("findings")
            .iter()
            .filter(|one| one["severity"] == "error")
            .count(),
        0
    );
}

#[tokio::test]
async fn deep_does_not_go_on_where_sessions_are_lost() {
    let emulator = Emulator::bind(healthy()).await.expect("a free port");
    emulator.add_fault(r#"{"status": 404, "playlists": "media"}"#.parse().expect("a fault")).expect("room");
    let url = format!("http://{}{MASTER}", emulator.local_addr());
    let (code, told, _) = doctor(&[&url, "--deep"]).await;
    assert_eq!((code, told.contains("Settings")), (Some(2), false), "{told}");
    assert!(emulator.stats().requests <= 5, "{:?}", emulator.stats());
}

/// A server over TLS whose certificate is for `name` until `year`, and the file of its authority.
async fn secure(test: &str, name: &str, year: i32) -> (SocketAddr, PathBuf) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.distinguished_name.push(DnType::CommonName, test);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = params.self_signed(&key).expect("a root");
    let issuer = Issuer::new(params, key);
    let own = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
    params.not_after = date_time_ymd(year, 1, 1);
    let certificate = params.signed_by(&own, &issuer).expect("a certificate");
    let authority =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("doctor-{test}-{}.pem", std::process::id()));
    std::fs::write(&authority, root.pem()).expect("a file");
    let key = PrivateKeyDer::try_from(own.serialize_der()).expect("a key");
    let tls = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|tls| tls.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key))
        .expect("a configuration");
    let tls = TlsAcceptor::from(Arc::new(tls));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            // The one who looks is not content with the certificate, and leaves.
            let _refused = tls.accept(connection).await;
        }
    });
    (address, authority)
}

#[tokio::test]
async fn a_certificate_that_players_refuse_is_told_with_the_reason() {
    let (_, strange) = secure("strange", "localhost", 4000).await;
    for (test, name, year, says, remedy) in [
        ("untrusted", "localhost", 4000, "UnknownIssuer", "whole chain"),
        ("expired", "localhost", 2020, "expired", "renew"),
        ("wrong-name", "tv.example", 4000, "not valid for name", "use a name"),
    ] {
        let (address, own) = secure(test, name, year).await;
        let trusted = if test == "untrusted" { &strange } else { &own };
        let url = format!("https://localhost:{}{MASTER}", address.port());
        let (code, told, _) = doctor_with(&[&url, "--json"], &[("SSL_CERT_FILE", trusted)]).await;
        let _gone = std::fs::remove_file(&own);
        let report: Value = serde_json::from_str(&told).expect("JSON");
        let findings = report["findings"].as_array().expect("findings");
        assert_eq!(
            (code, findings.len(), &findings[0]["check"]),
            (Some(2), 1, &"tls".into()),
            "{test}: {told}"
        );
        for (field, says) in [("saw", says), ("remedy", remedy)] {
            let text = findings[0][field].as_str().expect("a text");
            assert!(text.contains(says), "{test}: {told}");
        }
    }
    let _gone = std::fs::remove_file(strange);
}

#[tokio::test]
async fn playlists_at_several_hosts_are_not_tried_as_if_they_were_at_one() {
    let listen = async || tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let (one, other) = (listen().await, listen().await);
    let [at_one, at_other] = [&one, &other].map(|port| port.local_addr().expect("an address"));
    let media = |at, nth| {
        format!("http://{at}/v1/manifest/acct/Demo/6f1b7c52-30aa-4c1e-9d0f-2a4d1f7be901/{nth}.m3u8")
    };
    let stream = "#EXT-X-STREAM-INF:BANDWIDTH=2100000";
    let master = format!("#EXTM3U\n{stream}\n{}\n{stream}\n{}\n", media(at_one, 0), media(at_other, 1));
    let playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:1\n#EXTINF:1.0,\n1.ts\n";
    // The one host has the one playlist, and no other.
    for (port, nth) in [(one, "0.m3u8"), (other, "1.m3u8")] {
        let master = master.clone();
        let answer = move |uri: http::Uri| {
            let master = master.clone();
            async move {
                match uri.path() {
                    MASTER => (StatusCode::OK, master),
                    path if path.ends_with(nth) => (StatusCode::OK, playlist.to_owned()),
                    _ => (StatusCode::NOT_FOUND, String::new()),
                }
            }
        };
        tokio::spawn(axum::serve(port, axum::Router::new().fallback(answer)).into_future());
    }
    let (_, told, _) = doctor(&[&format!("http://{at_one}{MASTER}"), "--json"]).await;
    let report: Value = serde_json::from_str(&told).expect("JSON");
    let findings = report["findings"].as_array().expect("findings");
    let of = |check: &str| findings.iter().filter(|finding| finding["check"] == check).collect::<Vec<_>>();
    let onelane = of("onelane");
    assert_eq!((onelane.len(), &onelane[0]["severity"]), (1, &"note".into()), "{report:#}");
    // Nor does anything say whether these may be kept.
    let cache = of("cache");
    assert_eq!((cache.len(), &cache[0]["severity"]), (1, &"warning".into()), "{report:#}");
}

/// What is at an address under a path.
async fn load(at: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(at).await.expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it is read");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("text");
    answer
}

#[tokio::test]
async fn what_onelane_bridges_is_told_as_that() {
    let emulator = Emulator::bind(healthy()).await.expect("a free port");
    let mut config = Config::new(format!("http://{}", emulator.local_addr()).parse().expect("an upstream"));
    config.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.admin = config.listen;
    let sidecar = Sidecar::bind(config).await.expect("free ports");
    let at = sidecar.local_addr();
    let running = tokio::spawn(sidecar.run(std::future::pending()));
    let master = load(at, MASTER).await;
    let mut links = master.lines().filter(|line| !line.starts_with('#'));
    let link = links.find_map(|line| line.split_once("manifest/")).expect("a media playlist").1;
    let path = format!("/v1/manifest/{link}");
    assert!(load(at, &path).await.contains("#EXTM3U"));
    emulator.shutdown().await;

    // What has a playlist of before is bridged, and what makes a session is not.
    let own = "answers 502, made by a onelane (unreachable): no connection to the upstream";
    for (path, code, says) in [(&*path, 1, "bridged by onelane: unreachable, "), (MASTER, 2, own)] {
        let (ended, told, _) = doctor(&[&format!("http://{at}{path}"), "--json"]).await;
        let report: Value = serde_json::from_str(&told).expect("JSON");
        let findings = report["findings"].as_array().expect("findings").iter();
        let bad: Vec<_> = findings
            .filter(|finding| matches!(finding["severity"].as_str(), Some("warning" | "error")))
            .map(|finding| {
                (finding["check"].as_str().expect("a name"), finding["saw"].as_str().expect("a text"))
            })
            .collect();
        assert!(matches!(bad[..], [("upstream", saw)] if saw.contains(says)), "{report:#}");
        assert_eq!(ended, Some(code), "{report:#}");
    }
    running.abort();
}

#[tokio::test]
async fn many_redirects_are_no_loop() {
    let port = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let at = port.local_addr().expect("an address");
    let answer = async |uri: http::Uri| {
        let next = uri.path().trim_start_matches("/v1/master/acct/").parse().map_or(0, |nth: u32| nth + 1);
        (StatusCode::FOUND, [(http::header::LOCATION, format!("/v1/master/acct/{next}"))])
    };
    tokio::spawn(axum::serve(port, axum::Router::new().fallback(answer)).into_future());
    let (code, told, _) = doctor(&[&format!("http://{at}/v1/master/acct/0"), "--json"]).await;
    let report: Value = serde_json::from_str(&told).expect("JSON");
    let saw = report["findings"][0]["saw"].as_str().expect("a finding");
    assert!(saw.contains("more than 5 times") && !saw.contains("comes back"), "{report:#}");
    assert_eq!((code, &report["requests"]), (Some(2), &6.into()), "{report:#}");
}

#[tokio::test]
async fn what_is_for_others_is_not_told_as_good() {
    let port = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let at = port.local_addr().expect("an address");
    let answer = async |uri: http::Uri| {
        use std::io::Write as _;
        let text = match uri.path().contains("/master/") {
            true => {
                "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n../../../manifest/acct/Demo/6f1b7c52-30aa-4c1e-9d0f-000000000001/0.m3u8\n"
            }
            false => "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6.0,\n0.ts\n#EXT-X-ENDLIST\n",
        };
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(text.as_bytes()).expect("memory");
        let headers = [
            (http::header::CONTENT_ENCODING, "gzip"),
            (http::header::ACCESS_CONTROL_ALLOW_ORIGIN, "https://player.example"),
            (http::header::CACHE_CONTROL, "no-store"),
        ];
        (headers, packed.finish().expect("memory"))
    };
    tokio::spawn(axum::serve(port, axum::Router::new().fallback(answer)).into_future());
    let (code, told, _) = doctor(&[&format!("http://{at}/v1/master/acct/Demo/index.m3u8"), "--json"]).await;
    let report: Value = serde_json::from_str(&told).expect("JSON");
    let findings = report["findings"].as_array().expect("findings");
    let severity = |check: &str, says: &str| {
        let found = findings.iter().find(|finding| {
            finding["check"] == check && finding["saw"].as_str().is_some_and(|saw| saw.contains(says))
        });
        found.and_then(|finding| finding["severity"].as_str())
    };
    assert_eq!(severity("gzip", "did not ask"), Some("warning"), "{report:#}");
    assert_eq!(severity("cors", "https://player.example"), Some("note"), "{report:#}");
    assert_eq!(code, Some(1), "{report:#}");
}

#[tokio::test]
async fn playlists_that_are_redirected_are_examined_where_they_are() {
    const SESSION: &str = "6f1b7c52-30aa-4c1e-9d0f-000000000001";
    let port = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let at = port.local_addr().expect("an address");
    let answer = async |uri: http::Uri| {
        let (status, headers, body) = match uri.path() {
            path if path.contains("/master/") => (
                StatusCode::OK,
                vec![],
                format!(
                    "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n../../../manifest/acct/Demo/{SESSION}/0.m3u8\n"
                ),
            ),
            path if path.ends_with("/0.m3u8") => (
                StatusCode::FOUND,
                vec![
                    (http::header::LOCATION, "1.m3u8?to=http://elsewhere.example/"),
                    (http::header::CONTENT_ENCODING, "gzip"),
                ],
                String::new(),
            ),
            path if path.ends_with("/1.m3u8") => (
                StatusCode::OK,
                vec![],
                "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6.0,\n0.ts\n#EXT-X-ENDLIST\n".to_owned(),
            ),
            _ => (StatusCode::NOT_FOUND, vec![], String::new()),
        };
        let mut headers: http::HeaderMap =
            headers.into_iter().map(|(name, value)| (name, http::HeaderValue::from_static(value))).collect();
        headers.insert(http::header::ACCESS_CONTROL_ALLOW_ORIGIN, http::HeaderValue::from_static("*"));
        headers.insert(http::header::CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
        (status, headers, body)
    };
    tokio::spawn(axum::serve(port, axum::Router::new().fallback(answer)).into_future());
    let (code, told, _) = doctor(&[&format!("http://{at}/v1/master/acct/Demo/index.m3u8"), "--json"]).await;
    let report: Value = serde_json::from_str(&told).expect("JSON");
    let findings = report["findings"].as_array().expect("findings");
    assert!(findings.iter().all(|finding| finding["severity"] != "error"), "{report:#}");
    assert!(findings.iter().any(|finding| finding["check"] == "playlist"), "{report:#}");
    assert!(code == Some(0) || code == Some(1), "{code:?} {report:#}");
}
