//! The way of one request, top to bottom.

use super::{
    Clove, Lefts,
    charge::Step,
    throttle::{Entry, Ticket},
};
use crate::{
    clock::Timestamp,
    credential::{self, Presented},
    digest::{Argon2Cost, Digest, Scheme, sha256},
    error::Fault,
    id::{GrantId, KeyId},
    key::Status,
    policy::PepperStatus,
    store::{Candidate, Lookup, Rehash, SecretRecord},
    verdict::{Attempt, Denial, DenialReason, Exhausted, Grant, Verdict},
};
use std::{
    future::{Future, IntoFuture},
    hint::black_box,
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

/// What an unknown key's secret is compared with.
const DUMMY: Digest = Digest::from_bytes([0x5c; 32]);
/// The label of all reports of leaks together: they leave others their room in the queue of hashes.
const REPORTS: &str = "reports of leaks";

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
                    self.signal_end(&end, began);
                    return end;
                }
                Begun::Proves(proof, secret) => match self.within_deadline_since(began, proof).await {
                    Ok(proven) => self.judge_later(proven, secret, &attempt),
                    Err(fault) => Begun::Ended(Err(fault)),
                },
                Begun::Charges(rest) => Begun::Ended(self.within_deadline_since(began, rest).await),
            };
        }
    }

    /// [`Self::judge`] for who had to wait.
    #[inline(never)]
    fn judge_later<'a>(&'a self, proven: Option<Proven>, presented: &[u8], attempt: &Attempt<'a>) -> Begun<'a> {
        self.judge(proven, presented, attempt)
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
        let Some(presented) = self.parse(attempt.credential) else {
            return Begun::Ended(Ok(Verdict::Denied(Denial::NOT_RECOGNIZED)));
        };
        let proven = match self.prove(&presented, Some(attempt.peer)) {
            Proof::Made(proven) => Some(proven),
            Proof::NotMade => None,
            Proof::Failed(fault) => return Begun::Ended(Err(fault)),
            Proof::Waits(proof) => return Begun::Proves(proof, presented.secret()),
        };
        self.judge(proven, presented.secret(), attempt)
    }

    #[inline(always)]
    pub(super) fn parse<'a>(&self, text: &'a [u8]) -> Option<Presented<'a>> {
        let policy = &self.inner.policy;
        credential::parse(text, &policy.formats, policy.imports.is_some())
    }

    /// Finds the key and proves the secret. Wrong guesses at slow secrets are counted for `peer`; without one they are not, for
    /// the report of a leak, which tells its sender nothing and must never be refused.
    #[inline(always)]
    pub(super) fn prove<'a>(&'a self, presented: &Presented<'a>, peer: Option<&'a str>) -> Proof<'a> {
        match *presented {
            Presented::Bare(secret) => {
                let digests = self.inner.policy.hashing.lookup_digests(secret);
                match self.inner.store.find_by_digest(&digests) {
                    Lookup::Ready(Ok(found)) => self.prove_by_digest(found, &digests),
                    Lookup::Ready(Err(error)) => Proof::Failed(error.into()),
                    Lookup::Waits(found) => Proof::waits(async move { self.prove_by_digest(found.await?, &digests).await }),
                }
            }
            Presented::WithId(id, secret) | Presented::Foreign(id, secret) => {
                // Hashed whether the id is known or not: so both cost alike, and the processor has it while it looks up.
                let digest = self.inner.policy.hashing.current_fast_digest(secret);
                let foreign = matches!(presented, Presented::Foreign(..));
                let claim = Claim { id, secret, foreign, peer };
                match self.inner.store.find_by_id(id) {
                    Lookup::Ready(Ok(Some(candidate))) => self.prove_candidate(candidate, claim, digest),
                    Lookup::Ready(Ok(None)) => self.prove_nothing(claim, digest),
                    Lookup::Ready(Err(error)) => Proof::Failed(error.into()),
                    Lookup::Waits(found) => Proof::waits(async move {
                        match found.await? {
                            Some(candidate) => self.prove_candidate(candidate, claim, digest).await,
                            None => self.prove_nothing(claim, digest).await,
                        }
                    }),
                }
            }
        }
    }

    #[inline(always)]
    fn prove_by_digest(&self, found: Option<Arc<Candidate>>, digests: &[Digest]) -> Proof<'_> {
        let is_presented = |stored: &SecretRecord| stored.is_fast() && digests.contains(&stored.digest);
        if let Some(candidate) = found
            && let Some(place) = candidate.secrets.position(is_presented)
        {
            return Proof::Made(Proven { candidate, place });
        }
        Proof::waits(self.refuse_to_guess_about_peppers())
    }

    /// A bare secret that is not found may be stored under a pepper that this process does not know: then nothing can be said.
    async fn refuse_to_guess_about_peppers(&self) -> Result<Option<Proven>, Fault> {
        let in_use = self.inner.store.peppers_in_use().await?;
        let unknown =
            in_use.into_iter().find(|&version| matches!(self.inner.policy.hashing.pepper(version), PepperStatus::Unknown));
        unknown.map_or(Ok(None), |version| Err(Fault::UnknownPepper { version }))
    }

    #[inline(always)]
    fn prove_candidate<'a>(&'a self, candidate: Arc<Candidate>, claim: Claim<'a>, digest: Option<Digest>) -> Proof<'a> {
        match self.prove_fast(&candidate, claim, digest) {
            Ok(Fast::Proven(place)) => Proof::Made(Proven { candidate, place }),
            // Under a slow policy an unknown id is hashed for slowly, and so is a wrong secret of a key from before it.
            Ok(Fast::Wrong) if !claim.foreign && digest.is_some() => Proof::NotMade,
            Ok(fast) => Proof::waits(self.prove_slow(candidate, claim, fast == Fast::SlowLeft)),
            Err(fault) => Proof::Failed(fault),
        }
    }

    /// Proves a secret against a key's fast digests: which of them it is, or whether slow ones of its form are left to try. `digest`
    /// is the one under the current scheme.
    #[inline(always)]
    fn prove_fast(&self, candidate: &Candidate, claim: Claim<'_>, digest: Option<Digest>) -> Result<Fast, Fault> {
        let (hashing, secret) = (&self.inner.policy.hashing, claim.secret);
        let (mut slow, mut unknown) = (false, None);
        for (place, stored) in candidate.secrets.iter().enumerate() {
            let digest = match (stored.scheme, digest) {
                (scheme, Some(digest)) if hashing.is_current(&scheme) => digest,
                (Scheme::Sha256, _) if hashing.reads_sha256() => sha256(secret),
                (Scheme::Sha256, _) => continue,
                (Scheme::HmacSha256 { pepper: version }, _) => match hashing.pepper(version) {
                    PepperStatus::Given(pepper) => pepper.digest(secret),
                    PepperStatus::Dropped => continue,
                    PepperStatus::Unknown => {
                        unknown = Some(version);
                        continue;
                    }
                },
                (Scheme::Argon2id { imported, .. }, _) => {
                    slow |= claim.may_be(imported);
                    continue;
                }
            };
            if digest == stored.digest {
                return Ok(Fast::Proven(place));
            }
        }
        match unknown {
            Some(version) => Err(Fault::UnknownPepper { version }),
            None => Ok(if slow { Fast::SlowLeft } else { Fast::Wrong }),
        }
    }

    /// Proves a secret against a key's slow digests, if it has any; if not, takes as long.
    async fn prove_slow(&self, candidate: Arc<Candidate>, claim: Claim<'_>, has_slow: bool) -> Result<Option<Proven>, Fault> {
        let counted = claim.foreign || candidate.secrets.iter().any(is_imported);
        let Some(pass) = self.enter(&claim, true, counted)? else { return Ok(None) };
        if !has_slow {
            return self.hash_for_nothing(claim, pass).await;
        }
        let mut proven = None;
        for (place, stored) in candidate.secrets.iter().enumerate() {
            if let Scheme::Argon2id { cost, salt, imported } = stored.scheme
                && claim.may_be(imported)
                && self.hash_claim(&claim, cost, salt).await? == stored.digest
            {
                proven = Some(place);
                break;
            }
        }
        match proven {
            Some(place) => Ok(Some(Proven { candidate, place })),
            None => {
                pass.wrong();
                Ok(None)
            }
        }
    }

    /// An unknown id costs what a wrong secret costs under the scheme that it would have.
    fn prove_nothing<'a>(&'a self, claim: Claim<'a>, digest: Option<Digest>) -> Proof<'a> {
        if let Some(digest) = digest.filter(|_| !claim.foreign) {
            black_box(digest == DUMMY);
            return Proof::NotMade;
        }
        match self.enter(&claim, false, claim.foreign) {
            Ok(Some(pass)) => Proof::waits(self.hash_for_nothing(claim, pass)),
            Ok(None) => Proof::NotMade,
            Err(fault) => Proof::Failed(fault),
        }
    }

    /// Whether the claim may be hashed; `None` is no, after too many wrong ones that `counted` as guesses at an imported secret.
    fn enter(&self, claim: &Claim<'_>, exists: bool, counted: bool) -> Result<Option<Pass<'_>>, Fault> {
        let Some(peer) = claim.peer.filter(|_| counted) else { return Ok(Some(Pass::Uncounted)) };
        match self.inner.throttle.enter(claim.id, exists, peer, self.inner.clock.monotonic()) {
            Entry::Open(ticket) => Ok(Some(Pass::Counted(ticket))),
            Entry::Shut => Ok(None),
            Entry::Undecided => Err(Fault::Overloaded),
        }
    }

    async fn hash_claim(&self, claim: &Claim<'_>, cost: Argon2Cost, salt: [u8; 16]) -> Result<Digest, Fault> {
        self.inner.hash_queue.hash(claim.id, claim.peer.unwrap_or(REPORTS), claim.secret, cost, salt).await
    }

    async fn hash_for_nothing(&self, claim: Claim<'_>, pass: Pass<'_>) -> Result<Option<Proven>, Fault> {
        let cost = self.inner.policy.hashing.argon2_cost;
        black_box(self.hash_claim(&claim, cost, [0x5c; 16]).await? == DUMMY);
        pass.wrong();
        Ok(None)
    }

    /// After the secret is proven: owner, state and expiry at one `now`, capabilities, and all limits in one step.
    #[inline(always)]
    fn judge<'a>(&'a self, proven: Option<Proven>, presented: &[u8], attempt: &Attempt<'a>) -> Begun<'a> {
        let denied = |denial| Begun::Ended(Ok(Verdict::Denied(denial)));
        let Some(Proven { candidate, place }) = proven else { return denied(Denial::NOT_RECOGNIZED) };
        let now = self.inner.clock.now();
        let Some(secret) = candidate.secrets.get(place).filter(|secret| secret.valid_until.is_none_or(|until| now < until))
        else {
            // Rotated out, and its grace is over: as good as unknown.
            return denied(Denial::NOT_RECOGNIZED);
        };
        if let Some(reason) = refusal(&candidate, attempt, now) {
            return denied(Denial::proven(reason, candidate));
        }
        if self.inner.policy.hashing.is_behind(&secret.scheme) {
            self.rehash_later(candidate.id, secret, presented);
        }
        if self.inner.policy.is_unlimited(candidate.limits.as_deref()) {
            return Begun::Ended(Ok(self.grant(candidate, now, attempt.charges, None)));
        }
        self.charge(candidate, now, *attempt)
    }

    /// All windows in one step. Apart, so that who has none does not carry it along.
    #[inline(never)]
    fn charge<'a>(&'a self, candidate: Arc<Candidate>, now: Timestamp, attempt: Attempt<'a>) -> Begun<'a> {
        let Some(charge) = self.inner.charge(&candidate, now, attempt.cost, attempt.charges) else {
            return Begun::Ended(Ok(self.grant(candidate, now, attempt.charges, None)));
        };
        let judged = move |charged: Result<Lefts, Exhausted>, candidate| match charged {
            Ok(lefts) => self.grant(candidate, now, attempt.charges, Some(Box::new(lefts))),
            Err(exhausted) => Verdict::Denied(Denial::proven(DenialReason::LimitReached(Box::new(exhausted)), candidate)),
        };
        match self.inner.try_charge(&charge) {
            Step::Charged(lefts) => Begun::Ended(Ok(judged(Ok(lefts), candidate))),
            Step::Refused(exhausted) => Begun::Ended(Ok(judged(Err(exhausted), candidate))),
            Step::Waits(flight) => Begun::Charges(Box::pin(async move {
                let charged = self.inner.charge_when_known(&charge, flight).await?;
                Ok(judged(charged, candidate))
            })),
        }
    }

    #[inline(always)]
    fn grant(&self, candidate: Arc<Candidate>, now: Timestamp, is_use: bool, lefts: Option<Box<Lefts>>) -> Verdict {
        if is_use {
            self.inner.buffers.used(candidate.id, now);
        }
        Verdict::Granted(Grant { id: GrantId::new(now), candidate, at: now, lefts })
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

/// How far a verification came at once.
enum Begun<'a> {
    Ended(Result<Verdict, Fault>),
    /// The proof has to be waited for; with the secret that is being proven.
    Proves(Boxed<'a, Option<Proven>>, &'a [u8]),
    /// Places of windows have to be waited for.
    Charges(Boxed<'a, Verdict>),
}

/// `id;secret`, and who presents it.
#[derive(Clone, Copy)]
struct Claim<'a> {
    id: KeyId,
    secret: &'a [u8],
    /// Whether it is in no form of the host's own. A wrong secret counts as a guess only at an imported one: there is no guessing the
    /// 128 random bits of the host's own, and by counting them whoever knows an id could shut its owner out.
    foreign: bool,
    peer: Option<&'a str>,
}

impl Claim<'_> {
    /// Whether it may be a secret that was imported, or that was not. An imported one may have a form that is the host's own since.
    fn may_be(&self, imported: bool) -> bool {
        imported || !self.foreign
    }
}

fn is_imported(secret: &SecretRecord) -> bool {
    matches!(secret.scheme, Scheme::Argon2id { imported: true, .. })
}

/// Leave to hash a claim.
enum Pass<'a> {
    Counted(Ticket<'a>),
    Uncounted,
}

impl Pass<'_> {
    fn wrong(self) {
        if let Self::Counted(ticket) = self {
            ticket.wrong();
        }
    }
}

/// A key whose secret is proven.
pub(super) struct Proven {
    pub(super) candidate: Arc<Candidate>,
    /// Which of its secrets.
    pub(super) place: usize,
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, Fault>> + Send + 'a>>;

/// A proof that the secret is a key's, made at once or to be waited for. What waits is boxed: a verification that does not
/// wait is a small future, and allocates nothing.
pub(super) enum Proof<'a> {
    Made(Proven),
    /// Unknown or wrong.
    NotMade,
    Failed(Fault),
    Waits(Boxed<'a, Option<Proven>>),
}

impl<'a> Proof<'a> {
    fn waits(proof: impl Future<Output = Result<Option<Proven>, Fault>> + Send + 'a) -> Self {
        Self::Waits(Box::pin(proof))
    }
}

impl<'a> IntoFuture for Proof<'a> {
    type Output = Result<Option<Proven>, Fault>;
    type IntoFuture = Boxed<'a, Option<Proven>>;

    fn into_future(self) -> Self::IntoFuture {
        let ready = match self {
            Self::Made(proven) => Ok(Some(proven)),
            Self::NotMade => Ok(None),
            Self::Failed(fault) => Err(fault),
            Self::Waits(proof) => return proof,
        };
        Box::pin(std::future::ready(ready))
    }
}

/// What the fast digests of a key say of a secret.
#[derive(PartialEq)]
enum Fast {
    Proven(usize),
    Wrong,
    SlowLeft,
}

/// Why a proven key's request is refused: owner, state and expiry, then capabilities. `None` grants.
fn refusal(candidate: &Candidate, attempt: &Attempt<'_>, now: Timestamp) -> Option<DenialReason> {
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
    let missing = attempt.required.map(|required| required.missing_from(&candidate.capabilities)).unwrap_or_default();
    (!missing.is_empty()).then_some(DenialReason::CapabilityMissing { missing })
}
