//! Figures as a picture, drawn in SVG without script or inline style, and as the table of the same numbers.
//!
//! Widths are in percent and heights in pixels, so that the picture is as wide as its place and its text stays as large as any other.
//! Bands differ by colour, which the style sheet gives, and by pattern.

use super::{
    figures::{Band, Figures, scale},
    words,
};
use maud::{Markup, html};

/// How high the bars may be, in pixels.
const HEIGHT: u64 = 220;
/// Above the highest line, so that its number is not cut off.
const ABOVE: u64 = 12;
/// Below the lowest, for the days.
const BELOW: u64 = 26;
/// How much of a day's place its bar takes, in percent.
const BAR: usize = 74;

/// What is drawn over each band's colour, in squares of eight pixels; the others' is the last.
const PATTERNS: [&str; 7] =
    ["", "M-2,2l4,-4M0,8l8,-8M6,10l4,-4", "M1,2h2M5,6h2", "M0,4h8", "M-2,6l4,4M0,0l8,8M6,-2l4,4", "M4,0v8", "M0,4h8M4,0v8"];

/// Which look a band has, by its place among the bands.
fn look(place: usize, is_others: bool) -> usize {
    let last = PATTERNS.len() - 1;
    if is_others { last } else { place.min(last - 1) }
}

/// The name of a band's pattern within the page.
fn pattern(look: usize) -> String {
    format!("band-{look}")
}

/// The picture: a bar a day, in which the bands stand on each other, and the table of it. `what` is counted: "requests".
pub(super) fn chart(figures: &Figures, what: &str) -> Markup {
    let (first, last) = figures.span.ends();
    let by_day = figures.by_day();
    let (top, step) = scale(by_day.iter().copied().max().unwrap_or_default());
    let height = HEIGHT + ABOVE + BELOW;
    html! {
        figure .chart {
            figcaption .hint { (what) " a day in UTC, " (words::day(first)) " to " (words::day(last)) }
            div .plot {
                svg .scale width="52" height=(height) aria-hidden="true" focusable="false" {
                    @for line in lines(top, step) {
                        text x="46" y=(level(line, top) + 4) text-anchor="end" { (words::short(line)) }
                    }
                }
                svg .bars width="100%" height=(height) role="img" aria-labelledby="chart-title chart-text" focusable="false" {
                    title #chart-title { "Chart: " (what) " a day" }
                    desc #chart-text { (described(figures, what)) }
                    defs { @for look in 0..PATTERNS.len() { (defined(look)) } }
                    @for line in lines(top, step) {
                        line .grid x1="0" x2="100%" y1=(level(line, top)) y2=(level(line, top)) {}
                    }
                    @for (place, day) in figures.span.days().enumerate() {
                        g .day {
                            title { (words::day(day)) ": " (words::number(by_day.get(place).copied().unwrap_or_default())) " " (what) }
                            (column(figures, place, top))
                        }
                    }
                    (days(figures))
                }
            }
            (legend(figures))
        }
        details .numbers {
            summary { "The same numbers as a table" }
            (table(figures, what))
        }
    }
}

/// The lines of a scale, the lowest first.
fn lines(top: u64, step: u64) -> impl Iterator<Item = u64> {
    (0..=top / step.max(1)).map(move |line| line.saturating_mul(step))
}

/// How many pixels from above a number stands.
fn level(number: u64, top: u64) -> u64 {
    let up = u128::from(number) * u128::from(HEIGHT) / u128::from(top.max(1));
    (ABOVE + HEIGHT).saturating_sub(u64::try_from(up).unwrap_or(HEIGHT))
}

/// A day's bar, from below.
fn column(figures: &Figures, place: usize, top: u64) -> Markup {
    let days = figures.span.len();
    let (x, width) = (percent(place * 200 + (100 - BAR), days * 200), percent(BAR, days * 100));
    let mut below = 0_u64;
    let parts = figures.bands.iter().enumerate().filter_map(|(band, Band { amounts, is_others, .. })| {
        let amount = amounts.get(place).copied().filter(|amount| *amount > 0)?;
        let from = level(below, top);
        below = below.saturating_add(amount);
        let to = level(below, top);
        // What is there is seen, and has a gap above it where that leaves it high enough.
        let height = from.saturating_sub(to);
        let height = if height > 3 && below > amount { height - 1 } else { height.max(1) };
        Some((pattern(look(band, *is_others)), from.saturating_sub(height), height))
    });
    let parts: Vec<_> = parts.collect();
    html! {
        // The whole height answers to the pointer.
        rect .place x=(percent(place, days)) width=(percent(1, days)) y=(ABOVE) height=(HEIGHT) {}
        @for (pattern, y, height) in parts {
            rect x=(x) width=(width) y=(y) height=(height) fill=(format!("url(#{pattern})")) {}
        }
    }
}

/// The names of some days, below.
fn days(figures: &Figures) -> Markup {
    let (all, y) = (figures.span.len(), ABOVE + HEIGHT + 19);
    let last = all.saturating_sub(1);
    let mut places: Vec<usize> = (0..4).map(|third| third * last / 3).collect();
    places.dedup();
    let named = places.into_iter().filter_map(|place| Some((place, figures.span.days().nth(place)?)));
    html! {
        g aria-hidden="true" {
            @for (place, day) in named {
                @let (x, anchor) = match place {
                    0 if last > 0 => ("0".to_owned(), "start"),
                    place if place == last && last > 0 => ("100%".to_owned(), "end"),
                    place => (percent(place * 2 + 1, all * 2), "middle"),
                };
                text x=(x) y=(y) text-anchor=(anchor) { (words::short_day(day)) }
            }
        }
    }
}

fn defined(look: usize) -> Markup {
    let marks = PATTERNS.get(look).copied().unwrap_or_default();
    html! {
        pattern id=(pattern(look)) width="8" height="8" patternUnits="userSpaceOnUse" {
            rect .(pattern(look)) width="8" height="8" {}
            @if !marks.is_empty() { path .mark d=(marks) {} }
        }
    }
}

/// What the picture says, for who does not see it.
fn described(figures: &Figures, what: &str) -> String {
    let (first, last) = figures.span.ends();
    let range = format!("From {} to {}", words::day(first), words::day(last));
    match figures.peak() {
        Some((day, most)) => format!(
            "{range}: {} {what} in all. The most on one day were {}, on {}. A table of the same numbers follows.",
            words::number(figures.total()),
            words::number(most),
            words::day(day),
        ),
        None => format!("{range}: no {what}."),
    }
}

/// A square that looks like a band.
pub(super) fn swatch(place: usize, is_others: bool) -> Markup {
    html! {
        svg .swatch width="14" height="14" aria-hidden="true" focusable="false" {
            rect width="14" height="14" rx="3" fill=(format!("url(#{})", pattern(look(place, is_others)))) {}
        }
    }
}

fn legend(figures: &Figures) -> Markup {
    let total = figures.total();
    html! {
        ul .legend {
            @for (place, band) in figures.bands.iter().enumerate() {
                li {
                    (swatch(place, band.is_others))
                    span .label { (band.label) }
                    span .amount { (words::short(band.total())) " · " (words::share(band.total(), total)) }
                }
            }
        }
    }
}

/// The numbers behind the picture: a row a day.
fn table(figures: &Figures, what: &str) -> Markup {
    let by_day = figures.by_day();
    html! {
        div .scrolls tabindex="0" role="region" aria-label={ "Table: " (what) " a day" } {
            table {
                caption .unseen { (what) " a day" }
                thead {
                    tr {
                        th scope="col" { "Day (UTC)" }
                        @for band in &figures.bands { th .number scope="col" { (band.label) } }
                        th .number scope="col" { "All" }
                    }
                }
                tbody {
                    @for (place, day) in figures.span.days().enumerate() {
                        tr {
                            th scope="row" { (words::day(day)) }
                            @for band in &figures.bands {
                                td .number { (words::number(band.amounts.get(place).copied().unwrap_or_default())) }
                            }
                            td .number { (words::number(by_day.get(place).copied().unwrap_or_default())) }
                        }
                    }
                }
                tfoot {
                    tr {
                        th scope="row" { "In all" }
                        @for band in &figures.bands { td .number { (words::number(band.total())) } }
                        td .number { (words::number(figures.total())) }
                    }
                }
            }
        }
    }
}

/// So many of so many, in percent to a thousandth.
fn percent(part: usize, whole: usize) -> String {
    let thousandths = part.saturating_mul(100_000) / whole.max(1);
    format!("{}.{:03}%", thousandths / 1000, thousandths % 1000)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::pages::team::figures::Span;
    use clove_core::{Unit, Usage};

    fn figures(days: u32, amounts: &[(&str, u64)]) -> Figures {
        let today = "2026-01-05".parse::<chrono::NaiveDate>().unwrap();
        let series =
            |amount: u64| vec![Usage { account: None, key: None, unit: Unit::requests(), day: Some(today.into()), amount }];
        let apart = amounts.iter().map(|(label, amount)| ((*label).to_owned(), series(*amount))).collect();
        Figures::new(Span::up_to(today, days), apart, &series(amounts.iter().map(|(_, amount)| amount).sum()), "Others")
    }

    #[test]
    fn a_bar_stands_on_the_ground_and_reaches_as_high_as_its_number() {
        assert_eq!((level(0, 100), level(50, 100), level(100, 100)), (ABOVE + HEIGHT, ABOVE + HEIGHT / 2, ABOVE));
        let drawn = column(&figures(1, &[("ada", 60), ("grace", 40)]), 0, 100).into_string();
        let (ada, grace) = (HEIGHT * 60 / 100, HEIGHT * 40 / 100);
        assert!(drawn.contains(&format!(r#"y="{}" height="{ada}" fill="url(#band-0)""#, ABOVE + HEIGHT - ada)), "{drawn}");
        assert!(drawn.contains(&format!(r#"height="{}" fill="url(#band-1)""#, grace - 1)), "a gap between them: {drawn}");
    }

    #[test]
    fn the_least_amount_is_seen() {
        let drawn = column(&figures(1, &[("ada", 1)]), 0, 1_000_000).into_string();
        assert!(drawn.contains(r#"height="1" fill="url(#band-0)""#), "{drawn}");
    }

    #[test]
    fn the_picture_is_described_and_every_number_of_it_is_in_the_table() {
        let drawn = chart(&figures(7, &[("ada <b>", 1_234), ("grace", 55)]), "requests").into_string();
        assert!(
            drawn.contains(
                "From 30 Dec 2025 to 5 Jan 2026: 1,289 requests in all. The most on one day were 1,289, on 5 Jan 2026."
            )
        );
        for number in ["<td class=\"number\">1,234</td>", "<td class=\"number\">55</td>", "<td class=\"number\">1,289</td>"] {
            assert!(drawn.contains(number), "{number}");
        }
        let caption = r#"<figcaption class="hint">requests a day in UTC, 30 Dec 2025 to 5 Jan 2026</figcaption>"#;
        assert!(drawn.contains(caption), "which days these are, for everybody to see: {drawn}");
        assert!(!drawn.contains("<b>") && !drawn.contains("style="), "no text becomes markup, and nothing is styled inline");
    }

    #[test]
    fn days_are_named_below_at_both_ends() {
        let drawn = days(&figures(90, &[])).into_string();
        assert_eq!(drawn.matches("<text").count(), 4);
        assert!(drawn.contains(">8 Oct<") && drawn.contains(r#"text-anchor="end">5 Jan<"#), "{drawn}");
        assert_eq!(days(&figures(1, &[])).into_string().matches("<text").count(), 1);
    }
}
