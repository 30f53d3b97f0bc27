use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::{net::TcpStream, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{
    activity::Activity,
    tls::Tls,
    watched::Watched,
    wire::{Socket, Speaks, Wire},
};
use crate::sidecar::{
    relay::proxy::{PerConnection, Proxy},
    upstream::client::HEADERS,
};

/// The largest head of a request, in bytes. MediaTailor takes ad-server URLs of 25,000 characters.
pub(in crate::sidecar) const HEAD: usize = 64 * 1024;

/// The most requests that one HTTP/2 connection may have open.
const STREAMS: u32 = 256;

/// The most requests of one HTTP/2 connection that were given up before they were looked at. Past it the whole
/// connection ends, against floods of them. A CDN's connection carries hundreds of sessions whose players give up
/// in bursts: hyper's own 20 ends it when the machine is busy for a moment.
const GIVEN_UP: usize = 1024;

/// The most requests over an HTTP/2 connection's life that HTTP/2 does not allow, as one with `<` in its path. Each ends by itself;
/// past this the whole connection ends, against floods of them. hyper's own 1024 is what a stranger sends over the connection that a
/// CDN keeps for all its viewers.
const NOT_ALLOWED: usize = 100_000;

/// After how much idle time a connection is parked.
const PARK_AFTER: Duration = Duration::from_millis(100);

/// Once no more requests are wanted, how long a connection without an open one has for its last bytes.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How connections are spoken with.
#[derive(Debug, Clone)]
pub(in crate::sidecar) struct Manners {
    /// How long a connection may be idle, or take for the head of a request.
    pub(in crate::sidecar) idle: Duration,
    /// What is spoken before anything else, if it is.
    pub(in crate::sidecar) tls: Option<Tls>,
    /// Told when no more requests are wanted.
    pub(in crate::sidecar) stop: CancellationToken,
}

/// What became of a connection that was served for a while.
enum Served {
    Ended,
    /// It went quiet: the socket, and what was read ahead.
    Quiet(Wire),
}

/// Why a connection is served no longer, other than by its own end.
enum Lull {
    /// Nothing is to be done for now.
    Park,
    /// It had its time.
    Cut,
}

/// Serves one client until it goes, is idle for too long, or is told to stop.
///
/// Most of its life a player's connection waits for the next refresh. Then it is **parked**: hyper's buffers,
/// some 20 KiB, are given back, and what is left is a socket and this small task.
pub(in crate::sidecar) async fn serve(
    socket: TcpStream,
    proxy: Proxy,
    manners: Manners,
) -> Result<(), hyper::Error> {
    let Ok(peer) = socket.peer_addr() else { return Ok(()) };
    let activity = Activity::new();
    let service = PerConnection::new(proxy, peer.ip(), activity.clone());
    let socket = Watched::new(socket, activity.clone());
    let socket = match &manners.tls {
        None => Socket::Left(socket),
        Some(tls) => {
            let accepted = tokio::select! {
                // Boxed: the room for a handshake would stay for as long as the connection.
                accepted = Box::pin(tls.accept(socket)) => accepted,
                () = last_handshakes(&manners.stop) => None,
            };
            let Some(socket) = accepted else { return Ok(()) };
            // Its time for a request begins now: the handshake may have taken as long.
            activity.progress();
            Socket::Right(socket)
        }
    };
    let mut wire = Wire::new(socket);
    let first = tokio::select! {
        biased;
        first = wire.listen_in() => first,
        () = activity.idle(manners.idle) => return Ok(()),
        () = last_words(&activity, &manners.stop) => return Ok(()),
    };
    match first {
        Ok(Speaks::Http1) => {}
        Ok(Speaks::Http2) => return Box::pin(http2(wire, service, activity, manners)).await,
        Err(_) => return Ok(()),
    }
    loop {
        let Served::Quiet(quiet) = Box::pin(http1(wire, service.clone(), &activity, &manners)).await? else {
            return Ok(());
        };
        tokio::select! {
            biased;
            // A head that drips in byte by byte wakes it, and does not move the limit.
            readable = quiet.readable() => if readable.is_err() {
                return Ok(());
            },
            () = activity.idle(manners.idle) => return Ok(()),
            () = manners.stop.cancelled() => return Ok(()),
        }
        wire = quiet;
    }
}

async fn http1(
    wire: Wire,
    service: PerConnection,
    activity: &Activity,
    manners: &Manners,
) -> Result<Served, hyper::Error> {
    let mut connection =
        http1::Builder::new().max_buf_size(HEAD).max_headers(HEADERS).serve_connection(wire, service);
    let lull = {
        let mut lull = pin!(lull(activity, manners));
        let mut stopped = pin!(manners.stop.cancelled());
        let mut stopping = false;
        poll_fn(|cx| {
            // First what there is to read: hyper drops a connection that has read nothing yet and is told to stop.
            if let Poll::Ready(ended) = connection.poll_without_shutdown(cx) {
                return Poll::Ready(ended.map(|()| None));
            }
            if !stopping && stopped.as_mut().poll(cx).is_ready() {
                stopping = true;
                Pin::new(&mut connection).graceful_shutdown();
                if let Poll::Ready(ended) = connection.poll_without_shutdown(cx) {
                    return Poll::Ready(ended.map(|()| None));
                }
            }
            lull.as_mut().poll(cx).map(|lull| Ok(Some(lull)))
        })
        .await?
    };
    let parts = connection.into_parts();
    match lull {
        Some(Lull::Park) => return Ok(Served::Quiet(parts.io.put_back(&parts.read_buf))),
        Some(Lull::Cut) => {}
        None => {
            let mut wire = parts.io;
            let close = poll_fn(|cx| hyper::rt::Write::poll_shutdown(Pin::new(&mut wire), cx));
            // TLS has its own last bytes to write, to a client that may read no more.
            tokio::select! {
                _closed = close => {}
                () = activity.idle(manners.idle) => {}
                () = last_words(activity, &manners.stop) => {}
            }
        }
    }
    Ok(Served::Ended)
}

/// Resolves when a connection does nothing any more, or has done nothing for too long.
///
/// Its timer is not moved with every request, but looks now and then: a busy connection must not pay for it.
async fn lull(activity: &Activity, manners: &Manners) -> Lull {
    loop {
        sleep(PARK_AFTER).await;
        let Some(idle) = activity.idle_since().map(|since| since.elapsed()) else {
            continue;
        };
        if idle >= PARK_AFTER && activity.is_quiet() {
            return Lull::Park;
        }
        let limit = if manners.stop.is_cancelled() { LAST_WORDS } else { manners.idle };
        if idle >= limit {
            return Lull::Cut;
        }
    }
}

async fn http2(
    wire: Wire,
    service: PerConnection,
    activity: Activity,
    manners: Manners,
) -> Result<(), hyper::Error> {
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        // Later than the idle limit, which a PING of ours would move on: it is for clients that vanish
        // with a request open.
        .keep_alive_interval(manners.idle.saturating_mul(2))
        .max_concurrent_streams(STREAMS)
        .max_pending_accept_reset_streams(GIVEN_UP)
        .max_local_error_reset_streams(NOT_ALLOWED)
        .max_header_list_size(HEAD as u32)
        .serve_connection(wire, service);
    let mut connection = pin!(connection);
    tokio::select! {
        biased;
        ended = connection.as_mut() => return ended,
        () = manners.stop.cancelled() => {}
        () = activity.idle(manners.idle) => {}
    }
    connection.as_mut().graceful_shutdown();
    let last_words = async {
        // From now on: what the client sends before it hears of it is answered.
        sleep(LAST_WORDS).await;
        activity.idle(LAST_WORDS).await;
    };
    tokio::select! {
        biased;
        ended = connection => ended,
        () = last_words => Ok(()),
    }
}

/// Once no more requests are wanted: resolves when whoever connected before has had time to shake hands.
async fn last_handshakes(stop: &CancellationToken) {
    stop.cancelled().await;
    sleep(LAST_WORDS).await;
}

/// Once no more requests are wanted: resolves when there is none for a while.
async fn last_words(activity: &Activity, stop: &CancellationToken) {
    stop.cancelled().await;
    activity.idle(LAST_WORDS).await;
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, sync::Arc};

    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpSocket},
        time::timeout,
    };
    use tokio_rustls::{
        TlsConnector,
        client::TlsStream,
        rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName},
    };

    use super::*;
    use crate::sidecar::Config;

    /// More than the sockets take, and less than TLS does.
    const BODY: usize = 48 * 1024;

    /// The longest that anything here may take; only a hang reaches it.
    const HANG: Duration = Duration::from_secs(10);

    /// An upstream that gives this to the first who asks.
    async fn upstream(body: Vec<u8>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.expect("a connection");
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                socket.read_buf(&mut asked).await.expect("a request");
            }
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            socket.write_all(&[head.as_bytes(), &body].concat()).await.expect("it is read");
            // Kept, so that the end of the connection tells nothing.
            std::future::pending::<()>().await;
        });
        address
    }

    /// Sockets as small as the system makes them, with the server's end on the left.
    async fn small_sockets() -> (TcpStream, TcpStream) {
        let (listener, player) = (TcpSocket::new_v4().unwrap(), TcpSocket::new_v4().unwrap());
        listener.set_send_buffer_size(1).expect("a socket");
        player.set_recv_buffer_size(1).expect("a socket");
        listener.bind("127.0.0.1:0".parse().unwrap()).expect("a free port");
        let listener = listener.listen(1).expect("a free port");
        let (accepted, connected) =
            tokio::join!(listener.accept(), player.connect(listener.local_addr().unwrap()));
        (accepted.expect("a connection").0, connected.expect("a connection"))
    }

    /// Serves one player over TLS, in front of an upstream.
    async fn secure(upstream: SocketAddr) -> TlsStream<TcpStream> {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let files = tempfile::tempdir().expect("a place for files");
        let mut config = Config::new(format!("http://{upstream}").parse().expect("an upstream"));
        for (file, name, text) in [
            (&mut config.tls_cert, "cert.pem", cert.pem()),
            (&mut config.tls_key, "key.pem", signing_key.serialize_pem()),
        ] {
            let path = files.path().join(name);
            std::fs::write(&path, text).expect("a file");
            *file = Some(path);
        }
        let tls = Tls::load(&config).expect("files of TLS");
        let proxy = Proxy::new(&config, None).expect("a client");
        let (socket, player) = small_sockets().await;
        let manners = Manners { idle: HANG, tls, stop: CancellationToken::new() };
        tokio::spawn(serve(socket, proxy, manners));

        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).expect("a root");
        let trusting = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(Arc::new(trusting)).connect(name, player).await.expect("TLS")
    }

    #[tokio::test]
    async fn a_slow_reader_gets_all_of_an_answer_that_tls_has_taken() {
        let body: Vec<u8> = (0..BODY).map(|n| (n % 251) as u8).collect();
        let mut player = secure(upstream(body.clone()).await).await;
        let request = b"GET /v1/segment/acct/Demo/one/0/1 HTTP/1.1\r\nHost: localhost\r\n\r\n";
        player.write_all(request).await.expect("it is read");
        // For long enough to be parked.
        sleep(PARK_AFTER * 3).await;
        let mut answer = Vec::new();
        let all = async {
            while !answer.ends_with(&body) {
                assert!(player.read_buf(&mut answer).await.expect("a connection") > 0, "it ended");
            }
        };
        let came = timeout(HANG, all).await;
        assert!(came.is_ok(), "{} of {BODY} bytes", answer.len());
    }
}
