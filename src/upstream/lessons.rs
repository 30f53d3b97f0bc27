use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri, header};
use tokio::time::Instant;

use super::{
    Flaw, Judgement, Settle, Verdict, decode,
    playlist::{Kind, Summary},
    seen::Seen,
};
use crate::{
    rescue::{self, Ending, Good, Learned, Store, Variants},
    serialize::Body,
    session::{self, SessionKey},
    shield::{self, Cause, Marks, Quota},
    telemetry::{self, Seldom},
};

/// What exchanges have taught, for all layers that act on it: the last good playlists, the sessions that are lost,
/// blocked or failing, the 4xx that were spent, and the gaps between turns.
#[derive(Debug)]
pub struct Lessons {
    /// The last good playlists.
    pub store: Store,
    /// The sessions that are answered here.
    pub(crate) marks: Marks,
    /// The 4xx of the last minute.
    pub quota: Quota,
    /// Those of tracking, which has a part of that.
    pub(crate) tracking: Quota,
    /// The gaps between turns.
    pub settle: Settle,
    /// The sessions of the last minute.
    pub(crate) seen: Seen,
    /// Whether anybody has use for more of them.
    pub(crate) ending: Ending,
    /// Bounds how often the operator is told of a quota.
    pub(super) told: Arc<Seldom>,
    pub(super) told_of_tracking: Arc<Seldom>,
}

/// What was asked, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exchange<'a> {
    pub(super) kind: session::Kind,
    pub(super) method: &'a Method,
    pub(super) uri: &'a Uri,
    pub(super) sent: Instant,
    /// Whether it said nothing of content codings.
    pub(super) silent: bool,
}

/// The longest multivariant playlist that is read for its variants, decoded, in bytes.
const READ_UP_TO: usize = 256 * 1024;

// === impl Lessons ===

impl Lessons {
    /// Nothing learned yet. Without a configuration of rescues no playlists are kept.
    pub fn new(rescue: impl Into<Option<rescue::Config>>, shield: shield::Config, settle: Settle) -> Self {
        let quota = Quota::new(&shield);
        let tracking = Quota::new(&shield.of_tracking());
        let seen = Seen::new(shield.capacity);
        Self {
            store: rescue.into().map_or_else(Store::off, Store::new),
            marks: Marks::new(shield),
            quota,
            tracking,
            settle,
            seen,
            ending: Ending::default(),
            told: Arc::new(Seldom::new()),
            told_of_tracking: Arc::new(Seldom::new()),
        }
    }

    /// How many sessions are answered here, since they are lost, blocked or failing.
    pub fn marked_sessions(&self) -> usize {
        self.marks.len()
    }

    /// The same lessons, acted on by another configuration. All that is learned later is learned for both.
    #[must_use]
    pub(crate) fn reconfigured(
        &self,
        rescue: Option<rescue::Config>,
        shield: shield::Config,
        settle: Duration,
    ) -> Self {
        Self {
            store: self.store.reconfigured(rescue),
            quota: self.quota.reconfigured(&shield),
            tracking: self.tracking.reconfigured(&shield.of_tracking()),
            marks: self.marks.reconfigured(shield),
            settle: self.settle.reconfigured(settle),
            seen: self.seen.clone(),
            ending: self.ending.clone(),
            told: Arc::clone(&self.told),
            told_of_tracking: Arc::clone(&self.told_of_tracking),
        }
    }

    /// Those for another upstream beside this one, which shares their memory: 4xx and gaps begin anew.
    #[must_use]
    pub(crate) fn beside(
        &self,
        rescue: Option<rescue::Config>,
        shield: shield::Config,
        settle: Duration,
    ) -> Self {
        let (quota, tracking) = (Quota::new(&shield), Quota::new(&shield.of_tracking()));
        Self {
            quota,
            tracking,
            settle: Settle::new(settle),
            told: Arc::new(Seldom::new()),
            told_of_tracking: Arc::new(Seldom::new()),
            ..self.reconfigured(rescue, shield, settle)
        }
    }

    /// The upstream has made a session for a player, with these variants.
    pub(crate) fn made(&self, key: &SessionKey, variants: Variants) {
        let now = Instant::now();
        self.seen.made(key, now);
        if variants.is_choice() && !self.store.is_off() {
            self.seen.offered(key, variants, now);
        }
    }

    /// Takes in what came of an exchange. Seen beside the session's other playlists it may mean something else,
    /// which is then given: one that is older than what the session was given before is a failure of the upstream.
    pub(super) fn take<B>(
        &self,
        key: &SessionKey,
        Exchange { kind, method, uri, sent, silent }: Exchange<'_>,
        judgement: &Judgement,
        (status, headers): (StatusCode, &HeaderMap),
        body: &Body<B>,
    ) -> Option<Judgement> {
        let now = Instant::now();
        let is_given = kind == session::Kind::Media && method == Method::GET;
        match judgement.verdict {
            Verdict::Playlist => {
                let good = match (body.pieces(), judgement.summary) {
                    (Some(pieces), Some(summary)) if method == Method::GET && status == StatusCode::OK => {
                        Some(good(headers, pieces, &summary).unchanged(judgement.unchanged).unasked(silent))
                    }
                    _ => None,
                };
                match good.map(|good| self.store.learn(key, uri, &good, now)) {
                    Some(Learned::Older) => {
                        return Some(Judgement { flaw: Some(Flaw::Older), ..Verdict::NotPlaylist.into() });
                    }
                    Some(Learned::Renumbered) => telemetry::renumbered(key, uri),
                    Some(Learned::New | Learned::Changed) if kind == session::Kind::Multivariant => {
                        let pieces = body.pieces().into_iter().flatten();
                        self.store.offer(key, variants(uri, headers, pieces));
                    }
                    Some(Learned::New) => {
                        let offered = self.seen.take_offered(key);
                        offered.into_iter().for_each(|variants| self.store.offer(key, variants));
                    }
                    Some(Learned::NotKept) if is_given => self.seen.given(key, now),
                    // Its player has something newer than what is kept.
                    None if method == Method::GET => self.store.outdate(key, uri),
                    _ => {}
                }
                self.good(key, uri, now);
            }
            Verdict::Passed => {
                let names =
                    || headers.contains_key(header::ETAG) || headers.contains_key(header::LAST_MODIFIED);
                let is_kept = match status {
                    StatusCode::NOT_MODIFIED => {
                        self.store.allow(key, uri);
                        self.store.confirm(key, uri, headers, now) || !names()
                    }
                    _ => !status.is_success(),
                };
                if is_given && (status.is_success() || status == StatusCode::NOT_MODIFIED) {
                    self.seen.given(key, now);
                }
                if !is_kept && method == Method::GET {
                    self.store.outdate(key, uri);
                }
                self.good(key, uri, now);
            }
            Verdict::SessionLost => match self.among_others(key, (method, uri), judgement) {
                None => self.lose(key, uri, status, now),
                Some(other) => {
                    if method == Method::GET {
                        self.miss(key, uri, status, now);
                    }
                    return Some(other);
                }
            },
            Verdict::Blocked => {
                self.marks.mark(key, Cause::Blocked, Some(status), self.store.target_duration(key), now);
                self.forget(key);
            }
            verdict if is_the_sessions(verdict) => self.fail(key, uri, sent, Some(status)),
            _ if method == Method::GET && is_denial(status) => self.store.deny(key, uri),
            _ => {}
        }
        None
    }
}

/// The variants that a multivariant playlist offers; none of one that cannot be read.
fn variants<'a>(uri: &Uri, headers: &HeaderMap, pieces: impl IntoIterator<Item = &'a Bytes>) -> Variants {
    let coding = headers.get_all(header::CONTENT_ENCODING);
    let text = decode::decode(pieces.into_iter().map(|piece| &piece[..]), coding, READ_UP_TO);
    text.map(|text| Variants::of(uri, &text)).unwrap_or_default()
}

/// Whether a playlist is not to be had, by nobody or by those who ask so; others of these statuses are on one request.
fn is_denial(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::UNAUTHORIZED
            | StatusCode::PAYMENT_REQUIRED
            | StatusCode::FORBIDDEN
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS
    )
}

/// Whether a verdict is on the session or what is behind it, and would meet its next request as well.
fn is_the_sessions(verdict: Verdict) -> bool {
    matches!(
        verdict,
        Verdict::Conflict
            | Verdict::Throttled
            | Verdict::Overloaded
            | Verdict::TimedOut
            | Verdict::Unreachable
    )
}

fn good<'a>(headers: &'a HeaderMap, pieces: &'a VecDeque<Bytes>, summary: &Summary) -> Good<'a> {
    let good = Good::new(headers, pieces).summary(Some(*summary));
    if summary.kind == Kind::Multivariant {
        return good;
    }
    good.media_sequence(Some(summary.media_sequence))
        .last_sequence(Some(summary.next_sequence().saturating_sub(1)))
        .target_duration(Some(summary.target_duration))
        .ended(summary.ended)
}
