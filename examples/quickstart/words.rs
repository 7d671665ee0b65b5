//! The words of a command line, checked before a file is opened.

use crate::ended::{Ended, usage};
use std::{collections::BTreeMap, ffi::OsString, str::FromStr};

pub(crate) const HELP: &str = "\
cargo run --example quickstart                      take the tour
cargo run --example quickstart -- COMMAND [OPTIONS]

Keys
  create NAME [--days N] [--description TEXT] [--metadata JSON] [--capabilities LIST]
                                  issue a key, for 90 days unless said
  import NAME [the same options]  take over a secret from elsewhere: in CLOVE_SECRET, or on standard input
  edit ID [--name NAME] [--description TEXT] [--metadata JSON] [--capabilities LIST]
  rotate ID [--grace SECONDS]     a new secret; the older one stays good for the grace
  disable | enable | revoke | flag | delete ID

Credentials, from CLOVE_CREDENTIAL or standard input
  verify [--requires LIST]        is it good, and for these capabilities?
  report-leaked                   report it as leaked

Looking
  list [--status STATUS]          the cards, newest first
  show ID                         one card, with all there is on it
  expiring [--within DAYS]        what expires soon, within 30 days unless said
  count                           how many keys are active
  audit [ID] [--action ACTION] [--from TIME] [--until TIME]

Owners and organizations
  limit N | none | default        how many keys of the owner may be active
  close-owner | reopen-owner      cut off the owner; open it again (no key comes back)
  close-organization | reopen-organization

  --owner ORGANIZATION/ACCOUNT    whose keys; acme/ada unless said
  --organization ORGANIZATION     those of all its owners, where a command can do that
  --as owner | administrator      whose menu is shown; administrator unless said
  --reason TEXT                   why, for the audit trail

LIST is capabilities joined by commas, as in messages:write,models:*, or none. TIME is 2026-01-31 or 2026-01-31T12:00:00Z, in UTC.
The file is CLOVE_QUICKSTART_DB, or ./quickstart.db.
Exit codes: 0 done; 1 refused, denied, or an argument that breaks a rule; 2 usage; 3 fault.";

const NEW: &[&str] = &["days", "description", "metadata", "capabilities"];
const COMMON: &[&str] = &["owner", "organization", "as", "reason"];

/// A command, the fewest and the most words behind it, and its options.
const COMMANDS: &[(&str, usize, usize, &[&str])] = &[
    ("create", 1, 1, NEW),
    ("import", 1, 1, NEW),
    ("edit", 1, 1, &["name", "description", "metadata", "capabilities"]),
    ("rotate", 1, 1, &["grace"]),
    ("disable", 1, 1, &[]),
    ("enable", 1, 1, &[]),
    ("revoke", 1, 1, &[]),
    ("flag", 1, 1, &[]),
    ("delete", 1, 1, &[]),
    ("verify", 0, 0, &["requires"]),
    ("report-leaked", 0, 0, &[]),
    ("list", 0, 0, &["status"]),
    ("show", 1, 1, &[]),
    ("expiring", 0, 0, &["within"]),
    ("count", 0, 0, &[]),
    ("audit", 0, 1, &["action", "from", "until"]),
    ("limit", 1, 1, &[]),
    ("close-owner", 0, 0, &[]),
    ("reopen-owner", 0, 0, &[]),
    ("close-organization", 0, 0, &[]),
    ("reopen-organization", 0, 0, &[]),
];

/// A command of those above, with as many words and such options as it takes.
pub(crate) struct Words {
    pub(crate) command: &'static str,
    plain: Vec<String>,
    options: BTreeMap<String, String>,
}

/// Whether help is asked for: by the first word, or by one that is no option's value.
pub(crate) fn asks_for_help(arguments: &[OsString]) -> bool {
    let is_option = |word: &OsString| word.to_str().is_some_and(|word| word.starts_with("--") && !word.contains('='));
    let is_help = |word: &OsString| word == "--help" || word == "-h";
    let mut before = None;
    arguments.first().is_some_and(|first| first == "help")
        || arguments.iter().any(|word| {
            let is_value = before.replace(word).is_some_and(|before| is_option(before) && !is_help(before));
            is_help(word) && !is_value
        })
}

impl Words {
    pub(crate) fn read(arguments: impl IntoIterator<Item = OsString>) -> Ended<Self> {
        let (mut plain, mut options) = (Vec::new(), BTreeMap::new());
        let mut rest = arguments.into_iter().map(OsString::into_string);
        while let Some(word) = rest.next() {
            let Ok(word) = word else { return usage("The command line must be UTF-8.") };
            let Some(name) = word.strip_prefix("--") else {
                plain.push(word);
                continue;
            };
            let (name, value) = match name.split_once('=') {
                Some((name, value)) => (name, value.to_owned()),
                None => match rest.next() {
                    Some(Err(_)) => return usage(format!("The value of --{name} must be UTF-8.")),
                    Some(Ok(value)) if !value.starts_with("--") => (name, value),
                    _ => return usage(format!("--{name} needs a value; one that begins with -- follows an equals sign.")),
                },
            };
            if options.insert(name.to_owned(), value).is_some() {
                return usage(format!("--{name} is there twice."));
            }
        }
        let mut plain = plain.into_iter();
        let command = plain.next().unwrap_or_default();
        let plain: Vec<String> = plain.collect();
        let Some((command, fewest, most, own)) = COMMANDS.iter().find(|(name, ..)| *name == command) else {
            return usage("There is no such command.");
        };
        if !plain.is_empty() && ["verify", "report-leaked", "import"].contains(command) && plain.len() > *most {
            return usage(
                "A secret does not belong on the command line, where other users and the shell's history see it: put it into the \
                 environment or on standard input.",
            );
        }
        if !(*fewest..=*most).contains(&plain.len()) {
            return usage(format!("{command} takes {} here, not {}.", words(*fewest, *most), plain.len()));
        }
        if let Some(unknown) = options.keys().find(|name| !own.contains(&name.as_str()) && !COMMON.contains(&name.as_str())) {
            return usage(format!("{command} has no option --{unknown}."));
        }
        Ok(Self { command, plain, options })
    }

    /// The word behind the command; empty if there is none.
    pub(crate) fn word(&self) -> &str {
        self.plain.first().map_or("", String::as_str)
    }

    pub(crate) fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }

    /// An option's value as what it is of.
    pub(crate) fn parsed<T: FromStr>(&self, name: &str, what: &str) -> Ended<Option<T>> {
        match self.option(name).map(str::parse) {
            None => Ok(None),
            Some(Ok(value)) => Ok(Some(value)),
            Some(Err(_)) => usage(format!("--{name} needs {what}.")),
        }
    }
}

fn words(fewest: usize, most: usize) -> String {
    match (fewest, most) {
        (0, 0) => "no further word".to_owned(),
        (1, 1) => "one further word".to_owned(),
        _ => format!("{fewest} to {most} further words"),
    }
}
