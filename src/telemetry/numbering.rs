use http::Uri;
use tracing::info;

use super::VERDICT;
use crate::session::SessionKey;

/// The numbering of a session's playlist has begun anew, and its players get what comes.
pub(crate) fn renumbered(key: &SessionKey, uri: &Uri) {
    let playlist = uri.path().rsplit('/').next();
    info!(target: VERDICT, session = %key, playlist, "the media sequence has begun anew");
}
