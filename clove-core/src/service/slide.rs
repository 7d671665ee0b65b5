//! Sliding windows: the requests of the last so many seconds, each with its time, in the memory of this process.

use std::{collections::VecDeque, time::Duration};

/// What was charged to one sliding window and has not slid out yet. Its times are those of a clock that does not step.
#[derive(Default)]
pub(super) struct Slide {
    charged: VecDeque<(Duration, u64)>,
    sum: u64,
}

impl Slide {
    /// How many requests of `limit` are left at `now`; forgets what has slid out by then.
    pub(super) fn left(&mut self, limit: u64, length: Duration, now: Duration) -> u64 {
        while let Some((_, cost)) = self.charged.pop_front_if(|(at, _)| now.saturating_sub(*at) >= length) {
            self.sum = self.sum.saturating_sub(cost);
        }
        limit.saturating_sub(self.sum)
    }

    /// Charges a request, which fits.
    pub(super) fn charge(&mut self, cost: u64, now: Duration) {
        if cost == 0 {
            return;
        }
        match self.charged.back_mut() {
            Some((at, sum)) if *at == now => *sum = sum.saturating_add(cost),
            _ => self.charged.push_back((now, cost)),
        }
        self.sum = self.sum.saturating_add(cost);
    }

    /// How long to wait from `now` on until a request of this cost fits, if nothing else is charged.
    pub(super) fn wait(&self, cost: u64, limit: u64, length: Duration, now: Duration) -> Duration {
        let mut sum = self.sum;
        for (at, charged) in &self.charged {
            sum = sum.saturating_sub(*charged);
            if sum.saturating_add(cost) <= limit {
                return (*at + length).saturating_sub(now);
            }
        }
        length
    }

    pub(super) fn is_empty(&self) -> bool {
        self.charged.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A list of all requests ever, summed anew each time: nothing is plainer.
        #[test]
        fn it_allows_what_a_plain_list_allows(
            limit in 1_u64..20, length in 1_u64..50, requests in proptest::collection::vec((0_u64..20, 0_u64..6), 1..200)
        ) {
            let (mut slide, mut list, mut now, length) = (Slide::default(), Vec::new(), Duration::ZERO, Duration::from_secs(length));
            for (passes, cost) in requests {
                now += Duration::from_secs(passes);
                let in_window = |now: Duration, list: &[(Duration, u64)]| {
                    list.iter().filter(|(at, _)| *at + length > now).map(|(_, cost)| cost).sum::<u64>()
                };
                let before = in_window(now, &list);
                let left = slide.left(limit, length, now);
                prop_assert_eq!(left, limit - before);
                if cost <= left {
                    slide.charge(cost, now);
                    list.push((now, cost));
                } else if cost <= limit {
                    let wait = slide.wait(cost, limit, length, now);
                    prop_assert!(in_window(now + wait, &list) + cost <= limit, "then it fits");
                    prop_assert!(in_window(now + wait - Duration::from_micros(1), &list) + cost > limit, "and not before");
                }
            }
        }
    }
}
