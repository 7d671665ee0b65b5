//! What was used day by day, as a chart and its table show it: the largest by themselves, and the others together.

use chrono::{Days, NaiveDate};
use clove_core::{Day, Usage};

/// How many are told apart in a chart.
pub(super) const MAX_BANDS: usize = 6;

/// The days that are looked at, oldest first, up to today.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    first: NaiveDate,
    days: u32,
}

impl Span {
    /// So many days, at least one, of which the last is `today`.
    pub(super) fn up_to(today: NaiveDate, days: u32) -> Self {
        let days = days.max(1);
        Self { first: today.checked_sub_days(Days::new(u64::from(days - 1))).unwrap_or(NaiveDate::MIN), days }
    }

    /// How many.
    pub(super) fn len(&self) -> usize {
        usize::try_from(self.days).unwrap_or_default()
    }

    /// Each of them.
    pub(super) fn days(&self) -> impl DoubleEndedIterator<Item = NaiveDate> + ExactSizeIterator + '_ {
        (0..self.days).map(|after| self.first.checked_add_days(Days::new(after.into())).unwrap_or(NaiveDate::MAX))
    }

    /// The first and the last.
    pub(super) fn ends(&self) -> (NaiveDate, NaiveDate) {
        (self.first, self.days().next_back().unwrap_or(self.first))
    }

    fn place(&self, day: Day) -> Option<usize> {
        let days = NaiveDate::from(day).signed_duration_since(self.first).num_days();
        usize::try_from(days).ok().filter(|place| *place < self.len())
    }

    /// The amounts of a series by day.
    fn amounts(&self, sums: &[Usage]) -> Vec<u64> {
        let mut amounts = vec![0_u64; self.len()];
        for sum in sums {
            if let Some(amount) = sum.day.and_then(|day| self.place(day)).and_then(|place| amounts.get_mut(place)) {
                *amount = amount.saturating_add(sum.amount);
            }
        }
        amounts
    }
}

/// One of those that are told apart, or the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Band {
    /// Whose.
    pub(super) label: String,
    /// How much on each day.
    pub(super) amounts: Vec<u64>,
    /// Whether it is all that have no band of their own.
    pub(super) is_others: bool,
}

impl Band {
    /// How much in all.
    pub(super) fn total(&self) -> u64 {
        self.amounts.iter().fold(0, |sum, amount| sum.saturating_add(*amount))
    }
}

/// Bands over a span of days, the largest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Figures {
    /// The days.
    pub(super) span: Span,
    /// The bands; that of the others is the last, where they used anything.
    pub(super) bands: Vec<Band>,
}

impl Figures {
    /// From a series of each that is told apart, and one of all together: what is not told apart is the others'. The series of all is to
    /// be read last, so that it holds what the others hold.
    pub(super) fn new(span: Span, apart: Vec<(String, Vec<Usage>)>, whole: &[Usage], others: &str) -> Self {
        let band = |(label, sums): (String, Vec<Usage>)| Band { label, amounts: span.amounts(&sums), is_others: false };
        let mut bands: Vec<Band> = apart.into_iter().map(band).collect();
        let mut rest = span.amounts(whole);
        for band in &bands {
            for (left, amount) in rest.iter_mut().zip(&band.amounts) {
                *left = left.saturating_sub(*amount);
            }
        }
        if rest.iter().any(|amount| *amount > 0) {
            bands.push(Band { label: others.to_owned(), amounts: rest, is_others: true });
        }
        Self { span, bands }
    }

    /// How much each day, by all bands.
    pub(super) fn by_day(&self) -> Vec<u64> {
        let mut sums = vec![0_u64; self.span.len()];
        for band in &self.bands {
            for (sum, amount) in sums.iter_mut().zip(&band.amounts) {
                *sum = sum.saturating_add(*amount);
            }
        }
        sums
    }

    /// How much in all.
    pub(super) fn total(&self) -> u64 {
        self.by_day().into_iter().fold(0, u64::saturating_add)
    }

    /// The day with the most, and how much that is; `None` where nothing was used.
    pub(super) fn peak(&self) -> Option<(NaiveDate, u64)> {
        // The first of several.
        let days = self.span.days().zip(self.by_day()).rev();
        days.max_by_key(|(_, sum)| *sum).filter(|(_, sum)| *sum > 0)
    }
}

/// Up to where a chart goes whose highest bar is `most`, and how far its lines are apart: 1, 2 or 5 times a power of ten, at most five
/// lines.
pub(super) fn scale(most: u64) -> (u64, u64) {
    let mut step = 1_u64;
    for factor in [2, 5, 10].into_iter().cycle() {
        if most.div_ceil(step) <= 5 {
            break;
        }
        // 1, 2, 5 and again with a zero more.
        let Some(next) = power_of(step).checked_mul(factor) else { break };
        step = next;
    }
    (most.div_ceil(step).max(1).saturating_mul(step), step)
}

/// The power of ten at or below a number.
fn power_of(number: u64) -> u64 {
    10_u64.pow(number.max(1).ilog10())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use clove_core::Unit;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn series(amounts: &[(&str, u64)]) -> Vec<Usage> {
        let sum = |(date, amount): &(&str, u64)| Usage {
            account: None,
            key: None,
            unit: Unit::requests(),
            day: Some(day(date).into()),
            amount: *amount,
        };
        amounts.iter().map(sum).collect()
    }

    #[test]
    fn a_span_ends_today_and_has_a_place_for_each_of_its_days() {
        let span = Span::up_to(day("2026-03-01"), 3);
        assert_eq!(span.days().collect::<Vec<_>>(), [day("2026-02-27"), day("2026-02-28"), day("2026-03-01")]);
        assert_eq!(span.ends(), (day("2026-02-27"), day("2026-03-01")));
        let amounts = span.amounts(&series(&[("2026-02-26", 1), ("2026-02-27", 2), ("2026-03-01", 4), ("2026-03-02", 8)]));
        assert_eq!(amounts, [2, 0, 4], "days outside are nobody's");
    }

    #[test]
    fn what_is_not_told_apart_is_the_others() {
        let span = Span::up_to(day("2026-01-05"), 2);
        let apart = vec![
            ("ada".to_owned(), series(&[("2026-01-04", 10), ("2026-01-05", 5)])),
            ("grace".to_owned(), series(&[("2026-01-05", 7)])),
        ];
        let whole = series(&[("2026-01-04", 10), ("2026-01-05", 15)]);
        let figures = Figures::new(span.clone(), apart.clone(), &whole, "Others");
        let bands: Vec<_> = figures.bands.iter().map(|band| (band.label.as_str(), band.total(), band.is_others)).collect();
        assert_eq!(bands, [("ada", 15, false), ("grace", 7, false), ("Others", 3, true)]);
        assert_eq!((figures.by_day(), figures.total()), (vec![10, 15], 25));
        assert_eq!(figures.peak(), Some((day("2026-01-05"), 15)));

        let none = Figures::new(span, apart, &series(&[("2026-01-04", 10), ("2026-01-05", 12)]), "Others");
        assert_eq!(none.bands.len(), 2, "nobody else used anything");
    }

    #[test]
    fn a_whole_that_was_read_too_early_takes_nothing_away() {
        let span = Span::up_to(day("2026-01-05"), 1);
        let apart = vec![("ada".to_owned(), series(&[("2026-01-05", 9)]))];
        let figures = Figures::new(span, apart, &series(&[("2026-01-05", 8)]), "Others");
        assert_eq!((figures.bands.len(), figures.total()), (1, 9));
    }

    #[test]
    fn of_days_that_are_as_high_the_first_is_the_peak_and_of_nothing_there_is_none() {
        let span = Span::up_to(day("2026-01-05"), 2);
        let figures = Figures::new(span.clone(), Vec::new(), &series(&[("2026-01-04", 3), ("2026-01-05", 3)]), "Others");
        assert_eq!(figures.peak(), Some((day("2026-01-04"), 3)));
        assert_eq!(Figures::new(span, Vec::new(), &[], "Others").peak(), None);
    }

    #[test]
    fn a_scale_holds_its_highest_bar_in_at_most_five_round_steps() {
        for (most, expected) in [
            (0, (1, 1)),
            (1, (1, 1)),
            (5, (5, 1)),
            (6, (6, 2)),
            (10, (10, 2)),
            (11, (15, 5)),
            (26, (30, 10)),
            (99, (100, 20)),
            (4_321, (5_000, 1_000)),
        ] {
            assert_eq!(scale(most), expected, "{most}");
        }
        for most in (0..64).map(|bits| u64::MAX >> bits).chain(0..10_000) {
            let (top, step) = scale(most);
            assert!(top >= most && top.div_ceil(step) <= 5, "{most}: {top} in steps of {step}");
        }
    }
}
