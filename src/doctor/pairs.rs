use super::{answer::Answer, finding::Finding, visits::NoAnswer};
use crate::upstream::Verdict;

/// What came of two playlists that were loaded at once, time after time.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    whole: usize,
    conflict: Option<String>,
    other: Option<String>,
    enough: bool,
}

// === impl Pairs ===

impl Pairs {
    pub(super) fn count(&mut self, first: &Result<Answer, NoAnswer>, second: &Result<Answer, NoAnswer>) {
        let mut good = 0;
        for (nth, answer) in [("first", first), ("second", second)] {
            match answer {
                Ok(answer) => match answer.judgement().verdict {
                    Verdict::Playlist => good += 1,
                    Verdict::Conflict => {
                        let took = answer.took.as_millis();
                        let saw = format!("the {nth} gets 409 ConflictException after {took} ms");
                        self.conflict.get_or_insert(saw);
                    }
                    _ => {
                        let saw = format!("the {nth} is answered with {} and no playlist", answer.status());
                        self.other.get_or_insert(saw);
                    }
                },
                Err(NoAnswer::Enough(_)) => self.enough = true,
                Err(why) => {
                    self.other.get_or_insert(format!("the {nth} fails: {why}"));
                }
            }
        }
        self.whole += usize::from(good == 2);
    }

    pub(super) fn conflicted(&self) -> bool {
        self.conflict.is_some()
    }

    /// All of it in one.
    pub(super) fn finding(&self) -> Finding {
        let Self { whole, conflict, other, enough } = self;
        match (conflict, other) {
            (Some(saw), _) => Finding::warning("conflict", format!("two playlists at once: {saw}")).remedy(
                "players load several at once; put onelane in front, and let every request of a session go through it",
            ),
            (None, Some(saw)) => {
                let saw = format!("two playlists at once: {saw}; by itself each loads");
                Finding::warning("conflict", saw).remedy(
                    "look in the logs of what stands in front of MediaTailor for that time; onelane sends one at a time",
                )
            }
            (None, None) if *enough => {
                Finding::note("conflict", "not looked at: too many requests had been sent by then")
            }
            (None, None) => Finding::ok("conflict", format!("two at once, {whole} times: no conflict")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;

    use super::*;
    use crate::doctor::finding::Severity;

    fn answer(status: StatusCode) -> Result<Answer, NoAnswer> {
        let (mut head, ()) = http::Response::new(()).into_parts();
        head.status = status;
        let url = "https://a.example/v1/manifest/x/y/6f1b7c52-30aa-4c1e-9d0f-2a4d1f7be901/0.m3u8";
        let body = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:1\n#EXTINF:2,\na.ts\n";
        let took = Duration::from_millis(7);
        Ok(Answer { url: url.parse().expect(url), head, body: body.into(), took })
    }

    fn of(first: &Result<Answer, NoAnswer>, second: &Result<Answer, NoAnswer>) -> Finding {
        let mut pairs = Pairs::default();
        pairs.count(first, second);
        pairs.finding()
    }

    #[test]
    fn only_playlists_are_a_clean_bill() {
        let good = || answer(StatusCode::OK);
        let broken = || Err(NoAnswer::Broken("it broke off".to_owned()));
        assert_eq!(of(&good(), &good()).severity, Severity::Ok);
        for (first, second, says) in [
            (good(), answer(StatusCode::CONFLICT), "the second gets 409 ConflictException after 7 ms"),
            (answer(StatusCode::CONFLICT), good(), "the first gets 409 ConflictException after 7 ms"),
            (good(), answer(StatusCode::BAD_GATEWAY), "the second is answered with 502"),
            (broken(), good(), "the first fails: it broke off"),
            (broken(), answer(StatusCode::CONFLICT), "the second gets 409"),
        ] {
            let finding = of(&first, &second);
            assert_eq!(finding.severity, Severity::Warning, "{says}: {finding:?}");
            assert!(finding.saw.contains(says) && !finding.remedy.is_empty(), "{says}: {finding:?}");
        }
        let finding = of(&Err(NoAnswer::Enough(40)), &Err(NoAnswer::Enough(40)));
        assert_eq!(finding.severity, Severity::Note, "{finding:?}");
    }
}
