//! The life of a few keys.

use crate::{Ended, Outcome, show};
use chrono::TimeDelta;
use clove::{By, Clove, ListAudit, NewKey, Owner, Verdict};

pub(crate) async fn run(clove: &Clove) -> Ended {
    // Each tour has an owner of its own, so that it can be taken again on the same file.
    let owner = Owner::new("acme", format!("tour-{}", clove.now().timestamp_micros()))?;
    let by = By::new(owner.account.as_str(), "taking the tour")?;
    println!("You are {} of {}.", owner.account, owner.organization);

    println!("\nTwo keys are issued:");
    let laptop = clove.create(&owner, NewKey::named("laptop")?, &by).await?;
    show::issued(&laptop);
    let server = clove.create(&owner, NewKey::named("build server")?, &by).await?;
    show::issued(&server);
    println!("{}", clove.active_keys(&owner).await?);

    println!("\nA third is refused:");
    match clove.create(&owner, NewKey::named("phone")?, &by).await {
        Ok(_) => return Err("the third key was not refused".into()),
        Err(refusal) => println!("  {refusal}"),
    }

    let laptop_credential = laptop.credential.as_ref().ok_or("a new key has a credential")?;
    println!("\nThe laptop's key is verified in both forms:");
    verify(clove, "id;secret", &laptop_credential.reveal()).await?;
    verify(clove, "bare secret", laptop_credential.secret().reveal()).await?;

    println!("\nIt is disabled, and enabled again:");
    clove.disable(&owner, laptop.key.id, &by).await?;
    verify(clove, "disabled", &laptop_credential.reveal()).await?;
    let enabled = clove.enable(&owner, laptop.key.id, &by).await?;
    verify(clove, "enabled", &laptop_credential.reveal()).await?;

    println!("\nIts secret is rotated, with an hour of grace:");
    let rotated = clove.rotate(&owner, laptop.key.id, enabled.key.revision, TimeDelta::hours(1), &by).await?;
    show::issued(&rotated);
    let new_credential = rotated.credential.as_ref().ok_or("a rotated key has a credential")?;
    verify(clove, "new secret", &new_credential.reveal()).await?;
    verify(clove, "older secret", &laptop_credential.reveal()).await?;

    println!("\nThe cards:");
    show::cards(clove, &owner).await?;
    println!("{}", clove.active_keys(&owner).await?);

    println!("\nThe laptop is stolen: its key is flagged as compromised, for good.");
    clove.flag_compromised(&owner, laptop.key.id, &by).await?;
    verify(clove, "new secret", &new_credential.reveal()).await?;
    match clove.enable(&owner, laptop.key.id, &by).await {
        Ok(_) => return Err("a compromised key was enabled".into()),
        Err(refusal) => println!("  enable: {refusal}"),
    }
    clove.delete(&owner, laptop.key.id, &by).await?;
    println!("  It is deleted. {}", clove.active_keys(&owner).await?);

    println!("\nThe cards:");
    show::cards(clove, &owner).await?;
    println!("\nThe audit trail:");
    show::trail(clove, &owner, ListAudit::default()).await?;
    println!("\nGo on from the shell: cargo run --example quickstart -- help");
    Ok(Outcome::Done)
}

async fn verify(clove: &Clove, what: &str, credential: &str) -> Result<(), clove::Fault> {
    match clove.verify(credential).await? {
        Verdict::Granted(grant) => println!("  {what}: granted to {}", grant.owner().account),
        Verdict::Denied(denial) => println!("  {what}: denied. {denial}"),
    }
    Ok(())
}
