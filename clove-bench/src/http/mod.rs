//! Figures of the HTTP edge, `clove-bench --http`. They need wrk.

mod middleware;
mod wrk;

use crate::Group;

pub(crate) const GROUPS: [Group; 1] = [Group { names: middleware::names, run: middleware::run }];

/// What is missing for these figures.
pub(crate) fn missing() -> Option<String> {
    wrk::program().err()
}
