//! Proving a secret: by fast digests at once, by slow ones in the queue of hashes, and what an unknown id costs.

use super::{
    Clove,
    throttle::{self, Entry},
};
use crate::{
    credential::Presented,
    digest::{Argon2Cost, Digest, Scheme, sha256},
    error::Fault,
    id::KeyId,
    policy::PepperStatus,
    store::{Candidate, Lookup, SecretRecord},
};
use std::{
    future::{Future, IntoFuture},
    hint::black_box,
    pin::Pin,
    sync::Arc,
};

/// What an unknown key's secret is compared with.
const DUMMY: Digest = Digest::from_bytes([0x5c; 32]);
/// The label of all reports of leaks together: they leave others their room in the queue of hashes.
const REPORTS: &str = "reports of leaks";

impl Clove {
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
    pub(super) fn prove_fast(&self, candidate: &Candidate, claim: Claim<'_>, digest: Option<Digest>) -> Result<Fast, Fault> {
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
    pub(super) fn enter(&self, claim: &Claim<'_>, exists: bool, counted: bool) -> Result<Option<Pass<'_>>, Fault> {
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
}

/// `id;secret`, and who presents it.
#[derive(Clone, Copy)]
pub(super) struct Claim<'a> {
    pub(super) id: KeyId,
    pub(super) secret: &'a [u8],
    /// Whether it is in no form of the host's own. A wrong secret counts as a guess only at an imported one: there is no guessing the
    /// 128 random bits of the host's own, and by counting them whoever knows an id could shut its owner out.
    pub(super) foreign: bool,
    pub(super) peer: Option<&'a str>,
}

impl Claim<'_> {
    /// Whether it may be a secret that was imported, or that was not. An imported one may have a form that is the host's own since.
    fn may_be(&self, imported: bool) -> bool {
        imported || !self.foreign
    }
}

pub(super) fn is_imported(secret: &SecretRecord) -> bool {
    matches!(secret.scheme, Scheme::Argon2id { imported: true, .. })
}

/// Leave to hash a claim.
pub(super) enum Pass<'a> {
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

pub(super) type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, Fault>> + Send + 'a>>;

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
pub(super) enum Fast {
    Proven(usize),
    Wrong,
    SlowLeft,
}
