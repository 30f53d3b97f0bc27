use std::{collections::VecDeque, pin::Pin, sync::Arc};

use bytes::{Buf, Bytes};
use http::{Response, response};
use http_body::{Body as HttpBody, Frame};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tower::BoxError;

use super::{Error, collect::next_frame, exchange::Answer, players::Players};

/// How much of a body is read ahead of its player, in bodies that are just small enough to collect. Otherwise the reader's pace
/// would decide how long a turn lasts, and whether the playlist arrives before the hold is over.
const AHEAD: usize = 4;

/// Room is counted in KiB, so that a whole body's fits into what a semaphore hands out at once.
const UNIT: usize = 1024;

/// What arrives of a body that was too large to collect.
pub(super) type Parts = mpsc::UnboundedReceiver<Part>;

/// A part of a body that was too large to collect.
#[derive(Debug)]
pub(super) enum Part {
    /// With the room that it takes until the player has it.
    Frame(Frame<Bytes>, Option<OwnedSemaphorePermit>),
    Failed(Error),
    /// Said, since an exchange that was dropped half-way must not pass for a short playlist.
    End,
}

/// Passes a body on as it comes, and reads ahead of a slow player. When the player goes away, reads the rest for nobody: the upstream
/// is at work until it has sent it. `false` if the body broke off.
pub(super) async fn stream<B>(
    head: response::Parts,
    read: VecDeque<Bytes>,
    mut rest: Pin<&mut B>,
    players: &mut Players,
    collect_up_to: usize,
) -> bool
where
    B: HttpBody,
    B::Data: Buf,
    B::Error: Into<BoxError>,
{
    let (player, parts) = mpsc::unbounded_channel();
    players.answer(Ok(Answer::Streamed(Some(Response::from_parts(head, parts)))));
    for data in read {
        let _gone = player.send(Part::Frame(Frame::data(data), None));
    }
    let units = u32::try_from(collect_up_to.saturating_mul(AHEAD) / UNIT).unwrap_or(u32::MAX).max(1);
    let room = Arc::new(Semaphore::new(units as usize));
    while let Some(frame) = next_frame(rest.as_mut()).await {
        match frame {
            Ok(frame) => {
                let length = frame.data_ref().map_or(0, Bytes::len).div_ceil(UNIT);
                let needs = u32::try_from(length).unwrap_or(u32::MAX).clamp(1, units);
                let taken = Arc::clone(&room).acquire_many_owned(needs).await.ok();
                let _gone = player.send(Part::Frame(frame, taken));
            }
            Err(error) => {
                players.failed(&error);
                let _gone = player.send(Part::Failed(error));
                return false;
            }
        }
    }
    let _gone = player.send(Part::End);
    true
}
