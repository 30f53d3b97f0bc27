use std::{
    any::Any,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body::{Body, Frame};
use http_body_util::{Either, Full};
use tokio::time::{Instant, Sleep};

use crate::emulator::serve::answer::Answer;

/// What becomes of an answer on its way to the client. It travels with the answer, among its extensions.
#[derive(Debug, Clone)]
pub(in crate::emulator) enum Damage {
    /// The connection is reset before anything is sent.
    Reset,
    /// The connection is cut in the middle of the body.
    Cut(Held),
    /// This many bytes of the body are sent each second.
    Slow(u64, Held),
    /// The body is gzip, and ends in its middle.
    HalfGzip,
}

/// What is dropped when a body is gone.
pub(in crate::emulator) type Held = Option<Arc<dyn Any + Send + Sync>>;

/// There is no answer, or no more of it: the connection goes down.
#[derive(Debug)]
pub(in crate::emulator) struct Down;

/// An answer as it is sent.
pub(in crate::emulator) type Sent = Response<Either<Full<Bytes>, Parts>>;

/// A body that is sent in parts.
#[derive(Debug)]
pub(in crate::emulator) struct Parts {
    rest: Bytes,
    /// Bytes in one part, and the time between two.
    step: usize,
    every: Duration,
    /// When the next part is due.
    due: Pin<Box<Sleep>>,
    /// Whether the connection goes down at the end.
    breaks: bool,
    /// Its session is busy until the body is gone.
    _held: Held,
}

/// The time between two parts, unless a byte takes longer.
const BEAT: Duration = Duration::from_millis(100);

// === impl Damage ===

impl Damage {
    /// Whether the answer is to be compressed, whatever the client asked for.
    pub(in crate::emulator) fn is_of_gzip(&self) -> bool {
        matches!(self, Self::HalfGzip)
    }
}

/// Sends a finished answer, with its damage if it has any.
pub(in crate::emulator) fn send(answer: Answer, damage: Option<Damage>) -> Result<Sent, Down> {
    let (mut head, body) = answer.into_parts();
    let half = body.len() / 2;
    let body = match damage {
        Some(Damage::Reset) => return Err(Down),
        Some(Damage::Cut(held)) => Either::Right(Parts::cut(body.slice(..half), held)),
        Some(Damage::Slow(rate, held)) => Either::Right(Parts::slow(body, rate, held)),
        Some(Damage::HalfGzip) if !body.is_empty() => {
            head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(half));
            Either::Left(Full::new(body.slice(..half)))
        }
        Some(Damage::HalfGzip) | None => Either::Left(Full::new(body)),
    };
    Ok(Response::from_parts(head, body))
}

// === impl Parts ===

impl Parts {
    fn cut(half: Bytes, held: Held) -> Self {
        // A beat before the end, for the half to reach the client.
        let step = half.len();
        Self { breaks: true, ..Self::new(half, step, BEAT, held) }
    }

    fn slow(body: Bytes, rate: u64, held: Held) -> Self {
        let step = (rate / 10).max(1);
        let every = Duration::from_secs_f64(step as f64 / rate.max(1) as f64);
        Self::new(body, usize::try_from(step).unwrap_or(usize::MAX), every, held)
    }

    fn new(rest: Bytes, step: usize, every: Duration, held: Held) -> Self {
        let due = Box::pin(tokio::time::sleep(Duration::ZERO));
        Self { rest, step: step.max(1), every, due, breaks: false, _held: held }
    }
}

impl Body for Parts {
    type Data = Bytes;
    type Error = Down;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.get_mut();
        ready!(this.due.as_mut().poll(cx));
        if this.rest.is_empty() {
            return Poll::Ready(this.breaks.then_some(Err(Down)));
        }
        let part = this.rest.split_to(this.step.min(this.rest.len()));
        this.due.as_mut().reset(Instant::now() + this.every);
        Poll::Ready(Some(Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && !self.breaks
    }
}

// === impl Down ===

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a fault takes the connection down")
    }
}

impl std::error::Error for Down {}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    /// The sizes of the parts, when each came, and whether it broke.
    async fn collect(mut parts: Parts) -> (Vec<(usize, u128)>, bool) {
        let (start, mut seen) = (Instant::now(), Vec::new());
        while let Some(part) = parts.frame().await {
            let Ok(part) = part else {
                return (seen, true);
            };
            seen.push((part.into_data().expect("data").len(), start.elapsed().as_millis()));
        }
        (seen, false)
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_dribbles_at_its_rate() {
        let body = Bytes::from_static(&[b'#'; 25]);
        let slow = |rate| collect(Parts::slow(body.clone(), rate, None));
        assert_eq!(slow(100).await, (vec![(10, 0), (10, 100), (5, 200)], false));
        let (seen, broke) = slow(2).await;
        assert_eq!((seen.len(), seen.last(), broke), (25, Some(&(1, 12_000)), false));
        assert_eq!(slow(u64::MAX).await, (vec![(25, 0)], false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_cut_body_breaks_behind_its_half() {
        let half = Bytes::from_static(b"#EXTM3U");
        assert_eq!(collect(Parts::cut(half, None)).await, (vec![(7, 0)], true));
        assert_eq!(collect(Parts::cut(Bytes::new(), None)).await, (vec![], true));
    }
}
