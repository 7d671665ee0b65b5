//! A subscriber of `tracing` and a recorder of `metrics` that keep all that they are given.

#![allow(dead_code, reason = "each test uses a part")]

use metrics::{Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{Debug, Write},
    sync::{
        Arc, Mutex, Once,
        atomic::{AtomicU64, Ordering},
    },
};
use tracing::{
    Event, Subscriber, field, span,
    subscriber::{DefaultGuard, Interest},
};

/// An event: its level, the names of its fields, and all that it says.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) name: &'static str,
    pub(crate) level: String,
    pub(crate) fields: BTreeSet<&'static str>,
    pub(crate) text: String,
}

/// Clones share what was captured.
#[derive(Clone, Default)]
pub(crate) struct Events(Arc<Mutex<Vec<Said>>>);

impl Events {
    pub(crate) fn said(&self) -> Vec<Said> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

struct Text<'t>(&'t mut String);

impl field::Visit for Text<'_> {
    fn record_debug(&mut self, field: &field::Field, value: &dyn Debug) {
        write!(self.0, "{}={value:?} ", field.name()).unwrap();
    }
}

impl Events {
    /// Hears what this thread says until the guard is dropped.
    ///
    /// What no subscriber has ever wanted is never asked about again, on any thread: so one is there from the first on that may want
    /// everything, and wants nothing.
    pub(crate) fn listen(&self) -> DefaultGuard {
        static ASLEEP: Once = Once::new();
        ASLEEP.call_once(|| tracing::subscriber::set_global_default(Asleep).unwrap());
        tracing::subscriber::set_default(self.clone())
    }
}

struct Asleep;

impl Subscriber for Asleep {
    fn register_callsite(&self, _: &'static tracing::Metadata<'static>) -> Interest {
        Interest::sometimes()
    }
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        false
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

impl Subscriber for Events {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        let (about, mut text) = (event.metadata(), String::new());
        assert_eq!(about.target(), "clove");
        event.record(&mut Text(&mut text));
        let fields = about.fields().iter().map(|field| field.name()).filter(|name| *name != "message").collect();
        self.0.lock().unwrap().push(Said { name: about.name(), level: about.level().to_string(), fields, text });
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// One series: its name and its labels.
pub(crate) type Name = (String, Vec<(String, String)>);

/// Clones share what was recorded.
#[derive(Clone, Default)]
pub(crate) struct Series(Arc<Mutex<Recorded>>);

#[derive(Default)]
struct Recorded {
    counts: BTreeMap<Name, Arc<AtomicU64>>,
    seconds: BTreeMap<Name, Arc<Seconds>>,
    described: BTreeMap<String, (Option<Unit>, String)>,
}

#[derive(Default)]
struct Seconds(Mutex<Vec<f64>>);

impl HistogramFn for Seconds {
    fn record(&self, value: f64) {
        self.0.lock().unwrap().push(value);
    }
}

fn name(key: &Key) -> Name {
    let labels = key.labels().map(|label| (label.key().to_owned(), label.value().to_owned()));
    (key.name().to_owned(), labels.collect())
}

impl Series {
    /// All series, with what was counted; of histograms, how often.
    pub(crate) fn counts(&self) -> BTreeMap<Name, u64> {
        let recorded = self.0.lock().unwrap();
        let counts = recorded.counts.iter().map(|(name, count)| (name.clone(), count.load(Ordering::Relaxed)));
        let seconds = recorded.seconds.iter().map(|(name, values)| (name.clone(), values.0.lock().unwrap().len() as u64));
        counts.chain(seconds).collect()
    }
    pub(crate) fn count(&self, name: &str, label: Option<(&str, &str)>) -> u64 {
        let labels = label.map(|(key, value)| (key.to_owned(), value.to_owned()));
        self.counts().get(&(name.to_owned(), labels.into_iter().collect())).copied().unwrap_or(u64::MAX)
    }
    /// What histograms were given, in order.
    pub(crate) fn seconds(&self) -> Vec<f64> {
        self.0.lock().unwrap().seconds.values().flat_map(|values| values.0.lock().unwrap().clone()).collect()
    }
    pub(crate) fn described(&self) -> BTreeMap<String, (Option<Unit>, String)> {
        self.0.lock().unwrap().described.clone()
    }
    fn describe(&self, key: &KeyName, unit: Option<Unit>, text: &SharedString) {
        self.0.lock().unwrap().described.insert(key.as_str().to_owned(), (unit, text.to_string()));
    }
}

impl Recorder for Series {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, text: SharedString) {
        self.describe(&key, unit, &text);
    }
    fn describe_gauge(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        panic!("a gauge: {key:?}");
    }
    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, text: SharedString) {
        self.describe(&key, unit, &text);
    }
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let count = Arc::clone(self.0.lock().unwrap().counts.entry(name(key)).or_default());
        Counter::from_arc(Arc::new(Count(count)))
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        panic!("a gauge: {key:?}");
    }
    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::clone(self.0.lock().unwrap().seconds.entry(name(key)).or_default()))
    }
}

struct Count(Arc<AtomicU64>);

impl CounterFn for Count {
    fn increment(&self, value: u64) {
        self.0.fetch_add(value, Ordering::Relaxed);
    }
    fn absolute(&self, _: u64) {
        panic!("counters are incremented");
    }
}
