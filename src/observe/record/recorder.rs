use std::{
    collections::{HashSet, VecDeque},
    fmt,
    hash::{BuildHasherDefault, RandomState},
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use http::Uri;
use lru::LruCache;
use tokio::time::Instant;

use super::{Note, Noted, Record, jots::Jots};
use crate::session::{Hashed, HashedKey, Kind, SessionId, SessionKey};

/// The last requests of the sessions that were active last.
///
/// It is bounded three times: by a number of sessions, by [`EACH`](Self::EACH) requests of each, and by
/// [`BYTES`](Self::BYTES) of memory for all. The session that was not active for the longest goes first; one
/// alone can take no more than its own [`EACH`](Self::EACH).
pub struct Recorder {
    sessions: Mutex<Sessions>,
    hasher: RandomState,
    most: NonZeroUsize,
    most_bytes: usize,
    bytes: Arc<AtomicUsize>,
    next: AtomicU64,
}

type Sessions = LruCache<HashedKey, VecDeque<Arc<Noted>>, BuildHasherDefault<Hashed>>;

/// What is found for a session's id, or for the beginning of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The session, and its last requests, the first one first.
    One(SessionId, Vec<Record>),
    /// The ids of this many sessions begin with it.
    Several(usize),
    /// None is recorded.
    None,
}

/// The least of an id that finds its session, in characters: as much as logs have of it.
const LEAST: usize = 8;

// === impl Recorder ===

impl Recorder {
    /// How many requests are kept of one session.
    pub const EACH: usize = 32;

    /// The memory that all may take, in bytes: 64 MiB. A request takes half a kilobyte, and two with its
    /// attempts at the most.
    pub const BYTES: usize = 64 * 1024 * 1024;

    /// Records this many sessions; none if that is zero.
    pub fn new(sessions: usize) -> Option<Self> {
        Self::within(sessions, Self::BYTES)
    }

    fn within(most: usize, most_bytes: usize) -> Option<Self> {
        let most = NonZeroUsize::new(most)?;
        // Without memory for as many from the beginning.
        let mut sessions = LruCache::unbounded_with_hasher(BuildHasherDefault::default());
        sessions.resize(most);
        Some(Self {
            sessions: Mutex::new(sessions),
            hasher: RandomState::new(),
            most,
            most_bytes,
            bytes: Arc::default(),
            next: AtomicU64::new(1),
        })
    }

    /// A session's request came.
    pub(crate) fn begin(
        &self,
        at: Instant,
        key: &SessionKey,
        upstream: Option<&Arc<str>>,
        kind: Kind,
        uri: &Uri,
    ) -> Note {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let jots = Jots::new(number, upstream.cloned(), kind, uri);
        let noted = Noted::recorded(at, jots, &self.bytes);
        // Hashed before the lock is taken, and once.
        let key = HashedKey::by(&self.hasher, key.clone());
        let mut sessions = self.sessions();
        // Both are dropped once the lock is let go, like what else is gone.
        let (mut oldest, mut least) = (None, None);
        match sessions.get_mut(&key) {
            Some(last) => {
                oldest = if last.len() == Self::EACH { last.pop_front() } else { None };
                last.push_back(Arc::clone(&noted));
            }
            None => least = sessions.push(key, VecDeque::from([Arc::clone(&noted)])),
        }
        let mut gone = Vec::new();
        // What was taken out is counted until it is dropped.
        let mut over = self.bytes().saturating_sub(self.most_bytes);
        while over > 0 && sessions.len() > 1 {
            let Some((key, last)) = sessions.pop_lru() else { break };
            over = over.saturating_sub(last.len() * Noted::BYTES);
            gone.push((key, last));
        }
        drop(sessions);
        drop((oldest, least, gone));
        Note::recorded(noted)
    }

    /// The last requests of a session by its id, or by the beginning of that if it has eight characters at least.
    ///
    /// A beginning is searched for among all recorded sessions, while their requests wait: this is
    /// meant for people.
    pub fn find(&self, id: &str) -> Found {
        let sessions = self.sessions();
        let exact = SessionId::parse(id).ok();
        let such = |key: &SessionKey| exact.as_ref() == Some(key.id());
        let begins = |key: &SessionKey| id.len() >= LEAST && key.id().begins_with(id);
        let keys = || sessions.iter().map(|(hashed, _)| &hashed.key);
        let wanted = match keys().any(such) {
            true => exact.clone(),
            false => match several(keys().filter(|key| begins(key))) {
                (first, 0 | 1) => first,
                (_, several) => return Found::Several(several),
            },
        };
        let Some(wanted) = wanted else { return Found::None };
        let those = sessions.iter().filter(|(hashed, _)| *hashed.key.id() == wanted);
        let mut records: Vec<_> = those.flat_map(|(_, last)| last.iter().map(|noted| noted.read())).collect();
        drop(sessions);
        records.sort_by_key(|record| record.number);
        Found::One(wanted, records)
    }

    /// How many sessions are recorded now.
    pub fn sessions_now(&self) -> usize {
        self.sessions().len()
    }

    /// The memory that they take, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first id, and how many others there are with it. The same one at several upstreams is one.
fn several<'a>(keys: impl Iterator<Item = &'a SessionKey>) -> (Option<SessionId>, usize) {
    let ids: HashSet<_> = keys.map(SessionKey::id).collect();
    (ids.iter().next().map(|id| (*id).clone()), ids.len())
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder")
            .field("sessions", &self.sessions_now())
            .field("most", &self.most)
            .field("bytes", &self.bytes())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> SessionId {
        SessionId::parse(&format!("{n:08x}-30aa-4c1e-9d0f-2a4d1f7be901")).expect("an id")
    }

    fn begin(recorder: &Recorder, n: usize, playlist: usize) -> Note {
        let uri = format!("/v1/manifest/acct/Demo/x/{playlist}.m3u8").parse().expect("a path");
        recorder.begin(Instant::now(), &SessionKey::new(None, None, id(n)), None, Kind::Media, &uri)
    }

    fn numbers(recorder: &Recorder, n: usize) -> Vec<String> {
        match recorder.find(&format!("{n:08x}")) {
            Found::One(_, records) => records.iter().map(|record| record.playlist.to_string()).collect(),
            Found::None => Vec::new(),
            Found::Several(several) => panic!("{several}"),
        }
    }

    #[test]
    fn a_session_keeps_its_last_and_the_least_active_goes_first() {
        let recorder = Recorder::new(3).expect("some");
        for playlist in 0..100 {
            begin(&recorder, 1, playlist);
        }
        let expected: Vec<_> = (68..100).map(|n| format!("{n}.m3u8")).collect();
        assert_eq!(numbers(&recorder, 1), expected);
        begin(&recorder, 2, 0);
        begin(&recorder, 3, 0);
        begin(&recorder, 1, 100);
        begin(&recorder, 4, 0);
        assert_eq!(recorder.sessions_now(), 3);
        assert!(numbers(&recorder, 2).is_empty(), "it was not active for the longest");
        assert_eq!(numbers(&recorder, 1).last().map(String::as_str), Some("100.m3u8"));
    }

    #[test]
    fn one_id_at_two_upstreams_is_two_sessions_that_are_found_together() {
        let recorder = Recorder::new(3).expect("some");
        let uri = "/v1/manifest/acct/Demo/x/0.m3u8".parse().expect("a path");
        let [one, two] = ["one", "two"].map(Arc::<str>::from);
        for n in 0..50 {
            // One request at the other, and then a storm here.
            for upstream in [&two, &one].into_iter().skip(usize::from(n > 0)) {
                let key = SessionKey::new(Some(upstream), Some("Demo"), id(1));
                recorder.begin(Instant::now(), &key, Some(upstream), Kind::Media, &uri);
            }
        }
        assert_eq!(recorder.sessions_now(), 2);
        let Found::One(_, records) = recorder.find("00000001") else { panic!("it is one id") };
        let of =
            |upstream| records.iter().filter(|record| record.upstream.as_ref() == Some(upstream)).count();
        assert_eq!((of(&one), of(&two), records.len()), (Recorder::EACH, 1, Recorder::EACH + 1));
        assert!(records.is_sorted_by_key(|record| record.number));
    }

    #[test]
    fn all_stay_within_the_memory_and_give_it_back() {
        const BYTES: usize = 256 * 1024;
        let recorder = Recorder::within(1_000_000, BYTES).expect("some");
        let failed: Result<http::Response<()>, ()> = Err(());
        for n in 0..20_000 {
            let note = begin(&recorder, n / 3, n);
            for _ in 0..20 {
                note.attempted(&failed, None);
            }
            let record = note.read();
            assert_eq!((record.attempts.len(), record.attempts_left_out), (8, 12));
            // The last note grew after it had its place.
            assert!(recorder.bytes() < BYTES + 4096, "{}", recorder.bytes());
        }
        assert!(recorder.sessions_now() > 20);
        while recorder.sessions().pop_lru().is_some() {}
        assert_eq!(recorder.bytes(), 0);
    }

    #[test]
    fn the_beginning_that_logs_have_finds_a_session() {
        let recorder = Recorder::new(10).expect("some");
        begin(&recorder, 0xabcd_ef01, 0);
        let uri = "/v1/manifest/a/b/c/0.m3u8".parse().expect("a path");
        for token in ["a-token-of-someone", "a-token-of-another"] {
            let key = SessionKey::new(None, None, SessionId::parse(token).expect("an id"));
            recorder.begin(Instant::now(), &key, None, Kind::Media, &uri);
        }
        for known in ["abcdef01", "ABCDEF01", "abcdef01-30aa", "abcdef01-30aa-4c1e-9d0f-2a4d1f7be901"] {
            assert!(matches!(recorder.find(known), Found::One(..)), "{known}");
        }
        assert!(matches!(recorder.find("a-token-of-s"), Found::One(..)));
        assert_eq!(recorder.find("a-token-"), Found::Several(2));
        for unknown in
            ["", "abcdef0", "abcdef02", "%00", &"a".repeat(10_000), "abcdef01-30aa-4c1e-9d0f-2a4d1f7be901x"]
        {
            assert_eq!(recorder.find(unknown), Found::None, "{unknown}");
        }
    }
}
