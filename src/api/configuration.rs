use aws_sdk_mediatailor::{
    operation::get_playback_configuration::GetPlaybackConfigurationOutput, types::InsertionMode,
};

use super::Named;

/// What MediaTailor's API says of a playback configuration, as far as it matters to players and to onelane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Configuration {
    pub(crate) name: String,
    pub(crate) region: String,
    /// Scheme and host: `PlaybackEndpointPrefix`.
    pub(crate) endpoint: Option<String>,
    /// Where players load HLS, up to the asset: `HlsConfiguration.ManifestEndpointPrefix`.
    pub(crate) manifests: Option<String>,
    /// Where they create a session: `SessionInitializationEndpointPrefix`.
    pub(crate) sessions: Option<String>,
    /// Whether players may choose to be guided to ads.
    pub(crate) guided: bool,
    /// Whether sessions of live streams begin with ads.
    pub(crate) preroll: bool,
    /// The part of sessions that are logged, in percent.
    pub(crate) logged: Option<i32>,
    /// What segments of content are loaded from: `CdnConfiguration.ContentSegmentUrlPrefix`.
    pub(crate) content: Option<String>,
    /// The parameters of players for which there is a list of values.
    pub(crate) aliases: Vec<String>,
}

// === impl Configuration ===

impl Configuration {
    pub(super) fn of(told: GetPlaybackConfigurationOutput, named: &Named, region: String) -> Self {
        // It may be shown on a terminal.
        let plain =
            |text: String| text.chars().filter(|character| !character.is_control()).collect::<String>();
        let some = |text: Option<String>| text.map(plain).filter(|text| !text.is_empty());
        let preroll = told.live_pre_roll_configuration.and_then(|preroll| preroll.ad_decision_server_url);
        let mut aliases: Vec<_> =
            told.configuration_aliases.unwrap_or_default().into_keys().map(plain).collect();
        aliases.sort_unstable();
        Self {
            name: named.name.clone(),
            region,
            endpoint: some(told.playback_endpoint_prefix),
            manifests: some(told.hls_configuration.and_then(|hls| hls.manifest_endpoint_prefix)),
            sessions: some(told.session_initialization_endpoint_prefix),
            guided: told.insertion_mode == InsertionMode::PlayerSelect,
            preroll: some(preroll).is_some(),
            logged: told.log_configuration.map(|log| log.percent_enabled),
            content: some(told.cdn_configuration.and_then(|cdn| cdn.content_segment_url_prefix)),
            aliases,
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_mediatailor::types::{CdnConfiguration, HlsConfiguration};

    use super::*;

    #[test]
    fn what_is_not_said_is_nothing_and_nothing_commands_a_terminal() {
        let named = Named { name: "News".to_owned(), region: None };
        let told = GetPlaybackConfigurationOutput::builder()
            .playback_endpoint_prefix("https://a.example")
            .session_initialization_endpoint_prefix("")
            .hls_configuration(HlsConfiguration::builder().build())
            .cdn_configuration(CdnConfiguration::builder().content_segment_url_prefix("/\u{1b}[31m").build())
            .configuration_aliases("player_params.\nb", Default::default())
            .configuration_aliases("player_params.a", Default::default());
        let known = Configuration::of(told.build(), &named, "eu-west-1".to_owned());
        let aliases = ["player_params.a", "player_params.b"].map(str::to_owned).into();
        let expected = Configuration {
            name: "News".to_owned(),
            region: "eu-west-1".to_owned(),
            endpoint: Some("https://a.example".to_owned()),
            manifests: None,
            sessions: None,
            guided: false,
            preroll: false,
            logged: None,
            content: Some("/[31m".to_owned()),
            aliases,
        };
        assert_eq!(known, expected);
    }
}
