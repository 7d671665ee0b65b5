//! A figure beside its limit, and how it is printed.

use serde_json::json;

/// What a ratio must be.
#[derive(Clone, Copy)]
pub(crate) enum Bar {
    AtMost(f64),
    AtLeast(f64),
    /// At most so far from 1, either way.
    Within(f64),
    /// Not of the ratio: the value itself must be 0. There is no limit beside it.
    Zero,
    /// Stated, not judged.
    None,
}

/// A figure beside its limit: medians from the same run.
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) limit: f64,
    pub(crate) unit: &'static str,
    pub(crate) bar: Bar,
}

impl Figure {
    pub(crate) fn ratio(&self) -> f64 {
        self.value / self.limit
    }

    /// Whether the bar is met; `None` where there is none.
    pub(crate) fn holds(&self) -> Option<bool> {
        match self.bar {
            Bar::AtMost(bar) => Some(self.ratio() <= bar),
            Bar::AtLeast(bar) => Some(self.ratio() >= bar),
            Bar::Within(bar) => Some((self.ratio() - 1.0).abs() <= bar),
            Bar::Zero => Some(self.value == 0.0),
            Bar::None => None,
        }
    }

    fn json(&self) -> String {
        let bar = match self.bar {
            Bar::AtMost(bar) | Bar::AtLeast(bar) | Bar::Within(bar) => Some(bar),
            Bar::Zero => Some(0.0),
            Bar::None => None,
        };
        // A ratio to nothing is no number, which JSON knows as null.
        let rounded = |number: f64| (number * 1000.0).round() / 1000.0;
        json!({
            "figure": self.name,
            "value": rounded(self.value),
            "limit": rounded(self.limit),
            "unit": self.unit,
            "ratio": rounded(self.ratio()),
            "bar": bar,
            "holds": self.holds(),
        })
        .to_string()
    }

    fn row(&self) -> String {
        let bar = match self.bar {
            Bar::AtMost(bar) => format!("<= {bar:.2}"),
            Bar::AtLeast(bar) => format!(">= {bar:.2}"),
            Bar::Within(bar) => format!("+- {bar:.2}"),
            Bar::Zero => "0".to_owned(),
            Bar::None => "-".to_owned(),
        };
        let ratio = if self.ratio().is_finite() { format!("{:.2}", self.ratio()) } else { "-".to_owned() };
        let holds = match self.holds() {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "-",
        };
        let Self { name, value, limit, unit, .. } = self;
        format!("{name:<40} {value:>10.1} {limit:>10.1} {unit:<7} {ratio:>6} {bar:>7} {holds:>6}")
    }
}

/// Prints figures as they come: a table, or one JSON object a line.
pub(crate) struct Printer {
    json: bool,
    judged: usize,
    missed: Vec<String>,
}

impl Printer {
    pub(crate) fn new(json: bool) -> Self {
        if !json {
            println!("{:<40} {:>10} {:>10} {:<7} {:>6} {:>7} {:>6}", "figure", "value", "limit", "unit", "ratio", "bar", "holds");
        }
        Self { json, judged: 0, missed: Vec::new() }
    }

    pub(crate) fn print(&mut self, figure: &Figure) {
        println!("{}", if self.json { figure.json() } else { figure.row() });
        self.judged += usize::from(figure.holds().is_some());
        if figure.holds() == Some(false) {
            self.missed.push(figure.name.clone());
        }
    }

    /// Sums up, for people.
    pub(crate) fn end(&self) {
        if !self.json {
            let missed = if self.missed.is_empty() { String::new() } else { format!("; missed: {}", self.missed.join(", ")) };
            println!("{} of {} bars hold{missed}", self.judged - self.missed.len(), self.judged);
        }
    }
}
