//! The work on a request that may conflict, and its end.

use std::{sync::Arc, time::Duration};

use http::request::Parts;
use rand::rngs::SmallRng;
use tokio::{runtime::Handle, time::Instant};

use super::state::{Flight, Session};
use crate::emulator::{
    fault::{broken, damage::Held, faults::Strike, kind::Kind},
    play::{
        dash,
        playlist::{self, Ads, Lowered},
        segments, tracking,
    },
    serve::{
        answer::{Answer, Exception, JSON, PLAYLIST, ok},
        route::{Home, Route, up_from_master, up_from_media},
        service::Service,
    },
};

/// The work on one request.
#[derive(Debug)]
pub(in crate::emulator) struct Work {
    pub(in crate::emulator) aloft: Aloft,
    pub(in crate::emulator) head: Parts,
    pub(in crate::emulator) number: u64,
    /// What goes wrong with it.
    pub(in crate::emulator) strike: Option<Strike>,
    /// Whether the origin took too long.
    pub(in crate::emulator) timed_out: bool,
    pub(in crate::emulator) dice: SmallRng,
}

/// A flight of a session that is in the air until this lands, at the latest when it is dropped.
#[derive(Debug)]
pub(in crate::emulator) struct Aloft {
    pub(in crate::emulator) service: Arc<Service>,
    pub(in crate::emulator) session: Arc<Session>,
    pub(in crate::emulator) flight: Flight,
    /// How long the session stays busy after it.
    pub(in crate::emulator) settle: Duration,
    pub(in crate::emulator) heads: bool,
    pub(in crate::emulator) landed: bool,
    /// Whether its answer was begun. A flight that is dropped before has written nothing.
    pub(in crate::emulator) answers: bool,
}

// === impl Work ===

impl Work {
    /// Ends the work and makes the answer.
    ///
    /// An answer that takes its time on its way keeps the flight in the air for as long. It cannot lose any more,
    /// as its head is out by then.
    pub(in crate::emulator) fn end(self) -> Answer {
        let Self { mut aloft, head, number, strike, timed_out, mut dice } = self;
        aloft.answers = true;
        let (service, session) = (Arc::clone(&aloft.service), Arc::clone(&aloft.session));
        let fault = strike.as_ref().map(|strike| &*strike.fault);
        let held: Held = match fault.is_some_and(|fault| fault.kind().takes_its_time()) {
            true => Some(Arc::new(aloft)),
            false if aloft.land() => None,
            false => return service.conflict(&session, number),
        };
        let usual = || match timed_out {
            true => broken::failure(
                Exception::GatewayTimeout.status(),
                Some(Exception::GatewayTimeout),
                session.whom(),
            ),
            false => service.produce(&session, &head, strike.as_ref()),
        };
        let Some(fault) = fault else {
            let answer = usual();
            session.answered(number, answer.status(), &service.limits, service.now());
            return answer;
        };
        service.struck(&session, number, fault);
        let answer = broken::answer(fault, session.whom(), &mut dice, usual, held);
        if fault.kind() != Kind::Reset {
            session.answered(number, answer.status(), &service.limits, service.now());
        }
        answer
    }

    /// Stays in the air until it is dropped.
    pub(in crate::emulator) async fn hang(self) -> Answer {
        let Self { aloft, number, strike, .. } = &self;
        if let Some(strike) = strike {
            aloft.service.struck(&aloft.session, *number, &strike.fault);
        }
        std::future::pending().await
    }
}

// === impl Aloft ===

impl Aloft {
    /// Ends the flight; says whether it won.
    fn land(mut self) -> bool {
        self.landed = true;
        self.come_down()
    }

    fn come_down(&self) -> bool {
        let settles = !self.settle.is_zero();
        let won = self.session.land(self.flight, settles, self.service.args.loser, self.heads);
        self.service.tally.landed();
        // Without a runtime all is over.
        if let Some(runtime) = Handle::try_current().ok().filter(|_| settles) {
            let (session, flight, free_at) =
                (Arc::clone(&self.session), self.flight, Instant::now() + self.settle);
            runtime.spawn(async move {
                tokio::time::sleep_until(free_at).await;
                session.settle(flight, won);
            });
        }
        won
    }
}

impl Drop for Aloft {
    fn drop(&mut self) {
        if self.landed {
            return;
        }
        if self.answers {
            self.come_down();
        } else {
            self.session.cancel(self.flight);
            self.service.tally.landed();
        }
    }
}

// === impl Service ===

impl Service {
    /// The answer to a request that went through. A fault may be of what it shows.
    fn produce(&self, session: &Session, head: &Parts, strike: Option<&Strike>) -> Answer {
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
                let mut lowered = Lowered::to(session.terms.begins.as_deref(), number);
                let window = match strike.map(|strike| (strike.fault.kind(), strike)) {
                    Some((Kind::Unchanged, strike)) => strike.frozen.clone(),
                    Some((Kind::LowerSequence, strike)) => {
                        lowered.sequence = lowered.sequence.saturating_add(strike.fault.by());
                        self.timeline.window()
                    }
                    _ => self.timeline.window(),
                };
                ok(PLAYLIST, playlist::media(&self.timeline, &window, number, ads, lowered))
            }
            Route::Tracking { .. } => {
                let token = head.extensions.get::<tracking::Token>().and_then(|token| token.0.as_deref());
                let id = session.id.to_string();
                let avails = tracking::avails(&self.timeline, &id, self.args.tracking_page, token);
                ok(JSON, avails.to_string())
            }
            Route::Segment { number, sequence, .. } => {
                segments::redirect_to_ad(self, number as usize, sequence)
            }
            Route::Dash { home, asset } => dash::manifest(self, session, home, asset, head),
            _ => Exception::Internal.answer("this is no exchange of a session"),
        }
    }
}
