//! What a form needs to know.

use super::{
    answer::json,
    asked::Asked,
    routes::{Routes, Told},
    shape::{ExpiryBody, LimitsBody, names},
};
use crate::problem::Problem;
use axum::response::Response;
use clove_core::{ActiveLimit, LimitChoice, Role};
use http::StatusCode;
use serde::Serialize;
use utoipa::{ToSchema, openapi::HttpMethod};

pub(super) fn routes(routes: Routes) -> Routes {
    let told = Told::new("get_choices", "Tells what there is to choose from", "For a form that creates keys.");
    routes.on(HttpMethod::Get, "/choices", choices, told.answers::<Choices>(200, "The choices", &[]))
}

/// What there is to choose from, for this visitor.
#[derive(Serialize, ToSchema)]
struct Choices {
    role: RoleName,
    expiry: ExpiryChoices,
    /// What this visitor may give to keys; `*` stands for any.
    capabilities: Vec<String>,
    /// What a key may do where nothing is chosen.
    default_capabilities: Vec<String>,
    /// Whether this visitor may choose request limits.
    may_set_limits: bool,
    /// The request limits of a key where nothing is chosen.
    default_limits: LimitsBody,
    /// How many keys of an account may be active unless it has a limit of its own; null is any number.
    active_limit: Option<u32>,
    /// How many records of keys an account may have, of whatever status; null is any number.
    max_records: Option<u32>,
    /// How many keys an account may create on a UTC day; null is any number.
    max_creations_per_day: Option<u32>,
    /// The longest grace of a rotation.
    max_grace_seconds: i64,
}

/// As which a visitor looks at keys.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum RoleName {
    Owner,
    Administrator,
}

/// Which expiries may be chosen.
#[derive(Serialize, ToSchema)]
struct ExpiryChoices {
    /// Days after the creation.
    days: Vec<u32>,
    default: ExpiryBody,
    /// Any number of whole days, or a time, in this range of days from the creation; null if not.
    custom: Option<DayRange>,
    never: bool,
}

/// Both included.
#[derive(Serialize, ToSchema)]
struct DayRange {
    first: u32,
    last: u32,
}

async fn choices(asked: Asked) -> Result<Response, Problem> {
    let (policy, visitor) = (asked.clove.policy(), &asked.visitor);
    let expiry = policy.expiry();
    let choices = Choices {
        role: match visitor.role() {
            Role::Owner => RoleName::Owner,
            Role::Administrator => RoleName::Administrator,
        },
        expiry: ExpiryChoices {
            days: expiry.days.clone(),
            default: expiry.default.into(),
            custom: expiry.custom.map(|(first, last)| DayRange { first, last }),
            never: expiry.never,
        },
        capabilities: names(visitor.capabilities()),
        default_capabilities: names(policy.default_capabilities()),
        may_set_limits: visitor.is_limiter(),
        default_limits: (&policy.key_limits(&LimitChoice::Default, &LimitChoice::Default)).into(),
        active_limit: match policy.active_limit() {
            ActiveLimit::AtMost(limit) => Some(limit),
            ActiveLimit::Unlimited => None,
        },
        max_records: policy.max_records(),
        max_creations_per_day: policy.max_creations_per_day(),
        max_grace_seconds: policy.max_grace().num_seconds(),
    };
    json(StatusCode::OK, &choices)
}
