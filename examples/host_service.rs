//! A host's own service, and how it is tested: keys in each status, and a clock to turn.
//!
//! `cargo test --example host_service` runs its tests.

use clove::{Attempt, Clove, Requirement, SystemClock, Verdict};

/// A service that answers only to who may read models.
struct Models {
    clove: Clove,
    required: Requirement,
}

impl Models {
    fn new(clove: Clove) -> Result<Self, clove::Invalid> {
        Ok(Self { clove, required: Requirement::all_of(["models:read"])? })
    }

    /// The status and body of `GET /models` with this `x-api-key`.
    async fn list(&self, api_key: &str) -> (u16, String) {
        match self.clove.verify(Attempt::new(api_key).requiring(&self.required)).await {
            Ok(Verdict::Granted(grant)) => (200, format!("models of {}", grant.owner().organization)),
            Ok(Verdict::Denied(denial)) => {
                let missing = matches!(denial.reason(), clove::DenialReason::CapabilityMissing { .. });
                (if missing { 403 } else { 401 }, denial.to_string())
            }
            // Nothing can be said about the key: never a 401.
            Err(_) => (503, "Try again shortly.".to_owned()),
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let clove = Clove::with_clock(clove::MemoryStore::new(), clove::Policy::profile_a(), SystemClock);
    let (status, body) = Models::new(clove)?.list("not a key").await;
    println!("{status} {body}");
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use clove::{CapabilitySet, Policy, Status};
    use clove_testkit::Fixture;

    fn fixture(capabilities: &[&str]) -> Fixture {
        let policy = Policy::builder().default_capabilities(CapabilitySet::new(capabilities).unwrap());
        Fixture::new(policy.build().unwrap()).unwrap()
    }

    #[tokio::test]
    async fn a_good_key_is_answered() {
        let fixture = fixture(&["models:*"]);
        let key = fixture.key_in(Status::Active).await.unwrap().credential.unwrap();
        let (status, body) = Models::new(fixture.clove.clone()).unwrap().list(&key.reveal()).await;
        assert_eq!((status, body.as_str()), (200, "models of acme"));
    }

    #[tokio::test]
    async fn a_key_that_may_not_is_forbidden() {
        let fixture = fixture(&[]);
        let key = fixture.key_in(Status::Active).await.unwrap().credential.unwrap();
        assert_eq!(Models::new(fixture.clove.clone()).unwrap().list(&key.reveal()).await.0, 403);
    }

    #[tokio::test]
    async fn a_key_in_any_other_status_is_unauthorized_and_told_why() {
        for status in [Status::Suspended, Status::Expired, Status::Compromised, Status::Revoked] {
            let fixture = fixture(&["models:*"]);
            let key = fixture.key_in(status).await.unwrap().credential.unwrap();
            let (code, body) = Models::new(fixture.clove.clone()).unwrap().list(&key.reveal()).await;
            assert!(code == 401 && body.starts_with("This API key"), "{status}: {code} {body}");
        }
    }
}
