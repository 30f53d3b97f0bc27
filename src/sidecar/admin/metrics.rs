use std::{
    sync::OnceLock,
    time::{Duration, UNIX_EPOCH},
};

use metrics::gauge;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing::warn;

use crate::{
    sidecar::{listen::door::Door, relay::proxy::Proxy},
    telemetry::{
        SIDECAR,
        metrics::{RESCUE_AGE_SECONDS, describe},
        own,
    },
};

/// Where `/metrics` comes from: one recorder for the process, however many sidecars are in it.
#[derive(Debug, Clone, Copy)]
pub(in crate::sidecar) struct Metrics(Option<&'static PrometheusHandle>);

/// How often what histograms were given is put into their buckets, if nobody scrapes.
const UPKEEP: Duration = Duration::from_secs(2);

/// In seconds. The limits that a player meets are among them: 2 (rescue.after), 6 (answer_within), 10 (max_hold).
const BUCKETS: [f64; 17] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 1.5, 2.0, 4.0, 6.0, 8.0, 10.0];

/// Ages of rescues, in seconds: up to rescue.max_age as it is by default.
const AGES: [f64; 9] = [1.0, 2.0, 4.0, 6.0, 10.0, 15.0, 20.0, 30.0, 60.0];

pub(in crate::sidecar) const CLIENT_CONNECTIONS: &str = "onelane_client_connections";
pub(in crate::sidecar) const CLIENT_CONNECTIONS_LIMIT: &str = "onelane_client_connections_limit";
pub(in crate::sidecar) const CERTIFICATE_EXPIRES: &str = "onelane_certificate_expires_timestamp_seconds";
pub(in crate::sidecar) const UPSTREAM_CONNECTIONS: &str = "onelane_upstream_connections";
pub(in crate::sidecar) const BUILD_INFO: &str = "onelane_build_info";

// === impl Metrics ===

impl Metrics {
    /// Installs the recorder, unless the process has one already: then that one gets everything.
    pub(in crate::sidecar) fn install() -> Self {
        static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
        let handle = HANDLE.get_or_init(|| match recorder() {
            Ok(handle) => {
                describe();
                metrics::describe_gauge!(CLIENT_CONNECTIONS, "Connections of players or their CDN.");
                let limit = "The most of them that are taken, --connections: others wait.";
                metrics::describe_gauge!(CLIENT_CONNECTIONS_LIMIT, limit);
                let expires = "When the certificate of --tls-cert expires, in seconds since 1970.";
                metrics::describe_gauge!(CERTIFICATE_EXPIRES, expires);
                metrics::describe_gauge!(UPSTREAM_CONNECTIONS, "Connections to the upstream that are open.");
                metrics::describe_gauge!(BUILD_INFO, "Always 1; the version is in its label.");
                Some(handle)
            }
            Err(error) => {
                warn!(target: SIDECAR, %error, "no /metrics: the process has another recorder");
                None
            }
        });
        Self(handle.as_ref())
    }

    /// What Prometheus reads; `None` where another recorder has it all.
    pub(in crate::sidecar) fn render(self, proxy: &Proxy, door: &Door) -> Option<String> {
        let handle = self.0?;
        proxy.show_levels();
        gauge!(CLIENT_CONNECTIONS).set(door.connections() as f64);
        gauge!(CLIENT_CONNECTIONS_LIMIT).set(door.most_connections() as f64);
        let expires = door.certificate_expires().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        if let Some(expires) = expires {
            gauge!(CERTIFICATE_EXPIRES).set(expires.as_secs_f64());
        }
        for (upstream, connections) in proxy.connections() {
            own(UPSTREAM_CONNECTIONS, upstream.as_ref()).set(connections as f64);
        }
        gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        Some(handle.render())
    }

    /// Puts values into their buckets now and then, for ever.
    pub(in crate::sidecar) async fn keep_up(self) {
        let Some(handle) = self.0 else { return std::future::pending().await };
        let mut due = tokio::time::interval(UPKEEP);
        loop {
            due.tick().await;
            handle.run_upkeep();
        }
    }
}

fn recorder() -> Result<PrometheusHandle, BuildError> {
    PrometheusBuilder::new()
        .set_buckets(&BUCKETS)?
        .set_buckets_for_metric(Matcher::Full(RESCUE_AGE_SECONDS.to_owned()), &AGES)?
        .install_recorder()
}
