//! The middleware: nothing behind [`ApiKeyLayer`] is reached without a grant.

mod body;
mod future;
mod layer;
mod service;

pub use body::ResponseBody;
pub use future::ResponseFuture;
pub use layer::ApiKeyLayer;
pub use service::ApiKeyService;
