//! An axum proxy with the whole stack: one lane per session, and what fails upstream becomes what players survive.
//!
//! `cargo run --example axum -- 127.0.0.1:8081` beside `onelane emulate`; it prints where it listens.

use std::{env, error::Error};

use axum::{
    Router,
    body::Body,
    http::{Request, Uri},
    response::{IntoResponse, Response},
};
use hyper_util::{
    client::legacy::{self, Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use onelane::{
    session::MediaTailor,
    stack::{Config, Stack},
};
use tower::ServiceBuilder;

type Upstream = Client<HttpConnector, Body>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let authority = env::args().nth(1).ok_or("say where the upstream is: HOST:PORT")?;
    let client: Upstream = Client::builder(TokioExecutor::new()).build_http();

    // Whatever host players ask for a session, it has one lane.
    let stack = Stack::new(Config::default()).extract_with(MediaTailor::new().upstream(&authority.parse()?));
    let proxy = ServiceBuilder::new().layer(&stack).service_fn(move |request| {
        let (client, authority) = (client.clone(), authority.clone());
        forward(client, authority, request)
    });
    // It never fails: errors are answers as well.
    let app = Router::new().fallback_service(proxy);

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

async fn forward(
    client: Upstream,
    authority: String,
    mut request: Request<Body>,
) -> Result<Response, legacy::Error> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let uri = Uri::builder().scheme("http").authority(authority).path_and_query(path).build();
    *request.uri_mut() = uri.expect("parts of a URI make one");
    request.headers_mut().remove("host");
    client.request(request).await.map(IntoResponse::into_response)
}
