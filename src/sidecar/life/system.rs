//! What the sidecar asks of the system around it.

use sd_notify::NotifyState;
use tracing::{debug, warn};

use crate::telemetry::SIDECAR;

/// Descriptors beside those of clients: ports, the log, and connections to the upstream, of which there are
/// rarely more than there are sessions in flight.
const OTHERS: usize = 256;

/// Raises the limit of open files as far as the clients may need it, and says so where that is not allowed.
pub(in crate::sidecar) fn raise_open_files(connections: usize) {
    // One to the client and one to the upstream.
    let wanted = connections.saturating_mul(2).saturating_add(OTHERS) as u64;
    match rlimit::increase_nofile_limit(wanted) {
        Ok(limit) if limit >= wanted => debug!(target: SIDECAR, limit, "open files"),
        Ok(limit) => warn!(
            target: SIDECAR, limit,
            wanted,
            "fewer open files than --connections may need; raise the limit (ulimit -Hn, LimitNOFILE=) or lower --connections"
        ),
        Err(error) => warn!(target: SIDECAR, %error, wanted, "the limit of open files cannot be raised"),
    }
}

/// Tells systemd, if it started this with Type=notify.
pub(in crate::sidecar) fn tell_systemd(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!(target: SIDECAR, %error, "systemd cannot be told");
    }
}
