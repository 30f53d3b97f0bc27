use std::{fmt, time::Duration};

/// Why MediaTailor's API did not say what a playback configuration is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    /// What was seen.
    saw: String,
    remedy: String,
    /// What the API said, word for word: it may name the account and who asks.
    said: String,
}

/// What kind of reason it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// There is no such configuration, or no region to look for it.
    Unknown,
    /// It could not be asked, or did not tell.
    Silent,
}

/// How credentials are looked into.
const TRY: &str = "`aws sts get-caller-identity` tries them; `aws sso login` or `aws configure` renews them";

/// What whoever asks must be allowed to do.
const ACTION: &str = "mediatailor:GetPlaybackConfiguration";

// === impl Refusal ===

impl Refusal {
    pub(super) fn new(reason: Reason, saw: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { reason, saw: in_one_line(&saw.into()), remedy: remedy.into(), said: String::new() }
    }

    pub(super) fn no_region() -> Self {
        let remedy = "say which, such as eu-west-1, or set AWS_REGION";
        Self::new(Reason::Unknown, "its region is not known", remedy)
    }

    /// `profile` is the one that `AWS_PROFILE` names.
    pub(super) fn no_credentials(profile: Option<&str>) -> Self {
        let saw = match profile {
            Some(profile) => {
                format!("there are no AWS credentials, neither in the profile {profile:?} nor elsewhere")
            }
            None => "there are no AWS credentials".to_owned(),
        };
        let remedy = format!(
            "set AWS_PROFILE to one that ~/.aws has, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; in AWS give the task or instance a role that allows {ACTION}"
        );
        Self::new(Reason::Silent, saw, remedy)
    }

    /// They are set up, but cannot be had.
    pub(super) fn bad_credentials() -> Self {
        Self::new(Reason::Silent, "the AWS credentials cannot be had", TRY)
    }

    pub(super) fn slow_credentials(within: Duration) -> Self {
        let saw = format!("the AWS credentials do not come within {} s", within.as_secs());
        Self::new(Reason::Silent, saw, TRY)
    }

    pub(super) fn not_accepted(exception: &str) -> Self {
        let remedy = format!("renew them, and see that this machine's clock is right: {TRY}");
        Self::new(Reason::Silent, format!("the AWS credentials are not accepted: {exception}"), remedy)
    }

    pub(super) fn denied(exception: &str) -> Self {
        let remedy = format!("allow {ACTION} to whoever these credentials are of, in IAM");
        Self::new(Reason::Silent, format!("the AWS credentials do not allow to ask: {exception}"), remedy)
    }

    pub(super) fn unknown(region: &str) -> Self {
        let saw = format!("this account has none of that name in {region}");
        let remedy = format!(
            "correct the name or the region, or use the account that has it; `aws mediatailor list-playback-configurations --region {region}` lists them"
        );
        Self::new(Reason::Unknown, saw, remedy)
    }

    pub(super) fn throttled(exception: &str) -> Self {
        let remedy = "try it again in a minute, and see who else asks MediaTailor's API in this account";
        Self::new(Reason::Silent, format!("MediaTailor's API is asked too often: {exception}"), remedy)
    }

    pub(super) fn unreachable(region: &str, why: &str) -> Self {
        if why.contains("certificate") {
            let remedy = "the certificate of the CA that made it belongs among the system's (SSL_CERT_FILE)";
            return Self::new(Reason::Silent, format!("MediaTailor's API is not trusted: {why}"), remedy);
        }
        let remedy = format!(
            "let this machine reach https://api.mediatailor.{region}.amazonaws.com, or correct the region or AWS_ENDPOINT_URL_MEDIATAILOR"
        );
        Self::new(Reason::Silent, format!("MediaTailor's API cannot be reached: {why}"), remedy)
    }

    pub(super) fn failed(what: &str) -> Self {
        let remedy = "try it again, and see https://health.aws.amazon.com; AWS_ENDPOINT_URL_MEDIATAILOR, if it is set, must be the API's";
        Self::new(Reason::Silent, format!("MediaTailor's API did not tell: {what}"), remedy)
    }

    pub(super) fn said(self, said: &str) -> Self {
        Self { said: in_one_line(said), ..self }
    }

    /// What the API or the client said, word for word; it may name the account and who asks.
    pub(crate) fn words(&self) -> &str {
        &self.said
    }

    /// What was seen, without anything that the API said word for word.
    pub(crate) fn saw(&self) -> &str {
        &self.saw
    }

    /// What to do.
    pub(crate) fn remedy(&self) -> &str {
        &self.remedy
    }
}

/// The most that is repeated of what AWS says, in characters.
const TOLD: usize = 400;

fn in_one_line(text: &str) -> String {
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .filter(|c| !c.is_control())
        .take(TOLD)
        .collect()
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { saw, remedy, said, .. } = self;
        match said.is_empty() {
            true => write!(f, "{saw}; {remedy}"),
            false => write!(f, "{saw} ({said}); {remedy}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_one_line_that_says_what_to_do() {
        let denied = Refusal::denied("Access\u{1b}[31mDenied").said("User:\n  x\u{7} may not");
        let told = denied.to_string();
        assert!(told.contains("Access[31mDenied (User: x may not); allow mediatailor:"), "{told}");
        assert!(!told.contains(char::is_control), "{told:?}");
        assert!(Refusal::failed(&"x".repeat(10_000)).to_string().len() < 1_000);
    }

    #[test]
    fn who_is_there_but_not_trusted_is_told_apart_from_who_is_not_there() {
        let told = |why| Refusal::unreachable("eu-west-1", why).to_string();
        assert!(told("invalid peer certificate: UnknownIssuer").contains("SSL_CERT_FILE"));
        assert!(told("Connection refused").contains("https://api.mediatailor.eu-west-1.amazonaws.com"));
    }
}
