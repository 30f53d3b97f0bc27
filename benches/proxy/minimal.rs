//! The least that can be called an HTTP proxy with hyper: rewrite the URI, ask, answer.

use std::net::SocketAddr;

use http::{Request, Uri};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::net::TcpListener;

/// The argument that makes this program the proxy.
pub(crate) const COMMAND: &str = "minimal-proxy";

/// `minimal-proxy LISTEN UPSTREAM`, until it is killed.
pub(crate) fn run() {
    let addresses: Vec<SocketAddr> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let &[listen, upstream] = addresses.as_slice() else {
        panic!("{COMMAND} LISTEN UPSTREAM");
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(serve(listen, upstream));
}

async fn serve(listen: SocketAddr, upstream: SocketAddr) {
    let listener = TcpListener::bind(listen).await.expect("the port is free");
    let client = Client::builder(TokioExecutor::new()).build_http::<Incoming>();
    loop {
        let Ok((connection, _)) = listener.accept().await else { continue };
        connection.set_nodelay(true).expect("a socket");
        let client = client.clone();
        let proxy = service_fn(move |mut request: Request<Incoming>| {
            let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
            let uri =
                Uri::builder().scheme("http").authority(upstream.to_string()).path_and_query(path).build();
            *request.uri_mut() = uri.expect("parts of a URI");
            client.request(request)
        });
        tokio::spawn(async move {
            let _ended = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(connection), proxy)
                .await;
        });
    }
}
