//! Budgets: how they stand, and setting them.

use super::{
    answer::json,
    asked::Asked,
    body::whole,
    commands::nothing,
    openapi::unit,
    routes::{Routes, Told},
    shape::{just, word},
};
use crate::problem::Problem;
use axum::response::Response;
use chrono::{DateTime, Utc};
use clove_core::{Budget, BudgetChoice, BudgetState, Invalid, KeyId, Refill, Scope, Unit};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{HttpMethod, OneOfBuilder, RefOr, Required, Schema},
};

pub(super) fn routes(routes: Routes) -> Routes {
    let reads = |id, summary| Told::new(id, summary, "Null where there is none.").answers::<StateBody>(200, "How it stands", &[]);
    let sets = |id, summary| {
        let told = Told::new(
            id,
            summary,
            "By an administrator who may choose request limits. It holds from the next request on that reserves.",
        );
        told.audited().body::<ChoiceBody>(Required::True).answers_nothing(204, "It is set")
    };
    routes
        .on(
            HttpMethod::Get,
            "/budgets/{unit}",
            read,
            reads("get_budget", "Tells of the account's budget, or, to administrators, of the organization's"),
        )
        .on(HttpMethod::Put, "/budgets/{unit}", set, sets("set_budget", "Sets the organization's budget"))
        .on(HttpMethod::Get, "/keys/{id}/budgets/{unit}", read_of_key, reads("get_key_budget", "Tells of a key's budget"))
        .on(
            HttpMethod::Get,
            "/members/{account}/budgets/{unit}",
            read_of_member,
            reads("get_member_budget", "Tells of a person's budget"),
        )
        .on(
            HttpMethod::Put,
            "/members/{account}/budgets/{unit}",
            set_of_member,
            sets("set_member_budget", "Sets a person's budget"),
        )
}

/// How a budget stands.
#[derive(Serialize, ToSchema)]
struct StateBody {
    state: Option<BudgetBody>,
}

/// A budget as it stands in this period.
#[derive(Serialize, ToSchema)]
struct BudgetBody {
    #[schema(schema_with = unit)]
    unit: String,
    #[schema(minimum = 1)]
    amount: u64,
    refill: RefillName,
    /// How much was used, as far as it is written: it may be more than the amount.
    settled: u64,
    /// How much is reserved beside that.
    reserved: u64,
    left: u64,
    /// How much is used or reserved; over 100 where it is overspent.
    percent: u64,
    /// When the next period begins; null where there is none.
    refills_at: Option<DateTime<Utc>>,
}

impl From<BudgetState> for BudgetBody {
    fn from(state: BudgetState) -> Self {
        Self {
            unit: state.unit.as_str().to_owned(),
            amount: state.budget.amount(),
            refill: state.budget.refill().into(),
            settled: state.settled,
            reserved: state.reserved,
            left: state.left(),
            percent: state.percent(),
            refills_at: state.refills_at,
        }
    }
}

/// When it is full again, by the calendar in UTC.
#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum RefillName {
    Daily,
    Weekly,
    Monthly,
    Never,
}

impl From<Refill> for RefillName {
    fn from(refill: Refill) -> Self {
        match refill {
            Refill::Daily => Self::Daily,
            Refill::Weekly => Self::Weekly,
            Refill::Monthly => Self::Monthly,
            Refill::Never => Self::Never,
        }
    }
}

impl From<RefillName> for Refill {
    fn from(name: RefillName) -> Self {
        match name {
            RefillName::Daily => Self::Daily,
            RefillName::Weekly => Self::Weekly,
            RefillName::Monthly => Self::Monthly,
            RefillName::Never => Self::Never,
        }
    }
}

/// Which budget.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChoiceBody {
    budget: BudgetName,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum BudgetName {
    Default,
    Unlimited,
    Own(OwnBody),
}

/// So much in each period.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct OwnBody {
    #[schema(minimum = 1, maximum = 9_223_372_036_854_775_807_u64)]
    #[serde(deserialize_with = "whole")]
    amount: u64,
    refill: RefillName,
}

impl PartialSchema for BudgetName {
    fn schema() -> RefOr<Schema> {
        let choice = OneOfBuilder::new().description(Some("The policy's, any amount, or its own."));
        choice.item(word(&["default", "unlimited"])).item(just("own", OwnBody::schema())).into()
    }
}
impl ToSchema for BudgetName {
    fn name() -> std::borrow::Cow<'static, str> {
        "Budget".into()
    }
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((RefillName::name().into_owned(), RefillName::schema()));
    }
}

impl TryFrom<BudgetName> for BudgetChoice {
    type Error = Invalid;
    fn try_from(name: BudgetName) -> Result<Self, Invalid> {
        Ok(match name {
            BudgetName::Default => Self::Default,
            BudgetName::Unlimited => Self::Unlimited,
            BudgetName::Own(OwnBody { amount, refill }) => Self::Own(Budget::new(amount, refill.into())?),
        })
    }
}

/// What the path counts. What is no unit is counted nowhere.
fn unit_of(asked: &Asked) -> Result<Unit, Problem> {
    let unit = asked.param("unit").and_then(|unit| Unit::new(unit).ok());
    unit.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "no-such-path", "There is no such path", "This is no unit."))
}

async fn state(asked: Asked, scope: Scope, key: Option<KeyId>) -> Result<Response, Problem> {
    let state = asked.clove.budget(scope, key, &unit_of(&asked)?).await?;
    json(StatusCode::OK, &StateBody { state: state.map(Into::into) })
}

async fn choose(mut asked: Asked, scope: Scope) -> Result<Response, Problem> {
    let (unit, order) = (&unit_of(&asked)?, asked.by()?);
    let choice = BudgetChoice::try_from(asked.json::<ChoiceBody>().await?.budget)?;
    let (clove, scope) = (&asked.clove, &scope);
    order.give(|by| async move { clove.set_budget(scope, unit, choice, &by).await }).await?;
    Ok(nothing())
}

async fn read(asked: Asked) -> Result<Response, Problem> {
    let scope = asked.visitor.scope();
    state(asked, scope, None).await
}

async fn set(asked: Asked) -> Result<Response, Problem> {
    let scope = Scope::Organization(asked.administered()?.clone());
    choose(asked, scope).await
}

async fn read_of_key(asked: Asked) -> Result<Response, Problem> {
    let (id, scope) = (asked.key_id()?, asked.visitor.scope());
    state(asked, scope, Some(id)).await
}

async fn read_of_member(asked: Asked) -> Result<Response, Problem> {
    let owner = asked.member()?;
    state(asked, Scope::Owner(owner), None).await
}

async fn set_of_member(asked: Asked) -> Result<Response, Problem> {
    let owner = asked.member()?;
    choose(asked, Scope::Owner(owner)).await
}
