use std::{sync::Arc, time::Duration};

use super::{
    reel::Reel,
    timeline::{Shape, Slot, Source},
};

/// Cuts one slot after the other.
#[derive(Debug)]
pub(in crate::emulator) struct Cutter {
    content: Arc<Reel>,
    ads: Option<Arc<Reel>>,
    shape: Shape,
    start: Duration,
    slot: u64,
    sequence: Box<[u64]>,
    discontinuities: u64,
    last: Option<Source>,
    since_break: Duration,
    /// Of the break that is on: its number, its next slot, and its time so far.
    in_break: Option<(u64, u64, Duration)>,
    breaks: u64,
}

// === impl Cutter ===

impl Cutter {
    pub(in crate::emulator) fn new(content: Arc<Reel>, ads: Option<Arc<Reel>>, shape: Shape) -> Self {
        Self {
            sequence: vec![0; content.parts().len()].into(),
            content,
            ads,
            shape,
            start: Duration::ZERO,
            slot: 0,
            discontinuities: 0,
            last: None,
            since_break: Duration::ZERO,
            in_break: None,
            breaks: 0,
        }
    }

    /// Where the next slot begins.
    pub(in crate::emulator) fn position(&self) -> Duration {
        self.start
    }

    /// The content's slot that is next, once no ad is on.
    pub(in crate::emulator) fn content_slot(&self) -> u64 {
        self.slot
    }

    pub(in crate::emulator) fn cut(&mut self) -> Slot {
        let source = self.source();
        let (reel, _, slot) = place(&self.content, self.ads.as_ref(), source, 0);
        let (duration, seam) = (reel.duration(slot), self.seam(reel, slot, source));
        self.discontinuities += u64::from(seam);
        let cut = Slot {
            start: self.start,
            duration,
            source,
            discontinuity: seam,
            discontinuities: self.discontinuities,
            sequence: self.sequence.clone(),
        };
        for rendition in 0..self.sequence.len() {
            let (reel, number, slot) = place(&self.content, self.ads.as_ref(), source, rendition);
            // A rendition that the ads lack has one segment of filler.
            self.sequence[rendition] += number.map_or(1, |number| reel.count(number, slot));
        }
        self.go_on(source, duration);
        cut
    }

    /// What comes next.
    fn source(&mut self) -> Source {
        let due = self.in_break.is_none() && self.since_break >= self.shape.every;
        if due && self.ads.is_some() {
            // In VOD there is nothing beneath a break: one that is not filled has no length.
            if self.shape.fills(self.breaks) || self.shape.window.is_some() {
                self.in_break = Some((self.breaks, 0, Duration::ZERO));
            }
            self.since_break = Duration::ZERO;
            self.breaks += 1;
        }
        match self.in_break {
            Some((number, slot, _)) if self.shape.fills(number) => Source::Ad { number, slot },
            Some((number, ..)) => Source::Unfilled { number, slot: self.slot },
            None => Source::Content { slot: self.slot },
        }
    }

    fn seam(&self, reel: &Reel, slot: u64, source: Source) -> bool {
        let Some(last) = self.last else {
            return false;
        };
        let begins_anew = slot > 0 && reel.slots().is_some_and(|slots| slot.is_multiple_of(slots));
        let of_ads = |source| matches!(source, Source::Ad { .. });
        of_ads(last) != of_ads(source) || begins_anew || reel.breaks_before(slot)
    }

    fn go_on(&mut self, source: Source, duration: Duration) {
        self.start += duration;
        self.last = Some(source);
        let Some((number, slot, played)) = self.in_break else {
            self.slot += 1;
            self.since_break += duration;
            return;
        };
        // Where no ad was found the content goes on.
        let shows_content = matches!(source, Source::Unfilled { .. });
        self.slot += u64::from(shows_content);
        let played = played + duration;
        if played < self.shape.length {
            self.in_break = Some((number, slot + 1, played));
            return;
        }
        self.in_break = None;
        // In live an ad replaces content; in VOD it is put in between.
        let mut replaced = if shows_content { played } else { Duration::ZERO };
        while self.shape.window.is_some() && replaced < played {
            replaced += self.content.duration(self.slot);
            self.slot += 1;
        }
    }
}

/// Where the segments of a source are: the reel, the rendition in it if it has one, and the reel's slot.
pub(in crate::emulator) fn place<'a>(
    content: &'a Arc<Reel>,
    ads: Option<&'a Arc<Reel>>,
    source: Source,
    rendition: usize,
) -> (&'a Reel, Option<usize>, u64) {
    match (source, ads) {
        (Source::Content { slot } | Source::Unfilled { slot, .. }, _) => (content, Some(rendition), slot),
        (Source::Ad { slot, .. }, Some(ads)) => (ads, ads.counterpart(content, rendition), slot),
        (Source::Ad { slot, .. }, None) => (content, None, slot),
    }
}
