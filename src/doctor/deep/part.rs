//! Which requests of a session take part in conflicts besides media playlists.

use http::{Uri, uri::PathAndQuery};
use tokio::time::sleep;

use super::{Deep, Finding, Stop};
use crate::{
    doctor::answer::Answer,
    session::{Kind, Route},
};

/// The most pairs, in either order by turns.
const PAIRS: usize = 4;

// === impl Deep ===

impl Deep<'_> {
    pub(super) async fn tracking(&mut self) -> Result<(), Stop> {
        let path = self.one.path().rsplit_once('/').and_then(|(session, _)| {
            let (before, after) = session.rsplit_once("/v1/manifest/")?;
            Some(format!("{before}/v1/tracking/{after}"))
        });
        self.answers.tracking = self.part("tracking", path, "tracking requests").await?;
        Ok(())
    }

    pub(super) async fn multivariant(&mut self, first: &Answer) -> Result<(), Stop> {
        let (path, query) = (first.url.path(), first.url.query());
        let route = Route::of(path, query);
        let own = Route::of(self.one.path(), self.one.query()).session;
        let target = match (route.kind, route.session, own) {
            (Kind::Multivariant, Some(_), _) => first.url.path_and_query().map(ToString::to_string),
            (Kind::Multivariant, None, Some(own)) => Some(match query {
                Some(query) => format!("{path}?{query}&aws.sessionId={own}"),
                None => format!("{path}?aws.sessionId={own}"),
            }),
            _ => None,
        };
        self.answers.multivariant = self.part("multivariant", target, "multivariant playlists").await?;
        Ok(())
    }

    /// Whether what has this path and query conflicts with a media playlist; `None` where that cannot be told.
    async fn part(
        &mut self,
        check: &'static str,
        target: Option<String>,
        what: &str,
    ) -> Result<Option<bool>, Stop> {
        let mut parts = self.one.clone().into_parts();
        let target = target.and_then(|target| target.parse::<PathAndQuery>().ok());
        let Some(target) = target else {
            let why = format!("not looked at: the URL does not tell where the session has its {what}");
            self.findings.push(Finding::note(check, why));
            return Ok(None);
        };
        parts.path_and_query = Some(target);
        let Ok(url) = Uri::from_parts(parts) else { return Ok(None) };
        sleep(self.calm).await;
        let alone = self.visits.get_plain(&url).await?;
        if !alone.status().is_success() {
            let why = format!("not looked at: by itself it is answered with {}", alone.status());
            self.findings.push(Finding::note(check, why));
            return Ok(None);
        }
        for nth in 0..PAIRS {
            let order = if nth % 2 == 0 { [self.one, &url] } else { [&url, self.one] };
            let [first, second] = self.pair(order[0], order[1]).await?;
            if self.conflicts(&first.answer) | self.conflicts(&second.answer) {
                self.findings.push(Finding::note(check, format!("{what} conflict with playlists")));
                return Ok(Some(true));
            }
        }
        let saw = format!("{what} do not conflict with playlists: {PAIRS} times at once");
        self.findings.push(Finding::ok(check, saw));
        Ok(Some(false))
    }
}
