//! WHAT does the player get from a session that has no good answer to give? What is known of it, at once.
//!
//! Players ask again and again for a session that is lost, most of them several times a second. Each of these
//! requests would be a 4xx at the account, and AWS blocks sessions and whole playback configurations over a storm of
//! them. What exchanges teach is kept in [`Lessons`](crate::upstream::Lessons): which sessions are lost, blocked or just failed, of which
//! [`ShieldLayer`] lets one probe out now and then, and in a [`Quota`] the 4xx that came nevertheless.

mod admit;
mod alone;
mod answer;
mod ask;
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
    answer::{Answer, AskAgainIn, InDoubt},
    ask::Ask,
    cause::{Cause, Check, Known},
    lately::Lately,
    mark::Playlist,
    marks::Marks,
    probe::{Behind, Probe, Waited},
};
pub use self::{
    config::Config,
    layer::{Shield, ShieldFuture, ShieldLayer},
    quota::{Allowance, Quota, Scope},
};
