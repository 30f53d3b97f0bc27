//! WHAT does the player get? Whatever comes back becomes an answer that it survives.
//!
//! A playlist goes on as it came. Everything else has a [verdict](crate::upstream::Verdict), and each verdict its
//! [`Rule`]: the status that players make the best of. The answer is made here. It can be read across origins, is
//! never cached, says what has happened and what to do about it (RFC 9457), and has nothing of what the upstream said
//! in it, which names the origin and the account. A page's CORS preflight that fails for what may pass is granted here, as the
//! request that follows can be bridged.
//!
//! ```
//! use http::StatusCode;
//! use onelane::{remap::{Config, Rule}, upstream::Verdict};
//!
//! let config = Config::default().rule(Verdict::Conflict, Rule::status(StatusCode::SERVICE_UNAVAILABLE)?.retry_after(1))?;
//! assert_eq!(config.of(Verdict::Conflict).map(|rule| rule.to_status()), Some(StatusCode::SERVICE_UNAVAILABLE));
//! # Ok::<(), onelane::remap::BadRule>(())
//! ```

mod config;
mod layer;
mod preflight;
mod problem;
mod rule;

pub(crate) use self::problem::{Asker, Problem, made_here};
pub use self::{
    config::{Config, Profile},
    layer::{Remap, RemapFuture, RemapLayer},
    problem::REASON,
    rule::{BadRule, Rule},
};
