//! The examples, run as a reader would run them: beside the emulator, which says whether they keep their word.

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Once,
};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use onelane::emulator::{Args, Emulator};
use tokio::io::{AsyncBufReadExt as _, BufReader};

/// Ended with the test, however that ends.
struct Example(Child);

impl Drop for Example {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _ended = self.0.wait();
    }
}

async fn emulator() -> Emulator {
    let mut args = Args::default();
    args.listen = "127.0.0.1:0".parse().expect("an address");
    args.latency = "20ms".parse().expect("a latency");
    Emulator::bind(args).await.expect("a free port")
}

/// `cargo test --test examples` alone builds no examples, so this does.
fn example(name: &str, emulator: &Emulator) -> Command {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        let built = Command::new(env!("CARGO")).args(["build", "--quiet", "--examples"]).status();
        assert!(built.expect("cargo runs").success(), "the examples build");
    });
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_onelane"));
    let mut command = Command::new(binary.with_file_name("examples").join(name));
    command.arg(emulator.local_addr().to_string());
    command
}

/// Plays one session through a proxy: its playlists all at once, twice.
async fn play_through(name: &str) {
    let emulator = emulator().await;
    let started = example(name, &emulator).stdout(Stdio::piped()).spawn();
    let mut proxy = Example(started.expect("cargo builds examples for tests"));
    let stdout =
        tokio::process::ChildStdout::from_std(proxy.0.stdout.take().expect("piped")).expect("a pipe");
    let line = BufReader::new(stdout).lines().next_line().await.expect("a pipe").expect("a line");
    let address = line.strip_prefix("listening on ").expect("where it listens").to_owned();

    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let get = |path: String| {
        let request = Request::get(format!("http://{address}{path}")).body(Empty::new()).expect("a request");
        client.request(request)
    };
    let response = get("/v1/master/acct/Demo/index.m3u8".to_owned()).await.expect("an answer");
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    let text = String::from_utf8(body.into()).expect("text");
    let playlists: Vec<_> = text
        .split(['"', '\n'])
        .filter_map(|part| part.split_once("manifest/"))
        .map(|(_, rest)| format!("/v1/manifest/{rest}"))
        .collect();
    assert!(playlists.len() > 2, "{text}");
    for _ in 0..2 {
        let answers: Vec<_> = playlists.iter().map(|path| tokio::spawn(get(path.clone()))).collect();
        for answer in answers {
            assert_eq!(answer.await.expect("no panic").expect("an answer").status(), StatusCode::OK);
        }
    }
    kept_its_word(&emulator);
}

fn kept_its_word(emulator: &Emulator) {
    let stats = emulator.stats();
    assert_eq!((stats.conflicts, stats.max_in_flight), (0, 1), "{stats:?}");
}

#[tokio::test]
async fn axum() {
    play_through("axum").await;
}

#[tokio::test]
async fn hyper() {
    play_through("hyper").await;
}

#[tokio::test]
async fn tower_client() {
    let emulator = emulator().await;
    let mut client = example("tower_client", &emulator);
    let output = tokio::task::spawn_blocking(move || client.output());
    let output = output.await.expect("no panic").expect("cargo builds examples for tests");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(said.lines().count() > 2 && said.lines().all(|line| line.ends_with("200 OK")), "{said}");
    kept_its_word(&emulator);
}
