//! Figures of the HTTP edge, `clove-bench --http`. They need wrk, and the gateway of the examples.

mod first_byte;
mod gateway;
mod middleware;
mod wrk;

use crate::Group;

pub(crate) const GROUPS: [Group; 2] =
    [Group { names: middleware::names, run: middleware::run }, Group { names: first_byte::names, run: first_byte::run }];

/// What is missing for these figures.
pub(crate) fn missing() -> Option<String> {
    wrk::program().err().or_else(gateway::missing)
}
