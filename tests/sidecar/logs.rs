//! What the command logs, and that whoever reads it cannot stop playback.

use std::collections::HashMap;

use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};

use crate::{
    far::Far,
    process::Serve,
    support::{Folder, fitting, media, ok, session},
};

async fn ask(serve: &Serve, far: &mut Far, target: &str, answer: &str) -> u16 {
    let mut player = serve.player().await;
    player.ask(target).await;
    if answer.is_empty() {
        // Once more within the turn.
        far.asked().await.close();
        far.asked().await.close();
    } else {
        let body = fitting(target, "x");
        far.asked().await.say(ok(&body).replacen("\r\n", &format!("\r\n{answer}"), 1));
    }
    player.answer().await.status()
}

#[tokio::test]
async fn every_exchange_is_one_line_and_no_line_has_a_whole_session() {
    let mut far = Far::listen().await;
    let folder = Folder::new();
    let config = folder.file("a.toml", "[retry]\npatient = false\n");
    let mut serve = Serve::start(&far.url(), &["--serialize-tracking", "--config", &config]).await;
    let sessions: Vec<_> =
        (0..7).map(|n| session(n).replacen("6f1b7c52", &format!("{n}f1b7c52"), 1)).collect();
    let query = |n: usize| format!("?aws.sessionId={}", sessions[n]);
    let with_id = "x-amzn-RequestId: abc-1\r\nConnection: close\r\n";
    let targets = [
        (media(&sessions[0], 0), with_id, "media"),
        (format!("/v1/master/acct/Demo/index.m3u8{}", query(1)), with_id, "multivariant"),
        (format!("/v1/tracking/acct/Demo/{}", sessions[2]), with_id, "tracking"),
        (format!("/v1/dash/acct/Demo/index.mpd{}", query(3)), with_id, "dash"),
        (media(&sessions[4], 0), "", "media"),
        (format!("/v1/segment/acct/Demo/{}/0/1", sessions[5]), "", "segment"),
        ("/v1/session/acct/Demo/index.m3u8".to_owned(), with_id, "session_creation"),
    ];
    for (target, answer, _) in &targets {
        let status = ask(&serve, &mut far, target, answer).await;
        assert_eq!(status, if answer.is_empty() { 502 } else { 200 });
    }
    let mut malformed = serve.player().await;
    malformed.ask(&media(&format!("{}%00", sessions[6]), 0)).await;
    assert_eq!(malformed.answer().await.status(), 400);
    drop(malformed);

    serve.signal("-TERM").await;
    assert!(serve.ended().await.success());
    let mut exchanges: HashMap<(String, String), Vec<Value>> = HashMap::new();
    while let Some(line) = serve.lines.next_line().await.unwrap() {
        for id in &sessions {
            assert!(!line.contains(id.as_str()), "{line}");
        }
        let line: Value = serde_json::from_str(&line).expect("JSON");
        if line["target"] == "onelane::exchange" {
            let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
            exchanges.entry((text("kind"), text("session"))).or_default().push(line);
        }
    }
    assert_eq!(exchanges.values().map(Vec::len).sum::<usize>(), targets.len(), "{exchanges:#?}");
    for (n, (_, answer, kind)) in targets.iter().enumerate() {
        // Segments are not looked into for their session, and one that is to be made has none.
        let shown = if n > 4 { String::new() } else { format!("{n}f1b7c52…") };
        let line = &exchanges[&((*kind).to_owned(), shown)][0];
        assert!(line["wait_ms"].is_f64() && line["upstream_ms"].is_f64(), "{line}");
        if answer.is_empty() {
            assert_eq!((&line["level"], &line["status"]), (&"WARN".into(), &Value::Null));
            assert!(line["error"].as_str().is_some_and(|text| text.contains(": ")), "{line}");
        } else {
            assert_eq!((&line["level"], &line["status"]), (&"INFO".into(), &200.into()));
            assert_eq!(line["request_id"], "abc-1");
        }
    }
}

#[tokio::test]
async fn a_log_that_nobody_reads_stops_nobody() {
    let mut far = Far::listen().await;
    let mut serve = Serve::start(&far.url(), &["--log", "debug"]).await;
    let mut player = serve.player().await;
    // Far more than a pipe holds.
    for n in 0..600 {
        player.ask(&media(&session(n), 0)).await;
        far.asked().await.well("x");
        assert_eq!(player.answer().await.status(), 200);
    }
    drop(player);
    serve.signal("-TERM").await;
    assert!(serve.ended().await.success());
}

#[tokio::test]
async fn a_log_that_was_closed_stops_nobody() {
    let mut far = Far::listen().await;
    let mut serve = Serve::start(&far.url(), &[]).await;
    serve.close_log();
    let mut player = serve.player().await;
    for n in 0..50 {
        player.ask(&media(&session(n), 0)).await;
        far.asked().await.well("x");
        assert_eq!(player.answer().await.status(), 200);
    }
    drop(player);
    serve.signal("-TERM").await;
    assert!(serve.ended().await.success());
}

#[tokio::test]
async fn what_mediatailor_said_is_logged_without_whole_sessions_and_queries() {
    let mut far = Far::listen().await;
    let mut serve = Serve::start(&far.url(), &[]).await;
    // A UUID, and one of AWS's examples, which is a character short.
    for id in [session(1), "f1b7c52-30aa-4c1e-9d0f-2a4d1f7be901".to_owned()] {
        let said = format!("https://origin.example/0.m3u8?token=abc: sessionId:[{id}] customerId:[1234]");
        let body = format!(r#"{{"message":"{said}"}}"#);
        let head =
            "HTTP/1.1 404 Not Found\r\nx-amzn-ErrorType: NotFoundException:http://internal.amazon.com/coral/";
        let mut player = serve.player().await;
        player.ask(&media(&id, 0)).await;
        far.asked().await.say(format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        player.answer().await.is_problem(404);
        let line = serve.line_with("judged").await;
        let shown = format!("https://origin.example/0.m3u8?… sessionId:[{}…] customerId:[1234]", &id[..8]);
        assert_eq!((&line["said"], &line["session"]), (&shown.into(), &format!("{}…", &id[..8]).into()));
    }
}

#[tokio::test]
async fn a_request_that_comes_back_is_one_line_with_the_remedy() {
    // Its upstream has it for its origin.
    let between = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let upstream = format!("http://{}", between.local_addr().expect("an address"));
    let mut serve = Serve::start(&upstream, &[]).await;
    let origin = serve.listen;
    tokio::spawn(async move {
        while let Ok((mut near, _)) = between.accept().await {
            let mut far = TcpStream::connect(origin).await.expect("the sidecar listens");
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
        }
    });
    let mut player = serve.player().await;
    let answer = player.get(&media(&session(1), 0)).await;
    answer.is_problem(502);
    let line = serve.line_with("a request has come back").await;
    assert_eq!((&line["level"], &line["verdict"]), (&"ERROR".into(), &"misaddressed".into()));
    assert_eq!(line["upstream"], upstream);
    assert!(line["remedy"].as_str().is_some_and(|remedy| remedy.contains("--upstream")), "{line}");
}

#[tokio::test]
async fn a_resume_that_its_turn_cuts_off_is_told() {
    let mut far = Far::listen().await;
    let mut serve =
        Serve::start(&far.url(), &["--resume", "--max-hold", "1s", "--answer-within", "900ms"]).await;
    let one = session(1);
    let master = "/v1/master/acct/Demo/index.m3u8";
    let multivariant =
        format!("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n../../../manifest/acct/Demo/{one}/0.m3u8\n");
    for (target, body) in [(master.to_owned(), multivariant), (media(&one, 0), fitting(&media(&one, 0), "x"))]
    {
        let mut player = serve.player().await;
        player.ask(&target).await;
        far.asked().await.say(ok(&body));
        assert_eq!(player.answer().await.status(), 200, "{target}");
    }
    let mut player = serve.player().await;
    player.ask(&media(&one, 0)).await;
    far.asked().await.say("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    let hangs = far.asked().await;
    assert!(hangs.message.first_line().starts_with(&format!("GET {master}")));
    assert_eq!(serve.line_with("not resumed").await["reason"], "the turn was over first");
    drop(hangs);
}
