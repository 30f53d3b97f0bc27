//! All stages in the recommended order, in one call.
//!
//! ```
//! use onelane::stack::{Config, Stack};
//! use tower::ServiceBuilder;
//! # use http::{Request, Response};
//! # use http_body_util::{Empty, Full};
//! # use bytes::Bytes;
//! # async fn client(_: Request<Empty<Bytes>>) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
//! #     Ok(Response::new(Full::default()))
//! # }
//!
//! let stack = Stack::new(Config::default());
//! let service = ServiceBuilder::new().layer(&stack).service_fn(client);
//! # let _ = service;
//! ```

use std::{sync::Arc, time::Duration};

use tower::{
    Layer, ServiceBuilder,
    layer::util::Identity,
    retry::Retry,
    util::{Either, option_layer},
};

use crate::{
    lane::Lanes,
    lease::Leases,
    observe::{Observe, ObserveLayer, record::Recorder},
    remap::{self, Remap, RemapLayer},
    rescue::{self, RescueLayer, RescueService},
    resume::{self, ResumeLayer},
    serialize::{self, Serialize, SerializeLayer},
    session::{MediaTailor, Name, NameLayer, SessionKey},
    shield::{self, Shield, ShieldLayer},
    telemetry::{Levels, OwnLevels},
    upstream::{
        Again, Judge, JudgeLayer, Learn, LearnLayer, Lessons, RetryConfig, Settle, StripDirectives,
        StripDirectivesLayer, playlist::Limits,
    },
};

/// How every stage works.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// What players get.
    pub remap: remap::Config,
    /// When they get the last good playlist; `None` where they never do, and none is kept.
    pub rescue: Option<rescue::Config>,
    /// When sessions are answered without the upstream.
    pub shield: shield::Config,
    /// The lanes.
    pub serialize: serialize::Config,
    /// When a request is sent again.
    pub retry: RetryConfig,
    /// The longest gap between two turns that is learned. Default: 250 ms; zero for none.
    pub settle: Duration,
    /// Whether `_HLS_msn`, `_HLS_part` and `_HLS_skip` are taken off requests before anything else looks at them; see
    /// [`StripDirectives`]. Default: no.
    pub strip_directives: bool,
}

/// A layer of all stages; see the [module](self). A clone, and every service that is made by one layer, shares lanes
/// and lessons.
///
/// `R` is the layer around what retries, within the exchange: none, unless [`resume`](Self::resume) puts one there.
#[derive(Debug, Clone)]
pub struct Stack<E = MediaTailor, R = Identity> {
    strip: StripDirectivesLayer,
    name: NameLayer<E>,
    observe: ObserveLayer,
    remap: RemapLayer,
    rescue: RescueLayer,
    shield: ShieldLayer,
    serialize: SerializeLayer<MediaTailor>,
    learn: LearnLayer,
    resume: R,
    again: Again,
    judge: JudgeLayer,
    lessons: Arc<Lessons>,
}

/// What a [`Stack`] makes of a service.
pub type Stacked<S, E = MediaTailor, R = Identity> = StripDirectives<
    Name<
        Observe<
            Remap<RescueService<Shield<Serialize<Learn<<R as Layer<Retry<Again, Judge<S>>>>::Service>>>>>,
        >,
        E,
    >,
>;

/// What resumes lost sessions, if it is switched on.
pub type MayResume<E = MediaTailor> = Either<ResumeLayer<E>, Identity>;

// === impl Config ===

impl Config {
    /// Sets [`remap`](Self::remap).
    #[must_use]
    pub fn remap(self, remap: remap::Config) -> Self {
        Self { remap, ..self }
    }

    /// Sets [`rescue`](Self::rescue). `None` switches it off.
    #[must_use]
    pub fn rescue(self, rescue: impl Into<Option<rescue::Config>>) -> Self {
        Self { rescue: rescue.into(), ..self }
    }

    /// Sets [`shield`](Self::shield).
    #[must_use]
    pub fn shield(self, shield: shield::Config) -> Self {
        Self { shield, ..self }
    }

    /// Sets [`serialize`](Self::serialize).
    #[must_use]
    pub fn serialize(self, serialize: serialize::Config) -> Self {
        Self { serialize, ..self }
    }

    /// Sets [`retry`](Self::retry).
    #[must_use]
    pub fn retry(self, retry: RetryConfig) -> Self {
        Self { retry, ..self }
    }

    /// Sets [`settle`](Self::settle).
    #[must_use]
    pub fn settle(self, settle: Duration) -> Self {
        Self { settle, ..self }
    }

    /// Sets [`strip_directives`](Self::strip_directives).
    #[must_use]
    pub fn strip_directives(self, strip_directives: bool) -> Self {
        Self { strip_directives, ..self }
    }

    fn attempts(&self) -> RetryConfig {
        // No attempt may begin that its players or its turn would not see the end of.
        let within = self.retry.within.min(self.serialize.answer_within).min(self.serialize.max_hold);
        self.retry.clone().within(within)
    }

    fn judge(&self) -> JudgeLayer {
        JudgeLayer::new(Limits::default()).collect_up_to(self.serialize.collect_up_to)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            remap: remap::Config::default(),
            rescue: Some(rescue::Config::default()),
            shield: shield::Config::default(),
            serialize: serialize::Config::default(),
            retry: RetryConfig::default(),
            settle: Duration::from_millis(250),
            strip_directives: false,
        }
    }
}

// === impl Stack ===

impl Stack {
    /// For MediaTailor's URLs.
    pub fn new(config: Config) -> Self {
        let (retry, judge) = (config.attempts(), config.judge());
        let Config { remap, rescue, shield, serialize, settle, strip_directives, .. } = config;
        let lessons = Arc::new(Lessons::new(rescue, shield, Settle::new(settle)));
        let judge = judge.teaching(Arc::clone(&lessons));
        Self {
            strip: StripDirectivesLayer::new(strip_directives),
            name: NameLayer::new(MediaTailor::new()),
            observe: ObserveLayer::new(),
            remap: RemapLayer::new(remap),
            rescue: RescueLayer::new(Arc::clone(&lessons)),
            shield: ShieldLayer::new(Arc::clone(&lessons)),
            serialize: SerializeLayer::with(serialize),
            learn: LearnLayer::new(Arc::clone(&lessons)),
            resume: Identity::new(),
            again: Again::new(retry),
            judge,
            lessons,
        }
    }
}

impl<E> Stack<E> {
    /// Finds the session by another [`Extract`](crate::session::Extract).
    #[must_use]
    pub fn extract_with<X>(self, extract: X) -> Stack<X> {
        let Self {
            strip,
            name: _,
            observe,
            remap,
            rescue,
            shield,
            serialize,
            learn,
            resume,
            again,
            judge,
            lessons,
        } = self;
        let name = NameLayer::new(extract);
        Stack { strip, name, observe, remap, rescue, shield, serialize, learn, resume, again, judge, lessons }
    }

    /// Resumes sessions that are lost, or does not; see [`resume`]. After
    /// [`extract_with`](Self::extract_with), since it has to tell sessions apart in the same way. Bodies of requests
    /// must then be made of [`Bytes`](bytes::Bytes).
    #[must_use]
    pub fn resume(self, config: Option<resume::Config>) -> Stack<E, MayResume<E>> {
        let Self {
            strip,
            name,
            observe,
            remap,
            rescue,
            shield,
            serialize,
            learn,
            resume: _,
            again,
            judge,
            lessons,
        } = self;
        let resume = config.map(|config| ResumeLayer::extracting(config, name.extract()));
        let resume = option_layer(resume);
        Stack { strip, name, observe, remap, rescue, shield, serialize, learn, resume, again, judge, lessons }
    }
}

impl<E, R: Clone> Stack<E, R> {
    /// The same lanes under another configuration, for an upstream beside this one: sessions are told apart by their upstream,
    /// so neither meets what is the other's. It has a retry budget, a quota of 4xx and learned gaps of its own.
    #[must_use]
    pub fn beside(&self, config: Config) -> Self {
        let lessons = self.lessons.beside(config.rescue.clone(), config.shield.clone(), config.settle);
        Self { again: Again::new(config.attempts()), ..self.learning(config, lessons) }
    }

    /// Calls the upstream by a name, where there are several: the label `upstream` of the metrics that count for each.
    #[must_use]
    pub fn named(self, upstream: impl Into<Arc<str>>) -> Self {
        Self { observe: self.observe.for_upstream(upstream.into()), ..self }
    }

    /// The same lanes and lessons under another configuration, for requests from now on: those in line and in flight are
    /// not disturbed. Services that were made before go on as they were; make new ones in their place.
    ///
    /// The memory of [`rescue::Config::bytes`] is shared out anew at once.
    #[must_use]
    pub fn reconfigured(&self, config: Config) -> Self {
        let lessons = self.lessons.reconfigured(config.rescue.clone(), config.shield.clone(), config.settle);
        self.learning(config, lessons)
    }

    fn learning(&self, config: Config, lessons: Lessons) -> Self {
        let (retry, judge, lessons) = (config.attempts(), config.judge(), Arc::new(lessons));
        let Config { remap, serialize, strip_directives, .. } = config;
        Self {
            strip: StripDirectivesLayer::new(strip_directives),
            name: self.name.clone(),
            observe: self.observe.clone(),
            remap: self.remap.reconfigured(remap),
            rescue: RescueLayer::new(Arc::clone(&lessons)),
            shield: ShieldLayer::new(Arc::clone(&lessons)),
            serialize: self.serialize.reconfigured(serialize),
            learn: LearnLayer::new(Arc::clone(&lessons)),
            resume: self.resume.clone(),
            again: self.again.reconfigured(retry),
            judge: judge.teaching(Arc::clone(&lessons)),
            lessons,
        }
    }
}

impl<E, R> Stack<E, R> {
    /// What was learned, to look at.
    pub fn lessons(&self) -> &Lessons {
        &self.lessons
    }

    /// The lanes, to look at.
    pub fn lanes(&self) -> &Lanes<SessionKey> {
        self.serialize.lanes()
    }

    /// Agrees turns with other instances, or does not any more.
    #[must_use]
    pub fn leased(self, leases: Option<Leases>) -> Self {
        Self { serialize: self.serialize.leased(leases), ..self }
    }

    /// Notes what becomes of the last requests of each session there.
    #[must_use]
    pub fn recording(self, recorder: Option<Arc<Recorder>>) -> Self {
        Self { observe: self.observe.recording(recorder), ..self }
    }

    /// What was noted of single sessions, if that is asked for.
    pub fn recorder(&self) -> Option<&Arc<Recorder>> {
        self.observe.recorder()
    }

    /// Shows the gauges of the [metrics](crate::telemetry::metrics) as they are now. Call it before the recorder is read: nothing
    /// else sets them.
    pub fn show_levels(&self) {
        self.show_shared_levels();
        self.show_own_levels();
    }

    /// Those that all upstreams have in common.
    pub(crate) fn show_shared_levels(&self) {
        Levels::of(&self.serialize, &self.lessons).show();
    }

    /// Those that each upstream has by itself.
    pub(crate) fn show_own_levels(&self) {
        OwnLevels::of(&self.lessons).show(self.upstream());
    }

    /// What the upstream is called, where there are several.
    pub(crate) fn upstream(&self) -> Option<&Arc<str>> {
        self.observe.upstream()
    }

    /// The layer of the lanes: to look at, to close and to drain.
    pub fn serialize(&self) -> &SerializeLayer {
        &self.serialize
    }
}

impl<S, E, R> Layer<S> for Stack<E, R>
where
    R: Layer<Retry<Again, Judge<S>>>,
{
    type Service = Stacked<S, E, R>;

    fn layer(&self, upstream: S) -> Self::Service {
        ServiceBuilder::new()
            .layer(&self.strip)
            .layer(&self.name)
            .layer(&self.observe)
            .layer(&self.remap)
            .layer(&self.rescue)
            .layer(&self.shield)
            .layer(&self.serialize)
            .layer(&self.learn)
            .layer(&self.resume)
            .retry(self.again.clone())
            .layer(&self.judge)
            .service(upstream)
    }
}
