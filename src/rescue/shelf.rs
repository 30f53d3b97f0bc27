use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;

use super::{
    Good, Learned, Standing, bounds::Bounds, good::Numbers, place::Place, step::Step, url::Url,
    validator::Validator, variants::Variants,
};
use crate::upstream::{coding::Coding, playlist::Summary};

/// The most URLs that are kept of a session. A player has two to four playlists open, and changes among as many
/// variants as the stream has.
const URLS: usize = 32;

/// A playlist that was not asked for again so long after it failed, and after two target durations more, has not failed all the time:
/// players ask again within one, and where it takes long, the shield lets them do so every second time.
const FORGOTTEN: Duration = Duration::from_secs(10);

/// For how many target durations a live playlist is kept whose path is asked for with another query meanwhile.
const OUTWORN: u32 = 4;

/// All that is kept of one session: so many playlists at most that a walk is the fastest look-up.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    pub(super) places: Vec<Place>,
    pub(super) variants: Variants,
}

// === impl Shelf ===

impl Shelf {
    /// How the playlist of this path stands.
    pub(super) fn standing(&self, path: &str) -> Standing {
        // All places of a path are denied and allowed together.
        match self.places.iter().find(|place| place.path() == path) {
            Some(place) if place.denied => Standing::Denied,
            Some(_) => Standing::Given,
            None => Standing::NeverHad,
        }
    }

    /// Notes that a playlist of this path is not given.
    pub(super) fn deny(&mut self, path: &str) {
        self.places.iter_mut().filter(|place| place.path() == path).for_each(|place| place.denied = true);
    }

    /// What was read of a playlist before, if this is the very same, and since when it is.
    pub(super) fn same(&self, url: &Url<'_>, good: &Good<'_>) -> Option<(Summary, Instant)> {
        let coding = Coding::of(good.headers)?;
        let place = self.places.iter().find(|place| *place.url == *url.whole)?;
        let kept = place.forms.iter().find(|kept| kept.coding == coding)?;
        let summary = kept.numbers.summary.filter(|_| good.is(&kept.body))?;
        Some((summary, kept.changed))
    }

    /// When the upstream last gave something good.
    pub(super) fn confirmed(&self) -> Option<Instant> {
        self.places.iter().map(|place| place.confirmed).max()
    }

    /// Whether one of them is a media playlist, be it kept or not.
    pub(super) fn has_media(&self) -> bool {
        self.places.iter().any(|place| place.highest.is_some())
    }

    /// Whether media playlists of other paths came within the last two target durations.
    pub(super) fn came_without(&self, path: &str, now: Instant) -> bool {
        let lately = self.target_duration().unwrap_or_default() * 2;
        let came = |place: &Place| !place.denied && now.saturating_duration_since(place.confirmed) <= lately;
        self.places.iter().any(|place| place.highest.is_some() && came(place) && place.path() != path)
    }

    /// The longest target duration of all that is kept.
    pub(super) fn target_duration(&self) -> Option<Duration> {
        let forms = self.places.iter().flat_map(|place| &place.forms);
        forms.filter_map(|kept| kept.numbers.target_duration).max()
    }

    pub(super) fn learn(&mut self, url: &Url<'_>, good: &Good<'_>, now: Instant, bounds: &Bounds) -> Learned {
        let step = self.step(url, good, now, bounds);
        match (step, self.fall_behind(step, url, good, now, bounds)) {
            (Step::Forward, _) => {}
            (Step::Back | Step::Cut, None) => return Learned::Older,
            // A cut is this playlist's alone, which goes on in the same numbering; a new numbering is all the session's.
            (Step::Cut, Some(_)) => self.all_of(url).for_each(Place::shrink),
            (Step::Back, Some(since)) => self.begin_anew(since),
        }
        match self.take(url, good, now, bounds) {
            Learned::New if step == Step::Back => Learned::Renumbered,
            learned => learned,
        }
    }

    /// Which way this goes; a cut goes before a step back.
    fn step(&self, url: &Url<'_>, good: &Good<'_>, now: Instant, bounds: &Bounds) -> Step {
        let sequence = good.numbers.media_sequence;
        let mut places = self.places.iter().filter(|place| place.is_of(url));
        if self.is_cut(url, good, now, bounds) {
            Step::Cut
        } else if places.any(|place| place.forbids(sequence, now, bounds)) {
            Step::Back
        } else {
            Step::Forward
        }
    }

    /// Notes a step that is not forward: since when there is no other, if it is one more of many.
    fn fall_behind(
        &mut self,
        step: Step,
        url: &Url<'_>,
        good: &Good<'_>,
        now: Instant,
        bounds: &Bounds,
    ) -> Option<Instant> {
        let sequence = good.numbers.media_sequence;
        self.all_of(url)
            .filter(|place| step == Step::Cut || place.forbids(sequence, now, bounds))
            .filter_map(|place| place.fall_behind(good, now))
            .max()
    }

    /// Keeps what may be given from now on.
    fn take(&mut self, url: &Url<'_>, good: &Good<'_>, now: Instant, bounds: &Bounds) -> Learned {
        let sequence = good.numbers.media_sequence;
        if sequence.is_some() {
            self.all_of(url).for_each(|place| place.go_on(&good.numbers));
        }
        let place = self.places.iter().position(|place| *place.url == *url.whole);
        let coding = Coding::of(good.headers).filter(|_| {
            let was_media = place.is_some_and(|place| self.places[place].highest.is_some());
            (1..=bounds.largest).contains(&good.len()) && (sequence.is_some() || !was_media)
        });
        let learned = match (coding, place) {
            (Some(coding), place) => {
                let place = place.unwrap_or_else(|| self.add(Place::new(url, now)));
                self.places[place].learn(coding, good, now, bounds)
            }
            (None, _) => {
                self.outdate(url);
                Learned::NotKept
            }
        };
        // Blocking reloads move the plain URL on as well: they are the same playlist.
        self.places_of(url).for_each(|place| place.pass(&good.numbers, now));
        self.is_well(url);
        self.drop_behind(url, &good.numbers);
        self.drop_outworn(url, &good.numbers, now);
        self.allow(url);
        if self.make_room(url, bounds.room) { learned } else { Learned::NotKept }
    }

    /// Notes that a playlist has failed that was sent for at `sent`. What failed long ago, and was not asked for since, begins to
    /// fail now.
    pub(super) fn fail(&mut self, url: &Url<'_>, sent: Instant, now: Instant) {
        let since = self.fails_since(url, now).unwrap_or(sent);
        self.all_of(url).for_each(|place| place.failing = Some((since, now)));
        self.variants.fail(url.path(), now);
    }

    /// Notes that a playlist that fails was asked for and is not there yet.
    pub(super) fn still_fails(&mut self, url: &Url<'_>, now: Instant) {
        if let Some(since) = self.fails_since(url, now) {
            self.all_of(url).for_each(|place| place.failing = Some((since, now)));
        }
    }

    /// Since when a playlist fails, if it does.
    pub(super) fn fails_since(&self, url: &Url<'_>, now: Instant) -> Option<Instant> {
        let forgotten = FORGOTTEN + self.target_duration().unwrap_or_default() * 2;
        let failing = self.places.iter().filter(|place| place.is_of(url)).filter_map(|place| place.failing);
        let known = failing.filter(|(_, last)| now.saturating_duration_since(*last) < forgotten);
        known.map(|(since, _)| since).min()
    }

    /// A playlist is there, whatever the directives: it does not fail.
    fn is_well(&mut self, url: &Url<'_>) {
        let fails = |place: &&mut Place| place.failing.is_some() && place.is_of(url);
        self.places.iter_mut().filter(fails).for_each(|place| place.failing = None);
        self.variants.is_well(url.path());
    }

    /// Drops what earlier blocking reloads got: each has a URL of its own, which is asked for once, and nothing behind is ever given.
    fn drop_behind(&mut self, url: &Url<'_>, numbers: &Numbers) {
        let at = |numbers: &Numbers| (numbers.media_sequence, numbers.last_sequence);
        let is_behind = |place: &Place| place.forms.iter().all(|kept| at(&kept.numbers) < at(numbers));
        self.places.retain(|place| {
            let is_another = place.is_directed() && *place.url != *url.whole;
            !(is_another && place.is_of(url) && is_behind(place))
        });
    }

    /// Drops what other queries got of a live playlist and nobody has asked for in a while: where each request has a query of its own,
    /// no two are of the same URL, and nothing of before is ever given.
    fn drop_outworn(&mut self, url: &Url<'_>, numbers: &Numbers, now: Instant) {
        let Some(target_duration) = numbers.target_duration.filter(|_| !numbers.ended) else { return };
        let is_old =
            |place: &Place| now.saturating_duration_since(place.confirmed) > target_duration * OUTWORN;
        self.places.retain(|place| !is_old(place) || place.is_of(url) || place.path() != url.path());
    }

    /// Takes in that what a validator names is still current; `false` if it names nothing that is kept.
    pub(super) fn confirm(&mut self, url: &Url<'_>, headers: &HeaderMap, now: Instant) -> bool {
        let validator = Validator::of(headers);
        let place = self.places.iter_mut().find(|place| *place.url == *url.whole);
        let confirmed =
            place.zip(validator).is_some_and(|(place, validator)| place.confirm(validator, headers, now));
        if confirmed {
            self.is_well(url);
            self.allow(url);
        }
        confirmed
    }

    /// Drops what is kept of a playlist, with whatever directives it was asked for: what the player has is newer.
    pub(super) fn outdate(&mut self, url: &Url<'_>) {
        self.all_of(url).for_each(|place| place.forms.clear());
        self.allow(url);
    }

    /// This playlist is given, whatever the query.
    pub(super) fn allow(&mut self, url: &Url<'_>) {
        let path = url.path();
        self.places
            .iter_mut()
            .filter(|place| place.denied && place.path() == path)
            .for_each(|place| place.denied = false);
    }

    /// Notes which of the playlists are variants.
    pub(super) fn offer(&mut self, variants: Variants) {
        self.variants = variants;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// When the last of it will be too old; `None` for never.
    pub(super) fn good_until(&self, max_age: Duration) -> Option<Instant> {
        let forms = || self.places.iter().flat_map(|place| &place.forms);
        if forms().any(|kept| kept.numbers.ended) {
            return None;
        }
        let last = self.places.iter().map(|place| place.confirmed).max();
        last.and_then(|last| last.checked_add(max_age))
    }

    /// What it takes, in bytes.
    pub(super) fn weight(&self) -> usize {
        let places = self.places.capacity() * size_of::<Place>() + super::ALLOCATION;
        places + self.places.iter().map(Place::weight).sum::<usize>() + self.variants.weight()
    }

    /// Drops what is of the numbering before: the media playlists that were not confirmed since.
    fn begin_anew(&mut self, since: Instant) {
        self.places.retain(|place| place.highest.is_none() || place.confirmed >= since);
    }

    fn add(&mut self, place: Place) -> usize {
        self.places.reserve_exact(1);
        self.places.push(place);
        self.places.len() - 1
    }

    /// All places of this playlist, with whatever directives.
    fn all_of(&mut self, url: &Url<'_>) -> impl Iterator<Item = &mut Place> {
        self.places.iter_mut().filter(|place| place.is_of(url))
    }

    /// The place of this URL, and that of the plain one.
    fn places_of(&mut self, url: &Url<'_>) -> impl Iterator<Item = &mut Place> {
        self.places.iter_mut().filter(|place| *place.url == *url.whole || *place.url == *url.plain)
    }

    /// Drops what was confirmed longest ago, and blocking reloads first, until the rest is within bounds.
    /// `false` if that took the place of `url` itself.
    fn make_room(&mut self, url: &Url<'_>, room: usize) -> bool {
        while self.places.len() > URLS || self.weight() > room {
            let least =
                self.places.iter().enumerate().min_by_key(|(_, place)| {
                    (*place.url == *url.whole, !place.is_directed(), place.confirmed)
                });
            let Some((least, _)) = least else { return false };
            if *self.places.swap_remove(least).url == *url.whole {
                return false;
            }
        }
        true
    }
}
