//! Texts that nobody can guess.

use zeroize::Zeroizing;

/// So many random bytes of the operating system, in hexadecimal digits.
pub(crate) fn token<const BYTES: usize>() -> Result<Zeroizing<String>, String> {
    let mut random = Zeroizing::new([0_u8; BYTES]);
    getrandom::fill(&mut *random).map_err(|_| "the operating system gives no random bytes")?;
    Ok(Zeroizing::new(random.iter().map(|byte| format!("{byte:02x}")).collect()))
}
