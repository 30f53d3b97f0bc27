use http::StatusCode;

/// What a player gets where there is a certain verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    status: StatusCode,
    retry_after: Option<u32>,
}

/// A rule that would do players harm, or a verdict that has none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadRule(pub(super) String);

/// Statuses that players take for something else, or give up on at once.
const HARMFUL: [u16; 2] = [409, 429];

// === impl Rule ===

impl Rule {
    /// With this status.
    ///
    /// # Errors
    ///
    /// When it is no 4xx or 5xx, or 409 or 429, at which hls.js gives up at once.
    pub fn status(status: StatusCode) -> Result<Self, BadRule> {
        let code = status.as_u16();
        if !(400..600).contains(&code) || HARMFUL.contains(&code) {
            return Err(BadRule(format!(
                "status {code} is not for an error that players survive; allowed are 400 to 599 without 409 and 429"
            )));
        }
        Ok(Self { status, retry_after: None })
    }

    /// And this `Retry-After`, in seconds. Default: none; hardly a player heeds it.
    #[must_use]
    pub fn retry_after(self, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// The status.
    pub fn to_status(self) -> StatusCode {
        self.status
    }

    /// The `Retry-After`, in seconds.
    pub fn to_retry_after(self) -> Option<u32> {
        self.retry_after
    }

    pub(super) const fn fixed(status: StatusCode) -> Self {
        Self { status, retry_after: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_that_do_harm_are_refused() {
        let rule = |code| Rule::status(StatusCode::from_u16(code).expect("a status"));
        for code in [100, 200, 202, 204, 302, 399, 409, 429, 600, 999] {
            let error = rule(code).expect_err("harmful").to_string();
            assert!(error.contains(&code.to_string()) && error.contains("400 to 599"), "{error}");
        }
        for code in [400, 404, 410, 500, 502, 503, 504, 599] {
            assert_eq!(rule(code).map(|rule| rule.to_status().as_u16()), Ok(code));
        }
    }
}
