use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use http::{Method, Request, Uri, header, request::Parts};
use http_body::Body;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    answer::{self, Answer, Exception, ok, redirect},
    args::{Args, Unknown},
    chance::{Chance, uuid},
    create, dash, debug, guided, media,
    reel::{NO_CAPTIONS, Reel},
    route::{Home, Route, pairs, session_in},
    session::{Limits, Over, Session, Terms},
    sessions::Sessions,
    tally::{Kind, Stats, Tally},
    timeline::{Source, Timeline},
};

/// The emulated service: everything that requests share.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) args: Args,
    pub(super) timeline: Timeline,
    /// The content without breaks, as server-guided playlists show it.
    pub(super) unbroken: Timeline,
    pub(super) sessions: Sessions,
    pub(super) tally: Tally,
    pub(super) chance: Chance,
    pub(super) limits: Limits,
    /// Playlists that were given a latency, for every so manieth to be slow.
    pub(super) delayed: AtomicU64,
    started: Instant,
    /// Requests in a second: its number above, their count below.
    throttled: AtomicU64,
}

// === impl Service ===

impl Service {
    pub(super) fn new(args: Args, timeline: Timeline, unbroken: Timeline) -> Self {
        let window = timeline.window();
        let length = window.slots.iter().map(|slot| slot.duration).sum();
        // Ten times the playlist, as documented.
        let idle = args.expire_after.unwrap_or(10 * std::time::Duration::max(length, args.segment));
        let millis = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let limits =
            Limits { idle: millis(idle), errors: args.block_after, errors_within: millis(args.block_window) };
        Self {
            sessions: Sessions::new(args.max_sessions),
            tally: Tally::new(),
            chance: Chance::new(args.seed),
            limits,
            delayed: AtomicU64::new(0),
            started: Instant::now(),
            throttled: AtomicU64::new(0),
            timeline,
            unbroken,
            args,
        }
    }

    /// Answers a request, whatever it is.
    pub(super) async fn respond<B: Body>(self: Arc<Self>, request: Request<B>) -> Answer {
        let (head, body) = request.into_parts();
        let asked = (head.method.clone(), answer::wants_gzip(&head.headers));
        let id = uuid(&mut self.chance.draw());
        let own = matches!(Route::of(head.uri.path()), Route::Own(_));
        let answer = match own {
            true => debug::page(&self, &head),
            false => self.serve(head, body).await,
        };
        if !own {
            self.tally.answered(answer.status());
        }
        answer::finish(answer, id, asked, self.args.cors_on_errors)
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
        if let Err(answer) = self.admit(&head) {
            return answer;
        }
        self.serve_v1(route, head, body).await
    }

    async fn serve_v1<B: Body>(self: &Arc<Self>, route: Route<'_>, head: Parts, body: B) -> Answer {
        let query = head.uri.query().unwrap_or_default().to_owned();
        match route {
            Route::Master { home, .. } => match session_in(&query) {
                Some(session) => self.in_session(&session, Some(home), head).await,
                None => {
                    let terms = create::terms_of_query(home, &query, self.args.manifest_params);
                    self.in_new_session(terms, head).await
                }
            },
            Route::Media { account, configuration, session, .. } => {
                let home = Home { account, configuration: configuration.unwrap_or_default() };
                self.in_session(session, Some(home), head).await
            }
            Route::Tracking { home, session } => {
                let (session, home) = (session.to_owned(), home);
                let token = tracking_token(&query, body).await;
                let mut head = head;
                head.extensions.insert(token);
                self.in_session(&session, Some(home), head).await
            }
            Route::Create { home, asset } => create::session(self, home, asset, &head, body).await,
            Route::Segment { session, number, sequence } => {
                self.segment(session, number as usize, sequence, &head)
            }
            Route::Dash { home, asset } => dash::answer(self, home, asset, &head),
            Route::Guided { number } => guided::media(self, number as usize),
            Route::AssetList { number } => guided::asset_list(self, number, &head.uri),
            Route::Captions => ok("text/vtt", "WEBVTT\n\n"),
            Route::Content(_) | Route::Ad(_) | Route::Own(_) | Route::Nothing => {
                Exception::NotFound.answer("the URL does not map to any resource")
            }
        }
    }

    /// The session of an id, if it is one that lives.
    pub(super) fn session(&self, id: &str, home: Option<Home<'_>>) -> Result<Arc<Session>, Answer> {
        let Some(uuid) = Uuid::try_parse(id).ok().filter(|_| id.len() == 36) else {
            return Err(Exception::BadRequest.answer("the session ID is not valid"));
        };
        if let Some(session) = self.sessions.get(&uuid) {
            return Ok(session);
        }
        let message = || format!("the session is not available, sessionId:[{id}]");
        match self.args.unknown {
            Unknown::BadRequest => Err(Exception::BadRequest.answer(&message())),
            Unknown::NotFound => Err(Exception::NotFound.answer(&message())),
            Unknown::Adopt => {
                let home = home.unwrap_or(Home { account: "", configuration: "" });
                Ok(self.sessions.get_or_create(uuid, Terms::of(home), self.now()))
            }
        }
    }

    /// Makes a session.
    pub(super) fn create(&self, terms: Terms) -> Arc<Session> {
        self.sessions.get_or_create(uuid(&mut self.chance.draw()), terms, self.now())
    }

    /// Notes a request of a session; its number, or the answer that a session which is over gives.
    pub(super) fn arrive(&self, session: &Session, head: &Parts) -> Result<u64, Answer> {
        let now = self.now();
        let target = head.uri.path_and_query().map_or("", |target| target.as_str());
        session.heard_from(&head.headers, host_of(head));
        let (number, over) = session.arrive(target, self.args.trace, &self.limits, now);
        let Some(over) = over else {
            return Ok(number);
        };
        let answer = match over {
            Over::Expired => answer::lost(
                self.args.expired,
                &format!("the session has expired, sessionId:[{}]", session.id),
            ),
            Over::Blocked => {
                Exception::Gone.answer(&format!("the session is blocked, sessionId:[{}]", session.id))
            }
        };
        session.answered(number, answer.status(), &self.limits, now);
        Err(answer)
    }

    /// Milliseconds since the start.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn stats(&self) -> Stats {
        self.tally.stats(&self.sessions)
    }

    /// All counters to nought; sessions live on, blocked and expired ones anew.
    pub(super) fn reset(&self) {
        let now = self.now();
        self.tally.reset();
        self.sessions.reset_numbers();
        self.sessions.all().for_each(|session| session.reset(now));
    }

    /// What is checked before anything else: the account's quota and the endpoint's name.
    fn admit(&self, head: &Parts) -> Result<(), Answer> {
        if self.args.throttle > 0 && !self.within_quota() {
            return Err(Exception::Throttling.answer("the account's quota of requests per second is used up"));
        }
        let Some(name) = &self.args.host else {
            return Ok(());
        };
        let host = host_of(head).unwrap_or_default();
        let bare = host.rsplit_once(':').map_or(host, |(bare, _)| bare);
        if name.eq_ignore_ascii_case(host) || name.eq_ignore_ascii_case(bare) {
            return Ok(());
        }
        Err(Exception::AccessDenied.answer("the Host header is not the name of this endpoint"))
    }

    fn within_quota(&self) -> bool {
        let second = self.started.elapsed().as_secs() << 32;
        let count = |known: u64| if known & !0xffff_ffff == second { known + 1 } else { second + 1 };
        let update =
            self.throttled.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |known| Some(count(known)));
        let known = update.unwrap_or_else(|known| known);
        count(known) - second <= self.args.throttle
    }

    /// Redirects to an ad segment. Never a conflict: it fires a beacon and touches no playlist.
    fn segment(&self, session: &str, rendition: usize, sequence: u64, head: &Parts) -> Answer {
        let session = match self.session(session, None) {
            Ok(session) => session,
            Err(answer) => return answer,
        };
        let number = match self.arrive(&session, head) {
            Ok(number) => number,
            Err(answer) => return answer,
        };
        let answer = match self.ad_at(rendition, sequence) {
            Some(uri) => redirect(self.args.segment_redirect, &uri),
            None => Exception::NotFound.answer("no ad has this segment, or it is long gone"),
        };
        session.answered(number, answer.status(), &self.limits, self.now());
        answer
    }

    fn ad_at(&self, rendition: usize, sequence: u64) -> Option<String> {
        self.timeline.content.parts().get(rendition)?;
        let (slot, inside) = self.timeline.find(rendition, sequence)?;
        if !matches!(slot.source, Source::Ad { .. }) {
            return None;
        }
        let (reel, own, place): (&Reel, _, _) = self.timeline.reel_of(&slot, rendition);
        match own {
            Some(own) => reel.pieces(own, place).get(inside).map(|piece| piece.uri.to_string()),
            None => Some(NO_CAPTIONS.to_owned()),
        }
    }
}

/// Where a page of tracking begins.
#[derive(Debug, Clone, Default)]
pub(super) struct Token(pub(super) Option<String>);

async fn tracking_token<B: Body>(query: &str, body: B) -> Token {
    let in_query = pairs(query).find(|(key, _)| key == "nextToken").map(|(_, value)| value.into_owned());
    if in_query.is_some() {
        return Token(in_query);
    }
    let body = create::small(body).await.unwrap_or_default();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    Token(
        body.get("nextToken")
            .or_else(|| body.get("NextToken"))
            .and_then(|token| token.as_str())
            .map(Into::into),
    )
}

/// The name that a request was sent to: in its target with HTTP/2, in `Host` otherwise.
pub(super) fn host_of(head: &Parts) -> Option<&str> {
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
