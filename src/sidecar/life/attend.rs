use std::{net::SocketAddr, time::Duration};

use sd_notify::NotifyState;
use tokio::{
    net::TcpListener,
    time::{sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use super::{
    hand_over::{HandOver, Successor},
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

/// Tells who asks how it goes, and ends it in order once `stop` resolves.
pub(in crate::sidecar) async fn attend(
    reload: &Reload,
    (listen, admin): (SocketAddr, TcpListener),
    Ends { mut hand_over, tracing }: Ends,
    door: &Door,
    proxy: &Proxy,
    stop: impl Future<Output = ()>,
) -> bool {
    let config = reload.config();
    let tls = config.tls_cert.is_some();
    let upstream = config.each().map(|each| each.upstream.to_string()).collect::<Vec<_>>().join(", ");
    info!(target: SIDECAR, %listen, tls, admin = %door::address(&admin), %upstream, "serving");
    let readiness = Readiness::default();
    let metrics = Metrics::install();
    let told = Told::new(upstream, readiness.clone(), metrics, proxy.clone(), door.clone(), reload.clone());
    let admin = AbortOnDropHandle::new(tokio::spawn(admin::serve(admin, told)));
    let keep_up = AbortOnDropHandle::new(tokio::spawn(metrics.keep_up()));
    let quotas = AbortOnDropHandle::new(tokio::spawn(upkeep::share_quotas(proxy.clone())));
    let idle = AbortOnDropHandle::new(tokio::spawn(upkeep::forget_idle(proxy.clone())));
    tell_systemd(&[NotifyState::Ready]);
    let successor = tokio::select! {
        () = stop => None,
        successor = successor(hand_over.as_mut()) => Some(successor),
    };
    // It holds the ports as well.
    drop(hand_over);
    // As a reload has left them.
    let config = reload.config();
    readiness.unready();
    reload.stopping();
    if successor.is_some() {
        info!(target: SIDECAR, "handing over");
        // Whoever asks how it goes means the successor by now.
        admin.abort();
    } else if !config.unready_for.is_zero() {
        info!(target: SIDECAR, unready_for = ?config.unready_for, "unready, and still taking connections");
        sleep(config.unready_for).await;
    }
    door.close();
    info!(target: SIDECAR, exchanges = proxy.layer().exchanges(), drain = ?config.drain, "draining");
    let all = async || {
        door.closed().await;
        proxy.layer().drained().await;
    };
    let drained = timeout(config.drain, all()).await.is_ok();
    if drained {
        info!(target: SIDECAR, "drained");
    } else {
        warn!(target: SIDECAR, exchanges = proxy.layer().exchanges(), "not drained in time; raise --drain");
        // What still stands in line is told so, and no more is sent.
        proxy.layer().close();
        let _told = timeout(TELL_WITHIN, all()).await;
    }
    if let Some(leases) = proxy.layer().leases() {
        // Another instance may wait for one of them.
        let _told = timeout(RELEASE_WITHIN, leases.released()).await;
    }
    // Who begins now need not wait for the last spans.
    drop((admin, keep_up, quotas, idle, successor));
    if let Some(tracing) = tracing {
        tracing.finish().await;
    }
    drained
}

async fn successor(hand_over: Option<&mut HandOver>) -> Successor {
    match hand_over {
        Some(hand_over) => hand_over.successor().await,
        None => std::future::pending().await,
    }
}
