//! Setting and reading budgets.

use super::{
    Clove,
    decide::{Order, Subject, replay},
    detail,
};
use crate::{
    audit::{Action, By},
    budget::{BudgetChoice, BudgetState, Holder},
    error::{Error, Refusal},
    id::{KeyId, Scope},
    policy::requests_have_no_budget,
    store::{BudgetQuery, BudgetRow, Changes, Decision, Facts, Reads, Store},
    usage::{Day, Unit},
};

impl Clove {
    /// Sets the budget of a unit that an account has over all its keys, or an organization over all its accounts; by an actor that
    /// [may set limits](By::may_set_limits). It holds from the next request on that reserves, in each process; what was used before in
    /// its period counts, and what is reserved stays so.
    ///
    /// # Errors
    /// [`Refusal::MayNotSetLimits`]; [`Invalid`](crate::Invalid) for [`Unit::requests`], which windows limit; otherwise the store's
    /// failure.
    pub async fn set_budget(&self, scope: impl Into<Scope>, unit: &Unit, choice: BudgetChoice, by: &By) -> Result<(), Error> {
        if unit.is_requests() {
            return Err(requests_have_no_budget().into());
        }
        let scope = scope.into();
        // The scope of an organization holds events of its accounts: whose budget it is, is an argument.
        let account = match &scope {
            Scope::Owner(owner) => Some(owner.account.as_str().to_owned()),
            Scope::Organization(_) => None,
        };
        let arguments = [account, Some(unit.as_str().to_owned()), Some(choice.to_stored())];
        let order = Order::new(by, self.now()).given(arguments);
        let reads = Reads::Budget { scope: scope.clone(), unit: unit.clone() };
        let decision = if by.may_limit {
            let row = BudgetRow { scope, unit: unit.clone(), choice };
            self.run(order, reads, move |order, facts| choose(order, facts, &row)).await?
        } else {
            self.unless_repeated(Refusal::MayNotSetLimits.into(), order, reads, Action::SetBudget, &scope, None).await?
        };
        match decision {
            Decision::Commit(_) | Decision::Replay(..) => Ok(()),
            Decision::Refuse(refusal) => Err(refusal.into()),
        }
    }

    /// How the budget of a unit stands now: that of a key within the scope, or without one that of the account or the organization which
    /// the scope is. `None` if it has none.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] if the key is not here; otherwise the store's failure.
    pub async fn budget(&self, scope: impl Into<Scope>, key: Option<KeyId>, unit: &Unit) -> Result<Option<BudgetState>, Error> {
        let scope = scope.into();
        let holder = match key {
            None => Holder::from(&scope),
            Some(id) => Holder::Key(self.inner.store.get(&scope, id).await?.ok_or(Refusal::NotFound)?.owner, id),
        };
        let default = self.inner.policy.budget(holder.of(), unit);
        let query = BudgetQuery { holder, unit: unit.clone(), day: Day::of(self.inner.now()), default };
        Ok(self.inner.store.budget(&query).await?)
    }
}

fn choose(order: &Order, facts: &Facts, row: &BudgetRow) -> Decision {
    if let Some(replayed) = replay(facts, order, Action::SetBudget, &row.scope, None) {
        return replayed;
    }
    let subject = match &row.scope {
        Scope::Owner(owner) => Subject::Owner(owner),
        Scope::Organization(organization) => Subject::Organization(organization),
    };
    // One that cannot be read is written anew.
    let changed = facts.budget != Some(row.choice);
    let event = order.event(Action::SetBudget, subject, changed, detail::budgeted(&row.unit, facts.budget, row.choice));
    Decision::Commit(Changes { budget: changed.then(|| row.clone()), events: vec![event], ..Changes::default() })
}
