use std::{
    hash::{BuildHasherDefault, Hasher},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use dashmap::DashMap;
use http::StatusCode;
use metrics::{Counter, Histogram, counter, histogram};

use super::{
    Pulse,
    metrics::{
        ABANDONED, ATTACHED, CONFIGURATIONS, EXCHANGE_SECONDS, EXCHANGES, LANE_WAIT_SECONDS, REQUEST_SECONDS,
        REQUESTS,
    },
};
use crate::session::Kind;

/// The most playback configurations whose sessions are known by their scope: beyond them a look at the URL tells.
const SCOPES: usize = 4_096;

const KINDS: usize = 7;

/// What each request needs, looked up once.
pub(crate) struct Meters {
    request_seconds: ByKind,
    lane_wait_seconds: ByKind,
    exchange_seconds: ByKind,
    requests: Counters,
    exchanges: Counters,
    attached: Counter,
    abandoned: Counter,
    names: Mutex<Vec<Arc<str>>>,
    scopes: DashMap<u64, (Name, Option<Arc<str>>)>,
}

/// The number of a playback configuration's name: nought is none, and the last all that have none of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Name(u8);

/// By what their labels say, in one number.
type Counters = DashMap<u32, Counter, BuildHasherDefault<Spread>>;

/// For numbers that nobody chooses: without a secret, and so for a tenth of what SipHash takes.
#[derive(Debug, Default)]
struct Spread(u64);

/// Of a kind that never came there is nothing to show.
struct ByKind {
    name: &'static str,
    kinds: [OnceLock<Histogram>; KINDS],
}

// === impl Meters ===

impl Meters {
    /// Of the process. The recorder is the one that is there at the first call.
    pub(crate) fn get() -> &'static Self {
        static METERS: OnceLock<Meters> = OnceLock::new();
        METERS.get_or_init(Self::new)
    }

    fn new() -> Self {
        Self {
            request_seconds: ByKind::new(REQUEST_SECONDS),
            lane_wait_seconds: ByKind::new(LANE_WAIT_SECONDS),
            exchange_seconds: ByKind::new(EXCHANGE_SECONDS),
            requests: Counters::default(),
            exchanges: Counters::default(),
            attached: counter!(ATTACHED),
            abandoned: counter!(ABANDONED),
            names: Mutex::default(),
            scopes: DashMap::new(),
        }
    }

    /// The playback configuration of a session, if one of its sessions was named before.
    pub(crate) fn known(&self, scope: u64) -> Option<Name> {
        self.scopes.get(&scope).map(|known| known.0)
    }

    /// What the playback configuration of a session is called, if one of its sessions was named before.
    pub(crate) fn configuration(&self, scope: u64) -> Option<Arc<str>> {
        self.known(scope).filter(|name| ![Name::NONE, Name::OTHER].contains(name)).map(|name| self.text(name))
    }

    /// What the upstream of a session is called, if it has a name and one of the configuration's sessions
    /// was named before.
    #[cfg(feature = "sidecar")]
    pub(crate) fn upstream(&self, scope: u64) -> Option<Arc<str>> {
        self.scopes.get(&scope)?.1.clone()
    }

    /// Names a playback configuration, and the scope of its sessions by it and its upstream, if there is
    /// room for one more.
    pub(crate) fn name(
        &self,
        scope: Option<u64>,
        configuration: Option<&str>,
        upstream: Option<Arc<str>>,
    ) -> Name {
        let name = configuration.map_or(Name::NONE, |configuration| self.number(configuration));
        if let Some(scope) = scope
            && self.scopes.len() < SCOPES
        {
            self.scopes.insert(scope, (name, upstream));
        }
        name
    }

    /// The name of a playback configuration that was named before; else that of all others.
    pub(crate) fn named(&self, configuration: Option<&str>) -> Name {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let known = configuration.and_then(|named| names.iter().position(|name| **name == *named));
        known.map_or(Name::OTHER, Name::nth)
    }

    fn number(&self, configuration: &str) -> Name {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let known = names.iter().position(|name| **name == *configuration);
        let nth = known.or_else(|| {
            (names.len() < CONFIGURATIONS).then(|| {
                names.push(configuration.into());
                names.len() - 1
            })
        });
        nth.map_or(Name::OTHER, Name::nth)
    }

    /// A player has its answer, or has gone without.
    pub(crate) fn request(&self, name: Name, kind: Kind, status: Option<StatusCode>, took: Duration) {
        Pulse::get().request(status);
        let key = labels(name, kind, status);
        if status.is_some() {
            self.request_seconds.of(kind).record(took);
        }
        if let Some(counter) = self.requests.get(&key) {
            return counter.increment(1);
        }
        let counter = counter!(
            REQUESTS,
            "configuration" => self.text(name),
            "kind" => kind.as_str(),
            "status" => status.map_or_else(|| "left".to_owned(), |status| status.as_str().to_owned()),
        );
        self.requests.entry(key).or_insert(counter).increment(1);
    }

    /// A turn has come.
    pub(crate) fn waited(&self, kind: Kind, waited: Duration) {
        self.lane_wait_seconds.of(kind).record(waited);
    }

    /// An exchange has ended. It did not wait if it needed no turn.
    pub(crate) fn exchange(
        &self,
        kind: Kind,
        status: Option<StatusCode>,
        waited: Option<Duration>,
        took: Duration,
    ) {
        if let Some(waited) = waited {
            Pulse::get().exchange(waited, took);
        }
        self.exchange_seconds.of(kind).record(took);
        let key = labels(Name::NONE, kind, status);
        if let Some(counter) = self.exchanges.get(&key) {
            return counter.increment(1);
        }
        let counter = counter!(
            EXCHANGES,
            "kind" => kind.as_str(),
            "status" => status.map_or_else(|| "none".to_owned(), |status| status.as_str().to_owned()),
        );
        self.exchanges.entry(key).or_insert(counter).increment(1);
    }

    /// Who the exchange's answer was for.
    pub(crate) fn audience(&self, attached: u32, abandoned: bool) {
        if attached > 0 {
            self.attached.increment(attached.into());
            Pulse::get().attached(attached);
        }
        if abandoned {
            self.abandoned.increment(1);
        }
    }

    fn text(&self, name: Name) -> Arc<str> {
        match name {
            Name::NONE => "none".into(),
            Name(nth) => {
                let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
                names.get(usize::from(nth) - 1).map_or_else(|| "other".into(), Arc::clone)
            }
        }
    }
}

/// No status stands for what never came.
fn labels(Name(name): Name, kind: Kind, status: Option<StatusCode>) -> u32 {
    let status = status.map_or(0, |status| status.as_u16());
    u32::from(name) << 24 | (kind as u32) << 16 | u32::from(status)
}

// === impl Spread ===

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        // Not used: the keys are numbers. Right all the same.
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    /// Every bit of the number changes bits at both ends, where maps look.
    fn write_u32(&mut self, number: u32) {
        let spread = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = spread ^ spread >> 32;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

// === impl Name ===

impl Name {
    pub(crate) const NONE: Self = Self(0);
    /// Also that of who asked for what there is not: a client can make up names.
    pub(crate) const OTHER: Self = Self(u8::MAX);

    fn nth(nth: usize) -> Self {
        u8::try_from(nth + 1).map_or(Self::OTHER, Self)
    }
}

// === impl ByKind ===

impl ByKind {
    fn new(name: &'static str) -> Self {
        Self { name, kinds: Default::default() }
    }

    fn of(&self, kind: Kind) -> &Histogram {
        self.kinds[kind as usize].get_or_init(|| histogram!(self.name, "kind" => kind.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_place() {
        assert_eq!(Kind::Other as usize, KINDS - 1, "the last of them");
    }

    #[test]
    fn labels_are_told_apart_and_spread() {
        let mut hashes = std::collections::HashSet::new();
        let (mut low, mut high) = (hashes.clone(), hashes.clone());
        for name in 0..=u8::MAX {
            for kind in [Kind::Media, Kind::Other] {
                for status in [None, Some(StatusCode::OK), Some(StatusCode::NOT_FOUND)] {
                    let mut hash = Spread::default();
                    hash.write_u32(labels(Name(name), kind, status));
                    let hash = hash.finish();
                    assert!(hashes.insert(hash), "{name} {kind:?} {status:?}");
                    low.insert(hash & 0xff);
                    high.insert(hash >> 56);
                }
            }
        }
        assert!(low.len() > 200 && high.len() > 200, "{} {}", low.len(), high.len());
    }

    #[test]
    fn names_are_bounded() {
        let meters = Meters::new();
        assert_eq!(meters.name(None, None, None), Name::NONE);
        let names: Vec<_> =
            (0..CONFIGURATIONS).map(|n| meters.name(None, Some(&n.to_string()), None)).collect();
        assert_eq!(&*meters.text(names[7]), "7");
        for n in 0..10_000 {
            let expected = names.get(n).copied().unwrap_or(Name::OTHER);
            assert_eq!(meters.name(Some(n as u64), Some(&n.to_string()), None), expected);
            assert_eq!(meters.known(n as u64), (n < SCOPES).then_some(expected));
        }
        assert_eq!(meters.scopes.len(), SCOPES);
        assert_eq!(&*meters.text(Name::OTHER), "other");
    }
}
