use std::cmp::Reverse;

use http::HeaderMap;
use tokio::time::Instant;

use super::{
    Good, Learned,
    behind::Behind,
    bounds::Bounds,
    good::Numbers,
    kept::{Count, Kept},
    url::Url,
    validator::Validator,
};
use crate::upstream::coding::Coding;

/// One URL.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) url: Box<str>,
    /// The URL without delivery directives, if it has some, so that it is hardly asked for again.
    plain: Option<Box<str>>,
    /// Whether they let nothing be skipped.
    in_full: bool,
    /// The highest media sequence that the upstream gave: nothing lower is given after it.
    pub(super) highest: Option<u64>,
    /// The number of the last segment that it gave, which may not be taken back (RFC 8216 section 6.2.2).
    pub(super) last: Option<u64>,
    /// When the upstream last gave something that was not lower.
    pub(super) confirmed: Instant,
    /// Whether the upstream did not give it when it was last asked.
    pub(super) denied: bool,
    /// Since when it fails, and when that was last seen.
    pub(super) failing: Option<(Instant, Instant)>,
    /// What it has given since, if that was lower.
    behind: Option<Box<Behind>>,
    /// The playlist in each content coding that was asked for.
    pub(super) forms: Vec<Kept>,
}

// === impl Place ===

impl Place {
    pub(super) fn new(url: &Url<'_>, now: Instant) -> Self {
        Self {
            url: (*url.whole).into(),
            plain: url.directed().then(|| (*url.plain).into()),
            in_full: url.in_full,
            highest: None,
            last: None,
            confirmed: now,
            denied: false,
            failing: None,
            behind: None,
            forms: Vec::new(),
        }
    }

    pub(super) fn learn(
        &mut self,
        coding: Coding,
        good: &Good<'_>,
        now: Instant,
        bounds: &Bounds,
    ) -> Learned {
        match self.forms.iter_mut().find(|kept| kept.coding == coding) {
            Some(kept) => match kept.renew(good, now) {
                true => Learned::Changed,
                false => Learned::Unchanged,
            },
            None => {
                self.forms.reserve_exact(1);
                self.forms.push(Kept::new(coding, good, now, Count::one(&bounds.count)));
                Learned::New
            }
        }
    }

    /// Whether a playlist of this media sequence is a step back. It stops being one once what is kept is too
    /// old: then the upstream has begun anew.
    pub(super) fn forbids(&self, sequence: Option<u64>, now: Instant, bounds: &Bounds) -> bool {
        sequence.is_some() && sequence < self.highest && self.is_current(now, bounds)
    }

    /// Whether what the upstream gave last is not too old to count.
    pub(super) fn is_current(&self, now: Instant, bounds: &Bounds) -> bool {
        Some(self.confirmed) >= bounds.since
            && now.saturating_duration_since(self.confirmed) <= bounds.max_age
    }

    /// Forgets what was given: from now on it is less.
    pub(super) fn shrink(&mut self) {
        self.forms.clear();
        self.last = None;
    }

    /// Notes a step back: since when the numbering is another, if it is one more of many.
    pub(super) fn fall_behind(&mut self, good: &Good<'_>, now: Instant) -> Option<Instant> {
        let behind = Behind::after(self.behind.as_deref().copied(), &good.numbers, now);
        self.behind = Some(Box::new(behind));
        behind.begun_anew(self.highest?, good.numbers.target_duration?, now)
    }

    /// Notes how far the playlist goes, whichever place it was given at: a form that had ended has not, and
    /// what was given beyond that no longer counts.
    pub(super) fn go_on(&mut self, numbers: &Numbers) {
        if !numbers.ended {
            self.forms.retain(|kept| !kept.numbers.ended);
        }
        self.last = self.last.min(numbers.last_sequence);
    }

    /// Notes where the upstream is, and drops the forms that are of another media sequence.
    pub(super) fn pass(&mut self, numbers: &Numbers, now: Instant) {
        self.confirmed = now;
        self.behind = None;
        if numbers.media_sequence.is_some() {
            (self.highest, self.last) = (numbers.media_sequence, numbers.last_sequence);
        }
        // One that is behind is never given; one that is ahead is of a numbering that the upstream has left.
        self.forms.retain(|kept| kept.numbers.media_sequence == self.highest);
    }

    /// Takes in a 304; `false` if it names nothing that is kept.
    pub(super) fn confirm(&mut self, validator: Validator<'_>, headers: &HeaderMap, now: Instant) -> bool {
        let mut named: Vec<_> = self.forms.iter_mut().filter(|kept| validator.names(&kept.head)).collect();
        named.sort_by_key(|kept| Reverse(kept.since));
        if !validator.is_strong() {
            named.truncate(1);
        }
        if named.is_empty() {
            return false;
        }
        named.into_iter().for_each(|kept| kept.confirm(headers, now));
        // All forms are of the highest media sequence: the upstream is at it.
        self.confirmed = now;
        self.behind = None;
        true
    }

    /// Whether it is of this playlist, whatever the directives.
    pub(super) fn is_of(&self, url: &Url<'_>) -> bool {
        **self.plain.as_ref().unwrap_or(&self.url) == *url.plain
    }

    /// Whether what it has may be given to a request for this URL: what a reload got is the same playlist, if
    /// nothing was to be skipped.
    pub(super) fn serves(&self, url: &Url<'_>) -> bool {
        self.in_full || *self.url == *url.whole
    }

    /// Whether it was a blocking reload or the like.
    pub(super) fn is_directed(&self) -> bool {
        self.plain.is_some()
    }

    pub(super) fn path(&self) -> &str {
        self.url.split('?').next().unwrap_or_default()
    }

    pub(super) fn weight(&self) -> usize {
        let forms = self.forms.capacity() * size_of::<Kept>()
            + self.forms.iter().map(|kept| kept.weight).sum::<usize>();
        let behind = self.behind.as_ref().map_or(0, |_| size_of::<Behind>() + super::ALLOCATION);
        let plain = self.plain.as_ref().map_or(0, |plain| plain.len() + super::ALLOCATION);
        self.url.len() + plain + forms + behind + 2 * super::ALLOCATION
    }
}
