use std::{
    convert::Infallible,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use arc_swap::ArcSwap;
use http::{Request, Response};
use hyper::{body::Incoming, service::Service};
use tower_layer::Layer as _;
use tower_service::Service as _;

use super::{
    answer::{self, Body},
    arriving::Arriving,
    forward::{Forward, Viewer},
    site::Sites,
};
use crate::{
    observe::record::Recorder,
    serialize::SerializeLayer,
    session::MediaTailor,
    sidecar::{
        Config, Error,
        listen::activity::{Activity, BusyBody},
        settings::otlp::Tracing,
        upstream::client::{self, Upstreams},
    },
    stack::{self, MayResume, Stack, Stacked},
    telemetry::{self, Flights},
};

/// From a player's request to its answer.
#[derive(Debug, Clone)]
pub(in crate::sidecar) struct Proxy(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// What a request goes through; what is in flight goes on with what it began with.
    stages: ArcSwap<Stages>,
    /// The lanes, which are the same whatever the stages are.
    layer: SerializeLayer,
    /// What is noted of single sessions, which stays as well.
    recorder: Option<Arc<Recorder>>,
    /// Which upstream a request is for, and how it is made that one's.
    sites: Sites,
    forwards: Vec<Forward>,
    /// The proxies of all threads, this one as well.
    all: Arc<Mutex<Vec<Weak<Inner>>>>,
}

#[derive(Debug)]
struct Stages {
    /// What is the same for all upstreams.
    shared: Stack<MediaTailor, MayResume>,
    /// Those of each upstream.
    each: Vec<Site>,
}

#[derive(Debug)]
struct Site {
    stack: Stack<MediaTailor, MayResume>,
    service: Stacked<Upstreams, MediaTailor, MayResume>,
    /// What the service sends to at last; connections are the same for both.
    upstreams: Upstreams,
}

/// The proxy for one connection.
#[derive(Debug, Clone)]
pub(in crate::sidecar) struct PerConnection {
    proxy: Proxy,
    viewer: Viewer,
    activity: Activity,
}

// === impl Proxy ===

impl Proxy {
    pub(in crate::sidecar) fn new(config: &Config, tracing: Option<&Tracing>) -> Result<Self, Error> {
        let extract = match config.sites.is_empty() {
            true => MediaTailor::new().upstream(config.upstream.authority()),
            // By the authority that each request is given.
            false => MediaTailor::new(),
        };
        let shared = Stack::new(config.stack()).extract_with(extract).resume(config.resume());
        let leases = config.lease.as_ref().map(|engine| engine.start(config.lease_budget)).transpose()?;
        let shared = shared.leased(leases).recording(Recorder::new(config.record_sessions).map(Arc::new));
        let shared = Tracing::onto(tracing, shared);
        let upstreams = config.each().map(client::client).collect::<Result<Vec<_>, _>>()?;
        let stacks = stacks(&shared, config, |_, own| shared.beside(own));
        let stages = Stages::over(&shared, &stacks, upstreams);
        let (sites, forwards) = (Sites::new(&config.sites), config.each().map(Forward::new).collect());
        let all = Arc::default();
        Ok(Self::among(&all, &mut lock(&all), stages, sites, forwards))
    }

    /// The same lanes over connections of their own to the upstream, for another thread.
    pub(in crate::sidecar) fn anew(&self) -> Self {
        let Inner { stages, sites, forwards, all, .. } = &*self.0;
        // Locked before the look: it would miss what changes in between.
        let mut list = lock(all);
        let stages = stages.load();
        let stacks: Vec<_> = stages.each.iter().map(|site| site.stack.clone()).collect();
        let upstreams = stages.each.iter().map(|site| site.upstreams.anew()).collect();
        let stages = Stages::over(&stages.shared, &stacks, upstreams);
        Self::among(all, &mut list, stages, sites.clone(), forwards.clone())
    }

    fn among(
        all: &Arc<Mutex<Vec<Weak<Inner>>>>,
        list: &mut Vec<Weak<Inner>>,
        stages: Stages,
        sites: Sites,
        forwards: Vec<Forward>,
    ) -> Self {
        let (layer, recorder) = (stages.shared.serialize().clone(), stages.shared.recorder().cloned());
        let stages = ArcSwap::from_pointee(stages);
        let inner = Arc::new(Inner { stages, layer, recorder, sites, forwards, all: Arc::clone(all) });
        list.push(Arc::downgrade(&inner));
        Self(inner)
    }

    /// Goes on with other settings of the stages, on all threads from their next request on. Lanes, lessons
    /// and connections stay.
    pub(in crate::sidecar) fn reconfigure(&self, config: &Config) {
        let mut list = lock(&self.0.all);
        list.retain(|one| one.strong_count() > 0);
        let before = self.0.stages.load();
        if let Some(traces) = before.shared.traces() {
            traces.keep(config.otlp_sample);
        }
        let shared = before.shared.reconfigured(config.stack());
        let stacks = stacks(&shared, config, |place, own| before.each[place].stack.reconfigured(own));
        let all = list.iter().filter_map(Weak::upgrade).map(|one| {
            let upstreams = one.stages.load().each.iter().map(|site| site.upstreams.clone()).collect();
            let stages = Arc::new(Stages::over(&shared, &stacks, upstreams));
            (one, stages)
        });
        // All are made before the first is used.
        for (one, stages) in all.collect::<Vec<_>>() {
            one.stages.store(stages);
        }
    }

    /// How many exchanges wait, are with the upstream or drain, those that need no lane included.
    pub(in crate::sidecar) fn exchanges(&self) -> usize {
        self.layer().exchanges() + Flights::get().passing()
    }

    /// The layer of the lanes.
    pub(in crate::sidecar) fn layer(&self) -> &SerializeLayer {
        &self.0.layer
    }

    /// Asks every upstream for anything at all.
    ///
    /// # Errors
    ///
    /// When one does not answer, whatever it would have said.
    pub(in crate::sidecar) async fn reach(&self, config: &Config) -> Result<(), Error> {
        let upstreams: Vec<_> = self.0.stages.load().each.iter().map(|site| site.upstreams.anew()).collect();
        for (config, upstreams) in config.each().zip(upstreams) {
            client::reach(config, upstreams).await?;
        }
        Ok(())
    }

    /// What is the same for all upstreams, as it is now.
    pub(in crate::sidecar) fn shared(&self) -> Stack<MediaTailor, MayResume> {
        self.0.stages.load().shared.clone()
    }

    /// Those of each upstream, as they are now.
    pub(in crate::sidecar) fn each(&self) -> Vec<Stack<MediaTailor, MayResume>> {
        self.0.stages.load().each.iter().map(|site| site.stack.clone()).collect()
    }

    /// What is noted of single sessions.
    pub(in crate::sidecar) fn recorder(&self) -> Option<&Recorder> {
        self.0.recorder.as_deref()
    }

    /// Shows the gauges as they are now.
    pub(in crate::sidecar) fn show_levels(&self) {
        let stages = self.0.stages.load();
        stages.shared.show_shared_levels();
        stages.each.iter().for_each(|site| site.stack.show_own_levels());
    }

    /// How many connections there are to each upstream, by its name where there are several. Two ways to the
    /// same one may each have some.
    pub(in crate::sidecar) fn connections(&self) -> Vec<(Option<Arc<str>>, usize)> {
        let stages = self.0.stages.load();
        let each = stages.each.iter();
        each.map(|site| (site.stack.upstream().cloned(), site.upstreams.connections())).collect()
    }
}

/// The stages of each upstream; `own` makes those of the one at a place. The only one's are the shared ones,
/// and two ways to the same upstream have in common what counts for it: its 4xx, the gaps, and the retry
/// budget if both have the same.
fn stacks(
    shared: &Stack<MediaTailor, MayResume>,
    config: &Config,
    own: impl Fn(usize, stack::Config) -> Stack<MediaTailor, MayResume>,
) -> Vec<Stack<MediaTailor, MayResume>> {
    if config.sites.is_empty() {
        return vec![shared.clone()];
    }
    let mut stacks: Vec<Stack<MediaTailor, MayResume>> = Vec::new();
    for (place, site) in config.sites.iter().enumerate() {
        let mut before = config.sites[..place].iter();
        let same = before.position(|other| other.config.upstream == site.config.upstream);
        let stack = match same {
            Some(same) => stacks[same].reconfigured(site.config.stack()),
            None => own(place, site.config.stack()),
        };
        stacks.push(stack.named(&*site.name));
    }
    stacks
}

fn lock(all: &Mutex<Vec<Weak<Inner>>>) -> MutexGuard<'_, Vec<Weak<Inner>>> {
    // Nothing panics half-way.
    all.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Stages ===

impl Stages {
    fn over(
        shared: &Stack<MediaTailor, MayResume>,
        stacks: &[Stack<MediaTailor, MayResume>],
        upstreams: Vec<Upstreams>,
    ) -> Self {
        let each = stacks.iter().zip(upstreams);
        let each = each.map(|(stack, upstreams)| Site {
            stack: stack.clone(),
            service: stack.layer(upstreams.clone()),
            upstreams,
        });
        Self { shared: shared.clone(), each: each.collect() }
    }
}

// === impl PerConnection ===

impl PerConnection {
    pub(in crate::sidecar) fn new(proxy: Proxy, viewer: IpAddr, activity: Activity) -> Self {
        Self { proxy, viewer: Viewer::at(viewer), activity }
    }
}

impl Service<Request<Incoming>> for PerConnection {
    type Response = Response<BusyBody<Body>>;
    type Error = Infallible;
    // Boxed, so that a connection holds room for a pointer and not for the largest request.
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let busy = self.activity.busy();
        let request = Arriving::of(request, &self.activity);
        let Inner { stages, sites, forwards, .. } = &*self.proxy.0;
        let passed = match sites.of(request.uri(), request.headers()) {
            None => Err(answer::no_upstream(request.into_parts().0, &stages.load().shared)),
            Some(place) if forwards[place].has_sent(request.headers()) => {
                telemetry::went_round(forwards[place].upstream());
                Err(answer::went_round(request.into_parts().0, &stages.load().each[place].stack))
            }
            Some(place) => match forwards[place].request(request, &self.viewer) {
                Ok(request) => Ok((stages.load().each[place].service.clone().call(request), place)),
                Err(unpassable) => Err(answer::unpassable(*unpassable, &stages.load().each[place].stack)),
            },
        };
        match passed {
            Ok((answer, place)) => {
                let proxy = self.proxy.clone();
                Box::pin(async move {
                    let answer = answer.await.unwrap_or_else(|never| match never {});
                    let response = answer::of_stack(answer, proxy.0.forwards[place].upstream());
                    Ok(response.map(|body| busy.body(body)))
                })
            }
            Err(refusal) => Box::pin(std::future::ready(Ok(refusal.map(|body| busy.body(body))))),
        }
    }
}
