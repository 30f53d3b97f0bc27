//! What follows for onelane.

use http::Uri;
use serde::Serialize;

use super::{Answers, Busy};
use crate::stack;

/// A line of onelane's file of settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Setting {
    /// The key, such as `settle.most`.
    pub key: &'static str,
    /// Its value, as TOML.
    pub value: String,
    /// Why it should be so.
    pub why: String,
}

/// Those that follow from the answers.
pub(super) fn of(answers: &Answers, playlist: &Uri) -> Vec<Setting> {
    let mut settings = Vec::new();
    let mut set = |key, value: String, why: &str| settings.push(Setting { key, value, why: why.to_owned() });
    if let (Some(scheme), Some(authority)) = (playlist.scheme_str(), playlist.authority()) {
        let host = authority.as_str().rsplit('@').next().unwrap_or_default();
        let why = "what answered; where that is a CDN, its ManifestEndpointPrefix";
        set("upstream", format!("\"{scheme}://{host}\""), why);
    }
    match answers.tracking {
        Some(true) => {
            set("serialize_tracking", "true".to_owned(), "tracking requests conflict with playlists")
        }
        Some(false) => set("serialize_tracking", "false".to_owned(), "tracking requests do not conflict"),
        None => {}
    }
    let usual = u64::try_from(stack::Config::default().settle.as_millis()).unwrap_or(u64::MAX);
    match answers.busy_after {
        Some(Busy { more_than_ms: None, .. }) => {
            set("settle.most", format!("\"{usual}ms\""), "a session is free at once: no gap will be learned");
        }
        Some(Busy { at_most_ms: Some(high), .. }) => {
            // Half as much again, for days on which it takes longer.
            let most = (high * 3 / 2).max(usual);
            let why = format!("a session stays busy for up to {high} ms after its answer");
            set("settle.most", format!("\"{most}ms\""), &why);
            if most > usual {
                let why = "what conflicts all the same is not sent again before the session is free";
                set("retry.longest_pause", format!("\"{most}ms\""), why);
            }
        }
        Some(Busy { more_than_ms: Some(low), .. }) => {
            let why = format!("a session stays busy for more than {low} ms after its answer");
            set("settle.most", format!("\"{}ms\"", low * 2), &why);
            set("retry.longest_pause", format!("\"{}ms\"", low * 2), &why);
        }
        None => {}
    }
    settings
}
