//! The way of one request, top to bottom.

use super::{
    Clove, Known, Lefts,
    charge::{Charge, Step},
    known::Ticket,
    prove::{Boxed, Claim, Fast, Proof, Proven, is_imported},
    rounds::Written,
    server_time::Recent,
    verification::{Verification, Verified, Work},
};
use crate::{
    access::AccessLog,
    capability::Requirement,
    clock::Timestamp,
    credential::{self, Presented},
    error::Fault,
    id::{GrantId, KeyId},
    key::Status,
    store::{Candidate, Rehash, SecretRecord},
    verdict::{Attempt, Denial, DenialReason, Exhausted, Grant, Verdict},
};
use std::{sync::Arc, task::Poll};

impl Clove {
    /// Verifies a presented credential: a [`Grant`], or a [`Denial`] with its reason. Nothing happens before the future is polled, and
    /// dropping it at any point leaves nothing held.
    ///
    /// # Errors
    /// [`Fault`] where nothing can be said: the store failed, a queue is full, or the policy's deadline has passed.
    pub fn verify<'a>(&'a self, attempt: impl Into<Attempt<'a>>) -> Verification<'a> {
        Verification::new(self, attempt.into())
    }

    /// The verdict, where this process knows it without a wait and without the store. `None` says nothing, and is as if it had not been
    /// asked: nothing is charged, and [`Clove::verify`] answers. For middleware whose future has to own what it verifies: only what has
    /// to wait is then worth a box.
    #[must_use = "a request may go on only with a grant"]
    pub fn verify_from_memory<'a>(&'a self, attempt: impl Into<Attempt<'a>>) -> Option<Verdict> {
        let attempt = attempt.into();
        // Once charged, a grant that has to be on record is to be waited for.
        if self.inner.policy.access_log == AccessLog::Required {
            return None;
        }
        let began = self.begin_signal();
        let end = match self.parse(attempt.credential) {
            None => self.not_recognized(),
            Some(presented) => {
                let judged = self.recall(&presented, attempt.peer)?;
                match self.judge(judged, presented.secret(), &attempt, |_| Poll::Pending) {
                    Poll::Ready(end) => end,
                    Poll::Pending => return None,
                }
            }
        };
        self.signal_end(&end, began);
        end.ok()
    }

    /// The whole way of a request; where something holds it up, the rest of it is for `later`. The steps are inlined, tell look-ups that
    /// are ready from those that wait themselves, and name a secret by its place: to hand results on through memory, to share the
    /// telling or to copy the record costs a twentieth to a tenth of the whole.
    #[inline(always)]
    pub(super) fn begin<'a>(&'a self, attempt: &Attempt<'a>, later: impl FnOnce(Work<'a>) -> Verified) -> Verified {
        let Some(presented) = self.parse(attempt.credential) else { return Poll::Ready(self.not_recognized()) };
        match self.recall(&presented, attempt.peer) {
            Some(judged) => self.judge(judged, presented.secret(), attempt, |rest| later(Work::Verdict(rest))),
            None => self.read(presented, attempt, later),
        }
    }

    /// The way of a request whose key is not remembered.
    #[inline(never)]
    fn read<'a>(&'a self, presented: Presented<'a>, attempt: &Attempt<'a>, later: impl FnOnce(Work<'a>) -> Verified) -> Verified {
        let ticket = self.inner.keys.ticket();
        match self.prove(&presented, Some(attempt.peer)) {
            Proof::Made(proven) => {
                let read = Read { presented, ticket };
                self.judge_read(&proven, &read, attempt, |rest| later(Work::Verdict(rest)))
            }
            Proof::NotMade => Poll::Ready(self.not_recognized()),
            Proof::Failed(fault) => Poll::Ready(Err(fault)),
            Proof::Waits(proof) => later(Work::Proof(proof, Read { presented, ticket })),
        }
    }

    /// Judges by a row that was read just now.
    #[inline(never)]
    pub(super) fn judge_read<'a>(
        &'a self,
        proven: &Proven,
        read: &Read<'_>,
        attempt: &Attempt<'a>,
        later: impl FnOnce(Boxed<'a, Verdict>) -> Verified,
    ) -> Verified {
        self.judge(self.admit(proven, read), read.presented.secret(), attempt, later)
    }

    /// Proves the secret by a remembered row, where one may be used. A secret that is not proven so may be another process's new one,
    /// and an unknown id is to cost what a wrong secret costs: either way the store is asked.
    #[inline(always)]
    fn recall(&self, presented: &Presented<'_>, peer: &str) -> Option<Judged> {
        let at = self.inner.knows_at()?;
        let (known, place) = match *presented {
            Presented::Bare(secret) => {
                let digests = self.inner.policy.hashing.lookup_digests(secret);
                let known = self.inner.keys.fresh_by_digest(&digests)?;
                let place = known.row.secrets.position(|stored| stored.is_fast() && digests.contains(&stored.digest))?;
                (known, place)
            }
            Presented::WithId(id, secret) => {
                // Looked up first, so that what lies far away in memory is fetched while the secret is hashed; and that it is in any case.
                let known = self.inner.keys.fresh(id);
                known.iter().for_each(|known| known.fetch());
                let digest = self.inner.policy.hashing.current_fast_digest(secret);
                let known = known?;
                let claim = Claim { id, secret, foreign: false, peer: None };
                match self.prove_fast(&known.row, claim, digest) {
                    Ok(Fast::Proven(place)) => (known, place),
                    Ok(Fast::SlowLeft) => self.recall_slow(known, claim, peer)?,
                    _ => return None,
                }
            }
            Presented::Foreign(id, secret) => {
                self.recall_slow(self.inner.keys.fresh(id)?, Claim { id, secret, foreign: true, peer: None }, peer)?
            }
        };
        Some(Judged { known, place, at })
    }

    /// Proves a secret that a slow hash has proven before. Whoever has guessed too often is not told by this either.
    #[cold]
    fn recall_slow(&self, known: Arc<Known>, claim: Claim<'_>, peer: &str) -> Option<(Arc<Known>, usize)> {
        let counted = claim.foreign || known.row.secrets.iter().any(is_imported);
        let _pass = self.enter(&Claim { peer: Some(peer), ..claim }, true, counted).ok()??;
        self.inner.keys.proven_before(known, claim.secret)
    }

    /// Remembers the row that a secret was proven by.
    fn admit(&self, proven: &Proven, read: &Read<'_>) -> Judged {
        let Proven { candidate, place } = proven;
        let known = self.inner.keys.admit(candidate, &self.inner.policy, read.ticket, self.inner.knows_nothing());
        match (candidate.secrets.get(*place), read.presented) {
            (Some(stored), Presented::Bare(_)) => self.inner.keys.note_digest(stored.digest, &known),
            (Some(stored), presented) if !stored.is_fast() => self.inner.keys.note_proof(&known, *place, presented.secret()),
            _ => {}
        }
        Judged { known, place: *place, at: Recent(self.inner.now()) }
    }

    #[inline(always)]
    pub(super) fn parse<'a>(&self, text: &'a [u8]) -> Option<Presented<'a>> {
        let policy = &self.inner.policy;
        credential::parse(text, &policy.formats, policy.imports.is_some())
    }

    /// After the secret is proven: owner, state and expiry at one `now`, capabilities, and all limits in one step.
    #[inline(always)]
    fn judge<'a>(
        &'a self,
        judged: Judged,
        presented: &[u8],
        attempt: &Attempt<'a>,
        later: impl FnOnce(Boxed<'a, Verdict>) -> Verified,
    ) -> Verified {
        let Judged { known, place, at } = judged;
        let Some(secret) = known.row.secrets.get(place) else { return Poll::Ready(self.not_recognized()) };
        // Exact where that decides, and where a store is asked.
        let is_exact = at.is_near(known.row.expires_at)
            || at.is_near(secret.valid_until)
            || known.plan.slides_shared
            || attempt.reserving.is_some();
        let now = if is_exact { self.inner.now() } else { at.0 };
        if secret.valid_until.is_some_and(|until| now >= until) {
            // Rotated out, and its grace is over: as good as unknown.
            return Poll::Ready(self.not_recognized());
        }
        if let Some(reason) = refusal(&known.row, attempt.required, now) {
            return Poll::Ready(Ok(self.denied(reason, known, now, attempt)));
        }
        if self.inner.policy.hashing.is_behind(&secret.scheme) {
            self.rehash_later(known.row.id, secret, presented);
        }
        let charge = Charge { now, is_exact, cost: attempt.cost, charges: attempt.charges };
        if let Some(asked) = attempt.reserving {
            return later(Box::pin(self.reserve_and_charge(known, place, charge, *attempt, asked)));
        }
        if known.plan.slides_shared {
            return later(Box::pin(self.charge_and_grant(known, place, charge, *attempt)));
        }
        let mut lefts = Lefts::default();
        match self.inner.try_charge(&known, charge, &mut lefts) {
            Step::Charged { at } => {
                let id = GrantId::new(at);
                if let Some(written) = self.inner.note_grant(id, &known, &lefts, at, attempt) {
                    let grant = Grant { id, known, at, place, lefts, hold: None };
                    return later(Box::pin(self.once_written(written, grant, *attempt)));
                }
                Poll::Ready(Ok(Verdict::Granted(Grant { id, known, at, place, lefts, hold: None })))
            }
            // Refused by the exact time, and noted at it.
            Step::Refused(exhausted) => Poll::Ready(Ok(self.limited(exhausted, known, self.inner.now(), attempt))),
            Step::Waits(_) => {
                let charge = Charge { now: self.inner.now(), is_exact: true, ..charge };
                later(Box::pin(self.charge_and_grant(known, place, charge, *attempt)))
            }
        }
    }

    async fn charge_and_grant(
        &self,
        known: Arc<Known>,
        place: usize,
        charge: Charge,
        attempt: Attempt<'_>,
    ) -> Result<Verdict, Fault> {
        match self.inner.charge_all(&known, charge).await? {
            Ok(lefts) => {
                let id = GrantId::new(charge.now);
                self.granted(Grant { id, known, at: charge.now, place, lefts, hold: None }, &attempt).await
            }
            Err(exhausted) => Ok(self.limited(exhausted, known, charge.now, &attempt)),
        }
    }

    /// A grant, once it is noted.
    pub(super) async fn granted(&self, grant: Grant, attempt: &Attempt<'_>) -> Result<Verdict, Fault> {
        match self.inner.note_grant(grant.id, &grant.known, &grant.lefts, grant.at, attempt) {
            Some(written) => self.once_written(written, grant, *attempt).await,
            None => Ok(Verdict::Granted(grant)),
        }
    }

    /// A grant, once it is on record. Who goes away before that stays charged: else they could have the store write for nothing.
    async fn once_written(&self, written: Written, grant: Grant, attempt: Attempt<'_>) -> Result<Verdict, Fault> {
        let written = written.await;
        if written.is_err() && attempt.charges {
            self.inner.uncharge(&grant, attempt.cost);
        }
        written.map(|()| Verdict::Granted(grant))
    }

    pub(super) fn limited(&self, exhausted: Exhausted, known: Arc<Known>, now: Timestamp, attempt: &Attempt<'_>) -> Verdict {
        self.denied(DenialReason::LimitReached(Box::new(exhausted)), known, now, attempt)
    }

    /// A refusal of who has proven the secret, noted.
    #[cold]
    pub(super) fn denied(&self, reason: DenialReason, known: Arc<Known>, now: Timestamp, attempt: &Attempt<'_>) -> Verdict {
        self.inner.note_denial(&reason, &known, now, attempt);
        Verdict::Denied(Denial::proven(reason, known))
    }

    /// Counted, and nothing else: nothing is known of who asks.
    #[inline(always)]
    pub(super) fn not_recognized(&self) -> Result<Verdict, Fault> {
        self.inner.log.unrecognized.count();
        Ok(Verdict::Denied(Denial::NOT_RECOGNIZED))
    }

    fn rehash_later(&self, key: KeyId, stored: &SecretRecord, secret: &[u8]) {
        if let Some((new, scheme)) = self.inner.policy.hashing.fast_digest(secret) {
            self.inner.buffers.rehash(Rehash { key, old: stored.digest, new, scheme });
        }
    }
}

/// A key that is to be judged: which of its secrets was proven, and when.
struct Judged {
    known: Arc<Known>,
    place: usize,
    at: Recent,
}

/// What is presented, and when its row is read.
pub(super) struct Read<'a> {
    presented: Presented<'a>,
    ticket: Ticket,
}

/// Why a proven key's request is refused: owner, state and expiry, then capabilities. `None` grants.
#[inline]
pub(super) fn refusal(candidate: &Candidate, required: Option<&Requirement>, now: Timestamp) -> Option<DenialReason> {
    let expired = candidate.expiry_latched || candidate.expires_at.is_some_and(|at| now >= at);
    let status = Status::of(candidate.state, expired);
    // Nearly every request: nothing is made of it that would have to be dropped.
    if candidate.owner_open && status == Status::Active && required.is_none() {
        return None;
    }
    reason(candidate, status, required)
}

fn reason(candidate: &Candidate, status: Status, required: Option<&Requirement>) -> Option<DenialReason> {
    if !candidate.owner_open {
        return Some(DenialReason::OwnerClosed);
    }
    match status {
        Status::Active => {}
        Status::Suspended => return Some(DenialReason::Suspended),
        Status::Expired => return Some(DenialReason::Expired { at: candidate.expires_at.map(Into::into) }),
        Status::Compromised => return Some(DenialReason::Compromised),
        Status::Revoked => return Some(DenialReason::Revoked),
    }
    let missing = required.map(|required| required.missing_from(&candidate.capabilities)).unwrap_or_default();
    (!missing.is_empty()).then_some(DenialReason::CapabilityMissing { missing })
}
