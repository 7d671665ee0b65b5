//! A roll that cannot be read: an error, since a node that was passed over would not be waited for.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use clove_core::{Store, StoreError, error::CorruptRow, id::NodeId};
use std::time::Duration;
use support::Damaged;

#[tokio::test]
async fn a_node_that_cannot_be_read_is_told_and_not_passed_over() {
    let damaged = Damaged::new().await;
    let store = damaged.open().await;
    let bound = Duration::from_millis(100);
    store.answer_roll(NodeId::new(chrono::Utc::now()), 3).await.unwrap();
    assert_eq!(store.epochs(bound).await.unwrap().nodes.len(), 1);
    for spoils in ["SET node = '00000000-0000-4000-8000-000000000000'", "SET number = -1"] {
        damaged.execute(&format!("UPDATE ~roll_nodes {spoils}")).await;
        let told = store.epochs(bound).await.unwrap_err();
        assert!(matches!(told, StoreError::Corrupt { row: CorruptRow::Node, .. }), "{told:?}");
        damaged.execute("DELETE FROM ~roll_nodes").await;
        assert_eq!(store.epochs(bound).await.unwrap().nodes, [], "an operator's repair is seen");
        store.answer_roll(NodeId::new(chrono::Utc::now()), 3).await.unwrap();
    }
}
