use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{Method, Request, Uri, header, request::Parts};
use http_body::Body;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    answer::{self, Answer, Exception, Refused, ok},
    route::{Home, Route, session_in},
};
use crate::emulator::{
    args::Args,
    choices::{Numbering, Unknown},
    fault::{
        damage::{self, Damage, Down, Sent},
        faults::Faults,
    },
    pages::{
        control,
        tally::{Kind, Stats, Tally},
    },
    play::{dash, guided, media, timeline::Timeline, tracking},
    session::{
        admission::Quota,
        chance::{Chance, uuid},
        create,
        latency::Latency,
        sessions::Sessions,
        state::{Limits, Over, Session, Terms},
    },
};

/// The emulated service: everything that requests share.
#[derive(Debug)]
pub(in crate::emulator) struct Service {
    pub(in crate::emulator) args: Args,
    pub(in crate::emulator) timeline: Timeline,
    /// The content without breaks, as server-guided playlists show it.
    pub(in crate::emulator) unbroken: Timeline,
    pub(in crate::emulator) sessions: Sessions,
    pub(in crate::emulator) tally: Tally,
    pub(in crate::emulator) chance: Chance,
    pub(in crate::emulator) limits: Limits,
    /// Playlists that were given a latency, for every so manieth to be slow.
    pub(in crate::emulator) delayed: AtomicU64,
    /// Playlists that asked the origin, for every so manieth to find it slow.
    pub(in crate::emulator) fetched: AtomicU64,
    pub(in crate::emulator) faults: Faults,
    pub(in crate::emulator) busy_after: Mutex<Latency>,
    /// Whether sessions that are made have numbers of their own.
    pub(in crate::emulator) renumbers: AtomicBool,
    started: Instant,
    quota: Quota,
}

// === impl Service ===

impl Service {
    pub(in crate::emulator) fn new(args: Args, timeline: Timeline, unbroken: Timeline) -> Self {
        let window = timeline.window();
        let length = window.slots.iter().map(|slot| slot.duration).sum();
        // Ten times the playlist, as documented.
        let idle = args.expire_after.unwrap_or(10 * Duration::max(length, args.segment));
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let limits =
            Limits { idle: millis(idle), errors: args.block_after, errors_within: millis(args.block_window) };
        let faults = Faults::default();
        for fault in &args.fault {
            // There is room for all that a command line can hold.
            faults.add(fault.clone(), window.clone());
        }
        Self {
            faults,
            busy_after: Mutex::new(args.busy_after),
            renumbers: AtomicBool::new(args.numbering == Numbering::Reset),
            sessions: Sessions::new(args.max_sessions),
            tally: Tally::new(),
            chance: Chance::new(args.seed),
            limits,
            delayed: AtomicU64::new(0),
            fetched: AtomicU64::new(0),
            started: Instant::now(),
            quota: Quota::new(),
            timeline,
            unbroken,
            args,
        }
    }

    /// Answers a request, whatever it is, unless a fault takes its connection down.
    pub(in crate::emulator) async fn respond<B: Body>(
        self: Arc<Self>,
        request: Request<B>,
    ) -> Result<Sent, Down> {
        let (head, body) = request.into_parts();
        let (method, gzip) = (head.method.clone(), answer::wants_gzip(&head.headers));
        let id = uuid(&mut self.chance.draw());
        let own = matches!(Route::of(head.uri.path()), Route::Own(_));
        let mut answer = match own {
            true => control::page(&self, &head, body).await,
            false => self.serve(head, body).await,
        };
        let damage = answer.extensions_mut().remove::<Damage>();
        if !own && !matches!(damage, Some(Damage::Reset)) {
            self.tally.answered(answer.status());
        }
        let gzip = gzip || damage.as_ref().is_some_and(Damage::is_of_gzip);
        damage::send(answer::finish(answer, id, (method, gzip), self.args.cors_on_errors), damage)
    }

    async fn serve<B: Body>(self: &Arc<Self>, head: Parts, body: B) -> Answer {
        let uri = head.uri.clone();
        let route = Route::of(uri.path());
        self.tally.asked(kind_of(&head.method, &route));
        if head.method == Method::OPTIONS {
            return answer::preflight(&head.headers);
        }
        if !takes(&route, &head.method) {
            return Exception::MethodNotAllowed.answer("this path does not take the request's method");
        }
        let content = &*self.timeline.content;
        match route {
            Route::Content(path) => return media::answer(Some(content), path, &head.headers).await,
            Route::Ad(path) => {
                if let Some(answer) = guided::ad_playlist(self, path) {
                    return answer;
                }
                return media::answer(self.timeline.ads.as_deref(), path, &head.headers).await;
            }
            _ => {}
        }
        if let Err(refused) = self.quota.admit(&self.args, &head) {
            return refused.answer();
        }
        self.serve_v1(route, head, body).await.unwrap_or_else(|refused| refused.answer())
    }

    async fn serve_v1<B: Body>(
        self: &Arc<Self>,
        route: Route<'_>,
        mut head: Parts,
        body: B,
    ) -> Result<Answer, Refused> {
        let uri = head.uri.clone();
        let query = uri.query().unwrap_or_default();
        match route {
            Route::Master { home, .. } => match session_in(query) {
                Some(session) => self.in_session(&session, home, head).await,
                None => {
                    let terms = create::terms_of_query(home, query, self.args.manifest_params);
                    self.in_new_session(terms, head).await
                }
            },
            Route::Media { account, configuration, session, .. } => {
                let home = Home { account, configuration: configuration.unwrap_or_default() };
                self.in_session(session, home, head).await
            }
            Route::Tracking { home, session } => {
                head.extensions.insert(tracking::Token::of(query, body).await);
                self.in_session(session, home, head).await
            }
            Route::Create { home, asset } => create::session(self, home, asset, &head, body).await,
            Route::Segment { session, .. } => {
                self.in_session(session, Home { account: "", configuration: "" }, head).await
            }
            Route::Dash { home, .. } => match session_in(query) {
                Some(session) => self.in_session(&session, home, head).await,
                None => Ok(dash::begin(self, home, &head)),
            },
            Route::Guided { number } => guided::media(self, number as usize),
            Route::AssetList { number } => guided::asset_list(self, number, query),
            Route::Captions => Ok(ok("text/vtt", "WEBVTT\n\n")),
            Route::Content(_) | Route::Ad(_) | Route::Own(_) | Route::Nothing => {
                Err(Exception::NotFound.refuse("the URL does not map to any resource"))
            }
        }
    }

    /// The session of an id, if there is one.
    pub(in crate::emulator) fn session(&self, id: &str, home: Home<'_>) -> Result<Arc<Session>, Refused> {
        let Some(uuid) = Uuid::try_parse(id).ok().filter(|_| id.len() == 36) else {
            return Err(Exception::BadRequest.refuse("the session ID is not valid"));
        };
        if let Some(session) = self.sessions.get(&uuid) {
            return Ok(session);
        }
        let refuse = |exception: Exception| {
            Err(exception.refuse(format!("the session is not available, sessionId:[{id}]")))
        };
        match self.args.unknown {
            Unknown::BadRequest => refuse(Exception::BadRequest),
            Unknown::NotFound => refuse(Exception::NotFound),
            Unknown::Adopt => Ok(self.make(uuid, Terms::of(home))),
        }
    }

    /// Makes a session.
    pub(in crate::emulator) fn create(&self, terms: Terms) -> Arc<Session> {
        self.make(uuid(&mut self.chance.draw()), terms)
    }

    fn make(&self, id: Uuid, mut terms: Terms) -> Arc<Session> {
        if self.renumbers.load(Ordering::Relaxed) {
            terms.begins = self.timeline.window().slots.first().cloned();
        }
        self.sessions.get_or_create(id, terms, self.now())
    }

    /// Notes a request of a session; its number, unless the session is over.
    pub(in crate::emulator) fn arrive(&self, session: &Session, head: &Parts) -> Result<u64, Refused> {
        let now = self.now();
        let target = head.uri.path_and_query().map_or("", |target| target.as_str());
        session.heard_from(&head.headers, host_of(head));
        let (number, over) = session.arrive(target, self.args.trace, &self.limits, now);
        let (exception, why) = match over {
            None => return Ok(number),
            Some(Over::Expired) => (Exception::of_lost(self.args.expired), "has expired"),
            Some(Over::Blocked) => (Exception::Gone, "is blocked"),
        };
        session.answered(number, exception.status(), &self.limits, now);
        Err(exception.refuse(format!("the session {why}, sessionId:[{}]", session.id)))
    }

    /// Milliseconds since the start.
    pub(in crate::emulator) fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(in crate::emulator) fn stats(&self) -> Stats {
        self.tally.stats(&self.sessions)
    }

    /// All counters to nought; sessions live on, blocked and expired ones anew.
    pub(in crate::emulator) fn reset(&self) {
        let now = self.now();
        self.tally.reset();
        self.sessions.reset_numbers();
        self.sessions.all().for_each(|session| session.reset(now));
    }
}

/// The name that a request was sent to: in its target with HTTP/2, in `Host` otherwise.
pub(in crate::emulator) fn host_of(head: &Parts) -> Option<&str> {
    let named = |uri: &Uri| uri.authority().is_some();
    match named(&head.uri) {
        true => head.uri.authority().map(|authority| authority.as_str()),
        false => head.headers.get(header::HOST).and_then(|host| host.to_str().ok()),
    }
}

fn takes(route: &Route<'_>, method: &Method) -> bool {
    match route {
        // How a token is sent back to tracking is not documented, so any method will do.
        Route::Tracking { .. } => true,
        Route::Create { .. } => method == Method::GET || method == Method::POST,
        _ => method == Method::GET || method == Method::HEAD,
    }
}

fn kind_of(method: &Method, route: &Route<'_>) -> Kind {
    if method == Method::OPTIONS {
        return Kind::Preflight;
    }
    match route {
        Route::Master { .. } => Kind::Multivariant,
        Route::Media { .. } => Kind::Media,
        Route::Create { .. } => Kind::SessionCreation,
        Route::Tracking { .. } => Kind::Tracking,
        Route::Segment { .. } => Kind::Segment,
        Route::Dash { .. } => Kind::Dash,
        Route::Guided { .. } | Route::AssetList { .. } => Kind::Guided,
        Route::Content(_) | Route::Ad(_) | Route::Captions => Kind::Content,
        Route::Own(_) | Route::Nothing => Kind::Other,
    }
}
