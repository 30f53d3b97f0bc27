use std::{error::Error, time::Duration};

use aws_config::{
    BehaviorVersion, environment::EnvironmentVariableRegionProvider, imds, meta::region::ProvideRegion as _,
    profile::ProfileFileRegionProvider, provider_config::ProviderConfig, timeout::TimeoutConfig,
};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_mediatailor::{
    Client,
    config::{Credentials, ProvideCredentials as _, Region, SharedHttpClient},
    error::{ProvideErrorMetadata as _, SdkError},
    operation::get_playback_configuration::GetPlaybackConfigurationError,
};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use http::Uri;
use tokio::time::{Instant, timeout_at};

use super::{Configuration, Named, Refusal};
use crate::sidecar::Upstream;

/// MediaTailor's API, to be asked within a time: for credentials and all answers together.
#[derive(Debug)]
pub(crate) struct Api {
    client: SharedHttpClient,
    until: Instant,
    /// Once they are known.
    credentials: Option<Credentials>,
}

/// How long it may take, all in all.
const WITHIN: Duration = Duration::from_secs(10);

/// How long one request may take: time for another is left.
const ATTEMPT_WITHIN: Duration = Duration::from_secs(4);

/// How long the instance's own address may take to say that it has a role: a machine that is no instance
/// has nobody there.
const INSTANCE_WITHIN: Duration = Duration::from_secs(1);

/// Codes of AWS that mean the credentials themselves.
const NOT_ACCEPTED: [&str; 9] = [
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];

// === impl Api ===

impl Api {
    /// The clock starts here.
    pub(crate) fn new() -> Self {
        let client = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        Self { client, until: Instant::now() + WITHIN, credentials: None }
    }

    /// Asks what a playback configuration is (`GetPlaybackConfiguration`), with the credentials and the
    /// endpoint that AWS's own variables and files name, and this instance's or task's role.
    ///
    /// # Errors
    ///
    /// When it did not say so in time, and why.
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed by it.
    pub(crate) async fn get(&mut self, named: &Named) -> Result<Configuration, Refusal> {
        let region = self.region(named).await?;
        let credentials = self.credentials(&region).await?;
        let asked = timeout_at(self.until, self.ask(named, &region, credentials)).await;
        let late =
            |_| Err(Refusal::unreachable(region.as_ref(), &format!("no answer in {} s", WITHIN.as_secs())));
        asked.unwrap_or_else(late)
    }

    /// The scheme and host that its players use.
    ///
    /// # Errors
    ///
    /// As for [`get`](Self::get), and where it has none.
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed by it.
    pub(crate) async fn endpoint(&mut self, named: &Named) -> Result<Upstream, Refusal> {
        let Configuration { endpoint, manifests, .. } = self.get(named).await?;
        let prefix = endpoint.or(manifests).unwrap_or_default();
        let url: Option<Uri> = prefix.parse().ok();
        let place = url.and_then(|url| Some(format!("{}://{}", url.scheme_str()?, url.authority()?)));
        let upstream = place.unwrap_or_default().parse();
        upstream
            .map_err(|_| Refusal::failed(&format!("its PlaybackEndpointPrefix, {prefix:?}, is no endpoint")))
    }

    async fn region(&self, named: &Named) -> Result<Region, Refusal> {
        if let Some(region) = &named.region {
            return Ok(Region::new(region.clone()));
        }
        // The instance is not asked: AWS's own command line does not either, and a laptop would wait for nobody.
        let of_environment = EnvironmentVariableRegionProvider::new().region().await;
        let region = match of_environment {
            Some(region) => Some(region),
            None => ProfileFileRegionProvider::new().region().await,
        };
        region.filter(|region| super::region(region.as_ref()).is_ok()).ok_or_else(Refusal::no_region)
    }

    async fn credentials(&mut self, region: &Region) -> Result<Credentials, Refusal> {
        if let Some(credentials) = &self.credentials {
            return Ok(credentials.clone());
        }
        let config = ProviderConfig::without_region()
            .with_http_client(self.client.clone())
            .with_region(Some(region.clone()));
        let instance = imds::Client::builder()
            .configure(&config)
            .connect_timeout(INSTANCE_WITHIN)
            .read_timeout(INSTANCE_WITHIN)
            .operation_timeout(INSTANCE_WITHIN * 3)
            .max_attempts(2)
            .build();
        let chain = aws_config::default_provider::credentials::DefaultCredentialsChain::builder()
            .imds_client(instance)
            .configure(config)
            .region(region.clone());
        let provided =
            timeout_at(self.until, async { chain.build().await.provide_credentials().await }).await;
        let credentials = match provided {
            Ok(Ok(credentials)) => credentials,
            Ok(Err(error)) => return Err(no_credentials(&error)),
            Err(_) => return Err(Refusal::slow_credentials(WITHIN)),
        };
        self.credentials = Some(credentials.clone());
        Ok(credentials)
    }

    async fn ask(
        &self,
        named: &Named,
        region: &Region,
        credentials: Credentials,
    ) -> Result<Configuration, Refusal> {
        let config = aws_config::defaults(BehaviorVersion::latest())
            .http_client(self.client.clone())
            .region(region.clone())
            .credentials_provider(credentials)
            .timeout_config(TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT_WITHIN).build())
            .load()
            .await;
        let told = Client::new(&config).get_playback_configuration().name(&named.name).send().await;
        let told = told.map_err(|error| refusal(&error, region.as_ref()))?;
        Ok(Configuration::of(told, named, region.to_string()))
    }
}

fn no_credentials(error: &CredentialsError) -> Refusal {
    let (why, profile) = (chain(error), std::env::var("AWS_PROFILE").ok());
    // The instance's address is the last that is asked: whoever has nothing else, and no instance, comes by here.
    match error {
        CredentialsError::CredentialsNotLoaded(_) => Refusal::no_credentials(profile.as_deref()),
        _ if why.contains("IMDS") => Refusal::no_credentials(profile.as_deref()).said(&why),
        _ => Refusal::bad_credentials().said(&why),
    }
}

fn refusal(error: &SdkError<GetPlaybackConfigurationError>, region: &str) -> Refusal {
    let SdkError::ServiceError(told) = error else {
        return match error {
            SdkError::ResponseError(_) => Refusal::failed("its answer cannot be read").said(&chain(error)),
            SdkError::ConstructionFailure(_) => Refusal::failed("it cannot be asked").said(&chain(error)),
            _ => Refusal::unreachable(region, &root(error)),
        };
    };
    let status = told.raw().status().as_u16();
    let code = told.err().code().unwrap_or_default();
    let name = if code.is_empty() { status.to_string() } else { code.to_owned() };
    let refusal = match status {
        _ if NOT_ACCEPTED.contains(&code) => Refusal::not_accepted(&name),
        _ if code == "NotFoundException" => Refusal::unknown(region),
        404 => Refusal::unknown(region),
        429 => Refusal::throttled(&name),
        _ if code.starts_with("TooManyRequests") || code.starts_with("Throttl") => Refusal::throttled(&name),
        401 | 403 => Refusal::denied(&name),
        200..=299 => Refusal::failed("its answer cannot be read"),
        _ => Refusal::failed(format!("it answers {status} {code}").trim_end()),
    };
    refusal.said(told.err().message().unwrap_or_default())
}

/// What an error says, and what is behind it.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !said.contains(&more) {
            said = format!("{said}: {more}");
        }
        source = error.source();
    }
    said
}

/// What is at the bottom of it.
fn root(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
