//! Commands on the file, from the shell.

use crate::{Ended, Outcome, show};
use chrono::TimeDelta;
use clove::{By, CapabilitySet, Clove, Edit, Expiry, KeyId, ListAudit, Name, NewKey, Owner, Role, Verdict};
use std::io::Read;

pub(crate) const HELP: &str = "\
cargo run --example quickstart                      take the tour
cargo run --example quickstart -- COMMAND [OPTIONS]

  create NAME [--days N]          issue a key, for 90 days unless said
  verify                          verify the credential in CLOVE_CREDENTIAL, or on standard input
  report-leaked                   report that credential as leaked
  list | count                    the cards; how many are active
  show ID | audit [ID]            one card; the audit trail
  disable | enable | revoke | flag | delete ID
  rotate ID [--grace SECONDS]     a new secret; the older one stays good for the grace
  edit ID --name NAME             another name
  close-owner | reopen-owner      cut off the owner; open it again (no key comes back)

  --owner ORGANIZATION/ACCOUNT    whose keys; acme/ada unless said

The file is CLOVE_QUICKSTART_DB, or ./quickstart.db. Exit codes: 0 done, 1 refused, 2 usage, 3 fault.";

/// The words of a command line.
struct Words {
    plain: Vec<String>,
    options: Vec<(String, String)>,
}

impl Words {
    fn read(arguments: &[String]) -> Result<Self, String> {
        let mut words = Self { plain: Vec::new(), options: Vec::new() };
        let mut rest = arguments.iter();
        while let Some(word) = rest.next() {
            match word.strip_prefix("--") {
                Some(name) if ["owner", "days", "grace", "name"].contains(&name) => {
                    let value = rest.next().ok_or(format!("--{name} needs a value."))?;
                    words.options.push((name.to_owned(), value.clone()));
                }
                Some(_) => return Err("There is no such option.".to_owned()),
                None => words.plain.push(word.clone()),
            }
        }
        Ok(words)
    }

    fn option(&self, name: &str) -> Option<&str> {
        self.options.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, String> {
        self.option(name).map(|text| text.parse().map_err(|_| format!("--{name} needs a whole number."))).transpose()
    }
}

pub(crate) async fn run(clove: &Clove, arguments: &[String]) -> Ended {
    match Words::read(arguments) {
        Ok(words) => act(clove, &words).await,
        Err(why) => Ok(Outcome::Usage(why)),
    }
}

async fn act(clove: &Clove, words: &Words) -> Ended {
    let Some((organization, account)) = words.option("owner").unwrap_or("acme/ada").split_once('/') else {
        return Ok(Outcome::Usage("--owner needs ORGANIZATION/ACCOUNT.".to_owned()));
    };
    let owner = Owner::new(organization, account)?;
    let by = By::new(account, "from the shell")?.may_grant(CapabilitySet::all()).role(Role::Administrator);
    let words_of: Vec<&str> = words.plain.iter().map(String::as_str).collect();
    match words_of.as_slice() {
        ["verify"] => return verify(clove).await,
        ["report-leaked"] => {
            clove.report_leaked(credential()?, &by).await?;
            println!("Thank you. If it is a key of this service, it is off now.");
        }
        ["verify" | "report-leaked", ..] => {
            return Ok(Outcome::Usage(
                "A credential does not belong on the command line, where other users and the shell's history see it: \
                 put it in CLOVE_CREDENTIAL or on standard input."
                    .to_owned(),
            ));
        }
        ["create", name] => {
            let days = match words.number("days") {
                Ok(days) => days,
                Err(why) => return Ok(Outcome::Usage(why)),
            };
            let mut new = NewKey::named(name)?;
            if let Some(days) = days {
                new = new.expiry(Expiry::Days(days));
            }
            show::issued(&clove.create(&owner, new, &by).await?);
            println!("{}", clove.active_keys(&owner).await?);
        }
        ["list"] => {
            show::cards(clove, &owner).await?;
            println!("{}", clove.active_keys(&owner).await?);
        }
        ["count"] => println!("{}", clove.active_keys(&owner).await?),
        ["audit"] => show::trail(clove, &owner, ListAudit::default()).await?,
        ["audit", id] => show::trail(clove, &owner, ListAudit { key: Some(KeyId::parse(id)?), ..ListAudit::default() }).await?,
        ["close-owner"] => println!("Closed; {} keys revoked.", clove.close_owner(&owner, &by).await?.revoked),
        ["reopen-owner"] => {
            clove.reopen_owner(&owner, &by).await?;
            println!("Open. Keys that were revoked stay so.");
        }
        [command, id] => return on_key(clove, &owner, &by, command, KeyId::parse(id)?, words).await,
        _ => return Ok(Outcome::Usage("There is no such command.".to_owned())),
    }
    Ok(Outcome::Done)
}

async fn on_key(clove: &Clove, owner: &Owner, by: &By, command: &str, id: KeyId, words: &Words) -> Ended {
    let applied = match command {
        "show" => {
            show::card(clove, &clove.get(owner, id).await?);
            return Ok(Outcome::Done);
        }
        "rotate" => {
            let grace = match words.number("grace") {
                Ok(seconds) => TimeDelta::try_seconds(seconds.unwrap_or(0)).unwrap_or(TimeDelta::MAX),
                Err(why) => return Ok(Outcome::Usage(why)),
            };
            let revision = clove.get(owner, id).await?.revision;
            show::issued(&clove.rotate(owner, id, revision, grace, by).await?);
            return Ok(Outcome::Done);
        }
        "delete" => {
            clove.delete(owner, id, by).await?;
            println!("Deleted. {}", clove.active_keys(owner).await?);
            return Ok(Outcome::Done);
        }
        "edit" => {
            let Some(name) = words.option("name") else { return Ok(Outcome::Usage("edit needs --name.".to_owned())) };
            let revision = clove.get(owner, id).await?.revision;
            clove.edit(owner, id, revision, Edit::new().name(Name::new(name)?), by).await?
        }
        "disable" => clove.disable(owner, id, by).await?,
        "enable" => clove.enable(owner, id, by).await?,
        "revoke" => clove.revoke(owner, id, by).await?,
        "flag" => clove.flag_compromised(owner, id, by).await?,
        _ => return Ok(Outcome::Usage("There is no such command.".to_owned())),
    };
    println!("{}", if applied.changed { "Done." } else { "No change: it was so already." });
    show::card(clove, &applied.key);
    println!("{}", clove.active_keys(owner).await?);
    Ok(Outcome::Done)
}

async fn verify(clove: &Clove) -> Ended {
    match clove.verify(&credential()?).await? {
        Verdict::Granted(grant) => {
            println!("Granted to {}/{}, key {}.", grant.owner().organization, grant.owner().account, grant.key_id());
            Ok(Outcome::Done)
        }
        Verdict::Denied(denial) => Ok(Outcome::Refused(denial.to_string())),
    }
}

/// The credential from the environment, or from standard input.
fn credential() -> std::io::Result<String> {
    if let Ok(credential) = std::env::var("CLOVE_CREDENTIAL") {
        return Ok(credential);
    }
    let mut text = String::new();
    std::io::stdin().take(4096).read_to_string(&mut text)?;
    // A shell's pipe ends in one line break that nobody typed; clove itself trims nothing.
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}
