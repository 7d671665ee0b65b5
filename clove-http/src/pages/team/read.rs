//! Reading all pages of something, up to a bound.

use clove_core::{Clove, Cursor, Error, Key, ListKeys, ListUsage, Page, Scope, Status, Usage, service::MAX_PAGE};

/// How many pages are read of one list.
const MAX_PAGES: usize = 50;
/// How many rows those are.
pub(super) const MAX_ROWS: u64 = 10_000;
const _: () = assert!(MAX_PAGES * MAX_PAGE == 10_000);

/// What was read.
#[derive(Clone, Debug)]
pub(super) struct Read<T> {
    pub(super) items: Vec<T>,
    /// How many rows could not be read.
    pub(super) corrupt: usize,
    /// Whether it is all there is.
    pub(super) is_whole: bool,
}

impl<T> Read<T> {
    fn nothing() -> Self {
        Self { items: Vec::new(), corrupt: 0, is_whole: false }
    }

    /// Adds a page, and gives where the next one begins.
    fn add(&mut self, page: Page<T>) -> Option<Cursor> {
        self.items.extend(page.items);
        self.corrupt += page.corrupt.len();
        self.is_whole = page.next.is_none();
        page.next
    }
}

/// Sums of usage.
pub(super) async fn sums(clove: &Clove, scope: &Scope, mut list: ListUsage) -> Result<Read<Usage>, Error> {
    list.limit = Some(MAX_PAGE);
    let mut read = Read::nothing();
    for _ in 0..MAX_PAGES {
        list.after = read.add(clove.usage(scope, &list).await?);
        if read.is_whole {
            break;
        }
    }
    Ok(read)
}

/// Keys of a status.
pub(super) async fn keys(clove: &Clove, scope: &Scope, status: Status) -> Result<Read<Key>, Error> {
    let mut list = ListKeys { status: Some(status), limit: Some(MAX_PAGE), after: None };
    let mut read = Read::nothing();
    for _ in 0..MAX_PAGES {
        list.after = read.add(clove.list(scope, &list).await?);
        if read.is_whole {
            break;
        }
    }
    Ok(read)
}
