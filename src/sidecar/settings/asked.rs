use crate::sidecar::{Config, Error};
#[cfg(feature = "aws")]
use crate::telemetry::SIDECAR;

// === impl Config ===

#[cfg(feature = "aws")]
impl Config {
    /// The same, with the endpoints of the playback configurations that it names. MediaTailor's API is asked
    /// once for each of them, one after the other, for 10 s all in all.
    ///
    /// # Errors
    ///
    /// When it does not say what one of them is.
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed by it.
    pub(in crate::sidecar) async fn asked(mut self) -> Result<Self, Error> {
        let mut api = crate::api::Api::new();
        let mut known = std::collections::HashMap::new();
        let several = self.sites.iter_mut().map(|site| &mut site.config.upstream);
        for upstream in std::iter::once(&mut self.upstream).chain(several) {
            let Some(named) = upstream.named().cloned() else { continue };
            if !known.contains_key(&named) {
                let endpoint = api.endpoint(&named).await.map_err(|why| Error::not_told(&named, &why))?;
                tracing::info!(target: SIDECAR, %endpoint, "{named}");
                known.insert(named.clone(), endpoint);
            }
            *upstream = upstream.found(&known[&named]);
        }
        Ok(self)
    }
}

#[cfg(not(feature = "aws"))]
impl Config {
    /// The same: it names no playback configuration in this build.
    #[expect(clippy::unused_async, reason = "the other one has something to wait for")]
    pub(in crate::sidecar) async fn asked(self) -> Result<Self, Error> {
        Ok(self)
    }
}
