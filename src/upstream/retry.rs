mod afresh;
mod config;
mod course;
mod not_sent;
mod outcome;
mod why;

use std::{sync::Arc, time::Duration};

use http::{Method, Request, Response, Uri};
use http_body::Body as HttpBody;
use tokio::time::{Instant, Sleep};
use tower::{
    BoxError,
    retry::{
        Policy,
        budget::{Budget as _, TpsBudget},
    },
};

pub use self::{afresh::Afresh, config::RetryConfig, not_sent::NotSent};
use self::{
    course::{Course, Tried},
    outcome::Outcome,
    why::Why,
};
use super::{Lessons, Verdict, directives, judge::InPlaceOf};
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

    /// Whether there is nothing to give a player but another failure, and the next answer may be better.
    fn is_patient<Q>(&self, request: &Request<Q>, course: &Course, came: &Outcome<'_>) -> bool {
        let verdict = came.verdict;
        if !came.may_get_better(&self.config) {
            return false;
        }
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

    /// Why the request is sent again after this, if it is.
    fn why<Q>(&self, request: &Request<Q>, course: &Course, came: &Outcome<'_>) -> Option<Why> {
        let is_answered = || self.config.creations && came.status.is_some();
        if course.creates && !came.is_unsent && !is_answered() {
            return None;
        }
        if let Some(undirected) = Why::undirected(request.uri(), course, came) {
            return Some(undirected);
        }
        // What creates a session is sent again for patience alone.
        if !course.creates && course.again < came.times {
            return Some(Why::Times);
        }
        self.is_patient(request, course, came).then_some(Why::Patience)
    }

    /// Whether it is paid for.
    fn is_paid(&self, course: &Course, why: &Why, is_patient: impl FnOnce() -> bool) -> bool {
        match why {
            // By the one without directives that never does any good: left at the refusal, however late that came, a session that is
            // well would be taken for lost.
            Why::Undirected(_) => true,
            Why::Patience if course.creates => self.beginnings.withdraw(),
            Why::Patience => self.patience.withdraw(),
            // Others may have used it up for what could be bridged.
            Why::Times => self.budget.withdraw() || is_patient() && self.patience.withdraw(),
        }
    }

    /// The pause until the request is sent again, if it is.
    fn pause<Q, B>(
        &mut self,
        request: &mut Request<Q>,
        result: &Result<Response<Body<B>>, BoxError>,
    ) -> Option<Duration> {
        let mut course = self.course.take()?;
        let came = Outcome::of(result, course.named.1, &self.config);
        let Some(why) = self.why(request, &course, &came) else {
            if came.pays() {
                self.deposit();
            }
            return None;
        };
        let pause = why.pause(&mut course, came.verdict, &self.config);
        let is_in_time =
            matches!(why, Why::Undirected(_)) || course.first.elapsed() + pause <= self.config.within;
        let is_patient = || self.is_patient(request, &course, &came);
        // What is too late to be sent again takes nothing from what is not.
        if !is_in_time || !self.is_paid(&course, &why, is_patient) {
            telemetry::not_again(course.named.0.as_ref(), course.named.1, came.verdict.as_str());
            return None;
        }
        request.extensions_mut().insert(Tried);
        if result.is_err() && !came.is_unsent {
            request.extensions_mut().insert(Afresh);
        }
        match why {
            Why::Undirected(uri) => {
                *request.uri_mut() = uri;
                course.directives_gone = true;
            }
            Why::Times | Why::Patience => course.again += 1,
        }
        let trace = Note::trace_of(request.extensions());
        let (key, kind) = (course.named.0.as_ref(), course.named.1);
        telemetry::again(key, kind, came.verdict.as_str(), (course.again, pause), trace);
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
