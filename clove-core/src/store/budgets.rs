//! What a store does for budgets. It keeps no counts for them alone: what is used of one is the sum of usage over the days of its
//! period, and beside each such sum stands how much is reserved of it. So a budget that is new, or has another period since, counts
//! what was used before, and what is written of a request is used and not reserved any more in one step.

use super::Meter;
use crate::{
    budget::{Budget, BudgetChoice, BudgetState, Holder},
    id::{GrantId, KeyId, Owner, Scope},
    usage::{Day, MAX_AMOUNT, Unit},
};

/// How a budget stands on a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetQuery {
    /// Whose.
    pub holder: Holder,
    /// Of what.
    pub unit: Unit,
    /// In the period that holds this day.
    pub day: Day,
    /// The policy's budget.
    pub default: Option<Budget>,
}

impl BudgetQuery {
    /// The budget that holds and the first and the last day of its period, where the holder has chosen so; `None` if there is none.
    #[must_use]
    pub fn period(&self, choice: BudgetChoice) -> Option<(Budget, Day, Day)> {
        let budget = choice.over(self.default)?;
        let (first, last) = budget.refill().days(self.day);
        Some((budget, first, last))
    }

    /// How the budget stands where so much was used in all on the days of its period, and so much is reserved.
    #[must_use]
    pub fn state(&self, budget: Budget, sums: BudgetSums) -> BudgetState {
        BudgetState::new(self.holder.of(), self.unit.clone(), budget, sums.used, sums.reserved, self.day)
    }
}

/// What was used, and what is reserved. Each stays at [`MAX_AMOUNT`] once it is there: then nothing is known any more, and nothing is
/// given out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BudgetSums {
    /// How much was used.
    pub used: u64,
    /// How much is reserved.
    pub reserved: u64,
}

impl BudgetSums {
    /// Adds what was used, and what is reserved newly.
    pub fn add(&mut self, used: u64, reserved: u64) {
        self.used = self.used.saturating_add(used).min(MAX_AMOUNT);
        self.reserved = self.reserved.saturating_add(reserved).min(MAX_AMOUNT);
    }

    /// Takes away what is not reserved any more.
    pub fn release(&mut self, reserved: u64) {
        if self.reserved < MAX_AMOUNT {
            self.reserved = self.reserved.saturating_sub(reserved);
        }
    }
}

/// What a request asks of its budgets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reserve {
    /// The grant that it is to become.
    pub grant: GrantId,
    /// The sum that its use is going to be a part of.
    pub meter: Meter,
    /// How much it may use. 0 only asks whether anything is left.
    pub amount: u64,
    /// Whether to reserve it, or only to say how that would go.
    pub holds: bool,
    /// The policy's budgets, of the key, the account and the organization.
    pub defaults: [Option<Budget>; 3],
}

impl Reserve {
    /// The budgets to look at, in order: the key's, the account's, the organization's.
    #[must_use]
    pub fn queries(&self) -> [BudgetQuery; 3] {
        let Meter { owner, key, unit, day } = &self.meter;
        let [key, account, organization] = Holder::all_of(owner, *key);
        let [of_key, of_account, of_organization] = self.defaults;
        let query = |holder, default| BudgetQuery { holder, unit: unit.clone(), day: *day, default };
        [query(key, of_key), query(account, of_account), query(organization, of_organization)]
    }

    /// Whether a budget has room for it.
    #[must_use]
    pub fn fits(&self, state: &BudgetState) -> bool {
        // What only asks is refused by one that is used up.
        self.amount.max(1) <= state.left()
    }

    /// What to do: `states` are those of the budgets that there are, and `known` is what the ledger knows of the grant and the unit.
    /// Where it is [`Reserving::Hold`], the store adds the amount to what is reserved in the key's, the account's and the
    /// organization's sums, and notes it in the ledger.
    #[must_use]
    pub fn decide(&self, states: &[BudgetState], known: Option<Reported>) -> Reserving {
        match known {
            // This very reservation, whose answer was lost, unless it was given up since.
            Some(known) if known.reserved > 0 => Reserving::Held,
            Some(_) => Reserving::Refuse,
            None if !states.iter().all(|state| self.fits(state)) => Reserving::Refuse,
            None if self.holds && self.amount > 0 && !states.is_empty() => Reserving::Hold,
            None => Reserving::Pass,
        }
    }
}

/// What is to be done for a [`Reserve`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserving {
    /// It is to be reserved.
    Hold,
    /// It was reserved before, by the same request.
    Held,
    /// It fits, and nothing is to be reserved.
    Pass,
    /// It does not fit.
    Refuse,
}

/// What came of a [`Reserve`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reserved {
    /// What was decided.
    pub outcome: Reserving,
    /// How each budget stands that there is, in the order of [`Reserve::queries`]; what is reserved now among it.
    pub states: Vec<BudgetState>,
}

impl Reserved {
    /// The answer to `reserve`, where the budgets stood so before.
    #[must_use]
    pub fn new(reserve: &Reserve, outcome: Reserving, mut states: Vec<BudgetState>) -> Self {
        if outcome == Reserving::Hold {
            states.iter_mut().for_each(|state| state.reserved = state.reserved.saturating_add(reserve.amount));
        }
        Self { outcome, states }
    }
}

/// What a ledger knows of a grant and a unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reported {
    /// The largest total that was reported.
    pub total: u64,
    /// How much is reserved beside that.
    pub reserved: u64,
}

/// A budget of an account's or an organization's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetRow {
    /// Whose.
    pub scope: Scope,
    /// Of what.
    pub unit: Unit,
    /// Which.
    pub choice: BudgetChoice,
}

/// The meter of a key's use.
pub(crate) fn meter(owner: &Owner, key: KeyId, unit: &Unit, day: Day) -> Meter {
    Meter { owner: owner.clone(), key, unit: unit.clone(), day }
}
