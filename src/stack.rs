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

mod config;
mod stages;

use std::sync::Arc;

use tower::{
    Layer, ServiceBuilder,
    layer::util::Identity,
    retry::Retry,
    util::{Either, option_layer},
};

pub use self::config::Config;
use self::stages::Stages;
use crate::{
    lane::Lanes,
    lease::Leases,
    observe::{Observe, record::Recorder},
    remap::Remap,
    rescue::RescueService,
    resume::{self, ResumeLayer},
    serialize::{Serialize, SerializeLayer},
    session::{Extract, MediaTailor, Name, NameLayer, SessionKey},
    shield::Shield,
    telemetry::{Levels, OwnLevels},
    upstream::{Again, Judge, Learn, Lessons, StripDirectives},
};

/// A layer of all stages; see the [module](self). A clone, and every service that is made by one layer, shares lanes
/// and lessons.
///
/// `R` is the layer around the retries: none, unless [`resume`](Self::resume) puts one there.
#[derive(Debug, Clone)]
pub struct Stack<E = MediaTailor, R = Identity> {
    name: NameLayer<E>,
    resume: R,
    stages: Stages,
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

// === impl Stack ===

impl Stack {
    /// For MediaTailor's URLs.
    pub fn new(config: Config) -> Self {
        let name = NameLayer::new(MediaTailor::new());
        Self { name, resume: Identity::new(), stages: Stages::new(config) }
    }
}

impl<E> Stack<E> {
    /// Finds the session by another [`Extract`].
    #[must_use]
    pub fn extract_with<X: Extract + Send + Sync + 'static>(self, extract: X) -> Stack<X> {
        let Self { name: _, resume, mut stages } = self;
        let name = NameLayer::new(extract);
        stages.learn = stages.learn.extract_with(name.extract());
        Stack { name, resume, stages }
    }

    /// Resumes sessions that are lost; `None` switches that off. See [`resume`]. Call it after
    /// [`extract_with`](Self::extract_with), since resuming has to tell sessions apart in the same way.
    /// Bodies of requests must then be made of [`Bytes`](bytes::Bytes).
    #[must_use]
    pub fn resume(self, config: Option<resume::Config>) -> Stack<E, MayResume<E>> {
        let Self { name, resume: _, stages } = self;
        let resume = config.map(|config| ResumeLayer::extracting(config, name.extract()));
        Stack { name, resume: option_layer(resume), stages }
    }
}

impl<E, R: Clone> Stack<E, R> {
    /// The same lanes under another configuration, for an upstream beside this one: sessions are told apart
    /// by their upstream, so neither stack meets the sessions of the other, unless [one](crate::session::MediaTailor::upstream)
    /// is named for both. The new one has a retry budget, a quota of 4xx and learned gaps of its own.
    #[must_use]
    pub fn beside(&self, config: Config) -> Self {
        self.with(self.stages.beside(config))
    }

    /// The same lanes and lessons under another configuration, for requests from now on: those in line and in
    /// flight are not disturbed. Services that were made before go on as they were; make new ones in their place.
    ///
    /// The memory of [`rescue::Config::bytes`](crate::rescue::Config::bytes) is shared out anew at once. Resuming stays as it was.
    #[must_use]
    pub fn reconfigured(&self, config: Config) -> Self {
        self.with(self.stages.reconfigured(config))
    }

    fn with(&self, stages: Stages) -> Self {
        Self { name: self.name.clone(), resume: self.resume.clone(), stages }
    }
}

impl<E, R> Stack<E, R> {
    /// Names the upstream, where there are several: the label `upstream` of the metrics that count for each.
    #[must_use]
    pub fn named(mut self, upstream: impl Into<Arc<str>>) -> Self {
        self.stages.observe = self.stages.observe.for_upstream(upstream.into());
        self
    }

    /// What was learned, for inspection.
    pub fn lessons(&self) -> &Lessons {
        &self.stages.lessons
    }

    /// For shutdown, together with [`drained`](SerializeLayer::drained): from now on nothing is sent for the sake of later requests
    /// alone. A request whose player has its rescue leaves its lane unless it is in flight. `false` takes it back.
    pub fn finishing(&self, is_finishing: bool) {
        self.stages.lessons.ending.set(is_finishing);
    }

    /// The lanes, for inspection.
    pub fn lanes(&self) -> &Lanes<SessionKey> {
        self.stages.serialize.lanes()
    }

    /// Agrees on turns with other instances; `None` switches it off.
    #[must_use]
    pub fn leased(mut self, leases: Option<Leases>) -> Self {
        self.stages.serialize = self.stages.serialize.leased(leases);
        self
    }

    /// Tells other instances of 4xx, and hears of theirs; see [`Quota::share`](crate::shield::Quota::share).
    /// Call it once a second. Without [leases](Self::leased) it does nothing.
    ///
    /// # Cancel safety
    ///
    /// Dropped half-way, it may tell the same once more the next time.
    pub async fn share_quota(&self) {
        if let Some(leases) = self.stages.serialize.leases() {
            self.stages.lessons.quota.share(leases).await;
        }
    }

    /// Notes what becomes of the last requests of each session in this recorder; `None` switches it off.
    #[must_use]
    pub fn recording(mut self, recorder: Option<Arc<Recorder>>) -> Self {
        self.stages.observe = self.stages.observe.recording(recorder);
        self
    }

    /// Makes these traces of requests; `None` switches it off. See [`traces`](crate::telemetry::traces).
    #[cfg(feature = "otlp")]
    #[must_use]
    pub fn tracing(mut self, traces: Option<crate::telemetry::traces::Traces>) -> Self {
        self.stages.observe = self.stages.observe.tracing(traces);
        self
    }

    /// What makes traces of requests, if that is asked for.
    #[cfg(feature = "sidecar")]
    pub(crate) fn traces(&self) -> Option<&crate::telemetry::Traces> {
        self.stages.observe.traces()
    }

    /// The recorder of single sessions, if there is one.
    pub fn recorder(&self) -> Option<&Arc<Recorder>> {
        self.stages.observe.recorder()
    }

    /// Sets the gauges of the [metrics](crate::telemetry::metrics). Nothing else does: call it before each reading.
    pub fn show_levels(&self) {
        self.show_shared_levels();
        self.show_own_levels();
    }

    /// Those that all upstreams have in common.
    pub(crate) fn show_shared_levels(&self) {
        Levels::of(&self.stages.serialize, &self.stages.lessons).show();
    }

    /// Those that each upstream has by itself.
    pub(crate) fn show_own_levels(&self) {
        OwnLevels::of(&self.stages.lessons).show(self.upstream());
    }

    /// What the upstream is called, where there are several.
    pub(crate) fn upstream(&self) -> Option<&Arc<str>> {
        self.stages.observe.upstream()
    }

    /// The layer of the lanes: for inspection, and to close and drain them.
    pub fn serialize(&self) -> &SerializeLayer {
        &self.stages.serialize
    }
}

impl<S, E, R> Layer<S> for Stack<E, R>
where
    R: Layer<Retry<Again, Judge<S>>>,
{
    type Service = Stacked<S, E, R>;

    fn layer(&self, upstream: S) -> Self::Service {
        ServiceBuilder::new()
            .layer(&self.stages.strip)
            .layer(&self.name)
            .layer(&self.stages.observe)
            .layer(&self.stages.remap)
            .layer(&self.stages.rescue)
            .layer(&self.stages.shield)
            .layer(&self.stages.serialize)
            .layer(&self.stages.learn)
            .layer(&self.resume)
            .retry(self.stages.again.clone().giving_way_in(self.lanes().clone()))
            .layer(&self.stages.judge)
            .service(upstream)
    }
}
