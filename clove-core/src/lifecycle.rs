//! The one table of what each command does to a key in each status.

use crate::{
    audit::Action,
    key::{Key, KeyState, Status},
};
use chrono::{DateTime, Utc};

/// What a command does to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The key goes to this state.
    Becomes(KeyState),
    /// The target already holds.
    NoChange,
    /// The key gets a new secret; the older one may stay valid for a grace period only if `grace`.
    NewSecret {
        /// Whether a grace period is allowed.
        grace: bool,
    },
    /// The key goes away.
    Gone,
    /// The table does not allow it.
    Refused,
}

/// What `command` does to a key stored in `state` that has `expired` or not. Total: every pair has an answer.
///
/// What kills is judged on the stored state alone and is never refused.
#[must_use]
pub fn effect(command: Action, state: KeyState, expired: bool) -> Effect {
    use KeyState::{Active, Compromised, Revoked, Suspended};
    let dead = matches!(state, Compromised | Revoked);
    match command {
        Action::Disable if state == Active => Effect::Becomes(Suspended),
        Action::Disable => Effect::NoChange,
        Action::Revoke if dead => Effect::NoChange,
        Action::Revoke => Effect::Becomes(Revoked),
        Action::FlagCompromised | Action::ReportLeaked if dead => Effect::NoChange,
        Action::FlagCompromised | Action::ReportLeaked => Effect::Becomes(Compromised),
        Action::Delete => Effect::Gone,
        Action::Enable if dead || expired => Effect::Refused,
        Action::Enable if state == Suspended => Effect::Becomes(Active),
        Action::Enable => Effect::NoChange,
        Action::Rotate if dead || expired => Effect::Refused,
        Action::Rotate => Effect::NewSecret { grace: state == Active },
        // An edit leaves the state alone; the others are not commands on an existing key.
        Action::Edit => Effect::NoChange,
        Action::Create
        | Action::Import
        | Action::LatchExpiry
        | Action::SetActiveLimit
        | Action::SetRequestLimits
        | Action::SetBudget
        | Action::CloseOwner
        | Action::ReopenOwner
        | Action::CloseOrganization
        | Action::ReopenOrganization => Effect::Refused,
    }
}

/// [`effect`] on a key at `now`.
#[must_use]
pub fn effect_on(command: Action, key: &Key, now: DateTime<Utc>) -> Effect {
    effect(command, key.state, key.is_expired(now))
}

/// The actions that change a key in this status: what a menu can offer, before policy narrows it.
pub fn possible(status: Status) -> impl Iterator<Item = Action> {
    let (state, expired) = match status {
        Status::Active => (KeyState::Active, false),
        Status::Suspended => (KeyState::Suspended, false),
        // Whatever it is stored as: a command that would only suspend what has expired is not worth offering.
        Status::Expired => (KeyState::Suspended, true),
        Status::Compromised => (KeyState::Compromised, false),
        Status::Revoked => (KeyState::Revoked, false),
    };
    [Action::Disable, Action::Enable, Action::Rotate, Action::Revoke, Action::FlagCompromised, Action::Delete]
        .into_iter()
        .filter(move |&command| !matches!(effect(command, state, expired), Effect::NoChange | Effect::Refused))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table, written out: Active, Suspended, Expired (stored Active), Expired (stored Suspended), Compromised, Revoked.
    #[test]
    fn the_truth_table_holds_in_every_cell() {
        use Effect::{Becomes, Gone, NewSecret, NoChange, Refused};
        use KeyState::{Active, Compromised, Revoked, Suspended};
        let columns =
            [(Active, false), (Suspended, false), (Active, true), (Suspended, true), (Compromised, false), (Revoked, false)];
        let grace = NewSecret { grace: true };
        let no_grace = NewSecret { grace: false };
        let rows = [
            (Action::Disable, [Becomes(Suspended), NoChange, Becomes(Suspended), NoChange, NoChange, NoChange]),
            (Action::Enable, [NoChange, Becomes(Active), Refused, Refused, Refused, Refused]),
            (Action::Revoke, [Becomes(Revoked), Becomes(Revoked), Becomes(Revoked), Becomes(Revoked), NoChange, NoChange]),
            (
                Action::FlagCompromised,
                [Becomes(Compromised), Becomes(Compromised), Becomes(Compromised), Becomes(Compromised), NoChange, NoChange],
            ),
            (Action::Rotate, [grace, no_grace, Refused, Refused, Refused, Refused]),
            (Action::Delete, [Gone; 6]),
            (Action::Edit, [NoChange; 6]),
        ];
        for (command, cells) in rows {
            for ((state, expired), expected) in columns.into_iter().zip(cells) {
                assert_eq!(effect(command, state, expired), expected, "{command} on {state:?}, expired: {expired}");
                let dead = matches!(state, Compromised | Revoked);
                if dead {
                    assert_eq!(effect(command, state, true), expected, "{command}: expiry says nothing about a dead key");
                }
            }
        }
        for command in Action::ALL {
            if rows.iter().any(|(listed, _)| *listed == command) || command == Action::ReportLeaked {
                continue;
            }
            for (state, expired) in columns {
                assert_eq!(effect(command, state, expired), Refused, "{command} is not a command on a key");
            }
        }
    }
}
