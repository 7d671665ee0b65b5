//! Keys and the audit trail, as a person would want to read them.

use chrono::{DateTime, Utc};
use clove::{AuditEvent, Clove, Issued, Key, Role, Scope};
use clove::{ListAudit, ListKeys};

fn day(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M").to_string()
}

/// What the owner of a new key is shown, once.
pub(crate) fn issued(issued: &Issued) {
    let Some(credential) = &issued.credential else {
        println!("This was done before; its secret was shown then and cannot be shown again.");
        return;
    };
    println!("  API Key ID   {}", credential.id());
    println!("  Secret Key   {}", credential.secret().reveal());
    println!("  Credential   {}", credential.reveal().as_str());
    println!("  Copy it now: the secret is shown this once and cannot be recovered.");
}

/// A key's card.
pub(crate) fn card(clove: &Clove, key: &Key) {
    println!("  {:<20} {}", key.name, key.id);
    let expires = key.expires_at.map_or_else(|| "never".to_owned(), day);
    let used = key.last_used_at.map_or_else(|| "Never used".to_owned(), |at| format!("used {}", day(at)));
    println!("    {:<12} created {}, expires {expires}, {used}", key.status(clove.now()), day(key.created_at));
    let offered: Vec<String> = clove.offered(key, Role::Owner).iter().map(ToString::to_string).collect();
    println!("    offered: {} (revision {})", offered.join(", "), key.revision);
}

/// All cards of a scope.
pub(crate) async fn cards(clove: &Clove, scope: impl Into<Scope>) -> Result<(), clove::Error> {
    clove.flush().await?;
    let (scope, mut list) = (scope.into(), ListKeys::default());
    loop {
        let page = clove.list(&scope, &list).await?;
        page.items.iter().for_each(|key| card(clove, key));
        page.corrupt.iter().for_each(|row| println!("  cannot be read: {row}"));
        let Some(next) = page.next else { return Ok(()) };
        list.after = Some(next);
    }
}

/// The audit trail of a scope, oldest first.
pub(crate) async fn trail(clove: &Clove, scope: impl Into<Scope>, mut list: ListAudit) -> Result<(), clove::Error> {
    let (scope, mut events) = (scope.into(), Vec::new());
    loop {
        let page = clove.audit(&scope, &list).await?;
        events.extend(page.items);
        let Some(next) = page.next else { break };
        list.after = Some(next);
    }
    events.iter().rev().for_each(event);
    Ok(())
}

fn event(event: &AuditEvent) {
    let key = event.key.as_ref().map_or_else(String::new, |key| format!(" \"{}\"", key.name));
    let detail = match (event.changed, event.detail.as_str()) {
        (false, "") => " (no change)".to_owned(),
        (_, "") => String::new(),
        (_, detail) => format!(" ({detail})"),
    };
    println!("  {}  {} did {}{key}{detail}: {}", event.at.format("%H:%M:%S%.3f"), event.actor, event.action, event.reason);
}
