//! The report of a leak: whoever presents a secret may have it flagged.

use super::{
    Clove,
    decide::{Books, Order, Subject, change_state, decided, replay, the_key},
    prove::Proven,
};
use crate::{
    audit::{Action, By},
    credential::{self, Presented},
    digest::Digest,
    error::{Error, Fault, Invalid, Refusal, size},
    id::Scope,
    policy::Policy,
    secret::find,
    store::{Changes, Decision, Facts, KeyChange, Reads, SecretRecord},
};
use std::collections::BTreeSet;

/// How often a secret whose digest has changed is proven again.
const MAX_ROUNDS: usize = 8;
/// The longest text of a report, in bytes.
const MAX_TEXT: usize = 64 * 1024;
/// How many secrets of one text are reported.
const MAX_FOUND: usize = 16;

impl Clove {
    /// Whoever presents a secret may have it flagged. The leak of a current secret flags its key; that of a rotated-out one
    /// ends its grace, and flags the key where not all of its row can be read. The answer is the same whether the secret was known
    /// or not.
    ///
    /// Takes a credential, or a text with some in it, such as the lines of a log: what has the host's own form is found wherever it
    /// stands, up to 16 different ones; an imported secret only by itself, with its id. What cannot be done for one of them keeps
    /// the others from nothing. The first that is a key's is reported under the caller's operation id.
    ///
    /// # Errors
    /// [`Invalid`] for a text above 64 KiB, which is not looked at; [`Error::Fault`], also where slow hashes are needed and many
    /// reports wait for them; or the store's failure.
    pub async fn report_leaked(&self, text: impl AsRef<[u8]>, by: &By) -> Result<(), Error> {
        let text = text.as_ref();
        if text.len() > MAX_TEXT {
            let rule = "must be at most 65536 bytes: give it in parts";
            return Err(Invalid::new("report of a leak", rule, size(text)).into());
        }
        let (mut order, mut first, mut failed, mut seen) = (None, None, None, BTreeSet::new());
        let whole = self.parse(text.trim_ascii());
        if let Some(whole) = &whole
            && self.report(whole, order.get_or_insert_with(|| Order::new(by, self.now()))).await?
        {
            return Ok(());
        }
        for found in find(&self.inner.policy.formats, text) {
            let (before, secret) = (text.get(..found.start).unwrap_or_default(), text.get(found).unwrap_or_default());
            if !seen.insert(secret) {
                continue;
            }
            if seen.len() > MAX_FOUND {
                break;
            }
            let order = order.get_or_insert_with(|| Order::new(by, self.now()));
            first.get_or_insert(order.operation);
            let with_id = credential::id_before(before).map(|id| Presented::WithId(id, secret));
            // The whole text was tried already, and to prove a secret may take a slow hash.
            let untried = with_id.into_iter().chain([Presented::Bare(secret)]).filter(|presented| whole != Some(*presented));
            for presented in untried {
                match self.report(&presented, order).await {
                    Ok(false) => {}
                    Ok(true) => {
                        *order = order.next();
                        break;
                    }
                    Err(error) => drop(failed.get_or_insert(error)),
                }
            }
        }
        match failed {
            None => Ok(()),
            // Repeated under the first id, what was done by it is answered from its event, and the rest is done again.
            Some(Error::OutcomeUnknown { source, operation }) => {
                Err(Error::OutcomeUnknown { source, operation: first.unwrap_or(operation) })
            }
            Some(error) => Err(error),
        }
    }

    /// Whether it was a secret of some key.
    async fn report(&self, presented: &Presented<'_>, order: &Order) -> Result<bool, Error> {
        // The digest that was proven may be replaced before the transaction reads it: by a rehash, and then the secret is as
        // good as before, or by a rotation that gave it no grace, and then it is dead. Proving it again tells which. A round
        // is lost only to another process's work, and a secret is rehashed forward only.
        for _ in 0..MAX_ROUNDS {
            let proven = self.within_deadline(self.prove(presented, None).into_future()).await?;
            let Some(Proven { candidate, place }) = proven else { return Ok(false) };
            let Some(leaked) = candidate.secrets.get(place).map(|secret| secret.digest) else { return Ok(false) };
            let (id, scope, policy) = (candidate.id, Scope::from(&*candidate.owner), self.inner.policy.clone());
            let reads = Reads::Key { scope: scope.clone(), id, expired_at: None };
            let within = scope.clone();
            let reported = self
                .run(order.clone(), reads, move |order, facts| {
                    replay(facts, order, Action::ReportLeaked, &within, Some(id))
                        .unwrap_or_else(|| decided(flag(leaked, order, &policy, facts)))
                })
                .await;
            // Which of its secrets it is would take the whole row to write.
            let decision = self.or_stop_remains(reported, Action::ReportLeaked, scope, id, order.clone()).await?;
            match decision {
                Decision::Commit(changes) if changes.events.is_empty() => {}
                // Deleted in the meantime: as good as unknown.
                Decision::Refuse(Refusal::NotFound) => return Ok(false),
                Decision::Commit(_) | Decision::Replay(..) => return Ok(true),
                Decision::Refuse(refusal) => return Err(refusal.into()),
            }
        }
        // The look-ups do not see what the transactions do.
        Err(Fault::Overloaded.into())
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
