use std::time::Duration;

use http::Uri;
use tokio::time::Instant;

use super::{Standing, Store};
use crate::session::SessionKey;

/// What the store knows of a session besides its playlists.
impl Store {
    /// When the upstream last gave something good of a session.
    pub(crate) fn confirmed(&self, session: &SessionKey) -> Option<Instant> {
        self.look(session)?.state().shelf.confirmed()
    }

    /// How a playlist stands with its session; `None` if nothing is kept of that.
    pub(crate) fn standing(&self, session: &SessionKey, uri: &Uri) -> Option<Standing> {
        self.look(session).map(|session| session.state().shelf.standing(uri.path()))
    }

    /// Whether the upstream gave one of a session's media playlists.
    pub(crate) fn gives_media(&self, session: &SessionKey) -> bool {
        self.look(session).is_some_and(|session| session.state().shelf.has_media())
    }

    /// Whether others of a session's media playlists than this came within the last two target durations.
    pub(crate) fn came_without(&self, session: &SessionKey, uri: &Uri, now: Instant) -> bool {
        self.look(session).is_some_and(|session| session.state().shelf.came_without(uri.path(), now))
    }

    /// The target duration of what is kept of a session, if it is a media playlist's.
    pub(crate) fn target_duration(&self, session: &SessionKey) -> Option<Duration> {
        self.look(session)?.state().shelf.target_duration()
    }
}
