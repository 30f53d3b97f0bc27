use tokio::time::Instant;

use crate::{rescue::Variants, session::SessionKey, shield::Lately};

/// The sessions of the last minute, by what was seen of each. It is how a session is known of which no playlist is kept.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Those that were made through here: until its first playlist, nothing else is known of one.
    made: Lately,
    /// Those that had a good answer although nothing is kept of them.
    served: Lately,
    /// Those whose tracking had a good answer.
    tracked: Lately,
    /// Those that had a media playlist of which nothing is kept.
    given: Lately,
    /// What variants there are to sessions of which no media playlist is kept yet.
    offered: Lately<Variants>,
}

// === impl Seen ===

impl Seen {
    /// None yet, and this many of each at the most.
    pub(super) fn new(capacity: usize) -> Self {
        let lately = || Lately::new(capacity);
        Self {
            made: lately(),
            served: lately(),
            tracked: lately(),
            given: lately(),
            offered: Lately::new(capacity),
        }
    }

    /// The upstream has made a session for a player.
    pub(super) fn made(&self, key: &SessionKey, now: Instant) {
        self.made.remember(key, now);
    }

    /// Whether the upstream has made a session less than a minute ago: it is there, whatever one of its playlists says.
    pub(crate) fn is_new(&self, key: &SessionKey, now: Instant) -> bool {
        self.made.has(key, now)
    }

    /// The upstream has answered a request of a session, and not with a 4xx.
    pub(crate) fn served(&self, key: &SessionKey, now: Instant) {
        self.served.remember(key, now);
    }

    /// Whether that was less than a minute ago.
    pub(crate) fn was_served(&self, key: &SessionKey, now: Instant) -> bool {
        self.served.has(key, now)
    }

    /// Its tracking was answered, and not with a 4xx.
    pub(crate) fn tracked(&self, key: &SessionKey, now: Instant) {
        self.tracked.remember(key, now);
    }

    /// Whether that was less than a minute ago.
    pub(crate) fn was_tracked(&self, key: &SessionKey, now: Instant) -> bool {
        self.tracked.has(key, now)
    }

    /// It had a media playlist that is not kept.
    pub(super) fn given(&self, key: &SessionKey, now: Instant) {
        self.given.remember(key, now);
    }

    /// Whether that was less than a minute ago.
    pub(super) fn was_given(&self, key: &SessionKey, now: Instant) -> bool {
        self.given.has(key, now)
    }

    /// Its player has these variants to choose among.
    pub(super) fn offered(&self, key: &SessionKey, variants: Variants, now: Instant) {
        self.offered.keep(key, variants, now);
    }

    /// Those variants, which are not kept here any longer.
    pub(super) fn take_offered(&self, key: &SessionKey) -> Option<Variants> {
        self.offered.take(key)
    }

    /// Whether anything says that it is there.
    pub(super) fn has_played(&self, key: &SessionKey, now: Instant) -> bool {
        self.is_new(key, now) || self.was_served(key, now) || self.was_given(key, now)
    }

    /// It has ended.
    pub(super) fn forget(&self, key: &SessionKey) {
        [&self.made, &self.served, &self.given].into_iter().for_each(|lately| lately.forget(key));
    }
}
