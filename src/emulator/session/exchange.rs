//! An exchange of a session: what a request goes through that may conflict.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use http::{StatusCode, request::Parts};
use rand::{RngExt as _, rngs::SmallRng};
use tokio::sync::oneshot;

use super::{
    state::{Session, Terms},
    work::{Aloft, Work},
};
use crate::emulator::{
    args::Args,
    choices::Conflict,
    fault::{aim::Asked, broken, kind::Kind, requests::Sought, what::Fault},
    serve::{
        answer::{Answer, Exception, Refused},
        route::{Home, Route},
        service::Service,
    },
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
    Playlist {
        media: bool,
    },
    /// Those of a playlist, without an origin behind it.
    Tracking,
    None,
}

// === impl Service ===

impl Service {
    /// Answers a request of a session that exists.
    pub(in crate::emulator) async fn in_session(
        self: &Arc<Self>,
        id: &str,
        home: Home<'_>,
        head: Parts,
    ) -> Result<Answer, Refused> {
        self.exchange(self.session(id, home)?, head).await
    }

    /// Makes a session and answers with its multivariant playlist. Nobody knows its id yet, so nothing conflicts.
    pub(in crate::emulator) async fn in_new_session(
        self: &Arc<Self>,
        terms: Terms,
        head: Parts,
    ) -> Result<Answer, Refused> {
        self.exchange(self.create(terms), head).await
    }

    /// The work is done in a task of its own, to its end, whether or not the player still waits: what the real
    /// service does is unknown, and this is the harder case. With `--ends-with-client` it ends with its player.
    async fn exchange(self: &Arc<Self>, session: Arc<Session>, head: Parts) -> Result<Answer, Refused> {
        let number = self.arrive(&session, &head)?;
        let route = Route::of(head.uri.path());
        let asked = asked(&session, &route);
        if let Some(strike) = asked.and_then(|asked| self.faults.throttles(&asked)) {
            return Ok(self.throttled(&session, number, &strike.fault));
        }
        let (rule, times) = self.terms_of(&route);
        let (with_it, flight) = session.take_off(rule);
        let Some(flight) = flight else {
            self.tally.took_off(with_it);
            return Ok(self.conflict(&session, number));
        };
        if rule.is_some() {
            self.tally.took_off(with_it);
        }
        let mut dice = self.chance.draw();
        let (mut delay, settle) = match times {
            Times::None => (Duration::ZERO, Duration::ZERO),
            Times::Playlist { .. } | Times::Tracking => {
                let media = matches!(times, Times::Playlist { media: true });
                let first = media && !self.args.first.is_zero() && session.is_first_media();
                (self.delay(first, &mut dice), self.busy_after().sample(&mut dice))
            }
        };
        if matches!(times, Times::Playlist { media: true }) {
            delay += self.ad_server(&session, &mut dice);
        }
        let (origin, timed_out) = match times {
            Times::Playlist { .. } => self.origin(&mut dice),
            Times::Tracking | Times::None => (Duration::ZERO, false),
        };
        delay += origin;
        let strike = asked.and_then(|asked| self.faults.strike(&asked));
        if let Some(strike) = &strike {
            delay += strike.fault.delay().sample(&mut dice);
        }
        self.tally.flies();
        let (service, of) = (Arc::clone(self), Arc::clone(&session));
        let aloft = Aloft {
            service,
            session: of,
            flight,
            settle,
            heads: dice.random(),
            landed: false,
            answers: false,
        };
        let hangs = strike.as_ref().is_some_and(|strike| strike.fault.kind() == Kind::Hang);
        let work = Work { aloft, head, number, strike, timed_out, dice };
        if delay.is_zero() && !hangs {
            return Ok(work.end());
        }
        let mut player = Player { service: self, session: &session, number, waits: true };
        if hangs {
            // It ends with its player, so that the session recovers: a fault that delays goes on like any work.
            return Ok(work.hang().await);
        }
        if self.args.ends_with_client {
            tokio::time::sleep(delay).await;
            player.waits = false;
            return Ok(work.end());
        }
        let (tell, told) = oneshot::channel();
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            // The player may be gone.
            let _ = tell.send(work.end());
        });
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
            Route::Dash { .. } if args.conflict_dash => (part(true), Times::Playlist { media: false }),
            Route::Tracking { .. } if args.conflict_tracking => (part(true), Times::Tracking),
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

    /// How long the ad server takes on top, for nothing.
    fn ad_server(&self, session: &Session, dice: &mut SmallRng) -> Duration {
        if self.args.unfilled_every == 0 || self.args.unfilled_for.is_zero() {
            return Duration::ZERO;
        }
        let asks = self.timeline.window().unfilled().is_some_and(|number| session.is_first_to_lack(number));
        if asks { self.args.unfilled_for.sample(dice) } else { Duration::ZERO }
    }

    /// How long the origin takes on top of the usual, and whether it takes longer than it is waited for.
    fn origin(&self, dice: &mut SmallRng) -> (Duration, bool) {
        let Args { slow_origin_every: every, slow_origin_for, origin_within: within, .. } = &self.args;
        if *every == 0 || !(self.fetched.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(*every) {
            return (Duration::ZERO, false);
        }
        let takes = slow_origin_for.sample(dice);
        match !within.is_zero() && takes > *within {
            true => (*within, true),
            false => (takes, false),
        }
    }

    /// A 409, noted.
    pub(in crate::emulator) fn conflict(&self, session: &Session, number: u64) -> Answer {
        self.tally.conflicted();
        session.answered(number, StatusCode::CONFLICT, &self.limits, self.now());
        Exception::Conflict.answer(&format!(
            "several playlists of one session were requested at the same time, sessionId:[{}] customerId:[{}]",
            session.id, session.terms.account,
        ))
    }

    /// What a fault refuses before it counts for its session, noted.
    fn throttled(&self, session: &Session, number: u64, fault: &Fault) -> Answer {
        self.struck(session, number, fault);
        let answer = broken::refusal(fault, session.whom());
        session.answered(number, answer.status(), &self.limits, self.now());
        answer
    }

    /// Notes a fault.
    pub(in crate::emulator) fn struck(&self, session: &Session, number: u64, fault: &Fault) {
        self.tally.faulty();
        session.struck(number, fault.kind());
    }
}

/// What a fault can be for.
fn asked<'a>(session: &'a Session, route: &Route<'_>) -> Option<Asked<'a>> {
    let sought = match route {
        Route::Media { number, .. } => Sought::Media(*number),
        Route::Master { .. } => Sought::Multivariant,
        Route::Tracking { .. } => Sought::Tracking,
        Route::Segment { .. } => Sought::Segment,
        _ => return None,
    };
    Some(Asked { whom: session.whom(), sought })
}

// === impl Player ===

impl Drop for Player<'_> {
    fn drop(&mut self) {
        if self.waits && self.session.left(self.number) {
            self.service.tally.abandoned();
        }
    }
}
