//! The way of one request, top to bottom.

use super::{
    Clove,
    throttle::{Entry, Ticket},
};
use crate::{
    credential::{self, Presented},
    digest::{Digest, Scheme, sha256},
    error::Fault,
    id::{GrantId, KeyId},
    key::Status,
    policy::PepperStatus,
    store::{Candidate, Rehash, SecretRecord},
    verdict::{Attempt, Denial, DenialReason, Grant, Verdict},
};
use chrono::{DateTime, Utc};
use std::{future::Future, hint::black_box, pin::pin, sync::Arc, task::Poll};

/// What an unknown key's secret is compared with.
const DUMMY: Digest = Digest::from_bytes([0x5c; 32]);

impl Clove {
    /// Verifies a presented credential: a [`Grant`], or a [`Denial`] with its reason.
    ///
    /// Dropping the future at any point leaves nothing held.
    ///
    /// # Errors
    /// [`Fault`] where nothing can be said: the store failed, a queue is full, or the policy's deadline has passed.
    pub async fn verify<'a>(&self, attempt: impl Into<Attempt<'a>>) -> Result<Verdict, Fault> {
        let attempt = attempt.into();
        let Some(presented) = self.parse(attempt.credential) else {
            return Ok(Verdict::Denied(Denial::NOT_RECOGNIZED));
        };
        self.within_deadline(self.verify_parsed(presented, &attempt)).await
    }

    pub(super) fn parse<'a>(&self, text: &'a [u8]) -> Option<Presented<'a>> {
        let policy = &self.inner.policy;
        credential::parse(text, &policy.formats, policy.imports.is_some())
    }

    async fn verify_parsed(&self, presented: Presented<'_>, attempt: &Attempt<'_>) -> Result<Verdict, Fault> {
        let Some((candidate, place)) = self.prove(presented, attempt.peer).await? else {
            return Ok(Verdict::Denied(Denial::NOT_RECOGNIZED));
        };
        let Some(secret) = candidate.secrets.get(place) else {
            return Ok(Verdict::Denied(Denial::NOT_RECOGNIZED));
        };
        let now = self.inner.clock.now();
        if secret.valid_until.is_some_and(|until| now >= until) {
            // Rotated out, and its grace is over: as good as unknown.
            return Ok(Verdict::Denied(Denial::NOT_RECOGNIZED));
        }
        if let Some(reason) = judge(&candidate, attempt, now) {
            return Ok(Verdict::Denied(Denial::proven(reason, candidate)));
        }
        self.inner.buffers.used(candidate.id, now);
        if self.inner.policy.hashing.is_behind(&secret.scheme) {
            self.rehash_later(candidate.id, secret, presented.secret());
        }
        Ok(Verdict::Granted(Grant { id: GrantId::new(now), candidate, at: now }))
    }

    /// Finds the key and proves the secret: the key, and the place of the secret among its own. `None` is unknown or wrong.
    pub(super) async fn prove(&self, presented: Presented<'_>, peer: &str) -> Result<Option<(Arc<Candidate>, usize)>, Fault> {
        match presented {
            Presented::Bare(secret) => {
                let (digests, count) = self.inner.policy.hashing.lookup_digests(secret);
                let digests = digests.get(..count).unwrap_or_default();
                let found = if digests.is_empty() { None } else { self.inner.store.find_by_digest(digests).await? };
                let is_presented = |stored: &SecretRecord| stored.is_fast() && digests.contains(&stored.digest);
                let proven = found.and_then(|candidate| {
                    let place = candidate.secrets.iter().position(is_presented)?;
                    Some((candidate, place))
                });
                if proven.is_none() {
                    self.refuse_to_guess_about_peppers().await?;
                }
                Ok(proven)
            }
            Presented::WithId(id, secret) | Presented::Foreign(id, secret) => {
                let foreign = matches!(presented, Presented::Foreign(..));
                let Some(candidate) = self.inner.store.find_by_id(id).await? else {
                    self.prove_nothing(id, secret, foreign, peer).await?;
                    return Ok(None);
                };
                let place = match self.prove_fast(&candidate, secret)? {
                    Fast::Proven(place) => Some(place),
                    Fast::Wrong if !foreign => None,
                    fast => self.prove_slow(&candidate, secret, fast == Fast::SlowLeft, peer).await?,
                };
                Ok(place.map(|place| (candidate, place)))
            }
        }
    }

    /// A bare secret that is not found may be stored under a pepper that this process does not know: then nothing can be said.
    async fn refuse_to_guess_about_peppers(&self) -> Result<(), Fault> {
        let in_use = self.inner.store.peppers_in_use().await?;
        let unknown =
            in_use.into_iter().find(|&version| matches!(self.inner.policy.hashing.pepper(version), PepperStatus::Unknown));
        unknown.map_or(Ok(()), |version| Err(Fault::UnknownPepper { version }))
    }

    /// Proves a secret against a key's fast digests: which of them it is, or whether slow ones are left to try.
    fn prove_fast(&self, candidate: &Candidate, secret: &[u8]) -> Result<Fast, Fault> {
        let hashing = &self.inner.policy.hashing;
        let mut slow = false;
        for (place, stored) in candidate.secrets.iter().enumerate() {
            let digest = match stored.scheme {
                Scheme::Sha256 if hashing.reads_sha256() => sha256(secret),
                Scheme::Sha256 => continue,
                Scheme::HmacSha256 { pepper } => match hashing.pepper(pepper) {
                    PepperStatus::Given(pepper) => pepper.digest(secret),
                    PepperStatus::Dropped => continue,
                    PepperStatus::Unknown => return Err(Fault::UnknownPepper { version: pepper }),
                },
                Scheme::Argon2id { .. } => {
                    slow = true;
                    continue;
                }
            };
            if digest == stored.digest {
                return Ok(Fast::Proven(place));
            }
        }
        Ok(if slow { Fast::SlowLeft } else { Fast::Wrong })
    }

    /// Proves a secret against a key's slow digests, if it has any; if not, takes as long.
    async fn prove_slow(&self, candidate: &Candidate, secret: &[u8], has_slow: bool, peer: &str) -> Result<Option<usize>, Fault> {
        let Some(ticket) = self.enter(candidate.id, true, peer)? else { return Ok(None) };
        if !has_slow {
            self.hash_for_nothing(candidate.id, secret, ticket).await?;
            return Ok(None);
        }
        for (place, stored) in candidate.secrets.iter().enumerate() {
            if let Scheme::Argon2id { cost, salt } = stored.scheme
                && self.inner.hash_queue.hash(candidate.id, secret, cost, salt).await? == stored.digest
            {
                return Ok(Some(place));
            }
        }
        ticket.wrong();
        Ok(None)
    }

    /// An unknown id costs what a wrong secret costs under the scheme that it would have.
    async fn prove_nothing(&self, id: KeyId, secret: &[u8], foreign: bool, peer: &str) -> Result<(), Fault> {
        if !foreign && let Some((digest, _)) = self.inner.policy.hashing.fast_digest(secret) {
            black_box(digest == DUMMY);
            return Ok(());
        }
        let Some(ticket) = self.enter(id, false, peer)? else { return Ok(()) };
        self.hash_for_nothing(id, secret, ticket).await
    }

    fn enter(&self, id: KeyId, exists: bool, peer: &str) -> Result<Option<Ticket<'_>>, Fault> {
        match self.inner.throttle.enter(id, exists, peer, self.inner.clock.monotonic()) {
            Entry::Open(ticket) => Ok(Some(ticket)),
            Entry::Shut => Ok(None),
            Entry::Undecided => Err(Fault::Overloaded),
        }
    }

    async fn hash_for_nothing(&self, id: KeyId, secret: &[u8], ticket: Ticket<'_>) -> Result<(), Fault> {
        let cost = self.inner.policy.hashing.argon2_cost;
        black_box(self.inner.hash_queue.hash(id, secret, cost, [0x5c; 16]).await? == DUMMY);
        ticket.wrong();
        Ok(())
    }

    fn rehash_later(&self, key: KeyId, stored: &SecretRecord, secret: &[u8]) {
        if let Some((new, scheme)) = self.inner.policy.hashing.fast_digest(secret) {
            self.inner.buffers.rehash(Rehash { key, old: stored.digest, new, scheme });
        }
    }

    /// Ends `work` with a fault once the policy's deadline has passed. The timer starts when the work first has to wait:
    /// work that never waits pays nothing for it.
    async fn within_deadline<T>(&self, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        let mut work = pin!(work);
        let mut timer = None;
        let deadline = self.inner.policy.deadline;
        std::future::poll_fn(|context| {
            if let Poll::Ready(done) = work.as_mut().poll(context) {
                return Poll::Ready(done);
            }
            let timer = timer.get_or_insert_with(|| self.inner.clock.sleep(deadline));
            timer.as_mut().poll(context).map(|()| Err(Fault::DeadlineExceeded { deadline }))
        })
        .await
    }
}

/// What the fast digests of a key say of a secret.
#[derive(PartialEq)]
enum Fast {
    Proven(usize),
    Wrong,
    SlowLeft,
}

/// After the secret is proven: owner, state and expiry at one `now`, capabilities. `None` grants.
fn judge(candidate: &Candidate, attempt: &Attempt<'_>, now: DateTime<Utc>) -> Option<DenialReason> {
    if !candidate.owner_open {
        return Some(DenialReason::OwnerClosed);
    }
    let expired = candidate.expiry_latched || candidate.expires_at.is_some_and(|at| now >= at);
    match Status::of(candidate.state, expired) {
        Status::Active => {}
        Status::Suspended => return Some(DenialReason::Suspended),
        Status::Expired => return Some(DenialReason::Expired { at: candidate.expires_at }),
        Status::Compromised => return Some(DenialReason::Compromised),
        Status::Revoked => return Some(DenialReason::Revoked),
    }
    let missing = attempt.required.map(|required| required.missing_from(&candidate.capabilities)).unwrap_or_default();
    (!missing.is_empty()).then_some(DenialReason::CapabilityMissing { missing })
}
