use std::sync::{Arc, Mutex};

use axum::{
    Json, Router,
    extract::Path,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, process::Command};

/// An account as MediaTailor's API shows it: what it says of a playback configuration goes by the name.
///
/// The forms are those that the API reference and AWS's own examples print (`GetPlaybackConfiguration`, restJson1).
#[derive(Debug, Clone)]
pub(crate) struct Account {
    url: String,
    /// Where it says that players go, and with what more.
    says: Arc<Mutex<(String, Value)>>,
    asked: Arc<Mutex<Vec<String>>>,
}

pub(crate) const REGION: &str = "eu-west-1";

/// What the API says where it does not: by the name that is asked for.
const ERRORS: [(&str, u16, &str, &str); 6] = [
    (
        "Denied",
        403,
        "AccessDeniedException",
        "User: arn:aws:iam::123456789012:user/ops is not authorized to perform: mediatailor:GetPlaybackConfiguration",
    ),
    ("Expired", 403, "ExpiredTokenException", "The security token included in the request is expired"),
    ("Gone", 404, "NotFoundException", "Playback configuration not found"),
    ("Busy", 429, "TooManyRequestsException", "Rate exceeded"),
    ("Broken", 500, "InternalServerErrorException", ""),
    ("Odd", 400, "BadRequestException", "two\nlines \u{1b}[31m"),
];

// === impl Account ===

impl Account {
    /// One whose playback configurations are all at this place.
    pub(crate) async fn of(endpoint: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let account =
            Self { url, says: Arc::new(Mutex::new((endpoint.to_owned(), json!({})))), asked: Arc::default() };
        let own = account.clone();
        let answer =
            async move |Path(name): Path<String>, headers: HeaderMap| own.answer(&name, &headers).await;
        let router = Router::new().route("/playbackConfiguration/{name}", get(answer));
        tokio::spawn(async move { axum::serve(listener, router).await });
        account
    }

    /// From now on.
    pub(crate) fn says(&self, endpoint: &str, more: Value) {
        *self.says.lock().expect("whole") = (endpoint.to_owned(), more);
    }

    /// The name and the scope of each request so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("whole").clone()
    }

    /// Sends a command to it, with credentials of nobody.
    pub(crate) fn lead(&self, command: &mut Command) {
        command.env("AWS_ENDPOINT_URL_MEDIATAILOR", &self.url);
        command.env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE").env("AWS_SECRET_ACCESS_KEY", "s3cret");
    }

    async fn answer(&self, name: &str, headers: &HeaderMap) -> Response {
        let signed = headers.get("authorization").and_then(|signed| signed.to_str().ok()).unwrap_or_default();
        let scope = signed.split(['/', ',']).skip(2).take(3).collect::<Vec<_>>().join("/");
        self.asked.lock().expect("whole").push(format!("{name} {scope}"));
        if name == "Hang" {
            std::future::pending::<()>().await;
        }
        if name == "Garbage" {
            return "{".into_response();
        }
        if let Some((_, status, exception, message)) = ERRORS.iter().find(|error| error.0 == name) {
            let status = StatusCode::from_u16(*status).expect("a status");
            return (status, [("x-amzn-ErrorType", *exception)], Json(json!({ "Message": message })))
                .into_response();
        }
        let (endpoint, more) = self.says.lock().expect("whole").clone();
        let mut all = json!({
            "AdDecisionServerUrl": "https://ads.example/vast",
            "CdnConfiguration": {},
            "DashConfiguration": { "ManifestEndpointPrefix": format!("{endpoint}/v1/dash/acct/{name}/"), "MpdLocation": "EMT_DEFAULT" },
            "HlsConfiguration": { "ManifestEndpointPrefix": format!("{endpoint}/v1/master/acct/{name}/") },
            "InsertionMode": "STITCHED_ONLY",
            "LogConfiguration": { "PercentEnabled": 100 },
            "Name": name,
            "PlaybackConfigurationArn": format!("arn:aws:mediatailor:{REGION}:123456789012:playbackConfiguration/{name}"),
            "PlaybackEndpointPrefix": endpoint,
            "SessionInitializationEndpointPrefix": format!("{endpoint}/v1/session/acct/{name}/"),
            "VideoContentSourceUrl": "https://origin.example/out",
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            all[key] = value.clone();
        }
        Json(all).into_response()
    }
}
