//! One side of a copy: the rows of a part, one after another.

use crate::{
    error::StoreError,
    store::{CopyPart, CopyPlace, CopyRow, Store, UnreadableRow},
};
use std::collections::VecDeque;

pub(super) struct Side<'s> {
    store: &'s dyn Store,
    part: CopyPart,
    slice: usize,
    ready: VecDeque<(CopyPlace, CopyRow)>,
    after: Option<CopyPlace>,
    is_over: bool,
    pub(super) unreadable: Vec<UnreadableRow>,
}

impl<'s> Side<'s> {
    pub(super) fn new(store: &'s dyn Store, part: CopyPart, slice: usize) -> Self {
        let (ready, unreadable) = Default::default();
        Self { store, part, slice, ready, after: None, is_over: false, unreadable }
    }

    /// The next row, which stays.
    pub(super) async fn peek(&mut self) -> Result<Option<&(CopyPlace, CopyRow)>, StoreError> {
        while self.ready.is_empty() && !self.is_over {
            let page = self.store.export(self.part, self.after.as_ref(), self.slice).await?;
            self.ready.extend(page.rows.into_iter().map(|row| (row.place(), row)));
            self.unreadable.extend(page.unreadable);
            // A page that leads nowhere would be read for ever.
            self.is_over = !page.more || page.last <= self.after;
            self.after = page.last;
        }
        Ok(self.ready.front())
    }

    /// The row that was peeked at.
    pub(super) fn take(&mut self) -> Option<(CopyPlace, CopyRow)> {
        self.ready.pop_front()
    }
}
