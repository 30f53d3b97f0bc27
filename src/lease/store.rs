use std::{
    fmt::{self, Write as _},
    future::Future,
    pin::Pin,
    sync::Weak,
    time::Duration,
};

use sha2::{Digest as _, Sha256};

use super::leases::Inner;
use crate::session::SessionId;

/// The store of leases that all instances share.
///
/// Calls are bounded by [`BUDGET`](super::BUDGET) from outside; an implementation need not bound them itself,
/// and must bear being dropped half-way. One that panics has failed, as if it had returned an error.
pub trait LeaseStore: fmt::Debug + Send + Sync + 'static {
    /// Makes the engine usable, or finds that it is not: connects, and tries everything that is needed later.
    /// It is called at the start, and again after each failure. From then on the implementation tells `wakes`
    /// what it hears from the engine.
    fn revive(&self, wakes: Wakes) -> Answer<'_, ()>;

    /// Grants a lease if nobody has it, or if only an earlier turn of the same instance has it and nobody is
    /// next; otherwise the instance joins the line for it, once however often it asks.
    fn acquire(&self, lease: &LeaseId, token: &Token, ttl: Duration) -> Answer<'_, Grant>;

    /// Makes a lease valid for `ttl` from now; `false` if another has it by now.
    fn renew(&self, lease: &LeaseId, token: &Token, ttl: Duration) -> Answer<'_, bool>;

    /// Gives up a lease, or the claim to be next for it, if this token has it; the next instance may then have it.
    fn release(&self, lease: &LeaseId, token: &Token) -> Answer<'_, ()>;

    /// Adds to the 4xx that all instances have had of a playback configuration, by its
    /// [scope](crate::session::SessionKey::scope_id), and tells how many there were in the last minute, or in
    /// ten seconds more. What is in no engine is nobody else's: by default 0.
    fn spend(&self, scope: u64, more: u32) -> Answer<'_, u32> {
        let _alone = (scope, more);
        Box::pin(std::future::ready(Ok(0)))
    }
}

/// What an engine answers, in time.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Whether a lease was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// It was.
    Granted,
    /// Another instance has it, or is next. [`Wakes::next`] tells when it is worth asking again.
    Taken,
}

/// Why an engine is of no use: in one line, with the remedy if there is one, and without a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(String);

/// Names the lease of a session: a hash of the session's id, since a reader of the engine is not always
/// allowed to watch the stream. It is the same in every instance, whatever the instance calls the upstream.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseId([u8; 12]);

/// The holder of a lease: an instance, and one of its turns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    text: String,
    instance: usize,
}

/// Takes what an engine tells of its own accord.
#[derive(Debug, Clone)]
pub struct Wakes(pub(super) Weak<Inner>);

// === impl StoreError ===

impl StoreError {
    /// An error that says this.
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }

    pub(super) fn slow(budget: Duration) -> Self {
        Self::new(format!("no answer within {} ms", budget.as_millis()))
    }
}

// === impl LeaseId ===

impl LeaseId {
    /// The lease of the session with this id.
    pub fn of(id: &SessionId) -> Self {
        id.whole(Self::hash)
    }

    /// Of no session: what an instance tries the engine with. It has a space, as no session's id does.
    pub(super) fn of_nobody(instance: &str) -> Self {
        Self::hash(&format!("try {instance}"))
    }

    fn hash(text: &str) -> Self {
        let mut own = [0; 12];
        own.copy_from_slice(&Sha256::digest(text)[..12]);
        Self(own)
    }

    /// Reads what `Display` writes.
    pub fn parse(text: &str) -> Option<Self> {
        let mut id = [0; 12];
        if text.len() != 24 || !text.is_ascii() {
            return None;
        }
        for (byte, at) in id.iter_mut().zip((0..24).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
        }
        Some(Self(id))
    }
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// === impl Token ===

impl Token {
    pub(super) fn new(instance: &str, turn: u64) -> Self {
        let mut text = String::with_capacity(instance.len() + 12);
        text.push_str(instance);
        let _infallible = write!(text, ":{turn:x}");
        Self { text, instance: instance.len() }
    }

    /// The instance and the turn, without a space in it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The instance: the beginning of [`as_str`](Self::as_str), up to a colon.
    pub fn instance(&self) -> &str {
        &self.text[..self.instance]
    }
}

// === impl Wakes ===

impl Wakes {
    /// Says that this instance is next for a lease: it then asks for it.
    pub fn next(&self, lease: &LeaseId) {
        if let Some(leases) = self.0.upgrade() {
            leases.next(lease);
        }
    }

    /// Says that the engine went away, and why.
    pub fn lost(&self, why: &StoreError) {
        if let Some(leases) = self.0.upgrade() {
            leases.down(why);
        }
    }

    /// The name of this instance, by which the engine tells it what it is next for.
    pub fn instance(&self) -> String {
        self.0.upgrade().map(|leases| leases.instance().to_owned()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_named_by_the_session_alone_and_does_not_tell_it() {
        let id = |text| SessionId::parse(text).expect("an id");
        let one = LeaseId::of(&id("6f1b7c52-30aa-4c1e-9d0f-2a4d1f7be901"));
        // The same in every release: instances of two may run side by side.
        assert_eq!(one.to_string(), "0914bc2acc950cf8906db125");
        assert_eq!(one, LeaseId::of(&id("6F1B7C52-30AA-4C1E-9D0F-2A4D1F7BE901")));
        assert_ne!(one, LeaseId::of(&id("another")));
        assert_eq!(LeaseId::parse(&one.to_string()), Some(one));
        for bad in ["", "6f1b", "zzzzzzzzzzzzzzzzzzzzzzzz", "ééééééééééééé"] {
            assert_eq!(LeaseId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_token_names_its_instance() {
        let token = Token::new("abc", 255);
        assert_eq!((token.as_str(), token.instance()), ("abc:ff", "abc"));
    }
}
