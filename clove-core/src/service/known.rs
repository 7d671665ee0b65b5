//! Keys as this process knows them: rows that were proven, bounded in bytes, with what it holds of their windows.
//!
//! A row is remembered; a verdict is not, nor that there is no row. Whether a remembered row may still be used is told by the marks
//! of its owner's shard and of everyone's (see [`Marks`]), and by its own state, which a command on the key turns to stale before
//! it is sent.

use super::{
    accounts::Accounts,
    buffers::Buffers,
    fences::{Fence, Fences},
    press::Press,
    sets::Sets,
    tally::Tally,
};
use crate::{
    access::AccessLog,
    digest::{Digest, Pepper},
    id::{KeyId, Owner},
    limit::{Plan, Subject},
    policy::Policy,
    store::{Candidate, EpochShard, Marks},
    sync::{
        Arc, Mutex, OnceLock, Weak,
        atomic::{AtomicU8, Ordering},
        lock,
    },
};
use foldhash::fast::RandomState;
use quick_cache::{
    Lifecycle, Weighter,
    sync::{Cache, DefaultLifecycle, EntryAction, EntryResult},
};
use std::{collections::HashMap, hash::Hash, hint::black_box};
use zeroize::Zeroizing;

/// What a key takes, its owner's texts and a set of capabilities of its own apart: the record, its row, what it holds of windows, an
/// account that has no other key, and the places in maps, with room to grow.
const BYTES_OF_KEY: usize = 896;
/// What the digest of a bare secret takes in the map of those.
const BYTES_OF_DIGEST: u64 = 64;
/// One in so many bytes is for digests of bare secrets.
const DIGESTS_SHARE: u64 = 16;
/// What the owner of a key that was pushed out takes.
const BYTES_OF_OWNER: u64 = 192;
/// One in so many bytes is for owners of keys that were pushed out.
const OWNERS_SHARE: u64 = 16;
/// One in so many bytes is for sets of capabilities that keys share.
const SETS_SHARE: u64 = 16;

/// Read, and not yet known to be usable.
const NEW: u8 = 0;
const FRESH: u8 = 1;
const STALE: u8 = 2;

/// A key as this process knows it. What every verification looks at comes first, so that it lies together in memory.
#[repr(C)]
pub(crate) struct Known {
    state: AtomicU8,
    shard: EpochShard,
    /// What its set of capabilities takes, if it shares it with no other key.
    own_bytes: u32,
    /// How often its owner's shard and everyone's were marked before the row was read, together: neither is ever marked less.
    marks: u64,
    pub(super) tally: Arc<Tally>,
    /// Of its account, shared by its keys.
    pub(super) account: Arc<Tally>,
    pub(crate) plan: Arc<Plan>,
    pub(crate) row: Candidate,
    /// What stands for a secret that only a slow hash can prove, once one has: which it is, and its digest under this process's key.
    proof: OnceLock<Box<(usize, Digest)>>,
}

impl Known {
    /// Looks at what is going to be looked at, and waits for nothing of it: the processor fetches it from where it lies.
    #[inline(always)]
    pub(super) fn fetch(&self) {
        black_box((self.row.owner_open, self.tally.look()));
        if !self.plan.account.windows().is_empty() {
            black_box(self.account.look());
        }
    }

    fn weight(&self) -> u64 {
        let texts = [self.row.owner.organization.as_str(), self.row.owner.account.as_str()];
        // Each is an allocation of its own, rounded up.
        let texts: usize = texts.iter().map(|text| text.len() + 16).sum();
        u64::try_from(BYTES_OF_KEY + texts).unwrap_or(u64::MAX).saturating_add(self.own_bytes.into())
    }
}

#[derive(Clone, Copy)]
struct Bytes;

impl Weighter<KeyId, Arc<Known>> for Bytes {
    fn weight(&self, _: &KeyId, known: &Arc<Known>) -> u64 {
        known.weight()
    }
}

impl Weighter<u64, Arc<Known>> for Bytes {
    fn weight(&self, _: &u64, _: &Arc<Known>) -> u64 {
        BYTES_OF_DIGEST
    }
}

/// Keys by the first words of the digests that they were last found by, as long as they are remembered by their ids. Of two that have
/// the first word in common the last one is here; whether it is the one, the whole digest says.
type ByDigest = Cache<u64, Arc<Known>, Bytes, RandomState>;

/// What becomes of keys that are pushed out.
#[derive(Clone)]
struct Evicted {
    gone: Arc<Mutex<Gone>>,
    by_digest: Arc<ByDigest>,
    accounts: Arc<Accounts>,
    /// The most owners between two flushes of the access log.
    max_owners: usize,
    press: Arc<Press>,
}

#[derive(Default)]
struct Gone {
    /// Of those that somebody held on to: read again, the key goes on with the same tally, and never has two.
    tallies: HashMap<KeyId, Weak<Tally>, RandomState>,
    /// Whose they were, for lines of the access log that name the key alone; those of the present flush and of the one before. `None`
    /// where there is no log.
    owners: Option<[HashMap<KeyId, Arc<Owner>, RandomState>; 2]>,
}

impl Evicted {
    fn take(&self, id: KeyId) -> Option<Arc<Tally>> {
        let mut gone = lock(&self.gone);
        if gone.tallies.is_empty() {
            return None;
        }
        gone.tallies.remove(&id)?.upgrade()
    }

    fn forget_digests(&self, known: &Known) {
        if !self.by_digest.is_empty() {
            known.row.secrets.iter().for_each(|secret| drop(self.by_digest.remove(&secret.digest.first_word())));
        }
    }

    fn keep_owner(&self, gone: &mut Gone, id: KeyId, owner: &Arc<Owner>) {
        if let Some([owners, _]) = &mut gone.owners
            && owners.len() < self.max_owners
        {
            owners.insert(id, Arc::clone(owner));
            if owners.len() == self.max_owners / 2 {
                self.press.press();
            }
        }
    }

    fn owner(&self, id: KeyId) -> Option<Arc<Owner>> {
        lock(&self.gone).owners.iter().flatten().find_map(|owners| owners.get(&id).cloned())
    }
}

impl Lifecycle<KeyId, Arc<Known>> for Evicted {
    type RequestState = ();

    /// Under the lock of the key's place, so that nobody finds it in neither.
    fn on_evict(&self, (): &mut (), id: KeyId, known: Arc<Known>) {
        known.state.store(STALE, Ordering::SeqCst);
        self.forget_digests(&known);
        let mut gone = lock(&self.gone);
        self.keep_owner(&mut gone, id, &known.account.owner);
        if Arc::strong_count(&known) == 1 {
            self.accounts.forget(&known.account);
            if Arc::strong_count(&known.tally) == 1 {
                return;
            }
        }
        if gone.tallies.len() == gone.tallies.capacity() {
            gone.tallies.retain(|_, tally| tally.strong_count() > 0);
            // Not again before there are twice as many.
            let left = gone.tallies.len();
            gone.tallies.reserve(left.max(16));
        }
        gone.tallies.insert(id, Arc::downgrade(&known.tally));
    }
}

/// When a read began.
#[derive(Clone, Copy)]
pub(super) struct Ticket(u64);

pub(super) struct Keys {
    keys: Cache<KeyId, Arc<Known>, Bytes, RandomState, Evicted>,
    evicted: Evicted,
    by_digest: Arc<ByDigest>,
    accounts: Arc<Accounts>,
    sets: Sets,
    marks: Arc<Marks>,
    pub(super) fences: Fences,
    /// A secret key of this process, for what stands for slow hashes; `None` where the system has no random bytes.
    proving: Option<Pepper>,
    buffers: Arc<Buffers>,
}

impl Keys {
    /// Keys of which nothing is known yet; `press` has the access log written.
    pub(super) fn new(policy: &Policy, marks: Arc<Marks>, buffers: Arc<Buffers>, press: Arc<Press>) -> Self {
        let bytes = policy.cache_bytes;
        let (digests, owners) = (bytes / DIGESTS_SHARE, bytes / OWNERS_SHARE);
        let sets = Sets::new(bytes / SETS_SHARE);
        let by_digest = Arc::new(cache(digests, BYTES_OF_DIGEST, DefaultLifecycle::default()));
        let max_owners = usize::try_from(owners / BYTES_OF_OWNER / 2).unwrap_or(usize::MAX);
        let is_logged = policy.access_log != AccessLog::Off;
        let gone = Arc::new(Mutex::new(Gone { owners: is_logged.then(Default::default), ..Gone::default() }));
        let accounts = Arc::new(Accounts::new(Arc::clone(&buffers)));
        let evicted = Evicted { gone, by_digest: Arc::clone(&by_digest), accounts: Arc::clone(&accounts), max_owners, press };
        Self {
            keys: cache(bytes - digests - owners - sets.max_bytes(), 1024, evicted.clone()),
            evicted,
            by_digest,
            accounts,
            sets,
            fences: Fences::default(),
            proving: process_key(),
            marks,
            buffers,
        }
    }

    pub(super) fn marks(&self) -> &Marks {
        &self.marks
    }

    /// The key if its row is remembered and nothing has told that it changed. How old that knowledge is, the caller knows.
    #[inline]
    pub(super) fn fresh(&self, id: KeyId) -> Option<Arc<Known>> {
        self.keys.get(&id).filter(|known| self.is_fresh(known))
    }

    #[inline]
    fn is_fresh(&self, known: &Known) -> bool {
        known.state.load(Ordering::SeqCst) == FRESH && self.marks.of(known.shard) == known.marks
    }

    /// The same by the digest of a bare secret.
    #[inline]
    pub(super) fn fresh_by_digest(&self, digests: &[Digest]) -> Option<Arc<Known>> {
        digests.iter().find_map(|digest| self.by_digest.get(&digest.first_word()).filter(|known| self.is_fresh(known)))
    }

    /// To be taken before a read whose row is to be remembered.
    pub(super) fn ticket(&self) -> Ticket {
        Ticket(self.marks.total())
    }

    /// Remembers a row that was read, unless a change may have come in between, or the read is not to be relied upon: then it is known
    /// for this verification alone.
    ///
    /// Where rows are `never_used` from memory, since nobody asks what has changed, only those are kept that requests are counted of,
    /// or that lines of the access log name.
    pub(super) fn admit(&self, row: &Candidate, policy: &Policy, ticket: Ticket, never_used: bool) -> Arc<Known> {
        let shard = EpochShard::of(&row.owner);
        let marks = self.marks.of(shard);
        let (id, plan) = (row.id, policy.plan(row.limits.as_deref()));
        let is_named =
            !(plan.key.windows().is_empty() && plan.account.windows().is_empty()) || policy.access_log != AccessLog::Off;
        if never_used && !is_named {
            return self.known_once(row, shard, plan);
        }
        // Locks are taken in this order: of the key's place in the cache, of an account's place, of a tally.
        let make = |tally: &dyn Fn(&Arc<Owner>) -> Arc<Tally>| {
            let account = self.accounts.get(&row.owner);
            let (owner, (capabilities, own_bytes)) = (Arc::clone(&account.owner), self.sets.share(&row.capabilities));
            let (tally, plan) = (tally(&owner), Arc::clone(&plan));
            let row = Candidate { owner, capabilities, ..row.clone() };
            let state = AtomicU8::new(NEW);
            Arc::new(Known { state, shard, own_bytes, marks, tally, account, plan, proof: OnceLock::new(), row })
        };
        let new_tally = |owner: &Arc<Owner>| {
            let new = || Arc::new(Tally::new(Subject::Key(id), Arc::clone(owner), Arc::clone(&self.buffers)));
            self.evicted.take(id).unwrap_or_else(new)
        };
        let mut heavier = None;
        // Whatever became of the row before, what is held of the key's windows stays.
        let placed = self.keys.entry(&id, None, |_, before: &mut Arc<Known>| {
            // The same as is remembered already: nothing has told that it changed, and it did not.
            if before.state.load(Ordering::SeqCst) == FRESH && before.marks == marks && before.row == *row {
                return EntryAction::Retain(Arc::clone(before));
            }
            // Whoever looks for a key to turn stale finds the new one alone.
            before.state.store(STALE, Ordering::SeqCst);
            self.evicted.forget_digests(before);
            let known = make(&|_| Arc::clone(&before.tally));
            if known.plan != before.plan {
                // One after the other: no request is half way through both.
                known.tally.lock().ask_again();
                known.account.lock().ask_again();
            }
            if before.row.secrets == known.row.secrets
                && let Some(proof) = before.proof.get()
            {
                let _ = known.proof.set(proof.clone());
            }
            if known.weight() > before.weight() {
                // Only what is placed anew has others leave for it. Until it is, lines of the access log find its owner here.
                self.evicted.keep_owner(&mut lock(&self.evicted.gone), id, &known.account.owner);
                heavier = Some(known);
                return EntryAction::ReplaceWithGuard;
            }
            *before = Arc::clone(&known);
            EntryAction::Retain(known)
        });
        let (known, is_placed) = match placed {
            EntryResult::Retained(known) => (known, true),
            EntryResult::Vacant(place) | EntryResult::Replaced(place, _) => {
                let known = heavier.unwrap_or_else(|| make(&new_tally));
                let is_placed = place.insert(Arc::clone(&known)).is_ok();
                (known, is_placed)
            }
            // Neither is asked for above.
            EntryResult::Removed(..) | EntryResult::Timeout => (make(&new_tally), false),
        };
        // Whoever raises a fence after this look finds the key, and turns it stale; before it, the total has moved.
        if is_placed && !self.fences.holds(&known.row) && self.marks.total() == ticket.0 {
            let _ = known.state.compare_exchange(NEW, FRESH, Ordering::SeqCst, Ordering::SeqCst);
        }
        known
    }

    /// A key for one verification. Of its account nothing is counted: one tally stands for both.
    fn known_once(&self, row: &Candidate, shard: EpochShard, plan: Arc<Plan>) -> Arc<Known> {
        let tally = Arc::new(Tally::new(Subject::Key(row.id), Arc::clone(&row.owner), Arc::clone(&self.buffers)));
        let (account, row, state) = (Arc::clone(&tally), row.clone(), AtomicU8::new(STALE));
        Arc::new(Known { state, shard, own_bytes: 0, marks: 0, tally, account, plan, proof: OnceLock::new(), row })
    }

    /// Remembers that a slow hash has proven this secret, for as long as the row is.
    pub(super) fn note_proof(&self, known: &Known, place: usize, secret: &[u8]) {
        if let Some(key) = &self.proving {
            let _ = known.proof.set(Box::new((place, key.digest(secret))));
        }
    }

    /// The key, if a slow hash has proven this secret by the same row before.
    pub(super) fn proven_before(&self, known: Arc<Known>, secret: &[u8]) -> Option<(Arc<Known>, usize)> {
        let (place, digest) = **known.proof.get()?;
        (self.proving.as_ref()?.digest(secret) == digest).then_some((known, place))
    }

    /// Whose key it is, if it was among those remembered a while ago: by whatever row, since no key changes hands.
    pub(super) fn owner(&self, id: KeyId) -> Option<Arc<Owner>> {
        self.keys.peek(&id).map(|known| Arc::clone(&known.account.owner)).or_else(|| self.evicted.owner(id))
    }

    /// Nobody will ask for the owners of keys that had gone before the last time.
    pub(super) fn forget_owners(&self) {
        if let Some([present, before]) = &mut lock(&self.evicted.gone).owners {
            *before = std::mem::take(present);
        }
    }

    /// What this process knows of a key, by whatever row, and what it holds of the key's windows.
    pub(super) fn peek(&self, id: KeyId) -> Option<Arc<Known>> {
        self.keys.peek(&id)
    }

    /// Remembers by which of its digests a key was found.
    pub(super) fn note_digest(&self, digest: Digest, known: &Arc<Known>) {
        if known.state.load(Ordering::SeqCst) != FRESH {
            return;
        }
        self.by_digest.insert(digest.first_word(), Arc::clone(known));
    }

    /// The row that is remembered of a key is not to be used any more.
    pub(super) fn outdate(&self, id: KeyId) {
        if let Some(known) = self.keys.peek(&id) {
            known.state.store(STALE, Ordering::SeqCst);
        }
    }

    /// Nothing that the fence names is remembered until it is lifted.
    pub(super) fn raise(&self, fence: &Fence) {
        self.fences.raise(fence);
        if let Some(shard) = fence.shard() {
            self.marks.mark(shard);
        }
        self.marks.discard_fills();
        // Of a key that lies outside its scope the command changes nothing.
        if let Some((id, scope)) = fence.key()
            && let Some(known) = self.keys.peek(id).filter(|known| scope.holds(&known.row.owner))
        {
            known.state.store(STALE, Ordering::SeqCst);
        }
    }

    pub(super) fn lift(&self, fence: &Fence) {
        // What was read behind the fence may be older than its command.
        self.marks.discard_fills();
        self.fences.lift(fence);
    }
}

fn process_key() -> Option<Pepper> {
    let mut bytes = Zeroizing::new([0; Pepper::MIN_BYTES]);
    getrandom::fill(&mut *bytes).ok()?;
    Pepper::new(1, &*bytes).ok()
}

fn cache<K: Eq + Hash, V: Clone, L: Lifecycle<K, V> + Clone>(
    bytes: u64,
    each: u64,
    lifecycle: L,
) -> Cache<K, V, Bytes, RandomState, L>
where
    Bytes: Weighter<K, V>,
{
    let items = usize::try_from(bytes / each).unwrap_or(usize::MAX);
    Cache::with(items, bytes, Bytes, RandomState::default(), lifecycle)
}
