//! What a host decides, as data that cannot be illegal.

mod builder;
mod hashing;

pub use crate::expiry::{Expiry, ExpiryPolicy, MAX_DAYS};
pub use builder::PolicyBuilder;
pub(crate) use builder::requests_have_no_budget;
pub use hashing::Hashing;
pub(crate) use hashing::PepperStatus;

use crate::{
    access::AccessLog,
    audit::{Action, Role},
    budget::{Budget, BudgetOf},
    capability::CapabilitySet,
    credential,
    key::Status,
    lifecycle,
    limit::{LimitChoice, Limits, Plan, Tier, TierName},
    retention::Retention,
    secret::{SecretFormat, find},
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

/// The most retired secret formats.
pub const MAX_RETIRED_FORMATS: usize = 8;
/// The most fast schemes (SHA-256 and each readable pepper) that a bare secret is looked up under.
pub const MAX_LOOKUP_SCHEMES: usize = 4;
/// The shortest bound that is any use: what the clock leaves of less is nothing.
pub const MIN_FRESHNESS: Duration = Duration::from_millis(20);
/// The longest that a row is used without asking whether it has changed.
pub const MAX_FRESHNESS: Duration = Duration::from_secs(60);
/// The fewest bytes of remembered keys.
#[cfg(not(shuttle))]
pub const MIN_CACHE_BYTES: u64 = 64 * 1024;
/// One key's: schedules of its eviction are to be short.
#[cfg(shuttle)]
pub const MIN_CACHE_BYTES: u64 = 1280;
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

    /// Whether a text has a credential in it, wherever that stands: a secret of the host's own formats with its check characters, or the
    /// `id;` that a secret of any form follows. For edges that must not let one pass where none belongs, such as in an address.
    #[must_use]
    pub fn finds_credential(&self, text: impl AsRef<[u8]>) -> bool {
        let text = text.as_ref();
        find(&self.formats, text).next().is_some() || credential::has_id(text)
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
