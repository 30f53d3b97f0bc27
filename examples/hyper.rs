//! A hyper server with one lane per session, and no other framework.
//!
//! `cargo run --example hyper -- 127.0.0.1:8081` beside `onelane emulate`; it prints where it listens.

use std::{env, error::Error};

use http::{Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use onelane::serialize::{self, SerializeLayer};
use tokio::net::TcpListener;
use tower::{Layer as _, ServiceExt as _};

type Body = BoxBody<bytes::Bytes, serialize::Error>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let authority = env::args().nth(1).ok_or("say where the upstream is: HOST:PORT")?;
    let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build_http::<Incoming>();
    // One layer for all connections: it holds the lanes.
    let proxy = SerializeLayer::new().layer(client);

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (connection, _) = listener.accept().await?;
        let (proxy, authority) = (proxy.clone(), authority.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            let proxy = proxy.clone();
            let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
            let uri = Uri::builder().scheme("http").authority(&*authority).path_and_query(path).build();
            *request.uri_mut() = uri.expect("parts of a URI make one");
            async move {
                let answer: Result<Response<Body>, http::Error> = match proxy.oneshot(request).await {
                    Ok(response) => Ok(response.map(|body| body.boxed())),
                    Err(error) => Response::builder()
                        .status(error.status())
                        .body(Full::from(error.to_string()).map_err(|never| match never {}).boxed()),
                };
                answer
            }
        });
        tokio::spawn(async move {
            let connection = TokioIo::new(connection);
            if let Err(error) = http1::Builder::new().serve_connection(connection, service).await {
                eprintln!("connection: {error}");
            }
        });
    }
}
