use std::{convert::Infallible, pin::Pin, sync::Arc, time::Duration};

use bytes::Buf;
use http::{Request, Response};
use http_body::Body as HttpBody;
use tokio::time::{Instant, sleep, timeout};
use tower::{BoxError, ServiceExt as _};
use tower_service::Service;
use tracing::Instrument as _;

use super::{
    Error,
    collect::{Collected, collect},
    exchange::{Answer, Exchange},
    layer::State,
    players::{Asked, Players},
    repeats::Open,
    story::{Driven, Story, contained},
    stream::stream,
};
use crate::{
    lane::{Ticket, Turn},
    lease::{Lease, Leases, NotAgreed},
    session::SessionKey,
};

/// What an exchange has for as long as it is its session's turn. Another instance's turn comes before this one's next.
#[derive(Debug)]
struct Hold {
    _lease: Lease,
    _turn: Turn<SessionKey>,
}

/// How long an exchange may take, and whom it asks first.
#[derive(Debug)]
struct Terms {
    max_hold: Duration,
    collect_up_to: usize,
    leases: Option<Leases>,
}

/// An inner service puts it into a response's extensions where the upstream stays busy with a session for a moment
/// after its answer: the players are answered at once, and the turn is handed on so much later, [`max_hold`](super::Config::max_hold)
/// at the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepTurn(pub Duration);

/// An inner service puts it into the extensions of a response that it made without the upstream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MadeHere;

/// When a request came that a layer around has kept waiting: its player's time began then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AskedAt(pub(crate) Instant);

/// After an exchange broke off, how long the upstream may still be at work on it. Until then the turn is kept: its
/// players have their answer, and neither a repeat nor a sibling goes out.
pub(crate) const GRACE: Duration = Duration::from_millis(250);

/// Starts an exchange, which its players cannot take down: in a task of its own, or given back for its player to drive.
pub(super) fn run<S, ReqBody, ResBody>(
    state: &State,
    inner: S,
    exchange: Arc<Exchange>,
    (ticket, open): (Ticket<SessionKey>, Option<Open>),
    asked: Asked,
    request: Request<ReqBody>,
) -> Option<Driven>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    ReqBody: Send + 'static,
    ResBody: HttpBody + Send + 'static,
    ResBody::Data: Buf + Send,
    ResBody::Error: Into<BoxError>,
{
    let uri = request.uri().clone();
    let players = Players::new(exchange, open, asked, uri);
    let (max_hold, collect_up_to) = (state.config.max_hold, state.config.collect_up_to);
    let terms = Terms { max_hold, collect_up_to, leases: state.leases.clone() };
    // Boxed, since the runtime copies a task's future several times, and this one is large.
    let story = one_exchange(inner, request, ticket, players, terms);
    let story: Story = Box::pin(state.exchanges.track_future(story));
    if state.config.driven_by_players {
        return Some(Driven::new(story));
    }
    tokio::spawn(story.in_current_span());
    None
}

/// The story of one exchange, from its place in line to its answer.
async fn one_exchange<S, ReqBody, ResBody>(
    inner: S,
    mut request: Request<ReqBody>,
    ticket: Ticket<SessionKey>,
    mut players: Players,
    Terms { max_hold, collect_up_to, leases }: Terms,
) where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    S::Error: Into<BoxError>,
    ResBody: HttpBody,
    ResBody::Data: Buf,
    ResBody::Error: Into<BoxError>,
{
    // The players bound the wait: when the last has gone or run out of time, so has the reason to wait.
    let turn = tokio::select! {
        biased;
        () = players.deserted() => return players.left(),
        turn = ticket.turn_within(Duration::MAX) => turn,
    };
    let turn = match turn {
        Ok(turn) => turn,
        Err(closed) => return players.answer(Err(closed.into())),
    };
    let lease = match &leases {
        None => Lease::none(),
        Some(leases) => tokio::select! {
            biased;
            () = players.deserted() => return players.left(),
            // Boxed, as is what renews it: without leases there is no room for either.
            lease = Box::pin(leases.acquire(players.session(), max_hold)) => lease,
        },
    };
    if leases.is_some() && !lease.is_held() {
        request.extensions_mut().insert(NotAgreed);
    }
    let mut renewal = lease.renewal(max_hold).map(Box::pin);
    let mut hold = Some(Hold { _lease: lease, _turn: turn });
    if !players.send() {
        return players.left();
    }
    // From here on it is not the players that end it, only its own time. Boxed, since each future around it would have room for it
    // twice, in line as well.
    let exchange = Box::pin(converse(inner, request, &mut hold, &mut players, collect_up_to));
    let exchange = timeout(max_hold, contained(exchange));
    let KeepTurn(gap) = match meanwhile(exchange, &mut renewal).await {
        Ok(Some(keep)) => keep,
        // Its players hear of it as they are dropped.
        Ok(None) => KeepTurn(GRACE),
        Err(_) => {
            players.held_too_long();
            KeepTurn(GRACE)
        }
    };
    drop(players);
    if hold.is_some() && !gap.is_zero() {
        meanwhile(sleep(gap.min(max_hold)), &mut renewal).await;
    }
}

/// Has the lease renewed, if there is one, for as long as this takes.
async fn meanwhile<T>(
    time: impl Future<Output = T>,
    renewal: &mut Option<Pin<Box<impl Future<Output = Infallible>>>>,
) -> T {
    match renewal {
        None => time.await,
        Some(renewal) => tokio::select! {
            biased;
            ended = time => ended,
            never = renewal => match never {},
        },
    }
}

/// Asks the upstream and answers the players. The turn is held until the upstream's last byte, and stays where it is if it
/// has to be kept for longer.
async fn converse<S, ReqBody, ResBody>(
    inner: S,
    request: Request<ReqBody>,
    hold: &mut Option<Hold>,
    players: &mut Players,
    collect_up_to: usize,
) -> KeepTurn
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    S::Error: Into<BoxError>,
    ResBody: HttpBody,
    ResBody::Data: Buf,
    ResBody::Error: Into<BoxError>,
{
    let response = match inner.oneshot(request).await {
        Ok(response) => response,
        Err(error) => {
            players.answer(Err(Error::upstream(error)));
            return KeepTurn(GRACE);
        }
    };
    let (mut head, body) = response.into_parts();
    let keep = head.extensions.remove().unwrap_or(KeepTurn(Duration::ZERO));
    let mut body = std::pin::pin!(body);
    match collect(body.as_mut(), collect_up_to).await {
        Ok(Collected::Whole(whole)) => {
            if keep == KeepTurn(Duration::ZERO) {
                // In this order, and before the answer: a repeat that comes now stands in line, and the next in line need not wait
                // until the players were told.
                players.close();
                drop(hold.take());
            }
            players.answer(Ok(Answer::Whole(Response::from_parts(head, whole))));
            keep
        }
        Ok(Collected::TooLarge(read)) => match stream(head, read, body, players, collect_up_to).await {
            true => keep,
            false => KeepTurn(GRACE),
        },
        Err(error) => {
            players.answer(Err(error));
            KeepTurn(GRACE)
        }
    }
}
