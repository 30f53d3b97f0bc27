//! The stack, its players and the far side, by script.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, Full};
use onelane::{
    rescue::RESCUE,
    stack::{Config, Stack, Stacked},
    upstream::NotSent,
};
use tokio::{
    task::JoinHandle,
    time::{Instant, error::Elapsed, timeout},
};
use tower::{Layer as _, Service as _};
use tower_test::mock::{self, Handle, Mock, SendResponse};

pub(crate) type Sent = Request<Empty<Bytes>>;
type Told = Response<Full<Bytes>>;

pub(crate) const TARGET: Duration = Duration::from_secs(6);

/// One stack, whose players share its lanes and lessons.
pub(crate) struct Players {
    pub(crate) stack: Stack,
    pub(crate) born: Instant,
    service: Stacked<Mock<Sent, Told>>,
}

/// The far side: what it was asked, one request at a time.
pub(crate) struct Far(Handle<Sent, Told>);

/// A request that was sent, and the means to answer it.
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) at: Instant,
    with: SendResponse<Told>,
}

/// What a player got, and when.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) at: Instant,
}

pub(crate) fn stack(config: Config) -> (Players, Far) {
    over(Stack::new(config))
}

/// The same of a stack that is there.
pub(crate) fn over(stack: Stack) -> (Players, Far) {
    let (upstream, mut handle) = mock::pair();
    handle.allow(u64::MAX);
    let service = stack.layer(upstream);
    (Players { stack, born: Instant::now(), service }, Far(handle))
}

/// A session that no other has.
pub(crate) fn session(number: u32) -> String {
    format!("6f1b7c52-30aa-4c1e-9d0f-{number:012x}")
}

/// A media playlist of a session.
pub(crate) fn media(session_number: u32, playlist: u32) -> String {
    format!("/v1/manifest/acct/Demo/{}/{playlist}.m3u8", session(session_number))
}

/// A media playlist of six seconds, one segment of it.
pub(crate) fn playlist(sequence: u64) -> String {
    format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:{sequence}\n#EXTINF:6.0,\n{sequence}.ts\n"
    )
}

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

// === impl Players ===

impl Players {
    /// Asks in a task of its own and reads the answer to its end. Aborting the task is a player that goes away.
    pub(crate) fn ask(&self, request: Sent) -> JoinHandle<Got> {
        let mut service = self.service.clone();
        tokio::spawn(async move {
            let (head, body) =
                service.call(request).await.unwrap_or_else(|never| match never {}).into_parts();
            let body = body.collect().await.expect("a whole body").to_bytes();
            Got { status: head.status.as_u16(), headers: head.headers, body, at: Instant::now() }
        })
    }

    pub(crate) fn getting(&self, target: &str) -> JoinHandle<Got> {
        self.ask(Request::get(target).body(Empty::new()).expect("a request"))
    }

    /// What a player gets that asks now.
    pub(crate) async fn get(&self, target: &str) -> Got {
        got(self.getting(target)).await
    }

    /// Has an exchange that ends well.
    pub(crate) async fn learn(&self, far: &mut Far, target: &str, sequence: u64) {
        let player = self.getting(target);
        far.asked().await.playlist(sequence);
        got(player).await.is_playlist(sequence);
    }

    /// Waits for the end of all exchanges; nothing may be left behind.
    pub(crate) async fn are_done(&self) {
        timeout(secs(60), self.stack.serialize().drained()).await.expect("exchanges end");
        assert!(self.stack.lanes().is_empty());
        assert_eq!(self.stack.lanes().waiting(), 0);
    }
}

/// Waits for an answer.
pub(crate) async fn got(player: JoinHandle<Got>) -> Got {
    timeout(secs(60), player).await.expect("an answer").expect("no panic")
}

// === impl Far ===

impl Far {
    /// The next request that is sent.
    pub(crate) async fn asked(&mut self) -> Asked {
        let sent = timeout(secs(60), self.0.next_request());
        let (request, with) = sent.await.expect("a request was to be sent").expect("the stack is there");
        Asked::new(&request, with)
    }

    /// Fails as often as it is asked until the player has its answer, and says how many times that was.
    pub(crate) async fn failing(&mut self, player: JoinHandle<Got>, fails: impl Fn(Asked)) -> (Got, u32) {
        let mut player = std::pin::pin!(got(player));
        let mut tries = 0;
        loop {
            tokio::select! {
                biased;
                answer = &mut player => return (answer, tries),
                asked = self.asked() => fails(asked),
            }
            tries += 1;
        }
    }

    /// The next request, if one is sent in this time.
    pub(crate) async fn asked_within(&mut self, time: Duration) -> Option<Asked> {
        let (request, with) = timeout(time, self.0.next_request()).await.ok()?.expect("the stack is there");
        Some(Asked::new(&request, with))
    }

    /// Holds when nothing is sent for as long.
    #[track_caller]
    pub(crate) fn quiet_for(&mut self, time: Duration) -> impl Future<Output = ()> {
        let at = std::panic::Location::caller();
        async move {
            let asked: Result<_, Elapsed> = timeout(time, self.0.next_request()).await;
            if let Ok(Some((request, _))) = asked {
                panic!("{at}: {} was sent", request.uri());
            }
        }
    }

    /// Holds when nothing is sent for as long as nothing else can happen.
    #[track_caller]
    pub(crate) fn quiet(&mut self) -> impl Future<Output = ()> {
        self.quiet_for(ms(1))
    }
}

// === impl Asked ===

impl Asked {
    fn new(request: &Sent, with: SendResponse<Told>) -> Self {
        Self {
            method: request.method().clone(),
            target: request.uri().to_string(),
            headers: request.headers().clone(),
            at: Instant::now(),
            with,
        }
    }

    pub(crate) fn answer(self, status: u16, headers: &[(&'static str, &str)], body: impl Into<Bytes>) {
        let mut response = Response::new(Full::new(body.into()));
        *response.status_mut() = StatusCode::from_u16(status).expect("a status");
        for (name, value) in headers {
            response.headers_mut().append(*name, value.parse().expect("a value"));
        }
        self.with.send_response(response);
    }

    pub(crate) fn playlist(self, sequence: u64) {
        self.answer(200, &[], playlist(sequence));
    }

    /// A status and nothing that explains it.
    pub(crate) fn status(self, status: u16) {
        self.answer(status, &[], "");
    }

    /// MediaTailor's own 502, after which nothing is tried again.
    pub(crate) fn bad_gateway(self) {
        self.answer(502, &[("x-amzn-errortype", "BadGatewayException:")], "");
    }

    /// No connection comes about.
    pub(crate) fn refuses(self) {
        self.with.send_error(NotSent::new("refused"));
    }

    /// The connection breaks.
    pub(crate) fn breaks(self) {
        self.with.send_error("reset");
    }
}

// === impl Got ===

impl Got {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }

    /// Holds when it is the upstream's own playlist.
    #[track_caller]
    pub(crate) fn is_playlist(&self, sequence: u64) {
        assert_eq!((self.status, &self.body[..]), (200, playlist(sequence).as_bytes()), "{self:?}");
        assert_eq!((self.header("x-onelane-rescue"), self.header("x-onelane-reason")), (None, None));
    }

    /// Holds when it is the last good playlist, byte for byte, and says that it is.
    #[track_caller]
    pub(crate) fn is_rescue(&self, sequence: u64, reason: &str, age: u64) {
        assert_eq!((self.status, &self.body[..]), (200, playlist(sequence).as_bytes()), "{self:?}");
        assert_eq!(self.headers.get(RESCUE).map(|value| value.as_bytes()), Some(reason.as_bytes()));
        assert_eq!(self.header("age"), Some(&*age.to_string()), "{self:?}");
        assert_eq!(self.header("cache-control"), Some("no-store"));
        assert_eq!(self.header("content-length"), Some(&*self.body.len().to_string()));
        assert_eq!(self.header("x-onelane-reason"), None);
    }

    /// Holds when it is an answer made here, with this verdict.
    #[track_caller]
    pub(crate) fn is_problem(&self, status: u16, reason: &str) {
        let said = (self.status, self.header("x-onelane-reason"));
        assert_eq!(said, (status, Some(reason)), "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(self.header("cache-control"), Some("no-store"));
        assert_eq!(self.header("content-length"), Some(&*self.body.len().to_string()));
        assert!(self.header("access-control-allow-origin").is_some());
        let body: serde_json::Value = serde_json::from_slice(&self.body).expect("JSON");
        assert_eq!((&body["status"], &body["reason"]), (&status.into(), &reason.into()));
        assert!(body["type"].as_str().is_some_and(|url| url.ends_with(&format!("#{reason}"))), "{body}");
    }
}
