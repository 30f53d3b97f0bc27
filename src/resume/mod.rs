//! WHAT becomes of a session that is lost in the middle of play? Opt-in: a new session behind the same URLs,
//! where it proves to go on where the old one was.
//!
//! A new session under an old one's URLs kills most players unless its numbers go on, so nothing here is ever
//! spliced on a guess. `docs/resume.md` tells operators what it does and what AWS sees of it.
//!
//! ```
//! use onelane::{resume, stack::{Config, Stack}};
//! use tower::ServiceBuilder;
//! # use http::{Request, Response};
//! # use http_body_util::Full;
//! # use bytes::Bytes;
//! # async fn client(_: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
//! #     Ok(Response::new(Full::default()))
//! # }
//!
//! let stack = Stack::new(Config::default()).resume(Some(resume::Config::default()));
//! let service = ServiceBuilder::new().layer(&stack).service_fn(client);
//! # let _ = service;
//! ```
//!
//! # The rules
//!
//! - The request that made a session is kept if it passed through here: the method, URL and body, and the
//!   headers that MediaTailor looks at. Of every media playlist the last numbers are kept. Nothing is sent
//!   for any other session.
//! - When a media playlist's request meets [`SessionLost`](crate::upstream::Verdict::SessionLost), a new
//!   session is made in the same turn, at most once in [`Config::every`].
//! - The new session's answer is given if that session offers as many variants and renditions, and if the
//!   same playlist has the same target duration, begins within the old one's window, and falls back in none
//!   of its numbers. Otherwise the session stays lost.
//! - From then on the old session's media playlists and tracking are asked of the new one. Every playlist
//!   that was given before has to go on as well: the first that does not ends the session for good.
//! - The new session is asked through the old one's lane alone, so that it too has one request in flight at a
//!   time: players never learn an address of it. A multivariant playlist is therefore never that of a
//!   stand-in: it is as it was before the loss, byte for byte, or [not
//!   there](crate::upstream::Verdict::NotFound), and the session goes on in either case. A player that loads
//!   it without a session gets a session of its own.
//! - VOD is not resumed: the same numbers there stand for another session's ads.

mod config;
mod create;
mod creation;
mod fresh;
mod layer;
mod multivariant;
mod numbers;
mod playlist;
mod reason;
mod record;
mod store;
mod url;

pub(crate) use self::create::hear;
pub use self::{
    config::Config,
    layer::{RESUME, Resume, ResumeLayer},
    store::Store,
};
