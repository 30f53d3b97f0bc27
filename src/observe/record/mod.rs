//! What became of the last requests of each session, to look at one by one.
//!
//! [`Observe`](super::Observe) begins a [`Note`] for each request that names a session and puts it into the request's extensions.
//! The stages behind it write down what they do where they find one; without a [`Recorder`] there is none, and nothing is written.
//! A note stands in the recorder from its beginning, so that a request which still waits can be looked at as well.

mod attempt;
mod jots;
mod note;
mod noted;
mod recorder;
mod text;
mod tried;

pub(crate) use self::noted::Noted;
pub use self::{
    attempt::Attempt,
    note::{Answer, Ending, Note, Record},
    recorder::{Found, Recorder},
};
