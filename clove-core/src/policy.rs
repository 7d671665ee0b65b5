//! What a host decides, as data that cannot be illegal.

use crate::{
    access::AccessLog,
    audit::{Action, Role},
    budget::{Budget, BudgetOf},
    capability::CapabilitySet,
    digest::{Argon2Cost, Digest, Pepper, Scheme, sha256},
    error::Invalid,
    key::Status,
    lifecycle,
    limit::{LimitChoice, Limits, Plan, Tier, TierName},
    retention::Retention,
    secret::SecretFormat,
    signal::SignalThresholds,
    store::{ActiveLimit, CandidateLimits},
    usage::Unit,
};
use chrono::TimeDelta;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

pub use crate::expiry::{Expiry, ExpiryPolicy, MAX_DAYS};

/// The most retired secret formats.
pub const MAX_RETIRED_FORMATS: usize = 8;
/// The most fast schemes (SHA-256 and each readable pepper) that a bare secret is looked up under.
pub const MAX_LOOKUP_SCHEMES: usize = 4;
/// The longest that a row is used without asking whether it has changed.
pub const MAX_FRESHNESS: Duration = Duration::from_secs(60);
/// The fewest bytes of remembered keys.
#[cfg(not(shuttle))]
pub const MIN_CACHE_BYTES: u64 = 64 * 1024;
/// One key's: schedules of its eviction are to be short.
#[cfg(shuttle)]
pub const MIN_CACHE_BYTES: u64 = 1024;
const DEFAULT_CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// What a host decides. Built by [`Policy::builder`], [`Policy::profile_a`] or [`Policy::profile_b`].
#[derive(Clone, Debug)]
pub struct Policy {
    pub(crate) active_limit: ActiveLimit,
    pub(crate) expiry: ExpiryPolicy,
    pub(crate) formats: Vec<SecretFormat>,
    pub(crate) hashing: Hashing,
    pub(crate) max_records: Option<u32>,
    pub(crate) max_creations_per_day: Option<u32>,
    pub(crate) default_capabilities: CapabilitySet,
    pub(crate) owner_menu: BTreeSet<Action>,
    pub(crate) administrator_menu: BTreeSet<Action>,
    pub(crate) max_grace: TimeDelta,
    pub(crate) imports: Option<GuessLimit>,
    pub(crate) takes_imports: bool,
    pub(crate) deadline: Duration,
    pub(crate) default_tier: Tier,
    pub(crate) tiers: BTreeMap<TierName, Tier>,
    /// What the default tier makes of a key and an account with nothing of their own, reckoned once.
    pub(crate) default_plan: Arc<Plan>,
    pub(crate) uncounted_a_minute: u32,
    pub(crate) budgets: BTreeMap<(Unit, BudgetOf), Budget>,
    pub(crate) freshness: Option<Duration>,
    pub(crate) cache_bytes: u64,
    pub(crate) access_log: AccessLog,
    pub(crate) retention: Retention,
    pub(crate) signals: SignalThresholds,
}

impl Default for Policy {
    /// [`Policy::profile_a`].
    fn default() -> Self {
        Self::profile_a()
    }
}

impl Policy {
    /// The keys of an AI gateway's settings page: 2 active keys per owner; 30, 60, 90 (default), 180 or 365 days; owners
    /// are offered disable, enable and delete, administrators also revoke and flag.
    #[must_use]
    pub fn profile_a() -> Self {
        let owner_menu = BTreeSet::from([Action::Disable, Action::Enable, Action::Delete]);
        let mut administrator_menu = owner_menu.clone();
        administrator_menu.extend([Action::Revoke, Action::FlagCompromised]);
        Self {
            active_limit: ActiveLimit::AtMost(2),
            expiry: ExpiryPolicy::default(),
            formats: vec![SecretFormat::default()],
            hashing: Hashing::sha256(),
            max_records: Some(100),
            max_creations_per_day: Some(50),
            default_capabilities: CapabilitySet::none(),
            owner_menu,
            administrator_menu,
            max_grace: TimeDelta::days(30),
            imports: None,
            takes_imports: false,
            deadline: Duration::from_secs(1),
            default_tier: Tier { key: Limits::standard(), account: None },
            tiers: BTreeMap::new(),
            default_plan: Arc::new(Plan::new(Limits::standard(), Limits::standard().times(2))),
            uncounted_a_minute: 0,
            budgets: BTreeMap::new(),
            freshness: None,
            cache_bytes: DEFAULT_CACHE_BYTES,
            access_log: AccessLog::Off,
            retention: Retention::default(),
            signals: SignalThresholds::default(),
        }
    }

    /// The keys of an LLM service: any number, expiring or not, all capabilities unless chosen; owners are offered the
    /// whole table.
    ///
    /// All capabilities are for who may grant them all: give commands by actors with
    /// [`may_grant(CapabilitySet::all())`](crate::By::may_grant), or name the key's capabilities. A creation by an actor that may
    /// grant less is [`Refusal::BeyondAuthority`](crate::Refusal::BeyondAuthority), and not a key that can do less than was asked.
    #[must_use]
    pub fn profile_b() -> Self {
        let menu: BTreeSet<Action> = Status::ALL.into_iter().flat_map(lifecycle::possible).collect();
        Self {
            active_limit: ActiveLimit::Unlimited,
            expiry: ExpiryPolicy { never: true, default: Expiry::Never, custom: Some((1, 3650)), ..ExpiryPolicy::default() },
            max_records: None,
            max_creations_per_day: None,
            default_plan: Arc::new(Plan::new(Limits::standard(), Limits::unlimited())),
            default_capabilities: CapabilitySet::all(),
            owner_menu: menu.clone(),
            administrator_menu: menu,
            ..Self::profile_a()
        }
    }

    /// Starts from [`Policy::profile_a`].
    #[must_use]
    pub fn builder() -> PolicyBuilder {
        Self::profile_a().to_builder()
    }

    /// Starts from this policy.
    #[must_use]
    pub fn to_builder(self) -> PolicyBuilder {
        PolicyBuilder { policy: self }
    }

    /// The actions offered to a role for a key of this status.
    #[must_use]
    pub fn offered(&self, role: Role, status: Status) -> Vec<Action> {
        let menu = match role {
            Role::Owner => &self.owner_menu,
            Role::Administrator => &self.administrator_menu,
        };
        lifecycle::possible(status).filter(|action| menu.contains(action)).collect()
    }

    /// The expiries to choose from.
    #[must_use]
    pub fn expiry(&self) -> &ExpiryPolicy {
        &self.expiry
    }

    /// The active limit of an owner without one of its own.
    #[must_use]
    pub fn active_limit(&self) -> ActiveLimit {
        self.active_limit
    }

    /// The format of new secrets, then retired ones.
    #[must_use]
    pub fn secret_formats(&self) -> &[SecretFormat] {
        &self.formats
    }

    /// What a key may do when its creator chooses nothing.
    #[must_use]
    pub fn default_capabilities(&self) -> &CapabilitySet {
        &self.default_capabilities
    }

    /// How secrets are hashed.
    #[must_use]
    pub fn hashing(&self) -> &Hashing {
        &self.hashing
    }

    /// Records of keys per owner, whatever their status; `None` is any number.
    #[must_use]
    pub fn max_records(&self) -> Option<u32> {
        self.max_records
    }

    /// Creations and imports per owner and UTC day; `None` is any number.
    #[must_use]
    pub fn max_creations_per_day(&self) -> Option<u32> {
        self.max_creations_per_day
    }

    /// The longest grace period of a rotation.
    #[must_use]
    pub fn max_grace(&self) -> TimeDelta {
        self.max_grace
    }

    /// The limit on wrong guesses at imported secrets; `None` where imported keys are not recognized.
    #[must_use]
    pub fn imports(&self) -> Option<GuessLimit> {
        self.imports
    }

    /// The request limits of a key with this choice, in an account with that one.
    #[must_use]
    pub fn key_limits(&self, key: &LimitChoice, account: &LimitChoice) -> Limits {
        match key {
            LimitChoice::Own(limits) => limits.clone(),
            LimitChoice::Tier(name) => self.tier(name).key.clone(),
            LimitChoice::Default => match account {
                LimitChoice::Tier(name) => self.tier(name).key.clone(),
                LimitChoice::Default | LimitChoice::Own(_) => self.default_tier.key.clone(),
            },
        }
    }

    /// The request limits of an account with this choice over all its keys; `own` is its own active-key limit, if it has one.
    #[must_use]
    pub fn account_limits(&self, account: &LimitChoice, own: Option<ActiveLimit>) -> Limits {
        match (account, own) {
            (LimitChoice::Own(limits), _) => limits.clone(),
            (LimitChoice::Tier(name), own) => self.tier(name).of_account(own.unwrap_or(self.active_limit)),
            (LimitChoice::Default, Some(own)) => self.default_tier.of_account(own),
            (LimitChoice::Default, None) => self.default_plan.account.clone(),
        }
    }

    /// What the requests of a key are charged to.
    pub(crate) fn plan(&self, own: Option<&CandidateLimits>) -> Arc<Plan> {
        let Some(own) = own else { return Arc::clone(&self.default_plan) };
        let account = self.account_limits(&own.account, own.active);
        Arc::new(Plan::new(self.key_limits(&own.key, &own.account), account))
    }

    /// The budget of a unit that each key, account or organization has unless it has one of its own; `None` is any amount.
    #[must_use]
    pub fn budget(&self, of: BudgetOf, unit: &Unit) -> Option<Budget> {
        self.budgets.get(&(unit.clone(), of)).copied()
    }

    /// How long a verified row may be used without asking whether it has changed; `None` is the store's own time, and zero reads
    /// each row anew.
    #[must_use]
    pub fn freshness(&self) -> Option<Duration> {
        self.freshness
    }

    /// How many bytes of verified keys are remembered, at most.
    #[must_use]
    pub fn cache_bytes(&self) -> u64 {
        self.cache_bytes
    }

    fn tier(&self, name: &TierName) -> &Tier {
        self.tiers.get(name).unwrap_or(&self.default_tier)
    }

    /// What becomes of the access log.
    #[must_use]
    pub fn access_log(&self) -> AccessLog {
        self.access_log
    }

    /// How long logs are kept.
    #[must_use]
    pub fn retention(&self) -> Retention {
        self.retention
    }

    /// How long a verification may take.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    pub(crate) fn current_format(&self) -> SecretFormat {
        self.formats.first().cloned().unwrap_or_default()
    }
}

/// Changes a policy; [`PolicyBuilder::build`] checks it.
#[derive(Clone, Debug)]
pub struct PolicyBuilder {
    policy: Policy,
}

impl PolicyBuilder {
    /// Active keys per owner.
    #[must_use]
    pub fn active_limit(mut self, limit: ActiveLimit) -> Self {
        self.policy.active_limit = limit;
        self
    }
    /// Which expiries may be chosen.
    #[must_use]
    pub fn expiry(mut self, expiry: ExpiryPolicy) -> Self {
        self.policy.expiry = expiry;
        self
    }
    /// The format of new secrets. Those that this policy has had are retired: their secrets stay good. A format that a former
    /// policy of this host had, and this one does not, must be named by [`PolicyBuilder::retired_format`], or its keys are not
    /// recognized.
    #[must_use]
    pub fn secret_format(mut self, format: SecretFormat) -> Self {
        self.policy.formats.retain(|known| *known != format);
        self.policy.formats.insert(0, format);
        self
    }
    /// A format whose secrets stay good but are no longer made.
    #[must_use]
    pub fn retired_format(mut self, format: SecretFormat) -> Self {
        if !self.policy.formats.contains(&format) {
            self.policy.formats.push(format);
        }
        self
    }
    /// How secrets are hashed.
    #[must_use]
    pub fn hashing(mut self, hashing: Hashing) -> Self {
        self.policy.hashing = hashing;
        self
    }
    /// Records of keys per owner, whatever their status; `None` is any number.
    #[must_use]
    pub fn max_records(mut self, records: Option<u32>) -> Self {
        self.policy.max_records = records;
        self
    }
    /// Creations and imports per owner and UTC day; `None` is any number.
    #[must_use]
    pub fn max_creations_per_day(mut self, creations: Option<u32>) -> Self {
        self.policy.max_creations_per_day = creations;
        self
    }
    /// What a key may do when its creator chooses nothing.
    #[must_use]
    pub fn default_capabilities(mut self, capabilities: CapabilitySet) -> Self {
        self.policy.default_capabilities = capabilities;
        self
    }
    /// What a role is offered, among the actions that a key's status allows.
    #[must_use]
    pub fn menu(mut self, role: Role, actions: impl IntoIterator<Item = Action>) -> Self {
        let actions = actions.into_iter().collect();
        match role {
            Role::Owner => self.policy.owner_menu = actions,
            Role::Administrator => self.policy.administrator_menu = actions,
        }
        self
    }
    /// The longest grace period of a rotation; 30 days unless set.
    #[must_use]
    pub fn max_grace(mut self, grace: TimeDelta) -> Self {
        self.policy.max_grace = grace;
        self
    }
    /// Allows imports, with a limit on wrong guesses at imported secrets. Without this and [`PolicyBuilder::no_new_imports`],
    /// imported keys are not recognized.
    #[must_use]
    pub fn imports(mut self, guesses: GuessLimit) -> Self {
        (self.policy.imports, self.policy.takes_imports) = (Some(guesses), true);
        self
    }
    /// Ends imports: keys that were imported stay good, with a limit on wrong guesses at their secrets, and no new ones are taken.
    #[must_use]
    pub fn no_new_imports(mut self, guesses: GuessLimit) -> Self {
        (self.policy.imports, self.policy.takes_imports) = (Some(guesses), false);
        self
    }
    /// How long a verification may take; 1 second unless set.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.policy.deadline = deadline;
        self
    }

    /// The request limits of keys and accounts without a tier or limits of their own; [`Limits::standard`] for a key unless set.
    #[must_use]
    pub fn limits(mut self, limits: Tier) -> Self {
        self.policy.default_tier = limits;
        self
    }
    /// Request limits by name, for keys and accounts that choose them.
    #[must_use]
    pub fn tier(mut self, name: TierName, limits: Tier) -> Self {
        self.policy.tiers.insert(name, limits);
        self
    }

    /// How much of a unit each key, account or organization may use in a period, all of which a request that
    /// [reserves](crate::Attempt::reserving) some must have room in; any amount unless set. Accounts and organizations may have one of
    /// their own ([`Clove::set_budget`](crate::Clove::set_budget)). One for each unit and each of the three; the last one counts.
    #[must_use]
    pub fn budget(mut self, of: BudgetOf, unit: Unit, budget: Budget) -> Self {
        self.policy.budgets.insert((unit, of), budget);
        self
    }

    /// Whether requests are logged, and what that promises; [`AccessLog::Off`] unless set. Spawn
    /// [`Clove::maintenance`](crate::Clove::maintenance) with it.
    #[must_use]
    pub fn access_log(mut self, log: AccessLog) -> Self {
        self.policy.access_log = log;
        self
    }

    /// How long logs are kept; 90 days of the access log and the audit trail for ever unless set.
    #[must_use]
    pub fn retention(mut self, retention: Retention) -> Self {
        self.policy.retention = retention;
        self
    }

    /// While places of request windows cannot be taken, since the store is away, each process grants this many requests a minute
    /// without counting them, and marks them ([`Grant::is_uncounted`](crate::Grant::is_uncounted)); 0 unless set, which makes
    /// each of them a fault.
    ///
    /// # Danger
    /// By so many requests, for each process and minute, limits are exceeded.
    #[must_use]
    pub fn danger_uncounted_a_minute(mut self, requests: u32) -> Self {
        self.policy.uncounted_a_minute = requests;
        self
    }

    /// How long a verified row may be used without asking whether it has changed: the bound on how late another process's command
    /// is obeyed. The store's own time unless set (100 ms on SQLite). Zero remembers nothing. The shortest bound of all processes
    /// of a store holds for each.
    #[must_use]
    pub fn freshness(mut self, bound: Duration) -> Self {
        self.policy.freshness = Some(bound);
        self
    }
    /// How many bytes of verified keys are remembered, at most, and of what this process holds of their request windows: 64 MiB unless
    /// set, which is some 130,000 keys.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: u64) -> Self {
        self.policy.cache_bytes = bytes;
        self
    }
    /// From when on observers are told of something.
    #[must_use]
    pub fn signals(mut self, thresholds: SignalThresholds) -> Self {
        self.policy.signals = thresholds;
        self
    }

    /// The policy.
    ///
    /// # Errors
    /// If a setting is outside its range; the error names it.
    pub fn build(self) -> Result<Policy, Invalid> {
        let mut policy = self.policy;
        let (tier, active) = (&policy.default_tier, policy.active_limit);
        policy.default_plan = Arc::new(Plan::new(tier.key.clone(), tier.of_account(active)));
        policy.expiry.check()?;
        policy.hashing.check()?;
        policy.retention.check()?;
        policy.signals.check()?;
        if policy.budgets.keys().any(|(unit, _)| unit.is_requests()) {
            return Err(requests_have_no_budget());
        }
        if policy.formats.len() > MAX_RETIRED_FORMATS + 1 {
            return Err(Invalid::new("retired formats", "must be at most 8", format!("{}", policy.formats.len() - 1)));
        }
        if policy.max_records == Some(0) || policy.max_creations_per_day == Some(0) {
            return Err(Invalid::new("max_records, max_creations_per_day", "must be at least 1, or None for any number", "0"));
        }
        if policy.max_grace < TimeDelta::zero() || policy.max_grace > TimeDelta::days(MAX_DAYS.into()) {
            return Err(Invalid::new("max_grace", "must be 0 to 36500 days", format!("{} days", policy.max_grace.num_days())));
        }
        if policy.deadline.is_zero() || policy.deadline > Duration::from_secs(60) {
            return Err(Invalid::new("deadline", "must be above 0 and at most 60 seconds", format!("{:?}", policy.deadline)));
        }
        if policy.freshness.is_some_and(|bound| bound > MAX_FRESHNESS) {
            return Err(Invalid::new("freshness", "must be at most 60 seconds", format!("{:?}", policy.freshness)));
        }
        if policy.cache_bytes < MIN_CACHE_BYTES {
            let rule = "must be at least 65536; to read each row anew, set freshness to zero";
            return Err(Invalid::new("cache_bytes", rule, policy.cache_bytes.to_string()));
        }
        if policy.imports.is_some_and(|guesses| guesses.per_minute == 0 || guesses.per_day == 0) {
            return Err(Invalid::new("imports", "must allow at least 1 wrong guess a minute and a day", "0"));
        }
        Ok(policy)
    }
}

/// They are counted by verification itself, a flush later: a budget of them would not be exact, and a window is.
pub(crate) fn requests_have_no_budget() -> Invalid {
    Invalid::new("unit of a budget", "must not be requests: limit them by windows", "requests")
}

/// Wrong guesses at one imported key from one peer, before they are refused without hashing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuessLimit {
    /// In a minute.
    pub per_minute: u32,
    /// In a day.
    pub per_day: u32,
}

impl Default for GuessLimit {
    /// 10 a minute, 100 a day (NIST SP 800-63B section 3.2.2 allows at most 100).
    fn default() -> Self {
        Self { per_minute: 10, per_day: 100 }
    }
}

/// How secrets are hashed. SHA-256 and HMAC are the fast schemes: a secret of over 112 random bits gains nothing from a
/// slow one (NIST SP 800-63B, OWASP ASVS 5.0 6.5.2).
///
/// SHA-256 digests stay readable unless excluded; peppers are readable when given. Deploy a pepper as
/// [`Hashing::readable`] everywhere before making it current anywhere. A pepper version found in the store and not given
/// is a [`crate::error::Fault`], never a refusal; declare it [`Hashing::dropped`] to let its keys go.
#[derive(Clone, Debug)]
pub struct Hashing {
    current: Current,
    sha256: bool,
    peppers: Vec<Pepper>,
    dropped: BTreeSet<u16>,
    pub(crate) argon2_cost: Argon2Cost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Current {
    Sha256,
    Hmac(u16),
    Argon2id,
}

impl Hashing {
    fn with(current: Current, peppers: Vec<Pepper>) -> Self {
        Self { current, sha256: true, peppers, dropped: BTreeSet::new(), argon2_cost: Argon2Cost::OWASP }
    }

    /// New secrets under SHA-256: the default.
    #[must_use]
    pub fn sha256() -> Self {
        Self::with(Current::Sha256, Vec::new())
    }

    /// New secrets under HMAC-SHA-256 with this pepper: the choice for production.
    #[must_use]
    pub fn hmac(current: Pepper) -> Self {
        Self::with(Current::Hmac(current.version()), vec![current])
    }

    /// New secrets under Argon2id, for hosts whose policy demands a slow hash. Such keys are presented as `id;secret` only.
    #[must_use]
    pub fn argon2id(cost: Argon2Cost) -> Self {
        Self { argon2_cost: cost, ..Self::with(Current::Argon2id, Vec::new()) }
    }

    /// The cost of Argon2id for imported secrets.
    #[must_use]
    pub fn argon2_cost(mut self, cost: Argon2Cost) -> Self {
        self.argon2_cost = cost;
        self
    }

    /// A pepper whose digests are read and not made: one to come, or one to go.
    #[must_use]
    pub fn readable(mut self, pepper: Pepper) -> Self {
        self.peppers.push(pepper);
        self
    }

    /// A pepper version that is gone for good: its keys' secrets are as unknown.
    #[must_use]
    pub fn dropped(mut self, version: u16) -> Self {
        self.dropped.insert(version);
        self
    }

    /// SHA-256 digests are not read: for hosts that have had a pepper from their first key on.
    #[must_use]
    pub fn without_sha256(mut self) -> Self {
        self.sha256 = false;
        self
    }

    fn check(&self) -> Result<(), Invalid> {
        let versions: BTreeSet<u16> = self.peppers.iter().map(Pepper::version).collect();
        if versions.len() != self.peppers.len() || versions.iter().any(|version| self.dropped.contains(version)) {
            return Err(Invalid::new(
                "peppers",
                "must have each version once, and not also dropped",
                format!("{} peppers", self.peppers.len()),
            ));
        }
        let schemes = self.peppers.len() + usize::from(self.sha256);
        if schemes > MAX_LOOKUP_SCHEMES {
            return Err(Invalid::new("hashing", "must read at most 4 of SHA-256 and peppers", format!("{schemes}")));
        }
        if self.current == Current::Sha256 && !self.sha256 {
            return Err(Invalid::new("hashing", "must read SHA-256 where it is current", "without_sha256"));
        }
        Ok(())
    }

    /// The digests under which a bare secret may be stored.
    #[inline(always)]
    pub(crate) fn lookup_digests(&self, secret: &[u8]) -> LookupDigests {
        let mut digests = LookupDigests { all: [Digest::from_bytes([0; 32]); MAX_LOOKUP_SCHEMES], count: 0 };
        let own = self.sha256.then(|| sha256(secret));
        let all = own.into_iter().chain(self.peppers.iter().map(|pepper| pepper.digest(secret)));
        for (place, digest) in digests.all.iter_mut().zip(all) {
            *place = digest;
            digests.count += 1;
        }
        digests
    }

    pub(crate) fn reads_sha256(&self) -> bool {
        self.sha256
    }

    pub(crate) fn pepper(&self, version: u16) -> PepperStatus<'_> {
        match self.peppers.iter().find(|pepper| pepper.version() == version) {
            Some(pepper) => PepperStatus::Given(pepper),
            None if self.dropped.contains(&version) => PepperStatus::Dropped,
            None => PepperStatus::Unknown,
        }
    }

    /// The digest of a new secret under the current scheme, if that is a fast one.
    pub(crate) fn fast_digest(&self, secret: &[u8]) -> Option<(Digest, Scheme)> {
        let scheme = match self.current {
            Current::Sha256 => Scheme::Sha256,
            Current::Hmac(pepper) => Scheme::HmacSha256 { pepper },
            Current::Argon2id => return None,
        };
        Some((self.current_fast_digest(secret)?, scheme))
    }

    /// The digest alone.
    #[inline(always)]
    pub(crate) fn current_fast_digest(&self, secret: &[u8]) -> Option<Digest> {
        match self.current {
            Current::Sha256 => Some(sha256(secret)),
            Current::Hmac(version) => {
                self.peppers.iter().find(|pepper| pepper.version() == version).map(|pepper| pepper.digest(secret))
            }
            Current::Argon2id => None,
        }
    }

    /// Whether new secrets are stored under this scheme, and it is a fast one.
    pub(crate) fn is_current(&self, scheme: &Scheme) -> bool {
        match (self.current, scheme) {
            (Current::Sha256, Scheme::Sha256) => true,
            (Current::Hmac(current), Scheme::HmacSha256 { pepper }) => *pepper == current,
            _ => false,
        }
    }

    /// Whether a digest under `scheme` should be replaced on use: among fast schemes, forward only.
    pub(crate) fn is_behind(&self, scheme: &Scheme) -> bool {
        match (self.current, scheme) {
            (Current::Hmac(_), Scheme::Sha256) => true,
            (Current::Hmac(current), Scheme::HmacSha256 { pepper }) => *pepper < current,
            _ => false,
        }
    }
}

/// One digest a readable fast scheme.
#[derive(Clone, Copy)]
pub(crate) struct LookupDigests {
    all: [Digest; MAX_LOOKUP_SCHEMES],
    count: usize,
}

impl std::ops::Deref for LookupDigests {
    type Target = [Digest];

    fn deref(&self) -> &[Digest] {
        self.all.get(..self.count).unwrap_or(&self.all)
    }
}

pub(crate) enum PepperStatus<'a> {
    Given(&'a Pepper),
    Dropped,
    Unknown,
}
