//! Several upstreams behind one sidecar.

use std::collections::BTreeMap;

use crate::{
    far::Far,
    metrics::scrape,
    player::Player,
    process::{Serve, onelane},
    support::{Folder, session, within},
};

const CONFLICT: &str = "HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n";

fn media(configuration: &str, playlist: u32) -> String {
    format!("/v1/manifest/acct/{configuration}/{}/{playlist}.m3u8", session(1))
}

fn tables(one: &Far, two: &Far, rest: &str) -> String {
    format!(
        "[[upstream]]\nname = \"one\"\nurl = \"{}\"\nhosts = [\"player.example\"]\npath_prefix = \"/v1/*/acct/One\"\nretry = {{ conflict = 0 }}\n\
         remap = {{ conflict = {{ status = 500 }} }}\n\
         [[upstream]]\nname = \"two\"\nurl = \"{}\"\nhosts = [\"Player.example\", \"B.Example.\"]\npath_prefix = \"/v1/*/acct/Two\"\n{rest}",
        one.url(),
        two.url()
    )
}

async fn reload(serve: &Serve) -> (u16, String) {
    let mut admin = Player::connect(serve.admin).await;
    admin.say("POST /reload HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await;
    let answer = admin.answer().await;
    (answer.status(), answer.text())
}

#[tokio::test]
async fn each_gets_its_own_requests_and_none_hurts_another() {
    let folder = Folder::new();
    let (mut one, mut two) = (Far::listen().await, Far::listen().await);
    let third =
        format!("[[upstream]]\nname = \"three\"\nurl = \"{}\"\nhosts = [\"three.example\"]\n", two.url());
    let config = folder.file("sites.toml", tables(&one, &two, &format!("answer_within = \"5s\"\n{third}")));
    let serve = Serve::start(&one.url(), &["--config", &config, "--depth", "2", "--threads", "2"]).await;

    // The same session and path at both: two lanes. The one that hangs has its own.
    let mut hung = Vec::new();
    for n in 0..2 {
        let mut player = serve.player().await;
        player.ask(&media("One", n)).await;
        hung.push(player);
    }
    let hangs = one.asked().await;
    serve.player().await.get(&media("One", 2)).await.is_problem(504);
    for n in 0..3 {
        let mut player = serve.player().await;
        player.ask(&media("Two", n)).await;
        let asked = two.asked().await;
        assert_eq!(asked.message.header("host"), Some(&two.url()["http://".len()..]));
        asked.well("two");
        assert_eq!(player.answer().await.note(), "two");
    }
    let mut player = serve.player().await;
    player.say(format!("GET {} HTTP/1.1\r\nHost: three.example\r\n\r\n", media("One", 0))).await;
    two.asked().await.well("the very same path");
    assert_eq!(player.answer().await.note(), "the very same path");
    hangs.well("late");
    one.asked().await.well("later");
    let mut notes = Vec::new();
    for mut player in hung {
        notes.push(player.answer().await.note());
    }
    notes.sort();
    assert_eq!(notes, ["late", "later"]);

    // Nobody's: another path, or another host.
    serve.player().await.get(&media("Three", 0)).await.is_problem(404);
    let mut player = serve.player().await;
    player.say(format!("GET {} HTTP/1.1\r\nHost: c.example\r\n\r\n", media("Two", 0))).await;
    player.answer().await.is_problem(404);
    player.say(format!("GET {} HTTP/1.1\r\nHost: B.example:80\r\n\r\n", media("Two", 9))).await;
    two.asked().await.well("by its other name");
    assert_eq!(player.answer().await.note(), "by its other name");
    player.say(format!("GET {} HTTP/1.1\r\nHost: b.EXAMPLE.:80\r\n\r\n", media("Two", 9))).await;
    two.asked().await.well("in full");
    assert_eq!(player.answer().await.note(), "in full");
    one.is_quiet();
    two.is_quiet();
}

#[tokio::test]
async fn a_host_that_is_nobodys_is_counted_and_told_once() {
    let folder = Folder::new();
    let (one, two) = (Far::listen().await, Far::listen().await);
    let config = folder.file("sites.toml", tables(&one, &two, ""));
    let mut serve = Serve::start(&one.url(), &["--config", &config]).await;
    let mut player = serve.player().await;
    let host = format!("c.example\t\u{e9}{}", "x".repeat(300));
    for _ in 0..3 {
        player.say(format!("GET {} HTTP/1.1\r\nHost: {host}\r\n\r\n", media("Two", 0))).await;
        player.answer().await.is_problem(404);
    }
    player.say("CONNECT c.example:443 HTTP/1.1\r\nHost: player.example\r\n\r\n").await;
    player.answer().await.is_problem(404);
    let mut player = serve.player().await;
    player.say("GET / HTTP/1.1\r\nHost: player.example\r\n\r\n").await;
    player.answer().await.is_problem(404);

    let levels = scrape(&serve).await;
    let requests = |labels: &str| levels.get(&format!("onelane_requests_total{{{labels}}}")).copied();
    assert_eq!(requests(r#"configuration="other",kind="media",status="404""#), Some(3.0));
    assert_eq!(requests(r#"configuration="none",kind="other",status="404""#), Some(2.0));
    assert_eq!(levels[r#"onelane_remaps_total{verdict="bad_request",status="404"}"#], 5.0);
    let (_, overview) = serve.admin("/api/overview").await;
    let overview: serde_json::Value = serde_json::from_str(&overview).expect("JSON");
    assert_eq!(overview["events"].as_array().map(Vec::len), Some(5), "{overview:#}");

    let line = serve.line_with("turned away").await;
    let host = line["host"].as_str().expect("a host");
    assert!(host.starts_with("c.example\\t\\xc3\\xa9xxx") && host.len() <= 64, "{line}");
    assert_eq!((&line["level"], &line["status"]), (&"WARN".into(), &404.into()), "{line}");
    assert!(line["remedy"].as_str().is_some_and(|remedy| remedy.contains("hosts and path_prefix")), "{line}");
    serve.signal("-TERM").await;
    while let Some(line) = within(serve.lines.next_line()).await.expect("text") {
        assert!(!line.contains("turned away"), "once is enough: {line}");
    }
}

#[tokio::test]
async fn each_has_its_own_settings_and_a_reload_changes_them() {
    let folder = Folder::new();
    let (mut one, mut two) = (Far::listen().await, Far::listen().await);
    let config = folder.file("sites-own.toml", tables(&one, &two, "retry = { patient = false }\n"));
    let serve = Serve::start(&one.url(), &["--config", &config]).await;
    let mut player = serve.player().await;
    player.ask(&media("One", 0)).await;
    one.asked().await.say(CONFLICT);
    player.answer().await.is_problem(500);
    player.ask(&media("Two", 0)).await;
    for _ in 0..4 {
        two.asked().await.say(CONFLICT);
    }
    player.answer().await.is_problem(502);

    let own = "remap = { conflict = { status = 503 } }\nretry = { conflict = 0 }\n";
    folder.file("sites-own.toml", tables(&one, &two, own));
    assert_eq!(reload(&serve).await, (200, "reloaded: [[upstream]]\n".to_owned()));
    player.ask(&media("Two", 1)).await;
    two.asked().await.say(CONFLICT);
    player.answer().await.is_problem(503);

    let elsewhere = Far::listen().await;
    for (tables, says) in [
        (
            tables(&one, &elsewhere, ""),
            "[[upstream]] with name, url, host, hosts and path_prefix: cannot change",
        ),
        (tables(&one, &two, "path_prefix = \"x\"\n"), "duplicate key"),
        (tables(&one, &two, "dept = 3\n"), "did you mean depth?"),
        (format!("upstream = \"{}\"\n", one.url()), "[[upstream]] with name"),
    ] {
        folder.file("sites-own.toml", &tables);
        let (status, told) = reload(&serve).await;
        assert!(status == 422 && told.contains(says), "{told}");
        player.ask(&media("Two", 2)).await;
        two.asked().await.say(CONFLICT);
        player.answer().await.is_problem(503);
    }
}

#[tokio::test]
async fn each_is_measured_by_itself() {
    let folder = Folder::new();
    let (mut one, mut two) = (Far::listen().await, Far::listen().await);
    let own = "[upstream.shield]\nconfiguration_4xx_per_minute = 10\n[upstream.settle]\nmost = \"9s\"\n";
    let text = format!("record_sessions = 9\n[settle]\nmost = \"0s\"\n{}", tables(&one, &two, own));
    let config = folder.file("sites.toml", &text);
    let serve = Serve::start(&one.url(), &["--config", &config]).await;
    let mut player = serve.player().await;
    for (far, configuration) in [(&mut one, "One"), (&mut two, "Two")] {
        player.ask(&media(configuration, 0)).await;
        far.asked().await.well("good");
        assert_eq!(player.answer().await.note(), "good");
    }
    player.ask(&media("Two", 0)).await;
    two.asked().await.say(CONFLICT);
    two.asked().await.well("better");
    assert_eq!(player.answer().await.note(), "better");
    let mut waits = Vec::new();
    player.ask(&media("Two", 0)).await;
    let flies = two.asked().await;
    for n in 1..3 {
        let mut player = serve.player().await;
        player.ask(&media("Two", n)).await;
        waits.push(player);
    }

    let of = |levels: &BTreeMap<String, f64>, name: &str| {
        ["one", "two"].map(|upstream| levels[&format!("{name}{{upstream=\"{upstream}\"}}")])
    };
    let levels = scrape(&serve).await;
    assert_eq!(of(&levels, "onelane_4xx_quota_used_ratio"), [0.0, 0.1], "by its own limit");
    assert_eq!(of(&levels, "onelane_4xx_configurations"), [0.0, 0.0], "of conflicts alone");
    assert_eq!(of(&levels, "onelane_settle_configurations"), [0.0, 1.0], "the other has none");
    assert!(of(&levels, "onelane_settle_gap_seconds")[1] > 0.0);
    assert!(of(&levels, "onelane_upstream_connections").iter().all(|open| *open >= 1.0));
    assert!(!levels.contains_key("onelane_4xx_quota_used_ratio"), "nothing stands for none of them");

    let (_, overview) = within(async {
        loop {
            let told = serve.admin("/api/overview").await;
            if told.1.contains("\"waiting\":2") {
                break told;
            }
        }
    })
    .await;
    let overview: serde_json::Value = serde_json::from_str(&overview).expect("JSON");
    assert_eq!(
        (&overview["longest"][0]["upstream"], &overview["longest"][0]["waiting"]),
        (&"two".into(), &2.into())
    );
    let (_, told) = serve.admin(&format!("/api/sessions/{}", session(1))).await;
    let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    let requests = told["requests"].as_array().expect("a list");
    let at = |upstream: &str| requests.iter().filter(|request| request["upstream"] == upstream).count();
    assert_eq!((at("one"), at("two")), (1, 5), "{told:#}");

    // A reload forgets nothing of it.
    folder.file("sites.toml", text.replace("9s", "8s"));
    assert_eq!(reload(&serve).await.0, 200);
    assert_eq!(of(&scrape(&serve).await, "onelane_4xx_quota_used_ratio"), [0.0, 0.1]);
    flies.well("flew");
    player.answer().await;
    for mut waits in waits {
        two.asked().await.well("waited");
        waits.answer().await;
    }
}

#[tokio::test]
async fn wrong_tables_are_told_in_one_line() {
    let folder = Folder::new();
    let good = "name = \"one\"\nurl = \"http://127.0.0.1:9\"\n";
    let two = |first: &str, second: &str| {
        format!("[[upstream]]\n{good}{first}\n[[upstream]]\nurl = \"http://127.0.0.1:8\"\n{second}\n")
    };
    for (text, says) in [
        ("[[upstream]]\nname = \"one\"\n".to_owned(), "url is missing; add it"),
        (format!("[[upstream]]\n{good}hosts = [\"http://a.example\"]\n"), "which is no host name"),
        (format!("[[upstream]]\n{good}hosts = [\"a.example:80\"]\n"), "without scheme, port and path"),
        (format!("[[upstream]]\n{good}hosts = [\".\"]\n"), "which is no host name"),
        (format!("[[upstream]]\n{good}hosts = [\"*.example.com\"]\n"), "without asterisk"),
        (format!("[[upstream]]\n{good}hosts = [\"bücher.example\"]\n"), "(xn--…)"),
        (format!("[[upstream]]\n{good}path_prefix = \"/v1/man*\"\n"), "path_prefix has \"man*\""),
        (format!("[[upstream]]\n{good}path_prefix = \"v1\"\n"), "begin it with a slash"),
        (format!("[[upstream]]\n{good}waiting = 3\n"), "waiting: it is not known"),
        (
            format!("[[upstream]]\n{good}[upstream.rescue]\nbytes = \"1MiB\"\n"),
            "is for all upstreams together",
        ),
        (
            format!("rescue = {{ enabled = false }}\n[[upstream]]\n{good}rescue = {{ enabled = true }}\n"),
            "which is for all",
        ),
        ("[[upstream]]\nname = \"one\"\nurl = \"a.example\"\n".to_owned(), "write https://a.example"),
        (two("", "name = \"two\""), "\"two\" is never asked"),
        (two("path_prefix = \"/\"", "name = \"two\"\npath_prefix = \"/a\""), "\"two\" is never asked"),
        (
            two("path_prefix = \"/a\"", "name = \"two\"\npath_prefix = \"/a/b\"\nhosts = [\"a\"]"),
            "which stands before it",
        ),
        (
            two("hosts = [\"A.example\"]", "name = \"two\"\nhosts = [\"a.example.\"]"),
            "\"two\" is never asked",
        ),
        (two("path_prefix = \"/a\"", "name = \"one\""), "two are called \"one\""),
        (
            "[[upstream]]\nname = \"\"\nurl = \"http://127.0.0.1:9\"\n".to_owned(),
            ":2:8: upstream[0].name: \"\": it is empty",
        ),
        (two("path_prefix = \"/a\"", "name = \" \""), "upstream[1].name: \" \": it is empty"),
        (
            "[[upstream]]\nname = \"one\"\nurl = \"http://a.example/#main\"\n".to_owned(),
            "it has a fragment, which is never sent; write http://a.example",
        ),
        ("upstream = [\"http://a.example\"]\n".to_owned(), "upstream"),
        ("upstream = []\n".to_owned(), "upstream: the list is empty; write upstream = "),
    ] {
        let config = folder.file("wrong-sites.toml", &text);
        let output = within(onelane(&["check", "--config", &config]).output()).await.expect("it starts");
        let told = String::from_utf8(output.stderr).expect("text");
        assert_eq!((output.status.code(), told.lines().count()), (Some(64), 1), "{text}: {told}");
        assert!(told.contains(says), "{text}: {told}");
    }

    let config = folder.file("sites-check.toml", two("path_prefix = \"/a\"", "name = \"two\""));
    let output = within(onelane(&["check", "--config", &config]).output()).await.expect("it starts");
    let told = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let again = folder.file("sites-again.toml", &told);
    let output = within(onelane(&["check", "--config", &again]).output()).await.expect("it starts");
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(told.matches("[[upstream]]").count(), 2, "{told}");

    let other = ["check", "--config", &config, "--upstream", "http://127.0.0.1:7"];
    let output = within(onelane(&other).output()).await.expect("it starts");
    let told = String::from_utf8(output.stderr).expect("text");
    assert!(output.status.code() == Some(64) && told.contains("leave one of the two out"), "{told}");
}
