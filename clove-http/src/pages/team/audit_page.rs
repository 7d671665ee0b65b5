//! The audit trail, filtered and page by page.

use super::{
    App,
    administrator::{Administrator, Tab, corrupt},
    event,
};
use crate::pages::{fields::Fields, icon::Icon};
use axum::{extract::State, response::Response};
use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use clove_core::{AccountId, Action, AuditEvent, Clove, Cursor, Error, KeyId, ListAudit, Page, Scope, SecretFormat};
use maud::{Markup, html};
use std::sync::Arc;

/// How many events a page has.
const EVENTS: usize = 50;
/// What is wrong with a field that a secret was pasted into.
const SECRET: &str =
    "This holds a key's secret, which nothing is found by. The browser may keep it among its addresses: give the key a new one.";

/// What is looked for, and what was asked that nothing can be found for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Filter {
    key: Option<KeyId>,
    action: Option<Action>,
    account: Option<AccountId>,
    from: Option<NaiveDate>,
    until: Option<NaiveDate>,
    wrong: Vec<(&'static str, &'static str)>,
}

impl Filter {
    fn of(query: &Fields, formats: &[SecretFormat]) -> Self {
        let mut wrong = Vec::new();
        let query = &Typed { query, formats };
        let filter = Self {
            key: read(query, "key", "A key id looks like 0198f3a2-7c1e-7d20-8b5f-3f1e6d9a4c21.", &mut wrong, |id| {
                KeyId::parse(id).ok()
            }),
            action: read(query, "action", "There is no such action.", &mut wrong, Action::parse),
            account: read(query, "account", "An account has no white space and at most 256 bytes.", &mut wrong, |id| {
                AccountId::new(id).ok()
            }),
            from: read(query, "from", "A day looks like 2026-01-31.", &mut wrong, |day| day.parse().ok()),
            until: read(query, "until", "A day looks like 2026-01-31.", &mut wrong, |day| day.parse().ok()),
            wrong: Vec::new(),
        };
        Self { wrong, ..filter }
    }

    fn is_any(&self) -> bool {
        *self == Self::default()
    }

    fn wrong(&self, name: &str) -> Option<&'static str> {
        self.wrong.iter().find(|(wrong, _)| *wrong == name).map(|(_, rule)| *rule)
    }

    async fn find(&self, clove: &Clove, administrator: &Administrator, after: Option<Cursor>) -> Result<Page<AuditEvent>, Error> {
        let scope = match &self.account {
            Some(account) => Scope::from(&administrator.owner(account)),
            None => Scope::from(administrator.organization()),
        };
        let list = ListAudit {
            key: self.key,
            action: self.action,
            from: self.from.map(midnight),
            // That day included.
            until: self.until.and_then(|day| day.checked_add_days(Days::new(1))).map(midnight),
            limit: Some(EVENTS),
            after,
        };
        clove.audit(scope, &list).await
    }

    /// The address of a page of what is looked for.
    fn href(&self, administrator: &Administrator, after: Option<&Cursor>) -> String {
        let text = |value: Option<String>| value.unwrap_or_default();
        let values = [
            ("key", text(self.key.map(|key| key.to_string()))),
            ("action", text(self.action.map(|action| action.as_str().to_owned()))),
            ("account", text(self.account.as_ref().map(|account| account.as_str().to_owned()))),
            ("from", text(self.from.map(|day| day.to_string()))),
            ("until", text(self.until.map(|day| day.to_string()))),
            ("after", text(after.map(Cursor::to_string))),
        ];
        let query: Vec<(&str, &str)> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
        administrator.href("audit", &query)
    }
}

/// What was typed, and the formats that secrets have.
struct Typed<'a> {
    query: &'a Fields,
    formats: &'a [SecretFormat],
}

/// A value that was given, or that it is none.
fn read<T>(
    typed: &Typed<'_>,
    name: &'static str,
    rule: &'static str,
    wrong: &mut Vec<(&'static str, &'static str)>,
    parse: impl Fn(&str) -> Option<T>,
) -> Option<T> {
    let text = typed.query.get(name).map(str::trim).filter(|text| !text.is_empty())?;
    if typed.formats.iter().any(|format| format.occurs_in(text)) {
        wrong.push((name, SECRET));
        return None;
    }
    let value = parse(text);
    if value.is_none() {
        wrong.push((name, rule));
    }
    value
}

fn midnight(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

pub(super) async fn show(State(app): State<Arc<App>>, administrator: Administrator) -> Response {
    let filter = Filter::of(&administrator.asked.query, app.clove.policy().secret_formats());
    // One of another list begins this one anew.
    let after: Option<Cursor> = administrator.asked.query.get("after").and_then(|after| after.parse().ok());
    let found = if filter.wrong.is_empty() {
        match filter.find(&app.clove, &administrator, after.clone()).await {
            Err(Error::Invalid(_)) => filter.find(&app.clove, &administrator, None).await.map(Some),
            found => found.map(Some),
        }
    } else {
        Ok(None)
    };
    match found {
        Ok(found) => {
            let main = html! {
                (form(&administrator, &filter))
                @if found.is_none() {
                    div .note .bad role="alert" {
                        (Icon::Alert.draw())
                        p { "Nothing was looked for, since a field above says what nothing can be found for." }
                    }
                }
                @if let Some(found) = &found { (events(&administrator, &filter, found, after.is_some())) }
            };
            administrator.page(Tab::Audit, &main)
        }
        Err(error) => administrator.failed(&error),
    }
}

fn form(administrator: &Administrator, filter: &Filter) -> Markup {
    let query = &administrator.asked.query;
    html! {
        form .panel .filters role="search" aria-label="Audit trail" method="get" action=(administrator.href("audit", &[])) {
            (field(filter, "account", "Keys of (account)", "text", query))
            (field(filter, "key", "Key id", "text", query))
            div .field {
                label for="action" { "Action" }
                select #action name="action" aria-invalid=[filter.wrong("action").map(|_| "true")] {
                    option value="" { "Any" }
                    @for action in Action::ALL {
                        option value=(action.as_str()) selected[filter.action == Some(action)] { (event::label(action)) }
                    }
                }
                @if let Some(rule) = filter.wrong("action") { p .wrong { (rule) } }
            }
            (field(filter, "from", "From day (UTC)", "date", query))
            (field(filter, "until", "Until day (UTC)", "date", query))
            div .buttons {
                button .button .primary type="submit" { "Show" }
                @if !filter.is_any() { a .button href=(administrator.href("audit", &[])) { "Show all" } }
            }
        }
    }
}

fn field(filter: &Filter, name: &str, label: &str, kind: &str, query: &Fields) -> Markup {
    // A secret is not shown again.
    let value = query.get(name).filter(|_| filter.wrong(name) != Some(SECRET)).unwrap_or_default();
    let wrong = filter.wrong(name).map(|rule| (rule, format!("{name}-wrong")));
    html! {
        div .field {
            label for=(name) { (label) }
            input id=(name) name=(name) type=(kind) value=(value) autocomplete="off" spellcheck="false"
                aria-invalid=[wrong.as_ref().map(|_| "true")] aria-describedby=[wrong.as_ref().map(|(_, id)| id)];
            @if let Some((rule, id)) = &wrong { p .wrong id=(id) { (rule) } }
        }
    }
}

fn events(administrator: &Administrator, filter: &Filter, found: &Page<AuditEvent>, is_older: bool) -> Markup {
    html! {
        (corrupt(found.corrupt.len()))
        section .panel aria-labelledby="events" {
            h2 #events { @if filter.is_any() { "What was done, newest first" } @else { "What was found, newest first" } }
            @if found.items.is_empty() {
                p .empty { @if is_older { "Nothing older." } @else if filter.is_any() { "Nothing was done yet." } @else { "Nothing was found." } }
            } @else {
                ol .events {
                    @for event in &found.items { li { (event::event(administrator, event)) } }
                }
            }
            @if is_older || found.next.is_some() {
                nav .buttons aria-label="Pages of the audit trail" {
                    @if is_older { a .button href=(filter.href(administrator, None)) { "Newest" } }
                    @if let Some(next) = &found.next { a .button rel="next" href=(filter.href(administrator, Some(next))) { "Older" } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>().into()
    }

    #[test]
    fn what_cannot_be_looked_for_is_told_by_its_field_and_not_passed_over() {
        let filter = Filter::of(
            &fields(&[("key", "x"), ("action", "sing"), ("account", "a b"), ("from", "5.1.2026"), ("until", "2026-02-30")]),
            &[],
        );
        let wrong: Vec<&str> = filter.wrong.iter().map(|(name, _)| *name).collect();
        assert_eq!(wrong, ["key", "action", "account", "from", "until"]);
        assert!(!filter.is_any());
        assert!(Filter::of(&fields(&[("key", ""), ("action", " ")]), &[]).is_any(), "empty fields are none");
    }
}
