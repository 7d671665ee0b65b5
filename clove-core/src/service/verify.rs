//! The way of one request, top to bottom.

use super::{
    Clove, Known, Lefts,
    charge::{Charge, Step},
    known::Ticket,
    reserve::hand_over,
    tally::Flight,
    throttle::{self, Entry},
};
use crate::{
    capability::Requirement,
    clock::Timestamp,
    credential::{self, Presented},
    digest::{Argon2Cost, Digest, Scheme, sha256},
    error::Fault,
    id::{GrantId, KeyId},
    key::Status,
    policy::PepperStatus,
    store::{Candidate, Lookup, Rehash, SecretRecord},
    usage::Unit,
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
    Counted(throttle::Ticket<'a>),
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
