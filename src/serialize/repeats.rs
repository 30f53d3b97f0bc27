use std::{
    hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState},
    sync::Arc,
};

use dashmap::{DashMap, Entry};
use http::{HeaderName, HeaderValue, Method, Uri, request::Parts};

use super::exchange::{Exchange, Watcher};
use crate::{
    lane::Headcount,
    observe::record::Note,
    session::{Hashed, SessionKey, query},
};

/// Whether an answer may depend on this header, besides method and URL.
fn is_negotiation(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "accept"
            | "accept-encoding"
            | "accept-language"
            | "authorization"
            | "cookie"
            | "host"
            | "if-match"
            | "if-modified-since"
            | "if-none-match"
            | "if-range"
            | "if-unmodified-since"
            | "origin"
            | "range"
    )
}

/// The exchanges that a repeat can attach to.
#[derive(Debug)]
pub(super) struct Repeats {
    /// By the hash of the identity, which the exchange holds in full.
    exchanges: DashMap<u64, Arc<Exchange>, BuildHasherDefault<Hashed>>,
    open: Headcount,
    hasher: RandomState,
}

/// What two requests must have in common to share an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Identity {
    key: SessionKey,
    method: Method,
    /// But for what a player says of itself.
    uri: Uri,
    /// The request's headers that the answer may depend on, in the order in which they came.
    negotiation: Vec<(HeaderName, HeaderValue)>,
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
    pub(super) fn new() -> Self {
        Self { exchanges: DashMap::default(), open: Headcount::new(), hasher: RandomState::new() }
    }

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
        note: Option<&Note>,
        join: impl FnOnce() -> Result<T, E>,
    ) -> Result<Entrance<T>, E> {
        let Some(identity) = identity else {
            return Ok(Entrance::alone(None, note, join()?));
        };
        let hash = self.hasher.hash_one(&identity);
        let entrance = match self.exchanges.entry(hash) {
            Entry::Vacant(vacant) => {
                let entrance = Entrance::alone(Some(identity), note, join()?);
                vacant.insert(Arc::clone(&entrance.exchange));
                self.open.came();
                entrance
            }
            Entry::Occupied(mut occupied) => {
                if occupied.get().identity() != Some(&identity) {
                    return Ok(Entrance::alone(Some(identity), note, join()?));
                }
                if let Some(watcher) = occupied.get().attach() {
                    return Ok(Entrance { exchange: Arc::clone(occupied.get()), watcher, place: None });
                }
                let entrance = Entrance::alone(Some(identity), note, join()?);
                occupied.insert(Arc::clone(&entrance.exchange));
                entrance
            }
        };
        Ok(entrance.opened(self, hash))
    }
}

// === impl Entrance ===

impl<T> Entrance<T> {
    fn alone(identity: Option<Identity>, note: Option<&Note>, ticket: T) -> Self {
        let (exchange, watcher) = Exchange::new(identity, note.cloned());
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
        let mut negotiation = Vec::with_capacity(head.headers.len());
        let named = head.headers.iter().filter(|(name, _)| is_negotiation(name));
        negotiation.extend(named.map(|(name, value)| (name.clone(), value.clone())));
        let uri = query::without_reports(&head.uri).unwrap_or_else(|| head.uri.clone());
        Some(Self { key: key.clone(), method: head.method.clone(), uri, negotiation })
    }
}

impl Hash for Identity {
    /// In few pieces, each of which has its price; what is left out here is compared all the same.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
        if let Some(target) = self.uri.path_and_query() {
            state.write(target.as_str().as_bytes());
        }
        state.write_u8(u8::from(self.method == Method::HEAD));
        for (_, value) in &self.negotiation {
            state.write(value.as_bytes());
        }
    }
}

// === impl Open ===

impl Drop for Open {
    fn drop(&mut self) {
        let Repeats { exchanges, open, .. } = &*self.repeats;
        let removed = exchanges.remove_if(&self.hash, |_, open| Arc::ptr_eq(open, &self.exchange));
        if removed.is_some() && open.went() {
            exchanges.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{Extract as _, MediaTailor};

    fn identity(n: u32) -> Identity {
        let path = format!("/v1/manifest/acct/Demo/{n:08x}-30aa-4c1e-9d0f-2a4d1f7be901/0.m3u8");
        let (head, ()) = http::Request::get(path).body(()).expect("a request").into_parts();
        let key = MediaTailor::new().extract(&head).session.expect("well-formed").expect("a session");
        Identity::of(&key, &head).expect("a safe method")
    }

    #[test]
    fn memory_goes_back_after_a_crowd() {
        let repeats = Arc::new(Repeats::new());
        let enter = |n| repeats.enter(Some(identity(n)), None, || Ok::<_, ()>(())).expect("a place");
        let crowd: Vec<_> = (0..100_000).map(enter).collect();
        // A repeat that attaches is no entry of its own.
        assert!(enter(0).place.is_none());
        assert_eq!(repeats.open.now(), 100_000);
        let crowded = repeats.exchanges.capacity();
        drop(crowd);
        assert_eq!((repeats.open.now(), repeats.exchanges.len()), (0, 0));
        assert!(repeats.exchanges.capacity() < crowded / 4, "{}", repeats.exchanges.capacity());
    }

    #[test]
    fn one_that_takes_a_left_ones_place_is_counted_once() {
        let repeats = Arc::new(Repeats::new());
        let enter = || repeats.enter(Some(identity(7)), None, || Ok::<_, ()>(())).expect("a place");
        let Entrance { watcher, place: left, .. } = enter();
        drop(watcher);
        let next = enter();
        assert!(next.place.is_some(), "the one that everybody left takes no more");
        assert_eq!(repeats.open.now(), 1);
        drop(left);
        assert_eq!((repeats.open.now(), repeats.exchanges.len()), (1, 1));
        drop(next);
        assert_eq!((repeats.open.now(), repeats.exchanges.len()), (0, 0));
    }
}
