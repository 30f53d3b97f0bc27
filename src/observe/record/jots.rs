use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{StatusCode, Uri};
use tokio::time::Instant;

use super::{Answer, Ending, Record, text::Text, tried::Tried};
use crate::{session::Kind, upstream::Verdict};

/// A [`Record`] as it is noted: plain data, which for a request that went well has no memory of its own.
#[derive(Debug)]
pub(super) struct Jots {
    pub(super) number: u64,
    began: SystemTime,
    upstream: Option<Arc<str>>,
    kind: Kind,
    playlist: Text,
    pub(super) sent: Option<Instant>,
    first: Option<Tried>,
    /// The attempts after the first.
    more: Vec<Tried>,
    left_out: u32,
    pub(super) ending: Option<Ended>,
    pub(super) attached_to: Option<u64>,
    pub(super) attached: u32,
    pub(super) shielded: Option<Verdict>,
    pub(super) answer: Option<Answered>,
    pub(super) left: Option<Instant>,
}

/// An [`Ending`] as it is noted.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) at: Instant,
    pub(super) status: Option<StatusCode>,
    pub(super) failed: Option<Verdict>,
    pub(super) abandoned: bool,
}

/// An [`Answer`] as it is noted.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) at: Instant,
    pub(super) status: StatusCode,
    pub(super) rescue: Option<Box<str>>,
    pub(super) reason: Option<Verdict>,
}

/// The longest name of a playlist that is kept, in bytes.
pub(super) const LONGEST_NAME: usize = 64;

/// The most attempts of one exchange that are kept.
const MOST_ATTEMPTS: usize = 8;

// === impl Jots ===

impl Jots {
    pub(super) fn new(number: u64, upstream: Option<Arc<str>>, kind: Kind, uri: &Uri) -> Self {
        let path = uri.path();
        // What stands in a tracking URL may be a secret.
        let name = match path.bytes().rposition(|byte| byte == b'/') {
            _ if kind == Kind::Tracking => "",
            Some(slash) => &path[slash + 1..],
            None => path,
        };
        Self {
            number,
            began: SystemTime::now(),
            upstream,
            kind,
            playlist: name.get(..name.len().min(LONGEST_NAME)).unwrap_or_default().into(),
            sent: None,
            first: None,
            more: Vec::new(),
            left_out: 0,
            ending: None,
            attached_to: None,
            attached: 0,
            shielded: None,
            answer: None,
            left: None,
        }
    }

    pub(super) fn was_tried(&self) -> bool {
        self.first.is_some()
    }

    /// One more attempt, and what more that takes, in bytes.
    pub(super) fn tried(&mut self, tried: Tried) -> usize {
        let heap = tried.heap();
        if self.first.is_none() {
            self.first = Some(tried);
            return heap;
        }
        if self.more.len() + 1 == MOST_ATTEMPTS {
            self.left_out += 1;
            return 0;
        }
        self.more.reserve_exact(1);
        self.more.push(tried);
        size_of::<Tried>() + heap
    }

    /// The last attempt means something else, unless it was left out.
    pub(super) fn meant(&mut self, verdict: Verdict) {
        if self.left_out == 0
            && let Some(last) = self.more.last_mut().or(self.first.as_mut())
        {
            last.verdict = verdict;
        }
    }

    /// As it is now, if the request came then.
    pub(super) fn read(&self, since: Instant) -> Record {
        let answer = |answer: &Answered| Answer {
            at: answer.at - since,
            status: answer.status,
            rescue: answer.rescue.clone(),
            reason: answer.reason,
        };
        let ending = |ended: &Ended| Ending {
            at: ended.at - since,
            status: ended.status,
            failed: ended.failed,
            abandoned: ended.abandoned,
        };
        let after = |at: Instant| -> Duration { at - since };
        Record {
            number: self.number,
            began: self.began,
            age: since.elapsed(),
            upstream: self.upstream.clone(),
            kind: self.kind,
            playlist: self.playlist.read(),
            sent: self.sent.map(after),
            attempts: self.attempts().map(|tried| tried.read(since)).collect(),
            attempts_left_out: self.left_out,
            ending: self.ending.as_ref().map(ending),
            attached_to: self.attached_to,
            attached: self.attached,
            shielded: self.shielded,
            answer: self.answer.as_ref().map(answer),
            left: self.left.map(after),
        }
    }

    /// Whether something failed for the request.
    #[cfg(feature = "otlp")]
    pub(super) fn went_wrong(&self) -> bool {
        let answered_wrong = self.answer.as_ref().is_some_and(|answer| {
            answer.status >= StatusCode::INTERNAL_SERVER_ERROR
                || answer.rescue.is_some()
                || answer.reason.is_some()
        });
        answered_wrong
            || self.left_out > 0
            || self.attempts().any(|tried| !matches!(tried.verdict, Verdict::Playlist | Verdict::Passed))
            || self.ending.as_ref().is_some_and(|ending| ending.failed.is_some())
    }

    fn attempts(&self) -> impl Iterator<Item = &Tried> {
        self.first.iter().chain(&self.more)
    }

    /// What it takes besides itself, in bytes.
    pub(super) fn heap(&self) -> usize {
        let ids: usize = self.attempts().map(Tried::heap).sum();
        self.playlist.heap() + self.more.len() * size_of::<Tried>() + ids
    }
}
