//! Times, for people and for machines.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use maud::{Markup, html};

/// A time in UTC; the script shows it on the visitor's own clock.
pub(crate) fn time(at: DateTime<Utc>) -> Markup {
    html! { time datetime=(at.to_rfc3339_opts(SecondsFormat::Secs, true)) { (at.format("%-d %b %Y, %H:%M UTC")) } }
}

/// How far away a time is, in the largest unit that fits: "in 90 days", "2 hours ago". What is past is rounded down. What is to come
/// is rounded to the nearest: a moment after somebody has chosen 90 days, these are 90 days and not 89.
pub(crate) fn distance(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let distance = at - now;
    let seconds = distance.num_seconds().abs();
    let round = |unit: i64| if distance > TimeDelta::zero() { (seconds + (unit - 1) / 2) / unit } else { seconds / unit };
    let (minutes, hours, days) = (round(60), round(3_600), round(86_400));
    let unit = |count: i64, unit: &str| format!("{count} {unit}{}", if count == 1 { "" } else { "s" });
    let length = match () {
        () if seconds < 60 => "less than a minute".to_owned(),
        () if minutes < 60 => unit(minutes, "minute"),
        () if hours < 24 => unit(hours, "hour"),
        () => unit(days, "day"),
    };
    if distance > TimeDelta::zero() { format!("in {length}") } else { format!("{length} ago") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_time_is_told_in_utc_to_people_and_to_machines() {
        let at = DateTime::from_timestamp(1_767_614_400, 0).unwrap();
        assert_eq!(time(at).into_string(), r#"<time datetime="2026-01-05T12:00:00Z">5 Jan 2026, 12:00 UTC</time>"#);
    }

    #[test]
    fn a_distance_is_told_in_its_largest_unit() {
        let now = DateTime::from_timestamp(1_767_614_400, 0).unwrap();
        for (seconds, told) in [
            (90 * 86_400, "in 90 days"),
            (86_400, "in 1 day"),
            (90 * 86_400 - 1, "in 90 days"),
            (36 * 3_600 + 1, "in 2 days"),
            (36 * 3_600, "in 1 day"),
            (86_399, "in 1 day"),
            (3_599, "in 1 hour"),
            (91, "in 2 minutes"),
            (60, "in 1 minute"),
            (59, "in less than a minute"),
            (0, "less than a minute ago"),
            (-3_599, "59 minutes ago"),
            (-200_000, "2 days ago"),
        ] {
            assert_eq!(distance(now + TimeDelta::seconds(seconds), now), told);
        }
    }
}
