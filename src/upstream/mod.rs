//! HOW an answer of the upstream is understood: which [`Exception`] it names, what is wrong with a playlist
//! ([`Flaw`]), and the one [`Verdict`] that all of it comes to.
//!
//! Everything here reads a copy. What the player gets is made of the bytes that came, never of these.
//!
//! ```
//! use http::{HeaderMap, StatusCode};
//! use onelane::{
//!     session::Kind,
//!     upstream::{Exception, Judgement, Verdict, playlist::Limits},
//! };
//!
//! let mut headers = HeaderMap::new();
//! headers.insert("x-amzn-errortype", "ConflictException:http://internal.amazon.com/coral/".parse()?);
//! let body: &[u8] = br#"{"message":"the origin's address stands here"}"#;
//!
//! let limits = Limits::default();
//! let judgement = Judgement::of(Kind::Media, true, StatusCode::CONFLICT, &headers, [body], &limits);
//! assert_eq!(judgement.verdict, Verdict::Conflict);
//! assert_eq!(judgement.exception, Some(Exception::Conflict));
//! assert!(judgement.verdict.survivable());
//! # Ok::<(), http::header::InvalidHeaderValue>(())
//! ```

mod advice;
mod case;
pub(crate) mod coding;
pub(crate) mod decode;
pub(crate) mod directives;
mod exception;
mod flaw;
mod glance;
mod judge;
mod judgement;
mod known;
mod learn;
mod lessons;
mod marking;
mod message;
mod moved;
pub mod playlist;
mod retry;
mod seen;
mod settle;
mod spend;
mod strip;
mod verdict;

pub(crate) use self::judge::InPlaceOf;
pub use self::{
    exception::Exception,
    flaw::Flaw,
    judge::{Judge, JudgeLayer},
    judgement::Judgement,
    learn::{Learn, LearnLayer},
    lessons::Lessons,
    message::message,
    retry::{Afresh, Again, NotSent, RetryConfig},
    settle::Settle,
    strip::{StripDirectives, StripDirectivesLayer},
    verdict::{BrokenRequest, UnknownVerdict, Verdict},
};
