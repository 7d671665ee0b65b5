//! The life of a few keys.

use crate::{
    ended::{Ended, Failure},
    say::say,
    show,
};
use chrono::TimeDelta;
use clove::{
    Attempt, By, CapabilitySet, Clove, Credential, Issued, ListAudit, ListKeys, NewKey, Owner, Requirement, Role, Verdict,
};

pub(crate) async fn run(clove: &Clove) -> Ended {
    // Each tour has an owner of its own, so that it can be taken again on the same file.
    let owner = Owner::new("acme", format!("tour-{}", clove.now().timestamp_micros()))?;
    let by = By::new(owner.account.as_str(), "taking the tour")?.may_grant(CapabilitySet::new(["messages:*"])?);
    say!("You are {} of {}.", owner.account, owner.organization);

    say!("\nTwo keys are issued:");
    let laptop = clove.create(&owner, NewKey::named("laptop")?, &by).await?;
    show::issued(&laptop);
    let server = clove.create(&owner, NewKey::named("build server")?, &by).await?;
    show::issued(&server);
    say!("{}", clove.active_keys(&owner).await?);

    say!("\nA third is refused:");
    match clove.create(&owner, NewKey::named("phone")?, &by).await {
        Ok(_) => return wrong("the third key was not refused"),
        Err(refusal) => say!("  {refusal}"),
    }

    let laptop_credential = shown(&laptop)?;
    say!("\nThe laptop's key is verified in both forms:");
    verify(clove, "id;secret", &laptop_credential.reveal()).await?;
    verify(clove, "bare secret", laptop_credential.secret().reveal()).await?;

    say!("\nIt may do what it was issued for, and nothing else:");
    for capability in ["messages:write", "models:delete"] {
        let required = Requirement::all_of([capability])?;
        tell(capability, clove.verify(Attempt::new(&*laptop_credential.reveal()).requiring(&required)).await?);
    }

    say!("\nIt is disabled, and enabled again:");
    clove.disable(&owner, laptop.key.id, &by).await?;
    verify(clove, "disabled", &laptop_credential.reveal()).await?;
    let enabled = clove.enable(&owner, laptop.key.id, &by).await?;
    verify(clove, "enabled", &laptop_credential.reveal()).await?;

    say!("\nIts secret is rotated, with an hour of grace:");
    let rotated = clove.rotate(&owner, laptop.key.id, enabled.key.revision, TimeDelta::hours(1), &by).await?;
    show::issued(&rotated);
    let new_credential = shown(&rotated)?;
    verify(clove, "new secret", &new_credential.reveal()).await?;
    verify(clove, "older secret", &laptop_credential.reveal()).await?;

    say!("\nThe cards:");
    show::cards(clove, &owner, ListKeys::default(), Role::Owner).await?;
    say!("{}", clove.active_keys(&owner).await?);

    say!("\nThe laptop is stolen: its key is flagged as compromised, for good.");
    clove.flag_compromised(&owner, laptop.key.id, &by).await?;
    verify(clove, "new secret", &new_credential.reveal()).await?;
    match clove.enable(&owner, laptop.key.id, &by).await {
        Ok(_) => return wrong("a compromised key was enabled"),
        Err(refusal) => say!("  enable: {refusal}"),
    }
    clove.delete(&owner, laptop.key.id, &by).await?;
    say!("  It is deleted. {}", clove.active_keys(&owner).await?);

    say!("\nThe cards:");
    show::cards(clove, &owner, ListKeys::default(), Role::Owner).await?;
    say!("\nThe audit trail:");
    show::trail(clove, &owner, ListAudit::default()).await?;
    say!("\nGo on from the shell: cargo run --example quickstart -- help");
    Ok(())
}

async fn verify(clove: &Clove, what: &str, credential: &str) -> Ended {
    tell(what, clove.verify(credential).await?);
    Ok(())
}

fn tell(what: &str, verdict: Verdict) {
    match verdict {
        Verdict::Granted(grant) => say!("  {what}: granted to {}", grant.owner().account),
        Verdict::Denied(denial) => say!("  {what}: denied. {denial}"),
    }
}

fn shown(issued: &Issued) -> Ended<&Credential> {
    issued.credential.as_ref().map_or_else(|| wrong("a new secret was not shown"), Ok)
}

/// The tour itself is at fault.
fn wrong<T>(what: &str) -> Ended<T> {
    Err(Failure::Fault(what.into()))
}
