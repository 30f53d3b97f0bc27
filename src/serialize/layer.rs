use std::{fmt, sync::Arc};

use tokio_util::task::TaskTracker;
use tower_layer::Layer;

use super::{Config, Serialize, repeats::Repeats};
use crate::{
    lane::Lanes,
    lease::Leases,
    session::{MediaTailor, SessionKey},
};

/// Puts every session of an inner service into one lane; see the [module](super).
///
/// A clone, and every service that is made by one layer, shares the same lanes.
pub struct SerializeLayer<E = MediaTailor> {
    state: Arc<State>,
    extract: Arc<E>,
}

/// What all services of a layer share.
#[derive(Debug)]
pub(super) struct State {
    pub(super) config: Config,
    pub(super) lanes: Lanes<SessionKey>,
    pub(super) repeats: Arc<Repeats>,
    pub(super) exchanges: TaskTracker,
    /// Where turns are agreed with other instances.
    pub(super) leases: Option<Leases>,
}

// === impl SerializeLayer ===

impl SerializeLayer {
    /// MediaTailor's URLs, the default [`Config`].
    pub fn new() -> Self {
        Self::with(Config::default())
    }

    /// MediaTailor's URLs, another [`Config`].
    pub fn with(config: Config) -> Self {
        let exchanges = TaskTracker::new();
        // Closed, it can still track: that only lets `drained` resolve whenever it is empty.
        exchanges.close();
        let lanes = Lanes::new(config.limits.clone());
        let state = State { config, lanes, repeats: Arc::new(Repeats::new()), exchanges, leases: None };
        Self { state: Arc::new(state), extract: Arc::new(MediaTailor::new()) }
    }
}

impl<E> SerializeLayer<E> {
    /// The same lanes and exchanges under another [`Config`], for requests from now on.
    #[must_use]
    pub fn reconfigured(&self, config: Config) -> Self {
        let lanes = self.state.lanes.with_limits(config.limits.clone());
        self.with_state(State { config, lanes, ..self.state.again() })
    }

    /// The same lanes, whose turns are agreed with other instances from now on, or no more.
    #[must_use]
    pub fn leased(&self, leases: Option<Leases>) -> Self {
        self.with_state(State { leases, ..self.state.again() })
    }

    fn with_state(&self, state: State) -> Self {
        Self { state: Arc::new(state), extract: Arc::clone(&self.extract) }
    }

    /// Finds the session by another [`Extract`](crate::session::Extract).
    #[must_use]
    pub fn extract_with<X>(self, extract: X) -> SerializeLayer<X> {
        SerializeLayer { state: self.state, extract: Arc::new(extract) }
    }

    /// The lanes, to look at: how many there are and how many requests wait.
    pub fn lanes(&self) -> &Lanes<SessionKey> {
        &self.state.lanes
    }

    /// Where turns are agreed with other instances, if they are.
    pub fn leases(&self) -> Option<&Leases> {
        self.state.leases.as_ref()
    }

    /// How many exchanges wait for their turn, are in flight or drain.
    pub fn exchanges(&self) -> usize {
        self.state.exchanges.len()
    }

    /// Resolves once no exchange waits, is in flight or drains. For shutdown: stop to take requests, then wait
    /// for this as long as you can afford.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops nothing; call it again to go on waiting.
    pub async fn drained(&self) {
        self.state.exchanges.wait().await;
    }

    /// Refuses new requests of sessions and ends the wait of those in line, with
    /// [`Closed`](super::ErrorKind::Closed). What is in flight runs to its end.
    pub fn close(&self) {
        self.state.lanes.close();
    }
}

// === impl State ===

impl State {
    /// The same once more.
    fn again(&self) -> Self {
        let Self { config, lanes, repeats, exchanges, leases } = self;
        Self {
            config: config.clone(),
            lanes: lanes.with_limits(config.limits.clone()),
            repeats: Arc::clone(repeats),
            exchanges: exchanges.clone(),
            leases: leases.clone(),
        }
    }
}

impl Default for SerializeLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<E> Clone for SerializeLayer<E> {
    fn clone(&self) -> Self {
        Self { state: Arc::clone(&self.state), extract: Arc::clone(&self.extract) }
    }
}

impl<E> fmt::Debug for SerializeLayer<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SerializeLayer").field("state", &self.state).finish_non_exhaustive()
    }
}

impl<S, E> Layer<S> for SerializeLayer<E> {
    type Service = Serialize<S, E>;

    fn layer(&self, inner: S) -> Self::Service {
        Serialize::new(inner, Arc::clone(&self.state), Arc::clone(&self.extract))
    }
}
