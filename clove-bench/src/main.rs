//! The figures of clove, each beside its limit, both measured in one run: `clove-bench [--json] [--only NAME]`; with `--postgres`
//! those of the store on Postgres, on the server that `CLOVE_TEST_POSTGRES` names, and with `--http` those of the HTTP edge. Both are
//! features of their own, so that the others are soon built.
//!
//! A limit is what the same work costs when it is written straight against the libraries; all of them are in [`limits`].
//! Limit and figure take turns, round by round, and the medians are compared: what disturbs one disturbs the other.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    reason = "a benchmark may fail loudly, and its numbers are small"
)]

mod bare_file;
mod cached;
mod cold;
mod create;
mod figure;
mod fill;
mod fixture;
#[cfg(feature = "http")]
mod http;
mod limits;
mod malformed;
mod measure;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "http", feature = "postgres"))]
mod programs;
mod unknown;

use figure::{Figure, Printer};
#[cfg(feature = "postgres")]
use postgres::Scale;
use std::process::ExitCode;

type Run = fn(&dyn Fn(&str) -> bool, &mut dyn FnMut(Figure));

/// Figures that are measured together.
struct Group {
    /// The names of its figures, in the order that they are shown in.
    names: fn() -> Vec<String>,
    /// Measures those that are wanted and hands them over as they come.
    run: Run,
}

const GROUPS: [Group; 12] = [
    Group { names: malformed::names, run: malformed::run },
    Group { names: memory::names, run: memory::run },
    Group { names: unknown::names, run: unknown::run },
    Group { names: cached::names, run: cached::run },
    Group { names: cached::threads::names, run: cached::threads::run },
    Group { names: cached::allocations::names, run: cached::allocations::run },
    Group { names: cached::instructions::names, run: cached::instructions::run },
    Group { names: cached::memory::names, run: cached::memory::run },
    Group { names: cached::calls::names, run: cached::calls::run },
    Group { names: cached::processes::names, run: cached::processes::run },
    Group { names: cold::names, run: cold::run },
    Group { names: create::names, run: create::run },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some((first, rest)) = arguments.split_first()
        && let Some(done) = alone(first, rest)
    {
        return done;
    }
    let (mut json, mut only, mut set) = (false, None, Set::Local);
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--json" => json = true,
            "--only" => match arguments.next() {
                Some(name) => only = Some(name),
                None => return usage("--only needs the name of a figure"),
            },
            other => match set.narrowed(other, &mut arguments) {
                Ok(narrowed) => set = narrowed,
                Err(wrong) => return usage(&wrong),
            },
        }
    }
    let wanted = |name: &str| only.as_deref().is_none_or(|only| name == only || is_class_of(name, only));
    if !set.names().iter().any(|name| wanted(name)) {
        return usage(&format!("no figure is called {:?}", only.unwrap_or_default()));
    }
    if let Some(missing) = set.missing(&wanted) {
        eprintln!("{missing}");
        return ExitCode::FAILURE;
    }
    let mut printer = Printer::new(json);
    set.run(&wanted, &mut |figure| printer.print(&figure));
    printer.end();
    ExitCode::SUCCESS
}

/// Which figures are measured.
enum Set {
    /// Those that need nothing but this program.
    Local,
    /// Those of the HTTP edge.
    #[cfg(feature = "http")]
    Http,
    /// Those that need a Postgres.
    #[cfg(feature = "postgres")]
    Postgres,
    /// Those that need one, much room, and time.
    #[cfg(feature = "postgres")]
    Scale(Scale),
}

impl Set {
    /// What an argument makes of it, if it makes something.
    #[cfg_attr(not(feature = "postgres"), allow(unused_variables, reason = "only there one has a value"))]
    fn narrowed(self, argument: &str, rest: &mut impl Iterator<Item = String>) -> Result<Self, String> {
        match (self, argument) {
            #[cfg(feature = "http")]
            (_, "--http") => Ok(Self::Http),
            #[cfg(feature = "postgres")]
            (_, "--postgres") => Ok(Self::Postgres),
            #[cfg(feature = "postgres")]
            (Self::Postgres, "--scale") => Ok(Self::Scale(Scale::default())),
            #[cfg(feature = "postgres")]
            (Self::Scale(_), "--keys") => {
                let scale = rest.next().as_deref().and_then(Scale::of);
                scale.map(Self::Scale).ok_or_else(|| "--keys needs a number, 100000 at least".to_owned())
            }
            _ => Err(format!("unknown argument {argument:?}")),
        }
    }

    fn groups(&self) -> &'static [Group] {
        match self {
            Self::Local => &GROUPS,
            #[cfg(feature = "http")]
            Self::Http => &http::GROUPS,
            #[cfg(feature = "postgres")]
            Self::Postgres => &postgres::GROUPS,
            #[cfg(feature = "postgres")]
            Self::Scale(_) => &[],
        }
    }

    fn names(&self) -> Vec<String> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Scale(scale) => scale.names(),
            _ => self.groups().iter().flat_map(|group| (group.names)()).collect(),
        }
    }

    /// What the figures that are wanted cannot do without.
    #[cfg_attr(not(feature = "postgres"), allow(unused_variables, reason = "only there it depends on what is wanted"))]
    fn missing(&self, wanted: &dyn Fn(&str) -> bool) -> Option<String> {
        match self {
            Self::Local => None,
            #[cfg(feature = "http")]
            Self::Http => http::missing(),
            #[cfg(feature = "postgres")]
            Self::Postgres | Self::Scale(_) => postgres::missing(wanted),
        }
    }

    fn run(&self, wanted: &dyn Fn(&str) -> bool, report: &mut dyn FnMut(Figure)) {
        #[cfg(feature = "postgres")]
        if let Self::Scale(scale) = self {
            scale.run(wanted, report);
        }
        for group in self.groups() {
            if (group.names)().iter().any(|name| wanted(name)) {
                (group.run)(wanted, report);
            }
        }
    }
}

/// What a first argument asks for that is no figure; the children are this program's own.
fn alone(first: &str, rest: &[String]) -> Option<ExitCode> {
    let said = match first {
        cached::processes::CHILD => {
            cached::processes::child(rest);
            return Some(ExitCode::SUCCESS);
        }
        cached::instructions::CHILD => {
            cached::instructions::child(rest);
            return Some(ExitCode::SUCCESS);
        }
        cached::instructions::CHECK => cached::instructions::check(),
        cached::instructions::RENEW => cached::instructions::renew(),
        _ => return None,
    };
    Some(match said {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(wrong) => {
            eprintln!("{wrong}");
            ExitCode::FAILURE
        }
    })
}

/// `--only parse-malformed` also tells its classes.
fn is_class_of(name: &str, only: &str) -> bool {
    only == malformed::SUMMARY && name.starts_with(malformed::SUMMARY)
}

fn usage(what: &str) -> ExitCode {
    eprintln!(
        "{what}\nusage: clove-bench [--http | --postgres [--scale [--keys N]]] [--json] [--only NAME]\n       clove-bench --check-instructions | --renew-instructions\nfigures:"
    );
    let sets = [
        Set::Local,
        #[cfg(feature = "http")]
        Set::Http,
        #[cfg(feature = "postgres")]
        Set::Postgres,
        #[cfg(feature = "postgres")]
        Set::Scale(Scale::default()),
    ];
    for name in sets.iter().flat_map(Set::names) {
        eprintln!("  {name}");
    }
    ExitCode::from(2)
}
