use std::{error::Error as StdError, io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::{
    client::legacy::{Client as Hyper, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tokio::time::timeout;

use super::tally::Tally;

/// How players reach their side. They share connections, as players behind a CDN do: a request that is given up
/// closes its own.
#[derive(Debug)]
pub(super) struct Client {
    hyper: Hyper<HttpConnector, Empty<Bytes>>,
    to: SocketAddr,
    pub(super) tally: Tally,
}

/// How long a player waits: hls.js gives up then.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a connection is kept without a request: shorter than either server does.
const IDLE: Duration = Duration::from_secs(15);

// === impl Client ===

impl Client {
    pub(super) fn new(to: SocketAddr) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let hyper = Hyper::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(connector);
        Self { hyper, to, tally: Tally::new() }
    }

    /// Loads a playlist and counts what came of it; the text, if it was a 200.
    ///
    /// Dropping the future abandons the request.
    pub(super) async fn load(&self, path: &str) -> Option<Bytes> {
        let uri = Uri::builder().scheme("http").authority(self.to.to_string()).path_and_query(path).build();
        let request = Request::get(uri.ok()?).body(Empty::new()).ok()?;
        let pending = self.tally.send();
        let exchange = async {
            let (head, body) = self.hyper.request(request).await?.into_parts();
            Ok::<_, Box<dyn StdError + Send + Sync>>((head.status, body.collect().await?.to_bytes()))
        };
        match timeout(PATIENCE, exchange).await {
            Ok(Ok((status, text))) => {
                pending.answered(status.as_u16());
                (status == 200).then_some(text)
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "a player got no answer");
                pending.failed(is_out_of_files(&*error));
                None
            }
            Err(_) => {
                pending.failed(false);
                None
            }
        }
    }
}

fn is_out_of_files(error: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        // EMFILE and ENFILE, on every Unix.
        if let Some(23 | 24) = error.downcast_ref().and_then(io::Error::raw_os_error) {
            return true;
        }
        cause = error.source();
    }
    false
}
