use std::sync::Arc;

use http::{Method, request::Parts};
use tokio::time::Instant;

use super::{
    Allowance, Answer, Ask, Behind, Cause, Check, Probe, Quota, Scope, admit::Place, hearing::Hearing,
};
use crate::{
    rescue::Standing,
    session::{Creates, Extracted, Kind, MediaTailor, SessionKey},
    upstream::Lessons,
};

/// How a request goes on.
pub(super) enum Way {
    /// It may be sent, and what comes of it may be of use.
    Pass(Option<Hearing>),
    /// Those in flight are heard first.
    Wait(SessionKey, Kind),
    /// Until then nobody finds out more.
    WaitUntil(SessionKey, Instant),
    /// It goes behind a probe that is out.
    Behind(SessionKey, Kind),
    Answered(Answer),
}

// === impl Way ===

impl Way {
    /// What is known of a request's session decides on its way.
    pub(super) fn of(lessons: &Arc<Lessons>, head: &mut Parts) -> Self {
        let Extracted { kind, session } = Extracted::of(head, &MediaTailor::new());
        let key = match (session, head.extensions.get()) {
            (Ok(Some(key)), _) => key,
            (Ok(None), Some(Creates(stream))) => return Self::create(lessons, head, stream.clone(), kind),
            _ => return Self::Pass(None),
        };
        if matches!(kind, Kind::Segment | Kind::Other) {
            return Self::Pass(None);
        }
        let now = Instant::now();
        let known = match kind {
            Kind::Media | Kind::Multivariant => match lessons.ask(&key, head, now) {
                Ask::Send => None,
                Ask::Probe(probe) => {
                    head.extensions.insert(probe);
                    None
                }
                Ask::Behind => {
                    head.extensions.insert(Behind);
                    return Self::Behind(key, kind);
                }
                Ask::Wait(until) => return Self::WaitUntil(key, until),
                Ask::Answer(known) => Some(known),
            },
            // Nothing is learned from others: as a probe one would keep the playlists waiting for word of it.
            _ => lessons.known(&key, head, now),
        };
        if let Some(known) = known {
            let answer = Answer::to(lessons.marks.playlist(&head.uri), &known);
            return Self::Answered(answer.told(&key, kind, head.extensions.get()));
        }
        if kind == Kind::Tracking {
            return Self::track(lessons, head, key);
        }
        // What one playlist has spent is not the others' fault. What is given to a GET may be missing for another method.
        let is_given =
            || head.method == Method::GET && lessons.store.standing(&key, &head.uri) == Some(Standing::Given);
        if lessons.quota.is_spent(&key, now) && !is_given() {
            return Self::spent(lessons, head, &key, kind);
        }
        if lessons.is_good(&key, &head.uri) {
            return Self::Pass(None);
        }
        if lessons.was_good(&key, now) {
            let is_heard = !lessons.store.is_off();
            return Self::Pass(is_heard.then(|| Hearing::new(lessons, key, kind, false)));
        }
        // Whether one may be sent that is new here is for those in flight to say.
        let is_new = !lessons.quota.has_spent(&key, now) && !lessons.has_played(&key, now);
        if !is_new && !is_probe(head) && matches!(lessons.quota.allows(&key, now), Allowance::Spent(_)) {
            return Self::Answered(refuse(head, &key, kind));
        }
        Self::admit(lessons, head, key, kind)
    }

    /// The way of a request of a session that may have no more 4xx. If they are conflicts it is there, and a request now and
    /// then finds out whether they are over.
    fn spent(lessons: &Arc<Lessons>, head: &mut Parts, key: &SessionKey, kind: Kind) -> Self {
        let now = Instant::now();
        let tells = head.method == Method::GET && kind != Kind::Dash;
        let quota = &lessons.quota;
        // It may have other 4xx as well, and those are its configuration's.
        let has_no_part =
            || quota.has_spent(key, now) && quota.allows(key, now) == Allowance::Spent(Scope::Configuration);
        if !tells || !quota.is_spent_by_conflicts(key, now) || has_no_part() {
            return Self::Answered(refuse(head, key, kind));
        }
        if is_probe(head) {
            return Self::Pass(None);
        }
        let playlist = lessons.marks.playlist(&head.uri);
        let known = match lessons.marks.check_for(key, playlist, now) {
            Check::Probe => {
                head.extensions.insert(Probe::of_session(lessons, key));
                return Self::Pass(None);
            }
            Check::Answer(known) => known,
            // Others of the session are well, or nobody has asked for them.
            Check::Pass => match lessons.marks.check_alone(key, playlist, now) {
                Check::Probe => {
                    head.extensions.insert(Probe::of_playlist(lessons, key, playlist));
                    return Self::Pass(None);
                }
                Check::Answer(known) => known,
                Check::Pass
                    if lessons.marks.doubt(key, playlist, lessons.store.target_duration(key), now) =>
                {
                    return Self::Pass(None);
                }
                Check::Pass => return Self::Answered(refuse(head, key, kind)),
            },
        };
        Self::Answered(Answer::of(&known).told(key, kind, head.extensions.get()))
    }

    /// The way of tracking. It has a part of the quota, so that playlists do not pay for it; whose tracking had a good answer of
    /// late does not pay either.
    fn track(lessons: &Arc<Lessons>, head: &Parts, key: SessionKey) -> Self {
        let (now, kind) = (Instant::now(), Kind::Tracking);
        let is_spent = |quota: &Quota| matches!(quota.allows(&key, now), Allowance::Spent(_));
        if lessons.seen.was_tracked(&key, now) && !lessons.tracking.has_spent(&key, now) {
            return Self::Pass(Some(Hearing::new(lessons, key, kind, false)));
        }
        if is_spent(&lessons.tracking) || is_spent(&lessons.quota) {
            return Self::Answered(refuse(head, &key, kind));
        }
        Self::admit(lessons, head, key, kind)
    }

    /// The way of a request that creates a session. If others of its stream had a session less than a minute
    /// ago, this one may have one as well, since some are refused only for what they ask. Where no quota is
    /// left, a request now and then finds out whether the stream has begun.
    fn create(lessons: &Arc<Lessons>, head: &mut Parts, stream: SessionKey, kind: Kind) -> Self {
        let now = Instant::now();
        let is_spent = matches!(lessons.quota.allows(&stream, now), Allowance::Spent(_));
        if lessons.seen.was_served(&stream, now) || is_spent && is_first(head, lessons, &stream) {
            return Self::Pass(Some(Hearing::new(lessons, stream, kind, false)));
        }
        if !is_spent {
            return Self::admit(lessons, head, stream, kind);
        }
        match lessons.marks.check(&stream, now) {
            Check::Probe => {
                head.extensions.insert(Probe::of_session(lessons, &stream));
                return Self::Pass(Some(Hearing::new(lessons, stream, kind, false)));
            }
            Check::Pass => drop(lessons.marks.mark(&stream, Cause::Failing, None, None, now)),
            Check::Answer(_) => {}
        }
        Self::Answered(refuse(head, &stream, kind))
    }

    /// Whether there may be a 4xx to a request of which nothing good is known.
    fn admit(lessons: &Arc<Lessons>, head: &Parts, key: SessionKey, kind: Kind) -> Self {
        match lessons.quota_of(kind).reserve(&key, Instant::now()) {
            Place::Taken => Self::Pass(Some(Hearing::new(lessons, key, kind, true))),
            Place::Later => Self::Wait(key, kind),
            Place::None if is_first(head, lessons, &key) || is_probe(head) => {
                Self::Pass(Some(Hearing::new(lessons, key, kind, false)))
            }
            Place::None => Self::Answered(refuse(head, &key, kind)),
        }
    }
}

/// Whether it finds out for others, which is allowed once in a gap.
fn is_probe(head: &Parts) -> bool {
    head.extensions.get::<Probe>().is_some()
}

/// Whether it creates a session of a stream that had no 4xx: when many sessions are lost at once, those that
/// take their place must not pay for them.
pub(super) fn is_first(head: &Parts, lessons: &Lessons, stream: &SessionKey) -> bool {
    head.extensions.get::<Creates>().is_some() && lessons.quota.is_untouched(stream, Instant::now())
}

/// The answer to what would likely be one 4xx too many.
pub(super) fn refuse(head: &Parts, key: &SessionKey, kind: Kind) -> Answer {
    Answer::held_back().told(key, kind, head.extensions.get())
}
