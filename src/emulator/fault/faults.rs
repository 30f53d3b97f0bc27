use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use serde::Serialize;
use tokio::time::Instant;

use super::{aim::Asked, kind::Kind, what::Fault};
use crate::emulator::{play::timeline::Window, session::rate::Rate};

/// The faults that are active.
#[derive(Debug, Default)]
pub(in crate::emulator) struct Faults {
    /// Whether there are any, for requests to pass without a lock while there are none.
    any: AtomicBool,
    active: Mutex<Vec<Active>>,
}

/// A fault that befalls a request.
#[derive(Debug, Clone)]
pub(in crate::emulator) struct Strike {
    pub(in crate::emulator) fault: Arc<Fault>,
    /// What playlists showed when the fault began.
    pub(in crate::emulator) frozen: Window,
}

/// An active fault, as the emulator's own page tells it.
#[derive(Debug, Serialize)]
pub(in crate::emulator) struct Told {
    #[serde(flatten)]
    fault: Fault,
    /// Requests that it befell.
    struck: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_in_ms: Option<u64>,
}

#[derive(Debug)]
struct Active {
    strike: Strike,
    /// None for one that is to be cleared.
    end: Option<Instant>,
    struck: u64,
    rate: Rate,
}

/// Active faults at most: each request looks at all of them.
const MOST: usize = 1000;

// === impl Faults ===

impl Faults {
    /// Adds a fault, behind those that are there; says whether there was room.
    pub(in crate::emulator) fn add(&self, fault: Fault, frozen: Window) -> bool {
        let mut active = self.active();
        if active.len() >= MOST {
            return false;
        }
        // Without end if it is beyond the clock's.
        let end = fault.lasts().and_then(|lasts| Instant::now().checked_add(lasts));
        active.push(Active {
            strike: Strike { fault: Arc::new(fault), frozen },
            end,
            struck: 0,
            rate: Rate::new(),
        });
        self.any.store(true, Ordering::Relaxed);
        true
    }

    pub(in crate::emulator) fn clear(&self) {
        let mut active = self.active();
        active.clear();
        self.any.store(false, Ordering::Relaxed);
    }

    /// All that are active, in the order in which they befall requests.
    pub(in crate::emulator) fn list(&self) -> Vec<Told> {
        let now = Instant::now();
        let left = |end: Instant| u64::try_from((end - now).as_millis()).unwrap_or(u64::MAX);
        let told = |active: &Active| Told {
            fault: (*active.strike.fault).clone(),
            struck: active.struck,
            ends_in_ms: active.end.map(left),
        };
        self.active().iter().map(told).collect()
    }

    /// What refuses a request before it counts for its session.
    pub(in crate::emulator) fn throttles(&self, asked: &Asked<'_>) -> Option<Strike> {
        self.first(asked, |active| {
            let fault = &active.strike.fault;
            fault.kind() == Kind::Throttle && active.rate.take() > fault.above()
        })
    }

    /// What befalls an exchange that has begun.
    pub(in crate::emulator) fn strike(&self, asked: &Asked<'_>) -> Option<Strike> {
        self.first(asked, |active| active.strike.fault.kind() != Kind::Throttle)
    }

    fn first(&self, asked: &Asked<'_>, befalls: impl Fn(&Active) -> bool) -> Option<Strike> {
        if !self.any.load(Ordering::Relaxed) {
            return None;
        }
        let mut active = self.active();
        let first = active.iter_mut().find(|one| one.strike.fault.is_for(asked) && befalls(one))?;
        first.struck += 1;
        Some(first.strike.clone())
    }

    /// Those that are not over.
    fn active(&self) -> MutexGuard<'_, Vec<Active>> {
        let mut active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        active.retain(|one| {
            let spent = one.strike.fault.count().is_some_and(|count| one.struck >= count);
            !spent && one.end.is_none_or(|end| end > now)
        });
        self.any.store(!active.is_empty(), Ordering::Relaxed);
        active
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;
    use crate::emulator::fault::{aim::Whom, requests::Sought};

    const VIDEO: Asked<'_> = Asked {
        whom: Whom { account: "9f3c", configuration: "News", session: Some(Uuid::nil()) },
        sought: Sought::Media(0),
    };

    fn faults<const N: usize>(texts: [&str; N]) -> Faults {
        let faults = Faults::default();
        for text in texts {
            let window = Window { slots: Arc::new([]), ended: false };
            assert!(faults.add(text.parse().expect(text), window));
        }
        faults
    }

    fn status(faults: &Faults) -> Option<u16> {
        faults.strike(&VIDEO).map(|strike| strike.fault.status().as_u16())
    }

    #[tokio::test(start_paused = true)]
    async fn each_has_its_time_and_the_first_comes_first() {
        let faults = faults([
            r#"{"status":500,"playlists":[7]}"#,
            r#"{"status":502,"for":"7s"}"#,
            r#"{"status":504}"#,
        ]);
        assert_eq!(status(&faults), Some(502));
        tokio::time::advance(Duration::from_millis(6999)).await;
        assert_eq!(status(&faults), Some(502));
        let told = serde_json::to_value(faults.list()).expect("JSON");
        assert_eq!(
            (&told[1]["struck"], &told[1]["ends_in_ms"], &told[1]["for"]),
            (&2.into(), &1.into(), &"7s".into())
        );
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!((status(&faults), faults.list().len()), (Some(504), 2));
        faults.clear();
        assert_eq!((status(&faults), faults.list().len()), (None, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn each_strikes_as_often_as_it_was_told() {
        let faults = faults([r#"{"status":502,"count":2}"#]);
        assert_eq!([status(&faults), status(&faults), status(&faults)], [Some(502), Some(502), None]);
        assert!(faults.list().is_empty() && !faults.any.load(Ordering::Relaxed));
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_a_rate_requests_are_throttled() {
        let faults = faults([r#"{"kind":"throttle","above":2,"playlists":"media"}"#]);
        let throttled = || faults.throttles(&VIDEO).is_some();
        assert!(faults.throttles(&Asked { sought: Sought::Multivariant, ..VIDEO }).is_none());
        assert_eq!([throttled(), throttled(), throttled()], [false, false, true]);
        assert_eq!(status(&faults), None);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!throttled());
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_room_for_so_many() {
        let faults = faults([r#"{"status":502}"#; MOST]);
        let window = Window { slots: Arc::new([]), ended: false };
        assert!(!faults.add(r#"{"status":502}"#.parse().expect("a fault"), window));
        // One whose end is beyond the clock's has none.
        faults.clear();
        let window = Window { slots: Arc::new([]), ended: false };
        assert!(faults.add(r#"{"status":502,"for":"500000000000years"}"#.parse().expect("a fault"), window));
        assert_eq!(status(&faults), Some(502));
    }
}
