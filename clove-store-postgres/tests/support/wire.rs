//! A way to the server that stops, or is cut.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
};

const OPEN: u8 = 0;
const STOPPED: u8 = 1;
const CUTS_COMMITS: u8 = 2;

/// Forwards to the server.
pub(crate) struct Wire {
    /// The URL by which to come to the server.
    pub(crate) url: String,
    state: Arc<AtomicU8>,
    /// How many more answers get through.
    answers: Arc<AtomicU64>,
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
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&server).await else { continue };
                let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
                let cut = Arc::new(AtomicBool::new(false));
                let state = || (Arc::clone(&shared), Arc::clone(&cut));
                let up = tokio::spawn(forward(from_client, to_server, state(), None));
                let down = tokio::spawn(forward(from_server, to_client, state(), Some(Arc::clone(&left))));
                // Where one way ends, both do.
                tokio::spawn(async move {
                    let (up_ends, down_ends) = (up.abort_handle(), down.abort_handle());
                    tokio::select! { _ = up => down_ends.abort(), _ = down => up_ends.abort() }
                });
            }
        });
        Self { url: format!("{scheme}@127.0.0.1:{port}/{database}"), state, answers }
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
        self.state.store(CUTS_COMMITS, Ordering::SeqCst);
    }
}

/// One way: to the client where answers are counted.
async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    (state, cut): (Arc<AtomicU8>, Arc<AtomicBool>),
    answers: Option<Arc<AtomicU64>>,
) {
    let is_up = answers.is_none();
    let mut bytes = vec![0; 65_536];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        if answers
            .as_ref()
            .is_some_and(|left| left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err())
        {
            state.store(STOPPED, Ordering::SeqCst);
        }
        while state.load(Ordering::SeqCst) == STOPPED {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let read = &bytes[..read];
        if !is_up && cut.load(Ordering::SeqCst) {
            return;
        }
        let commits = is_up && read.windows(7).any(|word| word == b"COMMIT\0");
        if commits && state.compare_exchange(CUTS_COMMITS, OPEN, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            // The other way ends at the answer, and this one with it.
            cut.store(true, Ordering::SeqCst);
        }
        if to.write_all(read).await.is_err() {
            return;
        }
    }
}
