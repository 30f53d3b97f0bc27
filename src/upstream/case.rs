use std::{collections::VecDeque, pin::Pin, time::Duration};

use bytes::{Buf, Bytes};
use http::{Method, Response, StatusCode, Uri, header, response::Parts};
use http_body::Body as HttpBody;
use tokio::time::{Instant, timeout};
use tower::BoxError;

use super::{
    Flaw, JudgeLayer, Judgement, Verdict, judgement::may_name, message::READ_UP_TO, moved, playlist::Summary,
};
use crate::{
    rescue::Good,
    serialize::{
        Body,
        collect::{Collected, collect},
    },
    session::{Creates, Extracted, Kind},
    telemetry::{self, TraceId},
};

/// How long the body of an error may take that streams through otherwise.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is judged, and by whose request.
pub(super) struct Case {
    pub(super) judge: JudgeLayer,
    pub(super) named: Extracted,
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) in_place_of: Option<Uri>,
    /// Whether the player may have the playlist already: only then is 304 an answer (RFC 9110 section 15.4.5).
    pub(super) conditional: bool,
    pub(super) sent: Instant,
    pub(super) trace: Option<TraceId>,
    /// Where it creates a session, what its 4xx count for.
    pub(super) creates: Option<Creates>,
    /// Whether no other instance had a turn of the session's meanwhile, as far as is known.
    pub(super) agreed: bool,
}

// === impl Case ===

impl Case {
    pub(super) async fn hear<B>(self, response: Response<B>) -> Result<Response<Body<B>>, BoxError>
    where
        B: HttpBody + Unpin,
        B::Data: Buf,
        B::Error: Into<BoxError>,
    {
        let (mut head, mut body) = response.into_parts();
        let kind = self.named.kind;
        // What is no status of HTTP is no success either.
        let is_error = head.status.as_u16() >= 400;
        let is_playlist = matches!(kind, Kind::Media | Kind::Multivariant);
        if matches!(kind, Kind::Segment | Kind::Other) && is_error && may_name(&head.headers) {
            return self.hear_passing(head, body).await;
        }
        if matches!(kind, Kind::Segment | Kind::Other) || !is_error && !is_playlist {
            return Ok(Response::from_parts(head, Body::direct(body)));
        }
        let has_session = self.named.key().is_some();
        let collected = collect(Pin::new(&mut body), self.judge.collect_up_to).await?;
        let judgement = match &collected {
            Collected::Whole(whole) if self.method != Method::HEAD => match self.known(&head, &whole.data) {
                Some((summary, since)) => {
                    Judgement { summary: Some(summary), unchanged: Some(since), ..Verdict::Playlist.into() }
                }
                None => self.judge(&head, &whole.data),
            },
            Collected::TooLarge(read) if self.method != Method::HEAD && head.status.is_success() => {
                Judgement::of_start(kind, &head.headers, read.iter().map(|piece| &piece[..]))
            }
            _ => Judgement::without_body(kind, has_session, head.status, &head.headers),
        };
        let judgement = match judgement.verdict {
            Verdict::Passed if head.status.is_redirection() => self.redirected(&head),
            _ => judgement,
        };
        // Some players take any other success for a failure.
        if judgement.verdict.is_playlist() && head.status != StatusCode::PARTIAL_CONTENT {
            head.status = StatusCode::OK;
        }
        let body = match collected {
            Collected::Whole(whole) => Body::whole(whole),
            Collected::TooLarge(read) => Body::resumed(read, body),
        };
        self.teach(&judgement, &head);
        let mut response = Response::from_parts(head, body);
        response.extensions_mut().insert(judgement);
        Ok(response)
    }

    /// An error in place of what streams through: it is judged if it is MediaTailor's own, whose message no player may read.
    async fn hear_passing<B>(self, mut head: Parts, mut body: B) -> Result<Response<Body<B>>, BoxError>
    where
        B: HttpBody + Unpin,
        B::Data: Buf,
        B::Error: Into<BoxError>,
    {
        let collected = match timeout(PATIENCE, collect(Pin::new(&mut body), READ_UP_TO)).await {
            Ok(Ok(collected)) => Some(collected),
            // It breaks off or trickles: its head is all that there is.
            Ok(Err(_)) | Err(_) => None,
        };
        let read = collected.as_ref().map(|collected| match collected {
            Collected::Whole(whole) => &whole.data,
            Collected::TooLarge(read) => read,
        });
        let pieces = read.map(|read| read.iter().map(|piece| &piece[..]));
        let judgement = Judgement::of_passing(head.status, &head.headers, pieces);
        let body = match collected {
            Some(Collected::Whole(whole)) => Body::whole(whole),
            Some(Collected::TooLarge(read)) => Body::resumed(read, body),
            None => {
                head.headers.remove(header::CONTENT_LENGTH);
                head.headers.remove(header::CONTENT_ENCODING);
                Body::from(Bytes::new())
            }
        };
        let mut response = Response::from_parts(head, body);
        if let Some(judgement) = judgement {
            let (kind, head) = (self.named.kind, (response.status(), response.headers()));
            telemetry::judged((self.named.key(), &self.uri), kind, &judgement, head, self.trace);
            response.extensions_mut().insert(judgement);
        }
        Ok(response)
    }

    fn judge(&self, head: &Parts, data: &VecDeque<Bytes>) -> Judgement {
        let (kind, has_session) = (self.named.kind, self.named.key().is_some());
        let pieces = data.iter().map(|piece| &piece[..]);
        Judgement::of(kind, has_session, head.status, &head.headers, pieces, &self.judge.limits)
    }

    /// What a 3xx in place of a playlist means.
    fn redirected(&self, head: &Parts) -> Judgement {
        if head.status == StatusCode::NOT_MODIFIED {
            let verdict = if self.conditional { Verdict::Passed } else { Verdict::NotPlaylist };
            return Judgement { flaw: (!self.conditional).then_some(Flaw::Empty), ..verdict.into() };
        }
        let location = head.headers.get(header::LOCATION);
        match location.and_then(|location| location.to_str().ok()) {
            // Nobody can follow it.
            None => Verdict::OriginBroken.into(),
            Some(location) if self.named.kind == Kind::Media && moved::leads_away(location, &self.uri) => {
                Judgement { flaw: Some(Flaw::Elsewhere), ..Verdict::Passed.into() }
            }
            Some(_) => Verdict::Passed.into(),
        }
    }

    /// What was read of this very playlist before: between two segments most are the same again.
    fn known(&self, head: &Parts, data: &VecDeque<Bytes>) -> Option<(Summary, Instant)> {
        let lessons = self.judge.lessons.as_ref().filter(|_| head.status == StatusCode::OK)?;
        lessons.store.same(self.named.key()?, self.asked(), &Good::new(&head.headers, data))
    }

    /// The URL that the player asked for.
    fn asked(&self) -> &Uri {
        self.in_place_of.as_ref().unwrap_or(&self.uri)
    }

    /// What every attempt teaches, whatever comes of the exchange.
    fn teach(&self, judgement: &Judgement, head: &Parts) {
        let (now, key) = (Instant::now(), self.named.key());
        let is_playlist = matches!(self.named.kind, Kind::Media | Kind::Multivariant);
        let lessons = self.judge.lessons.as_ref().zip(key).filter(|_| is_playlist);
        let other = lessons
            .and_then(|(lessons, key)| lessons.among_others(key, (&self.method, self.asked()), judgement));
        if !matches!(judgement.verdict, Verdict::Playlist | Verdict::Passed) {
            let told = other.as_ref().unwrap_or(judgement);
            let head = (head.status, &head.headers);
            telemetry::judged((key, &self.uri), self.named.kind, told, head, self.trace);
        }
        let Some(lessons) = &self.judge.lessons else { return };
        if let Some(key) = key.filter(|_| judgement.verdict == Verdict::Conflict && self.agreed) {
            lessons.conflict(key, self.sent, now);
        }
        if head.status.is_client_error() {
            let verdict = other.as_ref().unwrap_or(judgement).verdict;
            lessons.spend((key, self.creates.as_ref()), self.named.kind, verdict, now);
        }
    }
}
