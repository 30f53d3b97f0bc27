//! WHAT is played: an asset or a made-up one, ads, and the playlists and segments of both.

pub(super) mod cutter;
pub(super) mod dash;
#[cfg(test)]
pub(super) mod fixture;
pub(super) mod guided;
pub(super) mod media;
pub(super) mod origin;
pub(super) mod playlist;
pub(super) mod reel;
pub(super) mod segments;
pub(super) mod stage;
pub(super) mod synthetic;
pub(super) mod timeline;
pub(super) mod track;
pub(super) mod tracking;
