//! Sums of usage.

use super::{
    answer::json,
    asked::Asked,
    body::bad_value,
    keys::{cursor, of_query},
    openapi::{key_id, unit},
    routes::{Routes, Told},
    trail::{answer, key_of},
};
use crate::problem::Problem;
use axum::response::Response;
use chrono::NaiveDate;
use clove_core::{ListUsage, Unit, Usage, UsageBy, UsagePer};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema, openapi::HttpMethod};

pub(super) fn routes(routes: Routes) -> Routes {
    let told = Told::new("list_usage", "Reads sums of usage", "By whom and when as far as is told apart, oldest day first.");
    routes.on(HttpMethod::Get, "/usage", list_usage, told.query::<UsageQuery>().answers::<UsagePage>(200, "A page", &[]))
}

/// Which usage.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct UsageQuery {
    /// Whose sums are told apart; nobody's unless sent.
    #[param(inline)]
    by: Option<ByName>,
    /// Whether days are told apart; they are unless sent.
    #[param(inline)]
    per: Option<PerName>,
    /// Only of this key.
    #[param(schema_with = key_id)]
    key: Option<String>,
    /// Only of this unit; `requests` are counted by verification itself.
    #[param(schema_with = unit)]
    unit: Option<String>,
    /// Only on this UTC day or later.
    first: Option<NaiveDate>,
    /// Only on this UTC day or earlier.
    last: Option<NaiveDate>,
    /// Only of this account: for administrators, but for one's own.
    #[param(min_length = 1, max_length = 256)]
    account: Option<String>,
    /// How many.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<usize>,
    /// The page after the one that gave this as its `next`, and told the same apart.
    #[param(min_length = 1)]
    after: Option<String>,
}

#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ByName {
    Key,
    Account,
    Nobody,
}

#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum PerName {
    Day,
    Total,
}

/// Sums.
#[derive(Serialize, ToSchema)]
struct UsagePage {
    sums: Vec<SumBody>,
    /// Where the next page begins; null after the last.
    next: Option<String>,
    /// How many sums could not be read.
    unreadable: usize,
}

/// What was used of one unit.
#[derive(Serialize, ToSchema)]
struct SumBody {
    /// By whom; null where accounts are not told apart.
    account: Option<String>,
    /// By which key, which may be gone since; null where keys are not told apart.
    #[schema(pattern = "^[0-9a-f-]{36}$")]
    key: Option<String>,
    #[schema(schema_with = unit)]
    unit: String,
    /// On which UTC day; null where all are one.
    day: Option<NaiveDate>,
    amount: u64,
}

impl From<&Usage> for SumBody {
    fn from(usage: &Usage) -> Self {
        Self {
            account: usage.account.as_ref().map(|account| account.as_str().to_owned()),
            key: usage.key.map(|key| key.to_string()),
            unit: usage.unit.as_str().to_owned(),
            day: usage.day.map(Into::into),
            amount: usage.amount,
        }
    }
}

async fn list_usage(asked: Asked) -> Result<Response, Problem> {
    let query: UsageQuery = asked.query()?;
    let list = ListUsage {
        by: match query.by {
            Some(ByName::Key) => UsageBy::Key,
            Some(ByName::Account) => UsageBy::Account,
            Some(ByName::Nobody) | None => UsageBy::Organization,
        },
        per: match query.per {
            Some(PerName::Total) => UsagePer::Total,
            Some(PerName::Day) | None => UsagePer::Day,
        },
        key: key_of(query.key.as_deref())?,
        unit: query.unit.map(|name| Unit::new(name).map_err(|_| bad_value("unit"))).transpose()?,
        first: query.first.map(Into::into),
        last: query.last.map(Into::into),
        limit: query.limit,
        after: cursor(query.after.as_deref())?,
    };
    let scope = asked.scope(query.account.as_deref())?;
    let page = asked.clove.usage(scope, &list).await.map_err(|error| of_query(&error))?;
    answer(page, |sum| SumBody::from(sum), |sums, next, unreadable| json(StatusCode::OK, &UsagePage { sums, next, unreadable }))
}
