//! A client that may load all playlists of a session at once, since its requests queue before they leave.
//!
//! `cargo run --example tower_client -- 127.0.0.1:8081` beside `onelane emulate`.

use std::{env, error::Error};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use onelane::serialize::SerializeLayer;
use tower::{Service, ServiceBuilder, ServiceExt as _};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let upstream = env::args().nth(1).ok_or("say where the upstream is: HOST:PORT")?;
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let mut client = ServiceBuilder::new().layer(SerializeLayer::new()).service(client);

    let get = |path: &str| Request::get(format!("http://{upstream}{path}")).body(Empty::<Bytes>::new());
    let response = client.clone().oneshot(get("/v1/master/acct/Demo/index.m3u8")?).await?;
    let multivariant = String::from_utf8(response.into_body().collect().await?.to_bytes().into())?;

    // `../../manifest/<account>/<configuration>/<session>/0.m3u8`, as a line or as an attribute.
    let playlists = multivariant
        .split(['"', '\n'])
        .filter_map(|part| part.split_once("manifest/"))
        .map(|(_, rest)| format!("/v1/manifest/{rest}"));
    // All at once: calling takes the place in line, awaiting gives the answer.
    let mut answers = Vec::new();
    for playlist in playlists {
        answers.push((playlist.clone(), client.call(get(&playlist)?)));
    }
    for (playlist, answer) in answers {
        let response = answer.await?;
        let name = playlist.rsplit('/').next().unwrap_or_default();
        println!("{name}: {}", response.status());
    }
    Ok(())
}
