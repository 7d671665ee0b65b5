//! Credentials in an address: there they end up in logs and histories.

use clove_core::Policy;
use percent_encoding::percent_decode;
use std::borrow::Cow;
use zeroize::Zeroizing;

/// Names that clients and other services put credentials under; the first is that of RFC 6750 section 2.3.
const NAMES: [&[u8]; 6] = [b"access_token", b"api_key", b"apikey", b"api-key", b"x-api-key", b"x_api_key"];
/// A name that means many other things as well.
const KEY: &[u8] = b"key";

/// Whether a query string has a credential in it: under a name that is known for that, with or without a value, or anywhere in it.
pub(super) fn has_credential(policy: &Policy, query: &str) -> bool {
    let query = query.as_bytes();
    policy.finds_credential(&*decoded(query))
        || query.split(|byte| matches!(byte, b'&' | b';')).any(|pair| is_named(policy, pair))
}

fn is_named(policy: &Policy, pair: &[u8]) -> bool {
    let mut parts = pair.splitn(2, |&byte| byte == b'=');
    let (name, value) = (decoded(parts.next().unwrap_or_default()), parts.next().unwrap_or_default());
    if name.eq_ignore_ascii_case(KEY) {
        // Mistyped, it is still one that its owner should not have written there.
        let value = decoded(value);
        return policy.secret_formats().iter().any(|format| value.starts_with(format.prefix().as_bytes()));
    }
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Decoded as forms are.
fn decoded(text: &[u8]) -> Zeroizing<Vec<u8>> {
    let text: Cow<'_, [u8]> = percent_decode(text).into();
    let mut text = Zeroizing::new(text.into_owned());
    text.iter_mut().filter(|byte| **byte == b'+').for_each(|byte| *byte = b' ');
    text
}
