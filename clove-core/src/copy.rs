//! Moving from one store to another without issuing a key anew.
//!
//! ```
//! # async fn demo(from: clove_core::MemoryStore, to: clove_core::MemoryStore) -> Result<(), clove_core::copy::CopyError> {
//! use clove_core::copy::StoreCopy;
//!
//! let copied = StoreCopy::new(&from, &to).run(&mut |_step| {}).await?;
//! assert!(copied.is_complete(), "{copied}");
//! # Ok(()) }
//! ```
//!
//! 1. **Stop what writes to the source**: every process that has a [`Clove`](crate::Clove) on it, each by
//!    [`shut_down`](crate::Clove::shut_down), so that what waits is written and places that were taken ahead are given back.
//! 2. Copy. What is interrupted goes on when it is run again: rows that are there and equal are passed over, and a copy that is finished
//!    is changed by nothing.
//! 3. Where it [is complete](Copied::is_complete), start the service on the target.
//!
//! Nothing is ever overwritten, nor taken away. The target is empty, or holds what an earlier run has brought; where it holds anything
//! else nothing is written ([`CopyError::Foreign`]). So a source that was written to after a first run, other than by adding rows, is
//! copied into another, empty target. To stop the service for less long, copy [`CopyPart::LOGS`] beforehand, while it runs: these grow
//! most, and their rows never change.
//!
//! When all is copied, both sides are read again and compared, row by row: that tells of a source that was written to meanwhile, and of
//! a store that does not give what it was given.
//!
//! Epochs, the roll and nodes are not copied, as they are the processes' that use a store. Neither is a bound of freshness that is the
//! source's own default: the target has another. One that a policy has asked for is.

mod side;

use crate::{
    error::StoreError,
    policy::MAX_FRESHNESS,
    store::{CopyPart, CopyPlace, CopyRow, Freshness, Store, UnreadableRow},
};
use side::Side;
use std::{cmp::Ordering, fmt, time::Duration};

/// The most rows that are written at a time, one transaction.
pub const SLICE: usize = 1024;
/// The most rows of a kind that are named; further ones are counted.
pub const MAX_NAMED: usize = 1000;

/// A copy of one store into another.
pub struct StoreCopy<'s> {
    from: &'s dyn Store,
    to: &'s dyn Store,
    parts: Vec<CopyPart>,
    slice: usize,
}

impl<'s> StoreCopy<'s> {
    /// A copy of everything.
    #[must_use]
    pub fn new(from: &'s dyn Store, to: &'s dyn Store) -> Self {
        Self { from, to, parts: CopyPart::ALL.to_vec(), slice: SLICE }
    }

    /// Copies these parts alone.
    #[must_use]
    pub fn only(mut self, parts: &[CopyPart]) -> Self {
        self.parts.retain(|part| parts.contains(part));
        self
    }

    /// Reads and writes so many rows at a time, 1 to [`SLICE`].
    #[must_use]
    pub fn slices_of(mut self, rows: usize) -> Self {
        self.slice = rows.clamp(1, SLICE);
        self
    }

    /// Copies, and compares both sides. Tells of each slice. May be dropped at any point, and run again.
    ///
    /// # Errors
    /// [`CopyError`]; what was written until then stays, and the next run goes on behind it.
    pub async fn run(&self, told: &mut (dyn FnMut(CopyStep) + Send)) -> Result<Copied, CopyError> {
        for part in &self.parts {
            let found = self.walk(*part, Pass::Survey, told).await?;
            if found.differing.count + found.surplus.count > 0 {
                return Err(CopyError::Foreign { found: Box::new(found) });
            }
        }
        let mut written = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            written.push(self.walk(*part, Pass::Write, told).await?.written);
        }
        self.carry_bound().await?;
        let mut parts = Vec::with_capacity(self.parts.len());
        for (part, written) in self.parts.iter().zip(written) {
            parts.push(CopiedPart { written, ..self.walk(*part, Pass::Compare, told).await? });
        }
        Ok(Copied { parts })
    }

    /// Goes through a part on both sides at once, in the order of its places.
    async fn walk(&self, part: CopyPart, pass: Pass, told: &mut (dyn FnMut(CopyStep) + Send)) -> Result<CopiedPart, CopyError> {
        let mut found = CopiedPart::new(part);
        let mut from = Side::new(self.from, part, self.slice);
        let mut to = Side::new(self.to, part, self.slice);
        let (mut missing, mut said) = (Vec::new(), 0);
        loop {
            let there = to.peek().await.map_err(CopyError::Target)?;
            if pass == Pass::Survey && there.is_none() {
                break;
            }
            let here = from.peek().await.map_err(CopyError::Source)?;
            let order = match (here, there) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((here, _)), Some((there, _))) => here.cmp(there),
            };
            match order {
                Ordering::Equal => match (from.take(), to.take()) {
                    (Some((_, here)), Some((_, there))) if here == there => found.equal += 1,
                    (Some((place, _)), _) => found.differing.add(place),
                    (None, _) => {}
                },
                Ordering::Less => match from.take() {
                    Some((_, row)) if pass == Pass::Write => missing.push(row),
                    Some((place, _)) if pass == Pass::Compare => found.missing.add(place),
                    _ => {}
                },
                Ordering::Greater => found.surplus.extend(to.take().map(|(place, _)| place)),
            }
            if missing.len() >= self.slice {
                found.written += self.write(part, &mut missing).await?;
            }
            let rows = found.equal + found.written;
            if rows >= said + count(self.slice) {
                said = rows;
                told(CopyStep { part, pass, rows });
            }
        }
        found.written += self.write(part, &mut missing).await?;
        // What the target holds and cannot be read is not what was copied.
        to.unreadable.into_iter().for_each(|row| found.differing.add(row.place));
        from.unreadable.into_iter().for_each(|row| found.unreadable.add(row));
        if pass != Pass::Survey {
            told(CopyStep { part, pass, rows: found.equal + found.written });
        }
        Ok(found)
    }

    async fn write(&self, part: CopyPart, rows: &mut Vec<CopyRow>) -> Result<u64, CopyError> {
        if rows.is_empty() {
            return Ok(0);
        }
        let from = rows.first().map(CopyRow::place).unwrap_or_else(|| CopyPlace(Vec::new()));
        match self.to.import(std::mem::take(rows).into()).await {
            Ok(written) => Ok(count(written)),
            Err(source @ StoreError::Conflict(_)) => Err(CopyError::Conflict { part, from, source }),
            Err(source) => Err(CopyError::Target(source)),
        }
    }

    /// The bound that a policy has asked for on the source holds on the target too.
    async fn carry_bound(&self) -> Result<(), CopyError> {
        let noted = self.from.epochs(Duration::MAX).await.map_err(CopyError::Source)?.bound;
        let is_default = matches!(self.from.freshness(), Freshness::Polled(default) if noted == default);
        // None is noted where it is longer than any that may be asked for.
        if !is_default && noted <= MAX_FRESHNESS {
            self.to.epochs(noted).await.map_err(CopyError::Target)?;
        }
        Ok(())
    }
}

impl fmt::Debug for StoreCopy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreCopy").field("parts", &self.parts).field("slice", &self.slice).finish_non_exhaustive()
    }
}

fn count(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}

/// What a copy does with a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Looks whether the target holds anything but what an earlier run has brought.
    Survey,
    /// Writes what the target lacks.
    Write,
    /// Compares both sides.
    Compare,
}

/// How far a copy has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyStep {
    /// The part.
    pub part: CopyPart,
    /// What is done with it.
    pub pass: Pass,
    /// How many of its rows are on both sides so far.
    pub rows: u64,
}

/// What a copy has found when it compared both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Part by part.
    pub parts: Vec<CopiedPart>,
}

impl Copied {
    /// Whether the target holds every row of the source, equal, and nothing else, and every row of the source could be read.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.parts.iter().all(CopiedPart::is_complete)
    }

    /// How many rows this run has written.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.parts.iter().map(|part| part.written).sum()
    }
}

impl fmt::Display for Copied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            writeln!(f, "{part}")?;
        }
        f.write_str(if self.is_complete() { "complete: both sides are equal" } else { "not complete" })
    }
}

/// What came of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopiedPart {
    /// Which.
    pub part: CopyPart,
    /// Rows that are equal on both sides.
    pub equal: u64,
    /// As many of them were written by this run.
    pub written: u64,
    /// Rows of the source that cannot be read, and are not in the target.
    pub unreadable: Named<UnreadableRow>,
    /// Rows that differ, or cannot be read in the target.
    pub differing: Named<CopyPlace>,
    /// Rows that the target lacks: they were added to the source meanwhile. Another run copies them.
    pub missing: Named<CopyPlace>,
    /// Rows of the target that the source has not.
    pub surplus: Named<CopyPlace>,
}

impl CopiedPart {
    fn new(part: CopyPart) -> Self {
        let (unreadable, differing, missing, surplus) = Default::default();
        Self { part, equal: 0, written: 0, unreadable, differing, missing, surplus }
    }

    /// As [`Copied::is_complete`], of this part.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.unreadable.count + self.differing.count + self.missing.count + self.surplus.count == 0
    }
}

impl fmt::Display for CopiedPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} equal, {} of them written now", self.part, self.equal, self.written)?;
        self.unreadable.write(f, "cannot be read in the source")?;
        self.differing.write(f, "differ")?;
        self.missing.write(f, "are missing in the target")?;
        self.surplus.write(f, "are in the target alone")
    }
}

/// Rows, as many as there are, and the first of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named<T> {
    /// How many.
    pub count: u64,
    /// The first [`MAX_NAMED`].
    pub first: Vec<T>,
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self { count: 0, first: Vec::new() }
    }
}

impl<T: fmt::Display> Named<T> {
    fn add(&mut self, row: T) {
        self.count += 1;
        if self.first.len() < MAX_NAMED {
            self.first.push(row);
        }
    }

    fn extend(&mut self, row: Option<T>) {
        row.into_iter().for_each(|row| self.add(row));
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, what: &str) -> fmt::Result {
        if self.count == 0 {
            return Ok(());
        }
        write!(f, "; {} {what}:", self.count)?;
        self.first.iter().try_for_each(|row| write!(f, "\n  {row}"))
    }
}

/// Why a copy has stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// The target holds rows that no run of this copy has brought, or rows of the source were changed after a run. Nothing was written by
    /// this one. Copy into an empty target.
    #[error("the target holds what the source does not, so nothing was written: copy into an empty one\n{found}")]
    Foreign {
        /// What was found in the first such part.
        found: Box<CopiedPart>,
    },
    /// A row of a slice is in the target under another name, or was written there meanwhile. The slice was not written.
    #[error("{part} from {from} on: the target holds other rows in their place")]
    Conflict {
        /// The part.
        part: CopyPart,
        /// The first row of the slice.
        from: CopyPlace,
        /// What the store said.
        #[source]
        source: StoreError,
    },
    /// The source failed.
    #[error("the source failed")]
    Source(#[source] StoreError),
    /// The target failed. Run it again.
    #[error("the target failed")]
    Target(#[source] StoreError),
}
