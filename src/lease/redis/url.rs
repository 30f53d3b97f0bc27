use std::{fmt, str::FromStr};

use redis::{ConnectionInfo, IntoConnectionInfo as _, ProtocolVersion, RedisConnectionInfo};

/// Where the engine is: `redis://` for one server, `redis-cluster://` for a cluster, `redis-sentinel://` for
/// what sentinels point at; with `rediss` for TLS. In each of them `valkey` may stand for `redis`.
///
/// `Display` and `Debug` leave out the user and the password.
#[derive(Clone)]
pub struct LeaseUrl {
    shown: String,
    place: Place,
}

#[derive(Clone)]
pub(super) enum Place {
    One(ConnectionInfo),
    Cluster(Vec<ConnectionInfo>),
    Sentinel {
        sentinels: Vec<ConnectionInfo>,
        master: String,
        /// The primary's: user, password and database.
        settings: RedisConnectionInfo,
        tls: bool,
    },
}

/// Why a text is no [`LeaseUrl`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadUrl(String);

const EXAMPLES: &str = "write redis://HOST:6379, rediss://USER:PASSWORD@HOST:6379/0, redis-cluster://HOST:6379,HOST:6379 or \
                        redis-sentinel://HOST:26379,HOST:26379/MASTER";

// === impl LeaseUrl ===

impl LeaseUrl {
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Whether the connection uses TLS.
    pub fn is_tls(&self) -> bool {
        self.shown.split(['-', ':']).next().is_some_and(|scheme| scheme == "rediss" || scheme == "valkeys")
    }
}

impl FromStr for LeaseUrl {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, BadUrl> {
        let bad = |why: &str| BadUrl(format!("{why}; {EXAMPLES}"));
        let (scheme, rest) = text.split_once("://").ok_or_else(|| bad("it has no scheme"))?;
        let (kind, form) = scheme.split_once('-').unwrap_or((scheme, ""));
        let tls = match kind {
            "redis" | "valkey" => false,
            "rediss" | "valkeys" => true,
            _ => return Err(bad("its scheme is none of those that it may be")),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (format!("{user}@"), hosts),
            None => (String::new(), authority),
        };
        let scheme = if tls { "rediss" } else { "redis" };
        let read = |host: &str, path: &str| {
            let url = format!("{scheme}://{user}{host}{path}");
            // What the library says may have the password in it.
            let info = url.into_connection_info().map_err(|_| bad("it is no URL of an engine"))?;
            let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
            Ok::<_, BadUrl>(info.set_redis_settings(settings))
        };
        let each = || hosts.split(',').map(|host| read(host, "")).collect::<Result<Vec<_>, _>>();
        if hosts.split(',').any(str::is_empty) {
            return Err(bad("a host is empty"));
        }
        let place = match form {
            "" if hosts.contains(',') => return Err(bad("one server has one host")),
            "" => Place::One(read(hosts, &if path.is_empty() { String::new() } else { format!("/{path}") })?),
            "cluster" if path.is_empty() => Place::Cluster(each()?),
            "cluster" => return Err(bad("a cluster has no databases")),
            "sentinel" => {
                let (master, database) = path.split_once('/').unwrap_or((path, "0"));
                if master.is_empty() {
                    return Err(bad("it does not say which master the sentinels are asked for"));
                }
                let sentinels = each()?;
                let database = database.parse().map_err(|_| bad("its database is no number"))?;
                let settings = sentinels[0].redis_settings().clone().set_db(database);
                Place::Sentinel { sentinels, master: master.to_owned(), settings, tls }
            }
            _ => return Err(bad("its scheme is none of those that it may be")),
        };
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let slash = if path.is_empty() { "" } else { "/" };
        let form = if form.is_empty() { String::new() } else { format!("-{form}") };
        Ok(Self { shown: format!("{kind}{form}://{hosts}{slash}{path}"), place })
    }
}

impl fmt::Display for LeaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for LeaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_are_read_and_shown_without_a_secret() {
        for (text, shown, tls) in [
            ("redis://a.example", "redis://a.example", false),
            ("valkey://a.example:6380/2", "valkey://a.example:6380/2", false),
            ("rediss://me:s3cret@a.example:6379/0", "rediss://a.example:6379/0", true),
            ("redis://:s3cret@[::1]:6379", "redis://[::1]:6379", false),
            ("redis://me:s3cret@a.example/?protocol=resp2", "redis://a.example", false),
            ("redis-cluster://me:s3cret@a:1,b:2", "redis-cluster://a:1,b:2", false),
            ("valkeys-cluster://a:1", "valkeys-cluster://a:1", true),
            ("redis-sentinel://:s3cret@a:26379,b:26379/mine", "redis-sentinel://a:26379,b:26379/mine", false),
            ("rediss-sentinel://a/mine/3", "rediss-sentinel://a/mine/3", true),
        ] {
            let url: LeaseUrl = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((url.to_string(), url.is_tls()), (shown.to_owned(), tls), "{text}");
            assert!(!format!("{url} {url:?}").contains("s3cret"), "{text}");
        }
    }

    #[test]
    fn what_is_none_is_refused_with_an_example_and_without_a_secret() {
        for text in [
            "",
            "a.example:6379",
            "http://me:s3cret@a.example",
            "redis://",
            "redis://me:s3cret@",
            "redis://me:s3cret@a.example:port",
            "redis://me:s3cret@a.example/first",
            "redis://a,b",
            "redis-cluster://a,,b",
            "redis-cluster://a/1",
            "redis-sentinel://a:1",
            "redis-sentinel://a:1/mine/first",
            "redis-ring://a",
        ] {
            let error = text.parse::<LeaseUrl>().expect_err(text).to_string();
            assert!(
                error.contains("; write redis://HOST:6379") && !error.contains("s3cret"),
                "{text}: {error}"
            );
            assert!(!error.contains(char::is_control), "{error:?}");
        }
    }
}
