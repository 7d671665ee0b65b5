//! Putting a policy together, and checking it.

use super::{
    ExpiryPolicy, GuessLimit, Hashing, MAX_DAYS, MAX_FRESHNESS, MAX_RETIRED_FORMATS, MIN_CACHE_BYTES, MIN_FRESHNESS, Policy,
};
use crate::{
    access::AccessLog,
    audit::{Action, Role},
    budget::{Budget, BudgetOf},
    capability::CapabilitySet,
    error::Invalid,
    limit::{Plan, Tier, TierName},
    retention::Retention,
    secret::SecretFormat,
    signal::SignalThresholds,
    store::ActiveLimit,
    usage::Unit,
};
use chrono::TimeDelta;
use std::{sync::Arc, time::Duration};

/// Changes a policy; [`PolicyBuilder::build`] checks it.
#[derive(Clone, Debug)]
pub struct PolicyBuilder {
    pub(super) policy: Policy,
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

    /// The request limits of keys and accounts without a tier or limits of their own; [`Limits::standard`](crate::Limits::standard) for a key unless set.
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
    /// is obeyed. 20 ms to 60 s; the store's own time unless set (100 ms on SQLite). Zero remembers nothing. The shortest bound that
    /// any process has ever asked a store for holds for each, once its next poll has told it.
    #[must_use]
    pub fn freshness(mut self, bound: Duration) -> Self {
        self.policy.freshness = Some(bound);
        self
    }
    /// How many bytes of verified keys are remembered, at most, and of what this process holds of their fixed request windows: 64 MiB
    /// unless set, which is some 60,000 keys that share their sets of capabilities, and fewer where each has a long one of its own.
    /// What counts requests of sliding windows is apart, 24 bytes a request.
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
        let is_bound = |bound: Duration| bound.is_zero() || (MIN_FRESHNESS..=MAX_FRESHNESS).contains(&bound);
        if let Some(bound) = policy.freshness.filter(|bound| !is_bound(*bound)) {
            return Err(Invalid::new("freshness", "must be 20 milliseconds to 60 seconds, or zero", format!("{bound:?}")));
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
