//! Upstreams that fail in every way: a plain answer for the player, and the lane goes on.

use std::time::Duration;

use tokio::net::TcpListener;

use crate::{
    far::{Asked, Far},
    support::{Message, Running, chunked, fresh, media, ok, playlist, session, within},
};

/// Asks for a playlist of a session, lets the upstream do its worst as often as it is asked, and gives what the
/// player got and how often that was. The next request of the session must be answered.
async fn worst(far: &mut Far, sidecar: &Running, mut does: impl FnMut(&Asked)) -> (Message, u32) {
    let one = session(1);
    let mut player = sidecar.getting(&media(&one, fresh()));
    let mut times = 0;
    let answer = loop {
        tokio::select! {
            asked = far.asked() => {
                times += 1;
                does(&asked);
            }
            answer = within(&mut player) => break answer.expect("no panic"),
        }
    };
    sidecar.is_well(far, &one).await;
    (answer, times)
}

/// Holds when the upstream's worst is a 502 for the player, after so many tries.
async fn is_a_502(far: &mut Far, sidecar: &Running, tries: u32, does: impl FnMut(&Asked)) {
    let (answer, times) = worst(far, sidecar, does).await;
    answer.is_problem(502);
    assert_eq!(times, tries, "{answer:?}");
}

#[tokio::test]
async fn an_upstream_that_refuses_is_a_502() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let far = Far::listen().await;
    let sidecar = Running::with(&far, |config| {
        config.upstream = format!("http://127.0.0.1:{port}").parse().unwrap();
    })
    .await;
    for target in [media(&session(1), 0), "/v1/master/acct/Demo/index.m3u8".to_owned(), "/x.ts".to_owned()] {
        sidecar.get(&target).await.is_problem(502);
    }
    sidecar.is_idle().await;
}

#[tokio::test]
async fn an_upstream_that_never_agrees_on_tls_has_no_more_than_the_time_to_connect() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", silent.local_addr().unwrap());
    let far = Far::listen().await;
    let sidecar = Running::with(&far, |config| {
        config.upstream = url.parse().unwrap();
        config.connect_within = Duration::from_millis(100);
        config.retry.patient = false;
    })
    .await;
    // Held for the whole turn it would be a 504.
    sidecar.get(&media(&session(1), 0)).await.is_problem(502);
    sidecar.is_idle().await;
}

#[tokio::test]
async fn answers_that_break_off_are_a_502() {
    let mut far = Far::listen().await;
    let sidecar = Running::impatient(&far).await;
    for said in [
        "",
        "HTTP/1.1 20",
        "HTTP/1.1 200 OK\r\nContent-Le",
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n#EXTM3U",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n#EXTM3U\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n#EXTM3U",
        "HTTP/1.1 100 Continue\r\n\r\n",
    ] {
        is_a_502(&mut far, &sidecar, 2, |asked| {
            asked.say(said);
            asked.close();
        })
        .await;
        is_a_502(&mut far, &sidecar, 2, |asked| {
            asked.say(said);
            asked.reset();
        })
        .await;
    }
}

#[tokio::test]
async fn answers_that_are_no_http_are_a_502() {
    let mut far = Far::listen().await;
    let sidecar = Running::impatient(&far).await;
    let many: String = (0..5000).map(|n| format!("x-{n}: y\r\n")).collect();
    let long = "y".repeat(1024 * 1024);
    for said in [
        "garbage\r\n\r\n".to_owned(),
        "\0\u{1}\u{2}\r\n\r\n".to_owned(),
        "SSH-2.0-OpenSSH_9.9\r\n".to_owned(),
        "HTTP/1.1 99 Low\r\n\r\n".to_owned(),
        "HTTP/1.1 2000 High\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello".to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello".to_owned(),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n".to_owned(),
        format!("HTTP/1.1 200 OK\r\n{many}\r\n"),
        format!("HTTP/1.1 200 OK\r\nx: {long}\r\n\r\n"),
    ] {
        // Nobody is asked again for a playlist who speaks another protocol from there on.
        let tries = if said.starts_with("HTTP/1.1 101") { 1 } else { 2 };
        is_a_502(&mut far, &sidecar, tries, |asked| asked.say(said.as_str())).await;
    }
}

#[tokio::test]
async fn heads_and_early_answers_without_end_are_dropped() {
    let mut far = Far::listen().await;
    let sidecar = Running::with(&far, |config| {
        config.answer_within = Duration::from_millis(500);
        config.max_hold = Duration::from_millis(1000);
    })
    .await;
    for drop_by_drop in ["x: y\r\n", "HTTP/1.1 103 Early Hints\r\n\r\n"] {
        let one = session(1);
        let player = sidecar.getting(&media(&one, 0));
        let mut asked = far.asked().await;
        if drop_by_drop.starts_with('x') {
            asked.say("HTTP/1.1 200 OK\r\n");
        }
        let endless = async {
            loop {
                asked.say(drop_by_drop);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            answer = within(player) => {
                let answer = answer.unwrap();
                let status = answer.status();
                assert!(status == 504 || status == 502, "{answer:?}");
            }
            () = endless => {}
        }
        asked.gone().await;
        sidecar.is_well(&mut far, &one).await;
    }
}

#[tokio::test]
async fn early_answers_are_passed_over() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    let (answer, times) = worst(&mut far, &sidecar, |asked| {
        asked.say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
        asked.well("video");
    })
    .await;
    assert_eq!((answer.status(), answer.note().as_str(), times), (200, "video", 1));
    assert!(answer.header("link").is_none());
}

#[tokio::test]
async fn an_answer_has_one_framing_whatever_came() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    let body = playlist("hello");
    let (length, chunks) = (body.len(), chunked(&body));
    for said in [
        format!("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: 3000\r\n\r\n{chunks}"),
        format!("Content-Length: {length}\r\nContent-Length: {length}\r\n\r\n{body}"),
        format!("Content-Length: {length}, {length}\r\n\r\n{body}"),
        format!(
            "Transfer-Encoding: chunked\r\n\r\n{}",
            chunks.replace("0\r\n\r\n", "0\r\nTrailer: z\r\n\r\n")
        ),
    ] {
        for target in [media(&session(1), 0), "/v1/segment/acct/Demo/one/0/1".to_owned()] {
            let mut player = sidecar.player().await;
            player.ask(&target).await;
            let asked = far.asked().await;
            asked.say(format!("HTTP/1.1 200 OK\r\n{said}"));
            let answer = player.answer().await;
            assert_eq!((answer.status(), answer.text()), (200, body.clone()), "{said}");
            let framings = answer.headers("content-length").len() + answer.headers("transfer-encoding").len();
            assert_eq!(framings, 1, "{answer:?}");
            // What follows on the connection is the next answer, and nothing left over.
            player.ask(&media(&session(1), 1)).await;
            far.asked().await.well("next");
            assert_eq!(player.answer().await.note(), "next");
        }
    }
}

#[tokio::test]
async fn silence_is_a_504_and_the_lane_goes_on() {
    let mut far = Far::listen().await;
    let sidecar = Running::with(&far, |config| {
        config.answer_within = Duration::from_millis(500);
        config.max_hold = Duration::from_secs(2);
    })
    .await;
    let one = session(1);
    for said in ["", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"] {
        let player = sidecar.getting(&media(&one, 0));
        let mut asked = far.asked().await;
        asked.say(said);
        within(player).await.unwrap().is_problem(504);
        // Still in flight: the next is not sent before the time of the first is up.
        assert_eq!(sidecar.layer.exchanges(), 1);
        let waits = sidecar.getting(&media(&one, 1));
        within(waits).await.unwrap().is_problem(504);
        asked.gone().await;
        sidecar.is_idle().await;
        far.is_quiet();
        sidecar.is_well(&mut far, &one).await;
    }
}

#[tokio::test]
async fn silence_off_the_lanes_is_a_504_as_well() {
    let mut far = Far::listen().await;
    let sidecar = Running::with(&far, |config| {
        config.answer_within = Duration::from_millis(500);
        // What makes a session has as long as an exchange.
        config.max_hold = Duration::from_millis(600);
    })
    .await;
    for target in ["/v1/master/acct/Demo/index.m3u8", "/v1/segment/acct/Demo/one/0/1", "/other"] {
        let player = sidecar.getting(target);
        let mut asked = far.asked().await;
        within(player).await.unwrap().is_problem(504);
        asked.gone().await;
    }
}

#[tokio::test]
async fn a_large_answer_streams_and_its_reader_may_be_slow() {
    let mut far = Far::listen().await;
    let sidecar = Running::before(&far).await;
    let one = session(1);
    let size = 3 * 1024 * 1024;
    let lines = (0..size / 16).map(|n| format!("{n:015}\n"));
    let body: String = std::iter::once("#EXTM3U\n".to_owned()).chain(lines).collect();
    let mut slow = crate::player::Player::connect_small(sidecar.address).await;
    slow.ask(&media(&one, 0)).await;
    let asked = far.asked().await;
    asked.say(ok(&body));
    let audio = sidecar.getting(&media(&one, 1));
    sidecar.has_exchanges(2).await;
    let answer = slow.answer().await;
    assert_eq!(answer.status(), 200);
    assert!(answer.text() == body, "the body came through whole");
    far.asked().await.well("audio");
    assert_eq!(within(audio).await.unwrap().note(), "audio");
    sidecar.is_well(&mut far, &one).await;
}

#[tokio::test]
async fn a_large_answer_that_does_not_begin_as_a_playlist_is_a_502() {
    let mut far = Far::listen().await;
    let sidecar = Running::impatient(&far).await;
    for page in [format!("<html>{}", "x".repeat(3 * 1024 * 1024)), "x".repeat(3 * 1024 * 1024)] {
        is_a_502(&mut far, &sidecar, 2, |asked| asked.say(ok(&page))).await;
    }
}

#[tokio::test]
async fn a_large_answer_that_breaks_off_does_not_pass_for_whole() {
    let mut far = Far::listen().await;
    let sidecar = Running::with(&far, |config| config.collect_up_to = bytesize::ByteSize::b(10)).await;
    for (framing, begin) in [
        ("Content-Length: 1000", "#EXTM3U\n0123456789a"),
        ("Transfer-Encoding: chunked", "13\r\n#EXTM3U\n0123456789a\r\n"),
    ] {
        let mut player = sidecar.player().await;
        player.ask(&media(&session(1), 0)).await;
        let asked = far.asked().await;
        asked.say(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n{begin}"));
        asked.reset();
        assert!(player.answer_or_end().await.is_none(), "a body that broke off");
        sidecar.is_well(&mut far, &session(1)).await;
    }
}
