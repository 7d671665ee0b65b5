//! Hears a value in every form that it has, and remembers of which types it has heard.

use std::{
    collections::BTreeSet,
    fmt::{Debug, Display, Write},
    sync::{Arc, Mutex, MutexGuard},
};

#[derive(Clone, Default)]
pub(crate) struct Ear(Arc<Mutex<Heard>>);

#[derive(Default)]
pub(crate) struct Heard {
    /// All that `Debug`, `Display`, errors and panics said.
    pub(crate) said: String,
    /// All serde forms: metadata is a part of some, on purpose.
    pub(crate) forms: String,
    /// Types, and variants as `Type::Variant`, heard as values of their own.
    pub(crate) names: BTreeSet<String>,
    /// Those heard in a serde form.
    pub(crate) serialised: BTreeSet<String>,
}

impl Ear {
    pub(crate) fn heard(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap()
    }

    pub(crate) fn note(&self, type_name: &str, debug: Option<String>, display: Option<String>, form: Option<String>) {
        let mut heard = self.heard();
        if let Some(name) =
            type_name.split('<').next().filter(|name| name.starts_with("clove")).and_then(|n| n.rsplit("::").next())
        {
            let variant = debug.as_deref().unwrap_or("").split(|c: char| !c.is_alphanumeric()).next().unwrap_or("");
            heard.names.insert(format!("{name}::{variant}"));
            heard.names.insert(name.to_owned());
            if form.is_some() {
                heard.serialised.insert(name.to_owned());
            }
        }
        for said in [debug, display].into_iter().flatten() {
            writeln!(heard.said, "{said}").unwrap();
        }
        heard.forms.extend(form);
    }
}

/// A value to be heard. The forms that its type has are found by method resolution: those of the traits below where it has them,
/// and otherwise those of [`Silent`], one reference further away.
pub(crate) struct Of<'a, T: ?Sized>(pub(crate) &'a T);

impl<T: ?Sized> Of<'_, T> {
    pub(crate) fn type_name(&self) -> &'static str {
        std::any::type_name::<T>()
    }
}

pub(crate) trait Debugs {
    fn debug(&self) -> Option<String>;
}
impl<T: Debug + ?Sized> Debugs for Of<'_, T> {
    fn debug(&self) -> Option<String> {
        Some(format!("{:?}\n{:#?}", self.0, self.0))
    }
}

pub(crate) trait Displays {
    fn display(&self) -> Option<String>;
}
impl<T: Display + ?Sized> Displays for Of<'_, T> {
    fn display(&self) -> Option<String> {
        Some(self.0.to_string())
    }
}

#[cfg(feature = "serde")]
pub(crate) trait Serialises {
    fn form(&self) -> Option<String>;
}
#[cfg(feature = "serde")]
impl<T: serde::Serialize + ?Sized> Serialises for Of<'_, T> {
    fn form(&self) -> Option<String> {
        Some(serde_json::to_string(self.0).unwrap())
    }
}

pub(crate) trait Silent {
    fn debug(&self) -> Option<String> {
        None
    }
    fn display(&self) -> Option<String> {
        None
    }
    fn form(&self) -> Option<String> {
        None
    }
}
impl<T: ?Sized> Silent for &Of<'_, T> {}

/// Hears each value in all its forms.
macro_rules! hear {
    ($ear:expr, $($said:expr),+ $(,)?) => {{$({
        #[cfg(feature = "serde")]
        #[allow(unused_imports, reason = "not every type has every form")]
        use $crate::ear::Serialises;
        #[allow(unused_imports, reason = "not every type has every form")]
        use $crate::ear::{Debugs, Displays, Silent};
        let said = &$crate::ear::Of(&$said);
        $ear.note(said.type_name(), said.debug(), said.display(), said.form());
    })+}};
}
pub(crate) use hear;
