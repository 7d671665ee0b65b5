//! What is wrong with a form, as sentences beside what they are about.

use crate::{
    pages::icon::Icon,
    problem::{Problem, sentence},
};
use clove_core::{Error, Invalid, Refusal};
use http::StatusCode;
use maud::{Markup, html};

/// What a sentence is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Name,
    Description,
    Expiry,
    Capabilities,
    /// The form as a whole.
    Form,
}

impl Field {
    /// The id of the field in the page.
    pub(super) fn id(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Description => "description",
            Self::Expiry => "expiry",
            Self::Capabilities => "capabilities",
            Self::Form => "create",
        }
    }

    fn of(invalid: &Invalid) -> Self {
        match invalid.field {
            "name" => Self::Name,
            "description" => Self::Description,
            "expiry" => Self::Expiry,
            "capability" | "capabilities" => Self::Capabilities,
            _ => Self::Form,
        }
    }
}

/// For who is cut off, and with whom the whole organization may be.
pub(super) const CUT_OFF: &str = "Your account is closed. Ask an administrator.";

/// Sentences, each about a field.
#[derive(Clone, Debug, Default)]
pub(super) struct Errors(Vec<(Field, String)>);

impl Errors {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn add(&mut self, field: Field, sentence: String) {
        self.0.push((field, sentence));
    }

    pub(super) fn add_invalid(&mut self, invalid: &Invalid) {
        self.add(Field::of(invalid), rule(invalid));
    }

    /// The value of what is wrong about a new key.
    pub(super) fn add_error(&mut self, error: &Error) {
        match error {
            Error::Invalid(invalid) => self.add_invalid(invalid),
            Error::Refused(Refusal::BeyondAuthority { .. }) => self.add(Field::Capabilities, to_sentence(error)),
            // Who creates a key creates one of its own.
            Error::Refused(Refusal::OwnerClosed) => self.add(Field::Form, CUT_OFF.to_owned()),
            _ => self.add(Field::Form, to_sentence(error)),
        }
    }

    pub(super) fn has(&self, field: Field) -> bool {
        self.0.iter().any(|(about, _)| *about == field)
    }

    /// Whether the field is the first one that is wrong, which gets the focus.
    pub(super) fn begins_with(&self, field: Field) -> bool {
        self.0.first().is_some_and(|(about, _)| *about == field)
    }

    /// What is wrong with a field; nothing if it is right.
    pub(super) fn about(&self, field: Field) -> Markup {
        html! {
            @if self.has(field) {
                div .wrong id=(format!("{}-wrong", field.id())) {
                    (Icon::Alert.draw())
                    div { @for (_, sentence) in self.0.iter().filter(|(about, _)| *about == field) { p { (sentence) } } }
                }
            }
        }
    }
}

/// What would be right. How large it was is nothing that a person asks.
fn rule(invalid: &Invalid) -> String {
    sentence(format_args!("{} {}", invalid.field, invalid.rule))
}

/// What went wrong, for who sits before the page.
pub(super) fn to_sentence(error: &Error) -> String {
    match error {
        Error::Invalid(invalid) => rule(invalid),
        Error::Refused(Refusal::BeyondAuthority { capability }) => {
            format!("You may not grant {capability}. Leave it out, or ask an administrator.")
        }
        Error::Refused(Refusal::OperationReused { .. }) => {
            "This form was sent before, with other values. Look at the keys below; to create another one, send it again."
                .to_owned()
        }
        Error::Refused(Refusal::RevisionConflict { .. }) => {
            "The key has changed since you looked at it. Look at it again, and repeat what you did.".to_owned()
        }
        Error::OutcomeUnknown { .. } => {
            "The key store did not say whether it was done. Do it again: it is done once, however often you send it.".to_owned()
        }
        _ => Problem::from(error).detail().to_owned(),
    }
}

/// The status of a page that says so.
pub(super) fn to_status(error: &Error) -> StatusCode {
    match Problem::from(error).status() {
        // No header of the request named a revision (RFC 9110, section 15.5.13).
        StatusCode::PRECONDITION_FAILED => StatusCode::CONFLICT,
        status => status,
    }
}
