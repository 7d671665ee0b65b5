//! Moving from one store to another.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod gate;
mod moved;

use clove::{
    MemoryStore, Store,
    copy::{CopyError, StoreCopy},
    sqlite::SqliteStore,
    store::{CopyPart, CopyRow, OrganizationRecord},
};
use gate::{Gate, Interruption};
use moved::{LivedIn, rows};
use std::time::Duration;

#[tokio::test]
async fn everything_is_moved_and_every_credential_is_answered_as_before() {
    let (folder, memory) = (tempfile::tempdir().unwrap(), MemoryStore::new());
    let life = LivedIn::new(memory.clone()).await;
    let file = SqliteStore::open(folder.path().join("keys.db")).unwrap();
    let copied = StoreCopy::new(&memory, &file).slices_of(3).run(&mut |_| {}).await.unwrap();
    let before = rows(&memory).await;
    assert!(copied.is_complete() && copied.written() == u64::try_from(before.len()).unwrap(), "{copied}");
    assert_eq!(rows(&file).await, before);
    let back = MemoryStore::new();
    assert!(StoreCopy::new(&file, &back).run(&mut |_| {}).await.unwrap().is_complete());
    assert_eq!(rows(&back).await, before);
    life.assert_answered_alike(file).await;
    life.assert_answered_alike(back).await;
}

#[tokio::test]
async fn a_copy_that_was_interrupted_anywhere_goes_on() {
    let source = MemoryStore::new();
    let _life = LivedIn::new(source.clone()).await;
    let before = rows(&source).await;
    for how in [Interruption::Hang, Interruption::Panic] {
        let mut skipped = 0;
        loop {
            let target = MemoryStore::new();
            let (from, to) = (Gate::new(source.clone()), Gate::new(target.clone()));
            let copy = StoreCopy::new(&from, &to).slices_of(4);
            let was_there = to.interrupt(skipped, how, copy.run(&mut |_| {})).await;
            let copied = copy.run(&mut |_| {}).await.unwrap();
            assert!(copied.is_complete(), "{copied}");
            assert_eq!(rows(&target).await, before);
            if !was_there {
                assert_eq!(copied.written(), 0);
                break;
            }
            skipped += 1;
        }
        assert!(skipped > Gate::POINTS * CopyPart::ALL.len(), "{skipped} points");
    }
}

#[tokio::test]
async fn a_finished_copy_is_changed_by_nothing() {
    let (source, target) = (MemoryStore::new(), MemoryStore::new());
    let _life = LivedIn::new(source.clone()).await;
    let copy = StoreCopy::new(&source, &target);
    copy.run(&mut |_| {}).await.unwrap();
    let before = (rows(&target).await, target.epochs(Duration::MAX).await.unwrap());
    let again = copy.run(&mut |_| {}).await.unwrap();
    assert!(again.is_complete() && again.written() == 0, "{again}");
    assert_eq!((rows(&target).await, target.epochs(Duration::MAX).await.unwrap()), before);
}

#[tokio::test]
async fn a_target_that_holds_something_else_is_left_alone() {
    let (source, target) = (MemoryStore::new(), MemoryStore::new());
    let _life = LivedIn::new(source.clone()).await;
    let record = OrganizationRecord { id: clove::OrganizationId::new("elsewhere").unwrap(), open: true };
    target.import([CopyRow::Organization(record)].into()).await.unwrap();
    let error = StoreCopy::new(&source, &target).run(&mut |_| {}).await.unwrap_err();
    let CopyError::Foreign { found } = error else { panic!("{error:?}") };
    assert_eq!((found.part, found.surplus.first[0].to_string().as_str()), (CopyPart::Organizations, "elsewhere"));
    assert!(target.export(CopyPart::Keys, None, 1).await.unwrap().rows.is_empty());
}

#[tokio::test]
async fn what_was_changed_in_the_source_after_a_first_run_is_named_and_nothing_is_written() {
    let (source, target) = (MemoryStore::new(), MemoryStore::new());
    let life = LivedIn::new(source.clone()).await;
    let copy = StoreCopy::new(&source, &target);
    copy.run(&mut |_| {}).await.unwrap();
    let before = rows(&target).await;
    let (clove, owner, by) = (&life.fixture.clove, &life.fixture.owner, &life.fixture.by);
    let key = life.fixture.keys().await.unwrap()[0].id;
    clove.revoke(owner, key, by).await.unwrap();
    let error = copy.run(&mut |_| {}).await.unwrap_err();
    let CopyError::Foreign { found } = &error else { panic!("{error:?}") };
    assert_eq!(found.part, CopyPart::Owners, "the first part in which something differs");
    assert_eq!(found.differing.first[0].to_string(), format!("{} / {}", owner.organization, owner.account));
    assert_eq!(rows(&target).await, before);
}

#[tokio::test]
async fn logs_are_copied_ahead_while_the_service_runs() {
    let (source, target) = (MemoryStore::new(), MemoryStore::new());
    let life = LivedIn::new(source.clone()).await;
    let ahead = StoreCopy::new(&source, &target).only(&CopyPart::LOGS).run(&mut |_| {}).await.unwrap();
    assert!(ahead.is_complete() && ahead.written() > 0, "{ahead}");
    let key = life.fixture.keys().await.unwrap()[0].id;
    life.fixture.clove.revoke(&life.fixture.owner, key, &life.fixture.by).await.unwrap();
    let copied = StoreCopy::new(&source, &target).run(&mut |_| {}).await.unwrap();
    assert!(copied.is_complete(), "{copied}");
    assert_eq!(rows(&target).await, rows(&source).await);
}

#[tokio::test]
async fn what_is_written_to_the_source_meanwhile_is_told() {
    let (source, target) = (MemoryStore::new(), MemoryStore::new());
    let life = LivedIn::new(source.clone()).await;
    let (record, late) = (|id| OrganizationRecord { id: clove::OrganizationId::new(id).unwrap(), open: true }, source.clone());
    let mut added = false;
    let copy = StoreCopy::new(&source, &target);
    let copied = copy
        .run(&mut |step| {
            if step.part == CopyPart::Unrecognized && !std::mem::replace(&mut added, true) {
                let import = late.import([CopyRow::Organization(record("late"))].into());
                futures_util::FutureExt::now_or_never(import).unwrap().unwrap();
            }
        })
        .await
        .unwrap();
    assert!(!copied.is_complete());
    assert_eq!(copied.parts[0].missing.first[0].to_string(), "late");
    assert!(copied.to_string().contains("1 are missing in the target:\n  late"), "{copied}");
    assert!(copy.run(&mut |_| {}).await.unwrap().is_complete(), "another run copies what was added");
    drop(life);
}

#[tokio::test]
async fn a_row_of_the_source_that_cannot_be_read_is_named_and_takes_no_other_down() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    let (source, target) = (SqliteStore::open(&path).unwrap(), MemoryStore::new());
    let life = LivedIn::new(source.clone()).await;
    let id = life.fixture.keys().await.unwrap()[0].id;
    let before = rows(&source).await;
    let file = rusqlite::Connection::open(&path).unwrap();
    let spoil = |sql: &str| assert_eq!(file.execute(sql, [id.as_bytes().as_slice()]).unwrap(), 1, "{sql}");
    spoil("UPDATE keys SET state = 'odd' WHERE id = ?1");
    file.execute("UPDATE audit SET action = 'odd' WHERE id = (SELECT max(id) FROM audit)", []).unwrap();
    let copied = StoreCopy::new(&source, &target).slices_of(2).run(&mut |_| {}).await.unwrap();
    assert!(!copied.is_complete());
    for (part, what) in [(2, format!("{id} (state)")), (3, "(action)".to_owned())] {
        assert_eq!(copied.parts[part].unreadable.count, 1);
        assert!(copied.parts[part].unreadable.first[0].to_string().ends_with(&what), "{copied}");
    }
    assert_eq!(rows(&target).await.len(), before.len() - 2);
    assert_eq!(copied.parts.iter().map(|part| part.equal).sum::<u64>(), u64::try_from(before.len() - 2).unwrap());
}

#[tokio::test]
async fn a_bound_that_a_policy_asked_for_goes_along_and_the_source_s_default_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let millis = Duration::from_millis;
    for (asked, told) in [(100, 5_000), (20, 20)] {
        let source = SqliteStore::open(folder.path().join(format!("{asked}.db"))).unwrap();
        source.epochs(millis(asked)).await.unwrap();
        let target = MemoryStore::new();
        StoreCopy::new(&source, &target).run(&mut |_| {}).await.unwrap();
        assert_eq!(target.epochs(millis(5_000)).await.unwrap().bound, millis(told));
    }
}
