use std::sync::Arc;

use super::mark::Playlist;
use crate::{session::SessionKey, upstream::Lessons};

/// In the extensions of the one request that finds out whether its session, or its playlist, still is what
/// it was marked for.
///
/// The last clone to go ends the wait for word of it: whether its answer said nothing of the session, or its
/// player went before it was sent, the next probe is a gap after this one and no later.
#[derive(Debug, Clone)]
pub(crate) struct Probe(#[expect(dead_code, reason = "held for its drop")] Arc<Out>);

/// In the extensions of a request that goes behind a probe: it is sent only if that finds its session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Behind;

/// In the extensions of a request that has waited until somebody could find out more of its session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waited;

/// A probe is out.
#[derive(Debug)]
struct Out {
    lessons: Arc<Lessons>,
    key: SessionKey,
    /// The playlist, where the probe is of that by itself.
    alone: Option<Playlist>,
}

// === impl Probe ===

impl Probe {
    /// For a session whose mark has just let one out.
    pub(crate) fn of_session(lessons: &Arc<Lessons>, key: &SessionKey) -> Self {
        Self::out(lessons, key, None)
    }

    /// For a playlist of a session whose own mark did.
    pub(crate) fn of_playlist(lessons: &Arc<Lessons>, key: &SessionKey, playlist: Playlist) -> Self {
        Self::out(lessons, key, Some(playlist))
    }

    fn out(lessons: &Arc<Lessons>, key: &SessionKey, alone: Option<Playlist>) -> Self {
        Self(Arc::new(Out { lessons: Arc::clone(lessons), key: key.clone(), alone }))
    }
}

// === impl Out ===

impl Drop for Out {
    fn drop(&mut self) {
        match self.alone {
            None => self.lessons.marks.over(&self.key),
            Some(playlist) => self.lessons.marks.over_alone(&self.key, playlist),
        }
    }
}
