use http::{StatusCode, Uri};
use tokio::time::Instant;

use super::Lessons;
use crate::{rescue::Standing, session::SessionKey, shield::Playlist};

/// What an exchange says of its session.
impl Lessons {
    /// An exchange failed in a way that says more of the session, or of all, than of one playlist.
    pub(super) fn fail(&self, key: &SessionKey, uri: &Uri, sent: Instant, status: Option<StatusCode>) {
        // Unless it is of a rendition that was never there: those that play are asked for as before.
        if !matches!(self.store.standing(key, uri), Some(Standing::Denied | Standing::NeverHad)) {
            let now = Instant::now();
            let failed = (self.marks.playlist(uri), now.saturating_duration_since(sent));
            self.marks.fail(key, failed, status, self.store.target_duration(key), now);
        }
    }

    /// An exchange had no answer for as long as it might hold its turn: whatever it was of, its siblings waited for that.
    pub(super) fn hang(&self, key: &SessionKey, uri: &Uri, sent: Instant) {
        let now = Instant::now();
        let hung = (self.marks.playlist(uri), now.saturating_duration_since(sent));
        let is_new = matches!(self.store.standing(key, uri), Some(Standing::Denied | Standing::NeverHad));
        self.marks.hang(key, hung, is_new, self.store.target_duration(key), now);
    }

    /// A playlist that was never given is missing.
    pub(super) fn miss(&self, key: &SessionKey, uri: &Uri, status: StatusCode, now: Instant) {
        let (playlist, target_duration) = (self.marks.playlist(uri), self.store.target_duration(key));
        let is_alone = self.is_alone(key, playlist, now);
        self.marks.miss(key, (playlist, is_alone), Some(status), target_duration, now);
    }

    /// Whether that one of its playlists is missing says nothing of a session: it had a media playlist, or that is known.
    pub(super) fn is_alone(&self, key: &SessionKey, playlist: Playlist, now: Instant) -> bool {
        self.store.gives_media(key)
            || self.seen.was_given(key, now)
            || self.marks.is_alone(key, playlist, now)
    }

    pub(super) fn good(&self, key: &SessionKey, uri: &Uri, now: Instant) {
        if !self.marks.has_none() {
            self.marks.good(key, self.marks.playlist(uri), now);
        }
    }

    /// A playlist says that its session is lost. With 404, which it may as well say of itself, it is not taken at its word where others
    /// came just before: those are kept until another of them says the same. 400 is what MediaTailor says of a session that has expired.
    pub(super) fn lose(&self, key: &SessionKey, uri: &Uri, status: StatusCode, now: Instant) {
        let others_came = status == StatusCode::NOT_FOUND && self.store.came_without(key, uri, now);
        let said_by = (self.marks.playlist(uri), others_came);
        match self.marks.lose(key, said_by, Some(status), self.store.target_duration(key), now) {
            true => self.store.deny(key, uri),
            false => self.forget(key),
        }
    }

    /// The session has ended.
    pub(super) fn forget(&self, key: &SessionKey) {
        self.store.forget(key);
        self.seen.forget(key);
    }
}
