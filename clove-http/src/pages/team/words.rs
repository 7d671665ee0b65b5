//! Numbers, units and days in words.

use chrono::NaiveDate;
use clove_core::Unit;

/// A number with its thousands apart: "1,234,567".
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A number in four characters or so, rounded down: "950", "1.2K", "34M".
pub(super) fn short(number: u64) -> String {
    const SIZES: [(u64, &str); 6] = [
        (1_000_000_000_000_000_000, "E"),
        (1_000_000_000_000_000, "P"),
        (1_000_000_000_000, "T"),
        (1_000_000_000, "B"),
        (1_000_000, "M"),
        (1_000, "K"),
    ];
    let Some((size, letter)) = SIZES.into_iter().find(|(size, _)| number >= *size) else { return number.to_string() };
    let (whole, tenth) = (number / size, number % size / (size / 10));
    if whole < 10 && tenth > 0 { format!("{whole}.{tenth}{letter}") } else { format!("{whole}{letter}") }
}

/// "1 key", "2 keys".
pub(super) fn count(many: usize, one: &str) -> String {
    let many = u64::try_from(many).unwrap_or(u64::MAX);
    format!("{} {one}{}", number(many), if many == 1 { "" } else { "s" })
}

/// What is counted: "input tokens" for `input_tokens`.
pub(super) fn unit(unit: &Unit) -> String {
    unit.as_str().replace(['_', '.', '-'], " ")
}

/// How much of the whole, in percent: "34%", "<1%".
pub(super) fn share(part: u64, whole: u64) -> String {
    match u128::from(part) * 100 / u128::from(whole.max(1)) {
        0 if part > 0 => "<1%".to_owned(),
        percent => format!("{percent}%"),
    }
}

/// "5 Jan", for where the year is clear.
pub(super) fn short_day(day: NaiveDate) -> String {
    day.format("%-d %b").to_string()
}

/// "5 Jan 2026".
pub(super) fn day(day: NaiveDate) -> String {
    day.format("%-d %b %Y").to_string()
}

/// "a minute", "90 minutes", "a day": how long a window is.
pub(super) fn length(seconds: u32) -> String {
    let (many, unit) = match seconds {
        seconds if seconds.is_multiple_of(86_400) => (seconds / 86_400, "day"),
        seconds if seconds.is_multiple_of(3_600) => (seconds / 3_600, "hour"),
        seconds if seconds.is_multiple_of(60) => (seconds / 60, "minute"),
        seconds => (seconds, "second"),
    };
    match (many, unit) {
        (1, "hour") => "an hour".to_owned(),
        (1, unit) => format!("a {unit}"),
        (many, unit) => format!("{many} {unit}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (plain, grouped) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567"), (100_000, "100,000")] {
            assert_eq!(number(plain), grouped);
        }
        assert_eq!(number(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn short_numbers_are_never_more_than_there_is() {
        for (plain, told) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1K"),
            (1_999, "1.9K"),
            (10_900, "10K"),
            (999_999, "999K"),
            (2_500_000, "2.5M"),
            (u64::MAX, "18E"),
        ] {
            assert_eq!(short(plain), told);
        }
    }

    #[test]
    fn a_share_that_is_there_is_never_told_as_nothing() {
        for (part, whole, told) in [(0, 0, "0%"), (0, 5, "0%"), (1, 1000, "<1%"), (1, 3, "33%"), (u64::MAX, u64::MAX, "100%")] {
            assert_eq!(share(part, whole), told);
        }
    }

    #[test]
    fn one_is_one_and_lengths_are_told_in_their_largest_unit() {
        assert_eq!([0, 1, 2].map(|many| count(many, "key")), ["0 keys", "1 key", "2 keys"]);
        for (seconds, told) in [
            (1, "a second"),
            (60, "a minute"),
            (90, "90 seconds"),
            (3_600, "an hour"),
            (5_400, "90 minutes"),
            (86_400, "a day"),
            (604_800, "7 days"),
        ] {
            assert_eq!(length(seconds), told);
        }
    }
}
