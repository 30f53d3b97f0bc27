use std::{io, net::SocketAddr, pin::pin, time::Duration};

use sd_notify::NotifyState;
use tokio::{
    net::TcpListener,
    time::{sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;
use tracing::{error, info, warn};

use super::{
    hand_over::{HandOver, Ports},
    reload::Reload,
    system::tell_systemd,
    upkeep,
};
use crate::{
    sidecar::{
        admin::{self, Readiness, Told, metrics::Metrics},
        listen::door::{self, Door},
        relay::proxy::Proxy,
        settings::otlp::Tracing,
    },
    telemetry::SIDECAR,
};

/// What is ended in order once nobody is served any more.
pub(in crate::sidecar) struct Ends {
    pub(in crate::sidecar) hand_over: Option<HandOver>,
    pub(in crate::sidecar) tracing: Option<Tracing>,
}

/// How long answers to those who still waited when the drain was over may take.
const TELL_WITHIN: Duration = Duration::from_millis(250);

/// How long leases that were given up may take to be so in the engine at the end, too.
const RELEASE_WITHIN: Duration = Duration::from_millis(200);

/// Tells who asks how it goes, and ends it in order once `stop` resolves or a successor serves. Where that is
/// killed before this has finished, `serve` takes connections at the port again.
pub(in crate::sidecar) async fn attend(
    reload: &Reload,
    (listen, mut admin): (SocketAddr, TcpListener),
    Ends { mut hand_over, tracing }: Ends,
    mut door: Door,
    proxy: &Proxy,
    serve: impl Fn(TcpListener, &Door) -> io::Result<()>,
    stop: impl Future<Output = ()>,
) -> bool {
    let mut stop = pin!(stop);
    let config = reload.config();
    let tls = config.tls_cert.is_some();
    let upstream = config.each().map(|each| each.upstream.to_string()).collect::<Vec<_>>().join(", ");
    let readiness = Readiness::default();
    let metrics = Metrics::install();
    let told =
        Told::new(upstream.clone(), readiness.clone(), metrics, proxy.clone(), door.clone(), reload.clone());
    let keep_up = AbortOnDropHandle::new(tokio::spawn(metrics.keep_up()));
    let quotas = AbortOnDropHandle::new(tokio::spawn(upkeep::share_quotas(proxy.clone())));
    let idle = AbortOnDropHandle::new(tokio::spawn(upkeep::forget_idle(proxy.clone())));
    let (drained, answers) = loop {
        let _closed = door.close_on_drop();
        info!(target: SIDECAR, %listen, tls, admin = %door::address(&admin), %upstream, "serving");
        let answers = AbortOnDropHandle::new(tokio::spawn(admin::serve(admin, told.clone())));
        tell_systemd(&[NotifyState::Ready]);
        let stopped = tokio::select! {
            () = stop.as_mut() => true,
            () = successor(hand_over.as_mut()) => false,
        };
        // As a reload has left them.
        let config = reload.config();
        readiness.unready();
        if stopped {
            reload.stopping();
            unready(config.unready_for, hand_over.as_mut()).await;
        } else {
            info!(target: SIDECAR, "handing over");
        }
        if !stopped || hand_over.as_ref().is_some_and(HandOver::has_successor) {
            // Whoever asks how it goes means the successor by now.
            answers.abort();
        }
        door.close();
        proxy.shared().finishing(true);
        if stopped && let Some(hand_over) = &mut hand_over {
            hand_over.leave();
        }
        info!(target: SIDECAR, exchanges = proxy.exchanges(), drain = ?config.drain, "draining");
        let ports = tokio::select! {
            biased;
            drained = timeout(config.drain, finished(&door, proxy)) => break (drained.is_ok(), answers),
            ports = lost(hand_over.as_mut()) => ports,
        };
        warn!(target: SIDECAR, "the process that took over is gone: serving again");
        door = door.reopened();
        readiness.ready();
        if let Err(error) = serve(ports.listen, &door) {
            error!(target: SIDECAR, %error, "it cannot be served again");
            door.close();
            break (timeout(config.drain, finished(&door, proxy)).await.is_ok(), answers);
        }
        proxy.shared().finishing(false);
        admin = ports.admin;
    };
    // One that hands over says so when it is sure not to serve again.
    reload.stopping();
    if drained {
        info!(target: SIDECAR, "drained");
    } else {
        warn!(target: SIDECAR, exchanges = proxy.exchanges(), "not drained in time; raise --drain");
        // What still stands in line is told so, and no more is sent.
        proxy.layer().close();
        let _told = timeout(TELL_WITHIN, finished(&door, proxy)).await;
    }
    if let Some(leases) = proxy.layer().leases() {
        // Another instance may wait for one of them.
        let _told = timeout(RELEASE_WITHIN, leases.released()).await;
    }
    drop((keep_up, quotas, idle));
    // Who waits for the end of this takes the port.
    answers.abort();
    let _closed = answers.await;
    // Who begins now need not wait for the last spans.
    drop(hand_over);
    if let Some(tracing) = tracing {
        tracing.finish().await;
    }
    drained
}

/// Resolves when all that waits and is in flight is answered.
async fn finished(door: &Door, proxy: &Proxy) {
    door.closed().await;
    proxy.layer().drained().await;
}

/// Waits until a balancer has noticed, or a successor has come, after which nobody need notice.
async fn unready(unready_for: Duration, hand_over: Option<&mut HandOver>) {
    if !unready_for.is_zero() {
        info!(target: SIDECAR, ?unready_for, "unready, and still taking connections");
        tokio::select! {
            () = sleep(unready_for) => {}
            () = successor(hand_over) => info!(target: SIDECAR, "handing over"),
        }
    }
}

async fn successor(hand_over: Option<&mut HandOver>) {
    match hand_over {
        Some(hand_over) => hand_over.successor().await,
        None => std::future::pending().await,
    }
}

async fn lost(hand_over: Option<&mut HandOver>) -> Ports {
    match hand_over {
        Some(hand_over) => hand_over.lost().await,
        None => std::future::pending().await,
    }
}
