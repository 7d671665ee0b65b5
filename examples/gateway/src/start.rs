//! From options to a running gateway, and its end.

use crate::{
    app,
    demo::Demo,
    gateway::Gateway,
    hosts::Hosts,
    keys::Keys,
    meter::Units,
    options::Options,
    organizations::{DEMO, Organizations},
    random,
    serve::serve,
    sessions::Sessions,
    sign_in::SignIn,
    upstream::Upstream,
    welcome,
};
use clove_http::{AnthropicStyle, Edge};
use http::Uri;
use std::{env, fs, sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};
use zeroize::Zeroizing;

/// The host's own key to the upstream.
const UPSTREAM_API_KEY: &str = "UPSTREAM_API_KEY";

/// Runs until somebody stops it.
pub(crate) async fn run(options: Options) -> Result<(), String> {
    let organizations = Arc::new(organizations(&options)?);
    let units = Arc::new(Units::new().map_err(|error| error.to_string())?);
    let keys = Keys::open(&options).await?;
    let clove = keys.clove.clone();
    organizations.set_budgets(&clove, &units).await.map_err(|error| format!("the budgets cannot be set: {error}"))?;
    let listener = TcpListener::bind(options.listen).await.map_err(|error| format!("{}: {error}", options.listen))?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    tracing::info!("listening at {address}");
    let public = options
        .public_url
        .clone()
        .map_or_else(|| format!("http://{address}"), |url| url.to_string().trim_end_matches('/').to_owned());
    // As good as ready: what connects from now on waits until it is served.
    let (upstream, demo) = match &options.upstream {
        Some(url) => (real_upstream(url, options.answer_within)?, None),
        None => {
            let (upstream, demo) = demo_upstream(options.demo_pace, options.answer_within).await?;
            (upstream, Some(demo))
        }
    };
    let gateway = Gateway {
        edge: Edge::new(clove.clone()).rendered_by(AnthropicStyle),
        upstream,
        organizations: Arc::clone(&organizations),
        units,
        silence: options.silence,
    };
    let is_secure = options.public_url.as_ref().and_then(Uri::scheme_str) == Some("https");
    let sign_in = SignIn { organizations: Arc::clone(&organizations), sessions: Sessions::new(is_secure) };
    let hosts = Hosts::new(address, options.public_url.as_ref());
    let app = app::router(gateway, sign_in, hosts).map_err(|error| error.to_string())?;
    let (mut stopped, mut interrupted) = match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(stopped), Ok(interrupted)) => (stopped, interrupted),
        (Err(error), _) | (_, Err(error)) => return Err(format!("signals cannot be heard: {error}")),
    };
    let maintenance = keys.maintain();
    welcome::say(&keys, &organizations, &public, demo.is_some()).await?;
    serve(listener, app, options.stop_within, async {
        tokio::select! {
            _ = stopped.recv() => {}
            _ = interrupted.recv() => {}
        }
        tracing::info!("stopping: running answers may end");
    })
    .await;
    drop(demo);
    keys.close(maintenance).await;
    Ok(())
}

fn organizations(options: &Options) -> Result<Organizations, String> {
    let Some(path) = &options.organizations else { return Organizations::read(DEMO) };
    let json = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Organizations::read(&json).map_err(|error| format!("{}: {error}", path.display()))
}

fn real_upstream(url: &Uri, patience: Duration) -> Result<Upstream, String> {
    let key =
        env::var(UPSTREAM_API_KEY).map(Zeroizing::new).map_err(|_| format!("set {UPSTREAM_API_KEY} to the upstream's key"))?;
    Upstream::new(url.clone(), &key, patience)
}

/// The demo, on a port of its own that ends with what is returned.
async fn demo_upstream(pace: Duration, patience: Duration) -> Result<(Upstream, oneshot::Sender<()>), String> {
    let key = random::token::<16>()?;
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| format!("the demo: {error}"))?;
    let address = listener.local_addr().map_err(|error| format!("the demo: {error}"))?;
    let base = format!("http://{address}").parse().map_err(|_| "the demo has no address")?;
    let upstream = Upstream::new(base, &key, patience)?;
    let app = Demo { key: key.as_str().into(), pace }.router();
    let (running, ended) = oneshot::channel::<()>();
    tokio::spawn(serve(listener, app, Duration::ZERO, async move { drop(ended.await) }));
    Ok((upstream, running))
}
