use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::{
    cutter::{Cutter, place},
    reel::Reel,
};

/// What is on at any moment: content and ads in one line of slots, cut by one clock for all renditions and
/// all sessions.
#[derive(Debug)]
pub(in crate::emulator) struct Timeline {
    pub(in crate::emulator) content: Arc<Reel>,
    /// What plays in breaks, if there are any.
    pub(in crate::emulator) ads: Option<Arc<Reel>>,
    pub(in crate::emulator) shape: Shape,
    epoch: Instant,
    /// What was out when it began.
    lead: Duration,
    wall: SystemTime,
    state: Mutex<State>,
}

/// The shape of a timeline.
#[derive(Debug, Clone, Copy)]
pub(in crate::emulator) struct Shape {
    /// Slots in the window, or `None` to play all of it once.
    pub(in crate::emulator) window: Option<usize>,
    /// Content between breaks; zero for none.
    pub(in crate::emulator) every: Duration,
    /// Length of a break.
    pub(in crate::emulator) length: Duration,
    /// Every so manieth break is not filled; zero for none.
    pub(in crate::emulator) unfilled_every: u64,
}

/// A stretch of time in every rendition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::emulator) struct Slot {
    /// Since the timeline's beginning.
    pub(in crate::emulator) start: Duration,
    pub(in crate::emulator) duration: Duration,
    pub(in crate::emulator) source: Source,
    /// Whether a discontinuity comes before it.
    pub(in crate::emulator) discontinuity: bool,
    /// Discontinuities up to it, its own among them.
    pub(in crate::emulator) discontinuities: u64,
    /// The media sequence number of each rendition's first segment in it.
    pub(in crate::emulator) sequence: Box<[u64]>,
}

/// Where a slot's segments come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::emulator) enum Source {
    Content {
        slot: u64,
    },
    Ad {
        number: u64,
        slot: u64,
    },
    /// The content beneath a break that was not filled.
    Unfilled {
        number: u64,
        slot: u64,
    },
}

/// A playlist's slots at one moment.
#[derive(Debug, Clone)]
pub(in crate::emulator) struct Window {
    pub(in crate::emulator) slots: Arc<[Arc<Slot>]>,
    /// Whether nothing follows.
    pub(in crate::emulator) ended: bool,
}

#[derive(Debug)]
struct State {
    cutter: Cutter,
    /// The slots that are out, the window at their end.
    out: VecDeque<Arc<Slot>>,
    /// The slot that comes out when it has ended.
    next: Arc<Slot>,
    window: Window,
    width: usize,
}

/// How many windows a slot is remembered after it has left: players ask for segments that they saw a while ago.
const REMEMBERED: usize = 10;

// === impl Shape ===

impl Shape {
    /// All of a reel without breaks; of one without end, about `length`.
    pub(in crate::emulator) fn whole(length: Duration) -> Self {
        Self { window: None, every: Duration::ZERO, length, unfilled_every: 0 }
    }

    /// Whether a break has ads.
    pub(in crate::emulator) fn fills(&self, number: u64) -> bool {
        self.unfilled_every == 0 || !(number + 1).is_multiple_of(self.unfilled_every)
    }
}

// === impl Window ===

impl Window {
    /// The last break in it that was not filled, by its number.
    pub(in crate::emulator) fn unfilled(&self) -> Option<u64> {
        self.slots.iter().rev().find_map(|slot| match slot.source {
            Source::Unfilled { number, .. } => Some(number),
            Source::Content { .. } | Source::Ad { .. } => None,
        })
    }
}

// === impl Timeline ===

impl Timeline {
    /// A timeline that begins now, its window already full.
    pub(in crate::emulator) fn new(content: Arc<Reel>, ads: Option<Arc<Reel>>, shape: Shape) -> Self {
        let ads = ads.filter(|_| !shape.every.is_zero() && !shape.length.is_zero());
        let mut cutter = Cutter::new(Arc::clone(&content), ads.clone(), shape);
        let mut out = VecDeque::new();
        match shape.window {
            Some(width) => out.extend((0..width).map(|_| Arc::new(cutter.cut()))),
            None => {
                let slot = content.duration(0).max(Duration::from_millis(1));
                let end =
                    content.slots().unwrap_or_else(|| shape.length.div_duration_f64(slot).ceil() as u64);
                while cutter.content_slot() < end {
                    out.push_back(Arc::new(cutter.cut()));
                }
            }
        }
        let lead = cutter.position();
        let width = out.len();
        let next = Arc::new(cutter.cut());
        let window = Window { slots: out.iter().cloned().collect(), ended: shape.window.is_none() };
        let epoch = Instant::now();
        let wall = SystemTime::now() - lead;
        let state = State { cutter, out, next, window, width };
        Self { content, ads, shape, epoch, lead, wall, state: Mutex::new(state) }
    }

    /// What a playlist shows now.
    pub(in crate::emulator) fn window(&self) -> Window {
        self.now().window.clone()
    }

    /// The slots that are remembered, the window at their end.
    pub(in crate::emulator) fn remembered(&self) -> Vec<Arc<Slot>> {
        self.now().out.iter().cloned().collect()
    }

    /// The slot of a rendition's segment, and which of the slot's segments it is.
    pub(in crate::emulator) fn find(&self, rendition: usize, sequence: u64) -> Option<(Arc<Slot>, usize)> {
        let state = self.now();
        let place = state.out.partition_point(|slot| slot.sequence[rendition] <= sequence);
        let slot = state.out.get(place.checked_sub(1)?)?;
        let inside = sequence - slot.sequence[rendition];
        let (reel, rendition, number) = self.reel_of(slot, rendition);
        let count = rendition.map_or(1, |rendition| reel.count(rendition, number));
        (inside < count).then(|| (Arc::clone(slot), inside as usize))
    }

    /// Where a slot's segments are: the reel, the rendition in it if it has one, and the reel's slot.
    pub(in crate::emulator) fn reel_of(&self, slot: &Slot, rendition: usize) -> (&Reel, Option<usize>, u64) {
        place(&self.content, self.ads.as_ref(), slot.source, rendition)
    }

    /// The target duration of a rendition, the same for as long as the timeline lasts.
    pub(in crate::emulator) fn target(&self, rendition: usize) -> u64 {
        let ads = self.ads.as_ref();
        let of_ads = ads.and_then(|ads| Some(ads.target(ads.counterpart(&self.content, rendition)?)));
        self.content.target(rendition).max(of_ads.unwrap_or(0))
    }

    /// The time of day at a point of the timeline.
    pub(in crate::emulator) fn time_of(&self, point: Duration) -> SystemTime {
        self.wall + point
    }

    fn now(&self) -> std::sync::MutexGuard<'_, State> {
        let now = self.lead + self.epoch.elapsed();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if self.shape.window.is_some() {
            state.advance(now);
        }
        state
    }
}

// === impl State ===

impl State {
    /// Lets out every slot that has ended.
    fn advance(&mut self, now: Duration) {
        if self.next.start + self.next.duration > now {
            return;
        }
        while self.next.start + self.next.duration <= now {
            let cut = Arc::new(self.cutter.cut());
            self.out.push_back(std::mem::replace(&mut self.next, cut));
            if self.out.len() > self.width * (1 + REMEMBERED) {
                self.out.pop_front();
            }
        }
        let first = self.out.len() - self.width;
        self.window.slots = self.out.range(first..).cloned().collect();
    }
}
