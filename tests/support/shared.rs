//! What many tests share.

use super::*;

/// A fixture whose store is under orders; the calls so far are forgotten.
pub(crate) fn spied(policy: Policy) -> (Fixture, Spy) {
    let spy = Spy::new();
    (Fixture::on(spy.clone(), policy).unwrap(), spy)
}

pub(crate) fn fixture() -> Fixture {
    Fixture::new(Policy::profile_a()).unwrap()
}

pub(crate) fn unlimited() -> Fixture {
    let policy = Policy::builder().active_limit(ActiveLimit::Unlimited).max_creations_per_day(None).max_records(None);
    Fixture::new(policy.build().unwrap()).unwrap()
}

pub(crate) fn named(name: &str) -> NewKey {
    NewKey::named(name).unwrap()
}

pub(crate) fn refusal<T: Debug>(result: Result<T, Error>) -> Refusal {
    match result {
        Err(Error::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

pub(crate) fn invalid<T: Debug>(result: Result<T, Error>) -> Invalid {
    match result {
        Err(Error::Invalid(invalid)) => invalid,
        other => panic!("not invalid: {other:?}"),
    }
}

pub(crate) fn denied(verdict: Result<Verdict, Fault>) -> DenialReason {
    verdict.unwrap().denied().expect("a denial").reason().clone()
}

pub(crate) async fn is_good(clove: &Clove, text: &str) -> bool {
    clove.verify(text).await.unwrap().granted().is_some()
}

pub(crate) fn pepper(version: u16) -> Pepper {
    Pepper::new(version, &[u8::try_from(version).unwrap(); 32]).unwrap()
}

/// A policy with this hashing and no limit on active keys.
pub(crate) fn hashed(hashing: Hashing) -> Policy {
    Policy::builder().hashing(hashing).active_limit(ActiveLimit::Unlimited).limits(Tier::unlimited()).build().unwrap()
}

pub(crate) async fn trail(fixture: &Fixture) -> Vec<AuditEvent> {
    let list = ListAudit { limit: Some(200), ..ListAudit::default() };
    fixture.clove.audit(&fixture.owner.organization, &list).await.unwrap().items
}

/// The actions of the trail, oldest first, with whether they changed anything.
pub(crate) async fn actions(fixture: &Fixture) -> Vec<(Action, bool)> {
    trail(fixture).await.iter().rev().map(|event| (event.action, event.changed)).collect()
}

pub(crate) fn turn_to(clock: &TestClock, now: DateTime<Utc>, then: DateTime<Utc>) {
    clock.advance((then - now).max(TimeDelta::zero()).to_std().unwrap());
}

/// Polls once, and drops the future: a caller that went away.
pub(crate) fn poll_and_drop<T>(future: impl Future<Output = T>) -> Poll<T> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}
