use std::{collections::VecDeque, future::poll_fn, pin::Pin};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame};
use tokio::task::coop::consume_budget;
use tower::BoxError;

use super::{
    Error,
    body::{Whole, in_bytes},
};

/// What was read of a response's body.
pub(crate) enum Collected {
    Whole(Whole),
    /// It is larger than the cap: what came so far.
    TooLarge(VecDeque<Bytes>),
}

/// Reads a body to its end, or until it is larger than the cap.
pub(crate) async fn collect<B>(mut body: Pin<&mut B>, up_to: usize) -> Result<Collected, Error>
where
    B: HttpBody,
    B::Data: Buf,
    B::Error: Into<BoxError>,
{
    let mut read = VecDeque::new();
    let mut size = 0;
    let mut trailers: Option<HeaderMap> = None;
    while let Some(frame) = next_frame(body.as_mut()).await {
        match frame?.into_data() {
            Ok(data) => {
                size += data.len();
                if !data.is_empty() {
                    read.push_back(data);
                }
            }
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
        if size > up_to {
            return Ok(Collected::TooLarge(read));
        }
    }
    Ok(Collected::Whole(Whole { data: read, trailers }))
}

/// Whether a request has no body, by what that says of itself: only then can it be sent again, or have another's answer.
pub(crate) fn is_empty(body: &impl HttpBody) -> bool {
    body.is_end_stream() || body.size_hint().exact() == Some(0)
}

/// The next piece of a body, or its trailers.
pub(super) async fn next_frame<B>(mut body: Pin<&mut B>) -> Option<Result<Frame<Bytes>, Error>>
where
    B: HttpBody,
    B::Data: Buf,
    B::Error: Into<BoxError>,
{
    // A body that is always ready, and whose player has gone, would never let the time that bounds it be looked at.
    consume_budget().await;
    let frame = poll_fn(|cx| body.as_mut().poll_frame(cx)).await?;
    Some(frame.map(in_bytes).map_err(Error::upstream))
}
