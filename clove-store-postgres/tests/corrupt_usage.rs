//! Usage that cannot be read: it is told, never taken for less than it is, and takes nothing else down.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use chrono::TimeDelta;
use clove_core::{Clove, Day, Grant, KeyId, ListUsage, NewKey, Policy, StoreError, Unit, UsageBy, UsagePer, error::CorruptRow};
use clove_testkit::Fixture;
use support::Damaged;

/// A file in which one key used 4 tokens on a first day and 8 on the next, another key 16 on the first.
struct File {
    damaged: Damaged,
    ids: Vec<KeyId>,
    credentials: Vec<String>,
    first: Day,
}

fn tokens() -> Unit {
    Unit::new("tokens").unwrap()
}

async fn grant(clove: &Clove, credential: &str) -> Grant {
    clove.verify(credential).await.unwrap().granted().unwrap()
}

impl File {
    async fn new() -> Self {
        let damaged = Damaged::under(Policy::profile_a()).await;
        let fixture = &damaged.fixture;
        let (clove, first, mut ids, mut credentials) = (&fixture.clove, Day::of(fixture.clove.now()), Vec::new(), Vec::new());
        for amounts in [[4, 8], [16, 0]] {
            let issued = clove.create(&fixture.owner, NewKey::named("a key").unwrap(), &fixture.by).await.unwrap();
            let credential = issued.credential.unwrap().reveal().to_string();
            for amount in amounts {
                clove.record(&grant(clove, &credential).await, &tokens(), amount).unwrap();
                fixture.clock().step(TimeDelta::days(1));
            }
            fixture.clock().step(TimeDelta::days(-2));
            ids.push(issued.key.id);
            credentials.push(credential);
        }
        clove.flush().await.unwrap();
        Self { damaged, ids, credentials, first }
    }

    /// Executes a statement that changes one row.
    async fn tamper(&self, sql: &str, key: KeyId) {
        self.damaged.tamper(sql, key).await;
    }

    /// The amounts of tokens that a list finds, page by page, and how many sums it says that it could not read.
    async fn amounts(&self, list: ListUsage) -> (Vec<u64>, usize) {
        let mut list = ListUsage { unit: Some(tokens()), limit: Some(1), ..list };
        let (mut found, mut corrupt) = (Vec::new(), 0);
        loop {
            let page = self.damaged.fixture.clove.usage(&self.damaged.fixture.owner, &list).await.unwrap();
            assert!(page.items.len() + page.corrupt.len() <= 1, "one a page");
            assert!(page.corrupt.iter().all(|row| *row == CorruptRow::Usage));
            found.extend(page.items.iter().map(|sum| sum.amount));
            corrupt += page.corrupt.len();
            list.after = page.next;
            if list.after.is_none() {
                return (found, corrupt);
            }
        }
    }
}

fn list(by: UsageBy, per: UsagePer) -> ListUsage {
    ListUsage { by, per, ..ListUsage::default() }
}

#[tokio::test]
async fn a_sum_that_cannot_be_read_is_told_and_is_not_taken_for_less() {
    let file = File::new().await;
    assert_eq!(file.amounts(list(UsageBy::Key, UsagePer::Day)).await, (vec![4, 8, 16], 0));
    let day = file.first.epoch_days();
    let damage = format!("UPDATE ~usage SET total = -5 WHERE key_id = $1 AND unit = 'tokens' AND day = {day}");
    file.tamper(&damage, file.ids[0]).await;
    assert_eq!(file.amounts(list(UsageBy::Key, UsagePer::Day)).await, (vec![8, 16], 1));
    assert_eq!(file.amounts(list(UsageBy::Key, UsagePer::Total)).await, (vec![16], 1), "nor is a total that it is a part of");
    let later = ListUsage {
        first: Some((file.damaged.fixture.clove.now() + TimeDelta::days(1)).into()),
        ..list(UsageBy::Key, UsagePer::Total)
    };
    assert_eq!(file.amounts(later).await, (vec![8], 0), "unless it is of other days");
}

#[tokio::test]
async fn a_sum_that_cannot_be_read_stays_so_and_keeps_no_other_back() {
    let file = File::new().await;
    let clove = &file.damaged.fixture.clove;
    let day = file.first.epoch_days();
    for level in 0..3 {
        let damage = format!(
            "UPDATE ~usage SET total = -5 WHERE level = {level} AND (level < 2 OR key_id = $1) AND unit = 'tokens' AND day = {day}"
        );
        file.tamper(&damage, file.ids[0]).await;
    }
    for credential in &file.credentials {
        clove.record_durably(&grant(clove, credential).await, &tokens(), 1_000).await.unwrap();
    }
    assert_eq!(file.amounts(list(UsageBy::Key, UsagePer::Day)).await, (vec![8, 1_016], 1));
    for by in [UsageBy::Account, UsageBy::Organization] {
        assert_eq!(file.amounts(list(by, UsagePer::Day)).await, (vec![8], 1));
    }
    let organization = &file.damaged.fixture.owner.organization;
    let page = clove.usage(organization, &ListUsage { unit: Some(tokens()), ..ListUsage::default() }).await.unwrap();
    assert_eq!((page.items.len(), page.corrupt), (1, vec![CorruptRow::Usage]));
}

#[tokio::test]
async fn usage_whose_names_cannot_be_read_is_told_and_passed_over() {
    for damage in [
        "UPDATE ~usage SET unit = 'Not A Unit' WHERE key_id = $1 AND unit = 'tokens'",
        "UPDATE ~usage SET unit = chr(7) WHERE key_id = $1 AND unit = 'tokens'",
        "UPDATE ~usage SET account = chr(7) WHERE key_id = $1 AND unit = 'tokens'",
        "UPDATE ~usage SET key_id = '00000000-0000-4000-8000-000000000000' WHERE key_id = $1 AND unit = 'tokens'",
    ] {
        let file = File::new().await;
        file.tamper(damage, file.ids[1]).await;
        let organization = &file.damaged.fixture.owner.organization;
        let page = file.damaged.fixture.clove.usage(organization, &list(UsageBy::Key, UsagePer::Day)).await.unwrap();
        let of_tokens = page.items.iter().filter(|sum| sum.unit == tokens());
        let found: Vec<u64> = of_tokens.map(|sum| sum.amount).collect();
        assert_eq!((found, page.corrupt), (vec![4, 8], vec![CorruptRow::Usage]), "{damage}");
    }
}

#[tokio::test]
async fn a_report_whose_ledger_cannot_be_read_is_told_and_takes_no_other_down() {
    let file = File::new().await;
    let clove = &file.damaged.fixture.clove;
    let (broken, sound) = (grant(clove, &file.credentials[0]).await, grant(clove, &file.credentials[0]).await);
    clove.record_durably(&broken, &tokens(), 500).await.unwrap();
    file.tamper("UPDATE ~reports SET total = -1 WHERE total = 500 AND $1 IS NOT NULL", file.ids[0]).await;
    clove.record(&broken, &tokens(), 900).unwrap();
    clove.record(&sound, &tokens(), 10_000).unwrap();
    let told = clove.flush().await.unwrap_err();
    assert!(matches!(&told, StoreError::Corrupt { row: CorruptRow::Report(id), .. } if *id == broken.id()), "{told:?}");
    clove.flush().await.unwrap();
    assert_eq!(file.amounts(list(UsageBy::Organization, UsagePer::Total)).await, (vec![10_528], 0));
}

#[tokio::test]
async fn a_process_whose_last_batch_cannot_be_read_is_told_so_and_another_one_goes_on() {
    let file = File::new().await;
    file.tamper("UPDATE ~recorders SET sequence = -1 WHERE $1 IS NOT NULL", file.ids[0]).await;
    let clove = &file.damaged.fixture.clove;
    clove.record(&grant(clove, &file.credentials[0]).await, &tokens(), 1_000).unwrap();
    let told = clove.flush().await.unwrap_err();
    assert!(matches!(told, StoreError::Corrupt { row: CorruptRow::Node, .. }), "{told:?}");
    let other = Fixture::on(file.damaged.open().await, Policy::profile_a()).unwrap();
    other.clove.record_durably(&grant(&other.clove, &file.credentials[0]).await, &tokens(), 100).await.unwrap();
    assert_eq!(file.amounts(list(UsageBy::Organization, UsagePer::Total)).await, (vec![128], 0));
}
