//! What tests of usage share.

use clove::{Clove, Grant, ListUsage, Owner, Policy, Scope, Status, Tier, Unit, Usage, UsagePer};
use clove_testkit::Fixture;

/// Any number of keys and requests.
pub(crate) fn policy() -> Policy {
    let policy = Policy::builder().active_limit(clove::ActiveLimit::Unlimited).max_records(None).max_creations_per_day(None);
    policy.limits(Tier::unlimited()).build().unwrap()
}

pub(crate) fn tokens() -> Unit {
    Unit::new("tokens").unwrap()
}

pub(crate) async fn credential(fixture: &Fixture) -> String {
    fixture.key_in(Status::Active).await.unwrap().credential.unwrap().reveal().to_string()
}

pub(crate) async fn grant(clove: &Clove, credential: &str) -> Grant {
    clove.verify(credential).await.unwrap().granted().expect("a grant")
}

/// All sums that a list finds, page by page, by way of each cursor's text.
pub(crate) async fn sums(clove: &Clove, scope: impl Into<Scope>, list: &ListUsage) -> Vec<Usage> {
    let (scope, mut list, mut found) = (scope.into(), list.clone(), Vec::new());
    loop {
        let page = clove.usage(&scope, &list).await.unwrap();
        assert!(page.corrupt.is_empty());
        found.extend(page.items);
        list.after = page.next.map(|cursor| cursor.to_string().parse().unwrap());
        if list.after.is_none() {
            return found;
        }
    }
}

/// The total of a unit in an organization.
pub(crate) async fn total(clove: &Clove, owner: &Owner, unit: &Unit) -> u64 {
    let list = ListUsage { per: UsagePer::Total, unit: Some(unit.clone()), ..ListUsage::default() };
    sums(clove, &owner.organization, &list).await.first().map_or(0, |sum| sum.amount)
}
