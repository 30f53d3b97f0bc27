use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower::BoxError;

use super::{
    Error, ErrorKind,
    stream::{Part, Parts},
};

pin_project! {
    /// The body of an answer.
    ///
    /// An answer out of a lane is whole, or streamed when it was too large to collect; one that needed no lane
    /// is the inner service's own.
    #[derive(Debug)]
    pub struct Body<B> {
        #[pin]
        source: Source<B>,
    }
}

pin_project! {
    #[project = SourceProjection]
    #[derive(Debug)]
    enum Source<B> {
        Direct { #[pin] body: B },
        Whole { whole: Whole },
        Resumed { read: VecDeque<Bytes>, #[pin] rest: B },
        Streamed { read: VecDeque<Bytes>, parts: Parts },
    }
}

/// A collected body, in the pieces in which it came: putting them together would copy every playlist. Cheap to
/// clone, for those that attached.
#[derive(Debug, Clone, Default)]
pub(crate) struct Whole {
    pub(crate) data: VecDeque<Bytes>,
    pub(crate) trailers: Option<HeaderMap>,
}

// === impl Body ===

impl<B> Body<B> {
    /// A body that is still with the inner service.
    pub(crate) fn direct(body: B) -> Self {
        Self { source: Source::Direct { body } }
    }

    /// A body that was read whole.
    pub(crate) fn whole(whole: Whole) -> Self {
        Self { source: Source::Whole { whole } }
    }

    pub(super) fn streamed(parts: Parts) -> Self {
        Self { source: Source::Streamed { read: VecDeque::new(), parts } }
    }

    /// A body of which a part was read.
    pub(crate) fn resumed(read: VecDeque<Bytes>, rest: B) -> Self {
        Self { source: Source::Resumed { read, rest } }
    }

    /// The same body of which a part was read, that part before the rest again.
    pub(crate) fn after(self, mut read: VecDeque<Bytes>) -> Self {
        match self.source {
            Source::Direct { body } => Self::resumed(read, body),
            Source::Whole { mut whole } => {
                read.append(&mut whole.data);
                Self::whole(Whole { data: read, trailers: whole.trailers })
            }
            Source::Resumed { read: mut more, rest } => {
                read.append(&mut more);
                Self::resumed(read, rest)
            }
            Source::Streamed { read: mut more, parts } => {
                read.append(&mut more);
                Self { source: Source::Streamed { read, parts } }
            }
        }
    }

    /// The pieces of a body that was read whole.
    pub(crate) fn pieces(&self) -> Option<&VecDeque<Bytes>> {
        match &self.source {
            Source::Whole { whole } => Some(&whole.data),
            _ => None,
        }
    }
}

impl<B> From<Bytes> for Body<B> {
    fn from(data: Bytes) -> Self {
        let data = if data.is_empty() { VecDeque::new() } else { VecDeque::from([data]) };
        Self::whole(Whole { data, trailers: None })
    }
}

impl<B> HttpBody for Body<B>
where
    B: HttpBody,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let mut source = self.project().source;
        Poll::Ready(match source.as_mut().project() {
            SourceProjection::Direct { body } => {
                ready!(body.poll_frame(cx)).map(|frame| frame.map(in_bytes).map_err(Error::upstream))
            }
            SourceProjection::Whole { whole } => whole.next().map(Ok),
            SourceProjection::Resumed { read, rest } => match read.pop_front() {
                Some(data) => Some(Ok(Frame::data(data))),
                None => ready!(rest.poll_frame(cx)).map(|frame| frame.map(in_bytes).map_err(Error::upstream)),
            },
            SourceProjection::Streamed { read, parts } => match read.pop_front() {
                Some(data) => Some(Ok(Frame::data(data))),
                None => {
                    let last = match ready!(parts.poll_recv(cx)) {
                        Some(Part::Frame(frame, _taken)) => return Poll::Ready(Some(Ok(frame))),
                        Some(Part::Failed(error)) => Some(Err(error)),
                        Some(Part::End) => None,
                        None => Some(Err(Error::new(ErrorKind::HeldTooLong))),
                    };
                    // Nothing comes after it, however often it is polled.
                    source.set(Source::Whole { whole: Whole::default() });
                    last
                }
            },
        })
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Direct { body } => body.is_end_stream(),
            Source::Whole { whole } => whole.data.is_empty() && whole.trailers.is_none(),
            Source::Resumed { read, rest } => read.is_empty() && rest.is_end_stream(),
            Source::Streamed { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Direct { body } => body.size_hint(),
            Source::Whole { whole } => SizeHint::with_exact(whole.len()),
            Source::Resumed { .. } | Source::Streamed { .. } => SizeHint::default(),
        }
    }
}

/// Gives a frame's data as `Bytes`; for data that is `Bytes` already, nothing is copied.
pub(super) fn in_bytes(frame: Frame<impl Buf>) -> Frame<Bytes> {
    frame.map_data(|mut data| data.copy_to_bytes(data.remaining()))
}

// === impl Whole ===

impl Whole {
    fn len(&self) -> u64 {
        self.data.iter().map(|piece| piece.len() as u64).sum()
    }

    fn next(&mut self) -> Option<Frame<Bytes>> {
        let data = self.data.pop_front().map(Frame::data);
        data.or_else(|| self.trailers.take().map(Frame::trailers))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, Full};
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn what_was_read_of_a_body_comes_again_before_its_rest() {
        let whole = || Whole { data: VecDeque::from([Bytes::from("rest")]), trailers: None };
        let (player, parts) = mpsc::unbounded_channel();
        player.send(Part::Frame(Frame::data("rest".into()), None)).expect("it is there");
        player.send(Part::End).expect("it is there");
        for body in [
            Body::<Full<Bytes>>::direct(Full::from("rest")),
            Body::whole(whole()),
            Body::resumed(VecDeque::from(["re".into()]), Full::from("st")),
            Body::streamed(parts),
        ] {
            let body = body.after(VecDeque::from(["a ".into(), "first ".into()]));
            assert_eq!(body.collect().await.expect("all of it").to_bytes(), "a first rest");
        }
    }

    #[tokio::test]
    async fn nothing_comes_after_the_end() {
        for (last, fails) in [(Part::End, false), (Part::Failed(Error::new(ErrorKind::HeldTooLong)), true)] {
            let (player, parts) = mpsc::unbounded_channel();
            player.send(last).expect("it is there");
            drop(player);
            let mut body = Body::<Full<Bytes>>::streamed(parts);
            assert!(!body.is_end_stream());
            assert_eq!(body.frame().await.is_some_and(|frame| frame.is_err()), fails);
            assert!(body.frame().await.is_none() && body.is_end_stream(), "{fails}");
        }
    }
}
