use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Version};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{Client as Hyper, connect::HttpConnector},
    rt::TokioExecutor,
};
use onelane::emulator::{Args, Emulator};

/// An emulator and a client of it.
pub(crate) struct Lab {
    pub(crate) emulator: Emulator,
    hyper: Hyper<HttpConnector, Full<Bytes>>,
}

/// An answer, all of it.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

pub(crate) const MASTER: &str = "/v1/master/9f3c/News/index.m3u8";

/// Flags with a free port and no latency.
pub(crate) fn args() -> Args {
    let mut args = Args::default();
    args.listen = "127.0.0.1:0".parse().expect("an address");
    args.latency = "0s".parse().expect("a latency");
    args.seed = Some(7);
    args
}

/// Waits for something to come true, for as long as a slow machine may take.
pub(crate) async fn until(mut is_true: impl FnMut() -> bool) {
    let waiting = async {
        while !is_true() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("it never came true");
}

impl Lab {
    pub(crate) async fn new(args: Args) -> Self {
        let emulator = Emulator::bind(args).await.expect("the emulator starts");
        Self { emulator, hyper: Hyper::builder(TokioExecutor::new()).build_http() }
    }

    /// A client that speaks HTTP/2 without TLS.
    pub(crate) fn over_http2(mut self) -> Self {
        self.hyper = Hyper::builder(TokioExecutor::new()).http2_only(true).build_http();
        self
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.emulator.local_addr())
    }

    pub(crate) async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Got {
        let mut request = Request::builder().method(method).uri(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::from(body.to_owned())).expect("a request");
        let answer = self.hyper.request(request).await.expect("an answer");
        let (head, body) = answer.into_parts();
        assert!(matches!(head.version, Version::HTTP_11 | Version::HTTP_2));
        let body = body.collect().await.expect("all of the answer").to_bytes();
        Got { status: head.status, headers: head.headers, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Got {
        self.send(Method::GET, path, &[], "").await
    }

    /// Whether a request gets no answer, or not the whole of one.
    pub(crate) async fn fails(&self, path: &str) -> bool {
        let request = Request::get(self.url(path)).body(Full::default()).expect("a request");
        match self.hyper.request(request).await {
            Ok(answer) => answer.into_body().collect().await.is_err(),
            Err(_) => true,
        }
    }

    /// A new session's media playlists, by number.
    pub(crate) async fn playlists(&self) -> Vec<String> {
        let master = self.get(MASTER).await;
        assert_eq!(master.status, StatusCode::OK);
        let mut links = links(&master.text());
        links.sort_by_key(|link| link.rsplit('/').next().map(str::to_owned));
        links.iter().map(|link| resolve(MASTER, link)).collect()
    }
}

impl Got {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).expect("text")
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    /// The exception that an error names, up to the colon.
    pub(crate) fn exception(&self) -> &str {
        self.header("x-amzn-errortype").split(':').next().unwrap_or_default()
    }
}

/// All links of a multivariant playlist, as another's parser reads them.
pub(crate) fn links(text: &str) -> Vec<String> {
    let master = m3u8_rs::parse_master_playlist_res(text.as_bytes()).expect(text);
    let variants = master.variants.into_iter().map(|variant| variant.uri);
    variants.chain(master.alternatives.into_iter().filter_map(|media| media.uri)).collect()
}

/// Resolves a relative link against a path, step by step.
pub(crate) fn resolve(base: &str, link: &str) -> String {
    if link.starts_with('/') {
        return link.to_owned();
    }
    let mut folders: Vec<&str> = base.split('/').collect();
    folders.pop();
    let mut rest = link;
    while let Some(up) = rest.strip_prefix("../") {
        assert!(folders.len() > 1, "{link} leads out of {base}");
        folders.pop();
        rest = up;
    }
    format!("{}/{rest}", folders.join("/"))
}

/// The session's id in a media playlist's path.
pub(crate) fn session_of(path: &str) -> &str {
    path.rsplit('/').nth(1).expect("a session")
}
