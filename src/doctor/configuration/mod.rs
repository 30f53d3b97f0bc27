//! `--configuration`: whether the URL is of that playback configuration, and what the configuration says that
//! matters to players and to onelane.

mod address;
mod settings;

use http::Uri;

use self::address::{compared, service};
use super::finding::Finding;
use crate::api::{Api, Named, Reason};

/// The name of what is found of the URL and the configuration.
const CHECK: &str = "configured";

/// Asks MediaTailor's API, once; what comes of it is among the findings, whatever it is.
///
/// # Cancel safety
///
/// Nothing is changed by it.
pub(super) async fn findings(url: &Uri, name: String, region: Option<String>) -> Vec<Finding> {
    // The URL knows better than variables that are for something else.
    let of_url = || url.host().and_then(service).map(|service| service.region.to_owned());
    let named = Named { name, region: region.or_else(of_url) };
    let configuration = match Api::new().get(&named).await {
        Ok(configuration) => configuration,
        Err(refusal) => {
            // Reports are pasted into tickets, and the words of AWS name who asks.
            if !refusal.words().is_empty() {
                tracing::warn!(said = refusal.words(), "AWS");
            }
            let saw = format!("{named}: {}", refusal.saw());
            let told = match refusal.reason {
                Reason::Unknown => Finding::error(CHECK, saw),
                Reason::Silent => Finding::warning(CHECK, saw),
            };
            return vec![told.remedy(refusal.remedy())];
        }
    };
    let mut findings = vec![compared(url, &configuration)];
    findings.extend(settings::findings(url, &configuration));
    findings
}
