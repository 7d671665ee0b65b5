//! Commands on owners and organizations.

use crate::{
    ended::{Ended, usage},
    say::say,
    shell::Shell,
    show,
};
use clove::{ActiveLimit, Closed};

pub(crate) async fn run(shell: &Shell<'_>) -> Ended {
    let (clove, by, organization) = (shell.clove, &shell.by, shell.scope.organization());
    match shell.words.command {
        "limit" => {
            let limit = match shell.words.word() {
                "default" => None,
                "none" => Some(ActiveLimit::Unlimited),
                number => match number.parse() {
                    Ok(number) => Some(ActiveLimit::AtMost(number)),
                    Err(_) => return usage("limit needs a whole number, none or default."),
                },
            };
            let owner = shell.owner()?;
            clove.set_active_limit(owner, limit, by).await?;
            say!("{}", clove.active_keys(owner).await?);
        }
        "close-owner" => closed(clove.close_owner(shell.owner()?, by).await?),
        "reopen-owner" => opened(clove.reopen_owner(shell.owner()?, by).await?),
        "close-organization" => closed(clove.close_organization(organization, by).await?),
        _ => opened(clove.reopen_organization(organization, by).await?),
    }
    Ok(())
}

fn closed(closed: Closed) {
    let was = if closed.changed { "Closed" } else { "It was closed already" };
    say!("{was}; {} revoked.", show::counted(closed.revoked, "key", "keys"));
    if let Some(id) = closed.unreadable {
        say!("Key {id} cannot be read, and perhaps others: revoke or delete it, then close again.");
    }
}

fn opened(changed: bool) {
    say!("{} Keys that were revoked stay so.", if changed { "Open." } else { "It was open already." });
}
