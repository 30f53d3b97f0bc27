//! `playback_configuration` in the file of `onelane serve` and `onelane check`.

use std::{net::SocketAddr, process::Stdio};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout},
    time::timeout,
};

use crate::{
    account::{Account, REGION},
    doctor::emulator,
    process::{HANG, ended, onelane, settings, write},
};

/// A sidecar in a process of its own.
struct Serve {
    listen: SocketAddr,
    admin: SocketAddr,
    upstream: String,
    lines: Lines<BufReader<ChildStdout>>,
    client: Client<HttpConnector, Empty<Bytes>>,
    _child: Child,
}

const ONE: &str = "upstream = { playback_configuration = \"Demo\", region = \"eu-west-1\" }\n";

fn flags<'a>(command: &'a str, path: &'a str) -> Vec<&'a str> {
    let free = "127.0.0.1:0";
    vec![
        command,
        "--config",
        path,
        "--listen",
        free,
        "--admin",
        free,
        "--threads",
        "1",
        "--log-format",
        "json",
    ]
}

// === impl Serve ===

impl Serve {
    async fn start(account: &Account, path: &str) -> Self {
        let mut command = onelane(&flags("serve", path));
        account.lead(&mut command);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let line = line_with(&mut lines, "serving").await;
        let address = |name: &str| line[name].as_str().expect(name).parse().expect("an address");
        let upstream = line["upstream"].as_str().expect("upstream").to_owned();
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { listen: address("listen"), admin: address("admin"), upstream, lines, client, _child: child }
    }

    async fn ask(&self, method: Method, at: SocketAddr, path: &str, host: &str) -> (StatusCode, String) {
        let request =
            Request::builder().method(method).uri(format!("http://{at}{path}")).header("host", host);
        let request = request.body(Empty::new()).expect("a request");
        let answer = timeout(HANG, self.client.request(request)).await.expect("no hang").expect("an answer");
        let status = answer.status();
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        (status, String::from_utf8(body.into()).expect("text"))
    }

    async fn play(&self, path: &str, host: &str) -> (StatusCode, String) {
        self.ask(Method::GET, self.listen, path, host).await
    }

    async fn reload(&self) -> (StatusCode, String) {
        self.ask(Method::POST, self.admin, "/reload", "a").await
    }
}

async fn line_with(lines: &mut Lines<BufReader<ChildStdout>>, message: &str) -> Value {
    loop {
        let line = timeout(HANG, lines.next_line()).await.expect("no hang");
        let line = line.expect("text").expect("a line before the end");
        let line: Value = serde_json::from_str(&line).expect("JSON");
        if line["message"] == message {
            return line;
        }
    }
}

#[tokio::test]
async fn the_endpoint_is_the_configuration_s() {
    let (_emulator, endpoint) = emulator().await;
    // A prefix with a path is one as well.
    let account = Account::of(&format!("{endpoint}/")).await;
    let (_folder, path) = settings(ONE);
    let serve = Serve::start(&account, &path).await;
    assert_eq!(serve.upstream, endpoint);
    let (status, playlist) = serve.play("/v1/master/acct/Demo/index.m3u8", "a").await;
    assert!(status == StatusCode::OK && playlist.starts_with("#EXTM3U"), "{status}: {playlist}");
    let media = playlist.lines().find(|line| line.ends_with("/0.m3u8")).expect("a media playlist");
    let (status, playlist) = serve.play(&media.replace("../../../", "/v1/"), "a").await;
    assert!(status == StatusCode::OK && playlist.contains("#EXTINF"), "{status}: {playlist}");
    assert_eq!(account.asked(), ["Demo eu-west-1/mediatailor/aws4_request"]);
}

#[tokio::test]
async fn several_may_be_named_and_each_is_asked_for_once() {
    let (_emulator, endpoint) = emulator().await;
    let account = Account::of(&endpoint).await;
    let table = |name: &str, of: &str| {
        format!("[[upstream]]\nname = \"{name}\"\nhosts = [\"{name}.example\"]\n{of}\n")
    };
    let named = |name: &str| format!("playback_configuration = \"{name}\"\nregion = \"{REGION}\"\n");
    let url = table("c", "url = \"http://127.0.0.1:1\"");
    let text =
        [table("a", &named("Demo")), table("b", &named("Demo")), url, table("d", &named("News"))].concat();
    let (_folder, path) = settings(&text);
    let serve = Serve::start(&account, &path).await;
    assert_eq!(serve.upstream, [&*endpoint, &endpoint, "http://127.0.0.1:1", &endpoint].join(", "));
    for (host, status) in [("a.example", 200), ("b.example", 200), ("c.example", 502), ("d.example", 200)] {
        let (answer, _) = serve.play("/v1/master/acct/Demo/index.m3u8", host).await;
        assert_eq!(answer.as_u16(), status, "{host}");
    }
    assert_eq!(account.asked().len(), 2, "{:?}", account.asked());
}

#[tokio::test]
async fn a_reload_asks_again_and_changes_all_or_nothing() {
    let (_emulator, endpoint) = emulator().await;
    let account = Account::of(&endpoint).await;
    let (_folder, path) = settings(ONE);
    let mut serve = Serve::start(&account, &path).await;
    write(&path, &format!("depth = 3\n{ONE}"));
    assert_eq!(serve.reload().await, (StatusCode::OK, "reloaded: depth\n".to_owned()));

    for (name, says) in [
        (
            "Denied",
            &["upstream: playback configuration", "Denied", "allow mediatailor:GetPlaybackConfiguration"][..],
        ),
        ("Gone", &["upstream: ", "none of that name"]),
        ("Hang", &["upstream: ", "no answer in 10 s"]),
    ] {
        write(&path, &format!("depth = 4\n{}", ONE.replace("Demo", name)));
        let (status, why) = serve.reload().await;
        assert!(
            status == StatusCode::UNPROCESSABLE_ENTITY && says.iter().all(|part| why.contains(part)),
            "{why}"
        );
        let line = line_with(&mut serve.lines, "not reloaded: nothing changes").await;
        assert!(line.to_string().contains(name), "{line}");
    }
    // An upstream is one from the start to the end.
    account.says("http://127.0.0.1:1", json!({}));
    write(&path, &format!("depth = 4\n{ONE}"));
    let (status, why) = serve.reload().await;
    assert!(status == StatusCode::UNPROCESSABLE_ENTITY && why.contains("upstream: cannot change"), "{why}");
    account.says(&endpoint, json!({}));
    assert_eq!(serve.reload().await, (StatusCode::OK, "reloaded: depth\n".to_owned()));
    let (status, _) = serve.play("/v1/master/acct/Demo/index.m3u8", "a").await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn who_cannot_ask_does_not_start() {
    let account = Account::of("nowhere").await;
    let start = async |name: &str| {
        let (_folder, path) = settings(&ONE.replace("Demo", name));
        let mut command = onelane(&flags("serve", &path));
        account.lead(&mut command);
        ended(command).await
    };
    let (denied, gone, hangs, useless, busy) =
        tokio::join!(start("Denied"), start("Gone"), start("Hang"), start("Useless"), start("Busy"));
    for ((code, _, error), ends, says) in [
        (denied, 69, &["\"Denied\" in eu-west-1", "user/ops is not authorized", "allow mediatailor:"][..]),
        (gone, 64, &["\"Gone\" in eu-west-1", "none of that name", "list-playback-configurations"]),
        (hangs, 69, &["no answer in 10 s", "AWS_ENDPOINT_URL_MEDIATAILOR"]),
        (useless, 69, &["PlaybackEndpointPrefix, \"nowhere\", is no endpoint"]),
        (busy, 69, &["TooManyRequestsException", "in a minute"]),
    ] {
        assert_eq!(code, Some(ends), "{error}");
        assert!(error.starts_with("error: upstream: playback configuration "), "{error}");
        assert!(error.lines().count() == 1 && says.iter().all(|part| error.contains(part)), "{error}");
    }
    let (_folder, path) = settings(ONE);
    let mut command = onelane(&flags("serve", &path));
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    let (code, _, error) = ended(command).await;
    assert_eq!(code, Some(69), "{error}");
    assert!(
        error.contains("there are no AWS credentials; set AWS_PROFILE") && error.lines().count() == 1,
        "{error}"
    );
}

#[tokio::test]
async fn who_is_told_to_stop_while_it_asks_stops() {
    let account = Account::of("nowhere").await;
    for signal in ["-TERM", "-INT"] {
        let (_folder, path) = settings(&ONE.replace("Demo", "Hang"));
        let mut command = onelane(&flags("serve", &path));
        account.lead(&mut command);
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it starts");
        let asked = account.asked().len();
        let asks = async {
            while account.asked().len() == asked {
                tokio::task::yield_now().await;
            }
        };
        timeout(HANG, asks).await.expect("it asks");
        let id = child.id().expect("it runs").to_string();
        let kill = tokio::process::Command::new("kill").args([signal, &id]).status();
        assert!(timeout(HANG, kill).await.expect("no hang").expect("kill").success());
        let status = timeout(HANG, child.wait()).await.expect("no hang").expect("a status");
        // 69 is what it would end with after 10 s.
        assert_eq!(status.code(), Some(0), "{signal}");
    }
}

#[tokio::test]
async fn a_setting_that_makes_no_sense_is_refused_where_it_stands() {
    for (text, says) in [
        ("upstream = { playback_configuration = \"\" }", ":1:39: upstream.playback_configuration: "),
        (
            "upstream = { playback_configuration = 1 }",
            "upstream.playback_configuration: invalid type: integer `1`",
        ),
        ("upstream = { region = \"eu-west-1\" }", "upstream: playback_configuration is missing; add it"),
        (
            "[upstream]\nplayback_configuration = \"Demo\"\nregion = \"Ireland\"",
            ":3:10: upstream.region: \"Ireland\": ",
        ),
        ("upstream = { playback_configuration = \"Demo\", regoin = \"a\" }", "did you mean region?"),
        ("upstream = { playback_configuration = \"Demo\" }", "its region is not known; say which"),
        ("[[upstream]]\nname = \"a\"", "\"a\": url is missing; add it, or playback_configuration"),
        (
            "[[upstream]]\nname = \"a\"\nregion = \"eu-west-1\"",
            "url is missing; add it, or playback_configuration",
        ),
        (
            "[[upstream]]\nname = \"a\"\nurl = \"http://a.example\"\nplayback_configuration = \"Demo\"",
            "leave the one or the others out",
        ),
        (
            "[[upstream]]\nname = \"a\"\nplayback_configuration = \"a b\"",
            "upstream[0].playback_configuration: \"a b\"",
        ),
    ] {
        let (_folder, path) = settings(&format!("{text}\n"));
        let (code, _, error) = ended(onelane(&flags("serve", &path))).await;
        assert_eq!(code, Some(64), "{text}: {error}");
        assert!(error.contains(says) && error.lines().count() == 1, "{text}: {error}");
    }
}

#[tokio::test]
async fn check_asks_nobody_and_a_flag_goes_first() {
    let account = Account::of("http://127.0.0.1:1").await;
    let (_folder, path) = settings(&format!("depth = 3\n{ONE}"));
    let mut check = onelane(&["check", "--config", &path]);
    account.lead(&mut check);
    let (code, told, error) = ended(check).await;
    assert_eq!(code, Some(0), "{error}");
    let line = format!(
        "{} # {path}:2; serve asks the API of MediaTailor for its endpoint, check asks nobody",
        ONE.trim()
    );
    assert!(told.lines().any(|one| one == line), "{told}");
    // What it tells is a file with these settings.
    let (_again, again) = settings(&told);
    let (code, same, error) = ended(onelane(&["check", "--config", &again])).await;
    assert_eq!(code, Some(0), "{error}");
    assert!(same.contains(ONE.trim()), "{same}");

    let (code, told, error) =
        ended(onelane(&["check", "--config", &path, "--upstream", "http://a.example"])).await;
    assert_eq!(code, Some(0), "{error}");
    assert!(told.starts_with("upstream = \"http://a.example\" # --upstream\n"), "{told}");
    assert_eq!(account.asked(), [""; 0]);
}
