use crate::dice::{Dice, mix};
use crate::flags::Turns;

/// One of the balancers, with its own idea of which processes are there.
#[derive(Debug)]
pub(crate) struct Balancer {
    members: Vec<u8>,
    turn: usize,
}

// === impl Balancer ===

impl Balancer {
    pub(crate) fn new(instances: u32) -> Self {
        Self { members: (0..instances as u8).collect(), turn: 0 }
    }

    pub(crate) fn shun(&mut self, instance: u8) {
        self.members.retain(|member| *member != instance);
    }

    pub(crate) fn welcome(&mut self, instance: u8) {
        self.shun(instance);
        self.members.push(instance);
    }

    /// A session's home: rendezvous hashing moves no more sessions than it has to, as a consistent hash does.
    pub(crate) fn home(&self, session: u32) -> Option<u8> {
        let session = mix(u64::from(session) + 1);
        self.members.iter().copied().max_by_key(|member| mix(session ^ mix(u64::from(*member) << 40 | 1)))
    }

    pub(crate) fn next(&mut self, turns: Turns, dice: &mut Dice) -> Option<u8> {
        let count = self.members.len();
        if count == 0 {
            return None;
        }
        self.turn = match turns {
            Turns::Random => dice.below(count as u64) as usize,
            Turns::RoundRobin => (self.turn + 1) % count,
        };
        Some(self.members[self.turn])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSIONS: u32 = 30_000;

    fn moved(before: &Balancer, after: &Balancer) -> Vec<(Option<u8>, Option<u8>)> {
        let homes = (0..SESSIONS).map(|session| (before.home(session), after.home(session)));
        homes.filter(|(before, after)| before != after).collect()
    }

    #[test]
    fn sessions_are_spread_evenly() {
        let balancer = Balancer::new(3);
        for member in 0..3 {
            let own = (0..SESSIONS).filter(|session| balancer.home(*session) == Some(member)).count();
            assert!((9_600..10_400).contains(&own), "{own}");
        }
    }

    #[test]
    fn only_the_sessions_of_the_one_that_went_move() {
        let mut after = Balancer::new(3);
        after.shun(1);
        let moved = moved(&Balancer::new(3), &after);
        assert!((9_600..10_400).contains(&moved.len()), "{}", moved.len());
        assert!(moved.iter().all(|(before, _)| *before == Some(1)));
    }

    #[test]
    fn one_that_comes_takes_its_part_and_no_more() {
        let moved = moved(&Balancer::new(3), &Balancer::new(4));
        assert!((7_200..7_800).contains(&moved.len()), "{}", moved.len());
        assert!(moved.iter().all(|(_, after)| *after == Some(3)));
    }
}
