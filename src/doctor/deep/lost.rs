//! What sessions get that are not there any more, or never were.

use std::time::Duration;

use http::Uri;
use tokio::time::{Instant, sleep, sleep_until};

use super::{Deep, Finding, Refusal, Stop};
use crate::{
    doctor::{answer::Answer, examine::Examination},
    session::{Kind, Route},
    upstream::{Verdict, playlist::Summary},
};

/// A session that is left alone until it expires.
#[derive(Debug)]
pub(super) struct Idle {
    playlist: Uri,
    since: Instant,
    /// How long it takes, as documented.
    expires_after: Duration,
    /// How long is waited.
    within: Duration,
}

/// An id that nobody has.
const NOBODY: &str = "00000000-0000-4000-8000-000000000000";

/// A session expires when it was idle for so many times the length of its playlist, as documented.
const LENGTHS: u32 = 10;

/// How often a playlist is asked for that conflicts though nobody else asks, and how long after that.
const READS: u32 = 3;
const BUSY: Duration = Duration::from_secs(1);

// === impl Deep ===

impl Deep<'_> {
    pub(super) async fn unknown(&mut self) -> Result<(), Stop> {
        let route = Route::of(self.one.path(), self.one.query());
        let url = route.session.and_then(|own| self.one.to_string().replace(own, NOBODY).parse::<Uri>().ok());
        let Some(url) = url else { return Ok(()) };
        let answer = self.visits.get_plain(&url).await?;
        let (finding, refusal) = told("unknown", "a session id that nobody has", &answer);
        self.findings.push(finding);
        self.answers.unknown = refusal;
        Ok(())
    }
}

// === impl Examination ===

impl Examination {
    /// Makes another session to be left alone, if the URL makes sessions.
    pub(super) async fn leave_idle(&mut self, url: &Uri, within: Duration) -> Option<Idle> {
        let route = Route::of(url.path(), url.query());
        let creates = match route.kind {
            Kind::SessionCreation => true,
            Kind::Multivariant => route.session.is_none(),
            _ => false,
        };
        let note = |why: &str| Finding::note("expired", format!("not looked at: {why}"));
        if within.is_zero() || !creates {
            self.tell(note(match creates {
                true => "--expire-within is 0s",
                false => "the URL makes no session that could be left alone; give one that does",
            }));
            return None;
        }
        let playlist = self.arrive(url).await.ok().and_then(|first| first.links().first().cloned());
        let Some(playlist) = playlist else {
            self.tell(note("no second session could be made"));
            return None;
        };
        let Some(summary) = self.read(&playlist).await else {
            self.tell(note("the second session's playlist did not come"));
            return None;
        };
        let length = summary.target_duration * u32::try_from(summary.segments).unwrap_or(u32::MAX);
        let expires_after = (length * LENGTHS).mul_f64(1.1);
        Some(Idle { playlist, since: Instant::now(), expires_after, within })
    }

    /// A playlist that may be refused right after the multivariant one: sessions stay busy for a while.
    async fn read(&mut self, playlist: &Uri) -> Option<Summary> {
        for left in (0..READS).rev() {
            let answer = self.visits.get_plain(playlist).await.ok()?;
            match answer.summary() {
                None if left > 0 && answer.judgement().verdict == Verdict::Conflict => sleep(BUSY).await,
                summary => return summary,
            }
        }
        None
    }

    /// Waits for it to expire.
    pub(super) async fn expired(&mut self, idle: &Idle) -> Option<Refusal> {
        let Idle { playlist, since, expires_after, within } = idle;
        let due = *since + (*expires_after).min(*within);
        let left = due.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            let seconds = left.as_secs_f64().ceil();
            eprintln!(
                "waiting {seconds} s more for a session to expire; with --expire-within 0s it is left out"
            );
        }
        sleep_until(due).await;
        let answer = self.visits.get_plain(playlist).await;
        let answer = self.came(playlist, answer).ok()?;
        let what = format!("a session that was left alone for {} s", since.elapsed().as_secs());
        let (finding, refusal) = told("expired", &what, &answer);
        self.findings.push(finding);
        refusal
    }
}

fn told(check: &'static str, what: &str, answer: &Answer) -> (Finding, Option<Refusal>) {
    let judgement = answer.judgement();
    if judgement.verdict == Verdict::Playlist {
        return (Finding::note(check, format!("{what} gets a playlist")), None);
    }
    let refusal = Refusal::of(answer);
    let saw = format!("{what} gets {}; onelane takes it for {}", refusal.words(), refusal.verdict);
    let finding = match judgement.verdict {
        Verdict::SessionLost => Finding::ok(check, saw),
        verdict => Finding::warning(check, saw).remedy(verdict.remedy()),
    };
    (finding, Some(refusal))
}
