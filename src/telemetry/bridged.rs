tokio::task_local! {
    /// Where a request goes on whose player has been given something else.
    static BRIDGED: ();
}

/// A request that goes on although its player has a rescue: what becomes of it is not what the player gets.
pub(crate) async fn bridged<F: Future>(rest: F) -> F::Output {
    BRIDGED.scope((), rest).await
}

/// Whether this is such a request.
pub(super) fn is_here() -> bool {
    BRIDGED.try_with(|()| ()).is_ok()
}
