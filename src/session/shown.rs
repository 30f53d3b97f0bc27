use std::fmt;

use http::Uri;

use super::{Route, SessionId};

/// The path of a URL as others may see it: with session ids as short as in logs, since whoever knows a whole id can watch the
/// session's stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ShownPath<'a>(pub(crate) &'a Uri);

/// How much is shown of what stands where a session id belongs and is none, in characters.
const SHOWN: usize = 8;

// === impl ShownPath ===

impl fmt::Display for ShownPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let session = Route::of(self.0.path(), self.0.query()).session;
        for (nth, segment) in self.0.path().split('/').enumerate() {
            if nth > 0 {
                f.write_str("/")?;
            }
            // Where MediaTailor has none, a CDN's own path may.
            let uuid = segment.len() == 36 && uuid::Uuid::try_parse(segment).is_ok();
            match SessionId::parse(segment) {
                _ if !uuid && session != Some(segment) => f.write_str(segment)?,
                Ok(id) => write!(f, "{id}")?,
                Err(_) => {
                    f.write_str(&segment.chars().take(SHOWN).collect::<String>())?;
                    f.write_str("…")?;
                }
            }
        }
        Ok(())
    }
}
