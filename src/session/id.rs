use std::{
    borrow::Cow,
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
};

use uuid::Uuid;

use super::{hex::hex, scope::Scope};

/// The longest session id that is taken for one, in bytes.
const LONGEST: usize = 128;

/// How much of an id is shown in logs and `Debug`, in characters.
const SHOWN: usize = 8;

/// Names one session of one playback configuration: the key of a lane.
///
/// Two sessions of the same id under another upstream have another key, and so they have under another configuration if the id is
/// no UUID. A UUID names one session whatever its configuration, which not all of its URLs tell: one page of MediaTailor's guide
/// prints `/v1/manifest/<account>/<session>/<n>.m3u8` ("integrating-cdn-standard"), and its multivariant playlist has to wait
/// in the same lane. Upstream and configuration are held as a hash of 32 bits each, so that a key of a UUID needs no allocation.
#[derive(Clone)]
pub struct SessionKey {
    /// The upper half is the upstream's.
    scope: u64,
    id: SessionId,
}

/// A session's id as MediaTailor made it.
///
/// It is an opaque token: every published example has the shape of a UUID, no document promises it. UUIDs are
/// held as 16 bytes, other tokens as text of at most 128 bytes. `Debug` and `Display` show the first eight
/// characters, since whoever knows a whole id can watch the session's stream.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SessionId(Repr);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Repr {
    Uuid(Uuid),
    Token(Box<str>),
}

/// What stands where a session id belongs cannot be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed session id: {0}; use the playlist address that MediaTailor gave, unchanged")]
pub struct MalformedId(&'static str);

// === impl SessionKey ===

impl SessionKey {
    /// The key of `id` under an upstream's authority and a playback configuration, where they are known.
    pub fn new(authority: Option<&str>, configuration: Option<&str>, id: SessionId) -> Self {
        Self::within(&Scope::of(authority), configuration, id)
    }

    /// The key of `id` within a scope that was hashed before, which spares the hot path the authority's.
    pub(super) fn within(scope: &Scope, configuration: Option<&str>, id: SessionId) -> Self {
        Self { scope: scope.id(configuration), id }
    }

    /// The session's id.
    pub fn id(&self) -> &SessionId {
        &self.id
    }

    /// What all sessions of one upstream and playback configuration have in common: a hash of both, the same in every process and
    /// release. The account in a URL is not in it, since a session's URLs may tell it in two ways.
    pub fn scope_id(&self) -> u64 {
        self.scope
    }

    /// What a key takes besides itself, in bytes.
    pub(crate) fn heap(&self) -> usize {
        match &self.id.0 {
            Repr::Uuid(_) => 0,
            Repr::Token(text) => text.len(),
        }
    }
}

impl PartialEq for SessionKey {
    fn eq(&self, other: &Self) -> bool {
        let is_same_scope = match self.id.0 {
            Repr::Uuid(_) => Scope::upstream(self.scope) == Scope::upstream(other.scope),
            Repr::Token(_) => self.scope == other.scope,
        };
        is_same_scope && self.id == other.id
    }
}

impl Eq for SessionKey {}

impl Hash for SessionKey {
    /// In one piece: a key is hashed several times for each request, and every piece has its price.
    fn hash<H: Hasher>(&self, state: &mut H) {
        match &self.id.0 {
            Repr::Uuid(uuid) => {
                let mut whole = [0; 20];
                whole[..4].copy_from_slice(&Scope::upstream(self.scope).to_ne_bytes());
                whole[4..].copy_from_slice(uuid.as_bytes());
                state.write(&whole);
            }
            Repr::Token(text) => (self.scope, text).hash(state),
        }
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.id, f)
    }
}

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.id, f)
    }
}

// === impl SessionId ===

impl SessionId {
    /// Stands for the sessions of a stream that are yet to be made: no id that MediaTailor gives, since it is none of a path segment.
    pub(super) fn of_stream(path: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        path.hash(&mut hasher);
        Self(Repr::Token(format!("/{:016x}", hasher.finish()).into()))
    }

    /// Reads an id from decoded text.
    ///
    /// # Errors
    ///
    /// [`MalformedId`] when the text is empty, longer than 128 bytes, a dot segment, or holds anything but the
    /// characters of a path segment (RFC 3986 section 3.3, `pchar` without escapes).
    pub fn parse(text: &str) -> Result<Self, MalformedId> {
        // Of a UUID's several spellings only the hyphenated one is MediaTailor's.
        if text.len() == 36
            && let Ok(uuid) = Uuid::try_parse(text)
        {
            return Ok(Self(Repr::Uuid(uuid)));
        }
        match text {
            "" => Err(MalformedId("it is empty")),
            "." | ".." => Err(MalformedId("it is a dot segment")),
            _ if text.len() > LONGEST => Err(MalformedId("it is longer than 128 bytes")),
            _ if !text.bytes().all(is_token) => Err(MalformedId("it holds a character that no id has")),
            _ => Ok(Self(Repr::Token(text.into()))),
        }
    }
}

impl SessionId {
    /// Gives the whole id to `reader`, as MediaTailor writes it.
    pub(crate) fn whole<T>(&self, reader: impl FnOnce(&str) -> T) -> T {
        match &self.0 {
            Repr::Uuid(uuid) => reader(uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer())),
            Repr::Token(id) => reader(id),
        }
    }

    /// Another's text as a log may have it: with this id as short as it is shown. A text that ends in `…` may have been
    /// cut within it.
    pub(crate) fn shortened_in<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.whole(|id| {
            let mut text = Cow::Borrowed(text);
            if id.len() > SHOWN && text.contains(id) {
                text = Cow::Owned(text.replace(id, &self.to_string()));
            }
            let rest = text.strip_suffix('…').unwrap_or_default();
            let cut = (SHOWN + 1..id.len()).rev().find(|&length| rest.ends_with(&id[..length]));
            match cut.map(|length| rest.len() - length + SHOWN) {
                Some(end) => Cow::Owned(format!("{}…", &rest[..end])),
                None => text,
            }
        })
    }

    /// Whether the id begins with this text; that of a UUID is the same in capitals.
    pub(crate) fn begins_with(&self, text: &str) -> bool {
        match &self.0 {
            Repr::Uuid(uuid) => {
                let mut buffer = Uuid::encode_buffer();
                let id = uuid.hyphenated().encode_lower(&mut buffer);
                id.get(..text.len()).is_some_and(|id| id.eq_ignore_ascii_case(text))
            }
            Repr::Token(id) => id.starts_with(text),
        }
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte)
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Uuid(uuid) => {
                f.write_str(
                    str::from_utf8(&hex::<4, SHOWN>(uuid.as_fields().0.to_be_bytes())).unwrap_or_default(),
                )?;
                f.write_str("…")
            }
            // Only ASCII gets in, so a byte is a character.
            Repr::Token(text) if text.len() > SHOWN => write!(f, "{}…", &text[..SHOWN]),
            Repr::Token(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// === impl MalformedId ===

impl MalformedId {
    pub(super) const NOT_TEXT: Self = Self("it is not UTF-8");
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher as _, RandomState};

    use super::*;

    const UUID: &str = "6f1b7c52-30aa-4c1e-9d0f-2a4d1f7be901";

    #[test]
    fn uuids_take_no_allocation_and_tokens_are_text() {
        assert!(matches!(SessionId::parse(UUID), Ok(SessionId(Repr::Uuid(_)))));
        // One example in AWS's documents is a character short.
        assert!(matches!(SessionId::parse(&UUID[1..]), Ok(SessionId(Repr::Token(_)))));
        assert_eq!(size_of::<SessionKey>(), 32);
    }

    #[test]
    fn other_spellings_of_a_uuid_are_other_ids() {
        let simple = UUID.replace('-', "");
        assert_ne!(SessionId::parse(UUID), SessionId::parse(&simple));
    }

    #[test]
    fn malformed_ids_say_why() {
        for (text, why) in [
            ("", "empty"),
            (".", "dot segment"),
            ("..", "dot segment"),
            ("a/b", "character"),
            ("a\nb", "character"),
            ("a b", "character"),
            ("é", "character"),
            (&"x".repeat(129), "longer"),
            (&"x".repeat(4096), "longer"),
        ] {
            let error = SessionId::parse(text).expect_err(text).to_string();
            assert!(error.contains(why), "{text:?}: {error}");
        }
        assert!(SessionId::parse(&"x".repeat(128)).is_ok());
    }

    #[test]
    fn ids_are_shown_short() {
        let long = SessionId::parse("0123456789-and-more").expect("a token");
        assert_eq!(format!("{long} {long:?}"), "01234567… 01234567…");
        let uuid = SessionId::parse(UUID).expect("a UUID");
        let key = SessionKey::new(Some("a.example"), Some("cfg"), uuid);
        assert_eq!(format!("{key} {key:?}"), "6f1b7c52… 6f1b7c52…");
    }

    #[test]
    fn ids_are_short_in_other_texts() {
        let token = SessionId::parse("0123456789-and-more").expect("a token");
        for (text, shown) in [
            ("sessionId:[0123456789-and-more] 0123456789", "sessionId:[01234567…] 0123456789"),
            ("cut within 0123456789-an…", "cut within 01234567…"),
            ("cut before 01234567…", "cut before 01234567…"),
            ("another …", "another …"),
        ] {
            assert_eq!(token.shortened_in(text), shown);
        }
        assert_eq!(SessionId::parse("short").expect("a token").shortened_in("a short…"), "a short…");
    }

    #[test]
    fn a_key_tells_upstreams_and_configurations_apart() {
        let id = || SessionId::parse(UUID).expect("a UUID");
        let key = SessionKey::new(Some("a.example"), Some("news"), id());
        assert_eq!(key, SessionKey::new(Some("A.EXAMPLE"), Some("news"), id()));
        assert_ne!(key, SessionKey::new(Some("b.example"), Some("news"), id()));
        assert_ne!(key, SessionKey::new(None, Some("news"), id()));
        let token = || SessionId::parse("6f1b7c52").expect("a token");
        let key = SessionKey::new(Some("a.example"), Some("news"), token());
        assert_eq!(key, SessionKey::new(Some("A.EXAMPLE"), Some("news"), token()));
        assert_ne!(key, SessionKey::new(Some("b.example"), Some("news"), token()));
        assert_ne!(key, SessionKey::new(Some("a.example"), Some("sport"), token()));
        assert_ne!(key, SessionKey::new(Some("a.example"), None, token()));
    }

    #[test]
    fn a_uuid_is_one_session_whether_or_not_a_url_tells_its_configuration() {
        let key = |configuration| {
            SessionKey::new(Some("a.example"), configuration, SessionId::parse(UUID).expect("a UUID"))
        };
        let hasher = RandomState::new();
        let hash = |key| hasher.hash_one(key);
        for other in [None, Some("sport")] {
            assert_eq!(key(Some("news")), key(other));
            assert_eq!(hash(key(Some("news"))), hash(key(other)));
            assert_ne!(key(Some("news")).scope_id(), key(other).scope_id(), "each configuration has a quota");
        }
    }

    #[test]
    fn sessions_of_a_configuration_share_its_scope() {
        let key = |configuration, id| {
            SessionKey::new(Some("a.example"), Some(configuration), SessionId::parse(id).expect("an id"))
        };
        assert_eq!(key("news", UUID).scope_id(), key("news", "another").scope_id());
        assert_ne!(key("news", UUID).scope_id(), key("sport", UUID).scope_id());
        assert_eq!((key("news", UUID).heap(), key("news", "another").heap()), (0, 7));
    }

    #[test]
    fn a_scope_is_the_same_in_every_release() {
        let scope = |authority, configuration| {
            let id = SessionId::parse(UUID).expect("a UUID");
            SessionKey::new(authority, configuration, id).scope_id()
        };
        // Instances of two may run side by side, and tell each other of scopes by these.
        assert_eq!(scope(Some("A.example"), Some("news")), 0xef96_6236_ad0d_1e9a);
        assert_eq!(scope(None, None), 0x6e34_0b9c_345e_431c);
        assert_ne!(scope(Some("a"), Some("bc")), scope(Some("ab"), Some("c")));
        assert_ne!(scope(Some(""), None), scope(None, Some("")));
    }
}
