//! What becomes of requests as spans: which there are, what they say, and which of them are kept.

#[expect(dead_code, reason = "it is shared")]
#[path = "stack/support.rs"]
mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::Request;
use http_body_util::Empty;
use onelane::{
    lane::Limits,
    observe::record::Recorder,
    serialize,
    stack::{Config, Stack},
    telemetry::traces::{Exporting, Traces, names},
    upstream::RetryConfig,
};
use opentelemetry::trace::{SpanId, SpanKind, Status};
use opentelemetry_sdk::{
    error::{OTelSdkError, OTelSdkResult},
    trace::{SpanData, SpanExporter},
};
use tokio::{
    sync::mpsc,
    task::yield_now,
    time::{Instant, advance, sleep},
};

use self::support::{Far, Players, Sent, got, media, ms, over, playlist, secs, session};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// The caller's span, and that it is kept.
const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

const UNSAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

/// Takes every span, unless it is told to be of no use.
#[derive(Debug)]
struct Collector {
    taken: mpsc::UnboundedSender<SpanData>,
    batches: Arc<AtomicUsize>,
    /// So many batches fail first.
    fails: usize,
    /// The rest is never answered.
    hangs: bool,
}

struct Taken {
    spans: mpsc::UnboundedReceiver<SpanData>,
    exporting: Exporting,
}

// === impl Collector ===

impl SpanExporter for Collector {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        if self.batches.fetch_add(1, Ordering::Relaxed) < self.fails {
            return Err(OTelSdkError::InternalFailure("it starts".to_owned()));
        }
        if self.hangs {
            std::future::pending::<()>().await;
        }
        for span in batch {
            let _gone = self.taken.send(span);
        }
        Ok(())
    }
}

// === impl Taken ===

impl Taken {
    /// All spans of what was asked, once it is over.
    async fn all(self, players: Players) -> Vec<SpanData> {
        players.are_done().await;
        drop(players);
        let Self { mut spans, exporting } = self;
        exporting.finish(secs(2)).await;
        std::iter::from_fn(|| spans.try_recv().ok()).collect()
    }
}

fn collector(fails: usize, hangs: bool) -> (Collector, mpsc::UnboundedReceiver<SpanData>, Arc<AtomicUsize>) {
    let (taken, spans) = mpsc::unbounded_channel();
    let batches = Arc::default();
    (Collector { taken, batches: Arc::clone(&batches), fails, hangs }, spans, batches)
}

fn traced(config: Config, share: f64) -> (Players, Far, Taken) {
    let (collector, spans, _) = collector(0, false);
    let (traces, exporting) = Traces::new(collector, share);
    let (players, far) = over(Stack::new(config).tracing(Some(traces)));
    (players, far, Taken { spans, exporting })
}

fn asking(target: &str, headers: &[(&str, &str)]) -> Sent {
    let request =
        headers.iter().fold(Request::get(target), |request, (name, value)| request.header(*name, *value));
    request.body(Empty::new()).expect("a request")
}

fn field(span: &SpanData, name: &str) -> Option<String> {
    let field = span.attributes.iter().find(|field| field.key.as_str() == name);
    field.map(|field| field.value.to_string())
}

fn events(span: &SpanData) -> Vec<&str> {
    span.events.iter().map(|event| &*event.name).collect()
}

/// The request's span and the exchange's, of one that had both.
#[track_caller]
fn pair(spans: &[SpanData]) -> (&SpanData, &SpanData) {
    let of = |kind| {
        let mut such = spans.iter().filter(|span| span.span_kind == kind);
        match (such.next(), such.next()) {
            (Some(one), None) => one,
            other => panic!("{other:#?}"),
        }
    };
    (of(SpanKind::Server), of(SpanKind::Client))
}

fn took(span: &SpanData) -> Duration {
    span.end_time.duration_since(span.start_time).expect("time goes on")
}

#[tokio::test(start_paused = true)]
async fn a_request_is_a_span_and_its_exchange_one_below_it() {
    let (players, mut far, taken) = traced(Config::default(), 1.0);
    let target = format!("http://a.example{}?token=s3cret", media(1, 0));
    let player = players.getting(&target);
    let asked = far.asked().await;
    let parent = asked.headers["traceparent"].to_str().expect("text").to_owned();
    // Its sibling waits for its turn.
    let sibling = players.getting(&format!("http://a.example{}", media(1, 1)));
    yield_now().await;
    advance(ms(100)).await;
    asked.answer(200, &[("x-amzn-requestid", "abc-1")], playlist(7));
    got(player).await.is_playlist(7);
    far.asked().await.playlist(8);
    got(sibling).await.is_playlist(8);

    let spans = taken.all(players).await;
    assert_eq!(spans.len(), 4, "{spans:#?}");
    let of_second = |span: &SpanData| {
        let path = field(span, names::PATH).or_else(|| field(span, names::URL));
        path.is_some_and(|path| path.ends_with("1.m3u8"))
    };
    let (second, first): (Vec<_>, Vec<_>) = spans.into_iter().partition(of_second);
    let (request, exchange) = pair(&first);
    assert_eq!((&*request.name, &*exchange.name), ("GET media", "GET media exchange"));
    assert_eq!((request.parent_span_id, request.parent_span_is_remote), (SpanId::INVALID, false));
    assert_eq!(exchange.parent_span_id, request.span_context.span_id());
    assert_eq!(exchange.span_context.trace_id(), request.span_context.trace_id());
    let (trace, span) = (exchange.span_context.trace_id(), exchange.span_context.span_id());
    assert_eq!(parent, format!("00-{trace}-{span}-01"), "what the upstream got is the exchange's");
    for (name, value) in [
        (names::METHOD, "GET"),
        (names::PATH, "/v1/manifest/acct/Demo/6f1b7c52…/0.m3u8"),
        (names::STATUS, "200"),
        (names::KIND, "media"),
        (names::SESSION, "6f1b7c52…"),
        (names::CONFIGURATION, "Demo"),
        (names::WAIT_MS, "0"),
    ] {
        assert_eq!(field(request, name).as_deref(), Some(value), "{name}");
    }
    for (name, value) in [
        (names::METHOD, "GET"),
        (names::URL, "http://a.example/v1/manifest/acct/Demo/6f1b7c52…/0.m3u8"),
        (names::SERVER, "a.example"),
        (names::PORT, "80"),
        (names::STATUS, "200"),
        (names::ATTEMPTS, "1"),
        (names::VERDICT, "playlist"),
        (names::REQUEST_ID, "abc-1"),
    ] {
        assert_eq!(field(exchange, name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(events(request), ["waiting", "turn granted", "answered"]);
    assert_eq!(events(exchange), ["sent", "answered"]);
    assert_eq!((took(request), took(exchange)), (ms(100), ms(100)));
    assert_eq!((&request.status, &exchange.status), (&Status::Unset, &Status::Unset));
    assert_eq!((field(exchange, names::RESENDS), field(exchange, names::ABANDONED)), (None, None));
    for text in [format!("{first:?}"), format!("{second:?}")] {
        assert!(!text.contains(&session(1)) && !text.contains("s3cret"), "{text}");
    }

    let (request, exchange) = pair(&second);
    assert_eq!(field(request, names::WAIT_MS).as_deref(), Some("100"));
    assert_eq!((took(request), took(exchange)), (ms(100), Duration::ZERO));
}

/// What is done to the upstream, and what the player gets.
#[tokio::test(start_paused = true)]
async fn what_something_failed_for_is_kept_and_what_went_well_is_not() {
    for (nth, (answers, status, verdict, exchange_events)) in [
        (&[200][..], 200, None, &[][..]),
        (&[409, 200], 200, None, &["sent", "answered", "retried", "sent", "answered"]),
        (&[0, 200], 200, None, &["sent", "unanswered", "retried", "sent", "answered"]),
        (&[410], 410, Some("blocked"), &["sent", "answered"]),
        (&[401], 401, Some("failed"), &["sent", "answered"]),
        (&[500, 500], 502, Some("origin_broken"), &["sent", "answered", "retried", "sent", "answered"]),
    ]
    .into_iter()
    .enumerate()
    {
        let config = Config::default().retry(RetryConfig::default().patient(false));
        let (players, mut far, taken) = traced(config, 0.0);
        let player = players.getting(&media(1, 0));
        for answer in answers {
            match far.asked().await {
                asked if *answer == 0 => asked.breaks(),
                asked if *answer == 200 => asked.playlist(7),
                asked => asked.status(*answer),
            }
        }
        assert_eq!(got(player).await.status, status);
        let spans = taken.all(players).await;
        if nth == 0 {
            assert!(spans.is_empty(), "{spans:#?}");
            continue;
        }
        let (request, exchange) = pair(&spans);
        assert_eq!(events(exchange), exchange_events, "{answers:?}");
        assert_eq!(field(request, names::STATUS), Some(status.to_string()), "{answers:?}");
        assert_eq!(field(request, names::VERDICT).as_deref(), verdict, "{answers:?}");
        let failed = |span: &SpanData| matches!(span.status, Status::Error { .. });
        assert_eq!((failed(request), failed(exchange)), (status >= 500, status >= 400), "{answers:?}");
        assert_eq!(field(request, names::ERROR).as_deref(), verdict.filter(|_| status >= 500));
        if answers.len() > 1 {
            assert_eq!(field(exchange, names::RESENDS).as_deref(), Some("1"), "{answers:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_players_got_in_place_of_an_answer_is_kept_with_why() {
    let (players, mut far, taken) = traced(Config::default(), 0.0);
    players.learn(&mut far, &media(1, 0), 7).await;
    // Slow: a rescue at once, and the exchange ends for nobody.
    let player = players.getting(&media(1, 0));
    let asked = far.asked().await;
    got(player).await.is_rescue(7, "slow", 2);
    advance(secs(1)).await;
    asked.playlist(7);
    players.are_done().await;
    // Lost, and then known to be.
    let player = players.getting(&media(2, 0));
    far.asked().await.status(404);
    got(player).await.is_problem(404, "session_lost");
    players.get(&media(2, 0)).await.is_problem(404, "session_lost");

    let spans = taken.all(players).await;
    assert_eq!(spans.len(), 5, "{spans:#?}");
    let with = |event| {
        let mut such = spans.iter().filter(move |span| events(span).contains(&event));
        (such.next().expect(event), such.next())
    };
    let (rescued, None) = with("rescued") else { panic!("{spans:#?}") };
    assert_eq!(field(rescued, names::RESCUE).as_deref(), Some("slow"));
    assert_eq!(took(rescued), secs(2));
    let (drained, None) = with("drained") else { panic!("{spans:#?}") };
    assert_eq!(events(drained), ["sent", "abandoned", "answered", "drained"]);
    assert_eq!(took(drained), secs(3));
    let (shielded, None) = with("shielded") else { panic!("{spans:#?}") };
    assert_eq!(events(shielded), ["shielded", "remapped"]);
    let (_, Some(_)) = with("remapped") else { panic!("{spans:#?}") };
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_keeps_its_own_has_ours_and_one_that_does_not_has_not() {
    for (share, parent, kept) in
        [(0.0, SAMPLED, true), (1.0, UNSAMPLED, false), (1.0, "nonsense", true), (0.0, "nonsense", false)]
    {
        let (players, mut far, taken) = traced(Config::default(), share);
        let player = players.ask(asking(&media(1, 0), &[("traceparent", parent), ("tracestate", "a=1")]));
        let asked = far.asked().await;
        let told = asked.headers["traceparent"].to_str().expect("text").to_owned();
        let state = asked.headers.get("tracestate").cloned();
        asked.playlist(7);
        got(player).await.is_playlist(7);
        let spans = taken.all(players).await;
        assert_eq!(!spans.is_empty(), kept, "{share} {parent}");
        assert_eq!(told.ends_with("-01"), kept);
        assert_eq!(state.is_some(), parent != "nonsense", "what goes with a parent goes with it");
        assert_eq!(told.contains(TRACE), parent != "nonsense");
        if parent == SAMPLED {
            let (request, exchange) = pair(&spans);
            assert_eq!(request.parent_span_id.to_string(), "00f067aa0ba902b7");
            assert!(request.parent_span_is_remote);
            assert_eq!(exchange.span_context.trace_id().to_string(), TRACE);
            assert_eq!(exchange.span_context.trace_state().header(), "a=1");
        }
    }
    // What fails is kept for everybody.
    let impatient = Config::default().retry(RetryConfig::default().patient(false));
    let (players, mut far, taken) = traced(impatient, 0.0);
    let player = players.ask(asking(&media(1, 0), &[("traceparent", UNSAMPLED)]));
    far.asked().await.bad_gateway();
    got(player).await.is_problem(502, "origin_broken");
    let spans = taken.all(players).await;
    assert_eq!(pair(&spans).0.span_context.trace_id().to_string(), TRACE);
}

#[tokio::test(start_paused = true)]
async fn a_repeat_is_linked_to_the_exchange_that_it_attached_to() {
    let (players, mut far, taken) = traced(Config::default(), 0.0);
    let first = players.getting(&media(1, 0));
    let asked = far.asked().await;
    let repeat = players.ask(asking(&media(1, 0), &[("traceparent", SAMPLED)]));
    far.quiet().await;
    asked.playlist(7);
    got(first).await.is_playlist(7);
    got(repeat).await.is_playlist(7);

    let spans = taken.all(players).await;
    // The first's are kept for the repeat's sake.
    assert_eq!(spans.len(), 3, "{spans:#?}");
    let (own, others): (Vec<_>, Vec<_>) =
        spans.into_iter().partition(|span| span.span_context.trace_id().to_string() == TRACE);
    let (_, exchange) = pair(&others);
    assert_eq!(events(&own[0]), ["attached", "answered"]);
    let link = own[0].links.first().expect("a link");
    assert_eq!(link.span_context, exchange.span_context);
    assert_eq!(field(exchange, names::ATTACHED).as_deref(), Some("1"));
}

#[tokio::test(start_paused = true)]
async fn an_exchange_that_outlives_its_player_is_there_to_its_end() {
    let (players, mut far, taken) = traced(Config::default(), 1.0);
    let player = players.getting(&media(1, 0));
    let asked = far.asked().await;
    advance(ms(300)).await;
    player.abort();
    assert!(player.await.expect_err("it left").is_cancelled());
    advance(ms(700)).await;
    asked.playlist(7);
    players.are_done().await;
    // And one that waited, and was never sent.
    let holds = players.getting(&media(2, 0));
    let asked = far.asked().await;
    let waits = players.getting(&media(2, 1));
    far.quiet().await;
    waits.abort();
    assert!(waits.await.expect_err("it left").is_cancelled());
    asked.playlist(7);
    got(holds).await.is_playlist(7);

    let spans = taken.all(players).await;
    assert_eq!(spans.len(), 5, "{spans:#?}");
    let exchange = spans.iter().find(|span| events(span).contains(&"drained")).expect("it drained");
    let request = spans.iter().find(|span| span.span_context.span_id() == exchange.parent_span_id);
    let request = request.expect("a parent");
    assert_eq!(events(exchange), ["sent", "abandoned", "answered", "drained"]);
    assert_eq!((took(request), took(exchange)), (ms(300), ms(1_000)));
    assert_eq!(field(exchange, names::ABANDONED).as_deref(), Some("true"));
    assert_eq!(events(request), ["waiting", "turn granted", "abandoned"]);
    assert_eq!(field(request, names::LEFT).as_deref(), Some("true"));
    let waited = spans.iter().find(|span| events(span) == ["waiting", "abandoned"]);
    assert!(waited.is_some(), "{spans:#?}");
}

#[tokio::test(start_paused = true)]
async fn what_needs_no_turn_is_traced_and_what_is_refused() {
    let serialize = serialize::Config::default().limits(Limits::default().depth(1));
    let (players, mut far, taken) = traced(Config::default().serialize(serialize), 1.0);
    let creation = players.getting("/v1/session/acct/Demo/index.m3u8");
    far.asked().await.answer(200, &[("x-amzn-requestid", "abc-2")], "{}");
    assert_eq!(got(creation).await.status, 200);
    let other = players.getting("/some-secret/of/another?x");
    far.asked().await.answer(200, &[], "x");
    assert_eq!(got(other).await.status, 200);
    let holds = players.getting(&media(1, 0));
    let asked = far.asked().await;
    players.get(&media(1, 1)).await.is_problem(504, "lane_full");
    asked.playlist(7);
    got(holds).await.is_playlist(7);

    let spans = taken.all(players).await;
    let named = |name: &str| {
        let such: Vec<_> = spans.iter().filter(|span| span.name.starts_with(name)).cloned().collect();
        such
    };
    let creation = named("GET session_creation");
    let (request, exchange) = pair(&creation);
    assert_eq!((events(request), events(exchange)), (vec!["answered"], vec!["sent", "answered"]));
    assert_eq!(field(exchange, names::REQUEST_ID).as_deref(), Some("abc-2"));
    assert_eq!(field(request, names::WAIT_MS), None);
    let other = named("GET other");
    assert_eq!(other.len(), 2);
    assert!(!format!("{other:?}").contains("secret"));
    let refused = spans.iter().find(|span| field(span, names::VERDICT).as_deref() == Some("lane_full"));
    assert_eq!(events(refused.expect("it was refused")), ["waiting", "remapped"]);
}

#[tokio::test(start_paused = true)]
async fn traces_and_records_are_of_the_same_notes() {
    let (collector, spans, _) = collector(0, false);
    let (traces, exporting) = Traces::new(collector, 1.0);
    let recorder = Arc::new(Recorder::new(10).expect("some"));
    let stack = Stack::new(Config::default()).recording(Some(Arc::clone(&recorder))).tracing(Some(traces));
    let (players, mut far) = over(stack);
    players.learn(&mut far, &media(1, 0), 7).await;
    assert_eq!(recorder.sessions_now(), 1, "the record stays");
    // And holds no trace open.
    let spans = Taken { spans, exporting }.all(players).await;
    assert_eq!(spans.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_not_taken_is_tried_once_more() {
    for (fails, taken) in [(1, 2), (2, 0)] {
        let (collector, mut spans, batches) = collector(fails, false);
        let (traces, exporting) = Traces::new(collector, 1.0);
        let (players, mut far) = over(Stack::new(Config::default()).tracing(Some(traces)));
        players.learn(&mut far, &media(1, 0), 7).await;
        while batches.load(Ordering::Relaxed) < 2 {
            sleep(ms(100)).await;
        }
        exporting.finish(secs(2)).await;
        assert_eq!(std::iter::from_fn(|| spans.try_recv().ok()).count(), taken, "{fails}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_hangs_holds_up_neither_players_nor_the_end() {
    let (collector, mut spans, batches) = collector(0, true);
    let (traces, exporting) = Traces::new(collector, 1.0);
    let (players, mut far) = over(Stack::new(Config::default()).tracing(Some(traces)));
    let began = Instant::now();
    for sequence in 0..(Traces::WAITING as u64) {
        players.learn(&mut far, &media(1, 0), sequence).await;
    }
    assert_eq!(began.elapsed(), Duration::ZERO, "no player waits for it");
    while batches.load(Ordering::Relaxed) == 0 {
        sleep(ms(100)).await;
    }
    let end = Instant::now();
    exporting.finish(secs(2)).await;
    assert_eq!(end.elapsed(), secs(2));
    assert!(spans.try_recv().is_err());
    // What comes after the end is lost, and nothing else.
    players.learn(&mut far, &media(1, 0), 9_999).await;
}
