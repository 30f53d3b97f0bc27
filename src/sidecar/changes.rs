use std::fmt::Debug;

use super::{Config, Site};

/// The names of settings that are others than before.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Of those that count for the next request, or for what comes later.
    pub(super) live: Vec<&'static str>,
    /// Of those that a process has from its start to its end.
    pub(super) fixed: Vec<&'static str>,
}

macro_rules! between {
    ($before:ident, $after:ident, live: [$($live:ident),* $(,)?], fixed: [$($fixed:ident),* $(,)?]) => {{
        // A new setting has to be in one of the two lists.
        let Config { $($live: _,)* $($fixed: _,)* } = $before;
        let mut changes = Changes::default();
        $(if differ(&$before.$live, &$after.$live) {
            changes.live.push(stringify!($live));
        })*
        $(if differ(&$before.$fixed, &$after.$fixed) {
            changes.fixed.push(stringify!($fixed));
        })*
        changes
    }};
}

// === impl Changes ===

impl Changes {
    pub(super) fn between(before: &Config, after: &Config) -> Self {
        let mut changes = between!(before, after,
            live: [
                answer_within, max_hold, collect_up_to, depth, waiting, serialize_tracking, serialize_dash, drain,
                unready_for, remap, rescue, shield, retry, settle, strip_directives, sites, otlp_sample,
                // These count at the next start.
                require_upstream, lease_required,
            ],
            fixed: [
                upstream, listen, tls_cert, tls_key, admin, host, upstream_http, resume, threads, connections, idle,
                connect_within, upstream_idle, reuse_port, hand_over, record_sessions, lease, lease_budget, otlp,
            ]
        );
        for name in changes.live.iter_mut().filter(|name| **name == "sites") {
            *name = "[[upstream]]";
        }
        let which = |config: &Config| {
            let of = |site: &Site| {
                let Site { name, hosts, path_prefix, config } = site;
                format!("{name:?} {hosts:?} {path_prefix:?} {:?} {:?}", config.upstream, config.host)
            };
            config.sites.iter().map(of).collect::<Vec<_>>()
        };
        if which(before) != which(after) {
            changes.fixed.push("[[upstream]] with name, url, host, hosts and path_prefix");
        }
        changes
    }
}

/// Whether two settings are told differently: not all of them can be compared.
fn differ(before: &impl Debug, after: &impl Debug) -> bool {
    format!("{before:?}") != format!("{after:?}")
}
