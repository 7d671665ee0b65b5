//! What the tests share.

mod curl;
mod program;
mod sdk;
mod upstream;

pub(crate) use curl::{Answer, curl, message};
pub(crate) use program::{Made, Program, Start, by};
pub(crate) use sdk::SDKS;
pub(crate) use upstream::Upstream;

use std::{fmt::Debug, future::Future, time::Duration};

/// Waits until something is so, for what other processes do.
pub(crate) async fn until<T: Debug, F: Future<Output = T>>(mut look: impl FnMut() -> F, is_so: impl Fn(&T) -> bool) -> T {
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    loop {
        let found = look().await;
        if is_so(&found) {
            return found;
        }
        assert!(std::time::Instant::now() < deadline, "it never came to that: {found:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
