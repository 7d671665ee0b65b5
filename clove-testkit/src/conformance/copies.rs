//! Moving to another store: every row is given as it is, and written as it was given, or not at all.

use super::{
    epochs::{epochs, moved},
    list_cases,
    tools::*,
};
use clove_core::{
    AccessEntry, AccessLimit, AccessOutcome, Action, Argon2Cost, Budget, BudgetChoice, EndpointLabel, GrantId, KeyState, Limited,
    OperationId, OrganizationId, Owner, Refill, Scope, StoreError, Timestamp, Unit, Window,
    budget::Holder,
    digest::Scheme,
    error::Unique,
    id::NodeId,
    limit::Subject,
    store::{
        ActiveLimit, BudgetRow, BudgetSums, CopyPart, CopyPlace, CopyRow, CountRow, EpochShard, Lease, Meter, OrganizationRecord,
        OwnerRecord, Reads, RecorderRow, Report, ReportRow, Reported, Reserve, Reserving, SecretRecord, StoredKey, SumRow,
        UnrecognizedCount, UsageBatch, Want,
    },
    usage::{Day, MAX_AMOUNT},
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

list_cases![
    what_is_imported_is_exported_as_it_was,
    what_a_service_has_written_is_exported,
    pages_of_a_part_hold_each_row_once,
    rows_that_are_there_are_passed_over,
    a_row_that_differs_is_refused,
    a_slice_that_is_refused_is_not_written,
    racing_imports_write_each_row_once,
    an_import_outdates_what_may_be_remembered,
    imported_keys_are_found,
    what_was_imported_is_counted_on,
    an_imported_operation_is_replayed,
];

fn unit() -> Unit {
    Unit::new("tokens").unwrap()
}

fn day() -> Day {
    Day::of(start())
}

fn moment() -> Timestamp {
    Timestamp::from(start())
}

fn sum(holder: Holder, used: u64, reserved: u64) -> CopyRow {
    CopyRow::Sum(SumRow { holder, unit: unit(), day: day(), sums: BudgetSums { used, reserved } })
}

/// Keys in each state, with secrets of each kind, and their owners.
fn keys(bench: &Bench) -> Vec<CopyRow> {
    let organization = |id: &str, open| CopyRow::Organization(OrganizationRecord { id: OrganizationId::new(id).unwrap(), open });
    let mut rows = vec![organization("acme", true), organization("Acme", false)];
    let schemes = [
        Scheme::Sha256,
        Scheme::HmacSha256 { pepper: 300 },
        Scheme::Argon2id { cost: Argon2Cost::OWASP, salt: [7; 16], imported: true },
    ];
    for account in ["ada", "bob"] {
        let owner = bench.owner("acme", account);
        let mut held = 0;
        for (number, state) in KeyState::ALL.into_iter().enumerate() {
            let mut key = key(&owner);
            key.state = state;
            key.expiry_latched = number == 1;
            key.expires_at = Some(after(i64::try_from(number).unwrap()));
            key.last_used_at = (number != 2).then(|| after(7));
            key.revision = MAX_AMOUNT - 1;
            held += u32::from(key.holds_place());
            let scheme = schemes[number % schemes.len()];
            let mut secrets = vec![SecretRecord { scheme, ..current(digest()) }];
            if number % 2 == 0 {
                secrets.push(SecretRecord { valid_until: Some(moment()), ..current(digest()) });
            }
            rows.push(CopyRow::Key(StoredKey { key, secrets }));
        }
        let record = OwnerRecord {
            open: account == "ada",
            held,
            records: u32::try_from(KeyState::ALL.len()).unwrap(),
            limit: Some(if account == "ada" { ActiveLimit::Unlimited } else { ActiveLimit::AtMost(0) }),
            creation_day: (account == "ada").then(|| start().date_naive()),
            creations: 5,
            ..owner_record(&owner)
        };
        rows.insert(2, CopyRow::Owner(record));
    }
    rows
}

/// Rows of all parts, two of each at least.
fn rows(bench: &Bench) -> Vec<CopyRow> {
    let mut rows = keys(bench);
    let stored: Vec<StoredKey> =
        rows.iter().filter_map(|row| if let CopyRow::Key(stored) = row { Some(stored.clone()) } else { None }).collect();
    let (owner, node) = (stored[0].key.owner.clone(), || NodeId::new(start()));
    for (number, StoredKey { key, .. }) in stored.iter().take(2).enumerate() {
        let number = u64::try_from(number).unwrap();
        let mut event = event(OperationId::new(start()), Action::Rotate, key);
        if number == 1 {
            (event.key, event.account, event.changed) = (None, None, false);
        }
        rows.push(CopyRow::Event(event));
        rows.push(sum(Holder::Key(owner.clone(), key.id), MAX_AMOUNT - number, number));
        let known = Reported { total: 10 + number, reserved: number };
        let grant = GrantId::new(start());
        rows.push(CopyRow::Report(ReportRow { grant, unit: unit(), day: day(), known }));
        rows.push(CopyRow::Recorder(RecorderRow { node: node(), sequence: 9 + number, day: day() }));
        let subject = if number == 0 { Subject::Key(key.id) } else { Subject::Account(owner.clone().into()) };
        rows.push(CopyRow::Count(CountRow { subject, seconds: 60, start: moment(), places: 3 + number }));
        let window = Window::sliding_shared(5, Duration::from_secs(60)).unwrap();
        rows.push(CopyRow::Access(AccessEntry {
            id: GrantId::new(start()),
            at: start(),
            key: key.id,
            owner: owner.clone(),
            outcome: AccessOutcome::Granted,
            limit: (number == 0).then_some(AccessLimit { of: Limited::Account, window, left: 2 }),
            cost: number,
            endpoint: (number == 1).then(|| EndpointLabel::new("GET/v1/models").unwrap()),
        }));
        rows.push(CopyRow::Unrecognized(UnrecognizedCount { node: node(), hour: moment(), count: MAX_AMOUNT }));
    }
    rows.extend([sum(Holder::Account(owner.clone()), 7, 2), sum(Holder::Organization(owner.organization.clone()), 7, 0)]);
    for scope in [Scope::from(&owner), Scope::from(&owner.organization)] {
        let choice = BudgetChoice::Own(Budget::new(100, Refill::Monthly).unwrap());
        rows.push(CopyRow::Budget(BudgetRow { scope, unit: unit(), choice }));
    }
    rows
}

fn sorted(mut rows: Vec<CopyRow>) -> Vec<CopyRow> {
    rows.sort_by_key(|row| (row.part(), row.place()));
    rows
}

impl Bench {
    async fn import(&self, rows: &[CopyRow]) -> Result<usize, StoreError> {
        self.store.import(rows.into()).await
    }

    /// All rows, in pages of so many.
    async fn export(&self, limit: usize) -> Vec<CopyRow> {
        let mut rows = Vec::new();
        for part in CopyPart::ALL {
            let mut last: Option<CopyPlace> = None;
            loop {
                let page = self.store.export(part, last.as_ref(), limit).await.unwrap();
                assert!(page.rows.len() <= limit && page.unreadable.is_empty(), "{page:?}");
                assert!(page.more <= (page.rows.len() == limit), "a page that is not full has nothing after it");
                assert!(!page.more || page.last > last, "a page leads on");
                rows.extend(page.rows);
                if !page.more {
                    break;
                }
                last = page.last;
            }
        }
        rows
    }
}

async fn what_is_imported_is_exported_as_it_was(bench: Arc<Bench>) {
    let rows = sorted(rows(&bench));
    assert_eq!(bench.import(&rows).await.unwrap(), rows.len());
    assert_eq!(bench.export(1000).await, rows);
}

async fn what_a_service_has_written_is_exported(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let key = key(&owner);
    let secrets = vec![current(digest())];
    committed(bench.insert_with(&key, secrets.clone()).await);
    bench.store.touch(&[(key.id, after(3))]).await.unwrap();
    let (node, grant) = (NodeId::new(start()), GrantId::new(start()));
    let meter = Meter { owner: owner.clone(), key: key.id, unit: unit(), day: day() };
    let defaults = [Some(Budget::new(100, Refill::Daily).unwrap()), None, None];
    let reserve = Reserve { grant, meter: meter.clone(), amount: 50, holds: true, defaults };
    bench.store.reserve(Arc::new(reserve)).await.unwrap();
    let reports = vec![Report { grant, meter, total: 20, settles: false }];
    let batch = UsageBatch { node, sequence: 4, at: moment(), requests: Vec::new(), reports };
    bench.store.record(Arc::new(batch)).await.unwrap();
    let (subject, window) = (Subject::Key(key.id), Window::new(9, Duration::from_secs(60)).unwrap());
    let wants = vec![Want { window, start: moment(), least: 2, wanted: 2 }];
    bench.store.lease(Arc::new(Lease { node, at: moment(), subject: subject.clone(), wants })).await.unwrap();
    let unrecognized = UnrecognizedCount { node, hour: moment(), count: 8 };
    bench.store.count_unrecognized(&[unrecognized]).await.unwrap();

    let exported = bench.export(1000).await;
    let holders = Holder::all_of(&owner, key.id);
    let mut expected = vec![
        CopyRow::Organization(OrganizationRecord { id: owner.organization.clone(), open: true }),
        CopyRow::Owner(OwnerRecord { held: 1, records: 1, ..owner_record(&owner) }),
        CopyRow::Key(StoredKey { key: clove_core::Key { last_used_at: Some(after(3)), ..key }, secrets }),
        CopyRow::Report(ReportRow { grant, unit: unit(), day: day(), known: Reported { total: 20, reserved: 30 } }),
        CopyRow::Recorder(RecorderRow { node, sequence: 4, day: day() }),
        CopyRow::Count(CountRow { subject, seconds: 60, start: moment(), places: 2 }),
        CopyRow::Unrecognized(unrecognized),
    ];
    expected.extend(holders.map(|holder| sum(holder, 20, 30)));
    expected.extend(exported.iter().filter(|row| matches!(row, CopyRow::Event(event) if event.key.is_some())).cloned());
    assert_eq!(expected.len(), 11, "the creation is in the trail");
    assert_eq!(exported, sorted(expected));
}

async fn pages_of_a_part_hold_each_row_once(bench: Arc<Bench>) {
    let rows = sorted(rows(&bench));
    bench.import(&rows).await.unwrap();
    for limit in [1, 2, 3] {
        assert_eq!(bench.export(limit).await, rows, "in pages of {limit}");
    }
}

async fn rows_that_are_there_are_passed_over(bench: Arc<Bench>) {
    let rows = rows(&bench);
    let (some, before) = (&rows[..rows.len() / 2], rows.len() / 2);
    assert_eq!(bench.import(some).await.unwrap(), before);
    assert_eq!(bench.import(&rows).await.unwrap(), rows.len() - before);
    assert_eq!(bench.import(&rows).await.unwrap(), 0);
    assert_eq!(bench.import(&[]).await.unwrap(), 0);
    assert_eq!(bench.export(1000).await, sorted(rows));
}

/// The same row, with something else in it.
fn changed(row: &CopyRow) -> CopyRow {
    let mut row = row.clone();
    match &mut row {
        CopyRow::Organization(record) => record.open = !record.open,
        CopyRow::Owner(record) => record.creations += 1,
        CopyRow::Key(stored) => match stored.secrets.as_mut_slice() {
            [_, second] => second.valid_until = Some(after(1).into()),
            _ => stored.key.last_used_at = Some(after(9)),
        },
        CopyRow::Event(event) => event.detail.push('!'),
        CopyRow::Sum(row) => row.sums.reserved += 1,
        CopyRow::Report(row) => row.known.reserved += 1,
        CopyRow::Recorder(row) => row.sequence += 1,
        CopyRow::Budget(row) => row.choice = BudgetChoice::Unlimited,
        CopyRow::Count(row) => row.places -= 1,
        CopyRow::Access(entry) => entry.cost += 1,
        CopyRow::Unrecognized(row) => row.count -= 1,
    }
    row
}

async fn a_row_that_differs_is_refused(bench: Arc<Bench>) {
    let rows = sorted(rows(&bench));
    bench.import(&rows).await.unwrap();
    for row in &rows {
        let result = bench.import(&[changed(row)]).await;
        assert!(matches!(result, Err(StoreError::Conflict(Unique::Row))), "{row:?}: {result:?}");
    }
    let mut less = rows.iter().find(|row| matches!(row, CopyRow::Key(stored) if stored.secrets.len() == 2)).unwrap().clone();
    if let CopyRow::Key(stored) = &mut less {
        stored.secrets.truncate(1);
    }
    let result = bench.import(&[less]).await;
    assert!(matches!(result, Err(StoreError::Conflict(Unique::Row))), "a secret less: {result:?}");
    assert_eq!(bench.export(1000).await, rows);
}

async fn a_slice_that_is_refused_is_not_written(bench: Arc<Bench>) {
    let (mut there, mut slice): (Vec<_>, Vec<_>) = sorted(rows(&bench)).into_iter().partition(CopyRow::is_remembered);
    let key = there.iter().rfind(|row| matches!(row, CopyRow::Key(_))).unwrap().clone();
    let event = slice.remove(0);
    there.push(event.clone());
    bench.import(&there).await.unwrap();
    // Another key with the same secret, and another event of the same operation.
    let (mut thief, mut double) = (key.clone(), event.clone());
    if let (CopyRow::Key(stored), CopyRow::Event(event)) = (&mut thief, &mut double) {
        stored.key.id = clove_core::KeyId::new(start());
        event.id = clove_core::id::AuditId::new(start());
    }
    for (row, unique) in [(changed(&key), Unique::Row), (thief, Unique::Digest), (double, Unique::OperationId)] {
        let refused: Vec<_> = slice.iter().cloned().chain([row]).collect();
        let result = bench.import(&refused).await;
        assert!(matches!(&result, Err(StoreError::Conflict(found)) if *found == unique), "{unique}: {result:?}");
    }
    assert_eq!(bench.export(1000).await, there);
}

async fn racing_imports_write_each_row_once(bench: Arc<Bench>) {
    let rows = sorted(rows(&bench));
    let written = at_once((0..4).map(|_| bench.import(&rows)).collect());
    let written: usize = written.into_iter().map(Result::unwrap).sum();
    assert_eq!(written, rows.len());
    assert_eq!(bench.export(1000).await, rows);
}

async fn an_import_outdates_what_may_be_remembered(bench: Arc<Bench>) {
    let (remembered, others): (Vec<_>, Vec<_>) = rows(&bench).into_iter().partition(CopyRow::is_remembered);
    let before = epochs(&bench).await;
    bench.import(&others).await.unwrap();
    assert_eq!(moved(&before, &*epochs(&bench).await), BTreeSet::new(), "telemetry moves no epoch");
    for row in &remembered {
        let before = epochs(&bench).await;
        bench.import(std::slice::from_ref(row)).await.unwrap();
        let now = epochs(&bench).await;
        assert_eq!(moved(&before, &now), BTreeSet::from([EpochShard::EVERYONE]), "{row:?}");
        bench.import(std::slice::from_ref(row)).await.unwrap();
        assert_eq!(moved(&now, &*epochs(&bench).await), BTreeSet::new(), "nothing was written");
    }
}

async fn imported_keys_are_found(bench: Arc<Bench>) {
    let rows = keys(&bench);
    bench.import(&rows).await.unwrap();
    for row in &rows {
        let CopyRow::Key(StoredKey { key, secrets }) = row else { continue };
        let found = bench.store.find_by_id(key.id).await.unwrap().unwrap();
        assert_eq!((found.state, found.secrets.to_vec(), &*found.owner), (key.state, secrets.clone(), &key.owner));
        assert_eq!(found.owner_open, key.owner.account.as_str() == "ada");
        for secret in secrets.iter().filter(|secret| secret.is_fast()) {
            assert_eq!(bench.store.find_by_digest(&[secret.digest]).await.unwrap().unwrap().id, key.id);
        }
        assert_eq!(bench.store.get(&(&key.owner).into(), key.id).await.unwrap(), Some(key.clone()));
    }
}

async fn what_was_imported_is_counted_on(bench: Arc<Bench>) {
    let owner: Owner = bench.owner("acme", "ada");
    let (id, node, grant) = (clove_core::KeyId::new(start()), NodeId::new(start()), GrantId::new(start()));
    let known = Reported { total: 20, reserved: 30 };
    let subject = Subject::Key(id);
    let mut rows = vec![
        CopyRow::Report(ReportRow { grant, unit: unit(), day: day(), known }),
        CopyRow::Recorder(RecorderRow { node, sequence: 4, day: day() }),
        CopyRow::Count(CountRow { subject: subject.clone(), seconds: 60, start: moment(), places: 7 }),
    ];
    rows.extend(Holder::all_of(&owner, id).map(|holder| sum(holder, 20, 30)));
    bench.import(&rows).await.unwrap();

    let window = Window::new(9, Duration::from_secs(60)).unwrap();
    let wants = vec![Want { window, start: moment(), least: 3, wanted: 3 }];
    let leased = bench.store.lease(Arc::new(Lease { node, at: moment(), subject, wants })).await.unwrap();
    assert_eq!((leased[0].taken, leased[0].charged), (0, 7), "of nine places two are left");
    let meter = Meter { owner, key: id, unit: unit(), day: day() };
    let reports = vec![Report { grant, meter: meter.clone(), total: 25, settles: false }];
    let batch = |sequence| Arc::new(UsageBatch { node, sequence, at: moment(), requests: Vec::new(), reports: reports.clone() });
    let defaults = [Some(Budget::new(100, Refill::Daily).unwrap()), None, None];
    let ask = |grant| Arc::new(Reserve { grant, meter: meter.clone(), amount: 1, holds: false, defaults });
    // A batch that was written before the move, and the next one.
    for (sequence, used, reserved) in [(4, 20, 30), (5, 25, 25)] {
        bench.store.record(batch(sequence)).await.unwrap();
        let state = &bench.store.reserve(ask(GrantId::new(start()))).await.unwrap().states[0];
        assert_eq!((state.settled, state.reserved), (used, reserved), "after batch {sequence}");
    }
    assert_eq!(bench.store.reserve(ask(grant)).await.unwrap().outcome, Reserving::Held);
}

async fn an_imported_operation_is_replayed(bench: Arc<Bench>) {
    let rows = rows(&bench);
    bench.import(&rows).await.unwrap();
    for row in &rows {
        let CopyRow::Event(event) = row else { continue };
        let reads = Reads::Flag((&event.organization).into());
        assert_eq!(bench.read(event.operation, reads).await.replayed.as_ref(), Some(event));
    }
}
