//! WHEN: whose turn is it? Keyed, first come first served, one at a time. No HTTP in here.
//!
//! [`Lanes::join`] puts a caller in the line of one key and gives it a [`Ticket`], [`Ticket::turn`] waits for
//! the [`Turn`], and dropping either gives the place up. A lane exists only while somebody waits in it or
//! holds its turn: an idle session costs nothing.
//!
//! This module serves proxies that have no tower as well: keep the [`Turn`] in the request's context, and drop
//! it when the upstream has answered to the last byte.
//!
//! ```
//! use onelane::lane::{Lanes, Limits};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), onelane::lane::Error> {
//! let lanes = Lanes::new(Limits::default());
//! let turn = lanes.join("session-1")?.turn().await?;
//! // … one exchange with the upstream …
//! drop(turn);
//! assert!(lanes.is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! It differs from
//! [`tower::limit::ConcurrencyLimit`](https://docs.rs/tower/latest/tower/limit/struct.ConcurrencyLimit.html)
//! in that the key is known only once the request is there, so nothing can be reserved before.

mod error;
mod headcount;
mod lanes;
mod limits;
mod sync;
mod ticket;

pub(crate) use self::headcount::Headcount;
pub use self::{
    error::{Error, ErrorKind},
    lanes::Lanes,
    limits::Limits,
    ticket::{Ticket, Turn},
};
