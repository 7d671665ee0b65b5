//! A way to the server that stops, or is cut.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
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
}

impl Wire {
    pub(crate) async fn to(url: &str) -> Self {
        let (scheme, rest) = url.rsplit_once('@').unwrap();
        let (server, database) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (state, server) = (Arc::new(AtomicU8::new(OPEN)), server.to_owned());
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&server).await else { continue };
                let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
                let cut = Arc::new(AtomicBool::new(false));
                let up = tokio::spawn(forward(from_client, to_server, Arc::clone(&shared), Arc::clone(&cut), true));
                let down = tokio::spawn(forward(from_server, to_client, Arc::clone(&shared), cut, false));
                // Where one way ends, both do.
                tokio::spawn(async move {
                    let (up_ends, down_ends) = (up.abort_handle(), down.abort_handle());
                    tokio::select! { _ = up => down_ends.abort(), _ = down => up_ends.abort() }
                });
            }
        });
        Self { url: format!("{scheme}@127.0.0.1:{port}/{database}"), state }
    }

    /// Nothing gets through any more, and no connection ends.
    pub(crate) fn stop(&self) {
        self.state.store(STOPPED, Ordering::SeqCst);
    }

    pub(crate) fn resume(&self) {
        self.state.store(OPEN, Ordering::SeqCst);
    }

    /// The next COMMIT gets to the server, and what that says of it to nobody.
    pub(crate) fn cut_behind_a_commit(&self) {
        self.state.store(CUTS_COMMITS, Ordering::SeqCst);
    }
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: Arc<AtomicU8>, cut: Arc<AtomicBool>, is_up: bool) {
    let mut bytes = vec![0; 65_536];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
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
