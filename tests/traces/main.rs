//! `onelane serve --otlp`, from a player's request to what a collector has of it.

mod collector;
mod serve;

use std::time::Duration;

use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use tokio::time::Instant;

use self::{
    collector::{Authority, Collector, down, hanging, hex, text},
    serve::{Far, Serve, ask, onelane, within},
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

const PARENT: &str = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// How long the last spans may take, and some more for a slow machine.
const BOUND: Duration = Duration::from_secs(5);

fn of_kind(spans: &[(String, Span)], kind: SpanKind) -> &Span {
    let mut such = spans.iter().filter(|(_, span)| span.kind == kind as i32);
    match (such.next(), such.next()) {
        (Some((_, span)), None) => span,
        other => panic!("{other:#?}"),
    }
}

fn names(span: &Span) -> Vec<&str> {
    span.events.iter().map(|event| &*event.name).collect()
}

#[tokio::test]
async fn a_request_is_in_its_callers_trace_and_so_is_what_goes_upstream() {
    let (far, mut collector) = (Far::start().await, Collector::listen().await);
    let media = far.media().await;
    let flags = ["--otlp", &collector.url, "--otlp-sample", "0"];
    let mut serve = Serve::start(&far.url, &flags, &[]).await;
    let head = format!("GET {media} HTTP/1.1\r\nHost: a\r\n{PARENT}\r\ntracestate: a=1");
    let (status, answer) = ask(serve.listen, &head).await;
    assert_eq!(status, 200, "{answer}");

    let spans = collector.has(2).await;
    assert!(spans.iter().all(|(service, _)| service == "onelane"), "{spans:#?}");
    let (request, exchange) = (of_kind(spans, SpanKind::Server), of_kind(spans, SpanKind::Client));
    assert_eq!((&*hex(&request.trace_id), &*hex(&request.parent_span_id)), (TRACE, "00f067aa0ba902b7"));
    assert_eq!((&exchange.trace_id, &exchange.parent_span_id), (&request.trace_id, &request.span_id));
    assert_eq!(names(request), ["waiting", "turn granted", "answered"]);
    assert_eq!(names(exchange), ["sent", "answered"]);
    let heard = far.heard();
    let told = format!("traceparent: 00-{TRACE}-{}-01\r\ntracestate: a=1", hex(&exchange.span_id));
    for line in told.lines() {
        assert!(heard.contains(line), "{heard}");
    }

    // The log and the answer have what joins them.
    let line = serve.line("exchange").await;
    assert_eq!(line["trace_id"], TRACE, "{line}");
    let id = text(&exchange.attributes, "aws.request_id").expect("it has one");
    assert_eq!(line["request_id"], *id, "{line}");
    assert!(answer.contains(&id), "{answer}");
    assert_eq!(line["session"], *text(&exchange.attributes, "onelane.session").expect("a session"));
    serve.counts("onelane_spans_exported_total", 2.0).await;
    serve.signal("-TERM").await;
    assert!(serve.ended().await.success());
}

#[tokio::test]
async fn what_is_refused_before_the_stages_is_traced_as_well() {
    let (far, mut collector) = (Far::start().await, Collector::listen().await);
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("onelane.toml");
    let table = |name: &str| {
        format!("[[upstream]]\nname = \"{name}\"\nurl = \"{}\"\nhosts = [\"{name}\"]\n", far.url)
    };
    std::fs::write(&config, table("one") + &table("two")).expect("a file");
    let config = config.to_str().expect("text");
    let flags = ["--config", config, "--otlp", &collector.url, "--otlp-sample", "0"];
    let serve = Serve::start(&far.url, &flags, &[]).await;
    let heads = [
        ("GET /v1/x HTTP/1.1\r\nHost: three", 404, "no upstream"),
        ("CONNECT two:1 HTTP/1.1\r\nHost: two", 400, "forward proxies"),
        ("OPTIONS * HTTP/1.1\r\nHost: two", 400, "no path"),
    ];
    for (nth, (head, status, says)) in heads.into_iter().enumerate() {
        let (answered, told) = ask(serve.listen, &format!("{head}\r\n{PARENT}")).await;
        assert!(answered == status && told.contains(says), "{head}: {told}");
        let (_, span) = &collector.has(nth + 1).await[nth];
        assert_eq!((&*hex(&span.trace_id), &*hex(&span.parent_span_id)), (TRACE, "00f067aa0ba902b7"));
        assert_eq!(text(&span.attributes, "http.response.status_code"), Some(status.to_string()));
        assert_eq!(text(&span.attributes, "onelane.verdict").as_deref(), Some("bad_request"));
        assert_eq!((span.kind, names(span)), (SpanKind::Server as i32, vec!["remapped"]));
    }
}

#[tokio::test]
async fn of_all_that_goes_well_nothing_is_kept_and_an_error_is() {
    let (far, mut collector) = (Far::start().await, Collector::listen().await);
    let (good, bad) = (far.media().await, far.media().await);
    // By the environment.
    let environment = [("ONELANE_OTLP", &*collector.url), ("ONELANE_OTLP_SAMPLE", "0")];
    let mut serve = Serve::start(&far.url, &[], &environment).await;
    for _ in 0..20 {
        assert_eq!(serve.get(&good).await, 200);
    }
    far.fails(r#"{"status":502,"for":"1m"}"#).await;
    assert_eq!(serve.get(&bad).await, 502);
    // What is left is exported at the end.
    serve.signal("-TERM").await;
    assert!(serve.ended().await.success());
    let spans = collector.has(2).await;
    assert_eq!(spans.len(), 2, "{spans:#?}");
    let request = of_kind(spans, SpanKind::Server);
    assert_eq!(text(&request.attributes, "http.response.status_code").as_deref(), Some("502"));
    assert_eq!(names(request).last(), Some(&"remapped"));
    assert_eq!(text(&request.attributes, "onelane.verdict").as_deref(), Some("origin_broken"));
}

#[tokio::test]
async fn a_share_changes_at_a_reload_and_the_collector_does_not() {
    let (far, mut collector) = (Far::start().await, Collector::listen().await);
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("onelane.toml");
    let write = |otlp: &str, share: &str| {
        let text = format!("otlp = \"{otlp}\"\notlp_sample = {share}\n");
        std::fs::write(&file, text).expect("a file");
    };
    write(&collector.url, "0");
    let serve = Serve::start(&far.url, &["--config", file.to_str().expect("a path")], &[]).await;
    let media = far.media().await;
    assert_eq!(serve.get(&media).await, 200);
    write(&collector.url, "1.0");
    let reload = "POST /reload HTTP/1.1\r\nHost: a\r\nContent-Length: 0";
    let (status, answer) = ask(serve.admin, reload).await;
    assert!(status == 200 && answer.contains("otlp_sample"), "{answer}");
    assert_eq!(serve.get(&media).await, 200);
    assert_eq!(collector.has(2).await.len(), 2);
    write("http://127.0.0.1:1", "1");
    let (status, answer) = ask(serve.admin, reload).await;
    assert!(status >= 400 && answer.contains("otlp: cannot change"), "{answer}");
}

#[tokio::test]
async fn a_collector_over_tls_is_known_by_the_systems_roots() {
    let (far, authority) = (Far::start().await, Authority::new());
    let mut collector = Collector::listen_tls(&authority).await;
    let file = authority.file();
    let environment = [("SSL_CERT_FILE", file.to_str().expect("a path"))];
    let url = collector.url.clone();
    let flags = ["--otlp", &url, "--otlp-sample", "1"];
    let media = far.media().await;
    let serve = Serve::start(&far.url, &flags, &environment).await;
    assert_eq!(serve.get(&media).await, 200);
    collector.has(2).await;

    // One that nobody vouches for gets nothing, and players do not notice.
    let other = Authority::new();
    let file = other.file();
    let environment = [("SSL_CERT_FILE", file.to_str().expect("a path"))];
    let serve = Serve::start(&far.url, &flags, &environment).await;
    assert_eq!(serve.get(&media).await, 200);
    let lost = serve.line("spans were lost").await;
    assert!(lost["why"].as_str().is_some_and(|why| why.contains("certificate")), "{lost}");
    assert_eq!(collector.spans.len(), 2);
}

#[tokio::test]
async fn without_a_collector_players_are_served_and_what_is_lost_is_told() {
    let far = Far::start().await;
    let media = far.media().await;
    let mut serve = Serve::start(&far.url, &["--otlp", &down().await, "--otlp-sample", "1"], &[]).await;
    assert_eq!(serve.get(&media).await, 200);
    let lost = serve.line("spans were lost").await;
    assert!(lost["why"].as_str().is_some_and(|why| why.contains("refused")), "{lost}");
    assert_eq!(serve.get(&media).await, 200);
    serve.counts("onelane_spans_lost_total", 4.0).await;
    assert_eq!(serve.lines("spans were lost").len(), 1, "it is said now and then");
    ends_in_time(&mut serve).await;
    assert_eq!(lost_by(&serve), 4, "each of them is told of in the end");
}

#[tokio::test]
async fn a_collector_that_hangs_holds_up_neither_players_nor_the_end() {
    let (far, (url, mut called)) = (Far::start().await, hanging().await);
    let media = far.media().await;
    let mut serve = Serve::start(&far.url, &["--otlp", &url, "--otlp-sample", "1"], &[]).await;
    assert_eq!(serve.get(&media).await, 200);
    within(called.recv()).await.expect("it is called");
    assert_eq!(serve.get(&media).await, 200);
    ends_in_time(&mut serve).await;
    assert_eq!(lost_by(&serve), 4);
}

async fn ends_in_time(serve: &mut Serve) {
    let asked = Instant::now();
    serve.signal("-TERM").await;
    assert!(serve.ended().await.success());
    assert!(asked.elapsed() < BOUND, "{:?}", asked.elapsed());
}

/// How many spans it said that it lost, by its end.
fn lost_by(serve: &Serve) -> u64 {
    serve.lines("spans were lost").iter().filter_map(|line| line["lost"].as_u64()).sum()
}

#[tokio::test]
async fn what_is_no_collector_is_refused_in_one_line() {
    for (flags, says) in [
        (
            &["--otlp", "localhost:4317"][..],
            "--otlp localhost:4317: it has no scheme; write http://HOST:4317",
        ),
        (&["--otlp", "http://a.example"], "--otlp http://a.example: it names no port"),
        (&["--otlp", "http://me:s3cret@a.example:4317"], "OTEL_EXPORTER_OTLP_HEADERS"),
        (&["--otlp", "http://a.example:4318/v1/traces"], "it has a path"),
        (&["--otlp-sample", "1.5"], "it must be a number from 0 to 1"),
        (&["--otlp-sample", "some"], "it must be a number from 0 to 1"),
    ] {
        let all = [&["serve", "--upstream", "http://127.0.0.1:1"], flags].concat();
        let output = within(onelane(&all).output()).await.expect("it starts");
        let told = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(64), "{told}");
        assert!(told.contains(says) && told.lines().count() == 1, "{flags:?}: {told}");
        assert!(!told.contains("s3cret"), "{told}");
    }
    let check = ["check", "--upstream", "http://127.0.0.1:1", "--otlp", "http://a.example:4317"];
    let output = within(onelane(&check).env("ONELANE_OTLP_SAMPLE", "0.5").output()).await.expect("it starts");
    let told = String::from_utf8(output.stdout).expect("text");
    for line in ["otlp = \"http://a.example:4317\" # --otlp", "otlp_sample = 0.5 # ONELANE_OTLP_SAMPLE"] {
        assert!(told.lines().any(|told| told == line), "{told}");
    }
}
