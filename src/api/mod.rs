//! MediaTailor's own API, the one that an account is set up by: asked what a playback configuration is,
//! and nothing else.
//!
//! Every build reads which configuration is meant; a build without the feature `aws` refuses it by name.

#[cfg(feature = "aws")]
mod ask;
#[cfg(feature = "aws")]
mod configuration;
mod named;
#[cfg(feature = "aws")]
mod refusal;

pub(crate) use self::named::{Named, name, region};
#[cfg(feature = "aws")]
pub(crate) use self::{
    ask::Api,
    configuration::Configuration,
    refusal::{Reason, Refusal},
};

/// What to do where a build cannot ask.
#[cfg(not(feature = "aws"))]
pub(crate) const NOT_BUILT: &str =
    "this onelane was built without the feature aws; build it with `cargo install --path . --features aws`";
