//! A host with pages, on a port of its own.

use axum::Router;
use tokio::{net::TcpListener, task::JoinHandle};

/// Serves until it is dropped.
pub(crate) struct Site {
    origin: String,
    server: JoinHandle<()>,
}

impl Site {
    pub(crate) async fn serve(router: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { origin, server }
    }

    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.server.abort();
    }
}
