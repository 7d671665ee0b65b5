//! The style sheet, the script and the icon, in the program itself.

use super::respond;
use axum::{Router, response::Response, routing::get};
use http::{HeaderValue, StatusCode, Uri, header};
use sha2::{Digest, Sha256};
use std::{
    fmt::Write,
    sync::{Arc, LazyLock},
};

/// A file that pages link to. Its name holds a hash of its content, so that it may be kept for ever.
pub(crate) struct Asset {
    stem: &'static str,
    extension: &'static str,
    content_type: &'static str,
    content: &'static str,
    name: String,
}

/// The style sheet of all pages.
pub(crate) static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::css("pages", concat!(include_str!("assets/pages.css"), "\n", include_str!("assets/forms.css"))));
/// The picture of all pages, for the browser's own use.
pub(crate) static ICON: LazyLock<Asset> = LazyLock::new(|| Asset::svg("icon", include_str!("assets/icon.svg")));
/// The script of all pages.
pub(crate) static SCRIPT: LazyLock<Asset> = LazyLock::new(|| Asset::js("pages", include_str!("assets/pages.js")));

impl Asset {
    /// A style sheet.
    pub(crate) fn css(stem: &'static str, content: &'static str) -> Self {
        Self::new(stem, "css", "text/css; charset=utf-8", content)
    }

    /// A script.
    pub(crate) fn js(stem: &'static str, content: &'static str) -> Self {
        Self::new(stem, "js", "text/javascript; charset=utf-8", content)
    }

    /// A picture.
    pub(crate) fn svg(stem: &'static str, content: &'static str) -> Self {
        Self::new(stem, "svg", "image/svg+xml", content)
    }

    fn new(stem: &'static str, extension: &'static str, content_type: &'static str, content: &'static str) -> Self {
        let hash = Sha256::digest(content).iter().take(8).fold(String::new(), |mut hex, byte| {
            // Writing to a string does not fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        Self { stem, extension, content_type, content, name: format!("{stem}-{hash}.{extension}") }
    }

    /// Whether it is a script, and else a style sheet.
    pub(crate) fn is_script(&self) -> bool {
        self.extension == "js"
    }

    /// Where it is below a page.
    pub(crate) fn path(&self) -> String {
        format!("assets/{}", self.name)
    }

    /// Whether `name` is its own, or that of another version of it.
    fn has_version(&self, name: &str) -> bool {
        let rest = name.strip_prefix(self.stem).and_then(|rest| rest.strip_prefix('-'));
        rest.is_some_and(|rest| rest.rsplit_once('.').is_some_and(|(_, extension)| extension == self.extension))
    }

    fn to_response(&self, name: &str) -> Response {
        // While a new version is deployed, a page of one node may get the assets of another: better those than none.
        let keep = if name == self.name { "public, max-age=31536000, immutable" } else { "no-store" };
        let mut response = Response::new(self.content.into());
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
        response
    }
}

/// Serves the assets that a page links to: those of all pages, and more of its own.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>(more: &[&'static LazyLock<Asset>]) -> Router<S> {
    let assets: Arc<[_]> = [&STYLE, &SCRIPT, &ICON].into_iter().chain(more.iter().copied()).collect();
    // Not by `Path`: the host may have parameters of its own before it.
    let serve = async move |uri: Uri| {
        let name = uri.path().rsplit('/').next().unwrap_or_default();
        match assets.iter().find(|asset| asset.has_version(name)) {
            Some(asset) => asset.to_response(name),
            None => respond::bare(StatusCode::NOT_FOUND),
        }
    };
    Router::new().route("/assets/{asset}", get(serve))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_changes_with_the_content() {
        let (one, other) = (Asset::css("x", "a{}"), Asset::css("x", "b{}"));
        assert_ne!(one.path(), other.path());
        assert!(
            one.has_version(&other.name)
                && !one.has_version("x.css")
                && !one.has_version("x-1.js")
                && !one.has_version("y-1.css")
        );
    }
}
