//! One thread that wakes whoever has slept long enough. A sleep nearly always ends early, since what was waited for has come: so neither
//! to begin one nor to give one up wakes the thread, unless nothing else would wake it in time. Woken for each look-up in a store of
//! another process, it would cost as much as the look-up.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    // Held for a moment, and not while anything else is waited for: no schedule of these is worth trying.
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

/// A future that ends when its time has come.
pub(super) struct Alarm {
    alarms: Arc<Alarms>,
    /// `None` for a time that no clock reaches.
    at: Option<Instant>,
    /// Its place among those that wait, once it has one.
    place: Option<(Instant, u64)>,
}

/// All that wait, and the thread that wakes them.
#[derive(Default)]
struct Alarms {
    state: Mutex<State>,
    sooner: Condvar,
}

#[derive(Default)]
struct State {
    /// By time; by number where the time is the same.
    waiting: BTreeMap<(Instant, u64), Waker>,
    last_number: u64,
    is_running: bool,
    /// When the thread looks at them next; `None`: when it is told to.
    looks_at: Option<Instant>,
}

pub(super) fn after(duration: Duration) -> Alarm {
    static ALL: OnceLock<Arc<Alarms>> = OnceLock::new();
    Alarm::of(ALL.get_or_init(Arc::default), duration)
}

impl Alarm {
    fn of(alarms: &Arc<Alarms>, duration: Duration) -> Self {
        Self { alarms: Arc::clone(alarms), at: Instant::now().checked_add(duration), place: None }
    }
}

impl Future for Alarm {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else { return Poll::Pending };
        if Instant::now() >= at {
            return Poll::Ready(());
        }
        self.place = Some(self.alarms.wait(at, self.place, context.waker()));
        Poll::Pending
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        let removed = self.place.and_then(|place| self.alarms.lock().waiting.remove(&place));
        // Not under the lock: it may be the last of a task that holds alarms itself.
        drop(removed);
    }
}

impl Alarms {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `waker` woken at a time.
    fn wait(self: &Arc<Self>, at: Instant, place: Option<(Instant, u64)>, waker: &Waker) -> (Instant, u64) {
        let waker = waker.clone();
        let mut state = self.lock();
        let place = place.unwrap_or_else(|| {
            state.last_number += 1;
            (at, state.last_number)
        });
        let replaced = state.waiting.insert(place, waker);
        let is_too_late = state.looks_at.is_none_or(|looks_at| looks_at > at);
        if is_too_late {
            state.looks_at = Some(at);
        }
        if !state.is_running {
            let all = Arc::clone(self);
            // Where there is no thread to be had, the next one that sleeps tries again.
            state.is_running = thread::Builder::new().name("clove-alarms".to_owned()).spawn(move || all.run()).is_ok();
        } else if is_too_late {
            self.sooner.notify_one();
        }
        drop(state);
        drop(replaced);
        place
    }

    fn run(&self) {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let later = state.waiting.split_off(&(now, u64::MAX));
            let due = std::mem::replace(&mut state.waiting, later);
            if !due.is_empty() {
                drop(state);
                due.into_values().for_each(Waker::wake);
                state = self.lock();
                continue;
            }
            state.looks_at = state.waiting.first_key_value().map(|((at, _), _)| *at);
            state = match state.looks_at {
                Some(at) => {
                    self.sooner.wait_timeout(state, at.saturating_duration_since(now)).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.sooner.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::mpsc, task::Wake};

    struct Told(Mutex<mpsc::Sender<Instant>>);

    impl Wake for Told {
        fn wake(self: Arc<Self>) {
            // Nobody listens any more once the test is over.
            let _ = self.0.lock().unwrap_or_else(PoisonError::into_inner).send(Instant::now());
        }
    }

    fn told() -> (Waker, mpsc::Receiver<Instant>) {
        let (sender, receiver) = mpsc::channel();
        (Waker::from(Arc::new(Told(Mutex::new(sender)))), receiver)
    }

    fn begin(alarm: &mut Alarm, waker: &Waker) {
        assert!(Pin::new(alarm).poll(&mut Context::from_waker(waker)).is_pending());
    }

    /// Until the thread runs, and has nobody to wake.
    fn begin_and_wait_for_rest(alarms: &Arc<Alarms>) {
        let (waker, woken) = told();
        let mut first = Alarm::of(alarms, SHORT);
        begin(&mut first, &waker);
        assert!(woken.recv_timeout(PATIENCE).is_ok());
        while alarms.lock().looks_at.is_some() {
            thread::yield_now();
        }
    }

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(3600);
    const PATIENCE: Duration = Duration::from_secs(30);

    #[test]
    fn whoever_sleeps_is_woken_once_its_time_has_come_and_not_before() {
        let (alarms, (waker, woken)) = (Arc::<Alarms>::default(), told());
        let start = Instant::now();
        let mut alarm = Alarm::of(&alarms, SHORT);
        begin(&mut alarm, &waker);
        assert!(woken.recv_timeout(PATIENCE).is_ok_and(|at| at >= start + SHORT));
        assert!(Pin::new(&mut alarm).poll(&mut Context::from_waker(&waker)).is_ready());
    }

    #[test]
    fn a_short_sleep_that_begins_after_a_long_one_ends_before_it() {
        let (alarms, (waker, woken)) = (Arc::<Alarms>::default(), told());
        begin_and_wait_for_rest(&alarms);
        let (mut long, mut short) = (Alarm::of(&alarms, LONG), Alarm::of(&alarms, SHORT));
        begin(&mut long, Waker::noop());
        begin(&mut short, &waker);
        assert!(woken.recv_timeout(PATIENCE).is_ok());
    }

    #[test]
    fn sleeps_after_which_the_thread_looks_anyway_do_not_wake_it_and_leave_nothing_when_given_up() {
        let alarms = Arc::<Alarms>::default();
        // One that stays, so that the thread comes to the same time whenever it looks.
        let mut first = Alarm::of(&alarms, LONG);
        begin(&mut first, Waker::noop());
        let looks_at = alarms.lock().looks_at;
        assert!(looks_at.is_some());
        for _ in 0..100 {
            begin(&mut Alarm::of(&alarms, LONG), Waker::noop());
        }
        let state = alarms.lock();
        assert_eq!((state.looks_at, state.waiting.len()), (looks_at, 1));
    }

    #[test]
    fn whoever_polls_with_another_waker_is_woken_by_that_one_alone() {
        let (alarms, (old, by_old), (new, by_new)) = (Arc::<Alarms>::default(), told(), told());
        let mut alarm = Alarm::of(&alarms, SHORT);
        begin(&mut alarm, &old);
        begin(&mut alarm, &new);
        assert!(by_new.recv_timeout(PATIENCE).is_ok());
        assert!(by_old.try_recv().is_err());
    }
}
