//! The layer over a mock of the upstream. Time is paused: it advances only when nothing else can happen.

mod support;

use std::{
    future::ready,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Empty, Full};
use onelane::{
    lane::Limits,
    serialize::{Config, ErrorKind, KeepTurn, SerializeLayer},
};
use tokio::time::{Instant, advance, sleep, timeout};
use tower::{BoxError, Layer as _, Service as _, ServiceBuilder, ServiceExt as _, service_fn};

use support::{A, B, answer, config, get, lane, media, method, parts, watch};

#[tokio::test(start_paused = true)]
async fn the_second_is_sent_when_the_first_has_ended() {
    let (mut player, mut far) = lane(&SerializeLayer::with(config()));
    let video = watch(&mut player, media(A, 0));
    let audio = watch(&mut player, media(A, 1));
    let subtitles = watch(&mut player, media(A, 2));

    let (name, with) = far.asked().await;
    assert_eq!(name, "0.m3u8");
    far.quiet().await;
    // The head alone does not end the exchange.
    let (body, sender) = parts();
    with.send_response(Response::new(body));
    sender.send(Ok(Frame::data("vi".into()))).unwrap();
    far.quiet().await;
    sender.send(Ok(Frame::data("deo".into()))).unwrap();
    drop(sender);

    for name in ["1.m3u8", "2.m3u8"] {
        let (asked, with) = far.asked().await;
        assert_eq!(asked, name);
        far.quiet().await;
        answer(with, name);
    }
    assert_eq!(video.await.unwrap().unwrap(), (200, "video".into()));
    assert_eq!(audio.await.unwrap().unwrap().1, "1.m3u8");
    assert_eq!(subtitles.await.unwrap().unwrap().1, "2.m3u8");
}

#[tokio::test(start_paused = true)]
async fn sessions_do_not_wait_for_each_other() {
    let layer = SerializeLayer::with(config());
    let (mut player, mut far) = lane(&layer);
    let _one = watch(&mut player, media(A, 0));
    let _other = watch(&mut player, media(B, 0));
    let _first = far.asked().await;
    let _second = far.asked().await;
    assert_eq!(layer.lanes().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn all_services_of_a_layer_share_the_lanes() {
    let layer = SerializeLayer::with(config());
    let (mut one, mut far_one) = lane(&layer);
    let (mut other, mut far_other) = lane(&layer);
    let _video = watch(&mut one, media(A, 0));
    let _audio = watch(&mut other, media(A, 1));
    let (_, with) = far_one.asked().await;
    far_other.quiet().await;
    answer(with, "x");
    far_other.asked().await;
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_exchange_keeps_its_turn_to_the_end() {
    let layer = SerializeLayer::with(config());
    let (mut player, mut far) = lane(&layer);
    let video = watch(&mut player, media(A, 0));
    let (_, with) = far.asked().await;
    video.abort();
    let audio = watch(&mut player, media(A, 1));
    far.quiet().await;
    answer(with, "for nobody");
    let (name, with) = far.asked().await;
    assert_eq!(name, "1.m3u8");
    answer(with, "audio");
    assert_eq!(audio.await.unwrap().unwrap().1, "audio");
    layer.drained().await;
    assert!(layer.lanes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_left_while_it_waited_is_never_sent() {
    let layer = SerializeLayer::with(config());
    let (mut player, mut far) = lane(&layer);
    let _video = watch(&mut player, media(A, 0));
    let (_, with) = far.asked().await;
    let audio = watch(&mut player, media(A, 1));
    let subtitles = watch(&mut player, media(A, 2));
    far.quiet().await;
    assert_eq!(layer.lanes().waiting(), 2);
    audio.abort();
    far.quiet().await;
    assert_eq!(layer.lanes().waiting(), 1);
    answer(with, "video");
    let (name, with) = far.asked().await;
    assert_eq!(name, "2.m3u8");
    answer(with, "subtitles");
    assert!(subtitles.await.unwrap().is_ok());
    far.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_future_that_is_never_polled_leaves_no_trace() {
    // With a task from the start: who drives an exchange has to poll.
    let layer = SerializeLayer::new();
    let (mut player, mut far) = lane(&layer);
    let unpolled = player.call(media(A, 0));
    // Its exchange runs all the same: whoever holds it cannot hold up the session.
    let (_, with) = far.asked().await;
    answer(with, "x");
    drop(unpolled);
    layer.drained().await;
    assert!(layer.lanes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_future_that_is_dropped_before_it_was_polled_is_never_sent() {
    let layer = SerializeLayer::with(config());
    let (mut player, mut far) = lane(&layer);
    drop(player.call(media(A, 0)));
    far.quiet().await;
    layer.drained().await;
    assert!(layer.lanes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn fifty_repeats_are_one_exchange() {
    let (mut player, mut far) = lane(&SerializeLayer::with(config()));
    let players: Vec<_> = (0..50).map(|_| watch(&mut player, media(A, 0))).collect();
    let (_, with) = far.asked().await;
    far.quiet().await;
    answer(with, "the same");
    for player in players {
        assert_eq!(player.await.unwrap().unwrap().1, "the same");
    }
    far.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_repeat_attaches_to_the_exchange_that_its_player_left() {
    let (mut player, mut far) = lane(&SerializeLayer::with(config()));
    let first = watch(&mut player, media(A, 0));
    let (_, with) = far.asked().await;
    first.abort();
    far.quiet().await;
    let repeat = watch(&mut player, media(A, 0));
    far.quiet().await;
    answer(with, "drained");
    assert_eq!(repeat.await.unwrap().unwrap().1, "drained");
    far.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_waiting_exchange_lives_as_long_as_one_player_wants_it() {
    let (mut player, mut far) = lane(&SerializeLayer::with(config()));
    let _video = watch(&mut player, media(A, 0));
    let (_, with) = far.asked().await;
    let leader = watch(&mut player, media(A, 1));
    let repeat = watch(&mut player, media(A, 1));
    far.quiet().await;
    leader.abort();
    answer(with, "video");
    let (name, with) = far.asked().await;
    assert_eq!(name, "1.m3u8");
    answer(with, "audio");
    assert_eq!(repeat.await.unwrap().unwrap().1, "audio");
}

#[tokio::test(start_paused = true)]
async fn only_equal_requests_share_an_answer() {
    let (mut player, mut far) = lane(&SerializeLayer::with(config()));
    let mut gzip = media(A, 0);
    gzip.headers_mut().insert("accept-encoding", "gzip".parse().unwrap());
    let requests = [
        media(A, 0),
        gzip,
        get(&format!("/v1/manifest/acct/Demo/{A}/0.m3u8?_HLS_msn=7")),
        method(Method::HEAD, &format!("/v1/manifest/acct/Demo/{A}/0.m3u8")),
    ];
    let players: Vec<_> = requests.map(|request| watch(&mut player, request)).into();
    for n in 0..4 {
        let (_, with) = far.asked().await;
        answer(with, n.to_string());
    }
    for (n, player) in players.into_iter().enumerate() {
        assert_eq!(player.await.unwrap().unwrap().1, n.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn a_repeat_in_which_the_player_reports_something_else_attaches() {
    let (mut player, mut far) = lane(&SerializeLayer::with(config()));
    let report = |report: &str| get(&format!("/v1/manifest/acct/Demo/{A}/0.m3u8?a=1{report}"));
    let one = watch(&mut player, report("&CMCD=bl%3D3000"));
    let again = watch(&mut player, report("&CMCD=bl%3D1500%2Csu"));
    let (_, with) = far.asked().await;
    answer(with, "one for both");
    for player in [one, again] {
        assert_eq!(player.await.unwrap().unwrap().1, "one for both");
    }
    far.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn requests_that_are_not_safe_are_never_shared() {
    let layer = SerializeLayer::with(config().tracking(true));
    let (mut player, mut far) = lane(&layer);
    let uri = format!("/v1/tracking/acct/Demo/{A}");
    let _one = watch(&mut player, method(Method::POST, &uri));
    let _other = watch(&mut player, method(Method::POST, &uri));
    let (_, with) = far.asked().await;
    far.quiet().await;
    answer(with, "one");
    far.asked().await;
}

#[tokio::test(start_paused = true)]
async fn what_needs_no_lane_goes_straight_through() {
    let layer = SerializeLayer::with(config());
    let (mut player, mut far) = lane(&layer);
    let straight = [
        get("/v1/master/acct/Demo/index.m3u8"),
        get("/v1/master/acct/Demo/index.m3u8"),
        get(&format!("/v1/segment/acct/Demo/{A}/0/1")),
        get(&format!("/v1/tracking/acct/Demo/{A}")),
        get(&format!("/v1/dash/acct/Demo/index.mpd?aws.sessionId={A}")),
        method(Method::POST, "/v1/session/acct/Demo/index.m3u8"),
        method(Method::OPTIONS, &format!("/v1/manifest/acct/Demo/{A}/0.m3u8")),
        get("/content/0.ts"),
    ];
    let _media = watch(&mut player, media(A, 0));
    let _in_flight = far.asked().await;
    for request in straight {
        let player = watch(&mut player, request);
        let (_, with) = far.asked().await;
        answer(with, "x");
        assert!(player.await.unwrap().is_ok());
    }
    assert_eq!(layer.exchanges(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_makes_a_session_may_take_as_long_as_an_exchange() {
    let (mut player, mut far) = lane(&SerializeLayer::with(config().bound_all(true)));
    let asked = [
        (get("/v1/master/acct/Demo/index.m3u8"), 10),
        (method(Method::POST, "/v1/session/acct/Demo/index.m3u8"), 10),
        (get(&format!("/v1/segment/acct/Demo/{A}/0/1")), 6),
        (method(Method::HEAD, "/v1/master/acct/Demo/index.m3u8"), 6),
    ];
    for (request, seconds) in asked {
        let started = Instant::now();
        let waits = watch(&mut player, request);
        let black_hole = far.asked().await;
        assert_eq!(waits.await.unwrap().unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(started.elapsed(), Duration::from_secs(seconds));
        drop(black_hole);
    }
}

#[tokio::test(start_paused = true)]
async fn playlists_of_a_session_share_its_lane_whatever_their_shape() {
    let layer = SerializeLayer::with(config().tracking(true).dash(true));
    let (mut player, mut far) = lane(&layer);
    let requests = [
        media(A, 0),
        get(&format!("/v1/master/acct/Demo/index.m3u8?aws.sessionId={A}")),
        method(Method::HEAD, &format!("/prefix/v1/manifest/acct/Demo/{A}/1.m3u8")),
        get(&format!("/v1/tracking/acct/Demo/{A}")),
        get(&format!("/v1/dash/acct/Demo/index.mpd?sessionId={A}")),
    ];
    let players: Vec<_> = requests.map(|request| watch(&mut player, request)).into();
    for player in players {
        let (_, with) = far.asked().await;
        far.quiet().await;
        answer(with, "x");
        player.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn past_its_time_the_player_is_answered_and_the_exchange_goes_on() {
    let (mut player, mut far) = lane(&SerializeLayer::with(config()));
    let started = Instant::now();
    let video = watch(&mut player, media(A, 0));
    let (_, with) = far.asked().await;
    let audio = watch(&mut player, media(A, 1));
    let error = video.await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.status().as_u16()), (ErrorKind::TimedOut, 504));
    assert_eq!(started.elapsed(), Duration::from_secs(6));
    assert_eq!(audio.await.unwrap().unwrap_err().kind(), ErrorKind::TimedOut);
    far.quiet().await;

    let again = watch(&mut player, media(A, 0));
    sleep(Duration::from_secs(2)).await;
    answer(with, "late, but here");
    assert_eq!(again.await.unwrap().unwrap().1, "late, but here");
    // The audio request left with its player.
    far.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn past_max_hold_the_turn_goes_to_the_next() {
    let (mut player, mut far) = lane(&SerializeLayer::with(config().answer_within(Duration::from_secs(20))));
    let video = watch(&mut player, media(A, 0));
    let (_, black_hole) = far.asked().await;
    let started = Instant::now();
    sleep(Duration::from_secs(9)).await;
    let audio = watch(&mut player, media(A, 1));
    let error = video.await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.status().as_u16()), (ErrorKind::HeldTooLong, 504));
    assert_eq!(started.elapsed(), Duration::from_secs(10), "the player hears of it at once");
    let (name, with) = far.asked().await;
    assert_eq!(name, "1.m3u8");
    // The upstream learns of it a moment later.
    assert_eq!(started.elapsed(), Duration::from_millis(10_250));
    answer(with, "audio");
    assert!(audio.await.unwrap().is_ok());
    drop(black_hole);
}

#[tokio::test(start_paused = true)]
async fn who_attached_to_what_was_held_too_long_and_has_time_asks_anew() {
    let (mut player, mut far) = lane(&SerializeLayer::with(config()));
    let started = Instant::now();
    let first = watch(&mut player, media(A, 0));
    let (_, black_hole) = far.asked().await;
    assert_eq!(first.await.unwrap().unwrap_err().kind(), ErrorKind::TimedOut);
    sleep(Duration::from_secs(1)).await;
    let again = [watch(&mut player, media(A, 0)), watch(&mut player, media(A, 0))];
    far.quiet().await;
    let (name, with) = far.asked().await;
    assert_eq!(name, "0.m3u8");
    assert_eq!(started.elapsed(), Duration::from_millis(10_250), "as soon as the turn is free");
    drop(black_hole);
    // One request for all of them.
    far.quiet().await;
    answer(with, "at last");
    for player in again {
        assert_eq!(player.await.unwrap().unwrap().1, "at last");
    }
    far.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn who_asks_anew_has_no_more_time_than_before() {
    let (mut player, mut far) = lane(&SerializeLayer::with(config()));
    let started = Instant::now();
    let _first = watch(&mut player, media(A, 0));
    let (_, black_hole) = far.asked().await;
    sleep(Duration::from_secs(7)).await;
    let again = watch(&mut player, media(A, 0));
    let (_, another) = far.asked().await;
    assert_eq!(again.await.unwrap().unwrap_err().kind(), ErrorKind::TimedOut);
    assert_eq!(started.elapsed(), Duration::from_secs(13));
    drop((black_hole, another));
}

#[tokio::test(start_paused = true)]
async fn a_large_body_streams_and_keeps_its_turn() {
    let (mut player, mut far) = lane(&SerializeLayer::with(config().collect_up_to(10)));
    let response = tokio::spawn(player.call(media(A, 0)));
    let audio = watch(&mut player, media(A, 1));
    let (_, with) = far.asked().await;
    let (body, sender) = parts();
    with.send_response(Response::new(body));
    sender.send(Ok(Frame::data("0123456789".into()))).unwrap();
    sender.send(Ok(Frame::data("abc".into()))).unwrap();
    let mut body = response.await.unwrap().unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "0123456789");
    far.quiet().await;
    drop(sender);
    assert_eq!(body.collect().await.unwrap().to_bytes(), "abc");
    let (name, with) = far.asked().await;
    assert_eq!(name, "1.m3u8");
    answer(with, "audio");
    audio.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_its_player_left_is_read_to_its_end() {
    let (mut player, mut far) = lane(&SerializeLayer::with(config().collect_up_to(2)));
    let response = tokio::spawn(player.call(media(A, 0)));
    let _audio = watch(&mut player, media(A, 1));
    let (_, with) = far.asked().await;
    let (body, sender) = parts();
    with.send_response(Response::new(body));
    sender.send(Ok(Frame::data("0123".into()))).unwrap();
    drop(response.await.unwrap().unwrap());
    for _ in 0..100 {
        sender.send(Ok(Frame::data("more".into()))).unwrap();
    }
    far.quiet().await;
    drop(sender);
    assert_eq!(far.asked().await.0, "1.m3u8");
}

/// The turn ends with the upstream, not with the reader, who has all of it in the end.
#[tokio::test(start_paused = true)]
async fn a_large_body_arrives_however_slowly_it_is_read() {
    let (mut player, mut far) = lane(&SerializeLayer::with(config().collect_up_to(4096)));
    let response = tokio::spawn(player.call(media(A, 0)));
    let _audio = watch(&mut player, media(A, 1));
    let (_, with) = far.asked().await;
    let (body, sender) = parts();
    with.send_response(Response::new(body));
    for piece in [b'a', b'b', b'c', b'd', b'e'] {
        sender.send(Ok(Frame::data(vec![piece; 4096].into()))).unwrap();
    }
    drop(sender);
    let mut body = response.await.unwrap().unwrap().into_body();
    assert_eq!(far.asked().await.0, "1.m3u8");
    for piece in [b'a', b'b', b'c', b'd', b'e'] {
        advance(config().max_hold).await;
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), vec![piece; 4096]);
    }
    assert!(body.frame().await.is_none());
}

/// A body of twenty frames that counts those that were taken of it.
struct Counted(Arc<AtomicUsize>);

impl Body for Counted {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let is_left = self.0.load(Ordering::Relaxed) < 20;
        Poll::Ready(is_left.then(|| {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(Frame::data(vec![0; 4096].into()))
        }))
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_is_read_ahead_than_four_of_the_largest_that_are_collected() {
    let layer = SerializeLayer::with(config().collect_up_to(4096));
    let taken = Arc::new(AtomicUsize::new(0));
    let body = Arc::clone(&taken);
    let mut player = layer.layer(service_fn(move |_: Request<Empty<Bytes>>| {
        ready(Ok::<_, BoxError>(Response::new(Counted(Arc::clone(&body)))))
    }));
    let mut body = player.call(media(A, 0)).await.expect("an answer").into_body();
    let settled = || async {
        advance(Duration::from_millis(1)).await;
        taken.load(Ordering::Relaxed)
    };
    // Two were collected before the size was known, four are ahead, and one is at hand.
    assert_eq!(settled().await, 7);
    for (read, more) in [(1, 7), (2, 7), (3, 8), (4, 9)] {
        body.frame().await.expect("a frame").expect("no error");
        assert_eq!(settled().await, more, "after {read}");
    }
    drop(body);
    layer.drained().await;
    assert_eq!(taken.load(Ordering::Relaxed), 20);
}

#[tokio::test(start_paused = true)]
async fn a_stream_cut_off_at_max_hold_does_not_pass_for_a_whole_playlist() {
    let (mut player, mut far) = lane(&SerializeLayer::with(config().collect_up_to(2)));
    let video = watch(&mut player, media(A, 0));
    let (_, with) = far.asked().await;
    let (body, sender) = parts();
    with.send_response(Response::new(body));
    sender.send(Ok(Frame::data("0123".into()))).unwrap();
    assert_eq!(video.await.unwrap().unwrap_err().kind(), ErrorKind::HeldTooLong);
    drop(sender);
}

/// A body that has its next frame at hand, always.
struct Endless(&'static [u8]);

impl Body for Endless {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(self.0)))))
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_always_ready_stops_neither_the_clock_nor_its_siblings() {
    for (frame, streams) in [(b"#EXTM3U\n".as_slice(), true), (b"", false)] {
        let layer = SerializeLayer::with(config().collect_up_to(1_000));
        let mut player = layer.layer(service_fn(async move |request: Request<Empty<Bytes>>| {
            let body = match request.uri().path().ends_with("/0.m3u8") {
                true => Endless(frame).boxed_unsync(),
                false => Empty::new().map_err(BoxError::from).boxed_unsync(),
            };
            Ok::<_, BoxError>(Response::new(body))
        }));
        let left = tokio::spawn(player.call(media(A, 0)));
        let sibling = tokio::spawn(player.call(media(A, 1)));
        if streams {
            drop(left.await.unwrap().expect("the head of an answer"));
        } else {
            advance(config().answer_within).await;
            left.await.unwrap().expect_err("it has no end");
        }
        advance(config().max_hold).await;
        // The turn is kept for a moment after what broke off, in which the player's time may run out.
        advance(Duration::from_secs(1)).await;
        let _answered = sibling.await.unwrap();
        layer.drained().await;
        assert!(layer.lanes().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_turn_is_kept_no_longer_than_an_exchange_may_take() {
    let layer = SerializeLayer::with(config());
    let mut player = layer.layer(service_fn(async |_: Request<Empty<Bytes>>| {
        let mut response = Response::new(Empty::<Bytes>::new());
        response.extensions_mut().insert(KeepTurn(Duration::MAX));
        Ok::<_, BoxError>(response)
    }));
    player.call(media(A, 0)).await.expect("an answer");
    let began = Instant::now();
    layer.drained().await;
    assert_eq!(began.elapsed(), config().max_hold);
}

#[tokio::test(start_paused = true)]
async fn who_attached_to_a_stream_asks_anew() {
    let (mut player, mut far) = lane(&SerializeLayer::with(config().collect_up_to(2)));
    let players = [watch(&mut player, media(A, 0)), watch(&mut player, media(A, 0))];
    for _ in 0..2 {
        let (_, with) = far.asked().await;
        answer(with, "large");
    }
    for player in players {
        assert_eq!(player.await.unwrap().unwrap().1, "large");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_the_makers_even_if_another_looks_first() {
    // With a task from the start: who drives an exchange looks first.
    let (mut player, mut far) = lane(&SerializeLayer::with(Config::default().collect_up_to(2)));
    let maker = player.call(media(A, 0));
    let attached = watch(&mut player, media(A, 0));
    let (body, sender) = parts();
    sender.send(Ok(Frame::data("large".into()))).unwrap();
    far.asked().await.1.send_response(Response::new(body));
    far.quiet().await;
    // Only now the maker looks: the stream holds the turn for it, and the other stands in line.
    let body = maker.await.unwrap().into_body();
    drop(sender);
    assert_eq!(body.collect().await.unwrap().to_bytes(), "large");
    answer(far.asked().await.1, "large");
    assert_eq!(attached.await.unwrap().unwrap().1, "large");
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_maker_left_goes_to_one_that_attached() {
    let (mut player, mut far) = lane(&SerializeLayer::with(config().collect_up_to(2)));
    let maker = watch(&mut player, media(A, 0));
    let attached = watch(&mut player, media(A, 0));
    let (_, with) = far.asked().await;
    maker.abort();
    far.quiet().await;
    answer(with, "large");
    assert_eq!(attached.await.unwrap().unwrap().1, "large");
    far.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_is_no_playlist() {
    let (mut player, mut far) = lane(&SerializeLayer::with(config()));
    let video = watch(&mut player, media(A, 0));
    let _audio = watch(&mut player, media(A, 1));
    let (_, with) = far.asked().await;
    let (body, sender) = parts();
    with.send_response(Response::new(body));
    sender.send(Ok(Frame::data("#EXTM3U".into()))).unwrap();
    sender.send(Err("reset".into())).unwrap();
    let error = video.await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.status().as_u16()), (ErrorKind::Upstream, 502));
    assert_eq!(far.asked().await.0, "1.m3u8");
}

#[tokio::test(start_paused = true)]
async fn after_a_stream_that_breaks_the_turn_is_kept_for_a_moment() {
    let (mut player, mut far) = lane(&SerializeLayer::with(config().collect_up_to(2)));
    let video = watch(&mut player, media(A, 0));
    let _audio = watch(&mut player, media(A, 1));
    let (_, with) = far.asked().await;
    let (body, sender) = parts();
    with.send_response(Response::new(body));
    sender.send(Ok(Frame::data("0123".into()))).unwrap();
    sender.send(Err("reset".into())).unwrap();
    assert_eq!(video.await.unwrap().unwrap_err().kind(), ErrorKind::Upstream);
    let broke = Instant::now();
    assert_eq!(far.asked().await.0, "1.m3u8");
    assert_eq!(broke.elapsed().as_millis(), 250);
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_fails_passes_the_turn_on() {
    let (mut player, mut far) = lane(&SerializeLayer::with(config()));
    let video = watch(&mut player, media(A, 0));
    let audio = watch(&mut player, media(A, 1));
    far.asked().await.1.send_error("connection refused");
    let error = video.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Upstream);
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "connection refused");
    let (_, with) = far.asked().await;
    answer(with, "audio");
    assert!(audio.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_one_exchanges_own() {
    let layer = SerializeLayer::with(config());
    let mut player = layer.layer(tower::service_fn(async |request: Request<Empty<Bytes>>| {
        assert!(!request.uri().path().ends_with("/0.m3u8"), "this one panics");
        Ok::<_, BoxError>(Response::new(Full::new(Bytes::from("fine"))))
    }));
    let broken = player.call(media(A, 0));
    let fine = player.call(media(A, 1));
    let sent = Instant::now();
    let error = broken.await.unwrap_err();
    assert_eq!((error.kind(), error.status().as_u16()), (ErrorKind::Panicked, 502));
    assert_eq!(sent.elapsed(), Duration::ZERO);
    assert_eq!(fine.await.unwrap().status(), 200);
    // What it had sent may still be with the upstream.
    assert_eq!(sent.elapsed(), Duration::from_millis(250));
    layer.drained().await;
    assert!(layer.lanes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_full_lane_refuses() {
    let limits = Limits::default().depth(2);
    let (mut player, mut far) = lane(&SerializeLayer::with(config().limits(limits)));
    let _first = watch(&mut player, media(A, 0));
    let _second = watch(&mut player, media(A, 1));
    let error = watch(&mut player, media(A, 2)).await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.status().as_u16()), (ErrorKind::LaneFull, 504));
    // A repeat needs no place.
    let _repeat = watch(&mut player, media(A, 1));
    far.asked().await;
}

#[tokio::test(start_paused = true)]
async fn a_malformed_session_is_refused_with_a_reason() {
    let (mut player, mut far) = lane(&SerializeLayer::with(config()));
    for session in ["", "..", "%00", "a%2Fb", &"x".repeat(4096)] {
        let error = watch(&mut player, media(session, 0)).await.unwrap().unwrap_err();
        assert_eq!((error.kind(), error.status().as_u16()), (ErrorKind::MalformedSession, 400), "{session}");
        assert!(std::error::Error::source(&error).unwrap().to_string().contains("session id"));
    }
    far.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn closing_ends_the_wait_and_leaves_the_flight() {
    let layer = SerializeLayer::with(config());
    let (mut player, mut far) = lane(&layer);
    let video = watch(&mut player, media(A, 0));
    let (_, with) = far.asked().await;
    let audio = watch(&mut player, media(A, 1));
    layer.close();
    let error = audio.await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.status().as_u16()), (ErrorKind::Closed, 503));
    assert_eq!(watch(&mut player, media(B, 0)).await.unwrap().unwrap_err().kind(), ErrorKind::Closed);
    answer(with, "video");
    assert!(video.await.unwrap().is_ok());
    layer.drained().await;
}

#[tokio::test(start_paused = true)]
async fn drained_waits_for_those_whose_player_left() {
    let layer = SerializeLayer::with(config());
    let (mut player, mut far) = lane(&layer);
    let video = watch(&mut player, media(A, 0));
    let (_, with) = far.asked().await;
    video.abort();
    assert!(timeout(Duration::from_secs(1), layer.drained()).await.is_err());
    answer(with, "x");
    layer.drained().await;
    layer.drained().await;
}

#[tokio::test(start_paused = true)]
async fn an_inner_service_of_few_places_does_not_deadlock() {
    // With readiness forwarded, those who wait would hold both places.
    let inner = ServiceBuilder::new().concurrency_limit(2).service(tower::service_fn(
        async |_: Request<Empty<Bytes>>| {
            sleep(Duration::from_millis(20)).await;
            Ok::<_, BoxError>(Response::new(Full::new(Bytes::from("x"))))
        },
    ));
    let player = SerializeLayer::with(config()).layer(inner);
    let all = (0..16).map(|n| player.clone().oneshot(media(A, n)));
    for answer in all.map(tokio::spawn).collect::<Vec<_>>() {
        assert_eq!(answer.await.unwrap().unwrap().status(), 200);
    }
}
