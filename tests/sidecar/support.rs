//! The sidecar under test, and what both of its sides share: HTTP/1.1 messages as bytes on a socket.

use std::{
    io,
    net::SocketAddr,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use onelane::{
    serialize::SerializeLayer,
    sidecar::{Config, Sidecar},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

use crate::{far::Far, player::Player};

/// The longest that anything here may take; only a hang reaches it.
const HANG: Duration = Duration::from_secs(10);

/// A sidecar in this process, in front of a scripted upstream.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) layer: SerializeLayer,
    stop: Option<oneshot::Sender<()>>,
    run: JoinHandle<bool>,
}

/// A folder for the files of one test; it goes with it.
pub(crate) struct Folder(TempDir);

/// One HTTP/1.1 message as it stood on the wire; the body without its framing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// Fails the test when something hangs.
pub(crate) async fn within<F: Future>(what: F) -> F::Output {
    timeout(HANG, what).await.expect("it must not hang")
}

/// A session's media playlist.
pub(crate) fn media(session: &str, playlist: u32) -> String {
    format!("/v1/manifest/acct/Demo/{session}/{playlist}.m3u8")
}

/// A session that no other test has.
pub(crate) fn session(number: u32) -> String {
    format!("6f1b7c52-30aa-4c1e-9d0f-{number:012x}")
}

/// The number of a playlist that nobody has asked for, so that nothing is known of it.
pub(crate) fn fresh() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1000);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

pub(crate) fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// A body in two chunks, and the end.
pub(crate) fn chunked(body: &str) -> String {
    let (one, other) = body.split_at(body.len() / 2);
    format!("{:x}\r\n{one}\r\n{:x};x=y\r\n{other}\r\n0\r\n\r\n", one.len(), other.len())
}

/// A small media playlist that has this in a comment.
pub(crate) fn playlist(note: &str) -> String {
    playlist_at(41_200, note)
}

/// The same with another media sequence.
pub(crate) fn playlist_at(sequence: u64, note: &str) -> String {
    format!(
        "#EXTM3U\n# {note}\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:{sequence}\n#EXTINF:6.0,\n{sequence}.ts\n"
    )
}

/// What MediaTailor would answer a request with: a playlist where one is asked for, that has this in a comment.
pub(crate) fn fitting(target: &str, note: &str) -> String {
    if target.contains("/v1/manifest/") {
        playlist(note)
    } else if target.contains("/v1/master/") {
        format!("#EXTM3U\n# {note}\n#EXT-X-STREAM-INF:BANDWIDTH=2100000\n0.m3u8\n")
    } else {
        note.to_owned()
    }
}

/// What a playlist of [`fitting`] has in its comment, of which every other byte must be there as well; all of any
/// other text.
#[track_caller]
pub(crate) fn note(text: &str) -> &str {
    let Some((note, _)) = text.strip_prefix("#EXTM3U\n# ").and_then(|rest| rest.split_once('\n')) else {
        return text;
    };
    let whole = ["/v1/manifest/", "/v1/master/"].map(|target| fitting(target, note));
    assert!(whole.iter().any(|whole| whole == text), "{text}");
    note
}

/// Reads one message; `None` at the end of the stream. `bodyless` is for answers that have none whatever their
/// headers say.
pub(crate) async fn message(
    from: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    bodyless: bool,
) -> io::Result<Option<Message>> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if from.read_buf(buffer).await? == 0 {
            return if buffer.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    buffer.drain(..end);
    let mut message = Message { head, body: Vec::new() };
    let answer = message.head.starts_with("HTTP/");
    if bodyless {
        return Ok(Some(message));
    }
    if message.header("transfer-encoding").is_some() {
        loop {
            let line = until(from, buffer, b"\r\n").await?;
            let size = String::from_utf8_lossy(&line);
            let size = usize::from_str_radix(size.trim_end().split(';').next().unwrap_or_default(), 16);
            let size = size.map_err(|_| io::ErrorKind::InvalidData)?;
            let chunk = exactly(from, buffer, size + 2).await?;
            message.body.extend_from_slice(&chunk[..size]);
            if size == 0 {
                return Ok(Some(message));
            }
        }
    }
    if let Some(length) = message.header("content-length").and_then(|length| length.parse().ok()) {
        message.body = exactly(from, buffer, length).await?;
    } else if answer {
        while from.read_buf(buffer).await? > 0 {}
        message.body = std::mem::take(buffer);
    }
    Ok(Some(message))
}

async fn until(from: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>, end: &[u8]) -> io::Result<Vec<u8>> {
    loop {
        if let Some(at) = buffer.windows(end.len()).position(|window| window == end) {
            return Ok(buffer.drain(..at + end.len()).collect());
        }
        if from.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

async fn exactly(
    from: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    length: usize,
) -> io::Result<Vec<u8>> {
    while buffer.len() < length {
        if from.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(buffer.drain(..length).collect())
}

// === impl Message ===

impl Message {
    pub(crate) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status line")
    }

    /// The first line, without its end.
    pub(crate) fn first_line(&self) -> &str {
        self.head.lines().next().expect("a first line")
    }

    /// All values of a header, in order.
    pub(crate) fn headers(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).first().copied()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// What the upstream put into the answer; see [`note`].
    #[track_caller]
    pub(crate) fn note(&self) -> String {
        note(&self.text()).to_owned()
    }

    /// Holds when it is an answer of the sidecar's own, which says what happened and what to do.
    #[track_caller]
    pub(crate) fn is_problem(&self, status: u16) {
        self.is_problem_for(status, "*");
    }

    /// The same, to a page of this origin. Gives the verdict.
    #[track_caller]
    pub(crate) fn is_problem_for(&self, status: u16, origin: &str) -> String {
        assert_eq!(self.status(), status, "{self:?}");
        assert_eq!(self.headers("content-type"), ["application/problem+json"], "{self:?}");
        assert_eq!(self.headers("content-length"), [self.body.len().to_string()]);
        assert_eq!(self.headers("cache-control"), ["no-store"]);
        assert_eq!(self.headers("access-control-allow-origin"), [origin]);
        assert_eq!(self.header("vary"), (origin != "*").then_some("Origin"));
        let exposed = self.header("access-control-expose-headers").expect("what a page may read");
        for name in ["x-onelane-reason", "x-amzn-requestid", "retry-after"] {
            assert!(exposed.split(", ").any(|exposed| exposed == name), "{exposed}");
        }
        let body: serde_json::Value = serde_json::from_slice(&self.body).expect("JSON");
        let reason = self.header("x-onelane-reason").expect("a reason");
        assert_eq!((&body["status"], &body["reason"]), (&status.into(), &reason.into()));
        for name in ["title", "detail", "remedy"] {
            assert!(body[name].as_str().is_some_and(|text| !text.is_empty()), "{body}");
        }
        let explained =
            body["type"].as_str().is_some_and(|url| url.ends_with(&format!("/errors.md#{reason}")));
        assert!(explained, "{body}");
        reason.to_owned()
    }
}

// === impl Folder ===

impl Folder {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().expect("a place for files"))
    }

    /// The path of a file there, whether or not it is one.
    pub(crate) fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().expect("a path in UTF-8").to_owned()
    }

    /// Writes a file, and gives its path.
    pub(crate) fn file(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).expect("a file");
        path
    }
}

// === impl Running ===

impl Running {
    /// In front of `far`, on free ports.
    pub(crate) async fn before(far: &Far) -> Self {
        Self::with(far, |_| {}).await
    }

    /// In front of `far`, whose failures are told to a player that starts as soon as to any other.
    pub(crate) async fn impatient(far: &Far) -> Self {
        Self::with(far, |config| config.retry.patient = false).await
    }

    /// In front of `far`, with other settings.
    pub(crate) async fn with(far: &Far, set: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new(far.url().parse().expect("an upstream"));
        config.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        config.admin = config.listen;
        set(&mut config);
        let sidecar = Sidecar::bind(config).await.expect("free ports");
        let (address, layer) = (sidecar.local_addr(), sidecar.layer().clone());
        let (stop, stopped) = oneshot::channel::<()>();
        let run = tokio::spawn(sidecar.run(async move {
            let _stopped = stopped.await;
        }));
        Self { address, layer, stop: Some(stop), run }
    }

    pub(crate) async fn player(&self) -> Player {
        Player::connect(self.address).await
    }

    /// Asks on a connection of its own and reads the answer.
    pub(crate) async fn get(&self, target: &str) -> Message {
        self.player().await.get(target).await
    }

    /// Asks in a task of its own.
    pub(crate) fn getting(&self, target: &str) -> JoinHandle<Message> {
        let (address, target) = (self.address, target.to_owned());
        tokio::spawn(async move { Player::connect(address).await.get(&target).await })
    }

    /// Holds when the next good request of the session is answered, and nothing is left behind: no connection
    /// is kept either.
    pub(crate) async fn is_well(&self, far: &mut Far, session: &str) {
        let target = media(session, fresh());
        let next = self.getting(&target);
        let asked = far.asked().await;
        assert_eq!(asked.message.first_line(), format!("GET {target} HTTP/1.1"));
        asked.say(ok(&playlist("well")).replacen("\r\n", "\r\nConnection: close\r\n", 1));
        let answer = within(next).await.expect("no panic");
        assert_eq!((answer.status(), answer.note().as_str()), (200, "well"));
        self.is_idle().await;
    }

    /// Holds when nothing waits, flies or drains.
    pub(crate) async fn is_idle(&self) {
        within(self.layer.drained()).await;
        assert!(self.layer.lanes().is_empty());
        assert_eq!(self.layer.lanes().waiting(), 0);
    }

    /// Waits until so many exchanges wait, are in flight or drain.
    pub(crate) async fn has_exchanges(&self, number: usize) {
        within(async {
            while self.layer.exchanges() != number {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// Whether it drained in time.
    pub(crate) async fn stopped(mut self) -> bool {
        self.stop();
        within(self.run).await.expect("no panic")
    }
}
