//! What a request uses, told to clove whatever becomes of it.

mod events;
mod tokens;

pub(crate) use tokens::{Seen, Tokens, Told, estimate};

use clove::{Clove, Grant, Invalid, RecordError, Unit};
use std::sync::Arc;

/// The units of the usage that the gateway counts.
#[derive(Debug)]
pub(crate) struct Units {
    pub(crate) input: Unit,
    pub(crate) output: Unit,
    /// Both together, which budgets are of.
    pub(crate) tokens: Unit,
}

impl Units {
    pub(crate) fn new() -> Result<Self, Invalid> {
        Ok(Self { input: Unit::new("input_tokens")?, output: Unit::new("output_tokens")?, tokens: Unit::new("tokens")? })
    }
}

/// Counts the tokens of a granted request. However it ends, also by its client going away or by a panic, dropping this settles with
/// what was seen.
#[derive(Debug)]
pub(crate) struct Meter {
    clove: Clove,
    grant: Grant,
    units: Arc<Units>,
    most: Tokens,
    pub(crate) seen: Seen,
}

impl Meter {
    /// For a request that may use so much at most, and has reserved it.
    pub(crate) fn new(clove: Clove, grant: Grant, units: Arc<Units>, most: Tokens) -> Self {
        Self { clove, grant, units, most, seen: Seen::Nothing }
    }

    pub(crate) fn clove(&self) -> &Clove {
        &self.clove
    }

    pub(crate) fn grant(&self) -> &Grant {
        &self.grant
    }

    /// Records what the answer has told so far: a process that dies loses only what came later. Nothing that is only estimated is
    /// recorded before the end, since the largest amount counts.
    pub(crate) fn note(&self) {
        let Told { input, output } = self.seen.told();
        let record = |unit, told: Option<u64>| told.map_or(Ok(()), |told| self.clove.record(&self.grant, unit, told));
        self.log(record(&self.units.input, input).and(record(&self.units.output, output)));
    }

    fn settle(&self, tokens: Tokens) -> Result<(), RecordError> {
        self.clove.record(&self.grant, &self.units.input, tokens.input)?;
        self.clove.record(&self.grant, &self.units.output, tokens.output)?;
        self.clove.settle(&self.grant, tokens.total())
    }

    fn log(&self, told: Result<(), RecordError>) {
        if let Err(error) = told {
            tracing::error!(key_id = %self.grant.key_id(), %error, "tokens were not counted");
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.log(self.settle(self.seen.tokens(self.most)));
    }
}
