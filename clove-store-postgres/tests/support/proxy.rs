//! The way between a node and the server, which a test may cut, freeze, or lose commits on.

#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing, reason = "tests; each file uses its part")]

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// Which way something goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Towards {
    Server,
    Client,
}

/// What of a commit is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// The answer: the server has committed.
    Answer,
    /// The commit itself: the server rolls back.
    Commit,
    /// Nothing but its time: it arrives when nobody waits for it any more.
    Time,
}

/// How late that is: longer than a statement may take.
const LATE: Duration = Duration::from_secs(7);

/// Listens until it is dropped.
pub(crate) struct Proxy {
    shared: Arc<Shared>,
    port: u16,
}

struct Shared {
    server: u16,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    refuses: bool,
    /// Towards the server, towards the client.
    frozen: [bool; 2],
    loses: Option<(Lost, usize)>,
    lost: usize,
    pairs: Vec<Arc<Pair>>,
    has_ended: bool,
}

struct Pair {
    client: TcpStream,
    server: TcpStream,
    is_cut: AtomicBool,
    /// Nothing comes through any more, and neither side is told.
    is_silent: AtomicBool,
    is_durable: AtomicBool,
    loses_answer: AtomicBool,
    /// The prepared statement that creates keys, by its name here: what it does is committed with it.
    creates: Mutex<Option<Vec<u8>>>,
}

impl Pair {
    fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }

    /// Whether this runs the statement that creates keys.
    fn creates_by(&self, bytes: &[u8]) -> bool {
        // A kind, a length, and then texts that end by a zero: a name and its statement, or a portal and the name of what it runs.
        let mut texts = bytes.get(5..).unwrap_or_default().split(|byte| *byte == 0);
        let (first, second) = (texts.next().unwrap_or_default(), texts.next().unwrap_or_default());
        let mut creates = self.creates.lock().unwrap();
        match bytes.first() {
            Some(b'P') if second.starts_with(b"WITH n AS") && second.windows(8).any(|words| words == b".secrets") => {
                *creates = Some(first.to_vec());
                false
            }
            Some(b'B') => creates.as_deref() == Some(second),
            _ => false,
        }
    }
}

impl Proxy {
    /// Before the server on this port.
    pub(crate) fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared { server, state: Mutex::default(), changed: Condvar::new() });
        thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.listen(&listener)
        });
        Self { shared, port }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.shared.state.lock().unwrap());
        self.shared.changed.notify_all();
        changed
    }

    /// Cuts all connections there are.
    pub(crate) fn cut(&self) {
        self.change(|state| state.pairs.drain(..).for_each(|pair| pair.cut()));
    }

    /// Whether new connections are cut at once.
    pub(crate) fn refuse(&self, refuses: bool) {
        self.change(|state| state.refuses = refuses);
    }

    /// Whether nothing goes this way: it waits, and comes later.
    pub(crate) fn freeze(&self, towards: Towards, frozen: bool) {
        self.change(|state| state.frozen[towards as usize] = frozen);
    }

    /// Has all connections there are fall silent for good, as a router does that has forgotten them; new ones work.
    pub(crate) fn silence(&self) {
        self.change(|state| state.pairs.drain(..).for_each(|pair| pair.is_silent.store(true, Ordering::SeqCst)));
    }

    /// Loses so many of the next durable commits, and cuts their connections.
    pub(crate) fn lose(&self, lost: Lost, commits: usize) {
        self.change(|state| state.loses = Some((lost, commits)));
    }

    /// How many commits were lost.
    pub(crate) fn lost(&self) -> usize {
        self.shared.state.lock().unwrap().lost
    }

    /// As if nothing had been.
    pub(crate) fn heal(&self) {
        self.change(|state| (state.refuses, state.frozen, state.loses) = (false, [false; 2], None));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
        self.change(|state| state.has_ended = true);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn listen(self: &Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming() {
            let Ok(client) = client else { continue };
            let refuses = {
                let state = self.state.lock().unwrap();
                if state.has_ended {
                    return;
                }
                state.refuses
            };
            if refuses {
                continue;
            }
            let Ok(server) = TcpStream::connect(("127.0.0.1", self.server)) else { continue };
            let [is_cut, is_silent, is_durable, loses_answer] = [(); 4].map(|()| AtomicBool::new(false));
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let creates = Mutex::default();
            let pair = Arc::new(Pair { client, server, is_cut, is_silent, is_durable, loses_answer, creates });
            self.state.lock().unwrap().pairs.push(Arc::clone(&pair));
            for towards in [Towards::Server, Towards::Client] {
                let (shared, pair) = (Arc::clone(self), Arc::clone(&pair));
                thread::spawn(move || shared.carry(&pair, towards));
            }
        }
    }

    fn carry(&self, pair: &Arc<Pair>, towards: Towards) {
        let (mut from, mut to) = match towards {
            Towards::Server => (&pair.client, &pair.server),
            Towards::Client => (&pair.server, &pair.client),
        };
        let mut bytes = vec![0; 65_536];
        while let Ok(many @ 1..) = from.read(&mut bytes) {
            let bytes = &bytes[..many];
            if !self.passes(pair, towards, bytes) || to.write_all(bytes).is_err() {
                break;
            }
        }
        // A side that has gone silent is not told that the other went.
        while pair.is_silent.load(Ordering::SeqCst) && !self.state.lock().unwrap().has_ended {
            thread::sleep(Duration::from_millis(200));
        }
        pair.cut();
        self.state.lock().unwrap().pairs.retain(|other| !Arc::ptr_eq(other, pair));
    }

    /// Whether it is to be passed on, once it may.
    fn passes(&self, pair: &Pair, towards: Towards, bytes: &[u8]) -> bool {
        let says = |words: &[u8]| bytes.windows(words.len()).any(|window| window == words);
        let mut state = self.state.lock().unwrap();
        while state.frozen[towards as usize] && !pair.is_cut.load(Ordering::SeqCst) && !state.has_ended {
            state = self.changed.wait(state).unwrap();
        }
        if pair.is_cut.load(Ordering::SeqCst) || pair.is_silent.load(Ordering::SeqCst) {
            return false;
        }
        if towards == Towards::Client {
            return !pair.loses_answer.load(Ordering::SeqCst);
        }
        if says(b"BEGIN") {
            pair.is_durable.store(says(b"synchronous_commit = on"), Ordering::SeqCst);
        }
        let commits = says(b"COMMIT\0") && pair.is_durable.load(Ordering::SeqCst);
        if !commits && !pair.creates_by(bytes) {
            return true;
        }
        let Some((lost, left @ 1..)) = state.loses else { return true };
        state.loses = Some((lost, left - 1));
        state.lost += 1;
        drop(state);
        pair.loses_answer.store(lost == Lost::Answer, Ordering::SeqCst);
        if lost == Lost::Time {
            thread::sleep(LATE);
        }
        lost != Lost::Commit && !pair.is_cut.load(Ordering::SeqCst)
    }
}
