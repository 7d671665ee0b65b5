//! A way to the server that stops, or is cut.

use std::{
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
};

use To::{Down, Up};

const OPEN: u8 = 0;
const STOPPED: u8 = 1;

/// Forwards to the server.
pub(crate) struct Wire {
    /// The URL by which to come to the server.
    pub(crate) url: String,
    state: Arc<AtomicU8>,
    /// How many more answers get through.
    answers: Arc<AtomicU64>,
    held: Arc<Mutex<Held>>,
    cut: Arc<Mutex<Option<Cut>>>,
}

/// Where a connection ends: behind what next has this in it gets to the server. In place of what that says, the client hears this.
struct Cut {
    behind: &'static str,
    last_words: &'static [u8],
}

/// What is on its way to the server, and stays there.
#[derive(Default)]
enum Held {
    #[default]
    Nothing,
    /// The next that has this in it is to be.
    Next(&'static str),
    Something,
}

impl Wire {
    pub(crate) async fn to(url: &str) -> Self {
        let (scheme, rest) = url.rsplit_once('@').unwrap();
        let (server, database) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (state, server) = (Arc::new(AtomicU8::new(OPEN)), server.to_owned());
        let answers = Arc::new(AtomicU64::new(u64::MAX));
        let (shared, left) = (Arc::clone(&state), Arc::clone(&answers));
        let held = Arc::new(Mutex::default());
        let holds = Arc::clone(&held);
        let cut = Arc::new(Mutex::default());
        let cuts = Arc::clone(&cut);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&server).await else { continue };
                let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
                // What the client hears last of this connection.
                let last_words = Arc::new(OnceLock::new());
                let state = || Arc::clone(&shared);
                let up = Up { held: Arc::clone(&holds), cut: Arc::clone(&cuts), last_words: Arc::clone(&last_words) };
                let up = tokio::spawn(forward(from_client, to_server, state(), up));
                let down = tokio::spawn(forward(from_server, to_client, state(), Down { left: Arc::clone(&left), last_words }));
                // Where one way ends, both do.
                tokio::spawn(async move {
                    let (up_ends, down_ends) = (up.abort_handle(), down.abort_handle());
                    tokio::select! { _ = up => down_ends.abort(), _ = down => up_ends.abort() }
                });
            }
        });
        Self { url: format!("{scheme}@127.0.0.1:{port}/{database}"), state, answers, held, cut }
    }

    /// What is next sent to the server that has this in it stays on its way, whatever else gets through and whoever gives up.
    pub(crate) fn hold(&self, text: &'static str) {
        *self.held.lock().unwrap() = Held::Next(text);
    }

    /// Returns once that was sent.
    pub(crate) async fn is_holding(&self) {
        while !matches!(*self.held.lock().unwrap(), Held::Something) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Lets it arrive, and returns once the server has answered it: nobody else may be asking.
    pub(crate) async fn release(&self) {
        self.is_holding().await;
        let before = self.answered();
        *self.held.lock().unwrap() = Held::Nothing;
        let answered = async {
            while self.answered() == before {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), answered).await.unwrap();
    }

    /// Nothing gets through any more, and no connection ends.
    pub(crate) fn stop(&self) {
        self.state.store(STOPPED, Ordering::SeqCst);
    }

    /// The same, once so many answers have come through.
    pub(crate) fn stop_after(&self, answers: u64) {
        self.answers.store(answers, Ordering::SeqCst);
    }

    /// How many answers have come through.
    pub(crate) fn answered(&self) -> u64 {
        u64::MAX - self.answers.load(Ordering::SeqCst)
    }

    pub(crate) fn resume(&self) {
        self.state.store(OPEN, Ordering::SeqCst);
    }

    /// The next COMMIT gets to the server, and what that says of it to nobody.
    pub(crate) fn cut_behind_a_commit(&self) {
        self.cut("COMMIT\0", b"");
    }

    /// What next has this in it gets to the server, which then is heard to panic, as where it cannot write its log.
    pub(crate) fn panic_behind(&self, text: &'static str) {
        self.cut(text, b"E\0\0\0\x33SPANIC\0VPANIC\0C58030\0Mcould not flush the log\0\0");
    }

    fn cut(&self, behind: &'static str, last_words: &'static [u8]) {
        *self.cut.lock().unwrap() = Some(Cut { behind, last_words });
    }
}

/// Which way.
enum To {
    /// To the server.
    Up { held: Arc<Mutex<Held>>, cut: Arc<Mutex<Option<Cut>>>, last_words: LastWords },
    /// To the client; and how many more answers get through.
    Down { left: Arc<AtomicU64>, last_words: LastWords },
}

type LastWords = Arc<OnceLock<&'static [u8]>>;

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: Arc<AtomicU8>, way: To) {
    let (mut bytes, mut was_held) = (vec![0; 65_536], false);
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        match &way {
            Up { held, .. } => was_held |= stay_if_held(held, &bytes[..read]).await,
            Down { left, .. } => {
                if left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err() {
                    state.store(STOPPED, Ordering::SeqCst);
                }
            }
        }
        while state.load(Ordering::SeqCst) == STOPPED {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let read = &bytes[..read];
        match &way {
            Up { cut, last_words, .. } => {
                // The other way ends at the answer, and this one with it.
                if let Some(Cut { last_words: words, .. }) = cut.lock().unwrap().take_if(|cut| has(read, cut.behind)) {
                    let _ = last_words.set(words);
                }
            }
            Down { last_words, .. } => {
                if let Some(words) = last_words.get() {
                    let _ = to.write_all(words).await;
                    return;
                }
            }
        }
        if to.write_all(read).await.is_err() {
            return;
        }
    }
    if was_held {
        // Whoever sent it has gone, and the server is to answer it all the same.
        std::future::pending().await
    }
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|part| part == text.as_bytes())
}

/// Whether it was.
async fn stay_if_held(held: &Mutex<Held>, bytes: &[u8]) -> bool {
    {
        let mut held = held.lock().unwrap();
        let Held::Next(text) = *held else { return false };
        if !has(bytes, text) {
            return false;
        }
        *held = Held::Something;
    }
    while matches!(*held.lock().unwrap(), Held::Something) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    true
}
