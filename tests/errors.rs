//! `docs/errors.md` and the data behind it say the same.

use std::collections::HashMap;

use onelane::upstream::{Flaw, Verdict};

/// The sections by their anchors, each in one line, as Markdown takes its text.
fn sections(text: &str) -> HashMap<&str, String> {
    let named = text.split("\n## ").skip(1).filter_map(|section| section.split_once('\n'));
    named.map(|(name, text)| (name, text.split_whitespace().collect::<Vec<_>>().join(" "))).collect()
}

fn sentence(clause: &str) -> String {
    let mut rest = clause.chars();
    rest.next().into_iter().flat_map(char::to_uppercase).chain(rest).chain(['.']).collect()
}

#[test]
fn every_verdict_has_its_section_and_the_texts_agree() {
    let text = include_str!("../docs/errors.md");
    let sections = sections(text);
    for verdict in Verdict::ALL {
        let name = verdict.as_str();
        let section = sections.get(name).unwrap_or_else(|| panic!("no section {name}"));
        let meaning = sentence(verdict.meaning());
        assert!(section.starts_with(&meaning), "{name}: it should begin with {meaning:?}");
        let remedy = format!("What to do: {}.", verdict.remedy());
        assert!(section.ends_with(&remedy), "{name}: it should end with {remedy:?}");
        let row = text.lines().find(|line| line.starts_with(&format!("| [{name}](#{name}) |")));
        let bridged = row.unwrap_or_else(|| panic!("no row {name}")).trim_end().ends_with("| yes |");
        assert_eq!(bridged, verdict.survivable(), "{name}: the table's last column");
    }
    assert_eq!(sections.len(), Verdict::ALL.len(), "a section of no verdict");
}

#[test]
fn every_flaw_is_named() {
    let sections = sections(include_str!("../docs/errors.md"));
    for flaw in Flaw::ALL {
        let name = format!("`{}`", flaw.as_str());
        assert!(sections["not_playlist"].contains(&name), "{name}");
    }
}
