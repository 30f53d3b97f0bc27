//! The tower layer around [lanes](crate::lane): one playlist request of a session is in flight, the rest
//! follow in the order in which they came.
//!
//! ```
//! use onelane::serialize::SerializeLayer;
//! use tower::ServiceBuilder;
//! # use http::{Request, Response};
//! # use http_body_util::Full;
//! # use bytes::Bytes;
//! # async fn client(_: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
//! #     Ok(Response::new(Full::default()))
//! # }
//!
//! let one_lane = SerializeLayer::new();
//! let service = ServiceBuilder::new().layer(&one_lane).service_fn(client);
//! # let _ = service;
//! ```
//!
//! # What it promises
//!
//! - The inner service never has two requests of one session at once, not even when players give up. **An
//!   exchange outlives its player**: once sent, it runs to the end of the response body in a task of its own,
//!   since the upstream works on as well. A request whose player left while it waited is never sent.
//! - A repeat **attaches**: a request of the same session, method, URL and content negotiation as one that
//!   waits, is in flight or drains gets that one's answer. What is negotiated by: `Accept`, `Accept-Encoding`, `Accept-Language`,
//!   `Authorization`, `Cookie`, `Host`, `Origin`, `Range`, and conditions. Where an upstream answers by another header, put
//!   its value into the session's key.
//! - Responses are collected (2 MiB at most by default) and the turn is handed on before a byte goes to the
//!   player, so that a slow reader holds nobody up. A larger one is streamed and keeps the turn to its end.
//! - Whatever needs no lane (segments, session creation, CORS preflights, …) goes straight through.
//!
//! # Readiness
//!
//! `poll_ready` is always ready: the session is unknown before the request is there, and an inner service
//! whose readiness was reserved by those who wait would never be ready for the one whose turn it is. The inner
//! service is driven to readiness once the turn has come; [`Limits`](crate::lane::Limits) are the
//! back-pressure. hyper-util's `client::pool::map` is no `Service` for the same reason.

mod body;
pub(crate) mod collect;
mod config;
mod error;
mod exchange;
mod future;
mod layer;
mod players;
mod repeats;
mod service;
mod story;
mod stream;
mod turn;

pub use self::{
    body::Body,
    config::Config,
    error::{Error, ErrorKind},
    future::ResponseFuture,
    layer::SerializeLayer,
    service::Serialize,
    turn::KeepTurn,
};
pub(crate) use self::{
    story::contained,
    turn::{AskedAt, GRACE, MadeHere},
};
