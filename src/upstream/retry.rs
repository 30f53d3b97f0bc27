mod afresh;
mod config;
mod course;
mod not_sent;

use std::{sync::Arc, time::Duration};

use http::{Method, Request, Response, StatusCode, Uri};
use http_body::Body as HttpBody;
use tokio::time::{Instant, Sleep};
use tower::{
    BoxError,
    retry::{
        Policy,
        backoff::Backoff as _,
        budget::{Budget as _, TpsBudget},
    },
};

use self::course::{Course, Tried};
pub use self::{afresh::Afresh, config::RetryConfig, not_sent::NotSent};
use super::{Judgement, Lessons, Verdict, directives, judge::InPlaceOf};
use crate::{
    lane::Lanes,
    observe::record::Note,
    rescue::Accept,
    serialize::{Body, collect::is_empty},
    session::{Kind, SessionKey},
    telemetry,
};

/// The policy of a [`tower::retry::Retry`] around a [`Judge`](super::Judge): it decides after which verdicts
/// a request is sent again.
///
/// All clones share one budget, so that an outage does not double the load; [patient](RetryConfig::patient)
/// retries share another of the same size. Requests that create a session are sent again only if nothing was
/// [sent](NotSent), or [where that is wanted](RetryConfig::creations), and requests that are not safe to repeat
/// never are. A 400 on a request with low-latency directives is tried once without them.
#[derive(Clone)]
pub struct Again {
    config: Arc<RetryConfig>,
    budget: Arc<TpsBudget>,
    /// Of its own: what is broken for good must not take from those that meet a conflict.
    patience: Arc<TpsBudget>,
    /// Of what creates a session: sessions that are there must not pay for those that cannot be made.
    beginnings: Arc<TpsBudget>,
    /// Where is kept what could bridge a failure.
    lessons: Option<Arc<Lessons>>,
    /// Where others wait meanwhile.
    lanes: Option<Lanes<SessionKey>>,
    /// How this request goes; made with its first attempt.
    course: Option<Course>,
}

/// The pause after a connection broke: the upstream may have got the request and may still be at work on it.
const GRACE: Duration = Duration::from_millis(250);

/// How long others may be kept waiting that this instance does not see: less than `rescue.after`, so that they have their own answer.
const UNSEEN: Duration = Duration::from_secs(1);

// === impl Again ===

impl Again {
    /// With these limits; a value that makes no sense is taken for the nearest that does.
    pub fn new(config: RetryConfig) -> Self {
        let budget = || Arc::new(config.budget());
        let (budget, patience, beginnings) = (budget(), budget(), budget());
        Self {
            config: Arc::new(config),
            budget,
            patience,
            beginnings,
            lessons: None,
            lanes: None,
            course: None,
        }
    }

    /// Decides by what these lessons keep whether to be [patient](RetryConfig::patient).
    #[must_use]
    pub fn learning_from(self, lessons: Arc<Lessons>) -> Self {
        Self { lessons: Some(lessons), ..self }
    }

    /// Is not [patient](RetryConfig::patient) with one playlist of a session that plays while other requests
    /// of that session wait in these lanes.
    #[must_use]
    pub fn giving_way_in(self, lanes: Lanes<SessionKey>) -> Self {
        Self { lanes: Some(lanes), ..self }
    }

    /// The same policy with other limits; what is left of the budget stays, unless they set another.
    #[must_use]
    pub fn reconfigured(&self, config: RetryConfig) -> Self {
        let budget = |config: &RetryConfig| (config.budget_per_second, config.budget_part.to_bits());
        match budget(&config) == budget(&self.config) {
            true => Self { config: Arc::new(config), course: None, ..self.clone() },
            false => Self { lessons: self.lessons.clone(), lanes: self.lanes.clone(), ..Self::new(config) },
        }
    }

    /// How many times a request may be sent again after this answer.
    fn times<B>(&self, kind: Kind, result: &Result<Response<B>, BoxError>) -> u32 {
        let Ok(response) = result else { return self.config.broken };
        // What is passed on is asked for again by its player.
        if matches!(kind, Kind::Segment | Kind::Other) {
            return 0;
        }
        let Some(judgement) = response.extensions().get::<Judgement>() else { return 0 };
        match judgement.verdict {
            Verdict::Conflict => self.config.conflict,
            Verdict::Throttled | Verdict::Overloaded => self.config.overloaded,
            Verdict::TimedOut | Verdict::Unreachable | Verdict::NotPlaylist => self.config.broken,
            // Nobody is asked again for a playlist who speaks another protocol from there on.
            Verdict::OriginBroken if response.status().is_informational() => 0,
            // What has gone round once goes round again, and every hop does it once more.
            Verdict::OriginBroken if response.status() == StatusCode::LOOP_DETECTED => 0,
            Verdict::OriginBroken if judgement.blames_what_stays() => 0,
            Verdict::OriginBroken => self.config.broken,
            _ => 0,
        }
    }

    /// Whether there is nothing to give a player but another failure, and the next answer may be better.
    fn is_patient<Q>(&self, request: &Request<Q>, course: &Course, verdict: Verdict) -> bool {
        if course.creates {
            return self.config.patient && verdict != Verdict::Throttled;
        }
        let (Some(lessons), (Some(key), Kind::Media | Kind::Multivariant)) = (&self.lessons, &course.named)
        else {
            return false;
        };
        let uri = request.extensions().get().map_or(request.uri(), |InPlaceOf(uri)| uri);
        let Lessons { store, quota, .. } = &**lessons;
        let affords = match verdict {
            Verdict::Throttled => false,
            // Other sessions' conflicts are no reason to fail a player: the budget bounds what they all add.
            Verdict::Conflict => !quota.is_near(key, Instant::now()),
            _ => true,
        };
        // What plays is not to stand still for a rendition that does not, nor to grow old with a player that
        // loads one after the other. A conflict is no fault of the rendition's: who waits would have it next.
        let gives_way = || {
            let waits = || self.lanes.as_ref().is_some_and(|lanes| lanes.waiting_for(key) > 0);
            // Those that wait on other instances are not seen here.
            let most = if quota.is_shared() { UNSEEN } else { Duration::MAX };
            verdict != Verdict::Conflict && (waits() || course.first.elapsed() >= most)
                || store.target_duration(key).is_some_and(|target| course.first.elapsed() >= target)
        };
        let accept = Accept::of(request.headers());
        let is_kept = |uri: &Uri| store.bridges(key, uri, accept, Instant::now());
        // A player whose blocking reload fails may load the playlist plainly.
        let bridges = || match directives::without(uri) {
            Some(plain) => is_kept(&plain),
            None => is_kept(uri),
        };
        let plays = || store.standing(key, uri).is_some();
        self.config.patient && affords && !store.is_off() && !bridges() && !(plays() && gives_way())
    }

    /// An exchange that will not be repeated pays for those that will.
    fn deposit(&self) {
        self.budget.deposit();
        self.patience.deposit();
        self.beginnings.deposit();
    }

    /// The pause until the request is sent again, if it is.
    fn pause<Q, B>(
        &mut self,
        request: &mut Request<Q>,
        result: &Result<Response<Body<B>>, BoxError>,
    ) -> Option<Duration> {
        let mut course = self.course.take()?;
        let times = self.times(course.named.1, result);
        let (judgement, status) = match result {
            Ok(response) => (response.extensions().get::<Judgement>(), Some(response.status())),
            Err(_) => (None, None),
        };
        let is_unsent = || result.as_ref().is_err_and(|error| NotSent::is_in(&**error));
        let is_answered = || self.config.creations && result.is_ok();
        if course.creates && !is_unsent() && !is_answered() {
            if times == 0 {
                self.deposit();
            }
            return None;
        }
        let verdict = judgement.map_or(Verdict::Unreachable, |judgement| judgement.verdict);
        let undirected = match verdict {
            _ if matches!(course.named.1, Kind::Segment | Kind::Other) => None,
            Verdict::SessionLost | Verdict::BadRequest if status == Some(StatusCode::BAD_REQUEST) => {
                (!course.directives_gone).then(|| directives::without(request.uri())).flatten()
            }
            _ => None,
        };
        // What creates a session is sent again for patience alone.
        let is_late = undirected.is_none() && (course.again >= times || course.creates);
        let may_get_better =
            times > 0 || self.config.broken > 0 && judgement.is_some_and(Judgement::blames_what_stays);
        let is_patient = |course: &Course| may_get_better && self.is_patient(request, course, verdict);
        if is_late && !is_patient(&course) {
            if times == 0 && status.is_some() {
                self.deposit();
            }
            return None;
        }
        let pause = match verdict {
            _ if undirected.is_some() => Duration::ZERO,
            Verdict::Unreachable if !is_late => GRACE,
            _ => {
                let pauses = course.pauses.get_or_insert_with(|| self.config.pauses());
                let pause = pauses.next_backoff().deadline().saturating_duration_since(Instant::now());
                let is_long = is_late || matches!(verdict, Verdict::Throttled | Verdict::Overloaded);
                let least = if verdict == Verdict::Unreachable { GRACE } else { Duration::ZERO };
                if is_long { (pause * 4).max(least) } else { pause }
            }
        };
        // What a request without directives costs is paid for by the one that never does any good: left at
        // the refusal, however late that came, a session that is well would be taken for lost.
        let is_paid = || match is_late {
            true if course.creates => self.beginnings.withdraw(),
            true => self.patience.withdraw(),
            // Others may have used it up for what could be bridged.
            false => self.budget.withdraw() || is_patient(&course) && self.patience.withdraw(),
        };
        let is_in_time = course.first.elapsed() + pause <= self.config.within;
        // What is too late to be sent again takes nothing from what is not.
        let may = undirected.is_some() || is_in_time && is_paid();
        if !may {
            telemetry::not_again(course.named.0.as_ref(), course.named.1, verdict.as_str());
            return None;
        }
        request.extensions_mut().insert(Tried);
        if result.is_err() && !is_unsent() {
            request.extensions_mut().insert(Afresh);
        }
        match undirected {
            Some(uri) => {
                *request.uri_mut() = uri;
                course.directives_gone = true;
            }
            None => course.again += 1,
        }
        let trace = Note::trace_of(request.extensions());
        let (key, kind) = (course.named.0.as_ref(), course.named.1);
        telemetry::again(key, kind, verdict.as_str(), (course.again, pause), trace);
        self.course = Some(course);
        Some(pause)
    }
}

impl Default for Again {
    fn default() -> Self {
        Self::new(RetryConfig::default())
    }
}

impl std::fmt::Debug for Again {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Again").field("config", &self.config).finish_non_exhaustive()
    }
}

impl<Q, B> Policy<Request<Q>, Response<Body<B>>, BoxError> for Again
where
    Q: HttpBody + Default,
{
    type Future = Sleep;

    fn retry(
        &mut self,
        request: &mut Request<Q>,
        result: &mut Result<Response<Body<B>>, BoxError>,
    ) -> Option<Sleep> {
        let pause = self.pause(request, result);
        if let Some(note) = request.extensions().get::<Note>() {
            note.attempted(result, pause);
        }
        pause.map(tokio::time::sleep)
    }

    fn clone_request(&mut self, request: &Request<Q>) -> Option<Request<Q>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) || !is_empty(request.body()) {
            return None;
        }
        let mut clone = Request::new(Q::default());
        *clone.method_mut() = request.method().clone();
        *clone.uri_mut() = request.uri().clone();
        *clone.version_mut() = request.version();
        *clone.headers_mut() = request.headers().clone();
        *clone.extensions_mut() = request.extensions().clone();
        if request.extensions().get::<Tried>().is_none() {
            let (head, ()) = clone.map(|_| ()).into_parts();
            self.course = Some(Course::of(&head));
            return Some(Request::from_parts(head, Q::default()));
        }
        Some(clone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::Limits;

    #[test]
    fn it_gives_way_in_the_same_lanes_whatever_the_budget() {
        let again = Again::default().giving_way_in(Lanes::new(Limits::default()));
        for per_second in [again.config.budget_per_second, again.config.budget_per_second + 1] {
            let config = RetryConfig { budget_per_second: per_second, ..RetryConfig::default() };
            assert!(again.reconfigured(config).lanes.is_some(), "{per_second}");
        }
    }
}
