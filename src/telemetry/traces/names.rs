//! The names of spans, their events and their fields. They follow OpenTelemetry's semantic conventions for
//! HTTP; what these do not cover begins with `onelane.`.

macro_rules! names {
    ($($(#[doc = $doc:literal])* $id:ident = $name:literal;)*) => {
        $($(#[doc = $doc])* pub const $id: &str = $name;)*
    };
}

names! {
    /// The name of the library that makes the spans, their scope.
    SCOPE = "onelane";

    // Fields by the conventions.
    /// The method, or `_OTHER` for one that HTTP does not name.
    METHOD = "http.request.method";
    /// The request's path, with session ids as short as in logs; absent on segments and on requests that are
    /// not MediaTailor's.
    PATH = "url.path";
    /// The URL upstream, without its query; shortened, or absent, as `url.path` is.
    URL = "url.full";
    /// The upstream's name.
    SERVER = "server.address";
    /// Its port.
    PORT = "server.port";
    /// What the player got, or what the upstream answered in the end.
    STATUS = "http.response.status_code";
    /// How many times a request was sent again; absent where it was not.
    RESENDS = "http.request.resend_count";
    /// What went wrong: a verdict, or the status.
    ERROR = "error.type";
    /// `x-amzn-RequestId`: AWS's logs have the same.
    REQUEST_ID = "aws.request_id";

    // Fields of both spans.
    /// What was asked for, as in logs.
    KIND = "onelane.kind";
    /// The session, shortened as in logs.
    SESSION = "onelane.session";
    /// The playback configuration.
    CONFIGURATION = "onelane.configuration";
    /// What the upstream is called, where there are several.
    UPSTREAM = "onelane.upstream";
    /// What the answer means. On the span of a request: why its answer was made here. On that of an exchange:
    /// what its last attempt met.
    VERDICT = "onelane.verdict";

    // Fields of the request's span.
    /// How long it waited for its turn, in milliseconds.
    WAIT_MS = "onelane.wait_ms";
    /// What the last good playlist bridged, a verdict or `slow`, where the player got that.
    RESCUE = "onelane.rescue";
    /// True where the player left before it had an answer.
    LEFT = "onelane.left";

    // Fields of the exchange's span.
    /// How many times it was sent.
    ATTEMPTS = "onelane.attempts";
    /// How many repeats got its answer as well.
    ATTACHED = "onelane.attached";
    /// True where no player was left for the answer.
    ABANDONED = "onelane.abandoned";
    /// The exception that MediaTailor named.
    EXCEPTION = "onelane.exception";
    /// How long it was until the request was sent again, in milliseconds.
    PAUSE_MS = "onelane.pause_ms";

    // Events of the request's span.
    /// It stands in its session's lane.
    WAITING = "waiting";
    /// Its turn came.
    TURN_GRANTED = "turn granted";
    /// It joined the exchange of another request, which is linked.
    JOINED = "attached";
    /// It was answered for what was known of its session.
    SHIELDED = "shielded";
    /// Its player got the last good playlist.
    RESCUED = "rescued";
    /// Its player got an answer that was made here.
    REMAPPED = "remapped";
    /// Its player left.
    PLAYER_LEFT = "abandoned";

    // Events of the exchange's span.
    /// It went upstream; once for each attempt.
    SENT = "sent";
    /// An attempt was answered.
    ANSWERED = "answered";
    /// An attempt had no answer.
    UNANSWERED = "unanswered";
    /// It will be sent again.
    RETRIED = "retried";
    /// From here on it ran for nobody.
    NOBODY_WAITS = "abandoned";
    /// What ran for nobody has ended.
    DRAINED = "drained";
}
