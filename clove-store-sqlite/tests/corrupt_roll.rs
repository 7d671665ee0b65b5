//! A roll that cannot be read: an error, since a node that was passed over would not be waited for.

#![allow(clippy::unwrap_used, reason = "tests")]

use clove_core::{Store, StoreError, error::CorruptRow, id::NodeId};
use clove_store_sqlite::SqliteStore;
use rusqlite::Connection;
use std::time::Duration;

#[tokio::test]
async fn a_node_that_cannot_be_read_is_told_and_not_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    let store = SqliteStore::open(&path).unwrap();
    let bound = Duration::from_millis(100);
    store.answer_roll(NodeId::new(chrono::Utc::now()), 3).await.unwrap();
    assert_eq!(store.epochs(bound).await.unwrap().nodes.len(), 1);
    let operator = Connection::open(&path).unwrap();
    for spoils in ["SET node = x'00'", "SET number = -1"] {
        operator.execute(&format!("UPDATE roll_nodes {spoils}"), []).unwrap();
        let told = store.epochs(bound).await.unwrap_err();
        assert!(matches!(told, StoreError::Corrupt { row: CorruptRow::Node, .. }), "{told:?}");
        operator.execute("DELETE FROM roll_nodes", []).unwrap();
        assert_eq!(store.epochs(bound).await.unwrap().nodes, [], "an operator's repair is seen");
        store.answer_roll(NodeId::new(chrono::Utc::now()), 3).await.unwrap();
    }
}
