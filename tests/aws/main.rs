//! What MediaTailor's own API says of a playback configuration, as `onelane doctor` and `onelane serve` have it.
#![cfg(unix)]

#[cfg(feature = "aws")]
mod account;
#[cfg(feature = "aws")]
mod doctor;
mod process;
#[cfg(feature = "aws")]
mod serve;
#[cfg(not(feature = "aws"))]
mod without;
