//! The creation of sessions: the players' own, which is watched, and one in the place of a lost session.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use bytes::{Buf, Bytes};
use http::{Method, Request, Response, StatusCode, Uri, header, request::Parts};
use http_body::Body as HttpBody;
use tokio::time::Instant;
use tower::{
    BoxError, ServiceExt as _,
    retry::{
        backoff::Backoff as _,
        budget::{Budget as _, TpsBudget},
    },
};
use tower_service::Service;

use super::{
    creation::Creation,
    fresh::{Fresh, READ_UP_TO},
    layer::Shared,
    record::Record,
};
use crate::{
    serialize::{
        Body,
        collect::{Collected, collect, is_empty},
    },
    session::{Extract, Kind, Route, name},
    upstream::{BrokenRequest, Judgement, RetryConfig, Verdict},
};

/// No creation is sent later than this after the first of one attempt: some of a turn must be left for the playlist.
const WITHIN: Duration = Duration::from_secs(3);

const LEAST_PAUSE: Duration = Duration::from_millis(250);

const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Sends a player's request that makes a session, and keeps it if it does.
pub(super) async fn watch<S, E, Q, B>(
    shared: Arc<Shared<E>>,
    mut inner: S,
    head: Parts,
    body: Q,
) -> Result<Response<Body<B>>, BoxError>
where
    S: Service<Request<Q>, Response = Response<Body<B>>, Error = BoxError>,
    E: Extract,
    Q: HttpBody + From<Bytes>,
    Q::Data: Buf,
    Q::Error: Into<BoxError>,
    B: HttpBody + Unpin,
    B::Data: Buf,
    B::Error: Into<BoxError>,
{
    let largest = shared.store.config().largest;
    let (creation, body) = if is_empty(&body) {
        (Creation::of(&head, b"", largest), body)
    } else if is_small(&head, largest) {
        let (read, body) = read(body, largest).await?;
        (Creation::of(&head, &read, largest), body)
    } else {
        (None, body)
    };
    let uri = head.uri.clone();
    let response = inner.call(Request::from_parts(head, body)).await?;
    let Some(creation) = creation else { return Ok(response) };
    let (response, fresh) = hear(&uri, response, &*shared.extract).await?;
    if let Some(Fresh { key, offer, .. }) = fresh {
        shared.store.keep(key, Arc::new(Record::new(creation, offer)));
    }
    Ok(response)
}

/// Makes a session as another was made, and loads its multivariant playlist if the answer is none: players do so
/// before they load any other. A creation that fails for what may pass is sent again as long as `budget` and the time suffice: what
/// it may have made expires unused.
pub(super) async fn again<S, E, Q, B>(
    creation: &Creation,
    inner: S,
    extract: &E,
    budget: &TpsBudget,
) -> Option<Fresh>
where
    S: Service<Request<Q>, Response = Response<Body<B>>, Error = BoxError> + Clone,
    E: Extract,
    Q: Default + From<Bytes>,
    B: HttpBody + Unpin,
    B::Data: Buf,
    B::Error: Into<BoxError>,
{
    let began = Instant::now();
    // Their dice are this attempt's own: sessions that are lost together do not meet again.
    let mut pauses = RetryConfig::default().least_pause(LEAST_PAUSE).longest_pause(LONGEST_PAUSE).pauses();
    budget.deposit();
    let (uri, response) = loop {
        let request = named(creation.request::<Q>()?, extract);
        let uri = request.uri().clone();
        match inner.clone().oneshot(request).await {
            Ok(response) if !may_pass(&response) => break (uri, response),
            // What has broken off was sent, and what was not sent was tried for long enough.
            Err(_) => return None,
            Ok(_) => {
                let pause = pauses.next_backoff();
                if pause.deadline() - began > WITHIN || !budget.withdraw() {
                    return None;
                }
                pause.await;
            }
        }
    };
    let (_, fresh) = hear(&uri, response, extract).await.ok()?;
    let fresh = fresh?;
    let Some(multivariant) = fresh.multivariant.clone() else { return Some(fresh) };
    let response = inner.oneshot(named(creation.get(multivariant.clone()), extract)).await.ok()?;
    let (head, body) = response.into_parts();
    let of = Fresh::of_multivariant(&multivariant, &head, body.pieces()?, extract)?;
    (of.key == fresh.key).then_some(of)
}

fn may_pass<B>(response: &Response<B>) -> bool {
    let passes = |judgement: &Judgement| match judgement.verdict {
        Verdict::Conflict | Verdict::Overloaded | Verdict::TimedOut => true,
        Verdict::OriginBroken => !judgement.blames_what_stays(),
        // More of them make throttling worse, and an answer that cannot be read has made a session.
        _ => false,
    };
    response.extensions().get().is_some_and(passes)
}

/// What is made here has not passed the layer that names the session.
fn named<Q>(request: Request<Q>, extract: &impl Extract) -> Request<Q> {
    let (mut head, body) = request.into_parts();
    name(&mut head, extract);
    Request::from_parts(head, body)
}

/// Reads an answer for the session that it has made.
pub(crate) async fn hear<B>(
    uri: &Uri,
    response: Response<Body<B>>,
    extract: &(impl Extract + ?Sized),
) -> Result<(Response<Body<B>>, Option<Fresh>), BoxError>
where
    B: HttpBody + Unpin,
    B::Data: Buf,
    B::Error: Into<BoxError>,
{
    let (head, mut body) = response.into_parts();
    if Route::of(uri.path(), uri.query()).kind == Kind::Multivariant {
        let pieces = body.pieces().filter(|_| head.status == StatusCode::OK);
        let fresh = pieces.and_then(|pieces| Fresh::of_multivariant(uri, &head, pieces, extract));
        return Ok((Response::from_parts(head, body), fresh));
    }
    if !head.status.is_success() {
        return Ok((Response::from_parts(head, body), None));
    }
    let (body, fresh) = match collect(Pin::new(&mut body), READ_UP_TO).await? {
        Collected::Whole(whole) => {
            let fresh = Fresh::of_creation(uri, &head, &whole.data, extract);
            (Body::whole(whole), fresh)
        }
        Collected::TooLarge(read) => (body.after(read), None),
    };
    Ok((Response::from_parts(head, body), fresh))
}

/// Whether a body may be read before it is sent: it says that it is short.
fn is_small(head: &Parts, largest: usize) -> bool {
    let length = head.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    head.method == Method::POST
        && length.and_then(|length| length.parse().ok()).is_some_and(|length: usize| length <= largest)
}

/// The whole of a body that has said to be short, and the same to send.
async fn read<Q>(body: Q, largest: usize) -> Result<(Bytes, Q), BoxError>
where
    Q: HttpBody + From<Bytes>,
    Q::Data: Buf,
    Q::Error: Into<BoxError>,
{
    match collect(pin!(body), largest).await.map_err(|error| BrokenRequest(error.into()))? {
        Collected::Whole(whole) => {
            let mut read = Vec::with_capacity(whole.data.iter().map(Bytes::len).sum());
            whole.data.iter().for_each(|piece| read.extend_from_slice(piece));
            let read = Bytes::from(read);
            Ok((read.clone(), Q::from(read)))
        }
        Collected::TooLarge(_) => {
            Err(BrokenRequest("its body is longer than its Content-Length".into()).into())
        }
    }
}
