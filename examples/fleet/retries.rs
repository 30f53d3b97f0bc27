use onelane::upstream::RetryConfig;

/// The shared budget of one process's retries, in virtual time: tower's `TpsBudget`, which counts by the real clock.
///
/// A window of 10 s in ten slots; a request that needs no retry deposits, a retry withdraws.
#[derive(Debug)]
pub(crate) struct Budget {
    slots: [i64; SLOTS],
    second: u64,
    sum: i64,
    withdrawal: i64,
    reserve: i64,
}

const SLOTS: usize = 10;

// === impl Budget ===

impl Budget {
    pub(crate) fn new(config: &RetryConfig) -> Self {
        let withdrawal = (1.0 / config.budget_part) as i64;
        let reserve = i64::from(config.budget_per_second) * SLOTS as i64 * withdrawal;
        Self { slots: [0; SLOTS], second: 0, sum: 0, withdrawal, reserve }
    }

    pub(crate) fn deposit(&mut self, now: u64) {
        self.put(1, now);
    }

    pub(crate) fn withdraw(&mut self, now: u64) -> bool {
        self.put(0, now);
        let some = self.sum + self.reserve >= self.withdrawal;
        if some {
            self.put(-self.withdrawal, now);
        }
        some
    }

    fn put(&mut self, amount: i64, now: u64) {
        let second = now / 1_000_000;
        while self.second < second {
            self.second = (self.second + 1).max(second.saturating_sub(SLOTS as u64));
            let slot = &mut self.slots[(self.second % SLOTS as u64) as usize];
            self.sum -= std::mem::take(slot);
        }
        self.slots[(second % SLOTS as u64) as usize] += amount;
        self.sum += amount;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_may_be_sent_again_and_ten_a_second_on_top() {
        let mut budget = Budget::new(&RetryConfig::default());
        let withdrawn = |budget: &mut Budget, now| (0..1_000).filter(|_| budget.withdraw(now)).count();
        assert_eq!(withdrawn(&mut budget, 0), 100, "what may always be made, of ten seconds");
        (0..500).for_each(|_| budget.deposit(5_000_000));
        assert_eq!(withdrawn(&mut budget, 5_000_000), 100);
        assert_eq!(withdrawn(&mut budget, 9_000_000), 0);
        assert_eq!(withdrawn(&mut budget, 10_000_000), 100, "the first are forgotten");
        assert_eq!(withdrawn(&mut budget, 99_000_000), 100);
    }
}
