//! The rules of clove: keys, secrets, lifecycle, policy, verification, and the contract of a store.
//!
//! ```
//! # async fn demo() -> Result<(), Box<dyn std::error::Error>> {
//! use clove_core::{By, Clove, MemoryStore, NewKey, Owner, Policy, Verdict};
//!
//! let clove = Clove::new(MemoryStore::new(), Policy::profile_a());
//! let ada = Owner::new("acme", "ada")?;
//! let by = By::new("ada", "first steps")?;
//!
//! let issued = clove.create(&ada, NewKey::named("laptop")?, &by).await?;
//! let credential = issued.credential.ok_or("a new key has a credential")?.reveal(); // id;secret, shown once
//!
//! let Verdict::Granted(grant) = clove.verify(&*credential).await? else { return Err("refused".into()) };
//! assert_eq!(grant.owner(), &ada);
//!
//! clove.disable(&ada, grant.key_id(), &by).await?;
//! assert!(matches!(clove.verify(&*credential).await?, Verdict::Denied(_)));
//! # Ok(()) }
//! # struct Unpark(std::thread::Thread);
//! # impl std::task::Wake for Unpark { fn wake(self: std::sync::Arc<Self>) { self.0.unpark() } }
//! # let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
//! # let mut demo = std::pin::pin!(demo());
//! # loop {
//! #     if let std::task::Poll::Ready(done) = demo.as_mut().poll(&mut std::task::Context::from_waker(&waker)) { break done }
//! #     std::thread::park();
//! # }.unwrap();
//! ```
//!
//! Arrows run one way: values ([`id`], [`key`], [`capability`], [`secret`], [`digest`], [`audit`]), the rules over them
//! ([`lifecycle`], [`policy`]), the contract of a [`store`], and the [`service`] on top. The core names no async runtime.

pub mod access;
pub mod audit;
pub mod budget;
pub mod capability;
pub mod clock;
pub mod copy;
mod crc32;
mod credential;
pub mod digest;
pub mod error;
mod expiry;
mod hash_queue;
pub mod id;
pub mod key;
pub mod lifecycle;
pub mod limit;
pub mod memory;
mod metadata;
pub mod policy;
mod retention;
pub mod secret;
pub mod service;
pub mod signal;
pub mod store;
mod sync;
mod text;
pub mod usage;
pub mod verdict;

pub use access::{AccessEntry, AccessLimit, AccessLog, AccessOutcome, EndpointLabel};
pub use audit::{Action, AuditEvent, By, Role};
pub use budget::{Budget, BudgetChoice, BudgetOf, BudgetState, Refill};
pub use capability::{Capability, CapabilitySet, Requirement};
pub use clock::{Clock, SystemClock, Timestamp};
pub use digest::{Argon2Cost, Pepper};
pub use error::{Error, Fault, Invalid, RecordError, Refusal, StoreError};
pub use id::{AccountId, GrantId, KeyId, OperationId, OrganizationId, Owner, Scope};
pub use key::{Description, Key, KeyState, Metadata, Name, Status};
pub use limit::{LimitChoice, Limits, Tier, TierName, Window};
pub use memory::MemoryStore;
pub use policy::{Expiry, ExpiryPolicy, GuessLimit, Hashing, Policy};
pub use retention::Retention;
pub use secret::{Credential, Secret, SecretFormat};
pub use service::{
    ActiveKeys, Applied, Closed, Clove, CloveBuilder, Cursor, Edit, Everywhere, Issued, ListAccess, ListAudit, ListKeys,
    ListUsage, NewKey, Page, Stopped, Verification,
};
#[cfg(feature = "metrics")]
pub use signal::MetricsObserver;
#[cfg(feature = "tracing")]
pub use signal::TracingObserver;
pub use signal::{Observer, Signal, SignalThresholds};
pub use store::{ActiveLimit, Store};
pub use usage::{Day, Unit, Usage, UsageBy, UsagePer};
pub use verdict::{Attempt, BudgetExhausted, Denial, DenialReason, Exhausted, Grant, LimitState, Limited, Reservation, Verdict};
