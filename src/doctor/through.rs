//! The same, with onelane in between.

use std::net::SocketAddr;

use http::{Uri, uri::PathAndQuery};
use tokio::sync::oneshot;

use super::{
    examine::{Examination, PAIRS},
    finding::Finding,
};
use crate::{
    rescue::RESCUE,
    session::{Route, ShownPath},
    sidecar::{Config, Sidecar},
};

// === impl Examination ===

impl Examination {
    /// The same playlists at once, through a onelane in this process.
    pub(super) async fn through_onelane(&mut self, url: &Uri, playlists: &[Uri]) {
        let known = Route::of(playlists[0].path(), playlists[0].query()).session.is_some();
        let upstream = format!(
            "{}://{}",
            playlists[0].scheme_str().unwrap_or("https"),
            playlists[0].authority().map(ToString::to_string).unwrap_or_default()
        );
        let upstream = match upstream.parse() {
            _ if !known => return,
            Ok(upstream) => upstream,
            Err(error) => return self.tell(Finding::note("onelane", format!("it is not tried: {error}"))),
        };
        let (one, other) = (&playlists[0], playlists.get(1).unwrap_or(&playlists[0]));
        if (one.scheme(), one.authority()) != (other.scheme(), other.authority()) {
            let saw = "it is not tried: its playlists are at several hosts, and here it is in front of one";
            return self.tell(Finding::note("onelane", saw));
        }
        let mut config = Config::new(upstream);
        config.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        config.admin = config.listen;
        // What it sends again is not counted here: little enough that all remain below the limit.
        config.retry = config.retry.conflict(1).overloaded(0).broken(0);
        let sidecar = match Sidecar::bind(config).await {
            Ok(sidecar) => sidecar,
            Err(error) => {
                return self.tell(Finding::note("onelane", format!("it cannot be tried here: {error}")));
            }
        };
        let here = sidecar.local_addr();
        let through = |url: &Uri| {
            let path = url.path_and_query().map_or("/", PathAndQuery::as_str);
            format!("http://{here}{path}").parse::<Uri>()
        };
        let (Ok(one), Ok(other)) = (through(one), through(other)) else { return };
        let (stop, stopped) = oneshot::channel::<()>();
        let visits = &self.visits;
        let look = async {
            let mut seen = Vec::new();
            for _ in 0..PAIRS {
                let (first, second) = tokio::join!(visits.get_plain(&one), visits.get_plain(&other));
                seen.extend([first, second].map(|answer| {
                    answer.map(|answer| {
                        (answer.status().as_u16(), answer.head.headers.contains_key(RESCUE), answer.took)
                    })
                }));
            }
            drop(stop);
            seen
        };
        let running = sidecar.run(async { drop(stopped.await) });
        let (seen, _) = tokio::join!(look, running);
        let statuses: Vec<_> = seen.iter().filter_map(|answer| Some(answer.as_ref().ok()?.0)).collect();
        let rescued = seen.iter().filter(|answer| matches!(answer, Ok((_, true, _)))).count();
        let slowest =
            seen.iter().filter_map(|answer| Some(answer.as_ref().ok()?.2)).max().unwrap_or_default();
        let all = statuses.len() == seen.len() && statuses.iter().all(|status| *status == 200);
        self.tell(match all && rescued == 0 {
            true => Finding::ok(
                "onelane",
                format!("the same two at once through onelane: 200, in {} ms at most", slowest.as_millis()),
            ),
            false => Finding::warning(
                "onelane",
                format!("through onelane they get {statuses:?}, {rescued} of them the last good one"),
            )
            .remedy(format!(
                "docs/errors.md has what each means; was {} loaded by somebody else as well?",
                ShownPath(url)
            )),
        });
    }
}
