use std::{io, time::Duration};

use redis::{
    Client, ConnectionInfo, RedisConnectionInfo, RedisError, TlsMode,
    sentinel::{Sentinel, SentinelNodeConnectionInfo},
};
use tokio::{task::JoinSet, time::timeout};

/// How long a sentinel may take to name the primary, which is looked at as well. What the others say is heard
/// before the try to revive is over.
const NAMED_WITHIN: Duration = Duration::from_millis(800);

/// The primary, by the sentinel that is the first to name it: one that does not answer holds up none of the
/// others, wherever it is listed.
///
/// The library alone takes their answers in the order in which they are listed.
pub(super) async fn primary(
    sentinels: &[ConnectionInfo],
    master: &str,
    settings: &RedisConnectionInfo,
    tls: bool,
) -> Result<Client, RedisError> {
    let mut node = SentinelNodeConnectionInfo::default().set_redis_connection_info(settings.clone());
    if tls {
        node = node.set_tls_mode(TlsMode::Secure);
    }
    let mut asked = JoinSet::new();
    for sentinel in sentinels {
        let mut sentinel = Sentinel::build(vec![sentinel.addr().clone()])?;
        let (master, node) = (master.to_owned(), node.clone());
        asked.spawn(async move {
            let named = timeout(NAMED_WITHIN, sentinel.async_master_for(&master, Some(&node))).await;
            named.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
        });
    }
    let mut why: Option<RedisError> = None;
    while let Some(named) = asked.join_next().await {
        match named.map_err(io::Error::from)? {
            Ok(primary) => return Ok(primary),
            // What a server says tells more than that another was not reached.
            Err(error) if why.as_ref().is_none_or(|why| why.code().is_none()) => why = Some(error),
            Err(_) => {}
        }
    }
    Err(why.unwrap_or_else(|| io::Error::from(io::ErrorKind::NotFound).into()))
}
