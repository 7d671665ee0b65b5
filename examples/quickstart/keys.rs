//! Commands on keys.

use crate::{
    credential,
    ended::{Ended, Failure, fault, usage, warn},
    say::{self, say},
    shell::Shell,
    show,
};
use chrono::TimeDelta;
use clove::{Applied, CapabilitySet, Description, Edit, Expiry, Invalid, Issued, Key, Metadata, Name, NewKey, Secret, Stopped};

pub(crate) async fn run(shell: &Shell<'_>) -> Ended {
    let (clove, scope, by) = (shell.clove, &shell.scope, &shell.by);
    if ["create", "rotate"].contains(&shell.words.command) && say::goes_nowhere() {
        return fault("Nothing was done", "the secret is shown once, on standard output, and that is closed or /dev/null");
    }
    let (key, changed) = match shell.words.command {
        "create" => {
            show_once(&clove.create(shell.owner()?, new_key(shell)?, by).await?)?;
            count(shell).await;
            return Ok(());
        }
        "import" => return import(shell).await,
        "rotate" => {
            let (id, seconds) = (shell.key()?, shell.words.parsed("grace", "a number of seconds")?.unwrap_or(0));
            let grace = TimeDelta::try_seconds(seconds).unwrap_or(TimeDelta::MAX);
            let revision = clove.get(scope, id).await?.revision;
            return show_once(&clove.rotate(scope, id, revision, grace, by).await?);
        }
        "delete" => {
            clove.delete(scope, shell.key()?, by).await?;
            say!("Deleted.");
            count(shell).await;
            return Ok(());
        }
        "edit" => {
            let (id, edit) = (shell.key()?, edit(shell)?);
            let revision = clove.get(scope, id).await?.revision;
            applied(clove.edit(scope, id, revision, edit, by).await?)
        }
        "enable" => applied(clove.enable(scope, shell.key()?, by).await?),
        "disable" => stopped(clove.disable(scope, shell.key()?, by).await?),
        "revoke" => stopped(clove.revoke(scope, shell.key()?, by).await?),
        _ => stopped(clove.flag_compromised(scope, shell.key()?, by).await?),
    };
    say!("{}", if changed { "Done." } else { "No change: it was so already." });
    match key {
        Some(key) => show::card(clove, &key, shell.role),
        None => say!("The rest of what is stored of this key cannot be read."),
    }
    count(shell).await;
    Ok(())
}

/// A secret that nobody has seen is of no use to anybody, but its key holds a place.
fn show_once(issued: &Issued) -> Ended {
    show::issued(issued);
    let id = issued.key.id;
    say::all_heard().or_else(|error| {
        fault(
            format_args!("Key {id} has a new secret that could not be shown, and never can be: rotate or delete the key"),
            error,
        )
    })
}

/// The command is done, whether the keys can be counted or not.
async fn count(shell: &Shell<'_>) {
    if let Err(Failure::Fault(error)) = show::count(shell.clove, &shell.scope).await {
        warn("The active keys could not be counted", &*error);
    }
}

fn applied(Applied { key, changed }: Applied) -> (Option<Key>, bool) {
    (Some(key), changed)
}

fn stopped(Stopped { key, changed }: Stopped) -> (Option<Key>, bool) {
    (key, changed)
}

/// A secret from elsewhere is presented with the id that it gets here.
async fn import(shell: &Shell<'_>) -> Ended {
    let (owner, new) = (shell.owner()?, new_key(shell)?);
    let secret = String::from_utf8(credential::read("CLOVE_SECRET", "The secret to take over")?);
    let Ok(secret) = secret else { return Err(Failure::Refused("imported secret must be printable ASCII".to_owned())) };
    let issued = shell.clove.import(owner, new, Secret::from_foreign(secret), &shell.by).await?;
    say!("Imported. Present it with its id: {};THE-SECRET", issued.key.id);
    show::card(shell.clove, &issued.key, shell.role);
    count(shell).await;
    Ok(())
}

fn new_key(shell: &Shell<'_>) -> Ended<NewKey> {
    let words = shell.words;
    let mut new = NewKey::named(words.word())?;
    if let Some(days) = words.parsed("days", "a whole number")? {
        new = new.expiry(Expiry::Days(days));
    }
    if let Some(text) = words.option("description") {
        new = new.description(Description::new(text)?);
    }
    if let Some(text) = words.option("metadata") {
        new = new.metadata(Metadata::new(text)?);
    }
    if let Some(list) = words.option("capabilities") {
        new = new.capabilities(capabilities(list)?);
    }
    Ok(new)
}

fn edit(shell: &Shell<'_>) -> Ended<Edit> {
    let words = shell.words;
    let (name, description) = (words.option("name"), words.option("description"));
    let (metadata, list) = (words.option("metadata"), words.option("capabilities"));
    if [name, description, metadata, list].iter().all(Option::is_none) {
        return usage("edit needs --name, --description, --metadata or --capabilities.");
    }
    let mut edit = Edit::new();
    if let Some(text) = name {
        edit = edit.name(Name::new(text)?);
    }
    if let Some(text) = description {
        edit = edit.description(Description::new(text)?);
    }
    if let Some(text) = metadata {
        edit = edit.metadata(Metadata::new(text)?);
    }
    if let Some(list) = list {
        edit = edit.capabilities(capabilities(list)?);
    }
    Ok(edit)
}

fn capabilities(list: &str) -> Result<CapabilitySet, Invalid> {
    if list == "none" { Ok(CapabilitySet::none()) } else { CapabilitySet::new(list.split(',')) }
}
