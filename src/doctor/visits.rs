use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use tokio::time::{Instant, timeout};

use super::answer::Answer;
use crate::{
    sidecar::{
        Error,
        upstream::client::{Connector, HEADERS, connector},
    },
    telemetry::Chain,
};

/// Everything that is sent goes through here, and no more than is allowed.
#[derive(Debug)]
pub(super) struct Visits {
    client: Client<Connector, Full<Bytes>>,
    sent: AtomicU32,
    most: u32,
    /// Whether two connections wait to be used.
    warm: AtomicBool,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// No connection came about: why.
    NoConnection(String),
    /// It broke, or took too long: why.
    Broken(String),
    /// As many requests have been sent as may be.
    Enough(u32),
}

/// The longest that one may take: longer than onelane waits for MediaTailor.
const WITHIN: Duration = Duration::from_secs(12);

/// The largest body that is read, in bytes.
const LARGEST: usize = 8 * 1024 * 1024;

/// What a page's player sends along.
pub(super) const ORIGIN: &str = "https://doctor.onelane.example";

// === impl Visits ===

impl Visits {
    /// No more than `most` requests.
    pub(super) fn new(most: u32) -> Result<Self, Error> {
        // One connection for each request, as players in a crowd have it, would tell nothing more.
        let connector = connector(Duration::from_secs(5), Duration::from_secs(30), true)?;
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .http1_max_headers(HEADERS)
            .build(connector);
        Ok(Self { client, sent: AtomicU32::new(0), most, warm: AtomicBool::new(false) })
    }

    pub(super) fn sent(&self) -> u32 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Loads something as a player on a page does.
    pub(super) async fn get(&self, url: &Uri) -> Result<Answer, NoAnswer> {
        self.ask(Method::GET, url, "gzip, deflate, br", Bytes::new()).await
    }

    /// The same, and takes no compression.
    pub(super) async fn get_plain(&self, url: &Uri) -> Result<Answer, NoAnswer> {
        self.ask(Method::GET, url, "identity", Bytes::new()).await
    }

    /// Creates a session.
    pub(super) async fn post(&self, url: &Uri) -> Result<Answer, NoAnswer> {
        self.ask(Method::POST, url, "identity", Bytes::from_static(b"{}")).await
    }

    /// Asks what a page may do, which costs the session nothing.
    pub(super) async fn preflight(&self, url: &Uri) -> Result<Answer, NoAnswer> {
        self.ask(Method::OPTIONS, url, "identity", Bytes::new()).await
    }

    pub(super) fn is_warm(&self) -> bool {
        self.warm.load(Ordering::Relaxed)
    }

    pub(super) fn warmed(&self) {
        self.warm.store(true, Ordering::Relaxed);
    }

    pub(super) fn cooled(&self) {
        self.warm.store(false, Ordering::Relaxed);
    }

    async fn ask(
        &self,
        method: Method,
        url: &Uri,
        encoding: &'static str,
        body: Bytes,
    ) -> Result<Answer, NoAnswer> {
        if self.sent.fetch_add(1, Ordering::Relaxed) >= self.most {
            self.sent.store(self.most, Ordering::Relaxed);
            return Err(NoAnswer::Enough(self.most));
        }
        let request = Request::builder()
            .method(&method)
            .uri(url)
            .header(header::ACCEPT_ENCODING, encoding)
            .header(header::ORIGIN, ORIGIN)
            .header(header::USER_AGENT, concat!("onelane-doctor/", env!("CARGO_PKG_VERSION")));
        let request = match method {
            Method::POST => request.header(header::CONTENT_TYPE, "application/json"),
            _ => request,
        };
        let request = request.body(Full::new(body)).map_err(|error| NoAnswer::Broken(error.to_string()))?;
        let begun = Instant::now();
        let whole = async {
            let response = self.client.request(request).await.map_err(|error| match error.is_connect() {
                true => NoAnswer::NoConnection(Chain(&error).to_string()),
                false => NoAnswer::Broken(Chain(&error).to_string()),
            })?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, LARGEST).collect().await;
            let body = body.map_err(|error| NoAnswer::Broken(format!("its body broke off: {error}")))?;
            Ok(Answer { url: url.clone(), head, body: body.to_bytes(), took: begun.elapsed() })
        };
        let late = || NoAnswer::Broken(format!("no answer in {} s", WITHIN.as_secs()));
        timeout(WITHIN, whole).await.unwrap_or_else(|_| Err(late()))
    }
}

impl std::fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoConnection(why) | Self::Broken(why) => f.write_str(why),
            Self::Enough(most) => write!(f, "{most} requests have been sent, which is enough"),
        }
    }
}
