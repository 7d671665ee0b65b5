//! Checks that a text is JSON within clove's bounds, without keeping a tree of it.

use super::MAX_METADATA_DEPTH;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::{collections::HashSet, fmt};

const NUL: &str = "must hold no NUL character";

/// Says which rule `text` breaks, never quoting it.
pub(super) fn check(text: &str) -> Result<(), &'static str> {
    const RULES: [&str; 3] = [NUL, "must hold no name twice in one object", "must nest at most 8 deep"];
    let mut parser = serde_json::Deserializer::from_str(text);
    Bounded { depth: 0 }.deserialize(&mut parser).and_then(|()| parser.end()).map_err(|error| {
        let said = error.to_string();
        RULES.into_iter().find(|rule| said.starts_with(rule)).unwrap_or("must be one JSON text")
    })
}

#[derive(Clone, Copy)]
struct Bounded {
    depth: usize,
}

impl Bounded {
    /// Within a list or an object, which counts whether it holds anything or not.
    fn deeper<E: Error>(&self) -> Result<Self, E> {
        if self.depth >= MAX_METADATA_DEPTH {
            return Err(E::custom("must nest at most 8 deep"));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Bounded {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        if text.contains('\0') { Err(E::custom(NUL)) } else { Ok(()) }
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while list.next_element_seed(inner)?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let (inner, mut names) = (self.deeper()?, HashSet::new());
        while let Some(name) = object.next_key::<String>()? {
            if name.contains('\0') {
                return Err(A::Error::custom(NUL));
            }
            if !names.insert(name) {
                return Err(A::Error::custom("must hold no name twice in one object"));
            }
            object.next_value_seed(inner)?;
        }
        Ok(())
    }
}
