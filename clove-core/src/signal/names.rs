//! The words that stand for outcomes in events and labels: public, and a closed set each.

use crate::{
    budget::BudgetOf,
    error::{Fault, StoreError},
    verdict::{DenialReason, Limited},
};

/// A word for each case, and the list of all of them: none can be in the one and not in the other.
macro_rules! words {
    ($all:ident, $word:ident($of:ty) { $($case:pat => $text:literal,)* }) => {
        #[cfg(feature = "metrics")]
        pub(super) const $all: &[&str] = &[$($text),*];

        pub(super) fn $word(of: $of) -> &'static str {
            match of {
                $($case => $text,)*
            }
        }
    };
}

words!(REASONS, reason(&DenialReason) {
    DenialReason::NotRecognized => "not_recognized",
    DenialReason::OwnerClosed => "owner_closed",
    DenialReason::Suspended => "suspended",
    DenialReason::Expired { .. } => "expired",
    DenialReason::Compromised => "compromised",
    DenialReason::Revoked => "revoked",
    DenialReason::CapabilityMissing { .. } => "capability_missing",
    DenialReason::LimitReached(_) => "limit_reached",
    DenialReason::BudgetExhausted(_) => "budget_exhausted",
});

words!(FAULTS, fault(&Fault) {
    Fault::Store(StoreError::Corrupt { .. }) => "corrupt_row",
    Fault::Store(_) => "store",
    Fault::Overloaded => "overloaded",
    Fault::DeadlineExceeded { .. } => "deadline",
    Fault::UnknownPepper { .. } => "unknown_pepper",
    Fault::System { .. } => "system",
});

words!(SIDES, side(Limited) {
    Limited::Key => "key",
    Limited::Account => "account",
});

words!(BUDGETS, budget(BudgetOf) {
    BudgetOf::Key => "key",
    BudgetOf::Account => "account",
    BudgetOf::Organization => "organization",
});
