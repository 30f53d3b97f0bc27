use http::StatusCode;

use super::{BadRule, Rule};
use crate::upstream::Verdict;

/// What players get, by verdict.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// Whether answers of the upstream are remapped at all. Default: [`Profile::Survive`].
    pub profile: Profile,
    /// By the verdict's place in [`Verdict::ALL`]; `None` where the answer's own status stays.
    rules: [Option<Rule>; Verdict::ALL.len()],
}

/// What becomes of an answer of the upstream that is no playlist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Profile {
    /// It is replaced by one that players survive.
    #[default]
    Survive,
    /// It stays as it came, status and body. What the upstream says in it names the origin and the account.
    Transparent,
}

// === impl Config ===

impl Config {
    /// Sets [`profile`](Self::profile).
    #[must_use]
    pub fn profile(self, profile: Profile) -> Self {
        Self { profile, ..self }
    }

    /// Sets what players get at a verdict.
    ///
    /// # Errors
    ///
    /// When the verdict's answers are never remapped: those of [`Verdict::Playlist`] and [`Verdict::Passed`].
    pub fn rule(mut self, verdict: Verdict, rule: Rule) -> Result<Self, BadRule> {
        if matches!(verdict, Verdict::Playlist | Verdict::Passed) {
            let name = verdict.as_str();
            return Err(BadRule(format!("{name} is passed on as it came and has no rule; leave it out")));
        }
        self.rules[verdict as usize] = Some(rule);
        Ok(self)
    }

    /// What players get at a verdict; `None` where the answer's own status stays.
    pub fn of(&self, verdict: Verdict) -> Option<Rule> {
        self.rules[verdict as usize]
    }
}

impl Default for Config {
    fn default() -> Self {
        let rules = std::array::from_fn(|place| {
            Some(Rule::fixed(match Verdict::ALL[place] {
                Verdict::Playlist | Verdict::Passed | Verdict::Failed => return None,
                // hls.js tries again after both, and Media3 keeps the rendition.
                Verdict::TimedOut | Verdict::LaneFull => StatusCode::GATEWAY_TIMEOUT,
                Verdict::Conflict
                | Verdict::Misaddressed
                | Verdict::Throttled
                | Verdict::HeldBack
                | Verdict::Overloaded
                | Verdict::OriginBroken
                | Verdict::Unreachable
                | Verdict::NotPlaylist => StatusCode::BAD_GATEWAY,
                // Final, so that the app starts anew.
                Verdict::SessionLost | Verdict::NotFound => StatusCode::NOT_FOUND,
                Verdict::Blocked => StatusCode::GONE,
                Verdict::Denied => StatusCode::FORBIDDEN,
                Verdict::BadRequest | Verdict::MalformedSession | Verdict::Incomplete => {
                    StatusCode::BAD_REQUEST
                }
                Verdict::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
            }))
        });
        Self { profile: Profile::default(), rules }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_passed_on_has_no_rule() {
        let rule = Rule::fixed(StatusCode::BAD_GATEWAY);
        for verdict in [Verdict::Playlist, Verdict::Passed] {
            let error = Config::default().rule(verdict, rule).expect_err("no rule").to_string();
            assert!(error.contains(verdict.as_str()) && error.contains("leave it out"), "{error}");
        }
        assert!(Config::default().rule(Verdict::Failed, rule).is_ok());
    }

    #[test]
    fn the_defaults_are_those_of_the_documentation() {
        let table = include_str!("../../docs/errors.md");
        for &verdict in Verdict::ALL {
            let name = verdict.as_str();
            let row = table.lines().find(|line| line.starts_with(&format!("| [{name}]"))).expect(name);
            let said = row.split('|').nth(2).expect("a column").trim();
            match Config::default().of(verdict) {
                Some(rule) => assert_eq!(said, rule.to_status().as_str(), "{name}"),
                None => assert!(said.contains("as it came"), "{name}: {said}"),
            }
        }
    }
}
