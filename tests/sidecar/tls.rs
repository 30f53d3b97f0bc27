//! An upstream over TLS, with a certificate authority of the test's own.

use std::{path::PathBuf, sync::Arc};

use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
};

use crate::{
    process::Serve,
    support::{Message, media, playlist, session, within},
};

/// An upstream that answers every request with what it saw of it.
struct Secure {
    url: String,
    /// Where the authority's certificate is, for `SSL_CERT_FILE`.
    authority: PathBuf,
}

// === impl Secure ===

impl Secure {
    /// `protocols` are what it offers by ALPN.
    async fn listen(name: &str, protocols: &[&str]) -> Self {
        Self::with(name, protocols, |listener, tls| drop(tokio::spawn(serve(listener, tls)))).await
    }

    /// One of HTTP/2 that refuses the first request of all.
    async fn refusing(name: &str) -> Self {
        Self::with(name, &["h2"], |listener, tls| drop(tokio::spawn(refuse(listener, tls)))).await
    }

    async fn with(name: &str, protocols: &[&str], serve: impl FnOnce(TcpListener, TlsAcceptor)) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).expect("a root");
        let issuer = Issuer::new(params, key);
        let own = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
        let certificate = params.signed_by(&own, &issuer).expect("a certificate");
        let authority =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}.pem", std::process::id()));
        std::fs::write(&authority, root.pem()).expect("a file");

        let key = PrivateKeyDer::try_from(own.serialize_der()).expect("a key");
        let mut tls = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|tls| tls.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key))
            .expect("a configuration");
        tls.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("https://localhost:{}", listener.local_addr().expect("an address").port());
        serve(listener, TlsAcceptor::from(Arc::new(tls)));
        Self { url, authority }
    }

    async fn sidecar(&self, flags: &[&str]) -> Serve {
        let authority = self.authority.to_str().expect("a path");
        Serve::start_with(&self.url, flags, &[("SSL_CERT_FILE", authority)]).await
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.authority);
    }
}

async fn serve(listener: TcpListener, tls: TlsAcceptor) {
    while let Ok((connection, _)) = listener.accept().await {
        let Ok(connection) = tls.accept(connection).await else {
            continue;
        };
        let name = connection.get_ref().1.server_name().map(str::to_owned);
        let answer = service_fn(move |request: Request<Incoming>| {
            let saw = json!({
                "version": format!("{:?}", request.version()),
                "name": name,
                "authority": request.uri().authority().map(ToString::to_string),
                "host": request.headers().get("host").and_then(|host| host.to_str().ok()),
            });
            async move {
                let read = request.into_body().collect().await;
                read.map(|_| Response::new(playlist(&saw.to_string())))
            }
        });
        tokio::spawn(async move {
            let http = auto::Builder::new(TokioExecutor::new());
            let _ended = http.serve_connection(TokioIo::new(connection), answer).await;
        });
    }
}

async fn refuse(listener: TcpListener, tls: TlsAcceptor) {
    let mut asked = 0;
    while let Ok((connection, _)) = listener.accept().await {
        let Ok(connection) = tls.accept(connection).await else {
            continue;
        };
        let mut streams = h2::server::handshake(connection).await.expect("HTTP/2");
        while let Some(Ok((_, mut answer))) = streams.accept().await {
            asked += 1;
            if asked == 1 {
                answer.send_reset(h2::Reason::REFUSED_STREAM);
                continue;
            }
            let mut body = answer.send_response(Response::new(()), false).expect("an answer");
            let playlist = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n0.m3u8\n";
            body.send_data(playlist.into(), true).expect("a body");
        }
    }
}

async fn get(serve: &Serve) -> Message {
    let mut player = serve.player().await;
    player.say(format!("GET {} HTTP/1.1\r\nHost: tv.example\r\n\r\n", media(&session(1), 0))).await;
    player.answer().await
}

#[tokio::test]
async fn alpn_decides_on_the_version() {
    for (protocols, flags, version) in [
        (&["h2", "http/1.1"][..], &[][..], "HTTP/2.0"),
        (&["http/1.1"], &[], "HTTP/1.1"),
        (&[], &[], "HTTP/1.1"),
        (&["h2", "http/1.1"], &["--upstream-http", "1.1"], "HTTP/1.1"),
        (&["h2", "http/1.1"], &["--host", "preserve"], "HTTP/1.1"),
    ] {
        let name = format!("alpn-{}-{}", protocols.len(), flags.first().unwrap_or(&"").trim_matches('-'));
        let far = Secure::listen(&name, protocols).await;
        let serve = far.sidecar(flags).await;
        let answer = get(&serve).await;
        let saw: Value = serde_json::from_str(&answer.note()).expect("what the upstream saw");
        assert_eq!((&saw["version"], &saw["name"]), (&version.into(), &"localhost".into()), "{saw}");
        let own = far.url.trim_start_matches("https://");
        match (version, flags) {
            ("HTTP/2.0", _) => {
                assert_eq!(saw["authority"], own);
                // Twice the same would be allowed, but is once too often for some.
                assert_eq!(saw["host"], Value::Null, "{saw}");
            }
            (_, ["--host", _]) => assert_eq!(saw["host"], "tv.example"),
            _ => assert_eq!(saw["host"], own),
        }
    }
}

#[tokio::test]
async fn a_session_that_an_http2_upstream_refused_to_begin_is_begun_again() {
    let far = Secure::refusing("refusing").await;
    let serve = far.sidecar(&[]).await;
    let mut player = serve.player().await;
    player.say("GET /v1/master/acct/Demo/index.m3u8 HTTP/1.1\r\nHost: tv.example\r\n\r\n").await;
    let answer = player.answer().await;
    assert_eq!(
        (answer.status(), answer.text().as_str()),
        (200, "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n0.m3u8\n")
    );
}

#[tokio::test]
async fn an_untrusted_certificate_is_a_502_and_the_log_says_why() {
    let far = Secure::listen("trusted", &["h2"]).await;
    let other = Secure::listen("untrusted", &["h2"]).await;
    let trusts_other = [("SSL_CERT_FILE", other.authority.to_str().expect("a path"))];
    let mut serve = Serve::start_with(&far.url, &[], &trusts_other).await;
    get(&serve).await.is_problem(502);
    let line = serve.line_with("exchange failed").await;
    assert!(line["error"].as_str().is_some_and(|error| error.contains("UnknownIssuer")), "{line}");
    // The same where no lane is needed.
    within(serve.player().await.get("/v1/master/acct/Demo/index.m3u8")).await.is_problem(502);
    let line = serve.line_with("exchange failed").await;
    assert!(line["error"].as_str().is_some_and(|error| error.contains("UnknownIssuer")), "{line}");
}

/// HTTP/2 has no word for why a stream was reset.
#[tokio::test]
async fn a_request_that_breaks_off_is_no_failure_of_an_http2_upstream_either() {
    let far = Secure::listen("breaks-off", &["h2"]).await;
    let serve = far.sidecar(&[]).await;
    let mut player = serve.player().await;
    player.say("POST /v1/session/acct/Demo/index.m3u8 HTTP/1.1\r\nHost: a\r\n").await;
    player.say("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nno size\r\n").await;
    let answer = player.answer().await;
    assert_eq!((answer.status(), answer.header("x-onelane-reason")), (400, Some("incomplete")));
}
