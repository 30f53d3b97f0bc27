//! The papers on metrics name what there is, and nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use onelane::telemetry::metrics::{ALL, Form};
use serde_json::Value;

/// Those of the sidecar alone.
const SIDECAR: [(&str, &[&str]); 5] = [
    ("onelane_certificate_expires_timestamp_seconds", &[]),
    ("onelane_client_connections", &[]),
    ("onelane_client_connections_limit", &[]),
    ("onelane_upstream_connections", &["upstream"]),
    ("onelane_build_info", &["version"]),
];

/// Labels that a scrape adds.
const OF_THE_SCRAPE: [&str; 2] = ["instance", "job"];

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect(path)
}

/// Every metric with its labels, as Prometheus has them.
fn known() -> BTreeMap<String, Vec<&'static str>> {
    let mut known = BTreeMap::new();
    for metric in ALL {
        let names: &[&str] = match metric.form {
            Form::Histogram => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        for end in names {
            let mut labels = metric.labels.to_vec();
            labels.extend((*end == "_bucket").then_some("le"));
            known.insert(format!("{}{end}", metric.name), labels);
        }
    }
    known.extend(SIDECAR.map(|(name, labels)| (name.to_owned(), labels.to_vec())));
    known
}

/// The words of an expression, and what stands behind each.
fn words(expression: &str) -> impl Iterator<Item = (&str, &str)> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let begins = expression
        .char_indices()
        .filter(move |&(at, c)| is_word(c) && !expression[..at].ends_with(is_word))
        .map(|(at, _)| at);
    begins.map(move |at| {
        let end = expression[at..].find(|c| !is_word(c)).map_or(expression.len(), |length| at + length);
        (&expression[at..end], &expression[end..])
    })
}

/// Holds when an expression is about metrics that there are, and about labels that they have.
fn is_answerable(expression: &str, known: &BTreeMap<String, Vec<&str>>) {
    let mut labels: BTreeSet<&str> = BTreeSet::from(OF_THE_SCRAPE);
    let mut named = 0;
    for (word, rest) in words(expression) {
        if word.starts_with("onelane_") {
            let own = known.get(word).unwrap_or_else(|| panic!("there is no {word}: {expression}"));
            named += 1;
            labels.extend(own);
            if let Some(selector) = rest.strip_prefix('{') {
                let (selector, _) = selector.split_once('}').expect("an end");
                for matcher in selector.split(',') {
                    let (label, _) = matcher.split_once(['=', '!']).expect("a matcher");
                    assert!(own.contains(&label) || OF_THE_SCRAPE.contains(&label), "{word} has no {label}");
                }
            }
        }
    }
    assert!(named > 0 || expression.contains("up{"), "about nothing: {expression}");
    for (_, rest) in words(expression).filter(|(word, _)| *word == "by") {
        let (by, _) = rest.trim_start().strip_prefix('(').and_then(|by| by.split_once(')')).expect("labels");
        for label in by.split(',') {
            assert!(labels.contains(label.trim()), "nothing there has {label}: {expression}");
        }
    }
}

fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            found.extend(object.get("expr").and_then(Value::as_str).map(str::to_owned));
            object.values().for_each(|value| expressions(value, found));
        }
        Value::Array(array) => array.iter().for_each(|value| expressions(value, found)),
        _ => {}
    }
}

#[test]
fn the_dashboard_asks_for_what_there_is() {
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana-dashboard.json")).expect("JSON");
    let mut found = Vec::new();
    expressions(&dashboard, &mut found);
    assert!(found.len() > 20);
    found.iter().for_each(|expression| is_answerable(expression, &known()));
}

#[test]
fn the_rules_ask_for_what_there_is_and_are_in_the_papers() {
    let (rules, papers) = (read("deploy/prometheus-rules.yml"), read("docs/metrics.md"));
    let known = known();
    let alerts: Vec<_> = rules.split("- alert: ").skip(1).collect();
    assert!(alerts.len() > 10);
    for alert in alerts {
        let (name, rest) = alert.split_once('\n').expect("a body");
        assert!(name == "OnelaneIsDown" || papers.contains(name), "{name} is not in docs/metrics.md");
        let (_, expression) = rest.split_once("expr:").expect("an expression");
        let end = ["\n        for:", "\n        labels:"].iter().filter_map(|key| expression.find(key)).min();
        is_answerable(&expression[..end.expect("a key behind it")], &known);
        assert!(rest.contains("summary:") && rest.contains("remedy:"), "{name}");
    }
    for name in words(&papers).map(|(word, _)| word).filter(|word| word.starts_with("Onelane")) {
        assert!(rules.contains(&format!("- alert: {name}\n")), "there is no alert {name}");
    }
}

#[test]
fn the_papers_have_every_metric_with_its_labels() {
    let papers = read("docs/metrics.md");
    let rows: BTreeMap<&str, &str> = papers
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split(" | ");
            Some((cells.next()?.trim_end_matches('`'), cells.next()?))
        })
        .collect();
    let forms = ALL.iter().map(|metric| {
        let form = match metric.form {
            Form::Counter => "counter",
            Form::Gauge => "gauge",
            Form::Histogram => "histogram",
        };
        (metric.name, form, metric.labels)
    });
    let all: Vec<_> = forms.chain(SIDECAR.map(|(name, labels)| (name, "gauge", labels))).collect();
    for (name, form, labels) in &all {
        let labels = labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        let expected = if labels.is_empty() { (*form).to_owned() } else { format!("{form}; {labels}") };
        assert_eq!(rows.get(name), Some(&&*expected), "{name}");
    }
    assert_eq!(rows.len(), all.len(), "there are rows of what there is not");
}
