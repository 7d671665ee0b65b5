//! The same service on a SQLite file and on Postgres: one line differs.
//!
//! ```sh
//! cargo run --example one_line
//! KEYS=postgres://clove@localhost/keys cargo run --example one_line --features postgres
//! ```

use clove::{By, Clove, NewKey, Owner, Policy, Store, Verdict};
use std::error::Error;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    #[cfg(feature = "postgres")]
    if let Ok(url) = std::env::var("KEYS") {
        let store = clove::postgres::PostgresStore::connect(&url).await?; // many nodes, one truth
        return serve(store).await;
    }
    let store = clove::sqlite::SqliteStore::open("one_line.db")?; // one machine, one file
    serve(store).await
}

/// The service. It does not know which of them it is on.
async fn serve(store: impl Store) -> Result<(), Box<dyn Error>> {
    let clove = Clove::new(store, Policy::profile_a());
    let (ada, by) = (Owner::new("acme", "ada")?, By::new("ada", "trying it out")?);
    let issued = clove.create(&ada, NewKey::named("laptop")?, &by).await?;
    println!("{}", clove.active_keys(&ada).await?);
    let credential = issued.credential.ok_or("issued before")?.reveal();
    if let Verdict::Granted(grant) = clove.verify(&*credential).await? {
        println!("granted to {} of {}", grant.owner().account, grant.owner().organization);
    }
    clove.delete(&ada, issued.key.id, &by).await?;
    if let Verdict::Denied(denial) = clove.verify(&*credential).await? {
        println!("{denial}");
    }
    clove.shut_down().await?;
    Ok(())
}
