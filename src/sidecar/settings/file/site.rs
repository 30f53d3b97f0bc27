use std::time::Duration;

use bytesize::ByteSize;
use clap::ValueEnum as _;
use serde::{Deserialize, Deserializer};

use super::{
    Remap, Rescue, Retry, Settle, Shield, bad::Wrong, plain::UPSTREAM as KEY, set, upstreams, value,
};
use crate::{
    api::Named,
    sidecar::{Config, HostHeader, Upstream, relay::site},
};

/// `[[upstream]]`: one of several, which requests are for it, and what is other there than at the top.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::sidecar) struct Site {
    #[serde(deserialize_with = "name")]
    name: String,
    #[serde(default, deserialize_with = "url")]
    url: Option<Upstream>,
    #[serde(default, deserialize_with = "upstreams::name")]
    playback_configuration: Option<String>,
    #[serde(default, deserialize_with = "upstreams::region")]
    region: Option<String>,
    #[serde(default)]
    hosts: Vec<String>,
    #[serde(default)]
    path_prefix: Option<String>,
    #[serde(default, deserialize_with = "host")]
    host: Option<HostHeader>,
    #[serde(default, deserialize_with = "value::time")]
    answer_within: Option<Duration>,
    #[serde(default, deserialize_with = "value::time")]
    max_hold: Option<Duration>,
    #[serde(default, deserialize_with = "value::size")]
    collect_up_to: Option<ByteSize>,
    #[serde(default, deserialize_with = "value::count::<1, { u32::MAX }, _>")]
    depth: Option<u32>,
    #[serde(default, deserialize_with = "value::switch")]
    strip_directives: Option<bool>,
    #[serde(default)]
    remap: Remap,
    #[serde(default, deserialize_with = "value::section")]
    rescue: Rescue,
    #[serde(default, deserialize_with = "value::section")]
    shield: Shield,
    #[serde(default, deserialize_with = "value::section")]
    retry: Retry,
    #[serde(default, deserialize_with = "value::section")]
    settle: Settle,
}

/// Makes sites of the tables, each with the settings for all beneath its own.
///
/// # Errors
///
/// When two say the same, or one says what does not go together.
pub(super) fn apply(tables: Vec<Site>, config: &mut Config) -> Result<(), Wrong> {
    let Some(first) = tables.first() else { return Ok(()) };
    // Of one that has to be asked for, the flag knows no more than that.
    if config.upstream != first.url.clone().unwrap_or_else(Upstream::unasked) {
        let what = format!(
            "a flag or variable says {}, and the file has [[upstream]] tables; leave one of the two out",
            config.upstream
        );
        return Err(Wrong::new(KEY, what));
    }
    let mut sites: Vec<site::Site> = Vec::with_capacity(tables.len());
    for table in tables {
        let site = table.over(config)?;
        if let Some(other) = sites.iter().find(|other| other.name == site.name) {
            let what = format!("two are called {:?}; give each a name of its own", other.name);
            return Err(Wrong::new(KEY, what));
        }
        if let Some(other) = sites.iter().find(|other| other.hides(&site)) {
            let what = format!(
                "{:?} is never asked, since all that is for it goes to {:?}, which stands before it; change their hosts or \
                 path_prefix, or their order",
                site.name, other.name
            );
            return Err(Wrong::new(KEY, what));
        }
        sites.push(site);
    }
    config.upstream = sites[0].config.upstream.clone();
    config.sites = sites;
    Ok(())
}

fn name<'de, D: Deserializer<'de>>(reader: D) -> Result<String, D::Error> {
    let read = |text: &str| match text.trim() {
        "" => Err("it is empty; give each a name of its own, such as \"news-eu\"".to_owned()),
        _ => Ok(text.to_owned()),
    };
    reader.deserialize_str(value::Text { expected: "a name as text, such as \"news-eu\"", read })
}

fn url<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<Upstream>, D::Error> {
    let read = |text: &str| text.parse::<Upstream>().map_err(|error| error.to_string());
    let expected = "a URL as text, such as \"https://<endpoint>.mediatailor.<region>.amazonaws.com\"";
    reader.deserialize_str(value::Text { expected, read }).map(Some)
}

fn host<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<HostHeader>, D::Error> {
    let expected = "\"rewrite\" or \"preserve\"";
    let read = |text: &str| {
        HostHeader::from_str(text, false).map_err(|_| "it must be \"rewrite\" or \"preserve\"".to_owned())
    };
    reader.deserialize_str(value::Text { expected, read }).map(Some)
}

// === impl Site ===

impl Site {
    fn over(self, all: &Config) -> Result<site::Site, Wrong> {
        let wrong = |what: String| Err(Wrong::new(KEY, format!("{:?}: {what}", self.name)));
        if let Some(prefix) = self.path_prefix.as_ref().filter(|prefix| !prefix.starts_with('/')) {
            return wrong(format!("path_prefix is {prefix:?}; begin it with a slash"));
        }
        let is_part = |segment: &&str| segment.contains('*') && *segment != "*";
        if let Some(part) = self.path_prefix.iter().flat_map(|prefix| prefix.split('/')).find(is_part) {
            return wrong(format!(
                "path_prefix has {part:?}; an asterisk stands for a whole segment: write * in its place, or the segment in full"
            ));
        }
        let is_host = |host: &String| {
            let names_one = !site::without_dot(host).is_empty() && !host.contains('@');
            let is_pattern = host.contains('*');
            names_one
                && !is_pattern
                && host.parse::<http::uri::Authority>().is_ok_and(|own| own.host() == host)
        };
        if let Some(host) = self.hosts.iter().find(|host| !is_host(host)) {
            return wrong(format!(
                "hosts has {host:?}, which is no host name; write it without scheme, port and path, without asterisk, and in its form for DNS (xn--…)"
            ));
        }
        if self.rescue.bytes.is_some() {
            return wrong("rescue.bytes is for all upstreams together; set it in [rescue]".to_owned());
        }
        if all.rescue.is_none() && self.rescue.enabled == Some(true) {
            return wrong("rescue.enabled is false in [rescue], which is for all; set it there".to_owned());
        }
        let upstream = match (self.url, self.playback_configuration, self.region) {
            (Some(url), None, None) => Ok(url),
            (None, Some(name), region) => Upstream::of(&Named { name, region }),
            (Some(_), ..) => {
                Err("it has url and playback_configuration or region; leave the one or the others out"
                    .to_owned())
            }
            (None, None, _) => Err("url is missing; add it, or playback_configuration".to_owned()),
        };
        let upstream = upstream.map_err(|what| Wrong::new(KEY, format!("{:?}: {what}", self.name)))?;
        let mut config = all.clone();
        config.upstream = upstream;
        set(&mut config.host, self.host);
        set(&mut config.answer_within, self.answer_within);
        set(&mut config.max_hold, self.max_hold);
        set(&mut config.collect_up_to, self.collect_up_to);
        set(&mut config.depth, self.depth);
        set(&mut config.strip_directives, self.strip_directives);
        self.remap.apply(&mut config.remap)?;
        if config.rescue.is_some() {
            self.rescue.apply(&mut config.rescue)?;
        }
        self.shield.apply(&mut config.shield)?;
        self.retry.apply(&mut config.retry)?;
        self.settle.apply(&mut config.settle);
        // As one they are compared with each other.
        let hosts = self.hosts.iter().map(|host| site::without_dot(host).to_ascii_lowercase()).collect();
        Ok(site::Site { name: self.name, hosts, path_prefix: self.path_prefix, config })
    }
}

impl site::Site {
    /// Whether every request for another is for this one as well.
    fn hides(&self, other: &Self) -> bool {
        let hosts = self.hosts.is_empty()
            || !other.hosts.is_empty() && other.hosts.iter().all(|host| self.hosts.contains(host));
        hosts && other.segments().starts_with(&self.segments())
    }
}
