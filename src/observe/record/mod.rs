//! What became of the last requests of each session, to be inspected one by one.
//!
//! [`Observe`](super::Observe) begins a [`Note`] for each request that names a session and puts it into the
//! request's extensions. The stages behind it write down in that note what they do; without a [`Recorder`]
//! there is no note, and nothing is written. A note is in the recorder from its beginning, so that a request
//! that still waits can be inspected as well.

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
