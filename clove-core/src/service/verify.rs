//! The way of one request, top to bottom.

use super::{
    Clove, Known, Lefts,
    charge::{Charge, Step},
    known::Ticket,
    prove::{Boxed, Claim, Fast, Proof, Proven, is_imported},
    reserve::hand_over,
    tally::Flight,
};
use crate::{
    capability::Requirement,
    clock::Timestamp,
    credential::{self, Presented},
    error::Fault,
    id::{GrantId, KeyId},
    key::Status,
    store::{Candidate, Rehash, SecretRecord},
    usage::Unit,
    verdict::{Attempt, Denial, DenialReason, Exhausted, Grant, Verdict},
};
use std::{sync::Arc, task::Poll, time::Duration};

impl Clove {
    /// Verifies a presented credential: a [`Grant`], or a [`Denial`] with its reason.
    ///
    /// Dropping the future at any point leaves nothing held.
    ///
    /// # Errors
    /// [`Fault`] where nothing can be said: the store failed, a queue is full, or the policy's deadline has passed.
    pub async fn verify<'a>(&self, attempt: impl Into<Attempt<'a>>) -> Result<Verdict, Fault> {
        let attempt = attempt.into();
        let (mut begun, began) = match self.begin(&attempt) {
            Begun::Ended(end) => return end,
            waits => (waits, self.inner.clock.monotonic()),
        };
        loop {
            begun = match begun {
                Begun::Ended(end) => {
                    hand_over(&end);
                    self.signal_end(&end, began);
                    return end;
                }
                Begun::Proves { proof, presented, ticket } => match self.within_deadline_since(began, proof).await {
                    Ok(Some(proven)) => self.judge_read(&proven, &presented, ticket, &attempt),
                    Ok(None) => self.not_recognized(),
                    Err(fault) => Begun::Ended(Err(fault)),
                },
                Begun::Charges(rest) => Begun::Ended(self.within_deadline_since(began, rest).await),
            };
        }
    }

    /// The whole way of a request that nothing holds up. Apart from the future, which would carry along all that it holds.
    #[inline(never)]
    fn begin<'a>(&'a self, attempt: &Attempt<'a>) -> Begun<'a> {
        if self.is_observed() { self.begin_observed(attempt) } else { self.begin_alone(attempt) }
    }

    /// The same where observers are told how it ended. A copy: who has none pays for one look whether there are any.
    #[inline(never)]
    fn begin_observed<'a>(&'a self, attempt: &Attempt<'a>) -> Begun<'a> {
        let began = self.begin_signal();
        let begun = self.begin_alone(attempt);
        if let Begun::Ended(end) = &begun {
            self.signal_end(end, began);
        }
        begun
    }

    /// Its steps are inlined, tell look-ups that are ready from those that wait themselves, and name a secret by its place: to
    /// hand results on through memory, to share the telling or to copy the record costs a twentieth to a tenth of the whole.
    #[inline(always)]
    fn begin_alone<'a>(&'a self, attempt: &Attempt<'a>) -> Begun<'a> {
        let Some(presented) = self.parse(attempt.credential) else { return self.not_recognized() };
        if let Some(judged) = self.recall(&presented, attempt.peer) {
            return self.judge(judged, presented.secret(), attempt);
        }
        let ticket = self.inner.keys.ticket();
        match self.prove(&presented, Some(attempt.peer)) {
            Proof::Made(proven) => self.judge_read(&proven, &presented, ticket, attempt),
            Proof::NotMade => self.not_recognized(),
            Proof::Failed(fault) => Begun::Ended(Err(fault)),
            Proof::Waits(proof) => Begun::Proves { proof, presented, ticket },
        }
    }

    /// Judges by a row that was read just now.
    #[inline(never)]
    fn judge_read<'a>(&'a self, proven: &Proven, presented: &Presented<'_>, ticket: Ticket, attempt: &Attempt<'a>) -> Begun<'a> {
        self.judge(self.admit(proven, presented, ticket), presented.secret(), attempt)
    }

    /// Proves the secret by a remembered row, where one may be used. A secret that is not proven so may be another process's new one,
    /// and an unknown id is to cost what a wrong secret costs: either way the store is asked.
    #[inline(always)]
    fn recall(&self, presented: &Presented<'_>, peer: &str) -> Option<Judged> {
        let now = self.inner.knows_at()?;
        let (known, place) = match *presented {
            Presented::Bare(secret) => {
                let digests = self.inner.policy.hashing.lookup_digests(secret);
                let known = self.inner.keys.fresh_by_digest(&digests)?;
                let place = known.row.secrets.position(|stored| stored.is_fast() && digests.contains(&stored.digest))?;
                (known, place)
            }
            Presented::WithId(id, secret) => {
                let digest = self.inner.policy.hashing.current_fast_digest(secret);
                let known = self.inner.keys.fresh(id)?;
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
        Some(Judged { known, place, now })
    }

    /// Proves a secret that a slow hash has proven before. Whoever has guessed too often is not told by this either.
    #[cold]
    fn recall_slow(&self, known: Arc<Known>, claim: Claim<'_>, peer: &str) -> Option<(Arc<Known>, usize)> {
        let counted = claim.foreign || known.row.secrets.iter().any(is_imported);
        let _pass = self.enter(&Claim { peer: Some(peer), ..claim }, true, counted).ok()??;
        self.inner.keys.proven_before(known, claim.secret)
    }

    /// Remembers the row that a secret was proven by.
    fn admit(&self, proven: &Proven, presented: &Presented<'_>, ticket: Ticket) -> Judged {
        let Proven { candidate, place } = proven;
        let known = self.inner.keys.admit(candidate, &self.inner.policy, ticket);
        match (candidate.secrets.get(*place), presented) {
            (Some(stored), Presented::Bare(_)) => self.inner.keys.note_digest(stored.digest, &known),
            (Some(stored), _) if !stored.is_fast() => self.inner.keys.note_proof(&known, *place, presented.secret()),
            _ => {}
        }
        Judged { known, place: *place, now: self.inner.clock.now() }
    }

    #[inline(always)]
    pub(super) fn parse<'a>(&self, text: &'a [u8]) -> Option<Presented<'a>> {
        let policy = &self.inner.policy;
        credential::parse(text, &policy.formats, policy.imports.is_some())
    }

    /// After the secret is proven: owner, state and expiry at one `now`, capabilities, and all limits in one step.
    #[inline(always)]
    fn judge<'a>(&'a self, judged: Judged, presented: &[u8], attempt: &Attempt<'a>) -> Begun<'a> {
        let Judged { known, place, now } = judged;
        let Some(secret) = known.row.secrets.get(place).filter(|secret| secret.valid_until.is_none_or(|until| now < until))
        else {
            // Rotated out, and its grace is over: as good as unknown.
            return self.not_recognized();
        };
        if let Some(reason) = refusal(&known.row, attempt.required, now) {
            return self.ended(Verdict::Denied(Denial::proven(reason, known)), now, attempt);
        }
        if self.inner.policy.hashing.is_behind(&secret.scheme) {
            self.rehash_later(known.row.id, secret, presented);
        }
        let charge = Charge { now, cost: attempt.cost, charges: attempt.charges };
        if let Some(asked) = attempt.reserving {
            return self.reserve_later(known, place, charge, *attempt, asked);
        }
        match self.inner.try_charge(&known, charge) {
            Step::Charged(lefts) => self.ended(granted(known, place, now, lefts), now, attempt),
            Step::Refused(exhausted) => self.ended(limited(known, exhausted), now, attempt),
            Step::Waits(flight) => self.charge_later(known, place, charge, flight, *attempt),
        }
    }

    #[cold]
    fn charge_later<'a>(
        &'a self,
        known: Arc<Known>,
        place: usize,
        charge: Charge,
        flight: Flight,
        attempt: Attempt<'a>,
    ) -> Begun<'a> {
        Begun::Charges(Box::pin(async move {
            let verdict = match self.inner.charge_when_known(&known, charge, flight).await? {
                Ok(lefts) => granted(known, place, charge.now, lefts),
                Err(exhausted) => limited(known, exhausted),
            };
            if let Some(written) = self.inner.note(&verdict, charge.now, &attempt) {
                written.await?;
            }
            Ok(verdict)
        }))
    }

    #[cold]
    fn reserve_later<'a>(
        &'a self,
        known: Arc<Known>,
        place: usize,
        charge: Charge,
        attempt: Attempt<'a>,
        asked: (&'a Unit, u64),
    ) -> Begun<'a> {
        Begun::Charges(Box::pin(self.reserve_and_charge(known, place, charge, attempt, asked)))
    }

    /// Counted, and nothing else: nothing is known of who asks.
    #[inline(always)]
    fn not_recognized<'a>(&self) -> Begun<'a> {
        self.inner.log.unrecognized.count();
        Begun::Ended(Ok(Verdict::Denied(Denial::NOT_RECOGNIZED)))
    }

    /// Notes a verdict on a proven secret; a grant that must be on record first waits for that.
    #[inline(always)]
    fn ended<'a>(&self, verdict: Verdict, now: Timestamp, attempt: &Attempt<'_>) -> Begun<'a> {
        match self.inner.note(&verdict, now, attempt) {
            None => Begun::Ended(Ok(verdict)),
            Some(written) => Begun::Charges(Box::pin(async move {
                written.await?;
                Ok(verdict)
            })),
        }
    }

    fn rehash_later(&self, key: KeyId, stored: &SecretRecord, secret: &[u8]) {
        if let Some((new, scheme)) = self.inner.policy.hashing.fast_digest(secret) {
            self.inner.buffers.rehash(Rehash { key, old: stored.digest, new, scheme });
        }
    }

    /// Ends `work` with a fault once the policy's deadline has passed, be it that it waits or that it took too long at a stretch.
    pub(super) async fn within_deadline<T>(&self, work: Boxed<'_, T>) -> Result<T, Fault> {
        self.within_deadline_since(self.inner.clock.monotonic(), work).await
    }

    async fn within_deadline_since<T>(&self, began: Duration, mut work: Boxed<'_, T>) -> Result<T, Fault> {
        let (clock, deadline) = (&self.inner.clock, self.inner.policy.deadline);
        let mut timer = None;
        std::future::poll_fn(|context| {
            let done = work.as_mut().poll(context);
            let left = deadline.saturating_sub(clock.monotonic().saturating_sub(began));
            if left.is_zero() {
                return Poll::Ready(Err(Fault::DeadlineExceeded { deadline }));
            }
            if done.is_ready() {
                return done;
            }
            let timer = timer.get_or_insert_with(|| clock.sleep(left));
            timer.as_mut().poll(context).map(|()| Err(Fault::DeadlineExceeded { deadline }))
        })
        .await
    }
}

#[inline(always)]
fn granted(known: Arc<Known>, place: usize, now: Timestamp, lefts: Lefts) -> Verdict {
    Verdict::Granted(Grant { id: GrantId::new(now), known, at: now, place, lefts, hold: None })
}

fn limited(known: Arc<Known>, exhausted: Exhausted) -> Verdict {
    Verdict::Denied(Denial::proven(DenialReason::LimitReached(Box::new(exhausted)), known))
}

/// A key that is to be judged: which of its secrets was proven, and at what time.
struct Judged {
    known: Arc<Known>,
    place: usize,
    now: Timestamp,
}

/// How far a verification came at once.
enum Begun<'a> {
    Ended(Result<Verdict, Fault>),
    /// The proof of what is presented has to be waited for; with when its row is read.
    Proves {
        proof: Boxed<'a, Option<Proven>>,
        presented: Presented<'a>,
        ticket: Ticket,
    },
    /// Places of windows, budgets, or the access log have to be waited for.
    Charges(Boxed<'a, Verdict>),
}

/// Why a proven key's request is refused: owner, state and expiry, then capabilities. `None` grants.
pub(super) fn refusal(candidate: &Candidate, required: Option<&Requirement>, now: Timestamp) -> Option<DenialReason> {
    if !candidate.owner_open {
        return Some(DenialReason::OwnerClosed);
    }
    let expired = candidate.expiry_latched || candidate.expires_at.is_some_and(|at| now >= at);
    match Status::of(candidate.state, expired) {
        Status::Active => {}
        Status::Suspended => return Some(DenialReason::Suspended),
        Status::Expired => return Some(DenialReason::Expired { at: candidate.expires_at.map(Into::into) }),
        Status::Compromised => return Some(DenialReason::Compromised),
        Status::Revoked => return Some(DenialReason::Revoked),
    }
    let missing = required.map(|required| required.missing_from(&candidate.capabilities)).unwrap_or_default();
    (!missing.is_empty()).then_some(DenialReason::CapabilityMissing { missing })
}
