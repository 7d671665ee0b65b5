//! What is wrong with entries of an access log.

use super::Fault;
use clove_core::{AccessEntry, Window};
use std::time::Duration;

/// The entry as such a store keeps it.
pub(super) fn spoil(fault: Fault, entry: &mut AccessEntry) {
    if fault == Fault::CutsEntries {
        entry.endpoint = None;
    }
    let Some(limit) = &mut entry.limit else { return };
    let (count, length) = (limit.window.count(), Duration::from_secs(limit.window.seconds().into()));
    match fault {
        Fault::FixesWindows => limit.window = Window::new(count, length).unwrap(),
        Fault::SharesNoWindows if limit.window.slides() => limit.window = Window::sliding(count, length).unwrap(),
        _ => {}
    }
}
