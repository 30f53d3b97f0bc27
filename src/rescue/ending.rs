use std::sync::Arc;

use tokio::sync::watch;

/// Whether the process is about to end: what an exchange would bring for later requests is of use to nobody then.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ending(Arc<watch::Sender<bool>>);

// === impl Ending ===

impl Ending {
    /// It is, or after all it is not.
    pub(crate) fn set(&self, is_ending: bool) {
        self.0.send_replace(is_ending);
    }

    /// Resolves once it is.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub(super) async fn begun(&self) {
        let begun = self.0.subscribe().wait_for(|is_ending| *is_ending).await.is_ok();
        debug_assert!(begun, "the sender is held here");
    }
}
