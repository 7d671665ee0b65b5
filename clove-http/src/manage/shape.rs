//! Keys and what belongs to them, in JSON.

use super::{body::whole, openapi::key_id};
use chrono::{DateTime, Utc};
use clove_core::{
    CapabilitySet, Clove, Expiry, Invalid, Key, LimitChoice, Limits, Metadata, Role, Status, TierName, Window, limit::WindowKind,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::time::Duration;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        KnownFormat, ObjectBuilder, OneOfBuilder, RefOr, Schema, SchemaFormat, Type, schema::AdditionalProperties,
        schema::ArrayBuilder,
    },
};

/// A key.
#[derive(Serialize, ToSchema)]
pub(super) struct KeyBody {
    /// Its public id, a UUIDv7.
    #[schema(schema_with = key_id)]
    pub(super) id: String,
    /// Whose.
    account: String,
    name: String,
    description: String,
    status: StatusName,
    created_at: DateTime<Utc>,
    /// When it expires; null is never.
    expires_at: Option<DateTime<Utc>>,
    /// Null if it was never used. Written in batches: the last minute may be missing.
    last_used_at: Option<DateTime<Utc>>,
    /// `resource:action` names, sorted.
    capabilities: Vec<String>,
    limits: LimitsBody,
    /// The host's own data; null for none.
    #[schema(value_type = serde_json::Value)]
    metadata: Option<Box<RawValue>>,
    /// Counts its changes; the ETag is this in quotes.
    #[schema(minimum = 1)]
    pub(super) revision: u64,
    /// What a menu is to offer to this visitor: `disable`, `enable`, `rotate`, `revoke`, `flag_compromised`, `delete`.
    offered: Vec<&'static str>,
}

impl KeyBody {
    pub(super) fn new(clove: &Clove, role: Role, key: &Key) -> Self {
        Self {
            id: key.id.to_string(),
            account: key.owner.account.as_str().to_owned(),
            name: key.name.as_str().to_owned(),
            description: key.description.as_str().to_owned(),
            status: key.status(clove.now()).into(),
            created_at: key.created_at,
            expires_at: key.expires_at,
            last_used_at: key.last_used_at,
            capabilities: names(&key.capabilities),
            limits: (&key.limits).into(),
            metadata: metadata_body(&key.metadata),
            revision: key.revision,
            offered: clove.offered(key, role).into_iter().map(|action| action.as_str()).collect(),
        }
    }
}

pub(super) fn names(capabilities: &CapabilitySet) -> Vec<String> {
    capabilities.iter().map(|capability| capability.as_str().to_owned()).collect()
}

/// What was stored by a build that does not read JSON may be none, and is then told as a text.
fn metadata_body(metadata: &Metadata) -> Option<Box<RawValue>> {
    let text = Some(metadata.as_str()).filter(|text| !text.is_empty())?;
    RawValue::from_string(text.to_owned()).ok().or_else(|| serde_json::value::to_raw_value(text).ok())
}

/// Metadata as given; `null` is none.
pub(super) fn metadata(given: &RawValue) -> Result<Metadata, Invalid> {
    if given.get() == "null" { Ok(Metadata::none()) } else { Metadata::new(given.get()) }
}

/// What a key looks like now.
#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum StatusName {
    Active,
    Suspended,
    Expired,
    Compromised,
    Revoked,
}

impl From<Status> for StatusName {
    fn from(status: Status) -> Self {
        match status {
            Status::Active => Self::Active,
            Status::Suspended => Self::Suspended,
            Status::Expired => Self::Expired,
            Status::Compromised => Self::Compromised,
            Status::Revoked => Self::Revoked,
        }
    }
}

impl From<StatusName> for Status {
    fn from(name: StatusName) -> Self {
        match name {
            StatusName::Active => Self::Active,
            StatusName::Suspended => Self::Suspended,
            StatusName::Expired => Self::Expired,
            StatusName::Compromised => Self::Compromised,
            StatusName::Revoked => Self::Revoked,
        }
    }
}

/// When a key is to expire.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ExpiryBody {
    Days(#[serde(deserialize_with = "whole")] u32),
    At(DateTime<Utc>),
    Never,
}

impl PartialSchema for ExpiryBody {
    fn schema() -> RefOr<Schema> {
        let days = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).maximum(Some(36_500));
        let at = ObjectBuilder::new().schema_type(Type::String).format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
        OneOfBuilder::new()
            .description(Some("So many days after the creation, at a time, or never: what `GET /choices` says."))
            .item(just("days", days))
            .item(just("at", at))
            .item(word(&["never"]))
            .into()
    }
}
impl ToSchema for ExpiryBody {
    fn name() -> std::borrow::Cow<'static, str> {
        "Expiry".into()
    }
}

impl From<ExpiryBody> for Expiry {
    fn from(body: ExpiryBody) -> Self {
        match body {
            ExpiryBody::Days(days) => Self::Days(days),
            ExpiryBody::At(at) => Self::At(at),
            ExpiryBody::Never => Self::Never,
        }
    }
}

impl From<Expiry> for ExpiryBody {
    fn from(expiry: Expiry) -> Self {
        match expiry {
            Expiry::Days(days) => Self::Days(days),
            Expiry::At(at) => Self::At(at),
            Expiry::Never => Self::Never,
        }
    }
}

/// Request limits.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum LimitsBody {
    Default,
    Unlimited,
    Tier(String),
    Windows(Vec<WindowBody>),
}

impl PartialSchema for LimitsBody {
    fn schema() -> RefOr<Schema> {
        let tier = ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[a-z0-9_.-]{1,64}$"));
        let windows = ArrayBuilder::new().items(WindowBody::schema()).min_items(Some(1)).max_items(Some(4));
        OneOfBuilder::new()
            .description(Some("Those of the policy, any number of requests, those of a tier, or windows of different lengths."))
            .item(word(&["default", "unlimited"]))
            .item(just("tier", tier))
            .item(just("windows", windows))
            .into()
    }
}
impl ToSchema for LimitsBody {
    fn name() -> std::borrow::Cow<'static, str> {
        "Limits".into()
    }
}

/// So many requests in each so many seconds.
#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WindowBody {
    /// At most 10^12; 100,000 where it slides, 10,000 where all processes share it.
    #[schema(minimum = 1, maximum = 1_000_000_000_000_u64)]
    #[serde(deserialize_with = "whole")]
    requests: u64,
    /// 1 second to 366 days.
    #[schema(minimum = 1, maximum = 31_622_400)]
    #[serde(deserialize_with = "whole")]
    seconds: u32,
    #[serde(default)]
    kind: KindName,
}

/// Aligned to the Unix epoch, or sliding within one process, or sliding for all processes together.
#[derive(Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum KindName {
    #[default]
    Fixed,
    Sliding,
    SlidingShared,
}

impl From<WindowKind> for KindName {
    fn from(kind: WindowKind) -> Self {
        match kind {
            WindowKind::Fixed => Self::Fixed,
            WindowKind::Sliding => Self::Sliding,
            WindowKind::SlidingShared => Self::SlidingShared,
        }
    }
}

impl From<Window> for WindowBody {
    fn from(window: Window) -> Self {
        Self { requests: window.count(), seconds: window.seconds(), kind: window.kind().into() }
    }
}

impl TryFrom<WindowBody> for Window {
    type Error = Invalid;
    fn try_from(body: WindowBody) -> Result<Self, Invalid> {
        let kind = match body.kind {
            KindName::Fixed => WindowKind::Fixed,
            KindName::Sliding => WindowKind::Sliding,
            KindName::SlidingShared => WindowKind::SlidingShared,
        };
        kind.window(body.requests, Duration::from_secs(body.seconds.into()))
    }
}

impl From<&Limits> for LimitsBody {
    fn from(limits: &Limits) -> Self {
        match limits.windows() {
            [] => Self::Unlimited,
            windows => Self::Windows(windows.iter().copied().map(WindowBody::from).collect()),
        }
    }
}

impl From<&LimitChoice> for LimitsBody {
    fn from(choice: &LimitChoice) -> Self {
        match choice {
            LimitChoice::Default => Self::Default,
            LimitChoice::Tier(name) => Self::Tier(name.as_str().to_owned()),
            LimitChoice::Own(limits) => limits.into(),
        }
    }
}

impl TryFrom<LimitsBody> for LimitChoice {
    type Error = Invalid;
    fn try_from(body: LimitsBody) -> Result<Self, Invalid> {
        Ok(match body {
            LimitsBody::Default => Self::Default,
            LimitsBody::Unlimited => Self::Own(Limits::unlimited()),
            LimitsBody::Tier(name) => Self::Tier(TierName::new(name)?),
            LimitsBody::Windows(windows) => {
                let windows: Result<Vec<Window>, Invalid> = windows.into_iter().map(Window::try_from).collect();
                Self::Own(Limits::new(windows?)?)
            }
        })
    }
}

/// An object of one field.
pub(super) fn just(field: &str, schema: impl Into<RefOr<Schema>>) -> ObjectBuilder {
    ObjectBuilder::new()
        .property(field, schema)
        .required(field)
        .additional_properties(Some(AdditionalProperties::FreeForm(false)))
}

/// One of some words.
pub(super) fn word(words: &[&'static str]) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words.iter().copied()))
}
