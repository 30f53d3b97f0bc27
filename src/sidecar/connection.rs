use std::{future::poll_fn, io, pin::Pin, task::Poll, time::Duration};

use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::{
    net::TcpStream,
    time::{Instant, Sleep, sleep, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    proxy::{PerConnection, Proxy},
    wire::{Activity, Speaks, Wire},
};

/// The largest head of a request, in bytes. MediaTailor takes ad-server URLs of 25,000 characters.
const HEAD: usize = 64 * 1024;

/// The most requests that one HTTP/2 connection may have open.
const STREAMS: u32 = 256;

/// The most requests of one HTTP/2 connection that were given up before they were looked at. Past it the whole
/// connection ends, against floods of them. A CDN's connection carries hundreds of sessions whose players give up
/// in bursts: hyper's own 20 ends it when the machine is busy for a moment.
const GIVEN_UP: usize = 1024;

/// After how much idle time a connection is parked.
const PARK_AFTER: Duration = Duration::from_millis(200);

/// How connections are spoken with.
#[derive(Debug, Clone)]
pub(super) struct Manners {
    /// How long a connection may be idle, or take for the head of a request.
    pub(super) idle: Duration,
    /// Told when no more requests are wanted.
    pub(super) stop: CancellationToken,
}

/// What became of a connection that was served for a while.
enum Served {
    Ended,
    /// It went quiet: the socket, and what was read ahead.
    Quiet(Wire),
}

type Http1 = http1::Connection<Wire, PerConnection>;

/// Serves one client until it goes, is idle for too long, or is told to stop.
///
/// Most of its life a player's connection waits for the next refresh. Then it is **parked**: hyper's buffers,
/// some 20 KiB, are given back, and what is left is a socket and this small task.
pub(super) async fn serve(socket: TcpStream, proxy: Proxy, manners: Manners) -> Result<(), hyper::Error> {
    let Ok(peer) = socket.peer_addr() else { return Ok(()) };
    let activity = Activity::default();
    let service = PerConnection::new(proxy, peer.ip(), activity.clone());
    let mut wire = Wire::new(socket, activity.clone());
    let first = tokio::select! {
        first = timeout(manners.idle, wire.listen_in()) => first,
        () = manners.stop.cancelled() => return Ok(()),
    };
    match first {
        Ok(Ok(Speaks::Http1)) => {}
        Ok(Ok(Speaks::Http2)) => return Box::pin(http2(wire, service, activity, manners)).await,
        _ => return Ok(()),
    }
    let mut requests = activity.requests();
    let mut deadline = Instant::now() + manners.idle;
    loop {
        let Served::Quiet(quiet) = Box::pin(http1(wire, service.clone(), &activity, &manners)).await? else {
            return Ok(());
        };
        if activity.requests() != requests {
            requests = activity.requests();
            deadline = Instant::now() + manners.idle;
        }
        // A head that drips in byte by byte wakes it, and the deadline stays.
        let readable = tokio::select! {
            readable = timeout_at(deadline, quiet.readable()) => readable,
            () = manners.stop.cancelled() => return Ok(()),
        };
        let Ok(Ok(())) = readable else { return Ok(()) };
        wire = quiet;
    }
}

async fn http1(
    wire: Wire,
    service: PerConnection,
    activity: &Activity,
    manners: &Manners,
) -> Result<Served, hyper::Error> {
    let mut connection = http1::Builder::new().max_buf_size(HEAD).serve_connection(wire, service);
    let stopped = manners.stop.cancelled();
    tokio::pin!(stopped);
    let went_quiet = {
        let mut quiet = std::pin::pin!(Quiet::new(activity));
        let mut stopping = false;
        poll_fn(|cx| {
            if !stopping && stopped.as_mut().poll(cx).is_ready() {
                stopping = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            if let Poll::Ready(ended) = connection.poll_without_shutdown(cx) {
                return Poll::Ready(ended.map(|()| false));
            }
            quiet.as_mut().poll(cx).map(|()| Ok(true))
        })
        .await?
    };
    let parts = Http1::into_parts(connection);
    if went_quiet {
        return Ok(Served::Quiet(parts.io.put_back(parts.read_buf)));
    }
    let mut wire = parts.io;
    let _closed: io::Result<()> =
        poll_fn(|cx| hyper::rt::Write::poll_shutdown(Pin::new(&mut wire), cx)).await;
    Ok(Served::Ended)
}

async fn http2(
    wire: Wire,
    service: PerConnection,
    activity: Activity,
    manners: Manners,
) -> Result<(), hyper::Error> {
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(manners.idle)
        .max_concurrent_streams(STREAMS)
        .max_pending_accept_reset_streams(GIVEN_UP)
        .max_header_list_size(HEAD as u32)
        .serve_connection(wire, service);
    tokio::pin!(connection);
    let mut requests = activity.requests();
    loop {
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = manners.stop.cancelled() => break,
            () = sleep(manners.idle) => {
                if activity.is_idle() && activity.requests() == requests {
                    break;
                }
                requests = activity.requests();
            }
        }
    }
    connection.as_mut().graceful_shutdown();
    connection.await
}

/// Resolves once a connection has been idle for [`PARK_AFTER`].
///
/// Its timer is set once and looked at when it rings, not moved with every request: a busy connection must not
/// pay for it.
struct Quiet<'a> {
    activity: &'a Activity,
    /// Rings after a while, with the number of requests when it was set.
    alarm: Option<(Pin<Box<Sleep>>, u32)>,
}

// === impl Quiet ===

impl<'a> Quiet<'a> {
    fn new(activity: &'a Activity) -> Self {
        Self { activity, alarm: None }
    }
}

impl Future for Quiet<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<()> {
        let activity = self.activity;
        let (alarm, requests) =
            self.alarm.get_or_insert_with(|| (Box::pin(sleep(PARK_AFTER)), activity.requests()));
        while alarm.as_mut().poll(cx).is_ready() {
            if activity.is_idle() && activity.requests() == *requests {
                return Poll::Ready(());
            }
            *requests = activity.requests();
            alarm.as_mut().reset(Instant::now() + PARK_AFTER);
        }
        Poll::Pending
    }
}
