//! Commands that look and change nothing.

use crate::{
    ended::{Ended, Failure, usage},
    say::say,
    shell::Shell,
    show,
};
use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use clove::{Action, KeyId, ListAudit, ListKeys, Status};

pub(crate) async fn run(shell: &Shell<'_>) -> Ended {
    let (clove, scope, words) = (shell.clove, &shell.scope, shell.words);
    match words.command {
        "list" => {
            let status: Option<Status> = match words.option("status") {
                Some(text) => Some(text.parse()?),
                None => None,
            };
            show::cards(clove, scope, ListKeys { status, ..ListKeys::default() }, shell.role).await?;
            show::count(clove, scope).await?;
        }
        "show" => {
            let key = clove.get(scope, shell.key()?).await?;
            show::card(clove, &key, shell.role);
            show::rest(&key);
        }
        "expiring" => {
            let days = words.parsed("within", "a number of days")?.unwrap_or(30);
            expiring(shell, TimeDelta::try_days(days).unwrap_or(TimeDelta::MAX)).await?;
        }
        "count" => say!("{}", clove.active_keys(shell.owner()?).await?),
        _ => {
            let key = if words.word().is_empty() { None } else { Some(KeyId::parse(words.word())?) };
            let (from, until) = (time(shell, "from")?, time(shell, "until")?);
            show::trail(clove, scope, ListAudit { key, action: action(shell)?, from, until, ..ListAudit::default() }).await?;
        }
    }
    Ok(())
}

async fn expiring(shell: &Shell<'_>, within: TimeDelta) -> Ended {
    let (mut after, mut found) = (None, 0);
    loop {
        let page = shell.clove.expiring(&shell.scope, within, None, after.as_ref()).await?;
        page.items.iter().for_each(|key| show::card(shell.clove, key, shell.role));
        page.corrupt.iter().for_each(|row| say!("  cannot be read: {row}"));
        found += page.items.len();
        after = page.next;
        if after.is_none() {
            say!("{} then.", show::counted(found, "key expires", "keys expire"));
            return Ok(());
        }
    }
}

fn action(shell: &Shell<'_>) -> Ended<Option<Action>> {
    let Some(text) = shell.words.option("action") else { return Ok(None) };
    match Action::parse(&text.replace(['-', ' '], "_")) {
        Some(action) => Ok(Some(action)),
        None => {
            let all: Vec<_> = Action::ALL.iter().map(|action| action.as_str()).collect();
            Err(Failure::Refused(format!("action must be one of {}", all.join(", "))))
        }
    }
}

fn time(shell: &Shell<'_>, name: &str) -> Ended<Option<DateTime<Utc>>> {
    let Some(text) = shell.words.option(name) else { return Ok(None) };
    let day = |text: &str| text.parse::<NaiveDate>().ok().map(|day| day.and_time(NaiveTime::MIN).and_utc());
    match DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc()).or_else(|| day(text)) {
        Some(time) => Ok(Some(time)),
        None => usage(format!("--{name} needs a time, as 2026-01-31 or 2026-01-31T12:00:00Z.")),
    }
}
