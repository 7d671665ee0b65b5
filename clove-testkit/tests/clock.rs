//! The clock to turn.

use chrono::{DateTime, TimeDelta, Utc};
use clove_core::Clock as _;
use clove_testkit::TestClock;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake},
    time::Duration,
};

#[derive(Default)]
struct Count(AtomicUsize);
impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn now(clock: &TestClock) -> DateTime<Utc> {
    clock.now().into()
}

#[test]
fn a_sleep_ends_once_its_time_has_passed() {
    let clock = TestClock::new();
    let woken = Arc::new(Count::default());
    let waker = Arc::clone(&woken).into();
    let mut context = Context::from_waker(&waker);
    let mut sleep = clock.sleep(Duration::from_secs(10));
    for _ in 0..3 {
        assert_eq!(sleep.as_mut().poll(&mut context), Poll::Pending);
    }
    clock.clone().advance(Duration::from_secs(9));
    assert_eq!(woken.0.load(Ordering::Relaxed), 1, "one sleeper, woken once however often it looked");
    assert_eq!(sleep.as_mut().poll(&mut context), Poll::Pending);
    clock.advance(Duration::from_secs(1));
    assert_eq!(woken.0.load(Ordering::Relaxed), 2);
    assert_eq!(sleep.as_mut().poll(&mut context), Poll::Ready(()));
}

#[test]
fn steps_move_the_time_of_day_alone() {
    let clock = TestClock::new();
    let noon = now(&clock);
    clock.advance(Duration::from_secs(60));
    assert_eq!(now(&clock), noon + TimeDelta::seconds(60));
    clock.step_back(Duration::from_secs(3600));
    assert_eq!(now(&clock), noon - TimeDelta::seconds(3540));
    clock.step(TimeDelta::seconds(3540));
    assert_eq!(now(&clock), noon);
    clock.set(noon + TimeDelta::days(9));
    assert_eq!(now(&clock), noon + TimeDelta::days(9));
    assert_eq!(clock.monotonic(), Duration::from_secs(60));
}
