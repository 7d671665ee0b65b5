//! Giving back what a request was charged whose grant cannot be returned, since its log cannot be written.

use super::Inner;
use crate::{limit::Window, store::Unspent, usage::Day, verdict::Grant};

impl Inner {
    /// Has the places of a grant that nobody gets be spent by others, and counts it no more, unless its count was written already.
    ///
    /// Only that of a window that slides in this process stays: its charges are known by their times alone, and to take another's for
    /// it could grant one too many.
    pub(super) fn uncharge(&self, grant: &Grant, cost: u64) {
        let Grant { known, at, lefts, .. } = grant;
        let mut unspent = Vec::new();
        for (tally, limits) in [(&known.tally, &known.plan.key), (&known.account, &known.plan.account)] {
            let windows = limits.windows().iter().copied().filter(|window| window.is_shared() && !lefts.uncounted);
            let places = |window: Window| Unspent {
                subject: tally.subject.clone(),
                seconds: window.seconds(),
                start: if window.slides() { *at } else { window.start(*at) },
                places: cost,
            };
            let mut held = tally.lock();
            // They are charged in the store: where this process has no use for them any more, they go back there.
            unspent.extend(windows.map(places).filter(|places| !held.reclaim(places)));
        }
        self.buffers.add_unspent(unspent);
        if let Some(uses) = known.tally.lock().uses.as_mut().filter(|uses| uses.day == Day::of(*at)) {
            uses.requests = uses.requests.saturating_sub(cost);
        }
    }
}
