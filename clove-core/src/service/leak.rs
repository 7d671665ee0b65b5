//! The report of a leak: whoever presents a secret may have it flagged.

use super::{
    Clove,
    decide::{Books, Order, Subject, change_state, decided, replay, the_key},
    verify::Proven,
};
use crate::{
    audit::{Action, By},
    digest::Digest,
    error::{Error, Refusal, StoreError},
    id::Scope,
    policy::Policy,
    store::{Changes, Decision, Facts, KeyChange, Reads, SecretRecord},
};

impl Clove {
    /// Whoever presents a secret may have it flagged. The leak of a current secret flags its key; that of a rotated-out one
    /// ends its grace, and flags the key where not all of its row can be read. The answer is the same whether the secret was known or not.
    ///
    /// # Errors
    /// [`Error::Fault`] or the store's failure.
    pub async fn report_leaked(&self, credential: impl AsRef<[u8]>, by: &By) -> Result<(), Error> {
        let Some(presented) = self.parse(credential.as_ref()) else { return Ok(()) };
        let order = Order::new(by, self.now());
        // The digest that was proven may be replaced before the transaction reads it: by a rehash, and then the secret is as
        // good as before, or by a rotation that gave it no grace, and then it is dead. Proving it again tells which. A round
        // is lost only to another process's work, and a secret is rehashed forward only: the rounds come to an end.
        while let Some(Proven { candidate, place }) = self.within_deadline(self.prove(&presented, None).into_future()).await? {
            let Some(leaked) = candidate.secrets.get(place).map(|secret| secret.digest) else { return Ok(()) };
            let (id, scope, policy) = (candidate.id, Scope::from(&candidate.owner), self.inner.policy.clone());
            let reads = Reads::Key { scope: scope.clone(), id, expired_at: None };
            let within = scope.clone();
            let reported = self
                .run(order.clone(), reads, move |order, facts| {
                    replay(facts, order, Action::ReportLeaked, &within, Some(id))
                        .unwrap_or_else(|| decided(flag(leaked, order, &policy, facts)))
                })
                .await;
            let decision = match reported {
                // Which of its secrets it is would take the whole row to write.
                Err(Error::Store(StoreError::Corrupt { .. })) => {
                    self.stop_remains(Action::ReportLeaked, scope, id, order.clone()).await
                }
                reported => reported,
            };
            match decision? {
                Decision::Commit(changes) if changes.events.is_empty() => {}
                // Deleted in the meantime: as good as unknown.
                Decision::Refuse(Refusal::NotFound) | Decision::Commit(_) | Decision::Replay(..) => return Ok(()),
                Decision::Refuse(refusal) => return Err(refusal.into()),
            }
        }
        Ok(())
    }
}

/// Flags the key whose current secret has this digest, or ends the grace of an older one; commits nothing if it has none such.
fn flag(leaked: Digest, order: &Order, policy: &Policy, facts: &Facts) -> Result<Decision, Refusal> {
    let stored = the_key(facts)?;
    let is_leaked = |secret: &&SecretRecord| secret.digest == leaked;
    match stored.secrets.iter().find(is_leaked).map(|secret| secret.valid_until) {
        None => Ok(Decision::Commit(Changes::default())),
        Some(None) => change_state(Action::ReportLeaked, order, policy, facts),
        Some(Some(_)) => {
            let mut key = stored.key.clone();
            key.revision = key.revision.saturating_add(1);
            let subject = Subject::Key(&key, Some(key.state), Some(key.state));
            let event = order.event(Action::ReportLeaked, subject, true, "the grace of a rotated-out secret ended");
            let rest = stored.secrets.iter().filter(|secret| !is_leaked(secret)).cloned().collect();
            let change = KeyChange::Update { key, secrets: Some(rest) };
            Ok(Books::of(facts, &stored.key.owner).commit(order, Some(change), event))
        }
    }
}
