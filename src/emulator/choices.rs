use clap::ValueEnum;
use http::StatusCode;
use serde::Deserialize;

/// How two playlist requests of one session conflict. Both models are inferred.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Conflict {
    /// A second request gets 409 at once while another of the session is in flight, as with a lock.
    #[default]
    Reject,
    /// Both run; one of them gets 409 at its end, as with a record that is checked when it is written.
    Optimistic,
    /// Never.
    None,
}

/// Which request gets the 409 of [`Conflict::Optimistic`].
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Loser {
    /// The one that ends last.
    #[default]
    Last,
    /// Any of them.
    Random,
}

/// What kind of stream is played.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// A window that slides with the clock; ads replace content.
    #[default]
    Live,
    /// All of it, and an end; ads are inserted.
    Vod,
}

/// The answer to a session id that the emulator did not make.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unknown {
    /// 400 BadRequestException.
    #[value(name = "400")]
    BadRequest,
    /// 404 NotFoundException.
    #[default]
    #[value(name = "404")]
    NotFound,
    /// A session, from its first request on.
    Adopt,
}

/// What the numbers of a session's live playlists begin with.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Numbering {
    /// They are the stream's: a session that is made later goes on where an older one is.
    #[default]
    Continuous,
    /// Each session's own, from 0 at the time at which it is made.
    Reset,
}

/// The status of a lost session.
pub(super) fn lost(text: &str) -> Result<StatusCode, &'static str> {
    match text {
        "400" => Ok(StatusCode::BAD_REQUEST),
        "404" => Ok(StatusCode::NOT_FOUND),
        _ => Err("write 400 or 404"),
    }
}

/// The status of an ad segment's redirect.
pub(super) fn redirect(text: &str) -> Result<StatusCode, &'static str> {
    match text {
        "301" => Ok(StatusCode::MOVED_PERMANENTLY),
        "302" => Ok(StatusCode::FOUND),
        _ => Err("write 301 or 302"),
    }
}
