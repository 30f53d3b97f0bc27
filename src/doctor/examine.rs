use std::time::Duration;

use http::{Uri, header, uri::PathAndQuery};
use tokio::time::sleep;

use super::{
    answer::Answer,
    clock,
    deep::{Answers, Setting},
    finding::{Finding, Report, Severity},
    pairs::Pairs,
    shown::Shown,
    visits::Visits,
};
use crate::{
    session::{Kind, Route, ShownPath, link},
    upstream::playlist::Summary,
};

/// One examination: what is sent next depends on what was seen.
#[derive(Debug)]
pub(super) struct Examination {
    pub(super) visits: Visits,
    pub(super) findings: Vec<Finding>,
    pub(super) answers: Option<Answers>,
    pub(super) settings: Vec<Setting>,
    /// A onelane that the URL leads to gave a playlist that it had kept.
    pub(super) bridged: bool,
}

/// Whatever went wrong is among the findings by now, and there is no point in going on.
pub(super) struct Over;

/// The most redirects that are followed.
const REDIRECTS: usize = 5;

/// The most playlists that are loaded one after the other.
const PLAYLISTS: usize = 4;

/// What takes longer than this is slow: it is when onelane gives the last good playlist.
const SLOW: Duration = Duration::from_secs(2);

/// How many times two playlists are loaded at once: whether they conflict can be chance.
pub(super) const PAIRS: usize = 3;

/// A playlist that no session has.
const NO_PLAYLIST: &str = "999999.m3u8";

// === impl Examination ===

impl Examination {
    /// From the first request to the last, after what is known of the URL without one. `deep` asks what is
    /// not documented as well, and waits so long for a session to expire.
    pub(super) async fn of(url: Uri, visits: Visits, known: Vec<Finding>, deep: Option<Duration>) -> Report {
        let mut examination =
            Self { visits, findings: known, answers: None, settings: Vec::new(), bridged: false };
        let _over = examination.all(&url, deep).await;
        let Self { visits, findings, answers, settings, .. } = examination;
        Report { url: Shown(&url).to_string(), findings, answers, settings, requests: visits.sent() }
    }

    async fn all(&mut self, url: &Uri, deep: Option<Duration>) -> Result<(), Over> {
        let first = self.arrive(url).await?;
        let playlists = self.playlists(&first)?;
        let usual = self.usual(url, &playlists).await;
        match deep {
            // A session that stays busy after its answer conflicts when its playlists are loaded one by one.
            Some(expire_within) if self.is_playable() => {
                self.deep(url, &first, &playlists, expire_within).await;
                Ok(())
            }
            _ => usual,
        }
    }

    /// Whether no more is wrong than what players suffer from now and then.
    fn is_playable(&self) -> bool {
        let broken = ["session", "blocked", "throttled", "denied", "host", "answer", "reach", "upstream"];
        let is_broken =
            |finding: &Finding| finding.severity >= Severity::Warning && broken.contains(&finding.check);
        !self.findings.iter().any(is_broken)
    }

    async fn usual(&mut self, url: &Uri, playlists: &[Uri]) -> Result<(), Over> {
        let playlists = &self.one_by_one(playlists).await?;
        self.compressed(&playlists[0]).await;
        self.errors(&playlists[0]).await;
        self.moves_on(&playlists[0]).await;
        self.together(playlists).await;
        // In front of one that bridges an outage, another would tell of the outage.
        if !self.bridged {
            self.through_onelane(url, playlists).await;
        }
        Ok(())
    }

    pub(super) fn tell(&mut self, finding: Finding) {
        // What is true of every playlist need not be said of each.
        let known = |known: &Finding| known.check == finding.check && known.severity == finding.severity;
        if !self.findings.iter().any(known) {
            self.findings.push(finding);
        }
    }

    /// Loads what the URL leads to.
    pub(super) async fn arrive(&mut self, url: &Uri) -> Result<Answer, Over> {
        let mut at = url.clone();
        if Route::of(at.path(), at.query()).kind == Kind::SessionCreation {
            let answer = self.visits.post(&at).await;
            let answer = self.came(&at, answer)?;
            let made: Option<serde_json::Value> = serde_json::from_slice(&answer.body).ok();
            let manifest = made.as_ref().and_then(|made| made["manifestUrl"].as_str());
            let Some(manifest) = manifest.and_then(|manifest| link::resolve(&answer.url, manifest)) else {
                self.judge(&answer);
                let saw = format!("{} answers {} without a manifestUrl", ShownPath(&at), answer.status());
                self.tell(
                    Finding::error("session", saw).remedy("ask for a session that the configuration allows"),
                );
                return Err(Over);
            };
            at = manifest;
        }
        self.follow(&at, false).await
    }

    /// Loads what a URL leads to, as browsers ask for it or without compression.
    async fn follow(&mut self, url: &Uri, packed: bool) -> Result<Answer, Over> {
        let mut at = url.clone();
        let mut passed = Vec::new();
        loop {
            let answer = match packed {
                true => self.visits.get(&at).await,
                false => self.visits.get_plain(&at).await,
            };
            let answer = self.came(&at, answer)?;
            let to = answer.header(header::LOCATION).filter(|_| answer.status().is_redirection());
            let Some(to) = to.and_then(|to| link::resolve(&answer.url, to)) else {
                self.reached(&at, &answer);
                return Ok(answer);
            };
            passed.push(at);
            let (times, shown) = (passed.len(), ShownPath(&to));
            if passed.contains(&to) {
                let saw = format!("it is redirected {times} times and comes back to {shown}");
                self.tell(
                    Finding::error("redirects", saw)
                        .remedy("correct the rule that redirects playlists to themselves"),
                );
                return Err(Over);
            }
            if times > REDIRECTS {
                let saw = format!("it is redirected more than {REDIRECTS} times, at last to {shown}");
                self.tell(
                    Finding::error("redirects", saw)
                        .remedy("give players the URL that the redirects lead to, or correct the rule that makes ever more of them"),
                );
                return Err(Over);
            }
            at = to;
        }
    }

    /// The media playlists of what was loaded first.
    fn playlists(&mut self, first: &Answer) -> Result<Vec<Uri>, Over> {
        if !self.judge(first) {
            self.is_for_pages(first, "error");
            return Err(Over);
        }
        self.is_for_pages(first, "success");
        if !self.is_bridged(first) {
            self.is_personal(first);
        }
        let playlists = match first.summary().is_some_and(|summary| summary.variants > 0) {
            true => first.links(),
            false => vec![first.url.clone()],
        };
        let Some(one) = playlists.first() else {
            self.tell(
                Finding::error("playlist", "it names no media playlist")
                    .remedy("check the origin's multivariant playlist"),
            );
            return Err(Over);
        };
        self.tell(match Route::of(one.path(), one.query()).session {
            Some(_) => Finding::ok("session", format!("{} media playlists of one session", playlists.len())),
            None => Finding::note("session", "no session id where MediaTailor has it: onelane would pass these playlists on without a lane"),
        });
        Ok(playlists)
    }

    /// Where they are in the end, redirects followed.
    async fn one_by_one(&mut self, playlists: &[Uri]) -> Result<Vec<Uri>, Over> {
        let (mut slowest, mut found) = (Duration::ZERO, Vec::new());
        for playlist in playlists.iter().take(PLAYLISTS) {
            let answer = self.follow(playlist, false).await?;
            if !self.judge(&answer) {
                if !answer.is_html() {
                    self.is_for_pages(&answer, "error");
                }
                return Err(Over);
            }
            slowest = slowest.max(answer.took);
            found.push(answer.url.clone());
            self.is_for_pages(&answer, "success");
            self.is_plain(&answer);
            if !self.is_bridged(&answer) {
                self.is_personal(&answer);
            }
        }
        let took = slowest.as_millis();
        self.tell(match slowest > SLOW {
            true => Finding::warning("slow", format!("a media playlist takes {took} ms, by itself")).remedy(
                "look at Origin.Latency and AdDecisionServer.Duration in CloudWatch; onelane gives the last good playlist after --rescue-after",
            ),
            false => Finding::ok("playlist", format!("one after the other they load, in {took} ms at most")),
        });
        Ok(found)
    }

    async fn compressed(&mut self, playlist: &Uri) {
        let Ok(answer) = self.follow(playlist, true).await else { return };
        // As browsers ask, and a cache may have something else for those.
        if self.is_bridged(&answer) || !self.judge(&answer) {
            return;
        }
        let encoding = answer.header(header::CONTENT_ENCODING).map(str::to_owned);
        match encoding {
            Some(encoding) => self.tell(Finding::ok("gzip", format!("{encoding} on request"))),
            None => self.tell(Finding::note("gzip", "never compressed, which costs viewers bandwidth")),
        }
    }

    /// What an error looks like: one is provoked.
    async fn errors(&mut self, playlist: &Uri) {
        let route = Route::of(playlist.path(), playlist.query());
        if route.kind != Kind::Media || route.session.is_none() {
            return;
        }
        let path = playlist.path().rsplit_once('/').map(|(folder, _)| format!("{folder}/{NO_PLAYLIST}"));
        let mut parts = playlist.clone().into_parts();
        parts.path_and_query = path.and_then(|path| path.parse::<PathAndQuery>().ok());
        let Ok(nowhere) = Uri::from_parts(parts) else { return };
        let answer = self.visits.get_plain(&nowhere).await;
        let Ok(answer) = self.came(&nowhere, answer) else { return };
        if answer.status().is_success() {
            return self.tell(Finding::note("errors", "a playlist that is not there is answered with 200"));
        }
        self.is_for_pages(&answer, "error");
        if answer.is_html() {
            let saw = format!("{} comes as a web page", answer.status());
            self.tell(
                Finding::warning("html", saw)
                    .remedy("let MediaTailor's errors pass, or make them JSON with CORS"),
            );
        }
    }

    async fn together(&mut self, playlists: &[Uri]) {
        let (one, other) = (&playlists[0], playlists.get(1).unwrap_or(&playlists[0]));
        let mut seen = Pairs::default();
        for _ in 0..PAIRS {
            let (first, second) = tokio::join!(self.visits.get_plain(one), self.visits.get_plain(other));
            let bridged = [&first, &second].into_iter().flatten().any(|answer| self.is_bridged(answer));
            if bridged {
                return;
            }
            seen.count(&first, &second);
            // Once is enough: each conflict may count against the account.
            if seen.conflicted() {
                break;
            }
        }
        self.tell(seen.finding());
    }

    /// What a playlist says now, unless the answer is not the upstream's.
    async fn state_of(&mut self, playlist: &Uri) -> Option<Summary> {
        let answer = self.follow(playlist, false).await.ok()?;
        if self.is_bridged(&answer) || !self.judge(&answer) {
            return None;
        }
        answer.summary()
    }

    /// Whether a live playlist does.
    async fn moves_on(&mut self, playlist: &Uri) {
        let Some(before) = self.state_of(playlist).await else { return };
        if before.ended {
            return self.tell(Finding::note("clock", "it is complete: VOD"));
        }
        let waited = clock::wait(&before);
        sleep(waited).await;
        let Some(after) = self.state_of(playlist).await else { return };
        self.tell(clock::moved(&before, &after, waited));
    }
}
