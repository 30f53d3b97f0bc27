//! An exchange of a session: what a request goes through that may conflict.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use http::{StatusCode, request::Parts};
use rand::{RngExt as _, rngs::SmallRng};
use tokio::sync::oneshot;

use super::{
    answer::{Answer, Exception, JSON, PLAYLIST, Refused, ok},
    choices::Conflict,
    playlist::{self, Ads},
    route::{Home, Route, up_from_master, up_from_media},
    service::Service,
    session::{Flight, Session, Terms},
    tracking,
};

/// A player that waits for its answer. Dropped while it waits, it went away.
struct Player<'a> {
    service: &'a Service,
    session: &'a Session,
    number: u64,
    waits: bool,
}

/// Which latencies a request meets.
enum Times {
    Playlist { media: bool },
    None,
}

/// The work on one request.
struct Work {
    service: Arc<Service>,
    session: Arc<Session>,
    head: Parts,
    number: u64,
    flight: Flight,
}

// === impl Service ===

impl Service {
    /// Answers a request of a session that exists.
    pub(super) async fn in_session(
        self: &Arc<Self>,
        id: &str,
        home: Home<'_>,
        head: Parts,
    ) -> Result<Answer, Refused> {
        self.exchange(self.session(id, home)?, head).await
    }

    /// Makes a session and answers with its multivariant playlist. Nobody knows its id yet, so nothing conflicts.
    pub(super) async fn in_new_session(
        self: &Arc<Self>,
        terms: Terms,
        head: Parts,
    ) -> Result<Answer, Refused> {
        self.exchange(self.create(terms), head).await
    }

    /// The work is done in a task of its own, to its end, whether or not the player still waits: what the real
    /// service does is unknown, and this is the harder case.
    async fn exchange(self: &Arc<Self>, session: Arc<Session>, head: Parts) -> Result<Answer, Refused> {
        let number = self.arrive(&session, &head)?;
        let (rule, times) = self.terms_of(&Route::of(head.uri.path()));
        let (with_it, flight) = session.take_off(rule);
        let Some(flight) = flight else {
            self.tally.took_off(with_it);
            return Ok(self.conflict(&session, number));
        };
        if rule.is_some() {
            self.tally.took_off(with_it);
        }
        let mut dice = self.chance.draw();
        let (delay, settle) = match times {
            Times::None => (Duration::ZERO, Duration::ZERO),
            Times::Playlist { media } => {
                let first = media && !self.args.first.is_zero() && session.is_first_media();
                (self.delay(first, &mut dice), self.args.settle.sample(&mut dice))
            }
        };
        self.tally.flies();
        let work = Work { service: Arc::clone(self), session: Arc::clone(&session), head, number, flight };
        let (heads, settles) = (dice.random(), !settle.is_zero());
        if delay.is_zero() && !settles {
            return Ok(work.land(settles, heads).0);
        }
        let (tell, told) = oneshot::channel();
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            let (answer, won) = work.land(settles, heads);
            // The player may be gone.
            let _ = tell.send(answer);
            if settles {
                tokio::time::sleep(settle).await;
                work.session.settle(work.flight, won);
            }
        });
        let mut player = Player { service: self, session: &session, number, waits: true };
        let answer = told.await;
        player.waits = false;
        answer.map_err(|_| Exception::Internal.refuse("the work was cut short"))
    }

    /// Whether a request takes part in conflicts, and what of the latencies is its own.
    fn terms_of(&self, route: &Route<'_>) -> (Option<Conflict>, Times) {
        let args = &self.args;
        let part = |takes: bool| takes.then_some(args.conflict);
        match route {
            Route::Media { .. } => (part(true), Times::Playlist { media: true }),
            Route::Master { .. } => (part(args.conflict_multivariant), Times::Playlist { media: false }),
            _ if args.conflict_tracking => (part(true), Times::Playlist { media: false }),
            _ => (None, Times::None),
        }
    }

    fn delay(&self, first: bool, dice: &mut SmallRng) -> Duration {
        let args = &self.args;
        let number = self.delayed.fetch_add(1, Ordering::Relaxed) + 1;
        let slow = args.slow_every > 0 && number.is_multiple_of(args.slow_every);
        let usual = if slow { args.slow_for } else { args.latency };
        let more = if first { args.first.sample(dice) } else { Duration::ZERO };
        usual.sample(dice) + more
    }

    fn conflict(&self, session: &Session, number: u64) -> Answer {
        self.tally.conflicted();
        session.answered(number, StatusCode::CONFLICT, &self.limits, self.now());
        Exception::Conflict.answer(&format!(
            "several playlists of one session were requested at the same time, sessionId:[{}] customerId:[{}]",
            session.id, session.terms.account,
        ))
    }

    /// The answer to a request that went through.
    fn produce(&self, session: &Session, head: &Parts) -> Answer {
        let carried = &*session.terms.carried;
        let after = if carried.is_empty() { String::new() } else { format!("?{carried}") };
        match Route::of(head.uri.path()) {
            Route::Master { home: Home { account, configuration }, asset } => {
                let up = up_from_master(asset);
                let before = match session.terms.guided {
                    true => format!("{up}i-media/{account}/{configuration}/"),
                    false => format!("{up}manifest/{account}/{configuration}/{}/", session.id),
                };
                ok(PLAYLIST, self.timeline.content.template().fill(&before, &after))
            }
            Route::Media { account, configuration, number, .. } => {
                let number = number as usize;
                if number >= self.timeline.content.parts().len() {
                    return Exception::NotFound.answer("the session has no playlist of this number");
                }
                let up = up_from_media(configuration);
                let configuration = configuration.unwrap_or(&session.terms.configuration);
                let before = format!("{up}segment/{account}/{configuration}/{}", session.id);
                let extension = match &*self.args.segment_extension {
                    "" => String::new(),
                    extension => format!(".{extension}"),
                };
                let ads = match session.terms.client_side {
                    true => Ads::Direct,
                    false => Ads::Stitched { before: &before, after: &format!("{extension}{after}") },
                };
                ok(PLAYLIST, playlist::media(&self.timeline, &self.timeline.window(), number, ads))
            }
            Route::Tracking { .. } => {
                let token = head.extensions.get::<tracking::Token>().and_then(|token| token.0.as_deref());
                let id = session.id.to_string();
                let avails = tracking::avails(&self.timeline, &id, self.args.tracking_page, token);
                ok(JSON, avails.to_string())
            }
            _ => Exception::Internal.answer("this is no exchange of a session"),
        }
    }
}

// === impl Work ===

impl Work {
    /// Ends the work and makes the answer; says whether it is one that the session was written for.
    fn land(&self, settles: bool, heads: bool) -> (Answer, bool) {
        let Self { service, session, head, number, flight } = self;
        let won = session.land(*flight, settles, service.args.loser, heads);
        service.tally.landed();
        if !won {
            return (service.conflict(session, *number), false);
        }
        let answer = service.produce(session, head);
        session.answered(*number, answer.status(), &service.limits, service.now());
        (answer, true)
    }
}

// === impl Player ===

impl Drop for Player<'_> {
    fn drop(&mut self) {
        if self.waits && self.session.left(self.number) {
            self.service.tally.abandoned();
        }
    }
}
