//! WHAT does the player get from a session that has no good answer to give? What is known of it, at once.
//!
//! Players ask again and again for a session that is lost, most of them several times a second. Each of these
//! requests would be a 4xx at the account, and AWS blocks sessions and whole playback configurations over a storm of
//! them. [`Marks`] remembers which sessions are lost, blocked or just failed, and lets one probe out now and
//! then; [`Quota`] counts the 4xx that came nevertheless.
//!
//! ```
//! use onelane::{
//!     session::{SessionId, SessionKey},
//!     shield::{Cause, Check, Marks},
//! };
//! use tokio::time::Instant;
//!
//! let marks = Marks::default();
//! let session = SessionKey::new(None, None, SessionId::parse("6f1b7c52")?);
//! assert_eq!(marks.check(&session, Instant::now()), Check::Pass);
//!
//! // … the upstream says 404 …
//! marks.mark(&session, Cause::Lost, Some(http::StatusCode::NOT_FOUND), None, Instant::now());
//! let Check::Answer(known) = marks.check(&session, Instant::now()) else { panic!("it is marked") };
//! assert_eq!(known.cause, Cause::Lost);
//!
//! // … and after a while a probe finds it well.
//! marks.clear(&session);
//! assert_eq!(marks.check(&session, Instant::now()), Check::Pass);
//! # Ok::<(), onelane::session::MalformedId>(())
//! ```

mod admit;
mod alone;
mod answer;
mod cause;
mod config;
mod counts;
mod doubt;
mod hearing;
mod lately;
mod layer;
mod ledger;
mod mark;
mod marks;
mod probe;
mod quota;
mod shared;
mod way;
mod window;

pub(crate) use self::{
    answer::{Answer, AskAgainIn},
    lately::Lately,
    mark::Playlist,
    probe::Probe,
};
pub use self::{
    cause::{Cause, Check, Known},
    config::Config,
    layer::{Shield, ShieldFuture, ShieldLayer},
    marks::Marks,
    quota::{Allowance, Quota, Scope},
};
