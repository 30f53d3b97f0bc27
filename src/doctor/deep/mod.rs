//! What no document of AWS says of an account's own MediaTailor, found out by trying.
//!
//! One question after the other, with a pause between them that lets the session come to rest. Two requests
//! at once at most.

mod answers;
mod busy;
mod leave;
mod lost;
mod overlap;
mod part;
mod settings;

use std::time::Duration;

use http::{StatusCode, Uri, header};
use tokio::time::sleep;

pub use self::{
    answers::{Answers, Busy, Loser, LosesAt, Refusal},
    settings::Setting,
};
use super::{
    answer::Answer,
    examine::Examination,
    finding::Finding,
    visits::{NoAnswer, Visits},
};
use crate::upstream::Verdict;

/// The questions, and what is known so far.
#[derive(Debug)]
struct Deep<'a> {
    visits: &'a Visits,
    /// Two playlists of one session.
    one: &'a Uri,
    other: &'a Uri,
    /// How long a playlist took, each time by itself.
    took: Vec<Duration>,
    /// How long the session is left alone between two trials.
    calm: Duration,
    answers: Answers,
    findings: Vec<Finding>,
}

/// Why there is no going on.
struct Stop(String);

/// How long a session is left alone before it is known how long that has to be.
const CALM: Duration = Duration::from_millis(500);

// === impl Examination ===

impl Examination {
    /// Asks all of it. `first` is what the URL led to.
    pub(super) async fn deep(
        &mut self,
        url: &Uri,
        first: &Answer,
        playlists: &[Uri],
        expire_within: Duration,
    ) {
        let idle = self.leave_idle(url, expire_within).await;
        let (one, other) = (&playlists[0], playlists.get(1).unwrap_or(&playlists[0]));
        let mut deep = Deep {
            visits: &self.visits,
            one,
            other,
            took: Vec::new(),
            calm: CALM,
            answers: Answers::default(),
            findings: Vec::new(),
        };
        if let Err(Stop(why)) = deep.ask(first).await {
            deep.findings.push(
                Finding::warning("deep", format!("not all was looked at: {why}"))
                    .remedy("see to what is above, and that nobody else plays this session; then try again"),
            );
        }
        let Deep { mut answers, findings, .. } = deep;
        self.findings.extend(findings);
        if let Some(idle) = idle {
            answers.expired = self.expired(&idle).await;
        }
        self.settings = settings::of(&answers, one);
        self.answers = Some(answers);
    }
}

// === impl Deep ===

impl Deep<'_> {
    async fn ask(&mut self, first: &Answer) -> Result<(), Stop> {
        self.busy_after().await?;
        self.overlap().await?;
        if self.answers.loser == Some(Loser::None) {
            let why = "not looked at: two playlists at once do not conflict here";
            for check in ["disconnect", "tracking", "multivariant"] {
                self.findings.push(Finding::note(check, why));
            }
        } else {
            self.leave().await?;
            self.tracking().await?;
            self.multivariant(first).await?;
        }
        self.unknown().await
    }

    /// Leaves the session alone, then loads a playlist by itself.
    async fn rest(&mut self) -> Result<(), Stop> {
        let mut calm = self.calm;
        for _ in 0..4 {
            sleep(calm).await;
            if self.load(self.one).await? {
                return Ok(());
            }
            calm *= 2;
        }
        Err(Stop(format!("a playlist conflicts {} ms after the last one", (calm / 2).as_millis())))
    }

    /// Loads a playlist while none other is loaded; `false` is a conflict.
    async fn load(&mut self, playlist: &Uri) -> Result<bool, Stop> {
        let answer = self.visits.get_plain(playlist).await?;
        if self.conflicts(&answer) {
            return Ok(false);
        }
        match answer.judgement().verdict {
            Verdict::Playlist => {
                self.took.push(answer.took);
                Ok(true)
            }
            verdict => {
                Err(Stop(format!("a playlist is answered with {}: {}", answer.status(), verdict.meaning())))
            }
        }
    }

    /// Whether an answer is a 409; keeps what the first one looked like.
    fn conflicts(&mut self, answer: &Answer) -> bool {
        let conflicts = answer.status() == StatusCode::CONFLICT;
        if conflicts && self.answers.conflict.is_none() {
            self.answers.conflict = Some(Refusal::of(answer));
        }
        conflicts
    }

    /// How long a playlist takes by itself: the middle of all.
    fn usual(&self) -> Duration {
        let mut took = self.took.clone();
        took.sort_unstable();
        took.get(took.len() / 2).copied().unwrap_or_default()
    }
}

// === impl Stop ===

impl From<NoAnswer> for Stop {
    fn from(why: NoAnswer) -> Self {
        Self(why.to_string())
    }
}

// === impl Refusal ===

impl Refusal {
    fn of(answer: &Answer) -> Self {
        let judgement = answer.judgement();
        Self {
            status: answer.status().as_u16(),
            exception: judgement.named_exception(),
            retry_after: answer.header(header::RETRY_AFTER).map(str::to_owned),
            cors: answer.readers().is_some(),
            verdict: judgement.verdict.as_str(),
        }
    }

    /// In words.
    fn words(&self) -> String {
        let name = self.exception.map(|name| format!(" {name}")).unwrap_or_default();
        let again =
            self.retry_after.as_deref().map(|after| format!(", Retry-After: {after}")).unwrap_or_default();
        let pages = if self.cors { "" } else { ", without CORS headers" };
        format!("{}{name}{again}{pages}", self.status)
    }
}
