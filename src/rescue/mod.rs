//! WHAT does the player get when the upstream fails? The last good playlist of its session, within limits.
//!
//! Every player that was tried survived a repeated playlist; few survived an error. The [`Store`] keeps the
//! last good playlist of every session and URL, byte for byte. [`LearnLayer`](crate::upstream::LearnLayer), on the side
//! of the upstream, puts in what comes; [`RescueLayer`], on the side of the player, gives it:
//!
//! ```
//! use std::sync::Arc;
//!
//! use onelane::{
//!     rescue::{self, RescueLayer},
//!     shield,
//!     upstream::{JudgeLayer, LearnLayer, Lessons, Settle},
//! };
//! use tower::ServiceBuilder;
//! # use bytes::Bytes;
//! # use http::{Request, Response};
//! # use http_body_util::{Empty, Full};
//! # async fn client(_: Request<Empty<Bytes>>) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
//! #     Ok(Response::new(Full::default()))
//! # }
//!
//! let lessons = Lessons::new(rescue::Config::default(), shield::Config::default(), Settle::default());
//! let lessons = Arc::new(lessons);
//! let service = ServiceBuilder::new()
//!     .layer(RescueLayer::new(Arc::clone(&lessons)))
//!     .layer(LearnLayer::new(lessons))
//!     .layer(JudgeLayer::default())
//!     .service_fn(client);
//! # let _ = service;
//! ```
//!
//! # The rules
//!
//! A playlist is given
//! - if the upstream confirmed it within [`Config::max_age`], by sending the same again or by a 304 that
//!   names it, or if it has ended;
//! - never with a lower media sequence, nor with an earlier end, than the session was already given of that
//!   playlist, over all content codings and blocking reloads;
//! - to a blocking reload only if it satisfies that reload; to a plain request it may be what a reload got
//!   last, if that asked for the whole playlist;
//! - only in a content coding that the player takes, or was given before without a word of its own;
//! - not while the upstream denies it;
//! - not for longer than 4 s, or two target durations, where it is a variant that fails by itself and there are others:
//!   players choose another after an error, and stay with what is repeated;
//! - never once the session was lost.
//!
//! A lower media sequence than before, or one that ends before what can be given in its place, is [not
//! taken](Learned::Older) from the upstream either. But where only such answers come of a playlist, none of
//! them lower than the one before and at least one higher, its encoder has begun the numbering anew. This has
//! to last for one target duration if the answers end before what was given begins, and for three if they do
//! not. What is kept of the session and was not confirmed meanwhile then belongs to the earlier numbering: it
//! is dropped, and [what comes is taken](Learned::Renumbered).

mod accept;
mod answer;
mod behind;
mod bounds;
mod config;
mod ending;
mod give;
mod good;
mod head;
mod kept;
mod layer;
mod learned;
mod look;
mod place;
mod pool;
mod session;
mod shelf;
mod standing;
mod step;
mod store;
mod url;
mod validator;
mod variants;

pub use self::{
    config::Config,
    good::Good,
    layer::{RESCUE, RescueLayer, RescueService},
    learned::Learned,
    store::Store,
};

#[cfg(feature = "otlp")]
pub(crate) use self::layer::SLOW;
pub(crate) use self::{
    accept::Accept,
    answer::{NoRescue, Rescue},
    ending::Ending,
    head::Head,
    layer::{LeftAlone, Rescued},
    standing::Standing,
    variants::Variants,
};

/// What an allocation takes besides its bytes, at most: counts of references, and what the allocator rounds up.
pub(crate) const ALLOCATION: usize = 32;
