//! What a verification is asked, and what it answers.

use crate::{
    access::EndpointLabel,
    budget::{BudgetOf, BudgetState},
    capability::{Capability, CapabilitySet, Requirement},
    clock::Timestamp,
    id::{GrantId, KeyId, Owner},
    key::KeyState,
    limit::Window,
    service::{Hold, Known, Lefts},
    usage::Unit,
};
use chrono::{DateTime, Utc};
use std::{fmt, sync::Arc};

/// One presented credential, and what the request requires.
#[derive(Clone, Copy)]
pub struct Attempt<'a> {
    pub(crate) credential: &'a [u8],
    pub(crate) required: Option<&'a Requirement>,
    pub(crate) peer: &'a str,
    pub(crate) cost: u64,
    pub(crate) charges: bool,
    pub(crate) is_ahead: bool,
    pub(crate) endpoint: Option<&'a EndpointLabel>,
    pub(crate) reserving: Option<(&'a Unit, u64)>,
}

impl<'a> Attempt<'a> {
    /// A credential exactly as the client sent it: `id;secret`, or the bare secret. Nothing is trimmed.
    #[must_use]
    pub fn new(credential: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        let credential = credential.as_ref();
        Self { credential, required: None, peer: "", cost: 1, charges: true, is_ahead: false, endpoint: None, reserving: None }
    }

    /// What the key must be allowed to do.
    #[must_use]
    pub fn requiring(mut self, required: &'a Requirement) -> Self {
        self.required = Some(required).filter(|required| !required.is_empty());
        self
    }

    /// How many places of each of its windows the request takes; 1 unless set. A request that takes none is refused by no window.
    #[must_use]
    pub fn costing(mut self, places: u64) -> Self {
        self.cost = places;
        self
    }

    /// Only says how the request would be answered: it is charged to no window, and is no use of the key.
    #[must_use]
    pub fn only_checking(mut self) -> Self {
        self.charges = false;
        self
    }

    /// Looks whether it is worth reading on, before it is known what the request asks for, such as before its body: as
    /// [`Attempt::only_checking`], and a grant of it is not in the access log. The request is to be verified again as a whole, and is
    /// logged then. A denial of it is the request's last, and is logged as ever.
    #[must_use]
    pub fn looking_ahead(mut self) -> Self {
        (self.charges, self.is_ahead) = (false, true);
        self
    }

    /// How much of a unit the request may use, such as the most tokens that its answer may have: reserved in the budgets of that unit
    /// of the key, its account and its organization, in all or none, and refused where one has not left it. Say what it has used by
    /// [`Clove::settle`](crate::Clove::settle): that frees the rest. One unit a request; the last one said counts.
    ///
    /// 0 reserves nothing, and is refused where a budget is used up: for requests of which nobody knows what they are going to use.
    /// Their budget is then overspent by what is in flight, and by what was used within one flush interval.
    ///
    /// It costs one transaction of the store. A grant that is dropped without being settled, or lost in a crash, keeps what it has
    /// reserved until the period ends: that is wasted, and never given out twice. [`Unit::requests`] has no budgets.
    #[must_use]
    pub fn reserving(mut self, unit: &'a Unit, amount: u64) -> Self {
        self.reserving = Some((unit, amount));
        self
    }

    /// Which endpoint it is presented at, by the host's own label, for the access log.
    #[must_use]
    pub fn at_endpoint(mut self, label: &'a EndpointLabel) -> Self {
        self.endpoint = Some(label);
        self
    }

    /// Who presents it, in the host's terms, such as a network address: wrong guesses at imported keys are counted for it.
    #[must_use]
    pub fn from_peer(mut self, label: &'a str) -> Self {
        self.peer = label;
        self
    }
}

impl<'a, T: AsRef<[u8]> + ?Sized> From<&'a T> for Attempt<'a> {
    fn from(credential: &'a T) -> Self {
        Self::new(credential)
    }
}

impl fmt::Debug for Attempt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt")
            .field("required", &self.required)
            .field("peer", &self.peer)
            .field("endpoint", &self.endpoint)
            .field("reserving", &self.reserving)
            .finish_non_exhaustive()
    }
}

/// The answer to a verification. Neither is an error; that nothing can be said is a [`crate::error::Fault`].
#[derive(Clone, Debug)]
#[must_use = "a request may go on only with a grant"]
pub enum Verdict {
    /// The request may go on.
    Granted(Grant),
    /// The request is refused.
    Denied(Denial),
}

impl Verdict {
    /// The grant, if it is one.
    #[must_use]
    pub fn granted(self) -> Option<Grant> {
        match self {
            Self::Granted(grant) => Some(grant),
            Self::Denied(_) => None,
        }
    }

    /// The denial, if it is one.
    #[must_use]
    pub fn denied(self) -> Option<Denial> {
        match self {
            Self::Granted(_) => None,
            Self::Denied(denial) => Some(denial),
        }
    }
}

/// A verified request.
#[derive(Clone)]
pub struct Grant {
    pub(crate) id: GrantId,
    pub(crate) known: Arc<Known>,
    pub(crate) at: Timestamp,
    /// Which of the key's secrets was proven.
    pub(crate) place: usize,
    pub(crate) lefts: Lefts,
    pub(crate) hold: Option<Arc<Hold>>,
}

/// What a granted request has reserved.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Reservation {
    /// Of what.
    pub unit: Unit,
    /// How much: 0 where nothing was asked for, where there is no budget, or where it was only checked.
    pub amount: u64,
    /// How each budget of the key, its account and its organization stands, this reservation counted; none where there is no budget.
    pub budgets: Vec<BudgetState>,
}

/// A budget that has not left what a request was going to use.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct BudgetExhausted {
    /// How much the request asked for.
    pub asked: u64,
    /// The budget; of several the one that is full again last.
    pub state: BudgetState,
}

/// What of a limit is left after a request was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct LimitState {
    /// Whose.
    pub of: Limited,
    /// The window.
    pub window: Window,
    /// How many requests are left in it, as far as this process knows: others may have taken some since.
    pub left: u64,
    /// When it is over.
    pub resets_at: DateTime<Utc>,
}

/// Whose requests a window counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum Limited {
    /// The key's.
    Key,
    /// The account's, over all its keys.
    Account,
}

impl Limited {
    /// The stable name that stores write.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Account => "account",
        }
    }

    /// Reads it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Key, Self::Account].into_iter().find(|limited| limited.as_str() == text)
    }
}

/// A window without a place for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Exhausted {
    /// Whose.
    pub of: Limited,
    /// The window; of several the one that lasts longest.
    pub window: Window,
    /// How many are left in it, fewer than the request takes.
    pub left: u64,
    /// When it is over, and the request may be tried again; `None` where it takes more than the window ever has.
    pub retry_at: Option<DateTime<Utc>>,
}

impl Exhausted {
    /// Of several the one that lasts longest counts, and for ever is longer than that.
    pub(crate) fn lasts(&self) -> (bool, Option<DateTime<Utc>>) {
        (self.retry_at.is_none(), self.retry_at)
    }
}

impl Grant {
    /// The id of this request, minted here; no client can choose it.
    #[must_use]
    pub fn id(&self) -> GrantId {
        self.id
    }
    /// The key.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        self.known.row.id
    }
    /// Whose key.
    #[must_use]
    pub fn owner(&self) -> &Owner {
        &self.known.row.owner
    }
    /// What the key may do.
    #[must_use]
    pub fn capabilities(&self) -> &CapabilitySet {
        &self.known.row.capabilities
    }
    /// When the key expires.
    #[must_use]
    pub fn expires_at(&self) -> Option<DateTime<Utc>> {
        self.known.row.expires_at.map(Into::into)
    }
    /// What is left of each window of the key and of its account, this request counted.
    pub fn limits(&self) -> impl Iterator<Item = LimitState> + '_ {
        let (plan, lefts) = (&*self.known.plan, &self.lefts);
        let key = plan.key.windows().iter().zip(lefts.key).map(|(window, left)| (Limited::Key, window, left));
        let account = plan.account.windows().iter().zip(lefts.account).map(|(window, left)| (Limited::Account, window, left));
        key.chain(account).filter(|_| !self.lefts.uncounted).map(|(of, &window, left)| {
            let resets_at = window.resets_at(self.at).into();
            LimitState { of, window, left, resets_at }
        })
    }
    /// What it has reserved, if it [asked for that](Attempt::reserving).
    #[must_use]
    pub fn reservation(&self) -> Option<&Reservation> {
        self.hold.as_deref().map(Hold::reservation)
    }
    /// Whether it was counted by no window, since the store was away and the policy allows for that.
    #[must_use]
    pub fn is_uncounted(&self) -> bool {
        self.lefts.uncounted
    }
    /// The time at which the request was judged: the present one, or, where no expiry is near and its windows have places, at most
    /// [`COARSE_LAG`](crate::clock::COARSE_LAG) ago.
    #[must_use]
    pub fn at(&self) -> DateTime<Utc> {
        self.at.into()
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("id", &self.id)
            .field("key_id", &self.known.row.id)
            .field("owner", &self.known.row.owner)
            .field("capabilities", &self.known.row.capabilities)
            .finish_non_exhaustive()
    }
}

/// A refused request: why, and, where the secret was proven, of which key.
#[derive(Clone)]
pub struct Denial {
    reason: DenialReason,
    proven: Option<Arc<Known>>,
}

/// Why a request is refused. All but [`DenialReason::NotRecognized`] are said only to who has proven the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum DenialReason {
    /// Malformed, unknown or wrong: these look alike.
    NotRecognized,
    /// The owner or its organization is closed.
    OwnerClosed,
    /// The key is switched off.
    Suspended,
    /// The key has expired.
    Expired {
        /// When.
        at: Option<DateTime<Utc>>,
    },
    /// The key is known to others.
    Compromised,
    /// The key is off for good.
    Revoked,
    /// The key may not do what the request requires.
    CapabilityMissing {
        /// What is missing.
        missing: Vec<Capability>,
    },
    /// A window has no place left for the request.
    LimitReached(Box<Exhausted>),
    /// A budget has not left what the request was going to use. Trying again soon is of no use.
    BudgetExhausted(Box<BudgetExhausted>),
}

impl Denial {
    pub(crate) const NOT_RECOGNIZED: Self = Self { reason: DenialReason::NotRecognized, proven: None };

    pub(crate) fn proven(reason: DenialReason, known: Arc<Known>) -> Self {
        Self { reason, proven: Some(known) }
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> &DenialReason {
        &self.reason
    }
    /// Which key, if its secret was proven.
    #[must_use]
    pub fn key_id(&self) -> Option<KeyId> {
        self.proven.as_ref().map(|known| known.row.id)
    }
    /// Whose key, if its secret was proven.
    #[must_use]
    pub fn owner(&self) -> Option<&Owner> {
        self.proven.as_ref().map(|known| &*known.row.owner)
    }
    /// Whether it is of a key that is flagged as compromised, whatever else stands in its way.
    pub(crate) fn is_of_flagged_key(&self) -> bool {
        self.proven.as_ref().is_some_and(|known| known.row.state == KeyState::Compromised)
    }
}

impl fmt::Display for Denial {
    /// A sentence for the client: what is wrong and what to do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            DenialReason::NotRecognized => {
                f.write_str("This API key is not valid. Check that it was copied whole, or create a new one.")
            }
            DenialReason::OwnerClosed => f.write_str("The account of this API key is closed. Ask an administrator."),
            DenialReason::Suspended => f.write_str("This API key is disabled. Enable it, or use another one."),
            DenialReason::Expired { at: Some(at) } => {
                write!(f, "This API key expired on {}. Create a new one.", at.format("%Y-%m-%d %H:%M UTC"))
            }
            DenialReason::Expired { at: None } => f.write_str("This API key has expired. Create a new one."),
            DenialReason::Compromised => f.write_str("This API key is known to others and is off for good. Create a new one."),
            DenialReason::Revoked => f.write_str("This API key is revoked. Create a new one."),
            DenialReason::CapabilityMissing { missing } => {
                let names: Vec<_> = missing.iter().map(Capability::as_str).collect();
                write!(f, "This API key may not do this; it lacks {}. Use a key that has it.", names.join(", "))
            }
            DenialReason::LimitReached(exhausted) => {
                let Exhausted { of, window, retry_at, .. } = &**exhausted;
                let whose = match of {
                    Limited::Key => "This API key",
                    Limited::Account => "The account of this API key",
                };
                write!(f, "{whose} may make {} requests in {} seconds. ", window.count(), window.seconds())?;
                match retry_at {
                    Some(at) => write!(f, "Try again at {}.", at.format("%Y-%m-%d %H:%M:%S UTC")),
                    None => f.write_str("This request counts for more than that; make it smaller."),
                }
            }
            DenialReason::BudgetExhausted(exhausted) => fmt::Display::fmt(&**exhausted, f),
        }
    }
}

impl fmt::Display for BudgetExhausted {
    /// What is used up, and what to do: not to try again until then.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BudgetState { of, unit, budget, refills_at, .. } = &self.state;
        let whose = match of {
            BudgetOf::Key => "This API key",
            BudgetOf::Account => "The account of this API key",
            BudgetOf::Organization => "The organization of this API key",
        };
        write!(f, "{whose} may use {} {unit} {}", budget.amount(), budget.refill().each())?;
        match self.state.left() {
            0 => f.write_str(", and none are left. ")?,
            left => write!(f, ", {left} are left, and this request may use {}. ", self.asked)?,
        }
        if self.asked > budget.amount() {
            return f.write_str("Make the request smaller.");
        }
        match refills_at {
            Some(at) => write!(f, "Wait until {}, or ask an administrator for more.", at.format("%Y-%m-%d %H:%M UTC")),
            None => f.write_str("Ask an administrator for more."),
        }
    }
}

impl fmt::Debug for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Denial").field("reason", &self.reason).field("key_id", &self.key_id()).finish_non_exhaustive()
    }
}
