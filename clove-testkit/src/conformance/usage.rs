//! Usage: nothing is counted twice, nothing is lost, and what is asked for is told apart.

use super::{list_cases, tools::*};
use clove_core::{
    GrantId, KeyId, Owner, Scope, Timestamp,
    id::NodeId,
    store::{Meter, Report, UsageBatch, UsagePage, UsagePlace, UsageQuery},
    usage::{Day, MAX_AMOUNT, Unit, Usage, UsageBy, UsagePer},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

list_cases![
    a_batch_of_usage_is_written_once,
    of_several_totals_the_largest_counts,
    racing_batches_of_usage_are_each_written_once,
    sums_stay_at_the_largest_amount,
    sums_outlive_their_key,
    sums_are_told_apart_by_all_that_they_are_of,
    usage_stays_within_its_scope,
    usage_is_filtered_at_its_edges,
    pages_of_usage_hold_each_sum_once,
    reports_are_forgotten_by_day_and_sums_stay,
    batches_are_forgotten_by_day,
];

/// The day so many days after that of the start.
fn day(days: i32) -> Day {
    Day::from_epoch_days(Day::of(start()).epoch_days() + days).unwrap()
}

fn unit(name: &str) -> Unit {
    Unit::new(name).unwrap()
}

fn meter(owner: &Owner, key: KeyId, name: &str, days: i32) -> Meter {
    Meter { owner: owner.clone(), key, unit: unit(name), day: day(days) }
}

fn node() -> NodeId {
    NodeId::new(start())
}

fn grant() -> GrantId {
    GrantId::new(start())
}

fn batch(node: NodeId, sequence: u64, requests: Vec<(Meter, u64)>, reports: Vec<Report>) -> Arc<UsageBatch> {
    Arc::new(UsageBatch { node, sequence, at: Timestamp::from(start()), requests, reports })
}

fn report(grant: GrantId, meter: &Meter, total: u64) -> Report {
    Report { grant, meter: meter.clone(), total, settles: false }
}

fn all_of(scope: impl Into<Scope>, by: UsageBy, per: UsagePer) -> UsageQuery {
    let (scope, key, unit, after) = (scope.into(), None, None, None);
    UsageQuery { scope, by, per, key, unit, first: day(-1000), last: day(1000), after, limit: 1000 }
}

impl Bench {
    async fn record(&self, batch: &Arc<UsageBatch>) {
        self.store.record(Arc::clone(batch)).await.unwrap();
    }

    async fn usage(&self, query: &UsageQuery) -> UsagePage {
        self.store.usage(query).await.unwrap()
    }

    /// The total of one unit within a scope.
    async fn total(&self, scope: impl Into<Scope>, name: &str) -> u64 {
        let page =
            self.usage(&UsageQuery { unit: Some(unit(name)), ..all_of(scope, UsageBy::Organization, UsagePer::Total) }).await;
        assert!(page.sums.len() <= 1 && page.corrupt == 0 && !page.more, "{page:?}");
        page.sums.first().map_or(0, |sum| sum.amount)
    }
}

async fn a_batch_of_usage_is_written_once(bench: Arc<Bench>) {
    let (owner, key) = (bench.owner("acme", "ada"), KeyId::new(start()));
    let (meter, tokens) = (meter(&owner, key, "requests", 0), meter(&owner, key, "tokens", 0));
    let (first, second) = (node(), node());
    let of =
        |node, sequence, amount| batch(node, sequence, vec![(meter.clone(), amount)], vec![report(grant(), &tokens, amount)]);
    let third = of(first, 3, 1);
    for (sent, wanted) in [
        (of(first, 1, 1_000), 1_000),
        (third.clone(), 1_001),
        (third, 1_001),
        (of(first, 3, 50_000), 1_001),
        (of(first, 2, 50_000), 1_001),
        (of(first, 4, 20), 1_021),
        (of(second, 1, 300), 1_321),
        (of(second, 4, 4_000), 5_321),
        (of(first, 4, 50_000), 5_321),
        (of(first, u64::from(u32::MAX) + 5, 10_000), 15_321),
    ] {
        bench.record(&sent).await;
        assert_eq!((bench.total(&owner, "requests").await, bench.total(&owner, "tokens").await), (wanted, wanted), "{sent:?}");
    }
}

async fn of_several_totals_the_largest_counts(bench: Arc<Bench>) {
    let (owner, key) = (bench.owner("acme", "ada"), KeyId::new(start()));
    let (tokens, bytes) = (meter(&owner, key, "tokens", 0), meter(&owner, key, "bytes", 0));
    let (first, second) = (grant(), grant());
    let nodes = [node(), node()];
    for (place, (grant, meter, total, wanted)) in [
        (first, &tokens, 10, (10, 0)),
        (first, &tokens, 10, (10, 0)),
        (first, &tokens, 7, (10, 0)),
        (first, &bytes, 7, (10, 7)),
        (second, &tokens, 7, (17, 7)),
        (second, &tokens, 0, (17, 7)),
        (first, &tokens, 25, (32, 7)),
        (first, &tokens, 10, (32, 7)),
        (first, &bytes, 8, (32, 8)),
    ]
    .into_iter()
    .enumerate()
    {
        // One process and the other report the same.
        for node in nodes {
            bench.record(&batch(node, place as u64 + 1, vec![], vec![report(grant, meter, total)])).await;
            assert_eq!((bench.total(&owner, "tokens").await, bench.total(&owner, "bytes").await), wanted, "{place}");
        }
    }
}

async fn racing_batches_of_usage_are_each_written_once(bench: Arc<Bench>) {
    let (owner, key) = (bench.owner("acme", "ada"), KeyId::new(start()));
    let (requests, tokens) = (meter(&owner, key, "requests", 0), meter(&owner, key, "tokens", 0));
    let (shared, shared_grant) = (node(), grant());
    for round in 1..=5 {
        let repeated = batch(shared, round, vec![(requests.clone(), 1)], vec![report(shared_grant, &tokens, round)]);
        let writes = (0..8).map(|_| {
            let (bench, repeated) = (Arc::clone(&bench), Arc::clone(&repeated));
            let reports = vec![report(shared_grant, &tokens, round), report(grant(), &tokens, 100)];
            let own = batch(node(), 1, vec![(requests.clone(), 10)], reports);
            async move {
                bench.record(&repeated).await;
                bench.record(&own).await;
                bench.record(&repeated).await;
            }
        });
        at_once(writes.collect());
        assert_eq!(bench.total(&owner, "requests").await, round * 81, "round {round}");
        assert_eq!(bench.total(&owner, "tokens").await, round * 801, "round {round}");
    }
}

async fn sums_stay_at_the_largest_amount(bench: Arc<Bench>) {
    let (owner, key) = (bench.owner("acme", "ada"), KeyId::new(start()));
    let of_day = |days| meter(&owner, key, "requests", days);
    let node = node();
    let exact = (1 << 53) + 1;
    bench.record(&batch(node, 1, vec![(of_day(0), exact)], vec![])).await;
    assert_eq!(bench.total(&owner, "requests").await, exact);
    let reports = vec![report(grant(), &meter(&owner, key, "tokens", 0), MAX_AMOUNT)];
    bench.record(&batch(node, 2, vec![(of_day(0), MAX_AMOUNT - exact - 1), (of_day(1), 1)], reports)).await;
    assert_eq!(bench.total(&owner, "requests").await, MAX_AMOUNT);
    bench.record(&batch(node, 3, vec![(of_day(0), 7), (of_day(1), MAX_AMOUNT)], vec![])).await;
    let reports = vec![report(grant(), &meter(&owner, key, "tokens", 0), MAX_AMOUNT)];
    bench.record(&batch(node, 4, vec![(of_day(0), 7), (of_day(1), 9)], reports)).await;
    for by in [UsageBy::Key, UsageBy::Account, UsageBy::Organization] {
        for per in [UsagePer::Day, UsagePer::Total] {
            let sums = bench.usage(&all_of(&owner, by, per)).await.sums;
            assert!(sums.len() > 1 && sums.iter().all(|sum| sum.amount == MAX_AMOUNT), "{sums:?}");
        }
    }
}

async fn sums_outlive_their_key(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let key = key(&owner);
    bench.insert(&key).await;
    bench.record(&batch(node(), 1, vec![(meter(&owner, key.id, "requests", 0), 3)], vec![])).await;
    bench.delete(&(&owner).into(), key.id).await;
    let sums = bench.usage(&all_of(&owner, UsageBy::Key, UsagePer::Day)).await.sums;
    assert_eq!(sums.iter().map(|sum| (sum.key, sum.amount)).collect::<Vec<_>>(), [(Some(key.id), 3)]);
    bench.record(&batch(node(), 1, vec![(meter(&owner, key.id, "requests", 0), 4)], vec![])).await;
    assert_eq!(bench.total(&owner, "requests").await, 7, "and go on");
}

/// Meters that differ in one thing each, ascending in the order of pages, with an amount that tells each.
fn meters(bench: &Bench) -> Vec<(Meter, u64)> {
    let ids: Vec<KeyId> = (0..9).map(|second| KeyId::new(after(second))).collect();
    let mut meters = Vec::new();
    for (place, account) in ["Ada", "ada", "ada.", "b", "ä"].into_iter().enumerate() {
        let owner = bench.owner("acme", account);
        for key in &ids[place..=place + 1 + place % 2] {
            // A key has one owner.
            let key = KeyId::from_slice(&[&key.as_bytes()[..15], &[u8::try_from(place).unwrap()]].concat()).unwrap();
            for name in ["a", "a.b", "requests", "tokens"] {
                for days in [-400, -1, 0, 31] {
                    meters.push(meter(&owner, key, name, days));
                }
            }
        }
    }
    // Gaps, so that not every series has every day, nor every key every unit.
    let meters = meters.into_iter().enumerate().filter(|(place, _)| place % 7 != 3 && !(20..27).contains(place));
    meters.map(|(place, meter)| (meter, 1 << (place % 40))).collect()
}

/// The same of other organizations, which nobody of this one is to see.
fn foreign(bench: &Bench) -> Vec<(Meter, u64)> {
    let owners =
        [("acm", "ada"), ("acme.", "ada"), ("Acme", "ada"), ("other", "b")].map(|(org, account)| bench.owner(org, account));
    let names = owners.iter().flat_map(|owner| [(owner, "a"), (owner, "tokens")]);
    names.map(|(owner, name)| (meter(owner, KeyId::new(after(99)), name, 0), 1_000_000_007)).collect()
}

/// Writes sums as requests and as reports, in several batches.
async fn write(bench: &Bench, sums: &[(Meter, u64)]) {
    let (node, mut sequence) = (node(), 0);
    for sums in sums.chunks(11) {
        sequence += 1;
        let (requests, reports): (Vec<_>, Vec<_>) = sums.iter().cloned().partition(|(meter, _)| meter.unit.is_requests());
        let reports = reports.iter().map(|(meter, amount)| report(grant(), meter, *amount)).collect();
        bench.record(&batch(node, sequence, requests, reports)).await;
    }
}

const ALL: [(UsageBy, UsagePer); 6] = [
    (UsageBy::Key, UsagePer::Day),
    (UsageBy::Key, UsagePer::Total),
    (UsageBy::Account, UsagePer::Day),
    (UsageBy::Account, UsagePer::Total),
    (UsageBy::Organization, UsagePer::Day),
    (UsageBy::Organization, UsagePer::Total),
];

async fn sums_are_told_apart_by_all_that_they_are_of(bench: Arc<Bench>) {
    let sums = meters(&bench);
    write(&bench, &sums).await;
    write(&bench, &foreign(&bench)).await;
    let owner = sums[0].0.owner.clone();
    let all: Vec<Usage> = sums
        .iter()
        .map(|(meter, amount)| Usage {
            account: Some(meter.owner.account.clone()),
            key: Some(meter.key),
            unit: meter.unit.clone(),
            day: Some(meter.day),
            amount: *amount,
        })
        .collect();
    let page = bench.usage(&all_of(&owner.organization, UsageBy::Key, UsagePer::Day)).await;
    assert_eq!((page.sums, page.more, page.corrupt), (all, false, 0));
    // Whatever is not told apart adds up.
    let everything: u64 = sums.iter().map(|(_, amount)| amount).sum();
    for (by, per) in ALL {
        let query = all_of(&owner.organization, by, per);
        let page = bench.usage(&query).await;
        assert_eq!(page.sums.iter().map(|sum| sum.amount).sum::<u64>(), everything, "{by:?}, {per:?}");
        assert_eq!(page.sums, expected(&query, &sums), "{by:?}, {per:?}");
        let tells = |sum: &Usage| (sum.account.is_some(), sum.key.is_some(), sum.day.is_some());
        let wanted = (by != UsageBy::Organization, by == UsageBy::Key, per == UsagePer::Day);
        assert!(page.sums.iter().all(|sum| tells(sum) == wanted), "{by:?}, {per:?}");
    }
}

/// What a query is to find, added up plainly.
fn expected(query: &UsageQuery, sums: &[(Meter, u64)]) -> Vec<Usage> {
    let mut found: BTreeMap<UsagePlace, u64> = BTreeMap::new();
    for (meter, amount) in sums {
        let matches = query.scope.holds(&meter.owner)
            && query.key.is_none_or(|key| key == meter.key)
            && query.unit.as_ref().is_none_or(|unit| *unit == meter.unit)
            && query.first <= meter.day
            && meter.day <= query.last;
        if matches {
            let account = (query.by != UsageBy::Organization).then(|| meter.owner.account.clone());
            let key = (query.by == UsageBy::Key).then_some(meter.key);
            let day = Some(meter.day).filter(|_| query.per == UsagePer::Day);
            *found.entry(UsagePlace { account, key, unit: meter.unit.clone(), day }).or_default() += amount;
        }
    }
    found.into_iter().map(|(place, amount)| place.sum(amount)).collect()
}

async fn usage_stays_within_its_scope(bench: Arc<Bench>) {
    let mut sums = meters(&bench);
    sums.extend(foreign(&bench));
    write(&bench, &sums).await;
    let mut owners: BTreeSet<Owner> = sums.iter().map(|(meter, _)| meter.owner.clone()).collect();
    owners.extend([bench.owner("acme", "nobody"), bench.owner("nowhere", "ada")]);
    let organizations: BTreeSet<_> = owners.iter().map(|owner| owner.organization.clone()).collect();
    let scopes: Vec<Scope> = owners.iter().map(Scope::from).chain(organizations.iter().map(Scope::from)).collect();
    let keys = [sums[0].0.key, sums[sums.len() - 1].0.key, KeyId::new(start())];
    for scope in scopes {
        for (by, per) in ALL {
            for key in [None].into_iter().chain(keys.map(Some)) {
                let query = UsageQuery { key, ..all_of(&scope, by, per) };
                assert_eq!(bench.usage(&query).await.sums, expected(&query, &sums), "{query:?}");
            }
        }
    }
}

async fn usage_is_filtered_at_its_edges(bench: Arc<Bench>) {
    let sums = meters(&bench);
    write(&bench, &sums).await;
    let organization = &sums[0].0.owner.organization;
    let key = sums[40].0.key;
    for (by, per) in ALL {
        for (first, last) in [(0, 0), (1, 30), (1, 0), (-400, -1), (31, 400)] {
            for unit in [None, Some(unit("a")), Some(unit("tokens")), Some(unit("zz"))] {
                for key in [None, Some(key)] {
                    let whole = all_of(organization, by, per);
                    let query = UsageQuery { first: day(first), last: day(last), unit: unit.clone(), key, ..whole };
                    assert_eq!(bench.usage(&query).await.sums, expected(&query, &sums), "{query:?}");
                }
            }
        }
    }
}

async fn pages_of_usage_hold_each_sum_once(bench: Arc<Bench>) {
    let sums = meters(&bench);
    write(&bench, &sums).await;
    let (owner, key) = (&sums[60].0.owner, sums[60].0.key);
    for scope in [Scope::from(&owner.organization), Scope::from(owner)] {
        for (by, per) in ALL {
            for (unit, key) in [(None, None), (Some(unit("tokens")), None), (None, Some(key)), (Some(unit("a.b")), Some(key))] {
                let whole = UsageQuery { unit: unit.clone(), key, first: day(-1), ..all_of(&scope, by, per) };
                let wanted = expected(&whole, &sums);
                for limit in [3, 1000] {
                    let mut query = UsageQuery { limit, ..whole.clone() };
                    let mut read: Vec<Usage> = Vec::new();
                    while read.len() < wanted.len() {
                        let page = bench.usage(&query).await;
                        assert!((1..=limit).contains(&page.sums.len()), "{query:?}: {page:?}");
                        assert_eq!(page.last, page.sums.last().map(UsagePlace::of), "{query:?}");
                        read.extend(page.sums);
                        assert_eq!(page.more, read.len() < wanted.len(), "{query:?}");
                        query.after = page.last;
                    }
                    assert_eq!(read, wanted, "{whole:?}, {limit} a page");
                }
            }
        }
    }
}

async fn reports_are_forgotten_by_day_and_sums_stay(bench: Arc<Bench>) {
    let (owner, key) = (bench.owner("acme", "ada"), KeyId::new(start()));
    let grants: Vec<GrantId> = (0..4).map(|_| grant()).collect();
    let node = node();
    // So that the node itself is not forgotten below.
    let all = |sequence| {
        let reports = grants.iter().zip(0..).map(|(grant, days)| report(*grant, &meter(&owner, key, "tokens", days), 1 << days));
        let late = Timestamp::from(after(99 * 86_400));
        Arc::new(UsageBatch { at: late, ..(*batch(node, sequence, vec![], reports.collect())).clone() })
    };
    bench.record(&all(1)).await;
    let forget = async |days, limit| bench.store.forget_reports(day(days), limit).await.unwrap();
    assert_eq!(forget(0, 9).await, 0);
    assert_eq!(forget(1, 9).await, 1, "those of days before");
    assert_eq!(bench.total(&owner, "tokens").await, 0b1111, "what is in the sums stays in them");
    bench.record(&all(2)).await;
    assert_eq!(bench.total(&owner, "tokens").await, 0b1111 + 0b1, "what is forgotten counts anew, and nothing else");
    assert_eq!(forget(4, 3).await, 3, "no more than asked");
    assert_eq!(forget(4, 3).await, 1);
    assert_eq!(forget(4, 3).await, 0);
}

async fn batches_are_forgotten_by_day(bench: Arc<Bench>) {
    let (owner, key) = (bench.owner("acme", "ada"), KeyId::new(start()));
    let [kept, forgotten] = [node(), node()];
    let of = |node, sequence, days: i64| {
        let at = Timestamp::from(after(days * 86_400));
        Arc::new(UsageBatch { at, ..(*batch(node, sequence, vec![(meter(&owner, key, "requests", 0), 1)], vec![])).clone() })
    };
    bench.record(&of(forgotten, 1, 0)).await;
    bench.record(&of(kept, 1, 0)).await;
    bench.record(&of(kept, 2, 1)).await;
    assert_eq!(bench.store.forget_reports(day(0), 9).await.unwrap(), 0);
    assert_eq!(bench.store.forget_reports(day(1), 9).await.unwrap(), 1);
    for (sent, wanted) in [(of(kept, 2, 1), 3), (of(forgotten, 2, 1), 4), (of(forgotten, 2, 1), 4)] {
        bench.record(&sent).await;
        assert_eq!(bench.total(&owner, "requests").await, wanted);
    }
    assert_eq!(bench.store.forget_reports(day(2), 1).await.unwrap(), 1, "no more than asked");
}
