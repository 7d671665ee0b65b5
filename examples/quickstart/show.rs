//! Keys and the audit trail, as a person would want to read them.

use crate::{ended::Ended, say::say};
use chrono::{DateTime, Utc};
use clove::{Action, AuditEvent, Clove, Issued, Key, ListAudit, ListKeys, Role, Scope};

fn minute(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M UTC").to_string()
}

/// "1 key", "2 keys".
pub(crate) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// How many keys are active; of an owner only.
pub(crate) async fn count(clove: &Clove, scope: &Scope) -> Ended {
    if let Scope::Owner(owner) = scope {
        say!("{}", clove.active_keys(owner).await?);
    }
    Ok(())
}

/// What the owner of a new key is shown, once.
pub(crate) fn issued(issued: &Issued) {
    let Some(credential) = &issued.credential else {
        say!("This was done before; its secret was shown then and cannot be shown again.");
        return;
    };
    say!("  API Key ID   {}", credential.id());
    say!("  Secret Key   {}", credential.secret().reveal());
    say!("  Credential   {}", credential.reveal().as_str());
    say!("  Copy it now: the secret is shown this once and cannot be recovered.");
    if let Some(until) = issued.previous_valid_until {
        say!("  The older secret stays good until {}.", until.format("%Y-%m-%d %H:%M:%S UTC"));
    }
}

/// A key's card, with the menu of a role.
pub(crate) fn card(clove: &Clove, key: &Key, role: Role) {
    say!("  {:<20} {}", key.name, key.id);
    let expires = key.expires_at.map_or_else(|| "never".to_owned(), minute);
    let used = key.last_used_at.map_or_else(|| "Never used".to_owned(), |at| format!("last used {}", minute(at)));
    say!("    {:<12} created {}, expires {expires}, {used}", key.status(clove.now()), minute(key.created_at));
    let offered: Vec<String> = clove.offered(key, role).iter().map(ToString::to_string).collect();
    let role = match role {
        Role::Owner => "owner",
        Role::Administrator => "administrator",
    };
    say!("    an {role} is offered: {}", offered.join(", "));
}

/// What a card has no room for.
pub(crate) fn rest(key: &Key) {
    say!("    belongs to {}/{}, revision {}", key.owner.organization, key.owner.account, key.revision);
    say!("    may do {}", key.capabilities);
    for line in key.description.as_str().lines() {
        say!("    | {line}");
    }
    if !key.metadata.is_empty() {
        say!("    metadata: {}", key.metadata.as_str());
    }
}

/// All cards of a scope.
pub(crate) async fn cards(clove: &Clove, scope: impl Into<Scope>, mut list: ListKeys, role: Role) -> Result<(), clove::Error> {
    clove.flush().await?;
    let scope = scope.into();
    loop {
        let page = clove.list(&scope, &list).await?;
        page.items.iter().for_each(|key| card(clove, key, role));
        page.corrupt.iter().for_each(|row| say!("  cannot be read: {row}"));
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
    if events.is_empty() {
        say!("Nothing in the audit trail matches.");
    }
    events.iter().rev().for_each(event);
    Ok(())
}

fn event(event: &AuditEvent) {
    let key = event.key.as_ref().map_or_else(|| "a key".to_owned(), |key| format!("\"{}\"", key.name));
    let done = done(event, &key);
    let detail = match (event.changed, event.detail.as_str()) {
        (false, "") => " (no change: it was so already)".to_owned(),
        (_, "") => String::new(),
        (_, detail) => format!(" ({detail})"),
    };
    say!("  {}  {} {done}{detail}: {}", event.at.format("%Y-%m-%d %H:%M:%S UTC"), event.actor, event.reason);
}

fn done(event: &AuditEvent, key: &str) -> String {
    let organization = &event.organization;
    let owner = event.account.as_ref().map_or_else(|| organization.to_string(), |account| format!("{organization}/{account}"));
    match event.action {
        Action::Create => format!("created {key}"),
        Action::Import => format!("imported {key}"),
        Action::Edit => format!("edited {key}"),
        Action::Disable => format!("disabled {key}"),
        Action::Enable => format!("enabled {key}"),
        Action::Revoke => format!("revoked {key}"),
        Action::FlagCompromised => format!("flagged {key} as compromised"),
        Action::ReportLeaked => format!("reported a secret of {key} as leaked"),
        Action::Rotate => format!("gave {key} a new secret"),
        Action::Delete => format!("deleted {key}"),
        Action::LatchExpiry => format!("took the place of {key}"),
        Action::SetActiveLimit => format!("set the active limit of {owner}"),
        Action::CloseOwner => format!("closed {owner}"),
        Action::ReopenOwner => format!("reopened {owner}"),
        Action::CloseOrganization => format!("closed all of {organization}"),
        Action::ReopenOrganization => format!("reopened all of {organization}"),
        other => format!("{other} {key}"),
    }
}
