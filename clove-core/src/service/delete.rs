//! Removing keys, those whose rows cannot be read among them.

use super::{
    Clove,
    decide::{Books, Order, Subject, decided, replay},
};
use crate::{
    audit::{Action, By},
    error::{CorruptRow, Error, Refusal, StoreError},
    id::{KeyId, Scope},
    store::{Decision, Facts, KeyChange, Reads},
};

impl Clove {
    /// Removes a key and its secrets; the audit trail stays. Never refused, and not for a row that cannot be read either, as
    /// long as it tells whose it is: it is the one command for such a row.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], or the store's failure.
    pub async fn delete(&self, scope: impl Into<Scope>, id: KeyId, by: &By) -> Result<(), Error> {
        let scope = scope.into();
        let decision = match self.decide_state(Action::Delete, scope.clone(), id, by).await {
            Err(Error::Store(StoreError::Corrupt { row: CorruptRow::Key(_), .. })) => self.delete_remains(scope, id, by).await,
            decision => decision,
        };
        match decision? {
            Decision::Commit(_) | Decision::Replay(..) => Ok(()),
            Decision::Refuse(refusal) => Err(refusal.into()),
        }
    }

    async fn delete_remains(&self, scope: Scope, id: KeyId, by: &By) -> Result<Decision, Error> {
        let reads = Reads::Remains { scope: scope.clone(), id };
        self.run(Order::new(by, self.now()), reads, move |order, facts| {
            replay(facts, order, Action::Delete, &scope, Some(id)).unwrap_or_else(|| decided(remove(order, facts)))
        })
        .await
    }
}

/// Whether the key held a place is told by a row that cannot be read, so the owner's counts are made anew from the others.
fn remove(order: &Order, facts: &Facts) -> Result<Decision, Refusal> {
    let remains = facts.remains.as_ref().ok_or(Refusal::NotFound)?;
    let mut books = Books::of(facts, &remains.owner);
    (books.owner.records, books.owner.held) = (remains.others, remains.others_held);
    let event = order.event(Action::Delete, Subject::Remains(remains), true, "its row could not be read");
    Ok(books.commit(order, Some(KeyChange::Delete(remains.id)), event))
}
