//! The limits: the same work, written straight against the libraries, as well as we can.
//!
//! None of them knows a lifecycle or tells apart what went wrong, and only those of cached verification read a credential's text: that
//! is what clove adds, and what the ratio prices.

use foldhash::fast::RandomState;
use rusqlite::{Connection, Statement, params};
use sha2::{Digest, Sha256, block_api::compress256};
use std::{
    collections::HashMap,
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::SystemTime,
};
use subtle::ConstantTimeEq;

/// For `parse-malformed`: one hash of a secret's length.
pub(crate) fn sha256(text: &[u8]) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// A digest as four words: `subtle` compares these seven times as fast as 32 single bytes.
fn words(digest: &[u8; 32]) -> [u64; 4] {
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(digest.as_chunks::<8>().0) {
        *word = u64::from_ne_bytes(*bytes);
    }
    words
}

fn same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    words(one).ct_eq(&words(other)).into()
}

/// For `verify-memory`: SHA-256 of the secret, one look-up in the standard library's map, one constant-time compare.
pub(crate) struct Memory {
    digests: HashMap<[u8; 16], [u8; 32]>,
}

impl Memory {
    pub(crate) fn new(keys: impl Iterator<Item = ([u8; 16], [u8; 32])>) -> Self {
        Self { digests: keys.collect() }
    }

    pub(crate) fn verify(&self, id: &[u8; 16], secret: &[u8]) -> bool {
        let digest = sha256(secret);
        self.digests.get(id).is_some_and(|stored| same(stored, &digest))
    }
}

/// For `verify-cached-*`: a whole verification by a table of nothing but what it needs. The id read by the `uuid` crate, prefix and
/// alphabet of the secret, SHA-256, one look-up in a lock-free map under its guard, one constant-time compare, the time, and a place
/// in each of two windows of the key, and of two of its account.
pub(crate) struct Cached {
    keys: papaya::HashMap<[u8; 16], CachedKey, RandomState>,
}

/// What the map holds in line: nothing of it is behind a pointer but what keys share.
pub(crate) struct CachedKey {
    digest: [u8; 32],
    windows: TwoWindows,
    account: Arc<TwoWindows>,
}

impl Cached {
    /// Keys with their secrets' digests, and which account's they are.
    pub(crate) fn new(keys: impl ExactSizeIterator<Item = ([u8; 16], [u8; 32], u64)>) -> Self {
        let mut accounts: HashMap<u64, Arc<TwoWindows>> = HashMap::new();
        // As large as it is to be: no move to a larger table goes on while it is measured.
        let map = papaya::HashMap::builder().capacity(keys.len()).hasher(RandomState::default()).build();
        let pinned = map.pin();
        for (id, digest, account) in keys {
            let account = Arc::clone(accounts.entry(account).or_default());
            pinned.insert(id, CachedKey { digest, windows: TwoWindows::default(), account });
        }
        drop(pinned);
        Self { keys: map }
    }

    pub(crate) fn verify(&self, text: &[u8]) -> bool {
        self.prove(text, |key, seconds| key.windows.charge(seconds))
    }

    pub(crate) fn verify_with_account(&self, text: &[u8]) -> bool {
        self.prove(text, |key, seconds| key.windows.charge(seconds) && key.account.charge(seconds))
    }

    #[inline(always)]
    fn prove(&self, text: &[u8], charge: impl Fn(&CachedKey, u64) -> bool) -> bool {
        let Some((id, secret)) = text.split_at_checked(36) else { return false };
        let (Ok(id), Some(secret)) = (uuid::Uuid::try_parse_ascii(id), secret.strip_prefix(b";")) else { return false };
        let Some(digest) = digest_of_secret(secret) else { return false };
        let keys = self.keys.pin();
        keys.get(id.as_bytes()).is_some_and(|key| same(&key.digest, &digest) && charge(key, seconds()))
    }
}

/// The same for a secret by itself, by its digest.
pub(crate) struct CachedBare {
    keys: papaya::HashMap<[u8; 32], TwoWindows, RandomState>,
}

impl CachedBare {
    pub(crate) fn new(digests: impl ExactSizeIterator<Item = [u8; 32]>) -> Self {
        let keys = papaya::HashMap::builder().capacity(digests.len()).hasher(RandomState::default()).build();
        let pinned = keys.pin();
        digests.for_each(|digest| {
            pinned.insert(digest, TwoWindows::default());
        });
        drop(pinned);
        Self { keys }
    }

    pub(crate) fn verify(&self, secret: &[u8]) -> bool {
        digest_of_secret(secret)
            .is_some_and(|digest| self.keys.pin().get(&digest).is_some_and(|windows| windows.charge(seconds())))
    }
}

/// 36 characters, the prefix and 32 letters and digits, without a branch for each of them; and their SHA-256, which with its padding is
/// one block. By `Sha256::digest` it takes half as long again, or does not, as the compiler likes: that is no limit to be measured by.
#[inline(always)]
fn digest_of_secret(secret: &[u8]) -> Option<[u8; 32]> {
    const INITIAL: [u32; 8] =
        [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];
    let secret: &[u8; 36] = secret.try_into().ok()?;
    let rest = secret.strip_prefix(b"clv-")?;
    if !rest.iter().fold(true, |all, byte| all & byte.is_ascii_alphanumeric()) {
        return None;
    }
    let mut block = [0; 64];
    block[..36].copy_from_slice(secret);
    block[36] = 0x80;
    block[56..].copy_from_slice(&(36 * 8_u64).to_be_bytes());
    let mut state = INITIAL;
    compress256(&mut state, &[block]);
    let mut digest = [0; 32];
    for (bytes, word) in digest.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    Some(digest)
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A billion a minute and a billion a day. A window's number and its count are one word, so that a step over its edge is a step of
/// the count. Nothing is given back to the first where the second is used up: that is more than the limit need do.
#[derive(Default)]
struct TwoWindows {
    minute: AtomicU64,
    day: AtomicU64,
}

impl TwoWindows {
    fn charge(&self, seconds: u64) -> bool {
        charge(&self.minute, seconds / 60) && charge(&self.day, seconds / 86_400)
    }
}

fn charge(window: &AtomicU64, number: u64) -> bool {
    const MOST: u64 = 1_000_000_000;
    let mut seen = window.load(Relaxed);
    loop {
        let count = if seen >> 32 == number { seen & 0xffff_ffff } else { 0 };
        if count >= MOST {
            return false;
        }
        match window.compare_exchange_weak(seen, number << 32 | (count + 1), Relaxed, Relaxed) {
            Ok(_) => return true,
            Err(other) => seen = other,
        }
    }
}

/// For `verify-sqlite-cold`: the store's own SELECT, prepared once, every column of every row read, and SHA-256.
pub(crate) struct ColdRead<'c> {
    select: Statement<'c>,
    columns: usize,
    digest: usize,
}

impl<'c> ColdRead<'c> {
    pub(crate) fn new(connection: &'c Connection, select: &str) -> Self {
        let select = connection.prepare(select).expect("the store's statement");
        let digest = select.column_index("digest").expect("the digest's column");
        Self { columns: select.column_count(), digest, select }
    }

    pub(crate) fn verify(&mut self, id: &[u8; 16], secret: &str) -> bool {
        let digest = sha256(secret.as_bytes());
        let mut rows = self.select.query([id.as_slice()]).expect("a query");
        let mut found = false;
        while let Some(row) = rows.next().expect("a row") {
            for column in 0..self.columns {
                black_box(row.get_ref(column).expect("a column"));
            }
            let stored = row.get_ref(self.digest).and_then(|value| Ok(value.as_blob()?)).expect("a blob");
            found |= same(stored.try_into().expect("32 bytes"), &digest);
        }
        found
    }
}

/// The rows that the creation of a key writes.
pub(crate) struct NewRows<'a> {
    pub(crate) organization: &'a str,
    pub(crate) account: &'a str,
    /// How many keys the owner has with this one.
    pub(crate) keys: i64,
    pub(crate) key: [u8; 16],
    pub(crate) digest: [u8; 32],
    pub(crate) event: [u8; 16],
    pub(crate) operation: [u8; 16],
    /// Microseconds.
    pub(crate) now: i64,
}

/// For `create-sqlite`: one transaction, synchronous=FULL, that writes an owner, a key, a secret and an audit event, and
/// the organization with the first. Its statements are prepared once, it reads nothing, and it runs where it is called.
pub(crate) struct BareCreate<'c> {
    begin: Statement<'c>,
    organization: Statement<'c>,
    owner: Statement<'c>,
    key: Statement<'c>,
    secret: Statement<'c>,
    audit: Statement<'c>,
    commit: Statement<'c>,
}

impl<'c> BareCreate<'c> {
    pub(crate) fn new(connection: &'c Connection) -> Self {
        let prepare = |sql| connection.prepare(sql).expect("a statement for the store's schema");
        Self {
            begin: prepare("BEGIN IMMEDIATE"),
            organization: prepare("INSERT INTO organizations (id, open) VALUES (?1, 1)"),
            owner: prepare(
                "INSERT INTO owners (org, account, open, held, records, active_limit, creation_day, creations)
                 VALUES (?1, ?2, 1, ?3, ?3, NULL, ?4, ?3)
                 ON CONFLICT (org, account) DO UPDATE SET held = ?3, records = ?3, creation_day = ?4, creations = ?3",
            ),
            key: prepare(
                "INSERT INTO keys (id, org, account, name, description, capabilities, metadata, created_at, expires_at,
                                   last_used_at, state, expiry_latched, revision)
                 VALUES (?1, ?2, ?3, 'bench', '', '', '', ?4, ?5, NULL, 'active', 0, 1)",
            ),
            secret: prepare(
                "INSERT INTO secrets (key_id, digest, scheme, pepper, argon2_cost, argon2_salt, valid_until)
                 VALUES (?1, ?2, 'sha256', NULL, NULL, NULL, NULL)",
            ),
            audit: prepare(
                "INSERT INTO audit (id, operation, at, actor, reason, action, org, account, key_id, key_name, from_state,
                                    to_state, changed, detail, arguments)
                 VALUES (?1, ?2, ?3, 'bench', 'measuring', 'create', ?4, ?5, ?6, 'bench', NULL, 'active', 1,
                         'expires 2027-01-01, may do nothing', x'0000000000000000')",
            ),
            commit: prepare("COMMIT"),
        }
    }

    pub(crate) fn create(&mut self, rows: &NewRows<'_>) {
        const DAY: i64 = 86_400_000_000;
        let NewRows { organization, account, keys, key, digest, event, operation, now } = rows;
        self.begin.execute([]).expect("begin");
        if *keys == 1 {
            self.organization.execute([organization]).expect("an organization");
        }
        self.owner.execute(params![organization, account, keys, now / DAY]).expect("an owner");
        self.key.execute(params![key, organization, account, now, now + 90 * DAY]).expect("a key");
        self.secret.execute(params![key, digest]).expect("a secret");
        self.audit.execute(params![event, operation, now, organization, account, key]).expect("an event");
        self.commit.execute([]).expect("commit");
    }
}
