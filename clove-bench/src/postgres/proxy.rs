//! A proxy before the server that counts what clients ask of it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What went over all connections.
#[derive(Default)]
pub(crate) struct Counts {
    /// How often a client that had been answered sent something: what it cost it to wait.
    trips: AtomicU64,
    /// Messages that run statements: executions, and texts of one or several statements.
    statements: AtomicU64,
}

impl Counts {
    pub(crate) fn trips(&self) -> u64 {
        self.trips.load(Relaxed)
    }

    pub(crate) fn statements(&self) -> u64 {
        self.statements.load(Relaxed)
    }
}

/// Listens on the current runtime until that ends. The URL that leads through it, and what it counts.
pub(crate) async fn start(url: &str) -> (String, Arc<Counts>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (server, through) = around(url, port);
    let counts = Arc::<Counts>::default();
    let counting = Arc::clone(&counts);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&server).await.expect("the server");
            serve(client, server, &counting);
        }
    });
    (through, counts)
}

/// The server's address, and the URL with the proxy's in its place.
fn around(url: &str, port: u16) -> (String, String) {
    let from = url.find("://").map_or(0, |at| at + 3);
    let to = url[from..].find(['/', '?']).map_or(url.len(), |at| from + at);
    let from = url[from..to].rfind('@').map_or(from, |at| from + at + 1);
    let address = &url[from..to];
    assert!(!address.is_empty() && !address.starts_with('%'), "counting needs a server that is reached by TCP");
    let server = if address.contains(':') { address.to_owned() } else { format!("{address}:5432") };
    (server, format!("{}127.0.0.1:{port}{}", &url[..from], &url[to..]))
}

fn serve(client: TcpStream, server: TcpStream, counts: &Arc<Counts>) {
    for stream in [&client, &server] {
        stream.set_nodelay(true).expect("a socket");
    }
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    // Whether the server was the last to speak.
    let answered = Arc::new(AtomicBool::new(true));
    let (counts, heard) = (Arc::clone(counts), Arc::clone(&answered));
    tokio::spawn(async move {
        let mut messages = Messages::default();
        let mut buffer = vec![0; 1 << 16];
        while let Some(some) = read(&mut from_client, &mut buffer).await {
            if answered.swap(false, Relaxed) {
                counts.trips.fetch_add(1, Relaxed);
            }
            counts.statements.fetch_add(messages.read(some), Relaxed);
            if to_server.write_all(some).await.is_err() {
                break;
            }
        }
    });
    tokio::spawn(async move {
        let mut buffer = vec![0; 1 << 16];
        while let Some(some) = read(&mut from_server, &mut buffer).await {
            heard.store(true, Relaxed);
            if to_client.write_all(some).await.is_err() {
                break;
            }
        }
    });
}

async fn read<'b>(from: &mut (impl AsyncRead + Unpin), buffer: &'b mut [u8]) -> Option<&'b [u8]> {
    match from.read(buffer).await {
        Ok(0) | Err(_) => None,
        Ok(bytes) => Some(&buffer[..bytes]),
    }
}

/// A client's messages, in whatever pieces they come: a letter, a length that counts itself, and so much. The first has no letter.
#[derive(Default)]
struct Messages {
    has_begun: bool,
    head: Vec<u8>,
    /// Of the message's rest.
    left: usize,
}

impl Messages {
    /// How many of these run statements.
    fn read(&mut self, mut bytes: &[u8]) -> u64 {
        let mut statements = 0;
        while let Some((first, rest)) = bytes.split_first() {
            if self.left > 0 {
                let passed = self.left.min(bytes.len());
                self.left -= passed;
                bytes = &bytes[passed..];
                continue;
            }
            self.head.push(*first);
            bytes = rest;
            let letters = usize::from(self.has_begun);
            if self.head.len() == letters + 4 {
                let length = self.head[letters..].iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
                self.left = length.saturating_sub(4);
                statements += u64::from(self.has_begun && matches!(self.head[0], b'E' | b'Q'));
                self.has_begun = true;
                self.head.clear();
            }
        }
        statements
    }
}
