use std::{mem, sync::Arc, time::Duration};

use bytes::{Buf, Bytes};
use http::{HeaderValue, Method, Request, Response, StatusCode, request::Parts};
use http_body::Body as HttpBody;
use tokio::time::{Instant, timeout};
use tower::{BoxError, ServiceExt as _};
use tower_service::Service;

use super::{
    RESUME, create,
    layer::Shared,
    multivariant::Multivariant,
    numbers::{Numbers, Offer},
    reason::NoResume,
    record::{Learned, Record, StandIn},
    url,
};
use crate::{
    serialize::{Body, collect::is_empty},
    session::{Extract, Kind, SessionKey},
    telemetry,
    upstream::{InPlaceOf, Judgement, Verdict},
};

/// A playlist's request of a session whose creation passed through here.
pub(super) struct Playlist<E> {
    pub(super) shared: Arc<Shared<E>>,
    pub(super) key: SessionKey,
    pub(super) kind: Kind,
    pub(super) record: Arc<Record>,
}

/// Tells of an attempt that is dropped before it has come to anything.
struct CutOff<'a>(Option<&'a SessionKey>);

/// A creation that hangs is given up after this, so that some of the turn is left to tell players that their session is lost: once the
/// whole turn is over, nobody knows it.
const CREATED_WITHIN: Duration = Duration::from_secs(6);

// === impl Playlist ===

impl<E: Extract> Playlist<E> {
    /// The story of one request, within its turn.
    pub(super) async fn answer<S, Q, B>(
        self,
        mut inner: S,
        mut head: Parts,
        body: Q,
    ) -> Result<Response<Body<B>>, BoxError>
    where
        S: Service<Request<Q>, Response = Response<Body<B>>, Error = BoxError> + Clone,
        Q: HttpBody + Default + From<Bytes>,
        B: HttpBody + Unpin,
        B::Data: Buf,
        B::Error: Into<BoxError>,
    {
        if self.kind == Kind::Multivariant {
            return self.multivariant(inner, head, body).await;
        }
        let get = head.method == Method::GET && is_empty(&body);
        let asked = get.then(|| head.clone());
        let stand_in = self.record.stand_in();
        if let Some(stand_in) = &stand_in {
            self.ask_of(&mut head, &stand_in.id).ok_or("no session in the URL")?;
        }
        let response = inner.call(Request::from_parts(head, body)).await?;
        let Some(asked) = asked else { return Ok(response) };
        if is_lost(&response) {
            let began = Instant::now();
            let mut cut_off = CutOff(Some(&self.key));
            let resumed = self.resume(inner, asked).await;
            cut_off.0 = None;
            return Ok(match resumed {
                Ok((resumed, id)) => {
                    telemetry::resumed(&self.key, &id, began.elapsed());
                    resumed
                }
                Err(reason) => {
                    telemetry::not_resumed(&self.key, reason.as_str());
                    response
                }
            });
        }
        Ok(self.learn(response, name(&asked), stand_in.as_ref()))
    }

    /// Never a stand-in's: its children would name that session, and it would be loaded past this lane. Once
    /// there is one it is what it was before, or is not there; the session goes on in either case.
    async fn multivariant<S, Q, B>(
        self,
        mut inner: S,
        head: Parts,
        body: Q,
    ) -> Result<Response<Body<B>>, BoxError>
    where
        S: Service<Request<Q>, Response = Response<Body<B>>, Error = BoxError>,
        Q: HttpBody,
    {
        let is_resumed = self.record.stand_in().is_some();
        if let Some(answer) = is_resumed.then(|| self.record.multivariant(&head)).flatten() {
            return Ok(answer);
        }
        let asked = (head.method == Method::GET && is_empty(&body)).then(|| head.clone());
        let mut response = inner.call(Request::from_parts(head, body)).await?;
        if is_resumed && is_lost(&response) {
            response.extensions_mut().insert(Judgement::from(Verdict::NotFound));
        } else if let Some(offer) = summary(&response).and_then(Offer::of) {
            let largest = self.shared.store.config().largest;
            let offered = asked.and_then(|asked| Multivariant::of(&asked, &response, largest));
            self.record.offers(offer, offered);
            self.shared.store.keep(self.key, self.record);
        }
        Ok(response)
    }

    /// Makes a new session and asks it for the same playlist. Nothing of it gets to the player unless it proves to
    /// continue the lost one.
    async fn resume<S, Q, B>(
        &self,
        inner: S,
        mut asked: Parts,
    ) -> Result<(Response<Body<B>>, SessionKey), NoResume>
    where
        S: Service<Request<Q>, Response = Response<Body<B>>, Error = BoxError> + Clone,
        Q: Default + From<Bytes>,
        B: HttpBody + Unpin,
        B::Data: Buf,
        B::Error: Into<BoxError>,
    {
        let name = name(&asked).to_owned();
        let every = self.shared.store.config().every;
        let leave = self.record.attempt(&name, every, Instant::now())?;
        let Shared { extract, budget, .. } = &*self.shared;
        let fresh = create::again(&self.record.creation, inner.clone(), &**extract, budget);
        let fresh = timeout(CREATED_WITHIN, fresh).await.ok().flatten().ok_or(NoResume::NotCreated)?;
        if fresh.offer != Some(leave.offer) {
            return Err(NoResume::OtherOffer);
        }
        self.ask_of(&mut asked, &fresh.id).ok_or(NoResume::NotLoaded)?;
        let response = inner.oneshot(Request::from_parts(asked, Q::default())).await;
        let mut response = response.map_err(|_| NoResume::NotLoaded)?;
        let numbers = summary(&response).ok_or(NoResume::NotLoaded)?;
        let numbers = Numbers::of(numbers).filter(|numbers| leave.numbers.is_continued_by(numbers));
        let numbers = numbers.ok_or(NoResume::OtherNumbers)?;
        self.record.resume(&fresh.id, &name, numbers, Instant::now());
        self.shared.store.keep(self.key.clone(), Arc::clone(&self.record));
        response.headers_mut().insert(RESUME, HeaderValue::from_static("new-session"));
        Ok((response, fresh.key))
    }

    /// Has another session asked for the same playlist.
    fn ask_of(&self, head: &mut Parts, id: &str) -> Option<()> {
        let uri = url::with_session(&head.uri, self.kind, id)?;
        head.extensions.insert(InPlaceOf(mem::replace(&mut head.uri, uri)));
        Some(())
    }

    /// Takes in what a playlist's numbers are; one of a stand-in that breaks them is not given, and the session is lost
    /// for good.
    fn learn<B>(
        &self,
        mut response: Response<Body<B>>,
        name: &str,
        stand_in: Option<&StandIn>,
    ) -> Response<Body<B>> {
        let learned = match summary(&response) {
            Some(summary) => self.record.learn(name, Numbers::of(summary), stand_in, Instant::now()),
            None => {
                let judgement: Option<&Judgement> = response.extensions().get();
                let unread = judgement.is_none_or(|judgement| judgement.verdict == Verdict::Passed);
                match stand_in {
                    Some(stand_in) if unread && self.record.must_prove(name, stand_in) => Learned::Broken,
                    _ => return response,
                }
            }
        };
        match learned {
            Learned::Known => {}
            Learned::New => self.shared.store.keep(self.key.clone(), Arc::clone(&self.record)),
            Learned::Broken => {
                self.shared.store.forget(&self.key);
                telemetry::not_resumed(&self.key, NoResume::OtherNumbers.as_str());
                return lost();
            }
        }
        if stand_in.is_some() {
            response.headers_mut().insert(RESUME, HeaderValue::from_static("new-session"));
        }
        response
    }
}

// === impl CutOff ===

impl Drop for CutOff<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.0 {
            telemetry::not_resumed(key, NoResume::CutOff.as_str());
        }
    }
}

/// What an answer holds, if it is a playlist that a player can use.
fn summary<B>(response: &Response<B>) -> Option<&crate::upstream::playlist::Summary> {
    let judgement: &Judgement = response.extensions().get()?;
    judgement.summary.as_ref().filter(|_| response.status() == StatusCode::OK)
}

fn is_lost<B>(response: &Response<B>) -> bool {
    let judgement: Option<&Judgement> = response.extensions().get();
    judgement.is_some_and(|judgement| judgement.verdict == Verdict::SessionLost)
}

/// The playlist's name, which it has in every session.
fn name(asked: &Parts) -> &str {
    asked.uri.path().rsplit('/').next().unwrap_or_default()
}

/// An answer as of a session that is lost.
fn lost<B>() -> Response<Body<B>> {
    let mut response = Response::new(Body::from(Bytes::new()));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response.extensions_mut().insert(Judgement::from(Verdict::SessionLost));
    response
}
