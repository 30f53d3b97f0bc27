//! Leases in Redis 7 or Valkey: one server, a cluster, or what sentinels point at.
//!
//! There are two keys for each session whose lease is asked for, `onelane:{<hash>}` with the lease's holder and
//! `onelane:{<hash>}line` with the instances that wait for it, and two for each playback configuration that has
//! 4xx, `onelane:{4xx-<hash>}` with their number and `onelane:{4xx-<hash>}slice`; all of them expire by themselves.
//! An instance is told on a channel of its own, `onelane:next:<instance>`, that it is next. An ACL user needs the
//! keys `~onelane:*`, the channels `&onelane:*`, and of commands `+@connection +@scripting +@pubsub +@string +@list
//! +@keyspace` (`-@dangerous` may follow); with a cluster `+cluster`, with sentinels `+role +info`.

mod script;
mod sentinel;
mod url;

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Client, FromRedisValue, ProtocolVersion, PushInfo, PushKind, RedisError,
    ScriptInvocation, Value, aio::MultiplexedConnection, cluster::ClusterClient,
    cluster_async::ClusterConnection,
};

pub use self::url::{BadUrl, LeaseUrl};
use self::{
    script::{SLICE, Scripts},
    url::Place,
};
use super::{Answer, Grant, LeaseId, LeaseStore, RESERVED, StoreError, Token, Wakes};

/// How long a connection may take to come about, TLS and login included.
const CONNECT_WITHIN: Duration = Duration::from_millis(500);

/// A store of leases in Redis or Valkey. It has one connection; to a cluster, one for each node.
pub struct Redis {
    url: LeaseUrl,
    scripts: Scripts,
    connection: Mutex<Option<Connection>>,
    /// How many connections were begun.
    nth: Arc<AtomicU64>,
}

#[derive(Clone)]
enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

// === impl Redis ===

impl Redis {
    /// A store at this URL. It does not connect yet.
    pub fn new(url: LeaseUrl) -> Self {
        Self { url, scripts: Scripts::new(), connection: Mutex::new(None), nth: Arc::default() }
    }

    async fn connect(&self, wakes: &Wakes) -> Result<Connection, RedisError> {
        let told = self.listener(wakes.clone());
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_WITHIN))
            .set_response_timeout(None);
        Ok(match self.url.place() {
            Place::One(info) => {
                let client = Client::open(info.clone())?;
                let config = config.set_push_sender(told);
                Connection::One(client.get_multiplexed_async_connection_with_config(&config).await?)
            }
            Place::Cluster(nodes) => {
                let client = ClusterClient::builder(nodes.clone())
                    .use_protocol(ProtocolVersion::RESP3)
                    .connection_timeout(CONNECT_WITHIN)
                    .response_timeout(CONNECT_WITHIN)
                    .retries(1)
                    .push_sender(told)
                    .build()?;
                Connection::Cluster(client.get_async_connection().await?)
            }
            Place::Sentinel { sentinels, master, settings, tls } => {
                let client = sentinel::primary(sentinels, master, settings, *tls).await?;
                let config = config.set_push_sender(told);
                Connection::One(client.get_multiplexed_async_connection_with_config(&config).await?)
            }
        })
    }

    /// Hears what the server says of its own accord, on a connection that is made now; what an earlier
    /// connection still says no longer counts.
    fn listener(&self, wakes: Wakes) -> Arc<dyn redis::aio::AsyncPushSender> {
        let nth = self.nth.fetch_add(1, Ordering::Relaxed) + 1;
        let current = Arc::clone(&self.nth);
        Arc::new(move |PushInfo { kind, data }: PushInfo| {
            match (kind, data.get(1)) {
                _ if current.load(Ordering::Relaxed) != nth => {}
                (PushKind::Disconnection, _) => wakes.lost(&StoreError::new("the connection ended")),
                (PushKind::Message, Some(Value::BulkString(lease))) => {
                    if let Some(lease) = std::str::from_utf8(lease).ok().and_then(LeaseId::parse) {
                        wakes.next(&lease);
                    }
                }
                _ => {}
            }
            Ok::<_, std::convert::Infallible>(())
        })
    }

    /// Everything that is needed later, once, with a lease that no session has.
    async fn try_all(&self, connection: &Connection, wakes: &Wakes) -> Result<(), StoreError> {
        let instance = wakes.instance();
        let channel = script::channel(&instance);
        let subscribed = match connection.clone() {
            Connection::One(mut one) => one.subscribe(&channel).await,
            Connection::Cluster(mut cluster) => cluster.subscribe(&channel).await,
        };
        subscribed.map_err(|error| self.told(&error))?;
        let (lease, token) = (format!("try-{instance}"), Token::new(&instance, 0));
        for ask in [
            self.scripts.acquire(&lease, &token, RESERVED),
            self.scripts.renew(&lease, &token, RESERVED),
            self.scripts.line_up(&lease),
            self.scripts.release(&lease, &token),
            self.scripts.spend(&lease, 0, RESERVED),
        ] {
            self.ask::<i64>(connection, &ask).await?;
        }
        Ok(())
    }

    async fn ask<T: FromRedisValue>(
        &self,
        connection: &Connection,
        invocation: &ScriptInvocation<'_>,
    ) -> Result<T, StoreError> {
        let answer = match connection.clone() {
            Connection::One(mut one) => invocation.invoke_async(&mut one).await,
            Connection::Cluster(mut cluster) => invocation.invoke_async(&mut cluster).await,
        };
        answer.map_err(|error| self.told(&error))
    }

    /// An error in one line, with what to do about it. Redis repeats no password in its errors.
    fn told(&self, error: &RedisError) -> StoreError {
        let said = error.to_string().replace(char::is_control, " ");
        let code = error.code().unwrap_or_default();
        let may_not = said.contains("can't run this command");
        let remedy = match code {
            _ if may_not => "; give the user the commands that docs/lease.md names",
            "NOPERM" => "; give the user ~onelane:* &onelane:* and the commands that docs/lease.md names",
            "WRONGPASS" | "NOAUTH" => "; put the right user and password into the URL of --lease",
            "READONLY" => "; name the primary, or the sentinels or the cluster that know it",
            "MOVED" | "ASK" => "; it is a cluster: write redis-cluster://",
            _ => "",
        };
        StoreError::new(format!("{}: {said}{remedy}", self.url))
    }

    fn current(&self) -> Result<Connection, StoreError> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner).clone();
        connection.ok_or_else(|| StoreError::new(format!("{}: not connected", self.url)))
    }
}

impl LeaseStore for Redis {
    fn revive(&self, wakes: Wakes) -> Answer<'_, ()> {
        Box::pin(async move {
            let hold = |connection| {
                *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = connection;
            };
            // What is left of the old one must not be waited for: its network may be gone.
            hold(None);
            let connection = self.connect(&wakes).await.map_err(|error| self.told(&error))?;
            self.try_all(&connection, &wakes).await?;
            hold(Some(connection));
            Ok(())
        })
    }

    fn acquire(&self, lease: &LeaseId, token: &Token, ttl: Duration) -> Answer<'_, Grant> {
        let invocation = self.scripts.acquire(lease, token, ttl);
        Box::pin(async move {
            match self.ask(&self.current()?, &invocation).await? {
                1 => Ok(Grant::Granted),
                _ => Ok(Grant::Taken),
            }
        })
    }

    fn renew(&self, lease: &LeaseId, token: &Token, ttl: Duration) -> Answer<'_, bool> {
        let invocation = self.scripts.renew(lease, token, ttl);
        Box::pin(async move { self.ask(&self.current()?, &invocation).await })
    }

    fn release(&self, lease: &LeaseId, token: &Token) -> Answer<'_, ()> {
        let invocation = self.scripts.release(lease, token);
        Box::pin(async move { self.ask(&self.current()?, &invocation).await })
    }

    fn spend(&self, scope: u64, more: u32) -> Answer<'_, u32> {
        let invocation = self.scripts.spend(&format!("{scope:016x}"), more, SLICE);
        Box::pin(async move { self.ask(&self.current()?, &invocation).await })
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("url", &self.url).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use redis::aio::AsyncPushSender as _;
    use tokio::sync::mpsc;

    use super::*;
    use crate::lease::Leases;

    /// An engine that is always well, and hands out what it is given to tell of.
    #[derive(Debug)]
    struct Well(mpsc::UnboundedSender<Wakes>);

    impl LeaseStore for Well {
        fn revive(&self, wakes: Wakes) -> Answer<'_, ()> {
            let _heard = self.0.send(wakes);
            Box::pin(std::future::ready(Ok(())))
        }

        fn acquire(&self, _: &LeaseId, _: &Token, _: Duration) -> Answer<'_, Grant> {
            Box::pin(std::future::ready(Ok(Grant::Granted)))
        }

        fn renew(&self, _: &LeaseId, _: &Token, _: Duration) -> Answer<'_, bool> {
            Box::pin(std::future::ready(Ok(true)))
        }

        fn release(&self, _: &LeaseId, _: &Token) -> Answer<'_, ()> {
            Box::pin(std::future::ready(Ok(())))
        }
    }

    #[tokio::test]
    async fn the_end_of_an_old_connection_is_not_that_of_the_new_one() {
        let (wakes, mut told) = mpsc::unbounded_channel();
        let leases = Leases::start(Well(wakes));
        leases.tried().await.expect("it is well");
        let wakes = told.recv().await.expect("what to tell");
        let store = Redis::new("redis://127.0.0.1:9".parse().expect("a URL"));
        let (old, new) = (store.listener(wakes.clone()), store.listener(wakes));
        let ended = || PushInfo { kind: PushKind::Disconnection, data: Vec::new() };
        old.send(ended()).expect("it is heard");
        assert_eq!(leases.trouble(), None);
        new.send(ended()).expect("it is heard");
        assert_eq!(leases.trouble().expect("it ended").to_string(), "the connection ended");
    }
}
