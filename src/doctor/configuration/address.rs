use http::{Uri, uri::Authority};
use percent_encoding::percent_decode_str;

use super::CHECK;
use crate::{
    api::Configuration,
    doctor::{finding::Finding, shown::Shown},
    session::{Route, ShownPath},
};

/// A host of MediaTailor's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Service<'a> {
    /// What stands before `mediatailor`: the hash of an endpoint, or `manifests`.
    label: &'a str,
    pub(super) region: &'a str,
}

/// A path of MediaTailor's, as far as a playback configuration shows in it.
#[derive(Debug)]
struct Parts<'a> {
    /// What stands before `/v1`.
    before: String,
    kind: &'a str,
    account: &'a str,
    name: Option<&'a str>,
    /// What stands behind the name.
    asset: String,
}

/// The kinds of requests whose path begins with the account, and then has the name.
const KINDS: [&str; 6] = ["master", "manifest", "session", "tracking", "dash", "i-media"];

/// The one host of a region that serves all its configurations.
const REGIONAL: &str = "manifests";

/// What says whether the URL is one of the configuration's.
pub(super) fn compared(url: &Uri, with: &Configuration) -> Finding {
    let named = format!("{:?} in {}", with.name, with.region);
    let parts = Parts::of(url.path(), url.query());
    let in_front = in_front(url, with);
    let mut differences = host(url, with);
    match &parts {
        Some(parts) => differences.extend(path(parts, in_front, with)),
        None if !in_front => differences.push(format!("{} is no path of MediaTailor's", ShownPath(url))),
        None => {
            let saw = format!(
                "whether {} leads to {named} cannot be told: its path is none of MediaTailor's",
                Shown(url)
            );
            return Finding::note(CHECK, saw)
                .remedy(format!("see that the CDN turns it into {}", start(with, None)));
        }
    }
    if !differences.is_empty() {
        let saw = format!("the URL is not of {named}: {}", differences.join("; "));
        return Finding::error(CHECK, saw).remedy(format!(
            "give players {}, or say with --configuration and --region which one this URL is of",
            start(with, parts.as_ref())
        ));
    }
    let endpoint = with.endpoint.as_deref().unwrap_or("its endpoint");
    Finding::ok(
        CHECK,
        match in_front {
            true => format!("by its path the URL is of {named}; what is in front must lead to {endpoint}"),
            false => format!("the URL is of {named}"),
        },
    )
}

/// Whether something stands in front of MediaTailor: a CDN, or onelane.
fn in_front(url: &Uri, with: &Configuration) -> bool {
    !is_endpoint(url, with) && url.host().and_then(service).is_none()
}

fn is_endpoint(url: &Uri, with: &Configuration) -> bool {
    let place = |uri: &Uri| {
        let port = uri.port_u16().or(if uri.scheme_str() == Some("http") { Some(80) } else { Some(443) });
        Some((uri.host()?.to_ascii_lowercase(), port))
    };
    endpoint(with).is_some_and(|endpoint| place(&endpoint) == place(url))
}

fn endpoint(with: &Configuration) -> Option<Uri> {
    with.endpoint.as_ref().or(with.manifests.as_ref())?.parse().ok()
}

/// How the host is another's.
fn host(url: &Uri, with: &Configuration) -> Vec<String> {
    let Some(of_url) = url.host().and_then(service).filter(|_| !is_endpoint(url, with)) else {
        return Vec::new();
    };
    if of_url.region != with.region {
        return vec![format!("it is of the region {}", of_url.region)];
    }
    if of_url.label == REGIONAL {
        return Vec::new();
    }
    let own = endpoint(with);
    let own = own.as_ref().and_then(Uri::authority).map_or("not known", Authority::as_str);
    vec![format!("its host is {}, and the configuration's is {own}", url.host().unwrap_or_default())]
}

/// How the path is another's.
fn path(parts: &Parts<'_>, in_front: bool, with: &Configuration) -> Vec<String> {
    let mut differences = Vec::new();
    let prefix: Option<Uri> =
        with.manifests.as_ref().or(with.sessions.as_ref()).and_then(|url| url.parse().ok());
    let own = prefix.as_ref().and_then(|prefix| Parts::of(prefix.path(), None));
    if let Some(own) = &own
        && are_comparable(own.account, parts.account)
        && decoded(own.account) != decoded(parts.account)
    {
        differences.push(format!(
            "its account is {}, and the configuration's is {}",
            decoded(parts.account),
            decoded(own.account)
        ));
    }
    let own_name = own.as_ref().and_then(|own| own.name).map_or_else(|| with.name.clone(), decoded);
    if let Some(name) = parts.name.map(decoded).filter(|name| *name != own_name) {
        differences.push(format!("its configuration is {name:?}"));
    }
    if !in_front && !parts.before.is_empty() {
        differences.push(format!("{} stands before /v1, where MediaTailor has nothing", parts.before));
    }
    differences
}

/// Whether both are hashes, as they are in URLs, or both are numbers, as newer pages of AWS print them.
fn are_comparable(one: &str, other: &str) -> bool {
    let is_number = |account: &str| account.bytes().all(|byte| byte.is_ascii_digit());
    is_number(one) == is_number(other)
}

/// Where players of the configuration begin.
fn start(with: &Configuration, parts: Option<&Parts<'_>>) -> String {
    let asset = parts.filter(|parts| matches!(parts.kind, "master" | "session")).map(|parts| &*parts.asset);
    let prefix = match parts {
        Some(Parts { kind: "session", .. }) => with.sessions.as_ref(),
        _ => with.manifests.as_ref(),
    };
    let prefix = prefix.or(with.endpoint.as_ref()).map_or("the configuration's endpoint", String::as_str);
    format!("{prefix}{}", asset.filter(|asset| !asset.is_empty()).unwrap_or("<asset>"))
}

/// Takes a host of MediaTailor's apart.
pub(super) fn service(host: &str) -> Option<Service<'_>> {
    let of_aws = host.strip_suffix(".amazonaws.com").or_else(|| host.strip_suffix(".amazonaws.com.cn"))?;
    let (label, region) = of_aws.rsplit_once(".mediatailor.")?;
    (!region.contains('.')).then_some(Service { label, region })
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

// === impl Parts ===

impl<'a> Parts<'a> {
    fn of(path: &'a str, query: Option<&str>) -> Option<Self> {
        let segments: Vec<_> = path.split('/').collect();
        let is_marker = |pair: &[&str]| pair[0] == "v1" && KINDS.contains(&pair[1]);
        let at = segments.windows(2).position(is_marker)?;
        let account = segments.get(at + 2).filter(|account| !account.is_empty())?;
        let name = Route::of(path, query).configuration.filter(|name| !name.is_empty());
        // What `Route` found is in the path itself.
        let name = name.and_then(|name| segments.iter().find(|segment| **segment == name)).copied();
        Some(Self {
            before: segments[..at].join("/"),
            kind: segments[at + 1],
            account,
            name,
            asset: segments.get(at + 4..).unwrap_or_default().join("/"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity;

    const ACCOUNT: &str = "1cbfeaaecb69778e0c167d0505a2bc57da2b1754";
    const HASH: &str = "170c14299689462897d0cc45fc2000bb";

    fn configuration() -> Configuration {
        let endpoint = format!("https://{HASH}.mediatailor.eu-west-1.amazonaws.com");
        let prefix = |kind: &str| Some(format!("{endpoint}/v1/{kind}/{ACCOUNT}/News/"));
        Configuration {
            name: "News".to_owned(),
            region: "eu-west-1".to_owned(),
            manifests: prefix("master"),
            sessions: prefix("session"),
            endpoint: Some(endpoint),
            guided: false,
            preroll: false,
            logged: None,
            content: None,
            aliases: Vec::new(),
        }
    }

    fn found(url: &str) -> Finding {
        compared(&url.parse().expect(url), &configuration())
    }

    #[test]
    fn a_url_of_the_configuration_is_known() {
        let own = format!("https://{HASH}.mediatailor.eu-west-1.amazonaws.com");
        for url in [
            format!("{own}/v1/master/{ACCOUNT}/News/a/index.m3u8"),
            format!(
                "{}:443/v1/session/{ACCOUNT}/News/index.m3u8",
                own.to_uppercase().replace("HTTPS", "https")
            ),
            format!("{own}/v1/manifest/{ACCOUNT}/News/6f1b7c52-30aa-4c1e-9d0f-2a4d1f7be901/0.m3u8"),
            format!("{own}/v1/manifest/{ACCOUNT}/6f1b7c52-30aa-4c1e-9d0f-2a4d1f7be901/0.m3u8"),
            format!("{own}/v1/master/{ACCOUNT}/N%65ws/index.m3u8"),
            format!("{own}/v1/master/123456789012/News/index.m3u8"),
            format!(
                "https://manifests.mediatailor.eu-west-1.amazonaws.com/v1/master/{ACCOUNT}/News/index.m3u8"
            ),
            format!("https://cdn.example/live/v1/master/{ACCOUNT}/News/index.m3u8"),
        ] {
            let finding = found(&url);
            assert_eq!(finding.severity, Severity::Ok, "{url}: {finding:?}");
            assert_eq!(
                finding.saw.contains("must lead to https://170c"),
                url.contains("cdn.example"),
                "{finding:?}"
            );
        }
    }

    #[test]
    fn each_way_in_which_it_is_another_is_told() {
        let own = format!("https://{HASH}.mediatailor.eu-west-1.amazonaws.com");
        let other = HASH.replace("170c", "0000");
        for (url, says, start) in [
            (
                format!("{own}/v1/master/{ACCOUNT}/Sports/a/b.m3u8"),
                "its configuration is \"Sports\"",
                "/News/a/b.m3u8,",
            ),
            (
                format!("{own}/v1/master/{}/News/b.m3u8", "0".repeat(39) + "a"),
                "its account is 0000",
                "/News/b.m3u8,",
            ),
            (
                format!(
                    "https://{other}.mediatailor.eu-west-1.amazonaws.com/v1/session/{ACCOUNT}/News/b.m3u8"
                ),
                "its host is 0000",
                "/v1/session/1cbfeaaecb69778e0c167d0505a2bc57da2b1754/News/b.m3u8,",
            ),
            (
                format!("https://{HASH}.mediatailor.us-east-1.amazonaws.com/v1/master/{ACCOUNT}/News/b.m3u8"),
                "it is of the region us-east-1",
                "/News/b.m3u8,",
            ),
            (
                format!(
                    "https://manifests.mediatailor.us-east-1.amazonaws.com/v1/master/{ACCOUNT}/News/b.m3u8"
                ),
                "it is of the region us-east-1",
                "/News/b.m3u8,",
            ),
            (format!("{own}/tv/v1/master/{ACCOUNT}/News/b.m3u8"), "/tv stands before /v1", "/News/b.m3u8,"),
            (format!("{own}/index.m3u8"), "/index.m3u8 is no path of MediaTailor's", "/News/<asset>,"),
            (
                format!(
                    "https://cdn.example/v1/manifest/{ACCOUNT}/Sports/6f1b7c52-30aa-4c1e-9d0f-2a4d1f7be901/0.m3u8"
                ),
                "its configuration is \"Sports\"",
                "/News/<asset>,",
            ),
        ] {
            let finding = found(&url);
            assert_eq!(finding.severity, Severity::Error, "{url}: {finding:?}");
            assert!(finding.saw.contains(says) && finding.remedy.contains(start), "{url}: {finding:?}");
            assert!(!finding.saw.contains(';'), "{url}: {finding:?}");
        }
        let all = found(&format!(
            "https://{other}.mediatailor.eu-west-1.amazonaws.com/v1/master/00ab/Sports/b.m3u8"
        ));
        assert_eq!(all.saw.matches(';').count(), 2, "{all:?}");
    }

    #[test]
    fn hosts_of_the_service_are_known_with_their_region() {
        for (host, region) in [
            ("170c.mediatailor.eu-west-1.amazonaws.com", Some("eu-west-1")),
            ("manifests.mediatailor.us-east-1.amazonaws.com", Some("us-east-1")),
            ("a.iad1.channel-assembly.mediatailor.us-east-1.amazonaws.com", Some("us-east-1")),
            ("mediatailor.eu-west-1.amazonaws.com", None),
            ("170c.mediatailor.eu-west-1.amazonaws.com.example", None),
            ("170c.mediatailor.a.b.amazonaws.com", None),
            ("cdn.example", None),
        ] {
            assert_eq!(service(host).map(|service| service.region), region, "{host}");
        }
    }

    #[test]
    fn where_a_cdn_has_paths_of_its_own_nothing_is_claimed() {
        let finding = found("https://cdn.example/news.m3u8?token=secret");
        assert_eq!(finding.severity, Severity::Note);
        assert!(!finding.saw.contains("secret") && finding.remedy.contains("/News/<asset>"), "{finding:?}");
    }
}
