use std::{fmt, sync::Arc};

use tokio::time::Instant;

use super::{
    Config,
    counts::{Counts, Level},
    doubt::Doubts,
    shared::Shared,
    window::Window,
};
use crate::{lease::Leases, session::SessionKey};

/// How many 4xx the upstream gave in the last minute, by session and by playback configuration.
///
/// AWS blocks a session or a whole configuration with 410 after a very high volume of 4xx from it (page
/// "playback-errors" of MediaTailor's user guide). Only sessions and configurations that had a 4xx are held,
/// for a minute. Put it in an [`Arc`](std::sync::Arc) to share it. Nothing here waits.
///
/// A [conflict](Self::conflict) counts as a 4xx, too, to AWS, to its session and to the operator. But it says
/// that the session is there: no other session of the configuration is [refused](Self::allows) for it, other
/// instances are not told.
///
/// The 4xx of [tracking](Self::track) count against the configuration alone: a viewer plays on without ad reports.
pub struct Quota {
    sessions: Counts<SessionKey>,
    /// By [`SessionKey::scope_id`].
    pub(super) configurations: Counts<u64>,
    /// Those among these that lost a session which had played here, and those of sessions that are new; one of each session in a minute.
    pub(super) lost: Counts<u64>,
    pub(super) newcomers: Counts<u64>,
    /// The conflicts, which are not among those.
    conflicts: Counts<u64>,
    /// The conflicts of a session, which are not among its others.
    met: Counts<SessionKey>,
    /// What is in flight of sessions that were not good before.
    pub(super) doubts: Arc<Doubts>,
    /// What other instances have spent of it, where they are asked.
    pub(super) shared: Arc<Shared>,
}

/// What a [`Quota`] has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Allowance {
    /// Enough.
    Allow,
    /// Little: the part [`Config::warn_at`] is spent, and it is time to tell the operator.
    NearLimit(Scope),
    /// Nothing: a request that is likely to get one more 4xx should not be sent.
    Spent(Scope),
}

/// Whose quota it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// One session's.
    Session,
    /// That of a playback configuration, over all its sessions.
    Configuration,
}

/// So many 4xx of one session in a minute come of a player that asks for the same in vain again and again.
const MANY: u32 = 6;

// === impl Quota ===

impl Quota {
    /// Nothing counted yet.
    pub fn new(config: &Config) -> Self {
        Self {
            sessions: Counts::new(config, config.session_4xx_per_minute),
            configurations: Counts::new(config, config.configuration_4xx_per_minute),
            lost: Counts::new(config, config.configuration_4xx_per_minute),
            newcomers: Counts::new(config, config.configuration_4xx_per_minute),
            conflicts: Counts::new(config, config.configuration_4xx_per_minute),
            met: Counts::new(config, config.session_4xx_per_minute),
            doubts: Arc::default(),
            shared: Arc::default(),
        }
    }

    /// What was counted, under other limits; [`Config::capacity`] stays what it was.
    #[must_use]
    pub fn reconfigured(&self, config: &Config) -> Self {
        let Self { sessions, configurations, lost, newcomers, conflicts, met, doubts, shared } = self;
        let limit = config.configuration_4xx_per_minute;
        Self {
            sessions: Counts::over(&sessions.windows, config, config.session_4xx_per_minute),
            configurations: Counts::over(&configurations.windows, config, limit),
            lost: Counts::over(&lost.windows, config, limit),
            newcomers: Counts::over(&newcomers.windows, config, limit),
            conflicts: Counts::over(&conflicts.windows, config, limit),
            met: Counts::over(&met.windows, config, config.session_4xx_per_minute),
            doubts: Arc::clone(doubts),
            shared: Arc::clone(shared),
        }
    }

    /// Tells other instances what was spent of the configurations' quotas since the last time, and hears what
    /// they have spent. Called once a second, it keeps all instances together within the limit, but for what
    /// they spend in that second; while the engine is of no use, each goes by its own count. Each instance
    /// counts its sessions by itself.
    ///
    /// # Cancel safety
    ///
    /// Dropped half-way, it may tell the same once more the next time: it errs towards too much.
    pub async fn share(&self, leases: &Leases) {
        // All that has passed goes first, since the engine may be away for long.
        let now = Instant::now();
        self.shared.forget(|scope| self.configurations.count(scope, now) == 0);
        for (scope, untold) in self.shared.untold() {
            let own = self.configurations.count(&scope, Instant::now());
            // After an outage more may be untold than there was in the last minute, and that alone counts.
            let Some(total) = leases.spend(scope, untold.min(own)).await else { return };
            self.shared.heard(scope, untold, (total, own), Instant::now());
        }
    }

    /// Whether other instances have the same sessions, and are told of what is counted here.
    pub(crate) fn is_shared(&self) -> bool {
        self.shared.is_on()
    }

    /// Counts a 4xx that the upstream gave this session, each attempt by itself.
    pub fn spend(&self, session: &SessionKey, now: Instant) {
        self.sessions.spend(session, now);
        self.track(session, now);
    }

    /// Counts a 4xx that the upstream gave to a request of this session's tracking.
    pub fn track(&self, session: &SessionKey, now: Instant) {
        if self.configurations.spend(&session.scope_id(), now) {
            self.shared.spend(session.scope_id());
        }
    }

    /// Counts a session that has played here and is lost: by its first 4xx in a minute.
    pub(crate) fn count_lost(&self, session: &SessionKey, now: Instant) {
        self.lost.spend(&session.scope_id(), now);
    }

    /// Counts a session that is new here and had a 4xx: by the first in a minute.
    pub(crate) fn count_newcomer(&self, session: &SessionKey, now: Instant) {
        self.newcomers.spend(&session.scope_id(), now);
    }

    /// Counts a conflict that the upstream gave this session, each attempt by itself.
    pub fn conflict(&self, session: &SessionKey, now: Instant) {
        self.met.spend(session, now);
        self.conflicts.spend(&session.scope_id(), now);
    }

    /// Whether this session and its configuration may have one more 4xx, the conflicts of other sessions
    /// aside. Where both are at the same level, the configuration is named. It costs three atomic loads
    /// while there are no 4xx.
    ///
    /// A session that had many in the last minute may have none of the second half of its configuration's: others would have
    /// nothing left. It takes nothing: those in flight at the same time may spend more than there is.
    pub fn allows(&self, session: &SessionKey, now: Instant) -> Allowance {
        let spent = self.spent(session.scope_id(), now);
        let has_many = spent > 0 && self.sessions.count(session, now) >= MANY;
        self.allowance(session, if has_many { spent.saturating_mul(2) } else { spent }, now)
    }

    /// Whether what is gone may have no more of its configuration's: if that was confirmed, half of it is for others.
    pub(super) fn is_kept_from(&self, gone: &SessionKey, is_confirmed: bool, now: Instant) -> bool {
        let limit = self.configurations.limit;
        self.spent(gone.scope_id(), now) >= if is_confirmed { limit.div_ceil(2) } else { limit }
    }

    /// The same with the conflicts of other sessions, as AWS counts.
    pub fn allows_with_conflicts(&self, session: &SessionKey, now: Instant) -> Allowance {
        let scope = session.scope_id();
        let spent = self.spent(scope, now).saturating_add(self.conflicts.count(&scope, now));
        self.allowance(session, spent, now)
    }

    fn allowance(&self, session: &SessionKey, spent: u32, now: Instant) -> Allowance {
        let of_session = self.level(session, now);
        let of_configuration = self.configurations.level(spent);
        let scope = if of_session > of_configuration { Scope::Session } else { Scope::Configuration };
        match of_session.max(of_configuration) {
            Level::Low => Allowance::Allow,
            Level::Near => Allowance::NearLimit(scope),
            Level::Spent => Allowance::Spent(scope),
        }
    }

    /// Whether this session had a 4xx in the last minute, conflicts aside.
    pub fn has_spent(&self, session: &SessionKey, now: Instant) -> bool {
        self.sessions.count(session, now) > 0
    }

    /// Whether it had not even a conflict.
    pub(super) fn is_untouched(&self, session: &SessionKey, now: Instant) -> bool {
        self.count(session, now) == 0
    }

    /// Whether this session may have no more, whatever its configuration may.
    pub(super) fn is_spent(&self, session: &SessionKey, now: Instant) -> bool {
        self.level(session, now) == Level::Spent
    }

    /// Whether it might, were it not for its conflicts.
    pub(super) fn is_spent_by_conflicts(&self, session: &SessionKey, now: Instant) -> bool {
        self.is_spent(session, now) && self.sessions.level(self.sessions.count(session, now)) < Level::Spent
    }

    /// Whether this session may have few more or none, whatever its configuration may.
    pub(crate) fn is_near(&self, session: &SessionKey, now: Instant) -> bool {
        self.level(session, now) >= Level::Near
    }

    /// How near this session is to its own limit, its conflicts included.
    fn level(&self, session: &SessionKey, now: Instant) -> Level {
        self.sessions.level(self.count(session, now))
    }

    fn count(&self, session: &SessionKey, now: Instant) -> u32 {
        self.sessions.count(session, now).saturating_add(self.met.count(session, now))
    }

    /// The most that any playback configuration has used of its quota, conflicts included, as a part of it.
    pub fn used(&self, now: Instant) -> f64 {
        let count = |window: &Window| window.count(now);
        let of_all = self.configurations.windows.all(now, count).into_iter();
        let of_all = of_all.map(|(scope, own)| own.saturating_add(self.shared.others(scope, now)));
        let met = self.conflicts.windows.all(now, count).into_iter();
        let met = met.map(|(scope, met)| met.saturating_add(self.spent(scope, now)));
        let most = of_all.chain(met).max().unwrap_or_default();
        f64::from(most) / f64::from(self.configurations.limit.max(1))
    }

    /// How many a configuration had in the last minute, here and elsewhere.
    pub(super) fn spent(&self, scope: u64, now: Instant) -> u32 {
        match self.configurations.count(&scope, now) {
            0 => 0,
            own => own.saturating_add(self.shared.others(scope, now)),
        }
    }

    /// How many sessions had a 4xx of late, conflicts aside.
    pub fn sessions(&self) -> usize {
        self.sessions.windows.len()
    }

    /// How many playback configurations had a 4xx of late; those of conflicts alone are not among them.
    pub fn configurations(&self) -> usize {
        self.configurations.windows.len()
    }
}

impl Default for Quota {
    fn default() -> Self {
        Self::new(&Config::default())
    }
}

impl fmt::Debug for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quota")
            .field("sessions", &self.sessions())
            .field("configurations", &self.configurations())
            .field("shared", &self.shared.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use tokio::time::advance;

    use super::*;
    use crate::{
        session::SessionId,
        shield::{admit::Place, window::MINUTE},
    };

    fn session(configuration: &str, n: usize) -> SessionKey {
        let id = SessionId::parse(&format!("session-{n}")).expect("an id");
        SessionKey::new(None, Some(configuration), id)
    }

    fn quota(session: u32, configuration: u32) -> Quota {
        let config =
            Config::default().session_4xx_per_minute(session).configuration_4xx_per_minute(configuration);
        Quota::new(&config)
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_spends_its_own_and_its_configurations() {
        let quota = quota(5, 8);
        let [one, two, other] = [session("a", 1), session("a", 2), session("b", 1)];
        let allows = |session| quota.allows(session, Instant::now());
        let spend = |session, n| (0..n).for_each(|_| quota.spend(session, Instant::now()));
        spend(&one, 3);
        assert_eq!(allows(&one), Allowance::Allow);
        spend(&one, 1);
        assert_eq!(allows(&one), Allowance::NearLimit(Scope::Session));
        spend(&one, 1);
        assert_eq!((allows(&one), allows(&two)), (Allowance::Spent(Scope::Session), Allowance::Allow));
        spend(&two, 2);
        assert_eq!(allows(&two), Allowance::NearLimit(Scope::Configuration));
        spend(&two, 1);
        assert_eq!(allows(&two), Allowance::Spent(Scope::Configuration));
        assert_eq!(allows(&other), Allowance::Allow);
        assert_eq!((quota.sessions(), quota.configurations()), (2, 1));

        advance(Duration::from_secs(59)).await;
        assert_eq!(allows(&one), Allowance::Spent(Scope::Configuration));
        advance(Duration::from_secs(11)).await;
        assert_eq!((allows(&one), allows(&two)), (Allowance::Allow, Allowance::Allow));
    }

    #[tokio::test(start_paused = true)]
    async fn a_conflict_is_its_sessions_and_refuses_nobody_else() {
        let quota = quota(5, 8);
        let [one, two, other] = [session("a", 1), session("a", 2), session("b", 1)];
        let now = Instant::now();
        (0..4).for_each(|_| quota.conflict(&one, now));
        (0..4).for_each(|n| quota.conflict(&session("a", 10 + n), now));
        assert_eq!(quota.allows(&one, now), Allowance::NearLimit(Scope::Session));
        assert_eq!(quota.allows(&two, now), Allowance::Allow);
        assert_eq!(quota.allows_with_conflicts(&two, now), Allowance::Spent(Scope::Configuration));
        assert_eq!(quota.allows_with_conflicts(&other, now), Allowance::Allow);
        assert!((quota.used(now) - 1.0).abs() < f64::EPSILON);
        (0..4).for_each(|_| quota.spend(&two, now));
        assert!((quota.used(now) - 1.5).abs() < f64::EPSILON, "together");
        assert_eq!(quota.reserve(&session("a", 3), now), Place::Taken);
    }

    #[tokio::test(start_paused = true)]
    async fn where_each_session_is_lost_on_several_instances_few_of_them_are_a_crowd() {
        for (lost, newcomers, place) in [(4, 0, Place::None), (5, 0, Place::Taken), (5, 5, Place::None)] {
            let (quota, now) = (quota(60, 100), Instant::now());
            assert!(quota.shared.untold().is_empty(), "others are told from now on");
            for n in 0..lost + newcomers {
                let session = session("a", n);
                quota.spend(&session, now);
                if n < lost { quota.count_lost(&session, now) } else { quota.count_newcomer(&session, now) }
            }
            let scope = session("a", 0).scope_id();
            quota.shared.heard(scope, 0, (100, (lost + newcomers) as u32), now);
            assert_eq!(quota.reserve(&session("a", 99), now), place, "{lost} lost, {newcomers} new");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_given_back_before_the_wait_began_is_taken_at_once() {
        let quota = quota(60, 10);
        let flying: Vec<_> = (0..10).map(|n| session("a", n)).collect();
        for session in &flying {
            assert_eq!(quota.reserve(session, Instant::now()), Place::Taken);
        }
        let late = session("a", 10);
        assert_eq!(quota.reserve(&late, Instant::now()), Place::Later);
        for session in &flying {
            quota.release(session, None, Instant::now());
        }
        let begun = Instant::now();
        assert!(quota.wait(&late).await);
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_long_ago_takes_no_memory() {
        let quota = Quota::default();
        for n in 0..50_000 {
            quota.spend(&session(&n.to_string(), n), Instant::now());
        }
        assert_eq!((quota.sessions(), quota.configurations()), (50_000, 50_000));
        advance(Duration::from_secs(101)).await;
        assert_eq!(quota.allows(&session("0", 0), Instant::now()), Allowance::Allow);
        assert_eq!((quota.sessions(), quota.configurations()), (0, 0));
        assert!(quota.sessions.windows.room() < 4_096 && quota.configurations.windows.room() < 4_096);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_is_held_than_may_be() {
        let quota = Quota::new(&Config::default().capacity(10));
        (0..100).for_each(|n| quota.spend(&session("a", n), Instant::now()));
        assert_eq!((quota.sessions(), quota.configurations()), (10, 1));
        assert_eq!(quota.allows(&session("a", 99), Instant::now()), Allowance::Allow, "100 of 600");
    }

    #[tokio::test(start_paused = true)]
    async fn any_limit_makes_sense() {
        for warn_at in [0.0, 1.0, -1.0, 7.0, f64::NAN, f64::INFINITY] {
            for limit in [0, 1, u32::MAX] {
                let config = Config::default()
                    .session_4xx_per_minute(limit)
                    .configuration_4xx_per_minute(u32::MAX)
                    .warn_at(warn_at);
                let quota = Quota::new(&config);
                let key = session("a", 1);
                assert_eq!(quota.allows(&key, Instant::now()), Allowance::Allow);
                quota.spend(&key, Instant::now());
                let spent = quota.allows(&key, Instant::now()) == Allowance::Spent(Scope::Session);
                assert_eq!(spent, limit < 2, "{limit} at {warn_at}");
            }
        }
    }

    proptest! {
        /// Who asks first never gets more than the limit in any minute.
        #[test]
        fn no_minute_has_more_than_the_limit(
            limit in 1_u32..20,
            gaps in proptest::collection::vec(prop_oneof![8 => 0_u64..2_000, 1 => 0_u64..70_000], 1..400),
        ) {
            let quota = quota(limit, u32::MAX);
            let (key, mut now, mut spent) = (session("a", 1), Instant::now(), Vec::new());
            for gap in gaps {
                now += Duration::from_millis(gap);
                if !matches!(quota.allows(&key, now), Allowance::Spent(_)) {
                    quota.spend(&key, now);
                    spent.push(now);
                }
            }
            for (n, end) in spent.iter().enumerate() {
                let minute = spent[..=n].iter().filter(|at| *end - **at < MINUTE).count();
                prop_assert!(minute <= limit as usize);
            }
        }
    }
}
