use http::Uri;

use crate::{api::Configuration, doctor::finding::Finding, session::Route};

/// What the configuration says that players and onelane have to do with.
pub(super) fn findings(url: &Uri, configuration: &Configuration) -> Vec<Finding> {
    let all = [
        viewer(url, configuration),
        configuration.guided.then(guided),
        configuration.preroll.then(preroll),
        segments(url, configuration),
        aliases(configuration),
        logs(configuration),
    ];
    all.into_iter().flatten().collect()
}

/// Somebody's own URL, which others cannot play.
fn viewer(url: &Uri, configuration: &Configuration) -> Option<Finding> {
    Route::of(url.path(), url.query()).session?;
    let prefix = configuration.manifests.as_deref().unwrap_or_default();
    let saw = "the URL is of one viewer's session: it ends with that, and two who play it conflict";
    Some(
        Finding::note("viewer", saw)
            .remedy(format!("give players {prefix}<asset>, which makes each a session")),
    )
}

fn guided() -> Finding {
    let saw = "players may choose to be guided to ads: their playlists, /v1/i-media/*, are for all viewers, and pass onelane without a lane";
    Finding::note("insertion", saw).remedy(
        "let the CDN keep /v1/i-media/* for half a segment, unless sessions set aws.guidedPrefetchMode",
    )
}

fn preroll() -> Finding {
    let saw =
        "sessions of live streams begin with ads: the ad server is asked before the first playlist comes";
    Finding::note("preroll", saw)
        .remedy("where first playlists are late, see AdDecisionServer.Latency in CloudWatch; players wait for --answer-within")
}

/// Where segments come from where playlists do.
fn segments(url: &Uri, configuration: &Configuration) -> Option<Finding> {
    let content = configuration.content.as_deref()?;
    let here = content.starts_with('/') && !content.starts_with("//")
        || content
            .parse::<Uri>()
            .is_ok_and(|content| content.host().is_some() && content.host() == url.host());
    let saw = format!("segments of content are at {content}, on the host that serves playlists");
    here.then(|| {
        Finding::note("segments", saw)
            .remedy("let the CDN send these to the origin, and /v1/* alone to onelane")
    })
}

fn aliases(configuration: &Configuration) -> Option<Finding> {
    let names: Vec<_> =
        configuration.aliases.iter().map(|name| name.trim_start_matches("player_params.")).collect();
    let saw = format!(
        "the configuration has lists of values for {}: a session with another gets 400",
        names.join(", ")
    );
    (!names.is_empty()).then(|| {
        Finding::note("aliases", saw)
            .remedy("see that players send, as playerParams, values that ConfigurationAliases has")
    })
}

fn logs(configuration: &Configuration) -> Option<Finding> {
    let saw = match configuration.logged? {
        100.. => {
            return Some(Finding::ok(
                "logs",
                "every session is logged at AWS, with the request ids of onelane's log",
            ));
        }
        part => format!(
            "AWS logs {part} % of sessions: request ids in onelane's log are not found there for the others"
        ),
    };
    Some(Finding::note("logs", saw).remedy(format!(
        "to look into one: aws mediatailor configure-logs-for-playback-configuration --percent-enabled 100 --playback-configuration-name {} --region {}",
        configuration.name, configuration.region
    )))
}
