use std::fmt::Debug;

use crate::sidecar::{Config, Site};

/// The names of settings that are others than before.
#[derive(Debug, Default)]
pub(in crate::sidecar) struct Changes {
    /// Of those that count for the next request, or for what comes later, which they say.
    pub(in crate::sidecar) live: Vec<&'static str>,
    /// Of those that a process has from its start to its end.
    pub(in crate::sidecar) fixed: Vec<&'static str>,
}

macro_rules! between {
    (
        $before:ident, $after:ident,
        live: [$($live:ident),* $(,)?], next: [$($next:ident),* $(,)?], fixed: [$($fixed:ident),* $(,)?]
    ) => {{
        // A new setting has to be in one of the lists.
        let Config { $($live: _,)* $($next: _,)* $($fixed: _,)* } = $before;
        let mut changes = Changes::default();
        $(if differ(&$before.$live, &$after.$live) {
            changes.live.push(stringify!($live));
        })*
        $(if $before.$next != $after.$next {
            changes.live.push(concat!(stringify!($next), " (from the next start on)"));
        })*
        // Some of these have a password, which is in no text of them.
        $(if $before.$fixed != $after.$fixed {
            changes.fixed.push(stringify!($fixed));
        })*
        changes
    }};
}

// === impl Changes ===

impl Changes {
    pub(in crate::sidecar) fn between(before: &Config, after: &Config) -> Self {
        let mut changes = between!(before, after,
            live: [
                answer_within, max_hold, collect_up_to, depth, waiting, serialize_tracking, serialize_dash, drain,
                unready_for, remap, rescue, shield, retry, settle, strip_directives, sites, otlp_sample,
            ],
            next: [require_upstream, lease_required],
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

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let mut config = Config::new("http://127.0.0.1:9".parse().expect("an upstream"));
        config.lease = Some("redis://me:before@a.example".parse().expect("any text"));
        config.otlp = Some("https://a.example/?key=before".parse().expect("any text"));
        config
    }

    #[test]
    fn a_new_password_is_a_change_though_nobody_is_shown_it() {
        let mut after = config();
        after.lease = Some("redis://me:after@a.example".parse().expect("any text"));
        assert_eq!(Changes::between(&config(), &after).fixed, ["lease"]);
        after.otlp = Some("https://a.example/?key=after".parse().expect("any text"));
        assert_eq!(Changes::between(&config(), &after).fixed, ["lease", "otlp"]);
        assert_eq!(
            format!("{:?}", Changes::between(&config(), &config())),
            format!("{:?}", Changes::default())
        );
    }

    #[test]
    fn what_counts_at_the_next_start_says_so() {
        let mut after = config();
        after.require_upstream = true;
        after.depth += 1;
        let changes = Changes::between(&config(), &after);
        assert_eq!(changes.live, ["depth", "require_upstream (from the next start on)"]);
        assert!(changes.fixed.is_empty(), "{changes:?}");
    }
}
