//! Whether what was granted would be granted still: for streams that outlast a request.

use super::{Clove, verify::refusal};
use crate::{
    clock::Timestamp,
    error::Fault,
    store::{Candidate, SecretRecord},
    verdict::{Denial, DenialReason, Grant},
};

impl Clove {
    /// Whether the key of a grant is still good, by its secret of then: `None`, or why not. Charges nothing, and is no use of the key.
    /// Hosts ask it now and then while they serve a long stream. It is as fresh as a verification, and costs little more than a look at
    /// memory.
    ///
    /// # Errors
    /// [`Fault`] where nothing can be said: the store failed, or the policy's deadline has passed.
    pub async fn recheck(&self, grant: &Grant) -> Result<Option<Denial>, Fault> {
        let id = grant.known.row.id;
        let fresh = self.inner.knows_at().and_then(|_| self.inner.keys.fresh(id));
        if let Some(known) = fresh {
            let reason = refused(&known.row, grant, self.inner.now());
            return Ok(reason.map(|reason| Denial::proven(reason, known)));
        }
        let ticket = self.inner.keys.ticket();
        let found = self.within_deadline(Box::pin(async move { Ok(self.inner.store.find_by_id(id).await?) })).await?;
        let Some(found) = found else { return Ok(Some(Denial::NOT_RECOGNIZED)) };
        let known = self.inner.keys.admit(&found, &self.inner.policy, ticket, self.inner.knows_nothing());
        let reason = refused(&known.row, grant, self.inner.now());
        Ok(reason.map(|reason| Denial::proven(reason, known)))
    }
}

fn refused(row: &Candidate, grant: &Grant, now: Timestamp) -> Option<DenialReason> {
    let before = &grant.known.row;
    let proven = before.secrets.get(grant.place).map(|secret| secret.digest);
    // A rotation moves the revision; that a digest is replaced by a better one of the same secret does not.
    let place = row.secrets.position(|secret| Some(secret.digest) == proven);
    let place = place.or((row.revision == before.revision).then_some(grant.place));
    let is_good = |secret: &SecretRecord| secret.valid_until.is_none_or(|until| now < until);
    if !place.and_then(|place| row.secrets.get(place)).is_some_and(is_good) {
        return Some(DenialReason::NotRecognized);
    }
    refusal(row, None, now)
}
