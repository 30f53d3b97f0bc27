use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, header};
use tokio::time::Instant;

use super::{Accept, Good, good::Numbers, head::Head, validator::Validator};
use crate::upstream::coding::Coding;

/// One playlist in one content coding, as it was last good.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) coding: Coding,
    /// Whether its player had not asked for any, and lives with it.
    pub(super) unasked: bool,
    pub(super) head: Arc<Head>,
    pub(super) body: Bytes,
    pub(super) numbers: Numbers,
    /// When the upstream last confirmed it.
    pub(super) since: Instant,
    /// When its content last changed.
    pub(super) changed: Instant,
    /// How old it was already when it came (RFC 9111 section 5.1).
    pub(super) age: Duration,
    /// What it takes besides itself, in bytes.
    pub(super) weight: usize,
    _count: Count,
}

/// Counts one playlist for as long as it lives: the cache drops what it evicts without a word.
#[derive(Debug)]
pub(super) struct Count(Arc<AtomicUsize>);

// === impl Kept ===

impl Kept {
    pub(super) fn new(coding: Coding, good: &Good<'_>, now: Instant, count: Count) -> Self {
        let (head, body) = (Arc::new(Head::of(good.headers)), good.copy());
        Self {
            weight: weight(&head, &body),
            coding,
            unasked: good.unasked,
            head,
            body,
            numbers: good.numbers,
            since: now,
            changed: now,
            age: age(good.headers),
            _count: count,
        }
    }

    /// Takes a later answer in. `true` if its content is another; otherwise the head stays that of the first,
    /// since it is seldom in the processor's caches and would cost more to compare than all the rest: but for what its player may
    /// name it by from now on.
    pub(super) fn renew(&mut self, good: &Good<'_>, now: Instant) -> bool {
        let changed = good.unchanged != Some(self.changed) && !good.is(&self.body);
        let is_named_anew = || Validator::of(good.headers).is_some_and(|name| !name.names(&self.head));
        if (changed || is_named_anew()) && !self.head.is(good.headers) {
            self.head = Arc::new(Head::of(good.headers));
            self.weight = weight(&self.head, &self.body);
        }
        if changed {
            self.body = good.copy();
            self.changed = now;
            self.weight = weight(&self.head, &self.body);
        }
        self.numbers = good.numbers;
        self.unasked = good.unasked;
        self.confirm(good.headers, now);
        changed
    }

    /// Whether a player takes its coding, or has taken it unasked before.
    pub(super) fn suits(&self, accept: Accept) -> bool {
        accept.takes(self.coding) || self.unasked && accept.is_silent()
    }

    /// The upstream said with these headers that it is still current.
    pub(super) fn confirm(&mut self, headers: &HeaderMap, now: Instant) {
        self.since = now;
        self.age = age(headers);
    }
}

fn weight(head: &Head, body: &Bytes) -> usize {
    // Two allocations for the body: once it is shared, it has a count of those who share it.
    body.len() + head.weight() + 3 * super::ALLOCATION
}

fn age(headers: &HeaderMap) -> Duration {
    let age = headers.get(header::AGE).and_then(|age| age.to_str().ok()?.trim().parse().ok());
    Duration::from_secs(age.unwrap_or(0).min(u32::MAX.into()))
}

// === impl Count ===

impl Count {
    pub(super) fn one(of: &Arc<AtomicUsize>) -> Self {
        of.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(of))
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
