//! `WWW-Authenticate` (RFC 6750 section 3).

use super::Refused;
use clove_core::{Capability, DenialReason};
use http::HeaderValue;

/// What a client is to do for its request to be taken; `None` where that is not a matter of the credential.
pub(super) fn challenge(refused: &Refused) -> Option<HeaderValue> {
    let (error, scope) = match refused {
        // A client that knew of no need for a credential is told no error (section 3.1).
        Refused::NoCredential => return Some(HeaderValue::from_static("Bearer")),
        Refused::Ambiguous(_) => ("invalid_request", String::new()),
        Refused::Failed(_) => return None,
        Refused::Denied(denial) => match denial.reason() {
            DenialReason::LimitReached(_) | DenialReason::BudgetExhausted(_) => return None,
            DenialReason::CapabilityMissing { missing } => ("insufficient_scope", scope(missing)),
            _ => ("invalid_token", String::new()),
        },
    };
    let description: String = refused.to_string().chars().map(described).collect();
    HeaderValue::try_from(format!(r#"Bearer error="{error}", error_description="{description}"{scope}"#)).ok()
}

/// The names are of `a-z 0-9 _ . - :`, all of which a scope may have.
fn scope(missing: &[Capability]) -> String {
    let names: Vec<&str> = missing.iter().map(Capability::as_str).collect();
    format!(r#", scope="{}""#, names.join(" "))
}

/// What a description may not have, as something that it may: it may have printable ASCII without quotes and backslashes.
fn described(char: char) -> char {
    match char {
        '"' => '\'',
        '\\' => '/',
        ' '..='~' => char,
        _ => '?',
    }
}
