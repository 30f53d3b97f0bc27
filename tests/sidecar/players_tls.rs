//! TLS on the side of players: what curl makes of it, certificates that are renewed, and files that are wrong.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::Command,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};

use crate::{
    far::Far,
    metrics::scrape,
    player::Player,
    process::{Serve, onelane},
    support::{media, message, session, within},
};

/// The files of one sidecar, in a folder of their own.
struct Files(PathBuf);

/// A player's connection over TLS.
struct Secure(TlsStream<TcpStream>);

// === impl Files ===

impl Files {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let nth = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tls-{}-{nth}", std::process::id());
        let place = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&place).expect("a folder");
        let files = Self(place);
        files.issue();
        files
    }

    /// Writes a new certificate of a new authority, and its key.
    fn issue(&self) {
        self.issue_until(4096);
    }

    /// One that expires when this year begins.
    fn issue_until(&self, year: i32) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, "an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).expect("a root");
        let issuer = Issuer::new(params, key);
        let own = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let certificate = params.signed_by(&own, &issuer).expect("a certificate");
        self.write("cert.pem", certificate.pem() + &root.pem());
        self.write("key.pem", own.serialize_pem());
        self.write("root.pem", root.pem());
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.0.join(name), text).expect("a file");
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("a path").to_owned()
    }

    async fn serve(&self, far: &Far, flags: &[&str]) -> Serve {
        let (certificate, key) = (self.path("cert.pem"), self.path("key.pem"));
        let tls = ["--tls-cert", &certificate, "--tls-key", &key];
        Serve::start(&far.url(), &[&tls, flags].concat()).await
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

// === impl Secure ===

impl Secure {
    /// Connects and trusts the authority in the files as they are now.
    async fn connect(serve: &Serve, files: &Files) -> std::io::Result<Self> {
        Self::over(within(TcpStream::connect(serve.listen)).await?, files).await
    }

    /// Shakes hands on a connection that is there.
    async fn over(socket: TcpStream, files: &Files) -> std::io::Result<Self> {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_file(files.path("root.pem")).expect("a certificate");
        roots.add(root).expect("a root");
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").expect("a name");
        within(TlsConnector::from(Arc::new(config)).connect(name, socket)).await.map(Self)
    }

    /// Asks for a playlist of a session and gets it.
    async fn plays(&mut self, far: &mut Far, playlist: u32) {
        let target = media(&session(1), playlist);
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.0.write_all(request.as_bytes()).await.expect("it is read");
        far.asked().await.well("secure");
        let answer = within(message(&mut self.0, &mut Vec::new(), false)).await.expect("an answer");
        assert_eq!(answer.expect("one").note(), "secure");
    }
}

#[tokio::test]
async fn curl_speaks_either_version_over_tls() {
    let mut far = Far::listen().await;
    let files = Files::new();
    let serve = files.serve(&far, &[]).await;
    let url = format!("https://localhost:{}{}", serve.listen.port(), media(&session(1), 0));
    let root = files.path("root.pem");
    for (flag, says) in [("--http2", "2 200"), ("--http1.1", "1.1 200")] {
        let mut curl = Command::new("curl");
        curl.args([
            "-sS",
            "-o",
            "/dev/null",
            "-w",
            "%{http_version} %{http_code}",
            "--cacert",
            &root,
            flag,
            &url,
        ]);
        let output = tokio::spawn(async move { curl.output().await.expect("curl") });
        far.asked().await.well("over TLS");
        let output = within(output).await.expect("no panic");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(String::from_utf8_lossy(&output.stdout), says, "{told}");
    }
}

#[tokio::test]
async fn a_connection_that_was_parked_goes_on() {
    let mut far = Far::listen().await;
    let files = Files::new();
    let serve = files.serve(&far, &[]).await;
    let mut player = Secure::connect(&serve, &files).await.expect("a trusted certificate");
    for playlist in 0..3 {
        player.plays(&mut far, playlist).await;
        // Longer than it takes to be parked.
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_taken_at_sighup_and_a_bad_one_is_not() {
    let mut far = Far::listen().await;
    let files = Files::new();
    let mut serve = files.serve(&far, &[]).await;
    let mut old = Secure::connect(&serve, &files).await.expect("a trusted certificate");
    old.plays(&mut far, 0).await;

    files.issue();
    let refused = Secure::connect(&serve, &files).await;
    assert!(refused.is_err(), "nobody has told it so far");
    serve.signal("-HUP").await;
    assert_eq!(serve.line_with("reloaded").await["changed"], "the certificate of tls_cert");
    Secure::connect(&serve, &files).await.expect("the new one").plays(&mut far, 1).await;
    old.plays(&mut far, 2).await;

    let key = std::fs::read(files.path("key.pem")).expect("a key");
    let other = KeyPair::generate().expect("a key").serialize_pem();
    for (bad, why) in [(other.as_bytes(), "not the key of the first certificate"), (b"", "no private key")] {
        files.write("key.pem", bad);
        serve.signal("-HUP").await;
        let line = serve.line_with("not reloaded: nothing changes").await;
        assert!(line["why"].as_str().is_some_and(|told| told.contains(why)), "{line}");
        Secure::connect(&serve, &files).await.expect("the one before").plays(&mut far, 3).await;
    }
    files.write("key.pem", key);
    serve.signal("-HUP").await;
    assert_eq!(serve.line_with("reloaded").await["changed"], "the certificate of tls_cert");
    Secure::connect(&serve, &files).await.expect("the same").plays(&mut far, 4).await;
}

#[tokio::test]
async fn without_tls_sighup_harms_nobody() {
    let mut far = Far::listen().await;
    let mut serve = Serve::start(&far.url(), &[]).await;
    serve.signal("-HUP").await;
    assert_eq!(serve.line_with("reloaded").await["changed"], "nothing");
    let mut player = serve.player().await;
    player.ask(&media(&session(1), 0)).await;
    far.asked().await.well("still here");
    assert_eq!(player.answer().await.note(), "still here");
}

#[tokio::test]
async fn who_does_not_shake_hands_is_shown_out() {
    let mut far = Far::listen().await;
    let files = Files::new();
    // One handshake at a time.
    let serve = files.serve(&far, &["--connections", "4"]).await;
    let mut plain = serve.player().await;
    plain.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    // An alert, which is no HTTP.
    let said = plain.rest().await;
    assert!(!said.starts_with(b"HTTP/"), "{said:?}");

    let silent = serve.player().await;
    let waits = Secure::connect(&serve, &files);
    let (said, waited) = tokio::join!(silent.rest(), waits);
    assert_eq!(said, b"", "it has had its time");
    waited.expect("its place").plays(&mut far, 0).await;
}

#[tokio::test]
async fn a_stop_ends_connections_over_tls_as_well() {
    let mut far = Far::listen().await;
    let files = Files::new();
    let mut serve = files.serve(&far, &["--drain", "1m"]).await;
    let mut player = Secure::connect(&serve, &files).await.expect("a trusted certificate");
    player.plays(&mut far, 0).await;
    let silent = Player::connect(serve.listen).await;
    serve.signal("-TERM").await;
    let _reset = within(player.0.read_to_end(&mut Vec::new())).await;
    within(silent.rest()).await;
    assert_eq!(serve.ended().await.code(), Some(0));
}

#[tokio::test]
async fn who_takes_long_to_shake_hands_is_served_at_a_stop_as_well() {
    let mut far = Far::listen().await;
    let files = Files::new();
    let mut serve = files.serve(&far, &["--drain", "1m"]).await;
    let slow = within(TcpStream::connect(serve.listen)).await.expect("a connection");
    // The time that a client has at a stop counts from the stop: this connection is older than that time is long.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    serve.signal("-TERM").await;
    serve.line_with("draining").await;
    let mut slow = Secure::over(slow, &files).await.expect("a handshake");
    slow.plays(&mut far, 0).await;
    drop(slow);
    assert_eq!(serve.ended().await.code(), Some(0));
}

#[tokio::test]
async fn wrong_files_are_told_in_one_line() {
    let files = Files::new();
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    files.write("encrypted.pem", encrypted);
    files.write("other.pem", KeyPair::generate().expect("a key").serialize_pem());
    files.write("empty.pem", "");
    files.write("cut.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n");
    files.write("odd.pem", "-----BEGIN CERTIFICATE-----\n%%%%\n-----END CERTIFICATE-----\n");
    files.write("none.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    for (certificate, key, says) in [
        ("cert.pem", "", &["--tls-cert needs --tls-key"][..]),
        ("", "key.pem", &["--tls-key needs --tls-cert"]),
        ("missing.pem", "key.pem", &["--tls-cert ", "missing.pem: No such file", "may read"]),
        ("cert.pem", "missing.pem", &["--tls-key ", "missing.pem: No such file"]),
        (".", "key.pem", &["--tls-cert ", "Is a directory"]),
        ("key.pem", "cert.pem", &["--tls-cert ", "it has a private key and no certificate"]),
        ("empty.pem", "key.pem", &["--tls-cert ", "it has no certificate"]),
        ("cut.pem", "key.pem", &["--tls-cert ", "no END line"]),
        ("odd.pem", "key.pem", &["--tls-cert ", "no base64"]),
        ("none.pem", "key.pem", &["--tls-cert ", "invalid peer certificate"]),
        ("cert.pem", "cert.pem", &["--tls-key ", "it has no private key"]),
        ("cert.pem", "encrypted.pem", &["--tls-key ", "encrypted", "openssl pkey"]),
        (
            "cert.pem",
            "other.pem",
            &["--tls-key ", "other.pem: it is not the key of the first certificate in "],
        ),
    ] {
        for command in ["serve", "check"] {
            let mut run = onelane(&[command, "--upstream", "http://127.0.0.1:9"]);
            for (flag, file) in [("--tls-cert", certificate), ("--tls-key", key)] {
                if !file.is_empty() {
                    run.args([flag, &files.path(file)]);
                }
            }
            let output = within(run.output()).await.expect("it starts");
            let told = String::from_utf8(output.stderr).expect("text");
            assert_eq!((output.status.code(), told.lines().count()), (Some(64), 1), "{told}");
            assert!(told.starts_with("error: ") && says.iter().all(|part| told.contains(part)), "{told}");
        }
    }
}

/// Whoever is woken by players that get nothing has it in the log, the metrics and `check`.
#[tokio::test]
async fn a_certificate_that_has_expired_is_told() {
    let (files, far) = (Files::new(), Far::listen().await);
    files.issue_until(2020);
    let (certificate, key) = (files.path("cert.pem"), files.path("key.pem"));
    let flags = ["check", "--upstream", &far.url(), "--tls-cert", &certificate, "--tls-key", &key];
    let output = within(onelane(&flags).output()).await.expect("it starts");
    let told = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.starts_with("warning: --tls-cert ") && told.contains("has expired at 2020-01-01"), "{told}");

    let tls = ["--tls-cert", &certificate, "--tls-key", &key];
    let mut serve = Serve::begin(&far.url(), &tls, &[]);
    let line = serve.line_with("the certificate for players has to be renewed").await;
    assert!(line["why"].as_str().is_some_and(|why| why.contains("has expired at 2020-01-01")), "{line}");
    let mut serve = serve.serving().await;
    assert_eq!(scrape(&serve).await["onelane_certificate_expires_timestamp_seconds"], 1_577_836_800.0);
    files.issue_until(3000);
    serve.signal("-HUP").await;
    serve.line_with("reloaded").await;
    assert_eq!(scrape(&serve).await["onelane_certificate_expires_timestamp_seconds"], 32_503_680_000.0);
}
