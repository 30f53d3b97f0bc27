use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use dashmap::{DashMap, Entry};
use http::{HeaderName, HeaderValue, Method, Uri, header, request::Parts};

use super::exchange::{Exchange, Watcher};
use crate::session::SessionKey;

/// What an answer may depend on besides method and URL.
const NEGOTIATION: [HeaderName; 11] = [
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::ACCEPT_LANGUAGE,
    header::AUTHORIZATION,
    header::COOKIE,
    header::IF_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_NONE_MATCH,
    header::IF_RANGE,
    header::ORIGIN,
    header::RANGE,
];

/// The exchanges that a repeat can attach to.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    /// By the hash of the identity, which the exchange holds in full.
    exchanges: DashMap<u64, Arc<Exchange>>,
    hasher: RandomState,
}

/// What two requests must have in common to share an answer.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    key: SessionKey,
    method: Method,
    uri: Uri,
    /// The request's headers out of [`NEGOTIATION`], each with its place there.
    negotiation: Vec<(usize, HeaderValue)>,
}

/// How a request came in.
#[derive(Debug)]
pub(super) struct Entrance<T> {
    pub(super) exchange: Arc<Exchange>,
    pub(super) watcher: Watcher,
    /// What the exchange needs to run, if this request made it: its place in line, and the door that it holds
    /// open for repeats.
    pub(super) place: Option<(T, Option<Open>)>,
}

/// Keeps an exchange open for repeats; dropping it closes it to newcomers.
#[derive(Debug)]
pub(super) struct Open {
    repeats: Arc<Repeats>,
    hash: u64,
    exchange: Arc<Exchange>,
}

// === impl Repeats ===

impl Repeats {
    /// Attaches to an exchange of this identity, or else makes one that others can attach to.
    ///
    /// Both are one critical section, so that of any number of repeats at the same instant one alone makes the
    /// exchange. `join` runs in it and must not await; it takes the new exchange's place in line.
    ///
    /// # Errors
    ///
    /// Those of `join`.
    pub(super) fn enter<T, E>(
        self: &Arc<Self>,
        identity: Option<Identity>,
        join: impl FnOnce() -> Result<T, E>,
    ) -> Result<Entrance<T>, E> {
        let Some(identity) = identity else {
            return Ok(Entrance::alone(None, join()?));
        };
        let hash = self.hasher.hash_one(&identity);
        let entrance = match self.exchanges.entry(hash) {
            Entry::Vacant(vacant) => {
                let entrance = Entrance::alone(Some(identity), join()?);
                vacant.insert(Arc::clone(&entrance.exchange));
                entrance
            }
            Entry::Occupied(mut occupied) => {
                if occupied.get().identity() != Some(&identity) {
                    return Ok(Entrance::alone(Some(identity), join()?));
                }
                if let Some(watcher) = occupied.get().attach() {
                    return Ok(Entrance { exchange: Arc::clone(occupied.get()), watcher, place: None });
                }
                let entrance = Entrance::alone(Some(identity), join()?);
                occupied.insert(Arc::clone(&entrance.exchange));
                entrance
            }
        };
        Ok(entrance.opened(self, hash))
    }
}

// === impl Entrance ===

impl<T> Entrance<T> {
    fn alone(identity: Option<Identity>, ticket: T) -> Self {
        let (exchange, watcher) = Exchange::new(identity);
        Self { exchange, watcher, place: Some((ticket, None)) }
    }

    fn opened(mut self, repeats: &Arc<Repeats>, hash: u64) -> Self {
        if let Some((_, open)) = &mut self.place {
            *open = Some(Open { repeats: Arc::clone(repeats), hash, exchange: Arc::clone(&self.exchange) });
        }
        self
    }
}

// === impl Identity ===

impl Identity {
    /// `None` for a request that no other may share: its method is not safe.
    pub(super) fn of(key: &SessionKey, head: &Parts) -> Option<Self> {
        if !matches!(head.method, Method::GET | Method::HEAD) {
            return None;
        }
        let negotiation = NEGOTIATION
            .iter()
            .enumerate()
            .flat_map(|(place, name)| {
                head.headers.get_all(name).iter().map(move |value| (place, value.clone()))
            })
            .collect();
        Some(Self { key: key.clone(), method: head.method.clone(), uri: head.uri.clone(), negotiation })
    }
}

// === impl Open ===

impl Drop for Open {
    fn drop(&mut self) {
        self.repeats.exchanges.remove_if(&self.hash, |_, open| Arc::ptr_eq(open, &self.exchange));
    }
}
