//! The command `onelane demo`, as somebody types it for the first time.
#![cfg(all(feature = "sidecar", feature = "emulator"))]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use serde_json::Value;
use tempfile::NamedTempFile;
use tokio::time::Instant;

fn demo(flags: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onelane"));
    command.arg("demo").args(flags).env_remove("ONELANE_LOG").output().expect("the demo starts")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

#[test]
fn shows_conflicts_and_their_end() {
    for model in ["reject", "optimistic"] {
        let flags = ["--sessions", "30", "--seconds", "2", "--seed", "7", "--conflict", model, "--json"];
        let output = demo(&flags);
        let said: Value = serde_json::from_slice(&output.stdout).expect("one JSON object and nothing else");
        assert!(output.status.success(), "{said:#}");
        assert_eq!(said["passed"], true);
        let of = |side: &str, what: &str| said[side][what].as_u64().expect(what);
        assert!(of("direct", "conflicts") > 0 && of("direct", "max_in_flight") > 1, "{said:#}");
        assert!(of("direct", "abandoned") > 0 && of("onelane", "abandoned") > 0, "{said:#}");
        assert_eq!((of("onelane", "conflicts"), of("onelane", "max_in_flight")), (0, 1), "{said:#}");
        assert_eq!(
            (of("onelane", "conflicts_upstream"), of("onelane", "other_failures")),
            (0, 0),
            "{said:#}"
        );
        for side in ["direct", "onelane"] {
            let ends = ["ok", "conflicts", "other_failures", "abandoned"].map(|end| of(side, end));
            assert_eq!(
                of(side, "requests"),
                ends.iter().sum::<u64>(),
                "each request ends in one way: {said:#}"
            );
        }
        let progress = text(&output.stderr);
        assert!(progress.lines().count() >= 4, "{progress}");
        assert!(!progress.contains("onelane::"), "the log keeps quiet: {progress}");
    }
}

#[test]
fn fails_where_nothing_is_shown() {
    let output = demo(&["--sessions", "1", "--seconds", "1", "--latency", "0s"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("Nothing was shown"), "{}", text(&output.stdout));
}

#[test]
fn a_bad_flag_gets_one_line() {
    for flags in [
        ["--sessions", "0"],
        ["--sessions", "4000000000"],
        ["--seconds", "0"],
        ["--seconds", "ten"],
        ["--latency", "60ms..20ms"],
        ["--conflict", "none"],
    ] {
        let output = demo(&flags);
        assert_eq!(output.status.code(), Some(64), "{flags:?}");
        let said = text(&output.stderr);
        assert!(said.lines().count() == 1 && said.contains(flags[0]), "{said}");
        assert!(output.stdout.is_empty(), "{flags:?}");
    }
}

/// What is printed before it stays up: the page, and both entries.
struct Staying {
    child: Child,
    page: String,
    entries: [String; 2],
    /// Standard error.
    said: NamedTempFile,
}

/// The longest that anything here may take; only a hang reaches it.
const HANG: Duration = Duration::from_secs(60);

impl Staying {
    fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_onelane"));
        command.args(["demo", "--serve", "--sessions", "6", "--seed", "7"]).env_remove("ONELANE_LOG");
        let said = NamedTempFile::new().expect("a file");
        let stderr = said.reopen().expect("the same file");
        let mut child = command.stdout(Stdio::piped()).stderr(stderr).spawn().expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let told: Vec<_> = lines.take(4).map(|line| line.expect("text")).collect();
        let url = |name: &str| {
            let line = told.iter().find_map(|line| line.strip_prefix(name)).expect(name);
            line.split_whitespace().next().expect("an address").to_owned()
        };
        let (page, entries) = (url("page"), [url("straight"), url("through onelane")]);
        Self { child, page, entries, said }
    }

    fn overview(&self) -> Value {
        serde_json::from_str(&get(&format!("{}api/overview", self.page))).expect("JSON")
    }

    /// Looks until it is so.
    fn until(&self, what: &str, so: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + HANG;
        loop {
            let overview = self.overview();
            if so(&overview) {
                return overview;
            }
            assert!(Instant::now() < end, "{what}: {overview:#}");
        }
    }

    fn ends_at(mut self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().expect("kill").success());
        assert_eq!(self.child.wait().expect("an end").code(), Some(0), "{signal}");
    }
}

impl Drop for Staying {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// The body of a page.
fn get(url: &str) -> String {
    let (host, path) = url.trim_start_matches("http://").split_once('/').expect("a path");
    let mut connection = TcpStream::connect(host).expect("it listens");
    connection.set_read_timeout(Some(HANG)).expect("a limit");
    write!(connection, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
        .expect("it reads");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("an answer");
    answer.split_once("\r\n\r\n").expect("a head").1.to_owned()
}

#[test]
fn stays_up_to_be_looked_at() {
    let staying = Staying::start();
    for entry in &staying.entries {
        assert!(get(entry).starts_with("#EXTM3U"), "{entry} can be played");
    }
    let sum = |overview: &Value, of: &str| -> u64 {
        let seconds = overview["seconds"].as_array().expect("a list");
        seconds.iter().map(|second| second[of].as_u64().expect(of)).sum()
    };
    let first = staying.until("requests", |overview| sum(overview, "requests") > 20);
    let requests = sum(&first, "requests");
    staying.until("more of them", |overview| sum(overview, "requests") > requests);
    for what in ["conflict", "rescue", "remap"] {
        staying.until(what, |overview| {
            overview["events"].as_array().expect("a list").iter().any(|event| event["what"] == what)
        });
    }
    let overview = staying.overview();
    assert!(overview["recorded"]["sessions"].as_u64().expect("they are recorded") >= 6, "{overview:#}");
    let said = fs::read_to_string(staying.said.path()).expect("text");
    assert!(
        said.contains("now ") && !said.contains("onelane::"),
        "the trouble is announced, and not drowned: {said}"
    );
    staying.ends_at("-INT");
    Staying::start().ends_at("-TERM");
}
