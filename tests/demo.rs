//! The command `onelane demo`, as somebody types it for the first time.
#![cfg(all(feature = "sidecar", feature = "emulator"))]

use std::process::{Command, Output};

use serde_json::Value;

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
