//! The form that creates a key.

use super::{
    App, choices,
    errors::{Errors, Field},
    page,
    view::View,
};
use crate::pages::{asked::Asked, fields::Fields, icon::Icon};
use clove_core::{Capability, CapabilitySet, Description, Expiry, NewKey, OperationId, SecretFormat};
use maud::{Markup, html};

/// What a visitor has put into the form.
pub(super) struct Input {
    name: String,
    description: String,
    expiry: String,
    days: String,
    capabilities: Vec<String>,
    pub(super) operation: OperationId,
}

impl Input {
    /// The form as it is first shown. Its operation id makes sending it again a repetition.
    pub(super) fn new(app: &App, asked: &Asked) -> Self {
        let policy = app.clove.policy();
        let offered = choices::capabilities(app, &asked.visitor);
        // Without a default of the policy, all: a key that may do nothing is hardly anybody's wish.
        let default = policy.default_capabilities();
        let chosen = offered.iter().filter(|offered| default.is_empty() || choices::holds(default, &offered.capability));
        Self {
            name: String::new(),
            description: String::new(),
            expiry: choices::to_value(policy.expiry().default),
            days: String::new(),
            capabilities: chosen.map(|offered| offered.capability.to_string()).collect(),
            operation: OperationId::new(app.clove.now()),
        }
    }

    /// The form as it was sent. Browsers end lines as mail does; and white space around a name is nobody's wish.
    pub(super) fn of(app: &App, fields: &Fields) -> Self {
        let text = |name| fields.get(name).unwrap_or_default().replace("\r\n", "\n");
        let operation = fields.get("operation").and_then(|id| OperationId::parse(id).ok());
        Self {
            name: text("name").trim().to_owned(),
            description: text("description").trim().to_owned(),
            expiry: text("expiry"),
            days: text("days"),
            capabilities: fields.all("capability").map(str::to_owned).collect(),
            operation: operation.unwrap_or_else(|| OperationId::new(app.clove.now())),
        }
    }

    /// The key that it asks for.
    pub(super) fn to_new_key(&self, app: &App, asked: &Asked) -> Result<NewKey, Errors> {
        let mut errors = Errors::default();
        let new = NewKey::named(&self.name).map_err(|invalid| errors.add_invalid(&invalid)).ok();
        let description = Description::new(&self.description).map_err(|invalid| errors.add_invalid(&invalid)).ok();
        let policy = app.clove.policy().expiry();
        let expiry = choices::expiry(&self.expiry, &self.days).unwrap_or(Expiry::Days(0));
        if let Err(invalid) = policy.resolve(expiry, app.clove.now()) {
            errors.add_invalid(&invalid);
        }
        let capabilities = CapabilitySet::new(&self.capabilities).map_err(|invalid| errors.add_invalid(&invalid)).ok();
        // Where there was nothing to choose from, the policy says what a key may do.
        let has_choice = !choices::capabilities(app, &asked.visitor).is_empty();
        match (new, description, capabilities) {
            (Some(new), Some(description), Some(capabilities)) if errors.is_empty() => {
                let new = new.description(description).expiry(expiry);
                Ok(if has_choice { new.capabilities(capabilities) } else { new })
            }
            _ => Err(errors),
        }
    }

    /// Empties the texts that hold a secret: they are refused, and not to be shown either.
    pub(super) fn without_secrets(mut self, formats: &[SecretFormat]) -> Self {
        for text in [&mut self.name, &mut self.description] {
            if formats.iter().any(|format| format.occurs_in(text)) {
                text.clear();
            }
        }
        self
    }

    /// The form.
    pub(super) fn show(&self, app: &App, asked: &Asked, view: &View, errors: &Errors) -> Markup {
        let described = |field: Field, hint: bool| {
            let id = field.id();
            let ids = [hint.then(|| format!("{id}-hint")), errors.has(field).then(|| format!("{id}-wrong"))];
            let ids: Vec<String> = ids.into_iter().flatten().collect();
            (!ids.is_empty()).then(|| ids.join(" "))
        };
        let invalid = |field| errors.has(field).then_some("true");
        html! {
            form .panel.fields #create method="post" action=(view.first().address(&asked.links, &[])) autocomplete="off" {
                h2 { "Create an API key" }
                input type="hidden" name="do" value="create";
                input type="hidden" name="operation" value=(self.operation);
                @if errors.has(Field::Form) {
                    div .note.bad.field role="alert" tabindex="-1" autofocus[errors.begins_with(Field::Form)] { (errors.about(Field::Form)) }
                }
                div .field {
                    label for="name" { "Name" }
                    input #name type="text" name="name" value=(self.name) required spellcheck="false" dir="auto"
                        aria-describedby=[described(Field::Name, true)] aria-invalid=[invalid(Field::Name)]
                        autofocus[errors.begins_with(Field::Name) || page::is_opened(asked) && errors.is_empty()];
                    p .hint #name-hint { "What you will know it by, such as the machine or program that uses it." }
                    (errors.about(Field::Name))
                }
                div .field {
                    label for="description" { "Description " span .hint { "(optional)" } }
                    textarea #description name="description" rows="2" spellcheck="false" dir="auto"
                        aria-describedby=[described(Field::Description, false)] aria-invalid=[invalid(Field::Description)]
                        autofocus[errors.begins_with(Field::Description)] { "\n" (self.description) }
                    (errors.about(Field::Description))
                }
                (self.expiries(app, errors, described(Field::Expiry, false)))
                (self.capabilities(app, asked, errors, described(Field::Capabilities, true)))
                div .buttons { button .button.primary { (Icon::Key.draw()) "Create key" } }
            }
        }
    }

    fn expiries(&self, app: &App, errors: &Errors, described: Option<String>) -> Markup {
        let policy = app.clove.policy().expiry();
        let default = choices::to_value(policy.default);
        html! {
            fieldset .field #expiry aria-describedby=[described] {
                legend { "Expiry" }
                div .chips {
                    @for (value, words) in choices::expiries(policy) {
                        @let checked = value == self.expiry;
                        // Beside the label: the choice is called by its days alone.
                        @if value == default {
                            div .chip {
                                label .chosen {
                                    input type="radio" aria-describedby="expiry-default" name="expiry" value=(value) checked[checked];
                                    span { (words) }
                                }
                                span .hint #expiry-default { "(default)" }
                            }
                        } @else {
                            label .chip {
                                input type="radio" name="expiry" value=(value) checked[checked];
                                span { (words) }
                            }
                        }
                    }
                    @if let Some((least, most)) = policy.custom {
                        div .chip.days {
                            label .chosen {
                                input type="radio" name="expiry" value=(choices::OTHER) checked[self.expiry == choices::OTHER];
                                " Other"
                            }
                            input type="number" name="days" value=(self.days) min=(least) max=(most) aria-label=(format!("Days, {least} to {most}"));
                            span { "days" }
                        }
                    }
                }
                (errors.about(Field::Expiry))
            }
        }
    }

    fn capabilities(&self, app: &App, asked: &Asked, errors: &Errors, described: Option<String>) -> Markup {
        let offered = choices::capabilities(app, &asked.visitor);
        let is_checked = |capability: &Capability| self.capabilities.iter().any(|chosen| chosen == capability.as_str());
        html! {
            @if !offered.is_empty() || errors.has(Field::Capabilities) {
                fieldset .field #capabilities aria-describedby=[described] {
                    legend { "Capabilities" }
                    p .hint #capabilities-hint { "Requests with the key may do what is chosen here, and nothing else." }
                    div .checks {
                        @for offered in &offered {
                            label {
                                input type="checkbox" name="capability" value=(offered.capability) checked[is_checked(&offered.capability)];
                                span { (offered.label) }
                                code { (offered.capability) }
                            }
                        }
                    }
                    (errors.about(Field::Capabilities))
                }
            }
        }
    }
}
