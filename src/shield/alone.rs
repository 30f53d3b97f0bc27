use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;

use super::{
    Cause, Check, Known, Marks,
    mark::{Mark, Playlist},
};
use crate::session::SessionKey;

/// The playlists that fail, or are missing, while others of their session do not.
impl Marks {
    /// What to do with a request of a playlist, whatever its session's mark says.
    pub(crate) fn check_alone(&self, session: &SessionKey, playlist: Playlist, now: Instant) -> Check {
        if self.playlists.is_empty() {
            return Check::Pass;
        }
        let alone = (session.clone(), playlist);
        self.check_by((&self.playlists, &alone), Some(playlist), |mark| mark.look(now), now)
    }

    /// What is known of a playlist that fails by itself, unless it is time for its probe; and whether its
    /// siblings wait for long each time that it is tried.
    pub(crate) fn waits_alone(
        &self,
        session: &SessionKey,
        playlist: Playlist,
        now: Instant,
    ) -> Option<(Known, bool)> {
        let look =
            |mark: &Mark| mark.look_in_lane(playlist, now).map(|known| (known, mark.is_slow(&self.config)));
        self.look_alone(session, playlist, now, look).flatten()
    }

    /// What is known of such a playlist, be it time for its probe or not.
    pub(crate) fn known_alone(
        &self,
        session: &SessionKey,
        playlist: Playlist,
        now: Instant,
    ) -> Option<Known> {
        self.look_alone(session, playlist, now, |mark| mark.known(now))
    }

    /// A [probe](Check::Probe) of one of them is over, or was not sent after all.
    pub(crate) fn over_alone(&self, session: &SessionKey, playlist: Playlist) {
        self.playlists.change(&(session.clone(), playlist), Mark::over);
    }

    /// Marks a playlist by itself whose session has had too many conflicts: it is asked for once in a gap. `false` if there
    /// are as many marks as there may be.
    pub(crate) fn doubt(
        &self,
        session: &SessionKey,
        playlist: Playlist,
        target_duration: Option<Duration>,
        now: Instant,
    ) -> bool {
        let conflict = Some(StatusCode::CONFLICT);
        let mark = Mark::new(Cause::Failing, conflict, target_duration, now, &self.config);
        let mark = mark.of(playlist, Duration::ZERO);
        self.playlists.put(&(session.clone(), playlist), now, mark, |_, _| {})
    }

    /// Whether a playlist is known to fail, or to be missing, by itself.
    pub(crate) fn is_alone(&self, session: &SessionKey, playlist: Playlist, now: Instant) -> bool {
        self.look_alone(session, playlist, now, |_| ()).is_some()
    }

    /// Whether a playlist is known to be missing by itself.
    pub(crate) fn is_missing(&self, session: &SessionKey, playlist: Playlist, now: Instant) -> bool {
        self.look_alone(session, playlist, now, Mark::is_missing).unwrap_or_default()
    }

    /// What `look` makes of a playlist's own mark. Where there are none, not even the key is made.
    fn look_alone<T>(
        &self,
        session: &SessionKey,
        playlist: Playlist,
        now: Instant,
        look: impl FnOnce(&Mark) -> T,
    ) -> Option<T> {
        if self.playlists.is_empty() {
            return None;
        }
        self.playlists.look(&(session.clone(), playlist), now, look)
    }
}
