use std::{cmp::Reverse, time::Duration};

use tokio::time::Instant;

use super::{
    Accept, Good, NoRescue, Rescue, bounds::Bounds, good::Numbers, kept::Kept, place::Place, shelf::Shelf,
    url::Url,
};
use crate::upstream::coding::Coding;

/// For how long a variant that fails by itself is bridged, or for two of its target durations if that is less. After that its
/// player is better off with another, and has to be there before what it has buffered is played and before what it last saw has
/// left the other's window, of segments of two seconds as well: Shaka found its place no more after eight. A failure of all
/// variants that lasts for a few seconds more is outlived by the players' own retries, though the session's audio may come.
const ALONE: Duration = Duration::from_secs(4);

/// What may be given of what is kept.
impl Shelf {
    /// # Errors
    ///
    /// [`NoRescue`] says which rule forbids it.
    pub(super) fn rescue(
        &self,
        url: &Url<'_>,
        accept: Accept,
        may_leave: bool,
        now: Instant,
        bounds: &Bounds,
    ) -> Result<Rescue, NoRescue> {
        let kept = self.best(url, |kept| kept.suits(accept), now, bounds)?;
        if may_leave && self.is_alone(url, kept, now) {
            Err(NoRescue::Alone)
        } else {
            Ok(Rescue::of(kept, now))
        }
    }

    /// Whether a variant has failed for long while the session's other playlists come, and its player has another to choose.
    fn is_alone(&self, url: &Url<'_>, kept: &Kept, now: Instant) -> bool {
        let Some(target_duration) = kept.numbers.target_duration.filter(|_| !kept.numbers.ended) else {
            return false;
        };
        let path = url.path();
        let Some(since) = self.fails_since(url, now) else { return false };
        // Others that came for long after it began to fail, and still do, did not fail with it.
        let (enough, still) = (ALONE.min(target_duration * 2), ALONE.max(target_duration * 2));
        let goes_on = |place: &Place| {
            let is_good = place.confirmed > since + enough / 2
                && now.saturating_duration_since(place.confirmed) < still;
            is_good && place.failing.is_none() && place.highest.is_some() && place.path() != path
        };
        now.saturating_duration_since(since) >= enough
            && self.variants.offer_another_than(path)
            // Where another fails as well, its player would not be better off there.
            && !self.variants.another_fails(path, now)
            && self.places.iter().any(goes_on)
    }

    /// Whether segments are missing at the end that are in what can be given instead.
    pub(super) fn is_cut(&self, url: &Url<'_>, good: &Good<'_>, now: Instant, bounds: &Bounds) -> bool {
        let Numbers { media_sequence, last_sequence, ended, .. } = good.numbers;
        let coding = Coding::of(good.headers);
        let is_longer = |kept: &Kept| {
            let Numbers { media_sequence: first, last_sequence: last, ended, .. } = kept.numbers;
            !ended && first <= media_sequence && last > last_sequence
        };
        // Mostly there is none, whatever may be given.
        media_sequence.is_some()
            && !ended
            && self.places.iter().flat_map(|place| &place.forms).any(is_longer)
            && self.best(url, |kept| Some(kept.coding) == coding, now, bounds).is_ok_and(is_longer)
    }

    /// What may be given to who takes these.
    fn best(
        &self,
        url: &Url<'_>,
        takes: impl Fn(&Kept) -> bool,
        now: Instant,
        bounds: &Bounds,
    ) -> Result<&Kept, NoRescue> {
        let places = || self.places.iter().filter(|place| place.is_of(url));
        let current = || places().filter(|place| place.is_current(now, bounds));
        let highest = current().filter_map(|place| place.highest).max();
        let last = current().filter_map(|place| place.last).max();
        let mut reason = NoRescue::Unknown;
        // The latest first: the player may have had it.
        let mut forms: Vec<_> = places()
            .filter(|place| !place.denied && place.serves(url))
            .flat_map(|place| place.forms.iter().map(move |kept| (place, kept)))
            .filter(|(_, kept)| Some(kept.since) >= bounds.since)
            .collect();
        forms.sort_by_key(|(place, kept)| (Reverse(kept.since), *place.url != *url.whole));
        for (_, kept) in forms {
            let numbers = kept.numbers;
            let forbidden = if !takes(kept) {
                NoRescue::NotAccepted
            } else if !numbers.ended && now.saturating_duration_since(kept.since) > bounds.max_age {
                NoRescue::TooOld
            } else if numbers.media_sequence < highest || !numbers.ended && numbers.last_sequence < last {
                NoRescue::Behind
            } else if !numbers.ended && !url.wanted.is_met(numbers.last_sequence) {
                NoRescue::Blocking
            } else {
                return Ok(kept);
            };
            reason = reason.max(forbidden);
        }
        Err(reason)
    }
}
